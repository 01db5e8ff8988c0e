//! What callers can ask of one customer's book. Every value in here was validated by its type or by the boundary.

mod holds;
mod payments;
mod refunds;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::alert::Alerts;
use super::codec::{Codec, DecodeError, Decoder, Encoder, asked, encode};
use super::credits::Credits;
use super::customer::{Profile, Terms};
use super::hash::stable_hash;
use super::ids::{
    CardId, CustomerId, CustomerKey, HoldId, IncidentId, LedgerNo, OrderId, PackageId, RequestKey,
    Storefront, Text, WorkId,
};
use super::money::Money;
use super::posting::Kind;
use super::time::{Day, Timestamp};
use super::top_up::TopUp;

pub use holds::{
    ChargeIncident, CloseIncident, ConfirmEstimate, DeclineEstimate, EstimateIncident, ExtendHold, HoldRef,
    NewWork, Overrun, PlaceHold, Quote, RecordWork, ReleaseHold, ReverseSettlement, SettleHold, VoidWork,
};
pub use payments::{ClosePayment, KeepPayment};
pub use refunds::{
    OnShortfall, PurchaseRef, RecordChargeback, RefundPurchase, ResolveChargeback, ReverseRefund,
};

/// A command about one customer, with the id that makes it repeatable.
#[derive(Clone, Debug)]
pub struct Request {
    /// The ledger.
    pub ledger: LedgerNo,
    /// The customer.
    pub customer: CustomerId,
    /// Same id and same content: answered from the first posting. `None` only for what the ledger asks of itself.
    pub request: Option<RequestKey>,
    /// Who asks, and why.
    pub said: Said,
    /// What to do.
    pub command: Command,
}

/// What is said with any command. No decision reads it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Who asks: for work, who did it.
    pub by: Text,
    /// Why.
    pub reason: Text,
    /// At most [`Said::METADATA_MAX`] pairs of the caller's own, kept with the posting.
    pub metadata: BTreeMap<Text, Text>,
}

impl Said {
    /// The most pairs of metadata.
    pub const METADATA_MAX: usize = 32;
}

/// What a fingerprint hashes of a command, or of a part of one.
pub(crate) trait Asked {
    /// Appends the encoding, with what was said in its place.
    fn put_asked(&self, said: &Said, out: &mut Encoder);

    /// True where the command around it leaves it out.
    fn is_left_out(&self) -> bool {
        false
    }
}

impl<T: Codec> Asked for T {
    fn put_asked(&self, _said: &Said, out: &mut Encoder) {
        self.put(out);
    }

    fn is_left_out(&self) -> bool {
        self.is_default()
    }
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
    /// Takes new work again after it was closed.
    ReopenCustomer(ReopenCustomer),
    /// Records a purchase made in a storefront.
    PurchaseCredits(PurchaseCredits),
    /// Gives promotional credits.
    GrantCredits(GrantCredits),
    /// Corrects a balance.
    AdjustBalance(AdjustBalance),
    /// Gives a purchase back.
    RefundPurchase(RefundPurchase),
    /// Undoes a refund.
    ReverseRefund(ReverseRefund),
    /// Notes that the customer's bank took the money back.
    RecordChargeback(RecordChargeback),
    /// Notes what the bank decided.
    ResolveChargeback(ResolveChargeback),
    /// Keeps a payment that is nobody's yet; asked of the suspense account.
    KeepPayment(KeepPayment),
    /// Takes a payment out of the suspense account.
    ClosePayment(ClosePayment),
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
    /// Changes from which balance on the customer is told.
    SetBalanceAlerts(SetBalanceAlerts),
    /// Applies what is due, for a customer that sends no commands. Asked by the ledger itself.
    ApplyDue,
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
    fn put(&self, out: &mut Encoder) {
        match self {
            Self::Keep => out.push(0),
            Self::Clear => out.push(1),
            Self::Set(value) => {
                out.push(2);
                value.put(out);
            }
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            0 => Ok(Self::Keep),
            1 => Ok(Self::Clear),
            2 => T::take(input).map(Self::Set),
            _ => Err(DecodeError::Range),
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
asked!(CreateCustomer { 1 => profile, 2 => terms, + 60 => reason, + 61 => by });

/// See [`Command::UpdateCustomer`]. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateCustomer {
    /// A new name.
    pub name: Option<Text>,
    /// A new contact, as a whole.
    pub contact: Option<super::customer::Contact>,
    /// New metadata, as a whole.
    pub metadata: Option<BTreeMap<Text, Text>>,
}
asked!(UpdateCustomer { 1 => name, 2 => contact, 3 => metadata, + 60 => reason, + 61 => by });

/// See [`Command::SetCustomerTerms`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetCustomerTerms {
    /// Its own rate card.
    pub rate_card: Change<CardId>,
    /// Its package.
    pub package: Change<PackageId>,
    /// Starts the free-support window anew.
    pub product_purchased_on: Change<Day>,
    /// When it is asked for a top-up.
    pub top_up: Change<Arc<TopUp>>,
    /// Charged in the same posting; zero for nothing.
    pub charge: Credits,
}
asked!(SetCustomerTerms {
    1 => rate_card, 2 => package, 3 => product_purchased_on, 4 => charge, + 5 => reason, + 6 => by, 7 => top_up,
});

/// See [`Command::CloseCustomer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseCustomer;
asked!(CloseCustomer { + 1 => reason, + 2 => by });

/// See [`Command::ReopenCustomer`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReopenCustomer;
asked!(ReopenCustomer { + 1 => reason, + 2 => by });

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
asked!(PurchaseCredits { 1 => storefront, 2 => order, 3 => credits, 4 => price, 5 => expires_at, + 60 => reason, + 61 => by });

/// See [`Command::GrantCredits`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GrantCredits {
    /// What is given, more than zero.
    pub credits: Credits,
    /// When what is left falls due; by default never.
    pub expires_at: Option<Timestamp>,
}
asked!(GrantCredits { 1 => credits, 2 => expires_at, + 3 => reason, + 4 => by });

