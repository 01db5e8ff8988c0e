//! Callers that show a certificate, over TLS: each has its role in its ledgers, and a connection carries no call longer than
//! its certificate is valid.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use creditledger::access::certificates::Certificates;
use creditledger::access::{Access, Admission, Bounds, Ledgers};
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::*;
use creditledger::grpc::{Limits, Listener, serve};
use creditledger::ledger::actor::Role;
use creditledger::ledger::{CustomerId, LedgerId};
use creditledger::tls::{self, Client, ClientAuthorities, ClientFiles, Files};
use prost::Message as _;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

use crate::access::{reason, requests, table, told};
use crate::authority::{Authority, Identity};
use crate::callers::{Tokens, with_token};
use crate::credentials::may_in_main_and_other;
use crate::raw;
use crate::served::{On, Served};
use crate::world::World;

/// A busy machine meets this.
const PATIENCE: Duration = Duration::from_mins(1);
const URI: &str = "spiffe://shop.example/web";

/// A listener by TLS over a server, which asks for certificates and takes them for callers.
struct Mutual {
    authority: Authority,
    address: String,
    tokens: Arc<Tokens>,
    folder: TempDir,
}

fn bounds(role: Role) -> Bounds {
    let ledgers = ["main", "other"].map(|ledger| LedgerId::parse(ledger).unwrap());
    let customer = (role == Role::Customer).then(|| CustomerId::parse("acme").unwrap());
    Bounds::new(role, Ledgers::Only(ledgers.into()), customer).unwrap()
}

impl Mutual {
    async fn over(served: &Served) -> Self {
        let (authority, folder) = (Authority::new("of the test"), tempfile::tempdir().unwrap());
        let [certificate, key] = authority.issue(&["localhost"]).write(folder.path(), "server");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        let clients = Some(ClientAuthorities { file, required: false });
        let (_, current) = tls::Reload::start(Files { certificate, key, clients }).unwrap();
        let mut certificates = Certificates::default();
        for role in Role::ALL {
            certificates.add(&format!("DNS:{role}.example"), bounds(*role)).unwrap();
        }
        certificates.add(&format!("URI:{URI}"), bounds(Role::Storefront)).unwrap();
        let tokens = Arc::new(Tokens::default());
        let access = Access::by(Arc::clone(&tokens) as _, None, certificates);
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("https://localhost:{}", tcp.local_addr().unwrap().port());
        tokio::spawn(serve(
            served.api.clone(),
            Admission { access, ..Admission::open() },
            Listener { tcp, tls: Some(current) },
            Limits::default(),
            std::future::pending(),
        ));
        Self { authority, address, tokens, folder }
    }

    /// A connection that shows this certificate, if any.
    async fn connect(&self, identity: Option<&Identity>) -> Result<Channel, tonic::transport::Error> {
        let identity = identity.map(|identity| identity.write(self.folder.path(), "client"));
        let files = ClientFiles {
            authorities: Some(self.folder.path().join("ca.pem")),
            identity: identity.map(|[certificate, key]| (certificate, key)),
        };
        let connector = Client::new(&files).unwrap().connector();
        Endpoint::new(self.address.clone()).unwrap().connect_with_connector(connector).await
    }

    async fn connect_as(&self, names: &[&str]) -> Channel {
        self.connect(Some(&self.authority.issue(names))).await.unwrap()
    }
}

