//! Changes and queries of endpoints. Each change carries a request id and is stored once, in a transaction of its own.

use std::sync::Arc;

use uuid::Uuid;

use super::notice::{Notice, read_page};
use super::sealing::{NotOpened, SealingKeys};
use super::secret::new_secret;
use crate::clock::{self, Clock};
use crate::hidden::Hidden;
use crate::ledger::codec::{encode, record};
use crate::ledger::event::EventType;
use crate::ledger::hash::stable_hash;
use crate::ledger::{LedgerNo, PostingId, RequestKey, Text};
use crate::store::webhooks::{
    Asked, Delivery, Disabled, Endpoint, Method, OldSecret, WebhookStore, WebhookTx,
};
use crate::store::{Position, ReadStore, StoreError};

/// Endpoints that one ledger may have.
pub const ENDPOINTS_MAX: usize = 64;
/// How long messages are also signed with a secret that was replaced.
const OLD_SECRET_SECONDS: i64 = 86_400;
/// Attempts at a change that clashes with another server's, or whose answer was lost.
const TRIES_MAX: u32 = 5;

#[derive(Clone, Debug, PartialEq)]
pub struct NewEndpoint {
    pub url: Text,
    /// Empty for events of all types.
    pub types: Vec<EventType>,
    pub description: Text,
    /// `None` makes a new one.
    pub secret: Option<Hidden<Text>>,
    /// The position of the journal after which it begins; `None` begins with the next event.
    pub after: Option<Position>,
}
record!(NewEndpoint { 1 => url, 2 => types, 3 => description, 4 => secret, 5 => after });

/// Fields to change; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    pub url: Option<Text>,
    pub types: Option<Vec<EventType>>,
    pub description: Option<Text>,
    /// Replaces the secret: by `secret`, or by a new one if that is `None`.
    pub rotate: bool,
    pub secret: Option<Hidden<Text>>,
    pub enabled: Option<bool>,
}
record!(Patch { 1 => url, 2 => types, 3 => description, 4 => rotate, 5 => secret, 6 => enabled });

/// The place of an event in a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventPlace {
    /// The position of its posting.
    pub position: Position,
    /// From 0, among the events of its posting.
    pub index: u32,
}
record!(EventPlace { 1 => position, 2 => index });

/// The outcome of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointChanged {
    /// The change was made, now or by an earlier delivery of the same request.
    Done {
        /// As it is now; `None` if it is gone.
        endpoint: Option<Box<Endpoint>>,
        /// True if the request was answered before.
        replayed: bool,
    },
    /// The request id was used for another request.
    RequestIdReused,
    EndpointNotFound,
    EventNotFound,
    /// The ledger has [`ENDPOINTS_MAX`] endpoints.
    TooMany,
}

/// Endpoints and their deliveries, as callers ask about them.
pub struct Endpoints {
    rows: Arc<dyn WebhookStore>,
    store: Arc<dyn ReadStore>,
    clock: Arc<dyn Clock>,
    keys: Arc<SealingKeys>,
}

impl std::fmt::Debug for Endpoints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoints").finish_non_exhaustive()
    }
}

enum Change {
    Create(NewEndpoint, Position),
    Update(Uuid, Patch),
    Delete(Uuid),
    Redeliver(Uuid, Option<Arc<Notice>>),
}

impl Endpoints {
    /// Keeps secrets in the clear, until keys are given.
    #[must_use]
    pub fn new(rows: Arc<dyn WebhookStore>, store: Arc<dyn ReadStore>, clock: Arc<dyn Clock>) -> Self {
        Self { rows, store, clock, keys: Arc::default() }
    }

    /// Seals secrets with these keys.
    #[must_use]
    pub fn sealed_with(self, keys: Arc<SealingKeys>) -> Self {
        Self { keys, ..self }
    }

    /// What messages to this endpoint are signed with.
    pub fn secret_of(&self, endpoint: &Endpoint) -> Result<Hidden<Text>, NotOpened> {
        self.keys.secret_of(endpoint)
    }

    pub async fn create(
        &self,
        ledger: LedgerNo,
        request: RequestKey,
        new: NewEndpoint,
    ) -> Result<EndpointChanged, StoreError> {
        let begin = match new.after {
            Some(after) => after,
            None => self.store.last_position(ledger).await?,
        };
        let content = encode(&new);
        self.change((ledger, Method::Create, request), &content, &Change::Create(new, begin)).await
    }

