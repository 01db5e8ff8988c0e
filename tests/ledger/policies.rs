//! The four real support policies, sentence by sentence, with numbers.

use creditledger::ledger::card::CardEdit;
use creditledger::ledger::commands::{
    Change, ChargeIncident, Command, EstimateIncident, Quote, RecordWork, SetCustomerTerms, SettleHold,
};
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::{Credits, HoldState, Rejection, Timestamp};

use crate::desk::{
    Desk, START, charge, charge_command, close_incident, confirm, credits, decline, estimate_command, id,
    incident, new_work, place_with, preset, settle, settle_command, transfers, work,
};

/// An estimate of a class; with a quote, or from the card.
fn estimate(name: &str, class: &str, quote: Option<&str>) -> EstimateIncident {
    let quote = quote.map_or(Quote::Class, |total| Quote::Credits(credits(total)));
    EstimateIncident { class: Some(id(class)), ..estimate_command(name, quote) }
}

fn place(name: &str, class: &str, quote: Option<&str>) -> Command {
    place_with(estimate(name, class, quote), false)
}

/// Work of so many seconds that began so many minutes after [`START`].
fn work_at(name: &str, minute: i64, minutes: u64) -> Command {
    let started_at = Some(START.plus_seconds(minute * 60));
    let work = creditledger::ledger::commands::NewWork { started_at, ..new_work(minutes) };
    Command::RecordWork(RecordWork { hold: incident(name), work })
}

fn work_of(name: &str, seconds: u64, solutions: u32) -> Command {
    let work = creditledger::ledger::commands::NewWork { seconds, solutions, ..new_work(0) };
    Command::RecordWork(RecordWork { hold: incident(name), work })
}

fn work_on(name: &str, line: &str, minutes: u64) -> Command {
    let work = creditledger::ledger::commands::NewWork { line: Some(id(line)), ..new_work(minutes) };
    Command::RecordWork(RecordWork { hold: incident(name), work })
}

fn charged(desk: &mut Desk, name: &str) -> Credits {
    desk.ok(settle(name)).hold.as_ref().unwrap().settlement.as_ref().unwrap().charge
}

fn circumstances(emergency: bool, kb_answered: bool) -> Circumstances {
    Circumstances { emergency, kb_answered, ..Circumstances::default() }
}

// A product vendor's credit programme.

#[test]
fn prepaid_holds_the_top_of_a_class_and_charges_exact_time() {
    for (class, top, minutes, charge) in [
        ("installation-and-configuration", "2", 45, "1.5"),
        ("price-plans", "4", 100, "3.33"),
        ("front-end-design", "3", 31, "1.03"),
    ] {
        let mut desk = Desk::under("prepaid", "10");
        let placed = desk.ok(place("i", class, None));
        assert_eq!(placed.hold.unwrap().held, credits(top), "{class}");
        desk.ok(work("i", minutes));
        assert_eq!(charged(&mut desk, "i"), credits(charge), "{class}");
    }
}

#[test]
fn prepaid_free_classes_need_no_credits_at_all() {
    for class in ["sales", "licence-transfer"] {
        let mut desk = Desk::new();
        let placed = desk.ok(place("i", class, None));
        assert_eq!(
            (placed.hold.unwrap().state, transfers(&desk.ok(work("i", 600)))),
            (HoldState::Active, String::new())
        );
        assert_eq!((charged(&mut desk, "i"), desk.balances().as_str()), (Credits::ZERO, "0 0 0"), "{class}");
        let direct = ChargeIncident { class: Some(id(class)), ..charge_command("j", 600) };
        assert_eq!(transfers(&desk.ok(Command::ChargeIncident(direct))), "");
    }
}

