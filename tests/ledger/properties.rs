//! The invariants of the product over thousands of random sequences, judged by an auditor that shares no code with
//! the core beyond the journal's own types.

use std::collections::BTreeMap;
use std::sync::Arc;

use creditledger::cards;
use creditledger::ledger::account::{Side, Slot};
use creditledger::ledger::book::Book;
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::Outcome;
use creditledger::ledger::lot::OpenLot;
use creditledger::ledger::money::{MoneyAccount, MoneyPlace};
use creditledger::ledger::posting::Detail;
use creditledger::ledger::price::price;
use creditledger::ledger::{
    Account, Credits, Currency, Customer, CustomerKey, Hold, HoldState, LedgerNo, LotId, Posting, Request,
};
use rust_decimal::{Decimal, RoundingStrategy};

use crate::desk::{Desk, START, id};
use crate::random::{CUSTOMERS, Step, command, for_random_steps, refunded_order};

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
        let work = desk.book.entry(key)?.work().keys().filter(|(of, _)| *of == hold.id);
        work.map(|(_, id)| *id).nth(nth)
    };
    let refund = refunded_order(&step.action).and_then(|order| {
        let posting = desk.book.order(&(LedgerNo::MAIN, id("web"), id(&order)))?;
        let lot = desk.book.entry(posting.customer)?.lot(posting.detail.lot.as_ref()?.id)?;
        lot.refunds.last().map(|refund| refund.id)
    });
    let top_up = desk.state().state.top_ups.as_ref().and_then(|top_ups| Some(top_ups.open?.id));
    let command = command(&step.action, desk.book.now, entry, refund, top_up);
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
        auditor.judge_unused(&desk.book);
    });
}

