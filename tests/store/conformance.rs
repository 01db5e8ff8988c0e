//! What every engine must do, run on each of them.

use creditledger::ledger::alert::{Alerts, DefaultAlerts, Threshold};
use creditledger::ledger::commands::{
    Command, CreateCustomer, EstimateIncident, HoldRef, Quote, SettleHold, UpdateCustomer,
};
use creditledger::ledger::reject::Original;
use creditledger::ledger::{
    Credits, CustomerKey, HoldId, HoldState, Kind, LedgerNo, LotId, Profile, Rejection, RequestKey, Text,
};
use creditledger::store::{
    At, DefaultAlertsSet, HoldFilter, LedgerCreated, LotFilter, NewDefaultAlerts, Position, StoreError,
};
use uuid::Uuid;

use crate::desk::{
    START, confirm, credits, estimate, estimate_command, grant, id, place, place_parked, place_with,
    purchase, purchase_until, release, settle, settle_command, void, work,
};
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    an_empty_database_has_the_main_ledger_and_nothing_else
    what_is_posted_is_read_back
    request_ids_are_told_apart_by_customer_kind_and_spelling
    a_repeat_is_answered_with_the_hold_as_it_is_now
    a_hold_of_another_customer_does_not_exist
    a_hold_that_a_stranger_names_first_is_still_its_owners
    voiding_work_makes_nothing_due_and_forgets_nothing_that_falls_due_later
    holds_parked_in_one_batch_wait_in_its_order
    settling_by_id_sees_the_whole_incident
    ledgers_are_apart
    ledgers_are_made_once
    default_alerts_are_set_once_a_request_and_decide_the_next_batch
    profiles_are_read_by_key
    an_abandoned_batch_leaves_nothing
    a_refused_batch_leaves_nothing_and_the_next_one_is_stored
    stamps_rise_though_the_clock_does_not
    the_sweeper_finds_who_is_due
    a_parked_hold_is_loaded_when_credits_come
    profiles_change_and_are_listed
    everything_goes_on_after_a_restart
}

async fn an_empty_database_has_the_main_ledger_and_nothing_else(rig: Rig) {
    let ledgers = rig.reader.ledgers().await.unwrap();
    assert_eq!(ledgers.len(), 1);
    assert_eq!(
        (ledgers[0].no, ledgers[0].id.as_str(), ledgers[0].created_at),
        (LedgerNo::MAIN, "main", START)
    );
    let key = rig.key();
    let reader = &rig.reader;
    assert_eq!(reader.customer(key).await.unwrap(), None);
    assert_eq!(reader.profile(key).await.unwrap(), None);
    assert_eq!(reader.customers_by_key(&[key]).await.unwrap(), []);
    assert_eq!(reader.posting_at(key, At::Sequence(1)).await.unwrap(), None);
    assert_eq!(reader.postings_of(key, 1, 10).await.unwrap().items, []);
    assert_eq!(reader.feed(LedgerNo::MAIN, Position(0), 10).await.unwrap().items, []);
    assert_eq!(reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(0));
    assert_eq!(reader.hold(LedgerNo::MAIN, HoldId::default()).await.unwrap(), None);
    assert_eq!(reader.lot(LedgerNo::MAIN, LotId::default()).await.unwrap(), None);
    assert_eq!(reader.order(LedgerNo::MAIN, &id("web"), &id("o1")).await.unwrap(), None);
    let zero = |account: &str| (account.to_owned(), Credits::ZERO);
    let balances = reader.trial_balance(LedgerNo::MAIN).await.unwrap();
    assert_eq!(balances, [zero("available"), zero("held"), zero("receivable")]);
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
}

