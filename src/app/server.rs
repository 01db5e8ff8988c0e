//! A server in this process: engine, writer, gRPC, sweeper and relay, and their shutdown in order.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};

use super::connect::innermost;
use super::email::mailer;
use super::failure::Failure;
use super::heartbeat::heartbeat;
use super::sampler::{Sampler, Sources};
use super::scrape::Scrapes;
use super::sweep::sweep;
use crate::access::certificates::Certificates;
use crate::access::{Access, Admission, Quotas, Recorder, Retention, Tokens, Verifier};
use crate::cards;
use crate::clock::{self, Clock};
use crate::config::{ClientCertificates, Config, IsolationSetting};
use crate::delivery::mail::{MailTransport, Mailboxes, Mailer};
use crate::delivery::webhooks::{HttpClient, Policy, WebhookTransport};
use crate::delivery::{
    DeliveryThread, Endpoints, EventFeeds, Relay, SealingKey, SealingKeys, SigningSecrets, Transport,
};
use crate::grpc::{self, Api, Handler, HttpRoutes, Identities};
use crate::http;
use crate::ledger::PostingId;
use crate::net::SystemNetwork;
use crate::query::Reader;
use crate::store::webhooks::WebhookStore;
use crate::store::{self, Engine, ReadStore, Settings, Time};
use crate::storefront::Storefronts;
use crate::telemetry::Meters;
use crate::tls;
use crate::writer::{Limits, Writer, WriterEnd};

/// A running server.
pub(super) struct Server {
    address: SocketAddr,
    by_tls: bool,
    writer: Writer,
    end: Option<WriterEnd>,
    stop: watch::Sender<bool>,
    grpc: JoinHandle<Result<(), tonic::transport::Error>>,
    sweeper: JoinHandle<()>,
    heartbeat: JoinHandle<()>,
    follower: JoinHandle<()>,
    relay: JoinHandle<()>,
    metrics_url: Option<String>,
    /// Tells what follows to end once no calls are left.
    after_calls: watch::Sender<bool>,
    tokens: JoinHandle<()>,
    recorder: JoinHandle<()>,
    shutdown_timeout: Duration,
    also: Also,
}

/// What further listeners need, and they.
struct Also {
    api: Api,
    tokens: Tokens,
    limits: grpc::Limits,
    listening: Vec<JoinHandle<Result<(), tonic::transport::Error>>>,
}

