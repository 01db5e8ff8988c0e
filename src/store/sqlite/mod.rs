//! The SQLite engine: one file, a connection that appends, one that checkpoints, and a few that read.
//!
//! # What it is
//! One writer appends batches to the file; see `write`. Readers have their own connections and see what is committed.
//!
//! # Invariants
//! - One server at a time has the file, whatever its names are: it holds the lock on the file itself.
//! - Everything that could make serving unsafe is checked first: the version of SQLite, the lock, the file and its log as
//!   they lie there, the schema. Then the log is checkpointed, so that everything that is served is on the disk. What a
//!   reader of another program keeps in the log is written and synced there again.
//!
//! # Failure
//! What an operator can repair is reported in one line. A page that cannot be read is `Damaged`. After a commit that
//! failed nobody knows whether it is stored, and the process stops. It also stops where the file or its log was deleted
//! or replaced.
//!
//! # Cost
//! A commit is one sync of the log. Readers never wait for the writer. The writer waits for readers only where they
//! hold up a log that has grown long.

mod append;
mod backup;
mod check;
mod checkpoints;
mod columns;
mod connection;
mod copy;
mod dialect;
mod driver;
mod examine;
mod file;
mod history;
mod journal;
mod keys;
mod lists;
mod load;
mod lock;
mod log_file;
mod migrate;
mod opening;
mod orders;
mod readers;
mod reading;
mod recent;
mod requests;
mod settings;
mod side;
mod tail;
mod words;
mod work;
mod write;

pub use backup::{Purpose, copy_file, is_backup, page_faults};
pub use connection::WriteStats;
pub use file::{files_of, path_of, wal_bytes};
pub use lock::DatabaseLock;
pub use opening::{
    Alone, Schema, confirm_clock, look, medium_of, migrate, open, open_figures, open_for_copy, open_to_read,
    version,
};
pub use readers::Readers;
pub use reading::Medium;
pub use side::SqliteSide;
pub use write::SqliteWriter;
