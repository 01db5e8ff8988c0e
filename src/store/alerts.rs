//! The thresholds that a ledger gives to customers without their own, as they are set and stored.

use crate::ledger::alert::DefaultAlerts;
use crate::ledger::{LedgerNo, RequestKey, Timestamp};

/// Thresholds to be given to a ledger's customers without their own.
#[derive(Clone, Debug)]
pub struct NewDefaultAlerts {
    /// The ledger.
    pub ledger: LedgerNo,
    /// The id that makes the command repeatable, in its ledger.
    pub request: RequestKey,
    /// What holds from now on.
    pub default: DefaultAlerts,
}

/// What came of setting them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAlertsSet {
    /// They were set, now or by this very request before (`replayed`).
    Set {
        /// True for a repeat.
        replayed: bool,
    },
    /// The request id set others.
    RequestIdReused,
}

/// A ledger's thresholds as they were once set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDefaultAlerts {
    /// The request that set them.
    pub request: RequestKey,
    /// When.
    pub set_at: Timestamp,
    /// What held from then on.
    pub default: DefaultAlerts,
}
