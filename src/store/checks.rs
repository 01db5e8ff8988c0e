//! What the engines' checks of themselves share: a list of faults, and what columns must say that repeat a value of the
//! core, or name one.

use std::collections::BTreeSet;

use crate::ledger::account::Slot;
use crate::ledger::kind::slots;
use crate::ledger::lot::LotSource;
use crate::ledger::work::Work;
use crate::ledger::{Hold, HoldState, Kind, Lot, Timestamp};

/// Faults that are told: where there are more, the first ones say what is wrong.
const FAULTS_MAX: usize = 20;

/// Faults found so far, one line each.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Notes what is wrong where something is not sound.
    pub fn expect(&mut self, sound: bool, what: impl FnOnce() -> String) {
        if !sound && self.0.len() < FAULTS_MAX {
            self.0.push(what());
        }
    }

    /// True where no more are told.
    #[must_use]
    pub fn are_enough(&self) -> bool {
        self.0.len() >= FAULTS_MAX
    }

    /// True where there are none.
    #[must_use]
    pub fn are_none(&self) -> bool {
        self.0.is_empty()
    }

    /// The lines.
    #[must_use]
    pub fn into_lines(self) -> Vec<String> {
        self.0
    }
}

/// The columns of a hold that repeat what its body says.
#[derive(Debug, PartialEq, Eq)]
pub struct HoldColumns {
    /// Its id.
    pub id: Vec<u8>,
    /// Its ledger's number.
    pub ledger: i64,
    /// Its customer's key.
    pub customer: i64,
    /// Its incident.
    pub incident: String,
    /// The customer's hold before it.
    pub previous: Option<Vec<u8>>,
    /// Its state's code.
    pub state: i64,
    /// Whether it is a direct charge.
    pub direct: bool,
    /// Its class.
    pub class: Option<String>,
    /// Whether it has a settlement.
    pub settled: bool,
    /// What was estimated.
    pub estimated: i64,
    /// What was charged, where it has a settlement.
    pub charged: Option<i64>,
    /// When it was made.
    pub created_at: i64,
    /// Whether it falls due or waits for credits.
    pub watched: bool,
}

/// The columns of an entry of work that repeat what its body says.
#[derive(Debug, PartialEq, Eq)]
pub struct WorkColumns {
    /// Its id.
    pub id: Vec<u8>,
    /// The entry of its line that it follows on.
    pub previous: Option<Vec<u8>>,
    /// Whether it was voided.
    pub voided: bool,
    /// Its start, where that is known and the entry counts.
    pub counts_from: Option<i64>,
    /// Its end, likewise.
    pub counts_until: Option<i64>,
}

impl WorkColumns {
    /// What they must be.
    #[must_use]
    pub fn of(work: &Work) -> Self {
        let span = work.counted_span();
        Self {
            id: work.id.uuid().as_bytes().to_vec(),
            previous: work.previous.map(|previous| previous.uuid().as_bytes().to_vec()),
            voided: !work.counts(),
            counts_from: span.map(|span| span.from.micros()),
            counts_until: span.map(|span| span.until.micros()),
        }
    }
}

impl HoldColumns {
    /// What they must be.
    #[must_use]
    pub fn of(hold: &Hold) -> Self {
        Self {
            id: hold.id.uuid().as_bytes().to_vec(),
            ledger: hold.ledger.get().into(),
            customer: hold.customer_key().raw(),
            incident: hold.incident.to_string(),
            previous: hold.previous.map(|previous| previous.uuid().as_bytes().to_vec()),
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

/// The columns of a lot that repeat what its body says.
#[derive(Debug, PartialEq, Eq)]
pub struct LotColumns {
    /// Its id.
    pub id: Vec<u8>,
    /// Its source's code.
    pub source: i64,
    /// Where it was sold.
    pub storefront: Option<String>,
    /// The order's number there.
    pub order: Option<String>,
    /// What it brought in.
    pub credits: i64,
    /// What of it went to what was owed.
    pub repaid: i64,
    /// Its price in the currency's smallest unit.
    pub price_minor: Option<i64>,
    /// The price's currency.
    pub currency: Option<String>,
    /// When it expires.
    pub expires_at: Option<i64>,
    /// When it came in.
    pub created_at: i64,
}

impl LotColumns {
    /// What they must be.
    #[must_use]
    pub fn of(lot: &Lot) -> Self {
        Self {
            id: lot.id.uuid().as_bytes().to_vec(),
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

/// The rows of the tables that only name things: table and key, and the rest of the row.
#[must_use]
pub fn named_rows() -> BTreeSet<(String, String)> {
    let kinds = Kind::ALL.iter().map(|kind| ("posting_kind", kind.code(), kind.name()));
    let states = HoldState::ALL.iter().map(|state| ("hold_state", state.code(), state.name()));
    let sources = LotSource::ALL.iter().map(|source| ("lot_source", source.code(), source.name()));
    let names = kinds.chain(states).chain(sources);
    let mut rows: BTreeSet<_> =
        names.map(|(table, code, name)| (format!("{table} {code}"), name.to_owned())).collect();
    for kind in Kind::ALL {
        for slot in Slot::ALL {
            if let Some((debit, credit)) = slots(*kind, slot) {
                let key = format!("transfer_slot {} {}", kind.code(), slot.index().saturating_add(1));
                rows.insert((key, format!("{} to {}", debit.name(), credit.name())));
            }
        }
    }
    rows
}
