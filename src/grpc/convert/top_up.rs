//! Top-up settings and how requests stand, as wire messages.

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

/// How requests stand at a moment.
pub struct Activity {
    pub open: Option<wire::TopUpRequest>,
    /// What was requested in the month of the moment.
    pub month_credits: String,
    pub suspended: bool,
}

/// How requests stand at `now`.
pub fn activity(top_ups: Option<&TopUps>, now: Timestamp) -> Activity {
    let now = top_ups.map(|top_ups| top_ups.at(now));
    let open = now.and_then(|now| {
        let open = now.open?;
        let OpenTopUp { id, credits, lapses_at, lapsed: _ } = open;
        Some(wire::TopUpRequest {
            top_up_id: id.to_string(),
            credits: credits.to_string(),
            requested_at: Some(time(now.last_at)),
            lapses_at: Some(time(lapses_at)),
            charge_until: Some(time(open.charge_until())),
        })
    });
    let month_credits = now.map_or(Credits::ZERO, |now| now.month_credits).to_string();
    Activity { open, month_credits, suspended: now.is_some_and(|now| now.is_suspended()) }
}
