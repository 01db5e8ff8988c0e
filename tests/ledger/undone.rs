//! Work that is given back after its purchase was refunded: the credits undo the refund first, and nothing is given back
//! twice.

use creditledger::ledger::commands::{Command, OnShortfall, PurchaseCredits, RefundPurchase};
use creditledger::ledger::{Credits, CustomerKey, LedgerNo, PostingId};

use crate::desk::{
    Desk, START, charge, charge_back, credits, euro, grant, id, place, priced, purchase_command, refund,
    refund_command, resolve, reverse, reverse_refund, settle, transfers, work,
};
use crate::lines::{Line, follow, money};

use OnShortfall::{Receivable, WriteOff};

fn last_refund(desk: &Desk, order: &str) -> PostingId {
    refunds(desk, order).last().unwrap().0
}

/// Each refund of an order, and how much of it was undone.
fn refunds(desk: &Desk, order: &str) -> Vec<(PostingId, Credits)> {
    let posting = desk.book.order(&(LedgerNo::MAIN, id("web"), id(order))).unwrap();
    let entry = desk.book.entry(CustomerKey::of(LedgerNo::MAIN, &desk.customer)).unwrap();
    let lot = entry.lot(posting.detail.lot.as_ref().unwrap().id).unwrap();
    lot.refunds.iter().map(|refund| (refund.id, refund.undone)).collect()
}

/// 10 credits for 100.00, 4 of them used.
fn used(incident: &str) -> Vec<Line> {
    vec![
        (priced("a", "10", 10_000), "sales:web > available 10", "10 0 0", "10", "-10000 10000 0 0"),
        (charge(incident, 120), "available > revenue 4", "6 0 0", "6", "-10000 6000 4000 0"),
    ]
}

fn written_off() -> Line {
    let moved = "available > sales:web 6, write_offs > sales:web 4";
    (refund("a", "10", WriteOff), moved, "0 0 0", "", "0 0 0 0")
}

fn owed() -> Line {
    let moved = "available > sales:web 6, receivable > sales:web 4";
    (refund("a", "10", Receivable), moved, "0 0 4", "", "0 0 0 0")
}

#[test]
fn a_reversal_undoes_the_write_off_and_moves_no_money() {
    let mut desk = Desk::new();
    follow(&mut desk, used("i"));
    follow(
        &mut desk,
        vec![
            written_off(),
            (reverse("i", Some("1")), "revenue > write_offs 1", "0 0 0", "", "0 0 0 0"),
            (reverse("i", None), "revenue > write_offs 3", "0 0 0", "", "0 0 0 0"),
        ],
    );
    let back = last_refund(&desk, "a");
    assert_eq!(refunds(&desk, "a"), [(back, credits("4"))]);
    follow(
        &mut desk,
        vec![(reverse_refund("a", back), "sales:web > available 10", "10 0 0", "10", "-10000 10000 0 0")],
    );
}

#[test]
fn a_reversal_undoes_the_debt_and_moves_no_money() {
    let mut desk = Desk::new();
    follow(&mut desk, used("i"));
    follow(
        &mut desk,
        vec![
            owed(),
            (
                reverse("i", Some("3")),
                "revenue > available 3, available > receivable 3",
                "0 0 1",
                "",
                "0 0 0 0",
            ),
        ],
    );
    let back = last_refund(&desk, "a");
    // What is still owed is cancelled; the rest comes back with the money of its work.
    follow(
        &mut desk,
        vec![
            (
                reverse_refund("a", back),
                "sales:web > available 9, sales:web > receivable 1",
                "9 0 0",
                "9",
                "-10000 9000 1000 0",
            ),
            // The refund no longer stands: the last credit comes back as of any purchase.
            (reverse("i", None), "revenue > available 1", "10 0 0", "10", "-10000 10000 0 0"),
        ],
    );
}

#[test]
fn a_dispute_won_gives_back_what_the_reversal_had_undone() {
    let mut desk = Desk::new();
    follow(&mut desk, used("i"));
    follow(
        &mut desk,
        vec![
            (
                charge_back("a", None),
                "available > sales:web 6, receivable > sales:web 4",
                "0 0 4",
                "",
                "0 0 0 0",
            ),
            (reverse("i", None), "revenue > available 4, available > receivable 4", "0 0 0", "", "0 0 0 0"),
            (resolve("a", true), "sales:web > available 10", "10 0 0", "10", "-10000 10000 0 0"),
        ],
    );
}

#[test]
fn a_debt_that_something_else_has_paid_is_not_undone_again() {
    let mut desk = Desk::new();
    follow(&mut desk, used("i"));
    follow(
        &mut desk,
        vec![
            owed(),
            (priced("b", "3", 600), "sales:web > receivable 3", "0 0 1", "", "-600 0 600 0"),
            // 1 is still owed; 3 are the customer's, who has paid for them with the other purchase.
            (
                reverse("i", None),
                "revenue > available 4, available > receivable 1",
                "3 0 0",
                "3",
                "-600 3000 -2400 0",
            ),
        ],
    );
}

#[test]
fn only_what_was_burned_before_the_refund_undoes_it() {
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (priced("a", "10", 10_000), "sales:web > available 10", "10 0 0", "10", "-10000 10000 0 0"),
            (place("i", "10"), "available > held 10", "0 10 0", "10", "-10000 10000 0 0"),
            (refund("a", "4", WriteOff), "write_offs > sales:web 4", "0 10 0", "10", "-6000 10000 -4000 0"),
            (work("i", 300), "", "0 10 0", "10", "-6000 10000 -4000 0"),
            (settle("i"), "held > revenue 10", "0 0 0", "", "-6000 0 6000 0"),
            (reverse("i", None), "revenue > available 10", "10 0 0", "10", "-6000 10000 -4000 0"),
        ],
    );
}

