//! Events sent to programs over HTTP: endpoints, who sends to which, and what becomes of each message.
//!
//! A delivery is a cursor over the feed per endpoint; what an endpoint did not take is kept aside and tried again ([`worker`]).
//! Servers share the endpoints by leases ([`leases`]). Nothing is sent to an address that is not public ([`target`],
//! [`http`]), and each message is signed ([`signature`]).

mod aside;
mod courier;
mod endpoints;
mod http;
mod leases;
mod relay;
mod schedule;
mod send;
mod signature;
mod target;
mod worker;

pub use self::http::{Answer, Idle, Network, SendError, Sender, SystemNetwork, public_roots};
pub use crate::store::webhooks::{Delivery, Endpoint};
pub use courier::Courier;
pub use endpoints::{Changed, ENDPOINTS_MAX, EventPlace, NewEndpoint, Patch, Webhooks};
pub use relay::{LOOK_SECONDS, Relay};
pub(super) use send::{Failure, Then, cut};
pub use send::{MESSAGES_AT_A_TIME, Means, Render};
pub use signature::parse_secret;
pub use target::{Policy, Refused, Target};
