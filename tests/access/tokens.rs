//! Tokens of every shape: what holds is taken, everything else is refused with one reason.

use creditledger::access::Refused;
use creditledger::ledger::actor::Role;
use serde_json::{Value, json};

use crate::rig::{AUDIENCE, ISSUER, Rig, START, claims, who};
use crate::signer::{Signer, base64url, unsigned};

/// The claims with one of them changed; `null` takes it away.
fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn changed(header: &Value, changes: &[(&str, Value)]) -> String {
    let mut header = header.clone();
    for (name, value) in changes {
        header[*name] = value.clone();
    }
    header.to_string()
}

#[tokio::test]
async fn tokens_that_hold_are_taken() {
    let signers = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let rig = Rig::of(&[&signers[0], &signers[1], &signers[2]]).await;
    for signer in &signers {
        let caller = rig.verify(&signer.sign(&claims())).await.unwrap();
        assert_eq!(who(&caller), ("helpdesk-1".to_owned(), Role::Helpdesk));
        let until = caller.until.unwrap();
        assert_eq!(until.micros(), (START + 3_600 + 30) * 1_000_000, "when it is no longer taken");
        for changes in [
            with("aud", json!([AUDIENCE, "other"])),
            with("aud", json!(["other", AUDIENCE])),
            with("nbf", json!(START)),
            with("nbf", json!(START + 30)),
            with("iat", json!(START + 30)),
            with("iat", Value::Null),
            // Within the leeway.
            with("exp", json!(START - 29)),
            with("exp", json!(253_402_300_799_i64)),
            with("sub", json!("\u{e9}\u{4e2d} \u{1f600} 'a' \"b\"")),
            with("nested", json!({"a": [{"b": [1.5e300, null, true, -7]}]})),
            with("creditledger_role", json!(["nothing of ours", "helpdesk"])),
        ] {
            let answer = rig.verify(&signer.sign(&changes)).await;
            assert!(answer.is_ok(), "{} {changes}", signer.algorithm());
        }
        for changes in [
            &[("typ", json!("at+jwt"))][..],
            &[("typ", json!("application/at+jwt"))],
            &[("typ", json!("jwt"))],
            // An algorithm has one key here, so that the name may be left out.
            &[("unknown", json!({"a": 1}))],
            &[("x5t", json!("abc")), ("x5c", json!(["MII"]))],
        ] {
            let header = changed(&signer.header(), changes);
            assert!(rig.verify(&signer.sign_text(&header, &claims().to_string())).await.is_ok(), "{header}");
        }
        let nameless = json!({"alg": signer.algorithm()}).to_string();
        assert!(rig.verify(&signer.sign_text(&nameless, &claims().to_string())).await.is_ok());
    }
}

