//! One reader of a ledger's feed for all who follow it on this server. It reads when something was committed here, and
//! when the engine noticed that another server has committed.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{broadcast, watch};
use tokio::task::JoinHandle;

use super::told::{Page, read_page};
use crate::ledger::LedgerNo;
use crate::store::{Position, ReadStore};

/// Postings in one read: each read is a short transaction of its own.
pub(super) const PAGE_POSTINGS: usize = 256;
/// Pages that are kept for followers which are behind; one that is further behind has lost the connection. It bounds
/// what all of them together keep in memory.
const PAGES_KEPT: usize = 64;
/// How long it waits after a read that failed.
const AFTER_FAILURE: Duration = Duration::from_millis(250);

/// A feed that is read for its followers; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Hub {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    pages: broadcast::Sender<Arc<Page>>,
    /// The last position that was given to followers. Locked while a page is given, so that who joins knows exactly
    /// which pages will come.
    head: Mutex<Position>,
}

impl Hub {
    /// Reads what comes after `head`, on the current runtime.
    pub fn start(
        store: Arc<dyn ReadStore>,
        growth: watch::Receiver<u64>,
        ledger: LedgerNo,
        head: Position,
    ) -> Self {
        let shared = Arc::new(Shared { pages: broadcast::Sender::new(PAGES_KEPT), head: Mutex::new(head) });
        let task = tokio::spawn(read(Arc::clone(&shared), store, growth, ledger));
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
    ledger: LedgerNo,
) {
    loop {
        // Taken note of before the read: growth during it makes `changed` ready at once.
        growth.mark_unchanged();
        let after = *shared.head.lock().unwrap_or_else(PoisonError::into_inner);
        match read_page(&*store, ledger, after, PAGE_POSTINGS).await {
            Ok(page) => {
                let is_full = page.last.0.saturating_sub(after.0) >= PAGE_POSTINGS as u64;
                shared.publish(page);
                // Without a sender the engine is gone, and so is everybody who could ask.
                if !is_full && growth.changed().await.is_err() {
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

impl Shared {
    fn publish(&self, page: Page) {
        let mut head = self.head.lock().unwrap_or_else(PoisonError::into_inner);
        if page.last > *head {
            *head = page.last;
            // Nobody follows at the moment where it fails.
            let _ = self.pages.send(Arc::new(page));
        }
    }
}
