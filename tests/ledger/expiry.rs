//! What falls due by itself: quotes, parked holds, active holds with an expiry, lots. And that nobody's look decides
//! what happened.

use creditledger::ledger::commands::{Command, EstimateIncident, Quote};
use creditledger::ledger::{Credits, HoldState, Rejection};

use crate::desk::{
    Desk, START, charge, confirm, credits, estimate, estimate_command, extend, grant, place, place_parked,
    place_with, purchase, purchase_until, release, reverse, settle, transfers, void, work,
};

fn expiring(incident: &str, amount: &str, days: u32) -> Command {
    let estimate = estimate_command(incident, Quote::Credits(credits(amount)));
    place_with(EstimateIncident { expires_at: Some(START.plus_days(days)), ..estimate }, false)
}

#[test]
fn quotes_and_parked_holds_lapse_after_fourteen_days() {
    for (step, kind) in
        [(estimate("i", "2"), "EXPIRE_ESTIMATE"), (place_parked("i", "99"), "EXPIRE_ESTIMATE")]
    {
        let mut desk = Desk::with("10");
        desk.ok(step);
        desk.pass_days(13);
        desk.run(grant("1")).unwrap();
        assert!(desk.hold("i").state.is_open());
        desk.pass_days(1);
        let before = desk.book.journal().len();
        desk.ok(grant("1"));
        assert_eq!(desk.kinds(before), [kind, "GRANT_CREDITS"]);
        let hold = desk.hold("i");
        assert_eq!(hold.state, HoldState::Expired);
        assert_eq!(hold.ended_at, Some(hold.created_at.plus_days(14)));
        assert_eq!(desk.state().state.open_holds, 0);
    }
}

#[test]
fn a_pending_quote_lapses_and_the_hold_stays() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "2"));
    desk.ok(estimate("i", "5"));
    desk.pass_days(15);
    assert_eq!(desk.rejected(confirm("i", false)), Rejection::EstimateNotOpen { state: HoldState::Active });
    assert_eq!(desk.balances(), "8 2 0");
}

#[test]
fn active_holds_expire_only_where_told_and_not_once_work_is_recorded() {
    let mut desk = Desk::with("10");
    desk.ok(place("forever", "1"));
    desk.ok(expiring("soon", "2", 3));
    desk.ok(expiring("worked", "3", 3));
    let entry = desk.ok(work("worked", 10)).posting.id;
    desk.pass_days(400);
    let before = desk.book.journal().len();
    desk.ok(grant("1"));
    assert_eq!(desk.kinds(before), ["EXPIRE_HOLD", "GRANT_CREDITS"]);
    let states = ["forever", "soon", "worked"].map(|incident| desk.hold(incident).state);
    assert_eq!(states, [HoldState::Active, HoldState::Expired, HoldState::Active]);
    assert_eq!(desk.balances(), "7 4 0");
    // Work was recorded: that it is voided changes nothing.
    desk.ok(void("worked", entry));
    desk.ok(grant("1"));
    assert_eq!((desk.hold("worked").state, desk.hold("worked").due_at()), (HoldState::Active, None));
    assert_eq!(desk.balances(), "8 4 0");
    desk.ok(release("worked"));
    assert_eq!(desk.balances(), "11 1 0");
}

/// Until now voiding the only work made a hold due: rows of older versions say so.
#[test]
fn a_hold_that_older_versions_thought_due_is_looked_at_once_and_stays() {
    let mut desk = Desk::with("10");
    desk.ok(expiring("i", "3", 3));
    let entry = desk.ok(work("i", 10)).posting.id;
    desk.ok(void("i", entry));
    assert!(desk.hold("i").is_watched(), "the column of the stores means the same for all versions");
    let key = desk.state().key();
    desk.book.set_next_due(key, Some(START.plus_days(3)));
    desk.pass_days(4);
    assert_eq!(desk.rejected(Command::ApplyDue), Rejection::NothingDue);
    assert_eq!((desk.state().state.next_due, desk.hold("i").state), (None, HoldState::Active));
}

#[test]
fn what_was_due_stands_even_where_the_command_is_rejected() {
    let mut desk = Desk::with("10");
    desk.ok(expiring("soon", "2", 3));
    desk.pass_days(4);
    assert!(matches!(desk.rejected(extend("soon", "1")), Rejection::HoldNotActive { .. }));
    assert_eq!(desk.balances(), "10 0 0");
}

#[test]
fn lots_expire_for_what_holds_do_not_cover() {
    let mut desk = Desk::new();
    desk.ok(purchase_until("a", "5", START.plus_days(10)));
    desk.ok(purchase("b", "5"));
    desk.ok(place("i", "3"));
    desk.pass_days(11);
    let before = desk.book.journal().len();
    desk.ok(grant("1"));
    assert_eq!(desk.kinds(before), ["EXPIRE_CREDITS", "GRANT_CREDITS"]);
    // 3 of lot a are covered by the hold and burn first.
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("6 3 0", "3 1 5"));
    let released = desk.ok(release("i"));
    assert_eq!(transfers(&released), "held > available 3, available > expired 3");
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("6 0 0", "1 5"));
}

