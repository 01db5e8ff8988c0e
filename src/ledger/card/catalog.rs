//! The cards of all ledgers, as a book looks them up, and the changes that made them: a log that only grows.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{CardRef, RateCard};
use crate::ledger::codec::{coded_enum, encode};
use crate::ledger::hash::stable_hash;
use crate::ledger::ids::{CardId, LedgerNo, RequestKey, Text};
use crate::ledger::time::Timestamp;

coded_enum!(
    /// What a change of a ledger's cards is. Also the scope of its request id.
    CardChangeKind {
        /// A version of a card was added.
        Create = 1 / "CREATE_RATE_CARD",
        /// Another card applies to customers without one of their own.
        SetDefault = 2 / "SET_DEFAULT_RATE_CARD",
    }
);

/// A change that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardRequest {
    pub ledger: LedgerNo,
    /// Same id and same content: answered from the first change.
    pub request: RequestKey,
    pub change: CardEdit,
    pub by: Text,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardEdit {
    /// A version of a card comes in; in a request its number is still open.
    Card(Arc<RateCard>),
    /// This card becomes the default.
    Default(CardId),
}

/// A change that was made. Never undone, never edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardChange {
    /// Its place among the changes of all ledgers: 1, 2, 3, ...
    pub revision: u64,
    pub ledger: LedgerNo,
    pub changed: CardEdit,
    pub recorded_at: Timestamp,
    pub request: RequestKey,
    /// Tells a repeat from a clash.
    pub fingerprint: u64,
    pub by: Text,
}

impl CardEdit {
    pub const fn kind(&self) -> CardChangeKind {
        match self {
            Self::Card(_) => CardChangeKind::Create,
            Self::Default(_) => CardChangeKind::SetDefault,
        }
    }

    /// The card that it is about.
    pub fn card(&self) -> &CardId {
        match self {
            Self::Card(card) => &card.card.id,
            Self::Default(id) => id,
        }
    }
}

impl CardRequest {
    /// A hash of what is asked for: equal for equal content.
    pub fn fingerprint(&self) -> u64 {
        let content = match &self.change {
            CardEdit::Card(card) => {
                let unnumbered = CardRef { id: card.card.id.clone(), version: 0 };
                encode(&RateCard { card: unnumbered, ..RateCard::clone(card) })
            }
            CardEdit::Default(id) => encode(id),
        };
        stable_hash(&[&content, self.by.as_str().as_bytes()]).max(1)
    }
}

/// Why a change does not fit the changes before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CardsError {
    /// Its revision does not follow.
    #[error("revision {found} follows {last}")]
    Gap {
        /// The revision of the change.
        found: u64,
        /// The last one before it.
        last: u64,
    },
    /// Its version does not follow the card's newest.
    #[error("version {} of rate card {} follows version {newest}", .card.version, .card.id)]
    Version {
        /// The card of the change.
        card: CardRef,
        /// The newest version before it; 0 where there is none.
        newest: u32,
    },
    /// The card that becomes the default is not there.
    #[error("rate card {0} becomes the default and is not there")]
    Unknown(CardId),
}

type Versions = BTreeMap<CardRef, Arc<RateCard>>;

#[derive(Clone, Debug)]
pub struct Cards {
    /// What every ledger has from the start.
    presets: Arc<Versions>,
    /// The default of a ledger that has set none.
    default: CardId,
    revision: u64,
    ledgers: BTreeMap<LedgerNo, Own>,
}

/// What a ledger has added.
#[derive(Clone, Debug, Default)]
struct Own {
    versions: Versions,
    default: Option<CardId>,
}

impl Cards {
    /// Every ledger begins with `presets`; its default is `prepaid` until it sets another one.
    pub fn new(presets: impl IntoIterator<Item = RateCard>) -> Self {
        let presets = presets.into_iter().map(|card| (card.card.clone(), Arc::new(card)));
        Self {
            presets: Arc::new(presets.collect()),
            default: CardId::prepaid(),
            revision: 0,
            ledgers: BTreeMap::new(),
        }
    }

    /// No cards at all: for books in which nothing is decided.
    pub fn none() -> Self {
        Self::new([])
    }

