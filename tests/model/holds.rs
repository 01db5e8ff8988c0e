//! The life of a hold: estimates, confirmation, parking, extension, work, release, and what falls due.

use crate::credits::{Amount, Customer, Posted, Refusal};
use crate::pricing::{Card, Class, Entry, Job, QUOTE_DAYS};
use crate::settling::Settlement;

pub const DAY: i64 = 86_400;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub total: Amount,
    pub valid_until: i64,
    /// Its place in the queue.
    pub parked: Option<u64>,
    pub quoted: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    pub incident: u8,
    pub state: &'static str,
    pub card: &'static str,
    pub about: About,
    pub estimate: Amount,
    pub held: Amount,
    pub quoted: bool,
    pub valid_until: Option<i64>,
    pub expires: Option<i64>,
    pub parked: Option<u64>,
    pub pending: Option<Pending>,
    pub entries: Vec<Entry>,
    pub settlement: Option<Settlement>,
}

/// What a helpdesk says of an incident.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    pub class: Option<&'static str>,
    pub opened_day: i64,
    pub labels: Vec<&'static str>,
    pub emergency: bool,
    pub known: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quote {
    Class,
    Credits(Amount),
    Seconds(i64),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    pub incident: u8,
    pub quote: Quote,
    pub about: About,
    pub expires: Option<i64>,
    pub reason: bool,
}

/// When and under which cards a command is decided.
#[derive(Clone, Copy)]
pub struct At<'a> {
    pub now: i64,
    pub cards: &'a [Card],
}

impl At<'_> {
    pub fn card(&self, name: &str) -> &Card {
        self.cards.iter().find(|card| card.name == name).unwrap()
    }
}

impl Hold {
    pub fn is_open(&self) -> bool {
        matches!(self.state, "QUOTED" | "AWAITING_CREDITS" | "ACTIVE")
    }

    pub fn counted(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(|entry| !entry.voided)
    }

    pub fn end(&mut self, state: &'static str) {
        self.state = state;
        self.held = 0;
        self.parked = None;
        self.pending = None;
        self.valid_until = None;
    }

    /// When something of it falls due.
    fn due(&self) -> Option<i64> {
        match self.state {
            "QUOTED" | "AWAITING_CREDITS" => [self.valid_until, self.expires].into_iter().flatten().min(),
            "ACTIVE" => {
                let expires = self.expires.filter(|_| self.entries.is_empty());
                [self.pending.as_ref().map(|pending| pending.valid_until), expires]
                    .into_iter()
                    .flatten()
                    .min()
            }
            _ => None,
        }
    }
}

impl Customer {
    pub fn must_be_open(&self) -> Result<(), Refusal> {
        if self.closed { Err(Refusal::new("CUSTOMER_CLOSED")) } else { Ok(()) }
    }

    pub fn must_have(&self, required: Amount) -> Result<(), Refusal> {
        let missing = required - self.available;
        if missing <= 0 {
            return Ok(());
        }
        let told = Refusal::with("INSUFFICIENT_CREDITS", &[self.available, required, missing]);
        Err(Refusal { missing: Some(missing), ..told })
    }

    pub fn open_hold(&self, incident: u8) -> Option<usize> {
        self.holds.iter().position(|hold| hold.incident == incident && hold.is_open())
    }

    /// The incident's open hold, else its newest.
    pub fn hold(&self, incident: u8) -> Result<usize, Refusal> {
        let newest = || self.holds.iter().rposition(|hold| hold.incident == incident);
        self.open_hold(incident).or_else(newest).ok_or(Refusal::new("HOLD_NOT_FOUND"))
    }

    pub fn active(&self, incident: u8) -> Result<usize, Refusal> {
        let hold = self.hold(incident)?;
        if self.holds[hold].state == "ACTIVE" { Ok(hold) } else { Err(Refusal::new("HOLD_NOT_ACTIVE")) }
    }

    pub fn job(&self, about: &About, quote: Option<Amount>) -> Job {
        Job {
            class: about.class,
            package: self.package,
            opened_day: about.opened_day,
            product_day: self.product_day,
            labels: about.labels.clone(),
            emergency: about.emergency,
            known: about.known,
            waived: false,
            quote,
        }
    }

