//! The writer: gathers commands into batches, decides them, and answers after the commit, never before.
//!
//! # What it is
//! Each writing side of the store has a *lane*: a queue, and a task on a thread of its own. A customer always belongs to the
//! same lane, by the hash of its key, so its commands keep their order. While one batch commits the next gathers: a lone
//! caller waits for nothing, and a busy server commits hundreds of commands at once.
//!
//! # Invariants
//! - No request handler holds a transaction. A client that goes away drops a receiver, and nothing else.
//! - Nobody is answered before the commit of its command.
//! - Commands of one customer are decided in the order in which they were queued; single ones go before bulk ones.
//! - A command whose deadline passed before it was decided is not run. After that its fate is exact.
//! - What waits is bounded in commands; one more is refused at once, as overloaded.
//!
//! # Failure
//! - A batch that other servers were in the way of is tried again as a whole, for `retry_for`. Then its
//!   callers hear that the storage is not available.
//! - The answer to a commit can be lost. The batch is then looked for by its id after the locks are taken again. Where that
//!   stays open too, callers are told that the outcome is unknown, and the same request id finds out.
//! - A batch that the database refuses is run one by one, so that one command fails alone.
//! - A broken invariant, damaged data or an unknown fate stops the lane, and with it all lanes: nothing more is
//!   acknowledged. [`WriterEnd::stopped`] says why.
//!
//! # Cost
//! One commit and a fixed number of statements a batch, whatever its size. A batch is cut at `batch_commands_max`: above
//! about 1,000 commands the tail latency grows faster than the speed.

mod ask;
mod error;
mod handle;
mod lane;
mod limits;
mod queue;
mod retry;
mod run;
mod shared;

pub use crate::ledger::decide::Outcome;
pub use crate::store::{CardsChanged, DefaultAlertsSet, Ledger, LedgerCreated, NewDefaultAlerts, NewLedger};
pub use error::{SubmitError, Submitted};
pub use handle::{Writer, WriterEnd};
pub use limits::Limits;
