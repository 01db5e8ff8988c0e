//! The span of a call, as a child of the caller's span if the request names one (W3C `traceparent`).

use http::{HeaderMap, Request};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::connect::ByConnect;

/// The span of a call; its ledger is filled in once it is known.
pub fn span<B>(request: &Request<B>) -> Span {
    let headers = request.headers();
    let system = if request.extensions().get::<ByConnect>().is_some() { "connect_rpc" } else { "grpc" };
    let span = tracing::info_span!(
        "rpc",
        otel.name = request.uri().path().trim_start_matches('/'),
        otel.kind = "server",
        rpc.system = system,
        ledger = tracing::field::Empty,
    );
    if headers.contains_key("traceparent") {
        let caller = TraceContextPropagator::new().extract(&Headers(headers));
        // This fails only if no traces are exported.
        let _ = span.set_parent(caller);
    }
    span
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(http::HeaderName::as_str).collect()
    }
}
