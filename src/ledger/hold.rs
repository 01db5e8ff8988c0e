//! Holds: credits set aside for one incident, the work recorded on them, and how they ended.

use std::sync::Arc;

use super::card::CardRef;
use super::codec::{DecodeError, Decoder, coded_enum, record};
use super::credits::Credits;
use super::ids::{ClassId, CustomerId, CustomerKey, HoldId, IncidentId, LedgerNo, PostingId, Text};
use super::job::{Circumstances, PriceInputs};
use super::lot::OpenLot;
use super::time::Timestamp;
use super::work::{Work, WorkSums, listed_entries};

coded_enum!(
    /// Where a hold stands.
    ///
    /// `QUOTED -> ACTIVE | AWAITING_CREDITS | DECLINED | EXPIRED | SUPERSEDED`;
    /// `AWAITING_CREDITS -> ACTIVE | DECLINED | RELEASED | EXPIRED`; `ACTIVE -> SETTLED | RELEASED | EXPIRED`.
    HoldState {
        /// Estimated; no credits have moved.
        Quoted = 1 / "QUOTED",
        /// Confirmed, and parked until the customer has the credits.
        AwaitingCredits = 2 / "AWAITING_CREDITS",
        /// The credits are set aside.
        Active = 3 / "ACTIVE",
        /// The work was charged.
        Settled = 4 / "SETTLED",
        /// Ended without a charge.
        Released = 5 / "RELEASED",
        /// Fell due.
        Expired = 6 / "EXPIRED",
        /// The customer said no.
        Declined = 7 / "DECLINED",
        /// A newer estimate took its place.
        Superseded = 8 / "SUPERSEDED",
    }
);

impl HoldState {
    /// QUOTED, AWAITING_CREDITS or ACTIVE.
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Quoted | Self::AwaitingCredits | Self::Active)
    }
}

/// A hold, in whatever state. A charge without a hold is kept as a settled one with `direct` set, so that an
/// incident's history is in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Named by the posting that made it.
    pub id: HoldId,
    pub ledger: LedgerNo,
    pub customer: CustomerId,
    pub incident: IncidentId,
    pub class: Option<ClassId>,
    /// The customer's hold before this one. A customer's holds are a chain, newest first, so that no index
    /// by customer has to be written.
    pub previous: Option<HoldId>,
    pub state: HoldState,
    /// True for a charge without a hold.
    pub direct: bool,
    /// The card and version that price it, pinned when it was made.
    pub card: CardRef,
    pub created_at: Timestamp,
    /// When the incident was opened: decides free support.
    pub opened_at: Timestamp,
    /// The confirmed (or, while QUOTED, offered) estimate.
    pub estimate: Credits,
    /// Set aside now: zero unless ACTIVE.
    pub held: Credits,
    /// Until when a quote or a parked hold is valid.
    pub valid_until: Option<Timestamp>,
    /// When an ACTIVE hold falls due on which no work was ever recorded; by default never.
    pub expires_at: Option<Timestamp>,
    /// Since when it waits for credits; kept only while AWAITING_CREDITS.
    pub parked_at: Option<Timestamp>,
    /// The posting that parked it. It orders holds that were parked at the same moment.
    pub parked_by: Option<PostingId>,
    /// A newer estimate that waits for confirmation, or for credits, while the hold is ACTIVE.
    pub pending: Option<Pending>,
    /// Why the estimate lies outside its class's range.
    pub range_override: Text,
    pub estimated_by: Text,
    pub confirmed_by: Text,
    pub confirmed_at: Option<Timestamp>,
    /// The posting that set its credits aside first.
    pub activated_by: Option<PostingId>,
    pub note: Text,
    /// The sums of its work; its entries, at most [`Hold::WORK_MAX`], are rows of their own.
    pub work: WorkSums,
    pub settlement: Option<Settlement>,
    pub ended_at: Option<Timestamp>,
    pub ended_by: Text,
    pub end_reason: Text,
    pub circumstances: Circumstances,
    /// True where the estimate is a quote: given in credits, not taken from the card.
    pub quoted: bool,
}
record!(Hold {
    1 => id, 2 => ledger, 3 => customer, 4 => incident, 5 => class, 6 => state, 7 => direct, 8 => card,
    9 => created_at, 10 => opened_at, 11 => estimate, 12 => held, 13 => valid_until, 14 => expires_at,
    15 => parked_at, 16 => pending, 17 => range_override, 18 => estimated_by, 19 => confirmed_by,
    20 => confirmed_at, 21 => note, 23 => settlement, 24 => ended_at, 25 => ended_by,
    26 => end_reason, 27 => previous, 28 => activated_by,
    29 => parked_by, 50 => circumstances, 51 => quoted, 52 => work,
} older { 22 => Vec<Work> });

impl Hold {
    /// Older holds carry all entries of their work.
    fn fold_older(self, list: &[Work], _: Decoder<'_>) -> Result<Self, DecodeError> {
        let work = WorkSums::of(list).ok_or(DecodeError::Range)?;
        Ok(Self { work, ..self })
    }

    /// Reads an older hold with the entries of its work that it carries, in the order in which they were recorded; a
    /// newer one carries none.
    pub fn decode_with_entries(bytes: &[u8]) -> Result<(Self, Vec<Work>), DecodeError> {
        let mut input = Decoder::inline(bytes);
        let (hold, list) = Self::take_older(&mut input)?;
        input.end()?;
        let list = list.unwrap_or_default();
        if list.is_empty() {
            return Ok((hold, list));
        }
        let hold = hold.fold_older(&list, input)?;
        Ok((hold, listed_entries(list)))
    }
}

