//! Follows the events of a ledger or of one customer. It first reads what was missed, page by page at the follower's
//! own pace. Then it follows the feed that all followers share.

use std::sync::Arc;

use tokio::sync::broadcast;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};

use super::feeds::EventFeeds;
use super::hub::{Hub, PAGE_POSTINGS};
use super::notice::{Cursor, Notice, Page, notices_of, read_page};
use crate::ledger::event::EventType;
use crate::ledger::{CustomerKey, LedgerNo};
use crate::store::{At, Position, StoreError};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// `None` for the whole ledger.
    pub customer: Option<CustomerKey>,
    /// Empty for all types.
    pub types: Vec<EventType>,
}

impl Filter {
    fn wants(&self, notice: &Notice) -> bool {
        self.customer.is_none_or(|customer| customer == notice.posting.customer)
            && (self.types.is_empty() || self.types.contains(&notice.event.event))
    }
}

/// Why following ends. It can be resumed from the cursor of the last event that was taken.
#[derive(Debug, thiserror::Error)]
pub enum WatchError {
    /// The follower is further behind than the pages that are kept.
    #[error("the reader is too slow")]
    TooSlow,
    #[error(transparent)]
    Storage(#[from] StoreError),
}

#[derive(Debug)]
pub struct Watch {
    feeds: Arc<EventFeeds>,
    ledger: LedgerNo,
    filter: Filter,
    cursor: Cursor,
    /// Where it ends; without it, the watch waits for more.
    end: Option<Position>,
    /// The customer's last posting that it has seen, where it follows one customer.
    sequence: Option<u64>,
    live: Option<Live>,
}

/// The shared feed. It is read while a follower holds it.
#[derive(Debug)]
struct Live {
    _hub: Arc<Hub>,
    pages: broadcast::Receiver<Arc<Page>>,
}

impl Watch {
    /// Follows from `cursor` on.
    #[must_use]
    pub fn new(feeds: &Arc<EventFeeds>, ledger: LedgerNo, filter: Filter, cursor: Cursor) -> Self {
        let feeds = Arc::clone(feeds);
        Self { feeds, ledger, filter, cursor, end: None, sequence: None, live: None }
    }

    /// Ends after the events of postings up to `end`.
    #[must_use]
    pub fn until(mut self, end: Position) -> Self {
        self.end = Some(end);
        self
    }

    /// The place up to which events were looked at. Each event before it was handed out or does not pass the filter.
    pub const fn cursor(&self) -> Cursor {
        self.cursor
    }

    /// Waits for the next events and returns one or more; `None` at the end. The future may be dropped and called again
    /// without losing an event.
    pub async fn next(&mut self) -> Result<Option<Vec<Arc<Notice>>>, WatchError> {
        loop {
            if self.end.is_some_and(|end| self.cursor.done >= end) {
                return Ok(None);
            }
            let notices = match &mut self.live {
                Some(live) => match live.pages.recv().await {
                    Ok(page) => self.take(&page),
                    Err(RecvError::Lagged(_)) => return Err(WatchError::TooSlow),
                    // A hub that is held closes its pages only when its task ends. Catching up looks for a hub again.
                    Err(RecvError::Closed) => {
                        self.live = None;
                        continue;
                    }
                },
                None => self.catch_up().await?,
            };
            if !notices.is_empty() {
                return Ok(Some(notices));
            }
        }
    }

    /// Events that need no wait, possibly none that pass the filter. `None` if there are no more, or if only a wait can
    /// tell.
    pub fn ready(&mut self) -> Option<Vec<Arc<Notice>>> {
        match self.live.as_mut()?.pages.try_recv() {
            Ok(page) => Some(self.take(&page)),
            Err(TryRecvError::Empty) => None,
            // Pages that the shared feed has dropped are read again from the store.
            Err(TryRecvError::Lagged(_) | TryRecvError::Closed) => {
                self.live = None;
                None
            }
        }
    }

    /// Reads a page of missed events, or joins the shared feed if nothing was missed.
    async fn catch_up(&mut self) -> Result<Vec<Arc<Notice>>, WatchError> {
        let hub = self.feeds.hub(self.ledger).await?;
        let (pages, head) = hub.join();
        if self.cursor.done >= head {
            self.live = Some(Live { _hub: hub, pages });
            return Ok(Vec::new());
        }
        let store = &*self.feeds.store;
        let page = match self.filter.customer {
            Some(customer) => {
                let (page, sequence) = self.own_page(customer, head).await?;
                self.sequence = Some(sequence);
                page
            }
            None => read_page(store, self.ledger, self.cursor.done, PAGE_POSTINGS).await?,
        };
        Ok(self.take(&page))
    }

    /// The customer's own postings that were missed, without reading those of all others, and the last one's sequence.
    /// Every posting up to `head` has its position. So if no further posting with a position follows, everything up to
    /// `head` was looked at.
    async fn own_page(&self, customer: CustomerKey, head: Position) -> Result<(Page, u64), StoreError> {
        let store = &*self.feeds.store;
        let last = if let Some(sequence) = self.sequence {
            sequence
        } else {
            let found = store.posting_at(customer, At::Position(self.cursor.done)).await?;
            found.map_or(0, |found| found.posting.sequence)
        };
        let count = u64::try_from(PAGE_POSTINGS).unwrap_or(u64::MAX);
        let read = store.postings_of(customer, last.saturating_add(1), last.saturating_add(count)).await?;
        let is_full = read.next.is_some() || read.items.len() >= PAGE_POSTINGS;
        let mut postings = read.items;
        let placed = postings.iter().take_while(|recorded| recorded.position > Position(0)).count();
        let is_whole = is_full && placed == postings.len();
        postings.truncate(placed);
        let (sequence, position) =
            postings.last().map_or((last, Position(0)), |last| (last.posting.sequence, last.position));
        let looked_at = if is_whole { position } else { position.max(head) };
        Ok((
            Page { notices: notices_of(store, postings).await?, last: looked_at, goes_on: is_whole },
            sequence,
        ))
    }

    /// The events of a page that pass the filter and were not handed out before.
    fn take(&mut self, page: &Page) -> Vec<Arc<Notice>> {
        let before = self.cursor;
        let end = self.end.unwrap_or(Position(u64::MAX));
        let wanted = |notice: &&Arc<Notice>| {
            !before.is_past(notice.position, notice.index)
                && notice.position <= end
                && self.filter.wants(notice)
        };
        let notices: Vec<Arc<Notice>> = page.notices.iter().filter(wanted).cloned().collect();
        if page.last > before.done {
            self.cursor = Cursor::after(page.last);
            // Postings from the shared feed are not counted, so the sequence is looked up again when it is needed.
            if self.live.is_some() {
                self.sequence = None;
            }
        }
        notices
    }
}