    fn total(
        &self,
        at: At<'_>,
        card: &str,
        about: &About,
        asked: &Estimate,
    ) -> Result<(Amount, bool), Refusal> {
        let card = at.card(card);
        let job = self.job(about, None);
        if matches!(card.class(job.class), Some(Class::Refused)) {
            return Err(Refusal::new("OUT_OF_SCOPE"));
        }
        if card.is_free(&job) {
            return Ok((0, false));
        }
        let range = match card.class(job.class) {
            Some(Class::Timed { range, .. }) => *range,
            _ => None,
        };
        let total = match asked.quote {
            Quote::Credits(credits) => credits,
            Quote::Seconds(seconds) => {
                let entry = Entry {
                    seconds,
                    start: None,
                    line: None,
                    solutions: 0,
                    labels: Vec::new(),
                    voided: false,
                };
                card.charge(&job, &self.billable_before(asked.incident), &[entry])?.0
            }
            Quote::Class if matches!(card.class(job.class), Some(Class::Quote)) => {
                return Err(Refusal::new("QUOTE_REQUIRED"));
            }
            Quote::Class => {
                let flat = card.flat.map(|(_, credits)| credits);
                range.map(|(_, top)| top).or(flat).ok_or(Refusal::new("INVALID_FIELD"))?
            }
        };
        match range {
            Some((from, to)) if !(from..=to).contains(&total) && !asked.reason => {
                Err(Refusal::with("ESTIMATE_OUT_OF_RANGE", &[total, from, to]))
            }
            _ => Ok((total, matches!(asked.quote, Quote::Credits(_)))),
        }
    }

    fn new_hold(&self, at: At<'_>, asked: &Estimate) -> Result<Hold, Refusal> {
        let card = self.card.unwrap_or("prepaid");
        let (estimate, quoted) = self.total(at, card, &asked.about, asked)?;
        Ok(Hold {
            incident: asked.incident,
            state: "QUOTED",
            card,
            about: asked.about.clone(),
            estimate,
            held: 0,
            quoted,
            valid_until: Some(at.now + QUOTE_DAYS * DAY),
            expires: asked.expires,
            parked: None,
            pending: None,
            entries: Vec::new(),
            settlement: None,
        })
    }

    pub fn estimate(&mut self, at: At<'_>, asked: &Estimate) -> Result<Posted, Refusal> {
        self.must_be_open()?;
        let mut posted = Posted { kind: "ESTIMATE_INCIDENT", ..Posted::default() };
        let open = self.open_hold(asked.incident);
        if let Some(open) = open.filter(|open| self.holds[*open].state != "QUOTED") {
            let hold = self.holds[open].clone();
            let parked = hold.pending.as_ref().is_some_and(|pending| pending.parked.is_some());
            if hold.state != "ACTIVE" || parked {
                return Err(Refusal::new("HOLD_EXISTS"));
            }
            let (total, quoted) = self.total(at, hold.card, &hold.about, asked)?;
            let valid_until = at.now + QUOTE_DAYS * DAY;
            self.holds[open].pending = Some(Pending { total, valid_until, parked: None, quoted });
            posted.events.push(format!("hold.quoted {} {total}", asked.incident));
            self.tell_missing(&mut posted, asked.incident, total - hold.held - self.available);
            return Ok(posted);
        }
        let hold = self.new_hold(at, asked)?;
        if let Some(open) = open {
            self.holds[open].end("SUPERSEDED");
        }
        posted.events.push(format!("hold.quoted {} {}", asked.incident, hold.estimate));
        self.tell_missing(&mut posted, asked.incident, hold.estimate - self.available);
        self.holds.push(hold);
        Ok(posted)
    }

    pub fn place(&mut self, at: At<'_>, asked: &Estimate, park: bool) -> Result<Posted, Refusal> {
        self.must_be_open()?;
        let mut posted = Posted { kind: "PLACE_HOLD", ..Posted::default() };
        if self.open_hold(asked.incident).is_some() {
            return Err(Refusal::new("HOLD_EXISTS"));
        }
        let hold = self.new_hold(at, asked)?;
        self.holds.push(hold);
        self.confirm_whole(at, &mut posted, self.holds.len() - 1, park)?;
        Ok(posted)
    }

    fn confirm_whole(
        &mut self,
        at: At<'_>,
        posted: &mut Posted,
        hold: usize,
        park: bool,
    ) -> Result<(), Refusal> {
        let Hold { incident, estimate, .. } = self.holds[hold];
        if let Err(refusal) = self.must_have(estimate) {
            if !park {
                return Err(refusal);
            }
            self.parked += 1;
            let it = &mut self.holds[hold];
            it.state = "AWAITING_CREDITS";
            it.parked = Some(self.parked);
            it.valid_until = Some(at.now + QUOTE_DAYS * DAY);
            posted.events.push(format!("hold.awaiting_credits {incident} {estimate}"));
            self.tell_missing(posted, incident, estimate - self.available);
            return Ok(());
        }
        self.shift(posted, "available", "held", estimate);
        self.begin(hold);
        posted.events.push(format!("hold.placed {incident} {estimate}"));
        Ok(())
    }

