//! `creditledger hold ...`, and `settle`, `release` and `charge`, which end an incident.

use prost_types::Timestamp;

use super::arguments::{hold_state, seconds};
use super::row::OutputRow;
use super::show::{entry, hold, hold_line, work};
use super::target::{Change, Limit, Target};
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::app::output::note;
use crate::app::paging::{Method, method};
use crate::grpc::wire::{self, Answered, CommandContext, HoldTarget};
use wire::hold_service_client::HoldServiceClient;

/// Holds: estimate, confirm, place, extend, record and void work, reverse, show
#[derive(Clone, Debug, clap::Subcommand)]
pub enum HoldCommand {
    /// Quote an incident; no credits move
    Estimate(Estimate),
    /// Accept the quote and set its credits aside
    Confirm {
        #[command(flatten)]
        incident: IncidentChange,
        /// Wait for credits where there are too few
        #[arg(long)]
        park: bool,
    },
    /// Refuse the quote
    Decline {
        #[command(flatten)]
        incident: IncidentChange,
    },
    /// Estimate and confirm at once
    Place {
        #[command(flatten)]
        estimate: Estimate,
        /// Wait for credits where there are too few
        #[arg(long)]
        park: bool,
    },
    /// Set more credits aside
    Extend {
        #[command(flatten)]
        incident: IncidentChange,
        /// How many credits more
        credits: String,
    },
    /// Record work; no credits move until it is settled
    Work {
        #[command(flatten)]
        incident: IncidentChange,
        #[command(flatten)]
        work: WorkDone,
        /// What it may cost more for, such as after-hours; may be repeated
        #[arg(long = "label", value_name = "LABEL")]
        labels: Vec<String>,
    },
    /// Withdraw a wrong entry of work
    #[command(mut_arg("reason", |reason| reason.required(true)))]
    Void {
        #[command(flatten)]
        incident: IncidentChange,
        /// The entry's work_id, as `hold get` shows it
        work_id: String,
    },
    /// Give a settlement back, in whole or in part
    #[command(mut_arg("reason", |reason| reason.required(true)))]
    Reverse {
        #[command(flatten)]
        incident: IncidentChange,
        /// How many credits [default: all that were paid and not given back]
        #[arg(long)]
        credits: Option<String>,
    },
    /// Show an incident's hold
    Get {
        /// The customer's id
        customer: String,
        /// The incident, as the helpdesk numbers it
        incident: String,
        #[command(flatten)]
        target: Target,
    },
    /// List holds, the newest first
    List {
        /// Of one customer
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        customer: String,
        /// Of one incident
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        incident: String,
        /// Of one class
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        class: String,
        /// In this state, such as active; may be repeated
        #[arg(long = "state", value_parser = hold_state, value_name = "STATE")]
        states: Vec<wire::HoldState>,
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        target: Target,
    },
}

/// The commands that end an incident.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum EndCommand {
    /// Charge the recorded work and give back what is left of the hold
    Settle {
        #[command(flatten)]
        incident: IncidentChange,
        /// Bear what exceeds the hold, instead of taking it from available credits
        #[arg(long)]
        cap_at_hold: bool,
        /// The most that the customer may pay
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
    },
    /// Give the held credits back
    Release {
        #[command(flatten)]
        incident: IncidentChange,
        /// Why recorded work is not charged
        #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
        waive: String,
    },
    /// Charge an incident without a hold, from available credits
    Charge {
        #[command(flatten)]
        incident: IncidentChange,
        #[command(flatten)]
        work: WorkDone,
        /// The incident's class
        #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
        class: String,
        /// When the incident was opened (RFC 3339) [default: now]
        #[arg(long, value_name = "TIME")]
        opened_at: Option<Timestamp>,
        /// The most that the customer may pay
        #[arg(long, value_name = "CREDITS")]
        max_charge: Option<String>,
        /// Refuse if the incident has cost other than these credits so far
        #[arg(long, value_name = "CREDITS")]
        expected_charged: Option<String>,
        /// Why nothing is charged
        #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
        waive: String,
        #[command(flatten)]
        circumstances: Circumstances,
    },
}

/// A change about an incident of a customer.
#[derive(Clone, Debug, clap::Args)]
pub struct IncidentChange {
    #[command(flatten)]
    change: Change,
    /// The incident, as the helpdesk numbers it
    incident: String,
}

