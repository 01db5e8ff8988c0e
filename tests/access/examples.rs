//! The examples of settings in `deploy/README.md`, each with a token as that provider makes them, and who it is.

use std::collections::BTreeMap;

use creditledger::access::Ledgers;
use creditledger::access::jwt::{KeySource, Provider};
use creditledger::config::{Config, Flags, Secrets};
use creditledger::ledger::actor::Role;
use serde_json::{Value, json};

use crate::clock::TestClock;
use crate::provider::{Answer, JwksServer};
use crate::rig::{START, provider, start, until, verifier, who};
use crate::signer::Signer;

/// All examples of the section as one file of settings.
fn settings() -> Config {
    let readme = include_str!("../../deploy/README.md");
    let section = readme.split("\n## Who may call\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks = section.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap());
    // Certificates of callers need TLS.
    let needed = "authenticate = true\ntls_certificate_file = \"s.pem\"\ntls_key_file = \"s.key\"\n\
                  tls_client_authorities_file = \"ca.pem\"\ntls_client_certificates = \"optional\"\n";
    let text: String = std::iter::once(needed).chain(blocks).collect();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("examples.toml");
    std::fs::write(&path, text).unwrap();
    let flags = Flags { config: Some(path), settings: Vec::new() };
    let config = Config::load(&flags, std::iter::empty(), Secrets::Needed).unwrap();
    config.check_auth().unwrap();
    config
}

struct Example {
    provider: &'static str,
    claims: Value,
    /// What is left out of the keys that this provider shows.
    without: &'static str,
    subject: &'static str,
    role: Role,
    ledgers: &'static [&'static str],
    customer: Option<&'static str>,
}

fn examples() -> Vec<Example> {
    vec![
        Example {
            provider: "keycloak",
            claims: json!({
                "iss": "https://sso.example.com/realms/support", "aud": ["creditledger", "account"],
                "sub": "f4c8a0c1-6f0e-4f4a-9d6b-2b1c7e1f2a33", "typ": "Bearer", "azp": "helpdesk-app",
                "jti": "onrtac:6a0c", "sid": "d5f3", "acr": "1", "iat": START - 5, "exp": START + 295,
                "allowed-origins": ["https://desk.example.com"],
                "realm_access": {"roles": ["offline_access", "support-agents", "uma_authorization"]},
                "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
                "scope": "email profile", "email_verified": true, "preferred_username": "ann",
            }),
            without: "",
            subject: "f4c8a0c1-6f0e-4f4a-9d6b-2b1c7e1f2a33",
            role: Role::Helpdesk,
            ledgers: &["main"],
            customer: None,
        },
        Example {
            provider: "auth0",
            claims: json!({
                "iss": "https://example.eu.auth0.com/",
                "aud": ["https://creditledger.example.com", "https://example.eu.auth0.com/userinfo"],
                "sub": "auth0|64f1c0ffee0123456789abcd", "iat": START, "exp": START + 86_400,
                "azp": "hq1Bx0JmFkVw3TZyN5aR", "scope": "openid profile", "permissions": [],
                "https://creditledger.example.com/roles": ["customer"],
                "https://creditledger.example.com/ledgers": ["main", "eu"],
                "https://creditledger.example.com/customer": "acme",
            }),
            without: "",
            subject: "auth0|64f1c0ffee0123456789abcd",
            role: Role::Customer,
            ledgers: &["eu", "main"],
            customer: Some("acme"),
        },
        Example {
            provider: "entra",
            claims: json!({
                "iss": "https://login.microsoftonline.com/11111111-2222-3333-4444-555555555555/v2.0",
                "aud": "66666666-7777-8888-9999-000000000000", "ver": "2.0", "uti": "x", "rh": "0.A",
                "tid": "11111111-2222-3333-4444-555555555555", "aio": "E2ZgYDhQXB", "azpacr": "1",
                "azp": "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee", "iat": START, "nbf": START, "exp": START + 3_900,
                "oid": "cccccccc-dddd-eeee-ffff-000000000000", "sub": "cccccccc-dddd-eeee-ffff-000000000000",
                "roles": ["Creditledger.Billing"],
            }),
            without: "alg",
            subject: "cccccccc-dddd-eeee-ffff-000000000000",
            role: Role::Billing,
            ledgers: &["main"],
            customer: None,
        },
        Example {
            provider: "kubernetes",
            claims: json!({
                "iss": "https://kubernetes.default.svc.cluster.local", "aud": ["creditledger"],
                "sub": "system:serviceaccount:shop:checkout", "iat": START, "nbf": START, "exp": START + 3_607,
                "jti": "d2c7f1f0-7f6b-4d0c-9b1e-3f6a0a6a5f11",
                "kubernetes.io": {
                    "namespace": "shop", "node": {"name": "n1", "uid": "u"}, "warnafter": START + 3_607,
                    "pod": {"name": "checkout-6d5", "uid": "u"}, "serviceaccount": {"name": "checkout", "uid": "u"},
                },
            }),
            without: "",
            subject: "system:serviceaccount:shop:checkout",
            role: Role::Storefront,
            ledgers: &["main"],
            customer: None,
        },
    ]
}

#[tokio::test]
async fn each_example_gives_the_caller_that_its_provider_means() {
    let config = settings();
    let mut providers: BTreeMap<String, Provider> = config
        .auth
        .unwrap()
        .providers
        .into_iter()
        .map(|provider| (provider.name.clone(), provider))
        .collect();
    for example in examples() {
        let Example { provider: name, claims, without, subject, role, ledgers, customer } = example;
        let signer = Signer::rs256("k1");
        let mut jwk = signer.jwk();
        jwk.as_object_mut().unwrap().remove(without);
        let server = JwksServer::start(Answer::Body(json!({ "keys": [jwk] }).to_string())).await;
        let KeySource::Url { target, .. } = provider(&server.url()).keys else { unreachable!() };
        let mut settled = providers.remove(name).unwrap();
        // The keys lie elsewhere here; all else is as the example says.
        settled.keys = KeySource::Url { target, authorities: None };
        let verifier = verifier(settled, &TestClock::at(start()));
        let caller = until(&verifier, &signer.sign(&claims), Result::is_ok).await.unwrap();
        assert_eq!(who(&caller), (subject.to_owned(), role), "{name}");
        let Ledgers::Only(only) = caller.bounds.ledgers() else { panic!("{name} gives all ledgers") };
        assert_eq!(only.iter().map(|ledger| ledger.as_str()).collect::<Vec<_>>(), ledgers, "{name}");
        assert_eq!(caller.bounds.customer().map(|customer| customer.as_str()), customer, "{name}");
        // A token of the same provider for another program.
        let mut other = claims.clone();
        other["aud"] = json!("another-program");
        assert!(verifier.verify(&signer.sign(&other)).await.is_err(), "{name}");
    }
    assert_eq!(providers.keys().collect::<Vec<_>>(), Vec::<&String>::new(), "each example has a token");
}

#[test]
fn the_example_of_certificates_gives_its_callers() {
    let certificates = settings().auth.unwrap().certificates;
    let of = |name: &str| certificates.caller(&[name.to_owned()]).unwrap().unwrap();
    assert_eq!(of("DNS:desk.example.com").bounds.role(), Role::Helpdesk);
    let shop = of("URI:spiffe://example.com/shop");
    assert_eq!((shop.bounds.role(), shop.bounds.ledgers()), (Role::Storefront, &Ledgers::All));
}
