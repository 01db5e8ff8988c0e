//! What the self-checks of all engines share. It collects faults, and derives the columns that must repeat a value of
//! the core.

use uuid::Uuid;

use crate::ledger::work::Work;
use crate::ledger::{Hold, Lot, Timestamp};

/// The most faults that are reported: the first ones show what is wrong.
const FAULTS_MAX: usize = 20;

/// Faults found so far, one line each.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Adds a fault where `sound` is false.
    pub fn expect(&mut self, sound: bool, what: impl FnOnce() -> String) {
        if !sound && self.0.len() < FAULTS_MAX {
            self.0.push(what());
        }
    }

    /// Adds a fault where a value could not be read, or is not sound.
    pub fn expect_readable(&mut self, read: Result<bool, String>, name: impl Fn() -> String, what: &str) {
        match read {
            Ok(sound) => self.expect(sound, || format!("{}: {what}", name())),
            Err(damage) => self.expect(false, || format!("{}: {damage}", name())),
        }
    }

    /// True where no more faults are collected.
    pub fn are_enough(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }

    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// The columns of a hold that repeat a part of its body.
#[derive(Debug, PartialEq, Eq)]
pub struct HoldColumns {
    pub id: Uuid,
    pub ledger: i64,
    pub customer: i64,
    pub incident: String,
    pub previous: Option<Uuid>,
    pub state: i64,
    pub direct: bool,
    pub class: Option<String>,
    pub settled: bool,
    pub estimated: i64,
    /// The amount charged; `None` without a settlement.
    pub charged: Option<i64>,
    pub created_at: i64,
    /// True where the hold falls due or waits for credits.
    pub watched: bool,
}

/// The columns of an entry of work that repeat a part of its body.
#[derive(Debug, PartialEq, Eq)]
pub struct WorkColumns {
    pub id: Uuid,
    /// The entry before it in its line.
    pub previous: Option<Uuid>,
    pub voided: bool,
    /// The start of the work; `None` where it is unknown or the entry is voided.
    pub counts_from: Option<i64>,
    pub counts_until: Option<i64>,
}

impl WorkColumns {
    #[must_use]
    pub fn of(work: &Work) -> Self {
        let span = work.counted_span();
        Self {
            id: work.id.uuid(),
            previous: work.previous.map(|previous| previous.uuid()),
            voided: !work.counts(),
            counts_from: span.map(|span| span.from.micros()),
            counts_until: span.map(|span| span.until.micros()),
        }
    }
}

impl HoldColumns {
    #[must_use]
    pub fn of(hold: &Hold) -> Self {
        Self {
            id: hold.id.uuid(),
            ledger: hold.ledger.get().into(),
            customer: hold.customer_key().raw(),
            incident: hold.incident.to_string(),
            previous: hold.previous.map(|previous| previous.uuid()),
            state: hold.state.code().into(),
            direct: hold.direct,
            class: hold.class.as_ref().map(ToString::to_string),
            settled: hold.settlement.is_some(),
            estimated: hold.estimate.units(),
            charged: hold.settlement.as_ref().map(|settlement| settlement.charge.units()),
            created_at: hold.created_at.micros(),
            watched: hold.is_watched(),
        }
    }
}

/// The columns of a lot that repeat a part of its body.
#[derive(Debug, PartialEq, Eq)]
pub struct LotColumns {
    pub id: Uuid,
    pub source: i64,
    pub storefront: Option<String>,
    /// The order's number there.
    pub order: Option<String>,
    pub credits: i64,
    /// The credits of the lot that repaid a debt.
    pub repaid: i64,
    /// Its price in the currency's smallest unit.
    pub price_minor: Option<i64>,
    pub currency: Option<String>,
    pub expires_at: Option<i64>,
    pub created_at: i64,
}

impl LotColumns {
    #[must_use]
    pub fn of(lot: &Lot) -> Self {
        Self {
            id: lot.id.uuid(),
            source: lot.source.code().into(),
            storefront: lot.storefront.as_ref().map(ToString::to_string),
            order: lot.order.as_ref().map(ToString::to_string),
            credits: lot.credits.units(),
            repaid: lot.repaid.units(),
            price_minor: lot.price.map(|price| price.minor_units),
            currency: lot.price.as_ref().map(|price| price.currency.as_str().to_owned()),
            expires_at: lot.expires_at.map(Timestamp::micros),
            created_at: lot.created_at.micros(),
        }
    }
}
