//! Random months: a storefront that writes down what it is asked agrees with the core about every request.

use std::cell::Cell;
use std::sync::Arc;

use creditledger::ledger::commands::Command::ApplyDue;
use creditledger::ledger::ids::TopUpId;
use creditledger::ledger::top_up::{TopUpAct, TopUpAnswer};
use creditledger::ledger::{Credits, CustomerKey, Kind, LedgerNo, Posting, Timestamp, TopUp};

use crate::desk::id;
use crate::properties::{desk, take};
use crate::random::{Action, CUSTOMERS, RandomTopUp, Step, for_random_steps};

/// What a storefront knows that writes down what it is asked: an account of requests that shares no code with the core.
#[derive(Default)]
struct Notes {
    settings: Option<Arc<TopUp>>,
    closed: bool,
    requests: Vec<Noted>,
    /// In a row, and until when the next request waits for them.
    failures: usize,
    waits_until: i64,
    /// Something was taken back, and the customer has not used or bought credits since.
    paused: bool,
}

struct Noted {
    id: TopUpId,
    at: Timestamp,
    lapses_at: i64,
    credits: i64,
    failed: bool,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Open,
    Answered,
    Over,
}

const MICROS: i64 = 1_000_000;

fn month(at: Timestamp) -> (i64, i64) {
    let (year, month, _) = at.day().civil();
    (year, month)
}

/// Whether the customer itself uses credits, from what the posting moved.
fn is_own_use(posting: &Posting) -> bool {
    let moved: i64 = posting
        .transfers()
        .filter(|transfer| transfer.debit.to_string() == "available")
        .filter(|transfer| ["held", "revenue"].contains(&transfer.credit.to_string().as_str()))
        .map(|transfer| transfer.credits.units())
        .sum();
    let own = moved - posting.amounts.0[6].units();
    let waits = posting.detail.hold.as_ref().is_some_and(|hold| hold.is_parked());
    let confirms = ["CONFIRM_ESTIMATE", "PLACE_HOLD"].contains(&posting.kind.name());
    own > 0 || (confirms && waits)
}

impl Notes {
    /// How many units should be asked for.
    fn due(&self, available: Credits, now: Timestamp) -> Option<i64> {
        self.due_but_for_the_pause(available, now).filter(|_| !self.paused)
    }

    fn due_but_for_the_pause(&self, available: Credits, now: Timestamp) -> Option<i64> {
        let settings = self.settings.as_ref().filter(|_| !self.closed)?;
        let counts = |request: &&Noted| month(request.at) == month(now) && request.state != State::Over;
        let counted: i64 = self.requests.iter().filter(counts).map(|request| request.credits).sum();
        let cooled = self.requests.last().is_none_or(|last| {
            now.micros() - last.at.micros() >= i64::from(settings.cool_down_seconds) * MICROS
        });
        let room = settings.monthly_cap.map_or(i64::MAX, |cap| cap.units() - counted);
        let missing = settings.target.units() - available.units();
        let is_free = self.requests.iter().all(|request| request.state != State::Open);
        let waited = self.failures < 4 && self.waits_until <= now.micros();
        let may = available < settings.below && cooled && room > 0 && is_free && waited;
        may.then(|| missing.min(room))
    }

    fn fail(&mut self, at: i64) {
        self.failures += 1;
        self.wait(at);
    }

    fn wait(&mut self, at: i64) {
        let hours = [0, 1, 6, 24, 0][self.failures];
        self.waits_until = at + hours * 3_600 * MICROS;
    }

    /// What time has done, then what the posting does to the request in flight.
    fn pass(&mut self, posting: &Posting) {
        let now = posting.recorded_at.micros();
        let Some(mut last) = self.requests.pop() else { return };
        if last.state == State::Open && last.lapses_at <= now {
            if !std::mem::replace(&mut last.failed, true) {
                self.fail(last.lapses_at);
            }
            if last.lapses_at + 3_600 * MICROS <= now {
                last.state = State::Over;
            }
        }
        if posting.kind == Kind::PurchaseCredits && last.state == State::Open {
            last.state = State::Answered;
        }
        if let Some(TopUpAct::Reported(report)) = &posting.detail.top_up_act {
            assert!(last.state == State::Open && last.id == report.top_up);
            match report.answer {
                TopUpAnswer::Pending(until) => last.lapses_at = last.lapses_at.max(until.micros()),
                TopUpAnswer::Declined => {
                    last.state = State::Over;
                    self.failures += usize::from(!last.failed);
                    self.wait(now);
                }
            }
        }
        self.requests.push(last);
    }

