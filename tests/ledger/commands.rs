//! The command table of the product: exact transfers, balances and lots for every command that exists.

use creditledger::ledger::commands::{
    Change, Command, CreateCustomer, NewWork, Overrun, ReopenCustomer, Said, SetCustomerTerms, SettleHold,
    UpdateCustomer,
};
use creditledger::ledger::customer::{Contact, Profile, Terms};
use creditledger::ledger::event::events;
use creditledger::ledger::reject::Original;
use creditledger::ledger::{Credits, Day, HoldState, Kind, Rejection};

use crate::desk::{
    Desk, adjust, charge, charge_command, close_incident, credits, extend, grant, id, place, place_parked,
    place_timed, purchase, purchase_command, release, release_waived, reverse, settle, settle_capped,
    settle_command, transfers, work,
};

/// Runs `command` on a desk prepared by `before`, and compares transfers, balances and lots.
#[track_caller]
fn row(before: &[Command], command: Command, moved: &str, balances: &str, lots: &str) {
    let mut desk = Desk::new();
    for step in before {
        desk.ok(step.clone());
    }
    let answer = desk.ok(command);
    assert_eq!(transfers(&answer), moved);
    assert_eq!(desk.balances(), balances);
    assert_eq!(desk.lots(), lots);
    assert_eq!(answer.balances, desk.state().balances);
}

#[test]
fn purchases_and_grants() {
    row(&[], purchase("1", "10"), "sales:web > available 10", "10 0 0", "10");
    row(&[], grant("2.5"), "promotions > available 2.5", "2.5 0 0", "2.5");
}

#[test]
fn adjustments_burn_lots_in_order_or_bring_one_in() {
    row(&[], adjust("0.0001"), "adjustments > available 0.0001", "0.0001 0 0", "0.0001");
    row(
        &[purchase("1", "10"), grant("1")],
        adjust("-4"),
        "available > adjustments 4",
        "7 0 0",
        "7", // the grant went first
    );
    let mut desk = Desk::with("3");
    assert_eq!(
        desk.rejected(adjust("-3.0001")),
        Rejection::InsufficientCredits {
            available: credits("3"),
            required: credits("3.0001"),
            shortfall: credits("0.0001"),
        }
    );
}

#[test]
fn holds_and_extensions_reserve_without_burning() {
    let bought = [purchase("1", "10")];
    row(&bought, place("i", "4"), "available > held 4", "6 4 0", "10");
    row(&bought, place("i", "0"), "", "10 0 0", "10");
    row(
        &[purchase("1", "10"), place_timed("i", 120)],
        extend("i", "6"),
        "available > held 6",
        "0 10 0",
        "10",
    );
}

#[test]
fn a_hold_beyond_what_is_available_is_rejected_and_leaves_one_note() {
    let mut desk = Desk::with("3");
    let missing = Rejection::InsufficientCredits {
        available: credits("3"),
        required: credits("5"),
        shortfall: credits("2"),
    };
    assert_eq!(desk.rejected(place("i", "5")), missing);
    assert_eq!(desk.rejected(place("i", "5")), missing);
    assert_eq!(desk.kinds(2), ["NOTE_SHORTFALL"]);
    desk.rejected(place("i", "6"));
    desk.rejected(place("other", "5"));
    assert_eq!(desk.kinds(2), ["NOTE_SHORTFALL"; 3]);
    assert_eq!((desk.balances().as_str(), desk.lots().as_str()), ("3 0 0", "3"));
}

#[test]
fn releases_give_back_what_was_held() {
    let held = [purchase("1", "10"), place("i", "4")];
    row(&held, release("i"), "held > available 4", "10 0 0", "10");
    let mut desk = Desk::with("10");
    desk.ok(place("i", "4"));
    desk.ok(work("i", 15));
    assert_eq!(desk.rejected(release("i")), Rejection::WorkRecorded { seconds: 900 });
    let answer = desk.ok(release_waived("i", id("goodwill")));
    assert_eq!(transfers(&answer), "held > available 4");
    assert_eq!(desk.hold("i").state, HoldState::Released);
}

#[test]
fn settling_within_the_hold_charges_and_gives_the_rest_back() {
    let worked = [purchase("1", "10"), place("i", "4"), work("i", 75)];
    row(&worked, settle("i"), "held > revenue 2.5, held > available 1.5", "7.5 0 0", "7.5");
    row(&worked, close_incident("i"), "held > revenue 2.5, held > available 1.5", "7.5 0 0", "7.5");
    let exact = [purchase("1", "10"), place("i", "2"), work("i", 60)];
    row(&exact, settle("i"), "held > revenue 2", "8 0 0", "8");
}

