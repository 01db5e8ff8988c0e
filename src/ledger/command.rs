//! What callers can ask of one customer's book. Every value in here was validated by its type or by the boundary.

use super::codec::{Codec, encode, record};
use super::credits::Credits;
use super::customer::{Profile, Terms};
use super::hash::stable_hash;
use super::ids::{
    CardId, ClassId, CustomerId, CustomerKey, HoldId, IncidentId, LedgerNo, LineId, OrderId,
    PackageId, RequestKey, Storefront, Text, WorkId,
};
use super::lot::Money;
use super::posting::Kind;
use super::time::{Day, Timestamp};

/// A command about one customer, with the id that makes it repeatable.
#[derive(Clone, Debug)]
pub struct Request {
    /// The ledger.
    pub ledger: LedgerNo,
    /// The customer.
    pub customer: CustomerId,
    /// Same id and same content: answered from the first posting. `None` only for what the ledger asks of itself.
    pub request: Option<RequestKey>,
    /// What to do.
    pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Makes a customer.
    CreateCustomer(CreateCustomer),
    /// Changes name, contact or metadata.
    UpdateCustomer(UpdateCustomer),
    /// Changes what was agreed, and may charge credits for it.
    SetCustomerTerms(SetCustomerTerms),
    /// Takes no new work from now on.
    CloseCustomer(CloseCustomer),
    /// Records a purchase made in a storefront.
    PurchaseCredits(PurchaseCredits),
    /// Gives promotional credits.
    GrantCredits(GrantCredits),
    /// Corrects a balance.
    AdjustBalance(AdjustBalance),
    /// Quotes an incident.
    EstimateIncident(EstimateIncident),
    /// Accepts the quote.
    ConfirmEstimate(ConfirmEstimate),
    /// Refuses the quote.
    DeclineEstimate(DeclineEstimate),
    /// Estimates and confirms at once.
    PlaceHold(PlaceHold),
    /// Sets more credits aside.
    ExtendHold(ExtendHold),
    /// Records work on a hold.
    RecordWork(RecordWork),
    /// Withdraws an entry of work.
    VoidWork(VoidWork),
    /// Charges the recorded work.
    SettleHold(SettleHold),
    /// Gives the held credits back.
    ReleaseHold(ReleaseHold),
    /// Releases or settles, whichever fits.
    CloseIncident(CloseIncident),
    /// Charges an incident without a hold.
    ChargeIncident(ChargeIncident),
    /// Gives a settlement back.
    ReverseSettlement(ReverseSettlement),
    /// Applies what is due, for a customer that sends no commands. Asked by the ledger itself.
    ApplyDue,
}

/// Names a hold by its id, or by its incident: then the open one is meant, else the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldRef {
    /// By id.
    Id(HoldId),
    /// By incident.
    Incident(IncidentId),
}

impl Codec for HoldRef {
    fn put(&self, out: &mut Vec<u8>) {
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

    fn take(input: &mut &[u8]) -> Result<Self, super::codec::DecodeError> {
        match super::codec::take_byte(input)? {
            1 => HoldId::take(input).map(Self::Id),
            2 => IncidentId::take(input).map(Self::Incident),
            _ => Err(super::codec::DecodeError::Range),
        }
    }
}

/// A field that a command may leave as it is, clear, or set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    /// As it is.
    #[default]
    Keep,
    /// To nothing.
    Clear,
    /// To this.
    Set(T),
}

impl<T: Clone> Change<T> {
    /// The value after the change.
    #[must_use]
    pub fn apply(&self, before: Option<&T>) -> Option<T> {
        match self {
            Self::Keep => before.cloned(),
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}

impl<T: Codec> Codec for Change<T> {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Keep => out.push(0),
            Self::Clear => out.push(1),
            Self::Set(value) => {
                out.push(2);
                value.put(out);
            }
        }
    }

    fn take(input: &mut &[u8]) -> Result<Self, super::codec::DecodeError> {
        match super::codec::take_byte(input)? {
            0 => Ok(Self::Keep),
            1 => Ok(Self::Clear),
            2 => T::take(input).map(Self::Set),
            _ => Err(super::codec::DecodeError::Range),
        }
    }

    fn is_default(&self) -> bool {
        matches!(self, Self::Keep)
    }

    fn left_out() -> Option<Self> {
        Some(Self::Keep)
    }
}