/// What is estimated, and for what.
#[derive(Clone, Debug, clap::Args)]
pub struct Estimate {
    #[command(flatten)]
    incident: IncidentChange,
    /// What the rate card charges for so many minutes, such as 45 or 1.5
    #[arg(long = "minutes", group = "quote", value_parser = seconds, value_name = "MINUTES")]
    seconds: Option<i32>,
    /// So many credits [default: the top of the class's range]
    #[arg(long, group = "quote")]
    credits: Option<String>,
    /// The incident's class
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    class: String,
    /// When the incident was opened (RFC 3339) [default: now]
    #[arg(long, value_name = "TIME")]
    opened_at: Option<Timestamp>,
    /// When a hold without work expires (RFC 3339) [default: never]
    #[arg(long, value_name = "TIME")]
    expires_at: Option<Timestamp>,
    /// Why the estimate lies outside its class's range
    #[arg(long, default_value = "", hide_default_value = true, value_name = "REASON")]
    range_override: String,
    /// What the customer should know
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    #[command(flatten)]
    circumstances: Circumstances,
}

/// What is special about an incident.
#[derive(Clone, Debug, clap::Args)]
pub struct Circumstances {
    /// What it may cost more for, such as after-hours; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// It is an emergency
    #[arg(long)]
    emergency: bool,
    /// The knowledge base has the answer already
    #[arg(long)]
    kb_answered: bool,
}

/// A piece of work.
#[derive(Clone, Debug, clap::Args)]
pub struct WorkDone {
    /// How long it took, such as 45 or 1.5
    #[arg(long = "minutes", value_parser = seconds, value_name = "MINUTES")]
    seconds: i32,
    /// When it began (RFC 3339)
    #[arg(long, value_name = "TIME")]
    started_at: Option<Timestamp>,
    /// Which line of support did it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    line: String,
    /// How many solutions it brought, where a card counts them
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "COUNT")]
    solutions: i32,
    /// What was done
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
}

/// The most entries of work that `hold get` shows.
const WORK_SHOWN: Limit = Limit::of(1_000);

impl IncidentChange {
    /// Sends a change of the incident and prints its outcome, with `more` of the answer.
    async fn send<Q, A: Answered + Clone>(
        self,
        method: Method<Q, A>,
        request: impl FnOnce(Option<CommandContext>, String) -> Q,
        more: impl FnOnce(&A) -> OutputRow,
    ) -> Result<(), Failure> {
        let Self { change, incident } = self;
        let request = |context| request(context, incident);
        change.send(method, request, |answer, changed| changed.whole(more(answer))).await
    }
}

/// Shows no more of an answer than its outcome.
fn outcome<A>(_: &A) -> OutputRow {
    OutputRow::default()
}

impl HoldCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Estimate(estimate) => estimate.send().await,
            Self::Place { estimate, park } => estimate.place(park).await,
            Self::Confirm { incident, park } => {
                let request = |context, incident| wire::ConfirmEstimateRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    park,
                };
                incident.send(method!(HoldServiceClient.confirm_estimate), request, outcome).await
            }
            Self::Decline { incident } => {
                let request = |context, incident| wire::DeclineEstimateRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                };
                incident.send(method!(HoldServiceClient.decline_estimate), request, outcome).await
            }
            Self::Extend { incident, credits } => {
                let request = |context, incident| wire::ExtendHoldRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    credits,
                };
                incident.send(method!(HoldServiceClient.extend_hold), request, outcome).await
            }
            Self::Work { incident, work, labels } => {
                let request = |context, incident| wire::RecordWorkRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    work_seconds: work.seconds,
                    started_at: work.started_at,
                    line: work.line,
                    solutions: work.solutions,
                    note: work.note,
                    labels,
                };
                let method = method!(HoldServiceClient.record_work);
                incident.send(method, request, |answer| entry(answer.entry.as_ref())).await
            }
            Self::Void { incident, work_id } => {
                let request = |context, incident| wire::VoidWorkRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    work_id,
                };
                let method = method!(HoldServiceClient.void_work);
                incident.send(method, request, |answer| entry(answer.entry.as_ref())).await
            }
            Self::Reverse { incident, credits } => {
                let request = |context, incident| wire::ReverseSettlementRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    credits,
                };
                incident.send(method!(HoldServiceClient.reverse_settlement), request, outcome).await
            }
            Self::Get { customer, incident, target } => get(customer, incident, &target).await,
            Self::List { customer, incident, class, states, limit, target } => {
                let request = wire::ListHoldsRequest {
                    ledger_id: target.ledger(),
                    customer_id: customer,
                    incident_id: incident,
                    states: states.into_iter().map(i32::from).collect(),
                    incident_class: class,
                    ..Default::default()
                };
                target.list(limit, method!(HoldServiceClient.list_holds), request, hold_line).await
            }
        }
    }
}

