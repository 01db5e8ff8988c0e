//! The model and the core side by side: every answer, posting, balance, lot, hold and event, and what was reached.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use creditledger::ledger::card::CardEdit;
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::decide::Outcome;
use creditledger::ledger::ids::WorkId;
use creditledger::ledger::{Customer as CoreCustomer, CustomerKey, Hold, LedgerNo, Lot, Posting, PostingId};

use crate::credits::{Amount, Customer, Posted, Refusal};
use crate::desk::{Desk, START, id};
use crate::random::{Dice, Do, Sequence, Step};
use crate::translate::{command, own_card, posted, refusal, time};
use crate::world::{Told, World};

pub const CUSTOMERS: [&str; 3] = ["acme", "zeta", "nova"];
const STEPS: usize = 90;

pub const START_SECONDS: i64 = START.micros() / 1_000_000;

/// How often what was reached.
pub type Reached = BTreeMap<String, u64>;

fn key(customer: usize) -> CustomerKey {
    CustomerKey::of(LedgerNo::MAIN, &id(CUSTOMERS[customer]))
}

/// A desk with the customers and the card `own`.
fn desk() -> Desk {
    let mut desk = Desk::without_customer();
    desk.change_cards(CardEdit::Card(Arc::new(own_card(crate::pricing::cards().last().unwrap()))));
    for customer in CUSTOMERS {
        desk.customer = id(customer);
        desk.ok(Command::CreateCustomer(CreateCustomer::default()));
    }
    desk
}

fn work_of(desk: &Desk, customer: usize, incident: &str, nth: usize) -> Option<WorkId> {
    let entry = desk.book.entry(key(customer))?;
    let holds: Vec<&Hold> = entry.incident(&id(incident)).map(AsRef::as_ref).collect();
    let hold = holds.iter().find(|hold| hold.state.is_open()).or(holds.last())?;
    let work = entry.work().keys().filter(|(of, _)| *of == hold.id);
    work.map(|(_, id)| *id).nth(nth)
}

fn lot_of<'a>(desk: &'a Desk, order: &str) -> Option<&'a Lot> {
    let posting = desk.book.order(&(LedgerNo::MAIN, id("web"), id(order)))?;
    desk.book.entry(posting.customer)?.lot(posting.detail.lot.as_ref()?.id).map(AsRef::as_ref)
}

fn refund_of(desk: &Desk, order: &str, nth: usize) -> Option<PostingId> {
    lot_of(desk, order)?.refunds.get(nth).map(|refund| refund.id)
}

/// A customer's lots as `left money disputed`, and holds, in the model's words.
pub fn state_of(customer: &Customer) -> Vec<String> {
    let mut told = vec![format!("{} {} {}", customer.available, customer.held, customer.owed)];
    for lot in customer.in_burn_order() {
        let lot = &customer.lots[lot];
        let money = lot.price.map(|price| format!("{} {}", lot.money, price.currency));
        told.push(format!("lot {} {} {money:?} {}", told.len(), lot.left, lot.disputed));
    }
    for hold in &customer.holds {
        let open = hold.is_open().then_some((hold.estimate, hold.quoted, hold.valid_until));
        let pending =
            hold.pending.as_ref().map(|it| (it.total, it.quoted, it.valid_until, it.parked.is_some()));
        let settled = hold.settlement.as_ref();
        let settled =
            settled.map(|it| (it.charge, it.paid, it.written_off, it.reversed, it.write_off_reversed));
        let Some(settled) = settled else {
            told.push(format!("i{} {} {} {open:?} {pending:?}", hold.incident, hold.state, hold.held));
            continue;
        };
        told.push(format!("i{} {} {settled:?}", hold.incident, hold.state));
    }
    told.sort();
    told
}

/// The same of the core's customer.
pub fn core_state<'a>(it: &CoreCustomer, holds: impl Iterator<Item = &'a Hold>) -> Vec<String> {
    let units = |credits: creditledger::ledger::Credits| Amount::from(credits.units());
    let balances = [it.balances.available, it.balances.held, it.balances.owed].map(units);
    let mut told = vec![format!("{} {} {}", balances[0], balances[1], balances[2])];
    for lot in &it.state.lots {
        let money = lot.money.map(|money| format!("{} {}", money.minor_units, money.currency));
        told.push(format!("lot {} {} {money:?} {}", told.len(), units(lot.left), lot.disputed));
    }
    let seconds = |at: creditledger::ledger::Timestamp| at.micros() / 1_000_000;
    for hold in holds {
        let open = hold.state.is_open();
        let open = open.then(|| (units(hold.estimate), hold.quoted, hold.valid_until.map(seconds)));
        let pending = hold.pending.as_ref();
        let pending =
            pending.map(|it| (units(it.total), it.quoted, seconds(it.valid_until), it.parked_at.is_some()));
        let settled = hold.settlement.as_ref().map(|it| {
            (
                units(it.charge),
                units(it.paid()),
                units(it.written_off),
                units(it.reversed),
                units(it.write_off_reversed),
            )
        });
        let Some(settled) = settled else {
            told.push(format!("{} {} {} {open:?} {pending:?}", hold.incident, hold.state, units(hold.held)));
            continue;
        };
        told.push(format!("{} {} {settled:?}", hold.incident, hold.state));
    }
    told.sort();
    told
}

