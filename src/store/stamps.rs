//! The stamps of an engine with one writer, and the watermark that its readers rely on.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::Timestamp;

/// Gives each batch a stamp later than all before, and readers a watermark that no later batch undercuts. The writing
/// side and the reading side each have a clone of the same state.
#[derive(Clone, Debug, Default)]
pub struct Stamps {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The latest time that was given to a stored batch or promised to a reader.
    last: Timestamp,
    /// The stamp of the batch that is under way: whether it is stored is still open.
    open: Option<Timestamp>,
}

impl Stamps {
    /// Continues after `last`.
    #[must_use]
    pub fn after(last: Timestamp) -> Self {
        Self { state: Arc::new(Mutex::new(State { last, open: None })) }
    }

    /// The stamp of a batch that begins: `clock`, or just after the last stamp where the clock is behind.
    pub fn begin(&self, clock: Timestamp) -> Timestamp {
        let mut state = self.lock();
        let stamp = clock.max(Timestamp::from_micros(state.last.micros().saturating_add(1)));
        // A batch that is not stored uses up no stamp.
        state.open = Some(stamp);
        stamp
    }

    /// The open batch is stored.
    pub fn stored(&self) {
        let mut state = self.lock();
        if let Some(stamp) = state.open.take() {
            state.last = state.last.max(stamp);
        }
    }

    /// The open batch is not stored.
    pub fn abandoned(&self) {
        self.lock().open = None;
    }

    /// The latest time, at most `now`, up to which nothing more will be stored.
    pub fn watermark(&self, now: Timestamp) -> Timestamp {
        let mut state = self.lock();
        let before_open =
            state.open.map_or(Timestamp::MAX, |open| Timestamp::from_micros(open.micros().saturating_sub(1)));
        let watermark = now.min(before_open);
        state.last = state.last.max(watermark);
        watermark
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn stamps_rise_though_the_clock_does_not() {
        let stamps = Stamps::after(at(10));
        assert_eq!(stamps.begin(at(5)), at(11));
        stamps.stored();
        assert_eq!(stamps.begin(at(5)), at(12));
        stamps.abandoned();
        assert_eq!(stamps.begin(at(5)), at(12));
        stamps.stored();
        assert_eq!(stamps.begin(at(90)), at(90));
    }

    #[test]
    fn nothing_is_stored_at_or_before_a_watermark() {
        let stamps = Stamps::after(at(10));
        assert_eq!(stamps.begin(at(20)), at(20));
        assert_eq!(stamps.watermark(at(30)), at(19));
        stamps.stored();
        assert_eq!(stamps.watermark(at(30)), at(30));
        assert_eq!(stamps.begin(at(25)), at(31));
        assert_eq!(stamps.watermark(at(30)), at(30));
    }
}
