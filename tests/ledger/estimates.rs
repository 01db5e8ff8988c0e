//! Estimates: where their total comes from, ranges, and new totals for active holds.

use creditledger::ledger::commands::{Command, EstimateIncident, Quote, SettleHold};
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::{HoldState, Rejection};

use crate::desk::{
    Desk, charge, confirm, credits, decline, estimate, estimate_command, extend, id, place, place_timed,
    place_with, purchase, settle, settle_command, transfers, work,
};

fn of_class(class: &str, quote: Quote) -> EstimateIncident {
    EstimateIncident { class: Some(id(class)), ..estimate_command("i", quote) }
}

#[test]
fn an_estimate_says_what_the_work_will_cost_and_moves_nothing() {
    for (estimate, total) in [
        (estimate_command("i", Quote::Credits(credits("3.5"))), "3.5"),
        (estimate_command("i", Quote::Seconds(75 * 60)), "2.5"),
        (estimate_command("i", Quote::Seconds(60)), "1"),
        (of_class("price-plans", Quote::Class), "4"),
        (of_class("front-end-design", Quote::Seconds(3_600)), "2"),
        (of_class("not-on-the-card", Quote::Seconds(3_600)), "2"),
        (of_class("sales", Quote::Class), "0"),
        (of_class("sales", Quote::Seconds(36_000)), "0"),
        (of_class("other", Quote::Credits(credits("20"))), "20"),
    ] {
        let mut desk = Desk::with("10");
        let answer = desk.ok(Command::EstimateIncident(estimate.clone()));
        let hold = answer.hold.clone().unwrap();
        assert_eq!((hold.estimate, hold.state), (credits(total), HoldState::Quoted), "{estimate:?}");
        assert_eq!((transfers(&answer).as_str(), desk.balances().as_str()), ("", "10 0 0"));
        assert_eq!(hold.card, crate::desk::preset("prepaid").card);
        assert_eq!(hold.valid_until, Some(desk.book.now.plus_days(14)));
    }
}

#[test]
fn the_range_of_a_class_is_for_the_estimate_of_a_reopened_incident_alone() {
    let mut desk = Desk::with("10");
    desk.ok(place_with(of_class("price-plans", Quote::Class), false));
    desk.ok(work("i", 45));
    desk.ok(settle("i"));
    // 1.5 were charged, which is no matter: the range is 1-4.
    for (quote, estimate) in [
        (Quote::Class, "4"),
        (Quote::Credits(credits("4")), "4"),
        (Quote::Credits(credits("1")), "1"),
        (Quote::Seconds(5_400), "3"),
    ] {
        let again = desk.ok(Command::EstimateIncident(of_class("price-plans", quote)));
        assert_eq!(again.hold.unwrap().estimate, credits(estimate));
    }
    let [min, max] = ["1", "4"].map(credits);
    // 60 minutes cost what 105 do less what 45 do: 2. Less than one credit is outside of the range, as is more than four.
    for (quote, estimate) in [
        (Quote::Credits(credits("4.5")), "4.5"),
        (Quote::Credits(credits("0.5")), "0.5"),
        (Quote::Seconds(600), "0.33"),
    ] {
        let refused = desk.rejected(Command::EstimateIncident(of_class("price-plans", quote)));
        assert_eq!(refused, Rejection::EstimateOutOfRange { estimate: credits(estimate), min, max });
    }
}

/// Whatever is named, nothing is set aside, and nothing is a quote.
#[test]
fn an_estimate_of_a_free_incident_holds_nothing_and_is_no_quote() {
    let emergency = |quote| EstimateIncident {
        circumstances: Circumstances { emergency: true, ..Circumstances::default() },
        ..estimate_command("i", quote)
    };
    for quote in [Quote::Credits(credits("7")), Quote::Seconds(7_200), Quote::Class] {
        let mut desk = Desk::under("half-hour", "10");
        let placed = desk.ok(place_with(emergency(quote.clone()), false)).hold.unwrap();
        assert_eq!((placed.held, placed.estimate, placed.quoted), (credits("0"), credits("0"), false));
        // So is a new total for it.
        desk.ok(Command::EstimateIncident(estimate_command("i", quote)));
        let pending = desk.hold("i").pending.clone().unwrap();
        assert_eq!((pending.total, pending.quoted), (credits("0"), false));
        desk.ok(confirm("i", false));
        desk.ok(work("i", 45));
        // It turns out not to be free: the price of the card counts.
        let settle = SettleHold { emergency: Some(false), ..settle_command("i") };
        assert_eq!(transfers(&desk.ok(Command::SettleHold(settle))), "available > revenue 2");
    }
    // No class range is asked of a free class, and no flat price is set aside.
    for (card, class) in [("prepaid", "sales"), ("flat-then-quoted", "mail-fault")] {
        let mut desk = Desk::under(card, "10");
        let placed = desk.ok(place_with(of_class(class, Quote::Credits(credits("5"))), false)).hold.unwrap();
        assert_eq!((placed.held, placed.quoted), (credits("0"), false));
        desk.ok(extend("i", "1"));
        desk.ok(work("i", 90));
        assert_eq!(transfers(&desk.ok(settle("i"))), "held > available 1");
    }
}

