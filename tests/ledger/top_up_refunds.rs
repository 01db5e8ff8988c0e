//! Top-ups after something was taken back: nothing of it sets off a request, and what ends that.

use creditledger::ledger::commands::{Change, Command, OnShortfall, ReopenCustomer, SetCustomerTerms};
use creditledger::ledger::{Credits, TopUp};

use crate::desk::{
    Desk, adjust, charge, charge_back, confirm, credits, estimate, extend, grant, id, place, place_parked,
    place_timed, purchase, refund, release, resolve, settle, work,
};
use crate::top_ups::{CLOSE, DAY, asked, flies, set, settings, story, tell};
use Command::ApplyDue;

/// A customer with 10 of one purchase, asked for a top-up below 5, who gives steps before something is taken back.
fn agreed(steps: Vec<Command>) -> Desk {
    let mut desk = Desk::with("10");
    desk.ok(set(settings(None)));
    for step in steps {
        desk.ok(step);
    }
    desk
}

#[test]
fn what_is_taken_back_and_what_follows_from_it_sets_off_no_request() {
    let give_back = |amount: &str| refund("first", amount, OnShortfall::Receivable);
    let nothing: Vec<Command> = Vec::new();
    let row = |before: &[Command], taken: Command, after: Vec<Command>| (before.to_vec(), taken, after);
    for (before, taken, after) in [
        // A full refund, a dispute, and a part that leaves too little.
        row(&[], give_back("10"), nothing.clone()),
        row(&[], charge_back("first", None), nothing.clone()),
        row(&[], give_back("5.5"), nothing.clone()),
        // A debt, and what repays it.
        row(&[charge("w", 240)], charge_back("first", None), vec![grant("3"), grant("6")]),
        row(&[charge("w", 240)], give_back("10"), vec![adjust("8.5")]),
        // The decision, either way; a refund that is undone in part by what was used.
        row(&[charge("w", 60)], charge_back("first", None), vec![resolve("first", false)]),
        row(&[charge("w", 180)], charge_back("first", None), vec![resolve("first", true)]),
        row(&[charge("w", 180)], charge_back("first", Some("3")), vec![]),
        // What others do, and what was agreed before.
        row(&[grant("6")], give_back("10"), vec![adjust("-2")]),
        row(&[place("i", "3")], give_back("7"), vec![release("i")]),
        row(&[place_timed("i", 60), work("i", 30)], give_back("8"), vec![settle("i")]),
        row(&[place_parked("i", "11")], give_back("10"), vec![grant("12")]),
        row(&[], give_back("10"), vec![CLOSE(), Command::ReopenCustomer(ReopenCustomer)]),
    ] {
        let shown = format!("{before:?}, {taken:?}, {after:?}");
        let mut desk = agreed(before);
        let skip = desk.book.journal().len();
        desk.ok(taken);
        for step in after {
            desk.ok(step);
            assert!(desk.balances().split(' ').next().unwrap().parse::<f64>().unwrap() < 5.0, "{shown}");
        }
        // The sweeper finds nothing, now and for months; nor does the next look of a reader.
        for _ in 0..4 {
            let _ = desk.run(ApplyDue);
            assert_eq!(desk.state().top_up_due(), None, "{shown}");
            desk.pass_days(20);
        }
        assert_eq!((asked(&desk, skip), desk.state().state.top_ups_paused), (vec![], true), "{shown}");
        // A purchase ends it; what the customer uses after that asks.
        desk.ok(purchase("more", "40"));
        let left = desk.state().balances.available.units() - 45_000;
        desk.ok(place("more", &Credits::from_units(left).to_string()));
        assert_eq!(asked(&desk, skip), ["15.5"], "{shown}");
    }
}

#[test]
fn after_something_was_taken_back_the_customers_own_use_asks_again() {
    let without_charge = SetCustomerTerms { package: Change::Set(id("gold")), ..Default::default() };
    let renewal = SetCustomerTerms { charge: credits("1"), ..without_charge.clone() };
    let more = TopUp { below: credits("6"), ..settings(None) };
    // 10 of `first` and 14 of grants; 4 are left.
    for (step, request) in [
        (place("i", "1"), &["17"][..]),
        (place("i", "0"), &[]),
        (estimate("i", "1"), &[]),
        (confirm("quoted", false), &["17"]),
        (confirm("large", true), &["16"]), // it waits, and asks for what is missing to the target
        (place_parked("i", "9"), &["16"]),
        (extend("held", "1"), &["17"]),
        (work("held", 5), &[]),
        (charge("i", 60), &["18"]),
        (settle("worked"), &["17"]), // 1 more than it held
        (release("held"), &[]),
        (Command::SetCustomerTerms(renewal), &["17"]),
        (Command::SetCustomerTerms(without_charge), &[]),
        (set(more), &["16"]), // agreed anew
        (adjust("-1"), &[]),
        (purchase("b", "0.5"), &["15.5"]),
        (grant("0.5"), &[]),
    ] {
        let mut desk = agreed(vec![
            grant("14"),
            place_timed("held", 90),
            place_timed("worked", 60),
            work("worked", 90),
            estimate("quoted", "1"),
            estimate("large", "9"),
            adjust("-5"),
            refund("first", "10", OnShortfall::WriteOff),
        ]);
        assert_eq!(desk.balances(), "4 5 0");
        let skip = desk.book.journal().len();
        desk.ok(step.clone());
        assert_eq!(asked(&desk, skip), request, "{step:?}");
        let goes_on = !request.is_empty();
        assert_eq!(desk.state().state.top_ups_paused, !goes_on, "{step:?}");
    }
}

#[test]
fn what_is_taken_back_leaves_a_request_in_flight_and_asks_for_no_other() {
    let mut desk = story(
        settings(None),
        &[(0, adjust("-6"), &["16"]), (0, refund("first", "4", OnShortfall::Reject), &[])],
    );
    assert!(flies(&desk));
    tell(&mut desk, &[(2 * DAY, ApplyDue, &[]), (0, grant("1"), &[]), (0, place("i", "1"), &["20"])]);
    // Without settings nothing is remembered: a customer who never agreed has the row that it had.
    let mut desk = Desk::with("10");
    desk.ok(refund("first", "10", OnShortfall::Reject));
    assert!(!desk.state().state.top_ups_paused);
    tell(&mut desk, &[(0, set(settings(None)), &["20"])]);
}
