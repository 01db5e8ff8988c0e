//! A copy is its source, whatever cut it off, and can be served.

use super::*;

/// The copy has every row of the source, and goes on: stamps and sequences rise, and what is due is found.
pub fn a_random_month_is_copied(from: Place, to: Place, again: Place) {
    let runtime = Runtime::new().unwrap();
    fill_at_random(&runtime, &from);
    runtime.block_on(async {
        let copied = copy(&from, &to).await.unwrap();
        let expected = everything(&from.url).await;
        assert_eq!(everything(&to.url).await, expected);
        verified(&to.url).await;
        let count = |rows: usize| u64::try_from(rows).unwrap();
        assert_eq!(copied.ledgers, count(expected.ledgers.len()));
        assert_eq!(copied.postings, count(expected.journal.len()));
        assert_eq!(copied.customers, count(expected.customers.len()));
        assert_eq!(copied.holds, count(expected.holds.len()));
        assert_eq!(copied.lots, count(expected.lots.len()));
        assert_eq!(copied.orders, count(expected.orders.len()));
        assert!(copied.holds > 20 && copied.lots > 20 && copied.orders > 20, "{copied}");
        // The copy of the copy has the same number, whatever the chunks were.
        assert_eq!(copy_some(&to, &again, 7, usize::MAX).await.unwrap().unwrap(), copied);

        let latest = expected.journal.iter().map(|recorded| recorded.posting.recorded_at).max().unwrap();
        goes_on(&to, &expected.journal, latest).await;
        verified(&to.url).await;
    });
}

/// Serves the copy with a clock that is far behind.
async fn goes_on(copy: &Place, journal: &[Recorded], latest: Timestamp) {
    let mut rig = Rig::open(&copy.url).await;
    for StoredLedger { ledger, .. } in rig.audit.stored_ledgers().await.unwrap() {
        for customer in CUSTOMERS {
            rig.ledger = ledger.no;
            rig.customer = id(customer);
            let before = journal.iter().filter(|recorded| recorded.posting.customer == rig.key()).count();
            let request = rig.request(if before == 0 {
                Command::CreateCustomer(CreateCustomer::default())
            } else {
                grant("1")
            });
            let Ok(answer) = rig.send(&request).await else { continue };
            // Where several servers write, stamps rise by customer.
            assert!(answer.posting.recorded_at > latest || copy.is_postgres());
            assert!(answer.sequence > u64::try_from(before).unwrap());
        }
    }
    // What looks due too early is looked at once, and then no more.
    rig.now = latest.plus_days(1);
    for round in 0..2 {
        let due = rig.reader.customers_due(rig.now, 1_000).await.unwrap();
        assert!(round == 0 || due.is_empty(), "{due:?}");
        for (ledger, customer) in due {
            (rig.ledger, rig.customer) = (ledger, customer);
            let apply = rig.request(Command::ApplyDue);
            let mut book = rig.load(std::slice::from_ref(&apply)).await;
            let _ = creditledger::ledger::decide::decide(&mut book, &apply).unwrap();
            rig.writer.append(&book).await.unwrap();
        }
    }
    rig.writer.close().await.unwrap();
}

/// Wherever a copy is cut off, the next one finishes it.
pub async fn a_copy_goes_on_where_it_was_cut_off(from: Place, places: [Place; 4]) {
    fill(&from).await;
    let expected = everything(&from.url).await;
    let [whole, often, early, late] = places;
    let copied = copy(&from, &whole).await.unwrap();
    // Cut off before the first chunk, and then after each.
    let mut runs = 0;
    let finished = loop {
        if let Some(copied) = copy_some(&from, &often, 5, runs.min(1)).await.unwrap() {
            break copied;
        }
        runs += 1;
        assert!(is_unfinished(&often).await);
    };
    let chunks = expected.journal.len().div_ceil(5);
    assert!(runs > chunks, "{runs} runs for {chunks} chunks");
    assert_eq!(finished, copied);
    assert_eq!(everything(&often.url).await, expected);
    for (to, after) in [(early, 1), (late, chunks)] {
        assert_eq!(copy_some(&from, &to, 5, after).await.unwrap(), None);
        assert_eq!(copy(&from, &to).await.unwrap(), copied);
        assert_eq!(everything(&to.url).await, expected);
        verified(&to.url).await;
    }
}

/// Only where an engine does not keep writers out.
pub async fn a_source_that_grows_is_noticed(from: Place, to: Place) {
    fill(&from).await;
    let mut rig = Rig::open(&from.url).await;
    let source = open_to_read(&from.url).await.unwrap();
    check_source(&*source).await.unwrap();
    let mut target = open_for_copy(&to.url).await.unwrap();
    let mut copier = Copier::begin(&*source, &mut target, START, 50).await.unwrap();
    let total = copier.total();
    assert!(!copier.has_grown(&*open_to_read(&from.url).await.unwrap()).await.unwrap());
    rig.new_customer("late").await;
    while copier.step().await.unwrap() {}
    assert_eq!(copier.done(), total);
    assert!(copier.has_grown(&*open_to_read(&from.url).await.unwrap()).await.unwrap());
    drop(target);
    // Where only an order has changed.
    let mut target = open_for_copy(&to.url).await.unwrap();
    let source = open_to_read(&from.url).await.unwrap();
    let copier = Copier::begin(&*source, &mut target, START, 50).await.unwrap();
    assert!(!copier.has_grown(&*open_to_read(&from.url).await.unwrap()).await.unwrap());
    let changed = KeptOrder { revision: 2, ..order(2, &["cs_2", "pi_2"], OrderState::Waiting) };
    crate::orders::put(&*rig.orders, &[changed]).await;
    assert!(copier.has_grown(&*open_to_read(&from.url).await.unwrap()).await.unwrap());
    drop(target);
    rig.writer.close().await.unwrap();
    drop(rig);
    assert_eq!(copy(&from, &to).await.unwrap().postings, total + 1);
    assert_eq!(everything(&to.url).await, everything(&from.url).await);
}

/// Where several servers wrote, the last posting of a ledger need not be the latest one.
pub async fn stamps_go_on_after_the_latest_posting_not_the_last(to: Place) {
    let mut rig = Rig::memory();
    rig.new_customer("early").await;
    rig.now = rig.now.plus_days(9);
    rig.new_customer("late").await;
    let mut journal = rig.audit.journal(LedgerNo::MAIN, Position(0), 9).await.unwrap().items;
    let latest = journal[1].posting.recorded_at;
    journal.reverse();
    (journal[0].position, journal[1].position) = (Position(1), Position(2));
    let mut target = open_for_copy(&to.url).await.unwrap();
    target.writer.begin_copy(START).await.unwrap();
    for posting in &journal {
        let mut book = target.writer.load_journal(std::slice::from_ref(posting)).await.unwrap();
        book.post(&posting.posting).unwrap();
        target.writer.append(&book).await.unwrap();
    }
    target.writer.end_copy().await.unwrap();
    target.writer.close().await.unwrap();
    drop(target);
    let mut rig = Rig::open(&to.url).await;
    rig.customer = id("early");
    assert!(rig.ok(grant("1")).await.posting.recorded_at > latest || to.is_postgres());
    assert_eq!(rig.audit.journal(LedgerNo::MAIN, Position(0), 2).await.unwrap().items, journal);
}
