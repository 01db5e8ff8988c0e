//! The order of the calculation, the precedence of rates, and what holds for any card: a charge never falls when time
//! grows, and nothing is lost or made by rounding.

use creditledger::ledger::card::{ClassRule, FlatTier, LineRule, RateCard, TimeBasis, check};
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::job::{Circumstances, PriceInputs, WorkTime};
use creditledger::ledger::price::{Receipt, price};
use creditledger::ledger::rules::Rules;
use creditledger::ledger::work::WorkPart;
use creditledger::ledger::{Credits, Rejection};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::desk::{START, credits, id, preset};

fn plain() -> RateCard {
    RateCard::plain(id("test"), credits("2"))
}

fn inputs(minutes: u64) -> PriceInputs {
    let mut inputs = PriceInputs::default();
    inputs.add_work([WorkPart { seconds: minutes * 60, ..WorkPart::default() }].into_iter());
    inputs
}

/// Work by line, in minutes; an empty line is none.
fn on_lines(work: &[(&str, u64)]) -> PriceInputs {
    let lines: Vec<_> = work.iter().map(|(line, _)| (!line.is_empty()).then(|| id(line))).collect();
    let mut inputs = PriceInputs::default();
    inputs.add_work(work.iter().zip(&lines).map(|((_, minutes), line)| WorkPart {
        seconds: minutes * 60,
        line: line.as_ref(),
        ..WorkPart::default()
    }));
    inputs
}

fn labelled(minutes: u64, labels: &[&str]) -> PriceInputs {
    let mut circumstances = Circumstances::default();
    circumstances.add_labels(&labels.iter().map(|label| id(label)).collect::<Vec<_>>());
    PriceInputs { circumstances, ..inputs(minutes) }
}

fn cost(card: &RateCard, inputs: &PriceInputs) -> String {
    price(card, inputs).unwrap().credits.to_string()
}

fn told(receipt: &Receipt) -> Vec<&str> {
    receipt.steps.iter().map(|step| step.text.as_str()).collect()
}

#[test]
fn the_rate_of_the_line_goes_before_class_package_and_card() {
    let mut card = plain();
    card.packages.insert(id("gold"), credits("3"));
    card.classes.insert(id("dear"), ClassRule::Timed { range: None, credits_per_hour: Some(credits("4")) });
    card.classes.insert(id("plain"), ClassRule::Timed { range: None, credits_per_hour: None });
    card.lines.insert(id("admins"), LineRule::CreditsPerHour(credits("5")));
    let work = |line: &str, class: &str, package: &str| PriceInputs {
        class: (!class.is_empty()).then(|| id(class)),
        package: (!package.is_empty()).then(|| id(package)),
        ..on_lines(&[(line, 60)])
    };
    for (line, class, package, expected) in [
        ("", "", "", "2"),
        ("", "", "gold", "3"),
        ("", "", "silver", "2"),
        ("", "plain", "gold", "3"),
        ("", "dear", "gold", "4"),
        ("", "unnamed", "gold", "3"),
        ("admins", "dear", "gold", "5"),
        ("chat", "dear", "gold", "4"),
        ("chat", "", "gold", "3"),
        ("chat", "", "", "2"),
    ] {
        assert_eq!(cost(&card, &work(line, class, package)), expected, "{line}/{class}/{package}");
    }
}

#[test]
fn the_largest_multiplier_counts_and_they_never_compound() {
    let mut card = RateCard { minimum_credits: credits("1"), ..plain() };
    for (label, factor) in [("after-hours", "1.5"), ("on-site", "2"), ("remote", "0.5")] {
        card.multipliers.insert(id(label), creditledger::ledger::card::Factor::parse(factor).unwrap());
    }
    for (labels, expected) in [
        (&[][..], "2"),
        (&["after-hours"], "3"),
        (&["after-hours", "on-site"], "4"),
        (&["remote"], "1"),
        (&["remote", "after-hours"], "3"),
        (&["unheard-of"], "2"),
    ] {
        assert_eq!(cost(&card, &labelled(60, labels)), expected, "{labels:?}");
    }
    // Before rounding and minimum: 10 min are a third of a credit, times 1.5 half a credit, which is less than 1.
    assert_eq!(cost(&card, &labelled(10, &["after-hours"])), "1");
    let receipt = price(&card, &labelled(50, &["after-hours", "on-site"])).unwrap();
    assert_eq!(
        told(&receipt),
        [
            "50 min recorded",
            "50 min at 2 credits per hour = 1.6666... credits",
            "times 2 for on-site, the largest that applies = 3.3333... credits",
            "rounded half up to 2 decimals: 3.33 credits",
        ]
    );
}

