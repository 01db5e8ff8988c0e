//! Incidents that are opened again: time once decided stays decided.

use std::sync::Arc;

use creditledger::ledger::card::{CardEdit, CardRef, Factor, LineRule, RateCard};
use creditledger::ledger::commands::{
    Change, ChargeIncident, Command, EstimateIncident, NewWork, Quote, RecordWork, SetCustomerTerms,
    SettleHold,
};
use creditledger::ledger::job::{Circumstances, WorkTime};
use creditledger::ledger::receipt::receipt;
use creditledger::ledger::rules::Rules;
use creditledger::ledger::{Credits, Hold, LedgerNo, Rejection};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::desk::{
    Desk, START, charge, charge_command, credits, estimate_command, id, incident, new_work, place_timed,
    place_with, preset, reverse, settle, settle_command, transfers, work,
};

/// One opening of the incident `i`: how it is estimated, the work on it, how it is settled.
pub struct Opening {
    estimate: EstimateIncident,
    work: Vec<NewWork>,
    settle: SettleHold,
}

pub fn opened(minutes: u64) -> Opening {
    Opening {
        estimate: estimate_command("i", Quote::Seconds(0)),
        work: vec![new_work(minutes)],
        settle: settle_command("i"),
    }
}

impl Opening {
    fn class(mut self, class: &str) -> Self {
        self.estimate.class = Some(id(class));
        self
    }

    fn quote(mut self, total: &str) -> Self {
        self.estimate.quote = Quote::Credits(credits(total));
        self
    }

    fn labelled(mut self, label: &str) -> Self {
        self.estimate.circumstances.labels = vec![id(label)];
        self
    }

    fn emergency(mut self, kb_answered: bool) -> Self {
        self.estimate.circumstances =
            Circumstances { emergency: true, kb_answered, ..Circumstances::default() };
        self
    }

    fn waived(mut self) -> Self {
        self.settle.waive_reason = id("our mistake");
        self
    }

    /// The first entry began so many minutes after [`START`].
    pub fn began(mut self, minute: i64) -> Self {
        self.work[0].started_at = Some(START.plus_seconds(minute * 60));
        self
    }

    fn on(mut self, line: &str) -> Self {
        self.work[0].line = Some(id(line));
        self
    }

    fn then(mut self, line: &str, minutes: u64) -> Self {
        self.work.push(NewWork { line: Some(id(line)), ..new_work(minutes) });
        self
    }

    fn solutions(mut self, solutions: u32) -> Self {
        self.work[0].solutions = solutions;
        self
    }

    fn without_work(mut self) -> Self {
        self.work.clear();
        self
    }
}

/// Opens the incident, works on it, settles it, and gives the charge, which its receipt comes to as well.
#[track_caller]
pub fn settled(desk: &mut Desk, opening: Opening) -> String {
    let Opening { estimate, work, settle } = opening;
    desk.ok(place_with(estimate, false));
    for work in work {
        desk.ok(Command::RecordWork(RecordWork { hold: incident("i"), work }));
    }
    let hold = desk.ok(Command::SettleHold(settle)).hold.unwrap();
    let settlement = hold.settlement.as_ref().unwrap();
    assert_eq!(settlement.inputs.rules, Rules::CURRENT);
    let told = receipt(&desk.book.cards, LedgerNo::MAIN, &hold.card, settlement).unwrap();
    assert_eq!(told.credits, settlement.charge, "{told:?}");
    settlement.charge.to_string()
}

/// What each opening of one incident costs, under a preset.
#[track_caller]
fn costs(preset: &str, openings: Vec<Opening>, expected: &[&str]) {
    let mut desk = Desk::under(preset, "10000");
    let charged: Vec<String> = openings.into_iter().map(|opening| settled(&mut desk, opening)).collect();
    assert_eq!(charged, expected, "{preset}");
}

/// Makes a new version of a card, which prices what is opened from now on.
fn change_card(desk: &mut Desk, name: &str, version: u32, change: impl FnOnce(&mut RateCard)) {
    let mut card = preset(name);
    card.card.version = version;
    change(&mut card);
    desk.change_cards(CardEdit::Card(Arc::new(card)));
}

fn set_terms(desk: &mut Desk, terms: SetCustomerTerms) {
    desk.ok(Command::SetCustomerTerms(terms));
}

