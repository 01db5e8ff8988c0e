//! How far the endpoints are that this server sends to, for metrics: the relay tells it with each look at them.

use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use crate::ledger::LedgerNo;
use crate::store::Position;
use crate::store::webhooks::Endpoint;

/// An endpoint that this server sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sending {
    pub ledger: LedgerNo,
    pub endpoint: Uuid,
    /// Its stored cursor.
    pub done: Position,
}

/// What the last look saw; `None` where it failed, or there was none. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Progress(Arc<Mutex<Option<Vec<Sending>>>>);

impl Progress {
    pub fn last(&self) -> Option<Vec<Sending>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn saw(&self, endpoints: Option<&[Endpoint]>) {
        let sending = |endpoint: &Endpoint| {
            let Endpoint { id, ledger, done, .. } = endpoint;
            Sending { ledger: *ledger, endpoint: *id, done: *done }
        };
        let seen = endpoints.map(|endpoints| endpoints.iter().map(sending).collect());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = seen;
    }
}