async fn what_is_posted_is_read_back(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    let held = rig.ok(place("i1", "2.5")).await;
    rig.ok(work("i1", 100)).await;
    let settled = rig.ok(settle("i1")).await;
    let key = rig.key();
    let customer = rig.reader.customer(key).await.unwrap().unwrap();
    assert_eq!((customer.sequence, customer.balances), (5, settled.balances));
    let many: Vec<_> = (0..200).map(CustomerKey::from_raw).chain([key, key]).collect();
    assert_eq!(rig.reader.customers_by_key(&many).await.unwrap(), [customer]);
    let hold_id = held.hold.unwrap().id;
    let hold = rig.reader.hold(LedgerNo::MAIN, hold_id).await.unwrap().unwrap();
    assert_eq!(Some(&hold), settled.hold.as_ref());
    assert_eq!(rig.reader.holds_of_incident(key, &id("i1")).await.unwrap(), [hold]);
    let feed = rig.reader.feed(LedgerNo::MAIN, Position(0), 10).await.unwrap().items;
    assert_eq!(feed[4].posting, settled.posting);
    assert_eq!(feed.iter().map(|recorded| recorded.position.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5]);
    let scope = (key, Kind::SettleHold, settled.posting.request.clone().unwrap());
    assert_eq!(rig.reader.posting_by_request(&scope).await.unwrap().unwrap(), feed[4]);
    let bought = rig.reader.order(LedgerNo::MAIN, &id("web"), &id("o1")).await.unwrap().unwrap();
    assert_eq!((bought.customer.as_str(), bought.lot.credits), ("acme", credits("10")));
    assert_eq!(rig.reader.lot(LedgerNo::MAIN, bought.lot.id).await.unwrap().unwrap(), bought);
    let balances = rig.reader.trial_balance(LedgerNo::MAIN).await.unwrap();
    let shown: Vec<String> = balances.iter().map(|(account, sum)| format!("{account} {sum}")).collect();
    assert_eq!(shown, ["available 6.67", "held 0", "receivable 0", "revenue 3.33", "sales:web -10"]);
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
}

async fn request_ids_are_told_apart_by_customer_kind_and_spelling(mut rig: Rig) {
    // The same 16 bytes as a UUID and as a text, and a UUID in two spellings.
    let uuid = Uuid::from_bytes(*b"abcdefghijklmnop");
    let keys = [
        RequestKey::Uuid(uuid),
        RequestKey::parse("abcdefghijklmnop").unwrap(),
        RequestKey::parse(&uuid.to_string().to_uppercase()).unwrap(),
        RequestKey::parse(&uuid.simple().to_string()).unwrap(),
    ];
    for customer in ["acme", "zeta"] {
        rig.new_customer(customer).await;
        for (key, amount) in keys.iter().zip(["1", "2", "3", "4"]) {
            for command in [grant(amount), purchase(&format!("{customer}{amount}"), amount)] {
                let mut request = rig.request(command);
                request.request = Some(key.clone());
                let first = rig.send(&request).await.unwrap();
                assert!(!first.replayed);
                let again = rig.send(&request).await.unwrap();
                assert!(again.replayed);
                assert_eq!(again.posting, first.posting);
                let scope = (rig.key(), first.posting.kind, key.clone());
                let found = rig.reader.posting_by_request(&scope).await.unwrap().unwrap();
                assert_eq!(found.posting, first.posting);
                request.command = grant("99");
                if first.posting.kind == Kind::GrantCredits {
                    let original = Some(Original::of(&first.posting));
                    assert_eq!(rig.send(&request).await, Err(Rejection::RequestIdReused { original }));
                }
            }
        }
        assert_eq!(rig.reader.customer(rig.key()).await.unwrap().unwrap().balances.available, credits("20"));
    }
}

async fn a_repeat_is_answered_with_the_hold_as_it_is_now(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    let request = rig.request(place("i1", "2"));
    let placed = rig.send(&request).await.unwrap();
    rig.ok(release("i1")).await;
    let again = rig.send(&request).await.unwrap();
    assert!(again.replayed);
    assert_eq!(again.posting, placed.posting);
    assert_eq!(again.hold.unwrap().state, HoldState::Released);
    assert_eq!(again.balances.available, credits("10"));
}

async fn a_hold_of_another_customer_does_not_exist(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    let hold = rig.ok(place("i1", "2")).await.hold.unwrap();
    let settle = Command::SettleHold(SettleHold { hold: HoldRef::Id(hold.id), ..settle_command("i1") });
    rig.new_customer("zeta").await;
    assert_eq!(rig.rejected(settle.clone()).await, Rejection::HoldNotFound);
    rig.new_ledger("other").await;
    rig.new_customer("acme").await;
    assert_eq!(rig.rejected(settle).await, Rejection::HoldNotFound);
    assert_eq!(rig.reader.hold(rig.ledger, hold.id).await.unwrap(), None);
    assert_eq!(rig.reader.hold(LedgerNo::MAIN, hold.id).await.unwrap(), Some(hold));
}

