//! Browsers: pages of allowed origins may call, others are told nothing, and a stranger's name leads nowhere.

use creditledger::access::{Admission, Hosts, Origins};
use creditledger::grpc::{Limits, serve};

use crate::plain::{Answer, Http, send_to};
use crate::served::{On, Served};

const LIST: &str = "/creditledger.v1.LedgerService/ListLedgers";
const DESK: &str = "https://desk.example";

/// A second listener over a server.
async fn admitting(served: &Served, hosts: &str) -> String {
    let origins = Origins::parse(DESK).unwrap();
    let admission = Admission { hosts: Hosts::parse(hosts).unwrap(), origins, ..Admission::open() };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(served.api.clone(), admission, listener, Limits::default(), std::future::pending()));
    address
}

fn header(answer: &Answer, name: &str) -> Option<String> {
    answer.headers.get(name).map(|value| value.to_str().unwrap().to_ascii_lowercase())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_origins_may_call() {
    let served = Served::start(On::Memory).await;
    let address = admitting(&served, "").await;
    for http in [Http::One, Http::Two] {
        let wanted = "authorization,content-type,connect-protocol-version,x-grpc-web,grpc-timeout";
        let asks = |origin| {
            [
                ("origin", origin),
                ("access-control-request-method", "POST"),
                ("access-control-request-headers", wanted),
            ]
        };
        let told = send_to(&address, http, "OPTIONS", LIST, &asks(DESK), b"").await;
        assert!(told.status.is_success(), "{}", told.status);
        assert_eq!(header(&told, "access-control-allow-origin").as_deref(), Some(DESK));
        let allowed = header(&told, "access-control-allow-headers").unwrap();
        for name in wanted.split(',') {
            assert!(allowed.split(',').any(|it| it.trim() == name), "{name} in {allowed}");
        }
        let methods = header(&told, "access-control-allow-methods").unwrap();
        assert!(methods.contains("post") && methods.contains("get"), "{methods}");
        assert_eq!(header(&told, "access-control-max-age").as_deref(), Some("7200"));
        assert!(header(&told, "vary").unwrap().contains("origin"));
        assert_eq!(header(&told, "access-control-allow-credentials"), None);
        // A stranger's page is allowed nothing, and so is one that looks like ours.
        for stranger in
            ["https://evil.example", "https://desk.example.evil.example", "http://desk.example", "null"]
        {
            let told = send_to(&address, http, "OPTIONS", LIST, &asks(stranger), b"").await;
            assert_eq!(header(&told, "access-control-allow-origin"), None, "{stranger}");
        }
        for (content_type, body) in
            [("application/json", b"{}".as_slice()), ("application/grpc-web+proto", &[0; 5])]
        {
            let headers = [("origin", DESK), ("content-type", content_type)];
            let answer = send_to(&address, http, "POST", LIST, &headers, body).await;
            assert_eq!(answer.status, 200);
            assert_eq!(header(&answer, "access-control-allow-origin").as_deref(), Some(DESK));
            let exposed = header(&answer, "access-control-expose-headers").unwrap();
            for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
                assert!(exposed.split(',').any(|it| it.trim() == name), "{name} in {exposed}");
            }
        }
        // Errors can be read too.
        let headers = [("origin", DESK), ("content-type", "application/json")];
        let answer = send_to(&address, http, "POST", LIST, &headers, b"{").await;
        assert_eq!(
            (answer.status.as_u16(), header(&answer, "access-control-allow-origin").is_some()),
            (400, true)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_allowed_origins_no_page_may_call() {
    let served = Served::start(On::Memory).await;
    let headers = [("origin", DESK), ("access-control-request-method", "POST")];
    for http in [Http::One, Http::Two] {
        let told = send_to(&served.address, http, "OPTIONS", LIST, &headers, b"").await;
        assert_eq!((told.status.as_u16(), header(&told, "access-control-allow-origin")), (405, None));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_strangers_name_leads_nowhere() {
    let served = Served::with_credits(On::Memory, "10").await;
    let usual = served.address.clone();
    let named = admitting(&served, "ledger.example").await;
    let any = admitting(&served, "*").await;
    let before = served.positions().await;
    let get = format!("{LIST}?encoding=json&message=%7B%7D");
    for (address, host, expected) in [
        (&usual, "evil.example", 421),
        (&usual, "evil.example:50051", 421),
        (&usual, "localhost", 200),
        (&usual, "127.0.0.1:50051", 200),
        (&named, "ledger.example", 200),
        (&named, "localhost:1", 200),
        (&named, "evil.example", 421),
        (&any, "evil.example", 200),
    ] {
        for (verb, path) in [("POST", LIST), ("GET", &*get)] {
            let socket = tokio::net::TcpStream::connect(address.trim_start_matches("http://")).await.unwrap();
            let answer = written(socket, verb, path, &[host]).await;
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {expected} ")),
                "{verb} {host} at {address}: {answer}"
            );
        }
    }
    // Two names, or none.
    for hosts in [&["localhost", "evil.example"][..], &["evil.example", "localhost"]] {
        let socket = tokio::net::TcpStream::connect(usual.trim_start_matches("http://")).await.unwrap();
        let answer = written(socket, "POST", LIST, hosts).await;
        assert!(!answer.starts_with("HTTP/1.1 2"), "{hosts:?}: {answer}");
    }
    // By HTTP/2, where the name is :authority.
    let socket = tokio::net::TcpStream::connect(usual.trim_start_matches("http://")).await.unwrap();
    let (sender, connection) = h2::client::handshake(socket).await.unwrap();
    tokio::spawn(connection);
    let request =
        http::Request::post(format!("http://evil.example{LIST}")).header("content-type", "application/grpc");
    let mut sender = sender.ready().await.unwrap();
    let (answer, _) = sender.send_request(request.body(()).unwrap(), true).unwrap();
    assert_eq!(answer.await.unwrap().status(), 421);
    assert_eq!(served.positions().await, before);
}

/// Writes a request with these names of the host, and reads the head of the answer.
async fn written(mut socket: tokio::net::TcpStream, verb: &str, path: &str, hosts: &[&str]) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let hosts = hosts.iter().fold(String::new(), |text, host| text + "host: " + host + "\r\n");
    let request = format!(
        "{verb} {path} HTTP/1.1\r\n{hosts}content-type: application/json\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{{}}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}
