//! The rows of a transaction while they change: loads what changes name, makes the changes, and stores what they touched.
//!
//! # Cost
//! The rows of all changes are loaded by at most four statements of the store, and put by one.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use uuid::Uuid;

use super::change::{Change, Changed, ORDER_BYTES_MAX, PAYLOAD_BYTES_MAX, Telling, WAITING_MAX};
use super::kept::{Kept, Place, Row, Unread, Waits};
use super::order::{Order, Version};
use super::others::{self, recall, shelf_of, version_of};
use crate::clock;
use crate::ledger::codec::encode;
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{LedgerNo, OpenText, PostingId, Storefront, Text, Timestamp};
use crate::store::{KeptOrder, OrderState, OrderTx, Room, StoreError};

/// The rows of a transaction while they change.
pub struct Work<'a> {
    now: Timestamp,
    random: u64,
    made: u32,
    ledger: LedgerNo,
    storefront: &'a Storefront,
    rows: BTreeMap<Uuid, (Place, Kept)>,
    by_name: BTreeMap<Text, Uuid>,
    room_before: Room,
    room: Room,
    touched: BTreeSet<Uuid>,
    deleted: BTreeSet<Uuid>,
    payloads: Vec<(Uuid, Option<Bytes>)>,
    /// Bytes of the payloads that may be erased.
    lengths: BTreeMap<Uuid, u64>,
}