impl Estimate {
    async fn send(self) -> Result<(), Failure> {
        use wire::estimate_incident_request::Quote;
        let seconds = self.seconds.map(Quote::EstimatedSeconds);
        let request = |context, incident_id| wire::EstimateIncidentRequest {
            context,
            incident_id,
            incident_class: self.class,
            quote: seconds.or(self.credits.map(Quote::Credits)),
            opened_at: self.opened_at,
            expires_at: self.expires_at,
            range_override_reason: self.range_override,
            note: self.note,
            labels: self.circumstances.labels,
            emergency: self.circumstances.emergency,
            kb_answered: self.circumstances.kb_answered,
        };
        self.incident.send(method!(HoldServiceClient.estimate_incident), request, outcome).await
    }

    async fn place(self, park: bool) -> Result<(), Failure> {
        use wire::place_hold_request::Quote;
        let seconds = self.seconds.map(Quote::EstimatedSeconds);
        let request = |context, incident_id| wire::PlaceHoldRequest {
            context,
            incident_id,
            incident_class: self.class,
            quote: seconds.or(self.credits.map(Quote::Credits)),
            opened_at: self.opened_at,
            expires_at: self.expires_at,
            range_override_reason: self.range_override,
            note: self.note,
            park,
            labels: self.circumstances.labels,
            emergency: self.circumstances.emergency,
            kb_answered: self.circumstances.kb_answered,
        };
        self.incident.send(method!(HoldServiceClient.place_hold), request, outcome).await
    }
}

/// Shows a hold with its entries of work.
async fn get(customer_id: String, incident: String, target: &Target) -> Result<(), Failure> {
    let ledger_id = target.ledger();
    let request =
        wire::GetHoldRequest { ledger_id, customer_id, target: Some(HoldTarget::incident(incident)) };
    let answer = target.ask(method!(HoldServiceClient.get_hold), request).await?;
    let found = answer.hold.ok_or_else(|| CallError::unexpected("hold"))?;
    // By the hold's id: the incident may have another hold meanwhile.
    let request = wire::ListWorkRequest {
        ledger_id: target.ledger(),
        customer_id: found.customer_id.clone(),
        target: Some(HoldTarget::hold(found.hold_id.as_str())),
        ..Default::default()
    };
    let method = method!(HoldServiceClient.list_work);
    let (entries, more) = target.pages(WORK_SHOWN, method, request).await?;
    if more {
        note("... more work than is shown");
    }
    target.print(&hold(&found).with("work", entries.iter().map(work).collect::<Vec<_>>()))
}

impl EndCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Settle {
                incident,
                cap_at_hold,
                max_charge,
                expected_work_seconds,
                waive,
                labels,
                emergency,
                kb_answered,
            } => {
                use wire::OverrunPolicy::{CapAtHold, TakeAvailable};
                let request = |context, incident| wire::SettleHoldRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    overrun: if cap_at_hold { CapAtHold } else { TakeAvailable }.into(),
                    max_charge_credits: max_charge,
                    expected_work_seconds,
                    waive_reason: waive,
                    labels,
                    emergency,
                    kb_answered,
                };
                incident.send(method!(HoldServiceClient.settle_hold), request, outcome).await
            }
            Self::Release { incident, waive } => {
                let request = |context, incident| wire::ReleaseHoldRequest {
                    context,
                    target: Some(HoldTarget::incident(incident)),
                    waive_reason: waive,
                };
                incident.send(method!(HoldServiceClient.release_hold), request, outcome).await
            }
            Self::Charge {
                incident,
                work,
                class,
                opened_at,
                max_charge,
                expected_charged,
                waive,
                circumstances,
            } => {
                let request = |context, incident_id| wire::ChargeIncidentRequest {
                    context,
                    incident_id,
                    incident_class: class,
                    work_seconds: work.seconds,
                    started_at: work.started_at,
                    line: work.line,
                    solutions: work.solutions,
                    note: work.note,
                    opened_at,
                    max_charge_credits: max_charge,
                    waive_reason: waive,
                    labels: circumstances.labels,
                    emergency: circumstances.emergency,
                    kb_answered: circumstances.kb_answered,
                    expected_charged_credits: expected_charged,
                };
                incident.send(method!(HoldServiceClient.charge_incident), request, outcome).await
            }
        }
    }
}
