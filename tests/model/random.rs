//! Random sequences of commands: few customers, incidents and orders, so that they meet often.

use crate::credits::{Amount, Customer, Lot, Refund, Threshold};
use crate::holds::{About, Estimate, Hold, Pending, Quote};
use crate::money::Price;
use crate::pricing::Entry;
use crate::refunds::Policy;
use crate::settling::{Charge, Settle};

/// A command. Moments in it are seconds from its own: after it, or for starts and openings before it.
#[derive(Clone, Debug, PartialEq)]
pub enum Do {
    Purchase {
        order: String,
        credits: Amount,
        price: Option<Price>,
        expires: Option<i64>,
    },
    Refund {
        order: String,
        credits: Amount,
        money: Option<Amount>,
        policy: Policy,
    },
    ReverseRefund {
        order: String,
        nth: usize,
    },
    ChargeBack {
        order: String,
        credits: Option<Amount>,
    },
    Resolve {
        order: String,
        won: bool,
    },
    Grant {
        credits: Amount,
        expires: Option<i64>,
    },
    Adjust {
        credits: Amount,
    },
    Estimate(Estimate),
    Place(Estimate, bool),
    Confirm {
        incident: u8,
        park: bool,
    },
    Decline {
        incident: u8,
    },
    Extend {
        incident: u8,
        credits: Amount,
    },
    Work {
        incident: u8,
        entry: Entry,
    },
    Void {
        incident: u8,
        nth: usize,
    },
    Settle {
        incident: u8,
        how: Settle,
    },
    Close {
        incident: u8,
        how: Settle,
    },
    Release {
        incident: u8,
        waived: bool,
    },
    Charge(Charge),
    Reverse {
        incident: u8,
        credits: Option<Amount>,
    },
    Terms {
        card: Option<&'static str>,
        package: Option<&'static str>,
        product_days_ago: Option<i64>,
        credits: Amount,
    },
    Alerts(Vec<Threshold>),
    CloseCustomer,
    ReopenCustomer,
    ApplyDue,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub customer: usize,
    /// Seconds since the step before.
    pub wait: i64,
    pub what: Do,
    /// Sent again at once, under the same request id.
    pub again: bool,
}

impl Do {
    /// The incident for which credits may be missing.
    pub fn incident(&self) -> Option<u8> {
        match self {
            Self::Estimate(asked) | Self::Place(asked, _) => Some(asked.incident),
            Self::Charge(asked) => Some(asked.incident),
            Self::Confirm { incident, .. }
            | Self::Decline { incident }
            | Self::Extend { incident, .. }
            | Self::Work { incident, .. }
            | Self::Void { incident, .. }
            | Self::Settle { incident, .. }
            | Self::Close { incident, .. }
            | Self::Release { incident, .. }
            | Self::Reverse { incident, .. } => Some(*incident),
            _ => None,
        }
    }

    fn needs_hold(&self) -> bool {
        self.incident().is_some()
            && !matches!(self, Self::Estimate(_) | Self::Place(..) | Self::Charge(_) | Self::Reverse { .. })
    }

    /// The order of which something is given back.
    pub fn order(&self) -> Option<&str> {
        match self {
            Self::Refund { order, .. }
            | Self::ReverseRefund { order, .. }
            | Self::ChargeBack { order, .. }
            | Self::Resolve { order, .. } => Some(order),
            _ => None,
        }
    }
}

impl Estimate {
    /// With moments instead of seconds from `now`.
    pub fn at(&self, now: i64) -> Self {
        let about = About { opened_day: day(now, self.about.opened_day), ..self.about.clone() };
        Self { expires: self.expires.map(|after| now + after), about, ..self.clone() }
    }
}

/// The day so many days ago.
pub fn day(now: i64, ago: i64) -> i64 {
    now.div_euclid(86_400) - ago
}

/// A generator of numbers that is the same everywhere (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.below(many) == 0
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[usize::try_from(self.below(all.len() as u64)).unwrap()].clone()
    }

    fn between(&mut self, from: i64, to: i64) -> i64 {
        from + i64::try_from(self.below(u64::try_from(to - from).unwrap() + 1)).unwrap()
    }

    /// Mostly quarters of a credit, sometimes odd.
    fn credits(&mut self, quarters: i64) -> Amount {
        let odd = if self.one_in(5) { self.between(0, 2_499) } else { 0 };
        Amount::from(self.between(1, quarters) * 2_500 - odd)
    }

    fn days(&mut self) -> i64 {
        // An odd second, so that no two things fall due at one moment.
        self.between(1, 30) * 86_400 + self.between(1, 40_000)
    }

    fn maybe<T>(&mut self, one_in: u64, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(one_in).then(|| make(self))
    }
}

