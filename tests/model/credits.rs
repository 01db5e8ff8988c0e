//! Accounts, lots and debts: what a customer has, what burns first, and what follows at the end of each posting.

use std::collections::BTreeMap;

use crate::holds::Hold;
use crate::money::{BREAKAGE, DEFERRED, EARNED, Moves, Price};

/// Ten-thousandths of a credit, or the smallest units of a currency.
pub type Amount = i128;

/// `over / under`, rounded half up; both at least 0.
pub fn half_up(over: Amount, under: Amount) -> Amount {
    if under == 0 { 0 } else { (2 * over + under) / (2 * under) }
}

/// Why a command is rejected, with the values that are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub reason: &'static str,
    pub values: Vec<Amount>,
    /// What is missing, where that is why.
    pub missing: Option<Amount>,
}

impl Refusal {
    pub const fn new(reason: &'static str) -> Self {
        Self { reason, values: Vec::new(), missing: None }
    }

    pub fn with(reason: &'static str, values: &[Amount]) -> Self {
        Self { values: values.to_vec(), ..Self::new(reason) }
    }
}

/// A refund or a chargeback of a lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refund {
    pub state: &'static str,
    pub taken: Amount,
    pub expired: Amount,
    pub adjusted: Amount,
    pub owed: Amount,
    pub written_off: Amount,
    /// What of the write-off a reversal of the work has undone.
    pub undone: Amount,
    /// What of the debt one has undone.
    pub undone_owed: Amount,
    /// The money that those credits burned with, and that did not come back.
    pub undone_money: Amount,
    pub money: Amount,
    pub from_deferred: Amount,
    /// The money of what had expired, and of what was adjusted away.
    pub from_breakage: [Amount; 2],
    pub stands: bool,
    /// Its place among the customer's commands.
    pub place: u64,
}

