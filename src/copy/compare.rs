//! The second half of `copy`: compares every row of the target with the same row of the source, a page at a time.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::digest::JournalDigest;
use super::outcome::{Copied, CopyError};
use crate::ledger::book::OrderScope;
use crate::ledger::codec::decode;
use crate::ledger::customer::CustomerState;
use crate::ledger::ids::WorkId;
use crate::ledger::{Credits, CustomerKey, HoldId, LedgerNo, LotId};
use crate::store::{
    AuditRecord, AuditStore, Position, StoreError, StoredCustomer, StoredHold, StoredLedger, StoredLot,
    StoredOrder, StoredToken, StoredWork,
};

/// Rows in one read.
const PAGE: usize = 1_000;

pub(super) async fn compare(
    source: &dyn AuditStore,
    target: &dyn AuditStore,
    progress: &mut impl FnMut(u64),
) -> Result<Copied, CopyError> {
    if let Some(fault) = target.integrity().await?.into_iter().next() {
        return Err(differs(fault));
    }
    let ledgers = target.stored_ledgers().await?;
    if ledgers != source.stored_ledgers().await? {
        return Err(differs("the ledgers are not the same"));
    }
    let cards = target.stored_card_changes().await?;
    if cards != source.stored_card_changes().await? {
        return Err(differs("the rate cards are not the same"));
    }
    let mut copied =
        Copied { ledgers: count_of(ledgers.len()), card_changes: count_of(cards.len()), ..Copied::default() };
    let (mut ours, mut theirs) = (JournalDigest::default(), JournalDigest::default());
    for StoredLedger { ledger, .. } in &ledgers {
        let mut after = Position(0);
        loop {
            let mut page = target.journal(ledger.no, after, PAGE).await?.items;
            let mut from = source.journal(ledger.no, after, PAGE).await?.items;
            // Engines may end a page of large postings at different places: what both have read is compared.
            let both = page.len().min(from.len());
            if both > 0 {
                page.truncate(both);
                from.truncate(both);
            }
            if let Some((there, _)) = first_difference(&page, &from) {
                let position = after.0.saturating_add(count_of(there)).saturating_add(1);
                return Err(differs(format!("ledger {}, position {position}", ledger.id)));
            }
            for (copied, read) in page.iter().zip(&from) {
                ours.add(copied);
                theirs.add(read);
            }
            copied.postings = copied.postings.saturating_add(count_of(page.len()));
            progress(copied.postings);
            match page.last() {
                Some(last) => after = last.position,
                None => break,
            }
        }
    }
    copied.journal_sha256 = ours.finish();
    if copied.journal_sha256 != theirs.finish() {
        return Err(differs("the journals have different digests"));
    }
    let mut sums: BTreeMap<LedgerNo, i128> = BTreeMap::new();
    copied.customers = same_rows(source, target, |customer: &StoredCustomer| {
        let balances = customer.balances;
        *sums.entry(customer.ledger).or_default() += i128::from(balances.available.units())
            + i128::from(balances.held.units())
            - i128::from(balances.owed.units());
    })
    .await?;
    copied.holds = same_rows(source, target, |_: &StoredHold| ()).await?;
    copied.work = same_rows(source, target, |_: &StoredWork| ()).await?;
    copied.lots = same_rows(source, target, |_: &StoredLot| ()).await?;
    copied.orders = same_rows(source, target, |_: &StoredOrder| ()).await?;
    copied.storefront_orders = storefronts(source, target).await?;
    copied.tokens = same_rows(source, target, |_: &StoredToken| ()).await?;
    copied.audit_records = same_rows(source, target, |_: &AuditRecord| ()).await?;
    accounts(source, target, sums).await?;
    Ok(copied)
}

/// A row that both databases have.
trait StoredRow: Sized + PartialEq {
    /// What its pages are ordered by.
    type Key;