impl Server {
    /// Opens the database, creates and migrates it where needed, and serves.
    ///
    /// # Errors
    /// [`Failure`] where the database cannot be used or the address cannot be listened on.
    pub async fn start(config: &Config, meters: &Meters) -> Result<Self, Failure> {
        let shops: Vec<_> = config.storefronts.iter().cloned().map(Arc::new).collect();
        let clock: Arc<dyn Clock> = Arc::new(clock::System);
        let mailer = config.email.as_ref().map(|email| mailer(email, &wall())).transpose()?;
        let keys = Arc::new(sealing_keys(config)?);
        let database_url = config.database_url()?;
        let tls = tls_files(config).map(tls::Reload::start).transpose().map_err(Failure::Other)?;
        // The address comes first: a second server on it fails before it touches the database.
        let listener =
            TcpListener::bind(config.listen).await.map_err(|error| cannot_listen(config, &error))?;
        let address = listener.local_addr().map_err(|error| cannot_listen(config, &error))?;
        let scrapes = Scrapes::listen(config.metrics_listen, meters).await?;
        let metrics = meters.metrics();
        let engine = open(database_url.reveal(), config).await?;
        let cards = Arc::new(cards::built_in());
        let (writer, end) =
            Writer::start_measured(engine.writers, &cards, writer_limits(config), &metrics)
                .map_err(|error| Failure::Other(format!("the writer cannot be started: {error}")))?;
        let sweeper =
            tokio::spawn(sweep(Arc::clone(&engine.reader), writer.clone(), config.expiry_interval()));
        let feeds = Arc::new(EventFeeds::new(Arc::clone(&engine.reader), engine.notifier.clone()));
        let policy = Policy { development: config.webhook_development };
        let transports =
            transports(policy, (&engine.reader, &engine.webhooks), Arc::clone(&keys), mailer, &clock)?;
        let endpoints =
            Endpoints::new(Arc::clone(&engine.webhooks), Arc::clone(&engine.reader), Arc::clone(&clock))
                .sealed_with(keys);
        let me = PostingId::new(clock.now(), 0, clock::random().map_err(Failure::Randomness)?).uuid();
        let tokens = Tokens::new(engine.tokens, Arc::clone(&clock));
        let (thread, now) = (DeliveryThread::start(), Arc::clone(&clock));
        let relay = Relay::new(Arc::clone(&feeds), engine.webhooks, now, transports, thread, me);
        let relay = relay.measured(metrics.clone());
        let reader = Arc::new(Reader::new(engine.reader, engine.notifier, cards).current_by(writer.clone()));
        let sources = Sources {
            writer: writer.clone(),
            reader: Arc::clone(&reader),
            orders: Arc::clone(&engine.orders),
            gauges: engine.gauges,
            progress: relay.progress(),
            clock: Arc::clone(&clock),
        };
        let paid = Storefronts::new(engine.orders, writer.clone(), Arc::clone(&reader), shops.clone());
        let webhooks = http::StorefrontWebhooks::new(&shops, paid.intake.clone(), Arc::clone(&reader));
        let routes = routes(webhooks.measured(metrics.clone()));
        let payments = paid.applier.clone();
        let follower = tokio::spawn(paid.run());
        let (stop, stopping) = watch::channel(false);
        // What calls leave behind is written after the last of them.
        let after_calls = watch::Sender::new(false);
        let running = tokio::spawn(tokens.clone().run(after_calls.subscribe()));
        let (admission, known) = (admission(config, &tokens)?, tokens.clone());
        let recorder = Recorder::new(engine.records, clock, retention(config));
        let recording = tokio::spawn(recorder.clone().run(after_calls.subscribe()));
        let endpoints = Arc::new(endpoints);
        let identities = Identities { tokens, recorder };
        let api = Api::new(writer.clone(), reader, payments, feeds, endpoints, policy, identities);
        let api = api.with(routes).watching_clock(engine.clock.watch.changes()).measured(metrics.clone());
        let heartbeat = tokio::spawn(heartbeat(engine.clock));
        let relay = tokio::spawn(relay.run(stop.subscribe()));
        let metrics_url = scrapes.as_ref().map(Scrapes::url);
        measure(meters, sources, scrapes, &after_calls).await;
        let tls = tls.map(|(reload, current)| {
            tokio::spawn(reload.follow(stop.subscribe()));
            current
        });
        let by_tls = tls.is_some();
        let listener = grpc::Listener { tcp: listener, tls };
        let (limits, stopping) = (grpc_limits(config), until_true(stopping));
        let grpc = tokio::spawn(grpc::serve(api.clone(), admission, listener, limits.clone(), stopping));
        let shutdown_timeout = config.shutdown_timeout();
        Ok(Self {
            address,
            by_tls,
            writer,
            end: Some(end),
            stop,
            grpc,
            sweeper,
            heartbeat,
            follower,
            relay,
            metrics_url,
            after_calls,
            tokens: running,
            recorder: recording,
            shutdown_timeout,
            also: Also { api, tokens: known, limits, listening: Vec::new() },
        })
    }

    /// Listens at another free port of this machine too, for callers who show a token. It ends with the server.
    ///
    /// # Errors
    /// [`Failure`] where there is no port.
    pub async fn listen_also(&mut self, jwt: Verifier) -> Result<String, Failure> {
        let cannot = |error: std::io::Error| Failure::Other(format!("cannot listen: {error}"));
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(cannot)?;
        let address = tcp.local_addr().map_err(cannot)?;
        let Also { api, tokens, limits, listening } = &mut self.also;
        let own = Arc::new(tokens.clone());
        let access = Access::by(own, Some(jwt), Certificates::default());
        let admission = Admission { access, ..Admission::open() };
        let stopping = until_true(self.stop.subscribe());
        let listener = grpc::Listener { tcp, tls: None };
        listening.push(tokio::spawn(grpc::serve(api.clone(), admission, listener, limits.clone(), stopping)));
        Ok(format!("http://{address}"))
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("{}://{}", if self.by_tls { "https" } else { "http" }, self.address)
    }

    /// Where metrics are served.
    pub fn metrics_url(&self) -> Option<&str> {
        self.metrics_url.as_deref()
    }

    pub const fn is_by_tls(&self) -> bool {
        self.by_tls
    }

    /// Waits until the server cannot go on, which may be for ever.
    pub async fn failed(&mut self) -> Failure {
        let Some(end) = &mut self.end else { return std::future::pending().await };
        tokio::select! {
            // Without its writer the gRPC server ends too; the writer knows why.
            biased;
            ended = &mut end.stopped => {
                self.end = None;
                Failure::Other(match ended {
                    Ok(Err(fault)) => fault,
                    Ok(Ok(())) | Err(_) => "the writer has ended".to_owned(),
                })
            }
            served = &mut self.grpc => served_to_end(served)
                .err()
                .unwrap_or_else(|| Failure::Other("the gRPC server has ended".to_owned())),
        }
    }