impl<'a> Work<'a> {
    /// Loads the rows that changes name.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(
        tx: &mut dyn OrderTx,
        ledger: LedgerNo,
        storefront: &'a Storefront,
        room: Room,
        changes: &[Change],
    ) -> Result<Self, StoreError> {
        let random = clock::random().map_err(StoreError::failed)?;
        let mut work = Work {
            now: tx.now(),
            random,
            made: 0,
            ledger,
            storefront,
            rows: BTreeMap::new(),
            by_name: BTreeMap::new(),
            room_before: room,
            room,
            touched: BTreeSet::new(),
            deleted: BTreeSet::new(),
            payloads: Vec::new(),
            lengths: BTreeMap::new(),
        };
        let (mut names, mut ids) = (BTreeSet::new(), Vec::new());
        for change in changes {
            match change {
                Change::Tell(telling) | Change::TellKnown(telling) => {
                    names.extend(Row::names(&telling.order).cloned());
                    if telling.leaves_out {
                        names.extend(telling.order.names.keys().map(|name| shelf_of(&name.0)));
                    }
                }
                Change::Depend { agreement, .. } => drop(names.insert(agreement.0.clone())),
                Change::Put { place, .. } | Change::Resolve { place, .. } => ids.push(place.id),
                Change::Unread { .. } => {}
            }
        }
        if !ids.is_empty() {
            for found in tx.orders(ledger, &ids).await? {
                work.take_in(&found)?;
            }
        }
        for change in changes {
            if let Change::Put { place, kept } | Change::Resolve { place, kept } = change
                && !work.rows.contains_key(&place.id)
            {
                // Where the row has become part of another one, its names find that.
                names.extend(kept.order.names.keys().map(|name| name.0.clone()));
            }
            if let Change::Resolve { place, .. } = change
                && let Some(payload) = tx.payload(place.id).await?
            {
                work.lengths.insert(place.id, bytes_of(payload.len()));
            }
        }
        let names: Vec<Text> = names.into_iter().collect();
        if !names.is_empty() {
            for found in tx.named(ledger, storefront, &names).await? {
                work.take_in(&found)?;
            }
        }
        // An order that was found may name an agreement that the delivery does not.
        let is_unknown = |name: &Text, work: &Self| !work.by_name.contains_key(name);
        let agreements = work.rows.values().filter_map(|(_, kept)| kept.order.agreement.as_ref());
        let agreements: Vec<Text> =
            agreements.map(|told| told.fact.0.clone()).filter(|name| is_unknown(name, &work)).collect();
        if !agreements.is_empty() {
            for found in tx.named(ledger, storefront, &agreements).await? {
                work.take_in(&found)?;
            }
        }
        Ok(work)
    }

    fn take_in(&mut self, found: &KeptOrder) -> Result<(), StoreError> {
        if self.rows.contains_key(&found.id) {
            return Ok(());
        }
        self.by_name.extend(found.names.iter().map(|name| (name.clone(), found.id)));
        self.rows.insert(found.id, (Place::of(found), Kept::of(found)?));
        Ok(())
    }

    /// Makes a change, and says what came of it.
    pub fn change(&mut self, change: &Change) -> Changed {
        match change {
            Change::Tell(telling) => self.tell(telling),
            Change::TellKnown(telling) => self.tell_known(telling),
            Change::Depend { agreement, row } => self.depend(agreement, *row),
            Change::Unread { topic, payload, why } => self.keep(topic, payload, why),
            Change::Put { place, kept } => self.put(place, kept),
            Change::Resolve { place, kept } => {
                let changed = self.put(place, kept);
                if let (Changed::Row(_), Some(bytes)) = (&changed, self.lengths.remove(&place.id)) {
                    self.room.payload_bytes = self.room.payload_bytes.saturating_sub(bytes);
                    self.payloads.push((place.id, None));
                }
                changed
            }
        }
    }

    fn has_room(&self) -> bool {
        self.room.waiting.saturating_add(self.room.due) < WAITING_MAX
    }

    fn tell(&mut self, telling: &Telling) -> Changed {
        let order = &telling.order;
        let found = self.found(order);
        if self.is_too_large(order, &found) {
            return Changed::TooLarge;
        }
        let mut found = found.into_iter();
        let Some(id) = found.next() else {
            if !self.has_room() {
                return Changed::Full;
            }
            let mut kept = Kept { order: order.clone(), ..Kept::default() };
            if let Some(newer) = self.noted(order) {
                recall(&mut kept.order, newer);
            }
            kept.fix(telling.fixed.as_ref());
            let id = self.make(kept, OrderState::Due);
            return self.row(id).map_or(Changed::Nothing, Changed::Row);
        };
        let mut changed = false;
        for other in found {
            changed = true;
            if let Some((_, kept)) = self.drop_row(other)
                && let Some((_, into)) = self.rows.get_mut(&id)
            {
                into.merge(kept);
            }
        }
        let Some((_, kept)) = self.rows.get_mut(&id) else { return Changed::Nothing };
        let names_before = kept.order.names.len();
        changed |= kept.order.join(order);
        // An earlier version may have recorded it under a name that is new.
        kept.is_seeded &= kept.order.names.len() == names_before;
        if !changed {
            return Changed::Nothing;
        }
        kept.tries = 0;
        kept.fix(telling.fixed.as_ref());
        let names: Vec<Text> = kept.order.names.keys().map(|name| name.0.clone()).collect();
        self.by_name.extend(names.into_iter().map(|name| (name, id)));
        self.move_to(id, OrderState::Due, self.now);
        self.row(id).map_or(Changed::Nothing, Changed::Row)
    }

    /// Adds facts to an order that is known. Of another one it is noted how new it was.
    fn tell_known(&mut self, telling: &Telling) -> Changed {
        let order = &telling.order;
        if !self.found(order).is_empty() {
            return self.tell(telling);
        }
        if let Some(version) = version_of(order).filter(|_| telling.leaves_out) {
            for name in order.names.keys() {
                self.note(&name.0, version);
            }
        }
        Changed::NotKept
    }

    fn note(&mut self, name: &Text, version: Version) {
        let shelf = shelf_of(name);
        let id = self.by_name.get(&shelf).copied().unwrap_or_else(|| {
            let mut kept = Kept::default();
            kept.order.names.insert(OpenText(shelf), 1);
            self.make(kept, OrderState::Settled)
        });
        if let Some((place, kept)) = self.rows.get_mut(&id)
            && others::note(&mut kept.others, name, version)
        {
            let (state, due_at) = (place.state, place.due_at);
            self.move_to(id, state, due_at);
        }
    }

    /// How new an order was when it was told without a product of credits, and not kept.
    fn noted(&self, order: &Order) -> Option<Version> {
        let noted = |name: &OpenText| {
            let shelf = self.by_name.get(&shelf_of(&name.0))?;
            others::noted(&self.rows.get(shelf)?.1.others, &name.0)
        };
        order.names.keys().filter_map(noted).max()
    }

    /// The rows that an order's names find.
    fn found(&self, order: &Order) -> BTreeSet<Uuid> {
        order.names.keys().filter_map(|name| self.by_name.get(&name.0)).copied().collect()
    }

    /// Whether an order with what is told of it has too many facts.
    fn is_too_large(&self, told: &Order, found: &BTreeSet<Uuid>) -> bool {
        let known = || found.iter().filter_map(|id| self.rows.get(id)).map(|(_, kept)| &kept.order);
        let bytes = |order: &Order| encode(order).len();
        // Together they are no larger than this.
        if known().fold(bytes(told), |sum, order| sum.saturating_add(bytes(order))) <= ORDER_BYTES_MAX {
            return false;
        }
        let mut joined = told.clone();
        for order in known() {
            joined.join(order);
        }
        bytes(&joined) > ORDER_BYTES_MAX
    }

    fn depend(&mut self, agreement: &OpenText, row: Uuid) -> Changed {
        let id = self.by_name.get(&agreement.0).copied().unwrap_or_else(|| {
            let mut kept = Kept::default();
            kept.order.names.insert(agreement.clone(), 1);
            self.make(kept, OrderState::Settled)
        });
        let Some((place, kept)) = self.rows.get_mut(&id) else { return Changed::Nothing };
        if !kept.depend(row) {
            return Changed::Full;
        }
        // It may have named its customer meanwhile.
        let state = if kept.order.customer.is_some() { OrderState::Due } else { place.state };
        self.move_to(id, state, self.now);
        self.row(id).map_or(Changed::Nothing, Changed::Row)
    }

    fn keep(&mut self, topic: &OpenText, payload: &Bytes, why: &Text) -> Changed {
        let bytes = self.room.payload_bytes.saturating_add(bytes_of(payload.len()));
        if !self.has_room() || bytes > PAYLOAD_BYTES_MAX {
            return Changed::Full;
        }
        self.room.payload_bytes = bytes;
        let kept = Kept {
            unread: Some(Unread { topic: topic.clone(), at: self.now }),
            waits: Some(Waits { event: PaymentEvent::Unreadable, why: why.clone(), since: self.now }),
            ..Kept::default()
        };
        let id = self.make(kept, OrderState::Waiting);
        self.payloads.push((id, Some(payload.clone())));
        self.row(id).map_or(Changed::Nothing, Changed::Row)
    }

    fn put(&mut self, place: &Place, kept: &Kept) -> Changed {
        match self.rows.get_mut(&place.id) {
            Some((now, known)) if now.revision == place.revision => *known = kept.clone(),
            Some(_) => return Changed::Stale(self.row(place.id)),
            None => {
                // It has become part of another row, which has to be looked at: the ledger may show more than that knows.
                let heir = kept.order.names.keys().find_map(|name| self.by_name.get(&name.0)).copied();
                let Some(heir) = heir else { return Changed::Stale(None) };
                self.move_to(heir, OrderState::Due, self.now);
                return Changed::Stale(self.row(heir));
            }
        }
        self.move_to(place.id, place.state, place.due_at);
        self.row(place.id).map_or(Changed::Nothing, Changed::Row)
    }

    fn make(&mut self, kept: Kept, state: OrderState) -> Uuid {
        let id = PostingId::new(self.now, self.made, self.random).uuid();
        self.made = self.made.saturating_add(1);
        let place = Place {
            id,
            ledger: self.ledger,
            storefront: self.storefront.clone(),
            state: OrderState::Settled,
            due_at: self.now,
            revision: 0,
        };
        self.by_name.extend(kept.order.names.keys().map(|name| (name.0.clone(), id)));
        self.rows.insert(id, (place, kept));
        self.move_to(id, state, self.now);
        id
    }

    /// Gives a row its state, and counts it.
    fn move_to(&mut self, id: Uuid, state: OrderState, due_at: Timestamp) {
        let Some((place, _)) = self.rows.get_mut(&id) else { return };
        let before = std::mem::replace(&mut place.state, state);
        place.due_at = due_at;
        place.revision = place.revision.saturating_add(1);
        self.touched.insert(id);
        self.count(before, false);
        self.count(state, true);
    }

    fn count(&mut self, state: OrderState, more: bool) {
        let counter = match state {
            OrderState::Settled => return,
            OrderState::Due => &mut self.room.due,
            OrderState::Waiting => &mut self.room.waiting,
        };
        *counter = if more { counter.saturating_add(1) } else { counter.saturating_sub(1) };
    }

    fn drop_row(&mut self, id: Uuid) -> Option<(Place, Kept)> {
        let gone = self.rows.remove(&id)?;
        self.count(gone.0.state, false);
        self.by_name.retain(|_, named| *named != id);
        self.touched.remove(&id);
        self.deleted.insert(id);
        Some(gone)
    }

    fn row(&self, id: Uuid) -> Option<Box<Row>> {
        let (place, kept) = self.rows.get(&id)?;
        let agreement = kept.order.agreement.as_ref().filter(|_| kept.order.customer.is_none());
        let shared =
            agreement.and_then(|told| self.by_name.get(&told.fact.0)).and_then(|id| self.rows.get(id));
        let customer_of_agreement =
            shared.and_then(|(_, kept)| kept.order.customer.as_ref()).map(|told| told.fact.clone());
        Some(Box::new(Row { place: place.clone(), kept: kept.clone(), customer_of_agreement }))
    }

    /// Stores what was touched.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn store(self, tx: &mut dyn OrderTx) -> Result<(), StoreError> {
        for id in &self.deleted {
            tx.delete(*id).await?;
        }
        let touched = self.touched.iter().filter_map(|id| self.rows.get(id));
        let rows: Vec<KeptOrder> = touched.map(|(place, kept)| kept.row(place)).collect();
        if !rows.is_empty() {
            tx.put(&rows).await?;
        }
        for (id, payload) in &self.payloads {
            tx.put_payload(*id, payload.as_deref()).await?;
        }
        if self.room != self.room_before {
            tx.put_room(self.ledger, self.storefront, self.room).await?;
        }
        Ok(())
    }
}

fn bytes_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
