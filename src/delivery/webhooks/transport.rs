//! Posts events to endpoints over HTTP, each message signed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use opentelemetry::propagation::{Injector, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Instrument as _;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::http::{HttpClient, Idle, SendError};
use super::signature::signatures;
use crate::clock::Clock;
use crate::delivery::Notice;
use crate::delivery::sealing::NotOpened;
use crate::delivery::signing_secrets::{Signing, SigningSecrets};
use crate::delivery::transport::{Consequence, SendFailure, Sender, Transport, cut};
use crate::ledger::{LedgerId, Timestamp};
use crate::net::Target;
use crate::store::StoreError;
use crate::store::webhooks::Endpoint;

/// Messages that are sent to one endpoint at a time.
pub const MESSAGES_AT_A_TIME: usize = 32;
/// How long an endpoint may take to answer.
const ANSWER_SECONDS: i64 = 15;

/// Makes the body of a message.
pub type Render = Arc<dyn Fn(&Notice, &LedgerId) -> Vec<u8> + Send + Sync>;

#[derive(Clone)]
pub struct WebhookTransport {
    pub client: HttpClient,
    pub render: Render,
    /// For the time in signatures and the timeout of answers.
    pub clock: Arc<dyn Clock>,
    pub secrets: Arc<SigningSecrets>,
}

struct WebhookSender {
    transport: WebhookTransport,
    /// What messages are signed with; the error says why they cannot be.
    signing: Result<Signing, NotOpened>,
    ledger: LedgerId,
    /// The endpoint's URL, parsed; the error says why it cannot be used.
    target: Result<Target, &'static str>,
    idle: Idle,
}

#[async_trait]
impl Transport for WebhookTransport {
    fn serves(&self, endpoint: &Endpoint) -> bool {
        !endpoint.is_email() && self.secrets.can_sign(endpoint)
    }

    fn is_shared_evenly(&self) -> bool {
        true
    }

    fn messages_at_a_time(&self) -> usize {
        MESSAGES_AT_A_TIME
    }

    async fn prepare_endpoints(&self) -> Result<(), StoreError> {
        self.secrets.seal_all().await
    }

    fn sender(&self, endpoint: &Endpoint, ledger: &LedgerId) -> Arc<dyn Sender> {
        Arc::new(WebhookSender {
            target: self.client.policy().target(endpoint.url.as_str()),
            transport: self.clone(),
            signing: self.secrets.open(endpoint),
            ledger: ledger.clone(),
            idle: Idle::default(),
        })
    }
}

#[async_trait]
impl Sender for WebhookSender {
    async fn send(&self, notice: &Notice) -> Result<(), SendFailure> {
        let WebhookTransport { client, render, clock, secrets: _ } = &self.transport;
        let now = clock.now();
        let body = Bytes::from(render(notice, &self.ledger));
        let failed = |error: &dyn std::error::Error| SendFailure::without_answer(&error.to_string());
        let signing = self.signing.as_ref().map_err(|sealed| failed(sealed))?;
        let mut headers = headers(signing, notice, &body, now)?;
        let target = self.target.as_ref().map_err(|&wrong| failed(&SendError::Url(wrong)))?;
        let span = tracing::info_span!("webhook", otel.kind = "client", server.address = %target.host);
        TraceContextPropagator::new().inject_context(&span.context(), &mut Traced(&mut headers));
        let post = client.post_to(target, &headers, body, &self.idle, now).instrument(span);
        let answer = tokio::select! {
            answer = post => answer.map_err(|error| failed(&error))?,
            () = clock.sleep_until(now.plus_seconds(ANSWER_SECONDS)) => {
                return Err(SendFailure::without_answer(&format!("no answer within {ANSWER_SECONDS} s")));
            }
        };
        if answer.status.is_success() {
            return Ok(());
        }
        // A redirect is a failure: following it would send the message to an address that nobody checked.
        let error = cut(&answer.status.to_string());
        let is_gone = answer.status == StatusCode::GONE;
        let consequence = if is_gone { Consequence::DisableEndpoint } else { Consequence::TryAgain };
        let status = answer.status.as_u16();
        Err(SendFailure { status, error, retry_after: answer.retry_after, consequence })
    }
}

/// Writes the trace of a message into its headers (W3C `traceparent`), where it is exported.
struct Traced<'a>(&'a mut HeaderMap);

impl Injector for Traced<'_> {
    fn set(&mut self, key: &str, value: String) {
        // There is nearly never a state.
        if value.is_empty() {
            return;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}

/// The headers of a message, with its signatures.
fn headers(
    signing: &Signing,
    notice: &Notice,
    body: &[u8],
    now: Timestamp,
) -> Result<HeaderMap, SendFailure> {
    let id = notice.id();
    let seconds = now.micros().div_euclid(Timestamp::MICROS_PER_SECOND);
    let signed = signatures(signing, &id, seconds, body, now)
        .ok_or_else(|| SendFailure::without_answer("the endpoint has no secret that can sign"))?;
    let value = |text: &str| {
        HeaderValue::from_str(text).map_err(|error| SendFailure::without_answer(&error.to_string()))
    };
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("creditledger/", env!("CARGO_PKG_VERSION"))));
    headers.insert(HeaderName::from_static("webhook-id"), value(&id)?);
    headers.insert(HeaderName::from_static("webhook-timestamp"), HeaderValue::from(seconds));
    headers.insert(HeaderName::from_static("webhook-signature"), value(&signed)?);
    Ok(headers)
}
