//! What a card file may be, and every way in which it may be wrong.

use super::*;

fn faults(text: &str) -> Vec<String> {
    parse(text).unwrap_err().iter().map(ToString::to_string).collect()
}

const GOOD: &str = "rate_card = \"mine\"\ncredits_per_hour = 2.5\n";

#[test]
fn a_file_needs_a_name_and_a_rate_and_nothing_else() {
    let card = parse(GOOD).unwrap().card;
    assert_eq!(card, RateCard::plain(card.card.id.clone(), Credits::parse("2.5").unwrap()));
    assert_eq!(
        faults(""),
        [
            "credits_per_hour must be more than 0 on a card without a flat tier",
            "rate_card is missing: the card's name",
        ]
    );
}

#[test]
fn every_fault_is_named_at_once_with_key_and_line() {
    let text = r#"
rate_card = "my card"
credits_per_hour = -2
minimum_credits = 0.005
charge_scale = 5
increment_minutes = 0
minimum_minutes = "an hour"
time_basis = "elapsed"
emergency = "sometimes"
quote_valid_days = 0
free_support_days = true
colour = "blue"
flat_credits = 1
free_classes = ["sales", "other"]
refused_classes = ["other", "a b"]

[classes.sales]
estimate_credits = [1, 2]

[classes.front-end-design]
estimate_credits = [3, 1]
credits_per_hour = 0
color = 1

[packages]
gold = -1
"a b" = 2

[lines]
first = "gratis"
second = 0

[multipliers]
after-hours = 0
on-site = 1001
"#;
    let expected = [
        "line 2: rate_card must consist of letters, digits and ._:@-",
        "line 3: credits_per_hour must not be negative",
        "line 5: charge_scale must be at most 4",
        "line 6: increment_minutes must be more than 0; without it exact time is charged",
        "line 7: minimum_minutes must be minutes such as 30 or 1.5 that come to whole seconds",
        "line 9: emergency must be one of \"charged\", \"free\", \"free-unless-kb-answered\"",
        "line 10: quote_valid_days must be from 1 to 3660",
        "line 11: free_support_days must be a whole number, not boolean",
        "line 12: colour is not a key of a rate card",
        "line 13: flat_credits needs flat_under_minutes beside it",
        "line 15: refused_classes names class other, which has another rule already",
        "line 15: refused_classes must consist of letters, digits and ._:@-",
        "line 17: classes.sales names class sales, which has another rule already",
        "line 20: classes.front-end-design must have credits_per_hour of more than 0",
        "line 20: classes.front-end-design has its range upside down: 3 to 1",
        "line 23: classes.front-end-design.color is not a key of a class",
        "line 26: packages.gold must be more than 0",
        "line 27: packages.a b is not a name: it must consist of letters, digits and ._:@-",
        "line 29: lines cannot be told apart where elapsed time is charged",
        "line 30: lines.first must be a decimal number such as 2.5, without exponent, spaces or plus sign",
        "line 31: lines.second must be more than 0, or free",
        "line 34: multipliers.after-hours must be more than 0 and at most 1000",
        "line 35: multipliers.on-site must be a factor such as 1.5, at most 1000",
    ];
    assert_eq!(faults(text), expected);
}

#[test]
fn numbers_are_read_as_they_are_written() {
    for (rate, units) in [("2", 20_000), ("0.0001", 1), ("1_000.5", 10_005_000), ("\"2.5\"", 25_000)] {
        let text = format!("rate_card = \"mine\"\ncredits_per_hour = {rate}\n");
        assert_eq!(parse(&text).unwrap().card.credits_per_hour, Credits::from_units(units), "{rate}");
    }
    for rate in ["1e3", "inf", "0x10", "0.00001", "true", "[1]"] {
        let text = format!("rate_card = \"mine\"\ncredits_per_hour = {rate}\n");
        assert!(faults(&text)[0].starts_with("line 2: credits_per_hour must"), "{:?}", faults(&text));
    }
}

#[test]
fn what_is_no_toml_is_named_by_its_line() {
    let broken = faults("rate_card = \"mine\"\ncredits_per_hour = = 2\ncredits_per_hour = 2\n");
    assert!(broken.iter().any(|fault| fault.starts_with("line 2: ")), "{broken:?}");
    let twice = faults("rate_card = \"mine\"\ncredits_per_hour = 2\ncredits_per_hour = 2\n");
    assert!(twice.iter().any(|fault| fault.starts_with("line 3: ")), "{twice:?}");
}

#[test]
fn a_minimum_above_the_flat_price_is_legal_and_warned_about() {
    let text = "rate_card = \"mine\"\nflat_under_minutes = 25\nflat_credits = 1\nminimum_credits = 2\n";
    let warnings = parse(text).unwrap().warnings;
    assert_eq!(
        warnings[0].to_string(),
        "line 4: minimum_credits is above the flat price of 1, which is never charged"
    );
}
