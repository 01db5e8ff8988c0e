//! The listener by TLS: versions and protocols, certificates of clients, and callers that are slow or say nonsense.

use std::time::{Duration, Instant};

use creditledger::grpc::Limits;
use creditledger::grpc::wire::{ListLedgersRequest, ListLedgersResponse};
use creditledger::tls::{ClientAuthorities, Files};
use prost::Message as _;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::rustls::{ClientConfig, ProtocolVersion};

use crate::authority::{Authority, BOTH_VERSIONS, connect};
use crate::http2::frame;
use crate::plain::{Answer, Http, send_over};
use crate::served::{PEER, Served};

/// A busy machine meets this.
const PATIENCE: Duration = Duration::from_mins(1);
const LIST_LEDGERS: &str = "/creditledger.v1.LedgerService/ListLedgers";

/// A server by TLS, and the authority that its clients trust.
struct Rig {
    authority: Authority,
    served: Served,
    _folder: TempDir,
}

/// How clients are asked for certificates.
#[derive(Clone, Copy)]
enum Asks {
    Never,
    Optional,
    Required,
}

impl Rig {
    async fn start(asks: Asks, bounds: Limits) -> Self {
        let (authority, folder) = (Authority::new("of the test"), tempfile::tempdir().unwrap());
        let [certificate, key] = authority.issue(&["localhost"]).write(folder.path(), "server");
        let file = folder.path().join("clients.pem");
        std::fs::write(&file, &authority.pem).unwrap();
        let clients = match asks {
            Asks::Never => None,
            Asks::Optional => Some(ClientAuthorities { file, required: false }),
            Asks::Required => Some(ClientAuthorities { file, required: true }),
        };
        let served = Served::by_tls(Files { certificate, key, clients }, bounds).await;
        Self { authority, served, _folder: folder }
    }

    fn address(&self) -> &str {
        self.served.address.trim_start_matches("http://")
    }

    /// The server's answer about who has called, over a connection of its own.
    async fn peer(&self, config: ClientConfig) -> std::io::Result<(String, String)> {
        let stream = connect(self.address(), config).await?;
        let from = stream.get_ref().0.local_addr()?.to_string();
        let (mut requests, connection) =
            h2::client::handshake(stream).await.map_err(std::io::Error::other)?;
        let driver = tokio::spawn(connection);
        let request = http::Request::get(format!("http://localhost{PEER}")).body(()).unwrap();
        let sent = requests.send_request(request, true).map_err(std::io::Error::other)?;
        let answer = sent.0.await.map_err(std::io::Error::other)?;
        let body = answer.into_body().data().await.unwrap().map_err(std::io::Error::other)?;
        driver.abort();
        Ok((from, String::from_utf8(body.to_vec()).unwrap()))
    }
}

async fn in_time<T>(what: &str, answer: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, answer).await.unwrap_or_else(|_| panic!("{what} hangs"))
}

