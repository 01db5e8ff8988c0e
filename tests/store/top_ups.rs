//! Requests for top-ups on every engine: kept over a restart, found when they are due, and missed by `verify` where nobody
//! would look for them.

use std::sync::Arc;

use creditledger::audit;
use creditledger::ledger::alert::{Alerts, Threshold};
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::commands::{
    Change, Command, OnShortfall, ReportTopUp, SetBalanceAlerts, SetCustomerTerms,
};
use creditledger::ledger::customer::CustomerState;
use creditledger::ledger::top_up::TopUpAnswer;
use creditledger::ledger::{Credits, Kind, LedgerNo, Rejection, Timestamp, TopUp};
use creditledger::store::{Position, open_to_read};
use rusqlite::{Connection, params};

use crate::desk::{adjust, credits, grant, place_parked, purchase, refund};
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    requests_are_found_when_they_are_due_and_kept_over_a_restart
    a_batch_makes_one_request_and_its_purchase_answers_it
    what_failed_was_taken_back_or_fired_is_kept_over_a_restart
}

fn set(monthly_cap: Option<&str>) -> Command {
    let settings = TopUp {
        below: credits("5"),
        target: credits("20"),
        monthly_cap: monthly_cap.map(credits),
        cool_down_seconds: 3_600,
        lapse_seconds: 86_400,
    };
    Command::SetCustomerTerms(SetCustomerTerms {
        top_up: Change::Set(Arc::new(settings)),
        ..SetCustomerTerms::default()
    })
}

/// All requests of the journal, as the engine gives it back.
async fn asked(rig: &Rig) -> Vec<String> {
    let feed = rig.reader.feed(LedgerNo::MAIN, Position(0), usize::MAX).await.unwrap().items;
    let asked = |posting: &creditledger::ledger::Posting| {
        let request = posting.detail.top_up.as_ref()?;
        Some(format!("{} {}", posting.kind, request.credits))
    };
    feed.iter().filter_map(|recorded| asked(&recorded.posting)).collect()
}

async fn due(rig: &Rig) -> usize {
    rig.reader.customers_due(rig.now, 10).await.unwrap().len()
}

async fn clean(rig: &Rig) {
    let report = audit::verify(&*rig.audit, |_| ()).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
}

async fn requests_are_found_when_they_are_due_and_kept_over_a_restart(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    rig.ok(set(Some("30"))).await;
    assert_eq!(rig.reader.customer(rig.key()).await.unwrap().unwrap().state.next_due, None);
    let fell = rig.ok(adjust("-8")).await.posting;
    let request = fell.detail.top_up.clone().unwrap();
    assert_eq!((request.credits, request.lapses_at), (credits("18"), fell.recorded_at.plus_seconds(86_400)));
    rig = rig.reopen().await;
    let customer = rig.reader.customer(rig.key()).await.unwrap().unwrap();
    let kept = *customer.state.top_ups.unwrap();
    let open = kept.open.unwrap();
    assert_eq!((open.id, open.credits, open.lapses_at), (fell.id.into(), request.credits, request.lapses_at));
    assert_eq!((kept.last_at, kept.month_credits), (fell.recorded_at, credits("18")));
    assert_eq!(customer.state.next_due, Some(request.charge_until()));
    assert_eq!(due(&rig).await, 0);
    rig.now = request.charge_until();
    assert_eq!(due(&rig).await, 1);
    assert_eq!(rig.ok(Command::ApplyDue).await.posting.kind, Kind::RequestTopUp);
    assert_eq!((due(&rig).await, rig.rejected(Command::ApplyDue).await), (0, Rejection::NothingDue));
    // Answered with too little, after the cool-down: a request of its own, for what the cap leaves.
    rig.now = rig.now.plus_seconds(7_200);
    rig.ok(purchase("o2", "1")).await;
    rig = rig.reopen().await;
    assert_eq!(asked(&rig).await, ["ADJUST_BALANCE 18", "REQUEST_TOP_UP 18", "PURCHASE_CREDITS 12"]);
    // Enough: nothing is in flight, and nobody looks any more.
    rig.ok(purchase("o3", "17")).await;
    rig.now = rig.now.plus_days(40);
    while due(&rig).await > 0 {
        assert_eq!(rig.rejected(Command::ApplyDue).await, Rejection::NothingDue);
    }
    let customer = rig.reader.customer(rig.key()).await.unwrap().unwrap();
    assert_eq!((customer.state.next_due, customer.state.top_ups.unwrap().open), (None, None));
    clean(&rig).await;
}

