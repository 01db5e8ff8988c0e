//! Keys of providers that are slow, broken, empty, huge, redirect or change: who is known is unharmed and never waits, and
//! keys that are too old serve nobody.

use std::sync::Arc;
use std::task::Poll;

use creditledger::access::Refused;
use creditledger::access::jwt::{KeySource, Verifier};
use creditledger::clock::Clock;
use serde_json::json;

use crate::clock::TestClock;
use crate::provider::{Answer, JwksServer};
use crate::receiver::tls_for;
use crate::rig::{Rig, START, at_once, claims, provider, start, until, verifier};
use crate::signer::{Signer, jwks};

const HOUR: i64 = 3_600;

/// A token of the signer that lasts for days.
fn lasting(signer: &Signer) -> String {
    let mut claims = claims();
    claims["exp"] = json!(START + 30 * 24 * HOUR);
    signer.sign(&claims)
}

/// Answers that bring no keys.
fn useless(signer: &Signer) -> Vec<Answer> {
    let good = jwks(&[signer]);
    let too_many = format!("{{\"keys\":[{}]}}", vec!["{\"kty\":\"x\"}"; 10_001].join(","));
    let bodies = [
        "",
        "null",
        "[]",
        "{}",
        "{\"keys\":[]}",
        "{\"keys\":{}}",
        "{\"keys\":null}",
        "{\"keys\":[{\"kty\":\"oct\",\"k\":\"AA\",\"kid\":\"a\"}]}",
        "<!doctype html><title>Sign in</title>",
        "\u{1f600}",
        &good[..good.len() - 1],
        &format!("{good}{good}"),
        &too_many,
    ];
    let mut answers: Vec<Answer> = bodies.iter().map(|body| Answer::Body((*body).to_owned())).collect();
    for status in [201, 301, 302, 304, 307, 400, 401, 404, 429, 500, 503] {
        answers.push(Answer::Status(status, good.clone()));
    }
    let huge = format!("{{\"x\":\"{}\",{}", "y".repeat(5 << 20), &good[1..]);
    answers.extend([Answer::Body(huge), Answer::BreakOff(good), Answer::Reset]);
    answers
}

#[tokio::test]
async fn whatever_brings_no_keys_keeps_those_that_are_there() {
    let (signer, other) = (Signer::es256("a"), Signer::es256("b"));
    let rig = Rig::of(&[&signer]).await;
    let (known, fresh, unknown) = (lasting(&signer), signer.sign(&claims()), lasting(&other));
    assert!(rig.verify(&known).await.is_ok());
    for (count, answer) in (2..).zip(useless(&signer)) {
        rig.server.answers(answer.clone());
        rig.clock.pass(31);
        // It may wait for the fetch that it starts; the fetch ends, and the key is not there.
        assert_eq!(rig.verify(&unknown).await, Err(Refused::Unauthenticated), "{count}");
        assert_eq!(rig.server.asked(), count);
        assert!(rig.at_once(&known).unwrap().is_ok(), "{count}");
        assert!(rig.at_once(&lasting(&signer)).unwrap().is_ok(), "a token that was not seen before: {count}");
    }
    assert!(rig.at_once(&fresh).unwrap().is_ok());
    // And it recovers.
    rig.server.answers(Answer::Body(jwks(&[&other])));
    rig.clock.pass(31);
    assert!(rig.verify(&unknown).await.is_ok());
    assert_eq!(rig.verify(&known).await, Err(Refused::Unauthenticated), "its key has left the set");
}

#[tokio::test]
async fn keys_serve_a_day_after_the_last_fetch_that_succeeded() {
    let signer = Signer::es256("a");
    let rig = Rig::of(&[&signer]).await;
    let known = lasting(&signer);
    assert!(rig.verify(&known).await.is_ok());
    rig.server.answers(Answer::Status(500, String::new()));
    rig.clock.pass(24 * HOUR);
    assert!(rig.verify(&known).await.is_ok());
    rig.clock.pass(1);
    assert_eq!(rig.until(&known, Result::is_err).await, Err(Refused::Unavailable), "though it is remembered");
    assert_eq!(rig.until(&lasting(&signer), Result::is_err).await, Err(Refused::Unavailable));
    // What does not name the provider is refused as ever.
    assert_eq!(rig.verify("a.b.c").await, Err(Refused::Unauthenticated));
    let mut stranger = claims();
    stranger["iss"] = json!("https://other.example");
    assert_eq!(rig.verify(&signer.sign(&stranger)).await, Err(Refused::Unauthenticated));
    rig.server.answers(Answer::Body(jwks(&[&signer])));
    rig.clock.pass(301);
    rig.until(&known, Result::is_ok).await.unwrap();
}