#[test]
fn elapsed_time_is_taken_per_hold_and_added() {
    const DAYS_30: i64 = 30 * 24 * 60;
    // 20 min are a started half hour, which is paid; 35 are two.
    costs(
        "half-hour",
        vec![opened(10).began(0), opened(10).began(DAYS_30), opened(15).began(2 * DAYS_30)],
        &["1", "0", "1"],
    );
    // What has no start is added too.
    costs("half-hour", vec![opened(10).began(0), opened(10), opened(15).began(0)], &["1", "0", "1"]);
}

#[test]
fn time_before_costs_what_it_costs_by_the_hold_that_comes_after_it() {
    // Ten hours at a quote of 1, then one hour: eleven hours less ten.
    costs("prepaid", vec![opened(600).class("other").quote("1"), opened(60)], &["1", "2"]);
    // A quote is charged whole, whatever was before.
    costs("prepaid", vec![opened(600), opened(60).class("other").quote("3")], &["20", "3"]);

    let mut desk = Desk::with("1000");
    change_card(&mut desk, "prepaid", 2, |card| {
        card.multipliers.insert(id("on-site"), Factor::parse("2").unwrap());
    });
    assert_eq!(settled(&mut desk, opened(600)), "20");
    assert_eq!(settled(&mut desk, opened(60).labelled("on-site")), "4", "44 less 40");
    // The label is the hold's own: the next one is priced without it.
    assert_eq!(settled(&mut desk, opened(60)), "2");
    change_card(&mut desk, "prepaid", 3, |card| card.credits_per_hour = credits("1"));
    assert_eq!(settled(&mut desk, opened(60)), "1", "13 less 12 by the new card");

    let mut desk = Desk::with("1000");
    change_card(&mut desk, "prepaid", 2, |card| {
        card.packages.insert(id("gold"), credits("1"));
    });
    assert_eq!(settled(&mut desk, opened(600)), "20");
    set_terms(&mut desk, SetCustomerTerms { package: Change::Set(id("gold")), ..Default::default() });
    assert_eq!(settled(&mut desk, opened(60)), "1", "11 less 10 by the package");

    // A card that charges what is before more than all: nothing, and never less.
    let mut desk = Desk::with("1000");
    change_card(&mut desk, "prepaid", 2, |card| {
        card.increment_seconds = 3_600;
        card.lines.insert(id("dear"), LineRule::CreditsPerHour(credits("10")));
    });
    assert_eq!(settled(&mut desk, opened(30).on("dear")), "10");
    assert_eq!(settled(&mut desk, opened(30)), "0", "half an hour of each line is 6, which is less than 10");
}

#[test]
fn the_flat_tier_looks_at_the_holds_own_time_and_solutions() {
    let code = |minutes| opened(minutes).class("code-error");
    costs("flat-then-quoted", vec![code(20), code(20), code(24).solutions(3)], &["1", "1", "3"]);
    let mut desk = Desk::under("flat-then-quoted", "100");
    assert_eq!(settled(&mut desk, code(20).quote("6")), "1");
    assert_eq!(settled(&mut desk, code(25).quote("6")), "6", "from the tier on the quote, whole");
    assert_eq!(settled(&mut desk, code(20)), "1");
    desk.ok(place_with(code(0).estimate, false));
    desk.ok(work("i", 25));
    assert_eq!(desk.rejected(settle("i")), Rejection::QuoteRequired { class: Some(id("code-error")) });
}

#[test]
fn what_was_free_or_waived_is_not_billable() {
    // Free by class, and free of charge by a reason.
    costs("prepaid", vec![opened(600).class("sales"), opened(10)], &["0", "1"]);
    costs("prepaid", vec![opened(120).waived(), opened(10)], &["0", "1"]);
    // Free in the window, as of the hold's own day of opening and purchase.
    let mut desk = Desk::with("100");
    let bought = Change::Set(desk.book.now.day());
    set_terms(&mut desk, SetCustomerTerms { product_purchased_on: bought, ..Default::default() });
    assert_eq!(settled(&mut desk, opened(300)), "0");
    desk.pass_days(31);
    assert_eq!(settled(&mut desk, opened(10)), "1");
    // A window that is moved over it later frees nothing of what was decided.
    let bought = Change::Set(desk.book.now.day());
    set_terms(&mut desk, SetCustomerTerms { product_purchased_on: bought, ..Default::default() });
    assert_eq!(settled(&mut desk, opened(600)), "0");
    desk.pass_days(31);
    assert_eq!(settled(&mut desk, opened(21)), "0.03", "31 minutes less 10");
    // A release gives time away too.
    let mut desk = Desk::with("100");
    desk.ok(place_timed("i", 60));
    desk.ok(work("i", 60));
    desk.ok(crate::desk::release_waived("i", id("goodwill")));
    assert_eq!(settled(&mut desk, opened(10)), "1");
}

