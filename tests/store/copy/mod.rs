//! Copying a database to another one: equal in everything that is stored, whatever cuts it off, and refused where it
//! would mix two books. Engines are paired at the end.

mod damage;
mod orders;
mod refusals;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use creditledger::audit::verify;
use creditledger::copy::{Copied, Copier, CopyError, check_source};
use creditledger::ledger::alert::{Alerts, DefaultAlerts, Threshold};
use creditledger::ledger::book::OrderScope;
use creditledger::ledger::card::{CardChange, CardEdit, RateCard};
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::customer::CustomerState;
use creditledger::ledger::{Credits, CustomerKey, HoldId, LedgerNo, LotId, Posting, RequestKey, Timestamp};
use creditledger::store::{
    AuditRecord, AuditStore, KeptOrder, NewDefaultAlerts, OrderState, OrderStore, Position, Recorded,
    Settings, StoreError, StoredCustomer, StoredHold, StoredLedger, StoredLot, StoredOrder, StoredToken,
    StorefrontRoom, WithPayload, check_urls, migrate, open, open_for_copy, open_to_check, open_to_read,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::desk::{
    START, adjust, charge, estimate, grant, id, place, place_parked, purchase, purchase_until, reverse,
    settle_capped, work,
};
use crate::orders::order;
use crate::random::{CUSTOMERS, for_random_steps};
use crate::random_steps::request;
use crate::rig::Rig;

/// Where a database is, or will be.
struct Place {
    url: String,
    directory: TempDir,
}

impl Place {
    fn sqlite() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { url: format!("sqlite://{}", directory.path().join("test.db").display()), directory }
    }

    /// A database of its own, made on a thread that may wait for it.
    fn postgres() -> Self {
        let made = std::thread::spawn(|| {
            tokio::runtime::Runtime::new().unwrap().block_on(crate::postgres::database())
        });
        Self { url: made.join().unwrap(), directory: tempfile::tempdir().unwrap() }
    }

    fn is_postgres(&self) -> bool {
        self.url.starts_with("postgres")
    }

    /// The file of a SQLite database.
    fn path(&self) -> PathBuf {
        self.directory.path().join("test.db")
    }
}

/// All that is stored. The bound on what falls due is no part of it: a copy looks earlier.
#[derive(Debug, PartialEq)]
struct Everything {
    ledgers: Vec<StoredLedger>,
    journal: Vec<Recorded>,
    customers: Vec<StoredCustomer>,
    holds: Vec<StoredHold>,
    lots: Vec<StoredLot>,
    orders: Vec<StoredOrder>,
    accounts: Vec<(LedgerNo, String, Credits)>,
    cards: Vec<CardChange>,
    storefront_orders: Vec<WithPayload>,
    rooms: Vec<StorefrontRoom>,
    tokens: Vec<StoredToken>,
    records: Vec<AuditRecord>,
}

async fn everything(url: &str) -> Everything {
    let (audit, _alone) = open_to_check(url).await.unwrap();
    assert_eq!(audit.integrity().await.unwrap(), Vec::<String>::new());
    let ledgers = audit.stored_ledgers().await.unwrap();
    let mut journal = Vec::new();
    for StoredLedger { ledger, .. } in &ledgers {
        journal.extend(audit.journal(ledger.no, Position(0), usize::MAX).await.unwrap().items);
    }
    let mut customers = audit.stored_customers(None, usize::MAX).await.unwrap();
    for customer in &mut customers {
        let state: CustomerState = decode(&customer.state).unwrap();
        assert_eq!(state.next_due, customer.next_due);
        customer.state = encode(&CustomerState { next_due: None, ..state });
        customer.next_due = None;
    }
    Everything {
        ledgers,
        journal,
        customers,
        holds: audit.stored_holds(None, usize::MAX).await.unwrap(),
        lots: audit.stored_lots(None, usize::MAX).await.unwrap(),
        orders: audit.stored_orders(None, usize::MAX).await.unwrap(),
        accounts: audit.stored_accounts().await.unwrap(),
        cards: audit.stored_card_changes().await.unwrap(),
        storefront_orders: storefront_orders(&*audit).await,
        rooms: audit.storefront_rooms().await.unwrap(),
        tokens: audit.stored_tokens(None, usize::MAX).await.unwrap(),
        records: audit.stored_records(None, usize::MAX).await.unwrap(),
    }
}

async fn storefront_orders(audit: &dyn AuditStore) -> Vec<WithPayload> {
    let mut orders: Vec<WithPayload> = Vec::new();
    loop {
        let page = audit.storefront_orders(orders.last().map(|(order, _)| order.id), 1_000).await.unwrap();
        if page.is_empty() {
            return orders;
        }
        orders.extend(page);
    }
}