#[test]
fn prepaid_support_is_free_until_day_30_and_renewing_it_is_paid() {
    let mut desk = Desk::under("prepaid", "10");
    let bought = desk.book.now.day();
    let buy = |bought, charge: &str| {
        Command::SetCustomerTerms(SetCustomerTerms {
            product_purchased_on: Change::Set(bought),
            charge: credits(charge),
            ..SetCustomerTerms::default()
        })
    };
    desk.ok(buy(bought, "0"));
    desk.pass_days(30);
    assert_eq!(transfers(&desk.ok(charge("day 30".replace(' ', "-").as_str(), 60))), "");
    desk.pass_days(1);
    assert_eq!(transfers(&desk.ok(charge("day-31", 60))), "available > revenue 2");
    let renewed = desk.book.now.day();
    assert_eq!(transfers(&desk.ok(buy(renewed, "3"))), "available > revenue 3");
    assert_eq!(transfers(&desk.ok(charge("renewed", 60))), "");
}

#[test]
fn prepaid_customers_top_up_confirm_are_told_in_advance_and_close_their_incidents() {
    let mut desk = Desk::under("prepaid", "1");
    let quoted = desk.ok(Command::EstimateIncident(estimate("i", "front-end-design", None)));
    // Told before work starts: 3 are needed, 1 is there.
    assert_eq!(quoted.posting.detail.shortfall.as_ref().unwrap().missing, credits("2"));
    assert!(matches!(desk.rejected(confirm("i", false)), Rejection::InsufficientCredits { .. }));
    assert!(matches!(desk.rejected(work("i", 5)), Rejection::HoldNotActive { state: HoldState::Quoted }));
    desk.ok(crate::desk::purchase("top-up", "5"));
    desk.ok(confirm("i", false));
    desk.ok(work("i", 40));
    let closed = desk.ok(close_incident("i"));
    assert_eq!(transfers(&closed), "held > revenue 1.33, held > available 1.67");
}

#[test]
fn prepaid_other_work_needs_a_quote() {
    let mut desk = Desk::under("prepaid", "30");
    assert_eq!(
        desk.rejected(place("i", "other", None)),
        Rejection::QuoteRequired { class: Some(id("other")) }
    );
    desk.ok(place("i", "other", Some("12.5")));
    desk.ok(work("i", 5));
    assert_eq!(charged(&mut desk, "i"), credits("12.5"));
}

// A hosting company that charges started half hours.

#[test]
fn half_hour_charges_started_half_hours_of_clock_time() {
    // (entries as (minute of the start, minutes), half hours): one credit each at 2 an hour.
    for (entries, charge) in [
        (&[(0, 10)][..], "1"),
        (&[(0, 30)], "1"),
        (&[(0, 31)], "2"),
        (&[(0, 10), (10, 10), (20, 10)], "1"),
        // An hour's pause between the first and the second: 0:00-1:30 has elapsed.
        (&[(0, 10), (70, 10), (80, 10)], "3"),
        // Two at work at the same time: the time passes once.
        (&[(0, 25), (5, 20)], "1"),
    ] {
        let mut desk = Desk::under("half-hour", "20");
        desk.ok(crate::desk::place("i", "5"));
        for (start, minutes) in entries {
            desk.ok(work_at("i", *start, *minutes));
        }
        assert_eq!(charged(&mut desk, "i"), credits(charge), "{entries:?}");
    }
}

#[test]
fn half_hour_has_a_minimum_for_each_ticket() {
    let mut desk = Desk::under("half-hour", "20");
    for ticket in ["a", "b", "c"] {
        desk.ok(crate::desk::place(ticket, "1"));
        desk.ok(work_at(ticket, 0, 10));
        assert_eq!(charged(&mut desk, ticket), credits("1"));
    }
    // Three tickets of 10 minutes: an hour and a half.
    assert_eq!(desk.balances(), "17 0 0");
}