/// A reopened incident costs the price of its whole time, less the price of the time before.
async fn settling_by_id_sees_the_whole_incident(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    rig.ok(place("i1", "2")).await;
    rig.ok(work("i1", 40)).await;
    rig.ok(settle("i1")).await;
    let second = rig.ok(place("i1", "2")).await.hold.unwrap();
    rig.ok(work("i1", 35)).await;
    let command = Command::SettleHold(SettleHold { hold: HoldRef::Id(second.id), ..settle_command("i1") });
    let settled = rig.ok(command).await.hold.unwrap().settlement.clone().unwrap();
    assert_eq!(settled.charge, credits("1.17"));
}

async fn ledgers_are_apart(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    rig.ok(place("i1", "2")).await;
    let main = rig.key();
    rig.new_ledger("other").await;
    let other = rig.ledger;
    assert_eq!(rig.rejected(grant("1")).await, Rejection::CustomerNotFound);
    rig.new_customer("acme").await;
    assert!(!rig.ok(purchase("o1", "5")).await.replayed);
    rig.ok(place("i1", "1")).await;
    assert_ne!(rig.key(), main);
    assert_eq!(rig.reader.holds_of_incident(main, &id("i1")).await.unwrap().len(), 1);
    for (ledger, sold) in [(LedgerNo::MAIN, "-10"), (other, "-5")] {
        let all = rig.reader.feed(ledger, Position(0), 10).await.unwrap().items;
        assert_eq!(all.iter().map(|recorded| recorded.position.0).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(all.iter().all(|recorded| recorded.posting.ledger == ledger));
        assert_eq!(rig.reader.last_position(ledger).await.unwrap(), Position(3));
        let holds = rig.reader.holds(ledger, &HoldFilter::default(), None, 10).await.unwrap();
        assert_eq!(holds.items.len(), 1);
        let by_incident = HoldFilter { incident: Some(id("i1")), ..HoldFilter::default() };
        assert_eq!(rig.reader.holds(ledger, &by_incident, None, 10).await.unwrap(), holds);
        assert_eq!(rig.reader.lots(ledger, &LotFilter::default(), None, 10).await.unwrap().items.len(), 1);
        assert_eq!(rig.reader.customers(ledger, None, 10).await.unwrap().len(), 1);
        let balances = rig.reader.trial_balance(ledger).await.unwrap();
        assert!(balances.contains(&("sales:web".to_owned(), credits(sold))), "{balances:?}");
    }
    let ledgers: Vec<String> =
        rig.reader.ledgers().await.unwrap().iter().map(|ledger| ledger.id.to_string()).collect();
    assert_eq!(ledgers, ["main", "other"]);
}

async fn ledgers_are_made_once(mut rig: Rig) {
    let LedgerCreated::Created { ledger, replayed: false } = rig.create_ledger("second", "r1").await.unwrap()
    else {
        panic!("not made");
    };
    assert_eq!((ledger.no.get(), ledger.created_at), (1, START));
    let again = rig.create_ledger("second", "r1").await.unwrap();
    assert_eq!(again, LedgerCreated::Created { ledger, replayed: true });
    assert_eq!(rig.create_ledger("second", "r2").await.unwrap(), LedgerCreated::Exists);
    assert_eq!(rig.create_ledger("main", "r3").await.unwrap(), LedgerCreated::Exists);
    assert_eq!(rig.create_ledger("third", "r1").await.unwrap(), LedgerCreated::RequestIdReused);
    assert_eq!(rig.reader.ledgers().await.unwrap().len(), 2);
}

async fn default_alerts_are_set_once_a_request_and_decide_the_next_batch(mut rig: Rig) {
    let new = |ledger: LedgerNo, request: &str, credits: i64| NewDefaultAlerts {
        ledger,
        request: RequestKey::parse(request).unwrap(),
        default: DefaultAlerts {
            alerts: Alerts::new(vec![Threshold::Credits(Credits::whole(credits))]).unwrap(),
            by: id("op"),
        },
    };
    let set = |replayed| DefaultAlertsSet::Set { replayed };
    assert_eq!(rig.reader.default_alerts(LedgerNo::MAIN).await.unwrap(), None);
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "20")).await;
    let (first, second) = (new(LedgerNo::MAIN, "d-1", 15), new(LedgerNo::MAIN, "d-2", 10));
    assert_eq!(rig.writer.set_default_alerts(&first, rig.now).await.unwrap(), set(false));
    let crossed = rig.ok(place("i1", "6")).await;
    assert_eq!(crossed.posting.detail.low[0].level, Credits::whole(15));
    assert_eq!(rig.writer.set_default_alerts(&second, rig.now).await.unwrap(), set(false));
    assert_eq!(rig.writer.set_default_alerts(&first, rig.now).await.unwrap(), set(true), "a late repeat");
    let reused = new(LedgerNo::MAIN, "d-1", 16);
    let refused = rig.writer.set_default_alerts(&reused, rig.now).await.unwrap();
    assert_eq!(refused, DefaultAlertsSet::RequestIdReused);
    let crossed = rig.ok(place("i2", "4")).await;
    assert_eq!(crossed.posting.detail.low[0].level, Credits::whole(10));
    // Another ledger has its own, and the same request id.
    rig.new_ledger("other").await;
    let other = new(rig.ledger, "d-1", 3);
    assert_eq!(rig.writer.set_default_alerts(&other, rig.now).await.unwrap(), set(false));
    let mut rig = rig.reopen().await;
    assert_eq!(rig.reader.default_alerts(LedgerNo::MAIN).await.unwrap(), Some(second.default.clone()));
    assert_eq!(rig.reader.default_alerts(other.ledger).await.unwrap(), Some(other.default));
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "5")).await;
    assert_eq!(rig.ok(place("i1", "2")).await.posting.detail.low[0].level, Credits::whole(3));
    let stored = rig.audit.stored_ledgers().await.unwrap();
    let requests: Vec<_> =
        stored[0].default_alerts.iter().map(|stored| (stored.request.to_string(), &stored.default)).collect();
    assert_eq!(requests, [("d-1".to_owned(), &first.default), ("d-2".to_owned(), &second.default)]);
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
}

