//! Credits that left a lot unused, expired or adjusted away: a refund takes them from where they went, and nobody owes them.

use std::sync::Arc;

use creditledger::cards;
use creditledger::ledger::book::Book;
use creditledger::ledger::commands::{Command, OnShortfall, PurchaseCredits, RefundPurchase};
use creditledger::ledger::posting::Detail;
use creditledger::ledger::rules::Rules;
use creditledger::ledger::unused::Unused;
use creditledger::ledger::{CustomerKey, LedgerNo, LotId, Posting, PostingId, Rejection};

use crate::desk::{
    Desk, START, adjust, charge, charge_back, credits, euro, id, place, priced, purchase, purchase_command,
    refund, refund_command, resolve, reverse, reverse_refund, transfers,
};
use crate::lines::{follow, money};

use OnShortfall::{Receivable, Reject, WriteOff};

/// A purchase that falls due on the fifth day.
fn dated(order: &str, amount: &str, cents: i64) -> Command {
    Command::PurchaseCredits(PurchaseCredits {
        price: Some(euro(cents)),
        expires_at: Some(START.plus_days(5)),
        ..purchase_command(order, amount)
    })
}

/// 4 of these credits were used, the other 6 have expired.
fn expired() -> Desk {
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (dated("a", "10", 10_000), "sales:web > available 10", "10 0 0", "10", "-10000 10000 0 0"),
            (charge("i", 120), "available > revenue 4", "6 0 0", "6", "-10000 6000 4000 0"),
        ],
    );
    desk.pass_days(6);
    follow(&mut desk, vec![(Command::ApplyDue, "available > expired 6", "0 0 0", "", "-10000 0 4000 6000")]);
    desk
}

fn lot_id(desk: &Desk, order: &str) -> LotId {
    let posting = desk.book.order(&(LedgerNo::MAIN, id("web"), id(order))).unwrap();
    posting.detail.lot.as_ref().unwrap().id
}

fn last_refund(desk: &Desk, order: &str) -> PostingId {
    let entry = desk.book.entry(CustomerKey::of(LedgerNo::MAIN, &desk.customer)).unwrap();
    entry.lot(lot_id(desk, order)).unwrap().refunds.last().unwrap().id
}

/// What left the lot of an order unused: expired and adjusted credits, each with its cents.
fn unused(desk: &Desk, order: &str) -> String {
    let entry = desk.book.entry(CustomerKey::of(LedgerNo::MAIN, &desk.customer)).unwrap();
    let Unused { expired, expired_minor, adjusted, adjusted_minor } = entry.unused(lot_id(desk, order));
    format!("{expired} {expired_minor}, {adjusted} {adjusted_minor}")
}

#[test]
fn expired_credits_are_refunded_out_of_breakage_and_nobody_owes_them() {
    let mut desk = expired();
    assert_eq!(unused(&desk, "a"), "6 6000, 0 0");
    // Nothing but the work that was done is missing.
    let spent = Rejection::LotSpent { refundable: credits("6"), shortfall: credits("4") };
    assert_eq!(desk.rejected(refund("a", "10", Reject)), spent);
    follow(
        &mut desk,
        vec![
            (refund("a", "2", Reject), "expired > sales:web 2", "0 0 0", "", "-8000 0 4000 4000"),
            (
                refund("a", "8", Receivable),
                "receivable > sales:web 4, expired > sales:web 4",
                "0 0 4",
                "",
                "0 0 0 0",
            ),
        ],
    );
    let back = last_refund(&desk, "a");
    follow(
        &mut desk,
        vec![(
            reverse_refund("a", back),
            "sales:web > receivable 4, sales:web > expired 4",
            "0 0 0",
            "",
            "-8000 0 4000 4000",
        )],
    );
    // What came back may be refunded again, and no more.
    let spent = Rejection::LotSpent { refundable: credits("4"), shortfall: credits("1") };
    assert_eq!(desk.rejected(refund("a", "5", Reject)), spent);
    follow(
        &mut desk,
        vec![(refund("a", "4", WriteOff), "expired > sales:web 4", "0 0 0", "", "-4000 0 4000 0")],
    );
}

