//! Changes of rate cards, the same for every engine: deciding a request, and the columns of a change.

use std::sync::Arc;

use super::error::{StoreError, damaged};
use super::stored::{checksum, count_of, decoded, ledger_no_of};
use crate::ledger::card::{CardChange, CardChangeKind, CardEdit, CardRequest, Cards, CardsError, RateCard};
use crate::ledger::codec::encode;
use crate::ledger::ids::{CardId, RequestKey, Text};
use crate::ledger::{Rejection, Timestamp};

/// The most changes that a database keeps. Every server has all of them in memory.
const REVISIONS_MAX: u64 = 10_000;

/// The result of a request for a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CardsChanged {
    /// The change was made now, or earlier by the same request (`replayed`).
    Made {
        change: CardChange,
        /// True where an earlier request with this id did it.
        replayed: bool,
    },
    /// The card that was to become the default does not exist, or the request id was used for something else.
    Rejected(Rejection),
    /// The database keeps no more changes: it has reached its limit.
    TooMany,
}

/// Decides a request; `earlier` is the change that the same request made before.
///
/// # Errors
/// [`StoreError::Damaged`] where the cards contradict themselves.
pub fn decide(
    cards: &Cards,
    request: &CardRequest,
    earlier: Option<CardChange>,
    now: Timestamp,
) -> Result<CardsChanged, StoreError> {
    if let Some(change) = earlier {
        return Ok(if change.fingerprint == request.fingerprint() {
            CardsChanged::Made { change, replayed: true }
        } else {
            CardsChanged::Rejected(Rejection::RequestIdReused { original: None })
        });
    }
    if cards.revision() >= REVISIONS_MAX {
        return Ok(CardsChanged::TooMany);
    }
    match cards.next_change(request, now) {
        Ok(change) => Ok(CardsChanged::Made { change, replayed: false }),
        Err(CardsError::Unknown(card)) => Ok(CardsChanged::Rejected(Rejection::RateCardNotFound(card))),
        Err(error @ (CardsError::Gap { .. } | CardsError::Version { .. })) => Err(damaged(error.to_string())),
    }
}

/// Applies the changes that follow the last revision of `cards`.
///
/// # Errors
/// [`StoreError::Damaged`] where a change does not fit.
pub fn catch_up(cards: &mut Arc<Cards>, changes: &[CardChange]) -> Result<(), StoreError> {
    if changes.is_empty() {
        return Ok(());
    }
    let cards = Arc::make_mut(cards);
    changes.iter().try_for_each(|change| {
        let said = |error| damaged(format!("rate cards, revision {}: {error}", change.revision));
        cards.apply(change).map_err(said)
    })
}

/// The columns of a change besides its request, as both engines with SQL have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardColumns {
    pub revision: i64,
    pub ledger_no: i64,
    pub kind: i64,
    pub card_id: String,
    pub version: Option<i64>,
    pub body: Option<Vec<u8>>,
    pub recorded_at: i64,
    pub fingerprint: i64,
    pub made_by: String,
    pub checksum: i64,
}

impl CardColumns {
    /// # Errors
    /// [`StoreError::Damaged`] for a revision that no database reaches.
    pub fn of(change: &CardChange) -> Result<Self, StoreError> {
        let CardChange { revision, ledger, changed, recorded_at, request, fingerprint, by } = change;
        let card = match changed {
            CardEdit::Card(card) => Some(card),
            CardEdit::Default(_) => None,
        };
        let mut row = Self {
            revision: i64::try_from(*revision).map_err(|_| damaged("a revision leaves its bounds"))?,
            ledger_no: ledger.get().into(),
            kind: changed.kind().code().into(),
            card_id: changed.card().to_string(),
            version: card.map(|card| card.card.version.into()),
            body: card.map(|card| encode(card.as_ref())),
            recorded_at: recorded_at.micros(),
            fingerprint: fingerprint.cast_signed(),
            made_by: by.to_string(),
            checksum: 0,
        };
        row.checksum = row.sum(request);
        Ok(row)
    }

    fn sum(&self, request: &RequestKey) -> i64 {
        let Self { revision, ledger_no, kind, recorded_at, fingerprint, .. } = *self;
        let version = self.version.unwrap_or(-1);
        let body = self.body.as_deref().unwrap_or_default();
        checksum(
            [revision, ledger_no, kind, version, recorded_at, fingerprint],
            &[self.card_id.as_bytes(), body, &encode(request), self.made_by.as_bytes()],
        )
    }

    /// # Errors
    /// [`StoreError::Damaged`] where the row is not as it was written.
    pub fn change(self, request: RequestKey) -> Result<CardChange, StoreError> {
        let what = format!("rate cards, revision {}", self.revision);
        if self.sum(&request) != self.checksum {
            return Err(damaged(format!("{what}: the row is not as it was written")));
        }
        let card_id =
            CardId::parse(&self.card_id).map_err(|error| damaged(format!("{what}: card {error}")))?;
        let changed = match u8::try_from(self.kind).ok().and_then(CardChangeKind::from_code) {
            Some(CardChangeKind::Create) => {
                let body = self.body.ok_or_else(|| damaged(format!("{what}: it has no card")))?;
                let card: RateCard = decoded(&body, &what)?;
                if card.card.id != card_id || self.version != Some(card.card.version.into()) {
                    return Err(damaged(format!("{what}: its columns are not those of its card")));
                }
                CardEdit::Card(Arc::new(card))
            }
            Some(CardChangeKind::SetDefault) => CardEdit::Default(card_id),
            None => return Err(damaged(format!("{what}: unknown kind {}", self.kind))),
        };
        Ok(CardChange {
            revision: count_of(self.revision, &what)?,
            ledger: ledger_no_of(self.ledger_no)?,
            changed,
            recorded_at: Timestamp::from_micros(self.recorded_at),
            request,
            fingerprint: self.fingerprint.cast_unsigned(),
            by: Text::parse(&self.made_by).map_err(|error| damaged(format!("{what}: made_by {error}")))?,
        })
    }
}
