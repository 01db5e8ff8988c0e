//! Logs on standard error; metrics for who asks; traces and metrics to an OpenTelemetry collector where
//! `OTEL_EXPORTER_OTLP_ENDPOINT` names one.

mod collector;
mod meters;

use std::io;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{Config, LogFormat};

/// Why logs or traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives are malformed.
    #[error("log_filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The collector cannot be used.
    #[error(transparent)]
    Collector(#[from] CollectorError),
    /// Another subscriber was there before.
    #[error("logs are set up already: {0}")]
    Twice(#[from] TryInitError),
}

pub use collector::{Collector, CollectorError};
pub use meters::Meters;

/// Keeps the export of traces and metrics alive; [`Telemetry::stop`] sends what is left.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    meters: Meters,
}

/// The collector that the environment names.
///
/// # Errors
/// [`TelemetryError::Collector`] for half of a client's certificate.
pub fn collector() -> Result<Option<Collector>, TelemetryError> {
    Ok(Collector::named()?)
}

/// Sets up logs and traces for the whole process. Call it inside the runtime, which carries the exporter's channel.
pub fn start(config: &Config, collector: Option<&Collector>) -> Result<Telemetry, TelemetryError> {
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(EnvFilter::builder().parse(&config.log_filter)?);
    let (traces, provider) = match collector {
        Some(collector) => {
            let (layer, provider) = traces(collector)?;
            (Some(layer), Some(provider))
        }
        None => (None, None),
    };
    let meters = Meters::new(config.metrics_listen.is_some(), collector)?;
    tracing_subscriber::registry().with(traces).with(lines).try_init()?;
    Ok(Telemetry { provider, meters })
}

impl Telemetry {
    /// Sends what has not been sent and ends the export.
    pub async fn stop(self) {
        let Self { provider, meters } = self;
        // Both block until the collector has answered, and this runtime's workers carry that answer.
        let flushed = tokio::task::spawn_blocking(move || {
            let metrics = meters.shut_down();
            provider.map_or(Ok(()), |provider| provider.shutdown()).and(metrics)
        });
        match flushed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last traces or metrics were not exported"),
            Err(error) => tracing::warn!(%error, "the last traces or metrics were not exported"),
        }
    }

    /// What is measured, and its readers.
    pub fn meters(&self) -> &Meters {
        &self.meters
    }
}

/// A layer that exports this crate's spans in batches. Other crates' spans are left out, because the exporter's own
/// calls would make new ones without end.
fn traces<S>(collector: &Collector) -> Result<(impl Layer<S> + use<S>, SdkTracerProvider), CollectorError>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let builder = SdkTracerProvider::builder().with_batch_exporter(collector.spans()?);
    let provider = builder.with_resource(meters::resource()).build();
    let tracer: Tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    let ours = Targets::new().with_target(env!("CARGO_PKG_NAME"), LevelFilter::INFO);
    let layer: OpenTelemetryLayer<S, Tracer> = tracing_opentelemetry::layer().with_tracer(tracer);
    Ok((layer.with_filter(ours), provider))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::sync::{Arc, Mutex};

    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
        TraceService, TraceServiceServer,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;

    use super::collector::{OTLP_CERTIFICATE, OTLP_CLIENT_CERTIFICATE, OTLP_CLIENT_KEY, OTLP_ENDPOINT};
    use super::*;

    #[derive(Clone, Default)]
    struct Received(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

    fn named(variables: &[(&str, &str)]) -> Result<Option<Collector>, TelemetryError> {
        let named = Collector::of(|name| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        });
        Ok(named?)
    }

    #[tonic::async_trait]
    impl TraceService for Received {
        async fn export(
            &self,
            request: tonic::Request<ExportTraceServiceRequest>,
        ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
            self.0.lock().unwrap().push(request.into_inner());
            Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_collector_receives_our_spans_at_the_latest_when_we_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let received = Received::default();
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(received.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

        let collector = named(&[(OTLP_ENDPOINT, &endpoint)]).unwrap().unwrap();
        let (layer, provider) = traces(&collector).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("place_hold", customer = "acme").in_scope(|| ());
            tracing::info_span!(target: "h2", "foreign").in_scope(|| ());
        });
        Telemetry { provider: Some(provider), meters: Meters::off() }.stop().await;

        let received = received.0.lock().unwrap();
        let resource = format!("{:?}", received[0].resource_spans[0].resource);
        assert!(resource.contains("service.name") && resource.contains("\"creditledger\""), "{resource}");
        let spans: Vec<_> = received
            .iter()
            .flat_map(|request| &request.resource_spans)
            .flat_map(|resource| &resource.scope_spans)
            .flat_map(|scope| &scope.spans)
            .collect();
        assert_eq!(spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>(), ["place_hold"]);
        assert!(format!("{:?}", spans[0].attributes).contains("acme"));
    }

    #[tokio::test]
    async fn an_unusable_address_is_named() {
        for (variables, said) in [
            (&[(OTLP_ENDPOINT, "not an address")][..], ""),
            (
                &[(OTLP_ENDPOINT, "HTTPS://localhost:1"), (OTLP_CERTIFICATE, "/no/such")],
                "/no/such cannot be read: ",
            ),
            (&[(OTLP_ENDPOINT, "https://localhost:1"), (OTLP_CLIENT_KEY, "key")], OTLP_CLIENT_CERTIFICATE),
        ] {
            let started =
                named(variables).and_then(|collector| start(&Config::default(), collector.as_ref()));
            let error = started.unwrap_err().to_string();
            let rest = error.strip_prefix("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: ");
            assert!(rest.is_some_and(|rest| rest.starts_with(said)), "{error}");
        }
        assert!(named(&[(OTLP_CLIENT_KEY, "key")]).unwrap().is_none(), "without a collector nothing is read");
    }
}
