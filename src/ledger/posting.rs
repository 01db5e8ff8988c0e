//! Postings: what the journal is made of. One accepted command, its amounts, the balances after it, and what changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::account::{Amounts, Side, Slot, Transfer};
use super::actor::Actor;
use super::alert::{Alerts, Crossed, Threshold};
use super::change::Change;
use super::codec::{DecodeError, Decoder, record};
use super::credits::Credits;
use super::customer::{Balances, Profile, Terms};
use super::hold::{Hold, SharedHold};
use super::ids::{
    CustomerId, CustomerKey, IncidentId, LedgerNo, LotId, PostingId, RequestKey, Storefront, Text, TopUpId,
    WorkId,
};
use super::kind::{Kind, slots};
use super::lot::{Lot, OpenLot};
use super::money::{MoneyAccount, MoneyMove, MoneyPlace, MoneyTransfer};
use super::payment::Payment;
use super::rules::Rules;
use super::time::Timestamp;
use super::top_up::{Happened, TopUpAct, TopUpRequest};
use super::unused::Unused;
use super::work::{Work, listed_entry};

/// One row of the journal. Never changed, never deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// Its id: UUIDv7, rising with `sequence`.
    pub id: PostingId,
    pub ledger: LedgerNo,
    pub customer: CustomerKey,
    /// Its place among the customer's postings: 1, 2, 3, ...
    pub sequence: u64,
    pub kind: Kind,
    /// The stamp of its batch; rises with the customer's sequence, equal within a batch.
    pub recorded_at: Timestamp,
    /// The request it answers; `None` for what the ledger did by itself.
    pub request: Option<RequestKey>,
    /// A hash of the command, to tell a repeat from a clash. Zero without a request.
    pub fingerprint: u64,
    /// What moved, in fixed columns: [`Posting::transfers`].
    pub amounts: Amounts,
    /// The customer's balances after it.
    pub after: Balances,
    /// Completes the account `sales:<storefront>`.
    pub storefront: Option<Storefront>,
    /// What changed besides balances.
    pub detail: Detail,
    /// Where the texts of `detail` are.
    pub texts: Texts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Texts {
    /// Separate from the detail, where they can be erased; also where there are none.
    #[default]
    Separate,
    /// Within the detail, as older postings have them: these cannot be erased.
    Inline,
    /// They were erased at this time.
    Erased(Timestamp),
}

/// What a posting changed besides balances: with the amounts it is all that [`super::Book::apply`] needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Detail {
    /// The customer's id, in its first posting.
    pub created: Option<CustomerId>,
    /// The command's own hold, as it is after the posting.
    pub hold: Option<SharedHold>,
    /// Other holds as they are after it: the one that a new estimate superseded, and parked ones that were activated.
    pub others: Vec<SharedHold>,
    /// The lot that it brought in.
    pub lot: Option<Arc<Lot>>,
    /// What lots gained or (negative) lost, the new lot's own credits included, each with its money.
    pub lots: Vec<OpenLot>,
    pub profile: Option<Arc<Profile>>,
    pub terms: Option<Terms>,
    /// How many credits are missing, where the announcement is due.
    pub shortfall: Option<Shortfall>,
    /// True where the recorded work came to four fifths of the held credits with this posting.
    pub nearly_used: bool,
    /// The entry of work on the command's hold that was recorded or voided, as it is after the posting.
    pub work: Option<Arc<Work>>,
    pub by: Text,
    pub reason: Text,
    pub metadata: BTreeMap<Text, Text>,
    /// Who called for it; `None` where callers were not authenticated, and for what the ledger did by itself.
    pub actor: Option<Arc<Actor>>,
    pub money: Vec<MoneyMove>,
    /// The purchase that was given back, or got something back, as it is after the posting.
    pub refunded: Option<Arc<Lot>>,
    /// Purchases whose refunds a reversal has undone in part, as they are after the posting.
    pub undone: Vec<Arc<Lot>>,
    /// What left each lot unused with this posting. It is in `lots` too, except for what came back into a lot that had
    /// expired. Empty by [`Rules::First`].
    pub unused: Vec<(LotId, Unused)>,
    /// The payment that was kept.
    pub payment: Option<Arc<Payment>>,
    /// The posting of the payment that left the suspense account.
    pub closed_payment: Option<PostingId>,
    /// The waiting order of a storefront that a person closed.
    pub closed_order: Option<PostingId>,
    /// The change of the customer's own thresholds.
    pub alerts: Change<Arc<Alerts>>,
    /// The thresholds that the balance crossed downward with this posting.
    pub low: Vec<Crossed>,
    /// The thresholds that had fired and are armed again, or are none of the customer's any more.
    pub rearmed: Vec<Threshold>,
    /// True where the last available credits went.
    pub depleted: bool,
    /// True where the balance is above all thresholds again, after an event that it was low.
    pub recovered: bool,
    /// Credits charged to the customer so far, less what was given back: [`super::customer::CustomerState::used`].
    pub used: Credits,
    /// The request for a top-up that it makes.
    pub top_up: Option<Arc<TopUpRequest>>,
    /// What its command does about top-ups.
    pub top_up_act: Option<TopUpAct>,
    /// The request whose failure suspends all further ones with this posting.
    pub top_ups_suspended: Option<TopUpId>,
    /// What it was decided by.
    pub rules: Rules,
}
record!(Detail {
    1 => created, 2 => hold, 3 => others, 4 => lot, 5 => lots, 6 => profile, 7 => terms, 8 => shortfall,
    10 => by, 11 => reason, 12 => nearly_used, 13 => work, 30 => alerts, 31 => low, 32 => depleted, 33 => recovered,
    34 => used, 35 => rearmed, 40 => money, 41 => refunded, 42 => payment, 43 => closed_payment, 50 => top_up,
    51 => top_up_act, 52 => top_ups_suspended, 60 => metadata, 70 => rules, 71 => unused, 72 => undone, 80 => actor,
    90 => closed_order,
} older { 9 => WorkId });

