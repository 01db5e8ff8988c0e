//! Events on their way out: what postings mean to those who are told, read from the feed and never stored.
//!
//! A place in the events of a ledger is a [`Cursor`]. Whoever follows holds one, and goes on after it: nothing is lost
//! where a reader, a server or a connection ends. While there are followers of a ledger on this server, one task reads
//! its feed for all of them ([`hub`]); one that comes late catches up by itself first ([`watch`]).

pub mod email;
mod hub;
mod told;
mod watch;
pub mod webhooks;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::ledger::LedgerNo;
use crate::store::{CommitNotifier, ReadStore};

use hub::Hub;

pub use crate::store::{Position, StoreError};
pub use told::{Cursor, Told};
pub use watch::{Filter, Watch, WatchError};

/// The feeds of all ledgers; shared by all who follow them.
pub struct EventFeeds {
    store: Arc<dyn ReadStore>,
    notifier: CommitNotifier,
    /// Feeds that are read now, each for as long as somebody follows it.
    hubs: Mutex<HashMap<LedgerNo, Weak<Hub>>>,
}

impl std::fmt::Debug for EventFeeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFeeds").finish_non_exhaustive()
    }
}

impl EventFeeds {
    /// Reads from `store` when `notifier` says that there is something to read.
    #[must_use]
    pub fn new(store: Arc<dyn ReadStore>, notifier: CommitNotifier) -> Self {
        Self { store, notifier, hubs: Mutex::default() }
    }

    /// The feed of a ledger, read for as long as somebody holds on to it.
    async fn hub(&self, ledger: LedgerNo) -> Result<Arc<Hub>, StoreError> {
        if let Some(hub) = self.open_hub(ledger) {
            return Ok(hub);
        }
        let head = self.store.last_position(ledger).await?;
        let mut hubs = self.hubs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(hub) = hubs.get(&ledger).and_then(Weak::upgrade) {
            return Ok(hub);
        }
        let hub = Arc::new(Hub::start(Arc::clone(&self.store), &self.notifier, ledger, head));
        hubs.retain(|_, hub| hub.strong_count() > 0);
        hubs.insert(ledger, Arc::downgrade(&hub));
        Ok(hub)
    }

    fn open_hub(&self, ledger: LedgerNo) -> Option<Arc<Hub>> {
        self.hubs.lock().unwrap_or_else(PoisonError::into_inner).get(&ledger).and_then(Weak::upgrade)
    }
}