#[test]
fn each_line_costs_its_own_time_and_rounding_goes_to_the_last() {
    let mut card = RateCard { increment_seconds: 1_800, minimum_seconds: 1_800, ..plain() };
    card.lines.insert(id("chat"), LineRule::Free);
    card.lines.insert(id("ticket"), LineRule::CreditsPerHour(credits("2")));
    card.lines.insert(id("admins"), LineRule::CreditsPerHour(credits("6")));
    for (work, expected) in [
        // 20 min are charged, 30 at least: the ten come to the last line.
        (&[("ticket", 20)][..], "1"),
        (&[("ticket", 10), ("admins", 10)], "2.33"),
        (&[("admins", 10), ("ticket", 10)], "1.67"),
        // Free time counts for nothing, neither for the minimum nor for the increment.
        (&[("chat", 500), ("ticket", 31)], "2"),
        (&[("ticket", 31), ("chat", 500)], "2"),
        (&[("chat", 500)], "0"),
        (&[("chat", 0)], "0"),
        // Work without a line has the card's rate.
        (&[("", 15), ("admins", 15)], "2"),
        (&[("admins", 15), ("", 15)], "2"),
    ] {
        assert_eq!(cost(&card, &on_lines(work)), expected, "{work:?}");
    }
    let receipt = price(&card, &on_lines(&[("chat", 5), ("ticket", 10), ("admins", 10)])).unwrap();
    assert_eq!(
        told(&receipt),
        [
            "5 min recorded on line chat, which is free",
            "10 min recorded on line ticket",
            "10 min recorded on line admins",
            "at least 30 min",
            "10 min at 2 credits per hour, the rate of line ticket = 0.3333... credits",
            "20 min at 6 credits per hour, the rate of line admins = 2 credits",
            "rounded half up to 2 decimals: 2.33 credits",
        ]
    );
}

#[test]
fn elapsed_time_is_told_with_both_of_its_ends() {
    let mut work = PriceInputs::default();
    let part = |minute: i64, minutes: u64| WorkPart {
        seconds: minutes * 60,
        started_at: Some(START.plus_seconds(minute * 60)),
        ..WorkPart::default()
    };
    let unplaced = WorkPart { seconds: 300, ..WorkPart::default() };
    work.add_work([part(60, 10), part(0, 15), unplaced].into_iter());
    let receipt = price(&preset("half-hour"), &work).unwrap();
    assert_eq!(
        told(&receipt),
        [
            "1 h 10 min elapsed, from 2026-01-01 00:00:00 UTC to 2026-01-01 01:10:00 UTC",
            "5 min recorded without a start",
            "rounded up to 1 h 30 min in started 30 min",
            "1 h 30 min at 2 credits per hour = 3 credits",
        ]
    );
}

#[test]
fn a_flat_tier_is_multiplied_rounded_and_raised_to_the_minimum_like_time() {
    let mut card =
        RateCard { flat: Some(FlatTier { under_seconds: 1_500, credits: credits("1.255") }), ..plain() };
    card.multipliers.insert(id("on-site"), creditledger::ledger::card::Factor::parse("3").unwrap());
    assert_eq!(cost(&card, &inputs(24)), "1.26");
    assert_eq!(cost(&card, &PriceInputs { solutions: 3, ..labelled(24, &["on-site"]) }), "11.3");
    assert_eq!(price(&card, &inputs(25)), Err(Rejection::QuoteRequired { class: None }));
    card.minimum_credits = credits("2");
    assert_eq!(cost(&card, &inputs(24)), "2");
    assert_eq!(check(&card).warnings.first().unwrap().field, "minimum_credits");
    // The flat price is whole, whatever was before. By the first rules what was charged before was taken off.
    let before = Some(inputs(600).time());
    assert_eq!(cost(&card, &PriceInputs { before, ..inputs(24) }), "2");
    let charged_before = credits("1.5");
    assert_eq!(cost(&card, &PriceInputs { charged_before, rules: Rules::First, ..inputs(24) }), "0.5");
}

#[test]
fn no_combination_of_large_numbers_overflows() {
    let mut card = RateCard { credits_per_hour: Credits::MAX_PER_COMMAND, ..plain() };
    card.multipliers.insert(id("x"), creditledger::ledger::card::Factor::MAX);
    for seconds in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let mut work = labelled(0, &["x"]);
        work.seconds = seconds;
        assert_eq!(price(&card, &work), Err(Rejection::AmountOutOfBounds));
    }
    card.flat = Some(FlatTier { under_seconds: 10, credits: Credits::MAX_PER_COMMAND });
    let many = PriceInputs { solutions: u32::MAX, ..inputs(0) };
    assert_eq!(price(&card, &many), Err(Rejection::AmountOutOfBounds));
}