impl Refund {
    pub fn credits(&self) -> Amount {
        self.taken + self.expired + self.adjusted + self.owed + self.written_off
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lot {
    /// Its storefront's order; empty for what was not bought.
    pub order: String,
    pub is_grant: bool,
    pub bought: Amount,
    pub price: Option<Price>,
    pub expires: Option<i64>,
    pub left: Amount,
    /// What is left of the price.
    pub money: Amount,
    pub disputed: bool,
    /// What expired and was not given back, and its money.
    pub expired: Amount,
    pub expired_money: Amount,
    /// The same of what was adjusted away.
    pub adjusted: Amount,
    pub adjusted_money: Amount,
    pub refunds: Vec<Refund>,
}

impl Lot {
    /// What of its price is neither in it nor in its breakage.
    pub fn room(&self) -> Amount {
        let price = self.price.map_or(0, |price| price.minor);
        (price - self.money - self.expired_money - self.adjusted_money).max(0)
    }
}

/// What burned: which lot, how much, what of the price, and what came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Burned {
    pub lot: usize,
    pub credits: Amount,
    pub money: Amount,
    pub returned: Amount,
    pub returned_money: Amount,
}

#[derive(Clone, Debug, Default)]
pub struct Customer {
    pub available: Amount,
    pub held: Amount,
    pub owed: Amount,
    /// In the order in which they came.
    pub lots: Vec<Lot>,
    /// In the order in which they were made, charges without a hold included.
    pub holds: Vec<Hold>,
    pub closed: bool,
    pub card: Option<&'static str>,
    pub package: Option<&'static str>,
    pub product_day: Option<i64>,
    /// The last amount told as missing, by incident.
    pub missing: BTreeMap<u8, Amount>,
    pub alerts: Vec<Threshold>,
    pub is_low: bool,
    /// Thresholds that were told and are not armed again, with their levels.
    pub told: Vec<(Threshold, Amount)>,
    pub last_purchase: Amount,
    /// Counts what was parked, and commands.
    pub parked: u64,
    pub commands: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Threshold {
    Credits(Amount),
    Percent(Amount),
}

/// What one posting does.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Posted {
    pub kind: &'static str,
    /// By debit and credit.
    pub credits: BTreeMap<(&'static str, &'static str), Amount>,
    /// By currency and account: credits less debits.
    pub money: Moves,
    pub events: Vec<String>,
    /// Credits that came in, by lot and with their money: they pay debts.
    pub incoming: Vec<(usize, Amount, Amount)>,
    /// States that are rare, for the count of what was reached.
    pub notes: Vec<&'static str>,
}

impl Customer {
    pub fn in_burn_order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.lots.len()).filter(|lot| self.lots[*lot].left > 0).collect();
        order.sort_by_key(|index| {
            let lot = &self.lots[*index];
            (!lot.disputed, lot.expires.is_none(), lot.expires, !lot.is_grant, *index)
        });
        order
    }

    /// Takes credits off a lot, with their share of what is left of its price.
    pub fn take(&mut self, lot: usize, credits: Amount) -> Amount {
        let lot = &mut self.lots[lot];
        let money = half_up(lot.money * credits, lot.left);
        lot.left -= credits;
        lot.money -= money;
        money
    }

    /// Burns credits in burn order. Their money goes from deferred to `to`.
    pub fn burn(&mut self, posted: &mut Posted, credits: Amount, to: &'static str) -> Vec<Burned> {
        let (mut rest, mut burned) = (credits, Vec::new());
        for lot in self.in_burn_order() {
            let part = rest.min(self.lots[lot].left);
            if part > 0 {
                let money = self.take(lot, part);
                posted.money.shift(self.lots[lot].price, DEFERRED, to, money);
                burned.push(Burned { lot, credits: part, money, returned: 0, returned_money: 0 });
                rest -= part;
            }
        }
        assert_eq!(rest, 0, "lots are available and held together");
        burned
    }

    /// Moves credits between the customer's accounts and others.
    pub fn shift(&mut self, posted: &mut Posted, debit: &'static str, credit: &'static str, credits: Amount) {
        assert!(credits >= 0, "{debit} > {credit} {credits}");
        for (account, by) in [(debit, -credits), (credit, credits)] {
            match account {
                "available" => self.available += by,
                "held" => self.held += by,
                "receivable" => self.owed -= by,
                _ => {}
            }
        }
        if credits > 0 {
            *posted.credits.entry((debit, credit)).or_default() += credits;
        }
    }

    /// Credits that no hold covers, of lots that have expired by `at`.
    fn uncovered(&self, at: i64) -> Vec<(usize, Amount)> {
        let mut cover = self.held;
        let mut uncovered = Vec::new();
        for lot in self.in_burn_order() {
            let left = self.lots[lot].left;
            let covered = cover.min(left);
            cover -= covered;
            let expired = self.lots[lot].expires.is_some_and(|expires| expires <= at);
            if expired && left > covered {
                uncovered.push((lot, left - covered));
            }
        }
        uncovered
    }

    /// The first moment until `now` at which a lot has something to expire.
    pub fn next_expiry(&self, now: i64) -> Option<i64> {
        let moments = self.lots.iter().filter_map(|lot| lot.expires).filter(|expires| *expires <= now);
        moments.filter(|moment| !self.uncovered(*moment).is_empty()).min()
    }

    /// What follows at the end of each posting: debts are paid from what came in, what expired goes, and parked holds
    /// are activated.
    pub fn finish(&mut self, posted: &mut Posted, at: i64) {
        let incoming = std::mem::take(&mut posted.incoming);
        let is_expired = |lot: &Lot| lot.expires.is_some_and(|expires| expires <= at);
        let mut debt = incoming.iter().map(|(_, credits, _)| credits).sum::<Amount>().min(self.owed);
        posted.notes.extend((debt > 0).then_some("a debt paid"));
        self.shift(posted, "available", "receivable", debt);
        // What went back into an expired lot pays first. What is left of it goes at once, whatever holds cover. Both
        // take the money along with which they came.
        for (lot, credits, money) in incoming {
            if is_expired(&self.lots[lot]) {
                let paid = credits.min(debt);
                let earned = half_up(money * paid, credits);
                let it = &mut self.lots[lot];
                it.left -= paid;
                it.money -= earned;
                posted.money.shift(it.price, DEFERRED, EARNED, earned);
                posted.notes.extend((paid > 0).then_some("an expired lot pays a debt"));
                debt -= paid;
                self.lots[lot].left -= credits - paid;
                self.lots[lot].money -= money - earned;
                self.expired(posted, lot, credits - paid, money - earned);
            }
        }
        self.burn(posted, debt, EARNED);
        self.expire(posted, at);
        self.activate(posted, at);
        for lot in &self.lots {
            assert!(lot.money <= lot.price.map_or(0, |price| price.minor), "a lot holds more than its price");
        }
    }

    /// Notes what has left a lot as expired.
    fn expired(&mut self, posted: &mut Posted, lot: usize, credits: Amount, money: Amount) {
        posted.money.shift(self.lots[lot].price, DEFERRED, BREAKAGE, money);
        self.lots[lot].expired += credits;
        self.lots[lot].expired_money += money;
        self.shift(posted, "available", "expired", credits);
    }

    fn expire(&mut self, posted: &mut Posted, at: i64) {
        for (lot, credits) in self.uncovered(at) {
            let money = self.take(lot, credits);
            self.expired(posted, lot, credits, money);
        }
        if let Some(total) = posted.credits.get(&("available", "expired")) {
            posted.events.push(format!("credits.expired {total}"));
        }
    }
}