    /// Reports NOT_SERVING, accepts nothing new, lets open calls end within a deadline, and then ends the writer.
    ///
    /// # Errors
    /// [`Failure`] where a part of the server failed before.
    pub async fn stop(self) -> Result<(), Failure> {
        let Self {
            address: _,
            by_tls: _,
            writer,
            end,
            stop,
            mut grpc,
            sweeper,
            heartbeat,
            follower,
            relay,
            metrics_url: _,
            after_calls,
            tokens,
            recorder,
            shutdown_timeout,
            also: Also { api, tokens: known, limits: _, listening: also },
        } = self;
        sweeper.abort();
        heartbeat.abort();
        follower.abort();
        stop.send_replace(true);
        let served = if grpc.is_finished() {
            Ok(())
        } else if let Ok(served) = tokio::time::timeout(shutdown_timeout, &mut grpc).await {
            served_to_end(served)
        } else {
            tracing::warn!(?shutdown_timeout, "some calls have not ended and are cut off");
            grpc.abort();
            Ok(())
        };
        for also in also {
            if tokio::time::timeout(shutdown_timeout, also).await.is_err() {
                tracing::warn!(?shutdown_timeout, "some calls of a further listener have not ended");
            }
        }
        // They read the database, and the writer is the last to close it: then it leaves no log behind.
        drop((api, known));
        // It stores its cursors. What it does not finish is sent again by the next server.
        if tokio::time::timeout(shutdown_timeout, relay).await.is_err() {
            tracing::warn!(?shutdown_timeout, "some webhooks were under way and are sent again later");
        }
        after_calls.send_replace(true);
        if tokio::time::timeout(shutdown_timeout, tokens).await.is_err() {
            tracing::warn!(?shutdown_timeout, "the last uses of some tokens are not written");
        }
        if tokio::time::timeout(shutdown_timeout, recorder).await.is_err() {
            tracing::warn!(?shutdown_timeout, "some audit records are not written");
        }
        writer.close();
        let written = match end {
            Some(end) => end.stopped.await.unwrap_or_else(|_| Err("the writer has ended".to_owned())),
            None => Ok(()),
        };
        served.and(written.map_err(Failure::Other))
    }
}

/// Opens the database, and has its clock watched before anything asks for the time.
async fn open(database_url: &str, config: &Config) -> Result<Engine, Failure> {
    // The clock of an earlier server in this process is not this one's.
    clock::follow(None);
    let engine = store::open(database_url, clock::now(), &settings(config)).await?;
    if engine.clock.source == Time::Caller {
        clock::follow(Some(Arc::clone(&engine.clock.watch)));
    }
    Ok(engine)
}

/// What the listener serves besides gRPC: the deliveries of storefronts.
fn routes(webhooks: http::StorefrontWebhooks) -> HttpRoutes {
    let storefronts = Arc::new(webhooks);
    let handler: Handler = Arc::new(move |request| {
        let storefronts = Arc::clone(&storefronts);
        Box::pin(async move { storefronts.answer(request).await })
    });
    HttpRoutes { prefix: http::PREFIX, handler }
}

/// Has samples taken, and serves metrics where there is an address, until no calls are left.
async fn measure(
    meters: &Meters,
    sources: Sources,
    scrapes: Option<Scrapes>,
    after_calls: &watch::Sender<bool>,
) {
    let sampler = Sampler::start(meters.metrics(), sources).await;
    tokio::spawn(sampler.clone().keep_fresh(meters.is_sent(), after_calls.subscribe()));
    if let Some(scrapes) = scrapes {
        tokio::spawn(scrapes.serve(sampler, after_calls.subscribe()));
    }
}

