//! Scrapes of a server's metrics, read back; and a server that has something to tell of every instrument.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use tonic::transport::Channel;

use super::process::{PATIENCE, Server};
use super::shop_rig::{Sale, Stand, create, send, signed_with};

/// A server with an address for metrics.
pub struct Measured {
    pub server: Server,
    pub address: String,
}

impl Measured {
    /// Starts one with shops, and webhooks that may go to this machine.
    pub fn start(stand: &Stand, more: &[&str]) -> Self {
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let where_to = ["--config", "shops.toml", "--webhook-development", "--database-url", &stand.url];
        let server = Server::start(stand.place.command(&[&arguments[..], &where_to, more].concat()));
        let told = server.process.line().unwrap();
        let url = told.strip_prefix("metrics on http://").unwrap_or_else(|| panic!("{told}"));
        let address = url.strip_suffix("/metrics").unwrap().to_owned();
        Self { server, address }
    }

    /// The answer to some bytes: head and body.
    pub fn answer(&self, request: &str) -> (String, String) {
        let mut socket = TcpStream::connect(&self.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Who refuses early may close before all is written.
        let _ = socket.write_all(request.as_bytes());
        let mut answer = Vec::new();
        let _ = socket.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        (head.to_owned(), body.to_owned())
    }

    pub fn scrape(&self) -> Scrape {
        let (head, body) = self.answer("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        Scrape::read(&body)
    }
}

/// A scrape, read.
pub struct Scrape {
    pub text: String,
    /// The names under `# TYPE`, with their types.
    pub types: BTreeMap<String, String>,
    series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    fn read(text: &str) -> Self {
        let mut read = Self { text: text.to_owned(), types: BTreeMap::new(), series: Vec::new() };
        for line in text.lines() {
            if let Some(of) = line.strip_prefix("# TYPE ") {
                let (name, kind) = of.split_once(' ').unwrap();
                let before = read.types.insert(name.to_owned(), kind.to_owned());
                assert_eq!(before, None, "{name} is there twice");
            } else if !line.starts_with('#') {
                read.series.push(series(line));
            }
        }
        read
    }

    /// The names of all series.
    pub fn names(&self) -> BTreeSet<&str> {
        self.series.iter().map(|(name, ..)| name.as_str()).collect()
    }

    /// The sum of the series with this name and these labels; `None` without one.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let has = |own: &BTreeMap<String, String>| {
            labels.iter().all(|(name, value)| own.get(*name).is_some_and(|own| own == value))
        };
        let found: Vec<f64> = self
            .series
            .iter()
            .filter(|(of, own, _)| of == name && has(own))
            .map(|(.., value)| *value)
            .collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }

    /// The labels of a metric and what values they have.
    pub fn labels(&self, name: &str) -> BTreeMap<&str, BTreeSet<&str>> {
        let mut all: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (of, labels, _) in &self.series {
            if of == name || of.strip_suffix("_bucket") == Some(name) {
                for (label, value) in labels {
                    all.entry(label).or_default().insert(value);
                }
            }
        }
        all
    }
}

/// `name{label="value",...} 1.5`. No value here has a quote.
fn series(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (name_and_labels, value) = line.rsplit_once(' ').unwrap();
    let (name, labels) = match name_and_labels.split_once('{') {
        None => (name_and_labels, ""),
        Some((name, labels)) => (name, labels.strip_suffix('}').unwrap()),
    };
    let labels = labels.split("\",").filter(|label| !label.is_empty()).map(|label| {
        let (label, value) = label.split_once("=\"").unwrap();
        (label.to_owned(), value.trim_end_matches('"').to_owned())
    });
    (name.to_owned(), labels.collect(), value.parse().unwrap())
}

/// How much of everything [`load`] does.
pub const CALLERS: usize = 8;
pub const HOLDS: usize = 50;

/// Customers with credits: a top-up is requested for the first, and each has holds placed by a caller of its own.
pub async fn load(stand: &Stand, measured: &Measured, channel: &Channel) {
    let ask = |arguments: &[&str]| {
        stand.place.json(&[arguments, &["--server", measured.server.url(), "--json"]].concat())
    };
    for caller in 0..CALLERS {
        let customer = format!("c{caller}");
        create(channel, &customer).await;
        let context = context(format!("g{caller}"), customer).because("a test");
        let grant =
            GrantCreditsRequest { context: Some(context), credits: "1000".to_owned(), ..Default::default() };
        PurchaseServiceClient::new(channel.clone()).grant_credits(grant).await.unwrap();
    }
    ask(&["customer", "top-up", "c0", "--below", "2000", "--target", "3000"]);
    create(channel, "acme").await;
    assert_eq!(send(&measured.server, &Sale::new("shopify", 7).paid()), 200);
    let forged = signed_with("another secret", "shopify", "orders/paid", "{}", 0);
    assert_eq!(send(&measured.server, &forged), 401);
    // One that waits for a person: nobody knows the customer.
    assert_eq!(send(&measured.server, &Sale::new("shopify", 8).of("nobody").paid()), 200);
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..CALLERS {
        callers.spawn(holds(channel.clone(), caller));
    }
    callers.join_all().await;
}

async fn holds(channel: Channel, caller: usize) {
    let mut client = hold_service_client::HoldServiceClient::new(channel);
    for number in 0..HOLDS {
        let request = PlaceHoldRequest {
            context: Some(context(format!("h{caller}-{number}"), format!("c{caller}"))),
            incident_id: format!("i{number}"),
            quote: Some(place_hold_request::Quote::EstimatedSeconds(60)),
            ..Default::default()
        };
        client.place_hold(request).await.unwrap();
    }
}
