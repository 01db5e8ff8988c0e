//! A customer's statement: what it had, line by line what moved, what it has, and what is still open.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ledger::{Balances, Credits, CustomerId, CustomerKey, Hold, HoldState, Kind, LedgerNo, Timestamp};
use crate::store::{At, HoldFilter};

use super::balances::BalanceAt;
use super::error::ReadError;
use super::page::{Listed, PageRequest};
use super::postings::{PostingFilter, TransferRecord, just_before};
use super::reader::Reader;

/// Postings in one read of what is summed.
const READ: u64 = 1_000;
/// Open holds that a statement names.
const OPEN_HOLDS_MAX: usize = 1_000;

/// A period: from a time on, until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub until: Timestamp,
}

/// A page of a statement.
#[derive(Clone, Debug)]
pub struct Statement {
    /// Just before the period: the closing of the period before, to the last digit.
    pub opening: BalanceAt,
    /// At its end.
    pub closing: BalanceAt,
    /// What moved, oldest first.
    pub lines: Listed<TransferRecord>,
    /// True where something may still be recorded within the period.
    pub provisional: bool,
    /// Of the whole period; only with the last page.
    pub end: Option<StatementEnd>,
}

/// What stands under the lines.
#[derive(Clone, Debug, Default)]
pub struct StatementEnd {
    /// By kind of posting, in the order of their codes.
    pub subtotals: BTreeMap<Kind, Subtotal>,
    /// Holds made before the end that are open now, newest first, as they are now; at most 1,000.
    pub open_holds: Vec<Arc<Hold>>,
}

/// What the postings of one kind came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subtotal {
    /// Lines of the statement.
    pub lines: u64,
    /// What available + held - owed rose by.
    pub credited: Credits,
    /// What it fell by.
    pub debited: Credits,
}

impl Subtotal {
    /// Counts a transfer in. What moves between the customer's own accounts is a line and no change.
    fn add(&mut self, record: &TransferRecord) -> Option<()> {
        let transfer = &record.transfer;
        self.lines = self.lines.checked_add(1)?;
        match (transfer.debit.is_customer(), transfer.credit.is_customer()) {
            (false, true) => self.credited = self.credited.checked_add(transfer.credits)?,
            (true, false) => self.debited = self.debited.checked_add(transfer.credits)?,
            (true, true) | (false, false) => {}
        }
        Some(())
    }
}

impl Reader {
    /// A page of the statement of a customer. `now` is the clock of the server.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn statement(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
        period: Period,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Statement, ReadError> {
        let customer = self.customer(ledger, id).await?;
        let key = customer.key();
        let last = just_before(period.until);
        // Before the reads: what is final by then is what is read.
        let provisional = self.store.watermark(last, now).await? < last;
        let opening = self.balance_before(key, period.from).await?;
        let closing = self.balance_before(key, period.until).await?;
        let filter =
            PostingFilter { from: Some(period.from), until: Some(period.until), ..PostingFilter::default() };
        let lines = self.transfers(ledger, id, &filter, page).await?;
        let end = if lines.next.is_none() {
            let subtotals = self.subtotals(key, opening.sequence, closing.sequence).await?;
            let open = usize::try_from(customer.state.open_holds).unwrap_or(usize::MAX);
            let open_holds = self.open_holds(ledger, key, period.until, open).await?;
            Some(StatementEnd { subtotals, open_holds })
        } else {
            None
        };
        Ok(Statement { opening, closing, lines, provisional, end })
    }

    /// A customer's balances after all that counts before `time`.
    async fn balance_before(&self, key: CustomerKey, time: Timestamp) -> Result<BalanceAt, ReadError> {
        let found = self.store.posting_at(key, At::Time(just_before(time))).await?;
        Ok(BalanceAt::after(found.as_ref()))
    }

    async fn subtotals(
        &self,
        key: CustomerKey,
        after: u64,
        last: u64,
    ) -> Result<BTreeMap<Kind, Subtotal>, ReadError> {
        let mut subtotals: BTreeMap<Kind, Subtotal> = BTreeMap::new();
        let mut done = after;
        while done < last {
            let until = last.min(done.saturating_add(READ));
            for recorded in self.store.postings_of(key, done.saturating_add(1), until).await? {
                for record in TransferRecord::all(&recorded)? {
                    let sum = subtotals.entry(record.recorded.posting.kind).or_default();
                    sum.add(&record)
                        .ok_or_else(|| ReadError::damaged("the sums of a statement leave their bounds"))?;
                }
            }
            done = until;
        }
        Ok(subtotals)
    }

    /// `count` holds of the customer are open; the search ends with the last of them.
    async fn open_holds(
        &self,
        ledger: LedgerNo,
        key: CustomerKey,
        until: Timestamp,
        count: usize,
    ) -> Result<Vec<Arc<Hold>>, ReadError> {
        let states = vec![HoldState::Quoted, HoldState::AwaitingCredits, HoldState::Active];
        let filter = HoldFilter { customer: Some(key), states, ..HoldFilter::default() };
        let (mut open, mut before) = (Vec::new(), None);
        while open.len() < count.min(OPEN_HOLDS_MAX) {
            let page = self.store.holds(ledger, &filter, before, OPEN_HOLDS_MAX).await?;
            open.extend(page.items);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        open.retain(|hold| hold.created_at < until);
        open.truncate(OPEN_HOLDS_MAX);
        Ok(open)
    }
}

/// What a customer has, all in all: what a statement's credits and debits change.
pub fn worth(balances: Balances) -> Option<Credits> {
    balances.available.checked_add(balances.held)?.checked_sub(balances.owed)
}
