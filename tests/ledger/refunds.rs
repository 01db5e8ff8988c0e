//! Refunds and chargebacks, and what undoes them, with their credits and their money: the awkward cases as tables.

use creditledger::ledger::commands::{Command, OnShortfall, PurchaseCredits, PurchaseRef, RefundPurchase};
use creditledger::ledger::lot::{Lot, RefundState};
use creditledger::ledger::{Currency, CustomerKey, LedgerNo, LotId, Money, PostingId, Rejection};

use crate::desk::{
    Desk, START, charge, charge_back, close_payment, credits, euro, grant, id, keep_payment, place, priced,
    purchase, purchase_command, refund, refund_command, release, resolve, reverse, reverse_refund, settle,
    settle_capped, transfers, work,
};
use crate::lines::{follow, money};

use OnShortfall::{Receivable, Reject, WriteOff};

fn lot(desk: &Desk, order: &str) -> Lot {
    let posting = desk.book.order(&(LedgerNo::MAIN, id("web"), id(order))).unwrap();
    let entry = desk.book.entry(CustomerKey::of(LedgerNo::MAIN, &desk.customer)).unwrap();
    Lot::clone(entry.lot(posting.detail.lot.as_ref().unwrap().id).unwrap())
}

fn last_refund(desk: &Desk, order: &str) -> PostingId {
    lot(desk, order).refunds.last().unwrap().id
}

#[test]
fn a_price_of_ten_over_three_credits() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "3", 1_000), "sales:web > available 3", "3 0 0", "3", "-1000 1000 0 0"),
            (charge("a", 30), "available > revenue 1", "2 0 0", "2", "-1000 667 333 0"),
            (charge("b", 30), "available > revenue 1", "1 0 0", "1", "-1000 333 667 0"),
            (charge("c", 30), "available > revenue 1", "0 0 0", "", "-1000 0 1000 0"),
        ],
    );
}

#[test]
fn promotional_credits_burn_before_paid_ones_and_come_back_after_them() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (grant("2"), "promotions > available 2", "12 0 0", "2 10", "-1000 1000 0 0"),
            (charge("i", 150), "available > revenue 5", "7 0 0", "7", "-1000 700 300 0"),
            (reverse("i", Some("4")), "revenue > available 4", "11 0 0", "1 10", "-1000 1000 0 0"),
            (reverse("i", None), "revenue > available 1", "12 0 0", "2 10", "-1000 1000 0 0"),
        ],
    );
}

#[test]
fn a_reversal_undoes_the_write_off_with_the_last_credit() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "4", 1_000), "sales:web > available 4", "4 0 0", "4", "-1000 1000 0 0"),
            (place("i", "3"), "available > held 3", "1 3 0", "4", "-1000 1000 0 0"),
            (work("i", 150), "", "1 3 0", "4", "-1000 1000 0 0"),
            (settle_capped("i"), "held > revenue 3, write_offs > revenue 2", "1 0 0", "1", "-1000 250 750 0"),
            (reverse("i", Some("1")), "revenue > available 1", "2 0 0", "2", "-1000 500 500 0"),
            (
                reverse("i", None),
                "revenue > available 2, revenue > write_offs 2",
                "4 0 0",
                "4",
                "-1000 1000 0 0",
            ),
        ],
    );
}

#[test]
fn a_reversal_into_an_expired_lot_expires_at_once() {
    let mut desk = Desk::new();
    let until = PurchaseCredits {
        price: Some(euro(1_000)),
        expires_at: Some(START.plus_days(5)),
        ..purchase_command("o1", "10")
    };
    follow(
        &mut desk,
        vec![
            (Command::PurchaseCredits(until), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (charge("i", 120), "available > revenue 4", "6 0 0", "6", "-1000 600 400 0"),
        ],
    );
    desk.pass_days(6);
    follow(
        &mut desk,
        vec![(
            reverse("i", None),
            "revenue > available 4, available > expired 4",
            "0 0 0",
            "",
            "-1000 0 0 1000",
        )],
    );
}

#[test]
fn a_reversal_into_a_lot_in_dispute_pays_what_is_owed_for_it() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (priced("o2", "10", 2_000), "sales:web > available 10", "20 0 0", "10 10", "-3000 3000 0 0"),
            (charge("i", 300), "available > revenue 10", "10 0 0", "10", "-3000 2000 1000 0"),
            (charge_back("o1", None), "receivable > sales:web 10", "10 0 10", "10", "-2000 2000 0 0"),
            (
                reverse("i", Some("4")),
                // The other lot's 10 credits stay: only what comes in pays the debt.
                "revenue > available 4, available > receivable 4",
                "10 0 6",
                "10",
                "-2000 2000 0 0",
            ),
        ],
    );
}

