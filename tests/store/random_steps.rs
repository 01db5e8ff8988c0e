//! Random months at a support desk, in batches, on an engine and the reference at once: the same rows, and the same reads by every
//! way to read.

use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{CustomerKey, HoldState, Request, RequestKey};
use creditledger::store::{At, ClassStatsFilter, HoldFilter, Isolation, LotFilter, Position};
use tokio::runtime::Runtime;

use crate::desk::id;
use crate::random::{CUSTOMERS, Step, command, for_random_steps, refunded_order};
use crate::rig::Rig;

/// All that an engine says about a ledger, by every way to read it.
async fn everything(rig: &Rig) -> Vec<String> {
    let (reader, ledger) = (&rig.reader, rig.ledger);
    let mut told = Vec::new();
    let feed = reader.feed(ledger, Position(0), usize::MAX).await.unwrap().items;
    told.push(format!("{:?}", reader.trial_balance(ledger).await.unwrap()));
    told.push(format!("{:?}", reader.customers(ledger, None, 100).await.unwrap()));
    told.push(format!("{:?}", reader.customers_due(rig.now, 1_000).await.unwrap()));
    let middle = feed.get(feed.len() / 2).map(|middle| middle.posting.recorded_at);
    for (from, until, class) in
        [(None, None, None), (middle, None, None), (None, middle, None), (None, None, Some(id("c1")))]
    {
        let filter = ClassStatsFilter { ledger, class, from, until };
        for after in [None, Some(""), Some("c0")] {
            told.push(format!("{:?}", reader.class_stats(&filter, after, 2).await.unwrap()));
        }
    }
    for customer in CUSTOMERS {
        let key = CustomerKey::of(ledger, &id(customer));
        told.push(format!("{:?}", reader.postings_of(key, 2, 9).await.unwrap().items));
        for point in feed.iter().step_by(5) {
            for at in [
                At::Sequence(point.posting.sequence),
                At::Position(point.position),
                At::Time(point.posting.recorded_at),
                At::Posting(point.posting.id),
            ] {
                let found = reader.posting_at(key, at).await.unwrap();
                told.push(format!("{at:?}: {:?}", found.map(|found| found.position)));
            }
        }
        let customer = Some(key);
        for filter in [
            HoldFilter { customer, ..HoldFilter::default() },
            HoldFilter { customer, settled: true, ..HoldFilter::default() },
            HoldFilter { customer, incident: Some(id("i1")), ..HoldFilter::default() },
            HoldFilter { incident: Some(id("i2")), ..HoldFilter::default() },
            HoldFilter { states: vec![HoldState::Active, HoldState::Expired], ..HoldFilter::default() },
            HoldFilter { until: feed.last().map(|last| last.posting.recorded_at), ..HoldFilter::default() },
        ] {
            let mut before = None;
            loop {
                let page = reader.holds(ledger, &filter, before, 3).await.unwrap();
                told.push(format!("{:?}", page.items));
                before = page.next;
                if before.is_none() {
                    break;
                }
            }
        }
        let filter = LotFilter { customer, ..LotFilter::default() };
        told.push(format!("{:?}", reader.lots(ledger, &filter, None, 100).await.unwrap()));
    }
    told.push(format!("{feed:?}"));
    told
}

/// Every row as it is stored, all ledgers together.
async fn rows(rig: &Rig) -> Vec<String> {
    let audit = &rig.audit;
    let mut told = vec![format!("{:?}", audit.stored_accounts().await.unwrap())];
    let mut after = None;
    loop {
        let page = audit.stored_customers(after, 50).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.key);
        told.extend(page.iter().map(|row| format!("{row:?}")));
    }
    let mut after = None;
    loop {
        let page = audit.stored_holds(after, 50).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        told.extend(page.iter().map(|row| format!("{row:?}")));
    }
    let mut after = None;
    loop {
        let page = audit.stored_work(after, 50).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.hold, last.id));
        told.extend(page.iter().map(|row| format!("{row:?}")));
    }
    let mut after = None;
    loop {
        let page = audit.stored_lots(after, 50).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        told.extend(page.iter().map(|row| format!("{row:?}")));
    }
    let mut after = None;
    loop {
        let page = audit.stored_orders(after.as_ref(), 50).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.scope.clone());
        told.extend(page.iter().map(|row| format!("{row:?}")));
    }
    told
}

