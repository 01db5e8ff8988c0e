//! The journal: a customer's postings and transfers, and a ledger's feed.

use crate::ledger::{
    Balances, CustomerId, CustomerKey, IncidentId, Kind, LedgerNo, Posting, PostingId, RequestKey,
    Storefront, Timestamp, Transfer,
};
use crate::store::{At, Page, Position, Recorded};

use super::error::ReadError;
use super::page::{Keyed, Listed, PageRequest, ROWS_AT_ONCE, ROWS_PER_PAGE_MAX, keyed};
use super::reader::Reader;

/// Which posting is asked for. Answers, events and transfers all name the customer beside the posting, and a
/// customer's posting is a logarithmic number of reads away. An index of all ids would cost one more write with every
/// command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PostingTarget {
    Id(CustomerId, PostingId),
    /// The posting that answered a request: shows the outcome of a command without sending it again.
    Request(CustomerId, Kind, RequestKey),
}

/// Which of a customer's postings to list. Times are found by a search over the customer's sequence. The other
/// conditions are checked posting by posting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PostingFilter {
    /// Any kind where empty.
    pub kinds: Vec<Kind>,
    /// Postings that changed a hold of this incident, or recorded that credits are missing for it.
    pub incident: Option<IncidentId>,
    /// Postings that moved credits sold by this storefront, or kept a payment that it reported.
    pub storefront: Option<Storefront>,
    /// Recorded at or after this time.
    pub from: Option<Timestamp>,
    /// Recorded before this time.
    pub until: Option<Timestamp>,
    pub newest_first: bool,
}

impl PostingFilter {
    /// Whether a posting matches; its time is not checked.
    pub fn takes(&self, posting: &Posting) -> bool {
        let Self { kinds, incident, storefront, from: _, until: _, newest_first: _ } = self;
        let told_by = posting.storefront.as_ref();
        let told_by = told_by.or_else(|| posting.detail.payment.as_ref().map(|payment| &payment.storefront));
        (kinds.is_empty() || kinds.contains(&posting.kind))
            && incident.as_ref().is_none_or(|incident| posting.is_about(incident))
            && storefront.as_ref().is_none_or(|wanted| told_by == Some(wanted))
    }

    /// How many postings a page of `limit` items reads at a time, and how often. Where only the time decides, it
    /// reads what it may show, once.
    fn reads(&self, limit: usize) -> (usize, usize) {
        if self.kinds.is_empty() && self.incident.is_none() && self.storefront.is_none() {
            (limit.clamp(1, ROWS_PER_PAGE_MAX), 1)
        } else {
            (ROWS_AT_ONCE, ROWS_PER_PAGE_MAX.div_ceil(ROWS_AT_ONCE))
        }
    }
}

/// A transfer with its posting.
#[derive(Clone, Debug)]
pub struct TransferRecord {
    pub recorded: Recorded,
    /// Its index among the posting's transfers, from 0.
    pub index: u64,
    pub transfer: Transfer,
    /// The customer's balances after this transfer.
    pub after: Balances,
}

impl TransferRecord {
    /// The transfers of a posting, each with the balances after it.
    ///
    /// # Errors
    /// Where the balances before a transfer are impossible.
    pub(super) fn all(recorded: &Recorded) -> Result<Vec<Self>, ReadError> {
        // Computed backwards from the posting's balances: the balances before a transfer are those after the previous
        // one.
        let mut after = recorded.posting.after;
        let transfers: Vec<Transfer> = recorded.posting.transfers().collect();
        let mut records = Vec::with_capacity(transfers.len());
        for (index, transfer) in (0_u64..).zip(transfers).collect::<Vec<_>>().into_iter().rev() {
            let undone = Transfer {
                debit: transfer.credit.clone(),
                credit: transfer.debit.clone(),
                credits: transfer.credits,
            };
            let before = after.moved_by(&undone).ok_or_else(|| {
                ReadError::damaged(format!("posting {} moves more than there was", recorded.posting.id))
            })?;
            records.push(Self { recorded: recorded.clone(), index, transfer, after });
            after = before;
        }
        records.reverse();
        Ok(records)
    }
}

/// The index after all transfers of a posting.
const WHOLE: u64 = u64::MAX;

keyed!(Recorded => (u64, u64): |it| (it.posting.sequence, WHOLE));

