//! Tests of the tables of callers: what they may say, and that all their faults are told at once.

use toml::de::DeTable;

use super::super::tables::{Faults, Table};
use super::*;
use crate::access::jwt::{Algorithm, ClaimPath, KeySource, LedgerRule};
use crate::ledger::actor::Role;

/// The settings of a file, and its faults, a line each.
fn read_all(text: &str) -> (Option<AuthSettings>, Vec<String>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let mut faults = Faults::of(text, &errors);
    let entry = Table::whole(table.get_ref()).take("auth").unwrap();
    let auth = read(&entry, "c.toml", &mut faults);
    (auth, faults.sorted().iter().map(ToString::to_string).collect())
}

const LEAST: &str = "[auth.providers.p]\nissuer = \"https://i\"\naudience = \"a\"\njwks_file = \"keys.json\"\nledgers = \"*\"\n";

#[test]
fn what_is_left_out_has_a_default() {
    let (auth, faults) = read_all(LEAST);
    assert_eq!(faults, Vec::<String>::new());
    let AuthSettings { providers, certificates, place } = auth.unwrap();
    assert_eq!((place.as_str(), certificates.is_empty()), ("c.toml line 1", true));
    let [Provider { name, algorithms, keys, keys_max_age_hours, keys_refresh_minutes, rules, .. }] =
        providers.try_into().unwrap();
    assert_eq!((&*name, keys), ("p", KeySource::File("keys.json".into())));
    assert_eq!(algorithms.into_iter().collect::<Vec<_>>(), [Algorithm::Rs256]);
    assert_eq!((keys_max_age_hours, keys_refresh_minutes), (24, 60));
    assert_eq!(
        (rules.subject, rules.role),
        (ClaimPath::one("sub"), Some(ClaimPath::one("creditledger_role")))
    );
    assert_eq!(rules.roles.len(), Role::ALL.len());
    assert!(rules.roles.iter().all(|(name, role)| name == role.name()));
}

