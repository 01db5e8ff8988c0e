//! Orders as storefronts know them: rows, and transactions over them. The module `storefront` gives the rows their
//! meaning; an engine only keeps them.
//!
//! # What it is
//! An order is a row with an opaque body, found by its id or by any of its names. A delivery that could not be read is
//! such a row too, and has its payload beside it. Each storefront has a row with its counts ([`Room`]).
//!
//! # Invariants
//! - A name belongs to one order of its ledger and storefront. Where an order is put with a name of another one, the
//!   name is the other's no more.
//! - An order stays in its ledger and its storefront.
//! - The caller keeps the counts of a room, in the transaction that changes what they count. `verify` compares them.
//!
//! # Failure
//! A dropped transaction stores nothing. When a method fails, the transaction can only be dropped. In the lists of what is
//! due and what waits, a row that cannot be read is told as such in its place among the others.
//!
//! # Cost
//! A settled order is in no index but its id and its names.

use std::collections::BTreeSet;

use async_trait::async_trait;
use uuid::Uuid;

use super::error::{Readable, StoreError};
use crate::ledger::codec::coded_enum;
use crate::ledger::{LedgerNo, Storefront, Text, Timestamp};

/// An order of a storefront, or a delivery that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOrder {
    /// A UUIDv7 that the caller makes.
    pub id: Uuid,
    pub ledger: LedgerNo,
    pub storefront: Storefront,
    /// Sorted, without repeats, none empty. Each finds the order; there may be none.
    pub names: Vec<Text>,
    pub state: OrderState,
    /// Due: when it is tried next. Waiting: since when it waits.
    pub due_at: Timestamp,
    /// Rises with every change.
    pub revision: u64,
    pub body: Vec<u8>,
}

coded_enum!(
    /// Whether something is left to be done for an order.
    OrderState {
        Settled = 1 / "SETTLED",
        Due = 2 / "DUE",
        Waiting = 3 / "WAITING",
    }
);

/// An order with its payload, for a copy.
pub type WithPayload = (KeptOrder, Option<Vec<u8>>);

/// What a storefront's orders take up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Room {
    /// Orders that wait for a person.
    pub waiting: u64,
    /// Orders that are due to be applied.
    pub due: u64,
    /// Bytes of all payloads that are kept.
    pub payload_bytes: u64,
}

/// A storefront of a ledger, with its room.
pub type StorefrontRoom = (LedgerNo, Storefront, Room);

/// What tells whether any order has changed: every change raises a revision, adds an id, or removes one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrdersMark {
    pub orders: u64,
    /// The sum of all revisions.
    pub revisions: u64,
    pub last: Option<Uuid>,
}

#[async_trait]
pub trait OrderStore: Send + Sync {
    /// Opens a transaction. When it is dropped, nothing is stored. Engines with a clock of their own ignore `now`, the
    /// caller's clock.
    ///
    /// On SQLite an open transaction keeps the writer from committing, so its caller waits for no command meanwhile.
    /// A transaction that only read is committed too: a dropped one costs a new connection.
    async fn begin(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError>;

    /// Opens a transaction that only reads. It waits for none that writes, and keeps none waiting.
    async fn read(&self, now: Timestamp) -> Result<Box<dyn OrderTx>, StoreError>;
}

/// A transaction over the rows.
#[async_trait]
pub trait OrderTx: Send {
    /// The time of the transaction, from a clock that all servers share.
    fn now(&self) -> Timestamp;

    /// The storefront's counts; zeros for a new one. Locks the storefront until the end of the transaction, so that
    /// transactions about one storefront run one after another, on whichever server.
    async fn room(&mut self, ledger: LedgerNo, storefront: &Storefront) -> Result<Room, StoreError>;

    async fn put_room(
        &mut self,
        ledger: LedgerNo,
        storefront: &Storefront,
        room: Room,
    ) -> Result<(), StoreError>;

    /// Orders that have any of these names, by id. Who changes any of them calls [`OrderTx::room`] first.
    async fn named(
        &mut self,
        ledger: LedgerNo,
        storefront: &Storefront,
        names: &[Text],
    ) -> Result<Vec<KeptOrder>, StoreError>;

