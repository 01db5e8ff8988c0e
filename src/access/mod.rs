//! Who calls, and what they may do: identities, roles and their bounds.
//!
//! # What it is
//! There are three ways to say who calls: a JWT of a provider, a token of our own, and the certificate of a connection.
//! Each becomes one [`Caller`]: a subject with a role, bound to ledgers, and for the role `customer` to one customer.
//! What a role may call is written in the protos, and enforced by [`crate::grpc`]. How much each caller may have done is
//! counted in [`Quotas`].
//!
//! # Failure
//! Whoever cannot be told is [`Refused`], with one reason. What exactly was wrong is only in the log, at debug level.

mod caller;
pub mod certificates;
pub mod jwt;
mod names;
mod quota;
mod record;
mod tokens;
mod ways;

pub use crate::store::{AuditRecord, RecordFilter, RecordKind, StoreError, StoredToken};
pub use caller::{Bounds, Caller, Ledgers, Over, Refused};
pub use jwt::Verifier;
pub use names::{Hosts, Origins};
pub use quota::{Allowance, Attempts, CallerLimits, Counts, Quotas, RoleLimits, StreamPlace, network};
pub use record::{CallFacts, PEERS_MAX, QUEUE_BYTES_MAX, QUEUE_MAX, Recorder, Retention};
pub use tokens::{AGE_MAX, DAYS_MAX, LEDGERS_MAX, NewToken, TOKENS_MAX, TokenCreated, TokenText, Tokens};
pub use ways::{Access, Admission, Shown, Token, Verify};
