//! Checks a running server from outside, by its own journal: for a database that another process has open.
//!
//! Every customer's postings are numbered without gaps. Their transfers give the balances that they state. All
//! transfers together give the trial balance, which sums to zero. Stored rows (lots, holds, indexes) are checked by
//! `creditledger verify` on the database itself.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use crate::app::call::{CallError, amount};
use crate::app::connect::Channel;
use crate::grpc::wire;
use crate::ledger::Credits;
use wire::ledger_service_client::LedgerServiceClient;

/// How often the journal is read on if it does not give the trial balance: others may write meanwhile.
const TRIES_MAX: u32 = 5;

/// The result of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audit {
    /// Everything is consistent.
    Clean {
        /// Postings read.
        postings: u64,
        /// Transfers in them.
        transfers: u64,
        /// Customers that they belong to.
        customers: usize,
    },
    /// The first inconsistency.
    Wrong(String),
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clean { postings, transfers, customers } => write!(
                f,
                "clean, over the API: {postings} postings of {customers} customers with {transfers} transfers \
                 give the trial balance, which sums to zero"
            ),
            Self::Wrong(what) => write!(f, "FAILED, over the API: {what}"),
        }
    }
}

/// Reads the ledger's journal from its beginning and checks it.
///
/// # Errors
/// [`CallError`] where the server does not answer.
pub async fn audit(channel: Channel, ledger: &str) -> Result<Audit, CallError> {
    let mut client = LedgerServiceClient::new(channel);
    let mut book = Book::default();
    for _ in 0..TRIES_MAX {
        let request = wire::StreamJournalRequest {
            ledger_id: ledger.to_owned(),
            after_position: book.position,
            follow: false,
        };
        let mut journal = client.stream_journal(request).await?.into_inner();
        while let Some(next) = journal.message().await? {
            let posting = next.posting.ok_or_else(|| CallError::unexpected("posting"))?;
            if let Err(what) = book.read(&posting)? {
                return Ok(Audit::Wrong(what));
            }
        }
        let request = wire::GetTrialBalanceRequest { ledger_id: ledger.to_owned() };
        let trial = client.get_trial_balance(request).await?.into_inner();
        let mut stated = BTreeMap::new();
        for wire::AccountBalance { account, credits } in trial.accounts {
            stated.insert(account, amount(&credits)?);
        }
        if book.gives(&stated) {
            return Ok(book.finding(&trial.total_credits));
        }
    }
    Ok(Audit::Wrong(format!(
        "the first {} postings do not give the trial balance; if others are writing, try again later",
        book.postings
    )))
}

#[derive(Debug, Default)]
struct Book {
    position: i64,
    postings: u64,
    transfers: u64,
    accounts: BTreeMap<String, Credits>,
    customers: HashMap<String, Customer>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Customer {
    sequence: i64,
    available: Credits,
    held: Credits,
    receivable: Credits,
}

impl Customer {
    fn account(&mut self, name: &str) -> Option<&mut Credits> {
        match name {
            "available" => Some(&mut self.available),
            "held" => Some(&mut self.held),
            "receivable" => Some(&mut self.receivable),
            _ => None,
        }
    }
}

impl Book {
    /// Adds a posting. The inner error says what is inconsistent.
    fn read(&mut self, posting: &wire::Posting) -> Result<Result<(), String>, CallError> {
        let wrong = |what: &str| {
            Ok(Err(format!("posting {} at position {}: {what}", posting.posting_id, posting.position)))
        };
        if posting.position != self.position.saturating_add(1) {
            return wrong("its position does not follow the one before");
        }
        let customer = self.customers.entry(posting.customer_id.clone()).or_default();
        if posting.sequence != customer.sequence.saturating_add(1) {
            return wrong("its sequence does not follow the customer's last");
        }
        for wire::Transfer { debit_account, credit_account, credits } in &posting.transfers {
            let credits = amount(credits)?;
            let less = Credits::from_units(credits.units().saturating_neg());
            for (name, moved) in [(debit_account, less), (credit_account, credits)] {
                let total = self.accounts.entry(name.clone()).or_default();
                for balance in [Some(total), customer.account(name)].into_iter().flatten() {
                    *balance = balance
                        .checked_add(moved)
                        .ok_or_else(|| CallError::unexpected("sum of transfers"))?;
                }
            }
        }
        let after = posting.balance_after.as_ref().ok_or_else(|| CallError::unexpected("balance"))?;
        let stated = Customer {
            sequence: posting.sequence,
            available: amount(&after.available_credits)?,
            held: amount(&after.held_credits)?,
            receivable: Credits::from_units(amount(&after.owed_credits)?.units().saturating_neg()),
        };
        customer.sequence = posting.sequence;
        if *customer != stated {
            return wrong("the transfers so far do not give its balances");
        }
        if stated.available < Credits::ZERO
            || stated.held < Credits::ZERO
            || stated.receivable > Credits::ZERO
        {
            return wrong("a balance is out of its bounds");
        }
        self.position = posting.position;
        self.postings = self.postings.saturating_add(1);
        let transfers = u64::try_from(posting.transfers.len()).unwrap_or(u64::MAX);
        self.transfers = self.transfers.saturating_add(transfers);
        Ok(Ok(()))
    }