/// A new total offered for an ACTIVE hold. Confirming it moves only the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    pub total: Credits,
    /// Until when it stands.
    pub valid_until: Timestamp,
    /// Since when it is confirmed and waits for credits.
    pub parked_at: Option<Timestamp>,
    /// The posting that parked it.
    pub parked_by: Option<PostingId>,
    /// Why it lies outside the class's range.
    pub range_override: Text,
    pub estimated_by: Text,
    /// Who confirmed, where it is parked.
    pub confirmed_by: Text,
    pub note: Text,
    /// True where it is a quote: given in credits, not taken from the card.
    pub quoted: bool,
}
record!(Pending {
    1 => total, 2 => valid_until, 3 => parked_at, 4 => range_override, 5 => estimated_by, 6 => confirmed_by,
    7 => note, 8 => parked_by, 20 => quoted,
});

/// How a hold, or an incident without one, was charged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settlement {
    /// The posting that moved the credits.
    pub posting: PostingId,
    pub settled_at: Timestamp,
    /// What the calculation started from; with the pinned card it gives the receipt again.
    pub inputs: PriceInputs,
    /// What it cost: `from_held + from_available + written_off`.
    pub charge: Credits,
    /// Paid from the hold.
    pub from_held: Credits,
    /// Paid from available credits.
    pub from_available: Credits,
    /// Borne by the vendor.
    pub written_off: Credits,
    /// The lots that paid, in the order in which they burned.
    pub burned: Vec<OpenLot>,
    /// What was given back so far: the customer got it, or it undid a refund of the same credits.
    pub reversed: Credits,
    /// The part of the write-off that was undone.
    pub write_off_reversed: Credits,
}
record!(Settlement {
    1 => posting, 2 => settled_at, 3 => inputs, 4 => charge, 5 => from_held, 6 => from_available,
    7 => written_off, 8 => burned, 9 => reversed, 10 => write_off_reversed,
});

impl Settlement {
    /// What the customer paid.
    pub fn paid(&self) -> Credits {
        self.charge.less_at_least_zero(self.written_off)
    }

    /// What the customer paid and has not got back.
    pub fn reversible(&self) -> Credits {
        self.paid().less_at_least_zero(self.reversed)
    }

    /// What was charged and not reversed, the vendor's share included.
    pub fn standing_charge(&self) -> Credits {
        self.charge.less_at_least_zero(self.reversed).less_at_least_zero(self.write_off_reversed)
    }

    /// True where all that it charged was given back. A settlement that charged nothing has nothing to give back: its
    /// time stays decided.
    pub fn is_given_back(&self) -> bool {
        self.charge.is_positive() && self.standing_charge().is_zero()
    }
}

impl Hold {
    /// Entries of work per hold, voided ones included.
    pub const WORK_MAX: u32 = 10_000;

    pub fn customer_key(&self) -> CustomerKey {
        CustomerKey::of(self.ledger, &self.customer)
    }

    /// The quote that the customer confirmed, where the estimate is one.
    pub fn confirmed_quote(&self) -> Option<Credits> {
        self.quoted.then_some(self.estimate)
    }

    /// Seconds of work that count.
    pub const fn worked_seconds(&self) -> u64 {
        self.work.seconds
    }

    /// True while a parked amount waits for credits: the whole hold, or the rise of an active one.
    pub fn is_parked(&self) -> bool {
        self.waiting_since().is_some()
    }

    /// The posting since which it waits for credits.
    pub fn waiting_since(&self) -> Option<PostingId> {
        match self.state {
            HoldState::AwaitingCredits => self.parked_by,
            HoldState::Active => self.pending.as_ref().and_then(|pending| pending.parked_by),
            HoldState::Quoted
            | HoldState::Settled
            | HoldState::Released
            | HoldState::Expired
            | HoldState::Declined
            | HoldState::Superseded => None,
        }
    }

    /// When something of it falls due next: a quote, a parked hold, a pending quote, or an active hold with an expiry.
    /// Work once recorded keeps an active hold, even if it is voided.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self.state {
            // A hold must not be placed after the time at which it would give its credits back.
            HoldState::Quoted | HoldState::AwaitingCredits => {
                [self.valid_until, self.expires_at].into_iter().flatten().min()
            }
            HoldState::Active => {
                let pending = self.pending.as_ref().map(|pending| pending.valid_until);
                let own = self.expires_at.filter(|_| self.work.entries == 0);
                [pending, own].into_iter().flatten().min()
            }
            HoldState::Settled
            | HoldState::Released
            | HoldState::Expired
            | HoldState::Declined
            | HoldState::Superseded => None,
        }
    }

    /// Ends it in `state`: no credits stay set aside, and no quote or parked amount stays open.
    pub fn end(&mut self, state: HoldState, at: Timestamp) {
        self.state = state;
        self.held = Credits::ZERO;
        self.pending = None;
        self.parked_at = None;
        self.parked_by = None;
        self.valid_until = None;
        self.ended_at = Some(at);
    }

    /// True where a store must find it without being asked for it by name: it can fall due, or it waits for credits. So
    /// is an active hold with an expiry whose work is all voided, which fell due by the first rules: stores keep this in
    /// a column, which must be the same for all versions.
    pub fn is_watched(&self) -> bool {
        let was_due = self.state == HoldState::Active && self.expires_at.is_some() && self.work.is_empty();
        self.due_at().is_some() || self.is_parked() || was_due
    }
}

/// Holds are shared between the state, the journal's rows and the answers.
pub type SharedHold = Arc<Hold>;
