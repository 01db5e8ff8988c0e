//! Top-ups that are not paid at once: pending payments, declines, what lapses, and when requests end.

use std::sync::Arc;

use creditledger::ledger::book::Book;
use creditledger::ledger::commands::{
    Change, Command, OnShortfall, ReopenCustomer, ReportTopUp, SetCustomerTerms,
};
use creditledger::ledger::event::{EventType, events};
use creditledger::ledger::ids::TopUpId;
use creditledger::ledger::rules::Rules;
use creditledger::ledger::top_up::{TopUpAct, TopUpAnswer, TopUpRequest};
use creditledger::ledger::{Credits, CustomerKey, Kind, LedgerNo, Posting, Rejection};

use crate::desk::{Desk, START, adjust, credits, grant, id, place, purchase, refund};
use crate::top_ups::{CLOSE, DAY, HOUR, asked, flies, set, settings, story, tell};
use Command::ApplyDue;

/// A report of the request that was made last.
fn report(desk: &Desk, answer: TopUpAnswer) -> Command {
    let made = desk.book.journal().iter().rev().find(|posting| posting.detail.top_up.is_some());
    Command::ReportTopUp(ReportTopUp { top_up: made.map(|made| made.id.into()).unwrap_or_default(), answer })
}

/// Minutes later, the payment of the last request turns out to be declined.
#[track_caller]
fn decline(desk: &mut Desk, minutes: i64) {
    let report = report(desk, TopUpAnswer::Declined);
    tell(desk, &[(minutes, report, &[])]);
}

/// Minutes later, the payment of the last request is pending for so many more.
#[track_caller]
fn pend(desk: &mut Desk, minutes: i64, more: i64) {
    let until = desk.book.now.plus_seconds((minutes + more) * 60);
    let report = report(desk, TopUpAnswer::Pending(until));
    tell(desk, &[(minutes, report, &[])]);
}

/// The kinds of postings that told that top-ups are suspended.
fn suspended(desk: &Desk) -> Vec<Kind> {
    let told = |posting: &&Arc<Posting>| {
        events(posting).iter().any(|event| event.event == EventType::TopUpSuspended)
    };
    desk.book.journal().iter().filter(told).map(|posting| posting.kind).collect()
}

#[test]
fn a_pending_payment_lets_a_request_stand_longer() {
    let mut desk = story(settings(Some("18")), &[(0, adjust("-8"), &["18"])]);
    pend(&mut desk, DAY - 1, 3 * DAY);
    tell(
        &mut desk,
        &[(3 * DAY - 1, ApplyDue, &[]), (0, purchase("2", "1"), &[]), (30 * DAY, adjust("-1"), &["18"])],
    );
    // It lapses then, and waits as any other.
    pend(&mut desk, 60, 2 * DAY);
    tell(&mut desk, &[(2 * DAY + HOUR - 1, ApplyDue, &[]), (1, ApplyDue, &["18"])]);
    // It never stands shorter for it.
    pend(&mut desk, 60, 60);
    let lapses_at = desk.state().state.top_ups.as_ref().unwrap().open.unwrap().lapses_at;
    assert!(lapses_at > desk.book.now.plus_seconds((DAY - HOUR - 1) * 60));
    // In its last hour, too; it has failed once, then.
    pend(&mut desk, DAY - 60 + 30, 120);
    let kept = *desk.state().state.top_ups.as_deref().unwrap();
    assert_eq!((kept.failures, kept.open.unwrap().lapsed), (2, true));
    tell(&mut desk, &[(120 + HOUR - 1, ApplyDue, &[])]);
    assert_eq!(desk.state().state.top_ups.as_ref().unwrap().failures, 2);
}

