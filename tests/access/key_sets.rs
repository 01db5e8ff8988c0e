//! Keys of every shape in a set: those that can be used are, and the others do not spoil them.

use creditledger::access::Refused;
use serde_json::{Value, json};

use crate::provider::Answer;
use crate::rig::{Rig, claims, provider, start, until, verifier};
use crate::signer::{Signer, base64url};

fn with(signer: &Signer, changes: &[(&str, Value)]) -> Value {
    let mut jwk = signer.jwk();
    for (name, value) in changes {
        match value {
            Value::Null => drop(jwk.as_object_mut().unwrap().remove(*name)),
            value => jwk[*name] = value.clone(),
        }
    }
    jwk
}

/// Whether a token of `signer` is taken where the provider shows this key, after one that always serves.
async fn is_taken(signer: &Signer, jwk: &Value) -> bool {
    let anchor = Signer::eddsa("anchor");
    let body = json!({"more": {"keys": 1}, "keys": [jwk, anchor.jwk()]}).to_string();
    let rig = Rig::answering(Answer::Body(body)).await;
    rig.until(&anchor.sign(&claims()), Result::is_ok).await.unwrap();
    match rig.verify(&signer.sign(&claims())).await {
        Ok(_) => true,
        Err(refused) => {
            assert_eq!(refused, Refused::Unauthenticated);
            false
        }
    }
}

#[tokio::test]
async fn use_key_ops_and_alg_are_respected() {
    let signer = Signer::es256("a");
    for (changes, taken) in [
        (&[("use", Value::Null), ("alg", Value::Null)][..], true),
        (&[("use", json!("enc"))], false),
        (&[("use", json!("SIG"))], false),
        (&[("use", json!(1))], false),
        (&[("key_ops", json!(["verify"]))], true),
        (&[("key_ops", json!(["sign", "verify"]))], true),
        (&[("key_ops", json!(["encrypt"]))], false),
        (&[("key_ops", json!([]))], false),
        (&[("key_ops", json!("verify"))], false),
        (&[("alg", json!("ES256"))], true),
        (&[("alg", json!("ES384"))], false),
        (&[("alg", json!("RS256"))], false),
        (&[("alg", json!("none"))], false),
        (&[("alg", json!(1))], false),
        (&[("x5c", json!(["MII"])), ("x5t", json!("abc")), ("unknown", json!({}))], true),
    ] {
        let jwk = with(&signer, changes);
        assert_eq!(is_taken(&signer, &jwk).await, taken, "{jwk}");
    }
}

#[tokio::test]
async fn keys_of_odd_shapes_are_left_out_and_spoil_nothing() {
    let (rsa, ec) = (Signer::rs256("r"), Signer::es256("e"));
    let zero = |signer: &Signer, name: &str| {
        use base64::Engine as _;
        let engine = base64::engine::general_purpose::URL_SAFE_NO_PAD;
        let bytes = engine.decode(signer.jwk()[name].as_str().unwrap()).unwrap();
        json!(base64url([&[0][..], &bytes].concat()))
    };
    // Some providers show a leading zero of the modulus.
    assert!(is_taken(&rsa, &with(&rsa, &[("n", zero(&rsa, "n"))])).await);
    let modulus = |bits: usize| {
        let mut n = vec![0xff; bits / 8];
        n[0] = 0x80;
        json!(base64url(n))
    };
    for jwk in [
        with(&rsa, &[("n", modulus(1_024))]),
        with(&rsa, &[("n", modulus(2_040))]),
        with(&rsa, &[("n", modulus(8_200))]),
        with(&rsa, &[("n", json!(""))]),
        with(&rsa, &[("n", Value::Null)]),
        with(&rsa, &[("n", json!(7))]),
        with(&rsa, &[("e", json!("AQ"))]),
        with(&rsa, &[("e", json!("Ag"))]),
        with(&rsa, &[("e", json!("AAAA"))]),
        with(&rsa, &[("e", json!("AQAAAAAAAQ"))]),
        with(&rsa, &[("e", Value::Null)]),
        with(&rsa, &[("kty", json!("EC"))]),
        with(&rsa, &[("kty", json!("rsa"))]),
        with(&rsa, &[("kty", Value::Null)]),
        with(&rsa, &[("d", json!("AQAB"))]),
        with(&rsa, &[("kid", json!(""))]),
        with(&rsa, &[("kid", json!(5))]),
        with(&rsa, &[("kid", json!("k".repeat(1_025)))]),
    ] {
        assert!(!is_taken(&rsa, &jwk).await, "{jwk}");
    }
    for jwk in [
        with(&ec, &[("crv", json!("P-384"))]),
        with(&ec, &[("crv", json!("secp256k1"))]),
        with(&ec, &[("crv", Value::Null)]),
        with(&ec, &[("x", zero(&ec, "x"))]),
        with(&ec, &[("x", json!("AA"))]),
        with(&ec, &[("y", Value::Null)]),
        with(&ec, &[("y", json!(format!("{}=", ec.jwk()["y"].as_str().unwrap())))]),
        // 32 bytes that are no point of the curve.
        with(&ec, &[("y", json!(base64url([1; 32])))]),
        with(&ec, &[("kty", json!("OKP"))]),
        json!({"kty": "oct", "k": base64url("secret"), "kid": "e"}),
        json!(null),
        json!(7),
        json!([ec.jwk()]),
        json!({}),
    ] {
        assert!(!is_taken(&ec, &jwk).await, "{jwk}");
    }
}

#[tokio::test]
async fn of_two_keys_with_a_name_the_first_serves() {
    let (first, second) = (Signer::es256("same"), Signer::es256("same"));
    let other_type = Signer::eddsa("same");
    let rig = Rig::of(&[&first, &second, &other_type]).await;
    assert!(rig.verify(&first.sign(&claims())).await.is_ok());
    assert_eq!(rig.verify(&second.sign(&claims())).await, Err(Refused::Unauthenticated));
    assert!(rig.verify(&other_type.sign(&claims())).await.is_ok(), "a key of another type is another key");
}

#[tokio::test]
async fn a_provider_may_be_allowed_fewer_algorithms() {
    use creditledger::access::jwt::Algorithm;
    let signers = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let server = crate::provider::JwksServer::start(Answer::Body(crate::signer::jwks(&[
        &signers[0],
        &signers[1],
        &signers[2],
    ])))
    .await;
    for (allowed, signer) in Algorithm::ALL.into_iter().zip(&signers) {
        let mut provider = provider(&server.url());
        provider.algorithms = [allowed].into();
        let verifier = verifier(provider, &crate::clock::TestClock::at(start()));
        until(&verifier, &signer.sign(&claims()), Result::is_ok).await.unwrap();
        for other in signers.iter().filter(|other| other.algorithm() != signer.algorithm()) {
            assert_eq!(verifier.verify(&other.sign(&claims())).await, Err(Refused::Unauthenticated));
        }
    }
}