/// Orders of a storefront: their ids, with a payload for some.
async fn fill_orders(orders: &dyn OrderStore, ids: std::ops::RangeInclusive<u32>) {
    let new = |number: u32| {
        let (name, common) = (format!("pi_{number}"), format!("cs_{number}"));
        order(number.into(), &[&name, &common], OrderState::ALL[(number % 3) as usize])
    };
    let new: Vec<KeptOrder> = ids.map(new).collect();
    let mut tx = orders.begin(START).await.unwrap();
    let mut room = tx.room(LedgerNo::MAIN, &id("web")).await.unwrap();
    tx.put(&new).await.unwrap();
    for order in new {
        match order.state {
            OrderState::Settled => {}
            OrderState::Due => room.due += 1,
            OrderState::Waiting => {
                room.waiting += 1;
                room.payload_bytes += 300;
                tx.put_payload(order.id, Some(&[5; 300])).await.unwrap();
            }
        }
    }
    tx.put_room(LedgerNo::MAIN, &id("web"), room).await.unwrap();
    tx.commit().await.unwrap();
}

/// Some of everything in three ledgers.
async fn fill(place_of: &Place) {
    let mut rig = Rig::open(&place_of.url).await;
    for ledger in ["main", "other", "third"] {
        if ledger != "main" {
            rig.now = rig.now.plus_days(1);
            rig.new_ledger(ledger).await;
        }
        let own = RateCard::plain(id("own"), crate::desk::credits("4"));
        rig.change_cards("card", CardEdit::Card(Arc::new(own))).await;
        rig.change_cards("default", CardEdit::Default(id("own"))).await;
        for request in ["d-1", "d-2"] {
            let alerts = Alerts::new(vec![Threshold::Percent(50)]).unwrap();
            let default = DefaultAlerts { alerts, by: id(request) };
            let request = RequestKey::parse(request).unwrap();
            let new = NewDefaultAlerts { ledger: rig.ledger, request, default };
            rig.writer.set_default_alerts(&new, rig.now).await.unwrap();
        }
        for customer in ["acme", "zeta"] {
            rig.new_customer(customer).await;
            rig.ok(purchase_until(&format!("{customer}-1"), "20", rig.now.plus_days(90))).await;
            rig.ok(grant("2")).await;
            rig.ok(adjust("1")).await;
            rig.ok(place("i1", "2.5")).await;
            rig.ok(work("i1", 90)).await;
            rig.ok(settle_capped("i1")).await;
            rig.ok(reverse("i1", Some("1"))).await;
            rig.ok(charge("i2", 31)).await;
            rig.ok(estimate("quoted", "1")).await;
            rig.ok(place_parked("parked", "99")).await;
        }
    }
    // One of them has been forgotten in part: what came after it is there.
    let erased = rig.writer.erase_words(rig.ledger, &rig.customer, rig.now).await.unwrap();
    assert!(erased.postings > 8 && erased.kept == 0, "{erased:?}");
    rig.ok(grant("2")).await;
    rig.new_ledger("empty").await;
    fill_orders(&*rig.orders, 2..=23).await;
    crate::tokens::fill(&*rig.tokens).await;
    crate::records::fill(&*rig.records).await;
    rig.writer.close().await.unwrap();
}

/// Random months, each in a ledger of its own.
fn fill_at_random(runtime: &Runtime, place: &Place) {
    let rig = runtime.block_on(Rig::open(&place.url));
    let rig = std::cell::RefCell::new((rig, 0_u32));
    for_random_steps(24, 60, |steps| {
        let (rig, case) = &mut *rig.borrow_mut();
        *case += 1;
        runtime.block_on(async {
            rig.new_ledger(&format!("case-{case}")).await;
            for customer in CUSTOMERS {
                rig.new_customer(customer).await;
            }
            for (nth, steps) in steps.chunks(3).enumerate() {
                let mut requests = Vec::new();
                for (place, step) in steps.iter().enumerate() {
                    rig.now = rig.now.plus_seconds(i64::from(step.wait_hours) * 3_600);
                    requests.push(request(rig, step, nth * 3 + place).await);
                }
                rig.batch(&requests).await;
            }
        });
    });
    runtime.block_on(async { rig.into_inner().0.writer.close().await.unwrap() });
}