    /// True if the journal gives the stated balances. Accounts without movements may be left out.
    fn gives(&self, stated: &BTreeMap<String, Credits>) -> bool {
        let names = self.accounts.keys().chain(stated.keys());
        let of = |book: &BTreeMap<String, Credits>, name| book.get(name).copied().unwrap_or_default();
        names.into_iter().all(|name| of(&self.accounts, name) == of(stated, name))
    }

    fn finding(&self, stated_total: &str) -> Audit {
        let total = self.accounts.values().try_fold(Credits::ZERO, |sum, credits| sum.checked_add(*credits));
        if total != Some(Credits::ZERO) || stated_total != "0" {
            return Audit::Wrong(format!("the trial balance sums to {stated_total}, not zero"));
        }
        let customers = self.customers.len();
        Audit::Clean { postings: self.postings, transfers: self.transfers, customers }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn posting(position: i64, customer: &str, sequence: i64, moves: &[(&str, &str, &str)]) -> wire::Posting {
        let transfer = |(debit, credit, credits): &(&str, &str, &str)| wire::Transfer {
            debit_account: (*debit).to_owned(),
            credit_account: (*credit).to_owned(),
            credits: (*credits).to_owned(),
        };
        wire::Posting {
            posting_id: format!("p{position}"),
            position,
            customer_id: customer.to_owned(),
            sequence,
            transfers: moves.iter().map(transfer).collect(),
            ..Default::default()
        }
    }

    fn after(mut posting: wire::Posting, available: &str, held: &str) -> wire::Posting {
        posting.balance_after = Some(wire::Balance {
            available_credits: available.to_owned(),
            held_credits: held.to_owned(),
            owed_credits: "0".to_owned(),
            sequence: posting.sequence,
        });
        posting
    }

    fn read(postings: &[wire::Posting]) -> Result<Book, String> {
        let mut book = Book::default();
        postings.iter().try_for_each(|posting| book.read(posting).unwrap()).map(|()| book)
    }

    fn good() -> [wire::Posting; 3] {
        [
            after(posting(1, "a", 1, &[]), "0", "0"),
            after(posting(2, "a", 2, &[("sales:web", "available", "5")]), "5", "0"),
            after(posting(3, "a", 3, &[("available", "held", "1.5")]), "3.5", "1.5"),
        ]
    }

    #[test]
    fn a_journal_gives_balances_and_the_trial_balance() {
        let book = read(&good()).unwrap();
        let stated = [("available", "3.5"), ("held", "1.5"), ("sales:web", "-5"), ("revenue", "0")];
        let mut stated: BTreeMap<_, _> =
            stated.map(|(name, credits)| (name.to_owned(), amount(credits).unwrap())).into();
        assert!(book.gives(&stated));
        assert_eq!(book.finding("0"), Audit::Clean { postings: 3, transfers: 2, customers: 1 });
        assert!(matches!(book.finding("1"), Audit::Wrong(_)));
        stated.insert("revenue".to_owned(), Credits::whole(1));
        assert!(!book.gives(&stated));
    }

    #[test]
    fn the_first_posting_that_does_not_fit_is_named() {
        let error = |change: fn(&mut [wire::Posting; 3])| {
            let mut postings = good();
            change(&mut postings);
            read(&postings).unwrap_err()
        };
        let gap = error(|postings| postings[2].position = 4);
        assert_eq!(gap, "posting p3 at position 4: its position does not follow the one before");
        assert!(error(|postings| postings[1].sequence = 3).contains("sequence"));
        assert!(error(|postings| postings[1].transfers[0].credits = "4".to_owned()).contains("balances"));
        assert!(error(|postings| postings[2].transfers.clear()).starts_with("posting p3"));
    }
}