#[test]
fn what_declines_or_lapses_waits_longer_each_time_and_then_ends() {
    let mut desk = story(settings(None), &[(0, adjust("-8"), &["18"])]);
    decline(&mut desk, 10);
    tell(&mut desk, &[(HOUR - 1, ApplyDue, &[]), (1, ApplyDue, &["18"])]);
    decline(&mut desk, 10);
    tell(&mut desk, &[(6 * HOUR - 1, adjust("-1"), &[]), (1, ApplyDue, &["19"])]);
    // The third one lapses.
    tell(&mut desk, &[(DAY, ApplyDue, &[]), (DAY - 1, ApplyDue, &[]), (1, ApplyDue, &["19"])]);
    assert_eq!(suspended(&desk), []);
    decline(&mut desk, 10);
    assert_eq!(suspended(&desk), [Kind::ReportTopUp]);
    let last = desk.book.journal().last().unwrap();
    let Some(TopUpAct::Reported(report)) = last.detail.top_up_act else { panic!("{last:?}") };
    assert_eq!(last.detail.top_ups_suspended, Some(report.top_up));
    tell(&mut desk, &[(90 * DAY, ApplyDue, &[]), (0, place("i", "0.5"), &[])]);
    assert_eq!(desk.state().top_up_due(), None);
    // Terms that are set again, to the same, begin anew; other terms do not.
    let gold = SetCustomerTerms { package: Change::Set(id("gold")), ..Default::default() };
    tell(&mut desk, &[(0, Command::SetCustomerTerms(gold), &[]), (0, set(settings(None)), &["19.5"])]);
    decline(&mut desk, 10);
    tell(&mut desk, &[(HOUR, ApplyDue, &["19.5"])]);
    assert_eq!(suspended(&desk).len(), 1);
}

#[test]
fn a_fourth_request_that_nobody_answers_suspends_without_a_command() {
    let lapsed = || {
        let mut desk = story(
            settings(None),
            &[
                (0, adjust("-8"), &["18"]),
                (DAY + HOUR, ApplyDue, &["18"]),
                (DAY + 6 * HOUR, ApplyDue, &["18"]),
                (2 * DAY, ApplyDue, &["18"]),
                (DAY - 1, ApplyDue, &[]),
            ],
        );
        assert_eq!(suspended(&desk), []);
        desk.book.now = desk.book.now.plus_seconds(60);
        desk
    };
    let mut quiet = lapsed();
    tell(&mut quiet, &[(0, ApplyDue, &[]), (0, ApplyDue, &[]), (9 * DAY, ApplyDue, &[])]);
    assert_eq!(suspended(&quiet), [Kind::SuspendTopUps]);
    assert_eq!(quiet.book.journal().last().unwrap().transfers().count(), 0);
    // A purchase ends it. The cool-down is over, so it asks for what is missing still.
    tell(&mut quiet, &[(0, purchase("2", "1"), &["17"])]);
    // A command tells it with its own posting.
    let mut heard = lapsed();
    tell(&mut heard, &[(0, grant("1"), &[]), (0, ApplyDue, &[])]);
    assert_eq!(suspended(&heard), [Kind::GrantCredits]);
    // In its last hour it is charged: nothing was suspended.
    let mut late = lapsed();
    tell(&mut late, &[(30, purchase("2", "18"), &[])]);
    assert_eq!((suspended(&late), flies(&late)), (vec![], false));
    // Terms that are set again then: nothing was suspended, and no second request is made before the hour is over.
    let mut anew = lapsed();
    tell(&mut anew, &[(30, set(settings(None)), &[]), (29, ApplyDue, &[]), (1, ApplyDue, &["18"])]);
    assert_eq!(suspended(&anew), []);
}

#[test]
fn what_lapsed_counts_for_an_hour_more_and_fails_once() {
    let mut desk =
        story(settings(Some("30")), &[(0, adjust("-8"), &["18"]), (DAY + 30, purchase("2", "18"), &[])]);
    // It was charged in its last hour: 12 are left of the cap.
    tell(&mut desk, &[(60, adjust("-16"), &["12"])]);
    let mut desk = story(settings(Some("18")), &[(0, adjust("-8"), &["18"])]);
    decline(&mut desk, DAY + 30);
    let kept = *desk.state().state.top_ups.as_deref().unwrap();
    assert_eq!((kept.failures, kept.open, kept.month_credits), (1, None, Credits::ZERO));
    tell(&mut desk, &[(HOUR - 1, ApplyDue, &[]), (1, ApplyDue, &["18"])]);
}

