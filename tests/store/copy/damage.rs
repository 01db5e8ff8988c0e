//! A source that is damaged or wrong gives no copy.

use creditledger::ledger::ids::WorkId;
use creditledger::store::{OrdersMark, Page, RecordRoom, StoredWork};
use uuid::Uuid;

use super::*;

/// A source whose journal says something else.
struct Altered<A> {
    audit: Arc<dyn AuditStore>,
    alter: A,
    /// What its customers say about when something falls due.
    next_due: Option<Timestamp>,
}

#[async_trait]
impl<A: Fn(&mut Vec<Recorded>) + Send + Sync> AuditStore for Altered<A> {
    async fn integrity(&self) -> Result<Vec<String>, StoreError> {
        self.audit.integrity().await
    }
    async fn stored_ledgers(&self) -> Result<Vec<StoredLedger>, StoreError> {
        self.audit.stored_ledgers().await
    }
    async fn stored_card_changes(&self) -> Result<Vec<CardChange>, StoreError> {
        self.audit.stored_card_changes().await
    }
    async fn journal(
        &self,
        no: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        let mut page = self.audit.journal(no, after, limit).await?;
        (self.alter)(&mut page.items);
        Ok(page)
    }
    async fn journal_end(&self, no: LedgerNo) -> Result<Position, StoreError> {
        self.audit.journal_end(no).await
    }
    async fn stored_customers(
        &self,
        after: Option<CustomerKey>,
        limit: usize,
    ) -> Result<Vec<StoredCustomer>, StoreError> {
        let mut page = self.audit.stored_customers(after, limit).await?;
        for customer in page.iter_mut().filter(|_| self.next_due.is_some()) {
            customer.next_due = self.next_due;
        }
        Ok(page)
    }
    async fn stored_holds(&self, after: Option<HoldId>, limit: usize) -> Result<Vec<StoredHold>, StoreError> {
        self.audit.stored_holds(after, limit).await
    }
    async fn stored_work(
        &self,
        after: Option<(HoldId, WorkId)>,
        limit: usize,
    ) -> Result<Vec<StoredWork>, StoreError> {
        self.audit.stored_work(after, limit).await
    }
    async fn stored_lots(&self, after: Option<LotId>, limit: usize) -> Result<Vec<StoredLot>, StoreError> {
        self.audit.stored_lots(after, limit).await
    }
    async fn stored_orders(
        &self,
        after: Option<&OrderScope>,
        limit: usize,
    ) -> Result<Vec<StoredOrder>, StoreError> {
        self.audit.stored_orders(after, limit).await
    }
    async fn storefront_orders(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<WithPayload>, StoreError> {
        self.audit.storefront_orders(after, limit).await
    }
    async fn storefront_rooms(&self) -> Result<Vec<StorefrontRoom>, StoreError> {
        self.audit.storefront_rooms().await
    }
    async fn storefront_mark(&self) -> Result<OrdersMark, StoreError> {
        self.audit.storefront_mark().await
    }
    async fn stored_tokens(&self, after: Option<Uuid>, limit: usize) -> Result<Vec<StoredToken>, StoreError> {
        self.audit.stored_tokens(after, limit).await
    }
    async fn token_revision(&self) -> Result<u64, StoreError> {
        self.audit.token_revision().await
    }
    async fn stored_records(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        self.audit.stored_records(after, limit).await
    }
    async fn record_mark(&self) -> Result<(RecordRoom, Option<Uuid>), StoreError> {
        self.audit.record_mark().await
    }
    async fn stored_accounts(&self) -> Result<Vec<(LedgerNo, String, Credits)>, StoreError> {
        self.audit.stored_accounts().await
    }
}

/// Copies from a journal that was altered; what it stops with. What came before is there, and a copy from the right
/// journal goes on from it.
async fn stopped_by(from: &Place, to: &Place, alter: impl Fn(&mut Vec<Recorded>) + Send + Sync) -> String {
    let audit = open_to_read(&from.url).await.unwrap();
    let source = Altered { audit, alter, next_due: None };
    let mut target = open_for_copy(&to.url).await.unwrap();
    let mut copier = Copier::begin(&source, &mut target, START, 3).await.unwrap();
    let error = loop {
        match copier.step().await {
            Ok(more) => assert!(more, "it came to the end"),
            Err(error) => break error.to_string(),
        }
    };
    assert_eq!(copier.done(), 3);
    drop(target);
    copy(from, to).await.unwrap();
    error
}

/// The invariants of the core hold for what is copied too.
pub async fn a_posting_that_does_not_fit_stops_the_copy(from: Place, places: [Place; 3]) {
    fill(&from).await;
    let [balance, gap, swapped] = places;
    let at = |position: u64| {
        move |alter: fn(&mut Posting)| {
            move |page: &mut Vec<Recorded>| {
                for recorded in page.iter_mut().filter(|recorded| recorded.position.0 == position) {
                    alter(Arc::make_mut(&mut recorded.posting));
                }
            }
        }
    };
    let error = stopped_by(&from, &balance, at(5)(|posting| posting.after.available = Credits::ZERO)).await;
    assert!(error.starts_with("the source is wrong: ledger main, position 5: posting "), "{error}");
    assert!(error.contains("its balances are not those that its transfers give"), "{error}");
    let error =
        stopped_by(&from, &gap, |page| page.retain(|recorded| recorded.position != Position(5))).await;
    assert!(error.starts_with("the source is wrong: ledger main has no posting at position 5"), "{error}");
    let error = stopped_by(&from, &swapped, at(5)(|posting| posting.sequence += 1)).await;
    assert!(error.contains("its sequence does not follow"), "{error}");
}

/// A copy may look too early for what falls due, never too late.
pub async fn a_bound_that_is_late_is_no_copy(from: Place, to: Place) {
    fill(&from).await;
    let audit = open_to_read(&from.url).await.unwrap();
    let source = Altered { audit, alter: |_: &mut Vec<Recorded>| (), next_due: Some(START) };
    let mut target = open_for_copy(&to.url).await.unwrap();
    let mut copier = Copier::begin(&source, &mut target, START, 50).await.unwrap();
    while copier.step().await.unwrap() {}
    let error = copier.compare(|_| ()).await.unwrap_err().to_string();
    assert!(error.contains("not equal to its source: customer "), "{error}");
    drop(target);
    copy(&from, &to).await.unwrap();
}

#[tokio::test]
async fn a_damaged_source_is_refused_before_anything_is_written() {
    for (damage, told) in [
        (
            "UPDATE posting SET detail = CAST(substr(detail, 1, length(detail) - 2) || x'0700' AS BLOB) WHERE key = 3",
            "posting 3 of ledger number 0: its checksum",
        ),
        (
            "UPDATE hold SET incident_id = 'i9' WHERE incident_id = 'i1'",
            "its columns are not those of its body",
        ),
    ] {
        let (from, to) = (Place::sqlite(), Place::sqlite());
        fill(&from).await;
        let database = rusqlite::Connection::open(from.path()).unwrap();
        let trigger = "SELECT sql FROM sqlite_schema WHERE name = 'posting_is_never_updated'";
        let trigger: String = database.query_row(trigger, [], |row| row.get(0)).unwrap();
        database.execute_batch("DROP TRIGGER posting_is_never_updated").unwrap();
        assert!(database.execute(damage, []).unwrap() > 0);
        database.execute_batch(&trigger).unwrap();
        drop(database);
        let message = refused(&from, &to).await;
        assert!(message.starts_with("the source is damaged: "), "{message}");
        assert!(message.contains(told) && message.ends_with("; nothing was copied"), "{message}");
        assert!(!to.path().exists());
    }
}

/// Damage that only a replay finds: the copy is right, and is not called equal.
#[tokio::test]
async fn a_row_that_the_journal_does_not_give_is_named() {
    for (damage, told) in [
        (
            "UPDATE customer SET owed = 1 WHERE customer_id = 'zeta' AND ledger_no = 1",
            "source: customer zeta; ",
        ),
        ("DELETE FROM profile WHERE customer_id = 'zeta' AND ledger_no = 1", "source: customer zeta; "),
        ("DELETE FROM lot WHERE order_id = 'acme-1' AND ledger_no = 0", "source: lot "),
        (
            "DELETE FROM purchase_order WHERE order_id = 'acme-1' AND ledger_no = 0",
            "source: order acme-1 of ",
        ),
        ("DELETE FROM hold WHERE incident_id = 'parked' AND ledger_no = 2", "source: hold "),
        (
            "UPDATE system_account SET balance = balance - 1 WHERE account = 'revenue'",
            "source: account revenue of ",
        ),
    ] {
        let (from, to) = (Place::sqlite(), Place::sqlite());
        fill(&from).await;
        let database = rusqlite::Connection::open(from.path()).unwrap();
        assert!(database.execute(damage, []).unwrap() > 0);
        drop(database);
        let message = refused(&from, &to).await;
        assert!(message.contains(told) && message.contains("not equal"), "{message}");
        assert!(is_unfinished(&to).await, "it is still unfinished");
    }
}
