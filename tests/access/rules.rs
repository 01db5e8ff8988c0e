//! What claims mean: roles that are one or none, ledgers, customers, and subjects that the settings name.

use std::collections::{BTreeMap, BTreeSet};

use creditledger::access::jwt::{ClaimPath, Grant, LedgerRule, Rules};
use creditledger::access::{Caller, Ledgers, Refused};
use creditledger::ledger::actor::Role;
use creditledger::ledger::{CustomerId, LedgerId};
use serde_json::{Value, json};

use crate::clock::TestClock;
use crate::provider::{Answer, JwksServer};
use crate::rig::{claims, provider, rules, start, until, verifier};
use crate::signer::{Signer, jwks};

fn path(text: &str) -> ClaimPath {
    ClaimPath::parse(text).unwrap()
}

fn only(ledgers: &[&str]) -> Ledgers {
    Ledgers::Only(ledgers.iter().map(|id| LedgerId::parse(id).unwrap()).collect::<BTreeSet<_>>())
}

/// Who a token with these claims is, under these rules.
async fn caller(rules: Rules, changes: Value) -> Result<Caller, Refused> {
    let signer = Signer::es256("a");
    let server = JwksServer::start(Answer::Body(jwks(&[&signer]))).await;
    let mut provider = provider(&server.url());
    provider.rules = rules;
    let verifier = verifier(provider, &TestClock::at(start()));
    let mut all = claims();
    for (name, value) in changes.as_object().unwrap() {
        all[name] = value.clone();
    }
    let answer = until(&verifier, &signer.sign(&all), |answer| *answer != Err(Refused::Unavailable)).await;
    answer.map(|caller| (*caller).clone())
}

fn mapped() -> Rules {
    let roles = [("support", Role::Helpdesk), ("desk", Role::Helpdesk), ("books", Role::Auditor)];
    Rules {
        role: Some(path("realm_access.roles")),
        roles: roles.map(|(value, role)| (value.to_owned(), role)).into(),
        ..rules()
    }
}

#[tokio::test]
async fn a_token_has_one_role_or_none() {
    for (claim, role) in [
        (json!({"roles": "support"}), Some(Role::Helpdesk)),
        (json!({"roles": ["support"]}), Some(Role::Helpdesk)),
        (json!({"roles": ["offline_access", "books", "uma"]}), Some(Role::Auditor)),
        (json!({"roles": ["support", "desk", "support"]}), Some(Role::Helpdesk)),
        (json!({"roles": ["support", "books"]}), None),
        (json!({"roles": ["Support"]}), None),
        (json!({"roles": ["helpdesk", "operator"]}), None),
        (json!({"roles": []}), None),
        (json!({"roles": {"support": {}}}), None),
        (json!({"roles": ["support", {}]}), None),
        (json!({"roles": null}), None),
        (json!({}), None),
        (json!(["support"]), None),
        (json!("support"), None),
    ] {
        let answer = caller(mapped(), json!({"realm_access": claim, "creditledger_role": "operator"})).await;
        match role {
            Some(role) => assert_eq!(answer.unwrap().bounds.role(), role, "{claim}"),
            None => assert_eq!(answer, Err(Refused::Unauthenticated), "{claim}"),
        }
    }
}

#[tokio::test]
async fn names_of_claims_may_be_urls_or_have_points() {
    for (path, claims) in [
        (path("https://creditledger.example/roles"), json!({"https://creditledger.example/roles": ["desk"]})),
        (path("urn:roles"), json!({"urn:roles": "desk"})),
        (path("a.b.c"), json!({"a": {"b": {"c": "desk"}}})),
        (
            ClaimPath::of(vec!["resource_access".into(), "my.client".into(), "roles".into()]).unwrap(),
            json!({"resource_access": {"my.client": {"roles": ["desk"]}}}),
        ),
    ] {
        let rules = Rules { role: Some(path), ..mapped() };
        assert_eq!(caller(rules, claims).await.unwrap().bounds.role(), Role::Helpdesk);
    }
    for odd in ["", ".", "a.", ".a", "a..b", " a", "a "] {
        assert!(ClaimPath::parse(odd).is_err(), "{odd:?}");
    }
    assert!(ClaimPath::of(Vec::new()).is_err());
}