pub fn differ<T: PartialEq + std::fmt::Debug>(what: &str, model: &T, core: &T) -> Result<(), String> {
    if model == core { Ok(()) } else { Err(format!("{what}:\n  model {model:?}\n  core  {core:?}")) }
}

/// What is told, without what a model need not know.
fn told(told: &Told) -> Result<&'static str, (&'static str, Vec<Amount>)> {
    told.clone().map_err(|Refusal { reason, values, .. }| (reason, values))
}

/// Takes the steps with both; the first difference, with the number of its step.
fn run(steps: &[Step], reached: &mut Reached) -> Result<(), (usize, String)> {
    let mut world = World::new(START_SECONDS, CUSTOMERS.len());
    let mut desk = desk();
    for (number, step) in steps.iter().enumerate() {
        let taken = catch_unwind(AssertUnwindSafe(|| one(&mut world, &mut desk, step, reached)));
        let taken = taken.unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Err(format!("panicked: {}", text.unwrap_or_default()))
        });
        taken.map_err(|difference| (number, difference))?;
    }
    Ok(())
}

/// Compares what the model and the core say to one command, and counts what was reached.
pub fn judge<'a>(
    (model_told, model_postings): &(Told, Vec<(Posted, [Amount; 3])>),
    outcome: &Outcome,
    core_postings: impl Iterator<Item = &'a Posting>,
    reached: &mut Reached,
) -> Result<(), String> {
    let core_told: Told = match outcome {
        Ok(answer) => Ok(answer.posting.kind.name()),
        Err(rejection) => Err(refusal(rejection)),
    };
    let mut bare = model_postings.clone();
    for (posted, _) in &mut bare {
        posted.notes.clear();
        posted.incoming.clear();
    }
    differ("told", &told(model_told), &told(&core_told))?;
    differ("postings", &bare, &core_postings.map(posted).collect())?;
    let mut count = |what: &str| *reached.entry(what.to_owned()).or_default() += 1;
    for (posted, _) in model_postings {
        count(posted.kind);
        posted.notes.iter().for_each(|note| count(note));
        posted.events.iter().for_each(|event| count(event.split(' ').next().unwrap_or_default()));
    }
    if let Err(refusal) = model_told {
        count(refusal.reason);
    }
    Ok(())
}

fn one(world: &mut World, desk: &mut Desk, step: &Step, reached: &mut Reached) -> Result<(), String> {
    world.now += step.wait;
    desk.customer = id(CUSTOMERS[step.customer]);
    desk.book.now = creditledger::ledger::Timestamp::from_micros(time(world.now).micros() - 1);
    let work = |incident: &str, nth: usize| work_of(desk, step.customer, incident, nth);
    let asked = command(&step.what, world.now, work, |order, nth| refund_of(desk, order, nth));
    let mut request = desk.request(asked);
    if step.what == Do::ApplyDue {
        request.request = None;
    }
    let skip = desk.book.journal().len();
    let outcome = desk.send(&request);
    let (model_told, model_postings) = world.take(step);
    let model = (model_told, model_postings);
    judge(&model, &outcome, desk.book.journal()[skip..].iter().map(AsRef::as_ref), reached)?;
    let entry = desk.book.entry(key(step.customer)).unwrap();
    let core = core_state(entry.customer.as_ref().unwrap(), entry.holds().map(AsRef::as_ref));
    differ("state", &state_of(&world.customers[step.customer]), &core)?;
    if let (true, Ok(first), true) = (step.again, &outcome, request.request.is_some()) {
        let length = desk.book.journal().len();
        let again = desk.send(&request).map_err(|rejection| format!("sent again: {rejection}"))?;
        differ("sent again", &(true, first.posting.id), &(again.replayed, again.posting.id))?;
        differ("postings when sent again", &length, &desk.book.journal().len())?;
        *reached.entry("sent again".to_owned()).or_default() += 1;
    }
    Ok(())
}

/// A sequence that the model finds interesting.
pub fn sequence(seed: u64, start: i64) -> Vec<Step> {
    let mut dice = Dice(seed);
    let mut world = World::new(start, CUSTOMERS.len());
    let mut steps = Vec::new();
    for _ in 0..STEPS {
        let step = Sequence { dice: &mut dice, seen: &world.customers }.step();
        world.now += step.wait;
        let _ = world.take(&step);
        steps.push(step);
    }
    steps
}