async fn a_batch_makes_one_request_and_its_purchase_answers_it(mut rig: Rig) {
    rig.new_customer("acme").await;
    let commands =
        [purchase("o1", "6"), set(None), adjust("-3"), adjust("-1"), purchase("o2", "1"), grant("1")];
    let requests: Vec<_> = commands.into_iter().map(|command| rig.request(command)).collect();
    let outcomes = rig.batch(&requests).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(asked(&rig).await, ["ADJUST_BALANCE 17"]);
    let state = rig.reader.customer(rig.key()).await.unwrap().unwrap().state;
    let cooled = state.top_ups.as_ref().unwrap().last_at.plus_seconds(3_600);
    assert_eq!((state.top_ups.unwrap().open, state.next_due), (None, Some(cooled)));
    // The same again is answered from the journal, and asks for nothing.
    rig.now = cooled;
    assert!(rig.batch(&requests).await.into_iter().all(|outcome| outcome.unwrap().replayed));
    assert_eq!(asked(&rig).await.len(), 1);
    rig.ok(Command::ApplyDue).await;
    assert_eq!(asked(&rig).await, ["ADJUST_BALANCE 17", "REQUEST_TOP_UP 16"]);
    clean(&rig).await;
}

async fn what_failed_was_taken_back_or_fired_is_kept_over_a_restart(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "10")).await;
    rig.ok(set(None)).await;
    let alerts = Alerts::new(vec![Threshold::Credits(credits("5"))]).map(Arc::new);
    rig.ok(Command::SetBalanceAlerts(SetBalanceAlerts { alerts })).await;
    let fell = rig.ok(adjust("-5.5")).await.posting;
    assert_eq!((fell.detail.low.len(), fell.detail.top_up.is_some()), (1, true));
    rig = rig.reopen().await;
    let report = ReportTopUp { top_up: fell.id.into(), answer: TopUpAnswer::Declined };
    let declined = rig.ok(Command::ReportTopUp(report)).await.posting;
    // Above it, and not by the margin.
    rig.ok(grant("1")).await;
    rig = rig.reopen().await;
    let below = rig.ok(adjust("-1")).await.posting;
    assert_eq!(below.detail.low, []);
    rig.ok(refund("o1", "4.5", OnShortfall::Reject)).await;
    rig = rig.reopen().await;
    let state = rig.reader.customer(rig.key()).await.unwrap().unwrap().state;
    let kept = *state.top_ups.unwrap();
    assert_eq!((kept.open, kept.failures), (None, 1));
    assert_eq!(kept.retry_at, Some(declined.recorded_at.plus_seconds(3_600)));
    assert_eq!((state.fired, state.top_ups_paused), (fell.detail.low.clone(), true));
    rig.now = rig.now.plus_days(3);
    assert_eq!(rig.rejected(Command::ApplyDue).await, Rejection::NothingDue);
    assert_eq!(due(&rig).await, 0, "nobody looks again");
    clean(&rig).await;
    rig.ok(place_parked("i", "3")).await;
    assert_eq!(asked(&rig).await, ["ADJUST_BALANCE 15.5", "PLACE_HOLD 20"]);
    clean(&rig).await;
}

#[tokio::test]
async fn a_request_that_nobody_would_look_for_is_a_fault() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    rig.ok(set(None)).await;
    rig.writer.close().await.unwrap();
    let alter = |alter: &dyn Fn(&mut CustomerState)| {
        let database = Connection::open(rig.path()).unwrap();
        let state: Vec<u8> = database.query_row("SELECT state FROM customer", [], |row| row.get(0)).unwrap();
        let mut changed: CustomerState = decode(&state).unwrap();
        alter(&mut changed);
        let next_due = changed.next_due.map(Timestamp::micros);
        let sql = "UPDATE customer SET state = ?, next_due = ?";
        database.execute(sql, params![encode(&changed), next_due]).unwrap();
    };
    let faults = async || {
        let auditor = open_to_read(&format!("sqlite://{}", rig.path().display())).await.unwrap();
        audit::verify(&*auditor, |_| ()).await.unwrap().faults.join("\n")
    };
    assert_eq!(faults().await, "");
    alter(&|state| state.next_due = state.next_due.map(|due| due.plus_seconds(1)));
    assert!(faults().await.contains("customer acme: it would be looked at too late"), "{}", faults().await);
    alter(&|state| state.next_due = state.next_due.map(|due| due.plus_seconds(-1)));
    assert_eq!(faults().await, "");
    alter(&|state| Arc::make_mut(state.top_ups.as_mut().unwrap()).month_credits = Credits::ZERO);
    assert!(faults().await.contains("not those that the journal gives"), "{}", faults().await);
}