/// Waits for the word to stop. A sender that is gone means it as well.
async fn until_true(mut stop: watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Who is let in and from which pages, and how much each may have done.
fn admission(config: &Config, tokens: &Tokens) -> Result<Admission, Failure> {
    let limits = config.limits.as_ref().map(|settings| settings.limits.clone()).unwrap_or_default();
    Ok(Admission {
        access: access(config, tokens)?,
        quotas: Quotas::new(limits),
        hosts: config.allowed_hosts.clone().or_any(config.authenticate),
        origins: config.allowed_origins.clone(),
    })
}

/// The files of TLS, where it is switched on.
pub(super) fn tls_files(config: &Config) -> Option<tls::Files> {
    let required = match config.tls_client_certificates {
        ClientCertificates::None => None,
        ClientCertificates::Optional => Some(false),
        ClientCertificates::Required => Some(true),
    };
    let authorities = config.tls_client_authorities_file.clone();
    Some(tls::Files {
        certificate: config.tls_certificate_file.clone()?,
        key: config.tls_key_file.clone()?,
        clients: authorities.zip(required).map(|(file, required)| tls::ClientAuthorities { file, required }),
    })
}

fn writer_limits(config: &Config) -> Limits {
    Limits {
        queue_commands_max: config.queue_commands_max,
        batch_commands_max: config.batch_commands_max,
        open_holds_max: config.open_holds_max,
        ..Limits::default()
    }
}

fn grpc_limits(config: &Config) -> grpc::Limits {
    grpc::Limits {
        request_bytes_max: config.request_bytes_max,
        batch_request_bytes_max: config.batch_request_bytes_max,
        memory_bytes_max: config.request_memory_bytes_max,
        silence: config.silence_timeout(),
        connections_max: config.connections_max,
        connections_per_address_max: config.connections_per_address_max,
        header_bytes_max: config.header_bytes_max,
        keepalive_seconds: config.keepalive_seconds,
        connection_age_seconds: config.connection_age_seconds,
        first_bytes: config.first_bytes_timeout(),
        ..grpc::Limits::default()
    }
}

fn retention(config: &Config) -> Retention {
    Retention { days: config.audit_days, records: config.audit_records_max, bytes: config.audit_bytes_max }
}

/// How it is told who calls. Tokens of our own are taken wherever callers are authenticated.
fn access(config: &Config, tokens: &Tokens) -> Result<Access, Failure> {
    if !config.authenticate {
        return Ok(Access::open());
    }
    let (providers, certificates) =
        config.auth.clone().map(|auth| (auth.providers, auth.certificates)).unwrap_or_default();
    let jwt = (!providers.is_empty()).then(|| Verifier::new(providers, Arc::new(clock::Wall)));
    let jwt = jwt.transpose().map_err(Failure::Other)?;
    let access = Access::by(Arc::new(tokens.clone()), jwt, certificates);
    Ok(access.bounded(config.unauthenticated_per_second))
}

/// The clock by which others judge when something was sent: nobody has corrected it.
fn wall() -> Arc<dyn Clock> {
    Arc::new(clock::Wall)
}

/// The transports of events: webhooks, and e-mail where it is switched on.
fn transports(
    policy: Policy,
    (reader, rows): (&Arc<dyn ReadStore>, &Arc<dyn WebhookStore>),
    keys: Arc<SealingKeys>,
    mailer: Option<Mailer>,
    clock: &Arc<dyn Clock>,
) -> Result<Vec<Arc<dyn Transport>>, Failure> {
    let secrets = SigningSecrets::new(keys, Arc::clone(rows), Arc::clone(clock));
    let client = HttpClient::new(policy, Arc::new(SystemNetwork), tls::public_roots())
        .map_err(|error| Failure::Other(format!("TLS cannot be used: {error}")))?;
    let (render, secrets) = (Arc::new(grpc::message), Arc::new(secrets));
    let webhooks = WebhookTransport { client, render, clock: wall(), secrets };
    let mut transports: Vec<Arc<dyn Transport>> = vec![Arc::new(webhooks)];
    if let Some(mailer) = mailer {
        let mailboxes = Mailboxes::new(Arc::clone(reader), Arc::clone(rows), Arc::clone(clock));
        transports.push(Arc::new(MailTransport::new(Arc::new(mailer), mailboxes)));
    }
    Ok(transports)
}

/// The keys of stored secrets; none where the settings name none.
pub(super) fn sealing_keys(config: &Config) -> Result<SealingKeys, Failure> {
    let mut keys = Vec::new();
    for (name, key) in config.sealing_keys()? {
        let key = SealingKey::parse(key.reveal());
        keys.push(key.map_err(|problem| Failure::Other(format!("{name} {problem}")))?);
    }
    let mut keys = keys.into_iter();
    Ok(keys.next().map(|current| SealingKeys::new(current, keys.collect())).unwrap_or_default())
}

fn settings(config: &Config) -> Settings {
    let isolation = match config.postgres_isolation {
        IsolationSetting::ReadCommitted => store::Isolation::ReadCommitted,
        IsolationSetting::Serializable => store::Isolation::Serializable,
    };
    let clock_gap_max = Some(config.clock_gap_max());
    Settings { lanes: config.postgres_lanes, isolation, clock_gap_max, ..Settings::default() }
}

fn served_to_end(served: Result<Result<(), tonic::transport::Error>, JoinError>) -> Result<(), Failure> {
    match served {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(Failure::Other(format!("the gRPC server has failed: {}", innermost(&error)))),
        Err(error) => Err(Failure::Other(format!("the gRPC server has failed: {error}"))),
    }
}

fn cannot_listen(config: &Config, error: &std::io::Error) -> Failure {
    Failure::Other(format!("cannot listen on {}: {error}", config.listen))
}
