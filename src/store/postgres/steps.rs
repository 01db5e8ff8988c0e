//! How a transaction begins, and how long each step of it may take.

use std::time::Duration;

use super::errors::timed_out;
use crate::store::engine::Isolation;
use crate::store::error::StoreError;

/// How long making a connection to one host may take.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one step of a batch may take before its connection is given up.
pub(super) const STEP_TIMEOUT: Duration = Duration::from_secs(15);

/// The isolation is explicit, because the server's default may differ.
pub(super) const fn begin_statement(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE",
    }
}

/// The same, and the process of the server that answers.
pub(super) const fn begin_and_name(isolation: Isolation) -> &'static str {
    match isolation {
        Isolation::ReadCommitted => "BEGIN ISOLATION LEVEL READ COMMITTED; SELECT pg_backend_pid()",
        Isolation::Serializable => "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT pg_backend_pid()",
    }
}

/// Waits for an answer of the server, at most [`STEP_TIMEOUT`].
pub(super) async fn within<T>(
    what: &'static str,
    work: impl Future<Output = Result<T, sqlx::Error>>,
    told: fn(sqlx::Error) -> StoreError,
) -> Result<T, StoreError> {
    match tokio::time::timeout(STEP_TIMEOUT, work).await {
        Ok(done) => done.map_err(told),
        Err(_) => Err(timed_out(what)),
    }
}
