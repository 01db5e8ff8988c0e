//! Thresholds of the balance: when a customer is told, and when not.

use std::collections::BTreeMap;
use std::sync::Arc;

use creditledger::ledger::alert::{Alerts, Margin, Threshold};
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::commands::{Change, Command, SetBalanceAlerts};
use creditledger::ledger::event::{EventType, events};
use creditledger::ledger::posting::Detail;
use creditledger::ledger::{Credits, CustomerKey, Kind, LedgerNo, Posting};

use crate::desk::{
    Desk, START, adjust, charge, confirm, credits, estimate, extend, grant, place, place_parked, place_timed,
    purchase, purchase_until, release, reverse, settle, work,
};

use crate::properties::{desk, take};
use crate::random::{Action, Step, for_random_steps};

/// `5` is an amount, `20%` a percentage.
pub fn thresholds(texts: &[&str]) -> Arc<Alerts> {
    let threshold = |text: &&str| match text.strip_suffix('%') {
        Some(percent) => Threshold::Percent(percent.parse().unwrap()),
        None => Threshold::Credits(credits(text)),
    };
    Arc::new(Alerts::new(texts.iter().map(threshold).collect()).unwrap())
}

pub fn set(texts: &[&str]) -> Command {
    Command::SetBalanceAlerts(SetBalanceAlerts { alerts: Some(thresholds(texts)) })
}

pub const USE_DEFAULT: Command = Command::SetBalanceAlerts(SetBalanceAlerts { alerts: None });

/// What the last postings told about the balance: `low 5 2` with the levels that were crossed, `depleted`, `recovered`.
pub fn told(desk: &Desk, skip: usize) -> Vec<String> {
    let mut told = Vec::new();
    for posting in &desk.book.journal()[skip..] {
        for event in events(posting) {
            let levels: Vec<String> =
                posting.detail.low.iter().map(|crossed| crossed.level.to_string()).collect();
            let shown = match event.event {
                EventType::BalanceLow => format!("low {}", levels.join(" ")),
                EventType::BalanceDepleted => "depleted".to_owned(),
                EventType::BalanceRecovered => "recovered".to_owned(),
                _ => continue,
            };
            assert_eq!(event.credits, Some(posting.after.available));
            told.push(shown);
        }
    }
    told
}

/// Each step with what it tells; they follow one another.
#[track_caller]
pub fn story(alerts: &[&str], steps: Vec<(Command, &[&str])>) {
    let mut desk = Desk::new();
    desk.ok(set(alerts));
    for (nth, (step, expected)) in steps.into_iter().enumerate() {
        let skip = desk.book.journal().len();
        let shown = format!("step {nth}: {step:?}");
        desk.ok(step);
        assert_eq!(told(&desk, skip), expected, "{shown}");
    }
}

#[test]
fn a_threshold_fires_once_where_it_is_reached_and_again_after_the_balance_was_above_it_by_the_margin() {
    story(
        &["5"],
        vec![
            (purchase("1", "10"), &[]),
            (adjust("-4.9999"), &[]),              // 5.0001: just above
            (adjust("-0.0001"), &["low 5"]),       // equal is reached
            (adjust("-1"), &[]),                   // 4: told before
            (adjust("1"), &[]),                    // 5: at it is not above it
            (adjust("-1"), &[]),                   // 4: so it is not armed
            (adjust("1.0001"), &[]),               // 5.0001: above it, not by the margin
            (adjust("-0.0001"), &[]),              // 5: told before
            (adjust("1"), &[]),                    // 6: at the margin is not above it
            (adjust("-1"), &[]),                   // 5
            (adjust("1.0001"), &["recovered"]),    // 6.0001: armed again
            (adjust("-1.0001"), &["low 5"]),       // 5
            (purchase("2", "10"), &["recovered"]), // 15
            (adjust("-15"), &["low 5", "depleted"]),
        ],
    );
}

#[test]
fn several_thresholds_are_told_in_one_event_where_one_posting_crosses_them() {
    story(
        &["2", "5", "50%"],
        vec![
            (purchase("1", "20"), &[]),
            (adjust("-10"), &["low 10"]), // 10 is 50 %
            (adjust("-8"), &["low 2 5"]), // 2
            (adjust("1.5"), &[]), // 3.5: above 2 by the margin, so it is armed again, below the others
            (adjust("-1.5"), &["low 2"]), // 2
            (adjust("5"), &[]),   // 7: not above all of them
            (adjust("4"), &[]),   // 11: above all, and 10 is not armed again
            (adjust("1.5"), &["recovered"]),
            (adjust("-12.5"), &["low 2 5 10", "depleted"]),
        ],
    );
}