/// See [`Command::CreateCustomer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateCustomer {
    /// Who it is.
    pub profile: Profile,
    /// What was agreed from the start.
    pub terms: Terms,
}
record!(CreateCustomer { 1 => profile, 2 => terms });

/// See [`Command::UpdateCustomer`]. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateCustomer {
    /// A new name.
    pub name: Option<Text>,
    /// A new contact, as a whole.
    pub contact: Option<super::customer::Contact>,
    /// New metadata, as a whole.
    pub metadata: Option<std::collections::BTreeMap<Text, Text>>,
}
record!(UpdateCustomer { 1 => name, 2 => contact, 3 => metadata });

/// See [`Command::SetCustomerTerms`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetCustomerTerms {
    /// Its own rate card.
    pub rate_card: Change<CardId>,
    /// Its package.
    pub package: Change<PackageId>,
    /// Starts the free-support window anew.
    pub product_purchased_on: Change<Day>,
    /// Charged in the same posting; zero for nothing.
    pub charge: Credits,
    /// Why; required with a charge.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(SetCustomerTerms { 1 => rate_card, 2 => package, 3 => product_purchased_on, 4 => charge, 5 => reason, 6 => by });

/// See [`Command::CloseCustomer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseCustomer {
    /// Why.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(CloseCustomer { 1 => reason, 2 => by });

/// See [`Command::PurchaseCredits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurchaseCredits {
    /// Where it was bought.
    pub storefront: Storefront,
    /// The storefront's order; unique with it in a ledger.
    pub order: OrderId,
    /// What was bought, more than zero.
    pub credits: Credits,
    /// The price paid.
    pub price: Option<Money>,
    /// When what is left falls due; by default never.
    pub expires_at: Option<Timestamp>,
}
record!(PurchaseCredits { 1 => storefront, 2 => order, 3 => credits, 4 => price, 5 => expires_at });

/// See [`Command::GrantCredits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantCredits {
    /// What is given, more than zero.
    pub credits: Credits,
    /// When what is left falls due; by default never.
    pub expires_at: Option<Timestamp>,
    /// Why.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(GrantCredits { 1 => credits, 2 => expires_at, 3 => reason, 4 => by });

/// See [`Command::AdjustBalance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustBalance {
    /// More than zero adds, less than zero takes away; never zero.
    pub credits: Credits,
    /// Why; required.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(AdjustBalance { 1 => credits, 2 => reason, 3 => by });

/// How much an incident is estimated at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Quote {
    /// The top of the class's range; zero for a free class.
    Class,
    /// So many credits.
    Credits(Credits),
    /// What the card charges for so many seconds.
    Seconds(u64),
}

impl Codec for Quote {
    fn put(&self, out: &mut Vec<u8>) {
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

    fn take(input: &mut &[u8]) -> Result<Self, super::codec::DecodeError> {
        match super::codec::take_byte(input)? {
            0 => Ok(Self::Class),
            1 => Credits::take(input).map(Self::Credits),
            2 => u64::take(input).map(Self::Seconds),
            _ => Err(super::codec::DecodeError::Range),
        }
    }
}

/// See [`Command::EstimateIncident`].
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
    /// Who.
    pub by: Text,
}
record!(EstimateIncident {
    1 => incident, 2 => class, 3 => quote, 4 => opened_at, 5 => expires_at, 6 => range_override, 7 => note, 8 => by,
});

/// See [`Command::ConfirmEstimate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfirmEstimate {
    /// Which hold.
    pub hold: HoldRef,
    /// Wait for credits where there are too few, instead of a rejection.
    pub park: bool,
    /// The customer, or an agent on their behalf.
    pub by: Text,
}
record!(ConfirmEstimate { 1 => hold, 2 => park, 3 => by });

/// See [`Command::DeclineEstimate`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclineEstimate {
    /// Which hold.
    pub hold: HoldRef,
    /// Why.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(DeclineEstimate { 1 => hold, 2 => reason, 3 => by });

/// See [`Command::PlaceHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceHold {
    /// The estimate.
    pub estimate: EstimateIncident,
    /// Wait for credits where there are too few, instead of a rejection.
    pub park: bool,
}
record!(PlaceHold { 1 => estimate, 2 => park });

/// See [`Command::ExtendHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtendHold {
    /// Which hold.
    pub hold: HoldRef,
    /// How much more, more than zero.
    pub credits: Credits,
    /// Why.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(ExtendHold { 1 => hold, 2 => credits, 3 => reason, 4 => by });

