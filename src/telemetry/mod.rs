//! Logs on standard error; metrics for who asks; traces and metrics to an OpenTelemetry collector where
//! `OTEL_EXPORTER_OTLP_ENDPOINT` names one.

mod meters;

use std::io;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::trace::{SdkTracerProvider, Tracer};
use tracing_opentelemetry::OpenTelemetryLayer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{EnvFilter, Layer, fmt};

use crate::config::{Config, LogFormat};

/// The standard variable that names the collector, such as `http://127.0.0.1:4317`. The other standard variables
/// (`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_SCHEDULE_DELAY`, ...) are read by the SDK.
pub const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Why logs or traces could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The directives are malformed.
    #[error("log_filter: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// The collector's address cannot be used.
    #[error("{OTLP_ENDPOINT} cannot be used: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// Another subscriber was there before.
    #[error("logs are set up already: {0}")]
    Twice(#[from] TryInitError),
}

pub use meters::Meters;

/// Keeps the export of traces and metrics alive; [`Telemetry::stop`] sends what is left.
#[derive(Debug)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
    meters: Meters,
}

/// Sets up logs and traces for the whole process. Call it inside the runtime, which carries the exporter's channel.
pub fn start(config: &Config, otlp_endpoint: Option<&str>) -> Result<Telemetry, TelemetryError> {
    let lines = fmt::layer().with_writer(io::stderr);
    let lines = match config.log_format {
        LogFormat::Text => lines.with_ansi(io::IsTerminal::is_terminal(&io::stderr())).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(EnvFilter::builder().parse(&config.log_filter)?);
    let (traces, provider) = match otlp_endpoint {
        Some(endpoint) => {
            let (layer, provider) = traces(endpoint)?;
            (Some(layer), Some(provider))
        }
        None => (None, None),
    };
    let meters = Meters::new(config.metrics_listen.is_some(), otlp_endpoint)?;
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
fn traces<S>(endpoint: &str) -> Result<(impl Layer<S> + use<S>, SdkTracerProvider), ExporterBuildError>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let exporter = SpanExporter::builder().with_tonic().with_endpoint(endpoint).build()?;
    let builder = SdkTracerProvider::builder().with_batch_exporter(exporter);
    let provider = builder.with_resource(meters::resource()).build();
    let tracer: Tracer = provider.tracer(env!("CARGO_PKG_NAME"));
    let ours = Targets::new().with_target(env!("CARGO_PKG_NAME"), LevelFilter::INFO);
    let layer: OpenTelemetryLayer<S, Tracer> = tracing_opentelemetry::layer().with_tracer(tracer);
    Ok((layer.with_filter(ours), provider))
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
        TraceService, TraceServiceServer,
    };
    use opentelemetry_proto::tonic::collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
    };
    use tokio::net::TcpListener;
    use tokio_stream::wrappers::TcpListenerStream;

    use super::*;

    #[derive(Clone, Default)]
    struct Collector(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

    #[tonic::async_trait]
    impl TraceService for Collector {
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
        let collector = Collector::default();
        let server =
            tonic::transport::Server::builder().add_service(TraceServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));

        let (layer, provider) = traces(&endpoint).unwrap();
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, || {
            tracing::info_span!("place_hold", customer = "acme").in_scope(|| ());
            tracing::info_span!(target: "h2", "foreign").in_scope(|| ());
        });
        Telemetry { provider: Some(provider), meters: Meters::off() }.stop().await;

        let received = collector.0.lock().unwrap();
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
        let error = start(&Config::default(), Some("not an address")).unwrap_err().to_string();
        assert!(error.starts_with("OTEL_EXPORTER_OTLP_ENDPOINT cannot be used: "), "{error}");
    }
}
