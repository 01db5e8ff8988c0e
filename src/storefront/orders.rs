//! Changes kept orders: several changes of one storefront in one transaction.
//!
//! # Invariants
//! - A storefront's rows change only under the lock of its room, whose counts are true at each commit.
//! - A name finds one order. Where a delivery names two, they are one order, and become one row.
//! - What followed from an older revision of a row is not put over a newer one ([`Changed::Stale`]).
//!
//! # Cost
//! A bounded number of statements for up to 64 changes. What waits of one storefront is bounded ([`WAITING_MAX`],
//! [`PAYLOAD_BYTES_MAX`]); an order that is settled takes its row, and no room.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::kept::{Kept, Place, Row, Unread, Waits};
use super::order::Order;
use crate::clock;
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{LedgerNo, OpenText, PostingId, Storefront, Text, Timestamp};
use crate::store::{KeptOrder, OrderState, OrderStore, OrderTx, Room, StoreError};

/// Orders of one storefront that are not settled. One more is refused; those that are kept still change.
pub const WAITING_MAX: u64 = 10_000;
/// Bytes of the deliveries of one storefront that could not be read and wait.
pub const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
/// Attempts at a transaction that clashes with another server's.
const ATTEMPTS: usize = 4;

/// A change of a storefront's orders.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds facts to an order, which is made where no name finds it.
    Tell(Box<Order>),
    /// Notes that a row waits until this agreement names a customer.
    Depend { agreement: OpenText, row: Uuid },
    /// Keeps a delivery that could not be read.
    Unread { topic: OpenText, payload: Bytes, why: Text },
    /// Puts a row in place of the revision that it was read at.
    Put { place: Place, kept: Box<Kept> },
    /// The same, and erases the payload.
    Resolve { place: Place, kept: Box<Kept> },
}

/// What came of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    /// The row as it is now.
    Row(Box<Row>),
    /// It was known before, or is gone.
    Nothing,
    /// The storefront has no room for another row.
    Full,
    /// Somebody else has changed the row: nothing was done. The row as it is now, if it is there.
    Stale(Option<Box<Row>>),
}

/// The kept orders of all storefronts. Cheap to clone.
#[derive(Clone)]
pub struct Orders {
    store: Arc<dyn OrderStore>,
}

impl std::fmt::Debug for Orders {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Orders").finish_non_exhaustive()
    }
}

impl Orders {
    #[must_use]
    pub fn new(store: Arc<dyn OrderStore>) -> Self {
        Self { store }
    }

    /// Makes changes of one storefront, all in one transaction, and says what came of each.
    ///
    /// # Errors
    /// [`StoreError`]: none of them was made, unless the error says that nobody knows.
    pub async fn change(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        changes: &[Change],
    ) -> Result<Vec<Changed>, StoreError> {
        let mut attempt = 1;
        loop {
            let changed = self.try_change(ledger, storefront, changes).await;
            match changed {
                Err(StoreError::Clash(_)) if attempt < ATTEMPTS => attempt = attempt.saturating_add(1),
                changed => return changed,
            }
        }
    }

    async fn try_change(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        changes: &[Change],
    ) -> Result<Vec<Changed>, StoreError> {
        let mut tx = self.store.begin(clock::now()).await?;
        let room = tx.room(ledger, storefront).await?;
        let mut work = Work::load(&mut *tx, ledger, storefront, room, changes).await?;
        let changed = changes.iter().map(|change| work.change(change)).collect();
        work.store(&mut *tx).await?;
        tx.commit().await?;
        Ok(changed)
    }

