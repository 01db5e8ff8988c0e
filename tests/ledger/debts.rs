//! What pays a debt: what comes in, and never what a hold gives back.

use creditledger::ledger::commands::{
    Command, EstimateIncident, OnShortfall, PurchaseCredits, Quote, SettleHold,
};

use crate::desk::{
    Desk, START, adjust, charge, charge_back, confirm, credits, estimate, estimate_command, euro, grant, id,
    place, place_with, priced, purchase_command, refund, release, resolve, reverse, settle_command,
    transfers, work,
};
use crate::lines::{Line, follow};

use OnShortfall::Receivable;

/// A desk whose customer has 10 credits of a purchase of its own and owes 4 for another one.
fn in_debt() -> Desk {
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (priced("a", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (priced("b", "10", 2_000), "sales:web > available 10", "20 0 0", "10 10", "-3000 3000 0 0"),
            (charge("spent", 120), "available > revenue 4", "16 0 0", "6 10", "-3000 2600 400 0"),
            (
                refund("a", "10", Receivable),
                "available > sales:web 6, receivable > sales:web 4",
                "10 0 4",
                "10",
                "-2000 2000 0 0",
            ),
        ],
    );
    desk
}

#[test]
fn what_a_hold_gives_back_pays_no_debt() {
    let held = |amount, balances| -> Line {
        (place("i", amount), "available > held 3", balances, "10", "-2000 2000 0 0")
    };
    let kept = |command, moved| -> Line { (command, moved, "10 0 4", "10", "-2000 2000 0 0") };
    let mut desk = in_debt();
    follow(&mut desk, vec![held("3", "7 3 4"), kept(release("i"), "held > available 3")]);
    // Settled below the hold, lowered, and expired.
    let waived = SettleHold { waive_reason: id("as agreed"), ..settle_command("i") };
    let dated = EstimateIncident {
        expires_at: Some(START.plus_days(1)),
        ..estimate_command("k", Quote::Credits(credits("3")))
    };
    follow(
        &mut desk,
        vec![
            held("3", "7 3 4"),
            (work("i", 30), "", "7 3 4", "10", "-2000 2000 0 0"),
            kept(Command::SettleHold(waived), "held > available 3"),
            (place("j", "3"), "available > held 3", "7 3 4", "10", "-2000 2000 0 0"),
            (estimate("j", "1"), "", "7 3 4", "10", "-2000 2000 0 0"),
            (confirm("j", false), "held > available 2", "9 1 4", "10", "-2000 2000 0 0"),
            kept(release("j"), "held > available 1"),
            (place_with(dated, false), "available > held 3", "7 3 4", "10", "-2000 2000 0 0"),
        ],
    );
    desk.pass_days(2);
    follow(&mut desk, vec![kept(Command::ApplyDue, "held > available 3")]);
}

#[test]
fn what_comes_in_pays_as_much_as_comes_in() {
    let paid = |amount: &str| format!("available > receivable {amount}");
    for (command, moved, repaid, balances) in [
        (grant("3"), "promotions > available 3", "3", "10 0 1"),
        (grant("6"), "promotions > available 6", "4", "12 0 0"),
        (adjust("3"), "adjustments > available 3", "3", "10 0 1"),
    ] {
        let mut desk = in_debt();
        let answer = desk.ok(command);
        assert_eq!(transfers(&answer), format!("{moved}, {}", paid(repaid)));
        assert_eq!(desk.balances(), balances);
    }
    let mut desk = in_debt();
    follow(
        &mut desk,
        vec![
            (
                priced("c", "3", 300),
                "sales:web > receivable 3",
                "10 0 1",
                "10",
                // All of it repaid a debt, so all of it is earned.
                "-2300 2000 300 0",
            ),
            // A reversal of work that another lot paid.
            (charge("i", 60), "available > revenue 2", "8 0 1", "8", "-2300 1600 700 0"),
            (
                reverse("i", None),
                "revenue > available 2, available > receivable 1",
                "9 0 0",
                "9",
                "-2300 1800 500 0",
            ),
        ],
    );
}

#[test]
fn credits_back_in_an_expired_lot_pay_the_debt_before_they_expire() {
    let dated = PurchaseCredits {
        price: Some(euro(1_000)),
        expires_at: Some(START.plus_days(5)),
        ..purchase_command("dated", "10")
    };
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (Command::PurchaseCredits(dated), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (charge("i", 300), "available > revenue 10", "0 0 0", "", "-1000 0 1000 0"),
            (priced("b", "3", 600), "sales:web > available 3", "3 0 0", "3", "-1600 600 1000 0"),
            (charge("j", 90), "available > revenue 3", "0 0 0", "", "-1600 0 1600 0"),
            (charge_back("b", None), "receivable > sales:web 3", "0 0 3", "", "-1000 0 1000 0"),
        ],
    );
    desk.pass_days(6);
    follow(
        &mut desk,
        vec![
            // 2 pay the debt: their money stays earned.
            (
                reverse("i", Some("2")),
                "revenue > available 2, available > receivable 2",
                "0 0 1",
                "",
                "-1000 0 1000 0",
            ),
            // 1 pays what is left, 4 expire.
            (
                reverse("i", Some("5")),
                "revenue > available 5, available > expired 4, available > receivable 1",
                "0 0 0",
                "",
                "-1000 0 600 400",
            ),
            (
                reverse("i", None),
                "revenue > available 3, available > expired 3",
                "0 0 0",
                "",
                "-1000 0 300 700",
            ),
        ],
    );
    // The lot's credits that the debt took are not given back a second time by the dispute won.
    follow(
        &mut desk,
        vec![(resolve("b", true), "sales:web > available 3", "3 0 0", "3", "-1600 600 300 700")],
    );
}
