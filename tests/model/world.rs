//! The whole model: customers, orders and the system's accounts, and what one command does to them.

use std::collections::BTreeMap;

use crate::credits::{Amount, Customer, Posted, Refusal};
use crate::holds::At;
use crate::money::Moves;
use crate::pricing::{Card, cards};
use crate::random::{Do, Step};

pub struct World {
    pub now: i64,
    pub cards: Vec<Card>,
    pub customers: Vec<Customer>,
    /// Order, with its customer and lot.
    pub orders: BTreeMap<String, (usize, usize)>,
    /// The system's accounts, in credits.
    pub accounts: BTreeMap<&'static str, Amount>,
    pub money: Moves,
}

/// What is told: the kind of the answer's posting, or why not.
pub type Told = Result<&'static str, Refusal>;

impl World {
    pub fn new(now: i64, customers: usize) -> Self {
        let customers = vec![Customer::default(); customers];
        let (orders, accounts) = (BTreeMap::new(), BTreeMap::new());
        Self { now, cards: cards(), customers, orders, accounts, money: Moves::default() }
    }

    /// Takes a step: what is told, and all postings.
    pub fn take(&mut self, step: &Step) -> (Told, Vec<(Posted, [Amount; 3])>) {
        let mut postings = self.apply_due(step.customer);
        if let Some(told) = self.repeated_order(step) {
            return (told, postings);
        }
        if step.what == Do::ApplyDue {
            let told = postings.last().map(|(posted, _)| posted.kind).ok_or(Refusal::new("INTERNAL"));
            return (told, postings);
        }
        self.customers[step.customer].commands += 1;
        let before = self.customers[step.customer].clone();
        match self.decide(step) {
            Ok(posted) => {
                let kind = posted.kind;
                postings.push(self.post(step.customer, &before, posted, self.now));
                (Ok(kind), postings)
            }
            Err(refusal) => {
                // A rejected command moves nothing, and may note what is missing.
                self.customers[step.customer] = before.clone();
                if let (Some(missing), Some(incident)) = (refusal.missing, step.what.incident()) {
                    let mut posted = Posted { kind: "NOTE_SHORTFALL", ..Posted::default() };
                    self.customers[step.customer].tell_missing(&mut posted, incident, missing);
                    if !posted.events.is_empty() {
                        postings.push(self.post(step.customer, &before, posted, self.now));
                    }
                }
                (Err(refusal), postings)
            }
        }
    }

    fn apply_due(&mut self, customer: usize) -> Vec<(Posted, [Amount; 3])> {
        let mut postings = Vec::new();
        loop {
            let before = self.customers[customer].clone();
            let Some((moment, posted)) = self.customers[customer].apply_next_due(self.now) else {
                return postings;
            };
            postings.push(self.post(customer, &before, posted, moment));
        }
    }

    /// Ends a posting, and counts it in the accounts.
    fn post(
        &mut self,
        customer: usize,
        before: &Customer,
        mut posted: Posted,
        at: i64,
    ) -> (Posted, [Amount; 3]) {
        let it = &mut self.customers[customer];
        it.finish(&mut posted, at);
        it.tell_balance(before, &mut posted);
        posted.events.sort();
        for ((debit, credit), credits) in &posted.credits {
            *self.accounts.entry(debit).or_default() -= credits;
            *self.accounts.entry(credit).or_default() += credits;
        }
        self.money.join(&posted.money);
        assert!(it.available >= 0 && it.held >= 0 && it.owed >= 0);
        assert_eq!(it.lots.iter().map(|lot| lot.left).sum::<Amount>(), it.available + it.held);
        assert_eq!(it.holds.iter().map(|hold| hold.held).sum::<Amount>(), it.held);
        (posted, [it.available, it.held, it.owed])
    }

    /// An order that was recorded before is answered from its posting, or refused.
    fn repeated_order(&self, step: &Step) -> Option<Told> {
        let Do::Purchase { order, credits, price, expires } = &step.what else { return None };
        let (customer, lot) = self.orders.get(order)?;
        let lot = &self.customers[*customer].lots[*lot];
        let same = *customer == step.customer
            && (lot.bought, lot.price, lot.expires)
                == (*credits, *price, expires.map(|after| self.now + after));
        Some(if same { Ok("PURCHASE_CREDITS") } else { Err(Refusal::new("ORDER_ALREADY_RECORDED")) })
    }

