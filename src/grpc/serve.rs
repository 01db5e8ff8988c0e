//! The server: all services with their limits on one listener, until shutdown.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Error, Server};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tonic_web::GrpcWebLayer;

use super::api::Api;
use super::browser::{OwnNames, cors};
use super::connect::Connect;
use super::connection::Patience;
use super::identify::Identify;
use super::incoming::{Bounds, Listener, connections};
use super::intake::IntakeLimits;
use super::limits::{Guard, Places};
use super::measure::Measure;
use super::methods::Methods;
use super::room::Room;
use super::services::SERVICE_NAMES;
use super::stage::Staged;
use super::wire::{
    DESCRIPTORS, access_service_server, batch_service_server, customer_service_server, hold_service_server,
    ledger_service_server, notification_service_server, purchase_service_server, rate_card_service_server,
};
use crate::access::Admission;
use crate::clock::watch::Standing;

/// Bounds of the server. They close what tonic leaves unbounded.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Concurrent calls over all connections. One more call is refused as overloaded. Batches whose request is complete
    /// and streams are not counted, and neither are health checks.
    pub calls_max: usize,
    /// Concurrent calls of ExecuteBatch, each from the moment that its request is complete.
    pub batches_max: usize,
    /// Concurrent calls that stream, in either direction.
    pub streams_max: usize,
    /// Open connections. One more is closed at once.
    pub connections_max: usize,
    /// Open connections of one address: of IPv4, or a network of 2^64 of IPv6. One more is closed at once.
    pub connections_per_address_max: usize,
    /// How long a new connection may take to say which protocol it speaks, its TLS handshake included.
    pub first_bytes: Duration,
    /// Concurrent streams on one connection.
    pub connection_streams_max: u32,
    /// Bytes of a request.
    pub request_bytes_max: usize,
    /// Bytes of a request to the batch service.
    pub batch_request_bytes_max: usize,
    /// Bytes of memory that all requests under way may take together.
    pub memory_bytes_max: usize,
    /// How long a caller may send nothing in the middle of a call.
    pub silence: Duration,
    /// Bytes of an answer.
    pub response_bytes_max: usize,
    /// Bytes of a request's headers.
    pub header_bytes_max: u32,
    /// A silent connection gets a keepalive ping this often, and is dropped if the ping is not answered for as long
    /// again.
    pub keepalive_seconds: u64,
    /// A connection is asked to end after this long; its calls are finished first. This also ends connections without
    /// calls.
    pub connection_age_seconds: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            calls_max: 8_192,
            batches_max: 64,
            streams_max: 1_024,
            connections_max: 4_096,
            connections_per_address_max: 1_024,
            first_bytes: Duration::from_secs(10),
            connection_streams_max: 1_024,
            request_bytes_max: 4 << 20,
            batch_request_bytes_max: 16 << 20,
            memory_bytes_max: 128 << 20,
            silence: Duration::from_secs(30),
            response_bytes_max: 16 << 20,
            header_bytes_max: 16 << 10,
            keepalive_seconds: 30,
            connection_age_seconds: 3_600,
        }
    }
}

impl Limits {
    fn intake(&self) -> IntakeLimits {
        IntakeLimits {
            request_bytes_max: self.request_bytes_max,
            batch_request_bytes_max: self.batch_request_bytes_max,
            silence: self.silence,
            room: Room::new(self.memory_bytes_max, self.silence),
        }
    }

    const fn places(&self) -> Places {
        Places { calls: self.calls_max, batches: self.batches_max, streams: self.streams_max }
    }

    const fn connections(&self) -> Bounds {
        Bounds {
            connections_max: self.connections_max,
            connections_per_address_max: self.connections_per_address_max,
            keepalive: Duration::from_secs(self.keepalive_seconds),
            patience: Patience { first_bytes: self.first_bytes, writing: self.silence },
        }
    }
}