#[test]
fn an_emergency_is_one_of_its_own_hold() {
    // Later ordinary work is priced as if the emergency's time were not there.
    costs("half-hour", vec![opened(20).emergency(false), opened(10), opened(10)], &["0", "1", "0"]);
    // That the knowledge base has the answer is a matter of one hold too.
    costs(
        "half-hour",
        vec![opened(10).emergency(true), opened(15).emergency(false), opened(20)],
        &["1", "0", "0"],
    );
}

#[test]
fn what_was_wholly_given_back_is_not_billable() {
    let mut desk = Desk::with("100");
    assert_eq!(settled(&mut desk, opened(120)), "4");
    desk.ok(reverse("i", None));
    assert_eq!(settled(&mut desk, opened(10)), "1");
    // What was given back in part stays decided.
    desk.ok(reverse("i", Some("0.5")));
    assert_eq!(settled(&mut desk, opened(30)), "0.33", "40 minutes less 10");
    // So does what the vendor bore; only the whole of it is given back with the rest.
    let mut desk = Desk::with("100");
    desk.ok(place_timed("i", 30));
    desk.ok(work("i", 120));
    desk.ok(crate::desk::settle_capped("i"));
    desk.ok(reverse("i", Some("0.5")));
    assert_eq!(settled(&mut desk, opened(10)), "0.33");
    desk.ok(reverse("i", None));
    desk.ok(reverse("i", None));
    assert_eq!(settled(&mut desk, opened(10)), "1");
}

#[test]
fn time_that_cost_nothing_more_is_decided() {
    // 20 minutes cost no more than 10. That nothing was charged does not make them free.
    costs("prepaid", vec![opened(10), opened(10), opened(11)], &["1", "0", "0.03"]);
    // Neither does a settlement without any time.
    costs("prepaid", vec![opened(0).without_work(), opened(10), opened(21)], &["1", "0", "0.03"]);
    costs("three-lines", vec![opened(0).without_work(), opened(10).on("first")], &["1", "0"]);
}

#[test]
fn free_lines_count_neither_before_nor_now() {
    costs(
        "three-lines",
        vec![
            opened(50).on("first"),
            opened(50).on("first").then("second", 10),
            opened(5).on("first"),
            opened(30).on("second"),
        ],
        &["0", "1", "0", "0.33"],
    );
    // By the card of the new hold: a line that is free now was not paid for by it.
    let mut desk = Desk::under("three-lines", "100");
    assert_eq!(settled(&mut desk, opened(60).on("second")), "2");
    change_card(&mut desk, "three-lines", 2, |card| {
        card.lines.insert(id("second"), LineRule::Free);
    });
    assert_eq!(settled(&mut desk, opened(10).on("administrators")), "1");
}

#[test]
fn charges_without_a_hold_count_like_holds() {
    let mut desk = Desk::with("100");
    assert_eq!(transfers(&desk.ok(charge("i", 20))), "available > revenue 1");
    assert_eq!(transfers(&desk.ok(charge("i", 20))), "available > revenue 0.33");
    assert_eq!(settled(&mut desk, opened(20)), "0.67");
    assert_eq!(transfers(&desk.ok(charge("i", 60))), "available > revenue 2");
}

#[test]
fn a_charge_that_expects_another_cost_so_far_charges_nothing() {
    let mut desk = Desk::with("100");
    let charged = |expected: &str| {
        Command::ChargeIncident(ChargeIncident {
            expected_charged: Some(credits(expected)),
            ..charge_command("i", 60)
        })
    };
    desk.ok(charged("0"));
    let expected = Credits::ZERO;
    // A late duplicate under another request id.
    assert_eq!(desk.rejected(charged("0")), Rejection::ChargeChanged { expected, charged: credits("2") });
    desk.ok(charged("2"));
    desk.ok(reverse("i", Some("0.5")));
    let expected = credits("4");
    assert_eq!(desk.rejected(charged("4")), Rejection::ChargeChanged { expected, charged: credits("3.5") });
    assert_eq!(desk.balances(), "96.5 0 0");
    desk.ok(charged("3.50"));
    // An open hold goes first.
    desk.ok(place_timed("i", 60));
    assert!(matches!(desk.rejected(charged("9")), Rejection::HoldExists { .. }));
}