#[test]
fn a_reversal_gives_back_what_no_refund_was_for() {
    let mut desk = Desk::new();
    follow(&mut desk, used("i"));
    follow(
        &mut desk,
        vec![
            (grant("2"), "promotions > available 2", "8 0 0", "2 6", "-10000 6000 4000 0"),
            (
                refund("a", "7", WriteOff),
                "available > sales:web 6, write_offs > sales:web 1",
                "2 0 0",
                "2",
                "-3000 0 3000 0",
            ),
            // The first credit undoes the write-off. The others come back with what they had earned.
            (
                reverse("i", Some("2")),
                "revenue > available 1, revenue > write_offs 1",
                "3 0 0",
                "2 1",
                "-3000 1000 2000 0",
            ),
            (reverse("i", None), "revenue > available 2", "5 0 0", "2 3", "-3000 3000 0 0"),
        ],
    );
}

/// Whichever is undone first, the refund or the work: all credits and all money are back.
#[test]
fn the_order_of_undoing_does_not_matter() {
    for on_shortfall in [WriteOff, Receivable] {
        // In part, in whole, and for another price than the credits' share.
        for (amount, price) in
            [("10", None), ("7", None), ("8", Some(5_001)), ("10", Some(0)), ("9", Some(9_999))]
        {
            let mut ends = Vec::new();
            for refund_first in [true, false] {
                let mut desk = Desk::new();
                desk.ok(priced("a", "10", 9_999));
                desk.ok(charge("i", 40));
                desk.ok(charge("j", 80));
                let command = refund_command("a", amount, on_shortfall);
                desk.ok(Command::RefundPurchase(RefundPurchase { price: price.map(euro), ..command }));
                let back = reverse_refund("a", last_refund(&desk, "a"));
                let work = [reverse("i", Some("0.5")), reverse("j", None), reverse("i", None)];
                let mut all: Vec<Command> = work.into();
                all.insert(if refund_first { 0 } else { 3 }, back);
                let moved: Vec<String> =
                    all.into_iter().map(|command| transfers(&desk.ok(command))).collect();
                ends.push((desk.balances(), desk.lots(), money(&desk)));
                let all_back = ("10 0 0", "10", "-9999 9999 0 0");
                let (balances, lots, cents) = ends.last().unwrap();
                assert_eq!((balances.as_str(), lots.as_str(), cents.as_str()), all_back, "{moved:?}");
            }
        }
    }
}

#[test]
fn what_an_undone_dispute_brings_back_is_the_price_to_the_last_unit() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("a", "1.25", 1_361), "sales:web > available 1.25", "1.25 0 0", "1.25", "-1361 1361 0 0"),
            (charge("i", 30), "available > revenue 1", "0.25 0 0", "0.25", "-1361 272 1089 0"),
            (
                charge_back("a", None),
                "available > sales:web 0.25, receivable > sales:web 1",
                "0 0 1",
                "",
                "0 0 0 0",
            ),
            (
                reverse("i", Some("0.5")),
                "revenue > available 0.5, available > receivable 0.5",
                "0 0 0.5",
                "",
                "0 0 0 0",
            ),
            (priced("b", "0.5", 100), "sales:web > receivable 0.5", "0 0 0", "", "-100 0 100 0"),
            // Half of the work's 10.89 is 5.45; the half that was repaid brings the other 5.44.
            (resolve("a", true), "sales:web > available 1.25", "1.25 0 0", "1.25", "-1461 1361 100 0"),
        ],
    );
}

/// The debt of a refund was repaid, and then both the refund and the work are undone. The credits of both are the
/// customer's; the money of the work is in the lot once.
#[test]
fn a_lot_never_holds_more_than_its_price() {
    for refund_first in [true, false] {
        let mut desk = Desk::new();
        follow(&mut desk, used("i"));
        follow(
            &mut desk,
            vec![owed(), (priced("b", "4", 400), "sales:web > receivable 4", "0 0 0", "", "-400 0 400 0")],
        );
        let back = reverse_refund("a", last_refund(&desk, "a"));
        let mut lines = vec![
            (back, "sales:web > available 10", "10 0 0", "10", "-10400 10000 400 0"),
            (reverse("i", None), "revenue > available 4", "14 0 0", "14", "-10400 10000 400 0"),
        ];
        if !refund_first {
            lines.reverse();
            (lines[0].2, lines[0].3, lines[0].4) = ("4 0 0", "4", "-400 4000 -3600 0");
            (lines[1].2, lines[1].3) = ("14 0 0", "14");
        }
        follow(&mut desk, lines);
    }
    // Expired credits and their breakage count in the price too.
    let mut desk = Desk::new();
    let dated = PurchaseCredits {
        price: Some(euro(10_000)),
        expires_at: Some(START.plus_days(5)),
        ..purchase_command("a", "10")
    };
    desk.ok(Command::PurchaseCredits(dated));
    desk.ok(charge("i", 120));
    desk.ok(refund("a", "10", Receivable));
    desk.ok(priced("b", "4", 400));
    let back = last_refund(&desk, "a");
    desk.ok(reverse_refund("a", back));
    desk.pass_days(6);
    follow(
        &mut desk,
        vec![
            (Command::ApplyDue, "available > expired 10", "0 0 0", "", "-10400 0 400 10000"),
            (
                reverse("i", None),
                "revenue > available 4, available > expired 4",
                "0 0 0",
                "",
                "-10400 0 400 10000",
            ),
        ],
    );
}