/// Tokens that do not hold, each with what is wrong.
fn broken(signer: &Signer, stranger: &Signer) -> Vec<(String, String)> {
    let mut tokens: Vec<(String, String)> = Vec::new();
    let mut add = |what: &str, token: String| tokens.push((what.to_owned(), token));
    let good = signer.sign(&claims());
    let [header, payload, signature]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();

    for text in
        ["", ".", "..", "...", "a", "a.b", "a.b.c", "null", "\0", "\u{1f600}.\u{e9}.\u{4e2d}", "Bearer x"]
    {
        add("junk", text.to_owned());
    }
    add("too long", format!("{good}{}", "A".repeat(8 << 10)));
    add("many dots", ".".repeat(8 << 10));
    add("four parts", format!("{good}.{signature}"));
    add("five parts, as if encrypted", format!("{header}..{payload}.{signature}.{signature}"));
    add("no signature", format!("{header}.{payload}."));
    add("no header", format!(".{payload}.{signature}"));
    add("no claims", format!("{header}..{signature}"));
    add("spaces around", format!(" {good} "));
    add("a line's end", format!("{good}\n"));
    for (what, from, to) in
        [("padding", signature, format!("{signature}==")), ("padding", payload, format!("{payload}="))]
    {
        add(what, good.replace(from, &to));
    }
    let mut signed = (1..).map(|count| signer.sign(&with("sub", json!("?>".repeat(count)))));
    let signs = signed.find(|token| token.contains('-') && token.contains('_')).unwrap();
    add("another alphabet", signs.replace('-', "+").replace('_', "/"));
    add("a cut signature", good[..good.len() - 4].to_owned());
    add("a longer signature", format!("{good}AAAA"));
    add(
        "another's signature",
        format!("{header}.{payload}.{}", stranger.sign(&claims()).rsplit('.').next().unwrap()),
    );
    add(
        "changed claims",
        good.replace(payload, &base64url(with("creditledger_role", json!("operator")).to_string())),
    );
    let changed_header = base64url(changed(&signer.header(), &[("x", json!(1))]));
    add("changed header", good.replace(header, &changed_header));
    add("wrong key", Signer::other_rs256(&signer.kid).sign(&claims()));
    add("unknown kid", stranger.sign(&claims()));

    for token in unsigned(&claims()) {
        add("none", token);
    }
    for token in signer.hs256_with_the_public_key(&claims()) {
        add("HS256 with the public key", token);
    }
    let text = claims().to_string();
    for (name, value) in [
        ("alg", json!("none")),
        ("alg", json!("HS256")),
        ("alg", json!("RS384")),
        ("alg", json!("PS256")),
        ("alg", json!("ES384")),
        ("alg", json!("Ed25519")),
        ("alg", json!("rs256")),
        ("alg", json!("")),
        ("alg", json!(null)),
        ("alg", json!(1)),
        ("alg", json!(["RS256"])),
        ("typ", json!("logout+jwt")),
        ("typ", json!("dpop+jwt")),
        ("typ", json!(1)),
        ("typ", json!(null)),
        ("kid", json!("")),
        ("kid", json!("another")),
        ("kid", json!("../../etc/passwd")),
        ("kid", json!(null)),
        ("kid", json!(7)),
        ("kid", json!([signer.kid])),
        ("jwk", stranger.jwk()),
        ("jku", json!("https://attacker.example/keys")),
        ("x5u", json!("https://attacker.example/cert")),
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
    ] {
        let header = changed(&signer.header(), &[(name, value)]);
        add(&header, signer.sign_text(&header, &text));
    }
    for alg in ["RS256", "ES256", "EdDSA"].into_iter().filter(|alg| *alg != signer.algorithm()) {
        let header = changed(&signer.header(), &[("alg", json!(alg))]);
        add("an algorithm that does not fit the key", signer.sign_text(&header, &text));
    }
    let stranger_brings_its_key =
        changed(&stranger.header(), &[("jwk", stranger.jwk()), ("kid", json!(signer.kid))]);
    add("the key in the token", stranger.sign_text(&stranger_brings_its_key, &text));

    for header in
        ["", "{}", "null", "[]", "\"RS256\"", "{\"alg\":\"RS256\"", "{\"alg\":\"RS256\"}}", "\u{feff}{}"]
    {
        add("a header that is none", signer.sign_text(header, &text));
    }
    let twice = format!("{{\"alg\":\"none\",{}", &signer.header().to_string()[1..]);
    add("alg twice", signer.sign_text(&twice, &text));
    for payload in [
        "",
        "{}",
        "null",
        "[]",
        "7",
        "\"a\"",
        "{\"iss\":",
        "\u{0}",
        &"[".repeat(4_000),
        &"{\"a\":".repeat(1_000),
    ] {
        add("claims that are none", signer.sign_text(&signer.header().to_string(), payload));
    }
    for twice in [
        "\"sub\":\"other\"",
        "\"exp\":1",
        "\"iss\":\"x\"",
        "\"x\":{\"y\":1,\"y\":2}",
        "\"x\":[{\"\\u0079\":1,\"y\":2}]",
    ] {
        let payload = format!("{{{twice},{}", &text[1..]);
        add("a name twice", signer.sign_text(&signer.header().to_string(), &payload));
    }
    let payload = format!("{{\"exp\":1e400,{}", &with("exp", Value::Null).to_string()[1..]);
    add("exp beyond all numbers", signer.sign_text(&signer.header().to_string(), &payload));
    add("huge claims", signer.sign(&with("x", json!("y".repeat(8 << 10)))));

    let whole = START + 3_600;
    for (name, value) in [
        ("exp", Value::Null),
        ("exp", json!(whole.to_string())),
        ("exp", json!(format!("{whole}"))),
        ("exp", json!(-1)),
        ("exp", json!(-whole)),
        ("exp", json!(0)),
        ("exp", json!(1_795_856_400.5)),
        ("exp", json!(1.8e9)),
        ("exp", json!(253_402_300_800_i64)),
        ("exp", json!(i64::MAX)),
        ("exp", json!(u64::MAX)),
        ("exp", json!(1e300)),
        ("exp", json!([whole])),
        ("exp", json!({"at": whole})),
        ("exp", json!(true)),
        ("exp", json!(START - 30)),
        ("exp", json!(START - 31)),
        ("exp", json!(START - 86_400)),
        ("nbf", json!(START + 31)),
        ("nbf", json!(whole)),
        ("nbf", json!("0")),
        ("nbf", json!(-1)),
        ("nbf", json!(1.5)),
        ("iat", json!(START + 31)),
        ("iat", json!("0")),
        ("iat", json!(1.5)),
        ("iss", Value::Null),
        ("iss", json!("")),
        ("iss", json!("https://other.example")),
        ("iss", json!(format!("{ISSUER}/"))),
        ("iss", json!(ISSUER.to_uppercase())),
        ("iss", json!([ISSUER])),
        ("iss", json!(1)),
        ("aud", Value::Null),
        ("aud", json!("")),
        ("aud", json!("other")),
        ("aud", json!([])),
        ("aud", json!(["other"])),
        ("aud", json!([[AUDIENCE]])),
        ("aud", json!([AUDIENCE, 1])),
        ("aud", json!({AUDIENCE: true})),
        ("aud", json!("creditledger other")),
        ("sub", Value::Null),
        ("sub", json!("")),
        ("sub", json!(7)),
        ("sub", json!(["helpdesk-1"])),
        ("sub", json!("a\nb")),
        ("sub", json!("a\u{0}b")),
        ("sub", json!("x".repeat(1_025))),
        ("cnf", json!({"jkt": "x"})),
        ("creditledger_role", Value::Null),
        ("creditledger_role", json!("nobody")),
        ("creditledger_role", json!("Helpdesk")),
        ("creditledger_role", json!("")),
        ("creditledger_role", json!([])),
        ("creditledger_role", json!(["helpdesk", "operator"])),
        ("creditledger_role", json!(["helpdesk", 1])),
        ("creditledger_role", json!({"helpdesk": true})),
        ("creditledger_role", json!(6)),
        ("creditledger_role", json!("customer")),
    ] {
        let claims = with(name, value);
        add(&format!("{name}: {}", claims.get(name).unwrap_or(&Value::Null)), signer.sign(&claims));
    }
    tokens
}

