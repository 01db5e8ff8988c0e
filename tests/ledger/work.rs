//! Work on a hold: its sums are at any time those of all its entries, and prices from sums are those from entries.

use std::collections::BTreeSet;

use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::commands::{Command, NewWork, RecordWork};
use creditledger::ledger::job::{PriceInputs, WorkTime};
use creditledger::ledger::posting::Detail;
use creditledger::ledger::reject::WorkBound;
use creditledger::ledger::work::{Work, WorkSums};
use creditledger::ledger::{CustomerKey, Hold, HoldId, LedgerNo, Rejection};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use crate::desk::{Desk, START, charge, id, incident, new_work, place, settle, void, work};

/// What may be done to the work of an incident.
#[derive(Clone, Debug)]
enum Act {
    /// Line, start in minutes, minutes, labels.
    Record(Option<u8>, Option<i64>, u64, Vec<u8>),
    /// The nth entry from the last one back.
    Void(usize),
    /// Settles, and places a hold anew.
    Reopen,
    Charge,
}

fn act() -> impl Strategy<Value = Act> {
    let line = proptest::option::weighted(0.7, 0..3_u8);
    let start = proptest::option::weighted(0.7, 0..300_i64);
    let labels = proptest::collection::vec(0..3_u8, 0..3);
    prop_oneof![
        8 => (line, start, 0..90_u64, labels)
            .prop_map(|(line, start, minutes, labels)| Act::Record(line, start, minutes, labels)),
        5 => (0..6_usize).prop_map(Act::Void),
        1 => Just(Act::Reopen),
        1 => Just(Act::Charge),
    ]
}

fn new(act: &Act) -> NewWork {
    let Act::Record(line, start, minutes, labels) = act else { unreachable!() };
    let labels: BTreeSet<String> = labels.iter().map(|label| format!("label-{label}")).collect();
    NewWork {
        line: line.map(|line| id(&format!("line-{line}"))),
        started_at: start.map(|minute| START.plus_seconds(minute * 60)),
        labels: labels.iter().map(|label| id(label)).collect(),
        solutions: u32::try_from(*minutes % 3).unwrap(),
        ..new_work(*minutes)
    }
}

fn record(name: &str, work: NewWork) -> Command {
    Command::RecordWork(RecordWork { hold: incident(name), work })
}

fn key(desk: &Desk) -> CustomerKey {
    CustomerKey::of(LedgerNo::MAIN, &desk.customer)
}

/// The entries of a hold, as the book has them.
fn entries(desk: &Desk, hold: HoldId) -> Vec<Work> {
    let entry = desk.book.entry(key(desk)).unwrap();
    let of_hold = entry.work().iter().filter(|((of, _), _)| *of == hold);
    of_hold.map(|(_, work)| Work::clone(work)).collect()
}

#[test]
fn sums_are_those_of_all_entries_and_give_the_same_price() {
    let config = Config {
        cases: 800,
        rng_seed: RngSeed::Fixed(20_261_128),
        failure_persistence: None,
        ..Config::default()
    };
    let acts = proptest::collection::vec(act(), 1..=40);
    let checked = TestRunner::new(config).run(&acts, |acts| {
        let mut desk = Desk::with("100000");
        desk.ok(place("i", "2"));
        for act in &acts {
            match act {
                Act::Record(..) => drop(desk.ok(record("i", new(act)))),
                Act::Void(back) => {
                    let hold = desk.hold("i").id;
                    let counted = entries(&desk, hold).into_iter().rev().filter(Work::counts).nth(*back);
                    if let Some(entry) = counted {
                        let voided = desk.book.journal().iter().find(|posting| entry.id == posting.id.into());
                        let posting = voided.unwrap().id;
                        desk.ok(void("i", posting));
                    }
                }
                Act::Reopen => {
                    desk.ok(settle("i"));
                    desk.ok(place("i", "2"));
                }
                Act::Charge => {
                    desk.ok(settle("i"));
                    desk.ok(charge("i", 7));
                    desk.ok(place("i", "2"));
                }
            }
            all_agrees(&desk);
        }
        Ok(())
    });
    checked.unwrap_or_else(|failure| panic!("{failure}"));
}

fn all_agrees(desk: &Desk) {
    let entry = desk.book.entry(key(desk)).unwrap();
    let holds: Vec<&Hold> = entry.incident(&id("i")).map(AsRef::as_ref).collect();
    let all: Vec<Vec<Work>> = holds.iter().map(|hold| entries(desk, hold.id)).collect();
    for (hold, entries) in holds.iter().zip(&all) {
        assert_eq!(Some(&hold.work), WorkSums::of(entries).as_ref());
        assert_eq!(decode(&encode(&hold.work)), Ok(hold.work.clone()));
    }
    for (hold, entries) in holds.iter().zip(&all) {
        let (mut from_sums, mut from_entries) = (PriceInputs::default(), PriceInputs::default());
        from_sums.add_sums(&hold.work);
        from_entries.add_work(entries.iter().filter(|entry| entry.counts()).map(Work::part));
        assert_eq!(from_sums, from_entries);
        assert_eq!(WorkTime::of(&hold.work), from_entries.time());
    }
}

