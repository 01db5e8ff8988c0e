//! A server of its own for each test, and short ways to write requests down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use creditledger::access::{Admission, Recorder, Retention, Tokens};
use creditledger::clock::{self, Clock};
use creditledger::delivery::Endpoints;
use creditledger::delivery::EventFeeds;
use creditledger::delivery::webhooks::Policy;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use creditledger::grpc::{Api, Handler, HttpRoutes, Identities, Limits, Listener, serve};
use creditledger::hidden::Hidden;
use creditledger::ledger::{Credits, LedgerId, LedgerNo, Storefront, Timestamp};
use creditledger::query::Reader;
use creditledger::store::{self, AuditStore, Engine, ReadStore, Settings};
use creditledger::storefront::{
    Applier, Intake, Mapped, Reading, Revenue, Shop, Storefronts, Vendor, read_payload,
};
use creditledger::tls::{self, Peer};
use creditledger::writer::{self, Writer, WriterEnd};
use tempfile::TempDir;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, Error};

pub struct Served {
    pub api: Api,
    pub channel: Channel,
    pub address: String,
    pub stop: oneshot::Sender<()>,
    pub server: JoinHandle<Result<(), Error>>,
    pub writer: Writer,
    /// How the writer stopped.
    pub end: WriterEnd,
    pub reader: Arc<dyn ReadStore>,
    pub audit: Arc<dyn AuditStore>,
    pub recorder: Recorder,
    /// The recorder ends with it.
    _records: watch::Sender<bool>,
    /// A storefront, whose orders nobody follows in the background.
    pub shop: Arc<Shop>,
    payments: Applier,
    intake: Intake,
    requests: AtomicU32,
    /// Where a database on disk lies, for as long as the server.
    _directory: Option<TempDir>,
}

/// A shop of our own JSON: `CREDITS_10` is 10 credits.
fn shop() -> Shop {
    let mapped = Mapped { credits: Credits::whole(10), price: None };
    Shop {
        storefront: Storefront::parse("shop").unwrap(),
        vendor: Vendor::Generic,
        ledger: LedgerId::main(),
        secrets: vec![Hidden::new("secret".to_owned())],
        customer: "customer".to_owned(),
        product: String::new(),
        quantity: String::new(),
        revenue: Revenue::Net,
        accept_test_payments: false,
        mapping: [("CREDITS_10".to_owned(), mapped)].into(),
    }
}

/// The path that answers with who has called, as the server's layers see it.
pub const PEER: &str = "/peer";

fn peer() -> Handler {
    Arc::new(|request| {
        let Peer { address, names, valid_until: _ } = request.extensions().get().cloned().unwrap();
        let told = format!("{} {}", address.unwrap(), names.join(" "));
        Box::pin(async move { http::Response::new(tonic::body::Body::new(told)) })
    })
}

/// The engine of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    Memory,
    Sqlite,
    Postgres,
}

impl Served {
    /// On a database of its own.
    pub async fn start(on: On) -> Self {
        match on {
            On::Memory => Self::at("memory:", &Settings::default(), None).await,
            On::Sqlite => {
                let directory = tempfile::tempdir().unwrap();
                let url = format!("sqlite://{}", directory.path().join("wire.db").display());
                Self::at(&url, &Settings::default(), Some(directory)).await
            }
            On::Postgres => Self::at(&crate::postgres::database().await, &Settings::default(), None).await,
        }
    }

    /// On this database, which other servers may have open if it is PostgreSQL's.
    pub async fn at(url: &str, settings: &Settings, directory: Option<TempDir>) -> Self {
        let engine = store::open(url, clock::now(), settings).await.unwrap();
        // Some tests open many holds of one customer.
        let limits = writer::Limits { open_holds_max: 100_000, ..writer::Limits::default() };
        Self::on(engine, directory, limits).await
    }

    pub async fn on(engine: Engine, directory: Option<TempDir>, limits: writer::Limits) -> Self {
        Self::bounded(engine, directory, limits, Limits::default()).await
    }

    /// In memory, with these bounds.
    pub async fn within(bounds: Limits) -> Self {
        let engine = store::open("memory:", clock::now(), &Settings::default()).await.unwrap();
        Self::bounded(engine, None, writer::Limits::default(), bounds).await
    }

    pub async fn bounded(
        engine: Engine,
        directory: Option<TempDir>,
        limits: writer::Limits,
        bounds: Limits,
    ) -> Self {
        Self::behind(engine, directory, limits, bounds, None).await
    }