    fn lot(&self, step: &Step, order: &str) -> Result<usize, Refusal> {
        let found = self.orders.get(order).filter(|(customer, _)| *customer == step.customer);
        found.map(|(_, lot)| *lot).ok_or(Refusal::new("PURCHASE_NOT_FOUND"))
    }

    fn decide(&mut self, step: &Step) -> Result<Posted, Refusal> {
        let lot = step.what.order().map(|order| self.lot(step, order));
        let it = &mut self.customers[step.customer];
        let at = At { now: self.now, cards: &self.cards };
        let later = |after: Option<i64>| after.map(|after| self.now + after);
        match &step.what {
            Do::Purchase { order, credits, price, expires } => {
                let posted = it.purchase(order.clone(), *credits, *price, later(*expires));
                self.orders.insert(order.clone(), (step.customer, it.lots.len() - 1));
                Ok(posted)
            }
            Do::Refund { credits, money, policy, .. } => {
                it.give_back(lot.unwrap()?, Some(*credits), *money, *policy, false)
            }
            Do::ChargeBack { credits, .. } => {
                it.give_back(lot.unwrap()?, *credits, None, crate::refunds::Policy::Owe, true)
            }
            Do::ReverseRefund { nth, .. } => it.reverse_refund(lot.unwrap()?, *nth),
            Do::Resolve { won, .. } => it.resolve(lot.unwrap()?, *won),
            Do::Grant { credits, expires } => it.grant(*credits, later(*expires)),
            Do::Adjust { credits } => it.adjust(*credits),
            Do::Estimate(asked) => it.estimate(at, &asked.at(self.now)),
            Do::Place(asked, park) => it.place(at, &asked.at(self.now), *park),
            Do::Confirm { incident, park } => it.confirm(at, *incident, *park),
            Do::Decline { incident } => it.decline(*incident),
            Do::Extend { incident, credits } => it.extend(*incident, *credits),
            Do::Work { incident, entry } => it.work(at, *incident, started(entry, self.now)),
            Do::Void { incident, nth } => it.void(*incident, *nth),
            Do::Settle { incident, how } => it.settle(at, *incident, how),
            Do::Close { incident, how } => it.close(at, *incident, how),
            Do::Release { incident, waived } => it.release(*incident, *waived),
            Do::Charge(asked) => {
                let mut asked = asked.clone();
                asked.about.opened_day = crate::random::day(self.now, asked.about.opened_day);
                asked.entry = started(&asked.entry, self.now);
                it.charge(at, &asked)
            }
            Do::Reverse { incident, credits } => it.reverse(self.now, *incident, *credits),
            Do::Terms { card, package, product_days_ago, credits } => {
                let posted = it.charge_terms(*credits)?;
                it.card = card.or(it.card);
                it.package = package.or(it.package);
                if let Some(days) = product_days_ago {
                    it.product_day = Some(crate::random::day(self.now, *days));
                }
                Ok(posted)
            }
            Do::Alerts(alerts) => {
                it.alerts.clone_from(alerts);
                Ok(Posted { kind: "SET_BALANCE_ALERTS", ..Posted::default() })
            }
            Do::CloseCustomer => {
                it.must_be_open()?;
                let open = it.holds.iter().filter(|hold| hold.is_open()).count();
                if open > 0 {
                    return Err(Refusal::with("HOLDS_OPEN", &[Amount::try_from(open).unwrap()]));
                }
                it.closed = true;
                Ok(Posted { kind: "CLOSE_CUSTOMER", ..Posted::default() })
            }
            Do::ReopenCustomer if it.closed => {
                it.closed = false;
                Ok(Posted { kind: "REOPEN_CUSTOMER", ..Posted::default() })
            }
            Do::ReopenCustomer => Err(Refusal::new("CUSTOMER_NOT_CLOSED")),
            Do::ApplyDue => unreachable!("taken before"),
        }
    }
}

/// Starts in sequences are seconds before now.
fn started(entry: &crate::pricing::Entry, now: i64) -> crate::pricing::Entry {
    crate::pricing::Entry { start: entry.start.map(|ago| now - ago), ..entry.clone() }
}
