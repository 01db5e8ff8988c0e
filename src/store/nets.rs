//! The net change of a batch on each system account (an account that belongs to no customer), in credits or money.

use std::collections::BTreeMap;
use std::fmt;

use super::error::StoreError;
use crate::ledger::account::Account;
use crate::ledger::money::MoneyPlace;
use crate::ledger::{Book, LedgerNo, Posting};

/// A system account. It is stored under the name that `Display` writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemAccount {
    /// In ten-thousandths of a credit.
    Credits(Account),
    /// In the smallest unit of its currency.
    Money(MoneyPlace),
}

impl fmt::Display for SystemAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Credits(account) => account.fmt(f),
            Self::Money(account) => account.fmt(f),
        }
    }
}

/// The changes of one posting on the system accounts, each in the account's own unit.
pub fn changes(posting: &Posting) -> impl Iterator<Item = (SystemAccount, i64)> + '_ {
    let credits = posting.transfers().flat_map(|transfer| {
        let units = transfer.credits.units();
        [(transfer.debit, units.saturating_neg()), (transfer.credit, units)]
    });
    let credits = credits.filter(|(account, _)| !account.is_customer());
    let money = posting.money_transfers().flat_map(|transfer| {
        [(transfer.debit, transfer.minor_units.saturating_neg()), (transfer.credit, transfer.minor_units)]
    });
    let credits = credits.map(|(account, change)| (SystemAccount::Credits(account), change));
    credits.chain(money.map(|(account, change)| (SystemAccount::Money(account), change)))
}

/// The net amounts of a book's journal by ledger and account.
///
/// # Errors
/// [`StoreError::Refused`] where a sum overflows: nothing is damaged, and commands that move less can go on.
pub fn nets(book: &Book) -> Result<BTreeMap<(LedgerNo, SystemAccount), i64>, StoreError> {
    let mut nets: BTreeMap<(LedgerNo, SystemAccount), i64> = BTreeMap::new();
    for posting in book.journal() {
        for (account, change) in changes(posting) {
            let net = nets.entry((posting.ledger, account)).or_default();
            *net = net.checked_add(change).ok_or_else(|| full(&"of the system"))?;
        }
    }
    Ok(nets)
}

/// The error for a batch that would overflow an account.
pub fn full(account: &dyn fmt::Display) -> StoreError {
    StoreError::Refused(format!("the account {account} leaves its bounds").into())
}
