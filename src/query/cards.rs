//! Rate cards as this server knows them: read once, and caught up where they may have changed.

use std::sync::{Arc, PoisonError};

use crate::ledger::LedgerNo;
use crate::ledger::card::{CardRef, Cards};
use crate::store::cards::catch_up;

use super::error::ReadError;
use super::reader::Reader;

impl Reader {
    /// All current cards, including every change that any server acknowledged before this call.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn cards(&self) -> Result<Arc<Cards>, ReadError> {
        let known = self.known_cards();
        let changes = self.store.card_changes(known.revision()).await?;
        if changes.is_empty() {
            return Ok(known);
        }
        let mut cards = known;
        catch_up(&mut cards, &changes)?;
        let mut held = self.cards.write().unwrap_or_else(PoisonError::into_inner);
        // Another caller may have caught up further meanwhile.
        if held.revision() < cards.revision() {
            *held = Arc::clone(&cards);
        }
        Ok(cards)
    }

    /// A pinned version of a card. It never changes, so a known one costs no read.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn cards_with(&self, ledger: LedgerNo, card: &CardRef) -> Result<Arc<Cards>, ReadError> {
        let known = self.known_cards();
        if known.get(ledger, card).is_some() { Ok(known) } else { self.cards().await }
    }

    fn known_cards(&self) -> Arc<Cards> {
        Arc::clone(&self.cards.read().unwrap_or_else(PoisonError::into_inner))
    }
}