async fn start_case(one: &mut Rig, other: &mut Rig, case: u32) {
    other.now = one.now;
    one.new_ledger(&format!("case-{case}")).await;
    other.new_ledger(&format!("case-{case}")).await;
    for customer in CUSTOMERS {
        one.customer = id(customer);
        let request = one.request(Command::CreateCustomer(CreateCustomer::default()));
        assert_eq!(one.send(&request).await, other.send(&request).await);
    }
}

/// The request of a step; every third repeats the request id of an earlier one, and every second id is a UUID.
pub async fn request(rig: &mut Rig, step: &Step, number: usize) -> Request {
    rig.customer = id(CUSTOMERS[step.customer]);
    let holds = rig.reader.holds_of_incident(rig.key(), &id("i1")).await.unwrap();
    let work = match holds.last() {
        Some(hold) => rig.reader.work(hold.id, None, 10).await.unwrap().items,
        None => Vec::new(),
    };
    let entry = |_: &str, nth: usize| work.get(nth).map(|work| work.id);
    let refund = match refunded_order(&step.action) {
        Some(order) => {
            let found = rig.reader.order(rig.ledger, &id("web"), &id(&order)).await.unwrap();
            found.and_then(|found| found.lot.refunds.last().map(|refund| refund.id))
        }
        None => None,
    };
    let customer = rig.reader.customer(rig.key()).await.unwrap();
    let top_ups = customer.and_then(|customer| customer.state.top_ups);
    let top_up = top_ups.and_then(|top_ups| Some(top_ups.open?.id));
    let mut request = rig.request(command(&step.action, rig.now, entry, refund, top_up));
    if request.request.is_some() && number.is_multiple_of(2) {
        let id = uuid::Uuid::from_u128(u128::try_from(number).unwrap() << 64 | 7);
        request.request = Some(RequestKey::Uuid(id));
    } else if request.request.is_some() && number.is_multiple_of(3) {
        request.request = Some(RequestKey::parse("often used").unwrap());
    }
    request
}

async fn run(one: &mut Rig, other: &mut Rig, steps: &[Step]) {
    for (nth, steps) in steps.chunks(3).enumerate() {
        let mut requests = Vec::new();
        for (place, step) in steps.iter().enumerate() {
            one.now = one.now.plus_seconds(i64::from(step.wait_hours) * 3_600);
            requests.push(request(one, step, nth * 3 + place).await);
        }
        other.now = one.now;
        let outcomes = one.batch(&requests).await;
        assert_eq!(other.batch(&requests).await, outcomes);
        // Everything again: each accepted command is answered from its posting, in the same words.
        assert_eq!(other.batch(&requests).await, one.batch(&requests).await);
    }
}

#[test]
fn sqlite_gives_the_answers_of_the_reference() {
    same_answers(60, async || Rig::sqlite().await);
}

#[test]
fn postgres_gives_the_answers_of_the_reference() {
    if crate::postgres::available() {
        same_answers(30, async || Rig::postgres(Isolation::ReadCommitted).await);
    }
}

#[test]
fn postgres_does_so_at_serializable_too() {
    if crate::postgres::available() {
        same_answers(10, async || Rig::postgres(Isolation::Serializable).await);
    }
}

fn same_answers(cases: u32, open: impl AsyncFn() -> Rig) {
    let runtime = Runtime::new().unwrap();
    let rigs = runtime.block_on(async { (Rig::memory(), open().await) });
    let rigs = std::cell::RefCell::new((rigs.0, rigs.1, 0_u32));
    for_random_steps(cases, 40, |steps| {
        let (memory, other, case) = &mut *rigs.borrow_mut();
        *case += 1;
        runtime.block_on(async {
            start_case(memory, other, *case).await;
            run(memory, other, &steps).await;
            let (expected, found) = (everything(memory).await, everything(other).await);
            for (expected, found) in expected.iter().zip(&found) {
                assert_eq!(found, expected);
            }
            assert_eq!(found.len(), expected.len());
        });
    });
    let (memory, other, _) = rigs.into_inner();
    runtime.block_on(async {
        assert_eq!(rows(&other).await, rows(&memory).await);
        assert_eq!(other.audit.integrity().await.unwrap(), Vec::<String>::new());
    });
}