async fn call(channel: &Channel, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
    raw::send(channel, method, Request::new(message)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_has_its_role_in_its_ledgers() {
    let world = World::new(On::Memory).await;
    let (mutual, table) = (Mutual::over(&world.served).await, table());
    for role in Role::ALL {
        let channel = mutual.connect_as(&[&format!("{role}.example")]).await;
        for (method, request) in requests(&world) {
            let answer = told(&call(&channel, method, request).await);
            let may = may_in_main_and_other(&table, method, *role);
            assert_eq!(answer == "PERMISSION_DENIED", !may, "{method} by {role}: {answer}");
            assert_ne!(answer, "UNAUTHENTICATED", "{method} by {role}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_gives_no_caller_calls_nothing() {
    let world = World::new(On::Memory).await;
    let mutual = Mutual::over(&world.served).await;
    let before = world.served.positions().await;
    let strangers = [
        ("no certificate", mutual.connect(None).await.unwrap()),
        ("unmapped", mutual.connect_as(&["unmapped.example", "spiffe://shop.example/web/else"]).await),
        ("no name that counts", mutual.connect_as(&["10.0.0.7"]).await),
        ("two callers", mutual.connect_as(&["helpdesk.example", "operator.example"]).await),
        ("for many hosts", mutual.connect_as(&["*.example"]).await),
    ];
    for (what, channel) in &strangers {
        for (method, request) in requests(&world) {
            let status = call(channel, method, request).await.unwrap_err();
            let told = (status.code(), reason(&status));
            assert_eq!(told, (Code::Unauthenticated, "UNAUTHENTICATED".to_owned()), "{what}: {method}");
        }
    }
    assert_eq!(world.served.positions().await, before, "nothing was done");
    // A token decides alone, with or without a certificate.
    let list = ListLedgersRequest::default().encode_to_vec();
    let token = mutual.tokens.issue("desk", Role::Helpdesk, &[]);
    for (what, channel) in &strangers {
        let listed = raw::send(channel, "LedgerService/ListLedgers", with_token(&token, list.clone())).await;
        assert!(listed.is_ok(), "{what}: {listed:?}");
    }
    let operator = mutual.connect_as(&["operator.example"]).await;
    let broken = raw::send(&operator, "LedgerService/ListLedgers", with_token("clt_x", list.clone())).await;
    assert_eq!(broken.unwrap_err().code(), Code::Unauthenticated);
    // The journal has the name that was shown, a URI as it is and a host in lower case.
    let desk = mutual.connect_as(&["OPERATOR.example"]).await;
    let grant = GrantCreditsRequest {
        context: Some(context("by-certificate", "acme")),
        credits: "1".into(),
        ..Default::default()
    };
    let answer = call(&desk, "PurchaseService/GrantCredits", grant.encode_to_vec()).await.unwrap();
    let actor = raw::outcome(&answer).posting.unwrap().actor.unwrap();
    assert_eq!(actor.subject, "DNS:operator.example");
    let shop = mutual.connect_as(&[URI]).await;
    assert_eq!(told(&call(&shop, "LedgerService/ListLedgers", list).await), "");
    let elsewhere =
        GetBalanceRequest { ledger_id: "elsewhere".into(), customer_id: "acme".into(), ..Default::default() };
    let status = call(&operator, "LedgerService/GetBalance", elsewhere.encode_to_vec()).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// It takes as long as the certificate lives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_ends_with_its_certificate() {
    let served = Served::with_credits(On::Memory, "10").await;
    let mutual = Mutual::over(&served).await;
    let token = mutual.tokens.issue("desk", Role::Helpdesk, &[]);
    let list = ListLedgersRequest::default().encode_to_vec();
    let watch = WatchEventsRequest { heartbeat_seconds: 1, ..Default::default() };
    let begun = async {
        loop {
            // On a busy machine it may be over before anything is asked.
            let last = now() + 3;
            let identity = mutual.authority.issue_until(&["helpdesk.example"], last);
            let Ok(channel) = mutual.connect(Some(&identity)).await else { continue };
            let mut client = NotificationServiceClient::new(channel.clone());
            let Ok(stream) = client.watch_events(watch.clone()).await else { continue };
            if call(&channel, "LedgerService/ListLedgers", list.clone()).await.is_ok() {
                return (last, identity, channel, stream.into_inner());
            }
        }
    };
    let (last, identity, channel, mut stream) = tokio::time::timeout(PATIENCE, begun).await.unwrap();
    let ends = async {
        while call(&channel, "LedgerService/ListLedgers", list.clone()).await.is_ok() {}
        assert!(now() > last, "it held to its end");
    };
    tokio::time::timeout(PATIENCE, ends).await.expect("calls end with the certificate");
    let ended = async {
        loop {
            if let Err(status) = stream.message().await {
                return status;
            }
        }
    };
    let ended = tokio::time::timeout(PATIENCE, ended).await.expect("the stream ends with the certificate");
    assert_eq!((ended.code(), reason(&ended)), (Code::Unauthenticated, "UNAUTHENTICATED".to_owned()));
    // As with a new connection, no token helps.
    let by_token = raw::send(&channel, "LedgerService/ListLedgers", with_token(&token, list)).await;
    assert_eq!(by_token.unwrap_err().code(), Code::Unauthenticated);
    let again = mutual.connect(Some(&identity)).await;
    let refused = match again {
        Err(_) => true,
        Ok(channel) => call(&channel, "LedgerService/ListLedgers", Vec::new()).await.is_err(),
    };
    assert!(refused, "a new connection is refused");
}
