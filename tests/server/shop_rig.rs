//! Shops for the tests of deliveries: their settings, what they tell in each vendor's words, and how they send it. The
//! payloads have the shapes that the vendors publish, cut to what is read; `src/storefront/vendors` has the sources.

use std::fmt::Write as _;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creditledger::clock;
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use creditledger::ledger::Credits;
use hmac::{Hmac, KeyInit, Mac};
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::{Connection as _, PgConnection};
use tonic::transport::Channel;

use super::postgres;
use super::process::{PATIENCE, Place, Server};
pub use super::shop_sender::{Sender, request, send, send_raw};

const CONFIG: &str = r#"
[[storefronts]]
id = "stripe"
vendor = "stripe"
secrets = ["old secret", "stripe secret"]
customer = "client_reference_id"
product = "metadata.product"
credits = { price_10 = "10" }

[[storefronts]]
id = "shopify"
vendor = "shopify"
secrets = ["shopify secret"]
customer = "note_attributes.customer_id"
credits = { "632910392" = "10" }

[[storefronts]]
id = "woo"
vendor = "woocommerce"
secrets = ["woo secret"]
customer = "meta_data.customer_id"
credits = { "93" = "10" }

[[storefronts]]
id = "own"
vendor = "generic"
secrets = ["own secret"]
customer = "customer"
credits = { CREDITS_10 = "10" }
"#;

/// The shops, each with its product of 10 credits at 20.00 EUR.
pub const SHOPS: [(&str, &str); 4] =
    [("stripe", "price_10"), ("shopify", "632910392"), ("woo", "93"), ("own", "CREDITS_10")];

/// How often more than in CI.
pub fn times() -> usize {
    std::env::var("CREDITLEDGER_TEST_TIMES").map_or(1, |times| times.parse().unwrap())
}

/// A place with shops, and the database of its servers.
pub struct Stand {
    pub place: Place,
    pub url: String,
}

impl Stand {
    pub fn new() -> Self {
        let place = Place::new();
        let url = place.url();
        Self::on(place, url)
    }

    /// `None` where there is no PostgreSQL.
    pub async fn on_postgres() -> Option<Self> {
        if !postgres::available() {
            return None;
        }
        Some(Self::on(Place::new(), postgres::database().await))
    }

    fn on(place: Place, url: String) -> Self {
        place.write("shops.toml", CONFIG);
        Self { place, url }
    }

    /// Changes the settings for the servers that start from now on.
    pub fn configure(&self, from: &str, to: &str) {
        assert!(CONFIG.contains(from), "{from}");
        self.place.write("shops.toml", &CONFIG.replace(from, to));
    }

    pub fn serve(&self) -> Server {
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--config", "shops.toml", "--database-url", &self.url];
        Server::start(self.place.command(&arguments))
    }

    /// A server with the customer acme.
    pub async fn open(&self) -> (Server, Channel) {
        let server = self.serve();
        let channel = server.connect().await;
        create(&channel, "acme").await;
        (server, channel)
    }

    /// `verify` must find nothing.
    pub fn verify(&self) {
        let ended = self.place.run(&["verify", "--database-url", &self.url]);
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
    }

    /// A number that a statement gives, asked without a server.
    pub async fn count(&self, sql: &'static str) -> i64 {
        if self.url.starts_with("sqlite:") {
            let path = self.place.path("creditledger.db");
            let database = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
            database.busy_timeout(PATIENCE).unwrap();
            database.query_row(sql, [], |row| row.get(0)).unwrap()
        } else {
            let mut database = PgConnection::connect(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut database).await.unwrap()
        }
    }

    /// Orders whose deliveries are answered, and that the ledger has not followed yet.
    pub async fn due(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM storefront_order WHERE state = 2").await
    }

    /// Waits until the ledger has followed all that was answered.
    pub async fn settled(&self) {
        until("the ledger follows what was answered", async || (self.due().await == 0).then_some(())).await;
    }

    /// Orders that are kept, settled ones too.
    pub async fn kept(&self) -> i64 {
        self.count("SELECT COUNT(*) FROM storefront_order").await
    }
}

/// Asks until there is an answer.
pub async fn until<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let asked = async {
        let mut looks = tokio::time::interval(Duration::from_millis(5));
        loop {
            looks.tick().await;
            if let Some(answer) = ask().await {
                return answer;
            }
        }
    };
    tokio::time::timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("in vain: {what}"))
}

pub async fn create(channel: &Channel, customer: &str) {
    let context = Some(context(format!("create {customer}"), customer));
    let create = CreateCustomerRequest { context, ..Default::default() };
    CustomerServiceClient::new(channel.clone()).create_customer(create).await.unwrap();
}

pub async fn purchase(channel: &Channel, shop: &str, order: &str) -> Option<Purchase> {
    let target = Some(PurchaseTarget::order(shop, order));
    let request = GetPurchaseRequest { target, ..Default::default() };
    match PurchaseServiceClient::new(channel.clone()).get_purchase(request).await {
        Ok(found) => found.into_inner().purchase,
        Err(status) => {
            assert_eq!(status.code(), tonic::Code::NotFound, "{status}");
            None
        }
    }
}

