//! What is not taken: other content types, other HTTP methods, and everything that can be wrong with a call by Connect. Each
//! is told in its way, and none leaves a trace in the journal.

use std::io::Write as _;

use creditledger::grpc::wire::*;
use prost::Message as _;
use serde_json::{Value, json};

use crate::http2::{frame, framed};
use crate::plain::{self, BOTH, Http, post, refusal, send};
use crate::served::{On, Served, on_each_engine};

const GRANT: &str = "/creditledger.v1.PurchaseService/GrantCredits";
const BALANCE: &str = "/creditledger.v1.LedgerService/GetBalance";
const WATCH: &str = "/creditledger.v1.NotificationService/WatchEvents";
const RECONCILE: &str = "/creditledger.v1.LedgerService/ReconcilePurchases";
const STREAM: &str = "/creditledger.v1.BatchService/ExecuteStream";

fn grant(served: &Served) -> GrantCreditsRequest {
    GrantCreditsRequest {
        context: Some(context(served.next(), "acme").because("test")),
        credits: "1".into(),
        ..Default::default()
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Row 22: a page of any site can send these to any server that its reader reaches.
async fn only_our_content_types_are_taken(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let request = grant(&served);
    let bodies = [
        frame(&request),
        request.encode_to_vec(),
        plain::json("GrantCreditsRequest", &request).to_string().into(),
    ];
    for http in BOTH {
        for content_type in [
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "",
            "application/grpc+json",
            "application/grpc-web+json",
            "application/grpc-foo",
            "application/connect+xml",
            "application/xml",
            "application/json; charset=utf-16",
            "text/plain; application/grpc",
        ] {
            for (path, body) in [GRANT, "/creditledger.v1.PurchaseService/Nothing", "/", "/nothing/at/all"]
                .into_iter()
                .flat_map(|path| bodies.iter().map(move |body| (path, body)))
            {
                let answer = send(&served, http, "POST", path, &[("content-type", content_type)], body).await;
                assert_eq!(answer.status, 415, "{http:?} {content_type} {path}");
                let taken = answer.header("accept-post");
                assert!(
                    taken.contains("application/json") && taken.contains("application/grpc-web+proto"),
                    "{taken}"
                );
                assert_eq!(taken.contains("application/connect+json"), path != GRANT);
            }
        }
        let two = [("content-type", "application/grpc"), ("content-type", "text/plain")];
        for headers in [&two[..], &[]] {
            assert_eq!(send(&served, http, "POST", GRANT, headers, &bodies[0]).await.status, 415);
        }
        // What streams its answers is not taken without envelopes, nor the other way round.
        for (path, content_type, taken) in [
            (WATCH, "application/json", "application/connect+json"),
            (WATCH, "application/proto", "application/connect+proto"),
            (RECONCILE, "application/json", "application/grpc"),
            (GRANT, "application/connect+json", "application/json"),
            (GRANT, "application/connect+proto", "application/proto"),
        ] {
            let answer =
                send(&served, http, "POST", path, &[("content-type", content_type)], &bodies[0]).await;
            assert_eq!(answer.status, 415, "{path} {content_type}");
            assert!(answer.header("accept-post").split(", ").any(|name| name == taken));
            assert!(!answer.header("accept-post").split(", ").any(|name| name == content_type));
        }
        let query = format!("{BALANCE}?encoding=xml&message=");
        assert_eq!(send(&served, http, "GET", &query, &[], b"").await.status, 415);
    }
    assert_eq!(served.positions().await, before);
    // The same request, sent as what it is, and under a name in other letters.
    let headers = [("content-type", "Application/JSON; Charset=UTF-8")];
    let answer = send(&served, Http::Two, "POST", GRANT, &headers, &bodies[2]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    served.verify().await;
}

async fn only_post_runs_anything(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let request = grant(&served);
    let query = "encoding=json&message=%7B%7D";
    for http in BOTH {
        for verb in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "MADE-UP"] {
            for content_type in
                ["application/grpc", "application/json", "application/grpc-web+proto", "text/plain"]
            {
                for path in [GRANT, WATCH, "/nothing/at/all", "/"] {
                    let path = format!("{path}?{query}");
                    let headers = [("content-type", content_type)];
                    let answer = send(&served, http, verb, &path, &headers, &frame(&request)).await;
                    assert_eq!(answer.status, 405, "{http:?} {verb} {content_type} {path}");
                    assert_eq!(answer.header("allow"), "POST");
                }
            }
            if verb != "GET" {
                let answer = send(&served, http, verb, BALANCE, &[], b"").await;
                assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, "GET, POST"));
            }
        }
    }
    assert_eq!(served.positions().await, before);
    served.verify().await;
}