    pub async fn update(
        &self,
        ledger: LedgerNo,
        request: RequestKey,
        id: Uuid,
        patch: Patch,
    ) -> Result<EndpointChanged, StoreError> {
        let content = [id.as_bytes().to_vec(), encode(&patch)].concat();
        self.change((ledger, Method::Update, request), &content, &Change::Update(id, patch)).await
    }

    /// Removes an endpoint with its retry queue.
    pub async fn delete(
        &self,
        ledger: LedgerNo,
        request: RequestKey,
        id: Uuid,
    ) -> Result<EndpointChanged, StoreError> {
        self.change((ledger, Method::Delete, request), id.as_bytes(), &Change::Delete(id)).await
    }

    /// Sends an event again, whether it was delivered or given up.
    pub async fn redeliver(
        &self,
        ledger: LedgerNo,
        request: RequestKey,
        id: Uuid,
        place: EventPlace,
    ) -> Result<EndpointChanged, StoreError> {
        let before = Position(place.position.0.saturating_sub(1));
        let page = read_page(&*self.store, ledger, before, 1).await?;
        let is_there =
            |notice: &Arc<Notice>| (notice.position, notice.index) == (place.position, place.index);
        let notice = page.notices.into_iter().find(is_there);
        let content = [id.as_bytes().to_vec(), encode(&place)].concat();
        self.change((ledger, Method::Redeliver, request), &content, &Change::Redeliver(id, notice)).await
    }

    pub async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        self.store.last_position(ledger).await
    }

    /// The endpoints of a ledger, oldest first.
    pub async fn endpoints(&self, ledger: LedgerNo) -> Result<Vec<Endpoint>, StoreError> {
        let mut tx = self.rows.read(self.clock.now()).await?;
        let mut endpoints = tx.endpoints().await?;
        tx.commit().await?;
        endpoints.retain(|endpoint| endpoint.ledger == ledger && !endpoint.is_email());
        Ok(endpoints)
    }

    /// `None` if the ledger has no such endpoint.
    pub async fn endpoint(&self, ledger: LedgerNo, id: Uuid) -> Result<Option<Endpoint>, StoreError> {
        let mut tx = self.rows.read(self.clock.now()).await?;
        let endpoint = tx.peek_endpoint(id).await?;
        tx.commit().await?;
        Ok(endpoint.filter(|endpoint| endpoint.ledger == ledger && !endpoint.is_email()))
    }

    /// Deliveries that wait, or with `dead` those that were given up, in the order of the feed after `after`. `None` if
    /// the ledger has no such endpoint.
    pub async fn deliveries(
        &self,
        ledger: LedgerNo,
        id: Uuid,
        dead: bool,
        after: Option<(Position, u32)>,
        limit: usize,
    ) -> Result<Option<Vec<Delivery>>, StoreError> {
        let mut tx = self.rows.read(self.clock.now()).await?;
        let endpoint = tx.peek_endpoint(id).await?;
        let deliveries = tx.deliveries(id, dead, after, limit).await?;
        tx.commit().await?;
        Ok(endpoint.filter(|endpoint| endpoint.ledger == ledger).map(|_| deliveries))
    }

    async fn change(
        &self,
        scope: (LedgerNo, Method, RequestKey),
        content: &[u8],
        change: &Change,
    ) -> Result<EndpointChanged, StoreError> {
        let fingerprint = stable_hash(&[content]);
        let mut tries = 0_u32;
        let mut unanswered = false;
        loop {
            tries = tries.saturating_add(1);
            let done = self.try_change(&scope, fingerprint, change).await;
            unanswered |= matches!(done, Err(StoreError::Unsure(_)));
            match done {
                // The next attempt finds what another server stored meanwhile, or what was stored although the answer
                // was lost.
                Err(
                    StoreError::Again(_)
                    | StoreError::Locked(_)
                    | StoreError::Clash(_)
                    | StoreError::Unsure(_),
                ) if tries < TRIES_MAX => {}
                // An error of a later attempt says nothing about the one whose answer was lost.
                Err(error) if unanswered => return Err(StoreError::Unsure(Box::new(error))),
                done => return done,
            }
        }
    }

    async fn try_change(
        &self,
        scope: &(LedgerNo, Method, RequestKey),
        fingerprint: u64,
        change: &Change,
    ) -> Result<EndpointChanged, StoreError> {
        let mut tx = self.rows.begin(self.clock.now()).await?;
        if let Some(asked) = tx.asked(scope).await? {
            let endpoint = tx.endpoint(asked.endpoint).await?.map(Box::new);
            tx.commit().await?;
            return Ok(if asked.fingerprint == fingerprint {
                EndpointChanged::Done { endpoint, replayed: true }
            } else {
                EndpointChanged::RequestIdReused
            });
        }
        let changed = make(&mut *tx, &self.keys, scope.0, change).await?;
        let (id, endpoint) = match changed {
            Ok(made) => made,
            Err(refused) => {
                tx.commit().await?;
                return Ok(refused);
            }
        };
        tx.put_asked(scope, Asked { fingerprint, endpoint: id }).await?;
        tx.commit().await?;
        Ok(EndpointChanged::Done { endpoint: endpoint.map(Box::new), replayed: false })
    }
}

