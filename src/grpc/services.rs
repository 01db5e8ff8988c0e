//! The services that `build.rs` generates from the protos: each method calls the function of [`Call`](super::api::Call) with its name.
//!
//! | method | what is called |
//! |---|---|
//! | a command that a batch may have | `run`, which reads it as a `CommandMessage`; then `Shown` of what the response has besides its outcome |
//! | one without side effects | the function, with the message |
//! | another one | the function, with the request, which has the deadline |

use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::api::Api;
use super::command::Shown;
use super::wire::*;

include!(concat!(env!("OUT_DIR"), "/services.rs"));