    /// In memory, by TLS. Tests make their own connections: the channel of the rig knows no TLS.
    pub async fn by_tls(files: tls::Files, bounds: Limits) -> Self {
        let engine = store::open("memory:", clock::now(), &Settings::default()).await.unwrap();
        let (_, current) = tls::Reload::start(files).unwrap();
        Self::behind(engine, None, writer::Limits::default(), bounds, Some(current)).await
    }

    async fn behind(
        engine: Engine,
        directory: Option<TempDir>,
        limits: writer::Limits,
        bounds: Limits,
        tls: Option<tls::Current>,
    ) -> Self {
        let cards = Arc::new(creditledger::cards::built_in());
        let (writer, end) = Writer::start(engine.writers, &cards, limits).unwrap();
        let feeds = Arc::new(EventFeeds::new(Arc::clone(&engine.reader), engine.notifier.clone()));
        let reader = Reader::new(Arc::clone(&engine.reader), engine.notifier, cards);
        let reader = Arc::new(reader.current_by(writer.clone()));
        let clock: Arc<dyn Clock> = Arc::new(clock::System);
        let webhooks =
            Endpoints::new(Arc::clone(&engine.webhooks), Arc::clone(&engine.reader), Arc::clone(&clock));
        let shop = Arc::new(shop());
        let shops = vec![Arc::clone(&shop)];
        let shops = Storefronts::new(engine.orders, writer.clone(), Arc::clone(&reader), shops);
        let (intake, payments) = (shops.intake.clone(), shops.applier.clone());
        let (webhooks, asked) = (Arc::new(webhooks), payments.clone());
        let tokens = Tokens::new(Arc::clone(&engine.tokens), Arc::clone(&clock));
        let retention = Retention { days: 400, records: 1_000_000, bytes: 1 << 30 };
        let recorder = Recorder::new(Arc::clone(&engine.records), Arc::clone(&clock), retention);
        let (records, stopped) = watch::channel(false);
        tokio::spawn(recorder.clone().run(stopped));
        let identities = Identities { tokens, recorder: recorder.clone() };
        let feeds_of = Arc::clone(&feeds);
        let api = Api::new(writer.clone(), reader, asked, feeds_of, webhooks, Policy::default(), identities);
        let api = api.with(HttpRoutes { prefix: PEER, handler: peer() });
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", tcp.local_addr().unwrap());
        let is_plain = tls.is_none();
        let listener = Listener { tcp, tls };
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(api.clone(), Admission::open(), listener, bounds, shutdown));
        let endpoint = Endpoint::new(address.clone()).unwrap();
        let channel = if is_plain { endpoint.connect().await.unwrap() } else { endpoint.connect_lazy() };
        Self {
            api,
            channel,
            address,
            stop,
            server,
            writer,
            end,
            reader: engine.reader,
            audit: engine.audit,
            shop,
            payments,
            intake,
            requests: AtomicU32::new(0),
            recorder,
            _records: records,
            _directory: directory,
        }
    }

    /// Has an order of the storefront, which names no customer, wait for a person.
    pub async fn wait_for_a_person(&self, order: &str) {
        let body = format!(
            r#"{{"order": "{order}", "version": 1, "currency": "EUR", "payment": "paid", "total": "20.00",
                "lines": [{{"product": "CREDITS_10", "quantity": 1, "net": "20.00"}}]}}"#
        );
        let orders = read_payload(&self.shop, "", body.as_bytes());
        let reading = Reading { topic: String::new(), orders, payload: body.into() };
        self.intake.take(&self.shop, LedgerNo::MAIN, reading).await.unwrap();
        self.payments.follow_due(Timestamp::from_micros(i64::MAX)).await.unwrap();
    }

    /// A connection of its own.
    pub async fn connect(&self) -> Channel {
        Endpoint::new(self.address.clone()).unwrap().connect().await.unwrap()
    }

    /// The last positions of the first two ledgers, `main` and one that a test made.
    pub async fn positions(&self) -> [u64; 2] {
        let mut positions = [0; 2];
        for (number, position) in (0..).zip(&mut positions) {
            *position = self.reader.last_position(LedgerNo::new(number).unwrap()).await.unwrap().0;
        }
        positions
    }

    /// Waits until the writer has nothing to do, and then checks the whole journal; the number of its postings.
    pub async fn verify(&self) -> u64 {
        // Commands that are behind all others in the queue, of customers that do not exist: some for each lane.
        for n in 0..8 {
            let last = CloseCustomerRequest { context: self.of(format!("nobody-{n}")) };
            let refused = self.customers().close_customer(last).await.unwrap_err();
            assert_eq!(refused.code(), tonic::Code::NotFound);
        }
        let report = creditledger::audit::verify(&*self.audit, |_| {}).await.unwrap();
        assert!(report.is_clean(), "{:?}", report.faults);
        report.counts.postings
    }

    /// Makes the customer `acme`, who buys so many credits.
    pub async fn buy(&self, credits: &str) {
        self.customers().create_customer(self.customer("acme")).await.unwrap();
        if credits != "0" {
            let order = self.next();
            self.purchases().purchase_credits(self.purchase(credits, &order)).await.unwrap();
        }
    }

    /// With the customer `acme`, who has bought so many credits.
    pub async fn with_credits(on: On, credits: &str) -> Self {
        let served = Self::start(on).await;
        served.buy(credits).await;
        served
    }

    pub fn customers(&self) -> CustomerServiceClient<Channel> {
        CustomerServiceClient::new(self.channel.clone())
    }

    pub fn purchases(&self) -> PurchaseServiceClient<Channel> {
        PurchaseServiceClient::new(self.channel.clone())
    }

    pub fn holds(&self) -> HoldServiceClient<Channel> {
        HoldServiceClient::new(self.channel.clone())
    }

    pub fn notifications(&self) -> NotificationServiceClient<Channel> {
        NotificationServiceClient::new(self.channel.clone())
    }

    pub fn ledgers(&self) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel.clone())
    }

    /// A request id, or an order, that was not used before.
    pub fn next(&self) -> String {
        format!("r-{}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    /// The context of a command about this customer that was not sent before.
    #[allow(clippy::unnecessary_wraps)] // as requests take it
    pub fn of(&self, customer: impl Into<String>) -> Option<CommandContext> {
        Some(context(self.next(), customer))
    }

    /// A token of a helpdesk, with this name.
    pub fn token(&self, name: &str) -> CreateTokenRequest {
        CreateTokenRequest {
            context: self.of(""),
            name: name.into(),
            role: Role::Helpdesk.into(),
            days: 1,
            ..Default::default()
        }
    }

    pub fn customer(&self, id: &str) -> CreateCustomerRequest {
        CreateCustomerRequest { context: self.of(id), ..Default::default() }
    }

    pub fn purchase(&self, credits: &str, order: &str) -> PurchaseCreditsRequest {
        PurchaseCreditsRequest {
            context: self.of("acme"),
            storefront: "web".into(),
            order_id: order.into(),
            credits: credits.into(),
            price: Some(Money { currency_code: "EUR".into(), amount: "19.90".into() }),
            ..Default::default()
        }
    }

    pub fn hold(&self, incident: &str, credits: &str) -> PlaceHoldRequest {
        PlaceHoldRequest {
            context: self.of("acme"),
            incident_id: incident.into(),
            quote: Some(place_hold_request::Quote::Credits(credits.into())),
            ..Default::default()
        }
    }

    /// A hold that is estimated by time, so that it is no quote.
    pub fn timed_hold(&self, incident: &str, minutes: i32) -> PlaceHoldRequest {
        let quote = Some(place_hold_request::Quote::EstimatedSeconds(minutes * 60));
        PlaceHoldRequest { quote, ..self.hold(incident, "0") }
    }

    pub fn estimate(&self, incident: &str, credits: &str) -> EstimateIncidentRequest {
        EstimateIncidentRequest {
            context: self.of("acme"),
            incident_id: incident.into(),
            quote: Some(estimate_incident_request::Quote::Credits(credits.into())),
            ..Default::default()
        }
    }

    pub fn work(&self, incident: &str, minutes: i32) -> RecordWorkRequest {
        RecordWorkRequest {
            context: self.of("acme"),
            target: Some(HoldTarget::incident(incident)),
            work_seconds: minutes * 60,
            ..Default::default()
        }
    }

    pub fn settle(&self, incident: &str) -> SettleHoldRequest {
        SettleHoldRequest {
            context: self.of("acme"),
            target: Some(HoldTarget::incident(incident)),
            ..Default::default()
        }
    }
}

/// Runs each test on each engine.
macro_rules! on_each_engine {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::served::On::Memory).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(crate::served::On::Sqlite).await;
            })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if crate::postgres::available() {
                    super::$name(crate::served::On::Postgres).await;
                }
            })*
        }
    };
}
pub(crate) use on_each_engine;
