//! A customer's statement: the opening balance, each movement, the closing balance, and what is still open.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ledger::{Balances, Credits, CustomerId, CustomerKey, Hold, HoldState, Kind, LedgerNo, Timestamp};
use crate::store::{At, HoldFilter};

use super::balances::BalanceAt;
use super::error::ReadError;
use super::page::{Listed, PageRequest};
use super::postings::{PostingFilter, TransferRecord, just_before};
use super::reader::Reader;

/// Postings in one read for the sums.
const READ: u64 = 1_000;
/// The most open holds that a statement names.
const OPEN_HOLDS_MAX: usize = 1_000;

/// A period from its first moment until before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period {
    pub from: Timestamp,
    /// The first moment after the period.
    pub until: Timestamp,
}

#[derive(Clone, Debug)]
pub struct Statement {
    /// Just before the period; equals the closing balance of the period before.
    pub opening: BalanceAt,
    /// At the end of the period.
    pub closing: BalanceAt,
    /// The transfers of the period, oldest first.
    pub lines: Listed<TransferRecord>,
    /// True where postings of the period may still be recorded.
    pub provisional: bool,
    /// Totals of the whole period; only with the last page.
    pub end: Option<StatementEnd>,
}

/// The totals under the lines.
#[derive(Clone, Debug, Default)]
pub struct StatementEnd {
    /// By kind of posting, in the order of their codes.
    pub subtotals: BTreeMap<Kind, Subtotal>,
    /// Holds made before the end that are open now, newest first, in their present state; at most 1,000.
    pub open_holds: Vec<Arc<Hold>>,
}

/// The totals of the postings of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Subtotal {
    pub lines: u64,
    /// The sum by which available + held - owed rose.
    pub credited: Credits,
    /// The sum by which it fell.
    pub debited: Credits,
}

impl Subtotal {
    /// Adds a transfer. A transfer between the customer's own accounts counts as a line but changes no sum.
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
    /// A page of a customer's statement. `now` is the server's clock.
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
        let customer = self.customer_until(ledger, id, Some(period.until)).await?;
        let key = customer.key();
        let last = just_before(period.until);
        // Asked before the reads: postings that become final afterwards may be missing from them.
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

    /// A customer's balances after everything that counts before `time`.
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
            let page = self.store.postings_of(key, done.saturating_add(1), until).await?;
            let read_to = page.next.unwrap_or(until);
            for recorded in page.items {
                for record in TransferRecord::all(&recorded)? {
                    let sum = subtotals.entry(record.recorded.posting.kind).or_default();
                    sum.add(&record)
                        .ok_or_else(|| ReadError::damaged("the sums of a statement leave their bounds"))?;
                }
            }
            done = read_to;
        }
        Ok(subtotals)
    }

    /// The search ends after `count` holds: the customer has no more open ones.
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

/// The total that a statement's credits and debits change: available + held - owed.
pub fn worth(balances: Balances) -> Option<Credits> {
    balances.available.checked_add(balances.held)?.checked_sub(balances.owed)
}
