//! What time costs under the card `prepaid`, and every rule that makes it cost something else.

use creditledger::cards;
use creditledger::ledger::card::{CardRef, ClassRule, RateCard};
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::hold::Settlement;
use creditledger::ledger::job::{PriceInputs, WorkTime};
use creditledger::ledger::price::price;
use creditledger::ledger::receipt::{ReceiptError, receipt};
use creditledger::ledger::rules::Rules;
use creditledger::ledger::{Day, LedgerNo, Rejection};

use crate::desk::{Desk, credits, id, place, preset, settle, work};

fn inputs(seconds: u64) -> PriceInputs {
    PriceInputs { opened_on: Day::from_days(20_000), seconds, ..PriceInputs::default() }
}

/// The same inputs, as versions without a number of rules stored them.
fn first(inputs: PriceInputs) -> PriceInputs {
    PriceInputs { rules: Rules::First, before: None, ..inputs }
}

/// Time of work without a line.
fn time(seconds: u64) -> WorkTime {
    WorkTime { seconds, lines: Vec::new(), elapsed: seconds }
}

fn charge(inputs: &PriceInputs) -> String {
    price(&preset("prepaid"), inputs).unwrap().credits.to_string()
}

fn rules(inputs: &PriceInputs) -> Vec<&'static str> {
    price(&preset("prepaid"), inputs).unwrap().steps.iter().map(|step| step.rule.name()).collect()
}

#[test]
fn the_table_of_the_product() {
    for (minutes, expected) in [
        (0, "1"),
        (10, "1"),
        (30, "1"),
        (31, "1.03"),
        (40, "1.33"),
        (45, "1.5"),
        (50, "1.67"),
        (60, "2"),
        (75, "2.5"),
        (100, "3.33"),
        (150, "5"),
        (480, "16"),
    ] {
        assert_eq!(charge(&inputs(minutes * 60)), expected, "{minutes} minutes");
    }
}

#[test]
fn time_is_exact_to_the_second_and_halves_round_up() {
    // 1.03 credits are 1,854 s; 1.035 are 1,863 s.
    for (seconds, expected) in
        [(1_854, "1.03"), (1_862, "1.03"), (1_863, "1.04"), (1_871, "1.04"), (1_872, "1.04")]
    {
        assert_eq!(charge(&inputs(seconds)), expected, "{seconds} s");
    }
}

#[test]
fn free_classes_cost_nothing_however_long_they_take() {
    for class in ["sales", "licence-transfer"] {
        let inputs = PriceInputs { class: Some(id(class)), ..inputs(36_000) };
        assert_eq!((charge(&inputs).as_str(), rules(&inputs)), ("0", vec!["FREE_CLASS"]));
    }
}

#[test]
fn support_is_free_until_the_thirtieth_day_after_the_product_purchase() {
    for (opened, expected) in [(100, "0"), (130, "0"), (131, "2")] {
        let inputs = PriceInputs {
            opened_on: Day::from_days(opened),
            product_purchased_on: Some(Day::from_days(100)),
            ..inputs(3_600)
        };
        assert_eq!(charge(&inputs), expected, "opened on day {opened}");
    }
}

#[test]
fn a_class_priced_by_quote_costs_the_quote_or_nothing_is_priced() {
    let quoted = PriceInputs {
        class: Some(id("other")),
        confirmed_quote: Some(credits("7.25")),
        before: Some(time(600)),
        ..inputs(60)
    };
    assert_eq!((charge(&quoted).as_str(), rules(&quoted)), ("7.25", vec!["QUOTE"]));
    let by_first_rules = PriceInputs { charged_before: credits("3"), ..first(quoted.clone()) };
    assert_eq!((charge(&by_first_rules).as_str(), rules(&by_first_rules)), ("7.25", vec!["QUOTE"]));
    let unquoted = PriceInputs { confirmed_quote: None, ..quoted };
    assert_eq!(
        price(&preset("prepaid"), &unquoted),
        Err(Rejection::QuoteRequired { class: Some(id("other")) })
    );
}

#[test]
fn refused_classes_are_out_of_scope() {
    let mut card = preset("prepaid");
    card.classes.insert(id("teaching"), ClassRule::Refused);
    let inputs = PriceInputs { class: Some(id("teaching")), ..inputs(60) };
    assert_eq!(price(&card, &inputs), Err(Rejection::OutOfScope { class: id("teaching") }));
}

