//! Events: what a posting means to those who are told. They are no rows of their own; they follow from the posting.

use super::account::Slot;
use super::codec::coded_enum;
use super::credits::Credits;
use super::hold::{HoldState, SharedHold};
use super::posting::{Kind, Posting};

coded_enum!(
    /// What happened.
    EventType {
        /// An incident was estimated, or a new total offered.
        HoldQuoted = 1 / "hold.quoted",
        /// Credits were set aside on confirmation.
        HoldPlaced = 2 / "hold.placed",
        /// Confirmed, and waiting for credits.
        HoldAwaitingCredits = 3 / "hold.awaiting_credits",
        /// Credits came in for a parked hold.
        HoldActivated = 4 / "hold.activated",
        /// An active hold has a new total.
        HoldExtended = 5 / "hold.extended",
        /// Recorded work came to four fifths of the held credits.
        HoldNearlyUsed = 6 / "hold.nearly_used",
        /// The customer said no.
        HoldDeclined = 7 / "hold.declined",
        /// Ended without a charge.
        HoldReleased = 8 / "hold.released",
        /// A quote or a hold fell due.
        HoldExpired = 9 / "hold.expired",
        /// An incident needs more credits than there are.
        CreditsShortfall = 10 / "credits.shortfall",
        /// Work was charged.
        SettlementCompleted = 11 / "settlement.completed",
        /// A charge was given back.
        SettlementReversed = 12 / "settlement.reversed",
        /// Credits were bought.
        PurchaseCompleted = 13 / "purchase.completed",
        /// Credits were given.
        CreditsGranted = 14 / "credits.granted",
        /// An operator corrected the balance.
        CreditsAdjusted = 15 / "credits.adjusted",
        /// Credits fell due unused.
        CreditsExpired = 16 / "credits.expired",
        /// A purchase was given back.
        PurchaseRefunded = 40 / "purchase.refunded",
        /// The customer's bank took the money of a purchase back.
        PurchaseDisputed = 41 / "purchase.disputed",
        /// The available credits came down to a threshold.
        BalanceLow = 30 / "balance.low",
        /// The last available credits went.
        BalanceDepleted = 31 / "balance.depleted",
        /// The balance is above all thresholds again.
        BalanceRecovered = 32 / "balance.recovered",
        /// The storefront is asked to charge for a top-up.
        TopUpRequested = 50 / "top_up.requested",
    }
);

/// Something that happened, with what it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub event: EventType,
    /// The hold, for events about one.
    pub hold: Option<SharedHold>,
    /// How many credits it is about, where it is about an amount.
    pub credits: Option<Credits>,
}

/// The events of a posting, in their order: its own first, then what followed from it.
#[must_use]
pub fn events(posting: &Posting) -> Vec<Event> {
    let mut events = Vec::new();
    let detail = &posting.detail;
    let own = own_event(posting);
    let hold_event = |event, hold: &SharedHold, credits| Event { event, hold: Some(hold.clone()), credits };
    if let Some((event, credits)) = own {
        events.push(Event { event, hold: detail.hold.clone(), credits });
    }
    if let (true, Some(hold)) = (detail.nearly_used, &detail.hold) {
        events.push(hold_event(EventType::HoldNearlyUsed, hold, Some(hold.held)));
    }
    if let Some(shortfall) = &detail.shortfall {
        events.push(Event {
            event: EventType::CreditsShortfall,
            hold: detail.hold.clone(),
            credits: Some(shortfall.missing),
        });
    }
    let expired = posting.amounts.get(Slot::Expired);
    if expired.is_positive() {
        events.push(Event { event: EventType::CreditsExpired, hold: None, credits: Some(expired) });
    }
    for hold in detail.others.iter().filter(|hold| hold.state != HoldState::Superseded) {
        let activated = hold.activated_by == Some(posting.id);
        let event = if activated { EventType::HoldActivated } else { EventType::HoldExtended };
        events.push(hold_event(event, hold, Some(hold.held)));
    }
    let balance = [
        (EventType::BalanceLow, !detail.low.is_empty()),
        (EventType::BalanceDepleted, detail.depleted),
        (EventType::BalanceRecovered, detail.recovered),
    ];
    for (event, _) in balance.into_iter().filter(|(_, told)| *told) {
        events.push(Event { event, hold: None, credits: Some(posting.after.available) });
    }
    if let Some(request) = &detail.top_up {
        events.push(Event { event: EventType::TopUpRequested, hold: None, credits: Some(request.credits) });
    }
    events
}

