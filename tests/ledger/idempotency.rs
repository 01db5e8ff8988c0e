//! A request has one effect however often it is sent; another content under the same id is refused.

use std::sync::Arc;

use creditledger::ledger::command::{Command, PurchaseCredits};
use creditledger::ledger::{Posting, Rejection, Request};

use crate::desk::{Desk, credits, grant, id, place, purchase, purchase_command, settle, work};

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
    desk.send(&request).unwrap();
    let other = Request { command: grant("3"), ..request.clone() };
    assert_eq!(desk.send(&other), Err(Rejection::RequestIdReused));
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
