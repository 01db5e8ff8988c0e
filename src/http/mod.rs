//! Webhooks of storefronts over HTTP: `POST /webhooks/<storefront>`.
//!
//! 200: applied, kept, or about no payment; the storefront need not send it again. 400: the signature is wrong or the
//! payload is malformed; the answer does not say which. 404: no such storefront. 405: not a POST. 413: more than 1 MiB.
//! 415: not JSON. 408: the body did not arrive in time. 503: the storefront should send it again.

use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tonic::body::Body;

use crate::clock;
use crate::ledger::Rejection;
use crate::query::{ReadError, Reader};
use crate::storefront::{self, ApplyError, Delivery, PaymentApplier, Refused, Shop};

/// The path below which webhooks are served.
pub const PREFIX: &str = "/webhooks/";
/// The largest delivery that is read.
const BODY_BYTES_MAX: usize = 1 << 20;
/// How long the body of a delivery may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

pub struct StorefrontWebhooks {
    shops: Vec<Shop>,
    applier: PaymentApplier,
    reader: Arc<Reader>,
}

impl std::fmt::Debug for StorefrontWebhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StorefrontWebhooks").field("shops", &self.shops.len()).finish_non_exhaustive()
    }
}

impl StorefrontWebhooks {
    #[must_use]
    pub fn new(shops: Vec<Shop>, applier: PaymentApplier, reader: Arc<Reader>) -> Self {
        Self { shops, applier, reader }
    }

    pub async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = self.status_of(request).await;
        response
    }

    async fn status_of(&self, request: Request<Body>) -> StatusCode {
        let name = request.uri().path().strip_prefix(PREFIX).unwrap_or_default();
        let Some(shop) = self.shops.iter().find(|shop| shop.storefront.as_str() == name) else {
            return StatusCode::NOT_FOUND;
        };
        if request.method() != Method::POST {
            return StatusCode::METHOD_NOT_ALLOWED;
        }
        let (head, body) = request.into_parts();
        let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect());
        let body = match read.await {
            Ok(Ok(body)) => body.to_bytes(),
            Ok(Err(error)) if error.is::<LengthLimitError>() => return StatusCode::PAYLOAD_TOO_LARGE,
            Ok(Err(_)) => return StatusCode::BAD_REQUEST,
            Err(_) => return StatusCode::REQUEST_TIMEOUT,
        };
        let header = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        let delivery = Delivery { header: &header, body: &body, now: clock::now() };
        let payments = match storefront::read(shop, &delivery) {
            Ok(payments) => payments,
            Err(refused) => {
                tracing::warn!(storefront = %shop.storefront, %refused, "a webhook is refused");
                return match refused {
                    Refused::Signature | Refused::Payload => StatusCode::BAD_REQUEST,
                    Refused::ContentType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
                };
            }
        };
        match self.take(shop, &payments).await {
            Ok(()) => StatusCode::OK,
            Err(error) => {
                tracing::error!(storefront = %shop.storefront, %error, "a webhook could not be taken in");
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    async fn take(&self, shop: &Shop, payments: &[storefront::Payment]) -> Result<(), ApplyError> {
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
