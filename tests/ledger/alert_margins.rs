//! The margin of thresholds: when one that was told of is told of again.

use std::sync::Arc;

use creditledger::ledger::alert::{Alerts, Margin};
use creditledger::ledger::book::Book;
use creditledger::ledger::commands::{Command, SetBalanceAlerts};
use creditledger::ledger::rules::Rules;
use creditledger::ledger::{LedgerNo, Posting};

use crate::alerts::{USE_DEFAULT, set, story, thresholds, told};
use crate::desk::{Desk, adjust, credits, grant, place, place_parked, purchase, release};

/// With a margin of its own, in percent and credits.
fn set_with(texts: &[&str], percent: u32, at_least: &str) -> Command {
    let margin = Margin { percent, at_least: credits(at_least) };
    let alerts = Alerts::clone(&thresholds(texts)).with_margin(margin);
    Command::SetBalanceAlerts(SetBalanceAlerts { alerts: Some(Arc::new(alerts)) })
}

#[test]
fn a_hold_that_comes_and_goes_is_told_of_once() {
    let mut desk = Desk::with("5.5");
    desk.ok(set(&["5"]));
    let skip = desk.book.journal().len();
    for nth in 0..5 {
        let incident = format!("i{nth}");
        desk.ok(place(&incident, "1"));
        desk.ok(release(&incident));
    }
    assert_eq!(told(&desk, skip), ["low 5"]);
    desk.ok(adjust("0.5001"));
    assert_eq!(told(&desk, skip), ["low 5", "recovered"]);
}

#[test]
fn the_margin_is_a_share_of_the_level_and_at_least_so_much() {
    // (thresholds, percent, at least, the level, the most at which it stays told)
    for (threshold, percent, at_least, level, stays) in [
        ("100", 20, "1", "100", "120"),
        ("5", 20, "1", "5", "6"),
        ("5", 20, "0", "5", "6"),
        ("0.0003", 20, "0", "0.0003", "0.0003"), // a share of a ten-thousandth is cut
        ("5", 0, "0", "5", "5"),                 // as far as it is above it
        ("5", 100, "0", "5", "10"),
        ("2", 0, "30", "2", "32"),
        ("50%", 10, "0", "500", "550"),
    ] {
        let mut desk = Desk::with("1000");
        desk.ok(set_with(&[threshold], percent, at_least));
        let to = |desk: &mut Desk, balance: &str| {
            let by = credits(balance).checked_sub(desk.state().balances.available).unwrap();
            let skip = desk.book.journal().len();
            if !by.is_zero() {
                desk.ok(adjust(&by.to_string()));
            }
            told(desk, skip)
        };
        let shown = format!("{threshold} {percent} {at_least}");
        assert_eq!(to(&mut desk, level), [format!("low {level}")], "{shown}");
        assert_eq!((to(&mut desk, stays), to(&mut desk, level)), (vec![], vec![]), "{shown}");
        let above = credits(stays).checked_add(credits("0.0001")).unwrap().to_string();
        assert_eq!(to(&mut desk, &above), ["recovered"], "{shown}");
        assert_eq!(to(&mut desk, level), [format!("low {level}")], "{shown}");
    }
}

#[test]
fn thresholds_that_are_set_anew_keep_whether_they_fired_and_the_margin_is_that_of_today() {
    story(
        &["5"],
        vec![
            (purchase("1", "5.5"), &[]), // it was never told, so it needs no margin
            (adjust("-0.5"), &["low 5"]),
            (set(&["5", "2"]), &[]), // 5 has fired still
            (adjust("0.5"), &[]),
            (adjust("-0.5"), &[]),                      // 5
            (set(&["2"]), &["recovered"]),              // 5 is forgotten
            (set(&["5", "2"]), &[]),                    // and counts as crossed
            (adjust("0.5"), &[]),                       // 5.5: above it, and it was not told since
            (adjust("-0.5"), &["low 5"]),               // 5
            (adjust("0.5"), &[]),                       // 5.5
            (set_with(&["5"], 5, "0"), &["recovered"]), // above 5.25
            (adjust("-0.5"), &["low 5"]),               // 5
            (adjust("0.25"), &[]),                      // 5.25
            (set_with(&["5"], 100, "0"), &[]),          // now only above 10
            (adjust("4.75"), &[]),                      // 10
            (adjust("-5"), &[]),                        // 5
            (USE_DEFAULT, &["recovered"]),              // there are none
        ],
    );
}

