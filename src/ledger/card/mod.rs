//! Rate cards: versioned, immutable price lists for support work. A card is data; the calculation is in `price`.

mod catalog;
mod check;

use std::collections::BTreeMap;
use std::fmt;

use super::codec::{Codec, DecodeError, Decoder, Encoder, coded_enum, record, tagged, through};
use super::credits::{Credits, ParseCreditsError, parse_units};
use super::ids::{CardId, ClassId, LabelId, LineId, PackageId, Text};

pub use catalog::{CardChange, CardChangeKind, CardEdit, CardRequest, Cards, CardsError};
pub use check::{CardFault, CardFindings, check};

/// One version of one card.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CardRef {
    pub id: CardId,
    /// Its version, from 1.
    pub version: u32,
}
record!(CardRef { 1 => id, 2 => version });

/// A price list. Where a class has no value of its own, the card's applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateCard {
    /// Its name and version.
    pub card: CardRef,
    /// What it is for, in a sentence.
    pub description: Text,
    /// Credits for an hour of work, where neither line, class nor package has a rate of its own. Zero only beside a
    /// flat tier, above which a quote is the charge.
    pub credits_per_hour: Credits,
    /// Credits for an hour of work for customers of a package.
    pub packages: BTreeMap<PackageId, Credits>,
    pub time_basis: TimeBasis,
    /// Time is rounded up to a multiple of this many seconds; 0 charges exact time.
    pub increment_seconds: u64,
    /// Shorter work is charged as this many seconds.
    pub minimum_seconds: u64,
    /// A flat price for short work; longer work then needs a quote.
    pub flat: Option<FlatTier>,
    /// The least that a charge comes to, once per incident, where anything was billable.
    pub minimum_credits: Credits,
    /// Decimals to which a charge is rounded half up; at most 4.
    pub charge_scale: u32,
    /// What work costs more for. Of those that apply the largest counts; they never compound.
    pub multipliers: BTreeMap<LabelId, Factor>,
    /// Lines of support that are free or have a rate of their own.
    pub lines: BTreeMap<LineId, LineRule>,
    pub emergency: EmergencyRule,
    /// How long quotes and parked holds are valid.
    pub quote_valid_days: u32,
    /// Days of free support from the product purchase date; `None` for none at all.
    pub free_support_days: Option<u32>,
    /// True where only a confirmed hold is settled, and nothing is charged without one.
    pub confirmed_hold_only: bool,
    /// Rules for the classes that the card names.
    pub classes: BTreeMap<ClassId, ClassRule>,
}
record!(RateCard {
    1 => card, 2 => description, 3 => credits_per_hour, 4 => packages, 5 => time_basis, 6 => increment_seconds,
    7 => minimum_seconds, 8 => flat, 9 => minimum_credits, 10 => charge_scale, 11 => multipliers, 12 => lines,
    13 => emergency, 14 => quote_valid_days, 15 => free_support_days, 16 => confirmed_hold_only, 17 => classes,
});

coded_enum!(
    /// How the charged time follows from the recorded work.
    TimeBasis {
        /// The entries of work, added up.
        Sum = 1 / "SUM",
        /// From the first start to the last end, pauses included. Entries without a start are added.
        Elapsed = 2 / "ELAPSED",
    }
);

coded_enum!(
    /// Whether emergencies are charged.
    EmergencyRule {
        /// Like any other work.
        Charged = 1 / "CHARGED",
        /// Never.
        Free = 2 / "FREE",
        /// Only where the knowledge base already had the answer.
        FreeUnlessKbAnswered = 3 / "FREE_UNLESS_KB_ANSWERED",
    }
);

/// A flat price for short work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlatTier {
    /// Work that takes less than this many seconds is charged flat.
    pub under_seconds: u64,
    /// What each solution costs then.
    pub credits: Credits,
}
record!(FlatTier { 1 => under_seconds, 2 => credits });

