//! Orders of storefronts, in the reference engine. Changes are made in place, and undone where a transaction is
//! dropped.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::ledger::{LedgerNo, Storefront, Text, Timestamp};
use crate::store::error::{Readable, StoreError};
use crate::store::orders::{
    KeptOrder, OrderState, OrderStore, OrderTx, OrdersMark, Room, StorefrontRoom, WithPayload, check, moved,
    without_order,
};
use crate::store::read_store::READ_BYTES_MAX;

/// Orders with their payloads; clones share them. Transactions take turns.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryOrders(Arc<Mutex<Rows>>);

/// A name with the storefront in which it finds one order.
type NameKey = (LedgerNo, Storefront, Text);

#[derive(Debug, Default)]
struct Rows {
    orders: BTreeMap<Uuid, KeptOrder>,
    names: BTreeMap<NameKey, Uuid>,
    payloads: BTreeMap<Uuid, Vec<u8>>,
    rooms: BTreeMap<(LedgerNo, Storefront), Room>,
}

/// A row as it was before a change.
enum Before {
    Order(Uuid, Option<KeptOrder>),
    Payload(Uuid, Option<Vec<u8>>),
    Room((LedgerNo, Storefront), Option<Room>),
}

impl Rows {
    /// Puts or removes an order with its names; returns what was there.
    fn set(&mut self, id: Uuid, order: Option<KeptOrder>) -> Option<KeptOrder> {
        let before = self.orders.remove(&id);
        if let Some(order) = &before {
            for name in &order.names {
                self.names.remove(&(order.ledger, order.storefront.clone(), name.clone()));
            }
        }
        if let Some(order) = order {
            for name in &order.names {
                self.names.insert((order.ledger, order.storefront.clone(), name.clone()), id);
            }
            self.orders.insert(id, order);
        }
        before
    }

    fn undo(&mut self, before: Before) {
        match before {
            Before::Order(id, order) => drop(self.set(id, order)),
            Before::Payload(id, payload) => restore(&mut self.payloads, id, payload),
            Before::Room(place, room) => restore(&mut self.rooms, place, room),
        }
    }

    fn with_payload(&self, order: &KeptOrder) -> WithPayload {
        (order.clone(), self.payloads.get(&order.id).cloned())
    }

    fn page(&self, after: Option<Uuid>, limit: usize) -> Vec<WithPayload> {
        let mut left = READ_BYTES_MAX;
        let fits = |(order, payload): &WithPayload| {
            let fits = left > 0;
            left = left.saturating_sub(order.body.len() + payload.as_ref().map_or(0, Vec::len));
            fits
        };
        let behind = self.orders.values().filter(|order| after.is_none_or(|after| order.id > after));
        behind.take(limit).map(|order| self.with_payload(order)).take_while(fits).collect()
    }

    fn rooms(&self) -> Vec<StorefrontRoom> {
        let rooms = self.rooms.iter();
        rooms.map(|((ledger, storefront), room)| (*ledger, storefront.clone(), *room)).collect()
    }
}

fn restore<K: Ord, V>(rows: &mut BTreeMap<K, V>, key: K, value: Option<V>) {
    match value {
        Some(value) => rows.insert(key, value),
        None => rows.remove(&key),
    };
}

impl MemoryOrders {
    pub(super) async fn page(&self, after: Option<Uuid>, limit: usize) -> Vec<WithPayload> {
        self.0.lock().await.page(after, limit)
    }

    pub(super) async fn rooms(&self) -> Vec<StorefrontRoom> {
        self.0.lock().await.rooms()
    }

    pub(super) async fn mark(&self) -> OrdersMark {
        let rows = self.0.lock().await;
        let revisions = rows.orders.values().map(|order| order.revision);
        OrdersMark {
            orders: u64::try_from(rows.orders.len()).unwrap_or(u64::MAX),
            revisions: revisions.fold(0, u64::saturating_add),
            last: rows.orders.last_key_value().map(|(id, _)| *id),
        }
    }
}

struct OrderChanges {
    now: Timestamp,
    rows: OwnedMutexGuard<Rows>,
    /// What a drop undoes, the newest change first.
    undo: Vec<Before>,
}

impl OrderChanges {
    fn set(&mut self, id: Uuid, order: Option<KeptOrder>) {
        let before = self.rows.set(id, order);
        self.undo.push(Before::Order(id, before));
    }

    fn set_payload(&mut self, id: Uuid, payload: Option<Vec<u8>>) {
        let before = self.rows.payloads.remove(&id);
        self.undo.push(Before::Payload(id, before));
        self.rows.payloads.extend(payload.map(|payload| (id, payload)));
    }