    /// The hold's credits are set aside.
    fn begin(&mut self, hold: usize) {
        let it = &mut self.holds[hold];
        it.state = "ACTIVE";
        it.held = it.estimate;
        it.parked = None;
        it.valid_until = None;
        if it.held > 0 {
            self.missing.remove(&it.incident);
        }
    }

    pub fn confirm(&mut self, at: At<'_>, incident: u8, park: bool) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "CONFIRM_ESTIMATE", ..Posted::default() };
        let hold = self.hold(incident)?;
        if self.holds[hold].state == "QUOTED" {
            self.confirm_whole(at, &mut posted, hold, park)?;
            return Ok(posted);
        }
        let pending = self.holds[hold].pending.clone().filter(|pending| pending.parked.is_none());
        let Some(pending) = pending else { return Err(Refusal::new("ESTIMATE_NOT_OPEN")) };
        let rise = pending.total - self.holds[hold].held;
        if rise > self.available && park {
            self.parked += 1;
            let parked = Some(self.parked);
            let valid_until = at.now + QUOTE_DAYS * DAY;
            self.holds[hold].pending = Some(Pending { valid_until, parked, ..pending });
            posted.events.push(format!("hold.awaiting_credits {incident} {}", self.holds[hold].estimate));
            posted.notes.push("a rise parked");
            self.tell_missing(&mut posted, incident, rise - self.available);
            return Ok(posted);
        }
        self.must_have(rise)?;
        if rise >= 0 {
            self.shift(&mut posted, "available", "held", rise);
        } else {
            self.shift(&mut posted, "held", "available", -rise);
        }
        self.raise(hold);
        posted.events.push(format!("hold.extended {incident} {}", pending.total));
        Ok(posted)
    }

    /// The pending total is the hold's now.
    fn raise(&mut self, hold: usize) {
        let it = &mut self.holds[hold];
        let pending = it.pending.take().unwrap();
        if pending.total > it.held {
            self.missing.remove(&it.incident);
        }
        it.held = pending.total;
        it.estimate = pending.total;
        it.quoted = pending.quoted;
    }