/// Reads until the server has closed the connection; an end or a reset.
async fn closed(what: &str, mut socket: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    let _ = in_time(what, socket.read_to_end(&mut rest)).await;
    rest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_protocol_is_served_by_both_versions() {
    let rig = Rig::start(Asks::Never, Limits::default()).await;
    let request = frame(&ListLedgersRequest::default());
    let messages = |answer: &Answer| {
        let length = u32::from_be_bytes(answer.body[1..5].try_into().unwrap());
        let message = &answer.body[5..5 + usize::try_from(length).unwrap()];
        ListLedgersResponse::decode(message).unwrap().ledgers.len()
    };
    for (version, known) in
        BOTH_VERSIONS.into_iter().zip([ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3])
    {
        for (http, alpn) in [(Http::One, "http/1.1"), (Http::Two, "h2"), (Http::Two, "")] {
            let ask = async |content_type: &str, body: &[u8]| {
                let mut config = rig.authority.client_of(&[version], None);
                config.alpn_protocols = alpn.split_terminator(' ').map(|name| name.into()).collect();
                let stream = connect(rig.address(), config).await.unwrap();
                let session = stream.get_ref().1;
                assert_eq!(session.protocol_version(), Some(known));
                assert_eq!(session.alpn_protocol().unwrap_or_default(), alpn.as_bytes());
                let headers = [("content-type", content_type), ("te", "trailers")];
                send_over(stream, "localhost", http, "POST", LIST_LEDGERS, &headers, body).await
            };
            if http == Http::Two {
                assert_eq!(messages(&ask("application/grpc", &request).await), 1, "{known:?} {alpn}");
            }
            assert_eq!(messages(&ask("application/grpc-web+proto", &request).await), 1, "{known:?} {alpn}");
            let json = ask("application/json", b"{}").await.json();
            assert_eq!(json["ledgers"].as_array().unwrap().len(), 1, "{known:?} {alpn}");
        }
    }
}

/// A ClientHello of TLS 1.1 with one cipher and nothing else.
fn old_hello() -> Vec<u8> {
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let mut record = vec![0x16, 3, 1, 0, u8::try_from(hello.len() + 4).unwrap(), 1, 0, 0];
    record.push(u8::try_from(hello.len()).unwrap());
    record.extend(hello);
    record
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_begin_with_a_hello_of_tls_1_2_is_closed() {
    let rig = Rig::start(Asks::Never, Limits { first_bytes: PATIENCE * 2, ..Limits::default() }).await;
    let cut = |mut hello: Vec<u8>| {
        hello.pop();
        *hello.last_mut().unwrap() ^= 0xff;
        [hello, vec![0xff; 40]].concat()
    };
    for (what, said) in [
        ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("HTTP/1.1", b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec()),
        ("nonsense", vec![0; 64]),
        ("TLS 1.1", old_hello()),
        ("a broken hello", cut(old_hello())),
        ("a record of 64 KiB", vec![0x16, 3, 1, 0xff, 0xff, 1]),
    ] {
        let mut socket = TcpStream::connect(rig.address()).await.unwrap();
        socket.write_all(&said).await.unwrap();
        let answer = closed(what, socket).await;
        // An alert, and nothing else: no byte of HTTP.
        assert_eq!((answer.first(), answer.len()), (Some(&0x15), 7), "{what}: {answer:?}");
    }
    let mut config = rig.authority.client(None);
    config.alpn_protocols = vec![b"http/3".to_vec()];
    let refused = connect(rig.address(), config).await.unwrap_err().to_string();
    assert!(refused.contains("NoApplicationProtocol"), "{refused}");
    assert!(rig.peer(rig.authority.client(None)).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_a_verified_certificate_come_with_each_request() {
    let stranger = Authority::new("a stranger");
    let names = ["Help.Example", "10.0.0.7", "spiffe://shop.example/web", "*.shop.example"];
    let told = "DNS:help.example DNS:*.shop.example URI:spiffe://shop.example/web";
    for asks in [Asks::Never, Asks::Optional, Asks::Required] {
        let rig = Rig::start(asks, Limits::default()).await;
        let good = rig.authority.issue(&names);
        let nameless = rig.authority.issue(&[]);
        let (wrong, late) = (stranger.issue(&names), rig.authority.expired(&names));
        for version in BOTH_VERSIONS {
            let peer = async |identity| rig.peer(rig.authority.client_of(&[version], identity)).await;
            let (from, answer) = match (asks, peer(None).await) {
                (Asks::Required, answer) => {
                    assert!(answer.is_err(), "without a certificate: {answer:?}");
                    peer(Some(&nameless)).await.unwrap()
                }
                (_, answer) => answer.unwrap(),
            };
            assert_eq!(answer, format!("{from} "), "{version:?}");
            let (from, answer) = peer(Some(&good)).await.unwrap();
            let expected = if matches!(asks, Asks::Never) { "" } else { told };
            assert_eq!(answer, format!("{from} {expected}"), "{version:?}");
            for bad in [&wrong, &late] {
                let answer = peer(Some(bad)).await;
                // Who is not asked shows none.
                assert_eq!(answer.is_ok(), matches!(asks, Asks::Never), "{version:?}: {answer:?}");
            }
        }
    }
    let plain = Served::within(Limits::default()).await;
    let authority = plain.address.trim_start_matches("http://");
    let socket = TcpStream::connect(authority).await.unwrap();
    let from = socket.local_addr().unwrap();
    let answer = send_over(socket, authority, Http::One, "GET", PEER, &[], b"").await;
    assert_eq!(String::from_utf8(answer.body).unwrap(), format!("{from} "));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_session_is_resumed() {
    let rig = Rig::start(Asks::Optional, Limits::default()).await;
    for version in BOTH_VERSIONS {
        let identity = rig.authority.issue(&["a.example"]);
        let config = rig.authority.client_of(&[version], Some(&identity));
        for _ in 0..3 {
            let mut stream = connect(rig.address(), config.clone()).await.unwrap();
            assert_eq!(
                stream.get_ref().1.handshake_kind(),
                Some(tokio_rustls::rustls::HandshakeKind::Full),
                "{version:?}"
            );
            // Tickets would come before the answer.
            stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
            stream.read_u8().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_handshakes_take_their_places_and_no_more() {
    const SLOW: usize = 10;
    let first_bytes = Duration::from_secs(3);
    let bounds = Limits { first_bytes, connections_max: SLOW + 2, ..Limits::default() };
    let rig = Rig::start(Asks::Never, bounds).await;
    let begun = Instant::now();
    let mut slow = JoinSet::new();
    for number in 0..SLOW {
        let mut socket = TcpStream::connect(rig.address()).await.unwrap();
        // Some say nothing, some one byte, and some all but the last one.
        let hello = old_hello();
        socket.write_all(&hello[..[0, 1, hello.len() - 1][number % 3]]).await.unwrap();
        slow.spawn(async move {
            closed("a slow handshake", socket).await;
            Instant::now()
        });
    }
    // Nobody waits for them.
    let mut served = 0;
    while begun.elapsed() < first_bytes / 2 {
        rig.peer(rig.authority.client(None)).await.unwrap();
        served += 1;
    }
    assert!(served > 0);
    // With two more that are open, all places are taken, and the next is closed at once.
    let open = [connect(rig.address(), rig.authority.client(None)).await.unwrap(), {
        connect(rig.address(), rig.authority.client(None)).await.unwrap()
    }];
    let refused = closed("one too many", TcpStream::connect(rig.address()).await.unwrap()).await;
    assert!(refused.is_empty());
    let was_early = begun.elapsed() < first_bytes;
    for closed_at in in_time("the slow handshakes", slow.join_all()).await {
        assert!(closed_at - begun >= first_bytes, "closed after {:?}", closed_at - begun);
    }
    assert!(was_early, "the machine was too slow for this test to see anything");
    drop(open);
    in_time("the free places", async { while rig.peer(rig.authority.client(None)).await.is_err() {} }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_alone_is_not_enough() {
    let first_bytes = Duration::from_millis(500);
    let rig = Rig::start(Asks::Never, Limits { first_bytes, ..Limits::default() }).await;
    for said in ["", "P", "PRI * HTTP/2.0\r\n\r\nS"] {
        let begun = Instant::now();
        let mut stream = in_time("a handshake", async {
            loop {
                // On a busy machine the handshake itself may take too long.
                if let Ok(stream) = connect(rig.address(), rig.authority.client(None)).await {
                    return stream;
                }
            }
        })
        .await;
        stream.write_all(said.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        let mut rest = Vec::new();
        let _ = in_time("a silent connection", stream.read_to_end(&mut rest)).await;
        assert!(begun.elapsed() >= first_bytes, "{said:?}: after {:?}", begun.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_takes_nothing_is_closed() {
    let bounds = Limits { silence: Duration::from_millis(300), ..Limits::default() };
    let rig = Rig::start(Asks::Never, bounds).await;
    let mut config = rig.authority.client(None);
    config.alpn_protocols.clear();
    let stream = connect(rig.address(), config).await.unwrap();
    let (mut source, mut sink) = tokio::io::split(stream);
    let requests = format!("GET {PEER} HTTP/1.1\r\nhost: localhost\r\n\r\n").repeat(1_000);
    // Answers that nobody reads fill all buffers; then the server must give up.
    in_time("a server that writes", async {
        while sink.write_all(requests.as_bytes()).await.is_ok() && sink.flush().await.is_ok() {}
    })
    .await;
    let mut rest = Vec::new();
    let _ = in_time("the end", source.read_to_end(&mut rest)).await;
    assert!(rig.peer(rig.authority.client(None)).await.is_ok());
}
