//! The writer: gathers commands into batches, decides them, and answers after the commit, never before.
//!
//! # What it is
//! Each writing side of the store has a *lane*: a queue, and a task on a thread of its own. The hash of a customer's
//! key selects its lane, so its commands keep their order. While one batch commits, the next one gathers. So a lone
//! caller waits for nothing, and a busy server commits hundreds of commands at once.
//!
//! # Invariants
//! - No request handler holds a transaction. A client that goes away drops a receiver, and nothing else. Whoever keeps
//!   records of rejections is told by the lane, so none is lost with the receiver.
//! - No command is answered with an outcome before its commit.
//! - Commands of one customer are decided in the order in which they were queued, except that single ones go before
//!   bulk ones.
//! - A command whose deadline passed before it was decided is not run. If an earlier attempt may
//!   have stored it, its outcome is found out all the same.
//! - The queue is bounded in commands; one more is refused at once, as overloaded.
//!
//! # Failure
//! - A batch that conflicts with another server is retried as a whole, for `retry_for`. Then its callers are told
//!   that the storage is not available.
//! - A customer whose row somebody else keeps locked is left out; the rest of its batch is run again without it. Its
//!   commands wait apart (`held_back`), for `retry_for` at most.
//! - A batch that cannot be read is answered in the same way, and the lane goes on.
//! - The answer to a commit can be lost. The next attempt takes the locks and looks whether the batch was stored. If
//!   it cannot find out, callers are told that the outcome is unknown; a repeat with the same request id finds out.
//! - If the database refuses a batch, its commands are run one by one, so that one command fails alone. Each is
//!   answered by its own fate, also where one of them stops the lane.
//! - A broken invariant, damaged data or an unknown fate stops the lane, and with it all lanes. Nothing more is
//!   acknowledged. [`WriterEnd::stopped`] reports the reason.
//!
//! # Cost
//! One commit and a fixed number of statements a batch, whatever its size. A batch is cut at `batch_commands_max`,
//! because above about 1,000 commands the tail latency grows faster than the throughput.

mod ask;
mod error;
mod handle;
mod held_back;
mod lane;
mod limits;
mod measured;
mod queue;
mod retry;
mod run;
mod shared;
mod traced;

pub use crate::ledger::decide::Outcome;
pub use crate::store::{CardsChanged, DefaultAlertsSet, Ledger, LedgerCreated, NewDefaultAlerts, NewLedger};
pub use ask::Rejections;
pub use error::{SubmitError, Submitted};
pub use handle::{Writer, WriterEnd};
pub use limits::Limits;
