//! The writing side of the reference engine: what is loaded is all that a customer has, what is appended is kept.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Memory, State};
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{
    Book, Credits, Customer, CustomerId, Hold, HoldId, LedgerNo, Posting, Request, Timestamp,
};
use crate::store::cards::{CardsChanged, catch_up, decide};
use crate::store::nets::changes;
use crate::store::{
    DefaultAlertsSet, Erased, Ledger, LedgerCreated, NewDefaultAlerts, NewLedger, Position, Recorded,
    StoreError, StoredDefaultAlerts, WriteStore,
};

#[async_trait]
impl WriteStore for Memory {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        let state = self.read();
        catch_up(cards, state.card_changes_after(cards.revision()))?;
        let mut book = Book::new(self.stamps.begin(clock), random, Arc::clone(cards));
        let default = |all: &Vec<StoredDefaultAlerts>| Some(Arc::new(all.last()?.default.alerts.clone()));
        let defaults = state.default_alerts.iter().filter_map(|(ledger, all)| Some((*ledger, default(all)?)));
        book.put_default_alerts(Arc::new(defaults.collect()));
        for request in requests {
            let key = request.customer_key();
            if book.entry(key).is_none() {
                if let Some(customer) = state.customers.get(&key) {
                    book.put_customer(Arc::new(customer.clone()));
                }
                if let Some(profile) = state.profiles.get(&key) {
                    book.put_profile(key, profile.clone());
                }
                let own =
                    |hold: &&Arc<Hold>| hold.ledger == request.ledger && hold.customer == request.customer;
                state.holds.values().filter(own).cloned().for_each(|hold| book.put_hold(hold));
            }
            if request.command.keys().work.is_some() {
                let of = |hold: HoldId| book.entry(key).is_some_and(|entry| entry.hold(hold).is_some());
                let own: Vec<_> = state.work.iter().filter(|((hold, _), _)| of(*hold)).collect();
                for ((hold, _), work) in own {
                    book.put_work(key, *hold, Arc::clone(work));
                }
            }
            if let (Some(id), Some(kind)) = (&request.request, request.command.kind())
                && let Some(earlier) = state.requests.get(&(key, kind, id.clone()))
            {
                book.put_request(Arc::clone(&earlier.posting));
            }
            if let Some((storefront, order)) = request.command.keys().order {
                let scope = (request.ledger, storefront.clone(), order.clone());
                if let Some(earlier) = state.orders.get(&scope) {
                    book.put_order(scope, Arc::clone(&earlier.posting));
                }
            }
            let keys = request.command.keys();
            if keys.purchase.is_some() || keys.burned {
                let own = state.lots.values().filter(|(customer, _)| *customer == key);
                own.for_each(|(customer, lot)| {
                    book.put_lot(*customer, Arc::clone(lot), state.unused(lot.id));
                });
            }
        }
        Ok(book)
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        let mut state = self.write();
        // What a database would refuse as a second row of the same key, before anything is changed.
        if let Some(twice) =
            book.journal().iter().find(|posting| state.has_request(posting) || state.has_order(posting))
        {
            self.stamps.abandoned();
            return Err(StoreError::Refused(
                format!("posting {} repeats a request id or an order", twice.id).into(),
            ));
        }
        for posting in book.journal() {
            state.keep(posting)?;
        }
        for customer in book.touched_customers() {
            state.customers.insert(customer.key(), Customer::clone(customer));
        }
        for (customer, lot) in book.touched_lots() {
            state.lots.insert(lot.id, (customer, Arc::clone(lot)));
        }
        for (_, lot, unused) in book.newly_unused() {
            let sum = state.unused(lot).plus(unused);
            let sum = sum.ok_or_else(|| StoreError::Damaged(format!("what left lot {lot} unused")))?;
            state.unused.insert(lot, sum);
        }
        for hold in book.touched_holds() {
            state.holds.insert(hold.id, Arc::clone(hold));
        }
        for (hold, work) in book.touched_work() {
            state.work.insert((hold, work.id), Arc::clone(work));
        }
        self.stamps.stored();
        self.growth.send_modify(|commits| *commits = commits.wrapping_add(1));
        Ok(())
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.stamps.abandoned();
        Ok(())
    }

    async fn create_ledger(&mut self, new: &NewLedger, now: Timestamp) -> Result<LedgerCreated, StoreError> {
        let mut state = self.write();
        let mut ledgers = state.ledgers.values();
        if let Some((ledger, _)) = ledgers.clone().find(|(_, request)| request.as_ref() == Some(&new.request))
        {
            return Ok(if ledger.id == new.id {
                LedgerCreated::Created { ledger: ledger.clone(), replayed: true }
            } else {
                LedgerCreated::RequestIdReused
            });
        }
        if ledgers.any(|(ledger, _)| ledger.id == new.id) {
            return Ok(LedgerCreated::Exists);
        }
        let last = state.ledgers.last_key_value().map_or(0, |(no, _)| no.get());
        let Some(no) = last.checked_add(1).and_then(LedgerNo::new) else { return Ok(LedgerCreated::TooMany) };
        let ledger = Ledger { no, id: new.id.clone(), created_at: now };
        state.ledgers.insert(no, (ledger.clone(), Some(new.request.clone())));
        Ok(LedgerCreated::Created { ledger, replayed: false })
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        let mut state = self.write();
        catch_up(cards, state.card_changes_after(cards.revision()))?;
        let earlier = state.card_changes.iter().find(|change| {
            (change.ledger, change.changed.kind()) == (request.ledger, request.change.kind())
                && change.request == request.request
        });
        let decided = decide(cards, request, earlier.cloned(), now)?;
        if let CardsChanged::Made { change, replayed: false } = &decided {
            catch_up(cards, std::slice::from_ref(change))?;
            state.card_changes.push(change.clone());
        }
        Ok(decided)
    }

    async fn set_default_alerts(
        &mut self,
        new: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        let NewDefaultAlerts { ledger, request, default } = new.clone();
        let mut state = self.write();
        let all = state.default_alerts.entry(ledger).or_default();
        Ok(match all.iter().find(|stored| stored.request == request) {
            Some(stored) if stored.default == default => DefaultAlertsSet::Set { replayed: true },
            Some(_) => DefaultAlertsSet::RequestIdReused,
            None => {
                all.push(StoredDefaultAlerts { request, set_at: now, default });
                DefaultAlertsSet::Set { replayed: false }
            }
        })
    }

    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        self.write().erase(ledger, customer, now)
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