#[test]
fn settling_beyond_the_hold_takes_available_credits_by_default() {
    let worked = [purchase("1", "10"), place("i", "1"), work("i", 60), work("i", 60)];
    row(&worked, settle("i"), "held > revenue 1, available > revenue 3", "6 0 0", "6");
}

#[test]
fn settling_beyond_what_there_is_leaves_the_hold_as_it_was() {
    let mut desk = Desk::with("2");
    desk.ok(place("i", "1"));
    desk.ok(work("i", 120));
    let before = desk.hold("i").clone();
    assert_eq!(
        desk.rejected(settle("i")),
        Rejection::InsufficientCredits {
            available: credits("1"),
            required: credits("3"),
            shortfall: credits("2"),
        }
    );
    assert_eq!(desk.hold("i"), &before);
    assert_eq!(desk.balances(), "1 1 0");
}

#[test]
fn settling_capped_lets_the_vendor_bear_the_rest() {
    let worked = [purchase("1", "10"), place("i", "1"), work("i", 120)];
    row(&worked, settle_capped("i"), "held > revenue 1, write_offs > revenue 3", "9 0 0", "9");
}

#[test]
fn max_charge_and_expected_work_stop_a_settlement() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "4"));
    desk.ok(work("i", 60));
    let capped = SettleHold { max_charge: Some(credits("1.99")), ..settle_command("i") };
    assert_eq!(
        desk.rejected(Command::SettleHold(capped)),
        Rejection::ExceedsMaxCharge { charge: credits("2"), max_charge: credits("1.99") }
    );
    let stale = SettleHold { expected_work_seconds: Some(1_800), ..settle_command("i") };
    assert_eq!(
        desk.rejected(Command::SettleHold(stale)),
        Rejection::WorkChanged { expected: 1_800, recorded: 3_600 }
    );
    let exact = SettleHold {
        max_charge: Some(credits("2")),
        expected_work_seconds: Some(3_600),
        ..settle_command("i")
    };
    desk.ok(Command::SettleHold(exact));
}

/// What the vendor bears is not paid by the customer.
#[test]
fn the_most_that_a_settlement_may_cost_is_what_the_customer_pays() {
    let capped = |max: &str| SettleHold {
        overrun: Overrun::CapAtHold,
        max_charge: Some(credits(max)),
        ..settle_command("i")
    };
    let worked = [purchase("1", "10"), place("i", "2"), work("i", 240)];
    let within = Command::SettleHold(capped("3"));
    row(&worked, within, "held > revenue 2, write_offs > revenue 6", "8 0 0", "8");
    let mut desk = Desk::new();
    for step in worked {
        desk.ok(step);
    }
    for (settle, charge) in
        [(capped("1.99"), "2"), (SettleHold { overrun: Overrun::TakeAvailable, ..capped("3") }, "8")]
    {
        let max_charge = settle.max_charge.unwrap();
        let refused = desk.rejected(Command::SettleHold(settle));
        assert_eq!(refused, Rejection::ExceedsMaxCharge { charge: credits(charge), max_charge });
    }
    desk.ok(Command::SettleHold(SettleHold { overrun: Overrun::TakeAvailable, ..capped("8") }));
}

#[test]
fn waived_settlements_charge_nothing() {
    let waived = SettleHold { waive_reason: id("our mistake"), ..settle_command("i") };
    row(
        &[purchase("1", "10"), place("i", "4"), work("i", 60)],
        Command::SettleHold(waived),
        "held > available 4",
        "10 0 0",
        "10",
    );
}

#[test]
fn settled_without_work_costs_the_minimum_closed_without_work_nothing() {
    let held = [purchase("1", "10"), place("i", "4")];
    row(&held, settle("i"), "held > revenue 1, held > available 3", "9 0 0", "9");
    row(&held, close_incident("i"), "held > available 4", "10 0 0", "10");
}

#[test]
fn charges_without_a_hold_come_from_available_credits() {
    row(&[purchase("1", "10")], charge("i", 75), "available > revenue 2.5", "7.5 0 0", "7.5");
    let mut desk = Desk::with("10");
    desk.ok(place("i", "1"));
    let hold = desk.hold("i").id;
    assert_eq!(desk.rejected(charge("i", 75)), Rejection::HoldExists { hold });
    assert!(matches!(desk.rejected(charge("j", 6_000)), Rejection::InsufficientCredits { .. }));
    let capped = creditledger::ledger::commands::ChargeIncident {
        max_charge: Some(credits("1")),
        ..charge_command("j", 60)
    };
    assert!(matches!(desk.rejected(Command::ChargeIncident(capped)), Rejection::ExceedsMaxCharge { .. }));
}