/// How time on a line of support is charged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineRule {
    /// Not at all; the time is still recorded.
    Free,
    CreditsPerHour(Credits),
}
tagged!(LineRule { 0 => Free, 1 => CreditsPerHour(rate) });

/// How incidents of one class are priced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClassRule {
    /// By time; estimates lie within the range unless a reason is given.
    Timed {
        /// The legal estimates, both ends included.
        range: Option<(Credits, Credits)>,
        /// Credits for an hour of work of this class.
        credits_per_hour: Option<Credits>,
    },
    /// Always free, with no credits at all.
    Free,
    /// By a quote that the customer confirms before work starts.
    QuoteRequired,
    /// Not done at all.
    Refused,
}

/// A class by time, as it is stored.
#[derive(PartialEq)]
struct Timed {
    range: Option<(Credits, Credits)>,
    credits_per_hour: Option<Credits>,
}
record!(Timed { 1 => range, 2 => credits_per_hour });

impl Codec for ClassRule {
    fn put(&self, out: &mut Encoder) {
        match self {
            Self::Timed { range, credits_per_hour } => {
                out.push(0);
                Timed { range: *range, credits_per_hour: *credits_per_hour }.put(out);
            }
            Self::Free => out.push(1),
            Self::QuoteRequired => out.push(2),
            Self::Refused => out.push(3),
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            0 => Timed::take(input)
                .map(|Timed { range, credits_per_hour }| Self::Timed { range, credits_per_hour }),
            1 => Ok(Self::Free),
            2 => Ok(Self::QuoteRequired),
            3 => Ok(Self::Refused),
            _ => Err(DecodeError::Range),
        }
    }
}

/// What a charge is multiplied by, in ten-thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Factor(i64);
through!(Factor as i64, |factor| factor.0, |units| Some(Self(units)));

impl Factor {
    /// Changes nothing.
    pub const ONE: Self = Self(10_000);
    /// The largest: 1,000.
    pub const MAX: Self = Self(10_000_000);

    /// Reads a decimal such as `1.5`, of at most 4 fractional digits, from 0 to [`Factor::MAX`]. A card with 0 does
    /// not pass its check.
    pub fn parse(text: &str) -> Result<Self, ParseCreditsError> {
        parse_units(text, 4, Self::MAX.0).map(Self)
    }

    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    pub const fn units(self) -> i64 {
        self.0
    }
}

impl fmt::Display for Factor {
    /// The shortest decimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Both have four decimals.
        Credits::from_units(self.0).fmt(f)
    }
}

impl RateCard {
    /// A card that charges exact time by the hour and has no other rule. Files and requests start from it.
    pub fn plain(id: CardId, credits_per_hour: Credits) -> Self {
        Self {
            card: CardRef { id, version: 1 },
            description: Text::EMPTY,
            credits_per_hour,
            packages: BTreeMap::new(),
            time_basis: TimeBasis::Sum,
            increment_seconds: 0,
            minimum_seconds: 0,
            flat: None,
            minimum_credits: Credits::ZERO,
            charge_scale: 2,
            multipliers: BTreeMap::new(),
            lines: BTreeMap::new(),
            emergency: EmergencyRule::Charged,
            quote_valid_days: Self::QUOTE_VALID_DAYS,
            free_support_days: None,
            confirmed_hold_only: false,
            classes: BTreeMap::new(),
        }
    }

    /// How long quotes are valid unless the card says otherwise.
    pub const QUOTE_VALID_DAYS: u32 = 14;

    /// The rule for `class`; `None` for a class that the card does not name.
    pub fn rule(&self, class: Option<&ClassId>) -> Option<&ClassRule> {
        class.and_then(|class| self.classes.get(class))
    }

    /// True where both price everything alike: the same but for the version.
    pub fn is_like(&self, other: &Self) -> bool {
        let CardRef { id, version: _ } = &self.card;
        *id == other.card.id && *self == Self { card: self.card.clone(), ..other.clone() }
    }
}
