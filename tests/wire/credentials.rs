//! Tokens of a provider, at the wire: what does not hold calls no method, and what holds calls those of its role.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use creditledger::access::Quotas;
use creditledger::access::jwt::{Algorithm, ClaimPath, KeySource, LedgerRule, Provider, Rules, Verifier};
use creditledger::clock;
use creditledger::ledger::actor::Role;
use serde_json::{Value, json};
use tonic::Code;

use crate::access::{reason, requests, table, told};
use crate::callers::Guarded;
use crate::served::{On, Served};
use crate::signer::{Signer, jwks, unsigned};
use crate::world::World;

const ISSUER: &str = "https://issuer.example";

/// A verifier of one provider, whose keys are in a file.
fn verifier(keys: &std::path::Path) -> Verifier {
    let provider = Provider {
        name: "test".to_owned(),
        issuer: ISSUER.to_owned(),
        audiences: BTreeSet::from(["creditledger".to_owned()]),
        algorithms: BTreeSet::from([Algorithm::Rs256, Algorithm::Es256]),
        keys: KeySource::File(keys.to_owned()),
        keys_max_age_hours: 24,
        keys_refresh_minutes: 60,
        rules: Rules {
            subject: ClaimPath::one("sub"),
            subjects: BTreeMap::new(),
            role: Some(ClaimPath::one("role")),
            roles: Role::ALL.iter().map(|role| (role.name().to_owned(), *role)).collect(),
            ledgers: LedgerRule::Claim(ClaimPath::one("ledgers")),
            customer: Some(ClaimPath::one("customer")),
        },
    };
    Verifier::new(vec![provider], Arc::new(clock::System)).unwrap()
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// Claims that hold for an hour.
fn claims(role: Role) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "creditledger", "sub": format!("the {role}"), "exp": now() + 3_600, "role": role.name(),
        "ledgers": ["main", "other"],
    });
    if role == Role::Customer {
        claims["customer"] = "acme".into();
    }
    claims
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    claims[name] = value;
    claims
}

fn without(mut claims: Value, name: &str) -> Value {
    claims.as_object_mut().unwrap().remove(name);
    claims
}

