//! The life of a hold: every arrow of the product, and every arrow that is not there.

use creditledger::ledger::commands::Command;
use creditledger::ledger::{HoldState, Rejection};

use crate::desk::{
    Desk, charge, close_incident, confirm, decline, estimate, extend, place, place_parked, place_timed,
    purchase, release, reverse, settle, work,
};

/// A desk with 10 credits and the hold `i` in `state`.
fn desk_in(state: &str) -> Desk {
    let mut desk = Desk::with("10");
    let steps: Vec<Command> = match state {
        "QUOTED" => vec![estimate("i", "2")],
        "AWAITING_CREDITS" => vec![place_parked("i", "12")],
        "ACTIVE" => vec![place_timed("i", 60)],
        "ACTIVE with a confirmed quote" => vec![place("i", "2")],
        "ACTIVE with work" => vec![place_timed("i", 60), work("i", 45)],
        "ACTIVE with a pending quote" => vec![place_timed("i", 60), estimate("i", "3")],
        "ACTIVE with a parked quote" => vec![place_timed("i", 60), estimate("i", "12"), confirm("i", true)],
        "SETTLED" => vec![place("i", "2"), settle("i")],
        "RELEASED" => vec![place("i", "2"), release("i")],
        "DECLINED" => vec![estimate("i", "2"), decline("i")],
        "EXPIRED" => {
            desk.ok(estimate("i", "2"));
            desk.pass_days(15);
            vec![purchase("later", "1")]
        }
        other => panic!("unknown state {other}"),
    };
    for step in steps {
        desk.ok(step);
    }
    desk
}

/// The state that the command leads to, or the name of the rejection.
fn outcome(state: &str, command: Command) -> String {
    let mut desk = desk_in(state);
    let before = desk.hold("i").clone();
    let journal = desk.book.journal().len();
    match desk.run(command) {
        Ok(_) => desk.hold("i").state.name().to_owned(),
        Err(rejection) => {
            assert_eq!(desk.hold("i"), &before, "a rejection changed the hold");
            assert!(desk.kinds(journal).iter().all(|kind| kind == "NOTE_SHORTFALL"));
            let shown = format!("{rejection:?}");
            shown.split([' ', '{']).next().unwrap().to_owned()
        }
    }
}

#[test]
fn every_arrow_and_every_missing_one() {
    let not_active = "HoldNotActive";
    let not_open = "EstimateNotOpen";
    let not_settled = "HoldNotSettled";
    let exists = "HoldExists";
    // state: confirm, decline, extend, work, settle, release, close, reverse, estimate anew, place anew
    let table = [
        (
            "QUOTED",
            [
                "ACTIVE",
                "DECLINED",
                not_active,
                not_active,
                not_active,
                not_active,
                "DECLINED",
                not_settled,
                "QUOTED",
                exists,
            ],
        ),
        (
            "AWAITING_CREDITS",
            [
                not_open,
                "DECLINED",
                not_active,
                not_active,
                not_active,
                "RELEASED",
                "RELEASED",
                not_settled,
                exists,
                exists,
            ],
        ),
        (
            "ACTIVE",
            [
                not_open,
                not_open,
                "ACTIVE",
                "ACTIVE",
                "SETTLED",
                "RELEASED",
                "RELEASED",
                not_settled,
                "ACTIVE",
                exists,
            ],
        ),
        (
            "ACTIVE with a confirmed quote",
            [
                not_open,
                not_open,
                "QuoteConfirmed",
                "ACTIVE",
                "SETTLED",
                "RELEASED",
                "RELEASED",
                not_settled,
                "ACTIVE",
                exists,
            ],
        ),
        (
            "ACTIVE with work",
            [
                not_open,
                not_open,
                "ACTIVE",
                "ACTIVE",
                "SETTLED",
                "WorkRecorded",
                "SETTLED",
                not_settled,
                "ACTIVE",
                exists,
            ],
        ),
        (
            "ACTIVE with a pending quote",
            [
                "ACTIVE",
                "ACTIVE",
                "ACTIVE",
                "ACTIVE",
                "SETTLED",
                "RELEASED",
                "RELEASED",
                not_settled,
                "ACTIVE",
                exists,
            ],
        ),
        (
            "ACTIVE with a parked quote",
            [
                not_open,
                "ACTIVE",
                "ACTIVE",
                "ACTIVE",
                "SETTLED",
                "RELEASED",
                "RELEASED",
                not_settled,
                exists,
                exists,
            ],
        ),
        (
            "SETTLED",
            [
                not_open, not_open, not_active, not_active, not_active, not_active, not_active, "SETTLED",
                "QUOTED", "ACTIVE",
            ],
        ),
        (
            "RELEASED",
            [
                not_open,
                not_open,
                not_active,
                not_active,
                not_active,
                not_active,
                not_active,
                not_settled,
                "QUOTED",
                "ACTIVE",
            ],
        ),
        (
            "DECLINED",
            [
                not_open,
                not_open,
                not_active,
                not_active,
                not_active,
                not_active,
                not_active,
                not_settled,
                "QUOTED",
                "ACTIVE",
            ],
        ),
        (
            "EXPIRED",
            [
                not_open,
                not_open,
                not_active,
                not_active,
                not_active,
                not_active,
                not_active,
                not_settled,
                "QUOTED",
                "ACTIVE",
            ],
        ),
    ];
    for (state, expected) in table {
        let commands = [
            confirm("i", false),
            decline("i"),
            extend("i", "1"),
            work("i", 10),
            settle("i"),
            release("i"),
            close_incident("i"),
            reverse("i", None),
            estimate("i", "4"),
            place("i", "4"),
        ];
        for (command, expected) in commands.into_iter().zip(expected) {
            assert_eq!(outcome(state, command.clone()), expected, "{state}: {command:?}");
        }
    }
}