#[test]
fn half_hour_emergencies_are_free_unless_the_knowledge_base_answers() {
    for (emergency, kb_answered, charge) in
        [(true, false, "0"), (true, true, "2"), (false, true, "2"), (false, false, "2")]
    {
        let mut desk = Desk::under("half-hour", "20");
        let circumstances = circumstances(emergency, kb_answered);
        let estimate = EstimateIncident {
            circumstances: circumstances.clone(),
            ..estimate_command("i", Quote::Seconds(2_700))
        };
        let placed = desk.ok(place_with(estimate, false));
        assert_eq!(placed.hold.unwrap().held, credits(charge));
        desk.ok(work_at("i", 0, 45));
        assert_eq!(charged(&mut desk, "i"), credits(charge), "{circumstances:?}");
        let direct = ChargeIncident { circumstances, ..charge_command("j", 45) };
        let answer = desk.ok(Command::ChargeIncident(direct));
        assert_eq!(answer.hold.as_ref().unwrap().settlement.as_ref().unwrap().charge, credits(charge));
    }
}

#[test]
fn half_hour_settlements_correct_what_the_hold_says() {
    let mut desk = Desk::under("half-hour", "20");
    for (name, emergency, kb_answered, charge) in
        [("a", Some(true), None, "0"), ("b", Some(true), Some(true), "1"), ("c", None, None, "1")]
    {
        desk.ok(crate::desk::place(name, "2"));
        desk.ok(work(name, 10));
        let settle = SettleHold { emergency, kb_answered, ..settle_command(name) };
        let settled = desk.ok(Command::SettleHold(settle)).hold.unwrap();
        assert_eq!(settled.settlement.as_ref().unwrap().charge, credits(charge), "{name}");
    }
}

#[test]
fn half_hour_prices_depend_on_the_package() {
    let mut desk = Desk::under("half-hour", "20");
    let mut card = preset("half-hour");
    card.card.version = 2;
    card.packages.insert(id("gold"), credits("1.2"));
    desk.change_cards(CardEdit::Card(card.into()));
    assert_eq!(transfers(&desk.ok(charge("none", 40))), "available > revenue 2");
    desk.ok(Command::SetCustomerTerms(SetCustomerTerms {
        package: Change::Set(id("gold")),
        ..SetCustomerTerms::default()
    }));
    assert_eq!(transfers(&desk.ok(charge("gold", 40))), "available > revenue 1.2");
}

#[test]
fn half_hour_lets_the_administrator_name_a_price() {
    let mut desk = Desk::under("half-hour", "20");
    desk.ok(place("i", "own-price", Some("7")));
    desk.ok(work_at("i", 0, 300));
    assert_eq!(charged(&mut desk, "i"), credits("7"));
}

// A hosting company with a flat price, and quotes above it.

#[test]
fn flat_then_quoted_basic_support_is_free() {
    for class in [
        "mail-fault",
        "access-fault",
        "stability-fault",
        "service-fault",
        "panel-fault",
        "server-fault",
        "panel-question",
        "panel-password-reset",
        "plan-change",
    ] {
        let mut desk = Desk::new();
        desk.use_preset("flat-then-quoted");
        desk.ok(place("i", class, None));
        desk.ok(work("i", 90));
        assert_eq!(charged(&mut desk, "i"), Credits::ZERO, "{class}");
    }
}

#[test]
fn flat_then_quoted_charges_each_solution_flat_under_25_minutes_and_the_quote_above() {
    for class in [
        "code-error",
        "tool-installation",
        "platform-change-copy",
        "backup-or-restore",
        "domain-or-dns",
        "customer-can-do-in-panel",
        "mail-password",
    ] {
        for (seconds, solutions, quote, expected) in [
            (0, 0, None, Some("1")),
            (24 * 60 + 59, 0, None, Some("1")),
            (24 * 60 + 59, 1, None, Some("1")),
            (24 * 60 + 59, 2, None, Some("2")),
            // A quote counts above the tier only.
            (24 * 60 + 59, 2, Some("6"), Some("2")),
            (25 * 60, 2, None, None),
            (25 * 60, 2, Some("6"), Some("6")),
            (250 * 60, 1, Some("6"), Some("6")),
        ] {
            let mut desk = Desk::under("flat-then-quoted", "10");
            let placed = desk.ok(place("i", class, quote));
            assert_eq!(placed.hold.unwrap().held, credits(quote.unwrap_or("1")), "one flat price is held");
            desk.ok(work_of("i", seconds, solutions));
            if let Some(charge) = expected {
                assert_eq!(charged(&mut desk, "i"), credits(charge), "{seconds} s");
            } else {
                let refused = desk.rejected(settle("i"));
                assert_eq!(refused, Rejection::QuoteRequired { class: Some(id(class)) });
            }
        }
    }
}

