//! A request has one effect however often it is sent; another content under the same id is refused.

use std::sync::Arc;

use creditledger::ledger::actor::{Actor, Role, Way};
use creditledger::ledger::commands::{
    ChargeIncident, CloseCustomer, Command, CreateCustomer, PurchaseCredits, Said,
};
use creditledger::ledger::hash::stable_hash;
use creditledger::ledger::reject::Original;
use creditledger::ledger::{OpenText, Posting, Rejection, Request, Text};

use crate::desk::{
    Desk, charge, charge_command, credits, grant, id, place, purchase, purchase_command, settle, work,
};

#[test]
fn a_repeat_is_answered_from_its_posting_with_the_state_as_it_is_now() {
    let mut desk = Desk::with("10");
    let request = desk.request(place("i", "2"));
    let first = desk.send(&request).unwrap();
    desk.ok(work("i", 60));
    desk.ok(settle("i"));
    let journal = desk.book.journal().len();
    let again = desk.send(&request).unwrap();
    assert!(again.replayed && !first.replayed);
    assert_eq!(again.posting, first.posting);
    assert_eq!((again.balances, again.sequence), (desk.state().balances, desk.state().sequence));
    assert_eq!(again.hold.unwrap().state.name(), "SETTLED");
    assert_eq!(desk.book.journal().len(), journal);
}

#[test]
fn the_same_id_with_other_content_is_refused() {
    let mut desk = Desk::with("10");
    let request = desk.request(grant("2"));
    let original = Some(Original::of(&desk.send(&request).unwrap().posting));
    let other = Request { command: grant("3"), ..request.clone() };
    assert_eq!(desk.send(&other), Err(Rejection::RequestIdReused { original }));
    // The scope is ledger, customer and method: the same id may place a hold.
    let other_method = Request { command: place("i", "1"), ..request };
    assert!(!desk.send(&other_method).unwrap().replayed);
}

#[test]
fn a_rejected_command_does_not_use_up_its_id() {
    let mut desk = Desk::new();
    let request = desk.request(place("i", "2"));
    assert!(matches!(desk.send(&request), Err(Rejection::InsufficientCredits { .. })));
    desk.ok(purchase("more", "2"));
    assert!(!desk.send(&request).unwrap().replayed);
}

#[test]
fn content_is_compared_as_parsed_not_as_written() {
    let mut desk = Desk::new();
    let request = desk.request(purchase("1", "1.5"));
    desk.send(&request).unwrap();
    let spelled = PurchaseCredits { credits: credits("1.50"), ..purchase_command("1", "9") };
    let again = Request { command: Command::PurchaseCredits(spelled), ..request };
    assert!(desk.send(&again).unwrap().replayed);
}

#[test]
fn a_customer_that_shares_the_key_of_another_is_not_answered_for_it() {
    let mut desk = Desk::with("10");
    let request = desk.request(grant("2"));
    let answered = desk.send(&request).unwrap().posting;
    // As if the hashes of "acme" and "zeta" were equal: the store finds the request under their key.
    desk.customer = id("zeta");
    let stranger = Request { customer: desk.customer.clone(), ..request };
    desk.book
        .put_request(Arc::new(Posting { customer: stranger.customer_key(), ..Posting::clone(&answered) }));
    assert_eq!(desk.send(&stranger), Err(Rejection::CustomerNotFound));
}

/// The bytes that fingerprints hashed before who and why stood with the request: databases hold their hashes.
#[test]
fn fingerprints_stay_what_they_were() {
    let bob = Said { by: id("bob"), reason: id("ok"), ..Said::default() };
    let silent = Said::default();
    let grant = || grant("1");
    let expecting = ChargeIncident { expected_charged: Some(credits("1")), ..charge_command("i", 1) };
    let cases: [(Command, &Said, &[u8]); 9] = [
        (grant(), &bob, b"\x01\xa0\x9c\x01\x03\x02ok\x04\x03bob\0"),
        (grant(), &silent, b"\x01\xa0\x9c\x01\0"),
        (Command::CloseCustomer(CloseCustomer), &bob, b"\x01\x02ok\x02\x03bob\0"),
        (
            work("i", 1),
            &Said { by: id("bob"), ..Said::default() },
            b"\x01\x02\x01i\x02\x01\x3c\x05\x03bob\0\0",
        ),
        (
            place("i", "1"),
            &Said { by: id("bob"), ..Said::default() },
            b"\x01\x01\x01i\x03\x01\xa0\x9c\x01\x08\x03bob\0\0",
        ),
        (settle("i"), &Said { by: id("bob"), ..Said::default() }, b"\x01\x02\x01i\x02\x01\x06\x03bob\0"),
        (Command::CreateCustomer(CreateCustomer::default()), &silent, b"\x01\x02\0\0\x02\0\0"),
        (charge("i", 1), &silent, b"\x01\x01i\x03\x01\x3c\0\0"),
        (Command::ChargeIncident(expecting), &silent, b"\x01\x01i\x03\x01\x3c\0\x3d\xa0\x9c\x01\0"),
    ];
    let mut desk = Desk::new();
    for (command, said, bytes) in cases {
        let request = Request { said: said.clone(), ..desk.request(command) };
        assert_eq!(request.fingerprint(), stable_hash(&[bytes]), "{request:?}");
    }
}

#[test]
fn who_why_and_metadata_are_part_of_what_was_asked() {
    let mut desk = Desk::with("10");
    let request = desk.request(grant("1"));
    let answer = desk.send(&request).unwrap();
    let detail = &answer.posting.detail;
    assert_eq!((&detail.by, &detail.reason, &detail.metadata), {
        let Said { by, reason, metadata, actor: _ } = &request.said;
        (by, reason, metadata)
    });
    let others: [fn(&mut Said); 3] = [
        |said| said.by = id("eve"),
        |said| said.reason = Text::EMPTY,
        |said| drop(said.metadata.insert(id("ticket"), id("T-2"))),
    ];
    for other in others {
        let mut changed = request.clone();
        other(&mut changed.said);
        let original = Some(Original::of(&answer.posting));
        assert_eq!(desk.send(&changed), Err(Rejection::RequestIdReused { original }));
    }
    // Who called is no part of it: tokens are renewed between a request and its repeat.
    let (subject, provider) = (OpenText(id("desk")), OpenText::default());
    let actor = Actor { subject, role: Role::Helpdesk, way: Way::Token, peer: None, provider };
    let mut renewed = request.clone();
    renewed.said.actor = Some(Arc::new(actor));
    let repeat = desk.send(&renewed).unwrap();
    assert_eq!((repeat.replayed, &repeat.posting.detail.actor), (true, &None));
}
