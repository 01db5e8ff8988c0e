//! A provider that rotates its keys, and a flood of tokens with unknown keys: fetches are few, and known callers do not
//! notice. Times are printed; what is asserted of them leaves room for a busy machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use creditledger::access::Refused;
use serde_json::json;

use crate::provider::Answer;
use crate::rig::{Rig, claims};
use crate::signer::{Signer, jwks};

/// What no quiet machine needs for a call, and a busy one may.
const FLOOR: Duration = Duration::from_millis(5);

fn p99(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() * 99 / 100]
}

/// Tokens of one key, whose names of keys no provider has.
fn unknown(signer: &Signer, count: usize) -> Vec<String> {
    let signed = signer.sign(&claims());
    let rest = signed.split_once('.').unwrap().1.to_owned();
    let header = |number| json!({"alg": "ES256", "kid": format!("unknown-{number}")}).to_string();
    (0..count).map(|number| format!("{}.{rest}", crate::signer::base64url(header(number)))).collect()
}

/// The times of calls of known callers, none of which may wait.
fn known_calls(rig: &Rig, tokens: &[String], count: usize) -> Vec<Duration> {
    let mut times = Vec::with_capacity(count);
    for token in tokens.iter().cycle().take(count) {
        let began = Instant::now();
        assert!(rig.at_once(token).expect("a known caller never waits").is_ok());
        times.push(began.elapsed());
    }
    times
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_unknown_keys_a_second_cost_one_fetch_in_thirty_seconds() {
    const ROUNDS: usize = 10;
    const ROUND_SECONDS: i64 = 6;
    let (signer, attacker) = (Signer::es256("a"), Signer::es256("b"));
    let rig = Arc::new(Rig::of(&[&signer]).await);
    let mut long = claims();
    long["exp"] = json!(crate::rig::START + 86_400);
    let known: Vec<String> = (0..100)
        .map(|number| {
            long["sub"] = json!(format!("honest-{number}"));
            signer.sign(&long)
        })
        .collect();
    known_calls(&rig, &known, 1_000);
    let quiet = p99(known_calls(&rig, &known, 10_000));

    let flood = Arc::new(unknown(&attacker, 1_000));
    let mut times = Vec::new();
    let (mut asked, mut attempts) = (Vec::new(), 0);
    let began = Instant::now();
    for _ in 0..ROUNDS {
        rig.clock.pass(ROUND_SECONDS);
        let before = rig.server.asked();
        let (attack, tokens) = (Arc::clone(&rig), Arc::clone(&flood));
        let attack = tokio::spawn(async move {
            for number in 0..10_000 {
                let token = &tokens[number % tokens.len()];
                // Whoever waits for the fetch waits; the flood goes on.
                if let Some(answer) = attack.at_once(token) {
                    assert_eq!(answer, Err(Refused::Unauthenticated));
                }
                if number % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
        times.extend(known_calls(&rig, &known, 2_000));
        attack.await.unwrap();
        attempts += 10_000;
        // A fetch that was asked for ends before the clock goes on.
        rig.until(&flood[0], |answer| *answer == Err(Refused::Unauthenticated)).await.unwrap_err();
        asked.push(rig.server.asked() - before);
    }
    let fetches: usize = asked.iter().sum();
    assert_eq!(asked, [0, 0, 0, 0, 1, 0, 0, 0, 0, 1], "at most one in 30 s, of {attempts} tokens in 60 s");
    assert_eq!(fetches, 2);
    println!("{attempts} tokens with unknown keys in {:?}", began.elapsed());
    let flooded = p99(times);
    println!("known callers, p99: {quiet:?} quiet, {flooded:?} beside {attempts} tokens with unknown keys");
    assert!(flooded <= quiet * 2 + FLOOR, "{flooded:?} against {quiet:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_that_rotate_under_load_harm_no_caller() {
    // The first stays for ever; one more is new in each turn, and the one before goes.
    let constant = Signer::es256("constant");
    let mut current = Signer::es256("0");
    let rig = Arc::new(Rig::of(&[&constant, &current]).await);
    let mut long = claims();
    long["exp"] = json!(crate::rig::START + 86_400);
    let known = [constant.sign(&long)];
    let quiet = p99(known_calls(&rig, &known, 10_000));
    let mut times = Vec::new();
    for turn in 1..=50 {
        let next = Signer::es256(&turn.to_string());
        rig.server.answers(Answer::Body(jwks(&[&constant, &next])));
        let (old, new) = (current.sign(&long), next.sign(&long));
        assert!(rig.verify(&old).await.is_ok());
        rig.clock.pass(31);
        let asks = Arc::clone(&rig);
        let token = new.clone();
        let asks = tokio::spawn(async move { asks.verify(&token).await });
        times.extend(known_calls(&rig, &known, 200));
        assert!(asks.await.unwrap().is_ok(), "turn {turn}: the new key is fetched as soon as it is used");
        assert!(rig.at_once(&new).unwrap().is_ok());
        assert_eq!(
            rig.at_once(&old).unwrap(),
            Err(Refused::Unauthenticated),
            "turn {turn}: its key has gone"
        );
        current = next;
    }
    let rotating = p99(times);
    println!("known callers, p99: {quiet:?} quiet, {rotating:?} while keys rotate");
    assert!(rotating <= quiet * 2 + FLOOR, "{rotating:?} against {quiet:?}");
}

#[tokio::test]
async fn a_set_of_ten_thousand_keys_is_read_and_each_is_found() {
    let signers = [Signer::es256("first"), Signer::es256("last")];
    let mut keys = vec![signers[0].jwk()];
    let template = Signer::es256("x").jwk();
    for number in 0..9_998 {
        let mut key = template.clone();
        key["kid"] = json!(format!("key-{number}"));
        keys.push(key);
    }
    keys.push(signers[1].jwk());
    let body = json!({ "keys": keys }).to_string();
    assert!(body.len() < 4 << 20, "{} bytes", body.len());
    let began = Instant::now();
    let rig = Rig::answering(Answer::Body(body)).await;
    for signer in &signers {
        rig.until(&signer.sign(&claims()), Result::is_ok).await.unwrap();
    }
    println!("10,000 keys are read in {:?}", began.elapsed());
    let known = [signers[1].sign(&claims())];
    println!("known callers, p99: {:?}", p99(known_calls(&rig, &known, 10_000)));
}