impl State {
    fn has_request(&self, posting: &Posting) -> bool {
        let request = posting.request.clone();
        request.is_some_and(|request| self.requests.contains_key(&(posting.customer, posting.kind, request)))
    }

    fn has_order(&self, posting: &Posting) -> bool {
        let Some(lot) = &posting.detail.lot else { return false };
        let (Some(storefront), Some(order)) = (&lot.storefront, &lot.order) else { return false };
        self.orders.contains_key(&(posting.ledger, storefront.clone(), order.clone()))
    }

    /// Keeps a posting and what follows from it alone.
    fn keep(&mut self, posting: &Arc<Posting>) -> Result<(), StoreError> {
        let position = Position(self.last_position(posting.ledger).0.saturating_add(1));
        let recorded = Recorded { position, posting: Arc::clone(posting) };
        if let Some(request) = &posting.request {
            self.requests.insert((posting.customer, posting.kind, request.clone()), recorded.clone());
        }
        if let Some(lot) = &posting.detail.lot {
            self.lots.insert(lot.id, (posting.customer, Arc::clone(lot)));
            if let (Some(storefront), Some(order)) = (&lot.storefront, &lot.order) {
                self.orders.insert((posting.ledger, storefront.clone(), order.clone()), recorded.clone());
            }
        }
        if posting.detail.created.is_some() || posting.detail.profile.is_some() {
            let profile = posting.detail.profile.as_deref().cloned().unwrap_or_default();
            self.profiles.insert(posting.customer, profile);
        }
        for (account, change) in changes(posting) {
            let balance = self.accounts.entry((posting.ledger, account.to_string())).or_default();
            *balance = balance
                .checked_add(Credits::from_units(change))
                .ok_or_else(|| StoreError::Damaged(format!("the account {account} leaves its bounds")))?;
        }
        self.histories.entry(posting.customer).or_default().push(recorded.clone());
        self.journal.entry(posting.ledger).or_default().push(recorded);
        Ok(())
    }
}