#[test]
fn what_recorded_work_uses_is_what_settling_would_charge() {
    let mut desk = Desk::with("3");
    assert_eq!(settled(&mut desk, opened(60)), "2");
    desk.ok(place_timed("i", 30));
    // 24 minutes more cost 0.8 of the one credit that is held.
    assert!(!desk.ok(work("i", 23)).posting.detail.nearly_used);
    assert!(desk.ok(work("i", 1)).posting.detail.nearly_used);
    let over = desk.ok(work("i", 36)).posting.detail.shortfall.clone().unwrap();
    assert_eq!(over.missing, credits("1"), "an hour more costs 2");
}

#[test]
fn a_reversal_does_not_end_what_was_told_of_missing_credits() {
    let mut desk = Desk::with("2");
    assert_eq!(settled(&mut desk, opened(30)), "1");
    let told = |desk: &mut Desk| {
        let hold = desk.ok(Command::EstimateIncident(estimate_command("i", Quote::Credits(credits("9")))));
        hold.posting.detail.shortfall.as_ref().map(|shortfall| shortfall.missing.to_string())
    };
    assert_eq!(told(&mut desk).as_deref(), Some("8"));
    desk.ok(reverse("i", Some("0.5")));
    assert_eq!(told(&mut desk).as_deref(), Some("7.5"), "another amount");
    desk.ok(crate::desk::adjust("-0.5"));
    desk.ok(crate::desk::adjust("0.5"));
    assert_eq!(told(&mut desk), None);
    // The balance is as it was told of: nothing new is missing.
    desk.ok(crate::desk::adjust("-0.25"));
    desk.ok(reverse("i", Some("0.25")));
    assert_eq!(told(&mut desk), None);
    // The end of the estimate ends it: another one is told of anew.
    desk.ok(crate::desk::decline("i"));
    assert_eq!(told(&mut desk).as_deref(), Some("7.5"));
}

#[test]
fn a_card_that_is_not_there_is_told() {
    let mut desk = Desk::with("10");
    assert_eq!(settled(&mut desk, opened(30)), "1");
    desk.ok(place_timed("i", 30));
    let hold = desk.hold("i").clone();
    let gone = CardRef { version: 9, ..hold.card.clone() };
    desk.book.put_hold(Arc::new(Hold { card: gone.clone(), ..hold }));
    assert_eq!(desk.rejected(settle("i")), Rejection::RateCardNotFound(gone.id));
}

/// However an incident is cut into openings, its settlements together cost what one would have cost.
#[test]
fn the_charges_of_all_openings_sum_to_the_price_of_all_time() {
    let openings = proptest::collection::vec((0..90_u64, 0..3_usize), 1..8);
    let config = Config {
        cases: 300,
        rng_seed: RngSeed::Fixed(20_261_128),
        failure_persistence: None,
        ..Config::default()
    };
    let checked = TestRunner::new(config).run(&openings, |openings| {
        // Cards under which more time never costs less, whatever line it is on.
        for card in ["prepaid", "half-hour", "three-lines"] {
            let lines = if card == "three-lines" { ["first", "second", "administrators"] } else { [""; 3] };
            let work = |&(minutes, line): &(u64, usize)| {
                let line = Some(lines[line]).filter(|line| !line.is_empty()).map(id);
                NewWork { line, ..new_work(minutes) }
            };
            let mut cut = Desk::under(card, "10000");
            let mut sum = Credits::ZERO;
            for opening in &openings {
                let opening = Opening { work: vec![work(opening)], ..opened(0) };
                sum = sum.checked_add(credits(&settled(&mut cut, opening))).unwrap();
                let hold = cut.hold("i");
                prop_assert_eq!(hold.settlement.as_ref().unwrap().inputs.time(), WorkTime::of(&hold.work));
            }
            let mut whole = Desk::under(card, "10000");
            let all = Opening { work: openings.iter().map(work).collect(), ..opened(0) };
            prop_assert_eq!(sum.to_string(), settled(&mut whole, all), "{}", card);
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}
