//! The invariants of the product over thousands of random sequences, judged by an auditor that shares no code with
//! the core beyond the journal's own types.

use std::collections::BTreeMap;
use std::sync::Arc;

use creditledger::ledger::account::Slot;
use creditledger::ledger::book::Book;
use creditledger::ledger::card::Cards;
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::command::{Command, CreateCustomer};
use creditledger::ledger::decide::Outcome;
use creditledger::ledger::posting::Detail;
use creditledger::ledger::price::price;
use creditledger::ledger::{Account, Credits, CustomerKey, Hold, HoldState, LedgerNo, Posting, Request};

use crate::desk::{Desk, START, id};
use crate::random::{CUSTOMERS, Step, command, for_random_steps};

/// A desk at which every customer of [`CUSTOMERS`] exists.
pub fn desk() -> Desk {
    let mut desk = Desk::without_customer();
    for customer in CUSTOMERS {
        desk.customer = id(customer);
        desk.ok(Command::CreateCustomer(CreateCustomer::default()));
    }
    desk
}

pub fn take(desk: &mut Desk, step: &Step) -> (Request, Outcome) {
    desk.customer = id(CUSTOMERS[step.customer]);
    desk.book.now = desk.book.now.plus_seconds(i64::from(step.wait_hours) * 3_600);
    let entry = |incident: &str, nth: usize| {
        let key = CustomerKey::of(LedgerNo::MAIN, &id(CUSTOMERS[step.customer]));
        let hold = desk.book.entry(key)?.incident(&id(incident)).next_back()?.clone();
        hold.work.get(nth).map(|work| work.id)
    };
    let command = command(&step.action, desk.book.now, entry);
    let request = desk.request(command);
    let outcome = desk.send(&request);
    (request, outcome)
}

#[test]
fn the_invariants_hold_after_every_command() {
    for_random_steps(3_000, 40, |steps| {
        let mut desk = desk();
        let mut auditor = Auditor::default();
        for step in &steps {
            let before = desk.book.journal().len();
            let (_, outcome) = take(&mut desk, step);
            auditor.read(&desk.book);
            auditor.judge(&desk.book);
            if outcome.is_err() {
                let moved: Vec<String> = desk.kinds(before);
                let by_itself = |kind: &String| kind.starts_with("EXPIRE_") || kind == "NOTE_SHORTFALL";
                assert!(moved.iter().all(by_itself), "a rejected command left {moved:?}");
            }
        }
    });
}

#[test]
fn replaying_the_journal_gives_every_state_again() {
    for_random_steps(1_000, 40, |steps| {
        let mut desk = desk();
        for step in &steps {
            let _ = take(&mut desk, step);
        }
        let mut replayed = Book::new(START, 0, Arc::new(Cards::built_in()));
        for posting in desk.book.journal() {
            let detail: Detail = decode(&encode(&posting.detail)).unwrap();
            replayed.apply(&Posting { detail, ..Posting::clone(posting) }).unwrap();
        }
        for customer in CUSTOMERS {
            let key = CustomerKey::of(LedgerNo::MAIN, &id(customer));
            let (was, is) = (desk.book.entry(key).unwrap(), replayed.entry(key).unwrap());
            let mut expected = was.customer.clone().unwrap();
            let mut found = is.customer.clone().unwrap();
            // Only a bound: it may be early, and is made exact whenever something was due.
            expected.state.next_due = None;
            found.state.next_due = None;
            assert_eq!(found, expected);
            let holds = |entry: &creditledger::ledger::book::Entry| -> BTreeMap<_, Arc<Hold>> {
                entry.holds().map(|hold| (hold.id, Arc::clone(hold))).collect()
            };
            assert_eq!(holds(is), holds(was));
            assert_eq!(decode(&encode(&expected.state)), Ok(expected.state));
        }
    });
}

#[test]
fn a_sequence_sent_with_repeats_has_the_effect_of_one() {
    for_random_steps(1_000, 40, |steps| {
        let mut once = desk();
        let mut repeated = desk();
        let mut accepted: Vec<(Request, Outcome)> = Vec::new();
        for (number, step) in steps.iter().enumerate() {
            let first = take(&mut once, step);
            // The other desk takes the same step at the same moment, then hears old requests again.
            repeated.book.now = once.book.now;
            repeated.customer = once.customer.clone();
            let outcome = creditledger::ledger::decide::decide(&mut repeated.book, &first.0).unwrap();
            assert_eq!(outcome, first.1);
            if outcome.is_ok() && first.0.command != Command::ApplyDue {
                accepted.push(first);
            }
            for (request, answer) in accepted.iter().skip(number % 3).step_by(3) {
                let again = repeated.send(request).unwrap();
                assert!(again.replayed);
                assert_eq!(again.posting, answer.as_ref().unwrap().posting);
            }
            repeated.book.now = once.book.now;
        }
        assert_eq!(repeated.book.journal(), once.book.journal());
    });
}