#[test]
fn everything_can_be_said() {
    let text = "[auth.providers.p]\nissuer = \"https://i\"\naudience = [\"a\", \"b\"]\nalgorithms = [\"ES256\", \"EdDSA\"]\n\
                jwks_url = \"https://i:8443/keys?x=1\"\nauthorities_file = \"ca.pem\"\nkeys_max_age_hours = 2\n\
                keys_refresh_minutes = 120\nrole_claim = [\"a.b\", \"c\"]\nroles = { x = \"customer\", y = \"operator\" }\n\
                ledgers_claim = \"l.m\"\ncustomer_claim = \"c\"\nsubject_claim = \"oid\"\n\
                [auth.providers.p.subjects]\n\"s:1\" = \"auditor\"\n\"s:2\" = { role = \"customer\", ledgers = [\"main\"], customer = \"acme\" }\n\
                [auth.certificates]\n\"DNS:Desk\" = { role = \"helpdesk\", ledgers = [\"main\"] }\n\
                \"URI:spiffe://c\" = { role = \"customer\", ledgers = \"*\", customer = \"acme\" }\n";
    let (auth, faults) = read_all(text);
    assert_eq!(faults, Vec::<String>::new());
    let AuthSettings { providers, certificates, .. } = auth.unwrap();
    let provider = &providers[0];
    assert_eq!(provider.audiences.iter().map(String::as_str).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(provider.algorithms.iter().copied().collect::<Vec<_>>(), [Algorithm::Es256, Algorithm::EdDsa]);
    let KeySource::Url { target, authorities } = &provider.keys else { panic!("{:?}", provider.keys) };
    assert_eq!((&*target.host, target.port, &*target.path), ("i", 8443, "/keys?x=1"));
    assert_eq!(authorities.as_ref().unwrap().to_str(), Some("ca.pem"));
    assert_eq!((provider.keys_max_age_hours, provider.keys_refresh_minutes), (2, 120));
    let rules = &provider.rules;
    assert_eq!(rules.role, ClaimPath::of(vec!["a.b".into(), "c".into()]).ok());
    assert_eq!(rules.roles.values().copied().collect::<Vec<_>>(), [Role::Customer, Role::Operator]);
    assert_eq!(rules.ledgers, LedgerRule::Claim(ClaimPath::parse("l.m").unwrap()));
    assert_eq!(rules.customer, Some(ClaimPath::one("c")));
    assert_eq!((rules.subjects.len(), rules.subjects["s:1"].role), (2, Role::Auditor));
    let customer = certificates.caller(&["URI:spiffe://c".to_owned()]).unwrap().unwrap();
    assert_eq!(customer.bounds.customer().unwrap().as_str(), "acme");
    assert!(certificates.caller(&["DNS:desk".to_owned()]).unwrap().is_some());
}

/// Checks that a change of [`LEAST`] has one fault, which begins so.
fn has_one_fault(from: &str, to: &str, told: &str) {
    let text = if from.is_empty() { format!("{LEAST}{to}\n") } else { LEAST.replace(from, to) };
    let (_, faults) = read_all(&text);
    assert_eq!(faults.len(), 1, "{text}: {faults:?}");
    assert!(faults[0].starts_with(told), "{text}: {faults:?}");
}

const FILE: &str = "jwks_file = \"keys.json\"";
const URL: &str = "jwks_url = \"https://i/keys\"";

#[test]
fn each_fault_of_a_provider_is_told_with_its_key_and_line() {
    let in_url = |more: &str, told: &str| has_one_fault(FILE, &format!("{URL}\n{more}"), told);
    let and = |more: &str, told: &str| has_one_fault("", more, told);
    let swap = |from: &str, to: &str, told: &str| has_one_fault(from, to, told);
    swap("issuer = \"https://i\"\n", "", "line 1: auth.providers.p must have the key issuer");
    swap("\"https://i\"", "\"\"", "line 2: auth.providers.p.issuer must not be empty");
    swap("\"https://i\"", "1", "line 2: auth.providers.p.issuer must be a string, not integer");
    swap("audience = \"a\"\n", "", "line 1: auth.providers.p must have the key audience");
    swap("\"a\"", "[]", "line 3: auth.providers.p.audience must not be empty");
    swap("\"a\"", "[\"\"]", "line 3: auth.providers.p.audience must not be empty");
    swap("\"a\"", "true", "line 3: auth.providers.p.audience must be a string, not boolean");
    and("algorithms = []", "line 6: auth.providers.p.algorithms must not be empty");
    and(
        "algorithms = [\"RS256\", \"HS256\"]",
        "line 6: auth.providers.p.algorithms must be of RS256, ES256, EdDSA, and \"HS256\" is not",
    );
    and("algorithms = [\"none\"]", "line 6: auth.providers.p.algorithms must be of");
    swap("jwks_file = \"keys.json\"\n", "", "line 1: auth.providers.p must have jwks_url or jwks_file");
    and(URL, "line 1: auth.providers.p must have one of jwks_url and jwks_file");
    swap("\"keys.json\"", "\"\"", "line 4: auth.providers.p.jwks_file must not be empty");
    swap(
        FILE,
        "jwks_url = \"http://i.example/keys\"",
        "line 4: auth.providers.p.jwks_url must be an https URL: http is for loopback",
    );
    swap(FILE, "jwks_url = \"http://10.0.0.1/\"", "line 4: auth.providers.p.jwks_url must be an https URL");
    swap(FILE, "jwks_url = \"ftp://i/\"", "line 4: auth.providers.p.jwks_url must be an https URL");
    swap(FILE, "jwks_url = \"keys\"", "line 4: auth.providers.p.jwks_url must be a URL");
    swap(
        FILE,
        "jwks_url = \"https://a:b@i/\"",
        "line 4: auth.providers.p.jwks_url must not carry credentials",
    );
    and(
        "authorities_file = \"ca.pem\"",
        "line 6: auth.providers.p.authorities_file is for jwks_url, and the keys are in a file",
    );
    swap(
        FILE,
        "jwks_url = \"http://localhost/\"\nauthorities_file = \"ca.pem\"",
        "line 5: auth.providers.p.authorities_file is for https, and jwks_url is http",
    );
    in_url("authorities_file = 1", "line 5: auth.providers.p.authorities_file must be a string");
    in_url(
        "keys_max_age_hours = 0",
        "line 5: auth.providers.p.keys_max_age_hours must be a whole number from 1",
    );
    in_url(
        "keys_refresh_minutes = 2000",
        "line 5: auth.providers.p.keys_refresh_minutes must be a whole number",
    );
    in_url(
        "keys_refresh_minutes = 61\nkeys_max_age_hours = 1",
        "line 5: auth.providers.p.keys_refresh_minutes must not be longer than keys_max_age_hours",
    );
    and(
        "keys_refresh_minutes = 5",
        "line 6: auth.providers.p.keys_refresh_minutes is for jwks_url: a file is read again each second",
    );
}

#[test]
fn each_fault_of_what_claims_mean_is_told_with_its_key_and_line() {
    let and = |more: &str, told: &str| has_one_fault("", more, told);
    let swap = |from: &str, to: &str, told: &str| has_one_fault(from, to, told);
    and("role_claim = \"groups\"", "line 1: auth.providers.p must have the key roles");
    and(
        "role_claim = \"a..b\"\nroles = { a = \"auditor\" }",
        "line 6: auth.providers.p.role_claim must be names",
    );
    and("role_claim = []\nroles = { a = \"auditor\" }", "line 6: auth.providers.p.role_claim must be names");
    and("roles = {}", "line 6: auth.providers.p.roles must not be empty");
    and(
        "roles = { a = \"admin\" }",
        "line 6: auth.providers.p.roles.a must be a role, one of storefront, helpdesk, billing, customer, auditor, \
             operator, not \"admin\"",
    );
    and("roles = { a = \"Operator\" }", "line 6: auth.providers.p.roles.a must be a role");
    and("roles = [\"auditor\"]", "line 6: auth.providers.p.roles must be a table of the provider's values");
    and(
        "roles = { a = \"customer\" }",
        "line 1: auth.providers.p must have the key customer_claim, for the role customer",
    );
    and(
        "roles = { a = \"auditor\" }\ncustomer_claim = \"c\"",
        "line 7: auth.providers.p.customer_claim is for the role customer, which nothing here gives",
    );
    and("subjects = {}", "line 6: auth.providers.p.subjects must not be empty");
    and("subjects = { s = \"root\" }", "line 6: auth.providers.p.subjects.s must be a role");
    and("subjects = { s = \"customer\" }", "line 1: auth.providers.p must have the key customer_claim");
    and(
        "subjects = { s = { role = \"auditor\", customer = \"acme\" } }",
        "line 6: auth.providers.p.subjects.s has a customer, which only the role customer is bound to",
    );
    and(
        "subjects = { s = { ledgers = \"*\" } }",
        "line 6: auth.providers.p.subjects.s must have the key role",
    );
    and(
        "subjects = { s = { role = \"auditor\", ledger = \"main\" } }",
        "line 6: auth.providers.p.subjects.s.ledger is not a setting",
    );
    swap("ledgers = \"*\"\n", "", "line 1: auth.providers.p must have ledgers or ledgers_claim");
    and("ledgers_claim = \"l\"", "line 1: auth.providers.p must have one of ledgers and ledgers_claim");
    swap("\"*\"", "\"main\"", "line 5: auth.providers.p.ledgers must be \"*\" for all ledgers, or a list");
    swap("\"*\"", "[]", "line 5: auth.providers.p.ledgers must be \"*\" for all ledgers, or a list");
    swap("\"*\"", "[\"*\"]", "line 5: auth.providers.p.ledgers must consist of letters");
    and("jwks = \"x\"", "line 6: auth.providers.p.jwks is not a setting");
    and("[auth.other]", "line 6: auth.other is not a setting");
    and(
        "[auth.certificates]\n\"desk\" = { role = \"auditor\", ledgers = \"*\" }",
        "line 7: auth.certificates.desk must begin with DNS: or URI:",
    );
    and("[auth.certificates]\n\"DNS:a\" = \"auditor\"", "line 7: auth.certificates.DNS:a must be a table");
    and(
        "[auth.certificates]\n\"DNS:a\" = { role = \"auditor\" }",
        "line 7: auth.certificates.DNS:a must have the key ledgers",
    );
    and(
        "[auth.certificates]\n\"DNS:a\" = { role = \"customer\", ledgers = \"*\" }",
        "line 7: auth.certificates.DNS:a cannot be: the role customer needs the customer that it is bound to",
    );
}

#[test]
fn all_faults_of_all_tables_are_told_at_once() {
    let text = "[auth.providers.a]\nissuer = \"https://i\"\naudience = \"a\"\nalgorithms = [\"HS256\"]\n\
                jwks_url = \"http://far.example/\"\nroles = { x = \"root\" }\n\
                [auth.providers.b]\nissuer = \"https://i\"\njwks_file = \"x\"\nledgers = \"*\"\nfoo = 1\n\
                [auth.certificates]\n\"DNS:a\" = {}\n";
    let (_, faults) = read_all(text);
    let keys: Vec<_> =
        faults.iter().map(|fault| fault.split(' ').take(3).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "line 1: auth.providers.a",
        "line 4: auth.providers.a.algorithms",
        "line 5: auth.providers.a.jwks_url",
        "line 6: auth.providers.a.roles.x",
        "line 7: auth.providers.b",
        "line 8: auth.providers.b.issuer",
        "line 11: auth.providers.b.foo",
        "line 13: auth.certificates.DNS:a",
    ];
    assert_eq!(keys, expected, "{faults:#?}");
    assert!(faults[5].ends_with("is \"https://i\", as on line 2 already"), "{faults:?}");
    for (text, told) in [
        ("[auth]\n", "line 1: auth must have providers or certificates"),
        ("auth = 1\n", "line 1: auth must be a table"),
        ("[auth]\nproviders = 1\n", "line 2: auth.providers must be a table"),
        ("[auth.providers]\np = 1\n", "line 2: auth.providers.p must be a table"),
    ] {
        let (_, faults) = read_all(text);
        assert_eq!(faults.len(), 1, "{faults:?}");
        assert!(faults[0].starts_with(told), "{faults:?}");
    }
}