async fn profiles_are_read_by_key(mut rig: Rig) {
    let mut keys = Vec::new();
    for n in 0..120 {
        rig.new_customer(&format!("c-{n}")).await;
        keys.push(rig.key());
    }
    let name = Command::UpdateCustomer(UpdateCustomer { name: Some(id("Ada")), ..UpdateCustomer::default() });
    rig.ok(name).await;
    let unknown: Vec<_> = (0..20).map(CustomerKey::from_raw).collect();
    let asked = [keys.clone(), unknown, keys.clone()].concat();
    let mut found = rig.reader.profiles_by_key(&asked).await.unwrap();
    found.sort_by_key(|(key, _, _)| *key);
    keys.sort_unstable();
    assert_eq!(found.iter().map(|(key, _, _)| *key).collect::<Vec<_>>(), keys);
    let ada: Vec<_> = found.iter().filter(|(_, _, profile)| profile.name == id("Ada")).collect();
    assert_eq!(ada.len(), 1);
    assert_eq!((ada[0].1.as_str(), ada[0].0), ("c-119", rig.key()));
}

async fn an_abandoned_batch_leaves_nothing(mut rig: Rig) {
    rig.new_customer("acme").await;
    let request = rig.request(grant("5"));
    let mut book = rig.load(std::slice::from_ref(&request)).await;
    creditledger::ledger::decide::decide(&mut book, &request).unwrap().unwrap();
    rig.writer.abandon().await.unwrap();
    assert_eq!(rig.reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(1));
    // Nor does a batch in which nothing was accepted.
    rig.rejected(settle("i1")).await;
    assert_eq!(rig.reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(1));
    assert!(!rig.send(&request).await.unwrap().replayed);
}