/// The fewest of the steps that still differ, and how.
fn shrink(mut steps: Vec<Step>, failed: (usize, String)) -> (Vec<Step>, String) {
    let (last, mut how) = failed;
    steps.truncate(last + 1);
    let mut place = last;
    while place > 0 {
        place -= 1;
        let mut fewer = steps.clone();
        let removed = fewer.remove(place);
        fewer[place].wait += removed.wait;
        if let Err((number, difference)) = run(&fewer, &mut Reached::new()) {
            how = difference;
            fewer.truncate(number + 1);
            steps = fewer;
            // From the end again: what was needed before may not be now.
            place = steps.len() - 1;
        }
    }
    (steps, how)
}

pub fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|number| number.parse().unwrap())
}

/// What 300 sequences must reach, or they show too little.
const MUST_REACH: &[&str] = &[
    "PURCHASE_CREDITS",
    "REFUND_PURCHASE",
    "REVERSE_REFUND",
    "RECORD_CHARGEBACK",
    "RESOLVE_CHARGEBACK",
    "GRANT_CREDITS",
    "ADJUST_BALANCE",
    "ESTIMATE_INCIDENT",
    "CONFIRM_ESTIMATE",
    "DECLINE_ESTIMATE",
    "PLACE_HOLD",
    "EXTEND_HOLD",
    "RECORD_WORK",
    "VOID_WORK",
    "SETTLE_HOLD",
    "RELEASE_HOLD",
    "CLOSE_INCIDENT",
    "CHARGE_INCIDENT",
    "REVERSE_SETTLEMENT",
    "SET_CUSTOMER_TERMS",
    "SET_BALANCE_ALERTS",
    "CLOSE_CUSTOMER",
    "REOPEN_CUSTOMER",
    "EXPIRE_ESTIMATE",
    "EXPIRE_HOLD",
    "EXPIRE_CREDITS",
    "NOTE_SHORTFALL", // kinds
    "INSUFFICIENT_CREDITS",
    "EXCEEDS_MAX_CHARGE",
    "HOLD_NOT_ACTIVE",
    "HOLD_EXISTS",
    "ESTIMATE_NOT_OPEN",
    "WORK_RECORDED",
    "WORK_CHANGED",
    "WORK_NOT_FOUND",
    "WORK_VOIDED",
    "ESTIMATE_OUT_OF_RANGE",
    "QUOTE_REQUIRED",
    "QUOTE_CONFIRMED",
    "CHARGE_CHANGED",
    "HOLD_REQUIRED",
    "OUT_OF_SCOPE",
    "CUSTOMER_CLOSED",
    "HOLDS_OPEN",
    "EXCEEDS_REVERSIBLE",
    "EXCEEDS_REFUNDABLE",
    "LOT_SPENT",
    "PURCHASE_DISPUTED",
    "PURCHASE_NOT_DISPUTED",
    "REFUND_NOT_STANDING",
    "ORDER_ALREADY_RECORDED",
    "PURCHASE_NOT_FOUND", // rejections
    "a debt paid",
    "an expired lot pays a debt",
    "a purchase repays",
    "expired credits refunded",
    "less refunded than the breakage",
    "adjusted credits refunded",
    "a refund is owed",
    "a refund is written off",
    "a refund's write-off undone",
    "a refund's debt undone",
    "a settlement's write-off undone",
    "a refund reversed whose write-off was undone",
    "a rise parked",
    "a parked rise activated",
    "a parked hold activated",
    "a parked hold declined",
    "activated after a decline",
    "a hold with a parked rise ended",
    "reopened after given back",
    "reopened after charged",
    "reopened after free or waived",
    "sent again", // rare rules
    "hold.nearly_used",
    "credits.shortfall",
    "balance.low",
    "balance.depleted",
    "balance.recovered",
];

#[test]
fn the_core_does_what_the_model_says() {
    let seed = number("CREDITLEDGER_TEST_SEED").unwrap_or(20_261_128);
    let times = number("CREDITLEDGER_TEST_TIMES").unwrap_or(1);
    let mut reached = Reached::new();
    let (mut failures, mut commands) = (Vec::new(), 0);
    std::panic::set_hook(Box::new(|_| {}));
    for case in 0..300 * times {
        let steps = sequence(seed.wrapping_add(case * 1_000_003), START_SECONDS);
        commands += steps.len();
        if let Err(failed) = run(&steps, &mut reached) {
            let (steps, how) = shrink(steps, failed);
            failures.push((case, steps, how));
            if failures.len() >= 10 {
                break;
            }
        }
    }
    let _ = std::panic::take_hook();
    for (case, steps, how) in &failures {
        println!("seed {seed}, case {case}: {how}");
        for step in steps {
            println!("    {step:?}");
        }
    }
    println!("{commands} commands; reached {reached:#?}");
    assert!(failures.is_empty(), "seed {seed}: {} sequences differ, the first of them above", failures.len());
    let missed: Vec<_> = MUST_REACH.iter().filter(|name| !reached.contains_key(**name)).collect();
    assert!(missed.is_empty(), "never reached: {missed:?}");
}