keyed!(TransferRecord => (u64, u64): |it| (it.recorded.posting.sequence, it.index));

/// A range of a customer's sequences that are still to be listed, ends included; empty where `first > last`.
#[derive(Clone, Copy)]
struct Range {
    first: u64,
    last: u64,
    newest_first: bool,
}

impl Range {
    /// Without the sequences that come before `sequence` in the order of the list.
    fn from(self, sequence: u64) -> Self {
        if self.newest_first {
            Self { last: self.last.min(sequence), ..self }
        } else {
            Self { first: self.first.max(sequence), ..self }
        }
    }

    fn after(self, sequence: u64) -> u64 {
        if self.newest_first { sequence.saturating_sub(1) } else { sequence.saturating_add(1) }
    }

    /// The first `count` sequences, and the one after which the rest begins.
    fn cut(self, count: usize) -> (Self, Option<u64>) {
        let more = u64::try_from(count).unwrap_or(u64::MAX).saturating_sub(1);
        if self.newest_first {
            let first = self.first.max(self.last.saturating_sub(more));
            (Self { first, ..self }, (first > self.first).then_some(first))
        } else {
            let last = self.last.min(self.first.saturating_add(more));
            (Self { last, ..self }, (last < self.last).then_some(last))
        }
    }
}

impl Reader {
    /// # Errors
    /// [`ReadError::PostingNotFound`], [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn posting(&self, ledger: LedgerNo, target: &PostingTarget) -> Result<Recorded, ReadError> {
        let found = match target {
            PostingTarget::Id(customer, id) => {
                let key = self.stored_customer(ledger, customer).await?.key();
                self.store.posting_at(key, At::Posting(*id)).await?
            }
            PostingTarget::Request(customer, kind, request) => {
                let key = self.stored_customer(ledger, customer).await?.key();
                self.store.posting_by_request(&(key, *kind, request.clone())).await?
            }
        };
        found.ok_or(ReadError::PostingNotFound)
    }

    /// The posting that created a customer.
    ///
    /// # Errors
    /// [`ReadError::PostingNotFound`], [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn first_posting(
        &self,
        ledger: LedgerNo,
        customer: &CustomerId,
    ) -> Result<Recorded, ReadError> {
        let key = self.stored_customer(ledger, customer).await?.key();
        self.store.posting_at(key, At::Sequence(1)).await?.ok_or(ReadError::PostingNotFound)
    }

    /// A customer's postings. A page reads at most 10,000 of them, so it may be short, even empty, while the list
    /// goes on.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn postings(
        &self,
        ledger: LedgerNo,
        customer: &CustomerId,
        filter: &PostingFilter,
        page: &PageRequest,
    ) -> Result<Listed<Recorded>, ReadError> {
        self.walk("postings", ledger, customer, filter, page, |recorded| Ok(vec![recorded])).await
    }

    /// The transfers of a customer's postings. A page reads at most 10,000 postings; without a filter, at most as
    /// many as it may hold transfers. So it may be short, even empty, while the list goes on.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn transfers(
        &self,
        ledger: LedgerNo,
        customer: &CustomerId,
        filter: &PostingFilter,
        page: &PageRequest,
    ) -> Result<Listed<TransferRecord>, ReadError> {
        let transfers = |recorded: Recorded| TransferRecord::all(&recorded);
        self.walk("transfers", ledger, customer, filter, page, transfers).await
    }

    /// A page of the items that `items_of` makes of the postings that match the filter. A key is a sequence and the
    /// item's index in its posting.
    async fn walk<T: Keyed<Key = (u64, u64)>>(
        &self,
        list: &str,
        ledger: LedgerNo,
        customer: &CustomerId,
        filter: &PostingFilter,
        page: &PageRequest,
        items_of: impl Fn(Recorded) -> Result<Vec<T>, ReadError>,
    ) -> Result<Listed<T>, ReadError> {
        let (after, bound) = page.open::<(u64, u64)>(&(list, ledger, customer, filter))?;
        let (key, mut range) = self.range(ledger, customer, filter).await?;
        if let Some((sequence, index)) = after {
            // A posting that was listed to its end is skipped; otherwise it could be all that a page reads.
            range = range.from(if index == WHOLE { range.after(sequence) } else { sequence });
        }
        let was_listed = |(sequence, index): (u64, u64)| {
            after.is_some_and(|after| after.0 == sequence && index <= after.1)
        };
        let mut items: Vec<T> = Vec::new();
        let mut last = None;
        let (at_once, times) = filter.reads(page.limit);
        for _ in 0..times {
            let (read, next) = self.read(key, range, at_once).await?;
            let taken = read.into_iter().filter(|it| filter.takes(&it.posting));
            for recorded in taken {
                for item in items_of(recorded)? {
                    if was_listed(item.key()) {
                        continue;
                    }
                    if items.len() >= page.limit {
                        return Ok(Listed::new(items, last, bound));
                    }
                    last = Some(item.key());
                    items.push(item);
                }
            }
            let Some(next) = next else { return Ok(Listed::new(items, None, bound)) };
            last = Some((next, WHOLE));
            if items.len() >= page.limit {
                break;
            }
            range = range.from(range.after(next));
        }
        Ok(Listed::new(items, last, bound))
    }

    /// A ledger's postings after a position, ascending, each with its customer's id.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn journal(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<(Recorded, CustomerId), Position>, ReadError> {
        let Page { items: feed, next } = self.store.feed(ledger, after, limit).await?;
        let customers = self.customers_by_key(feed.iter().map(|recorded| recorded.posting.customer)).await?;
        let named = |recorded: Recorded| {
            let customer = customers.get(&recorded.posting.customer);
            let customer = customer.ok_or_else(|| ReadError::damaged("a posting's customer is missing"))?;
            Ok((recorded, customer.id.clone()))
        };
        let items = feed.into_iter().map(named).collect::<Result<_, ReadError>>()?;
        Ok(Page { items, next })
    }

    async fn range(
        &self,
        ledger: LedgerNo,
        customer: &CustomerId,
        filter: &PostingFilter,
    ) -> Result<(CustomerKey, Range), ReadError> {
        let customer = self.customer_until(ledger, customer, filter.until).await?;
        let key = customer.key();
        let first = match filter.from {
            Some(from) => self.last_before(key, from).await?.saturating_add(1),
            None => 1,
        };
        let last = match filter.until {
            Some(until) => self.last_before(key, until).await?,
            None => customer.sequence,
        };
        Ok((key, Range { first, last, newest_first: filter.newest_first }))
    }

    /// The sequence of the last posting recorded before `time`; 0 for none.
    async fn last_before(&self, key: CustomerKey, time: Timestamp) -> Result<u64, ReadError> {
        let found = self.store.posting_at(key, At::Time(just_before(time))).await?;
        Ok(found.map_or(0, |found| found.posting.sequence))
    }

    /// Reads at most `at_once` postings from the beginning of `range`, and how far that went where there are more. The
    /// store gives the oldest first, so a range that is read from its newest is narrowed until it is read whole.
    async fn read(
        &self,
        key: CustomerKey,
        range: Range,
        at_once: usize,
    ) -> Result<(Vec<Recorded>, Option<u64>), ReadError> {
        let mut at_once = at_once;
        loop {
            let (cut, next) = range.cut(at_once);
            if cut.first > cut.last {
                return Ok((Vec::new(), next));
            }
            let page = self.store.postings_of(key, cut.first, cut.last).await?;
            match page.next {
                Some(_) if range.newest_first => at_once = (at_once / 2).max(1),
                Some(read_to) => return Ok((page.items, Some(read_to))),
                None => {
                    let mut postings = page.items;
                    if range.newest_first {
                        postings.reverse();
                    }
                    return Ok((postings, next));
                }
            }
        }
    }
}

/// The last moment before a time.
pub(super) fn just_before(time: Timestamp) -> Timestamp {
    Timestamp::from_micros(time.micros().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::Range;

    fn walk(newest_first: bool) -> Vec<(u64, u64)> {
        let whole = Range { first: 3, last: 7, newest_first };
        let mut rest = whole;
        let mut pages = Vec::new();
        loop {
            let (page, next) = rest.cut(2);
            pages.push((page.first, page.last));
            match next {
                Some(after) => rest = whole.from(whole.after(after)),
                None => return pages,
            }
        }
    }

    #[test]
    fn ranges_are_walked_in_both_directions() {
        assert_eq!(walk(false), [(3, 4), (5, 6), (7, 7)]);
        assert_eq!(walk(true), [(6, 7), (4, 5), (3, 3)]);
    }
}