#[test]
fn what_is_left_of_a_lot_in_dispute_burns_before_all_others() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "4", 400), "sales:web > available 4", "4 0 0", "4", "-400 400 0 0"),
            (priced("o2", "6", 1_200), "sales:web > available 6", "10 0 0", "4 6", "-1600 1600 0 0"),
            (charge_back("o2", Some("2")), "available > sales:web 2", "8 0 0", "4 4", "-1200 1200 0 0"),
            (charge("i", 60), "available > revenue 2", "6 0 0", "2 4", "-1200 800 400 0"),
            (resolve("o2", false), "", "6 0 0", "4 2", "-1200 800 400 0"),
            (charge("j", 60), "available > revenue 2", "4 0 0", "2 2", "-1200 600 600 0"),
        ],
    );
}

#[test]
fn a_chargeback_while_the_whole_lot_is_held() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (place("i", "10"), "available > held 10", "0 10 0", "10", "-1000 1000 0 0"),
            (charge_back("o1", None), "receivable > sales:web 10", "0 10 10", "10", "0 1000 -1000 0"),
            (release("i"), "held > available 10", "10 0 10", "10", "0 1000 -1000 0"),
        ],
    );
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (place("i", "10"), "available > held 10", "0 10 0", "10", "-1000 1000 0 0"),
            (charge_back("o1", None), "receivable > sales:web 10", "0 10 10", "10", "0 1000 -1000 0"),
            (resolve("o1", true), "sales:web > receivable 10", "0 10 0", "10", "-1000 1000 0 0"),
            (work("i", 300), "", "0 10 0", "10", "-1000 1000 0 0"),
            (settle("i"), "held > revenue 10", "0 0 0", "", "-1000 0 1000 0"),
        ],
    );
}

#[test]
fn a_chargeback_after_everything_is_spent() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (charge("i", 300), "available > revenue 10", "0 0 0", "", "-1000 0 1000 0"),
            (charge_back("o1", None), "receivable > sales:web 10", "0 0 10", "", "0 0 0 0"),
            (resolve("o1", false), "", "0 0 10", "", "0 0 0 0"),
            (priced("o2", "6", 601), "sales:web > receivable 6", "0 0 4", "", "-601 0 601 0"),
            (
                priced("o3", "6", 601),
                "sales:web > available 2, sales:web > receivable 4",
                "2 0 0",
                "2",
                // 4 of 6 credits repaid the debt: 400.67 of 601 is earned.
                "-1202 200 1002 0",
            ),
        ],
    );
}

#[test]
fn a_chargeback_after_a_partial_refund_takes_the_rest() {
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (priced("o1", "10", 999), "sales:web > available 10", "10 0 0", "10", "-999 999 0 0"),
            // 4 of 10 credits for 399.6.
            (refund("o1", "4", Reject), "available > sales:web 4", "6 0 0", "6", "-599 599 0 0"),
            (charge("i", 60), "available > revenue 2", "4 0 0", "4", "-599 399 200 0"),
            (
                charge_back("o1", None),
                "available > sales:web 4, receivable > sales:web 2",
                "0 0 2",
                "",
                "0 0 0 0",
            ),
        ],
    );
    let lot = lot(&desk, "o1");
    assert_eq!((lot.refunded(), lot.refunded_price()), (credits("10"), Some(euro(999))));
    assert_eq!(
        desk.rejected(refund("o1", "1", WriteOff)),
        Rejection::ExceedsRefundable { refundable: credits("0") }
    );
}

#[test]
fn a_dispute_won_after_a_later_purchase_repaid_the_debt() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (charge("i", 300), "available > revenue 10", "0 0 0", "", "-1000 0 1000 0"),
            (charge_back("o1", None), "receivable > sales:web 10", "0 0 10", "", "0 0 0 0"),
            (
                priced("o2", "12", 1_200),
                "sales:web > available 2, sales:web > receivable 10",
                "2 0 0",
                "2",
                "-1200 200 1000 0",
            ),
            (resolve("o1", true), "sales:web > available 10", "12 0 0", "10 2", "-2200 1200 1000 0"),
        ],
    );
}

