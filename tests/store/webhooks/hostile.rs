//! Where nothing is sent: URLs that lead into networks, however they are spelled, and names that do; and that what is sent
//! goes to the address that was checked and to no other.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use creditledger::delivery::webhooks::{HttpClient, Idle, Policy, SendError};
use creditledger::net::Network;
use creditledger::tls::public_roots;
use http::HeaderMap;
use tokio::net::TcpStream;
use tokio_rustls::rustls::RootCertStore;

use crate::desk::START;
use crate::receiver::{Receiver, Reply, tls_for};

/// A network that leads names where the test says, and notes what is connected to.
#[derive(Default)]
struct Noted {
    /// What each look-up gives, one after the other; the last one for ever.
    leads_to: Mutex<Vec<Vec<IpAddr>>>,
    resolved: Mutex<Vec<String>>,
    connected: Mutex<Vec<SocketAddr>>,
    /// Where connections really go; nowhere without.
    port: Option<u16>,
}

impl Noted {
    fn leading_to(addresses: &[&[&str]]) -> Self {
        let parse = |all: &&[&str]| all.iter().map(|address| address.parse().unwrap()).collect();
        Self { leads_to: Mutex::new(addresses.iter().map(parse).collect()), ..Self::default() }
    }
}

#[async_trait]
impl Network for Noted {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self.resolved.lock().unwrap().push(host.to_owned());
        let mut leads_to = self.leads_to.lock().unwrap();
        let addresses = if leads_to.len() > 1 { leads_to.remove(0) } else { leads_to[0].clone() };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    async fn connect(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.connected.lock().unwrap().push(address);
        match self.port {
            Some(port) => TcpStream::connect(("127.0.0.1", port)).await,
            None => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

async fn post(sender: &HttpClient, url: &str, idle: &Idle) -> Result<u16, SendError> {
    let body = Bytes::from_static(b"{}");
    sender.post(url, &HeaderMap::new(), body, idle, START).await.map(|answer| answer.status.as_u16())
}

/// URLs that are refused as they are written.
const HOSTILE: &[&str] = &[
    // This machine in all spellings.
    "https://127.0.0.1/",
    "https://127.0.0.1:8443/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.255.255.254/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://127.0.0.1./",
    "https://①②⑦.⓪.⓪.①/",
    "https://0/",
    "https://0.0.0.0/",
    "https://[::]/",
    "https://[::1]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://localhost/",
    "https://LOCALHOST/",
    "https://localhost./",
    "https://sub.localhost/",
    "https://localhost.localdomain.local/",
    "https://%6c%6f%63%61%6c%68%6f%73%74/",
    // Private and shared networks.
    "https://10.0.0.1/",
    "https://10.255.255.255/",
    "https://172.16.0.1/",
    "https://172.31.255.255/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://192.0.0.1/",
    "https://198.18.0.1/",
    "https://[fc00::1]/",
    "https://[fd12:3456:789a::1]/",
    // Link-local, metadata services, and what is no single machine.
    "https://169.254.169.254/latest/meta-data/",
    "https://169.254.0.1/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://[fe80::1]/",
    "https://[fd00:ec2::254]/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://metadata/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://240.0.0.1/",
    "https://[ff02::1]/",
    // IPv4 inside of IPv6.
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:10.0.0.1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    // For documents and the past.
    "https://192.0.2.1/",
    "https://198.51.100.1/",
    "https://203.0.113.1/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[fec0::1]/",
    // Names of the inside.
    "https://intranet/",
    "https://db.internal/",
    "https://printer.local/",
    "https://router.lan/",
    "https://nas.home/",
    "https://vpn.corp/",
    "https://1.0.0.127.in-addr.arpa/",
    // Credentials, and what looks like another host to a person.
    "https://user@example.com/",
    "https://user:password@example.com/",
    "https://:password@example.com/",
    "https://@example.com/",
    "https://example.com@127.0.0.1/",
    "https://example.com\\@127.0.0.1/",
    "https://example.com\\.evil.test/",
    // Ports of other services.
    "https://example.com:0/",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:80/",
    "https://example.com:5432/",
    "https://example.com:6379/",
    "https://example.com:65536/",
    // Schemes.
    "http://example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "unix:/run/postgresql",
    "data:text/plain,x",
    "javascript:alert(1)",
    "//example.com/",
    "example.com",
    "",
    "https://",
    "https:///",
    "https://exa mple.com/",
    "https://example.com/\r\nx: y",
    "https://example.com/#fragment",
];

#[tokio::test]
async fn no_connection_is_made_for_a_hostile_url() {
    let network = Arc::new(Noted::leading_to(&[&["93.184.216.34"]]));
    let sender =
        HttpClient::new(Policy::default(), Arc::clone(&network) as Arc<dyn Network>, public_roots()).unwrap();
    for url in HOSTILE {
        let refused = post(&sender, url, &Idle::default()).await;
        assert!(matches!(refused, Err(SendError::Url(_))), "{url}: {refused:?}");
    }
    assert!(HOSTILE.len() >= 60, "{}", HOSTILE.len());
    assert_eq!(*network.connected.lock().unwrap(), []);
    // Development opens this machine, and nothing else.
    let network = Arc::new(Noted::leading_to(&[&["93.184.216.34"]]));
    let policy = Policy { development: true };
    let sender = HttpClient::new(policy, Arc::clone(&network) as Arc<dyn Network>, public_roots()).unwrap();
    for url in [
        "http://10.0.0.1/",
        "http://169.254.169.254/",
        "https://[fe80::1]/",
        "http://db.internal/",
        "ftp://127.0.0.1/",
    ] {
        let refused = post(&sender, url, &Idle::default()).await;
        assert!(matches!(refused, Err(SendError::Url(_))), "{url}: {refused:?}");
    }
    assert_eq!(*network.connected.lock().unwrap(), []);
    for url in ["http://127.0.0.1:9/", "http://localhost:9/"] {
        let _ = post(&sender, url, &Idle::default()).await;
    }
    assert_eq!(network.connected.lock().unwrap().len(), 2);
}

#[tokio::test]
async fn no_connection_is_made_where_any_address_of_a_name_is_inside() {
    let inside = [
        "127.0.0.1",
        "10.1.2.3",
        "172.20.0.1",
        "192.168.0.10",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "::1",
        "fd00::1",
        "fe80::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "224.0.0.251",
    ];
    for address in inside {
        for leads_to in [&[address][..], &["93.184.216.34", address], &[address, "2606:2800:220:1::1"]] {
            let network = Arc::new(Noted::leading_to(&[leads_to]));
            let sender =
                HttpClient::new(Policy::default(), Arc::clone(&network) as Arc<dyn Network>, public_roots())
                    .unwrap();
            let refused = post(&sender, "https://hooks.example.com/", &Idle::default()).await;
            assert!(matches!(refused, Err(SendError::Refused(_))), "{leads_to:?}: {refused:?}");
            assert_eq!(*network.connected.lock().unwrap(), [], "{leads_to:?}");
        }
    }
}

/// A receiver that is `hooks.example.com` to those who trust the roots.
async fn example(
    answer: impl FnMut(&crate::receiver::Message) -> Reply + Send + 'static,
) -> (Receiver, RootCertStore) {
    let (tls, certificate) = tls_for("hooks.example.com");
    let receiver = Receiver::start_with(Some(tls), answer).await;
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    (receiver, roots)
}

#[tokio::test]
async fn a_message_goes_to_the_address_that_was_checked_though_the_name_leads_elsewhere_later() {
    let (receiver, roots) = example(|_| Reply::Status(200, None)).await;
    // Looked up a second time, the name leads to this machine.
    let public: SocketAddr = "93.184.216.34:443".parse().unwrap();
    let network = Noted::leading_to(&[&["93.184.216.34"], &["127.0.0.1"]]);
    let network = Arc::new(Noted { port: Some(receiver.port), ..network });
    let sender = HttpClient::new(Policy::default(), Arc::clone(&network) as Arc<dyn Network>, roots).unwrap();
    let idle = Idle::default();
    // The second message takes the connection of the first, which is pinned to what was checked.
    for _ in 0..2 {
        assert_eq!(post(&sender, "https://hooks.example.com/in?a=b", &idle).await.unwrap(), 200);
    }
    assert_eq!(*network.resolved.lock().unwrap(), ["hooks.example.com"]);
    assert_eq!(*network.connected.lock().unwrap(), [public]);
    let message = &receiver.messages()[0];
    assert_eq!(
        (message.line.as_str(), message.headers["host"].as_str()),
        ("POST /in?a=b HTTP/1.1", "hooks.example.com")
    );
    // A new connection asks again, and is refused.
    let refused = post(&sender, "https://hooks.example.com/in", &Idle::default()).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    assert_eq!(*network.connected.lock().unwrap(), [public]);
    assert_eq!(receiver.messages().len(), 2);
}

#[tokio::test]
async fn strangers_certificates_are_refused_and_redirects_are_not_followed() {
    let (receiver, roots) = example(|_| Reply::Status(307, None)).await;
    let network = || {
        let network = Noted::leading_to(&[&["93.184.216.34"]]);
        Arc::new(Noted { port: Some(receiver.port), ..network }) as Arc<dyn Network>
    };
    let trusting = HttpClient::new(Policy::default(), network(), roots).unwrap();
    assert_eq!(post(&trusting, "https://hooks.example.com/", &Idle::default()).await.unwrap(), 307);
    assert_eq!(receiver.messages().len(), 1);
    // Its certificate is for another name, or from nobody that is trusted.
    for (sender, url) in [
        (trusting, "https://other.example.com/"),
        (
            HttpClient::new(Policy::default(), network(), public_roots()).unwrap(),
            "https://hooks.example.com/",
        ),
    ] {
        let refused = post(&sender, url, &Idle::default()).await;
        assert!(matches!(refused, Err(SendError::Io(_))), "{refused:?}");
    }
    assert_eq!(receiver.messages().len(), 1);
}
