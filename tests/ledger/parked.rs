//! The queue of parked holds: whatever leaves it lets those behind move up in the same posting.

use creditledger::ledger::commands::{Command, EstimateIncident, Quote};

use crate::desk::{
    Desk, START, close_incident, confirm, credits, decline, estimate, estimate_command, grant, place,
    place_parked, place_with, release, settle, transfers, work,
};

/// Parks `next` of 5 and `last` of 3 where less than 3 is available, then brings in 6: none of them is first.
fn park_behind(desk: &mut Desk) {
    desk.ok(place_parked("next", "5"));
    desk.ok(place_parked("last", "3"));
    desk.ok(grant("6"));
    assert_eq!(["next", "last"].map(|hold| desk.hold(hold).state.name()), NONE);
}

/// A desk with 6 credits and the parked hold `big` of 100 before the others.
fn queue() -> Desk {
    let mut desk = Desk::new();
    desk.ok(place_parked("big", "100"));
    park_behind(&mut desk);
    desk
}

/// What the command moves, and the state of the holds behind the head of the queue.
#[track_caller]
fn moves_up(desk: &mut Desk, command: Command, moved: &str, states: [&str; 2]) {
    let answer = desk.ok(command);
    assert_eq!(transfers(&answer), moved);
    assert_eq!(["next", "last"].map(|hold| desk.hold(hold).state.name()), states);
}

const ONE: [&str; 2] = ["ACTIVE", "AWAITING_CREDITS"];
const BOTH: [&str; 2] = ["ACTIVE", "ACTIVE"];
const NONE: [&str; 2] = ["AWAITING_CREDITS", "AWAITING_CREDITS"];

#[test]
fn a_parked_hold_that_goes_away_lets_those_behind_it_move_up() {
    for leave in [decline("big"), release("big"), close_incident("big")] {
        moves_up(&mut queue(), leave, "available > held 5", ONE);
    }
    // What stands before those that fit still holds them back.
    moves_up(&mut queue(), grant("20"), "promotions > available 20", NONE);
    moves_up(&mut queue(), decline("last"), "", ["AWAITING_CREDITS", "DECLINED"]);
}

#[test]
fn a_parked_hold_that_expires_lets_those_behind_it_move_up() {
    let mut desk = Desk::new();
    let due = EstimateIncident {
        expires_at: Some(START.plus_days(1)),
        ..estimate_command("big", Quote::Credits(credits("100")))
    };
    desk.ok(place_with(due, true));
    park_behind(&mut desk);
    desk.pass_days(2);
    moves_up(&mut desk, Command::ApplyDue, "available > held 5", ONE);
    assert_eq!((desk.hold("big").state.name(), desk.balances().as_str()), ("EXPIRED", "1 5 0"));
}

/// A desk with 6 free credits, whose hold `i` of 2 has a parked rise to 100 before the parked holds.
fn rise() -> Desk {
    let mut desk = Desk::with("2");
    desk.ok(place("i", "2"));
    desk.ok(estimate("i", "100"));
    desk.ok(confirm("i", true));
    park_behind(&mut desk);
    assert_eq!(desk.balances(), "6 2 0");
    desk
}

#[test]
fn a_parked_rise_that_goes_away_lets_those_behind_it_move_up() {
    moves_up(&mut rise(), decline("i"), "available > held 5", ONE);
    moves_up(&mut rise(), release("i"), "held > available 2, available > held 8", BOTH);
    // The whole hold is charged: nothing comes back, and yet the queue has moved.
    let mut desk = rise();
    desk.ok(work("i", 60));
    moves_up(&mut desk, settle("i"), "held > revenue 2, available > held 5", ONE);
}

#[test]
fn a_parked_rise_that_expires_lets_those_behind_it_move_up() {
    let mut desk = Desk::with("2");
    desk.ok(place("i", "2"));
    desk.ok(estimate("i", "100"));
    desk.ok(confirm("i", true));
    desk.pass_days(7);
    park_behind(&mut desk);
    desk.pass_days(8);
    moves_up(&mut desk, Command::ApplyDue, "available > held 5", ONE);
    assert_eq!((desk.hold("i").state.name(), desk.balances().as_str()), ("ACTIVE", "1 7 0"));
}