#[test]
fn flat_then_quoted_quotes_are_given_accepted_and_paid_before_the_work() {
    let mut desk = Desk::under("flat-then-quoted", "4");
    desk.ok(Command::EstimateIncident(estimate("i", "code-error", Some("3"))));
    // Given, and not accepted: no work, no charge.
    assert!(matches!(desk.rejected(work("i", 5)), Rejection::HoldNotActive { .. }));
    assert!(matches!(desk.rejected(settle("i")), Rejection::HoldNotActive { .. }));
    assert_eq!(transfers(&desk.ok(confirm("i", false))), "available > held 3");
    desk.ok(work("i", 120));
    assert_eq!(transfers(&desk.ok(settle("i"))), "held > revenue 3");
    // Refused quotes cost nothing.
    desk.ok(Command::EstimateIncident(estimate("j", "code-error", Some("1"))));
    desk.ok(decline("j"));
    // More than there is cannot be accepted.
    desk.ok(Command::EstimateIncident(estimate("k", "code-error", Some("9"))));
    assert!(matches!(desk.rejected(confirm("k", false)), Rejection::InsufficientCredits { .. }));
    assert_eq!(desk.balances(), "1 0 0");
}

#[test]
fn flat_then_quoted_work_that_outgrows_the_flat_price_waits_for_a_quote() {
    let mut desk = Desk::under("flat-then-quoted", "10");
    desk.ok(place("i", "code-error", None));
    let outgrown = desk.ok(work("i", 40));
    assert!(outgrown.posting.detail.nearly_used, "the customer is told");
    assert!(matches!(desk.rejected(settle("i")), Rejection::QuoteRequired { .. }));
    // An estimate from the card is no quote, and above the tier there is none.
    let from_card = desk.rejected(Command::EstimateIncident(estimate_command("i", Quote::Seconds(2_400))));
    assert!(matches!(from_card, Rejection::QuoteRequired { .. }));
    desk.ok(Command::EstimateIncident(estimate("i", "code-error", Some("4"))));
    assert!(matches!(desk.rejected(settle("i")), Rejection::QuoteRequired { .. }), "not accepted yet");
    desk.ok(confirm("i", false));
    assert_eq!(charged(&mut desk, "i"), credits("4"));
}

#[test]
fn flat_then_quoted_charges_nothing_without_a_hold() {
    let mut desk = Desk::under("flat-then-quoted", "10");
    assert_eq!(desk.rejected(charge("i", 10)), Rejection::HoldRequired);
    let free = ChargeIncident { class: Some(id("mail-fault")), ..charge_command("j", 10) };
    assert_eq!(transfers(&desk.ok(Command::ChargeIncident(free))), "");
}

// A hosting company with three lines.

#[test]
fn three_lines_keeps_the_time_on_each_line_and_charges_from_the_second_on() {
    for (entries, charge) in [
        (&[("first", 50)][..], "0"),
        (&[("first", 50), ("second", 10)], "1"),
        (&[("first", 50), ("second", 30), ("administrators", 45)], "2.5"),
        (&[("second", 30), ("first", 5), ("second", 45)], "2.5"),
    ] {
        let mut desk = Desk::under("three-lines", "20");
        desk.ok(crate::desk::place("i", "5"));
        for (line, minutes) in entries {
            desk.ok(work_on("i", line, *minutes));
        }
        let settled = desk.ok(settle("i")).hold.unwrap();
        let settlement = settled.settlement.as_ref().unwrap();
        assert_eq!(settlement.charge, credits(charge), "{entries:?}");
        let kept: u64 = settlement.inputs.lines.iter().map(|time| time.seconds).sum();
        assert_eq!(kept, entries.iter().map(|(_, minutes)| minutes * 60).sum::<u64>());
    }
}

