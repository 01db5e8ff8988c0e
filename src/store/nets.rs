//! What a batch moves on the accounts that are no customer's, each account once.

use std::collections::BTreeMap;

use super::StoreError;
use crate::ledger::account::Account;
use crate::ledger::{Book, LedgerNo};

/// The net amounts of a book's journal, in ten-thousandths, by ledger and account.
///
/// # Errors
/// [`StoreError::Refused`] where a sum leaves its bounds: nothing is damaged, and commands that move less can go on.
pub fn nets(book: &Book) -> Result<BTreeMap<(LedgerNo, Account), i64>, StoreError> {
    let mut nets: BTreeMap<(LedgerNo, Account), i64> = BTreeMap::new();
    for posting in book.journal() {
        for transfer in posting.transfers() {
            let units = transfer.credits.units();
            for (account, change) in [(transfer.debit, units.checked_neg()), (transfer.credit, Some(units))] {
                if account.is_customer() {
                    continue;
                }
                let net = nets.entry((posting.ledger, account)).or_default();
                let sum = change.and_then(|change| net.checked_add(change));
                *net = sum.ok_or_else(|| full(&"of the system"))?;
            }
        }
    }
    Ok(nets)
}

/// What a batch is refused with that an account has no room for.
pub fn full(account: &dyn std::fmt::Display) -> StoreError {
    StoreError::Refused(format!("the account {account} leaves its bounds").into())
}
