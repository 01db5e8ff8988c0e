//! The span of a batch: in the trace of its first traced caller, and linked to all of them.

use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, TraceContextExt as _};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Links of one span; the SDK keeps no more by default.
const LINKS_MAX: usize = 128;

/// The span of the present caller, where its trace is exported.
pub(super) fn caller() -> Option<SpanContext> {
    let context = Span::current().context();
    let span = context.span();
    let caller = span.span_context();
    caller.is_sampled().then(|| caller.clone())
}

/// The span of a batch of so many commands. There is none where no caller is traced.
pub(super) fn batch(callers: &[SpanContext], commands: usize) -> Span {
    let Some(first) = callers.first() else { return Span::none() };
    let span = tracing::info_span!(parent: None, "batch", otel.kind = "internal", commands);
    // This fails only if no traces are exported, and then no caller is traced.
    let _ = span.set_parent(Context::new().with_remote_span_context(first.clone()));
    for caller in callers.iter().take(LINKS_MAX) {
        span.add_link(caller.clone());
    }
    span
}