type Made = Result<(Uuid, Option<Endpoint>), EndpointChanged>;

async fn make(
    tx: &mut dyn WebhookTx,
    keys: &SealingKeys,
    ledger: LedgerNo,
    change: &Change,
) -> Result<Made, StoreError> {
    let now = tx.now();
    if let Change::Create(new, begin) = change {
        let all = tx.endpoints().await?;
        let counts = |endpoint: &&Endpoint| endpoint.ledger == ledger && !endpoint.is_email();
        if all.iter().filter(counts).count() >= ENDPOINTS_MAX {
            return Ok(Err(EndpointChanged::TooMany));
        }
        let id = PostingId::new(now, 0, random()?).uuid();
        let endpoint = Endpoint {
            id,
            ledger,
            url: new.url.clone(),
            types: new.types.clone(),
            description: new.description.clone(),
            secret: keys.seal(ledger, id, secret(new.secret.as_ref())?)?,
            old_secret: None,
            created_at: now,
            disabled: None,
            done: *begin,
            taken: 0,
            holder: None,
            held_until: now,
            version: 1,
        };
        tx.put_endpoint(&endpoint).await?;
        return Ok(Ok((endpoint.id, Some(endpoint))));
    }
    let (Change::Update(id, _) | Change::Delete(id) | Change::Redeliver(id, _)) = change else {
        return Ok(Err(EndpointChanged::EndpointNotFound));
    };
    // The e-mail endpoint is the server's own. Callers may only have its events sent again.
    let may = |endpoint: &Endpoint| {
        endpoint.ledger == ledger && (!endpoint.is_email() || matches!(change, Change::Redeliver(..)))
    };
    let Some(mut endpoint) = tx.endpoint(*id).await?.filter(may) else {
        return Ok(Err(EndpointChanged::EndpointNotFound));
    };
    endpoint.version = endpoint.version.saturating_add(1);
    match change {
        Change::Create(..) => {}
        Change::Update(_, patch) => {
            let Patch { url, types, description, rotate, secret: given, enabled } = patch.clone();
            endpoint.url = url.unwrap_or(endpoint.url);
            endpoint.types = types.unwrap_or(endpoint.types);
            endpoint.description = description.unwrap_or(endpoint.description);
            if rotate {
                let until = now.plus_seconds(OLD_SECRET_SECONDS);
                let new = keys.seal(ledger, *id, secret(given.as_ref())?)?;
                let old = std::mem::replace(&mut endpoint.secret, new);
                endpoint.old_secret = Some(OldSecret { secret: old, until });
            }
            match enabled {
                Some(true) => endpoint.disabled = None,
                Some(false) => {
                    let reason = Text::parse("an operator switched it off").unwrap_or_default();
                    endpoint.disabled = Some(Disabled { at: now, reason });
                }
                None => {}
            }
        }
        Change::Delete(_) => {
            tx.delete_endpoint(*id).await?;
            return Ok(Ok((*id, None)));
        }
        Change::Redeliver(_, None) => return Ok(Err(EndpointChanged::EventNotFound)),
        Change::Redeliver(_, Some(notice))
            if endpoint.is_email() && !endpoint.types.contains(&notice.event.event) =>
        {
            return Ok(Err(EndpointChanged::EventNotFound));
        }
        Change::Redeliver(_, Some(notice)) => {
            let delivery = Delivery { next_at: Some(now), ..notice.to_delivery(*id) };
            tx.put_delivery(&delivery).await?;
        }
    }
    tx.put_endpoint(&endpoint).await?;
    Ok(Ok((*id, Some(endpoint))))
}

fn secret(given: Option<&Hidden<Text>>) -> Result<Hidden<Text>, StoreError> {
    match given {
        Some(given) => Ok(given.clone()),
        None => Ok(new_secret([random()?, random()?, random()?, random()?])),
    }
}

fn random() -> Result<u64, StoreError> {
    clock::random().map_err(|error| StoreError::Failed(Box::new(error)))
}