    /// Those of some orders that there are, in any order. It takes no lock: who changes any of them calls
    /// [`OrderTx::room`] first.
    async fn orders(&mut self, ledger: LedgerNo, ids: &[Uuid]) -> Result<Vec<KeptOrder>, StoreError>;

    /// Inserts orders, or puts them in place of what was there under their ids; their names too.
    ///
    /// # Errors
    /// [`StoreError::Refused`] where names are not as [`KeptOrder::names`] says, where two of the orders share an id or
    /// a name, or where an order would change its ledger or storefront.
    async fn put(&mut self, orders: &[KeptOrder]) -> Result<(), StoreError>;

    /// Removes an order with its names and payload; does nothing where there is none.
    async fn delete(&mut self, id: Uuid) -> Result<(), StoreError>;

    async fn payload(&mut self, id: Uuid) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps the payload of an order that is stored; `None` erases it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a payload without an order.
    async fn put_payload(&mut self, id: Uuid, payload: Option<&[u8]>) -> Result<(), StoreError>;

    /// Due orders of any ledger by `until`, soonest first.
    async fn due(&mut self, until: Timestamp, limit: usize) -> Result<Vec<Readable<KeptOrder>>, StoreError>;

    /// Waiting orders after an id, by id.
    async fn waiting(
        &mut self,
        ledger: LedgerNo,
        storefront: Option<&Storefront>,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<KeptOrder>>, StoreError>;

    /// All orders after an id, by id, with their payloads. A page ends early where it comes to
    /// [`READ_BYTES_MAX`](super::READ_BYTES_MAX) bytes; only an empty page is the end.
    async fn all(&mut self, after: Option<Uuid>, limit: usize) -> Result<Vec<WithPayload>, StoreError>;

    /// The rooms of all storefronts, by ledger and storefront.
    async fn rooms(&mut self) -> Result<Vec<StorefrontRoom>, StoreError>;

    async fn commit(self: Box<Self>) -> Result<(), StoreError>;
}

/// Checks what must hold of orders that are put together.
///
/// # Errors
/// [`StoreError::Refused`].
pub(super) fn check(orders: &[KeptOrder]) -> Result<(), StoreError> {
    let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
    for order in orders {
        let KeptOrder { id, ledger, storefront, names: own, .. } = order;
        if id.is_nil() {
            return Err(refused(*id, "no list would show it"));
        }
        let is_sorted = own.is_sorted_by(|one, next| one < next);
        if !is_sorted || own.iter().any(|name| name.as_str().is_empty()) {
            return Err(refused(*id, "its names are not sorted, or one is empty"));
        }
        if !ids.insert(*id) || !own.iter().all(|name| names.insert((*ledger, storefront, name))) {
            return Err(refused(*id, "it shares its id or a name with an order that is put beside it"));
        }
    }
    Ok(())
}

/// The refusal of an order that contradicts what is stored, or itself.
pub(super) fn refused(id: Uuid, why: &str) -> StoreError {
    StoreError::Refused(format!("order {id} of a storefront: {why}").into())
}

/// The refusal of an order that would move.
pub(super) fn moved(id: Uuid) -> StoreError {
    refused(id, "it stands in another ledger or storefront")
}

/// The refusal of a payload that nothing would ever erase.
pub(super) fn without_order(id: Uuid) -> StoreError {
    refused(id, "there is a payload and no order")
}

/// How the names of stored orders change.
#[derive(Debug)]
pub struct NameChanges<'o> {
    /// Names that an order has no more.
    pub removed: Vec<(Uuid, Text)>,
    /// Names that an order has now.
    pub added: Vec<(&'o KeptOrder, &'o Text)>,
}

impl<'o> NameChanges<'o> {
    /// From the names that are stored for these orders to the names that they have.
    pub fn of(orders: &'o [KeptOrder], stored: Vec<(Uuid, Text)>) -> Self {
        let stored: BTreeSet<(Uuid, Text)> = stored.into_iter().collect();
        let pairs = || orders.iter().flat_map(|order| order.names.iter().map(move |name| (order, name)));
        let wanted: BTreeSet<(Uuid, Text)> = pairs().map(|(order, name)| (order.id, name.clone())).collect();
        let added = pairs().filter(|(order, name)| !stored.contains(&(order.id, (*name).clone()))).collect();
        Self { removed: stored.difference(&wanted).cloned().collect(), added }
    }
}
