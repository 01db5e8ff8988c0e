//! Erasing what was said.

use std::sync::Arc;

use super::State;
use crate::ledger::{CustomerId, CustomerKey, LedgerNo, Timestamp};
use crate::store::words::{Erased, Rewritten, Walk};
use crate::store::{Recorded, StoreError};

impl State {
    /// Erases what was said about a customer.
    pub(super) fn erase(
        &mut self,
        ledger: LedgerNo,
        id: &CustomerId,
        at: Timestamp,
    ) -> Result<Erased, StoreError> {
        let key = CustomerKey::of(ledger, id);
        let mut walk = Walk::new(at);
        if self.customers.get(&key).is_none_or(|found| found.ledger != ledger || found.id != *id) {
            return Ok(walk.erased);
        }
        let history: Vec<Recorded> = self.history(key).rev().cloned().collect();
        for recorded in history {
            if let Some(rewritten) = walk.back_to(&recorded)? {
                self.rewrite(&recorded, rewritten);
            }
        }
        Ok(walk.erased)
    }

    fn rewrite(&mut self, recorded: &Recorded, rewritten: Rewritten) {
        for hold in rewritten.holds() {
            self.holds.insert(hold.id, Arc::new(hold.clone()));
        }
        if let Some((hold, work)) = rewritten.work() {
            self.work.insert((hold, work.id), Arc::new(work.clone()));
        }
        if let Some(profile) = rewritten.profile() {
            self.profiles.insert(rewritten.posting.customer, profile.clone());
        }
        let posting = Arc::new(rewritten.posting);
        let places = self
            .journal
            .values_mut()
            .chain(self.histories.values_mut())
            .flatten()
            .chain(self.requests.values_mut())
            .chain(self.orders.values_mut());
        for place in places.filter(|place| place.posting.id == recorded.posting.id) {
            place.posting = Arc::clone(&posting);
        }
    }
}
