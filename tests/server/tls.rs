//! A server by TLS: what it says, settings that do not go together, and files that are replaced while it runs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::{GetBalanceRequest, ListLedgersRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tonic::transport::{Channel, Endpoint};

use super::authority::{Authority, Identity, connect};
use super::process::{PATIENCE, Place, Server};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
const REFUSED: &str = "the new TLS files cannot be used; those before them stay in use";
const USED: &str = "new connections use the TLS files as they are now";

/// Starts a server with the files `server.pem` and `server.key` of its place.
pub fn serve(place: &Place, identity: &Identity, more: &[&str]) -> Server {
    identity.write(&place.path(""), "server");
    let files = ["--tls-certificate-file", "server.pem", "--tls-key-file", "server.key"];
    Server::start(place.command(&[&["serve", "--listen", "127.0.0.1:0"][..], &files, more].concat()))
}

async fn channel(address: &str, config: ClientConfig) -> Result<Channel, tonic::transport::Error> {
    let address = address.to_owned();
    let connector = tower::service_fn(move |_| {
        let (address, config) = (address.clone(), config.clone());
        async move { connect(&address, config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("https://localhost").connect_with_connector(connector).await
}

/// True if a new connection shows this certificate.
async fn shows(server: &Server, authority: &Authority, identity: &Identity) -> bool {
    let stream = connect(server.address(), authority.client(None)).await.unwrap();
    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    shown == CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()
}

async fn until_it_shows(server: &Server, authority: &Authority, identity: &Identity) {
    let begun = Instant::now();
    while !shows(server, authority, identity).await {
        assert!(begun.elapsed() < PATIENCE, "the new certificate is not used");
    }
}

fn count(text: &str, what: &str) -> usize {
    text.matches(what).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_are_replaced_100_times_under_load_and_no_call_fails() {
    let (place, authority) = (Place::new(), Authority::new("ours"));
    let server = serve(&place, &authority.issue(&NAMES), &[]);
    let url = server.url().to_owned();
    authority.write(&place);
    place.json(&["customer", "create", "acme", "--server", &url, "--ca", "ca.pem", "--json"]);
    let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let load: Vec<_> = [true, true, false, false]
        .into_iter()
        .map(|anew| {
            let (address, config) = (server.address().to_owned(), authority.client(None));
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            tokio::spawn(async move {
                let mut open = channel(&address, config.clone()).await.unwrap();
                while !stop.load(Ordering::Relaxed) {
                    if anew {
                        open = channel(&address, config.clone()).await.unwrap();
                    }
                    let ask = GetBalanceRequest { customer_id: "acme".into(), ..Default::default() };
                    LedgerServiceClient::new(open.clone()).get_balance(ask).await.unwrap();
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for round in 0..100 {
        let identity = authority.issue(&NAMES);
        identity.write(&place.path(""), "server");
        // Now and then it finds out by itself, which takes up to a second.
        if round % 25 != 7 {
            server.process.signal("HUP");
        }
        until_it_shows(&server, &authority, &identity).await;
        // There is load in every round, however busy the machine is.
        let enough = calls.load(Ordering::Relaxed) + 4;
        while calls.load(Ordering::Relaxed) < enough {
            assert!(load.iter().all(|worker| !worker.is_finished()), "a call has failed");
            tokio::task::yield_now().await;
        }
    }
    stop.store(true, Ordering::Relaxed);
    for worker in load {
        worker.await.expect("no call fails");
    }
    let log = server.stop().stderr;
    assert!(count(&log, USED) >= 100 && count(&log, "TLS handshakes fail") == 0, "{log}");
}

impl Authority {
    /// Writes its certificate to `ca.pem`.
    pub fn write(&self, place: &Place) {
        place.write("ca.pem", &self.pem);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_that_cannot_be_used_changes_nothing_and_is_told_once() {
    let (place, authority) = (Place::new(), Authority::new("ours"));
    let old = authority.issue(&NAMES);
    let server = serve(&place, &old, &[]);
    let other = authority.issue(&NAMES);
    let no_certificate = Identity { certificate: "# nothing\n".into(), key: other.key.clone() };
    let no_key = Identity { certificate: other.certificate.clone(), key: other.certificate.clone() };
    let mixed = Identity { certificate: other.certificate.clone(), key: old.key.clone() };
    let mut told = 0;
    for (bad, says) in [
        (&no_certificate, "server.pem has no certificate in PEM"),
        (&no_key, "server.key has no private key in PEM"),
        (&mixed, "the key of server.key does not belong to the first certificate of server.pem"),
    ] {
        bad.write(&place.path(""), "server");
        told += 1;
        assert!(
            server.process.logs(PATIENCE, |log| count(log, REFUSED) >= told && log.contains(says)),
            "{says}"
        );
        assert!(shows(&server, &authority, &old).await, "{says}");
    }
    std::fs::remove_file(place.path("server.key")).unwrap();
    told += 1;
    assert!(server.process.logs(PATIENCE, |log| log.contains("server.key cannot be read: ")));
    // It has looked three times by then, and has nothing to add.
    assert!(!server.process.logs(Duration::from_secs(4), |log| count(log, REFUSED) > told));
    // Unless it is asked.
    server.process.signal("HUP");
    assert!(server.process.logs(PATIENCE, |log| count(log, REFUSED) > told));
    assert!(shows(&server, &authority, &old).await);
    other.write(&place.path(""), "server");
    until_it_shows(&server, &authority, &other).await;
    let late = authority.expired(&NAMES);
    late.write(&place.path(""), "server");
    assert!(server.process.logs(PATIENCE, |log| log.contains("the certificate has expired")));
    let log = server.stop().stderr;
    assert_eq!((count(&log, REFUSED), count(&log, USED)), (told + 1, 2), "{log}");
    assert!(!log.contains("PRIVATE KEY-----"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_authority_lets_in_its_own_clients_and_no_others() {
    let (place, ours) = (Place::new(), Authority::new("ours"));
    let [first, second] = ["first", "second"].map(Authority::new);
    place.write("clients.pem", &first.pem);
    let asked = ["--tls-client-authorities-file", "clients.pem", "--tls-client-certificates", "required"];
    let server = serve(&place, &ours.issue(&NAMES), &asked);
    let clients = [&first, &second].map(|authority| ours.client(Some(&authority.issue(&["desk.example"]))));
    let call = async |config: &ClientConfig| -> Result<(), Box<dyn std::error::Error>> {
        let channel = channel(server.address(), config.clone()).await?;
        LedgerServiceClient::new(channel).list_ledgers(ListLedgersRequest::default()).await?;
        Ok(())
    };
    assert!(call(&clients[0]).await.is_ok() && call(&clients[1]).await.is_err());
    let open = channel(server.address(), clients[0].clone()).await.unwrap();
    place.write("clients.pem", &second.pem);
    server.process.signal("HUP");
    assert!(server.process.logs(PATIENCE, |log| log.contains(USED)));
    // The same configuration of the client, which would resume what it could.
    assert!(call(&clients[0]).await.is_err() && call(&clients[1]).await.is_ok());
    // What is open stays open.
    LedgerServiceClient::new(open).list_ledgers(ListLedgersRequest::default()).await.unwrap();
    server.stop();
}

#[test]
fn what_is_wrong_with_the_files_ends_the_start_at_once() {
    let (place, authority) = (Place::new(), Authority::new("ours"));
    let run = |more: &[&str]| {
        let ended = place.run(&[&["serve", "--listen", "127.0.0.1:0"], more].concat());
        assert!(!place.path("creditledger.db").exists());
        ended
    };
    let certificate = ["--tls-certificate-file", "server.pem", "--tls-key-file", "server.key"];
    let clients = ["--tls-client-authorities-file", "ca.pem", "--tls-client-certificates", "optional"];
    place.write("ca.pem", "no PEM");
    let ended = run(&[certificate, clients].concat());
    let complaint = ended.complaint();
    for file in ["server.pem cannot be read", "; server.key cannot be read", "; ca.pem has no certificate"] {
        assert!(complaint.contains(file), "{complaint}");
    }
    place.write("c.toml", "tls_client_certificates = \"required\"\ntls_key_file = \"server.key\"\n");
    let told = "creditledger: c.toml line 2: tls_key_file needs tls_certificate_file\n\
                c.toml line 1: tls_client_certificates needs tls_client_authorities_file\n";
    assert_eq!(run(&["--config", "c.toml"]).stderr, told);
    authority.issue(&NAMES).write(&place.path(""), "server");
    authority.issue(&NAMES).write(&place.path(""), "other");
    let mixed = ["--tls-certificate-file", "server.pem", "--tls-key-file", "other.key"];
    assert!(run(&mixed).complaint().contains("the key of other.key does not belong to"));
    let large = "-".repeat((1 << 20) + 1);
    std::fs::write(place.path("server.pem"), large).unwrap();
    assert!(run(&certificate).complaint().contains("server.pem has more than 1048576 bytes"));
    // TLS does not tell who calls.
    authority.issue(&NAMES).write(&place.path(""), "server");
    let open = [&certificate[..], &["--listen", "0.0.0.0:0"]].concat();
    let ended = place.run(&[&["serve"], &open[..]].concat());
    assert!(ended.complaint().contains("--insecure"), "{}", ended.stderr);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_says_https_and_stops_in_the_middle_of_handshakes() {
    let (place, authority) = (Place::new(), Authority::new("ours"));
    let server = serve(&place, &authority.expired(&NAMES), &[]);
    assert!(server.said[1].starts_with("listening on https://127.0.0.1:"), "{:?}", server.said);
    assert!(server.process.logs(PATIENCE, |log| log.contains("the certificate has expired")));
    let mut half = tokio::net::TcpStream::connect(server.address()).await.unwrap();
    half.write_all(&[0x16]).await.unwrap();
    let begun = Instant::now();
    server.stop();
    // Far less than the ten seconds that a handshake may take.
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    let _ = half.read_to_end(&mut Vec::new()).await;
    assert!(Path::new(&place.path("creditledger.db")).exists());
}
