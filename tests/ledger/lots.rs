//! The order in which lots burn, and that reversals restore them exactly.

use creditledger::ledger::Timestamp;
use creditledger::ledger::commands::{Command, GrantCredits};

use crate::desk::{Desk, START, adjust, charge, credits, grant, purchase, purchase_until, reverse};

fn grant_until(amount: &str, expires_at: Timestamp) -> Command {
    Command::GrantCredits(GrantCredits { credits: credits(amount), expires_at: Some(expires_at) })
}

/// A desk with one lot of each sort, the last to burn first in.
fn desk() -> Desk {
    let mut desk = Desk::new();
    desk.ok(purchase("old", "1"));
    desk.ok(purchase("new", "2"));
    desk.ok(adjust("3"));
    desk.ok(grant("4"));
    desk.ok(purchase_until("dated", "5", START.plus_days(30)));
    desk.ok(grant_until("6", START.plus_days(30)));
    desk.ok(purchase_until("sooner", "7", START.plus_days(20)));
    desk
}

#[test]
fn soonest_expiry_then_promotional_then_oldest() {
    let mut desk = desk();
    assert_eq!(desk.lots(), "7 6 5 4 1 2 3");
    for (minutes, left) in
        [(7 * 30, "6 5 4 1 2 3"), (8 * 30, "3 4 1 2 3"), (7 * 30, "1 2 3"), (2 * 30, "1 3"), (4 * 30, "")]
    {
        desk.ok(charge(&format!("after {left}").replace(' ', "-"), minutes));
        assert_eq!(desk.lots(), left);
    }
}

#[test]
fn a_reversal_restores_the_last_burned_lot_first() {
    let mut desk = desk();
    desk.ok(charge("i", 20 * 30)); // 7 + 6 + 5 + 2 of the grant of 4
    assert_eq!(desk.lots(), "2 1 2 3");
    for (amount, left) in [("1", "3 1 2 3"), ("3", "2 4 1 2 3"), ("9", "6 5 4 1 2 3"), ("7", "7 6 5 4 1 2 3")]
    {
        desk.ok(reverse("i", Some(amount)));
        assert_eq!(desk.lots(), left);
    }
}
