//! The SQLite engine: one file, a connection that appends, one that checkpoints, and a few that read.
//!
//! # What it is
//! One writer appends batches to the file; see `write`. Readers have connections of their own and see what is committed.
//!
//! # Invariants
//! - One server at a time has the file: it holds the lock beside it.
//! - Nothing is served before everything that could make serving unsafe is checked: the lock, the version of SQLite, the
//!   file, the schema. Then the log is checkpointed fully, so that what is served is on the disk.
//!
//! # Failure
//! What a person can mend is said in one line. A page that cannot be read is `Damaged`. A commit that fails leaves its fate
//! open, and the process stops.
//!
//! # Cost
//! A commit is one sync of the log. Readers never wait for the writer, and it does not wait for them, but where they hold
//! up a log that has grown long.

mod append;
mod check;
mod checkpoints;
mod columns;
mod connection;
mod copy;
mod dialect;
mod driver;
mod file;
mod history;
mod journal;
mod keys;
mod lists;
mod load;
mod migrate;
mod opening;
mod readers;
mod recent;
mod requests;
mod settings;
mod tail;
mod webhooks;
mod words;
mod work;
mod write;

pub use connection::WriteStats;
pub use file::{DatabaseLock, path_of};
pub use opening::{keep_servers_out, migrate, open, open_figures, open_for_copy, open_to_read};
pub use readers::Readers;
pub use webhooks::SqliteWebhooks;
pub use write::SqliteWriter;
