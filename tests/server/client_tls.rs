//! Client commands and https://: what they trust, how they say who calls, and what they answer where that fails.

use std::io::{Read as _, Write as _};
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Response};
use tokio::net::TcpListener;

use super::authority::Authority;
use super::process::{Ended, Place, Running};
use super::tls::serve;

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];
const TOKEN: &str = "clt_0123456789abcdef";

fn required(place: &Place, authority: &Authority) -> [&'static str; 4] {
    place.write("clients.pem", &authority.pem);
    ["--tls-client-authorities-file", "clients.pem", "--tls-client-certificates", "required"]
}

#[test]
fn commands_reach_a_server_by_tls_and_say_who_calls() {
    let (place, authority) = (Place::new(), Authority::new("ours"));
    authority.write(&place);
    authority.issue(&["desk.example"]).write(&place.path(""), "desk");
    for asks in [&[][..], &required(&place, &authority)] {
        let server = serve(&place, &authority.issue(&NAMES), asks);
        let reach = ["--server", server.url(), "--ca", "ca.pem", "--cert", "desk.pem", "--key", "desk.key"];
        let customer = format!("acme-{}", asks.len());
        assert_eq!(
            place.json(&[&["customer", "create", &customer, "--json"][..], &reach].concat())["available"],
            "0"
        );
        assert_eq!(place.json(&[&["balance", &customer, "--json"][..], &reach].concat())["available"], "0");
        let events = place.run(&[&["events"][..], &reach].concat());
        assert!(events.status.success(), "{}", events.stderr);
        // By variables; a token goes along where it is safe.
        let mut by_variables = place.command(&["balance", &customer]);
        by_variables.env("CREDITLEDGER_SERVER", server.url()).env("CREDITLEDGER_CA", "ca.pem");
        by_variables.env("CREDITLEDGER_CLIENT_CERT", "desk.pem").env("CREDITLEDGER_CLIENT_KEY", "desk.key");
        let ended = Running::start(by_variables).end();
        assert!(ended.status.success(), "{}", ended.stderr);
        place.write("incidents.csv", &super::process::incidents(3, 2));
        let replayed = place.run(&[&["replay", "incidents.csv"][..], &reach].concat());
        assert!(replayed.status.success(), "{}{}", replayed.stdout, replayed.stderr);
        server.stop();
    }
}

#[test]
fn a_server_that_cannot_be_trusted_is_named_with_what_to_do() {
    let (place, ours, stranger) = (Place::new(), Authority::new("ours"), Authority::new("a stranger"));
    ours.write(&place);
    place.write("stranger.pem", &stranger.pem);
    stranger.issue(&["desk.example"]).write(&place.path(""), "wrong");
    ours.expired(&["desk.example"]).write(&place.path(""), "late");
    let refuses = |url: &str, arguments: &[&str], says: &str| {
        for command in [&["balance", "acme"][..], &["customer", "create", "acme"], &["events"]] {
            let ended = place.run(&[command, &["--server", url], arguments].concat());
            let complaint = ended.complaint();
            assert!(complaint.contains(says), "{command:?} {arguments:?}: {complaint}");
            assert!(!complaint.contains("outcome is unknown"), "{complaint}");
        }
    };
    let ca = &["--ca", "ca.pem"][..];
    let untrusted =
        "has a certificate of an authority that is not trusted: name the authority's file with --ca";

    let plain = place.serve();
    let by_tls = plain.url().replace("http://", "https://");
    refuses(&by_tls, ca, "does not speak TLS: say http://");
    refuses(&by_tls, &[], "does not speak TLS: say http://");
    plain.stop();

    let server = serve(&place, &ours.issue(&NAMES), &[]);
    let in_the_clear = server.url().replace("https://", "http://");
    refuses(&in_the_clear, &[], "the server speaks TLS: say https:// instead of http://");
    refuses(server.address(), &[], "the server speaks TLS: say https:// instead of http://");
    refuses(server.url(), &[], untrusted);
    refuses(server.url(), &["--ca", "stranger.pem"], untrusted);
    server.stop();
    let server = serve(&place, &ours.issue(&["other.example"]), &[]);
    refuses(server.url(), ca, "has a certificate for another name: call it by one that its certificate has");
    server.stop();
    let server = serve(&place, &ours.expired(&NAMES), &[]);
    refuses(server.url(), ca, "has a certificate that has expired");
    server.stop();

    let server = serve(&place, &ours.issue(&NAMES), &required(&place, &ours));
    let url = server.url();
    refuses(url, ca, "wants a certificate of its client: name it with --cert and --key");
    for bad in ["wrong", "late"] {
        let [certificate, key] = ["pem", "key"].map(|ending| format!("{bad}.{ending}"));
        let arguments = ["--ca", "ca.pem", "--cert", &certificate, "--key", &key];
        refuses(url, &arguments, "has refused the handshake, maybe for the certificate of --cert");
    }
    refuses(
        url,
        &["--ca", "ca.pem", "--cert", "late.pem", "--key", "wrong.key"],
        "late.pem and wrong.key cannot be used",
    );
    refuses(url, &["--ca", "none.pem"], "none.pem cannot be read");
    refuses(url, &["--ca", "wrong.key"], "wrong.key has no certificate in PEM");
    server.stop();
    let half = place.run(&["balance", "acme", "--server", &by_tls, "--cert", "late.pem"]);
    assert_eq!(half.status.code(), Some(2), "{}", half.stderr);

    let old = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = old.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in old.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 4_096]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
        }
    });
    refuses(&format!("http://{address}"), &[], "the server speaks HTTP/1.1 and no HTTP/2");

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closed.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in closed.incoming() {
            let _ = socket.unwrap().read(&mut [0; 4_096]);
        }
    });
    refuses(
        &format!("https://{address}"),
        ca,
        "has closed the connection instead of answering by TLS: say http://",
    );
    refuses("http://127.0.0.1:1", ca, "--ca, --cert and --key are for https:// servers");
    refuses("ftp://127.0.0.1:1", &[], "must begin with http:// or https://");
    refuses("https://127.0.0.1:1", &[], "does not answer: ");
}

