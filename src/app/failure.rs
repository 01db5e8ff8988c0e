//! Everything that ends a command, each with a text for people.

use super::call::CallError;
use super::connect::ConnectError;
use crate::config::ConfigError;
use crate::copy::CopyError;
use crate::store::StoreError;
use crate::telemetry::TelemetryError;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Logs or traces could not be set up.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Copying a database to another one failed.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The server cannot be reached, or not be trusted.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Call(#[from] CallError),
    /// A change was sent, and its outcome is unknown.
    #[error("{error}\nthe outcome is unknown; repeat with --request-id {request_id}")]
    OutcomeUnknown {
        /// The error that came instead of an answer.
        #[source]
        error: Box<CallError>,
        /// The id that it was sent with.
        request_id: String,
    },
    #[error("the answer cannot be printed: {0}")]
    Output(#[source] std::io::Error),
    /// The system gives no random numbers.
    #[error("the system gives no randomness: {0}")]
    Randomness(#[source] getrandom::Error),
    /// Anything else, as a complete text.
    #[error("{0}")]
    Other(String),
}
