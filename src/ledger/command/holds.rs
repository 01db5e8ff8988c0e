//! What callers can ask about holds: estimates, work, settlements and what undoes them.

use crate::ledger::codec::{Codec, DecodeError, Decoder, Encoder, asked, coded_enum};
use crate::ledger::credits::Credits;
use crate::ledger::ids::{ClassId, HoldId, IncidentId, LabelId, LineId, Text, WorkId};
use crate::ledger::job::{Circumstances, WorkPart};
use crate::ledger::time::Timestamp;

/// Names a hold by its id, or by its incident: then the open one is meant, else the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldRef {
    /// By id.
    Id(HoldId),
    /// By incident.
    Incident(IncidentId),
}

impl Codec for HoldRef {
    fn put(&self, out: &mut Encoder) {
        match self {
            Self::Id(id) => {
                out.push(1);
                id.put(out);
            }
            Self::Incident(id) => {
                out.push(2);
                id.put(out);
            }
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            1 => HoldId::take(input).map(Self::Id),
            2 => IncidentId::take(input).map(Self::Incident),
            _ => Err(DecodeError::Range),
        }
    }
}

/// How much an incident is estimated at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quote {
    /// The top of the class's range; zero for a free class; the flat price where the card has one.
    Class,
    /// So many credits: a quote, which where the card asks for one is the charge.
    Credits(Credits),
    /// What the card charges for so many seconds.
    Seconds(u64),
}

impl Codec for Quote {
    fn put(&self, out: &mut Encoder) {
        match self {
            Self::Class => out.push(0),
            Self::Credits(credits) => {
                out.push(1);
                credits.put(out);
            }
            Self::Seconds(seconds) => {
                out.push(2);
                seconds.put(out);
            }
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            0 => Ok(Self::Class),
            1 => Credits::take(input).map(Self::Credits),
            2 => u64::take(input).map(Self::Seconds),
            _ => Err(DecodeError::Range),
        }
    }
}

/// See [`super::Command::EstimateIncident`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EstimateIncident {
    /// What is to be done.
    pub incident: IncidentId,
    /// Its class; the card's defaults apply to one that it does not name. On an ACTIVE hold the hold's class stays.
    pub class: Option<ClassId>,
    /// How much.
    pub quote: Quote,
    /// When the incident was opened; by default now.
    pub opened_at: Option<Timestamp>,
    /// When an ACTIVE hold without work falls due; by default never.
    pub expires_at: Option<Timestamp>,
    /// Why the estimate lies outside its class's range.
    pub range_override: Text,
    /// What the customer should know.
    pub note: Text,
    /// What is special about the incident. On an ACTIVE hold the hold's own stay.
    pub circumstances: Circumstances,
}
asked!(EstimateIncident {
    1 => incident, 2 => class, 3 => quote, 4 => opened_at, 5 => expires_at, 6 => range_override, 7 => note, + 8 => by,
    20 => circumstances, + 60 => reason,
});

/// See [`super::Command::ConfirmEstimate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmEstimate {
    /// Which hold.
    pub hold: HoldRef,
    /// Wait for credits where there are too few, instead of a rejection.
    pub park: bool,
}
asked!(ConfirmEstimate { 1 => hold, 2 => park, + 3 => by, + 60 => reason });

/// See [`super::Command::DeclineEstimate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclineEstimate {
    /// Which hold.
    pub hold: HoldRef,
}
asked!(DeclineEstimate { 1 => hold, + 2 => reason, + 3 => by });

/// See [`super::Command::PlaceHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceHold {
    /// The estimate.
    pub estimate: EstimateIncident,
    /// Wait for credits where there are too few, instead of a rejection.
    pub park: bool,
}
asked!(PlaceHold { 1 => estimate, 2 => park });

/// See [`super::Command::ExtendHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendHold {
    /// Which hold.
    pub hold: HoldRef,
    /// How much more, more than zero.
    pub credits: Credits,
}
asked!(ExtendHold { 1 => hold, 2 => credits, + 3 => reason, + 4 => by });

/// An entry of work as a command names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewWork {
    /// How long it took, at most [`NewWork::SECONDS_MAX`].
    pub seconds: u64,
    /// When it began, where known.
    pub started_at: Option<Timestamp>,
    /// Which line of support did it.
    pub line: Option<LineId>,
    /// How many solutions it brought, at most [`NewWork::SOLUTIONS_MAX`]; 0 where it went on with one that is counted
    /// elsewhere.
    pub solutions: u32,
    /// What was done.
    pub note: Text,
    /// What it may cost more for, in order and each once.
    pub labels: Vec<LabelId>,
}
asked!(NewWork {
    1 => seconds, 2 => started_at, 3 => line, 4 => solutions, + 5 => by, 6 => note, 20 => labels,
});