#[tokio::test]
async fn ledgers_come_from_the_settings_or_from_a_claim_and_never_all_from_a_claim() {
    let fixed = Rules { ledgers: LedgerRule::Fixed(only(&["main"])), ..rules() };
    let answer = caller(fixed, json!({"ledgers": ["other"]})).await;
    assert_eq!(*answer.unwrap().bounds.ledgers(), only(&["main"]));
    for (claim, ledgers) in [
        (json!("main"), Some(&["main"][..])),
        (json!(["main", "eu"]), Some(&["eu", "main"])),
        (json!([]), None),
        (json!(null), None),
        (json!(""), None),
        (json!("*"), None),
        (json!(["main", "*"]), None),
        (json!(["main", "a b"]), None),
        (json!(["main", 1]), None),
        (json!({"main": true}), None),
        (json!(true), None),
    ] {
        let rules = Rules { ledgers: LedgerRule::Claim(path("ledgers")), ..rules() };
        let answer = caller(rules, json!({"ledgers": claim})).await;
        match ledgers {
            Some(ledgers) => assert_eq!(*answer.unwrap().bounds.ledgers(), only(ledgers), "{claim}"),
            None => assert_eq!(answer, Err(Refused::Unauthenticated), "{claim}"),
        }
    }
}

#[tokio::test]
async fn the_role_customer_is_bound_to_the_customer_that_the_token_names() {
    let with = |claim: Value| json!({"creditledger_role": "customer", "customer": claim});
    let answer = caller(rules(), with(json!("acme"))).await.unwrap();
    assert_eq!(answer.bounds.customer().unwrap().as_str(), "acme");
    let long = "x".repeat(129);
    for claim in [json!(null), json!(""), json!("a b"), json!(["acme"]), json!(7), json!(long)] {
        assert_eq!(caller(rules(), with(claim.clone())).await, Err(Refused::Unauthenticated), "{claim}");
    }
    let without = Rules { customer: None, ..rules() };
    assert_eq!(caller(without, with(json!("acme"))).await, Err(Refused::Unauthenticated));
    // Another role is bound to none, whatever the claims say.
    let helpdesk = caller(rules(), json!({"customer": "acme"})).await.unwrap();
    assert_eq!(helpdesk.bounds.customer(), None);
}

#[tokio::test]
async fn subjects_of_the_settings_have_their_own_bounds() {
    let grant = |role, ledgers, customer: Option<&str>| Grant {
        role,
        ledgers,
        customer: customer.map(|id| CustomerId::parse(id).unwrap()),
    };
    let subjects = BTreeMap::from([
        ("shop".to_owned(), grant(Role::Storefront, Some(only(&["main"])), None)),
        ("plain".to_owned(), grant(Role::Auditor, None, None)),
        ("acme".to_owned(), grant(Role::Customer, Some(only(&["eu"])), Some("acme"))),
    ]);
    let alone = || Rules {
        subjects: subjects.clone(),
        role: None,
        roles: BTreeMap::new(),
        customer: None,
        ..rules()
    };
    let of = |subject: &str| json!({"sub": subject, "creditledger_role": "operator"});
    let shop = caller(alone(), of("shop")).await.unwrap();
    assert_eq!((shop.bounds.role(), shop.bounds.ledgers()), (Role::Storefront, &only(&["main"])));
    let plain = caller(alone(), of("plain")).await.unwrap();
    assert_eq!((plain.bounds.role(), plain.bounds.ledgers()), (Role::Auditor, &Ledgers::All));
    let acme = caller(alone(), of("acme")).await.unwrap();
    assert_eq!(acme.bounds.customer().unwrap().as_str(), "acme");
    assert_eq!(caller(alone(), of("Shop")).await, Err(Refused::Unauthenticated));
    // Beside a claim, both must say the same.
    let beside = || Rules { subjects: subjects.clone(), ..rules() };
    let claimed = |role: &str| json!({"sub": "plain", "creditledger_role": role});
    assert!(caller(beside(), claimed("auditor")).await.is_ok());
    assert!(caller(beside(), claimed("nobody")).await.is_ok());
    assert_eq!(caller(beside(), claimed("operator")).await, Err(Refused::Unauthenticated));
    // Each subject has ledgers of its own, or it has none.
    let none = Rules { ledgers: LedgerRule::None, ..alone() };
    assert_eq!(caller(none.clone(), of("plain")).await, Err(Refused::Unauthenticated));
    assert!(caller(none, of("shop")).await.is_ok());
}

#[tokio::test]
async fn the_subject_may_be_another_claim() {
    let rules = Rules { subject: path("preferred_username"), ..rules() };
    let answer = caller(rules.clone(), json!({"preferred_username": "ann"})).await.unwrap();
    assert_eq!(answer.actor(None).unwrap().subject.to_string(), "ann");
    for odd in [json!(null), json!(""), json!(7), json!("a\nb")] {
        let answer = caller(rules.clone(), json!({"preferred_username": odd})).await;
        assert_eq!(answer, Err(Refused::Unauthenticated), "{odd}");
    }
    assert_eq!(caller(rules, json!({})).await, Err(Refused::Unauthenticated));
}