async fn a_refused_batch_leaves_nothing_and_the_next_one_is_stored(mut rig: Rig) {
    rig.new_customer("acme").await;
    let request = rig.request(grant("5"));
    rig.send(&request).await.unwrap();
    // A book that was not loaded with the request does not know that it was answered.
    let mut other = request.clone();
    other.request = None;
    let mut book = rig.load(&[other]).await;
    creditledger::ledger::decide::decide(&mut book, &rig.request(grant("1"))).unwrap().unwrap();
    creditledger::ledger::decide::decide(&mut book, &request).unwrap().unwrap();
    // Where others write too, it may be theirs: the next attempt would see it.
    assert!(matches!(rig.writer.append(&book).await, Err(StoreError::Refused(_) | StoreError::Clash(_))));
    let customer = rig.reader.customer(rig.key()).await.unwrap().unwrap();
    assert_eq!((customer.sequence, customer.balances.available), (2, credits("5")));
    let answer = rig.ok(grant("2")).await;
    assert_eq!((answer.sequence, answer.balances.available), (3, credits("7")));
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
    let balances = rig.reader.trial_balance(LedgerNo::MAIN).await.unwrap();
    assert!(balances.contains(&("promotions".to_owned(), credits("-7"))), "{balances:?}");
}

async fn stamps_rise_though_the_clock_does_not(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig = rig.reopen().await;
    for _ in 0..3 {
        rig.now = START.plus_seconds(-1_000);
        rig.ok(grant("1")).await;
    }
    let all = rig.reader.feed(LedgerNo::MAIN, Position(0), 10).await.unwrap().items;
    let times: Vec<i64> = all.iter().map(|recorded| recorded.posting.recorded_at.micros()).collect();
    assert_eq!(times, [times[0], times[0] + 1, times[0] + 2, times[0] + 3]);
}

async fn the_sweeper_finds_who_is_due(mut rig: Rig) {
    let due = |rig: &Rig| {
        let (reader, now) = (rig.reader.clone(), rig.now);
        async move {
            let found = reader.customers_due(now, 10).await.unwrap();
            found.iter().map(|(_, customer)| customer.to_string()).collect::<Vec<_>>()
        }
    };
    for customer in ["quoted", "quiet", "lot"] {
        rig.new_customer(customer).await;
    }
    rig.customer = id("quoted");
    rig.ok(estimate("i1", "2")).await;
    rig.customer = id("lot");
    let until = rig.now.plus_days(1);
    rig.ok(purchase_until("o1", "5", until)).await;
    assert_eq!(due(&rig).await, Vec::<String>::new());
    rig.now = rig.now.plus_days(2);
    assert_eq!(due(&rig).await, ["lot"]);
    rig.now = rig.now.plus_days(20);
    assert_eq!(due(&rig).await, ["lot", "quoted"]);
    for customer in ["lot", "quoted"] {
        rig.customer = id(customer);
        rig.ok(Command::ApplyDue).await;
    }
    assert_eq!(due(&rig).await, Vec::<String>::new());
    let quoted = CustomerKey::of(LedgerNo::MAIN, &id("quoted"));
    assert_eq!(rig.reader.holds_of_incident(quoted, &id("i1")).await.unwrap()[0].state, HoldState::Expired);
}

async fn a_parked_hold_is_loaded_when_credits_come(mut rig: Rig) {
    rig.new_customer("acme").await;
    let parked = rig.ok(place_parked("i1", "3")).await.hold.unwrap();
    assert_eq!(parked.state, HoldState::AwaitingCredits);
    rig.ok(estimate("i2", "1")).await;
    rig = rig.reopen().await;
    let bought = rig.ok(purchase("o1", "5")).await;
    assert_eq!(bought.posting.detail.others[0].id, parked.id);
    let hold = rig.reader.hold(LedgerNo::MAIN, parked.id).await.unwrap().unwrap();
    assert_eq!(hold.state, HoldState::Active);
    rig.ok(confirm("i2", false)).await;
    // What falls due is loaded without being named.
    rig.ok(place_parked("i3", "50")).await;
    rig.now = rig.now.plus_days(15);
    rig.ok(grant("1")).await;
    let expired = rig.reader.holds_of_incident(rig.key(), &id("i3")).await.unwrap();
    assert_eq!(expired[0].state, HoldState::Expired);
}