/// Bought and given back credits of an order over all of its purchases, and how many those are.
pub async fn credits(channel: &Channel, shop: &str, order: &str) -> ((i64, i64), i64) {
    let (mut bought, mut gone, mut purchases) = (0, 0, 0);
    for part in [order.to_owned(), format!("{order}:2")] {
        if let Some(purchase) = purchase(channel, shop, &part).await {
            bought += units(&purchase.credits);
            gone += units(&purchase.refunded_credits);
            purchases += 1;
        }
    }
    ((bought, gone), purchases)
}

/// Credits in their smallest unit.
pub fn units(credits: &str) -> i64 {
    Credits::parse(credits).unwrap().units()
}

/// A page of what waits, oldest first.
pub async fn unmatched(channel: &Channel) -> Vec<UnmatchedPayment> {
    let list = ListUnmatchedPaymentsRequest::default();
    let listed = PurchaseServiceClient::new(channel.clone()).list_unmatched_payments(list).await;
    listed.unwrap().into_inner().payments
}

/// A delivery: its headers and body.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub shop: &'static str,
    pub topic: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

fn mac(secret: &str, text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

/// Signed as its vendor does, so many seconds ago.
pub fn signed_with(secret: &str, shop: &'static str, topic: &str, body: &str, age: i64) -> Delivery {
    let kind = ("content-type", "application/json; charset=utf-8".to_owned());
    let in_header = STANDARD.encode(mac(secret, body));
    let time = clock::now().micros() / 1_000_000 - age;
    let headers = match shop {
        "stripe" => {
            let signature = hex(&mac(secret, &format!("{time}.{body}")));
            vec![kind, ("stripe-signature", format!("t={time},v1={signature},v0=ff"))]
        }
        "shopify" => {
            vec![kind, ("x-shopify-topic", topic.to_owned()), ("x-shopify-hmac-sha256", in_header)]
        }
        "woo" => vec![kind, ("x-wc-webhook-topic", topic.to_owned()), ("x-wc-webhook-signature", in_header)],
        _ => {
            let signature = STANDARD.encode(mac(secret, &format!("msg_1.{time}.{body}")));
            vec![
                kind,
                ("webhook-id", "msg_1".to_owned()),
                ("webhook-timestamp", time.to_string()),
                ("webhook-signature", format!("v1,{signature}")),
            ]
        }
    };
    Delivery { shop, topic: topic.to_owned(), headers, body: body.to_owned() }
}

impl Delivery {
    /// The same, signed now: some vendors sign the time.
    pub fn again(&self) -> Self {
        signed(self.shop, &self.topic, &self.body)
    }
}

pub fn signed(shop: &'static str, topic: &str, body: &str) -> Delivery {
    signed_with(&format!("{shop} secret"), shop, topic, body, 0)
}

/// An order as its shop knows it: so many times 10 credits for 20.00 EUR each. A greater version is newer.
#[derive(Clone, Debug)]
pub struct Sale {
    pub shop: &'static str,
    /// Digits. At Stripe the order is the payment intent with them.
    pub number: u64,
    pub customer: String,
    pub product: String,
    pub quantity: i64,
    pub version: i64,
}

/// 2026-01-01, from where versions count seconds.
const BEGIN: i64 = 1_767_225_600;

impl Sale {
    pub fn new(shop: &'static str, number: u64) -> Self {
        let (_, product) = SHOPS.into_iter().find(|(name, _)| *name == shop).unwrap();
        Self { shop, number, customer: "acme".into(), product: product.into(), quantity: 1, version: 1 }
    }

    pub fn of(self, customer: &str) -> Self {
        Self { customer: customer.to_owned(), ..self }
    }

    pub fn with(self, product: &str) -> Self {
        Self { product: product.to_owned(), ..self }
    }

    pub fn at(self, version: i64) -> Self {
        Self { version, ..self }
    }

    pub fn times(self, quantity: i64) -> Self {
        Self { quantity, ..self }
    }

    /// The order's id in the ledger.
    pub fn order(&self) -> String {
        if self.shop == "stripe" { self.intent() } else { self.number.to_string() }
    }

    fn intent(&self) -> String {
        format!("pi_{}", self.number)
    }

    fn time(&self) -> String {
        jiff::Timestamp::from_second(BEGIN + self.version).unwrap().to_string()
    }

    fn total(&self) -> String {
        format!("{}.00", 20 * self.quantity)
    }

    /// The whole order as it is paid.
    pub fn paid(&self) -> Delivery {
        match self.shop {
            "stripe" => self.event("checkout.session.completed", &json!({
                "id": format!("cs_{}", self.number), "object": "checkout.session", "mode": "payment",
                "amount_total": 2_000 * self.quantity, "amount_subtotal": 2_000 * self.quantity, "currency": "eur",
                "client_reference_id": self.customer, "payment_intent": self.intent(), "payment_status": "paid",
                "metadata": {"product": self.product, "quantity": self.quantity.to_string()},
            })),
            "shopify" => self.told("orders/updated", &json!({
                "id": self.number, "updated_at": self.time(), "currency": "EUR", "total_price": self.total(),
                "financial_status": "paid",
                "note_attributes": [{"name": "customer_id", "value": self.customer}],
                "line_items": [{
                    "id": 1, "product_id": self.product.parse::<u64>().unwrap(), "variant_id": 7, "sku": "s",
                    "quantity": self.quantity, "price": "20.00", "total_discount": "0.00",
                }],
            })),
            "woo" => self.told("order.updated", &self.woo(&json!([]))),
            _ => self.told("", &self.own(&json!([]), &json!([]))),
        }
    }

    /// 8.00 EUR went back, or after all did not.
    pub fn refunded(&self, done: bool) -> Delivery {
        match self.shop {
            "stripe" if done => self.event("charge.refunded", &json!({
                "id": format!("ch_{}", self.number), "object": "charge", "amount": 2_000, "amount_refunded": 800,
                "currency": "eur", "payment_intent": self.intent(),
            })),
            "stripe" => self.event("refund.failed", &json!({
                "id": format!("re_{}", self.number), "object": "refund", "amount": 800, "currency": "eur",
                "created": BEGIN, "status": "failed", "payment_intent": self.intent(),
                "charge": format!("ch_{}", self.number),
            })),
            "shopify" => self.told("refunds/create", &json!({
                "id": 500 + self.number, "order_id": self.number, "created_at": self.time(),
                "refund_line_items": [{
                    "id": 1, "line_item_id": 1, "quantity": 1, "subtotal": "20.00", "total_tax": "0.00",
                    "subtotal_set": {"shop_money": {"amount": "20.00", "currency_code": "EUR"}},
                }],
                "order_adjustments": [{"id": 1, "amount": "12.00", "tax_amount": "0.00", "reason": "Refund discrepancy"}],
                "transactions": [{
                    "id": 1, "kind": "refund", "status": if done { "success" } else { "failure" }, "amount": "8.00",
                    "currency": "EUR",
                }],
            })),
            "woo" => {
                let refund = json!([{"id": 500 + self.number, "reason": "", "total": "-8.00"}]);
                self.told("order.updated", &self.woo(&if done { refund } else { json!([]) }))
            }
            _ => {
                let state = if done { "done" } else { "undone" };
                self.told("", &self.own(&json!([{"id": "r1", "state": state, "amount": "8.00"}]), &json!([])))
            }
        }
    }

    /// All of it is in dispute: `open`, `won` or `lost`, or an `inquiry`.
    pub fn disputed(&self, state: &str) -> Delivery {
        let status = match state {
            "open" => "needs_response",
            "inquiry" if self.shop == "stripe" => "warning_needs_response",
            state => state,
        };
        match self.shop {
            "stripe" => {
                let kind = if matches!(state, "won" | "lost") { "closed" } else { "created" };
                self.event(&format!("charge.dispute.{kind}"), &json!({
                    "id": format!("dp_{}", self.number), "object": "dispute", "amount": 2_000, "currency": "eur",
                    "charge": format!("ch_{}", self.number), "payment_intent": self.intent(),
                    "reason": "fraudulent", "status": status,
                }))
            }
            "shopify" => self.told("disputes/update", &json!({
                "id": 900 + self.number, "order_id": self.number, "type": "chargeback", "amount": self.total(),
                "currency": "EUR", "reason": "fraudulent", "status": status,
                "finalized_on": if state == "open" { Value::Null } else { json!(self.time()) },
            })),
            "own" => {
                let dispute = json!([{"id": "d1", "state": state, "amount": self.total()}]);
                self.told("", &self.own(&json!([]), &dispute))
            }
            other => panic!("{other} tells of no disputes"),
        }
    }

    fn event(&self, kind: &str, object: &Value) -> Delivery {
        let event = json!({
            "id": format!("evt_{}_{}", self.number, self.version), "object": "event", "type": kind,
            "created": BEGIN + self.version, "livemode": true, "data": {"object": object},
        });
        self.told("", &event)
    }

    fn told(&self, topic: &str, body: &Value) -> Delivery {
        signed(self.shop, topic, &body.to_string())
    }

    fn woo(&self, refunds: &Value) -> Value {
        json!({
            "id": self.number, "status": "completed", "currency": "EUR", "total": self.total(),
            "date_modified_gmt": self.time().trim_end_matches('Z'), "date_paid_gmt": "2026-01-01T00:00:00",
            "meta_data": [{"id": 1, "key": "customer_id", "value": self.customer}],
            "line_items": [{
                "id": 1, "product_id": self.product.parse::<u64>().unwrap(), "variation_id": 0,
                "quantity": self.quantity, "subtotal": self.total(), "total": self.total(), "total_tax": "0.00",
                "sku": "",
            }],
            "refunds": refunds,
        })
    }

    fn own(&self, refunds: &Value, disputes: &Value) -> Value {
        json!({
            "order": self.number.to_string(), "version": self.version, "currency": "EUR", "payment": "paid",
            "customer": self.customer, "total": self.total(),
            "lines": [{"id": "1", "product": self.product, "quantity": self.quantity, "net": self.total()}],
            "refunds": refunds, "disputes": disputes,
        })
    }
}