#[test]
fn covered_expired_credits_pay_for_the_work_they_cover() {
    let mut desk = Desk::new();
    desk.ok(purchase_until("a", "5", START.plus_days(10)));
    desk.ok(purchase("b", "5"));
    desk.ok(place("i", "4"));
    desk.ok(work("i", 90));
    desk.pass_days(11);
    let settled = desk.ok(settle("i"));
    // 3 are charged from lot a; the fourth goes back into it and expires at once; the fifth was due before.
    assert_eq!(transfers(&settled), "held > revenue 3, held > available 1, available > expired 1");
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("5 0 0", "5"));
}

#[test]
fn credits_reversed_into_an_expired_lot_expire_at_once() {
    let mut desk = Desk::new();
    desk.ok(purchase_until("a", "3", START.plus_days(10)));
    desk.ok(purchase("b", "5"));
    desk.ok(place("i", "4"));
    desk.ok(work("i", 120));
    desk.ok(settle("i"));
    desk.pass_days(11);
    // b was burned last and comes back first; then a, which is gone.
    assert_eq!(
        transfers(&desk.ok(reverse("i", Some("1.5")))),
        "revenue > available 1.5, available > expired 0.5"
    );
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("5 0 0", "5"));
    assert_eq!(transfers(&desk.ok(reverse("i", None))), "revenue > available 2.5, available > expired 2.5");
    assert_eq!(desk.balances(), "5 0 0");
}

#[test]
fn things_fall_due_in_their_own_order_however_late_somebody_looks() {
    // A lot expires on day 5; a hold that covers it on day 7; a parked hold waits for what it gives back.
    let steps = |desk: &mut Desk| {
        desk.ok(purchase_until("a", "4", START.plus_days(5)));
        desk.ok(purchase("b", "4"));
        desk.ok(expiring("covers", "6", 7));
        desk.ok(place_parked("waits", "3"));
    };
    let mut late = Desk::new();
    steps(&mut late);
    late.pass_days(9);
    late.ok(grant("0.5"));
    let mut often = Desk::new();
    steps(&mut often);
    for _ in 0..9 {
        often.pass_days(1);
        // A sweeper that looks every day.
        let _ = often.run(Command::ApplyDue);
    }
    often.ok(grant("0.5"));
    // Day 5: nothing of a is uncovered. Day 7: 6 go back, 4 of them expire; 4 are left, 3 are taken by the parked one.
    for desk in [&late, &often] {
        assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("1.5 3 0", "0.5 4"));
        assert_eq!(desk.hold("waits").state, HoldState::Active);
        assert_eq!(desk.hold("covers").ended_at, Some(START.plus_days(7)));
    }
    assert_eq!(late.run(Command::ApplyDue), Err(Rejection::NothingDue));
    assert_eq!(late.state().state.next_due, None);
}

#[test]
fn a_purchase_that_is_expired_already_is_a_wrong_field() {
    let mut desk = Desk::new();
    let now = desk.book.now;
    let refused = desk.rejected(purchase_until("a", "1", now));
    assert!(matches!(refused, Rejection::InvalidField { field: "expires_at", .. }));
    assert_eq!(desk.state().balances.available, Credits::ZERO);
}

#[test]
fn a_lot_that_gets_credits_back_falls_due_again() {
    let mut desk = Desk::new();
    desk.ok(purchase_until("a", "2", START.plus_days(30)));
    desk.ok(charge("i", 60));
    // The lot is spent when somebody looks, so nothing of it seems to fall due any more.
    desk.ok(estimate("j", "1"));
    desk.pass_days(15);
    desk.ok(Command::ApplyDue);
    desk.ok(reverse("i", None));
    assert_eq!(desk.balances(), "2 0 0");
    desk.pass_days(30);
    desk.ok(Command::ApplyDue);
    assert_eq!(
        (desk.balances().as_str(), desk.kinds(0).last().unwrap().as_str()),
        ("0 0 0", "EXPIRE_CREDITS")
    );
}

#[test]
fn a_hold_is_not_placed_once_it_would_be_due() {
    // Its credits would be set aside after they were to be given back.
    for park in [false, true] {
        let mut desk = Desk::with("1");
        let quoted = estimate_command("i", Quote::Credits(credits(if park { "9" } else { "1" })));
        desk.ok(Command::EstimateIncident(EstimateIncident {
            expires_at: Some(START.plus_days(3)),
            ..quoted
        }));
        if park {
            desk.ok(confirm("i", true));
        }
        desk.pass_days(4);
        desk.ok(grant("9"));
        assert_eq!(desk.hold("i").ended_at, Some(START.plus_days(3)));
        assert_eq!(
            desk.rejected(confirm("i", false)),
            Rejection::EstimateNotOpen { state: HoldState::Expired }
        );
        assert_eq!(desk.balances(), "10 0 0");
    }
}
