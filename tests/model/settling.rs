//! How work is charged, and how a charge is given back.

use crate::credits::{Amount, Burned, Customer, Posted, Refusal, half_up};
use crate::holds::{About, At, Hold};
use crate::money::{DEFERRED, EARNED};
use crate::pricing::Entry;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    pub charge: Amount,
    pub paid: Amount,
    pub written_off: Amount,
    pub burned: Vec<Burned>,
    pub reversed: Amount,
    pub write_off_reversed: Amount,
    /// False for time that was free or waived.
    pub billable: bool,
    /// Its place among the customer's commands.
    pub place: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settle {
    pub capped: bool,
    pub max: Option<Amount>,
    /// The seconds that the caller has seen.
    pub expected: Option<i64>,
    pub waived: bool,
    pub labels: Vec<&'static str>,
    pub emergency: Option<bool>,
    pub known: Option<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Charge {
    pub incident: u8,
    pub about: About,
    pub entry: Entry,
    pub max: Option<Amount>,
    pub waived: bool,
    /// What the caller thinks that the incident has cost so far.
    pub expected: Option<Amount>,
}

impl Settlement {
    fn is_given_back(&self) -> bool {
        self.reversed == self.paid && (self.paid > 0 || self.write_off_reversed > 0)
    }
}

impl Customer {
    /// The billable time of an incident that was decided before, hold by hold.
    pub fn billable_before(&self, incident: u8) -> Vec<Vec<Entry>> {
        let settled = self.holds.iter().filter(|hold| hold.incident == incident);
        let counts = |hold: &&Hold| {
            hold.settlement.as_ref().is_some_and(|settled| settled.billable && !settled.is_given_back())
        };
        settled.filter(counts).map(|hold| hold.counted().cloned().collect()).collect()
    }

    /// What an incident has cost so far.
    pub fn cost(&self, incident: u8) -> Amount {
        let settled = self.holds.iter().filter(|hold| hold.incident == incident);
        let standing = |it: &Settlement| it.charge - it.reversed - it.write_off_reversed;
        settled.filter_map(|hold| hold.settlement.as_ref()).map(standing).sum()
    }

    fn reopening(&self, incident: u8) -> Option<&'static str> {
        let settled = self.holds.iter().filter(|hold| hold.incident == incident);
        let mut settled = settled.filter_map(|hold| hold.settlement.as_ref());
        settled.next().map(|first| match first {
            first if first.is_given_back() => "reopened after given back",
            first if first.billable => "reopened after charged",
            _ => "reopened after free or waived",
        })
    }

    /// What the recorded work costs now; `None` where the card cannot say.
    pub fn charge_so_far(&self, at: At<'_>, hold: usize) -> Option<Amount> {
        let it = &self.holds[hold];
        let job = self.job(&it.about, it.quoted.then_some(it.estimate));
        let charge = at.card(it.card).charge(&job, &self.billable_before(it.incident), &it.entries);
        charge.ok().map(|(credits, _)| credits)
    }

    pub fn settle(&mut self, at: At<'_>, incident: u8, how: &Settle) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "SETTLE_HOLD", ..Posted::default() };
        let hold = self.active(incident)?;
        self.settle_active(at, &mut posted, hold, how)?;
        Ok(posted)
    }

    fn settle_active(
        &mut self,
        at: At<'_>,
        posted: &mut Posted,
        hold: usize,
        how: &Settle,
    ) -> Result<(), Refusal> {
        let it = self.holds[hold].clone();
        let recorded: i64 = it.counted().map(|entry| entry.seconds).sum();
        if how.expected.is_some_and(|expected| expected != recorded) {
            return Err(Refusal::new("WORK_CHANGED"));
        }
        let mut job = self.job(&it.about, it.quoted.then_some(it.estimate));
        job.labels.extend(&how.labels);
        job.emergency = how.emergency.unwrap_or(job.emergency);
        job.known = how.known.unwrap_or(job.known);
        job.waived = how.waived;
        let before = self.billable_before(it.incident);
        let (charge, billable) = at.card(it.card).charge(&job, &before, &it.entries)?;
        let over = (charge - it.held).max(0);
        let written_off = if how.capped { over } else { 0 };
        let paid = charge - written_off;
        exceeds(how.max, paid)?;
        self.must_have(over - written_off)?;
        posted.notes.extend(self.reopening(it.incident));
        let rise = it.pending.as_ref().is_some_and(|pending| pending.parked.is_some());
        posted.notes.extend(rise.then_some("a hold with a parked rise ended"));
        let burned = self.burn(posted, paid, EARNED);
        self.shift(posted, "held", "revenue", paid.min(it.held));
        self.shift(posted, "held", "available", it.held - paid.min(it.held));
        self.shift(posted, "available", "revenue", paid - paid.min(it.held));
        self.shift(posted, "write_offs", "revenue", written_off);
        let ended = &mut self.holds[hold];
        ended.end("SETTLED");
        ended.settlement = Some(Settlement {
            charge,
            paid,
            written_off,
            burned,
            reversed: 0,
            write_off_reversed: 0,
            billable,
            place: self.commands,
        });
        self.missing.remove(&it.incident);
        posted.events.push(format!("settlement.completed {} {charge}", it.incident));
        Ok(())
    }

    /// The customer's own way to end an incident.
    pub fn close(&mut self, at: At<'_>, incident: u8, how: &Settle) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "CLOSE_INCIDENT", ..Posted::default() };
        let hold = self.hold(incident)?;
        let it = &self.holds[hold];
        let recorded: i64 = it.counted().map(|entry| entry.seconds).sum();
        if it.is_open() && how.expected.is_some_and(|expected| expected != recorded) {
            return Err(Refusal::new("WORK_CHANGED"));
        }
        match it.state {
            "QUOTED" => self.let_go(&mut posted, hold, "DECLINED", "hold.declined"),
            "AWAITING_CREDITS" => self.let_go(&mut posted, hold, "RELEASED", "hold.released"),
            "ACTIVE" if it.counted().next().is_none() => {
                self.let_go(&mut posted, hold, "RELEASED", "hold.released");
            }
            "ACTIVE" => self.settle_active(at, &mut posted, hold, how)?,
            _ => return Err(Refusal::new("HOLD_NOT_ACTIVE")),
        }
        Ok(posted)
    }

    /// Charges an incident without a hold.
    pub fn charge(&mut self, at: At<'_>, asked: &Charge) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "CHARGE_INCIDENT", ..Posted::default() };
        self.must_be_open()?;
        if self.open_hold(asked.incident).is_some() {
            return Err(Refusal::new("HOLD_EXISTS"));
        }
        let cost = self.cost(asked.incident);
        if let Some(expected) = asked.expected.filter(|expected| *expected != cost) {
            return Err(Refusal::with("CHARGE_CHANGED", &[expected, cost]));
        }
        let card = at.card(self.card.unwrap_or("prepaid"));
        let mut job = self.job(&asked.about, None);
        job.waived = asked.waived;
        // What costs nothing is no charge.
        if card.hold_only && !card.is_free(&job) && !job.waived {
            return Err(Refusal::new("HOLD_REQUIRED"));
        }
        let before = self.billable_before(asked.incident);
        let (charge, billable) = card.charge(&job, &before, std::slice::from_ref(&asked.entry))?;
        exceeds(asked.max, charge)?;
        self.must_have(charge)?;
        posted.notes.extend(self.reopening(asked.incident));
        let burned = self.burn(&mut posted, charge, EARNED);
        self.shift(&mut posted, "available", "revenue", charge);
        let settlement = Settlement {
            charge,
            paid: charge,
            written_off: 0,
            burned,
            reversed: 0,
            write_off_reversed: 0,
            billable,
            place: self.commands,
        };
        self.holds.push(Hold {
            incident: asked.incident,
            state: "SETTLED",
            card: card.name,
            about: asked.about.clone(),
            estimate: 0,
            held: 0,
            quoted: false,
            valid_until: None,
            expires: None,
            parked: None,
            pending: None,
            entries: vec![asked.entry.clone()],
            settlement: Some(settlement),
        });
        self.missing.remove(&asked.incident);
        posted.events.push(format!("settlement.completed {} {charge}", asked.incident));
        Ok(posted)
    }

    /// Charges for changed terms.
    pub fn charge_terms(&mut self, credits: Amount) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "SET_CUSTOMER_TERMS", ..Posted::default() };
        self.must_have(credits)?;
        self.burn(&mut posted, credits, EARNED);
        self.shift(&mut posted, "available", "revenue", credits);
        Ok(posted)
    }

    pub fn reverse(&mut self, now: i64, incident: u8, credits: Option<Amount>) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "REVERSE_SETTLEMENT", ..Posted::default() };
        let newest = self.hold(incident)?;
        let left = |hold: &Hold| hold.settlement.as_ref().map(|it| it.paid - it.reversed);
        let borne =
            |hold: &Hold| hold.settlement.as_ref().map_or(0, |it| it.written_off - it.write_off_reversed);
        let gives = |hold: &Hold| left(hold).is_some_and(|left| left > 0) || borne(hold) > 0;
        let of_incident = |hold: &Hold| hold.incident == incident;
        let found = self.holds.iter().rposition(|hold| of_incident(hold) && gives(hold));
        let settled = self.holds.iter().rposition(|hold| of_incident(hold) && hold.settlement.is_some());
        let hold = found.or(settled).unwrap_or(newest);
        let Some(reversible) = left(&self.holds[hold]) else { return Err(Refusal::new("HOLD_NOT_SETTLED")) };
        let credits = credits.unwrap_or(reversible);
        // What the vendor bore alone is undone where no amount is named.
        if credits > reversible || (credits == 0 && borne(&self.holds[hold]) == 0) {
            return Err(Refusal::with("EXCEEDS_REVERSIBLE", &[reversible]));
        }
        let mut settled = self.holds[hold].settlement.clone().unwrap();
        let (mut rest, mut undone) = (credits, 0);
        for burned in settled.burned.iter_mut().rev() {
            let part = rest.min(burned.credits - burned.returned);
            if part > 0 {
                undone += self.return_burned(&mut posted, burned, part, (settled.place, now));
                rest -= part;
            }
        }
        posted.notes.extend((undone > 0).then_some("a refund's write-off undone"));
        settled.reversed += credits;
        let write_off = if settled.reversed == settled.paid {
            settled.written_off - settled.write_off_reversed
        } else {
            0
        };
        settled.write_off_reversed += write_off;
        posted.notes.extend((write_off > 0).then_some("a settlement's write-off undone"));
        self.shift(&mut posted, "revenue", "write_offs", undone + write_off);
        self.holds[hold].settlement = Some(settled);
        posted.events.push(format!("settlement.reversed {incident} {}", credits - undone));
        Ok(posted)
    }

    /// Gives burned credits back to their lot. First they undo the write-off, then the debt, of refunds that gave their
    /// money back since. How many undid a write-off.
    fn return_burned(
        &mut self,
        posted: &mut Posted,
        burned: &mut Burned,
        credits: Amount,
        (place, now): (u64, i64),
    ) -> Amount {
        let whole = half_up(burned.money * (burned.returned + credits), burned.credits);
        let (mut rest, mut money) = (credits, whole - burned.returned_money);
        burned.returned += credits;
        burned.returned_money = whole;
        let (mut undone, mut debt, owed) = (0, 0, self.owed);
        let lot = &mut self.lots[burned.lot];
        for refund in lot.refunds.iter_mut().filter(|refund| refund.stands && refund.place > place) {
            let borne = rest.min(refund.written_off - refund.undone);
            let repaid = (rest - borne).min(refund.owed - refund.undone_owed).min(owed - debt);
            // The money of both went back with the refund.
            for (part, is_debt) in [(borne, false), (repaid, true)] {
                let share = half_up(money * part, rest);
                rest -= part;
                money -= share;
                refund.undone_money += share;
                *if is_debt { &mut refund.undone_owed } else { &mut refund.undone } += part;
            }
            undone += borne;
            debt += repaid;
        }
        posted.notes.extend((money > lot.room()).then_some("a lot full of its price"));
        money = money.min(lot.room());
        if lot.expires.is_some_and(|expires| expires <= now) && rest > 0 {
            // They pay the debt that still stands; their money stays earned.
            let paid = rest.min(owed - debt);
            money -= half_up(money * paid, rest);
            rest -= paid;
            debt += paid;
            posted.notes.extend((paid > 0).then_some("an expired lot pays a debt"));
        }
        lot.left += rest;
        lot.money += money;
        posted.money.shift(lot.price, EARNED, DEFERRED, money);
        posted.incoming.push((burned.lot, rest, money));
        self.shift(posted, "revenue", "available", rest + debt);
        self.shift(posted, "available", "receivable", debt);
        posted.notes.extend((debt > 0).then_some("a refund's debt undone"));
        undone
    }
}

fn exceeds(max: Option<Amount>, paid: Amount) -> Result<(), Refusal> {
    match max {
        Some(max) if paid > max => Err(Refusal::with("EXCEEDS_MAX_CHARGE", &[paid, max])),
        _ => Ok(()),
    }
}