    async fn page(store: &dyn AuditStore, after: Option<&Self::Key>) -> Result<Vec<Self>, StoreError>;
    fn key(&self) -> Self::Key;
    fn name(&self) -> String;
    /// True if `self` is what a copy of `source` must be.
    fn is_copy_of(&self, source: &Self) -> bool {
        self == source
    }
}

/// Compares all rows of a kind and returns their number; `each` gets every row of the target.
async fn same_rows<T: StoredRow>(
    source: &dyn AuditStore,
    target: &dyn AuditStore,
    mut each: impl FnMut(&T),
) -> Result<u64, CopyError> {
    let mut after: Option<T::Key> = None;
    let mut rows = 0_u64;
    loop {
        let page = T::page(target, after.as_ref()).await?;
        let from = T::page(source, after.as_ref()).await?;
        for (ours, theirs) in page.iter().zip(&from) {
            if !ours.is_copy_of(theirs) {
                return Err(differs(ours.name()));
            }
            each(ours);
        }
        if let Some(unpaired) = page.get(from.len()).or_else(|| from.get(page.len())) {
            return Err(differs(format!("{} is only in one of them", unpaired.name())));
        }
        rows = rows.saturating_add(count_of(page.len()));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.key()),
            _ => return Ok(rows),
        }
    }
}

impl StoredRow for StoredCustomer {
    type Key = CustomerKey;

    async fn page(store: &dyn AuditStore, after: Option<&CustomerKey>) -> Result<Vec<Self>, StoreError> {
        store.stored_customers(after.copied(), PAGE).await
    }

    fn key(&self) -> CustomerKey {
        self.key
    }

    fn name(&self) -> String {
        format!("customer {}", self.id)
    }

    fn is_copy_of(&self, source: &Self) -> bool {
        let Ok(mut state) = decode::<CustomerState>(&self.state) else { return false };
        let Ok(from) = decode::<CustomerState>(&source.state) else { return false };
        // The bound on what falls due does not follow from the journal: it may be early, but never late.
        let is_late = match (self.next_due, source.next_due) {
            (Some(ours), Some(theirs)) => ours > theirs,
            (None, Some(_)) => true,
            (_, None) => false,
        };
        let is_kept = state.next_due == self.next_due && !is_late;
        state.next_due = from.next_due;
        let Self { key, ledger, id, sequence, balances, next_due: _, state: _, profile } = self;
        is_kept
            && state == from
            && (key, ledger, id) == (&source.key, &source.ledger, &source.id)
            && (sequence, balances, profile) == (&source.sequence, &source.balances, &source.profile)
    }
}

impl StoredRow for StoredHold {
    type Key = HoldId;

    async fn page(store: &dyn AuditStore, after: Option<&HoldId>) -> Result<Vec<Self>, StoreError> {
        store.stored_holds(after.copied(), PAGE).await
    }

    fn key(&self) -> HoldId {
        self.id
    }

    fn name(&self) -> String {
        format!("hold {}", self.id)
    }
}

impl StoredRow for StoredWork {
    type Key = (HoldId, WorkId);

    async fn page(store: &dyn AuditStore, after: Option<&Self::Key>) -> Result<Vec<Self>, StoreError> {
        store.stored_work(after.copied(), PAGE).await
    }

    fn key(&self) -> Self::Key {
        (self.hold, self.id)
    }

    fn name(&self) -> String {
        format!("entry of work {}", self.id)
    }
}

impl StoredRow for StoredLot {
    type Key = LotId;

    async fn page(store: &dyn AuditStore, after: Option<&LotId>) -> Result<Vec<Self>, StoreError> {
        store.stored_lots(after.copied(), PAGE).await
    }

    fn key(&self) -> LotId {
        self.id
    }

    fn name(&self) -> String {
        format!("lot {}", self.id)
    }
}

impl StoredRow for StoredOrder {
    type Key = OrderScope;

    async fn page(store: &dyn AuditStore, after: Option<&OrderScope>) -> Result<Vec<Self>, StoreError> {
        store.stored_orders(after, PAGE).await
    }

