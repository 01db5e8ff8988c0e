//! Statistics by class of incident: what incidents were estimated at, and what they were charged.

use crate::ledger::{ClassId, Credits, HoldId, LedgerNo, PostingId, Timestamp};

/// Which incidents to count. An incident counts once for each class that its settlements name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStatsFilter {
    pub ledger: LedgerNo,
    /// One class; `None` for all classes.
    pub class: Option<ClassId>,
    /// Holds made at or after this time.
    pub from: Option<Timestamp>,
    /// Holds made before this time.
    pub until: Option<Timestamp>,
}

impl ClassStatsFilter {
    /// The range of hold ids; the end is excluded where `until` is given. Ids carry the time at which the hold was
    /// made.
    pub fn ids(&self) -> (HoldId, HoldId) {
        let at = |time: Timestamp| HoldId::from_uuid(PostingId::new(time, 0, 0).uuid());
        let first = self.from.map_or(HoldId::from_uuid(uuid::Uuid::nil()), at);
        (first, self.until.map_or(HoldId::from_uuid(uuid::Uuid::max()), at))
    }
}

/// The settled incidents of a class, direct charges included. Percentiles are by nearest rank: the smallest value
/// that at least that share of the incidents does not exceed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassStats {
    /// The class; `None` for incidents without one.
    pub class: Option<ClassId>,
    pub incidents: u64,
    /// The sum of the estimates.
    pub estimated: Credits,
    /// The sum of the charges.
    pub charged: Credits,
    /// The 50th, 80th and 95th percentile of the charge of one incident.
    pub charged_percentiles: [Credits; 3],
    /// Incidents with an estimate above 0. The fields below count only these.
    pub with_estimate: u64,
    /// Incidents that were charged more than their estimate.
    pub over_estimate: u64,
    /// The 50th, 80th and 95th percentile of charge / estimate, in ten-thousandths, rounded half up. `None` where no
    /// incident has an estimate.
    pub ratio_percentiles: Option<[i64; 3]>,
}

/// The percentiles, in percent.
pub const PERCENTILES: [i64; 3] = [50, 80, 95];
