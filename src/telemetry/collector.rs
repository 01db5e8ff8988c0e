//! The OpenTelemetry collector that traces and metrics are sent to, as the standard variables name it.

use std::ffi::OsString;
use std::path::PathBuf;

use http::Uri;
use http::uri::Scheme;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, SpanExporter, WithExportConfig as _, WithTonicConfig as _,
};
use tonic::transport::{Channel, Endpoint};

use crate::tls::{Client, ClientFiles};

/// The standard variable that names the collector, such as `http://127.0.0.1:4317`. The other standard variables
/// (`OTEL_TRACES_SAMPLER`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_BSP_SCHEDULE_DELAY`, ...) are read by the SDK.
pub(super) const OTLP_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// Authorities that vouch for an https:// collector, in PEM, instead of those that browsers trust.
pub(super) const OTLP_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CERTIFICATE";
/// The certificate that is shown to an https:// collector, and its key.
pub(super) const OTLP_CLIENT_CERTIFICATE: &str = "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE";
pub(super) const OTLP_CLIENT_KEY: &str = "OTEL_EXPORTER_OTLP_CLIENT_KEY";

/// Why a collector cannot be sent to.
#[derive(Debug, thiserror::Error)]
pub enum CollectorError {
    /// Its address cannot be used.
    #[error("{OTLP_ENDPOINT} cannot be used: {0}")]
    Exporter(#[from] ExporterBuildError),
    /// The files of TLS to it cannot be used.
    #[error("{OTLP_ENDPOINT} cannot be used: {0}")]
    Tls(String),
}

/// Where traces and metrics are sent.
#[derive(Clone, Debug)]
pub struct Collector {
    endpoint: String,
    /// Of a collector by TLS.
    files: ClientFiles,
}

impl Collector {
    /// The one that the environment names.
    ///
    /// # Errors
    /// [`CollectorError::Tls`] for half of a client's certificate.
    pub(super) fn named() -> Result<Option<Self>, CollectorError> {
        Self::of(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    pub(super) fn of(variable: impl Fn(&str) -> Option<OsString>) -> Result<Option<Self>, CollectorError> {
        let Some(endpoint) = variable(OTLP_ENDPOINT) else { return Ok(None) };
        let file = |name: &str| variable(name).map(PathBuf::from);
        let identity = match (file(OTLP_CLIENT_CERTIFICATE), file(OTLP_CLIENT_KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => {
                let both = format!("{OTLP_CLIENT_CERTIFICATE} and {OTLP_CLIENT_KEY} are set together");
                return Err(CollectorError::Tls(both));
            }
        };
        let files = ClientFiles { authorities: file(OTLP_CERTIFICATE), identity };
        Ok(Some(Self { endpoint: endpoint.to_string_lossy().into_owned(), files }))
    }

    /// Sends spans there.
    pub(super) fn spans(&self) -> Result<SpanExporter, CollectorError> {
        let builder = SpanExporter::builder().with_tonic().with_endpoint(&self.endpoint);
        Ok(match self.by_tls()? {
            Some(channel) => builder.with_channel(channel).build()?,
            None => builder.build()?,
        })
    }

    /// Sends metrics there.
    pub(super) fn metrics(&self) -> Result<MetricExporter, CollectorError> {
        let builder = MetricExporter::builder().with_tonic().with_endpoint(&self.endpoint);
        Ok(match self.by_tls()? {
            Some(channel) => builder.with_channel(channel).build()?,
            None => builder.build()?,
        })
    }

    /// Where the endpoint says https, nothing goes there in the clear.
    fn by_tls(&self) -> Result<Option<Channel>, CollectorError> {
        let is_secure = |uri: &Uri| uri.scheme() == Some(&Scheme::HTTPS);
        let Some(uri) = self.endpoint.parse().ok().filter(is_secure) else { return Ok(None) };
        let client = Client::new(&self.files).map_err(CollectorError::Tls)?;
        Ok(Some(Endpoint::from(uri).connect_with_connector_lazy(client.connector())))
    }
}