pub const INCIDENTS: u64 = 4;
const ORDERS: u64 = 14;

/// A sequence of steps. The states of `seen`, which takes the same steps, make it likely that a step fits.
pub struct Sequence<'a> {
    pub dice: &'a mut Dice,
    pub seen: &'a [Customer],
}

impl Sequence<'_> {
    pub fn step(&mut self) -> Step {
        let customer = usize::try_from(self.dice.below(self.seen.len() as u64)).unwrap();
        let wait = match self.dice.below(20) {
            0 => self.dice.between(1, 16) * 86_400 + self.dice.between(1, 999),
            1..=3 => self.dice.between(1, 200_000),
            _ => self.dice.between(1, 4_000),
        };
        let mut what = self.what(customer);
        // Most often something that can be done: first credits, then holds.
        let it = &self.seen[customer];
        if it.closed && self.dice.one_in(2) {
            what = Do::ReopenCustomer;
        } else if it.available == 0 && !self.dice.one_in(4) {
            what = self.purchase();
        } else if what.needs_hold() && !it.holds.iter().any(Hold::is_open) && !self.dice.one_in(4) {
            let incident = self.incident(customer, |_| false);
            what = Do::Place(self.estimate(incident), self.dice.one_in(2));
        }
        Step { customer, wait, what, again: self.dice.one_in(10) }
    }

    /// An incident, most often one with a hold that fits.
    fn incident(&mut self, customer: usize, fits: impl Fn(&Hold) -> bool) -> u8 {
        let holds = &self.seen[customer].holds;
        let fitting: Vec<u8> = holds.iter().filter(|hold| fits(hold)).map(|hold| hold.incident).collect();
        if fitting.is_empty() || self.dice.one_in(10) {
            u8::try_from(self.dice.below(INCIDENTS)).unwrap()
        } else {
            self.dice.of(&fitting)
        }
    }

    /// An order, most often one whose lot fits.
    fn order(&mut self, customer: usize, fits: impl Fn(&Lot) -> bool) -> String {
        let bought = self.seen[customer].lots.iter().filter(|lot| !lot.order.is_empty());
        let fitting: Vec<String> = bought.filter(|lot| fits(lot)).map(|lot| lot.order.clone()).collect();
        if fitting.is_empty() || self.dice.one_in(10) {
            format!("o{}", self.dice.below(ORDERS))
        } else {
            self.dice.of(&fitting)
        }
    }

    fn about(&mut self) -> About {
        let class = self.dice.maybe(2, |dice| {
            dice.of(&["sales", "other", "price-plans", "own-price", "plan-change", "teaching", "dear"])
        });
        About {
            class,
            opened_day: self.dice.maybe(4, |dice| dice.between(0, 40)).unwrap_or(0),
            labels: self.dice.maybe(4, |dice| dice.of(&["night", "rush", "vip"])).into_iter().collect(),
            emergency: self.dice.one_in(8),
            known: self.dice.one_in(8),
        }
    }

    fn entry(&mut self) -> Entry {
        let dice = &mut *self.dice;
        Entry {
            seconds: if dice.one_in(12) { 0 } else { dice.between(1, 9_000) },
            start: dice.maybe(2, |dice| dice.between(0, 20_000)),
            line: dice.maybe(3, |dice| dice.of(&["first", "second", "administrators"])),
            solutions: dice.between(0, 2),
            labels: dice.maybe(8, |dice| dice.of(&["night", "rush"])).into_iter().collect(),
            voided: false,
        }
    }

    fn estimate(&mut self, incident: u8) -> Estimate {
        let quote = match self.dice.below(5) {
            0 => Quote::Class,
            1 => Quote::Credits(self.dice.credits(24) - 1),
            2 => Quote::Credits(self.dice.credits(80)),
            _ => Quote::Seconds(self.dice.between(0, 12_000)),
        };
        let expires = self.dice.maybe(5, Dice::days);
        Estimate { incident, quote, about: self.about(), expires, reason: self.dice.one_in(3) }
    }

    fn how(&mut self) -> Settle {
        let dice = &mut *self.dice;
        Settle {
            capped: dice.one_in(3),
            max: dice.maybe(6, |dice| dice.credits(16)),
            expected: dice.maybe(15, |dice| dice.between(0, 9_000)),
            waived: dice.one_in(8),
            labels: dice.maybe(10, |dice| dice.of(&["night", "rush"])).into_iter().collect(),
            emergency: dice.maybe(10, |dice| dice.one_in(2)),
            known: dice.maybe(10, |dice| dice.one_in(2)),
        }
    }

    /// What leads on from a state that is rare, so that rare rules are reached often.
    fn rare(&mut self, customer: usize) -> Option<Do> {
        let it = &self.seen[customer];
        let rises = |hold: &Hold| {
            let pending = hold.pending.as_ref().filter(|pending| pending.parked.is_none());
            pending.is_some_and(|pending| pending.total - hold.held > it.available)
        };
        if self.dice.one_in(2)
            && let Some(hold) = it.holds.iter().find(|hold| rises(hold))
        {
            return Some(Do::Confirm { incident: hold.incident, park: true });
        }
        if let Some(queue) = self.queue(customer) {
            return Some(queue);
        }
        let refunded = |fits: fn(&Refund) -> bool| {
            let fits = move |refund: &Refund| refund.stands && fits(refund);
            let lots = it.lots.iter().filter(|lot| !lot.order.is_empty());
            let found = lots.filter_map(|lot| Some((lot.order.clone(), lot.refunds.iter().position(fits)?)));
            found.reduce(|_, last| last)
        };
        if self.dice.one_in(3)
            && let Some((order, nth)) = refunded(|refund| refund.undone > 0)
        {
            return Some(Do::ReverseRefund { order, nth });
        }
        if self.dice.one_in(4) && refunded(|refund| refund.written_off > refund.undone).is_some() {
            let credits = self.dice.maybe(2, |dice| dice.credits(8));
            return Some(Do::Reverse {
                incident: self.incident(customer, |hold| hold.state == "SETTLED"),
                credits,
            });
        }
        if it.owed > 0 && !self.dice.one_in(3) {
            let dated =
                |order: &&Lot| order.expires.is_some() && order.refunds.iter().any(|refund| refund.stands);
            if let Some(lot) = it.lots.iter().find(dated).filter(|_| self.dice.one_in(2)) {
                return Some(Do::ReverseRefund { order: lot.order.clone(), nth: 0 });
            }
            return Some(Do::Reverse {
                incident: self.incident(customer, |hold| hold.state == "SETTLED"),
                credits: None,
            });
        }
        None
    }

    /// What makes a queue of parked holds, lets the second fit, and takes the first away.
    fn queue(&mut self, customer: usize) -> Option<Do> {
        let it = &self.seen[customer];
        let mut waiting: Vec<&Hold> = it.holds.iter().filter(|hold| hold.parked.is_some()).collect();
        waiting.sort_by_key(|hold| hold.parked);
        if waiting.is_empty() || it.closed || self.dice.one_in(2) {
            return None;
        }
        let Some(second) = waiting.get(1) else {
            let incident = self.incident(customer, |_| false);
            let quote = Quote::Credits(it.available + self.dice.credits(8));
            let about = About::default();
            return Some(Do::Place(Estimate { incident, quote, about, expires: None, reason: true }, true));
        };
        if second.estimate <= it.available {
            return Some(Do::Decline { incident: waiting[0].incident });
        }
        let missing = second.estimate - it.available;
        (second.estimate < waiting[0].estimate && it.owed == 0).then_some(Do::Adjust { credits: missing })
    }

    fn what(&mut self, customer: usize) -> Do {
        if let Some(rare) = self.rare(customer) {
            return rare;
        }
        match self.dice.below(100) {
            0..=9 => self.purchase(),
            10..=18 => self.given_back(customer),
            19..=20 => Do::Grant { credits: self.dice.credits(40), expires: self.dice.maybe(2, Dice::days) },
            21..=23 => {
                let credits = self.dice.credits(20);
                Do::Adjust { credits: if self.dice.one_in(2) { credits } else { -credits } }
            }
            24..=27 => self.terms(),
            28..=29 => Do::Alerts(self.alerts()),
            30 => Do::CloseCustomer,
            31..=32 => Do::ApplyDue,
            _ => self.about_an_incident(customer),
        }
    }

    fn about_an_incident(&mut self, customer: usize) -> Do {
        let active = |hold: &Hold| hold.state == "ACTIVE";
        let settled = |hold: &Hold| hold.state == "SETTLED";
        match self.dice.below(70) {
            0..=9 => {
                let incident =
                    self.incident(customer, |hold| active(hold) || settled(hold) || hold.state == "QUOTED");
                Do::Estimate(self.estimate(incident))
            }
            10..=19 => {
                let incident = self.incident(customer, settled);
                Do::Place(self.estimate(incident), self.dice.one_in(2))
            }
            20..=26 => {
                let waits = |pending: &Pending| pending.parked.is_none();
                let fits = |hold: &Hold| hold.state == "QUOTED" || hold.pending.as_ref().is_some_and(waits);
                Do::Confirm { incident: self.incident(customer, fits), park: self.dice.one_in(2) }
            }
            27..=29 => {
                let fits = |hold: &Hold| hold.is_open() && (!active(hold) || hold.pending.is_some());
                Do::Decline { incident: self.incident(customer, fits) }
            }
            30..=33 => {
                Do::Extend { incident: self.incident(customer, active), credits: self.dice.credits(12) }
            }
            34..=43 => Do::Work { incident: self.incident(customer, active), entry: self.entry() },
            44..=46 => {
                let incident = self.incident(customer, |hold| active(hold) && !hold.entries.is_empty());
                Do::Void { incident, nth: usize::try_from(self.dice.below(2)).unwrap() }
            }
            47..=54 => Do::Settle { incident: self.incident(customer, active), how: self.how() },
            55..=57 => {
                let Settle { max, expected, .. } = self.how();
                let how = Settle { max, expected, ..Settle::default() };
                Do::Close { incident: self.incident(customer, Hold::is_open), how }
            }
            58..=59 => {
                Do::Release { incident: self.incident(customer, Hold::is_open), waived: self.dice.one_in(2) }
            }
            60..=63 => {
                let (entry, about) = (self.entry(), self.about());
                let Settle { max, waived, .. } = self.how();
                let incident = self.incident(customer, settled);
                let cost = self.seen[customer].cost(incident);
                let expected = self.dice.maybe(4, |dice| if dice.one_in(3) { dice.credits(8) } else { cost });
                Do::Charge(Charge { incident, about, entry, max, waived, expected })
            }
            _ => {
                let credits = self.dice.maybe(2, |dice| dice.credits(8));
                Do::Reverse { incident: self.incident(customer, settled), credits }
            }
        }
    }

    fn purchase(&mut self) -> Do {
        let dice = &mut *self.dice;
        let number = dice.below(ORDERS);
        let currency = if number.is_multiple_of(2) { "EUR" } else { "JPY" };
        let price = (!dice.one_in(5)).then(|| Price { currency, minor: dice.between(0, 3_000).into() });
        let (credits, expires) = (dice.credits(64), dice.maybe(3, Dice::days));
        Do::Purchase { order: format!("o{number}"), credits, price, expires }
    }

    fn given_back(&mut self, customer: usize) -> Do {
        match self.dice.below(8) {
            0..=2 => {
                let order = self.order(customer, |_| true);
                let dice = &mut *self.dice;
                Do::Refund {
                    order,
                    credits: dice.credits(40),
                    money: dice.maybe(4, |dice| dice.between(0, 1_500).into()),
                    policy: dice.of(&[Policy::Reject, Policy::Owe, Policy::WriteOff, Policy::WriteOff]),
                }
            }
            3..=4 => {
                let order = self.order(customer, |lot| !lot.refunds.is_empty());
                Do::ReverseRefund { order, nth: usize::try_from(self.dice.below(2)).unwrap() }
            }
            5 => {
                let order = self.order(customer, |lot| lot.left < lot.bought);
                Do::ChargeBack { order, credits: self.dice.maybe(2, |dice| dice.credits(24)) }
            }
            _ => Do::Resolve { order: self.order(customer, |lot| lot.disputed), won: self.dice.one_in(2) },
        }
    }

    fn terms(&mut self) -> Do {
        let dice = &mut *self.dice;
        let cards = ["prepaid", "half-hour", "flat-then-quoted", "three-lines", "own"];
        Do::Terms {
            card: dice.maybe(2, |dice| dice.of(&cards)),
            package: dice.maybe(3, |dice| dice.of(&["gold", "none"])),
            product_days_ago: dice.maybe(4, |dice| dice.between(0, 60)),
            credits: if dice.one_in(2) { 0 } else { dice.credits(8) },
        }
    }

    fn alerts(&mut self) -> Vec<Threshold> {
        let dice = &mut *self.dice;
        let mut alerts = Vec::new();
        alerts.extend(dice.maybe(2, |dice| Threshold::Credits(dice.credits(20))));
        alerts.extend(dice.maybe(2, |dice| Threshold::Percent(dice.between(1, 100).into())));
        alerts
    }
}
