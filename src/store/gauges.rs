//! Figures of an engine that serves, for metrics: the engine keeps them, and reading them asks no database.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// What an engine can tell of itself.
#[derive(Clone, Debug)]
pub enum Gauges {
    /// The engine in memory.
    None,
    Sqlite(Arc<LogGauges>),
    Postgres(Arc<SequencerGauges>),
}

/// The write-ahead log of SQLite.
#[derive(Debug)]
pub struct LogGauges {
    path: PathBuf,
    checkpoints: AtomicU64,
}

impl LogGauges {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, checkpoints: AtomicU64::new(0) }
    }

    /// Bytes of the log's file; 0 while there is none.
    ///
    /// # Errors
    /// Where the system does not tell.
    pub fn wal_bytes(&self) -> std::io::Result<u64> {
        match std::fs::metadata(&self.path) {
            Ok(facts) => Ok(facts.len()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Where the log is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// How often the log was copied into the database.
    pub fn checkpoints(&self) -> u64 {
        self.checkpoints.load(Ordering::Relaxed)
    }

    pub(super) fn checkpointed(&self) {
        self.checkpoints.fetch_add(1, Ordering::Relaxed);
    }
}

/// What the sequencer of PostgreSQL saw last.
#[derive(Debug, Default)]
pub struct SequencerGauges(Mutex<Option<SequencerGauge>>);

/// Commits that have no position yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequencerGauge {
    pub pending: u64,
    /// The age of the oldest of them; zero where there is none.
    pub lag: Duration,
}

impl SequencerGauges {
    /// `None` before the first look, and while the database cannot be looked at.
    pub fn last(&self) -> Option<SequencerGauge> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn saw(&self, gauge: Option<SequencerGauge>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gauge;
    }
}
