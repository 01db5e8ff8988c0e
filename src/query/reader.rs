//! The reader, which answers all questions.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use tokio::sync::watch;

use crate::ledger::card::Cards;
use crate::ledger::{Customer, CustomerKey, LedgerId, LedgerNo};
use crate::store::{CommitNotifier, ReadStore};
use crate::writer::Writer;

use super::error::ReadError;

/// Answers questions from a store; shared by all callers.
pub struct Reader {
    pub(super) store: Arc<dyn ReadStore>,
    notifier: CommitNotifier,
    /// Applies what is due before a customer is read. Without one, reads answer as of what is stored.
    pub(super) writer: Option<Writer>,
    /// Ledgers by id. They are never renamed or removed, so a cached entry stays right.
    pub(super) ledgers: RwLock<HashMap<LedgerId, LedgerNo>>,
    /// Revisions only rise: cards are only ever caught up.
    pub(super) cards: RwLock<Arc<Cards>>,
}

impl Reader {
    /// Reads from `store`; `cards` is what every ledger has from the start.
    #[must_use]
    pub fn new(store: Arc<dyn ReadStore>, notifier: CommitNotifier, cards: Arc<Cards>) -> Self {
        Self {
            store,
            notifier,
            writer: None,
            ledgers: RwLock::new(HashMap::new()),
            cards: RwLock::new(cards),
        }
    }

    /// Has `writer` apply what is due of a customer before it is read.
    #[must_use]
    pub fn current_by(self, writer: Writer) -> Self {
        Self { writer: Some(writer), ..self }
    }

    /// Changes whenever some ledger's journal may have grown; followers wait for it.
    pub fn growth(&self) -> watch::Receiver<u64> {
        self.notifier.growth.subscribe()
    }

    /// False while the database cannot be reached.
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.notifier.reachable.clone()
    }

    /// Customers by their keys; missing ones are left out.
    pub(super) async fn customers_by_key(
        &self,
        keys: impl Iterator<Item = CustomerKey>,
    ) -> Result<HashMap<CustomerKey, Customer>, ReadError> {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        keys.dedup();
        let found = self.store.customers_by_key(&keys).await?;
        Ok(found.into_iter().map(|customer| (customer.key(), customer)).collect())
    }
}