    fn key(&self) -> OrderScope {
        self.scope.clone()
    }

    fn name(&self) -> String {
        let (_, storefront, order) = &self.scope;
        format!("order {order} of {storefront}")
    }
}

impl StoredRow for StoredToken {
    type Key = Uuid;

    async fn page(store: &dyn AuditStore, after: Option<&Uuid>) -> Result<Vec<Self>, StoreError> {
        store.stored_tokens(after.copied(), PAGE).await
    }

    fn key(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> String {
        format!("token {}", self.id)
    }
}

impl StoredRow for AuditRecord {
    type Key = Uuid;

    async fn page(store: &dyn AuditStore, after: Option<&Uuid>) -> Result<Vec<Self>, StoreError> {
        store.stored_records(after.copied(), PAGE).await
    }

    fn key(&self) -> Uuid {
        self.id
    }

    fn name(&self) -> String {
        format!("audit record {}", self.id)
    }
}

/// Compares the orders of storefronts and their rooms; returns the number of orders.
async fn storefronts(source: &dyn AuditStore, target: &dyn AuditStore) -> Result<u64, CopyError> {
    let (mut after, mut orders) = (None, 0_u64);
    loop {
        let page = target.storefront_orders(after, PAGE).await?;
        let from = source.storefront_orders(after, PAGE).await?;
        if let Some((_, (order, _))) = first_difference(&page, &from) {
            return Err(differs(format!("order {} of storefront {}", order.id, order.storefront)));
        }
        orders = orders.saturating_add(count_of(page.len()));
        match page.last() {
            Some((last, _)) => after = Some(last.id),
            None => break,
        }
    }
    let (ours, theirs) = (target.storefront_rooms().await?, source.storefront_rooms().await?);
    match first_difference(&ours, &theirs) {
        Some((_, (_, storefront, _))) => Err(differs(format!("the room of storefront {storefront}"))),
        None => Ok(orders),
    }
}

/// Compares the system accounts, and sums each ledger to zero; `sums` has the sums of its customers' accounts.
async fn accounts(
    source: &dyn AuditStore,
    target: &dyn AuditStore,
    mut sums: BTreeMap<LedgerNo, i128>,
) -> Result<(), CopyError> {
    let ours = balances(target).await?;
    let theirs = balances(source).await?;
    if let Some((_, ((ledger, account), _))) =
        first_difference(&ours.iter().collect::<Vec<_>>(), &theirs.iter().collect::<Vec<_>>())
    {
        return Err(differs(format!("account {account} of ledger number {}", ledger.get())));
    }
    for ((ledger, _), balance) in &ours {
        *sums.entry(*ledger).or_default() += i128::from(balance.units());
    }
    match sums.iter().find(|(_, sum)| **sum != 0) {
        Some((ledger, _)) => {
            Err(differs(format!("the accounts of ledger number {} do not sum to zero", ledger.get())))
        }
        None => Ok(()),
    }
}

/// Leaves out balances of zero: engines differ in whether an account that came back to zero keeps its row.
async fn balances(store: &dyn AuditStore) -> Result<BTreeMap<(LedgerNo, String), Credits>, StoreError> {
    let accounts = store.stored_accounts().await?.into_iter();
    Ok(accounts
        .filter(|(_, _, balance)| !balance.is_zero())
        .map(|(ledger, account, balance)| ((ledger, account), balance))
        .collect())
}

/// The first place where two lists differ, and what one of them has there.
fn first_difference<'a, T: PartialEq>(one: &'a [T], other: &'a [T]) -> Option<(usize, &'a T)> {
    let place = one.iter().zip(other).take_while(|(one, other)| one == other).count();
    one.get(place).or_else(|| other.get(place)).map(|row| (place, row))
}

fn count_of(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

fn differs(what: impl Into<String>) -> CopyError {
    CopyError::Differs(what.into())
}
