//! Everything that ends a command, each with one line for people.

use super::call::{CallError, ConnectError};
use crate::config::ConfigError;
use crate::copy::CopyError;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs or traces.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Moving a database to another one.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The server that was to be talked to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// What the server answered.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A change that was sent, and not answered with what became of it.
    #[error("{error}\nthe outcome is unknown; repeat with --request-id {request_id}")]
    OutcomeUnknown {
        /// What came instead.
        #[source]
        error: Box<CallError>,
        /// The id that it was sent with.
        request_id: String,
    },
    /// Standard output.
    #[error("the answer cannot be printed: {0}")]
    Output(#[source] std::io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[source] getrandom::Error),
    /// Anything else, in a line that says all.
    #[error("{0}")]
    Other(String),
}