    fn read(&mut self, posting: &Posting) {
        let now = posting.recorded_at;
        let could_fail = self.failures < 4;
        self.pass(posting);
        if let Some(terms) = &posting.detail.terms {
            self.settings.clone_from(&terms.top_up);
        }
        if posting.kind == Kind::PurchaseCredits || posting.detail.top_up_act == Some(TopUpAct::Agreed) {
            (self.failures, self.waits_until) = (0, 0);
        }
        let suspends = could_fail && self.failures == 4;
        assert_eq!(posting.detail.top_ups_suspended.is_some(), suspends, "{posting:?}");
        let ends =
            posting.kind == Kind::PurchaseCredits || posting.detail.top_up_act == Some(TopUpAct::Agreed);
        match posting.kind {
            Kind::RefundPurchase | Kind::RecordChargeback => self.paused = true,
            _ if ends || is_own_use(posting) => self.paused = false,
            Kind::CloseCustomer => self.closed = true,
            Kind::ReopenCustomer => self.closed = false,
            _ => {}
        }
        self.paused &= self.settings.is_some();
        let request = posting.detail.top_up.as_ref();
        let expected = self.due(posting.after.available, now);
        assert_eq!(request.map(|request| request.credits.units()), expected, "{posting:?}");
        if let Some(request) = request {
            let (lapses_at, credits) = (request.lapses_at.micros(), request.credits.units());
            let (id, state) = (posting.id.into(), State::Open);
            self.requests.push(Noted { id, at: now, lapses_at, credits, failed: false, state });
            self.waits_until = 0;
        }
    }
}

/// How often the random months came to what they are to show.
#[derive(Default)]
struct Met {
    asked: Cell<u32>,
    cut: Cell<u32>,
    reported: Cell<u32>,
    suspended: Cell<u32>,
    paused: Cell<u32>,
}

fn count(cell: &Cell<u32>, it: bool) {
    cell.set(cell.get() + u32::from(it));
}

#[test]
fn over_random_months_exactly_what_is_due_is_asked_for() {
    let met = Met::default();
    for_random_steps(500, 80, |steps| {
        let mut desk = desk();
        let mut notes: [Notes; CUSTOMERS.len()] = Default::default();
        // Most of it happens to one customer, whose requests nothing bounds at first.
        let first = RandomTopUp { below: 30, more: 20, cap: None, cool_down_hours: 1, lapse_hours: 20 };
        let agreed = Step { customer: 0, wait_hours: 0, action: Action::TopUp { own: Some(first) } };
        let to_one = |(nth, step): (usize, &Step)| {
            let customer = if nth.is_multiple_of(4) { step.customer } else { 0 };
            Step { customer, ..step.clone() }
        };
        let steps: Vec<Step> = [agreed].into_iter().chain(steps.iter().enumerate().map(to_one)).collect();
        let mut read = 0;
        let keys = CUSTOMERS.map(|name| CustomerKey::of(LedgerNo::MAIN, &id(name)));
        for step in &steps {
            let _ = take(&mut desk, step);
            for posting in &desk.book.journal()[read..] {
                let of = keys.iter().position(|key| *key == posting.customer).unwrap();
                notes[of].read(posting);
                let detail = &posting.detail;
                if let Some(request) = &detail.top_up {
                    let missing = request.target.units() - posting.after.available.units();
                    count(&met.asked, true);
                    count(&met.cut, request.credits.units() < missing);
                }
                count(&met.reported, matches!(detail.top_up_act, Some(TopUpAct::Reported(_))));
                count(&met.suspended, detail.top_ups_suspended.is_some());
                let but_for = notes[of].due_but_for_the_pause(posting.after.available, posting.recorded_at);
                count(&met.paused, notes[of].paused && but_for.is_some());
            }
            read = desk.book.journal().len();
            for (key, notes) in keys.iter().zip(&notes) {
                let customer = desk.book.entry(*key).unwrap().customer.as_ref().unwrap();
                assert_eq!(customer.state.top_ups_paused, notes.paused);
            }
        }
        // What is left to ask for comes without a command, and then nothing is left.
        for (name, notes) in CUSTOMERS.iter().zip(&mut notes) {
            desk.customer = id(name);
            let _ = desk.run(ApplyDue);
            for posting in &desk.book.journal()[read..] {
                notes.read(posting);
            }
            read = desk.book.journal().len();
            assert_eq!(notes.due(desk.state().balances.available, desk.book.now), None);
        }
    });
    let Met { asked, cut, reported, suspended, paused } = met;
    assert!(asked.get() > 400 && cut.get() > 20, "{} requests, {} cut", asked.get(), cut.get());
    assert!(reported.get() > 50 && paused.get() > 50, "{} reports, {} paused", reported.get(), paused.get());
    assert!(suspended.get() > 0, "none were suspended");
}
