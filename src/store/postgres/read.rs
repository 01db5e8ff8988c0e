//! The reading side: a pool of read-only connections. What must be of one moment is one statement. Calls with several
//! statements read only rows that never change.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor as _, PgConnection};

use super::connect::{Address, refuse_read_only};
use super::errors::timed_out;
use super::hosts::HostNo;
use super::sequencer::Sequencer;
use super::tend::Tending;
use crate::ledger::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::database::{Database, ReadDatabase, Work};

const READERS_MAX: u32 = 8;
/// How long a reader waits for a connection, free or new.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than any statement may take: by then a server that is alive has answered.
const READ_TIMEOUT: Duration = Duration::from_secs(35);
/// After a fail-over, connections to the former primary end by themselves.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(30);

#[derive(Debug)]
pub struct PgReaders {
    address: Arc<Address>,
    /// For the host that the servers use.
    pool: RwLock<(HostNo, PgPool)>,
    sequencer: Arc<Sequencer>,
    /// The background task runs for as long as somebody may read.
    _tending: Tending,
}

impl PgReaders {
    /// A pool that connects at the first read: a database that cannot be reached now may be reachable later.
    pub(super) fn new(address: Arc<Address>, sequencer: Arc<Sequencer>, tending: Tending) -> Self {
        let pool = RwLock::new(new_pool(&address));
        Self { address, pool, sequencer, _tending: tending }
    }

    /// The pool; a new one where another host is used by now.
    fn pool(&self) -> PgPool {
        let host = self.address.host();
        let (used, pool) = self.pool.read().unwrap_or_else(PoisonError::into_inner).clone();
        if used == host { pool } else { self.replace_pool() }
    }

    fn replace_pool(&self) -> PgPool {
        let (host, pool) = new_pool(&self.address);
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = (host, pool.clone());
        pool
    }
}

impl Database for PgReaders {
    type Connection = PgConnection;

    /// Runs a read with a time-out. A machine that disappears leaves connections without an answer, and neither the
    /// driver nor its pool gives them up. A new pool then replaces the one with such connections.
    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pool = self.pool();
        let read = async {
            let mut connection = pool.acquire().await?;
            work(&mut connection).await
        };
        if let Ok(done) = tokio::time::timeout(READ_TIMEOUT, read).await {
            return done;
        }
        self.replace_pool();
        Err(timed_out("a read"))
    }
}

impl ReadDatabase for PgReaders {
    async fn watermark(&self, wanted: Timestamp, _now: Timestamp) -> Result<Timestamp, StoreError> {
        self.sequencer.watermark(wanted).await
    }

    /// A posting without a position counts from just after the watermark, so the watermark must be as late as
    /// possible.
    async fn reach(&self, time: Timestamp) -> Result<(), StoreError> {
        self.sequencer.watermark(time).await.map(drop)
    }

    async fn place_all(&self) -> Result<(), StoreError> {
        self.sequencer.catch_up().await
    }
}

fn new_pool(address: &Arc<Address>) -> (HostNo, PgPool) {
    let (host, prepares) = (address.host(), Arc::clone(address));
    let pool = PgPoolOptions::new()
        .min_connections(0)
        .max_connections(READERS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(CONNECTION_AGE_MAX)
        .after_connect(move |connection, _| {
            let address = Arc::clone(&prepares);
            Box::pin(async move {
                address.prepare(connection).await?;
                refuse_read_only(connection).await?;
                connection.execute("SET default_transaction_read_only = on").await.map(drop)
            })
        })
        .connect_lazy_with(address.options(host));
    (host, pool)
}