/// The bytes of a hold as they were when holds carried their entries.
fn older_hold(hold: &Hold, entries: &[Work]) -> Vec<u8> {
    const WORK: u8 = 22;
    let mut bytes = encode(&Hold { work: WorkSums::default(), ..hold.clone() });
    assert_eq!(bytes.pop(), Some(0));
    bytes.push(WORK);
    let without_chain = entries.iter().map(|entry| Work { previous: None, ..entry.clone() });
    bytes.extend(encode(&without_chain.collect::<Vec<_>>()));
    bytes.push(0);
    bytes
}

#[test]
fn older_details_carry_all_entries_and_read_as_sums_and_one_entry() {
    const HOLD: u8 = 2;
    const WORK: u8 = 9;
    let mut desk = Desk::with("100");
    desk.ok(place("i", "2"));
    let on = |line: Option<u8>, start| new(&Act::Record(line, start, 30, vec![1]));
    desk.ok(record("i", on(Some(1), Some(5))));
    let second = desk.ok(record("i", on(None, None)));
    let third = desk.ok(record("i", on(Some(1), Some(90))));
    let voided = desk.ok(void("i", third.posting.id));
    let hold = voided.hold.as_ref().unwrap();
    let all = entries(&desk, hold.id);

    let (read, listed) = Hold::decode_with_entries(&older_hold(hold, &all)).unwrap();
    assert_eq!((&read, &listed), (hold.as_ref(), &all));
    assert_eq!(decode::<Hold>(&older_hold(hold, &all)).as_ref(), Ok(hold.as_ref()));

    let older = |posting: &creditledger::ledger::Posting, hold: &Hold, entries: &[Work]| {
        let rest = Detail { hold: None, work: None, ..posting.detail.clone() };
        let named = posting.detail.work.as_ref().unwrap().id;
        [vec![HOLD], older_hold(hold, entries), vec![WORK], encode(&named), encode(&rest)].concat()
    };
    assert_eq!(decode::<Detail>(&older(&voided.posting, hold, &all)).as_ref(), Ok(&voided.posting.detail));
    let then = second.posting.detail.hold.as_ref().unwrap();
    let bytes = older(&second.posting, then, &all[..2]);
    assert_eq!(decode::<Detail>(&bytes).as_ref(), Ok(&second.posting.detail));
    // One that names an entry which its hold does not carry is damage.
    assert!(decode::<Detail>(&older(&voided.posting, hold, &all[..2])).is_err());
}

#[test]
fn a_hold_takes_ten_thousand_entries_and_an_incident_few_lines_and_labels() {
    let mut desk = Desk::with("100");
    desk.ok(place("i", "2"));
    for line in 0..PriceInputs::LINES_MAX {
        let line = Some(id(&format!("line-{line}")));
        desk.ok(record("i", NewWork { line, ..new_work(1) }));
    }
    let more = NewWork { line: Some(id("more")), ..new_work(1) };
    let refused = Rejection::TooMuchWork { bound: WorkBound::Lines, max: PriceInputs::LINES_MAX };
    assert_eq!(desk.rejected(record("i", more.clone())), refused);
    let known = NewWork { line: Some(id("line-1")), ..new_work(1) };
    desk.ok(record("i", known));
    // Reopened, the incident has all its lines still.
    desk.ok(settle("i"));
    desk.ok(place("i", "2"));
    assert_eq!(desk.rejected(record("i", more)), refused);

    desk.ok(place("labels", "2"));
    for label in 0..PriceInputs::LABELS_MAX {
        let labels = vec![id(&format!("label-{label}"))];
        desk.ok(record("labels", NewWork { labels, ..new_work(1) }));
    }
    let more = NewWork { labels: vec![id("more")], ..new_work(1) };
    let refused = Rejection::TooMuchWork { bound: WorkBound::Labels, max: PriceInputs::LABELS_MAX };
    assert_eq!(desk.rejected(record("labels", more)), refused);

    desk.ok(place("many", "1"));
    for _ in 0..Hold::WORK_MAX {
        desk.ok(work("many", 0));
    }
    let refused = Rejection::TooMuchWork { bound: WorkBound::Entries, max: 10_000 };
    assert_eq!(desk.rejected(work("many", 0)), refused);
}