#[test]
fn a_chargeback_of_expired_credits_is_undone_where_they_were() {
    let mut desk = expired();
    follow(
        &mut desk,
        vec![
            (
                charge_back("a", None),
                "receivable > sales:web 4, expired > sales:web 6",
                "0 0 4",
                "",
                "0 0 0 0",
            ),
            (
                resolve("a", true),
                "sales:web > receivable 4, sales:web > expired 6",
                "0 0 0",
                "",
                "-10000 0 4000 6000",
            ),
        ],
    );
}

#[test]
fn credits_that_were_adjusted_away_are_borne_by_the_vendor() {
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (priced("a", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (adjust("-3"), "available > adjustments 3", "7 0 0", "7", "-1000 700 0 300"),
            (
                refund("a", "10", Reject),
                "available > sales:web 7, write_offs > sales:web 3",
                "0 0 0",
                "",
                "0 0 0 0",
            ),
        ],
    );
    let back = last_refund(&desk, "a");
    follow(
        &mut desk,
        vec![(
            reverse_refund("a", back),
            "sales:web > available 7, sales:web > write_offs 3",
            "7 0 0",
            "7",
            "-1000 700 0 300",
        )],
    );
    assert_eq!(unused(&desk, "a"), "0 0, 3 300");
}

/// Of 10 credits of `a` for 10.00, 2 were adjusted away, 1 was used, 4 have expired, and 3 are covered by a hold; `b`
/// has 5 credits without a price.
fn mixed() -> Desk {
    let mut desk = Desk::new();
    follow(
        &mut desk,
        vec![
            (dated("a", "10", 1_000), "sales:web > available 10", "10 0 0", "10", "-1000 1000 0 0"),
            (purchase("b", "5"), "sales:web > available 5", "15 0 0", "10 5", "-1000 1000 0 0"),
            (adjust("-2"), "available > adjustments 2", "13 0 0", "8 5", "-1000 800 0 200"),
            (charge("i", 30), "available > revenue 1", "12 0 0", "7 5", "-1000 700 100 200"),
            (place("h", "3"), "available > held 3", "9 3 0", "7 5", "-1000 700 100 200"),
        ],
    );
    desk.pass_days(6);
    follow(
        &mut desk,
        vec![(Command::ApplyDue, "available > expired 4", "5 3 0", "3 5", "-1000 300 100 600")],
    );
    assert_eq!(unused(&desk, "a"), "4 400, 2 200");
    desk
}

#[test]
fn a_refund_takes_what_is_left_then_expired_then_adjusted_then_the_rest() {
    for (amount, moved, cents) in [
        ("2", "available > sales:web 2", "-800 100 100 600"),
        ("5", "available > sales:web 3, expired > sales:web 2", "-500 0 100 400"),
        ("8", "available > sales:web 3, write_offs > sales:web 1, expired > sales:web 4", "-200 0 100 100"),
        (
            "10",
            "available > sales:web 3, receivable > sales:web 1, write_offs > sales:web 2, expired > sales:web 4",
            "0 0 0 0",
        ),
    ] {
        let mut desk = mixed();
        let answer = desk.ok(refund("a", amount, Receivable));
        assert_eq!((transfers(&answer).as_str(), money(&desk).as_str()), (moved, cents));
    }
    // What was taken comes back into a lot that has expired: it expires.
    let mut desk = mixed();
    desk.ok(refund("a", "9", Reject));
    let back = last_refund(&desk, "a");
    let moved =
        "sales:web > available 3, sales:web > write_offs 2, sales:web > expired 4, available > expired 3";
    follow(&mut desk, vec![(reverse_refund("a", back), moved, "2 3 0", "5", "-1000 0 100 900")]);
    assert_eq!(unused(&desk, "a"), "7 700, 2 200");
}

#[test]
fn what_comes_back_into_an_expired_lot_counts_as_expired() {
    let mut desk = expired();
    follow(
        &mut desk,
        vec![(
            reverse("i", Some("3")),
            "revenue > available 3, available > expired 3",
            "0 0 0",
            "",
            "-10000 0 1000 9000",
        )],
    );
    assert_eq!(unused(&desk, "a"), "9 9000, 0 0");
    follow(
        &mut desk,
        vec![(refund("a", "9", Reject), "expired > sales:web 9", "0 0 0", "", "-1000 0 1000 0")],
    );
}

