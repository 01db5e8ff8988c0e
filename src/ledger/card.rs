//! Rate cards: versioned, immutable price lists for support work. A card is data; the calculation is in `price`.

use std::collections::BTreeMap;

use super::codec::record;
use super::credits::Credits;
use super::ids::{CardId, ClassId, Text};

/// One version of one card.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardRef {
    /// The card.
    pub id: CardId,
    /// Its version, from 1.
    pub version: u32,
}
record!(CardRef { 1 => id, 2 => version });

/// A price list. What a class does not say, the card's own values say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCard {
    /// Its name and version.
    pub card: CardRef,
    /// What it is for, in a sentence.
    pub description: Text,
    /// Credits for an hour of work.
    pub credits_per_hour: Credits,
    /// Time is rounded up to a multiple of this many seconds; 0 charges exact time.
    pub increment_seconds: u64,
    /// Shorter work is charged as this many seconds.
    pub minimum_seconds: u64,
    /// The least that a charge comes to, once per incident, where anything was billable.
    pub minimum_credits: Credits,
    /// Decimals to which a charge is rounded half up; at most 4.
    pub charge_scale: u32,
    /// How long quotes and parked holds are valid.
    pub quote_valid_days: u32,
    /// Days of free support from the product purchase date; `None` for none at all.
    pub free_support_days: Option<u32>,
    /// Rules for the classes that the card names.
    pub classes: BTreeMap<ClassId, ClassRule>,
}

/// How incidents of one class are priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassRule {
    /// By time; estimates lie within the range unless a reason is given.
    Timed {
        /// The legal estimates, both ends included.
        range: Option<(Credits, Credits)>,
    },
    /// Always free, with no credits at all.
    Free,
    /// By a quote that the customer confirms before work starts.
    QuoteRequired,
    /// Not done at all.
    Refused,
}

impl RateCard {
    /// The card that every ledger starts with: a product vendor's credit programme.
    #[must_use]
    pub fn prepaid() -> Self {
        Self {
            card: CardRef { id: known("prepaid"), version: 1 },
            description: Text::parse("2 credits per hour, at least 1 credit, by exact time")
                .unwrap_or_default(),
            credits_per_hour: Credits::whole(2),
            increment_seconds: 0,
            minimum_seconds: 0,
            minimum_credits: Credits::whole(1),
            charge_scale: 2,
            quote_valid_days: 14,
            free_support_days: Some(30),
            classes: BTreeMap::from([
                (known("installation-and-configuration"), timed(1, 2)),
                (known("price-plans"), timed(1, 4)),
                (known("front-end-design"), timed(1, 3)),
                (known("other"), ClassRule::QuoteRequired),
                (known("sales"), ClassRule::Free),
                (known("licence-transfer"), ClassRule::Free),
            ]),
        }
    }

    /// The rule for `class`; `None` for a class that the card does not name.
    #[must_use]
    pub fn rule(&self, class: Option<&ClassId>) -> Option<&ClassRule> {
        class.and_then(|class| self.classes.get(class))
    }
}

fn timed(min: i64, max: i64) -> ClassRule {
    ClassRule::Timed { range: Some((Credits::whole(min), Credits::whole(max))) }
}

/// A name written in this file.
trait Known: Sized {
    fn known(text: &str) -> Self;
}

fn known<T: Known>(text: &str) -> T {
    T::known(text)
}

#[allow(clippy::expect_used)] // constants of this file, read by a test
impl Known for CardId {
    fn known(text: &str) -> Self {
        Self::parse(text).expect("a constant id is legal")
    }
}

#[allow(clippy::expect_used)] // constants of this file, read by a test
impl Known for ClassId {
    fn known(text: &str) -> Self {
        Self::parse(text).expect("a constant id is legal")
    }
}

/// The cards of a ledger that a book can look up, with the one that applies where a customer has none of its own.
#[derive(Clone, Debug)]
pub struct Cards {
    /// Every version of every card.
    versions: BTreeMap<CardRef, RateCard>,
    /// The newest version of the ledger's default card.
    default: CardRef,
}

impl Cards {
    /// What every ledger has from the start.
    #[must_use]
    pub fn built_in() -> Self {
        let card = RateCard::prepaid();
        Self { default: card.card.clone(), versions: BTreeMap::from([(card.card.clone(), card)]) }
    }

    /// One version.
    #[must_use]
    pub fn get(&self, card: &CardRef) -> Option<&RateCard> {
        self.versions.get(card)
    }

    /// The newest version of a card.
    #[must_use]
    pub fn newest(&self, id: &CardId) -> Option<&RateCard> {
        self.versions.values().rev().find(|card| card.card.id == *id)
    }

    /// The card for a customer with or without one of its own.
    #[must_use]
    pub fn for_customer(&self, own: Option<&CardId>) -> Option<&RateCard> {
        match own {
            Some(id) => self.newest(id),
            None => self.get(&self.default),
        }
    }

    /// The ledger's default card.
    #[must_use]
    pub fn default_card(&self) -> &CardRef {
        &self.default
    }

    /// All versions, by name and version.
    pub fn iter(&self) -> impl Iterator<Item = &RateCard> {
        self.versions.values()
    }
}