#[test]
fn replaying_the_journal_gives_every_state_again() {
    for_random_steps(1_000, 40, |steps| {
        let mut desk = desk();
        for step in &steps {
            let _ = take(&mut desk, step);
        }
        let mut replayed = Book::new(START, 0, Arc::new(cards::built_in()));
        for posting in desk.book.journal() {
            let detail: Detail = decode(&encode(&posting.detail)).unwrap();
            replayed.apply(&Posting { detail, ..Posting::clone(posting) }).unwrap();
        }
        for customer in CUSTOMERS {
            let key = CustomerKey::of(LedgerNo::MAIN, &id(customer));
            let (was, is) = (desk.book.entry(key).unwrap(), replayed.entry(key).unwrap());
            let mut expected = Customer::clone(was.customer.as_ref().unwrap());
            let mut found = Customer::clone(is.customer.as_ref().unwrap());
            // Only a bound: it may be early, and is made exact whenever something was due.
            expected.state.next_due = None;
            found.state.next_due = None;
            assert_eq!(found, expected);
            let holds = |entry: &creditledger::ledger::entry::Entry| -> BTreeMap<_, Arc<Hold>> {
                entry.holds().map(|hold| (hold.id, Arc::clone(hold))).collect()
            };
            assert_eq!(holds(is), holds(was));
            let lots = desk.book.journal().iter().filter_map(|posting| posting.detail.lot.as_ref());
            assert!(lots.into_iter().all(|lot| is.unused(lot.id) == was.unused(lot.id)));
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
            // other desk does not know the entry that a voiding command names, the refund that is undone, or the request for
            // a top-up that is reported on, which is made when somebody looks.
            let named = matches!(
                request.command,
                Command::VoidWork(_) | Command::ReverseRefund(_) | Command::ReportTopUp(_)
            );
            if named && outcome.is_ok() {
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
        // Sequences of every length under every preset.
        let card = &cards::presets()[steps.len() % cards::presets().len()];
        desk.use_preset(card.card.id.as_str());
        for step in &steps {
            let _ = take(&mut desk, step);
        }
        for posting in desk.book.journal() {
            let Some(hold) = &posting.detail.hold else { continue };
            let Some(settlement) = hold.settlement.as_ref().filter(|s| s.posting == posting.id) else {
                continue;
            };
            let receipt =
                price(desk.book.cards.get(LedgerNo::MAIN, &hold.card).unwrap(), &settlement.inputs).unwrap();
            assert_eq!(receipt.credits, settlement.charge);
            let earned =
                [Slot::First, Slot::Third, Slot::Fourth].map(|slot| posting.amounts.get(slot).units());
            assert_eq!(earned.iter().sum::<i64>(), settlement.charge.units());
            let burned: i64 = settlement.burned.iter().map(|lot| lot.left.units()).sum();
            assert_eq!(burned, settlement.paid().units());
        }
    });
}

/// A debt is paid from what comes in with the same posting.
fn judge_repaid(posting: &Posting) {
    let own = ["available", "held", "receivable"].map(str::to_owned);
    let moved = |is: fn(&str, &str, &[String]) -> bool| {
        let all = posting.transfers();
        let counted = all.filter(|t| is(&t.debit.to_string(), &t.credit.to_string(), &own));
        counted.map(|transfer| transfer.credits.units()).sum::<i64>()
    };
    let repaid = moved(|debit, credit, _| (debit, credit) == ("available", "receivable"));
    let came_in = moved(|debit, credit, own| credit == "available" && !own.iter().any(|own| own == debit));
    assert!(repaid <= came_in, "{repaid} repaid, {came_in} came in: {posting:?}");
}

/// Sums the journal by itself.
#[derive(Default)]
struct Auditor {
    read: usize,
    balances: BTreeMap<(Option<CustomerKey>, String), i64>,
    sequences: BTreeMap<CustomerKey, u64>,
    money: BTreeMap<MoneyPlace, i64>,
    /// What is left of each lot, and its money.
    lots: BTreeMap<LotId, (Decimal, Decimal)>,
}

impl Auditor {
    /// Each currency sums to zero, and what is deferred is the price of what is left in lots.
    fn judge_money(&self, book: &Book) {
        let mut sums: BTreeMap<Currency, (i64, i64)> = BTreeMap::new();
        for (place, balance) in &self.money {
            let (sum, deferred) = sums.entry(place.currency).or_default();
            *sum += balance;
            if place.account == MoneyAccount::DeferredRevenue {
                *deferred += balance;
            }
        }
        for name in CUSTOMERS {
            let entry = book.entry(CustomerKey::of(LedgerNo::MAIN, &id(name))).unwrap();
            for lot in &entry.customer.as_ref().unwrap().state.lots {
                if let Some(money) = lot.money {
                    sums.entry(money.currency).or_default().1 -= money.minor_units;
                }
            }
        }
        assert!(sums.values().all(|(sum, deferred)| *sum == 0 && *deferred == 0), "{sums:?}");
    }

    /// What lots count as unused, less what standing refunds took of it, is what the accounts have.
    fn judge_unused(&self, book: &Book) {
        let (mut breakage, mut expired) = (0, 0);
        for posting in book.journal() {
            let Some(lot) = &posting.detail.lot else { continue };
            let entry = book.entry(posting.customer).unwrap();
            let unused = entry.unused(lot.id);
            breakage += unused.minor_units();
            expired += unused.expired.units();
            for refund in entry.lot(lot.id).unwrap().refunds.iter().filter(|refund| refund.stands()) {
                breakage -= refund.unused.minor_units();
                expired -= refund.unused.expired.units();
            }
        }
        let places = self.money.iter().filter(|(place, _)| place.account == MoneyAccount::Breakage);
        assert_eq!(places.map(|(_, balance)| *balance).sum::<i64>(), breakage);
        let account = (None, Account::from(Side::Expired).to_string());
        assert_eq!(self.balances.get(&account).copied().unwrap_or_default(), expired);
    }

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
            for transfer in posting.money_transfers() {
                assert!(transfer.minor_units > 0 && transfer.debit.currency == transfer.credit.currency);
                *self.money.entry(transfer.debit).or_default() -= transfer.minor_units;
                *self.money.entry(transfer.credit).or_default() += transfer.minor_units;
            }
            for moved in &posting.detail.lots {
                self.move_lot(moved);
            }
            judge_repaid(posting);
        }
        self.read = book.journal().len();
    }

    fn balance(&mut self, customer: CustomerKey, account: &Account) -> &mut i64 {
        let owner = account.is_customer().then_some(customer);
        self.balances.entry((owner, account.to_string())).or_default()
    }

    /// Follows each lot with decimals: what leaves it takes its share of the money, half up.
    fn move_lot(&mut self, moved: &OpenLot) {
        let (left, money) = self.lots.entry(moved.id).or_default();
        let change = Decimal::from(moved.money.map_or(0, |money| money.minor_units));
        let credits = Decimal::from(moved.left.units());
        if credits.is_sign_negative() {
            let share = (*money * -credits / *left)
                .round_dp_with_strategy(12, RoundingStrategy::MidpointAwayFromZero)
                .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
            assert_eq!(-change, share, "{credits} of {left} with {money}");
        }
        *left += credits;
        *money += change;
        assert!(!money.is_sign_negative() || money.is_zero());
        assert!(!left.is_zero() || money.is_zero(), "the last credit takes all that is left");
    }

    fn judge(&mut self, book: &Book) {
        self.judge_money(book);
        assert_eq!(self.balances.values().sum::<i64>(), 0, "the accounts sum to zero");
        for name in CUSTOMERS {
            let key = CustomerKey::of(LedgerNo::MAIN, &id(name));
            let entry = book.entry(key).unwrap();
            let customer = entry.customer.as_ref().unwrap();
            let balances = customer.balances;
            assert_eq!(balances.available.units(), *self.balance(key, &Side::Available.into()));
            assert_eq!(balances.held.units(), *self.balance(key, &Side::Held.into()));
            assert_eq!(-balances.owed.units(), *self.balance(key, &Side::Receivable.into()));
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
            let first = entry.holds().filter(|hold| hold.is_parked()).min_by_key(|hold| hold.waiting_since());
            if let Some(first) = first {
                let total = first.pending.as_ref().map_or(first.estimate, |pending| pending.total);
                let needed = total.units() - first.held.units();
                assert!(needed > balances.available.units(), "what waits longest fits, and waits");
            }
            let due = entry.holds().filter_map(|hold| hold.due_at());
            let due = due.chain(customer.state.lots.next_expiry(book.now)).chain(customer.top_up_due()).min();
            if let Some(due) = due {
                assert!(customer.state.next_due.is_some_and(|bound| bound <= due), "the bound is late");
            }
        }
    }
}