/// A server that notes the headers of each call, and answers that it knows none.
async fn listener() -> (String, Arc<Mutex<Vec<HeaderMap>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&heard);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let notes = Arc::clone(&notes);
            tokio::spawn(async move {
                let mut calls = h2::server::handshake(socket).await.unwrap();
                while let Some(Ok((request, mut answer))) = calls.accept().await {
                    notes.lock().unwrap().push(request.headers().clone());
                    let unknown = Response::builder().header("content-type", "application/grpc");
                    let unknown = unknown.header("grpc-status", "12").body(()).unwrap();
                    answer.send_response(unknown, true).unwrap();
                }
            });
        }
    });
    (url, heard)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_call_of_every_command_carries_the_token_which_is_never_shown() {
    let place = Place::new();
    let (url, heard) = listener().await;
    place.write("token", &format!("{TOKEN}\n"));
    place.write("incidents.csv", &super::process::incidents(3, 2));
    place.write("orders.csv", "order_id\n1\n");
    let shows_none = |ended: &Ended| {
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains("0123456789"), "{}", ended.stderr);
    };
    for command in [
        &["balance", "acme"][..],
        &["customer", "list"],
        &["customer", "create", "acme"],
        &["events"],
        &["export", "--format", "jsonl"],
        &["statement", "acme", "--from", "2026-01-01", "--to", "2026-02-01"],
        &["reconcile", "web", "orders.csv"],
        &["webhook", "list"],
        &["rate-card", "list"],
        &["replay", "incidents.csv"],
    ] {
        for by_file in [true, false] {
            let arguments = [command, &["--server", &url]].concat();
            let mut process = place.command(&arguments);
            process.env("CREDITLEDGER_TOKEN", if by_file { "another" } else { TOKEN });
            if by_file {
                process.args(["--token-file", "token"]);
            }
            let ended = Running::start(process).end();
            shows_none(&ended);
            let heard = std::mem::take(&mut *heard.lock().unwrap());
            assert!(!heard.is_empty(), "{command:?}: {}", ended.stderr);
            for headers in heard {
                let given: Vec<_> = headers.get_all("authorization").iter().collect();
                assert_eq!(given, [&format!("Bearer {TOKEN}")], "{command:?}");
            }
        }
    }
    place.run(&["balance", "acme", "--server", &url]);
    assert!(heard.lock().unwrap().iter().all(|headers| !headers.contains_key("authorization")));
    heard.lock().unwrap().clear();

    let refuses = |server: &str, token: &[u8], says: &str| {
        std::fs::write(place.path("bad"), token).unwrap();
        let ended = place.run(&["balance", "acme", "--server", server, "--token-file", "bad"]);
        assert!(ended.complaint().contains(says), "{}", ended.stderr);
        shows_none(&ended);
    };
    for server in
        ["http://192.0.2.1:50051", "192.0.2.1:50051", "http://ledger.example", "http://localhost.example"]
    {
        refuses(server, TOKEN.as_bytes(), "in the clear: use https://");
    }
    for server in ["http://[::1]:1", "LOCALHOST:1", "http://127.9.9.9:1"] {
        refuses(server, TOKEN.as_bytes(), "no server answers at");
    }
    let spaced = [TOKEN.as_bytes(), b" ", TOKEN.as_bytes()].concat();
    let lines = [TOKEN.as_bytes(), b"\n", TOKEN.as_bytes()].concat();
    let long = TOKEN.repeat(1_000).into_bytes();
    for bad in [&b""[..], b"\n", &spaced, &lines, &long] {
        refuses(&url, bad, "bad has no token: it must be one line of visible ASCII, at most 8192 bytes");
    }
    refuses(&url, b"0123456789\xff", "bad cannot be read: ");
    let mut empty = place.command(&["balance", "acme", "--server", &url]);
    empty.env("CREDITLEDGER_TOKEN", "");
    assert!(Running::start(empty).end().complaint().contains("CREDITLEDGER_TOKEN has no token"));
    assert!(heard.lock().unwrap().is_empty(), "nothing is sent with a token that is none");
}
