//! Webhooks from a posting to a real receiver, with a clock that the test drives: what is kept, tried again, given up and
//! taken over, and where nothing is sent at all.

mod delivery;
mod following;
mod hostile;
mod sealed;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use creditledger::clock::Clock;
use creditledger::delivery::mail::{MailTransport, Mailboxes, Mailer};
use creditledger::delivery::webhooks::{HttpClient, Policy, WebhookTransport};
use creditledger::delivery::{
    Cursor, DeliveryThread, Endpoint, EndpointChanged, Endpoints, EventFeeds, Filter, NewEndpoint, Notice,
    Relay, SealingKeys, SigningSecrets, Transport, Watch,
};
use creditledger::grpc;
use creditledger::ledger::{LedgerNo, RequestKey, Text};
use creditledger::net::SystemNetwork;
use creditledger::store::Position;
use creditledger::tls::public_roots;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::clock::TestClock;
use crate::desk::START;
use crate::rig::Rig;

static DESKS: AtomicU32 = AtomicU32::new(0);

/// What a server has for webhooks, over a rig's database.
pub struct Desk {
    pub feeds: Arc<EventFeeds>,
    pub webhooks: Endpoints,
    pub clock: Arc<TestClock>,
    keys: Arc<SealingKeys>,
    /// No two desks of a test ask with the same ids.
    name: u32,
    requests: std::cell::Cell<u32>,
}

impl Desk {
    pub fn new(rig: &Rig) -> Self {
        Self::with_keys(rig, SealingKeys::default())
    }

    /// Of a server with these keys.
    pub fn with_keys(rig: &Rig, keys: SealingKeys) -> Self {
        let (clock, keys) = (TestClock::at(START), Arc::new(keys));
        let feeds = Arc::new(EventFeeds::new(Arc::clone(&rig.reader), rig.notifier.clone()));
        let webhooks = Endpoints::new(
            Arc::clone(&rig.webhooks),
            Arc::clone(&rig.reader),
            Arc::clone(&clock) as Arc<dyn Clock>,
        )
        .sealed_with(Arc::clone(&keys));
        Self {
            feeds,
            webhooks,
            clock,
            keys,
            name: DESKS.fetch_add(1, Ordering::Relaxed),
            requests: std::cell::Cell::new(0),
        }
    }

    pub fn request(&self) -> RequestKey {
        self.requests.set(self.requests.get() + 1);
        RequestKey::parse(&format!("webhook {}.{}", self.name, self.requests.get())).unwrap()
    }

    pub async fn endpoint(&self, url: &str) -> Endpoint {
        let new = NewEndpoint {
            url: Text::parse(url).unwrap(),
            types: vec![],
            description: Text::EMPTY,
            secret: None,
            after: Some(Position(0)),
        };
        endpoint_of(self.webhooks.create(LedgerNo::MAIN, self.request(), new).await.unwrap())
    }

    /// The endpoint as it is stored.
    pub async fn stored(&self, id: Uuid) -> Endpoint {
        let other = LedgerNo::new(7).unwrap();
        assert_eq!(self.webhooks.endpoint(other, id).await.unwrap(), None);
        self.webhooks.endpoint(LedgerNo::MAIN, id).await.unwrap().unwrap()
    }

    /// What messages to the endpoint are signed with.
    pub fn secret(&self, endpoint: &Endpoint) -> String {
        self.webhooks.secret_of(endpoint).unwrap().reveal().to_string()
    }

    /// A relay of its own, as of one server.
    pub fn relay(&self, rig: &Rig, me: u128) -> Relaying {
        self.relay_with(rig, me, None)
    }

    /// One that sends e-mail too.
    pub fn relay_with(&self, rig: &Rig, me: u128, mailer: Option<Arc<Mailer>>) -> Relaying {
        let network = Arc::new(SystemNetwork);
        let client = HttpClient::new(Policy { development: true }, network, public_roots()).unwrap();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let secrets =
            SigningSecrets::new(Arc::clone(&self.keys), Arc::clone(&rig.webhooks), Arc::clone(&clock));
        let (render, secrets) = (Arc::new(grpc::message), Arc::new(secrets));
        let webhooks = WebhookTransport { client, render, clock: Arc::clone(&clock), secrets };
        let mut transports: Vec<Arc<dyn Transport>> = vec![Arc::new(webhooks)];
        if let Some(mailer) = mailer {
            let rows = Arc::clone(&rig.webhooks);
            let mailboxes = Mailboxes::new(Arc::clone(&rig.reader), rows, Arc::clone(&clock));
            transports.push(Arc::new(MailTransport::new(mailer, mailboxes)));
        }
        let relay = Relay::new(
            Arc::clone(&self.feeds),
            Arc::clone(&rig.webhooks),
            clock,
            transports,
            DeliveryThread::default(),
            Uuid::from_u128(me),
        );
        let (stop, stopped) = watch::channel(false);
        Relaying { task: tokio::spawn(relay.run(stopped)), stop }
    }

    /// All events of the main ledger.
    pub async fn events(&self) -> Vec<Arc<Notice>> {
        let end = self.feed_end().await;
        let start = Cursor::default();
        let mut watch = Watch::new(&self.feeds, LedgerNo::MAIN, Filter::default(), start).until(end);
        let mut all = Vec::new();
        while let Some(told) = watch.next().await.unwrap() {
            all.extend(told);
        }
        all
    }

    async fn feed_end(&self) -> Position {
        self.webhooks.last_position(LedgerNo::MAIN).await.unwrap()
    }
}

/// A relay that runs.
pub struct Relaying {
    pub task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Relaying {
    /// As a server that is told to stop.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    /// As a server that dies: its workers end where they are, and nothing is left to others.
    pub async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

/// Runs each test on each engine, with threads besides the test's own: it blocks on SQLite's lock, as a writer's thread
/// does, which a transaction of the relay may hold.
macro_rules! on_each_engine {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::rig::Rig::memory()).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::rig::Rig::sqlite().await).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if crate::postgres::available() {
                    let isolation = creditledger::store::Isolation::ReadCommitted;
                    super::$name(crate::rig::Rig::postgres(isolation).await).await;
                }
            })*
        }
    };
}
pub(crate) use on_each_engine;

pub fn endpoint_of(changed: EndpointChanged) -> Endpoint {
    match changed {
        EndpointChanged::Done { endpoint: Some(endpoint), replayed: false } => *endpoint,
        other => panic!("{other:?}"),
    }
}