#[test]
fn a_reopened_incident_pays_only_the_difference() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "1"));
    desk.ok(work("i", 20));
    assert_eq!(transfers(&desk.ok(settle("i"))), "held > revenue 1");
    // 40 minutes in all cost 1.33.
    assert_eq!(transfers(&desk.ok(charge("i", 20))), "available > revenue 0.33");
    // 60 minutes cost 2, the 40 before 1.33. What is given back in part stays given back.
    desk.ok(reverse("i", Some("0.2")));
    desk.ok(place("i", "5"));
    desk.ok(work("i", 20));
    assert_eq!(transfers(&desk.ok(settle("i"))), "held > revenue 0.67, held > available 4.33");
    assert_eq!(desk.balances(), "8.2 0 0");
}

#[test]
fn reversals_give_back_at_most_what_was_paid() {
    let settled = [purchase("1", "10"), place("i", "4"), work("i", 120), settle("i")];
    row(&settled, reverse("i", Some("1.5")), "revenue > available 1.5", "7.5 0 0", "7.5");
    row(&settled, reverse("i", None), "revenue > available 4", "10 0 0", "10");
    let mut desk = Desk::new();
    for step in settled {
        desk.ok(step);
    }
    desk.ok(reverse("i", Some("3")));
    let left = Rejection::ExceedsReversible { reversible: credits("1") };
    assert_eq!(desk.rejected(reverse("i", Some("1.0001"))), left);
    desk.ok(reverse("i", None));
    assert_eq!(desk.rejected(reverse("i", None)), Rejection::ExceedsReversible { reversible: Credits::ZERO });
}

#[test]
fn a_whole_reversal_undoes_the_write_off_too() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "1"));
    desk.ok(work("i", 120));
    desk.ok(settle_capped("i"));
    assert_eq!(transfers(&desk.ok(reverse("i", Some("0.4")))), "revenue > available 0.4");
    assert_eq!(transfers(&desk.ok(reverse("i", None))), "revenue > available 0.6, revenue > write_offs 3");
    assert_eq!(desk.balances(), "10 0 0");
}

#[test]
fn more_available_credits_activate_parked_holds_oldest_first() {
    let mut desk = Desk::with("1");
    for (incident, amount) in [("a", "3"), ("b", "4"), ("c", "1.5")] {
        let parked = desk.ok(place_parked(incident, amount));
        assert_eq!(parked.hold.unwrap().state, HoldState::AwaitingCredits);
    }
    // a fits, b does not, and c waits behind it.
    let answer = desk.ok(purchase("2", "5"));
    assert_eq!(transfers(&answer), "sales:web > available 5, available > held 3");
    let activated: Vec<&str> =
        answer.posting.detail.others.iter().map(|hold| hold.incident.as_str()).collect();
    assert_eq!(activated, ["a"]);
    assert_eq!(desk.balances(), "3 3 0");
    // Releasing a makes room for b and c.
    let answer = desk.ok(release("a"));
    assert_eq!(transfers(&answer), "held > available 3, available > held 5.5");
    assert_eq!(desk.balances(), "0.5 5.5 0");
}

#[test]
fn terms_may_charge_credits_in_the_same_posting() {
    let terms = |charge: &str| {
        Command::SetCustomerTerms(SetCustomerTerms {
            product_purchased_on: Change::Set(Day::from_days(20_454)),
            charge: credits(charge),
            ..SetCustomerTerms::default()
        })
    };
    row(&[purchase("1", "10")], terms("6"), "available > revenue 6", "4 0 0", "4");
    let mut desk = Desk::with("5");
    assert!(matches!(desk.rejected(terms("6")), Rejection::InsufficientCredits { .. }));
    assert_eq!(desk.state().state.terms, Terms::default());
    desk.ok(terms("5"));
    assert_eq!(desk.state().state.terms.product_purchased_on, Some(Day::from_days(20_454)));
    let unknown = SetCustomerTerms { rate_card: Change::Set(id("gold")), ..SetCustomerTerms::default() };
    assert_eq!(desk.rejected(Command::SetCustomerTerms(unknown)), Rejection::RateCardNotFound(id("gold")));
}