/// An entry of work as a command names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewWork {
    /// How long it took, at most [`NewWork::SECONDS_MAX`].
    pub seconds: u64,
    /// When it began, where known.
    pub started_at: Option<Timestamp>,
    /// Which line of support did it.
    pub line: Option<LineId>,
    /// How many solutions it brought, 1-1,000.
    pub solutions: u32,
    /// Who did it.
    pub by: Text,
    /// What was done.
    pub note: Text,
}
record!(NewWork { 1 => seconds, 2 => started_at, 3 => line, 4 => solutions, 5 => by, 6 => note });

impl NewWork {
    /// The longest single entry: 366 days.
    pub const SECONDS_MAX: u64 = 366 * 86_400;
    /// The most solutions in one entry.
    pub const SOLUTIONS_MAX: u32 = 1_000;
}

/// See [`Command::RecordWork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordWork {
    /// Which hold.
    pub hold: HoldRef,
    /// The work.
    pub work: NewWork,
}
record!(RecordWork { 1 => hold, 2 => work });

/// See [`Command::VoidWork`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoidWork {
    /// Which hold.
    pub hold: HoldRef,
    /// Which entry.
    pub work: WorkId,
    /// Why; required.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(VoidWork { 1 => hold, 2 => work, 3 => reason, 4 => by });

super::codec::coded_enum!(
    /// What happens where a charge exceeds the hold.
    Overrun {
        /// The rest is taken from available credits.
        TakeAvailable = 1 / "TAKE_AVAILABLE",
        /// The vendor bears the rest.
        CapAtHold = 2 / "CAP_AT_HOLD",
    }
);

/// See [`Command::SettleHold`].
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
    /// Who.
    pub by: Text,
}
record!(SettleHold {
    1 => hold, 2 => overrun, 3 => max_charge, 4 => expected_work_seconds, 5 => waive_reason, 6 => by,
});

/// See [`Command::ReleaseHold`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReleaseHold {
    /// Which hold.
    pub hold: HoldRef,
    /// Why recorded work is not charged.
    pub waive_reason: Text,
    /// Why it is released.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(ReleaseHold { 1 => hold, 2 => waive_reason, 3 => reason, 4 => by });

/// See [`Command::CloseIncident`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseIncident {
    /// Which hold.
    pub hold: HoldRef,
    /// The most that it may cost.
    pub max_charge: Option<Credits>,
    /// The recorded seconds that the caller has seen.
    pub expected_work_seconds: Option<u64>,
    /// Why.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(CloseIncident { 1 => hold, 2 => max_charge, 3 => expected_work_seconds, 4 => reason, 5 => by });

/// See [`Command::ChargeIncident`].
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
}
record!(ChargeIncident {
    1 => incident, 2 => class, 3 => work, 4 => opened_at, 5 => max_charge, 6 => waive_reason,
});

/// See [`Command::ReverseSettlement`]. By incident, the newest settlement with anything left to give back is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseSettlement {
    /// Which.
    pub hold: HoldRef,
    /// How much; by default all that the customer has not got back.
    pub credits: Option<Credits>,
    /// Why; required.
    pub reason: Text,
    /// Who.
    pub by: Text,
}
record!(ReverseSettlement { 1 => hold, 2 => credits, 3 => reason, 4 => by });