/// A release that brings a preset must not break a ledger that has a card of that name.
#[test]
fn a_preset_that_comes_later_stands_back_behind_a_ledgers_own_card() {
    use creditledger::ledger::LedgerNo;
    use creditledger::ledger::card::{CardEdit, CardRequest, Cards};
    let request = |rate: &str| CardRequest {
        ledger: LedgerNo::MAIN,
        request: creditledger::ledger::RequestKey::parse(rate).unwrap(),
        change: CardEdit::Card(RateCard::plain(id("test"), credits(rate)).into()),
        by: id("op"),
    };
    let mut before = Cards::new([]);
    let mut changes = Vec::new();
    for rate in ["3", "4"] {
        changes.push(before.next_change(&request(rate), START).unwrap());
        before.apply(changes.last().unwrap()).unwrap();
    }
    let mut after = Cards::new([plain()]);
    for change in &changes {
        after.apply(change).unwrap();
    }
    let rates = |cards: &Cards| -> Vec<String> {
        cards.all(LedgerNo::MAIN).iter().map(|card| card.credits_per_hour.to_string()).collect()
    };
    assert_eq!((rates(&before), rates(&after)), (rates(&before), vec!["3".to_owned(), "4".to_owned()]));
    assert_eq!(after.newest(LedgerNo::new(1).unwrap(), &id("test")).unwrap().credits_per_hour, credits("2"));
    // Other gaps are refused.
    assert!(Cards::new([plain()]).apply(&changes[1]).is_err());
    let third = creditledger::ledger::card::CardChange { revision: 3, ..changes[0].clone() };
    assert!(after.apply(&third).is_err());
}

/// Cards of every kind, as far as they pass their check.
fn cards() -> impl Strategy<Value = RateCard> {
    let rate = (1_i64..=80_000).prop_map(Credits::from_units);
    let rates = proptest::collection::vec(rate, 4);
    let times = (0_u64..=4, 0_u64..=4, 0_i64..=4, 0_u32..=4, any::<bool>(), any::<bool>());
    (rates, times, any::<bool>(), 1_i64..=40_000).prop_map(|(rates, times, has_flat, factor)| {
        let (increment, minimum, minimum_credits, scale, elapsed, with_lines) = times;
        let mut card = RateCard {
            increment_seconds: increment * 450,
            minimum_seconds: minimum * 450,
            minimum_credits: Credits::whole(minimum_credits),
            charge_scale: scale,
            time_basis: if elapsed { TimeBasis::Elapsed } else { TimeBasis::Sum },
            flat: has_flat.then_some(FlatTier { under_seconds: 1_500, credits: rates[1] }),
            ..RateCard::plain(id("any"), rates[0])
        };
        card.multipliers.insert(id("x"), creditledger::ledger::card::Factor::from_units(factor));
        card.packages.insert(id("p"), rates[2]);
        if with_lines && !elapsed {
            card.lines.insert(id("l1"), LineRule::Free);
            card.lines.insert(id("l2"), LineRule::CreditsPerHour(rates[3]));
        }
        assert!(check(&card).faults.is_empty(), "{card:?}");
        card
    })
}

#[derive(Clone, Debug)]
struct Piece {
    seconds: u64,
    line: usize,
    start: Option<i64>,
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = (0_u64..=7_200, 0_usize..=2, proptest::option::of(0_i64..=500))
        .prop_map(|(seconds, line, start)| Piece { seconds, line, start });
    proptest::collection::vec(piece, 1..=5)
}

fn priced(pieces: &[Piece], labelled_x: bool, quote: Option<Credits>) -> PriceInputs {
    let lines = [None, Some(id("l1")), Some(id("l2"))];
    let mut inputs = if labelled_x { labelled(0, &["x"]) } else { PriceInputs::default() };
    inputs.seconds = 0;
    inputs.lines.clear();
    inputs.confirmed_quote = quote;
    inputs.package = labelled_x.then(|| id("p"));
    inputs.add_work(pieces.iter().map(|piece| WorkPart {
        seconds: piece.seconds,
        started_at: piece.start.map(|minute| START.plus_seconds(minute * 60)),
        line: lines[piece.line].as_ref(),
        ..WorkPart::default()
    }));
    inputs
}

/// The seed is fixed, so that a failure is seen again.
fn check_all<S: Strategy>(strategy: S, property: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let config = Config { cases: 4_000, failure_persistence: None, ..Config::default() };
    TestRunner::new_with_rng(config, rng).run(&strategy, property).unwrap();
}

