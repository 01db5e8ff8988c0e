//! What the reference engine knows of the time: nothing that outlives the process.

use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;

use crate::clock::plausible::Known;
use crate::ledger::Timestamp;
use crate::store::StoreError;
use crate::store::clock::ClockStore;

/// Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryClock(Arc<RwLock<Known>>);

#[async_trait]
impl ClockStore for MemoryClock {
    async fn known(&self, wall: Timestamp) -> Result<(Known, Timestamp), StoreError> {
        Ok((*self.0.read().unwrap_or_else(PoisonError::into_inner), wall))
    }

    async fn beat(&self, at: Timestamp) -> Result<(), StoreError> {
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        (known.heartbeat, known.is_doubted) = (Some(at), false);
        Ok(())
    }

    async fn doubt(&self) -> Result<(), StoreError> {
        self.0.write().unwrap_or_else(PoisonError::into_inner).is_doubted = true;
        Ok(())
    }
}