impl NewWork {
    /// What its price depends on.
    #[must_use]
    pub fn part(&self) -> WorkPart<'_> {
        WorkPart {
            seconds: self.seconds,
            started_at: self.started_at,
            line: self.line.as_ref(),
            solutions: self.solutions,
            labels: &self.labels,
        }
    }

    /// The longest single entry: 366 days.
    pub const SECONDS_MAX: u64 = 366 * 86_400;
    /// The most solutions in one entry.
    pub const SOLUTIONS_MAX: u32 = 1_000;
}

/// See [`super::Command::RecordWork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWork {
    /// Which hold.
    pub hold: HoldRef,
    /// The work.
    pub work: NewWork,
}
asked!(RecordWork { 1 => hold, 2 => work, + 60 => reason });

/// See [`super::Command::VoidWork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidWork {
    /// Which hold.
    pub hold: HoldRef,
    /// Which entry.
    pub work: WorkId,
}
asked!(VoidWork { 1 => hold, 2 => work, + 3 => reason, + 4 => by });

coded_enum!(
    /// What happens where a charge exceeds the hold.
    Overrun {
        /// The rest is taken from available credits.
        TakeAvailable = 1 / "TAKE_AVAILABLE",
        /// The vendor bears the rest.
        CapAtHold = 2 / "CAP_AT_HOLD",
    }
);

/// See [`super::Command::SettleHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettleHold {
    /// Which hold.
    pub hold: HoldRef,
    /// What happens where the charge exceeds the hold.
    pub overrun: Overrun,
    /// The most that it may cost.
    pub max_charge: Option<Credits>,
    /// The recorded seconds that the caller has seen.
    pub expected_work_seconds: Option<u64>,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    /// Labels besides those of the hold and of the work on it.
    pub labels: Vec<LabelId>,
    /// Whether it was an emergency, where the hold is wrong about that.
    pub emergency: Option<bool>,
    /// Whether the knowledge base had the answer, where the hold is wrong about that.
    pub kb_answered: Option<bool>,
}
asked!(SettleHold {
    1 => hold, 2 => overrun, 3 => max_charge, 4 => expected_work_seconds, 5 => waive_reason, + 6 => by,
    20 => labels, 21 => emergency, 22 => kb_answered, + 60 => reason,
});

/// See [`super::Command::ReleaseHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseHold {
    /// Which hold.
    pub hold: HoldRef,
    /// Why recorded work is not charged.
    pub waive_reason: Text,
}
asked!(ReleaseHold { 1 => hold, 2 => waive_reason, + 3 => reason, + 4 => by });

/// See [`super::Command::CloseIncident`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseIncident {
    /// Which hold.
    pub hold: HoldRef,
    /// The most that it may cost.
    pub max_charge: Option<Credits>,
    /// The recorded seconds that the caller has seen.
    pub expected_work_seconds: Option<u64>,
}
asked!(CloseIncident { 1 => hold, 2 => max_charge, 3 => expected_work_seconds, + 4 => reason, + 5 => by });

/// See [`super::Command::ChargeIncident`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeIncident {
    /// What was done.
    pub incident: IncidentId,
    /// Its class.
    pub class: Option<ClassId>,
    /// The work.
    pub work: NewWork,
    /// When the incident was opened; by default now.
    pub opened_at: Option<Timestamp>,
    /// The most that it may cost.
    pub max_charge: Option<Credits>,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    /// What is special about the incident.
    pub circumstances: Circumstances,
}
asked!(ChargeIncident {
    1 => incident, 2 => class, 3 => work, 4 => opened_at, 5 => max_charge, 6 => waive_reason, 20 => circumstances, + 60 => reason,
});

/// See [`super::Command::ReverseSettlement`]. By incident, the newest settlement with anything left to give back is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseSettlement {
    /// Which.
    pub hold: HoldRef,
    /// How much; by default all that the customer has not got back.
    pub credits: Option<Credits>,
}
asked!(ReverseSettlement { 1 => hold, 2 => credits, + 3 => reason, + 4 => by });
