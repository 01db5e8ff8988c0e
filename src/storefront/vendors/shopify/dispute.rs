//! Reads a dispute of Shopify Payments.

use serde_json::Value;

use super::money::named;
use crate::ledger::Timestamp;
use crate::storefront::json::text;
use crate::storefront::order::{Dispute, DisputeState, Order, Told};
use crate::storefront::vendors::Unreadable;
use crate::storefront::vendors::reading::{Problem, Scale, id, is_silent, time};

pub(super) fn read(body: &Value) -> Result<Order, Unreadable> {
    let mut order = named(body.get("order_id"), "order_id")?;
    let name = id(body.get("id"), "the dispute's id")?;
    let problem = Problem::default();
    let (status, kind) = (text(body.get("status")), text(body.get("type")));
    let (state, rank) = match status.as_str() {
        "needs_response" | "under_review" if kind == "inquiry" => (DisputeState::Inquiry, 1),
        "needs_response" | "under_review" => (DisputeState::Open, 2),
        // An inquiry that the shop ended with a refund, which is told by itself.
        "charge_refunded" | "won" => (DisputeState::Won, 3),
        "accepted" | "lost" => (DisputeState::Lost, 4),
        _ => {
            problem.say(format!("the status {status:?} is unknown"));
            (DisputeState::Open, 2)
        }
    };
    let code = text(body.get("currency"));
    let scale = Scale::of(&code);
    let amount =
        scale.as_ref().and_then(|scale| scale.amount(body.get("amount"))).filter(|amount| *amount >= 0);
    let amount = problem.or_say(amount, || "the amount cannot be read".to_owned());
    let finalized = body.get("finalized_on");
    let at =
        if is_silent(finalized) || rank < 3 { Some(Timestamp::default()) } else { day_or_time(finalized) };
    let at = problem.or_say(at, || "finalized_on cannot be read".to_owned());
    let currency = scale.map(|scale| scale.currency);
    let fact = Dispute { state, amount, problem: problem.text(), currency };
    order.disputes = [(name, Told::at(at, rank, fact))].into();
    Ok(order)
}

/// `finalized_on` is a date in the documentation, and a time in deliveries.
fn day_or_time(value: Option<&Value>) -> Option<Timestamp> {
    time(value).or_else(|| time(Some(&Value::from(format!("{}T00:00:00", text(value))))))
}
