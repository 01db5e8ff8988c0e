//! The model beside each engine: the same answers and postings through the store, and the same rows at the end.

use std::collections::BTreeMap;
use std::sync::Arc;

use creditledger::ledger::card::CardEdit;
use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{CustomerKey, Hold, IncidentId, PostingId};
use creditledger::store::{AuditStore, Isolation};
use tokio::runtime::Runtime;

use crate::compare::{
    CUSTOMERS, Reached, START_SECONDS, core_state, differ, judge, number, sequence, state_of,
};
use crate::credits::Amount;
use crate::desk::id;
use crate::random::{Do, Step};
use crate::rig::Rig;
use crate::translate::{command, own_card, time};
use crate::world::World;

fn key(rig: &Rig, customer: usize) -> CustomerKey {
    CustomerKey::of(rig.ledger, &id(CUSTOMERS[customer]))
}

/// A ledger of its own, with the customers and the card `own`.
async fn start_case(rig: &mut Rig, name: &str) {
    rig.new_ledger(name).await;
    let own = own_card(crate::pricing::cards().last().unwrap());
    rig.change_cards(name, CardEdit::Card(Arc::new(own))).await;
    for customer in CUSTOMERS {
        rig.customer = id(customer);
        rig.ok(Command::CreateCustomer(CreateCustomer::default())).await;
    }
}

async fn holds(rig: &Rig, customer: usize) -> Vec<Arc<Hold>> {
    let mut holds = Vec::new();
    for incident in 0..crate::random::INCIDENTS {
        let incident: IncidentId = id(&format!("i{incident}"));
        holds.extend(rig.reader.holds_of_incident(key(rig, customer), &incident).await.unwrap());
    }
    holds
}

async fn one(world: &mut World, rig: &mut Rig, step: &Step) -> Result<(), String> {
    world.now += step.wait;
    // A batch is a second after the one before.
    rig.now = time(world.now - 1);
    rig.customer = id(CUSTOMERS[step.customer]);
    let mut works = BTreeMap::new();
    if let Do::Void { incident, .. } = step.what {
        let name = format!("i{incident}");
        let holds = rig.reader.holds_of_incident(rig.key(), &id(&name)).await.unwrap();
        if let Some(hold) = holds.iter().find(|hold| hold.state.is_open()).or(holds.last()) {
            works.insert(name, rig.reader.work(hold.id, None, 100).await.unwrap().items);
        }
    }
    let mut refunds: Vec<PostingId> = Vec::new();
    if let Some(order) = step.what.order() {
        let found = rig.reader.order(rig.ledger, &id("web"), &id(order)).await.unwrap();
        refunds.extend(found.iter().flat_map(|found| found.lot.refunds.iter().map(|refund| refund.id)));
    }
    let work = |incident: &str, nth: usize| Some(works.get(incident)?.get(nth)?.id);
    let request = rig.request(command(&step.what, world.now, work, |_, nth| refunds.get(nth).copied()));
    let before = rig.reader.customer(rig.key()).await.unwrap().unwrap().sequence;
    let outcome = rig.send(&request).await;
    let postings = rig.reader.postings_of(rig.key(), before + 1, u64::MAX >> 1).await.unwrap();
    let postings = postings.items.iter().map(|recorded| recorded.posting.as_ref());
    judge(&world.take(step), &outcome, postings, &mut Reached::new())
}

/// Every row of the case, as the model has it.
async fn judge_rows(world: &World, rig: &Rig) -> Result<(), String> {
    for customer in 0..CUSTOMERS.len() {
        let stored = rig.reader.customer(key(rig, customer)).await.unwrap().unwrap();
        let holds = holds(rig, customer).await;
        let stored = core_state(&stored, holds.iter().map(AsRef::as_ref));
        differ("rows", &state_of(&world.customers[customer]), &stored)?;
    }
    let stored = rig.reader.trial_balance(rig.ledger).await.unwrap();
    let stored: BTreeMap<String, Amount> = stored
        .into_iter()
        .map(|(name, amount)| (name, amount.units().into()))
        .filter(|(_, it)| *it != 0)
        .collect();
    let account = |name: &str| match name {
        "sales" => "sales:web".to_owned(),
        name => name.to_owned(),
    };
    let credits = world.accounts.iter().map(|(name, amount)| (account(name), *amount));
    let money =
        world.money.0.iter().map(|((currency, name), amount)| (format!("money:{currency}:{name}"), *amount));
    let model: BTreeMap<String, Amount> = credits.chain(money).filter(|(_, amount)| *amount != 0).collect();
    differ("trial balance", &model, &stored)
}

/// Runs so many sequences, and then verifies the whole database.
async fn run(mut rig: Rig, cases: u64) {
    let seed = number("CREDITLEDGER_TEST_SEED").unwrap_or(20_261_128);
    let cases = cases * number("CREDITLEDGER_TEST_TIMES").unwrap_or(1);
    let mut now = START_SECONDS;
    for case in 0..cases {
        start_case(&mut rig, &format!("case-{case}")).await;
        // The stamps of an engine never go back.
        now = now.max(rig.now.micros() / 1_000_000) + 10;
        let mut world = World::new(now, CUSTOMERS.len());
        let steps = sequence(seed.wrapping_add(case * 1_000_003), now);
        for (taken, step) in steps.iter().enumerate() {
            if let Err(difference) = one(&mut world, &mut rig, step).await {
                let steps: Vec<String> = steps[..=taken].iter().map(|step| format!("    {step:?}")).collect();
                panic!("seed {seed}, case {case}: {difference}\n{}", steps.join("\n"));
            }
        }
        judge_rows(&world, &rig).await.unwrap_or_else(|how| panic!("seed {seed}, case {case}: {how}"));
        now = world.now;
        rig.now = time(now);
    }
    rig.writer.close().await.unwrap();
    let audit: &dyn AuditStore = &*rig.audit;
    let report = creditledger::audit::verify(audit, |_| {}).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new(), "seed {seed}");
}

#[test]
fn memory_does_what_the_model_says() {
    Runtime::new().unwrap().block_on(run(Rig::memory(), 60));
}

#[test]
fn sqlite_does_what_the_model_says() {
    Runtime::new().unwrap().block_on(async { run(Rig::sqlite().await, 30).await });
}

#[test]
fn postgres_does_what_the_model_says() {
    if crate::postgres::available() {
        Runtime::new()
            .unwrap()
            .block_on(async { run(Rig::postgres(Isolation::ReadCommitted).await, 15).await });
    }
}
