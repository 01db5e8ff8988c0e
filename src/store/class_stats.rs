//! What incidents of a class were estimated at and charged: what is asked for, and how one class stands in a row.

use crate::ledger::{ClassId, Credits, HoldId, LedgerNo, PostingId, Timestamp};

/// Whose incidents. An incident counts once for each class that its settlements name, whatever their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStatsFilter {
    /// Of which ledger.
    pub ledger: LedgerNo,
    /// Of one class; of all without.
    pub class: Option<ClassId>,
    /// With holds made at or after.
    pub from: Option<Timestamp>,
    /// With holds made before.
    pub until: Option<Timestamp>,
}

impl ClassStatsFilter {
    /// The ids between which the holds lie, the second excluded where `until` is given: ids carry the time.
    pub fn ids(&self) -> (HoldId, HoldId) {
        let at = |time: Timestamp| HoldId::from_uuid(PostingId::new(time, 0, 0).uuid());
        let first = self.from.map_or(HoldId::from_uuid(uuid::Uuid::nil()), at);
        (first, self.until.map_or(HoldId::from_uuid(uuid::Uuid::max()), at))
    }
}

/// The settled incidents of a class, direct charges included. Percentiles are by nearest rank: the least value that at
/// least so many incidents do not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStats {
    /// The class; `None` for incidents without one.
    pub class: Option<ClassId>,
    /// How many.
    pub incidents: u64,
    /// What they were estimated at, all together.
    pub estimated: Credits,
    /// What they were charged, all together.
    pub charged: Credits,
    /// The 50th, 80th and 95th percentile of what one was charged.
    pub charged_percentiles: [Credits; 3],
    /// Those with an estimate of more than 0: what follows is of these alone.
    pub with_estimate: u64,
    /// Those that were charged more than their estimate.
    pub over_estimate: u64,
    /// The 50th, 80th and 95th percentile of charged by estimated, in ten-thousandths, rounded half up; `None` where
    /// none has an estimate.
    pub ratio_percentiles: Option<[i64; 3]>,
}

/// The percentiles, in hundredths.
pub const PERCENTILES: [i64; 3] = [50, 80, 95];
