//! The events that follow from postings.

use creditledger::ledger::commands::{Command, OnShortfall};
use creditledger::ledger::event::events;

use crate::desk::{
    Desk, START, adjust, charge, charge_back, close_incident, confirm, decline, estimate, extend, grant,
    place, place_parked, place_timed, purchase, purchase_until, refund, release, resolve, reverse, settle,
    work,
};

/// The events since the first `skip` postings: `type amount`.
fn told(desk: &Desk, skip: usize) -> Vec<String> {
    let told = desk.book.journal()[skip..].iter().flat_map(|posting| events(posting));
    told.map(|event| format!("{} {}", event.event, event.credits.unwrap_or_default())).collect()
}

#[track_caller]
fn row(before: &[Command], command: Command, expected: &[&str]) {
    let mut desk = Desk::with("10");
    for step in before {
        desk.ok(step.clone());
    }
    let skip = desk.book.journal().len();
    let _ = desk.run(command);
    assert_eq!(told(&desk, skip), expected);
}

#[test]
fn each_command_tells_what_happened() {
    row(&[], purchase("2", "5"), &["purchase.completed 5"]);
    row(&[], grant("5"), &["credits.granted 5"]);
    row(&[], adjust("5"), &["credits.adjusted 5"]);
    row(&[], adjust("-5"), &["credits.adjusted -5"]);
    row(&[], estimate("i", "2"), &["hold.quoted 2"]);
    row(&[], estimate("i", "12"), &["hold.quoted 12", "credits.shortfall 2"]);
    row(&[], place("i", "2"), &["hold.placed 2"]);
    row(&[], place("i", "12"), &["credits.shortfall 2"]);
    row(&[], place_parked("i", "12"), &["hold.awaiting_credits 12", "credits.shortfall 2"]);
    row(&[estimate("i", "2")], confirm("i", false), &["hold.placed 2"]);
    row(&[estimate("i", "2")], decline("i"), &["hold.declined 2"]);
    row(&[estimate("i", "2")], close_incident("i"), &["hold.declined 2"]);
    row(&[place("i", "2"), estimate("i", "3")], confirm("i", false), &["hold.extended 3"]);
    row(&[place_timed("i", 60)], extend("i", "3"), &["hold.extended 5"]);
    row(&[place("i", "2")], release("i"), &["hold.released 2"]);
    row(&[place("i", "2")], close_incident("i"), &["hold.released 2"]);
    row(&[place("i", "2"), work("i", 45)], close_incident("i"), &["settlement.completed 1.5"]);
    row(&[place("i", "2")], settle("i"), &["settlement.completed 1"]);
    row(&[], charge("i", 60), &["settlement.completed 2"]);
    row(&[charge("i", 60)], reverse("i", None), &["settlement.reversed 2"]);
    row(&[], refund("first", "4", OnShortfall::Reject), &["purchase.refunded 4"]);
    row(&[charge("i", 60)], charge_back("first", None), &["purchase.disputed 10", "balance.depleted 0"]);
    row(&[charge_back("first", None)], resolve("first", true), &["balance.recovered 10"]);
}

#[test]
fn work_that_nearly_uses_the_hold_is_told_once() {
    row(&[place("i", "5")], work("i", 119), &[]);
    row(&[place("i", "5")], work("i", 120), &["hold.nearly_used 5"]);
    row(&[place("i", "5"), work("i", 120)], work("i", 10), &[]);
    row(&[place("i", "5")], work("i", 600), &["hold.nearly_used 5", "credits.shortfall 10"]);
}

#[test]
fn an_unchanged_shortfall_is_told_once_however_often_it_is_quoted() {
    row(&[estimate("i", "12")], estimate("i", "12"), &["hold.quoted 12"]);
    row(&[estimate("i", "12"), estimate("i", "12")], estimate("i", "12"), &["hold.quoted 12"]);
    row(&[estimate("i", "12")], estimate("i", "13"), &["hold.quoted 13", "credits.shortfall 3"]);
}

#[test]
fn what_follows_from_new_credits_is_told_after_them() {
    row(
        &[place_parked("i", "12"), place("j", "3")],
        purchase("2", "5"),
        &["purchase.completed 5", "hold.activated 12", "balance.depleted 0"],
    );
    row(
        &[place("i", "2"), estimate("i", "12"), confirm("i", true)],
        purchase("2", "5"),
        &["purchase.completed 5", "hold.extended 12"],
    );
}

#[test]
fn what_falls_due_is_told() {
    let mut desk = Desk::new();
    desk.ok(purchase_until("a", "5", START.plus_days(3)));
    desk.ok(estimate("i", "1"));
    desk.pass_days(20);
    let skip = desk.book.journal().len();
    let _ = desk.run(Command::ApplyDue);
    assert_eq!(told(&desk, skip), ["credits.expired 5", "balance.depleted 0", "hold.expired 1"]);
}
