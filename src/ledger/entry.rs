//! The loaded state of one customer within a batch.

use std::collections::HashMap;
use std::sync::Arc;

use super::customer::{Customer, Profile};
use super::hold::SharedHold;
use super::ids::{HoldId, IncidentId, LotId};
use super::lot::Lot;
use super::posting::Posting;
use super::time::Timestamp;
use super::unused::Unused;
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
    /// What left lots unused: all of it for `lots`, for others what this batch has seen.
    pub(super) unused: HashMap<LotId, Unused>,
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

    /// All that left a loaded lot unused.
    pub fn unused(&self, id: LotId) -> Unused {
        self.unused.get(&id).copied().unwrap_or_default()
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

    /// Adds what left lots unused with a posting.
    pub(super) fn count_unused(&mut self, posting: &Posting) -> Result<(), &'static str> {
        for (lot, unused) in &posting.detail.unused {
            let counted = self.unused.entry(*lot).or_default();
            *counted = counted.plus(unused).ok_or("what left a lot unused leaves its bounds")?;
        }
        Ok(())
    }
}