/// See [`Command::AdjustBalance`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdjustBalance {
    /// More than zero adds, less than zero takes away; never zero.
    pub credits: Credits,
}
asked!(AdjustBalance { 1 => credits, + 2 => reason, + 3 => by });

/// See [`Command::SetBalanceAlerts`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetBalanceAlerts {
    /// Its own thresholds from now on, maybe none at all; `None` for those of its ledger.
    pub alerts: Option<Arc<Alerts>>,
}
asked!(SetBalanceAlerts { 1 => alerts, + 2 => by, + 60 => reason });

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
            Self::ReopenCustomer(_) => Kind::ReopenCustomer,
            Self::PurchaseCredits(_) => Kind::PurchaseCredits,
            Self::GrantCredits(_) => Kind::GrantCredits,
            Self::AdjustBalance(_) => Kind::AdjustBalance,
            Self::RefundPurchase(_) => Kind::RefundPurchase,
            Self::ReverseRefund(_) => Kind::ReverseRefund,
            Self::RecordChargeback(_) => Kind::RecordChargeback,
            Self::ResolveChargeback(_) => Kind::ResolveChargeback,
            Self::KeepPayment(_) => Kind::KeepPayment,
            Self::ClosePayment(_) => Kind::ClosePayment,
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
            Self::SetBalanceAlerts(_) => Kind::SetBalanceAlerts,
            Self::ApplyDue => return None,
        })
    }

    /// What of the stored state the command reads beyond its customer.
    #[must_use]
    pub fn keys(&self) -> Keys<'_> {
        let mut keys = Keys::default();
        if let Self::VoidWork(c) = self {
            keys.work = Some(c.work);
        }
        match self {
            Self::UpdateCustomer(_) => keys.profile = true,
            Self::PurchaseCredits(c) => keys.order = Some((&c.storefront, &c.order)),
            Self::RefundPurchase(RefundPurchase { purchase, .. })
            | Self::ReverseRefund(ReverseRefund { purchase, .. })
            | Self::RecordChargeback(RecordChargeback { purchase, .. })
            | Self::ResolveChargeback(ResolveChargeback { purchase, .. }) => {
                keys.purchase = Some(purchase);
                if let PurchaseRef::Order(storefront, order) = purchase {
                    keys.order = Some((storefront, order));
                }
            }
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
            | Self::ReopenCustomer(_)
            | Self::GrantCredits(_)
            | Self::AdjustBalance(_)
            | Self::KeepPayment(_)
            | Self::ClosePayment(_)
            | Self::SetBalanceAlerts(_)
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
    /// An entry of work on the hold, or on the active one of the incident, with the entries that its hold's sums need
    /// once it is voided: [`super::work::WorkSums::remove`].
    pub work: Option<WorkId>,
    /// The order of a purchase.
    pub order: Option<(&'a Storefront, &'a OrderId)>,
    /// The lot of a purchase; named by its order, that of `order`.
    pub purchase: Option<&'a PurchaseRef>,
    /// The customer's profile.
    pub profile: bool,
}

impl Request {
    /// The customer's key.
    #[must_use]
    pub fn customer_key(&self) -> CustomerKey {
        CustomerKey::of(self.ledger, &self.customer)
    }

    /// A hash of the parsed command: equal for equal content, whatever it looked like on the wire ("1.5" = "1.50",
    /// maps sorted, defaults left out). Never zero, which stands for "no request".
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        let mut bytes = Encoder::inline(Vec::with_capacity(96));
        let command: &dyn Asked = match &self.command {
            Command::CreateCustomer(c) => c,
            Command::UpdateCustomer(c) => c,
            Command::SetCustomerTerms(c) => c,
            Command::CloseCustomer(c) => c,
            Command::ReopenCustomer(c) => c,
            Command::PurchaseCredits(c) => c,
            Command::GrantCredits(c) => c,
            Command::AdjustBalance(c) => c,
            Command::RefundPurchase(c) => c,
            Command::ReverseRefund(c) => c,
            Command::RecordChargeback(c) => c,
            Command::ResolveChargeback(c) => c,
            Command::KeepPayment(c) => c,
            Command::ClosePayment(c) => c,
            Command::EstimateIncident(c) => c,
            Command::ConfirmEstimate(c) => c,
            Command::DeclineEstimate(c) => c,
            Command::PlaceHold(c) => c,
            Command::ExtendHold(c) => c,
            Command::RecordWork(c) => c,
            Command::VoidWork(c) => c,
            Command::SettleHold(c) => c,
            Command::ReleaseHold(c) => c,
            Command::CloseIncident(c) => c,
            Command::ChargeIncident(c) => c,
            Command::ReverseSettlement(c) => c,
            Command::SetBalanceAlerts(c) => c,
            Command::ApplyDue => return 1,
        };
        command.put_asked(&self.said, &mut bytes);
        let bytes = bytes.into_bytes();
        let metadata = &self.said.metadata;
        if metadata.is_empty() {
            // As before there was any.
            return stable_hash(&[&bytes]).max(1);
        }
        stable_hash(&[&bytes, &encode(metadata)]).max(1)
    }
}