/// A good grant with something done to it.
fn spoiled(served: &Served, field: &str, value: Value) -> Vec<u8> {
    let mut json = plain::json("GrantCreditsRequest", &grant(served));
    json[field] = value;
    json.to_string().into_bytes()
}

async fn bad_json_is_told_and_leaves_nothing(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let good = plain::json("GrantCreditsRequest", &grant(&served)).to_string();
    let open = good.trim_end_matches('}');
    let broken: Vec<Vec<u8>> = vec![
        vec![],
        b"{".to_vec(),
        open.into(),
        format!("{good}{good}").into(),
        format!("\u{feff}{good}").into(),
        format!("{good},").into(),
        good.replace('"', "'").into(),
        format!("{open},}}").into(),
        format!("{open}, \"credits\"}}").into(),
        format!("// why\n{good}").into(),
        [open.as_bytes(), b", \"expiresAt\": \"\xff\xfe\"}"].concat(),
        [open.as_bytes(), b", \"expiresAt\": \"\xed\xa0\x80\"}"].concat(),
        format!(r#"{open}, "expiresAt": "\ud800"}}"#).into(),
        format!("{open}, \"expiresAt\": \"line\nbreak\"}}").into(),
        format!("{open}, \"expiresAt\": 1e999}}").into(),
        format!("{open}, \"expiresAt\": 01}}").into(),
        format!("{open}, \"expiresAt\": NaN}}").into(),
        good.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        frame(&grant(&served)),
        grant(&served).encode_to_vec(),
        gzip(good.as_bytes()),
        "[".repeat(1_000_000).into(),
    ];
    let headers = [("content-type", "application/json")];
    for (nth, body) in broken.iter().enumerate() {
        let answer = send(&served, BOTH[nth % 2], "POST", GRANT, &headers, body).await;
        let told = (400, "invalid_argument".to_owned(), "MALFORMED_REQUEST".to_owned());
        assert_eq!(answer.refusal(), told, "{nth}");
        assert!(answer.body.len() < 2_000);
    }
    let deep = |open: &str, close: &str| format!("{}1{}", open.repeat(100), close.repeat(100));
    let deep =
        [deep("[", "]"), deep("{\"a\":", "}")].map(|deep| serde_json::from_str::<Value>(&deep).unwrap());
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("colour", spoiled(&served, "colour", json!("red"))),
        ("Credits", spoiled(&served, "Credits", json!("1"))),
        ("the message", spoiled(&served, "", json!("1"))),
        ("__proto__", spoiled(&served, "__proto__", json!({}))),
        ("colour", spoiled(&served, "colour", deep[0].clone())),
        ("colour", spoiled(&served, "colour", deep[1].clone())),
        ("credits", spoiled(&served, "credits", json!(1))),
        ("credits", spoiled(&served, "credits", json!(1.5))),
        ("credits", spoiled(&served, "credits", json!({ "units": 1 }))),
        ("credits", spoiled(&served, "credits", json!(["1"]))),
        ("credits", spoiled(&served, "credits", deep[0].clone())),
        ("credits", spoiled(&served, "credits", json!("1e3"))),
        ("credits", spoiled(&served, "credits", json!("9".repeat(1_000_000)))),
        ("credits", spoiled(&served, "credits", Value::Null)),
        ("expires_at", spoiled(&served, "expiresAt", json!("tomorrow"))),
        ("expires_at", spoiled(&served, "expiresAt", json!("2100-01-01T00:00:60Z"))),
        ("expires_at", spoiled(&served, "expiresAt", json!("2100-02-30T00:00:00Z"))),
        ("expires_at", spoiled(&served, "expiresAt", json!({ "seconds": 4_102_444_800_u64 }))),
        ("credits", format!("{open}, \"credits\": \"2\"}}").into()),
        ("expires_at", format!("{open}, \"expiresAt\": null, \"expires_at\": null}}").into()),
        ("the message", b"null".to_vec()),
        ("the message", b"[]".to_vec()),
        ("the message", b"\"{}\"".to_vec()),
        ("the message", format!("[{good}]").into()),
    ];
    for (nth, (field, body)) in cases.iter().enumerate() {
        let answer = send(&served, BOTH[nth % 2], "POST", GRANT, &headers, body).await;
        let told = (400, "invalid_argument".to_owned(), "INVALID_FIELD".to_owned());
        assert_eq!(answer.refusal(), told, "{field} {nth}: {answer:?}");
        let violations = answer.json()["details"][1]["debug"]["fieldViolations"].clone();
        let named: Vec<_> = violations
            .as_array()
            .unwrap()
            .iter()
            .map(|wrong| wrong["field"].as_str().unwrap_or(""))
            .collect();
        assert_eq!(named, [*field], "{nth}");
        assert!(answer.body.len() < 2_000);
    }
    let states = |states: Value| json!({ "states": states, "pageSize": 1 });
    for (field, request) in [
        ("states", states(json!("HOLD_STATE_ACTIVE"))),
        ("states[0]", states(json!(["ACTIVE"]))),
        ("states[1]", states(json!([1, 99]))),
        ("states[0]", states(json!([9_999_999_999_u64]))),
        ("states[0]", states(json!([null]))),
        ("states[0]", states(json!([-1]))),
        ("page_size", json!({ "pageSize": 2_147_483_648_u64 })),
        ("page_size", json!({ "pageSize": 1e300 })),
        ("page_size", json!({ "pageSize": "-" })),
        ("page_size", json!({ "page_size": true })),
        ("page_token", json!({ "page_token": "nonsense" })),
    ] {
        let answer = post(&served, Http::Two, "HoldService/ListHolds", &request).await;
        assert_eq!(answer.refusal(), (400, "invalid_argument".into(), "INVALID_FIELD".into()), "{request}");
        let named = answer.json()["details"][1]["debug"]["fieldViolations"][0]["field"].clone();
        assert_eq!(named, field, "{request}");
    }
    assert_eq!(served.positions().await, before);
    let answer = send(&served, Http::One, "POST", GRANT, &headers, good.as_bytes()).await;
    assert_eq!(answer.status, 200, "what was spoiled is good: {answer:?}");
    served.verify().await;
}

