//! Webhooks of storefronts over HTTP: `POST /webhooks/<storefront>`.
//!
//! 200: applied, kept, or about no payment; the storefront need not send it again. 400: the signature is wrong or the
//! payload is malformed; the answer does not say which. 404: no such storefront. 405: not a POST. 413: more than 1 MiB.
//! 415: not JSON. 408: the body did not arrive in time. 431: the signature is longer than any vendor's. 503: the
//! storefront should send it again.
//!
//! # Bounds
//! A storefront has places for its deliveries, so that none keeps the others out. While a delivery is read, nobody knows
//! who sends it: of those there are few. One that is signed changes to a place of its own. A body above 64 KiB is
//! hashed and parsed on a thread for blocking work.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{Semaphore, SemaphorePermit};
use tonic::body::Body;

use crate::clock;
use crate::ledger::Rejection;
use crate::query::{ReadError, Reader};
use crate::storefront::{self, ApplyError, Delivery, Payment, PaymentApplier, Refused, Shop};

/// The path below which webhooks are served.
pub const PREFIX: &str = "/webhooks/";
/// The largest delivery that is read.
pub const BODY_BYTES_MAX: usize = 1 << 20;
/// How long the body of a delivery may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest signature with its time. Stripe's have about 200 bytes.
const SIGNATURE_BYTES_MAX: usize = 2 << 10;
/// Larger bodies are worked on apart.
const AT_ONCE_BYTES_MAX: usize = 64 << 10;
/// Deliveries of one storefront that are read at a time. Nobody knows yet whether it sends them.
const UNSIGNED_MAX: usize = 8;
/// Signed deliveries of one storefront that are applied at a time.
const SIGNED_MAX: usize = 32;
/// How long a delivery waits for its place.
const PLACE_TIMEOUT: Duration = Duration::from_secs(5);

pub struct StorefrontWebhooks {
    doors: Vec<Door>,
    applier: PaymentApplier,
    reader: Arc<Reader>,
}

/// Where the deliveries of one storefront come in.
struct Door {
    shop: Arc<Shop>,
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
    pub fn new(shops: Vec<Shop>, applier: PaymentApplier, reader: Arc<Reader>) -> Self {
        let doors = shops.into_iter().map(|shop| Door {
            shop: Arc::new(shop),
            unsigned: Semaphore::new(UNSIGNED_MAX),
            signed: Semaphore::new(SIGNED_MAX),
        });
        Self { doors: doors.collect(), applier, reader }
    }

    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = match self.taken(request).await {
            Ok(()) => StatusCode::OK,
            Err(status) => status,
        };
        response
    }

    async fn taken(&self, request: Request<Body>) -> Result<(), StatusCode> {
        let name = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
        let door = self.doors.iter().find(|door| door.shop.storefront.as_str() == name);
        let Some(door) = door else { return Err(StatusCode::NOT_FOUND) };
        if request.method() != Method::POST {
            return Err(StatusCode::METHOD_NOT_ALLOWED);
        }
        let (head, body) = request.into_parts();
        let payments = door.read(head.headers, body).await?;
        let _place = place(&door.signed).await?;
        let shop = &door.shop;
        self.take(shop, &payments).await.map_err(|error| {
            tracing::error!(storefront = %shop.storefront, %error, "a webhook could not be taken in");
            StatusCode::SERVICE_UNAVAILABLE
        })
    }

    async fn take(&self, shop: &Shop, payments: &[Payment]) -> Result<(), ApplyError> {
        let ledger = self.reader.ledger(&shop.ledger).await.map_err(|error| match error {
            // The ledger may be made later; until then the storefront tries again.
            ReadError::LedgerNotFound => ApplyError::Rejected(Rejection::CustomerNotFound),
            error => ApplyError::Read(error),
        })?;
        for payment in payments {
            let applied = self.applier.take(ledger, payment).await?;
            tracing::info!(
                storefront = %payment.storefront, order = %payment.order, event = %payment.event, ?applied,
                "a storefront told of a payment"
            );
        }
        Ok(())
    }
}

impl Door {
    /// The payments of a delivery that is signed.
    async fn read(&self, headers: HeaderMap, body: Body) -> Result<Vec<Payment>, StatusCode> {
        let signature = headers.get(self.shop.vendor.signature_header());
        if signature.is_some_and(|signature| signature.len() > SIGNATURE_BYTES_MAX) {
            return Err(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        }
        let _place = place(&self.unsigned).await?;
        let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect());
        let body = match read.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return Err(StatusCode::PAYLOAD_TOO_LARGE),
            Ok(Err(_)) => return Err(StatusCode::BAD_REQUEST),
            Err(_) => return Err(StatusCode::REQUEST_TIMEOUT),
        };
        let is_large = body.len() > AT_ONCE_BYTES_MAX;
        let shop = Arc::clone(&self.shop);
        let read = move || {
            let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
            storefront::read(&shop, &Delivery { header: &header, body: &body, now: clock::now() })
        };
        let read = if is_large {
            tokio::task::spawn_blocking(read).await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?
        } else {
            read()
        };
        read.map_err(|refused| {
            tracing::warn!(storefront = %self.shop.storefront, %refused, "a webhook is refused");
            match refused {
                Refused::Signature | Refused::Payload => StatusCode::BAD_REQUEST,
                Refused::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            }
        })
    }
}

/// A place, for which a delivery waits a little.
async fn place(places: &Semaphore) -> Result<SemaphorePermit<'_>, StatusCode> {
    match tokio::time::timeout(PLACE_TIMEOUT, places.acquire()).await {
        Ok(Ok(place)) => Ok(place),
        Ok(Err(_)) | Err(_) => Err(StatusCode::SERVICE_UNAVAILABLE),
    }
}