    pub fn decline(&mut self, incident: u8) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "DECLINE_ESTIMATE", ..Posted::default() };
        let hold = self.hold(incident)?;
        let it = &mut self.holds[hold];
        match it.state {
            "QUOTED" | "AWAITING_CREDITS" => {
                posted.events.push(format!("hold.declined {incident} {}", it.estimate));
                posted.notes.extend(it.parked.map(|_| "a parked hold declined"));
                it.end("DECLINED");
                self.missing.remove(&incident);
            }
            "ACTIVE" if it.pending.is_some() => {
                it.pending = None;
                posted.events.push(format!("hold.declined {incident} {}", it.estimate));
            }
            _ => return Err(Refusal::new("ESTIMATE_NOT_OPEN")),
        }
        Ok(posted)
    }

    /// Sets aside what waits, oldest first, until the first that does not fit.
    pub fn activate(&mut self, posted: &mut Posted, _at: i64) {
        loop {
            let waiting = self.holds.iter().enumerate().filter_map(|(index, hold)| {
                let pending = hold.pending.as_ref().and_then(|pending| pending.parked);
                Some((hold.parked.or(pending)?, index))
            });
            let Some((_, hold)) = waiting.min() else { return };
            let it = self.holds[hold].clone();
            let total = it.pending.as_ref().map_or(it.estimate, |pending| pending.total);
            let need = (total - it.held).max(0);
            if need > self.available {
                return;
            }
            self.shift(posted, "available", "held", need);
            let whole = it.held + need;
            if it.pending.is_some() {
                self.raise(hold);
                self.holds[hold].held = whole;
                posted.events.push(format!("hold.extended {} {whole}", it.incident));
                posted.notes.push("a parked rise activated");
            } else {
                self.begin(hold);
                posted.events.push(format!("hold.activated {} {whole}", it.incident));
                posted.notes.push(if posted.kind == "DECLINE_ESTIMATE" {
                    "activated after a decline"
                } else {
                    "a parked hold activated"
                });
            }
        }
    }

    pub fn extend(&mut self, incident: u8, credits: Amount) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "EXTEND_HOLD", ..Posted::default() };
        let hold = self.active(incident)?;
        if self.holds[hold].quoted {
            return Err(Refusal::new("QUOTE_CONFIRMED"));
        }
        self.must_have(credits)?;
        self.shift(&mut posted, "available", "held", credits);
        self.holds[hold].held += credits;
        self.missing.remove(&incident);
        posted.events.push(format!("hold.extended {incident} {}", self.holds[hold].held));
        Ok(posted)
    }

    pub fn work(&mut self, at: At<'_>, incident: u8, entry: Entry) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "RECORD_WORK", ..Posted::default() };
        let hold = self.active(incident)?;
        let was_used = self.is_nearly_used(at, hold);
        self.holds[hold].entries.push(entry);
        let held = self.holds[hold].held;
        if !was_used && self.is_nearly_used(at, hold) {
            posted.events.push(format!("hold.nearly_used {incident} {held}"));
        }
        if let Some(charge) = self.charge_so_far(at, hold) {
            self.tell_missing(&mut posted, incident, charge - held - self.available);
        }
        Ok(posted)
    }

    /// Whether the work comes to four fifths of what is held. Work that needs a quote and has none does.
    fn is_nearly_used(&self, at: At<'_>, hold: usize) -> bool {
        if self.holds[hold].counted().next().is_none() {
            return self.holds[hold].held == 0;
        }
        self.charge_so_far(at, hold).is_none_or(|charge| 10 * charge >= 8 * self.holds[hold].held)
    }

    pub fn void(&mut self, incident: u8, nth: usize) -> Result<Posted, Refusal> {
        let posted = Posted { kind: "VOID_WORK", ..Posted::default() };
        let hold = self.active(incident)?;
        match self.holds[hold].entries.get_mut(nth) {
            None => Err(Refusal::new("WORK_NOT_FOUND")),
            Some(entry) if entry.voided => Err(Refusal::new("WORK_VOIDED")),
            Some(entry) => {
                entry.voided = true;
                Ok(posted)
            }
        }
    }

    pub fn release(&mut self, incident: u8, waived: bool) -> Result<Posted, Refusal> {
        let mut posted = Posted { kind: "RELEASE_HOLD", ..Posted::default() };
        let hold = self.hold(incident)?;
        if !matches!(self.holds[hold].state, "ACTIVE" | "AWAITING_CREDITS") {
            return Err(Refusal::new("HOLD_NOT_ACTIVE"));
        }
        let seconds: i64 = self.holds[hold].counted().map(|entry| entry.seconds).sum();
        if self.holds[hold].counted().next().is_some() && !waived {
            return Err(Refusal::with("WORK_RECORDED", &[seconds.into()]));
        }
        self.let_go(&mut posted, hold, "RELEASED", "hold.released");
        Ok(posted)
    }

    /// Ends a hold without a charge.
    pub fn let_go(&mut self, posted: &mut Posted, hold: usize, state: &'static str, event: &str) {
        let Hold { incident, held, estimate, ref pending, .. } = self.holds[hold];
        let parked = pending.as_ref().is_some_and(|pending| pending.parked.is_some());
        posted.notes.extend(parked.then_some("a hold with a parked rise ended"));
        self.shift(posted, "held", "available", held);
        posted.events.push(format!("{event} {incident} {estimate}"));
        self.holds[hold].end(state);
        self.missing.remove(&incident);
    }

    /// The next thing that is due by `now`, applied at its moment.
    pub fn apply_next_due(&mut self, now: i64) -> Option<(i64, Posted)> {
        let lots = self.next_expiry(now);
        let holds = self.holds.iter().enumerate();
        let holds = holds.filter_map(|(index, hold)| Some((hold.due()?, index))).min();
        let holds = holds.filter(|(moment, _)| *moment <= now && lots.is_none_or(|lots| *moment < lots));
        let mut posted = Posted::default();
        let Some((moment, hold)) = holds else {
            posted.kind = "EXPIRE_CREDITS";
            return lots.map(|moment| (moment, posted));
        };
        let it = &self.holds[hold];
        if it.pending.as_ref().is_some_and(|pending| pending.valid_until == moment) {
            posted.kind = "EXPIRE_ESTIMATE";
            posted.events.push(format!("hold.expired {} {}", it.incident, it.estimate));
            self.holds[hold].pending = None;
        } else {
            posted.kind = if it.state == "ACTIVE" { "EXPIRE_HOLD" } else { "EXPIRE_ESTIMATE" };
            self.let_go(&mut posted, hold, "EXPIRED", "hold.expired");
        }
        Some((moment, posted))
    }
}
