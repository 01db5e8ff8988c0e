//! The loaded state of one customer within a batch.

use std::collections::HashMap;
use std::sync::Arc;

use super::customer::{Customer, Profile};
use super::hold::SharedHold;
use super::ids::{HoldId, IncidentId, LotId};
use super::lot::Lot;
use super::time::Timestamp;
use super::work::Entries;

#[derive(Clone, Debug, Default)]
pub struct Entry {
    /// The customer, where it exists. Shared, so that a store can keep it without copying it.
    pub customer: Option<Arc<Customer>>,
    /// Its profile, where it was asked for.
    pub profile: Option<Arc<Profile>>,
    /// The bound that the customer was loaded with: holds that were not loaded fall due no earlier.
    pub loaded_due: Option<Timestamp>,
    holds: HashMap<HoldId, SharedHold>,
    incidents: HashMap<IncidentId, Vec<HoldId>>,
    pub(super) lots: HashMap<LotId, Arc<Lot>>,
    pub(super) work: Entries,
}

impl Entry {
    pub fn hold(&self, id: HoldId) -> Option<&SharedHold> {
        self.holds.get(&id)
    }

    /// The loaded holds, in no order.
    pub fn holds(&self) -> impl Iterator<Item = &SharedHold> {
        self.holds.values()
    }

    pub fn lot(&self, id: LotId) -> Option<&Arc<Lot>> {
        self.lots.get(&id)
    }

    /// The loaded entries of work, and those of this batch, as they are now.
    pub const fn work(&self) -> &Entries {
        &self.work
    }

    /// The holds of an incident, oldest first.
    pub fn incident(&self, incident: &IncidentId) -> impl DoubleEndedIterator<Item = &SharedHold> {
        self.incidents.get(incident).into_iter().flatten().filter_map(|id| self.holds.get(id))
    }

    /// Takes in a hold, in place of an earlier state of it.
    pub(super) fn put_hold(&mut self, hold: SharedHold) {
        let ids = self.incidents.entry(hold.incident.clone()).or_default();
        if let Err(place) = ids.binary_search(&hold.id) {
            ids.insert(place, hold.id);
        }
        self.holds.insert(hold.id, hold);
    }
}