/// The event that the posting's own command means, with its amount.
fn own_event(posting: &Posting) -> Option<(EventType, Option<Credits>)> {
    let hold = posting.detail.hold.as_ref();
    let lot = posting.detail.lot.as_ref();
    let of_hold = |event| Some((event, hold.map(|hold| hold.estimate)));
    match posting.kind {
        Kind::PurchaseCredits => Some((EventType::PurchaseCompleted, lot.map(|lot| lot.credits))),
        Kind::GrantCredits => Some((EventType::CreditsGranted, lot.map(|lot| lot.credits))),
        Kind::AdjustBalance => {
            let down = posting.amounts.get(Slot::Second).negated();
            Some((EventType::CreditsAdjusted, Some(lot.map_or(down, |lot| lot.credits))))
        }
        Kind::RefundPurchase | Kind::RecordChargeback => {
            let disputed = posting.kind == Kind::RecordChargeback;
            let event = if disputed { EventType::PurchaseDisputed } else { EventType::PurchaseRefunded };
            let refund = posting.detail.refunded.as_ref().and_then(|lot| lot.refunds.last());
            Some((event, refund.map(|refund| refund.credits)))
        }
        Kind::EstimateIncident => {
            let pending = hold.and_then(|hold| hold.pending.as_ref()).map(|pending| pending.total);
            Some((EventType::HoldQuoted, pending.or(hold.map(|hold| hold.estimate))))
        }
        Kind::PlaceHold | Kind::ConfirmEstimate => match hold {
            Some(hold) if hold.is_parked() => of_hold(EventType::HoldAwaitingCredits),
            Some(hold) if hold.activated_by == Some(posting.id) => of_hold(EventType::HoldPlaced),
            Some(_) | None => of_hold(EventType::HoldExtended),
        },
        Kind::ExtendHold => Some((EventType::HoldExtended, hold.map(|hold| hold.held))),
        Kind::DeclineEstimate => of_hold(EventType::HoldDeclined),
        Kind::ReleaseHold => of_hold(EventType::HoldReleased),
        Kind::SettleHold | Kind::ChargeIncident | Kind::CloseIncident => ended(hold),
        Kind::ReverseSettlement => {
            Some((EventType::SettlementReversed, Some(posting.amounts.get(Slot::First))))
        }
        Kind::ExpireEstimate | Kind::ExpireHold => of_hold(EventType::HoldExpired),
        Kind::CreateCustomer
        | Kind::UpdateCustomer
        | Kind::SetCustomerTerms
        | Kind::CloseCustomer
        | Kind::ReopenCustomer
        | Kind::ReverseRefund
        | Kind::ResolveChargeback
        | Kind::KeepPayment
        | Kind::ClosePayment
        | Kind::RecordWork
        | Kind::VoidWork
        | Kind::ExpireCredits
        | Kind::NoteShortfall
        | Kind::RequestTopUp
        | Kind::SetBalanceAlerts => None,
    }
}

/// How an incident ended: charged, released, or declined while it was a quote.
fn ended(hold: Option<&SharedHold>) -> Option<(EventType, Option<Credits>)> {
    let hold = hold?;
    if let Some(settlement) = &hold.settlement {
        return Some((EventType::SettlementCompleted, Some(settlement.charge)));
    }
    let declined = hold.state == HoldState::Declined;
    let event = if declined { EventType::HoldDeclined } else { EventType::HoldReleased };
    Some((event, Some(hold.estimate)))
}
