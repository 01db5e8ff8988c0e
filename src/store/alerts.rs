//! The default alert thresholds of a ledger: they apply to its customers without thresholds of their own.

use crate::ledger::alert::DefaultAlerts;
use crate::ledger::{LedgerNo, RequestKey, Timestamp};

/// New default thresholds of a ledger.
#[derive(Clone, Debug)]
pub struct NewDefaultAlerts {
    pub ledger: LedgerNo,
    /// The idempotency key, unique in the ledger.
    pub request: RequestKey,
    pub default: DefaultAlerts,
}

/// The result of setting default thresholds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultAlertsSet {
    /// They were set now, or earlier by the same request (`replayed`).
    Set {
        /// True where an earlier request with this id did it.
        replayed: bool,
    },
    /// The request id was used before with other thresholds.
    RequestIdReused,
}

/// One version of a ledger's default thresholds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredDefaultAlerts {
    pub request: RequestKey,
    pub set_at: Timestamp,
    pub default: DefaultAlerts,
}
