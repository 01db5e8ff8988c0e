//! Webhooks of storefronts over HTTP: `POST /webhooks/<storefront>`.
//!
//! 200: what matters of it is stored, or it is about no payment; the storefront need not send it again. 400: the
//! body broke off. 401: it is not signed with a secret of the storefront; the answer does not say more. 404: no such
//! storefront. 405: not a POST. 408: the body did not arrive in time. 413: more than 1 MiB. 431: the signature is longer
//! than any vendor's. 503: the storefront should send it again.
//!
//! # Bounds
//! Each storefront has its own, so that none keeps the others out. A delivery that is no POST, has no storefront, or too
//! long a signature is answered before it takes anything. While its body arrives, nobody knows who sends it. It takes
//! memory of a small budget for what has come, and no place: a silent sender keeps nobody out. A whole body takes one of
//! a few places to be hashed and parsed, above 64 KiB on a thread for blocking work. One that is signed changes to a
//! place of those that are stored.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use opentelemetry::KeyValue;
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::body::Body;

use crate::clock;
use crate::metrics::Metrics;
use crate::query::Reader;
use crate::storefront::{self, Delivery, Intake, IntakeError, Reading, Refused, Shop};

/// The path below which webhooks are served.
pub const PREFIX: &str = "/webhooks/";
/// The largest delivery that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of the bodies of one storefront that are arriving, or wait to be hashed.
const ARRIVING_BYTES_MAX: usize = 4 << 20;
/// Bytes of a permit for them, and the least that a delivery takes.
const UNIT_BYTES: usize = 1 << 10;
/// How long the body of a delivery may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest signature with its time. Stripe's have about 200 bytes.
const SIGNATURE_BYTES_MAX: usize = 2 << 10;
/// Larger bodies are worked on apart.
const AT_ONCE_BYTES_MAX: usize = 64 << 10;
/// Deliveries of one storefront that are hashed and parsed at a time. Nobody knows yet whether it sends them.
const UNSIGNED_MAX: usize = 8;
/// Signed deliveries of one storefront that are stored at a time.
const SIGNED_MAX: usize = 32;
/// How long a delivery waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

pub struct StorefrontWebhooks {
    doors: Vec<Door>,
    intake: Intake,
    reader: Arc<Reader>,
    metrics: Metrics,
}

/// Where the deliveries of one storefront come in.
struct Door {
    shop: Arc<Shop>,
    arriving: Semaphore,
    unsigned: Semaphore,
    signed: Semaphore,
}

impl std::fmt::Debug for StorefrontWebhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorefrontWebhooks").field("shops", &self.doors.len()).finish_non_exhaustive()
    }
}

impl StorefrontWebhooks {
    #[must_use]
    pub fn new(shops: &[Arc<Shop>], intake: Intake, reader: Arc<Reader>) -> Self {
        let doors = shops.iter().map(|shop| Door {
            shop: Arc::clone(shop),
            arriving: Semaphore::new(ARRIVING_BYTES_MAX / UNIT_BYTES),
            unsigned: Semaphore::new(UNSIGNED_MAX),
            signed: Semaphore::new(SIGNED_MAX),
        });
        Self { doors: doors.collect(), intake, reader, metrics: Metrics::default() }
    }

    /// Counts deliveries.
    #[must_use]
    pub fn measured(self, metrics: Metrics) -> Self {
        Self { metrics, ..self }
    }

    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        let name = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
        let door = self.doors.iter().find(|door| door.shop.storefront.as_str() == name);
        *response.status_mut() = match door {
            None => StatusCode::NOT_FOUND,
            Some(door) => {
                let status = self.taken(door, request).await.err().unwrap_or(StatusCode::OK);
                self.count(door, status);
                status
            }
        };
        response
    }

    fn count(&self, door: &Door, status: StatusCode) {
        let outcome = match status {
            StatusCode::OK => "stored",
            StatusCode::UNAUTHORIZED => "unsigned",
            status if status.is_client_error() => "bad",
            _ => "failed",
        };
        let Some(on) = self.metrics.get() else { return };
        let storefront = door.shop.storefront.as_str().to_owned();
        let attributes = [
            KeyValue::new("creditledger.storefront", storefront),
            KeyValue::new("creditledger.outcome", outcome),
        ];
        on.deliveries.add(1, &attributes);
    }

    async fn taken(&self, door: &Door, request: Request<Body>) -> Result<(), StatusCode> {
        if request.method() != Method::POST {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let (head, body) = request.into_parts();
        let reading = door.read(head.headers, body).await?;
        let _place = place(&door.signed).await?;
        let shop = &door.shop;
        self.take(shop, reading).await.map_err(|error| {
            tracing::error!(storefront = %shop.storefront, %error, "a webhook could not be taken in");
            StatusCode::SERVICE_UNAVAILABLE
        })
    }

    async fn take(&self, shop: &Shop, reading: Reading) -> Result<(), IntakeError> {
        // The ledger may be made later; until then the storefront tries again.
        let ledger = self.reader.ledger(&shop.ledger).await?;
        self.intake.take(shop, ledger, reading).await
    }
}

impl Door {
    /// What a signed delivery says.
    async fn read(&self, headers: HeaderMap, body: Body) -> Result<Reading, StatusCode> {
        let signature = headers.get(self.shop.vendor.signature_header());
        if signature.is_some_and(|signature| signature.len() > SIGNATURE_BYTES_MAX) {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let mut memory = place(&self.arriving).await?;
        let arrived = tokio::time::timeout(BODY_TIMEOUT, self.arrived(body, &mut memory));
        let body = arrived.await.map_err(|_| StatusCode::REQUEST_TIMEOUT)??;
        let _place = place(&self.unsigned).await?;
        let is_large = body.len() > AT_ONCE_BYTES_MAX;
        let shop = Arc::clone(&self.shop);
        let read = move || {
            let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
            storefront::read(&shop, &Delivery { header: &header, body: &body, now: clock::wall() })
        };
        let read = if is_large {
            tokio::task::spawn_blocking(read).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?
        } else {
            read()
        };
        read.map_err(|refused| {
            tracing::warn!(storefront = %self.shop.storefront, %refused, "a webhook is refused");
            match refused {
                Refused::Signature => StatusCode::UNAUTHORIZED,
            }
        })
    }

    /// The whole body. `memory` grows with it, each time to twice what has come.
    async fn arrived<'a>(
        &'a self,
        mut body: Body,
        memory: &mut SemaphorePermit<'a>,
    ) -> Result<Bytes, StatusCode> {
        let mut arrived = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| StatusCode::BAD_REQUEST)?.into_data() else { continue };
            let length = arrived.len().saturating_add(data.len());
            if length > BODY_BYTES_MAX {
                return Err(StatusCode::PAYLOAD_TOO_LARGE);
            }
            if length > memory.num_permits().saturating_mul(UNIT_BYTES) {
                let units = length.saturating_mul(2).min(BODY_BYTES_MAX).div_ceil(UNIT_BYTES);
                let missing = units.saturating_sub(memory.num_permits());
                // It does not wait while it holds something: so no two deliveries wait for each other.
                let more =
                    u32::try_from(missing).ok().and_then(|units| self.arriving.try_acquire_many(units).ok());
                memory.merge(more.ok_or(StatusCode::SERVICE_UNAVAILABLE)?);
            }
            arrived.extend_from_slice(&data);
        }
        Ok(arrived.freeze())
    }
}

/// A place, for which a delivery waits a little.
async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, StatusCode> {
    match tokio::time::timeout(PLACE_TIMEOUT, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}