    /// A row by its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn row(&self, ledger: LedgerNo, id: Uuid) -> Result<Option<Row>, StoreError> {
        let mut tx = self.store.begin(clock::now()).await?;
        let found = match tx.order(ledger, id).await? {
            Some(found) => Some(read(&mut *tx, found).await?),
            None => None,
        };
        tx.commit().await?;
        Ok(found)
    }

    /// The payload of a delivery that could not be read.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn payload(&self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        let mut tx = self.store.begin(clock::now()).await?;
        let payload = tx.payload(id).await?;
        tx.commit().await?;
        Ok(payload)
    }

    /// Whether any of an order's names finds a row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn knows(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &Order,
    ) -> Result<bool, StoreError> {
        let names: Vec<Text> = order.names.keys().map(|name| name.0.clone()).collect();
        let mut tx = self.store.begin(clock::now()).await?;
        let found = tx.named(ledger, storefront, &names).await?;
        tx.commit().await?;
        Ok(!found.is_empty())
    }

    /// Rows that are due by a time, soonest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn due(&self, until: Timestamp, limit: usize) -> Result<Vec<Row>, StoreError> {
        let mut tx = self.store.begin(clock::now()).await?;
        let mut due = Vec::new();
        for found in tx.due(until, limit).await? {
            let id = found.id;
            match read(&mut *tx, found).await {
                Ok(row) => due.push(row),
                // The others are followed all the same; `creditledger verify` finds it too.
                Err(StoreError::Damaged(error)) => {
                    tracing::error!(%id, %error, "a kept order cannot be read");
                }
                Err(error) => return Err(error),
            }
        }
        tx.commit().await?;
        Ok(due)
    }

    /// Rows that wait for a person, after an id, by id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn waiting(
        &self,
        ledger: LedgerNo,
        storefront: Option<&Storefront>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Row>, StoreError> {
        let mut tx = self.store.begin(clock::now()).await?;
        let found = tx.waiting(ledger, storefront, after, limit).await?;
        tx.commit().await?;
        let read = |found: KeptOrder| {
            Ok(Row { place: Place::of(&found), kept: Kept::of(&found)?, customer_of_agreement: None })
        };
        found.into_iter().map(read).collect()
    }
}

/// Reads a row, with whom its agreement names.
async fn read(tx: &mut dyn OrderTx, found: KeptOrder) -> Result<Row, StoreError> {
    let kept = Kept::of(&found)?;
    let mut customer_of_agreement = None;
    if let (None, Some(agreement)) = (&kept.order.customer, &kept.order.agreement) {
        let names = [agreement.fact.0.clone()];
        for found in tx.named(found.ledger, &found.storefront, &names).await? {
            customer_of_agreement = Kept::of(&found)?.order.customer.map(|told| told.fact);
        }
    }
    Ok(Row { place: Place::of(&found), kept, customer_of_agreement })
}

/// The rows of a transaction while they change.
struct Work<'a> {
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
    async fn load(
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
        let mut names = BTreeSet::new();
        for change in changes {
            match change {
                Change::Tell(order) => names.extend(Row::names(order).cloned()),
                Change::Depend { agreement, .. } => drop(names.insert(agreement.0.clone())),
                Change::Put { place, kept } | Change::Resolve { place, kept } => {
                    // Where the row has become part of another one, its names find that.
                    names.extend(kept.order.names.keys().map(|name| name.0.clone()));
                    if let Some(found) = tx.order(ledger, place.id).await? {
                        work.take_in(&found)?;
                    }
                    if let Change::Resolve { place, .. } = change
                        && let Some(payload) = tx.payload(place.id).await?
                    {
                        work.lengths.insert(place.id, bytes_of(payload.len()));
                    }
                }
                Change::Unread { .. } => {}
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

    fn change(&mut self, change: &Change) -> Changed {
        match change {
            Change::Tell(order) => self.tell(order),
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

    fn tell(&mut self, order: &Order) -> Changed {
        let found: BTreeSet<Uuid> =
            order.names.keys().filter_map(|name| self.by_name.get(&name.0)).copied().collect();
        let mut found = found.into_iter();
        let Some(id) = found.next() else {
            if !self.has_room() {
                return Changed::Full;
            }
            let kept = Kept { order: order.clone(), ..Kept::default() };
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
        let names: Vec<Text> = kept.order.names.keys().map(|name| name.0.clone()).collect();
        self.by_name.extend(names.into_iter().map(|name| (name, id)));
        self.move_to(id, OrderState::Due, self.now);
        self.row(id).map_or(Changed::Nothing, Changed::Row)
    }

    fn depend(&mut self, agreement: &OpenText, row: Uuid) -> Changed {
        let id = self.by_name.get(&agreement.0).copied().unwrap_or_else(|| {
            let mut kept = Kept::default();
            kept.order.names.insert(agreement.clone(), 1);
            self.make(kept, OrderState::Settled)
        });
        let Some((place, kept)) = self.rows.get_mut(&id) else { return Changed::Nothing };
        kept.depend(row);
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

    async fn store(self, tx: &mut dyn OrderTx) -> Result<(), StoreError> {
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