#[test]
fn a_charge_never_falls_when_time_grows_within_a_tier() {
    check_all((cards(), pieces(), any::<bool>(), 1_u64..=5_400), |(card, pieces, labelled, more)| {
        // Time goes on where it was worked last; what grows a line in the middle takes rounding from the last.
        let mut longer = pieces.clone();
        longer.last_mut().unwrap().seconds += more;
        let (short, long) =
            (price(&card, &priced(&pieces, labelled, None)), price(&card, &priced(&longer, labelled, None)));
        match (short, long) {
            (Ok(short), Ok(long)) => prop_assert!(long.credits >= short.credits, "{short:?} {long:?}"),
            // From the flat tier into the one that needs a quote, and nowhere else.
            (Ok(_) | Err(Rejection::QuoteRequired { .. }), Err(Rejection::QuoteRequired { .. })) => {
                prop_assert!(card.flat.is_some());
            }
            (short, long) => prop_assert!(false, "{short:?} {long:?}"),
        }
        Ok(())
    });
}

#[test]
fn a_receipt_is_the_same_from_its_stored_inputs_and_card() {
    let before = || proptest::option::of(pieces());
    let all = (cards(), pieces(), before(), any::<bool>(), 0_i64..=50_000);
    check_all(all, |(card, pieces, before, labelled, quote)| {
        let mut inputs = priced(&pieces, labelled, Some(Credits::from_units(quote)));
        inputs.before = before.map(|before| priced(&before, false, None).time());
        let first = price(&card, &inputs);
        let card: RateCard = decode(&encode(&card)).unwrap();
        let inputs: PriceInputs = decode(&encode(&inputs)).unwrap();
        prop_assert_eq!(&price(&card, &inputs), &first);
        // The last amount told is the charge.
        let receipt = first.unwrap();
        let last = receipt.steps.iter().filter_map(|step| step.credits).next_back();
        prop_assert_eq!(last, Some(receipt.credits));
        Ok(())
    });
}

/// By another way: both prices are those of incidents that were never reopened.
#[test]
fn a_reopened_incident_costs_the_price_of_all_less_the_price_of_what_was_before() {
    let all = (cards(), pieces(), pieces(), any::<bool>());
    check_all(all, |(card, before, pieces, labelled)| {
        let card = RateCard { flat: None, ..card };
        let time = |pieces: &[Piece]| priced(pieces, labelled, None).time();
        // What has elapsed of each hold is added up, as recorded time is.
        let alone = |time: WorkTime| {
            let basis = card.time_basis;
            let seconds = if basis == TimeBasis::Elapsed { time.elapsed } else { time.seconds };
            let summed =
                PriceInputs { seconds, lines: time.lines, span: None, ..priced(&[], labelled, None) };
            price(&card, &summed).unwrap().credits
        };
        let reopened = PriceInputs { before: Some(time(&before)), ..priced(&pieces, labelled, None) };
        let (whole, earlier) = (alone(time(&before).with(&time(&pieces))), alone(time(&before)));
        let expected = whole.less_at_least_zero(earlier);
        prop_assert_eq!(price(&card, &reopened).unwrap().credits, expected);
        Ok(())
    });
}

/// Joined time is that of all entries, one hold's after the other's.
#[test]
fn joined_time_is_that_of_all_work() {
    check_all((pieces(), pieces()), |(before, pieces)| {
        let time = |pieces: &[Piece]| priced(pieces, false, None).time();
        let joined = time(&before).with(&time(&pieces));
        let all = time(&[before.clone(), pieces.clone()].concat());
        prop_assert_eq!((joined.seconds, &joined.lines), (all.seconds, &all.lines));
        prop_assert_eq!(joined.elapsed, time(&before).elapsed + time(&pieces).elapsed);
        Ok(())
    });
}

#[test]
fn rounding_is_half_up_of_the_exact_amount() {
    check_all((cards(), 0_u64..=100_000), |(card, seconds)| {
        let card = RateCard { flat: None, minimum_credits: Credits::ZERO, ..card };
        let charge = price(&card, &PriceInputs { seconds, ..PriceInputs::default() }).unwrap().credits;
        // By another way: the time in whole increments, and the distance to the exact amount.
        let mut billed = seconds.max(card.minimum_seconds);
        if card.increment_seconds > 0 {
            billed = billed.div_ceil(card.increment_seconds) * card.increment_seconds;
        }
        let exact = i128::from(billed) * i128::from(card.credits_per_hour.units());
        let step = i128::from(10_i64.pow(4 - card.charge_scale));
        let difference = 2 * (i128::from(charge.units()) * 3_600 - exact);
        prop_assert!(difference <= step * 3_600 && difference > -step * 3_600, "{difference} of {step}");
        prop_assert_eq!(i128::from(charge.units()) % step, 0);
        Ok(())
    });
}