#[test]
fn a_percentage_is_of_the_last_purchase() {
    story(
        &["25%"],
        vec![
            (grant("8"), &[]), // no purchase: it does not apply
            (adjust("-8"), &["depleted"]),
            (purchase("1", "8"), &["recovered"]),  // level 2
            (adjust("-6"), &["low 2"]),            // 2
            (purchase("2", "40"), &["recovered"]), // 42, level 10
            (adjust("-31.9999"), &[]),             // 10.0001
            (adjust("-0.0001"), &["low 10"]),      // 10
            (purchase("3", "4"), &["recovered"]),  // 14, level 1: it fell below the balance
            (adjust("-12"), &[]),                  // 2
            (adjust("-1"), &["low 1"]),            // 1
            (grant("3"), &["recovered"]),          // 4: a grant is no purchase
            (adjust("-3"), &["low 1"]),
        ],
    );
    // A share of a ten-thousandth is cut: 1 % of 0.0399 is 0.000399, and 0.0003 is at it, 0.0004 above it.
    story(
        &["1%"],
        vec![(purchase("1", "0.0399"), &[]), (adjust("-0.0395"), &[]), (adjust("-0.0001"), &["low 0.0003"])],
    );
}

#[test]
fn a_purchase_that_is_spent_at_once_crosses_nothing_upward() {
    let mut desk = Desk::new();
    desk.ok(set(&["50%"]));
    desk.ok(purchase("1", "10"));
    desk.ok(place_parked("a", "30"));
    let skip = desk.book.journal().len();
    // 10 and 22 are 32; the parked hold takes 30. The level is now 11: from above the old one to below the new one.
    desk.ok(purchase("2", "22"));
    assert_eq!(told(&desk, skip), ["low 11"]);
}

#[test]
fn what_is_set_aside_counts_and_what_is_charged_from_it_does_not_count_again() {
    story(
        &["5"],
        vec![
            (purchase("1", "10"), &[]),
            (place("a", "4"), &[]),        // 6
            (place("b", "2"), &["low 5"]), // 4
            (work("a", 120), &[]),
            (settle("a"), &[]),                   // from the hold: 4
            (release("b"), &[]),                  // 6: not above it by the margin
            (adjust("1"), &["recovered"]),        // 7
            (charge("c", 60), &["low 5"]),        // 5
            (reverse("c", None), &["recovered"]), // 7
            (place_timed("d", 60), &["low 5"]),   // 5
            (extend("d", "5"), &["depleted"]),    // 0
            (work("d", 60), &[]),                 // needs 2 of 7
            (settle("d"), &[]),                   // 5 come back
            (adjust("2"), &["recovered"]),
        ],
    );
    // An estimate sets nothing aside; its confirmation does.
    story(
        &["5"],
        vec![(purchase("1", "10"), &[]), (estimate("a", "8"), &[]), (confirm("a", false), &["low 5"])],
    );
}

#[test]
fn thresholds_that_are_set_find_the_balance_where_it_is() {
    story(
        &[],
        vec![
            (purchase("1", "10"), &[]),
            (set(&["20"]), &[]), // at or above the balance: counts as crossed
            (adjust("-1"), &[]),
            (adjust("12"), &[]), // 21: above it, of which nothing was told
            (adjust("-1"), &["low 20"]),
            (set(&["30", "20"]), &[]),
            (adjust("11"), &["recovered"]), // 31: above 20 by the margin; of 30 nothing was told
            (adjust("-1"), &["low 30"]),
            (set(&["5"]), &["recovered"]), // now the balance is above all
            (set(&["5"]), &[]),
            (adjust("-30"), &["low 5", "depleted"]),
            (set(&[]), &[]), // nothing is available, so it is low still
            (purchase("2", "1"), &["recovered"]),
            (adjust("-1"), &["depleted"]), // told without thresholds, too
        ],
    );
}

