//! Entries of work in every engine: what one more costs, pages of them, and sums after random records and voids in
//! batches.

use std::collections::BTreeMap;
use std::sync::Arc;

use creditledger::audit::verify;
use creditledger::ledger::codec::encode;
use creditledger::ledger::commands::{Command, NewWork, RecordWork, VoidWork};
use creditledger::ledger::ids::WorkId;
use creditledger::ledger::work::{Work, WorkSums};
use creditledger::ledger::{Hold, Request, Text};

use crate::desk::{START, id, incident, new_work, place, purchase};
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    an_entry_costs_the_same_whatever_the_hold_holds
    pages_give_every_entry_once
    sums_are_those_of_the_entries_after_batches_of_records_and_voids
}

async fn hold(rig: &Rig, name: &str) -> Arc<Hold> {
    rig.reader.holds_of_incident(rig.key(), &id(name)).await.unwrap().pop().unwrap()
}

async fn all(rig: &Rig, hold: &Hold) -> Vec<Work> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = rig.reader.work(hold.id, after, 7).await.unwrap();
        found.extend(page.items.iter().map(|work| Work::clone(work)));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}

async fn an_entry_costs_the_same_whatever_the_hold_holds(mut rig: Rig) {
    const BATCH: usize = 500;
    rig.new_customer("acme").await;
    rig.ok(purchase("o", "100")).await;
    rig.ok(place("i", "1")).await;
    let mut measured: BTreeMap<usize, [usize; 2]> = BTreeMap::new();
    let note: Text = id("looked at the log, found the cause, told the customer what to do about it");
    for first in (0..10_000).step_by(BATCH) {
        let entry = |nth: usize| {
            let line = Some(id("second"));
            let started_at = Some(START.plus_seconds(i64::try_from(nth).unwrap() * 60));
            let work =
                NewWork { line, started_at, labels: vec![id("remote")], note: note.clone(), ..new_work(1) };
            Command::RecordWork(RecordWork { hold: incident("i"), work })
        };
        let requests: Vec<Request> = (first..first + BATCH).map(|nth| rig.request(entry(nth))).collect();
        let outcomes = rig.batch(&requests).await;
        for (nth, outcome) in (first + 1..).zip(outcomes) {
            if [1, 100, 10_000].contains(&nth) {
                let answer = outcome.unwrap();
                let detail = &answer.posting.detail;
                let body = encode(detail.hold.as_ref().unwrap().as_ref()).len();
                measured.insert(nth, [encode(detail).len(), body]);
            }
        }
    }
    let sizes: Vec<&[usize; 2]> = measured.values().collect();
    let parts: [fn(&[usize; 2]) -> usize; 2] = [|[detail, _]| *detail, |[_, body]| *body];
    for part in parts {
        let of = || sizes.iter().map(|sizes| part(sizes));
        let (least, most) = (of().min().unwrap(), of().max().unwrap());
        assert!(most * 10 <= least * 11, "bytes at entry 1, 100 and 10,000: {measured:?}");
    }
    // What the engine stores is what was measured.
    let stored = rig.audit.stored_holds(None, 10).await.unwrap();
    assert_eq!(stored[0].body.len(), measured[&10_000][1]);
    let last = rig.reader.customer(rig.key()).await.unwrap().unwrap().sequence;
    let posting = rig.reader.postings_of(rig.key(), last, last).await.unwrap().items.remove(0).posting;
    assert_eq!(encode(&posting.detail).len(), measured[&10_000][0]);
}

async fn pages_give_every_entry_once(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o", "100")).await;
    for name in ["before", "i", "after"] {
        rig.ok(place(name, "1")).await;
        for minutes in 1..=15 {
            rig.ok(crate::desk::work(name, minutes)).await;
        }
    }
    let hold = hold(&rig, "i").await;
    let entries = all(&rig, &hold).await;
    let minutes: Vec<u64> = entries.iter().map(|entry| entry.seconds / 60).collect();
    assert_eq!(minutes, (1..=15).collect::<Vec<_>>());
    let exact = rig.reader.work(hold.id, None, 15).await.unwrap();
    assert_eq!((exact.items.len(), exact.next), (15, None));
    let rest = rig.reader.work(hold.id, Some(entries[13].id), 15).await.unwrap();
    assert_eq!(rest.items.len(), 1);
}

/// A sequence of numbers that is the same on every engine.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

async fn sums_are_those_of_the_entries_after_batches_of_records_and_voids(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o", "100000")).await;
    rig.ok(place("i", "1")).await;
    rig.ok(place("other", "1")).await;
    let mut numbers = Numbers(7);
    let mut known: Vec<(&str, WorkId)> = Vec::new();
    for _ in 0..60 {
        let mut commands = Vec::new();
        for _ in 0..=numbers.below(7) {
            let name = if numbers.below(4) == 0 { "other" } else { "i" };
            // Mostly the last ones, which bound everything; now and then one twice.
            let place = known.len().checked_sub(1 + usize::try_from(numbers.below(8)).unwrap());
            if let Some(place) = place.filter(|_| numbers.below(2) == 0) {
                let (name, work) = known[place];
                commands.push(Command::VoidWork(VoidWork { hold: incident(name), work }));
                if numbers.below(5) > 0 {
                    known.remove(place);
                }
            } else {
                let line = numbers.below(4);
                let start = i64::try_from(numbers.below(500)).unwrap();
                let work = NewWork {
                    line: (line > 0).then(|| id(&format!("line-{line}"))),
                    started_at: (numbers.below(3) > 0).then(|| START.plus_seconds(start * 60)),
                    ..new_work(numbers.below(120))
                };
                commands.push(Command::RecordWork(RecordWork { hold: incident(name), work }));
            }
        }
        let requests: Vec<Request> = commands.into_iter().map(|command| rig.request(command)).collect();
        for answer in rig.batch(&requests).await.into_iter().flatten() {
            if let Some(work) = answer.posting.detail.work.as_ref().filter(|work| work.counts()) {
                let name = if answer.hold.unwrap().incident == id("i") { "i" } else { "other" };
                known.push((name, work.id));
            }
        }
        for name in ["i", "other"] {
            let hold = hold(&rig, name).await;
            let entries = all(&rig, &hold).await;
            assert_eq!(Some(&hold.work), WorkSums::of(&entries).as_ref());
        }
    }
    let report = verify(&*rig.audit, |_| ()).await.unwrap();
    assert!(report.is_clean(), "{:?}", report.faults);
    assert!(report.counts.work > 100);
}
