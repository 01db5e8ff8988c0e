//! `creditledger settle`, `release` and `charge`, and what takes back: `hold void` and `hold reverse`.

use prost_types::Timestamp;

use super::hold::{Circumstances, Incident, change};
use super::show::entry;
use super::{RequestId, seconds};
use crate::app::Failure;
use crate::grpc::wire;

/// Charge the recorded work and give back what is left of the hold
#[derive(Clone, Debug, clap::Args)]
pub struct Settle {
    #[command(flatten)]
    incident: Incident,
    /// Bear what exceeds the hold, instead of taking it from available credits
    #[arg(long)]
    cap_at_hold: bool,
    /// The most that it may cost
    #[arg(long, value_name = "CREDITS")]
    max_charge: Option<String>,
    /// Refuse if other work than these seconds is recorded
    #[arg(long, value_name = "SECONDS")]
    expected_work_seconds: Option<i64>,
    /// Why nothing is charged
    #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
    waive: String,
    /// What it may cost more for besides what the hold says; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// Whether it was an emergency, where the hold is wrong about that
    #[arg(long, value_name = "BOOL")]
    emergency: Option<bool>,
    /// Whether the knowledge base had the answer, where the hold is wrong about that
    #[arg(long, value_name = "BOOL")]
    kb_answered: Option<bool>,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// Give the held credits back
#[derive(Clone, Debug, clap::Args)]
pub struct Release {
    #[command(flatten)]
    incident: Incident,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Why recorded work is not charged
    #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
    waive: String,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// Charge an incident without a hold, from available credits
#[derive(Clone, Debug, clap::Args)]
pub struct Charge {
    #[command(flatten)]
    incident: Incident,
    /// How long it took, such as 45 or 1.5
    #[arg(long = "minutes", value_parser = seconds, value_name = "MINUTES")]
    seconds: i32,
    /// The incident's class
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    class: String,
    /// When the incident was opened (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    opened_at: Option<Timestamp>,
    /// The most that it may cost
    #[arg(long, value_name = "CREDITS")]
    max_charge: Option<String>,
    /// Why nothing is charged
    #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
    waive: String,
    /// What was done
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// When the work began (RFC 3339)
    #[arg(long, value_name = "TIME")]
    started_at: Option<Timestamp>,
    /// Which line of support did it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    line: String,
    /// How many solutions it brought, where a card counts them
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "COUNT")]
    solutions: i32,
    #[command(flatten)]
    circumstances: Circumstances,
    /// Who did it
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// See [`super::HoldCommand::Void`].
#[derive(Clone, Debug, clap::Args)]
pub struct Void {
    #[command(flatten)]
    incident: Incident,
    /// The entry's work_id, as `hold get` shows it
    work_id: String,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// See [`super::HoldCommand::Reverse`].
#[derive(Clone, Debug, clap::Args)]
pub struct Reverse {
    #[command(flatten)]
    incident: Incident,
    /// How many credits [default: all that were paid and not given back]
    #[arg(long)]
    credits: Option<String>,
    /// Why
    #[arg(long)]
    reason: String,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

impl Settle {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        use wire::OverrunPolicy::{CapAtHold, TakeAvailable};
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::SettleHoldRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            overrun: if self.cap_at_hold { CapAtHold } else { TakeAvailable }.into(),
            max_charge_credits: self.max_charge,
            expected_work_seconds: self.expected_work_seconds,
            waive_reason: self.waive,
            labels: self.labels,
            emergency: self.emergency,
            kb_answered: self.kb_answered,
        };
        change!(self.incident, settle_hold(request))
    }
}

impl Release {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::ReleaseHoldRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by).because(self.reason)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            waive_reason: self.waive,
        };
        change!(self.incident, release_hold(request))
    }
}

impl Charge {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::ChargeIncidentRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by)),
            incident_id: incident.clone(),
            incident_class: self.class,
            work_seconds: self.seconds,
            started_at: self.started_at,
            line: self.line,
            solutions: self.solutions,
            note: self.note,
            opened_at: self.opened_at,
            max_charge_credits: self.max_charge,
            waive_reason: self.waive,
            labels: self.circumstances.labels,
            emergency: self.circumstances.emergency,
            kb_answered: self.circumstances.kb_answered,
        };
        change!(self.incident, charge_incident(request))
    }
}

impl Void {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::VoidWorkRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by).because(self.reason)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            work_id: self.work_id,
        };
        change!(self.incident, void_work(request), |answer| entry(answer.entry.as_ref()))
    }
}

impl Reverse {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::ReverseSettlementRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by).because(self.reason)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            credits: self.credits,
        };
        change!(self.incident, reverse_settlement(request))
    }
}