#[test]
fn a_price_below_the_share_leaves_the_rest_in_breakage() {
    for (named, after) in [(0, "-10000 0 4000 6000"), (1_500, "-8500 0 4000 4500"), (9_000, "-1000 0 1000 0")]
    {
        let mut desk = expired();
        let before = money(&desk);
        let command = RefundPurchase { price: Some(euro(named)), ..refund_command("a", "6", Reject) };
        desk.ok(Command::RefundPurchase(command));
        assert_eq!(money(&desk), after, "{named}");
        let back = last_refund(&desk, "a");
        desk.ok(reverse_refund("a", back));
        assert_eq!(money(&desk), before, "{named}");
    }
}

#[test]
fn what_a_refund_leaves_in_breakage_pays_for_the_next() {
    let mut desk = Desk::new();
    desk.ok(dated("a", "15.9044", 1_820));
    desk.pass_days(6);
    let named = RefundPurchase { price: Some(euro(328)), ..refund_command("a", "6.4299", Reject) };
    follow(
        &mut desk,
        vec![
            (Command::ApplyDue, "available > expired 15.9044", "0 0 0", "", "-1820 0 0 1820"),
            (Command::RefundPurchase(named), "expired > sales:web 6.4299", "0 0 0", "", "-1492 0 0 1492"),
            (refund("a", "3.5", Reject), "expired > sales:web 3.5", "0 0 0", "", "-941 0 0 941"),
        ],
    );
    let back = last_refund(&desk, "a");
    follow(
        &mut desk,
        vec![
            // Undone, a refund gives back what it took and no more.
            (reverse_refund("a", back), "sales:web > expired 3.5", "0 0 0", "", "-1492 0 0 1492"),
            (refund("a", "9.4745", Reject), "expired > sales:web 9.4745", "0 0 0", "", "0 0 0 0"),
        ],
    );
}

#[test]
fn the_last_expired_credits_take_what_is_left_of_the_breakage() {
    let mut desk = Desk::new();
    desk.ok(dated("a", "7.75", 914));
    desk.ok(place("i", "2.04"));
    desk.ok(adjust("3.25"));
    desk.pass_days(6);
    follow(
        &mut desk,
        vec![
            (Command::ApplyDue, "available > expired 5.71", "3.25 2.04 0", "2.04 3.25", "-914 241 0 673"),
            // 4.42 for 3.75 credits, of which 2.41 was deferred: a cent less than the share of the 1.71.
            (
                refund("a", "3.75", WriteOff),
                "available > sales:web 2.04, expired > sales:web 1.71",
                "1.21 2.04 0",
                "3.25",
                "-472 0 0 472",
            ),
            (charge_back("a", None), "expired > sales:web 4", "1.21 2.04 0", "3.25", "0 0 0 0"),
        ],
    );
}

/// Postings of earlier versions do not list what left their lots unused: there it counts as spent.
#[test]
fn older_postings_count_nothing_and_newer_ones_all() {
    let desk = expired();
    let replay = |alter: &dyn Fn(&mut Detail)| {
        let mut book = Book::new(START, 0, Arc::new(cards::built_in()));
        for posting in desk.book.journal() {
            let mut posting = Posting::clone(posting);
            alter(&mut posting.detail);
            book.apply(&posting)?;
        }
        let entry = book.entry(CustomerKey::of(LedgerNo::MAIN, &desk.customer)).unwrap();
        Ok::<_, creditledger::ledger::book::Broken>(entry.unused(lot_id(&desk, "a")))
    };
    let all = Unused { expired: credits("6"), expired_minor: 6_000, ..Unused::none() };
    assert_eq!(replay(&|_| ()), Ok(all));
    let older = |detail: &mut Detail| {
        detail.rules = Rules::First;
        detail.unused.clear();
    };
    assert_eq!(replay(&older), Ok(Unused::none()));
    for wrong in [
        &(|detail: &mut Detail| detail.unused.clear()) as &dyn Fn(&mut Detail),
        &|detail| detail.rules = Rules::First,
        &|detail| detail.unused.iter_mut().for_each(|(_, unused)| unused.adjusted = credits("1")),
    ] {
        assert!(replay(wrong).unwrap_err().what.contains("unused"));
    }
}