#[test]
fn what_falls_due_crosses_thresholds_at_its_own_posting() {
    let mut desk = Desk::new();
    desk.ok(set(&["5"]));
    desk.ok(purchase_until("1", "4", START.plus_days(3)));
    desk.ok(purchase("2", "4"));
    desk.pass_days(4);
    let skip = desk.book.journal().len();
    desk.ok(adjust("-1"));
    assert_eq!(desk.kinds(skip), ["EXPIRE_CREDITS", "ADJUST_BALANCE"]);
    assert_eq!(told(&desk, skip), ["low 5"]);
    assert_eq!(desk.book.journal()[skip].kind, Kind::ExpireCredits);
    assert!(!desk.book.journal()[skip].detail.low.is_empty());
}

#[test]
fn a_ledgers_thresholds_hold_for_customers_without_their_own() {
    let mut desk = Desk::new();
    let defaults = |texts: &[&str]| Arc::new(BTreeMap::from([(LedgerNo::MAIN, thresholds(texts))]));
    desk.book.put_default_alerts(defaults(&["5"]));
    desk.ok(purchase("1", "10"));
    let step = |desk: &mut Desk, command: Command| {
        let skip = desk.book.journal().len();
        desk.ok(command);
        told(desk, skip)
    };
    assert_eq!(step(&mut desk, adjust("-5")), ["low 5"]);
    assert_eq!(step(&mut desk, set(&["2"])), ["recovered"]);
    assert_eq!(step(&mut desk, adjust("-1")), [""; 0]);
    assert_eq!(step(&mut desk, adjust("-2")), ["low 2"]);
    // Back to the ledger's, which have changed meanwhile.
    desk.book.put_default_alerts(defaults(&["1"]));
    assert_eq!(step(&mut desk, USE_DEFAULT), ["recovered"]);
    assert_eq!(step(&mut desk, adjust("-1")), ["low 1"]);
    // No thresholds of its own are not the ledger's.
    assert_eq!(step(&mut desk, set(&[])), ["recovered"]);
    assert_eq!(step(&mut desk, adjust("1")), [""; 0]);
    assert_eq!(step(&mut desk, adjust("-1")), [""; 0]);
    // Those of another ledger are none of its.
    let other = LedgerNo::new(7).unwrap();
    desk.book.put_default_alerts(Arc::new(BTreeMap::from([(other, thresholds(&["50"]))])));
    desk.ok(USE_DEFAULT);
    assert_eq!(step(&mut desk, purchase("2", "100")), [""; 0]);
    assert_eq!(step(&mut desk, adjust("-90")), [""; 0]);
}

#[test]
fn setting_them_is_a_command_like_any_other() {
    let mut desk = Desk::with("10");
    let request = desk.request(set(&["5", "20%"]));
    let first = desk.send(&request).unwrap();
    assert_eq!((first.posting.kind, first.posting.transfers().count()), (Kind::SetBalanceAlerts, 0));
    let again = desk.send(&request).unwrap();
    assert!(again.replayed && again.posting == first.posting);
    // The same thresholds in another order are the same content.
    let mut reordered = request.clone();
    reordered.command = set(&["20%", "5"]);
    assert!(desk.send(&reordered).unwrap().replayed);
    reordered.command = set(&["20%", "6"]);
    assert!(desk.send(&reordered).is_err());
    // It is kept with the posting, so a replayed journal has it again.
    let detail: Detail = decode(&encode(&first.posting.detail)).unwrap();
    assert_eq!(detail, first.posting.detail);
    assert_eq!(desk.state().state.alerts.as_ref(), Some(&thresholds(&["5", "20%"])));
}

#[test]
fn a_set_is_bounded_and_has_no_repeats() {
    let many = |count: i64| (1..=count).map(|n| Threshold::Credits(credits(&n.to_string()))).collect();
    assert!(Alerts::new(many(8)).is_some());
    assert!(Alerts::new(many(9)).is_none());
    assert_eq!(thresholds(&["5", "5.0", "5%"]).iter().count(), 2);
}

/// What is told, from a flag for each threshold: an account of its own.
#[derive(Default)]
struct Flags {
    available: Credits,
    last_purchase: Credits,
    thresholds: BTreeMap<Threshold, Flag>,
    margin: Margin,
    is_low: bool,
    /// Crossings that were not told, for the margin.
    held_back: u32,
}

#[derive(Clone, Copy, Default)]
struct Flag {
    /// The balance was above it.
    was_above: bool,
    /// It was told, at this level in hundredths of units, and is not armed again.
    told: Option<i64>,
}

