//! Events as wire messages: what each type carries.

use crate::delivery::Notice;
use crate::ledger::alert::{Crossed, Threshold};
use crate::ledger::event::EventType;
use crate::ledger::forecast::Forecast;
use crate::ledger::{Credits, LedgerId, Posting};

use super::super::wire;
use super::messages::{balance, contact, hold, new_lot, purchase};
use super::values::{day, or_empty, signed, small, time};

pub fn event(notice: &Notice, ledger: &LedgerId) -> wire::Event {
    let posting = &notice.posting;
    let detail = &posting.detail;
    let own_hold = notice.event.hold.as_ref();
    let incident = own_hold.map(|hold| &hold.incident);
    let incident = incident.or_else(|| match notice.event.event {
        EventType::CreditsShortfall => detail.shortfall.as_ref().map(|shortfall| &shortfall.incident),
        _ => None,
    });
    wire::Event {
        event_id: notice.id(),
        r#type: notice.event.event.code().into(),
        ledger_id: ledger.to_string(),
        customer_id: notice.customer.to_string(),
        customer_name: notice.profile.name.to_string(),
        contact: Some(contact(&notice.profile.contact)),
        posting_id: posting.id.to_string(),
        position: signed(notice.position.0),
        index: small(notice.index),
        sequence: signed(posting.sequence),
        recorded_at: Some(time(posting.recorded_at)),
        balance: Some(balance(posting.after, posting.sequence)),
        incident_id: or_empty(incident),
        by: detail.by.to_string(),
        reason: detail.reason.to_string(),
        payload: Some(payload(notice, ledger)),
    }
}

fn payload(notice: &Notice, ledger: &LedgerId) -> wire::event::Payload {
    use wire::event::Payload;
    let posting = &notice.posting;
    let hold = notice.event.hold.as_ref().map(|of| hold(of, ledger));
    let credits = notice.event.credits.unwrap_or(Credits::ZERO).to_string();
    match notice.event.event {
        EventType::HoldQuoted
        | EventType::HoldPlaced
        | EventType::HoldAwaitingCredits
        | EventType::HoldActivated
        | EventType::HoldExtended
        | EventType::HoldNearlyUsed
        | EventType::HoldDeclined
        | EventType::HoldReleased
        | EventType::HoldExpired => Payload::HoldEvent(wire::HoldEvent { hold, credits }),
        EventType::CreditsShortfall => {
            Payload::ShortfallEvent(wire::ShortfallEvent { missing_credits: credits, hold })
        }
        EventType::SettlementCompleted | EventType::SettlementReversed => {
            Payload::SettlementEvent(wire::SettlementEvent { hold, credits })
        }
        EventType::PurchaseCompleted | EventType::PurchaseRefunded | EventType::PurchaseDisputed => {
            let lot = posting.detail.lot.as_ref().or(posting.detail.refunded.as_ref());
            let purchase = lot.map(|lot| purchase(lot, ledger, &notice.customer, None));
            Payload::PurchaseEvent(wire::PurchaseEvent { purchase, credits })
        }
        EventType::CreditsGranted | EventType::CreditsAdjusted => {
            let lot = new_lot(posting, ledger, &notice.customer);
            Payload::CreditsEvent(wire::CreditsEvent { credits, lot })
        }
        EventType::CreditsExpired => Payload::CreditsEvent(wire::CreditsEvent { credits, lot: None }),
        EventType::TopUpRequested => Payload::TopUpEvent(top_up(posting)),
        EventType::TopUpSuspended => Payload::TopUpSuspendedEvent(wire::TopUpSuspendedEvent {
            top_up_id: or_empty(posting.detail.top_ups_suspended.as_ref()),
            available_credits: posting.after.available.to_string(),
        }),
        EventType::BalanceLow | EventType::BalanceDepleted | EventType::BalanceRecovered => {
            let is_low = notice.event.event == EventType::BalanceLow;
            let crossed = posting.detail.low.iter().filter(|_| is_low).map(crossed);
            Payload::BalanceEvent(wire::BalanceEvent {
                available_credits: credits,
                crossed: crossed.collect(),
                forecast: notice.forecast.as_ref().map(forecast),
            })
        }
    }
}

fn top_up(posting: &Posting) -> wire::TopUpEvent {
    let request = posting.detail.top_up.as_deref();
    wire::TopUpEvent {
        top_up_id: posting.id.to_string(),
        credits: or_empty(request.map(|request| &request.credits)),
        available_credits: posting.after.available.to_string(),
        below_credits: or_empty(request.map(|request| &request.below)),
        target_credits: or_empty(request.map(|request| &request.target)),
        lapses_at: request.map(|request| time(request.lapses_at)),
        charge_until: request.map(|request| time(request.charge_until())),
    }
}

fn crossed(crossed: &Crossed) -> wire::CrossedThreshold {
    let Crossed { threshold: of, level } = crossed;
    wire::CrossedThreshold { threshold: Some(threshold(*of)), level_credits: level.to_string() }
}

pub fn threshold(of: Threshold) -> wire::BalanceThreshold {
    use wire::balance_threshold::Threshold as Wire;
    let threshold = match of {
        Threshold::Credits(credits) => Wire::Credits(credits.to_string()),
        Threshold::Percent(percent) => Wire::PercentOfLastPurchase(small(percent)),
    };
    wire::BalanceThreshold { threshold: Some(threshold) }
}

/// How long credits will last.
pub fn forecast(forecast: &Forecast) -> wire::Forecast {
    let Forecast { weekly_over_4, weekly_over_12, held, open_holds, runs_out_on } = forecast;
    wire::Forecast {
        weekly_credits_over_4_weeks: weekly_over_4.to_string(),
        weekly_credits_over_12_weeks: weekly_over_12.to_string(),
        held_credits: held.to_string(),
        run_out_date: runs_out_on.map(day),
        open_holds: small(*open_holds),
    }
}
