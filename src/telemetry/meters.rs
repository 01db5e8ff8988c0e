//! The metrics of a server with their readers: Prometheus, which asks, and a collector, which is sent to.

use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_otlp::ExporterBuildError;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

use super::collector::{Collector, CollectorError};
use crate::metrics::Metrics;

/// What is measured, and who reads it. Off where nobody does.
#[derive(Clone, Debug, Default)]
pub struct Meters {
    metrics: Metrics,
    provider: Option<SdkMeterProvider>,
    /// Where Prometheus reads.
    registry: Option<Registry>,
    is_sent: bool,
}

impl Meters {
    /// Measures nothing.
    #[must_use]
    pub fn off() -> Self {
        Self::default()
    }

    /// Measures where Prometheus asks or a collector is named. Call it inside the runtime, which carries the exporter's
    /// channel.
    ///
    /// # Errors
    /// Where the collector cannot be used.
    pub fn new(for_prometheus: bool, collector: Option<&Collector>) -> Result<Self, CollectorError> {
        if !for_prometheus && collector.is_none() {
            return Ok(Self::off());
        }
        let mut builder = SdkMeterProvider::builder().with_resource(resource());
        let mut registry = None;
        if for_prometheus {
            let new = Registry::new();
            let exporter = opentelemetry_prometheus::exporter()
                .with_registry(new.clone())
                .scope_info_enabled(false)
                .without_target_info()
                .build()
                .map_err(|error| ExporterBuildError::InternalFailure(error.to_string()))?;
            builder = builder.with_reader(exporter);
            registry = Some(new);
        }
        if let Some(collector) = collector {
            // How often is a standard variable, OTEL_METRIC_EXPORT_INTERVAL.
            builder = builder.with_periodic_exporter(collector.metrics()?);
        }
        let provider = builder.build();
        let metrics = Metrics::of(&provider.meter(env!("CARGO_PKG_NAME")));
        Ok(Self { metrics, provider: Some(provider), registry, is_sent: collector.is_some() })
    }

    /// The handle to record with.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Whether a collector is sent to.
    pub const fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// All metrics as Prometheus reads them, and the type of that text.
    ///
    /// # Errors
    /// Where a metric cannot be written, or Prometheus is not served.
    pub fn text(&self) -> Result<(String, &'static str), prometheus::Error> {
        let registry = self.registry.as_ref();
        let registry = registry.ok_or_else(|| prometheus::Error::Msg("there is no registry".to_owned()))?;
        let text = TextEncoder::new().encode_to_string(&registry.gather())?;
        Ok((text, prometheus::TEXT_FORMAT))
    }

    /// Sends what has not been sent. It blocks until the collector has answered.
    pub(super) fn shut_down(&self) -> OTelSdkResult {
        self.provider.as_ref().map_or(Ok(()), SdkMeterProvider::shutdown)
    }
}

/// What traces and metrics are told to come from.
pub(super) fn resource() -> Resource {
    Resource::builder().with_service_name(env!("CARGO_PKG_NAME")).build()
}