#[tokio::test]
async fn it_starts_while_the_provider_is_down() {
    let signer = Signer::es256("a");
    let rig = Rig::answering(Answer::Reset).await;
    let token = signer.sign(&claims());
    assert_eq!(rig.verify(&token).await, Err(Refused::Unavailable));
    // A provider that hangs: whoever waits is answered after 3 seconds, and the fetch ends after 10.
    rig.server.answers(Answer::Hang);
    rig.clock.pass(31);
    rig.server.until_asked(2).await;
    let (verifier, waiting) = (Arc::clone(&rig.verifier), token.clone());
    assert!(rig.at_once(&token).is_none(), "it waits");
    let waiting = tokio::spawn(async move { verifier.verify(&waiting).await });
    while !waiting.is_finished() {
        rig.clock.pass(1);
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting.await.unwrap(), Err(Refused::Unavailable));
    rig.server.answers(Answer::Body(jwks(&[&signer])));
    rig.clock.pass(400);
    rig.until(&token, Result::is_ok).await.unwrap();
}

#[tokio::test]
async fn nobody_who_is_known_waits_while_a_provider_hangs() {
    let (signer, other) = (Signer::es256("a"), Signer::es256("b"));
    let rig = Rig::of(&[&signer]).await;
    rig.server.answers(Answer::Hang);
    rig.clock.pass(31);
    let unknown: Vec<String> = (0..1_000)
        .map(|number| {
            let kid = format!("{number}");
            let header = json!({"alg": "ES256", "kid": kid}).to_string();
            other.sign_text(&header, &claims().to_string())
        })
        .collect();
    let mut waiting: Vec<_> = unknown.iter().map(|token| Box::pin(rig.verifier.verify(token))).collect();
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let polled: Vec<_> = waiting.iter_mut().map(|verify| verify.as_mut().poll(&mut context)).collect();
    assert_eq!(
        polled.iter().filter(|polled| polled.is_pending()).count(),
        64,
        "the others are answered at once"
    );
    // Nobody is told that a key is unknown which may come in a moment.
    let told_now = polled.iter().filter(|polled| **polled == Poll::Ready(Err(Refused::Unavailable))).count();
    assert_eq!(told_now, 1_000 - 64);
    rig.server.until_asked(2).await;
    for number in 0..1_000 {
        let mut claims = claims();
        claims["sub"] = json!(format!("s{number}"));
        let token = signer.sign(&claims);
        assert!(rig.at_once(&token).unwrap().is_ok(), "seen for the first time");
        assert!(rig.at_once(&token).unwrap().is_ok(), "known");
    }
    assert_eq!(rig.server.asked(), 2);
    rig.clock.pass(3);
    for verify in waiting.iter_mut().zip(polled).filter(|(_, polled)| polled.is_pending()) {
        assert_eq!(
            verify.0.as_mut().await,
            Err(Refused::Unavailable),
            "after 3 seconds, while it is fetched"
        );
    }
}