#[test]
fn no_result_depends_on_when_somebody_looked() {
    for_random_steps(1_000, 40, |steps| {
        let mut late = desk();
        let mut often = desk();
        for step in &steps {
            let target = late.book.now.plus_seconds(i64::from(step.wait_hours) * 3_600);
            while often.book.now.plus_days(1) < target {
                often.pass_days(1);
                for customer in CUSTOMERS {
                    often.customer = id(customer);
                    let _ = often.run(Command::ApplyDue);
                }
            }
            let (request, outcome) = take(&mut late, step);
            often.book.now = late.book.now;
            let other = creditledger::ledger::decide::decide(&mut often.book, &request).unwrap();
            // A posting's id depends on how many there were before, and with it the ids of holds and of work: the
            // other desk does not know the entry that a voiding command names.
            if matches!(request.command, Command::VoidWork(_)) && outcome.is_ok() {
                return;
            }
            if request.command != Command::ApplyDue {
                let kind = |outcome: &Outcome| outcome.as_ref().err().map(std::mem::discriminant);
                assert_eq!(kind(&outcome), kind(&other), "{request:?}");
            }
            let seen = |desk| what_people_see(desk, CUSTOMERS[step.customer]);
            assert_eq!(seen(&often), seen(&late), "after {request:?}");
        }
    });
}

/// Everything about a customer but ids.
fn what_people_see(desk: &Desk, customer: &str) -> Vec<String> {
    let entry = desk.book.entry(CustomerKey::of(LedgerNo::MAIN, &id(customer))).unwrap();
    let customer = entry.customer.as_ref().unwrap();
    let lots = customer.state.lots.iter().map(|lot| (lot.left, lot.source, lot.expires_at));
    let mut seen = vec![format!("{:?} {:?}", customer.balances, lots.collect::<Vec<_>>())];
    let mut holds: Vec<&Arc<Hold>> = entry.holds().collect();
    holds.sort_by_key(|hold| hold.id);
    seen.extend(holds.into_iter().map(|hold| {
        format!("{} {} {} {:?} {:?}", hold.incident, hold.state, hold.held, hold.valid_until, hold.ended_at)
    }));
    seen
}

#[test]
fn receipts_give_the_charge_again_and_transfers_carry_it_whole() {
    for_random_steps(1_000, 40, |steps| {
        let mut desk = desk();
        for step in &steps {
            let _ = take(&mut desk, step);
        }
        let cards = Cards::built_in();
        for posting in desk.book.journal() {
            let Some(hold) = &posting.detail.hold else { continue };
            let Some(settlement) = hold.settlement.as_ref().filter(|s| s.posting == posting.id) else {
                continue;
            };
            let receipt = price(cards.get(&hold.card).unwrap(), &settlement.inputs).unwrap();
            assert_eq!(receipt.credits, settlement.charge);
            let earned =
                [Slot::First, Slot::Third, Slot::Fourth].map(|slot| posting.amounts.get(slot).units());
            assert_eq!(earned.iter().sum::<i64>(), settlement.charge.units());
            let burned: i64 = settlement.burned.iter().map(|lot| lot.left.units()).sum();
            assert_eq!(burned, settlement.paid().units());
        }
    });
}

/// Sums the journal by itself.
#[derive(Default)]
struct Auditor {
    read: usize,
    balances: BTreeMap<(Option<CustomerKey>, String), i64>,
    sequences: BTreeMap<CustomerKey, u64>,
}

impl Auditor {
    fn read(&mut self, book: &Book) {
        for posting in &book.journal()[self.read..] {
            let sequence = self.sequences.entry(posting.customer).or_default();
            *sequence += 1;
            assert_eq!(posting.sequence, *sequence, "sequences have no gaps");
            for transfer in posting.transfers() {
                assert!(transfer.credits > Credits::ZERO);
                *self.balance(posting.customer, &transfer.debit) -= transfer.credits.units();
                *self.balance(posting.customer, &transfer.credit) += transfer.credits.units();
            }
        }
        self.read = book.journal().len();
    }

    fn balance(&mut self, customer: CustomerKey, account: &Account) -> &mut i64 {
        let owner = account.is_customer().then_some(customer);
        self.balances.entry((owner, account.to_string())).or_default()
    }

    fn judge(&mut self, book: &Book) {
        assert_eq!(self.balances.values().sum::<i64>(), 0, "the accounts sum to zero");
        for name in CUSTOMERS {
            let key = CustomerKey::of(LedgerNo::MAIN, &id(name));
            let entry = book.entry(key).unwrap();
            let customer = entry.customer.as_ref().unwrap();
            let balances = customer.balances;
            assert_eq!(balances.available.units(), *self.balance(key, &Account::Available));
            assert_eq!(balances.held.units(), *self.balance(key, &Account::Held));
            assert_eq!(-balances.owed.units(), *self.balance(key, &Account::Receivable));
            assert!(
                balances.available.units() >= 0 && balances.held.units() >= 0 && balances.owed.units() >= 0
            );

            let active = entry.holds().filter(|hold| hold.state == HoldState::Active);
            assert_eq!(active.map(|hold| hold.held.units()).sum::<i64>(), balances.held.units());
            let idle = entry.holds().filter(|hold| hold.state != HoldState::Active);
            assert!(idle.into_iter().all(|hold| hold.held.is_zero()));
            let lots: i64 = customer.state.lots.iter().map(|lot| lot.left.units()).sum();
            assert_eq!(lots, balances.available.units() + balances.held.units());

            let open = entry.holds().filter(|hold| hold.state.is_open());
            assert_eq!(open.count(), usize::try_from(customer.state.open_holds).unwrap());
            let parked = entry.holds().filter(|hold| hold.is_parked());
            assert_eq!(parked.count(), usize::try_from(customer.state.parked).unwrap());
            let due = entry.holds().filter_map(|hold| hold.due_at());
            let due = due.chain(customer.state.lots.next_expiry(book.now)).min();
            if let Some(due) = due {
                assert!(customer.state.next_due.is_some_and(|bound| bound <= due), "the bound is late");
            }
        }
    }
}
