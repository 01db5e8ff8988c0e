//! Finds request ids that are certainly new, so that most commands need no look-up in the journal.
//!
//! Callers are asked for UUIDs that rise with time (version 7). Every stored id is at or below the floor, at or above
//! the ceiling, or among the latest ones, which are remembered. So an id between floor and ceiling that is not
//! remembered is new. Repeated and late ids, texts and random UUIDs are looked up as before. The unique index of the
//! journal is the final guard.

use std::collections::HashSet;

use uuid::Uuid;

use super::connection::Statements;
use crate::ledger::{RequestKey, Timestamp};
use crate::store::error::StoreError;
use crate::store::sql::row::RequestColumn;

/// Ids in a generation. Ids older than the remembered ones are looked up; two generations take at most 2 MB.
const GENERATION_MAX: usize = 16_384;
/// An id that claims a time later than this from now is random, or comes from a wrong clock. It lowers the ceiling;
/// as a floor, it would be above all ids to come.
const AHEAD_SECONDS: i64 = 3_600;

#[derive(Debug)]
pub(super) struct NewRequests {
    floor: Uuid,
    ceiling: Uuid,
    young: HashSet<Uuid>,
    old: HashSet<Uuid>,
    /// The largest id in `young`, and in `old`.
    largest: [Uuid; 2],
}

impl Default for NewRequests {
    /// No id is certainly new.
    fn default() -> Self {
        let (young, old) = (HashSet::new(), HashSet::new());
        Self { floor: Uuid::max(), ceiling: Uuid::nil(), young, old, largest: [Uuid::nil(); 2] }
    }
}

impl NewRequests {
    /// Finds floor and ceiling of the stored ids.
    pub fn read(statements: Statements<'_>, now: Timestamp) -> Result<Self, StoreError> {
        let ahead = latest(now);
        let bound = |sql: &str, otherwise: Uuid| {
            let found = statements.first(sql, [ahead.as_bytes()], |row| row.request(0))?.flatten();
            let found = found.as_ref().map(|found: &RequestColumn| found.key("a posting")).transpose()?;
            // Texts sort before all UUIDs, so if a text is found there is no UUID on this side.
            Ok::<_, StoreError>(match found {
                Some(RequestKey::Uuid(id)) => id,
                Some(RequestKey::Text(_)) | None => otherwise,
            })
        };
        let floor = bound(
            "SELECT request
             FROM posting
             WHERE request IS NOT NULL
               AND request <= ?
             ORDER BY request DESC
             LIMIT 1",
            Uuid::nil(),
        )?;
        let ceiling = bound(
            "SELECT request
             FROM posting
             WHERE request IS NOT NULL
               AND request > ?
             ORDER BY request
             LIMIT 1",
            Uuid::max(),
        )?;
        Ok(Self { floor, ceiling, ..Self::default() })
    }

    /// True where no posting of any customer has this id.
    pub fn is_new(&self, request: &RequestKey) -> bool {
        match request {
            RequestKey::Uuid(id) => {
                self.floor < *id && *id < self.ceiling && !self.young.contains(id) && !self.old.contains(id)
            }
            RequestKey::Text(_) => false,
        }
    }

    /// True once time has reached the ceiling: from there on every id would have to be looked up.
    pub fn is_outrun(&self, now: Timestamp) -> bool {
        self.ceiling < Uuid::max() && self.ceiling <= latest(now)
    }

    /// Records an id that was just stored.
    pub fn stored(&mut self, request: &RequestKey, now: Timestamp) {
        let RequestKey::Uuid(id) = request else { return };
        if *id > latest(now) {
            self.ceiling = self.ceiling.min(*id);
        } else if self.floor < *id && *id < self.ceiling {
            if self.young.len() >= GENERATION_MAX {
                self.floor = self.floor.max(self.largest[1]);
                self.old = std::mem::take(&mut self.young);
                self.largest = [Uuid::nil(), self.largest[0]];
            }
            self.young.insert(*id);
            self.largest[0] = self.largest[0].max(*id);
        }
    }
}

/// The largest id that counts as a time.
fn latest(now: Timestamp) -> Uuid {
    let millis = now.plus_seconds(AHEAD_SECONDS).micros().div_euclid(1_000);
    let millis = u128::from(u64::try_from(millis).unwrap_or(0));
    Uuid::from_u128((millis << 80) | ((1 << 80) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);

    fn id(millis_after: i64, rest: u128) -> RequestKey {
        let millis = u128::try_from(NOW.micros() / 1_000 + millis_after).unwrap();
        RequestKey::Uuid(Uuid::from_u128((millis << 80) | (7 << 76) | rest))
    }

    fn empty() -> NewRequests {
        NewRequests { floor: Uuid::nil(), ceiling: Uuid::max(), ..NewRequests::default() }
    }

    #[test]
    fn what_was_stored_is_never_new_again() {
        let mut ids = empty();
        let count = i64::try_from(3 * GENERATION_MAX).unwrap();
        // Out of order by up to 100 ms, as with concurrent callers.
        for nth in 0..count {
            let id = id(nth ^ 0x55, 1);
            assert!(ids.is_new(&id), "{nth}");
            ids.stored(&id, NOW);
            assert!(!ids.is_new(&id), "{nth}");
        }
        for nth in 0..count {
            assert!(!ids.is_new(&id(nth ^ 0x55, 1)), "{nth}");
        }
        assert!(ids.is_new(&id(count + 200, 1)));
        // A late id is not new either: it may be among the forgotten ones.
        assert!(!ids.is_new(&id(5, 2)));
        assert!(ids.young.len() + ids.old.len() <= 2 * GENERATION_MAX);
    }

    #[test]
    fn texts_and_what_is_no_time_are_looked_up() {
        let mut ids = empty();
        let text = RequestKey::parse("order 17").unwrap();
        ids.stored(&text, NOW);
        assert!(!ids.is_new(&text));
        // An id of tomorrow lowers the ceiling and does not raise the floor.
        let ahead = id(86_400_000, 1);
        for _ in 0..2 {
            ids.stored(&ahead, NOW);
        }
        assert!(!ids.is_new(&ahead) && !ids.is_new(&id(86_400_001, 1)));
        assert!(ids.is_new(&id(1, 1)) && ids.is_new(&id(86_399_999, 1)));
        assert!(!ids.is_outrun(NOW) && ids.is_outrun(NOW.plus_seconds(86_400)));
    }
}
