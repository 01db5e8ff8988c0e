//! Callers that show a certificate.

use std::collections::BTreeSet;

use creditledger::access::certificates::Certificates;
use creditledger::access::{Bounds, Ledgers, Refused};
use creditledger::ledger::actor::{Role, Way};
use creditledger::ledger::{CustomerId, LedgerId};

fn only(ledger: &str) -> Ledgers {
    Ledgers::Only(BTreeSet::from([LedgerId::parse(ledger).unwrap()]))
}

fn helpdesk() -> Bounds {
    Bounds::new(Role::Helpdesk, only("main"), None).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn a_name_that_the_settings_have_gives_its_caller() {
    let mut certificates = Certificates::default();
    let customer =
        Bounds::new(Role::Customer, only("main"), Some(CustomerId::parse("acme").unwrap())).unwrap();
    certificates.add("DNS:Desk.example", helpdesk()).unwrap();
    certificates.add("URI:spiffe://example/acme", customer.clone()).unwrap();
    for shown in [
        &["DNS:desk.example"][..],
        &["DNS:DESK.example", "DNS:desk.example"],
        &["DNS:other.example", "URI:spiffe://example/other", "DNS:desk.example", "IP:10.0.0.1"],
    ] {
        let caller = certificates.caller(&names(shown)).unwrap().unwrap();
        assert_eq!(caller.bounds, helpdesk(), "{shown:?}");
        let actor = caller.actor(None).unwrap();
        assert_eq!((actor.subject.to_string(), actor.way), ("DNS:desk.example".to_owned(), Way::Certificate));
        assert_eq!(caller.until, None);
    }
    let caller = certificates.caller(&names(&["URI:spiffe://example/acme"])).unwrap().unwrap();
    assert_eq!(caller.bounds, customer);
    for stranger in [
        &[][..],
        &["DNS:example"],
        &["DNS:a.desk.example"],
        &["desk.example"],
        &["dns:desk.example"],
        &["URI:desk.example"],
        &["URI:spiffe://example/ACME"],
        &["URI:spiffe://example/acme/"],
        &["DNS:*.example"],
        &[""],
    ] {
        assert_eq!(certificates.caller(&names(stranger)), Ok(None), "{stranger:?}");
    }
    let both = names(&["DNS:desk.example", "URI:spiffe://example/acme"]);
    assert_eq!(certificates.caller(&both), Err(Refused::Unauthenticated), "they give different callers");
}

#[test]
fn names_that_no_certificate_has_are_refused() {
    let mut certificates = Certificates::default();
    for (name, problem) in [
        ("desk.example", "must begin with DNS: or URI:"),
        ("IP:10.0.0.1", "must begin with DNS: or URI:"),
        ("DNS:", "must be a name without spaces"),
        ("DNS:a b", "must be a name without spaces"),
        ("URI:", "must be a name without spaces"),
        ("DNS:*.example", "must be one host: a certificate for many hosts names no caller"),
        ("URI:x\u{0}", "must be at most 1024 bytes without control characters"),
    ] {
        assert_eq!(certificates.add(name, helpdesk()), Err(problem), "{name}");
    }
    certificates.add("DNS:desk.example", helpdesk()).unwrap();
    let twice = certificates.add("DNS:DESK.example", helpdesk());
    assert_eq!(twice, Err("is named twice: hosts are told apart without regard to case"));
}