async fn profiles_change_and_are_listed(mut rig: Rig) {
    let name = |text: &str| Text::parse(text).unwrap();
    let profile = Profile { name: name("Acme Ltd."), ..Profile::default() };
    rig.ok(Command::CreateCustomer(CreateCustomer { profile: profile.clone(), ..CreateCustomer::default() }))
        .await;
    assert_eq!(rig.reader.profile(rig.key()).await.unwrap(), Some(profile.clone()));
    let update = UpdateCustomer { name: Some(name("Acme Inc.")), ..UpdateCustomer::default() };
    rig.ok(Command::UpdateCustomer(update)).await;
    let changed = Profile { name: name("Acme Inc."), ..profile };
    assert_eq!(rig.reader.profile(rig.key()).await.unwrap(), Some(changed.clone()));
    let listed = rig.reader.customers(LedgerNo::MAIN, None, 10).await.unwrap();
    assert_eq!(listed[0].1, changed);
}

async fn everything_goes_on_after_a_restart(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    rig.ok(place("i1", "2")).await;
    rig.new_ledger("other").await;
    rig.new_customer("acme").await;
    rig = rig.reopen().await;
    rig.ok(grant("1")).await;
    rig.ledger = LedgerNo::MAIN;
    let again = rig.ok(purchase("o1", "10")).await;
    assert!(again.replayed);
    rig.ok(purchase("o2", "1")).await;
    rig.ok(settle("i1")).await;
    assert_eq!(rig.reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(5));
    let balances = rig.reader.trial_balance(LedgerNo::MAIN).await.unwrap();
    assert!(balances.contains(&("sales:web".to_owned(), credits("-11"))), "{balances:?}");
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
    rig.writer.close().await.unwrap();
}

async fn a_hold_that_a_stranger_names_first_is_still_its_owners(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    let hold = rig.ok(place("i1", "2")).await.hold.unwrap().id;
    rig.new_customer("zeta").await;
    let by_id = Command::SettleHold(SettleHold { hold: HoldRef::Id(hold), ..settle_command("i1") });
    let stranger = rig.request(by_id.clone());
    rig.customer = id("acme");
    let owner = rig.request(by_id);
    let outcomes = rig.batch(&[stranger, owner]).await;
    assert_eq!(outcomes[0], Err(Rejection::HoldNotFound));
    assert_eq!(outcomes[1].as_ref().unwrap().hold.as_ref().unwrap().state, HoldState::Settled);
}

async fn voiding_work_makes_nothing_due_and_forgets_nothing_that_falls_due_later(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    let soon = EstimateIncident {
        expires_at: Some(START.plus_days(3)),
        ..estimate_command("soon", Quote::Credits(credits("2")))
    };
    rig.ok(place_with(soon, false)).await;
    let entry = rig.ok(work("soon", 10)).await.posting.id;
    rig.now = START.plus_days(10);
    // Looks at what was due until now; the hold with work is not.
    rig.run(Command::ApplyDue).await.unwrap_err();
    rig.ok(estimate("quoted", "1")).await;
    // Work was recorded on the hold, so voiding it makes nothing due, neither in its own batch nor later.
    let commands = [void("soon", entry), grant("1")].map(|command| rig.request(command));
    assert!(rig.batch(&commands).await.iter().all(Result::is_ok));
    let soon = &rig.reader.holds_of_incident(rig.key(), &id("soon")).await.unwrap()[0];
    assert_eq!(soon.state, HoldState::Active);
    rig.now = START.plus_days(30);
    rig.ok(grant("1")).await;
    let soon = &rig.reader.holds_of_incident(rig.key(), &id("soon")).await.unwrap()[0];
    assert_eq!((soon.state, soon.due_at()), (HoldState::Active, None));
    let quoted = &rig.reader.holds_of_incident(rig.key(), &id("quoted")).await.unwrap()[0];
    assert_eq!(quoted.state, HoldState::Expired);
}

async fn holds_parked_in_one_batch_wait_in_its_order(mut rig: Rig) {
    for together in [false, true] {
        rig.new_customer(if together { "acme" } else { "zeta" }).await;
        for incident in ["older", "newer"] {
            rig.ok(estimate(incident, "2")).await;
        }
        let commands = ["newer", "older"].map(|incident| rig.request(confirm(incident, true)));
        if together {
            rig.batch(&commands).await;
        } else {
            rig.send(&commands[0]).await.unwrap();
            rig.send(&commands[1]).await.unwrap();
        }
        rig.ok(grant("2")).await;
        let newer = &rig.reader.holds_of_incident(rig.key(), &id("newer")).await.unwrap()[0];
        assert_eq!(newer.state, HoldState::Active, "together: {together}");
    }
}
