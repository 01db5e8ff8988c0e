//! Tokens that were verified before: how many are remembered, in how many bytes, and when they are forgotten.

use std::time::Instant;

use creditledger::access::Refused;
use serde_json::{Value, json};

use crate::provider::Answer;
use crate::rig::{Rig, START, claims};
use crate::signer::{Signer, jwks};

fn of(subject: &str, more: Value) -> Value {
    let mut claims = claims();
    claims["sub"] = json!(subject);
    claims["exp"] = json!(START + 86_400);
    claims["more"] = more;
    claims
}

#[tokio::test]
async fn a_remembered_token_costs_no_signature() {
    let signer = Signer::rs256("a");
    let rig = Rig::of(&[&signer]).await;
    let tokens: Vec<_> = (0..200).map(|number| signer.sign(&of(&format!("s{number}"), json!(1)))).collect();
    let time = || {
        let began = Instant::now();
        for token in &tokens {
            assert!(rig.at_once(token).unwrap().is_ok());
        }
        began.elapsed() / 200
    };
    let (first, again) = (time(), time());
    println!("a token costs {first:?} at first, and {again:?} once it is known");
    let caller = rig.verify(&tokens[0]).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&caller, &rig.verify(&tokens[0]).await.unwrap()), "it is the same caller");
    assert!(again < first, "{again:?} against {first:?}");
}

#[tokio::test]
async fn what_is_remembered_is_bounded_and_what_is_used_stays() {
    let signer = Signer::eddsa("a");
    let rig = Rig::of(&[&signer]).await;
    let used = signer.sign(&of("used", json!(1)));
    let unused = signer.sign(&of("unused", json!(1)));
    let (of_used, of_unused) = (rig.verify(&used).await.unwrap(), rig.verify(&unused).await.unwrap());
    // 6,000 bytes each: 16 MiB have room for fewer than 2,800.
    let large = json!("x".repeat(4_300));
    for number in 0..3_000 {
        let token = signer.sign(&of(&format!("s{number}"), large.clone()));
        let weak = std::sync::Arc::downgrade(&rig.verify(&token).await.unwrap());
        assert!(weak.upgrade().is_some(), "it is remembered");
        assert!(std::sync::Arc::ptr_eq(&of_used, &rig.verify(&used).await.unwrap()), "{number}");
    }
    let again = rig.verify(&unused).await.unwrap();
    assert_eq!(again, of_unused);
    assert!(!std::sync::Arc::ptr_eq(&again, &of_unused), "it was forgotten, and verified anew");
}

#[tokio::test]
async fn a_token_is_forgotten_when_its_key_leaves_or_changes() {
    let (signer, other) = (Signer::es256("a"), Signer::es256("b"));
    let rig = Rig::of(&[&signer, &other]).await;
    let token = signer.sign(&of("s", json!(1)));
    let kept = other.sign(&of("s", json!(1)));
    let before = rig.verify(&kept).await.unwrap();
    assert!(rig.verify(&token).await.is_ok());
    // Another key under the same name.
    let replaced = Signer::es256("a");
    rig.server.answers(Answer::Body(jwks(&[&other, &replaced])));
    rig.clock.pass(3_600);
    assert_eq!(rig.until(&token, Result::is_err).await, Err(Refused::Unauthenticated));
    let after = rig.verify(&kept).await.unwrap();
    assert!(std::sync::Arc::ptr_eq(&before, &after), "the other key is still there, in another set");
    rig.server.answers(Answer::Body(jwks(&[&replaced])));
    rig.clock.pass(3_600);
    assert_eq!(rig.until(&kept, Result::is_err).await, Err(Refused::Unauthenticated));
    assert!(rig.verify(&replaced.sign(&of("s", json!(1)))).await.is_ok());
}
