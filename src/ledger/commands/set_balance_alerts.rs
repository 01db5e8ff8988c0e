//! SetBalanceAlerts: changes the balances at which a customer is warned.

use super::prelude::*;
use crate::ledger::alert::Alerts;
use crate::ledger::change::Change;

/// Changes the thresholds of a customer. It moves nothing. Where the balance is above all thresholds now, the recovery
/// is announced to a customer who was warned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetBalanceAlerts {
    /// Its own thresholds from now on, maybe none at all; `None` for those of its ledger.
    pub alerts: Option<Arc<Alerts>>,
}
hashed!(SetBalanceAlerts { 1 => alerts, + 2 => by, + 60 => reason });

impl CustomerCommand for SetBalanceAlerts {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let mut draft = at.draft();
        draft.alerts = self.alerts.as_ref().or_else(|| at.book.default_alerts(at.customer.ledger)).cloned();
        draft.detail.alerts = self.alerts.clone().map_or(Change::Clear, Change::Set);
        Ok(draft)
    }
}