#[tokio::test]
async fn tokens_of_every_broken_shape_are_refused_with_one_reason() {
    let signers = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let rig = Rig::of(&[&signers[0], &signers[1], &signers[2]]).await;
    let stranger = Signer::es256("stranger");
    let mut count = 0;
    for signer in &signers {
        // The first unknown key may ask for a fetch; after that the clock stands still, and nobody waits.
        for (what, token) in broken(signer, &stranger) {
            let answer = rig.verify(&token).await;
            assert_eq!(answer, Err(Refused::Unauthenticated), "{}: {what}", signer.algorithm());
            assert_eq!(rig.verify(&token).await, answer, "and again: {what}");
            count += 1;
        }
        assert!(rig.verify(&signer.sign(&claims())).await.is_ok());
    }
    assert!(count > 350, "{count} tokens");
    assert_eq!(rig.server.asked(), 1, "30 seconds have not passed since the first fetch");
}

#[tokio::test]
async fn the_name_of_the_key_may_be_left_out_only_where_one_key_fits() {
    let signers = [Signer::es256("a"), Signer::es256("b"), Signer::eddsa("c")];
    let rig = Rig::of(&[&signers[0], &signers[1], &signers[2]]).await;
    let nameless = |signer: &Signer| {
        signer.sign_text(&json!({"alg": signer.algorithm()}).to_string(), &claims().to_string())
    };
    assert_eq!(rig.verify(&nameless(&signers[0])).await, Err(Refused::Unauthenticated));
    assert_eq!(rig.verify(&nameless(&signers[1])).await, Err(Refused::Unauthenticated));
    assert!(rig.verify(&nameless(&signers[2])).await.is_ok());
}

#[tokio::test]
async fn a_token_ends_at_its_time_and_begins_at_it() {
    let signer = Signer::es256("a");
    let rig = Rig::of(&[&signer]).await;
    let short = signer.sign(&with("exp", json!(START + 60)));
    let late = signer.sign(&with("nbf", json!(START + 60)));
    assert!(rig.verify(&short).await.is_ok());
    assert_eq!(rig.verify(&late).await, Err(Refused::Unauthenticated));
    rig.clock.pass(30);
    assert!(rig.verify(&late).await.is_ok());
    rig.clock.pass(59);
    assert!(rig.verify(&short).await.is_ok(), "within the leeway, 89 seconds after the start");
    rig.clock.pass(1);
    assert_eq!(rig.verify(&short).await, Err(Refused::Unauthenticated), "though it is remembered");
    assert!(rig.verify(&late).await.is_ok());
}
