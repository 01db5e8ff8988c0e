//! The services that `build.rs` generates from the protos: each method calls the function of [`Call`](super::api::Call) with its name.
//!
//! | method | what is called |
//! |---|---|
//! | a command that a batch may have | `run`, which reads it as a `CommandMessage`; then `Shown` of what the response has besides its outcome |
//! | one without side effects | the function, with the message |
//! | another one | the function, with the request, which has the deadline |

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};
use tracing::Instrument as _;

use super::api::{Api, Reply};
use super::command::Shown;
use super::status::Problem;
use super::wire::*;

/// Goes on to the end of a change also where its caller goes away: the audit log hears of what was done.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Reply<T>> + Send + 'static) -> Reply<T> {
    match tokio::spawn(work.in_current_span()).await {
        Ok(answer) => answer,
        // It panicked, or the server ends.
        Err(_) => Err(Problem::internal().into()),
    }
}

include!(concat!(env!("OUT_DIR"), "/services.rs"));