#[test]
fn a_reopened_incident_costs_its_whole_time_less_the_price_of_the_time_before() {
    // 20 min cost 1; 20 more make 40, which cost 1.33.
    let again = PriceInputs { before: Some(time(1_200)), ..inputs(1_200) };
    let receipt = price(&preset("prepaid"), &again).unwrap();
    let told: Vec<_> = receipt.steps.iter().map(|step| format!("{}: {}", step.rule, step.text)).collect();
    assert_eq!(
        told,
        [
            "TIME: 20 min recorded",
            "TIME_BEFORE: 20 min before",
            "RATE: 40 min at 2 credits per hour = 1.3333... credits",
            "ROUNDING: rounded half up to 2 decimals: 1.33 credits",
            "PRICE_BEFORE: less 1 credit, the price of the time before: 0.33 credits",
        ]
    );
    assert_eq!(receipt.credits, credits("0.33"));
    // A settlement of no time was charged the minimum, which is paid.
    let after_none = PriceInputs { before: Some(time(0)), ..inputs(600) };
    assert_eq!(charge(&after_none), "0");
}

/// Stored calculations of versions without a number come to what they came to.
#[test]
fn by_the_first_rules_a_reopened_incident_cost_its_whole_time_less_what_was_charged() {
    let again = PriceInputs { charged_before: credits("1"), ..first(inputs(2_400)) };
    assert_eq!(
        (charge(&again).as_str(), rules(&again)),
        ("0.33", vec!["TIME", "RATE", "ROUNDING", "CHARGED_BEFORE"])
    );
    let paid_more = PriceInputs { charged_before: credits("5"), ..first(inputs(2_400)) };
    assert_eq!(charge(&paid_more), "0");
    // Neither rules nor time before are in its bytes, so that old bytes read as it.
    let bytes = encode(&again);
    assert_eq!(decode::<PriceInputs>(&bytes).as_ref(), Ok(&again));
    assert_eq!(bytes, [2, 0xc0, 0xb8, 2, 4, 0xe0, 0x12, 6, 0xa0, 0x9c, 1, 0]);
}

#[test]
fn a_receipt_tells_each_step() {
    let receipt = price(&preset("prepaid"), &inputs(1_200)).unwrap();
    let told: Vec<&str> = receipt.steps.iter().map(|step| step.text.as_str()).collect();
    assert_eq!(
        told,
        [
            "20 min recorded",
            "20 min at 2 credits per hour = 0.6666... credits",
            "rounded half up to 2 decimals: 0.67 credits",
            "at least 1 credit",
        ]
    );
}

#[test]
fn waived_work_costs_nothing_and_says_why() {
    let waived = PriceInputs { waive_reason: id("our own mistake"), ..inputs(7_200) };
    assert_eq!((charge(&waived).as_str(), rules(&waived)), ("0", vec!["WAIVED"]));
}

#[test]
fn started_increments_and_least_time_are_data_of_the_card() {
    let card = RateCard { increment_seconds: 1_800, minimum_seconds: 1_800, ..preset("prepaid") };
    for (minutes, expected) in [(0, "1"), (10, "1"), (30, "1"), (31, "2"), (90, "3"), (91, "4")] {
        assert_eq!(price(&card, &inputs(minutes * 60)).unwrap().credits, credits(expected), "{minutes}");
    }
}

#[test]
fn no_time_is_too_long_to_be_refused_cleanly() {
    assert_eq!(price(&preset("prepaid"), &inputs(u64::MAX)), Err(Rejection::AmountOutOfBounds));
}

#[test]
fn a_receipt_that_no_longer_comes_to_the_charge_is_a_fault() {
    let mut desk = Desk::with("10");
    desk.ok(place("i", "4"));
    desk.ok(work("i", 75));
    let hold = desk.ok(settle("i")).hold.unwrap();
    let settlement = hold.settlement.clone().unwrap();
    let cards = cards::built_in();
    assert_eq!(receipt(&cards, LedgerNo::MAIN, &hold.card, &settlement).unwrap().credits, credits("2.5"));
    let charged = Settlement { charge: credits("2.6"), ..settlement.clone() };
    assert_eq!(
        receipt(&cards, LedgerNo::MAIN, &hold.card, &charged),
        Err(ReceiptError::Differs { charged: credits("2.6"), calculated: credits("2.5") })
    );
    let unknown = CardRef { version: 2, ..hold.card.clone() };
    assert_eq!(
        receipt(&cards, LedgerNo::MAIN, &unknown, &settlement),
        Err(ReceiptError::UnknownCard(unknown.clone()))
    );
}
