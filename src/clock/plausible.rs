//! Decides whether the clock can be believed, and what time it is where it cannot. It reads no clock and stores nothing.
//!
//! # What it is
//! The wall clock can be set to anything; the time since the machine started cannot. A [`Judge`] knows one moment at
//! which the clock was right, and adds what has elapsed since. A clock that is far from the sum is implausible.
//!
//! # Invariants
//! - A plausible clock is followed exactly.
//! - While the clock is implausible, time goes on from the last plausible moment by what elapses.
//! - Meanwhile nothing falls due that was not due at that moment ([`Judged::due_until`]).
//! - What was doubted once stays doubted, over restarts too, until the clock agrees again or an operator confirms it.
//!
//! # Failure
//! At a start nothing tells how long the server was away. So a clock that is wrong by less than the longest absence
//! that is believed is taken for right. A step of less than [`STEP_MAX`] a day is followed.
//!
//! # Cost
//! A few additions.

use std::time::Duration;

use crate::ledger::Timestamp;

/// By how much the clock may differ, in a day, from the time that has elapsed. It covers leap seconds, corrections by
/// NTP, oscillators that differ (43 s a day at the 500 ppm that NTP corrects), and pauses of a virtual machine while it
/// is moved or backed up. It is what Kerberos allows between two clocks, too.
pub const STEP_MAX: Duration = Duration::from_mins(5);
/// After so long the clock is compared with its own later reading, so that small differences never add up.
const ANCHOR_MAX: Duration = Duration::from_hours(24);

/// The clock and the elapsed time, read together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the clock shows.
    pub wall: Timestamp,
    /// Since the machine started, with the time during which it was suspended.
    pub boot: Duration,
}

/// What the database knows of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Known {
    /// When a server last found the clock plausible, or an operator confirmed it.
    pub heartbeat: Option<Timestamp>,
    /// The stamp of the last posting.
    pub last_stamp: Option<Timestamp>,
    /// True where a server has doubted the clock since the heartbeat.
    pub is_doubted: bool,
    /// When an operator last confirmed the clock: what it showed.
    pub confirmed: Option<Timestamp>,
    /// The last stamp at that time. Stamps that were later than the clock keep the order, and say nothing of the time.
    pub confirmed_over: Option<Timestamp>,
}

impl Known {
    /// The latest moment that has certainly passed; `None` for a new database.
    fn passed(&self) -> Option<Timestamp> {
        // Stamps that follow the overruled one only count on from it.
        let overruled = self.confirmed_over.map(|stamp| stamp.plus_seconds(seconds(STEP_MAX)));
        let stamp = self.last_stamp.filter(|stamp| overruled.is_none_or(|overruled| *stamp > overruled));
        self.heartbeat.max(stamp)
    }
}

/// The time as it is to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The clock where it is plausible, else the last plausible moment and what has elapsed since.
    pub now: Timestamp,
    /// Nothing falls due later than this. It stands still while the clock is implausible.
    pub due_until: Timestamp,
    pub is_plausible: bool,
}

/// Compares each reading with a moment that was right.
#[derive(Clone, Copy, Debug)]
pub struct Judge {
    /// A moment at which the clock was right.
    anchor: Reading,
    /// How far the clock may be ahead of the anchor and what has elapsed since.
    ahead_max: Duration,
    /// True until a reading was plausible: the anchor is not a reading of this clock then.
    is_begun: bool,
    /// The last plausible reading. At a start it is what the database knows.
    last: Reading,
    /// The operator's confirmation that was last heeded.
    confirmed: Option<Timestamp>,
}

impl Judge {
    /// Begins with what the database knows. `gap_max` is the longest time for which a server may have been away.
    ///
    /// Without a heartbeat (a database of an earlier version) the last stamp stands for it. Without either the clock is
    /// taken for right.
    pub fn begin(known: &Known, gap_max: Duration, first: Reading) -> Self {
        let anchor = Reading { wall: known.passed().unwrap_or(first.wall), boot: first.boot };
        let ahead_max = if known.is_doubted { STEP_MAX } else { gap_max.max(STEP_MAX) };
        Self { anchor, ahead_max, is_begun: false, last: anchor, confirmed: known.confirmed }
    }

    /// Judges a reading. Readings come in the order in which they were made.
    pub fn read(&mut self, reading: Reading) -> Judged {
        let off = micros_between(after(self.anchor, reading.boot), reading.wall);
        if !(-micros(STEP_MAX)..=micros(self.ahead_max)).contains(&off) {
            let now = after(self.last, reading.boot);
            return Judged { now, due_until: self.last.wall, is_plausible: false };
        }
        if !self.is_begun || reading.boot.saturating_sub(self.anchor.boot) >= ANCHOR_MAX {
            (self.anchor, self.ahead_max) = (reading, STEP_MAX);
        }
        (self.last, self.is_begun) = (reading, true);
        Judged { now: reading.wall, due_until: reading.wall, is_plausible: true }
    }

    /// Heeds an operator who has confirmed what the clock showed, once. If it shows something else by now, it stays
    /// implausible.
    pub fn heed(&mut self, confirmed: Option<Timestamp>, boot: Duration) {
        if let Some(at) = confirmed.filter(|_| confirmed != self.confirmed) {
            self.confirmed = confirmed;
            (self.anchor, self.ahead_max) = (Reading { wall: at, boot }, STEP_MAX);
        }
    }

    /// Whether the clock was plausible before, so that doubts about it mean a step. A restart must not hide a step, so
    /// it is stored. A clock that is wrong at a start is judged by the next start as well as by this one.
    pub const fn has_begun(&self) -> bool {
        self.is_begun
    }
}

/// The moment of a reading and what has elapsed since.
fn after(reading: Reading, boot: Duration) -> Timestamp {
    let elapsed = micros(boot.saturating_sub(reading.boot));
    Timestamp::from_micros(reading.wall.micros().saturating_add(elapsed)).min(Timestamp::MAX)
}

fn micros_between(from: Timestamp, to: Timestamp) -> i64 {
    to.micros().saturating_sub(from.micros())
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