/// Copies up to `steps` chunks; `None` where that does not come to the end.
async fn copy_some(
    from: &Place,
    to: &Place,
    chunk: usize,
    steps: usize,
) -> Result<Option<Copied>, CopyError> {
    check_urls(&from.url, &to.url)?;
    let (source, _alone) = open_to_check(&from.url).await?;
    check_source(&*source).await?;
    let mut target = open_for_copy(&to.url).await?;
    let mut copier = Copier::begin(&*source, &mut target, START, chunk).await?;
    for _ in 0..steps {
        let before = copier.done();
        if !copier.step().await? {
            assert_eq!(copier.done(), copier.total());
            assert!(!copier.has_grown(&*source).await?);
            let mut last = 0;
            let copied = copier.compare(|postings| last = postings).await?;
            assert_eq!((copied.postings, last), (copier.total(), copier.total()));
            copier.finish().await?;
            return Ok(Some(copied));
        }
        // After the postings come orders, which do not count.
        assert!(copier.done() > before || copier.done() == copier.total());
    }
    Ok(None)
}

async fn copy(from: &Place, to: &Place) -> Result<Copied, CopyError> {
    copy_some(from, to, 50, usize::MAX).await.map(Option::unwrap)
}

async fn refused(from: &Place, to: &Place) -> String {
    let message = copy(from, to).await.unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    message
}

async fn verified(url: &str) {
    let (audit, _alone) = open_to_check(url).await.unwrap();
    assert_eq!(verify(&*audit, |_| ()).await.unwrap().faults, Vec::<String>::new());
}

async fn is_unfinished(place: &Place) -> bool {
    matches!(open_to_read(&place.url).await, Err(StoreError::Unusable(message)) if message.contains("unfinished"))
}

/// Pairs are named after their engines.
fn is_available(pair: &str) -> bool {
    !pair.contains("postgres") || crate::postgres::available()
}

/// Runs each test with databases of each pair of engines: the first is copied from, the others are copied to.
macro_rules! on_each_pair {
    ($($pair:ident: $from:expr, $to:expr;)*) => {
        $(mod $pair {
            use super::Place;

            #[test]
            fn a_random_month_is_copied() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::whole::a_random_month_is_copied($from, $to, $from);
            }
            #[tokio::test]
            async fn a_copy_goes_on_where_it_was_cut_off() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::whole::a_copy_goes_on_where_it_was_cut_off($from, [$to, $to, $to, $to]).await;
            }
            #[tokio::test]
            async fn an_unfinished_copy_is_refused() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::refusals::an_unfinished_copy_is_refused($from, $to, $from).await;
            }
            #[tokio::test]
            async fn a_target_that_is_in_use_is_refused() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::refusals::a_target_that_is_in_use_is_refused($from, [$to, $to, $to, $to]).await;
            }
            #[tokio::test]
            async fn an_unfinished_copy_of_another_source_is_refused() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::refusals::an_unfinished_copy_of_another_source_is_refused($from, $to, [$from, $from, $from]).await;
            }
            #[tokio::test]
            async fn a_source_with_another_journal_is_refused() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::refusals::a_source_with_another_journal_is_refused($from, $to, $from).await;
            }
            #[tokio::test]
            async fn a_source_that_grows_is_noticed() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::whole::a_source_that_grows_is_noticed($from, $to).await;
            }
            #[tokio::test]
            async fn orders_that_changed_between_two_runs_are_copied_as_they_are() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::orders::orders_that_changed_between_two_runs_are_copied_as_they_are($from, $to).await;
            }
            #[tokio::test]
            async fn an_order_that_is_not_as_in_the_source_is_named() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::orders::an_order_that_is_not_as_in_the_source_is_named($from, $to).await;
            }
            #[tokio::test]
            async fn stamps_go_on_after_the_latest_posting_not_the_last() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::whole::stamps_go_on_after_the_latest_posting_not_the_last($to).await;
            }
            #[tokio::test]
            async fn a_posting_that_does_not_fit_stops_the_copy() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::damage::a_posting_that_does_not_fit_stops_the_copy($from, [$to, $to, $to]).await;
            }
            #[tokio::test]
            async fn a_bound_that_is_late_is_no_copy() {
                if !super::is_available(stringify!($pair)) {
                    return;
                }
                super::damage::a_bound_that_is_late_is_no_copy($from, $to).await;
            }
        })*
    };
}
on_each_pair! {
    sqlite_to_sqlite: Place::sqlite(), Place::sqlite();
    sqlite_to_postgres: Place::sqlite(), Place::postgres();
    postgres_to_sqlite: Place::postgres(), Place::sqlite();
    postgres_to_postgres: Place::postgres(), Place::postgres();
}
