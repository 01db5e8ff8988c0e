//! The real binary sends its traces and metrics to a collector, and its logs name the trace of a call.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::*;
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Channel;

use super::authority::Authority;
use super::process::{Place, Server, sqlite};
use super::receiver::{Receiver, Reply};
use super::shop_rig::create;

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
pub struct Collector {
    spans: Arc<Mutex<Vec<Span>>>,
    /// The names of metrics.
    metrics: Arc<Mutex<Vec<String>>>,
}

impl Collector {
    /// Starts one, and gives its address.
    pub async fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let collector = Self::default();
        let server = tonic::transport::Server::builder()
            .add_service(TraceServiceServer::new(collector.clone()))
            .add_service(MetricsServiceServer::new(collector.clone()));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        (collector, endpoint)
    }

    /// All spans as Debug shows them, a line each.
    pub fn spans(&self) -> String {
        let spans: Vec<String> = self.all().iter().map(|span| format!("{span:?}")).collect();
        spans.join("\n")
    }

    fn all(&self) -> Vec<Span> {
        self.spans.lock().unwrap().clone()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let spans = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(spans.flat_map(|scope| scope.spans));
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: tonic::Request<ExportMetricsServiceRequest>,
    ) -> Result<tonic::Response<ExportMetricsServiceResponse>, tonic::Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|all| all.scope_metrics);
        let metrics = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().unwrap().extend(metrics);
        Ok(tonic::Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// A server that sends to a collector, with more variables of its environment.
async fn traced(place: &Place, more: &[(&str, &str)]) -> (Server, Collector, Channel) {
    let (collector, endpoint) = Collector::start().await;
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--webhook-development"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).envs(more.iter().copied());
    let server = Server::start(command);
    let channel = server.connect().await;
    (server, collector, channel)
}

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// The texts of a span's attributes.
fn attribute(span: &Span, name: &str) -> Option<String> {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let found = span.attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        other => Some(format!("{other:?}")),
    }
}

