//! Top-up settings and the request in flight, as wire messages.

use crate::ledger::top_up::{OpenTopUp, TopUps};
use crate::ledger::{Credits, Timestamp, TopUp};

use super::super::wire;
use super::values::{small, time};

pub fn settings(of: &TopUp) -> wire::TopUpSettings {
    let TopUp { below, target, monthly_cap, cool_down_seconds, lapse_seconds } = of;
    wire::TopUpSettings {
        below_credits: below.to_string(),
        target_credits: target.to_string(),
        monthly_cap_credits: monthly_cap.map(|cap| cap.to_string()),
        cool_down_seconds: small(*cool_down_seconds),
        lapse_seconds: small(*lapse_seconds),
    }
}

/// The request in flight at `now`, and the credits that were requested in the month of `now`.
pub fn activity(top_ups: Option<&TopUps>, now: Timestamp) -> (Option<wire::TopUpRequest>, String) {
    let now = top_ups.map(|top_ups| top_ups.at(now));
    let open = now.and_then(|now| {
        let OpenTopUp { id, credits, lapses_at } = now.open?;
        Some(wire::TopUpRequest {
            top_up_id: id.to_string(),
            credits: credits.to_string(),
            requested_at: Some(time(now.last_at)),
            lapses_at: Some(time(lapses_at)),
        })
    });
    (open, now.map_or(Credits::ZERO, |now| now.month_credits).to_string())
}