#[test]
fn a_confirmed_quote_is_raised_by_a_new_estimate_only() {
    let mut desk = Desk::with("20");
    desk.ok(place_with(of_class("other", Quote::Credits(credits("5"))), false));
    assert_eq!(desk.rejected(extend("i", "1")), Rejection::QuoteConfirmed { quote: credits("5") });
    assert_eq!(desk.balances(), "15 5 0");
    desk.ok(estimate("i", "6"));
    // The offered total is not confirmed yet, so the first one stands.
    assert_eq!(desk.rejected(extend("i", "1")), Rejection::QuoteConfirmed { quote: credits("5") });
    desk.ok(confirm("i", false));
    assert_eq!(desk.rejected(extend("i", "1")), Rejection::QuoteConfirmed { quote: credits("6") });
    assert_eq!(desk.balances(), "14 6 0");
    // An estimate from the card takes the quote's place.
    desk.ok(place_timed("j", 60));
    desk.ok(extend("j", "1"));
    desk.ok(estimate("j", "4"));
    desk.ok(confirm("j", false));
    assert!(matches!(desk.rejected(extend("j", "1")), Rejection::QuoteConfirmed { .. }));
    desk.ok(Command::EstimateIncident(estimate_command("j", Quote::Seconds(7_200))));
    desk.ok(confirm("j", false));
    desk.ok(extend("j", "1"));
    assert_eq!(desk.hold("j").held, credits("5"));
}

#[test]
fn estimates_outside_the_range_of_their_class_need_a_reason() {
    for (estimate, outside) in [
        (of_class("price-plans", Quote::Credits(credits("1"))), false),
        (of_class("price-plans", Quote::Credits(credits("4"))), false),
        (of_class("price-plans", Quote::Credits(credits("4.0001"))), true),
        (of_class("price-plans", Quote::Credits(credits("0.9999"))), true),
        (of_class("installation-and-configuration", Quote::Seconds(3 * 3_600)), true),
        (of_class("sales", Quote::Credits(credits("1"))), false),
    ] {
        let mut desk = Desk::with("10");
        if outside {
            let refused = desk.rejected(Command::EstimateIncident(estimate.clone()));
            assert!(matches!(refused, Rejection::EstimateOutOfRange { .. }), "{estimate:?}: {refused:?}");
            assert!(matches!(
                desk.rejected(place_with(estimate.clone(), false)),
                Rejection::EstimateOutOfRange { .. }
            ));
        }
        let reasoned = EstimateIncident { range_override: id("large site"), ..estimate };
        desk.ok(Command::EstimateIncident(reasoned));
    }
}

#[test]
fn what_cannot_be_estimated_is_refused() {
    let mut desk = Desk::with("10");
    for (estimate, rejection) in [
        (of_class("other", Quote::Class), Rejection::QuoteRequired { class: Some(id("other")) }),
        (of_class("other", Quote::Seconds(60)), Rejection::QuoteRequired { class: Some(id("other")) }),
    ] {
        assert_eq!(desk.rejected(Command::EstimateIncident(estimate)), rejection);
    }
    for unranged in [estimate_command("i", Quote::Class), of_class("unnamed", Quote::Class)] {
        let refused = desk.rejected(Command::EstimateIncident(unranged));
        assert!(matches!(refused, Rejection::InvalidField { field: "quote", .. }));
    }
    let past = EstimateIncident {
        expires_at: Some(desk.book.now),
        ..estimate_command("i", Quote::Credits(credits("1")))
    };
    let refused = desk.rejected(Command::EstimateIncident(past));
    assert!(matches!(refused, Rejection::InvalidField { field: "expires_at", .. }));
}

#[test]
fn a_class_by_quote_is_settled_at_the_confirmed_quote_and_never_charged_without_one() {
    let mut desk = Desk::with("30");
    desk.ok(place_with(of_class("other", Quote::Credits(credits("20"))), false));
    desk.ok(work("i", 5));
    assert_eq!(transfers(&desk.ok(crate::desk::settle("i"))), "held > revenue 20");
    let unquoted = creditledger::ledger::commands::ChargeIncident {
        class: Some(id("other")),
        ..crate::desk::charge_command("j", 5)
    };
    assert_eq!(
        desk.rejected(Command::ChargeIncident(unquoted)),
        Rejection::QuoteRequired { class: Some(id("other")) }
    );
}

