//! Lines of a table: a command, and everything that it moves in credits and in money.

use creditledger::ledger::commands::Command;
use creditledger::ledger::money::MoneyAccount;

use crate::desk::{Desk, transfers};

/// A command, its transfers, the balances after it (available held owed), what is left in lots, and the money in cents:
/// storefront receivable, deferred, earned, breakage.
pub type Line = (Command, &'static str, &'static str, &'static str, &'static str);

#[track_caller]
pub fn follow(desk: &mut Desk, lines: Vec<Line>) {
    for (number, (command, moved, balances, lots, cents)) in lines.into_iter().enumerate() {
        let answer = desk.ok(command);
        let found = (transfers(&answer), desk.balances(), desk.lots(), money(desk));
        let expected = (moved.to_owned(), balances.to_owned(), lots.to_owned(), cents.to_owned());
        assert_eq!(found, expected, "line {}", number + 1);
    }
}

/// What the accounts in money stand at.
pub fn money(desk: &Desk) -> String {
    let balance = |account| {
        let moves = desk.book.journal().iter().flat_map(|posting| posting.money_transfers());
        let changes = moves.map(|moved| {
            i64::from(moved.credit.account == account) * moved.minor_units
                - i64::from(moved.debit.account == account) * moved.minor_units
        });
        changes.sum::<i64>()
    };
    let shown = MoneyAccount::ALL.iter().map(|account| balance(*account).to_string());
    shown.collect::<Vec<_>>().join(" ")
}
