//! The span of a call, as a child of the caller's span if the request names one (W3C `traceparent`).

use http::{HeaderMap, Request, Response};
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{SpanContext, Status as SpanStatus, TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tonic::Status;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::measure::{OTHER, code_name, method_name, system};

/// Of a server's call, the codes by which the server has failed, by the conventions.
const FAILURES: [&str; 6] =
    ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// The span of a call; its ledger is filled in once it is known. The lines of a call's log have the id of its trace,
/// also where traces are not exported and the caller named one.
pub fn span<B>(request: &Request<B>) -> Span {
    let method = method_name(request.uri().path());
    let span = tracing::info_span!(
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system.name = system(request).name(),
        rpc.method = method,
        ledger = tracing::field::Empty,
        trace_id = tracing::field::Empty,
    );
    let headers = request.headers();
    let mut caller = SpanContext::empty_context();
    if headers.contains_key("traceparent") {
        let context = TraceContextPropagator::new().extract(&Headers(headers));
        caller = context.span().span_context().clone();
        // This fails only if no traces are exported.
        let _ = span.set_parent(context);
    }
    if method == OTHER {
        // Whatever somebody asked for; the path has a bound, that of all headers.
        span.set_attribute("rpc.method_original", request.uri().path().trim_start_matches('/').to_owned());
    }
    let own = span.context().span().span_context().trace_id();
    let own = if own == opentelemetry::TraceId::INVALID { caller.trace_id() } else { own };
    if own != opentelemetry::TraceId::INVALID {
        span.record("trace_id", tracing::field::display(own));
    }
    span
}

/// Tells the span how its call was answered. A stream's status is known only at its end, so nothing is told of one that
/// has begun.
pub fn answered<B>(span: &Span, answer: &Response<B>, is_stream: bool) {
    if !span.context().has_active_span() {
        return;
    }
    let code = match Status::from_header_map(answer.headers()) {
        Some(status) => code_name(&status),
        None if is_stream => return,
        None => "OK",
    };
    span.set_attribute("rpc.response.status_code", code);
    if FAILURES.contains(&code) {
        span.set_attribute("error.type", code);
        span.set_status(SpanStatus::error(code));
    }
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
