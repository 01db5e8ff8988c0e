//! One reader of a ledger's feed for all who follow it on this server. It reads after a commit on this server, and when
//! the engine notices a commit of another server. Postings that the engine announced are not read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::broadcast::error::TryRecvError;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::notice::{Page, notices_of, read_page};
use crate::ledger::LedgerNo;
use crate::store::{CommitNotifier, Committed, Position, ReadStore, Recorded};

/// Postings in one read: each read is a short transaction of its own.
pub(super) const PAGE_POSTINGS: usize = 256;
/// Pages kept for slow followers. A follower that is further behind gets `TooSlow`. All followers share the pages, so
/// this bounds the memory of a feed.
const PAGES_KEPT: usize = 64;
/// A read that finds so many new postings has met a busy ledger. The next read comes after a pause. A few large pages
/// cost far less than one page for each commit, and followers wait a little longer. With fewer postings there is
/// no pause.
const BUSY_POSTINGS: u64 = 4;
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The wait after a read that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// The feed of one ledger, read until this is dropped.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    pages: broadcast::Sender<Arc<Page>>,
    /// The last position that followers got. It is locked while a page is published, so that a follower that joins
    /// knows exactly which pages will come.
    head: Mutex<Position>,
}

impl Hub {
    /// Reads what comes after `head`, on the current runtime.
    pub fn start(
        store: Arc<dyn ReadStore>,
        notifier: &CommitNotifier,
        ledger: LedgerNo,
        head: Position,
    ) -> Self {
        let (growth, committed) = (notifier.growth.subscribe(), notifier.committed.subscribe());
        let shared = Arc::new(Shared { pages: broadcast::Sender::new(PAGES_KEPT), head: Mutex::new(head) });
        let task = tokio::spawn(read(Arc::clone(&shared), store, growth, committed, ledger));
        Self { shared, task }
    }

    /// The pages from now on, and the position after which they begin.
    pub fn join(&self) -> (broadcast::Receiver<Arc<Page>>, Position) {
        let head = self.shared.head.lock().unwrap_or_else(PoisonError::into_inner);
        (self.shared.pages.subscribe(), *head)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(
    shared: Arc<Shared>,
    store: Arc<dyn ReadStore>,
    mut growth: watch::Receiver<u64>,
    mut committed: broadcast::Receiver<Committed>,
    ledger: LedgerNo,
) {
    loop {
        // Marked before the read, so that growth during the read makes `changed` ready at once.
        growth.mark_unchanged();
        let after = *shared.head.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = take_committed(&mut committed, ledger, after);
        let page = match taken.last().map(|last| last.position) {
            Some(last) => {
                let goes_on = taken.len() >= PAGE_POSTINGS;
                notices_of(&*store, taken).await.map(|notices| Page { notices, last, goes_on })
            }
            None => read_page(&*store, ledger, after, PAGE_POSTINGS).await,
        };
        match page {
            Ok(page) => {
                let found = page.last.0.saturating_sub(after.0);
                let goes_on = page.goes_on;
                shared.publish(page);
                if !goes_on && found >= BUSY_POSTINGS {
                    tokio::time::sleep(BUSY_PAUSE).await;
                }
                // The sender is gone when the engine is, and then nobody follows any more.
                if !goes_on && growth.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the feed could not be read");
                tokio::time::sleep(AFTER_FAILURE).await;
            }
        }
    }
}

/// The postings that the engine has announced and that follow `after` without a gap, at most a page. Postings behind a
/// gap are read from the feed.
fn take_committed(
    committed: &mut broadcast::Receiver<Committed>,
    ledger: LedgerNo,
    after: Position,
) -> Vec<Recorded> {
    let mut taken: Vec<Recorded> = Vec::new();
    while taken.len() < PAGE_POSTINGS {
        let commit = match committed.try_recv() {
            Ok(commit) => commit,
            // The oldest commits are lost; what is left comes next.
            Err(TryRecvError::Lagged(_)) => continue,
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        };
        for recorded in commit.iter().filter(|recorded| recorded.posting.ledger == ledger) {
            let last = taken.last().map_or(after, |last| last.position);
            if recorded.position.0 == last.0.saturating_add(1) && taken.len() < PAGE_POSTINGS {
                taken.push(recorded.clone());
            }
        }
    }
    taken
}

impl Shared {
    fn publish(&self, page: Page) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if page.last > *head {
            *head = page.last;
            // It fails when nobody follows at the moment.
            let _ = self.pages.send(Arc::new(page));
        }
    }
}
