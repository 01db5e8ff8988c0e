//! A server of its own for each test, and short ways to write requests down.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use creditledger::clock;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use creditledger::grpc::{Api, Limits, serve};
use creditledger::ledger::card::Cards;
use creditledger::query::Reader;
use creditledger::writer::{self, Writer};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tonic::transport::{Channel, Endpoint, Error};

pub struct Served {
    pub channel: Channel,
    pub stop: oneshot::Sender<()>,
    pub server: JoinHandle<Result<(), Error>>,
    requests: AtomicU32,
}

impl Served {
    pub async fn start() -> Self {
        let engine = creditledger::store::open("memory:", clock::now()).await.unwrap();
        let cards = Arc::new(Cards::built_in());
        let (writer, _end) =
            Writer::start(engine.writer, Arc::clone(&cards), writer::Limits::default()).unwrap();
        let api = Api::new(writer, Arc::new(Reader::new(engine.reader)), cards);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let server = tokio::spawn(serve(api, listener, Limits::default(), shutdown));
        let channel = Endpoint::new(address).unwrap().connect().await.unwrap();
        Self { channel, stop, server, requests: AtomicU32::new(0) }
    }

    /// With the customer `acme`, who has bought so many credits.
    pub async fn with_credits(credits: &str) -> Self {
        let served = Self::start().await;
        served.customers().create_customer(served.customer("acme")).await.unwrap();
        if credits != "0" {
            let order = served.next();
            served.purchases().purchase_credits(served.purchase(credits, &order)).await.unwrap();
        }
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

    pub fn ledgers(&self) -> LedgerServiceClient<Channel> {
        LedgerServiceClient::new(self.channel.clone())
    }

    /// A request id, or an order, that was not used before.
    pub fn next(&self) -> String {
        format!("r-{}", self.requests.fetch_add(1, Ordering::Relaxed))
    }

    pub fn customer(&self, id: &str) -> CreateCustomerRequest {
        CreateCustomerRequest { request_id: self.next(), customer_id: id.into(), ..Default::default() }
    }

    pub fn purchase(&self, credits: &str, order: &str) -> PurchaseCreditsRequest {
        PurchaseCreditsRequest {
            request_id: self.next(),
            customer_id: "acme".into(),
            storefront: "web".into(),
            order_id: order.into(),
            credits: credits.into(),
            price: Some(Money { currency_code: "EUR".into(), amount: "19.90".into() }),
            ..Default::default()
        }
    }

    pub fn hold(&self, incident: &str, credits: &str) -> PlaceHoldRequest {
        PlaceHoldRequest {
            request_id: self.next(),
            customer_id: "acme".into(),
            incident_id: incident.into(),
            quote: Some(place_hold_request::Quote::Credits(credits.into())),
            ..Default::default()
        }
    }

    pub fn work(&self, incident: &str, minutes: i64) -> RecordWorkRequest {
        RecordWorkRequest {
            request_id: self.next(),
            customer_id: "acme".into(),
            target: Some(record_work_request::Target::IncidentId(incident.into())),
            work_seconds: minutes * 60,
            ..Default::default()
        }
    }

    pub fn settle(&self, incident: &str) -> SettleHoldRequest {
        SettleHoldRequest {
            request_id: self.next(),
            customer_id: "acme".into(),
            target: Some(settle_hold_request::Target::IncidentId(incident.into())),
            ..Default::default()
        }
    }
}