#[test]
fn confirming_a_new_total_moves_only_the_difference() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "2"));
    let quoted = desk.ok(estimate("i", "5"));
    assert_eq!((transfers(&quoted).as_str(), desk.balances().as_str()), ("", "8 2 0"));
    assert_eq!(transfers(&desk.ok(confirm("i", false))), "available > held 3");
    desk.ok(estimate("i", "1.5"));
    assert_eq!(transfers(&desk.ok(confirm("i", false))), "held > available 3.5");
    desk.ok(estimate("i", "9"));
    assert_eq!(transfers(&desk.ok(decline("i"))), "");
    let hold = desk.hold("i");
    assert_eq!((hold.estimate, hold.held, hold.state), (credits("1.5"), credits("1.5"), HoldState::Active));
    assert!(hold.pending.is_none());
    assert_eq!(desk.balances(), "8.5 1.5 0");
}

#[test]
fn a_new_total_beyond_what_there_is_is_rejected_or_parked() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "2"));
    desk.ok(estimate("i", "14"));
    assert!(matches!(desk.rejected(confirm("i", false)), Rejection::InsufficientCredits { .. }));
    let parked = desk.ok(confirm("i", true));
    assert_eq!(transfers(&parked), "");
    assert_eq!((desk.hold("i").state, desk.state().state.parked), (HoldState::Active, 1));
    let answer = desk.ok(purchase("more", "4"));
    assert_eq!(transfers(&answer), "sales:web > available 4, available > held 12");
    let hold = desk.hold("i");
    assert_eq!((hold.held, hold.estimate), (credits("14"), credits("14")));
    assert_eq!((hold.pending.as_ref(), desk.state().state.parked), (None, 0));
    assert_eq!(desk.balances(), "0 14 0");
}

#[test]
fn a_parked_total_below_what_was_extended_meanwhile_takes_nothing_back() {
    let mut desk = Desk::with("10");
    desk.ok(place_timed("i", 180));
    desk.ok(estimate("i", "11"));
    desk.ok(confirm("i", true));
    desk.ok(extend("i", "4"));
    let answer = desk.ok(purchase("more", "1"));
    assert_eq!(transfers(&answer), "sales:web > available 1, available > held 1");
    assert_eq!(desk.hold("i").held, credits("11"));
}

#[test]
fn an_estimate_announces_missing_credits_once() {
    let mut desk = Desk::with("10");
    let first = desk.ok(estimate("i", "12"));
    assert_eq!(first.posting.detail.shortfall.as_ref().unwrap().missing, credits("2"));
    let same = desk.ok(estimate("i", "12"));
    assert_eq!(same.posting.detail.shortfall, None);
    let other = desk.ok(estimate("i", "13"));
    assert_eq!(other.posting.detail.shortfall.as_ref().unwrap().missing, credits("3"));
}

#[test]
fn recorded_work_that_outgrows_all_credits_announces_what_is_missing() {
    let mut desk = Desk::with("3");
    desk.ok(place("i", "1"));
    assert_eq!(desk.ok(work("i", 90)).posting.detail.shortfall, None);
    let over = desk.ok(work("i", 60));
    assert_eq!(over.posting.detail.shortfall.as_ref().unwrap().missing, credits("2"));
}

#[test]
fn free_support_is_decided_by_the_day_the_incident_was_opened() {
    use creditledger::ledger::commands::{Change, SetCustomerTerms};
    let mut desk = Desk::with("10");
    let bought = desk.book.now.day();
    desk.ok(Command::SetCustomerTerms(SetCustomerTerms {
        product_purchased_on: Change::Set(bought),
        ..SetCustomerTerms::default()
    }));
    desk.pass_days(30);
    let free = desk.ok(place_with(estimate_command("free", Quote::Seconds(7_200)), false));
    assert_eq!(free.hold.unwrap().held, credits("0"));
    desk.pass_days(1);
    let paid = desk.ok(place_with(estimate_command("paid", Quote::Seconds(7_200)), false));
    assert_eq!(paid.hold.unwrap().held, credits("4"));
    desk.ok(work("free", 120));
    assert_eq!(transfers(&desk.ok(crate::desk::settle("free"))), "");
    let late = creditledger::ledger::commands::ChargeIncident {
        opened_at: Some(desk.book.now.plus_seconds(-86_400)),
        ..crate::desk::charge_command("opened-in-time", 60)
    };
    assert_eq!(transfers(&desk.ok(Command::ChargeIncident(late))), "");
    assert_eq!(transfers(&desk.ok(charge("opened-late", 60))), "available > revenue 2");
}