/// A request of a caller who is traced.
fn from_caller<T>(message: T) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let header = format!("00-{TRACE}-{PARENT}-01").parse().unwrap();
    request.metadata_mut().insert("traceparent", header);
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_leaves_a_span_in_its_callers_trace_and_its_batch_another_with_a_link() {
    let place = Place::new();
    let (server, collector, channel) = traced(&place, &[]).await;
    let creation = CreateCustomerRequest { context: Some(context("c", "acme")), ..Default::default() };
    let mut customers = customer_service_client::CustomerServiceClient::new(channel.clone());
    customers.create_customer(from_caller(creation)).await.unwrap();
    let nobody = GetBalanceRequest { customer_id: "nobody".to_owned(), ..Default::default() };
    let refused = LedgerServiceClient::new(channel).get_balance(from_caller(nobody)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    // What is left is sent at the end.
    server.stop();
    let spans = collector.all();
    let named = |name: &str| {
        let found: Vec<&Span> = spans.iter().filter(|span| span.name == name).collect();
        assert_eq!(found.len(), 1, "{name}: {spans:?}");
        found[0].clone()
    };
    let call = named("creditledger.v1.CustomerService/CreateCustomer");
    assert_eq!((hex(&call.trace_id), hex(&call.parent_span_id)), (TRACE.to_owned(), PARENT.to_owned()));
    assert_eq!(call.kind(), SpanKind::Server);
    let told =
        ["rpc.system.name", "rpc.method", "rpc.response.status_code"].map(|name| attribute(&call, name));
    let method = "creditledger.v1.CustomerService/CreateCustomer";
    assert_eq!(told, ["grpc", method, "OK"].map(|text| Some(text.to_owned())));
    // A refusal is the caller's fault, and no failure of the server.
    let read = named("creditledger.v1.LedgerService/GetBalance");
    assert_eq!(attribute(&read, "rpc.response.status_code").as_deref(), Some("NOT_FOUND"));
    assert_eq!(attribute(&read, "error.type"), None);
    let linked = |span: &Span| span.links.iter().any(|link| link.span_id == call.span_id);
    let batch = spans.iter().find(|span| span.name == "batch" && linked(span));
    let batch = batch.unwrap_or_else(|| panic!("no batch is linked to the call: {spans:?}"));
    assert_eq!(hex(&batch.trace_id), TRACE);
    // Metrics go the same way.
    let metrics = collector.metrics.lock().unwrap().clone();
    for name in ["rpc.server.call.duration", "creditledger.batch.duration", "creditledger.journal.position"] {
        assert!(metrics.iter().any(|sent| sent == name), "{name}: {metrics:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sampler_decides_what_is_sent() {
    let place = Place::new();
    let (server, collector, channel) =
        traced(&place, &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]).await;
    create(&channel, "acme").await;
    let balance = GetBalanceRequest { customer_id: "acme".to_owned(), ..Default::default() };
    LedgerServiceClient::new(channel).get_balance(from_caller(balance)).await.unwrap();
    server.stop();
    // A caller that is traced is followed.
    let names: Vec<String> = collector.all().into_iter().map(|span| span.name).collect();
    assert!(names.contains(&"creditledger.v1.LedgerService/GetBalance".to_owned()), "{names:?}");
    assert!(!names.iter().any(|name| name.contains("CreateCustomer")), "{names:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_carry_their_trace() {
    let place = Place::new();
    let (server, collector, channel) = traced(&place, &[]).await;
    let receiver = Receiver::start(|_| Reply::Status(204, None)).await;
    place.json(&["webhook", "create", &receiver.url, "--server", server.url(), "--json"]);
    create(&channel, "acme").await;
    place.json(&["hold", "place", "acme", "INC-1", "--credits", "0", "--server", server.url(), "--json"]);
    receiver.until(|messages| !messages.is_empty()).await;
    let header = receiver.messages()[0].headers["traceparent"].clone();
    server.stop();
    let sent = |span: &Span| {
        span.name == "webhook" && header == format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id))
    };
    assert!(collector.all().iter().any(sent), "{header}: {}", collector.spans());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_of_the_log_names_the_trace_of_its_call() {
    let place = Place::new();
    let server = Server::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--log-format", "json"]));
    let channel = server.connect().await;
    create(&channel, "acme").await;
    // A row that cannot be read.
    sqlite(&place.path("creditledger.db")).execute("UPDATE customer SET state = x'ff'", []).unwrap();
    let balance = GetBalanceRequest { customer_id: "acme".to_owned(), ..Default::default() };
    let failed = LedgerServiceClient::new(channel).get_balance(from_caller(balance)).await.unwrap_err();
    assert_eq!(failed.code(), tonic::Code::DataLoss, "{failed:?}");
    server.process.signal("TERM");
    let log = server.process.end().stderr;
    let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let errors: Vec<_> = lines.iter().filter(|line| line["level"] == "ERROR").collect();
    assert_eq!(errors.len(), 1, "a handled error is one line: {log}");
    assert_eq!(
        (&errors[0]["message"], &errors[0]["span"]["trace_id"]),
        (&"a read failed".into(), &TRACE.into())
    );
}

/// Something that speaks TLS before a collector; its address, and in `ca.pem` who vouches for it.
async fn by_tls(place: &Place, collector: &str) -> String {
    let authority = Authority::new("of the collector");
    place.write("ca.pem", &authority.pem);
    let identity = authority.issue(&["localhost"]);
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let collector = collector.trim_start_matches("http://").to_owned();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let (acceptor, collector) = (acceptor.clone(), collector.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(socket).await else { return };
                let mut behind = TcpStream::connect(collector).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut behind).await;
            });
        }
    });
    url
}

#[tokio::test(flavor = "multi_thread")]
async fn traces_go_by_tls_where_the_endpoint_says_so_and_only_to_whom_is_trusted() {
    for is_trusted in [true, false] {
        let (collector, endpoint) = Collector::start().await;
        let place = Place::new();
        let endpoint = by_tls(&place, &endpoint).await;
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).env("OTEL_EXPORTER_OTLP_TIMEOUT", "2000");
        if is_trusted {
            command.env("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem");
        }
        let server = Server::start(command);
        place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
        server.stop();
        assert_eq!(collector.spans().contains("CreateCustomer"), is_trusted, "{}", collector.spans());
    }
}