#[test]
fn customers_are_made_once_changed_in_part_and_closed_without_open_holds() {
    let mut desk = Desk::without_customer();
    assert_eq!(desk.rejected(purchase("1", "1")), Rejection::CustomerNotFound);
    let profile = Profile { name: id("Acme"), ..Profile::default() };
    let create = CreateCustomer { profile, terms: Terms::default() };
    desk.ok(Command::CreateCustomer(create.clone()));
    assert_eq!(desk.rejected(Command::CreateCustomer(create)), Rejection::CustomerExists { original: None });
    let contact = Contact { email: id("it@acme.example"), ..Contact::default() };
    let update = UpdateCustomer { contact: Some(contact.clone()), ..UpdateCustomer::default() };
    let answer = desk.ok(Command::UpdateCustomer(update));
    let profile = answer.posting.detail.profile.clone().unwrap();
    assert_eq!((profile.name.as_str(), &profile.contact), ("Acme", &contact));

    desk.ok(purchase("1", "10"));
    desk.ok(place("i", "1"));
    let close = Command::CloseCustomer(creditledger::ledger::commands::CloseCustomer);
    assert_eq!(desk.rejected(close.clone()), Rejection::HoldsOpen { count: 1 });
    desk.ok(release("i"));
    desk.ok(close.clone());
    for refused in [close, place("j", "1"), charge("j", 5), grant("1")] {
        assert_eq!(desk.rejected(refused), Rejection::CustomerClosed);
    }
    assert_eq!(transfers(&desk.ok(purchase("2", "1"))), "sales:web > available 1");
}

#[test]
fn a_closed_customer_is_reopened_once_and_takes_work_again() {
    let mut desk = Desk::with("10");
    let reopen = Command::ReopenCustomer(ReopenCustomer);
    assert_eq!(desk.rejected(reopen.clone()), Rejection::CustomerNotClosed);
    desk.ok(Command::CloseCustomer(creditledger::ledger::commands::CloseCustomer));
    assert!(desk.state().state.closed);
    let mut request = desk.request(reopen.clone());
    request.said = Said { by: id("ada"), reason: id("they renewed"), ..Said::default() };
    let answer = desk.send(&request).unwrap();
    let detail = &answer.posting.detail;
    assert_eq!((detail.reason.as_str(), detail.by.as_str()), ("they renewed", "ada"));
    assert_eq!((answer.posting.kind, answer.posting.transfers().count()), (Kind::ReopenCustomer, 0));
    assert_eq!(events(&answer.posting), []);
    assert!(!desk.state().state.closed);
    assert_eq!(desk.rejected(reopen), Rejection::CustomerNotClosed);
    assert!(desk.send(&request).unwrap().replayed);
    desk.ok(place("i", "1"));
}

#[test]
fn an_order_is_recorded_once_whoever_sends_it() {
    let mut desk = Desk::new();
    let first = desk.ok(purchase("77", "10"));
    let original = Original::of(&first.posting);
    assert_eq!(first.posting.detail.lot.as_ref().unwrap().id.uuid(), original.posting.uuid());
    let again = desk.ok(purchase("77", "10"));
    assert!(again.replayed && again.posting.id == first.posting.id);
    assert_eq!(desk.balances(), "10 0 0");
    assert_eq!(desk.rejected(purchase("77", "11")), Rejection::OrderAlreadyRecorded { original });
    let other_shop = creditledger::ledger::commands::PurchaseCredits {
        storefront: id("app"),
        ..purchase_command("77", "10")
    };
    assert!(!desk.ok(Command::PurchaseCredits(other_shop)).replayed);
    desk.customer = id("zeta");
    desk.ok(Command::CreateCustomer(CreateCustomer::default()));
    assert_eq!(desk.rejected(purchase("77", "10")), Rejection::OrderAlreadyRecorded { original });
}

#[test]
fn work_is_bounded_voided_once_and_never_edited() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "4"));
    let wrong = desk.ok(work("i", 500)).posting.id;
    desk.ok(work("i", 30));
    desk.ok(crate::desk::void("i", wrong));
    assert_eq!(desk.rejected(crate::desk::void("i", wrong)), Rejection::WorkVoided);
    let unknown = creditledger::ledger::PostingId::default();
    assert_eq!(desk.rejected(crate::desk::void("i", unknown)), Rejection::WorkNotFound);
    assert_eq!(desk.hold("i").worked_seconds(), 1_800);
    assert_eq!(transfers(&desk.ok(settle("i"))), "held > revenue 1, held > available 3");
}

#[test]
fn amounts_beyond_a_balance_are_rejections() {
    let mut desk = Desk::new();
    for order in 0..100 {
        desk.ok(purchase(&format!("o{order}"), "1000000000"));
    }
    assert_eq!(desk.rejected(purchase("last", "0.0001")), Rejection::AmountOutOfBounds);
    // The bound is on available and held together: what is held can always come back.
    desk.ok(place("full", "1000000000"));
    assert_eq!(desk.rejected(purchase("last", "0.0001")), Rejection::AmountOutOfBounds);
    desk.ok(release("full"));
    desk.ok(place("i", "1"));
    let endless = NewWork { seconds: u64::MAX, ..crate::desk::new_work(1) };
    let record =
        creditledger::ledger::commands::RecordWork { hold: crate::desk::incident("i"), work: endless };
    assert_eq!(desk.rejected(Command::RecordWork(record)), Rejection::AmountOutOfBounds);
}