#[tokio::test]
async fn calls_that_are_none_are_refused() {
    let served = Served::with_credits(On::Memory, "5").await;
    let before = served.positions().await;
    let json = plain::json("GrantCreditsRequest", &grant(&served)).to_string();
    let malformed = (400, "invalid_argument".to_owned(), "MALFORMED_REQUEST".to_owned());
    let unknown = (501, "unimplemented".to_owned(), "UNIMPLEMENTED".to_owned());
    for http in BOTH {
        let call = async |path: &str, headers: &[(&str, &str)], body: &[u8]| {
            let mut all = vec![("content-type", "application/json")];
            all.extend_from_slice(headers);
            send(&served, http, "POST", path, &all, body).await.refusal()
        };
        for path in [
            "/creditledger.v1.PurchaseService/Nothing",
            "/nothing/at/all",
            "/",
            "/creditledger.v1.PurchaseService/",
        ] {
            assert_eq!(call(path, &[], json.as_bytes()).await, unknown, "{path}");
        }
        for version in ["2", "", "1.0", "v1"] {
            assert_eq!(
                call(GRANT, &[("connect-protocol-version", version)], json.as_bytes()).await,
                malformed
            );
        }
        for compression in ["br", "zstd", "gzip, gzip", "GZIP"] {
            assert_eq!(call(GRANT, &[("content-encoding", compression)], json.as_bytes()).await, unknown);
        }
        let packed = gzip(json.as_bytes());
        let cut = &packed[..packed.len() - 4];
        let trailing = [&packed[..], b"more"].concat();
        for body in [json.as_bytes(), cut, &trailing] {
            assert_eq!(call(GRANT, &[("content-encoding", "gzip")], body).await, malformed);
        }
        let no_message =
            send(&served, http, "POST", GRANT, &[("content-type", "application/proto")], json.as_bytes())
                .await;
        assert_eq!(no_message.refusal(), malformed);
        for query in [
            "",
            "encoding=json",
            "message=%7B%7D",
            "encoding=json&message=%7B%7D&message=%7B%7D",
            "connect=v2&encoding=json&message=%7B%7D",
            "encoding=json&base64=1&message=%7B%7D",
            "encoding=json&message=%7B",
            "encoding=json&message=%FF",
            "encoding=json&message=",
            "encoding=proto&message=%FF",
        ] {
            let answer = send(&served, http, "GET", &format!("{BALANCE}?{query}"), &[], b"").await;
            assert_eq!(answer.refusal(), malformed, "{query}");
        }
        let query = format!("{BALANCE}?encoding=json&compression=br&message=%7B%7D");
        assert_eq!(send(&served, http, "GET", &query, &[], b"").await.refusal(), unknown);
    }
    assert_eq!(served.positions().await, before);
}