/// Serves on `listener` until `shutdown` is ready, then accepts no new connections and finishes the calls under way.
/// Callers bound the time of that, because a client can keep a call open. It fails if the transport fails.
pub async fn serve(
    api: Api,
    admission: Admission,
    listener: impl Into<Listener>,
    limits: Limits,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Error> {
    // Read once, before the first call has to wait for it.
    Methods::all();
    let (health, health_service) = tonic_health::server::health_reporter();
    report(&health, ServingStatus::Serving).await;
    health.set_service_status(LIVENESS, ServingStatus::Serving).await;
    let api = api.with_silence(limits.silence);
    let (intake, places) = (limits.intake(), limits.places());
    let routes = api.http_routes.clone();
    let mut builder = Server::builder()
        .accept_http1(true) // gRPC-Web and Connect
        .max_concurrent_streams(limits.connection_streams_max)
        .http2_max_header_list_size(limits.header_bytes_max)
        .http2_keepalive_interval(Some(Duration::from_secs(limits.keepalive_seconds)))
        .http2_keepalive_timeout(Some(Duration::from_secs(limits.keepalive_seconds)))
        .max_connection_age(Duration::from_secs(limits.connection_age_seconds))
        .layer(tower::util::option_layer(routes.map(Staged)))
        .layer(Staged(OwnNames(admission.hosts)))
        .layer(tower::util::option_layer(cors(&admission.origins)))
        .layer(Staged(Connect(intake.clone())))
        .layer(GrpcWebLayer::new())
        .layer(tower::util::option_layer(Measure::new(&api.metrics)))
        .layer(Staged(Identify::new(
            admission.access,
            admission.quotas,
            api.identities.recorder.clone(),
            api.metrics.clone(),
        )))
        .layer(Staged(Guard::new(places, intake)));

    /// A service with its bounds on message sizes, accepting and sending gzip.
    macro_rules! bounded {
        ($service:ty, $request_bytes_max:expr) => {
            <$service>::new(api.clone())
                .accept_compressed(CompressionEncoding::Gzip)
                .send_compressed(CompressionEncoding::Gzip)
                .max_decoding_message_size($request_bytes_max)
                .max_encoding_message_size(limits.response_bytes_max)
        };
    }
    let bytes_max = limits.request_bytes_max;
    let router = builder
        .add_service(bounded!(customer_service_server::CustomerServiceServer<Api>, bytes_max))
        .add_service(bounded!(purchase_service_server::PurchaseServiceServer<Api>, bytes_max))
        .add_service(bounded!(hold_service_server::HoldServiceServer<Api>, bytes_max))
        .add_service(bounded!(ledger_service_server::LedgerServiceServer<Api>, bytes_max))
        .add_service(bounded!(rate_card_service_server::RateCardServiceServer<Api>, bytes_max))
        .add_service(bounded!(notification_service_server::NotificationServiceServer<Api>, bytes_max))
        .add_service(bounded!(access_service_server::AccessServiceServer<Api>, bytes_max))
        .add_service(bounded!(batch_service_server::BatchServiceServer<Api>, limits.batch_request_bytes_max))
        .add_service(health_service)
        .add_optional_service(reflection())
        .add_optional_service(reflection_v1alpha());

    let incoming = connections(listener.into(), limits.connections());
    let writer = api.writer.clone();
    let stop = async move {
        tokio::select! {
            () = shutdown => {}
            // Without its writer the server can only refuse calls.
            () = writer.ended() => {}
            () = follow_reachability(&health, api.reader.reachable()) => {}
            () = follow_clock(&health, api.clock.clone()) => {}
        }
        report(&health, ServingStatus::NotServing).await;
        // Health watchers get this status and then the end. A watch that stays open would delay the shutdown.
        let mut health = health;
        for service in watched().chain([LIVENESS, CLOCK]) {
            health.clear_service_status(service).await;
        }
        api.closing.send_replace(true);
    };
    router.serve_with_incoming_shutdown(incoming, stop).await
}

/// Server reflection. A server without it still serves everything else.
fn reflection() -> Option<
    tonic_reflection::server::v1::ServerReflectionServer<impl tonic_reflection::server::v1::ServerReflection>,
> {
    without_fault(descriptors().build_v1())
}

/// Reflection under its older name, which grpcurl before 1.8.8 and other tools still ask for.
fn reflection_v1alpha() -> Option<
    tonic_reflection::server::v1alpha::ServerReflectionServer<
        impl tonic_reflection::server::v1alpha::ServerReflection,
    >,
> {
    without_fault(descriptors().build_v1alpha())
}

fn descriptors() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        // With these, tools show the details of errors as text.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

fn without_fault<S>(service: Result<S, tonic_reflection::server::Error>) -> Option<S> {
    service.inspect_err(|error| tracing::error!(%error, "the descriptors cannot be read; no reflection")).ok()
}

/// What the health service says of the process alone, whatever its database does: SERVING until it ends. A server whose
/// database is away must not be restarted for that: it serves again by itself.
pub const LIVENESS: &str = "creditledger.live";

/// The names whose health follows the database: the server as a whole, and each service.
fn watched() -> impl Iterator<Item = &'static str> {
    std::iter::once("").chain(SERVICE_NAMES)
}

/// The name by which the health service tells whether the clock is plausible.
const CLOCK: &str = "creditledger.clock";

/// Keeps the health service up to date; never ready.
async fn follow_reachability(health: &HealthReporter, mut reachable: watch::Receiver<bool>) {
    while reachable.changed().await.is_ok() {
        let serving = *reachable.borrow_and_update();
        report(health, if serving { ServingStatus::Serving } else { ServingStatus::NotServing }).await;
    }
    // The engine reports no further changes.
    std::future::pending::<()>().await;
}

/// Keeps the health of the clock up to date; never ready. The server serves all the same.
async fn follow_clock(health: &HealthReporter, clock: Option<watch::Receiver<Standing>>) {
    if let Some(mut clock) = clock {
        loop {
            let is_plausible = clock.borrow_and_update().is_plausible;
            let status = if is_plausible { ServingStatus::Serving } else { ServingStatus::NotServing };
            health.set_service_status(CLOCK, status).await;
            if clock.changed().await.is_err() {
                break;
            }
        }
    }
    std::future::pending::<()>().await;
}

async fn report(health: &HealthReporter, status: ServingStatus) {
    for service in watched() {
        health.set_service_status(service, status).await;
    }
}
