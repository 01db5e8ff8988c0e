//! The feeds of all ledgers. While a ledger has followers on this server, one [`Hub`] reads its feed for all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::hub::Hub;
use crate::ledger::LedgerNo;
use crate::store::{CommitNotifier, ReadStore, StoreError};

pub struct EventFeeds {
    pub(super) store: Arc<dyn ReadStore>,
    notifier: CommitNotifier,
    /// Feeds that are read now. The map holds a feed weakly, so that it ends with its last follower.
    hubs: Mutex<HashMap<LedgerNo, Weak<Hub>>>,
}

impl std::fmt::Debug for EventFeeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventFeeds").finish_non_exhaustive()
    }
}

impl EventFeeds {
    /// Reads from `store` when `notifier` reports a commit.
    #[must_use]
    pub fn new(store: Arc<dyn ReadStore>, notifier: CommitNotifier) -> Self {
        Self { store, notifier, hubs: Mutex::default() }
    }

    /// The feed of a ledger. It is read until the last holder drops it.
    pub(super) async fn hub(&self, ledger: LedgerNo) -> Result<Arc<Hub>, StoreError> {
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