impl Command {
    /// The kind of posting that an accepted command leaves, which is also the scope of its request id.
    /// [`Command::ApplyDue`] leaves postings of other kinds and has no request id.
    #[must_use]
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self {
            Self::CreateCustomer(_) => Kind::CreateCustomer,
            Self::UpdateCustomer(_) => Kind::UpdateCustomer,
            Self::SetCustomerTerms(_) => Kind::SetCustomerTerms,
            Self::CloseCustomer(_) => Kind::CloseCustomer,
            Self::PurchaseCredits(_) => Kind::PurchaseCredits,
            Self::GrantCredits(_) => Kind::GrantCredits,
            Self::AdjustBalance(_) => Kind::AdjustBalance,
            Self::EstimateIncident(_) => Kind::EstimateIncident,
            Self::ConfirmEstimate(_) => Kind::ConfirmEstimate,
            Self::DeclineEstimate(_) => Kind::DeclineEstimate,
            Self::PlaceHold(_) => Kind::PlaceHold,
            Self::ExtendHold(_) => Kind::ExtendHold,
            Self::RecordWork(_) => Kind::RecordWork,
            Self::VoidWork(_) => Kind::VoidWork,
            Self::SettleHold(_) => Kind::SettleHold,
            Self::ReleaseHold(_) => Kind::ReleaseHold,
            Self::CloseIncident(_) => Kind::CloseIncident,
            Self::ChargeIncident(_) => Kind::ChargeIncident,
            Self::ReverseSettlement(_) => Kind::ReverseSettlement,
            Self::ApplyDue => return None,
        })
    }

    /// A hash of the parsed command: equal for equal content, whatever it looked like on the wire ("1.5" = "1.50",
    /// maps sorted, defaults left out). Never zero, which stands for "no request".
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let bytes = match self {
            Self::CreateCustomer(c) => encode(c),
            Self::UpdateCustomer(c) => encode(c),
            Self::SetCustomerTerms(c) => encode(c),
            Self::CloseCustomer(c) => encode(c),
            Self::PurchaseCredits(c) => encode(c),
            Self::GrantCredits(c) => encode(c),
            Self::AdjustBalance(c) => encode(c),
            Self::EstimateIncident(c) => encode(c),
            Self::ConfirmEstimate(c) => encode(c),
            Self::DeclineEstimate(c) => encode(c),
            Self::PlaceHold(c) => encode(c),
            Self::ExtendHold(c) => encode(c),
            Self::RecordWork(c) => encode(c),
            Self::VoidWork(c) => encode(c),
            Self::SettleHold(c) => encode(c),
            Self::ReleaseHold(c) => encode(c),
            Self::CloseIncident(c) => encode(c),
            Self::ChargeIncident(c) => encode(c),
            Self::ReverseSettlement(c) => encode(c),
            Self::ApplyDue => Vec::new(),
        };
        stable_hash(&[&bytes]).max(1)
    }

    /// What of the stored state the command reads beyond its customer.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        let mut keys = Keys::default();
        match self {
            Self::UpdateCustomer(_) => keys.profile = true,
            Self::PurchaseCredits(c) => keys.order = Some((&c.storefront, &c.order)),
            Self::EstimateIncident(c) => keys.incident = Some(&c.incident),
            Self::PlaceHold(c) => keys.incident = Some(&c.estimate.incident),
            Self::ChargeIncident(c) => keys.incident = Some(&c.incident),
            Self::ConfirmEstimate(ConfirmEstimate { hold, .. })
            | Self::DeclineEstimate(DeclineEstimate { hold, .. })
            | Self::ExtendHold(ExtendHold { hold, .. })
            | Self::RecordWork(RecordWork { hold, .. })
            | Self::VoidWork(VoidWork { hold, .. })
            | Self::SettleHold(SettleHold { hold, .. })
            | Self::ReleaseHold(ReleaseHold { hold, .. })
            | Self::CloseIncident(CloseIncident { hold, .. })
            | Self::ReverseSettlement(ReverseSettlement { hold, .. }) => match hold {
                HoldRef::Id(id) => keys.hold = Some(*id),
                HoldRef::Incident(id) => keys.incident = Some(id),
            },
            Self::CreateCustomer(_)
            | Self::SetCustomerTerms(_)
            | Self::CloseCustomer(_)
            | Self::GrantCredits(_)
            | Self::AdjustBalance(_)
            | Self::ApplyDue => {}
        }
        // A settlement costs the price of the incident's whole time, so all its holds are read; recording work looks
        // ahead to it.
        keys.whole_incident =
            matches!(self, Self::SettleHold(_) | Self::CloseIncident(_) | Self::RecordWork(_));
        keys
    }
}

/// What of the stored state a command reads beyond its customer. A store loads exactly this, together with the
/// customer's watched holds where something is due or parked ([`super::hold::Hold::is_watched`]).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys<'a> {
    /// One hold by id.
    pub hold: Option<HoldId>,
    /// All holds of one incident, ended ones included.
    pub incident: Option<&'a IncidentId>,
    /// With `hold`: all holds of that hold's incident as well.
    pub whole_incident: bool,
    /// The order of a purchase.
    pub order: Option<(&'a Storefront, &'a OrderId)>,
    /// The customer's profile.
    pub profile: bool,
}

impl Request {
    /// The customer's key.
    #[must_use]
    pub fn customer_key(&self) -> CustomerKey {
        CustomerKey::of(self.ledger, &self.customer)
    }
}