    /// Takes a name from the order that has it.
    fn take_name(&mut self, key: &NameKey, new_owner: Uuid) {
        let Some(owner) = self.rows.names.get(key).copied().filter(|owner| *owner != new_owner) else {
            return;
        };
        if let Some(mut order) = self.rows.orders.get(&owner).cloned() {
            order.names.retain(|name| *name != key.2);
            self.set(owner, Some(order));
        }
    }
}

impl Drop for OrderChanges {
    fn drop(&mut self) {
        while let Some(before) = self.undo.pop() {
            self.rows.undo(before);
        }
    }
}

#[async_trait]
impl OrderStore for MemoryOrders {
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError> {
        let rows = Mutex::lock_owned(Arc::clone(&self.0)).await;
        Ok(Box::new(OrderChanges { now, rows, undo: Vec::new() }))
    }

    async fn read(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError> {
        self.begin(now).await
    }
}

#[async_trait]
impl OrderTx for OrderChanges {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn room(&mut self, ledger: LedgerNo, storefront: &Storefront) -> Result<Room, StoreError> {
        let place = (ledger, storefront.clone());
        if let Some(room) = self.rows.rooms.get(&place) {
            return Ok(*room);
        }
        self.put_room(ledger, storefront, Room::default()).await?;
        Ok(Room::default())
    }

    async fn put_room(
        &mut self,
        ledger: LedgerNo,
        storefront: &Storefront,
        room: Room,
    ) -> Result<(), StoreError> {
        let place = (ledger, storefront.clone());
        let before = self.rows.rooms.insert(place.clone(), room);
        self.undo.push(Before::Room(place, before));
        Ok(())
    }

    async fn named(
        &mut self,
        ledger: LedgerNo,
        storefront: &Storefront,
        names: &[Text],
    ) -> Result<Vec<KeptOrder>, StoreError> {
        let owner = |name: &Text| self.rows.names.get(&(ledger, storefront.clone(), name.clone()));
        let mut ids: Vec<Uuid> = names.iter().filter_map(owner).copied().collect();
        ids.sort_unstable();
        ids.dedup();
        Ok(ids.iter().filter_map(|id| self.rows.orders.get(id)).cloned().collect())
    }

    async fn orders(&mut self, ledger: LedgerNo, ids: &[Uuid]) -> Result<Vec<KeptOrder>, StoreError> {
        let found = ids.iter().filter_map(|id| self.rows.orders.get(id));
        Ok(found.filter(|order| order.ledger == ledger).cloned().collect())
    }

    async fn put(&mut self, orders: &[KeptOrder]) -> Result<(), StoreError> {
        check(orders)?;
        for order in orders {
            let before = self.rows.orders.get(&order.id);
            let place = (order.ledger, &order.storefront);
            if before.is_some_and(|before| (before.ledger, &before.storefront) != place) {
                return Err(moved(order.id));
            }
        }
        for order in orders {
            for name in &order.names {
                self.take_name(&(order.ledger, order.storefront.clone(), name.clone()), order.id);
            }
            self.set(order.id, Some(order.clone()));
        }
        Ok(())
    }

    async fn delete(&mut self, id: Uuid) -> Result<(), StoreError> {
        self.set(id, None);
        self.set_payload(id, None);
        Ok(())
    }

    async fn payload(&mut self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.rows.payloads.get(&id).cloned())
    }

    async fn put_payload(&mut self, id: Uuid, payload: Option<&[u8]>) -> Result<(), StoreError> {
        if payload.is_some() && !self.rows.orders.contains_key(&id) {
            return Err(without_order(id));
        }
        self.set_payload(id, payload.map(<[u8]>::to_vec));
        Ok(())
    }

    async fn due(&mut self, until: Timestamp, limit: usize) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
        let is_due = |order: &&KeptOrder| order.state == OrderState::Due && order.due_at <= until;
        let mut due: Vec<&KeptOrder> = self.rows.orders.values().filter(is_due).collect();
        due.sort_by_key(|order| (order.due_at, order.id));
        Ok(due.into_iter().take(limit).cloned().map(Ok).collect())
    }

    async fn waiting(
        &mut self,
        ledger: LedgerNo,
        storefront: Option<&Storefront>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<KeptOrder>>, StoreError> {
        let is_wanted = |order: &&KeptOrder| {
            order.state == OrderState::Waiting
                && order.ledger == ledger
                && storefront.is_none_or(|storefront| order.storefront == *storefront)
                && after.is_none_or(|after| order.id > after)
        };
        Ok(self.rows.orders.values().filter(is_wanted).take(limit).cloned().map(Ok).collect())
    }

    async fn all(&mut self, after: Option<Uuid>, limit: usize) -> Result<Vec<WithPayload>, StoreError> {
        Ok(self.rows.page(after, limit))
    }

    async fn rooms(&mut self) -> Result<Vec<StorefrontRoom>, StoreError> {
        Ok(self.rows.rooms())
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        self.undo.clear();
        Ok(())
    }
}