#[test]
fn a_report_of_what_is_not_in_flight_is_refused_and_leaves_nothing() {
    let report_on = |desk: &Desk, top_up: TopUpId, answer| {
        let Command::ReportTopUp(report) = report(desk, answer) else { unreachable!() };
        Command::ReportTopUp(ReportTopUp { top_up, ..report })
    };
    let mut desk = Desk::with("10");
    assert_eq!(
        desk.rejected(report_on(&Desk::new(), TopUpId::default(), TopUpAnswer::Declined)),
        Rejection::TopUpNotFound
    );
    desk.ok(set(settings(None)));
    tell(&mut desk, &[(0, adjust("-8"), &["18"])]);
    let skip = desk.book.journal().len();
    let other = report_on(&desk, TopUpId::default(), TopUpAnswer::Declined);
    assert_eq!(desk.rejected(other), Rejection::TopUpNotFound);
    let now = desk.book.now;
    for (until, problem) in [
        (now, "must be in the future"),
        (START, "must be in the future"),
        (now.plus_days(32), "must be at most 31 days ahead"),
    ] {
        let refused = desk.rejected(report(&desk, TopUpAnswer::Pending(until)));
        let problem = problem.to_owned();
        assert_eq!(refused, Rejection::InvalidField { field: "pending_until", problem });
    }
    assert_eq!(desk.book.journal().len(), skip);
    // Repeated, it is answered as before; another one comes too late.
    let request = desk.request(report(&desk, TopUpAnswer::Declined));
    let first = desk.send(&request).unwrap();
    assert_eq!(first.posting.transfers().count(), 0);
    assert_eq!(first.about.unwrap().customer.state.top_ups.as_ref().unwrap().open, None);
    assert!(desk.send(&request).unwrap().replayed);
    assert_eq!(desk.rejected(report(&desk, TopUpAnswer::Declined)), Rejection::TopUpNotFound);
    // An hour after it lapsed, and after a purchase, there is none.
    tell(&mut desk, &[(HOUR, ApplyDue, &["18"]), (DAY + HOUR, CLOSE(), &[])]);
    assert_eq!(desk.rejected(report(&desk, TopUpAnswer::Declined)), Rejection::TopUpNotFound);
    desk.ok(Command::ReopenCustomer(ReopenCustomer));
    desk.pass_days(1);
    tell(&mut desk, &[(0, ApplyDue, &["18"]), (0, purchase("2", "18"), &[])]);
    assert_eq!(desk.rejected(report(&desk, TopUpAnswer::Declined)), Rejection::TopUpNotFound);
}

/// What versions before the third rules left: a request at the moment at which the one before lapsed, and one that a refund
/// set off. Both are applied as they were decided, and the next command goes on by the rules of today.
#[test]
fn journals_of_older_rules_stay_as_they_were() {
    let mut desk = Desk::with("10");
    desk.ok(set(settings(None)));
    desk.ok(place("i", "7"));
    desk.book.now = desk.book.now.plus_seconds(DAY * 60);
    desk.ok(grant("1"));
    desk.ok(purchase("second", "20"));
    desk.book.now = desk.book.now.plus_seconds(2 * HOUR * 60);
    desk.ok(refund("second", "20", OnShortfall::Reject));
    let journal = desk.book.journal();
    let replay = |rules: Rules| {
        let mut book = Book::new(desk.book.now, 0, Arc::clone(&desk.book.cards));
        let applied = journal.iter().try_for_each(|posting| {
            let mut posting = Posting::clone(posting);
            posting.detail.rules = rules;
            posting.detail.top_up_act = None;
            if matches!(posting.kind, Kind::GrantCredits | Kind::RefundPurchase) {
                let lapses_at = posting.recorded_at.plus_seconds(DAY * 60);
                let [below, target] = ["5", "20"].map(credits);
                let missing = target.checked_sub(posting.after.available).unwrap();
                let request = TopUpRequest { credits: missing, below, target, lapses_at };
                posting.detail.top_up = Some(Arc::new(request));
            }
            book.apply(&posting)
        });
        (book, applied)
    };
    let (mut book, applied) = replay(Rules::Second);
    assert_eq!(applied, Ok(()));
    assert!(replay(Rules::Third).1.unwrap_err().what.contains("top-up"));
    let key = CustomerKey::of(LedgerNo::MAIN, &id("acme"));
    let state = |book: &Book| book.entry(key).unwrap().customer.as_ref().unwrap().state.clone();
    let older = state(&book);
    assert_eq!((older.top_ups_paused, older.fired.len()), (false, 0));
    let kept = older.top_ups.as_deref().unwrap();
    assert_eq!((kept.failures, kept.retry_at, kept.open.unwrap().lapsed), (0, None, false));
    // The request of the refund lapses, and counts as the first failure.
    book.now = book.now.plus_seconds((DAY + HOUR) * 60);
    std::mem::swap(&mut desk.book, &mut book);
    let skip = desk.book.journal().len();
    desk.ok(ApplyDue);
    assert_eq!(
        (desk.kinds(skip), asked(&desk, skip)),
        (vec!["REQUEST_TOP_UP".to_owned()], vec!["16".to_owned()])
    );
    assert_eq!(desk.state().state.top_ups.as_ref().unwrap().failures, 1);
}