#[test]
fn three_lines_costs_the_minimum_where_nothing_was_recorded() {
    let mut desk = Desk::under("three-lines", "20");
    desk.ok(crate::desk::place("i", "5"));
    assert_eq!(charged(&mut desk, "i"), credits("1"));
}

#[test]
fn three_lines_refuses_what_is_out_of_scope() {
    for class in
        ["site-code-or-data-change", "script-installation", "customer-computer-configuration", "teaching"]
    {
        let mut desk = Desk::under("three-lines", "20");
        let out_of_scope = Rejection::OutOfScope { class: id(class) };
        assert_eq!(desk.rejected(place("i", class, Some("5"))), out_of_scope);
        assert_eq!(desk.rejected(place("i", class, None)), out_of_scope);
        let direct = ChargeIncident { class: Some(id(class)), ..charge_command("i", 10) };
        assert_eq!(desk.rejected(Command::ChargeIncident(direct)), out_of_scope);
    }
}

#[test]
fn three_lines_serves_customers_only() {
    let mut desk = Desk::without_customer();
    desk.use_preset("three-lines");
    assert_eq!(desk.rejected(crate::desk::place("i", "1")), Rejection::CustomerNotFound);
    assert_eq!(desk.rejected(charge("i", 10)), Rejection::CustomerNotFound);
}

// What holds for all of them.

#[test]
fn changing_the_cards_in_mid_incident_changes_nothing_for_open_holds() {
    let mut desk = Desk::under("prepaid", "30");
    desk.ok(crate::desk::place("before", "5"));
    desk.ok(work("before", 45));
    desk.use_preset("half-hour");
    let mut dearer = preset("prepaid");
    dearer.card.version = 2;
    dearer.credits_per_hour = credits("100");
    desk.change_cards(CardEdit::Card(dearer.into()));
    desk.ok(crate::desk::place("after", "5"));
    desk.ok(work("after", 45));
    assert_eq!(charged(&mut desk, "before"), credits("1.5"));
    assert_eq!(charged(&mut desk, "after"), credits("2"));
    // Each receipt pins its version.
    let pinned = ["before", "after"].map(|name| desk.hold(name).card.clone());
    assert_eq!(pinned, [preset("prepaid").card, preset("half-hour").card]);
    // A customer's own card takes its newest version.
    desk.ok(Command::SetCustomerTerms(SetCustomerTerms {
        rate_card: Change::Set(id("prepaid")),
        ..SetCustomerTerms::default()
    }));
    assert!(
        matches!(desk.rejected(charge("own", 60)), Rejection::InsufficientCredits { required, .. } if required == credits("100"))
    );
}

#[test]
fn half_hour_elapsed_time_of_a_reopened_incident_is_added_up() {
    let mut desk = Desk::under("half-hour", "20");
    let with_start = |minute: i64| Timestamp::from_micros(START.micros() + minute * 60_000_000);
    desk.ok(crate::desk::place("i", "2"));
    desk.ok(work_at("i", 0, 20));
    assert_eq!(charged(&mut desk, "i"), credits("1"));
    desk.ok(crate::desk::place("i", "2"));
    desk.ok(work_at("i", 40, 20));
    // 20 min and 20 min are two started half hours, of which one was charged. The pause between them is nobody's work.
    assert_eq!(charged(&mut desk, "i"), credits("1"));
    let inputs = desk.hold("i").settlement.as_ref().unwrap().inputs.clone();
    let span = inputs.span.unwrap();
    assert_eq!((span.from, span.until, span.seconds), (with_start(40), with_start(60), 1_200));
    assert_eq!(inputs.before.unwrap().elapsed, 1_200);
}