#[tokio::test]
async fn keys_are_fetched_at_their_interval_or_when_the_provider_says() {
    let signer = Signer::es256("a");
    let server = JwksServer::start(Answer::Cached(jwks(&[&signer]), "public, max-age=600")).await;
    let clock = TestClock::at(start());
    let verifier = verifier(provider(&server.url()), &clock);
    let token = lasting(&signer);
    until(&verifier, &token, Result::is_ok).await.unwrap();
    let asks = async |seconds: i64, count: usize, answer: Answer| {
        server.answers(answer);
        // A second before, nothing is due: what is asked for a moment later is the next fetch, not one more.
        clock.pass(seconds - 1);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert_eq!(server.asked(), count - 1, "{seconds} s");
        clock.pass(1);
        server.until_asked(count).await;
        until(&verifier, &token, Result::is_ok).await.unwrap();
        // The fetch has ended before time goes on.
        let unknown = lasting(&Signer::es256("x"));
        until(&verifier, &unknown, Result::is_err).await.unwrap_err();
    };
    let keys = jwks(&[&signer]);
    asks(600, 2, Answer::Cached(keys.clone(), "max-age=0, no-store")).await;
    asks(60, 3, Answer::Cached(keys.clone(), "max-age=31536000")).await;
    asks(HOUR, 4, Answer::Cached(keys.clone(), "max-age=many")).await;
    asks(HOUR, 5, Answer::Status(500, String::new())).await;
    asks(30, 6, Answer::Status(500, String::new())).await;
    asks(60, 7, Answer::Status(500, String::new())).await;
    asks(120, 8, Answer::Body(keys)).await;
    asks(HOUR, 9, Answer::Reset).await;
}

#[tokio::test]
async fn keys_come_over_tls_from_whom_the_authorities_vouch_for() {
    let signer = Signer::es256("a");
    let token = signer.sign(&claims());
    let (tls, certificate) = tls_for("localhost");
    let server = JwksServer::start_with(Some(tls), Answer::Body(jwks(&[&signer]))).await;
    let url = format!("https://localhost:{}/keys?v=1", server.port);
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("ca.pem");
    std::fs::write(&trusted, certificate.pem()).unwrap();
    let with = |authorities| {
        let mut provider = provider(&url);
        provider.keys = KeySource::Url { target: KeySource::target(&url).unwrap(), authorities };
        Verifier::new(vec![provider], TestClock::at(start()) as Arc<dyn Clock>)
    };
    let verifier = with(Some(trusted)).unwrap();
    until(&verifier, &token, Result::is_ok).await.unwrap();
    let stranger = with(None).unwrap();
    assert_eq!(stranger.verify(&token).await, Err(Refused::Unavailable), "no browser trusts it");
    assert_eq!(server.asked(), 1);
    for (name, text, told) in [
        ("gone.pem", None, "cannot be read"),
        ("empty.pem", Some(""), "has no certificate in PEM"),
        ("key.pem", Some(include_str!("../common/rsa_a.pem")), "has no certificate in PEM"),
        (
            "bad.pem",
            Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
            "is no authority",
        ),
    ] {
        let path = folder.path().join(name);
        if let Some(text) = text {
            std::fs::write(&path, text).unwrap();
        }
        let problem = with(Some(path)).err().unwrap();
        assert!(problem.starts_with("auth.providers.test: ") && problem.contains(told), "{problem}");
    }
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let (old, new) = (Signer::es256("a"), Signer::eddsa("b"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("jwks.json");
    let clock = TestClock::at(start());
    let mut provider = provider("https://unused.example/");
    provider.keys = KeySource::File(path.clone());
    let verifier = verifier(provider, &clock);
    let (of_old, of_new) = (lasting(&old), lasting(&new));
    // There is no file yet.
    until(&verifier, &of_old, |answer| *answer == Err(Refused::Unavailable)).await.unwrap_err();
    let turn = async |text: Option<String>, token: &str, is_ok: bool| {
        match text {
            Some(text) => std::fs::write(&path, text).unwrap(),
            None => std::fs::remove_file(&path).unwrap(),
        }
        clock.pass(1);
        until(&verifier, token, |answer| answer.is_ok() == is_ok).await
    };
    turn(Some(jwks(&[&old])), &of_old, true).await.unwrap();
    assert_eq!(turn(Some(jwks(&[&new])), &of_old, false).await, Err(Refused::Unauthenticated));
    assert!(at_once(&verifier, &of_new).unwrap().is_ok());
    // A file in the middle of being written, or none, keeps the keys.
    for text in [Some("{\"keys\":[".to_owned()), Some(String::new()), None] {
        turn(text, &of_new, true).await.unwrap();
    }
    turn(Some(jwks(&[&old, &new])), &of_old, true).await.unwrap();
    std::fs::remove_file(&path).unwrap();
    clock.pass(24 * HOUR + 2);
    let answer = until(&verifier, &of_new, Result::is_err).await;
    assert_eq!(answer, Err(Refused::Unavailable), "a day without the file");
}