#[test]
fn a_percentage_whose_level_a_purchase_moves_is_another_threshold() {
    story(
        &["50%"],
        vec![
            (purchase("1", "10"), &[]),
            (adjust("-5"), &["low 5"]),
            (purchase("2", "1"), &["recovered"]), // 6, level 0.5
            (adjust("-5.5"), &["low 0.5"]),
            (grant("1"), &[]),                    // 1.5: at the margin
            (purchase("3", "1"), &["recovered"]), // 2.5, the same level: above it by the margin
            (adjust("-2"), &["low 0.5"]),         // 0.5
            (grant("0.5"), &[]),                  // 1: above it, not by the margin
            (place_parked("a", "20"), &[]),
            (purchase("4", "24"), &["low 12"]), // 5: it was above the old level, and is below the new one
            (purchase("5", "8"), &["recovered"]), // 13, level 4
            (adjust("-8.5"), &[]),              // 4.5
            (adjust("-0.5"), &["low 4"]),
        ],
    );
}

#[test]
fn thresholds_of_a_ledger_that_change_without_a_posting_apply_from_the_next_one_on() {
    let mut desk = Desk::with("10");
    let defaults = |desk: &mut Desk, texts: &[&str], at_least: &str| {
        let margin = Margin { percent: 0, at_least: credits(at_least) };
        let alerts = Arc::new(Alerts::clone(&thresholds(texts)).with_margin(margin));
        desk.book.put_default_alerts(Arc::new([(LedgerNo::MAIN, alerts)].into()));
    };
    let step = |desk: &mut Desk, by: &str| {
        let skip = desk.book.journal().len();
        desk.ok(adjust(by));
        told(desk, skip)
    };
    defaults(&mut desk, &["5"], "1");
    assert_eq!((step(&mut desk, "-5"), step(&mut desk, "0.5")), (vec!["low 5".to_owned()], vec![]));
    // With a smaller margin it is armed at once, with a larger one it is not.
    defaults(&mut desk, &["5"], "0.25");
    assert_eq!(
        (step(&mut desk, "-0.5"), step(&mut desk, "0.5")),
        (vec!["low 5".to_owned()], vec!["recovered".to_owned()])
    );
    assert_eq!(step(&mut desk, "-0.5"), ["low 5"]);
    defaults(&mut desk, &["5"], "2");
    assert_eq!((step(&mut desk, "1"), step(&mut desk, "-1")), (vec![], vec![]));
    // One that went and came back between two postings is the same; after a posting it is forgotten.
    defaults(&mut desk, &["4"], "1");
    defaults(&mut desk, &["5"], "1");
    assert_eq!((step(&mut desk, "0.5"), step(&mut desk, "-0.5")), (vec![], vec![]));
    defaults(&mut desk, &["4"], "1");
    assert_eq!(step(&mut desk, "0.5"), ["recovered"]);
    defaults(&mut desk, &["5"], "1");
    assert_eq!(step(&mut desk, "-0.5"), ["low 5"]);
}

/// What versions before the third rules left: a threshold that fired again within the margin.
#[test]
fn journals_of_older_rules_fire_as_they_did() {
    let mut desk = Desk::new();
    desk.ok(set(&["5"]));
    for step in [purchase("1", "10"), adjust("-5"), adjust("0.5"), adjust("-0.5")] {
        desk.ok(step);
    }
    let replay = |rules: Rules| {
        let mut book = Book::new(desk.book.now, 0, Arc::clone(&desk.book.cards));
        let first = desk.book.journal()[3].detail.low.clone();
        let applied = desk.book.journal().iter().enumerate().try_for_each(|(nth, posting)| {
            let mut posting = Posting::clone(posting);
            posting.detail.rules = rules;
            match nth {
                4 => posting.detail.recovered = true,
                5 => posting.detail.low.clone_from(&first),
                _ => {}
            }
            book.apply(&posting)
        });
        (book, applied)
    };
    let (older, applied) = replay(Rules::Second);
    assert_eq!(applied, Ok(()));
    assert!(replay(Rules::Third).1.unwrap_err().what.contains("has fired"));
    // Nothing is kept of it, so it fires once more; from then on by distance.
    desk.book = older;
    assert_eq!(desk.state().state.fired, []);
    let skip = desk.book.journal().len();
    for step in ["0.5", "-0.5", "0.5", "-0.5"] {
        desk.ok(adjust(step));
    }
    assert_eq!(told(&desk, skip), ["recovered", "low 5"]);
}
