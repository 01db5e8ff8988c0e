//! A provider that rotates its keys, and a flood of tokens with unknown keys: fetches are few, and known callers do not
//! notice. Times are printed; what is asserted of them leaves room for a busy machine.

use std::sync::Arc;
use std::time::{Duration, Instant};

use creditledger::access::{Caller, Refused};
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

/// While a fetch is under way it is not told that the key is unknown.
fn must_be_refused(answer: &Result<Arc<Caller>, Refused>) {
    assert!(matches!(answer, Err(Refused::Unauthenticated | Refused::Unavailable)), "{answer:?}");
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
                    must_be_refused(&answer);
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

/// `CREDITLEDGER_TEST_TIMES=20 cargo test --release --test access -- at_a_rate --nocapture` attacks for 10 seconds; in
/// CI it is half a second. It prints the rate, the fetches, and what known callers notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_a_rate_of_ten_thousand_a_second_known_callers_do_not_notice() {
    const A_SECOND: u128 = 10_000;
    /// Known callers call once in this time, so that they leave the machine to the attack.
    const PAUSE: Duration = Duration::from_micros(200);
    let times = std::env::var("CREDITLEDGER_TEST_TIMES").map_or(1, |times| times.parse().unwrap());
    let lasts = Duration::from_millis(500) * times;
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
    let paced = async |calls: &dyn Fn() -> bool| {
        let mut times = Vec::new();
        while calls() {
            times.extend(known_calls(&rig, &known[times.len() % known.len()..][..1], 1));
            let next = Instant::now() + PAUSE;
            while Instant::now() < next {
                tokio::task::yield_now().await;
            }
        }
        p99(times)
    };
    let begun = Instant::now();
    let alone = paced(&|| begun.elapsed() < lasts).await;

    // The next unknown key starts a fetch; the clock stands still, so it is the only one.
    rig.clock.pass(31);
    let asked = rig.server.asked();
    let flood = unknown(&attacker, 1_000);
    let attack = Arc::clone(&rig);
    let attack = tokio::task::spawn_blocking(move || {
        let (begun, mut sent) = (Instant::now(), 0_usize);
        while begun.elapsed() < lasts {
            // As many as are due by now.
            let due = begun.elapsed().as_micros() * A_SECOND / 1_000_000;
            if u128::try_from(sent).unwrap() >= due {
                std::thread::yield_now();
                continue;
            }
            if let Some(answer) = attack.at_once(&flood[sent % flood.len()]) {
                must_be_refused(&answer);
            }
            sent += 1;
        }
        (sent, begun.elapsed())
    });
    let beside = paced(&|| !attack.is_finished()).await;
    let (sent, took) = attack.await.unwrap();
    let fetches = rig.server.asked() - asked;
    let rate = u128::try_from(sent).unwrap() * 1_000_000 / took.as_micros();
    let ratio = beside.as_nanos() * 100 / alone.as_nanos().max(1);
    println!("{sent} tokens with unknown keys in {took:?}: {rate} a second, {fetches} fetches");
    println!("known callers, p99: {alone:?} alone, {beside:?} beside them, {ratio} %");
    assert_eq!(fetches, 1);
    assert!(beside <= alone * 2 + FLOOR, "{beside:?} against {alone:?}");
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
