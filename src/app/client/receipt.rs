//! `creditledger receipt`: the steps of a charge, so that a person can calculate it again.

use serde_json::Value;
use uuid::Uuid;

use super::row::{OutputRow, row};
use super::show::day;
use super::target::Target;
use crate::app::failure::Failure;
use crate::app::output::print;
use crate::app::paging::method;
use crate::grpc::wire;
use wire::HoldTarget;
use wire::hold_service_client::HoldServiceClient;

/// Tell how a charge was calculated, step by step
#[derive(Clone, Debug, clap::Args)]
pub struct Receipt {
    /// The hold's id as `settle` prints it, or with --customer the incident
    id: String,
    /// Whose incident it is
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer: String,
    #[command(flatten)]
    target: Target,
}

impl Receipt {
    pub async fn run(self) -> Result<(), Failure> {
        let Self { id, customer: customer_id, target } = self;
        let is_hold = Uuid::try_parse(&id).is_ok();
        if !is_hold && customer_id.is_empty() {
            return Err(Failure::Other("--customer must say whose incident it is".to_owned()));
        }
        let request = wire::GetReceiptRequest {
            ledger_id: target.ledger(),
            customer_id,
            target: Some(if is_hold { HoldTarget::hold(id) } else { HoldTarget::incident(id) }),
        };
        let answer = target.ask(method!(HoldServiceClient.get_receipt), request).await?;
        let receipt = answer.receipt.unwrap_or_default();
        if target.json { target.print(&row_of(&receipt)) } else { print(&text_of(&receipt)) }
    }
}

/// A receipt: its steps, then its sum.
fn row_of(receipt: &wire::Receipt) -> OutputRow {
    let card =
        receipt.rate_card.as_ref().map(|card| format!("{} version {}", card.rate_card_id, card.version));
    let settlement = receipt.settlement.as_ref();
    let steps = receipt.steps.iter().map(|step| Value::from(step.text.as_str()));
    let row = row!(receipt:
        hold_id,
        customer_id,
        incident_id,
        rate_card = card,
        rules_number,
        steps = steps.collect::<Vec<_>>(),
    );
    row.and(row!(settlement?:
        charged_credits,
        from_held_credits,
        from_available_credits,
        written_off_credits,
    ))
}

/// A receipt as text that could be sent to the customer.
fn text_of(receipt: &wire::Receipt) -> String {
    let wire::Receipt {
        hold_id,
        customer_id,
        incident_id,
        rate_card,
        inputs,
        steps,
        settlement,
        rules_number,
        ledger_id: _,
    } = receipt;
    let card = rate_card.clone().unwrap_or_default();
    let inputs = inputs.clone().unwrap_or_default();
    let mut lines = vec![
        format!("incident {incident_id} of customer {customer_id} (hold {hold_id})"),
        format!("rate card {} version {}, rules {rules_number}", card.rate_card_id, card.version),
    ];
    for (name, value) in [
        ("class", &inputs.incident_class),
        ("package", &inputs.package),
        ("opened on", &day(inputs.opened_on)),
        ("product bought on", &day(inputs.product_purchase_date)),
        ("confirmed quote", &inputs.confirmed_quote_credits),
    ] {
        if !value.is_empty() {
            lines.push(format!("{name} {value}"));
        }
    }
    if !inputs.labels.is_empty() {
        lines.push(format!("labels {}", inputs.labels.join(", ")));
    }
    lines.extend(steps.iter().map(|step| format!("  {}", step.text)));
    if let Some(paid) = settlement {
        lines.push(format!("charge: {} credits", paid.charged_credits));
        let (held, available) = (&paid.from_held_credits, &paid.from_available_credits);
        lines.push(format!("paid: {held} from the hold, {available} from available credits"));
        for (name, value) in
            [("borne by the vendor", &paid.written_off_credits), ("given back since", &paid.reversed_credits)]
        {
            if value != "0" {
                lines.push(format!("{name}: {value}"));
            }
        }
    }
    lines.join("\n")
}