    /// The last change that is in it; 0 before the first.
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// The change that a request makes: a new version of its card, or another default.
    pub fn next_change(&self, request: &CardRequest, now: Timestamp) -> Result<CardChange, CardsError> {
        let newest = self.newest_version(request.ledger, request.change.card());
        let changed = match &request.change {
            CardEdit::Card(card) => {
                let version = CardRef { id: card.card.id.clone(), version: newest.saturating_add(1) };
                CardEdit::Card(Arc::new(RateCard { card: version, ..RateCard::clone(card) }))
            }
            CardEdit::Default(id) if newest == 0 => return Err(CardsError::Unknown(id.clone())),
            CardEdit::Default(id) => CardEdit::Default(id.clone()),
        };
        Ok(CardChange {
            revision: self.revision.saturating_add(1),
            ledger: request.ledger,
            changed,
            recorded_at: now,
            request: request.request.clone(),
            fingerprint: request.fingerprint(),
            by: request.by.clone(),
        })
    }

    /// Takes a change in. Where it does not fit, nothing changes.
    pub fn apply(&mut self, change: &CardChange) -> Result<(), CardsError> {
        if Some(change.revision) != self.revision.checked_add(1) {
            return Err(CardsError::Gap { found: change.revision, last: self.revision });
        }
        let newest = self.newest_version(change.ledger, change.changed.card());
        match &change.changed {
            CardEdit::Card(card) => {
                let own = self.ledgers.entry(change.ledger).or_default();
                // A later release may bring a preset with the name of a ledger's card: the ledger's card wins.
                let is_first =
                    card.card.version == 1 && !own.versions.keys().any(|own| own.id == card.card.id);
                if !is_first && Some(card.card.version) != newest.checked_add(1) {
                    return Err(CardsError::Version { card: card.card.clone(), newest });
                }
                own.versions.insert(card.card.clone(), Arc::clone(card));
            }
            CardEdit::Default(id) => {
                if newest == 0 {
                    return Err(CardsError::Unknown(id.clone()));
                }
                self.ledgers.entry(change.ledger).or_default().default = Some(id.clone());
            }
        }
        self.revision = change.revision;
        Ok(())
    }

    pub fn get(&self, ledger: LedgerNo, card: &CardRef) -> Option<&Arc<RateCard>> {
        let own = self.ledgers.get(&ledger).and_then(|own| own.versions.get(card));
        own.or_else(|| self.presets.get(card))
    }

    pub fn newest(&self, ledger: LedgerNo, id: &CardId) -> Option<&Arc<RateCard>> {
        // A ledger's own versions continue those of the preset.
        let newest = |versions: &'_ Versions| {
            let first = CardRef { id: id.clone(), version: 0 };
            let last = CardRef { id: id.clone(), version: u32::MAX };
            versions.range(first..=last).next_back().map(|(card, _)| card.clone())
        };
        let own = self.ledgers.get(&ledger).and_then(|own| newest(&own.versions));
        self.get(ledger, &own.or_else(|| newest(&self.presets))?)
    }

    fn newest_version(&self, ledger: LedgerNo, id: &CardId) -> u32 {
        self.newest(ledger, id).map_or(0, |card| card.card.version)
    }

    /// The customer's own card, else the ledger's default.
    pub fn for_customer(&self, ledger: LedgerNo, own: Option<&CardId>) -> Option<&Arc<RateCard>> {
        self.newest(ledger, own.unwrap_or_else(|| self.default_card(ledger)))
    }

    /// The card that applies where a customer has none of its own.
    pub fn default_card(&self, ledger: LedgerNo) -> &CardId {
        let set = self.ledgers.get(&ledger).and_then(|own| own.default.as_ref());
        set.unwrap_or(&self.default)
    }

    /// All versions of a ledger's cards, by name and version.
    pub fn all(&self, ledger: LedgerNo) -> Vec<&Arc<RateCard>> {
        let own = self.ledgers.get(&ledger).map(|own| &own.versions);
        let all = self.presets.iter().chain(own.into_iter().flatten());
        // The ledger's own come later, so they replace presets of the same name and version.
        all.collect::<BTreeMap<_, _>>().into_values().collect()
    }
}