impl Detail {
    /// The holds that it changes, the command's own first.
    pub fn holds(&self) -> impl Iterator<Item = &SharedHold> {
        self.hold.iter().chain(&self.others)
    }

    /// Whether the customer itself uses available credits with a posting of this kind: they are set aside or charged, or
    /// its hold waits for them. What parked holds take, what expires and what an operator takes away is no use.
    fn uses_credits(&self, kind: Kind, amounts: &Amounts) -> bool {
        let uses = |slot: &Slot| {
            let sides = slots(kind, *slot);
            let to_use = matches!(sides, Some((Side::Available, Side::Held | Side::Revenue)));
            to_use && *slot != Slot::Activated && amounts.get(*slot).is_positive()
        };
        let confirms = matches!(kind, Kind::PlaceHold | Kind::ConfirmEstimate);
        let waits = confirms && self.hold.as_ref().is_some_and(|hold| hold.is_parked());
        waits || Slot::ALL.iter().any(uses)
    }

    /// What top-ups are decided by, of a posting with these details.
    pub(super) fn happened(
        &self,
        kind: Kind,
        now: Timestamp,
        amounts: &Amounts,
        has_settings: bool,
    ) -> Happened {
        Happened {
            kind,
            now,
            has_settings,
            uses_credits: self.uses_credits(kind, amounts),
            act: self.top_up_act,
        }
    }

    /// Older details name their entry of work and carry it in the list of their hold, which is their first field. The
    /// bytes are read once more for it, so that the hold itself keeps no list.
    fn fold_older(self, work: &WorkId, mut whole: Decoder<'_>) -> Result<Self, DecodeError> {
        const HOLD: u8 = 2;
        if whole.byte()? != HOLD {
            return Err(DecodeError::MissingField("hold"));
        }
        let (_, list) = Hold::take_older(&mut whole)?;
        let entry =
            listed_entry(&list.unwrap_or_default(), *work).ok_or(DecodeError::MissingField("work"))?;
        Ok(Self { work: Some(Arc::new(entry)), ..self })
    }
}

/// Credits that an incident needs and the customer does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shortfall {
    pub incident: IncidentId,
    /// How many are missing; more than zero.
    pub missing: Credits,
}
record!(Shortfall { 1 => incident, 2 => missing });

impl Posting {
    /// The holds it changed, the command's own first.
    pub fn holds(&self) -> impl Iterator<Item = &SharedHold> {
        self.detail.holds()
    }

    /// Whether it changed a hold of the incident, or announced that credits are missing for it.
    pub fn is_about(&self, incident: &IncidentId) -> bool {
        self.holds().any(|hold| hold.incident == *incident)
            || self.detail.shortfall.as_ref().is_some_and(|shortfall| shortfall.incident == *incident)
    }

    /// Whether who asked for it is only claimed: somebody is named who is not the caller that has shown itself.
    pub fn is_by_claimed(&self) -> bool {
        let by = self.detail.by.as_str();
        let shown = self.detail.actor.as_ref().map(|actor| actor.subject.0.as_str());
        !by.is_empty() && shown != Some(by)
    }

    /// What it moves in money: a function of its row and its detail alone.
    pub fn money_transfers(&self) -> impl Iterator<Item = MoneyTransfer> + '_ {
        self.detail.money.iter().map(|moved| {
            let place = |account| MoneyPlace {
                currency: moved.money.currency,
                account,
                storefront: match account {
                    MoneyAccount::StorefrontReceivable => self.storefront.clone(),
                    MoneyAccount::DeferredRevenue | MoneyAccount::EarnedRevenue | MoneyAccount::Breakage => {
                        None
                    }
                },
            };
            MoneyTransfer {
                debit: place(moved.debit),
                credit: place(moved.credit),
                minor_units: moved.money.minor_units,
            }
        })
    }

    /// The lot that it brought in, or changed, as it is after the posting.
    pub fn lot(&self) -> Option<&Arc<Lot>> {
        self.detail.lot.as_ref().or(self.detail.refunded.as_ref())
    }

    /// The earlier lots that it changed, as they are after it.
    pub fn changed_lots(&self) -> impl Iterator<Item = &Arc<Lot>> {
        self.detail.refunded.iter().chain(&self.detail.undone)
    }

    /// Its transfers: a pure function of its row, the same as the SQL view `transfer`.
    pub fn transfers(&self) -> impl Iterator<Item = Transfer> + '_ {
        Slot::ALL.into_iter().filter_map(|slot| {
            let credits = self.amounts.get(slot);
            if credits.is_zero() {
                return None;
            }
            let (debit, credit) = slots(self.kind, slot)?;
            let storefront = self.storefront.as_ref();
            Some(Transfer { debit: debit.account(storefront)?, credit: credit.account(storefront)?, credits })
        })
    }
}