#[tokio::test]
async fn streams_that_are_none_are_refused_in_their_end() {
    let served = Served::with_credits(On::Memory, "5").await;
    let before = served.positions().await;
    let call = async |http, path: &str, headers: &[(&str, &str)], body: &[u8]| {
        let mut all = vec![("content-type", "application/connect+json")];
        all.extend_from_slice(headers);
        let answer = send(&served, http, "POST", path, &all, body).await;
        assert_eq!(answer.header("content-type"), "application/connect+json");
        let (messages, end) = answer.envelopes();
        assert!(messages.is_empty());
        refusal(&end["error"])
    };
    let told = |code: &str, reason: &str| (code.to_owned(), reason.to_owned());
    for http in BOTH {
        let good = framed(0, b"{\"untilNow\": true}");
        for path in [RECONCILE, STREAM, "/creditledger.v1.NotificationService/Nothing", "/nothing/at/all"] {
            assert_eq!(call(http, path, &[], &good).await, told("unimplemented", "UNIMPLEMENTED"), "{path}");
        }
        let cut = &good[..good.len() - 1];
        let twice = [&good[..], &good].concat();
        let trailing = [&good[..], b"x"].concat();
        for body in [
            &good[..0],
            b"{}",
            &good[..4],
            cut,
            &twice,
            &trailing,
            &framed(1, b"{}"),
            &framed(2, b"{}"),
            &framed(128, b"{}"),
            &framed(0, b"{"),
            &framed(0, b""),
        ] {
            let told = told("invalid_argument", "MALFORMED_REQUEST");
            assert_eq!(call(http, WATCH, &[], body).await, told, "{body:?}");
        }
        let gzip_said = [("connect-content-encoding", "gzip")];
        let no_gzip = framed(1, b"{\"untilNow\": true}");
        assert_eq!(
            call(http, WATCH, &gzip_said, &no_gzip).await,
            told("invalid_argument", "MALFORMED_REQUEST")
        );
        let unknown = framed(0, b"{\"colour\": 1}");
        assert_eq!(call(http, WATCH, &[], &unknown).await, told("invalid_argument", "INVALID_FIELD"));
        let br = [("connect-content-encoding", "br")];
        assert_eq!(call(http, WATCH, &br, &good).await, told("unimplemented", "UNIMPLEMENTED"));
        let announced = [0, 0xff, 0xff, 0xff, 0xff, b'{'];
        assert_eq!(call(http, WATCH, &[], &announced).await, told("resource_exhausted", "MESSAGE_TOO_LARGE"));
        let late = [("connect-timeout-ms", "0")];
        assert_eq!(call(http, WATCH, &late, &good).await, told("deadline_exceeded", "DEADLINE_EXCEEDED"));
    }
    assert_eq!(served.positions().await, before);
}

async fn large_bodies_are_bounded(on: On) {
    let served = Served::with_credits(on, "5").await;
    let before = served.positions().await;
    let too_large = (429, "resource_exhausted".to_owned(), "MESSAGE_TOO_LARGE".to_owned());
    let mut json = plain::json("GrantCreditsRequest", &grant(&served));
    json["credits"] = "n".repeat(5 << 20).into();
    let json = json.to_string();
    let proto = GrantCreditsRequest { credits: "n".repeat(5 << 20), ..grant(&served) }.encode_to_vec();
    let headers = |content_type, encoding| [("content-type", content_type), ("content-encoding", encoding)];
    for http in BOTH {
        for (content_type, body) in [("application/json", json.as_bytes()), ("application/proto", &proto)] {
            let packed = gzip(body);
            assert!(packed.len() < 20_000);
            let answer = send(&served, http, "POST", GRANT, &headers(content_type, "gzip"), &packed).await;
            assert_eq!(answer.refusal(), too_large, "{http:?} {content_type}");
        }
    }
    let answer =
        send(&served, Http::Two, "POST", GRANT, &headers("application/json", ""), json.as_bytes()).await;
    assert_eq!(answer.refusal(), too_large);
    // Small on the wire, and each would be a command in memory.
    let many = format!("{{\"commands\": [{}{{}}]}}", "{},".repeat(100_000));
    let answer =
        post(&served, Http::Two, "BatchService/ExecuteBatch", &serde_json::from_str(&many).unwrap()).await;
    assert_eq!(answer.refusal(), (400, "invalid_argument".into(), "INVALID_FIELD".into()));
    // The batch service takes more, but not everything.
    let path = "/creditledger.v1.BatchService/ExecuteBatch";
    for (megabytes, refused) in [(5, "INVALID_FIELD"), (17, "MESSAGE_TOO_LARGE")] {
        let batch = json!({ "ledgerId": "n".repeat(megabytes << 20) }).to_string();
        let answer = send(
            &served,
            Http::Two,
            "POST",
            path,
            &headers("application/json", "gzip"),
            &gzip(batch.as_bytes()),
        )
        .await;
        assert_eq!(answer.refusal().2, refused);
    }
    assert_eq!(served.positions().await, before);
    served.verify().await;
}

on_each_engine! {
    only_our_content_types_are_taken
    only_post_runs_anything
    bad_json_is_told_and_leaves_nothing
    large_bodies_are_bounded
}
