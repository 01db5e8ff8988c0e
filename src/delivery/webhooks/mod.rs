//! The transport of webhooks: events posted to programs over HTTP.
//!
//! Nothing is sent to an address that is not public (`target`, `http`), and each message is signed (`signature`).

mod http;
mod signature;
mod target;
mod transport;

pub use self::http::{Answer, HttpClient, Idle, SendError};
pub use target::{Policy, Refused};
pub use transport::{MESSAGES_AT_A_TIME, Render, WebhookTransport};