#[test]
fn a_dispute_won_while_part_of_the_debt_stands() {
    follow(
        &mut Desk::new(),
        vec![
            (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (charge("i", 210), "available > revenue 7", "3 0 0", "3", "-1000 300 700 0"),
            (
                charge_back("o1", None),
                "available > sales:web 3, receivable > sales:web 7",
                "0 0 7",
                "",
                "0 0 0 0",
            ),
            (priced("o2", "5", 500), "sales:web > receivable 5", "0 0 2", "", "-500 0 500 0"),
            // 2 are still owed; the 3 that were taken come back with their 3.00, and the 5 that were repaid with 5/7 of 7.00.
            (
                resolve("o1", true),
                "sales:web > available 8, sales:web > receivable 2",
                "8 0 0",
                "8",
                "-1500 800 700 0",
            ),
        ],
    );
}

#[test]
fn the_three_ways_of_a_refund_of_half_a_lot_while_a_hold_is_open() {
    let open = || {
        let mut desk = Desk::new();
        follow(
            &mut desk,
            vec![
                (priced("o1", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
                (place("i", "6"), "available > held 6", "4 6 0", "10", "-1000 1000 0 0"),
            ],
        );
        desk
    };
    let mut desk = open();
    let spent = Rejection::LotSpent { refundable: credits("4"), shortfall: credits("1") };
    assert_eq!(desk.rejected(refund("o1", "5", Reject)), spent);
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("4 6 0", "10"));
    follow(
        &mut desk,
        vec![
            (
                refund("o1", "5", Receivable),
                "available > sales:web 4, receivable > sales:web 1",
                "0 6 1",
                "6",
                "-500 600 -100 0",
            ),
            (release("i"), "held > available 6", "6 0 1", "6", "-500 600 -100 0"),
            (
                grant("2"),
                "promotions > available 2, available > receivable 1",
                "7 0 0",
                "1 6",
                "-500 600 -100 0",
            ),
        ],
    );
    let mut desk = open();
    follow(
        &mut desk,
        vec![(
            refund("o1", "5", WriteOff),
            "available > sales:web 4, write_offs > sales:web 1",
            "0 6 0",
            "6",
            "-500 600 -100 0",
        )],
    );
    let back = last_refund(&desk, "o1");
    follow(
        &mut desk,
        vec![(
            reverse_refund("o1", back),
            "sales:web > available 4, sales:web > write_offs 1",
            "4 6 0",
            "10",
            "-1000 1000 0 0",
        )],
    );
}

#[test]
fn a_refund_may_be_for_other_money_than_its_share() {
    // A fee is kept, and is earned; goodwill on top is taken from what was earned.
    for (returned, after) in [(300, "-700 500 200 0"), (700, "-300 500 -200 0"), (0, "-1000 500 500 0")] {
        let mut desk = Desk::new();
        desk.ok(priced("o1", "10", 1_000));
        let before = money(&desk);
        let refund = refund_command("o1", "5", Reject);
        desk.ok(Command::RefundPurchase(RefundPurchase { price: Some(euro(returned)), ..refund }));
        assert_eq!(money(&desk), after, "{returned}");
        let back = last_refund(&desk, "o1");
        desk.ok(reverse_refund("o1", back));
        assert_eq!((money(&desk), desk.lots().as_str()), (before, "10"), "{returned}");
    }
}

#[test]
fn parts_of_a_refund_sum_to_the_price() {
    let mut desk = Desk::new();
    desk.ok(priced("o1", "3", 1_000));
    let mut returned = Vec::new();
    for _ in 0..3 {
        desk.ok(refund("o1", "1", Reject));
        returned.push(lot(&desk, "o1").refunds.last().unwrap().price.unwrap().minor_units);
    }
    assert_eq!(returned, [333, 334, 333]);
    assert_eq!(money(&desk), "0 0 0 0");
}

#[test]
fn a_refund_is_worth_its_share_of_what_is_left_of_the_price() {
    // What was named before for 5 of 10 credits, and what 1 and then the other 4 are worth.
    for (named, one, rest) in
        [(0, 2_000, 8_000), (10_000, 0, 0), (5_000, 1_000, 4_000), (3_333, 1_333, 5_334)]
    {
        let mut desk = Desk::new();
        desk.ok(priced("o1", "10", 10_000));
        let first = RefundPurchase { price: Some(euro(named)), ..refund_command("o1", "5", Reject) };
        desk.ok(Command::RefundPurchase(first));
        desk.ok(refund("o1", "1", Reject));
        desk.ok(refund("o1", "4", Reject));
        let returned: Vec<_> =
            lot(&desk, "o1").refunds.iter().map(|refund| refund.price.unwrap().minor_units).collect();
        assert_eq!(returned, [named, one, rest]);
    }
}

#[test]
fn a_dispute_won_for_an_expired_lot_expires_at_once() {
    let mut desk = Desk::new();
    let until = PurchaseCredits {
        price: Some(euro(1_000)),
        expires_at: Some(START.plus_days(5)),
        ..purchase_command("o1", "10")
    };
    desk.ok(Command::PurchaseCredits(until));
    desk.ok(charge_back("o1", None));
    desk.pass_days(6);
    let answer = desk.ok(resolve("o1", true));
    assert_eq!(transfers(&answer), "sales:web > available 10, available > expired 10");
    assert_eq!((desk.balances().as_str(), money(&desk).as_str()), ("0 0 0", "-1000 0 0 1000"));
    assert_eq!(answer.purchase.unwrap().0.refunds[0].state, RefundState::Won);
}

#[test]
fn a_lot_in_dispute_covers_holds_before_those_that_expire() {
    let mut desk = Desk::new();
    desk.ok(purchase("o1", "5"));
    let dated = PurchaseCredits { expires_at: Some(START.plus_days(5)), ..purchase_command("o2", "5") };
    desk.ok(Command::PurchaseCredits(dated));
    desk.ok(place("i", "5"));
    desk.ok(charge_back("o1", Some("1")));
    assert_eq!(desk.lots(), "4 5");
    desk.pass_days(6);
    // The hold is covered by the 4 in dispute and 1 of those that expire.
    desk.ok(Command::ApplyDue);
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("0 5 0", "4 1"));
}

#[test]
fn payments_wait_until_they_are_closed_once() {
    let mut desk = Desk::with("1");
    let first = desk.ok(keep_payment("a")).posting;
    let second = desk.ok(keep_payment("b")).posting;
    let waiting = |desk: &Desk| desk.state().state.payments.iter().map(|(id, _)| *id).collect::<Vec<_>>();
    assert_eq!((waiting(&desk), desk.balances().as_str()), (vec![first.id, second.id], "1 0 0"));
    desk.ok(close_payment(first.id));
    assert_eq!(waiting(&desk), [second.id]);
    assert_eq!(desk.rejected(close_payment(first.id)), Rejection::PaymentNotFound);
}

#[test]
fn a_refund_names_what_it_has_seen() {
    let mut desk = Desk::new();
    desk.ok(priced("o1", "10", 1_000));
    let expecting = |cents| {
        let refund = refund_command("o1", "1", Reject);
        Command::RefundPurchase(RefundPurchase { expected_refunded: Some(euro(cents)), ..refund })
    };
    desk.ok(expecting(0));
    assert_eq!(desk.rejected(expecting(0)), Rejection::PurchaseChanged);
    desk.ok(expecting(100));
}

#[test]
fn what_is_refused() {
    let mut desk = Desk::new();
    desk.ok(priced("o1", "10", 1_000));
    desk.ok(purchase("free", "5"));
    let yen = Money { currency: Currency::parse("JPY").unwrap(), minor_units: 1 };
    let refund_for = |order: &str, price| {
        Command::RefundPurchase(RefundPurchase { price: Some(price), ..refund_command(order, "1", Reject) })
    };
    let by_id =
        |purchase| Command::RefundPurchase(RefundPurchase { purchase, ..refund_command("o1", "1", Reject) });
    let given = desk.ok(grant("3")).posting.id;
    for (command, expected) in [
        (refund("nothing", "1", Reject), "PurchaseNotFound"),
        (by_id(PurchaseRef::Id(LotId::default())), "PurchaseNotFound"),
        (by_id(PurchaseRef::Id(given.into())), "PurchaseNotFound"),
        (refund("o1", "10.0001", Reject), "ExceedsRefundable"),
        (refund_for("o1", yen), "InvalidField"),
        (refund_for("o1", euro(1_001)), "InvalidField"),
        (refund_for("free", euro(1)), "InvalidField"),
        (reverse_refund("o1", PostingId::default()), "RefundNotFound"),
        (resolve("o1", true), "PurchaseNotDisputed"),
    ] {
        let rejection = format!("{:?}", desk.rejected(command.clone()));
        assert!(rejection.starts_with(expected), "{command:?}: {rejection}");
    }
    desk.ok(charge_back("o1", Some("2")));
    assert_eq!(desk.rejected(charge_back("o1", None)), Rejection::PurchaseDisputed);
    let disputed = last_refund(&desk, "o1");
    let state = RefundState::Disputed;
    assert_eq!(desk.rejected(reverse_refund("o1", disputed)), Rejection::RefundNotStanding { state });
    desk.ok(resolve("o1", true));
    desk.ok(refund("o1", "2", Reject));
    let back = last_refund(&desk, "o1");
    desk.ok(reverse_refund("o1", back));
    let state = RefundState::Reversed;
    assert_eq!(desk.rejected(reverse_refund("o1", back)), Rejection::RefundNotStanding { state });
    // Another customer's purchase looks as if it did not exist.
    desk.customer = id("zeta");
    desk.ok(Command::CreateCustomer(creditledger::ledger::commands::CreateCustomer::default()));
    assert_eq!(desk.rejected(refund("o1", "1", Reject)), Rejection::PurchaseNotFound);
}