impl Flags {
    /// The thresholds that fire with a posting, and whether the balance has recovered.
    fn read(&mut self, posting: &Posting) -> (Vec<Threshold>, bool) {
        if posting.kind == Kind::PurchaseCredits {
            self.last_purchase = posting.detail.lot.as_ref().unwrap().credits;
        }
        let before = std::mem::replace(&mut self.available, posting.after.available);
        let (available, bought) = (self.available.units() * 100, self.last_purchase.units());
        match &posting.detail.alerts {
            Change::Keep => {}
            Change::Clear => self.thresholds.clear(),
            Change::Set(alerts) => {
                self.margin = alerts.margin();
                let kept = |of| (of, self.thresholds.get(&of).copied().unwrap_or_default());
                self.thresholds = alerts.iter().map(kept).collect();
            }
        }
        let mut fired = Vec::new();
        let (mut is_below, mut is_told) = (false, false);
        for (threshold, flag) in &mut self.thresholds {
            let level = match threshold {
                Threshold::Credits(credits) => credits.units() * 100,
                Threshold::Percent(_) if bought == 0 => continue,
                // Cut to a ten-thousandth, as all amounts.
                Threshold::Percent(percent) => bought * i64::from(*percent) / 100 * 100,
            };
            let margin =
                (level / 100 * i64::from(self.margin.percent)).max(self.margin.at_least.units() * 100);
            flag.told = flag.told.filter(|told| *told == level && available <= level + margin);
            let is_above = available > level;
            is_below |= !is_above;
            let is_crossed = std::mem::replace(&mut flag.was_above, is_above) && !is_above;
            if is_crossed && flag.told.is_none() {
                flag.told = Some(level);
                fired.push(*threshold);
            } else if is_crossed {
                self.held_back += 1;
            }
            is_told |= flag.told.is_some();
        }
        let has_recovered = self.is_low && !is_below && !is_told && self.available.is_positive();
        let is_depleted = before.is_positive() && self.available.is_zero();
        self.is_low = (self.is_low && !has_recovered) || !fired.is_empty() || is_depleted;
        (fired, has_recovered)
    }
}

#[test]
fn no_threshold_fires_twice_without_being_armed_again_in_any_month() {
    let (told, held_back) = (std::cell::Cell::new(0), std::cell::Cell::new(0));
    for_random_steps(800, 60, |steps| {
        let mut desk = desk();
        // All of it happens to one customer, who has thresholds at first.
        let own = Action::Alerts { own: Some((16, 50)), margin: None };
        let _ = take(&mut desk, &Step { customer: 0, wait_hours: 0, action: own });
        for step in steps {
            let _ = take(&mut desk, &Step { customer: 0, ..step });
        }
        let mut flags: BTreeMap<CustomerKey, Flags> = BTreeMap::new();
        for posting in desk.book.journal() {
            let (fired, recovered) = flags.entry(posting.customer).or_default().read(posting);
            let low: Vec<Threshold> = posting.detail.low.iter().map(|crossed| crossed.threshold).collect();
            assert_eq!((low, posting.detail.recovered), (fired, recovered), "{posting:?}");
            told.set(told.get() + posting.detail.low.len());
        }
        let more: u32 = flags.values().map(|flags| flags.held_back).sum();
        held_back.set(held_back.get() + more);
    });
    let (told, held_back) = (told.get(), held_back.get());
    assert!(told > 150 && held_back > 20, "{told} crossings and {held_back} within the margin say little");
}

#[test]
fn use_is_what_was_charged_less_what_was_given_back() {
    let mut desk = Desk::with("100");
    let used = |desk: &Desk| desk.state().state.used.to_string();
    desk.ok(place("a", "10"));
    assert_eq!(used(&desk), "0", "what is set aside is not used yet");
    desk.ok(work("a", 180));
    desk.ok(settle("a"));
    assert_eq!(used(&desk), "6");
    desk.ok(charge("b", 60));
    assert_eq!(used(&desk), "8");
    desk.ok(reverse("b", Some("0.5")));
    assert_eq!(used(&desk), "7.5");
    desk.ok(adjust("-10"));
    assert_eq!(used(&desk), "7.5", "a correction is no use");
    let last = desk.book.journal().last().unwrap();
    assert_eq!(last.detail.used, desk.state().state.used);
}
