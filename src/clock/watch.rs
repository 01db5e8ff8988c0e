//! Watches one clock, that of this machine or of the database: every reading is judged before it is used.
//!
//! # What it is
//! A [`Judge`] behind a lock, and its standing for whoever tells people: the log, the health service, and metrics.
//!
//! # Invariants
//! No time is used that was not judged. So no stamp is made in the moment between a step and its discovery.
//!
//! # Failure
//! It has none: an implausible clock is a result.
//!
//! # Cost
//! A lock and a reading of the elapsed time, less than a microsecond.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::boot::since_boot;
use super::plausible::{Judge, Judged, Known, Reading};
use crate::ledger::Timestamp;

/// A clock that is watched, once [`Watch::begin`] was called. Until then it is taken for right.
#[derive(Debug, Default)]
pub struct Watch {
    judge: Mutex<Option<Judge>>,
    standing: watch::Sender<Standing>,
}

/// How the clock stands, and how often it was doubted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub is_plausible: bool,
    /// True where it was plausible before, and has been stepped.
    pub is_step: bool,
    /// How often it has become implausible since the start. It counts for metrics.
    pub doubts: u64,
}

impl Default for Standing {
    fn default() -> Self {
        Self { is_plausible: true, is_step: false, doubts: 0 }
    }
}

impl Watch {
    /// Begins to watch. `gap_max` is the longest time for which a server may have been away; `wall` is what the clock
    /// shows.
    pub fn begin(&self, known: &Known, gap_max: Duration, wall: Timestamp) {
        let first = Reading { wall, boot: since_boot() };
        *self.lock() = Some(Judge::begin(known, gap_max, first));
        self.judge(first);
    }

    /// Judges what the clock shows now.
    pub fn read(&self, wall: Timestamp) -> Judged {
        self.judge(Reading { wall, boot: since_boot() })
    }

    /// Takes in an operator's confirmation; the next reading is judged by it.
    pub fn heed(&self, confirmed: Option<Timestamp>) {
        if let Some(judge) = self.lock().as_mut() {
            judge.heed(confirmed, since_boot());
        }
    }

    /// How the clock stands now.
    pub fn standing(&self) -> Standing {
        *self.standing.borrow()
    }

    /// Changes with the clock's standing.
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.standing.subscribe()
    }

    fn judge(&self, reading: Reading) -> Judged {
        let mut judge = self.lock();
        let Some(judge) = judge.as_mut() else {
            return Judged { now: reading.wall, due_until: reading.wall, is_plausible: true };
        };
        let is_step = judge.has_begun();
        let judged = judge.read(reading);
        // Under the lock, so that the standing is that of the last reading.
        self.standing.send_if_modified(|standing| {
            let is_changed = standing.is_plausible != judged.is_plausible;
            if is_changed {
                let doubts = standing.doubts.saturating_add(u64::from(!judged.is_plausible));
                let is_step = is_step && !judged.is_plausible;
                *standing = Standing { is_plausible: judged.is_plausible, is_step, doubts };
            }
            is_changed
        });
        judged
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Judge>> {
        self.judge.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