/// Whether a role that is bound to the ledgers `main` and `other` may make the request that [`requests`] has for a method.
pub fn may_in_main_and_other(
    table: &BTreeMap<String, BTreeSet<&'static str>>,
    method: &str,
    role: Role,
) -> bool {
    // These name a ledger that is none of the caller's.
    let elsewhere = ["LedgerService/CreateLedger", "LedgerService/GetLedger"].contains(&method);
    let batched = method == "BatchService/ExecuteBatch";
    let is_of_role = table[method].contains(role.name())
        && (!batched || table["HoldService/CloseIncident"].contains(role.name()));
    // Whoever is bound to some ledgers does nothing about the whole server.
    let whole_server = method.starts_with("AccessService/");
    is_of_role && !elsewhere && !whole_server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_refuses_every_token_that_does_not_hold() {
    let (good, other) = (Signer::rs256("a"), Signer::other_rs256("a"));
    let (unknown, not_allowed) = (Signer::es256("nobody"), Signer::eddsa("c"));
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, jwks(&[&good, &not_allowed])).unwrap();
    let world = World::new(On::Memory).await;
    let guarded = Guarded::with(&world.served, Some(verifier(&file))).await;
    let operator = claims(Role::Operator);
    // The keys are read in a moment.
    let holds = good.sign(&operator);
    let known = async {
        while guarded.call(&holds, "LedgerService/GetServerInfo", Vec::new()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), known).await.unwrap();
    let sign = |claims: Value| good.sign(&claims);
    let past = now() - 3_600;
    let mut broken = vec![
        ("expired", sign(with(operator.clone(), "exp", past.into()))),
        ("not yet valid", sign(with(operator.clone(), "nbf", (now() + 3_600).into()))),
        ("wrong audience", sign(with(operator.clone(), "aud", "others".into()))),
        ("wrong issuer", sign(with(operator.clone(), "iss", "https://evil.example".into()))),
        ("wrong key", other.sign(&operator)),
        ("unknown key", unknown.sign(&operator)),
        ("wrong algorithm", not_allowed.sign(&operator)),
        ("exp is a text", sign(with(operator.clone(), "exp", (now() + 3_600).to_string().into()))),
        ("no such role", sign(with(operator.clone(), "role", "admin".into()))),
        ("a customer without one", sign(with(operator.clone(), "role", "customer".into()))),
        ("cut", holds[..holds.len() - 8].to_owned()),
        ("longer", format!("{holds}.e30")),
    ];
    broken.extend(
        ["exp", "iss", "aud", "sub", "role", "ledgers"]
            .map(|name| ("a claim is missing", sign(without(operator.clone(), name)))),
    );
    broken.extend(unsigned(&operator).into_iter().map(|token| ("alg none", token)));
    broken.extend(good.hs256_with_the_public_key(&operator).into_iter().map(|token| ("HS256", token)));
    let before = world.served.positions().await;
    let mut messages = BTreeSet::new();
    for (method, request) in requests(&world) {
        for (what, token) in &broken {
            let status = guarded.call(token, method, request.clone()).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{method}, {what}: {status}");
            assert_eq!(reason(&status), "UNAUTHENTICATED", "{method}, {what}");
            messages.insert(status.message().to_owned());
        }
    }
    assert_eq!(messages.len(), 1, "nothing tells what was wrong: {messages:?}");
    assert_eq!(world.served.positions().await, before, "nothing was done");
    // A key that leaves the set takes its tokens with it, also those that were remembered.
    std::fs::write(&file, jwks(&[&not_allowed, &Signer::es256("new")])).unwrap();
    let gone = async {
        while guarded.call(&holds, "LedgerService/GetServerInfo", Vec::new()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_of_a_provider_has_its_role_in_its_ledgers() {
    let signer = Signer::es256("a");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, jwks(&[&signer])).unwrap();
    let world = World::new(On::Memory).await;
    let guarded = Guarded::with(&world.served, Some(verifier(&file))).await;
    let table = table();
    for (method, request) in requests(&world) {
        for role in Role::ALL {
            let token = signer.sign(&claims(*role));
            let mut answer = guarded.call(&token, method, request.clone()).await;
            // The keys are read in a moment.
            let known = async {
                while told(&answer) == "IDENTITY_UNAVAILABLE" || told(&answer) == "UNAUTHENTICATED" {
                    answer = guarded.call(&token, method, request.clone()).await;
                }
            };
            tokio::time::timeout(Duration::from_mins(1), known).await.unwrap();
            let may = may_in_main_and_other(&table, method, *role);
            assert_eq!(told(&answer) == "PERMISSION_DENIED", !may, "{method} by {role}: {:?}", told(&answer));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_an_address_that_guesses_no_more_signatures_are_checked_and_known_tokens_hold() {
    let signer = Signer::es256("a");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    std::fs::write(&file, jwks(&[&signer])).unwrap();
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::limited(&served, Some(verifier(&file)), Quotas::none(), 1).await;
    let call = async |token: &str| told(&guarded.call(token, "LedgerService/ListLedgers", Vec::new()).await);
    let known = signer.sign(&claims(Role::Helpdesk));
    let until = async |token: &str, wanted: &str| {
        let came = async { while call(token).await != wanted {} };
        tokio::time::timeout(Duration::from_mins(1), came).await.unwrap();
    };
    // The keys are read in a moment; what fails until then counts too.
    until(&known, "").await;
    let expired = signer.sign(&with(claims(Role::Helpdesk), "exp", (now() - 3_600).into()));
    until(&expired, "RATE_LIMITED").await;
    assert_eq!(call(&known).await, "", "it was verified before");
    // One that would hold is looked at later. Each time it is not, the address has guessed once more or waited.
    let new = signer.sign(&with(claims(Role::Helpdesk), "sub", "somebody else".into()));
    let refused = async {
        loop {
            until(&expired, "RATE_LIMITED").await;
            let fresh = signer.sign(&with(claims(Role::Helpdesk), "sub", format!("{}", now()).into()));
            if call(&fresh).await == "RATE_LIMITED" {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_mins(1), refused).await.unwrap();
    until(&new, "").await;
}
