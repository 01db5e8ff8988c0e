//! The endpoint of each ledger that stands for e-mail. It is the server's own, with an id that all servers can compute.
//! The first server with e-mail switched on makes it.
//!
//! In a database without such an endpoint, a new one begins at the end of the journal: nobody wants years of old
//! messages. Once the database has one, a ledger without one is new, and its events are sent from its beginning. After
//! a pause of more than [`PAUSE_SECONDS_MAX`] e-mail begins at the end again, because old messages would state old
//! balances.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use uuid::Uuid;

use super::facts::EVENTS;
use crate::clock::Clock;
use crate::ledger::{LedgerNo, RequestKey, Text};
use crate::store::signing_secret::StoredSecret;
use crate::store::webhooks::{Asked, EMAIL_URL, Endpoint, Method, WebhookStore};
use crate::store::{Position, ReadStore, StoreError};

/// After a pause longer than this (a week), e-mail does not make up for what it missed.
const PAUSE_SECONDS_MAX: i64 = 7 * 86_400;
/// The ids of the endpoints without the ledger's number: UUIDs of version 8, whose bits are free, with "mail" in front.
const ID: u128 = 0x6d61_696c_0000_8000_8000_0000_0000_0000;

pub fn email_endpoint(ledger: LedgerNo) -> Uuid {
    Uuid::from_u128(ID | u128::from(ledger.get()))
}

/// Makes the endpoint of each ledger.
pub struct Mailboxes {
    store: Arc<dyn ReadStore>,
    rows: Arc<dyn WebhookStore>,
    clock: Arc<dyn Clock>,
    /// Ledgers whose endpoint exists.
    seen: Mutex<HashSet<LedgerNo>>,
}

impl std::fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailboxes").field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Mailboxes {
    #[must_use]
    pub fn new(store: Arc<dyn ReadStore>, rows: Arc<dyn WebhookStore>, clock: Arc<dyn Clock>) -> Self {
        Self { store, rows, clock, seen: Mutex::default() }
    }

    /// Makes the endpoints of ledgers that have none yet. The first look also checks for a pause. It fails if another
    /// server made them at the same moment; the next look finds them.
    pub(super) async fn make(&self) -> Result<(), StoreError> {
        let ledgers = self.store.ledgers().await?;
        let new: Vec<LedgerNo> = {
            let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            ledgers.iter().map(|ledger| ledger.no).filter(|no| !seen.contains(no)).collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        let mut ends = Vec::with_capacity(new.len());
        for ledger in new {
            ends.push((ledger, self.store.last_position(ledger).await?));
        }
        let mut tx = self.rows.begin(self.clock.now()).await?;
        let now = tx.now();
        let made: Vec<Endpoint> = tx.endpoints().await?.into_iter().filter(Endpoint::is_email).collect();
        // A server that sends renews its lease every few seconds.
        let last_held = made.iter().map(|endpoint| endpoint.held_until).max();
        let is_fresh = last_held.is_none_or(|held| held.plus_seconds(PAUSE_SECONDS_MAX) < now);
        for (ledger, end) in &ends {
            let id = email_endpoint(*ledger);
            match tx.endpoint(id).await? {
                Some(_) if !is_fresh => {}
                Some(mut endpoint) => {
                    let (from, to) = (endpoint.done.0, end.0);
                    tracing::warn!(
                        from,
                        to,
                        "e-mail was off for long; what was posted meanwhile is not sent"
                    );
                    (endpoint.done, endpoint.taken, endpoint.held_until) = (*end, 0, now);
                    endpoint.version = endpoint.version.saturating_add(1);
                    tx.put_endpoint(&endpoint).await?;
                }
                None => {
                    let begin = if is_fresh { *end } else { Position(0) };
                    tx.put_endpoint(&Endpoint {
                        id,
                        ledger: *ledger,
                        url: Text::parse(EMAIL_URL).unwrap_or_default(),
                        types: EVENTS.to_vec(),
                        description: Text::EMPTY,
                        secret: StoredSecret::NONE,
                        old_secret: None,
                        created_at: now,
                        disabled: None,
                        done: begin,
                        taken: 0,
                        holder: None,
                        held_until: now,
                        version: 1,
                    })
                    .await?;
                    // Stored as a request too, because a request is stored once only. If two servers make the endpoint
                    // at the same moment, the second one fails instead of replacing the first one's.
                    let scope = (*ledger, Method::Create, RequestKey::Uuid(id));
                    if tx.asked(&scope).await?.is_none() {
                        tx.put_asked(&scope, Asked { fingerprint: 0, endpoint: id }).await?;
                    }
                }
            }
        }
        tx.commit().await?;
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.extend(ends.into_iter().map(|(ledger, _)| ledger));
        Ok(())
    }
}