#[test]
fn a_hold_that_does_not_exist_is_not_found() {
    for command in [
        confirm("x", false),
        decline("x"),
        extend("x", "1"),
        work("x", 1),
        settle("x"),
        release("x"),
        close_incident("x"),
        reverse("x", None),
    ] {
        assert_eq!(Desk::with("10").rejected(command), creditledger::ledger::Rejection::HoldNotFound);
    }
}

#[test]
fn a_new_estimate_supersedes_a_quoted_one() {
    let mut desk = Desk::with("10");
    let first = desk.ok(estimate("i", "2")).hold.unwrap().id;
    let second = desk.ok(estimate("i", "3"));
    let other: Vec<_> = second.posting.detail.others.iter().map(|hold| (hold.id, hold.state)).collect();
    assert_eq!(other, [(first, HoldState::Superseded)]);
    assert_eq!(desk.state().state.open_holds, 1);
    desk.ok(confirm("i", false));
    assert_eq!(desk.balances(), "7 3 0");
}

#[test]
fn parked_holds_are_activated_by_credits() {
    let mut desk = desk_in("AWAITING_CREDITS");
    assert_eq!(desk.balances(), "10 0 0");
    desk.ok(purchase("more", "2"));
    assert_eq!(desk.hold("i").state, HoldState::Active);
    assert_eq!(desk.balances(), "0 12 0");
}

#[test]
fn a_customer_has_so_many_open_holds_and_no_more() {
    let mut desk = Desk::with("10");
    desk.book.open_holds_max = 3;
    // One of each state that is open.
    desk.ok(estimate("quoted", "1"));
    desk.ok(place_parked("parked", "20"));
    desk.ok(place("active", "1"));
    let full = Rejection::TooManyOpenHolds { max: 3 };
    for command in [estimate("more", "1"), place("more", "1"), place_parked("more", "20")] {
        assert_eq!(desk.rejected(command), full);
        assert_eq!(desk.state().state.open_holds, 3);
    }
    // The incident's own open hold is the nearer reason, and what opens no further hold goes on.
    assert!(matches!(desk.rejected(place("active", "1")), Rejection::HoldExists { .. }));
    desk.ok(estimate("quoted", "2"));
    desk.ok(estimate("active", "2"));
    desk.ok(confirm("quoted", false));
    desk.ok(charge("direct", 30));
    // Each way to end one makes room.
    for (end, next) in
        [(decline("parked"), "second"), (release("active"), "third"), (settle("quoted"), "fourth")]
    {
        assert_eq!(desk.rejected(estimate(next, "1")), full);
        desk.ok(end);
        desk.ok(estimate(next, "1"));
    }
    assert_eq!(desk.rejected(estimate("more", "1")), full);
}
