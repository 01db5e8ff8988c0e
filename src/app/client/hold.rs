//! `creditledger hold ...`

use prost_types::Timestamp;

use super::settle::{Reverse, Void};
use super::show::{Shown, entry, hold, hold_line, work};
use super::{Limit, RequestId, Target, pages, seconds};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::app::output::note;
use crate::grpc::wire;
use wire::hold_service_client::HoldServiceClient;

/// Holds: estimate, confirm, place, extend, record and void work, reverse, show
#[derive(Clone, Debug, clap::Subcommand)]
pub enum HoldCommand {
    /// Quote an incident; no credits move
    Estimate(Estimate),
    /// Accept the quote and set its credits aside
    Confirm(Confirm),
    /// Refuse the quote
    Decline(Decline),
    /// Estimate and confirm at once
    Place(Place),
    /// Set more credits aside
    Extend(Extend),
    /// Record work; no credits move until it is settled
    Work(Work),
    /// Withdraw a wrong entry of work
    Void(Void),
    /// Give a settlement back, in whole or in part
    Reverse(Reverse),
    /// Show an incident's hold
    Get(Get),
    /// List holds, the newest first
    List(List),
}

/// Entries of work that `hold get` shows.
const WORK_SHOWN: Limit = Limit { limit: 1_000 };

/// Whose incident, on which server.
#[derive(Clone, Debug, clap::Args)]
pub struct Incident {
    /// The customer's id
    pub(super) customer: String,
    /// The incident, as the helpdesk numbers it
    pub(super) incident: String,
    #[command(flatten)]
    pub(super) target: Target,
}

/// See [`HoldCommand::Estimate`].
#[derive(Clone, Debug, clap::Args)]
pub struct Estimate {
    #[command(flatten)]
    incident: Incident,
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
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// What is special about an incident.
#[derive(Clone, Debug, clap::Args)]
pub struct Circumstances {
    /// What it may cost more for, such as after-hours; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    pub(super) labels: Vec<String>,
    /// It is an emergency
    #[arg(long)]
    pub(super) emergency: bool,
    /// The knowledge base has the answer already
    #[arg(long)]
    pub(super) kb_answered: bool,
}

/// See [`HoldCommand::Place`].
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    #[command(flatten)]
    estimate: Estimate,
    /// Wait for credits where there are too few
    #[arg(long)]
    park: bool,
}

/// See [`HoldCommand::Confirm`].
#[derive(Clone, Debug, clap::Args)]
pub struct Confirm {
    #[command(flatten)]
    incident: Incident,
    /// Wait for credits where there are too few
    #[arg(long)]
    park: bool,
    /// The customer, or who confirms on their behalf
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// See [`HoldCommand::Decline`].
#[derive(Clone, Debug, clap::Args)]
pub struct Decline {
    #[command(flatten)]
    incident: Incident,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// See [`HoldCommand::Extend`].
#[derive(Clone, Debug, clap::Args)]
pub struct Extend {
    #[command(flatten)]
    incident: Incident,
    /// How many credits more
    credits: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
    /// Who says so
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// See [`HoldCommand::Work`].
#[derive(Clone, Debug, clap::Args)]
pub struct Work {
    #[command(flatten)]
    incident: Incident,
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
    /// What it may cost more for, such as after-hours; may be repeated
    #[arg(long = "label", value_name = "LABEL")]
    labels: Vec<String>,
    /// What was done
    #[arg(long, default_value = "", hide_default_value = true)]
    note: String,
    /// Who did it
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
}

/// See [`HoldCommand::Get`].
#[derive(Clone, Debug, clap::Args)]
pub struct Get {
    #[command(flatten)]
    incident: Incident,
}

/// See [`HoldCommand::List`].
#[derive(Clone, Debug, clap::Args)]
pub struct List {
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
    #[arg(long = "state", value_parser = state, value_name = "STATE")]
    states: Vec<wire::HoldState>,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

fn state(text: &str) -> Result<wire::HoldState, String> {
    let name = format!("HOLD_STATE_{}", text.to_ascii_uppercase().replace('-', "_"));
    wire::HoldState::from_str_name(&name)
        .ok_or_else(|| "a state such as quoted, awaiting-credits, active or settled is needed".to_owned())
}

/// Sends a change of a hold and prints the answer; all of them answer alike.
macro_rules! change {
    ($incident:expr, $method:ident($request:expr)) => {
        $crate::app::client::hold::change!($incident, $method($request), |_answer| {
            $crate::app::client::show::Row::default()
        })
    };
    ($incident:expr, $method:ident($request:expr), |$answer:ident| $more:expr) => {{
        use $crate::app::client::show::{Shown, outcome};
        use $crate::grpc::wire::hold_service_client::HoldServiceClient;
        let mut client = HoldServiceClient::new($incident.target.connect().await?);
        let (request_id, answer) = $crate::app::client::send!(client.$method($request));
        let more = {
            let $answer = &answer;
            $more
        };
        $incident.target.print(&Shown::One(outcome(request_id, answer.outcome.as_ref(), more)))
    }};
}
pub(super) use change;

impl HoldCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Estimate(command) => command.run().await,
            Self::Confirm(command) => command.run().await,
            Self::Decline(command) => command.run().await,
            Self::Place(command) => command.run().await,
            Self::Extend(command) => command.run().await,
            Self::Work(command) => command.run().await,
            Self::Void(command) => command.run().await,
            Self::Reverse(command) => command.run().await,
            Self::Get(command) => command.run().await,
            Self::List(command) => command.run().await,
        }
    }
}

impl Estimate {
    async fn run(self) -> Result<(), Failure> {
        use wire::estimate_incident_request::Quote;
        let Incident { customer, incident, target } = &self.incident;
        let seconds = self.seconds.map(Quote::EstimatedSeconds);
        let request = wire::EstimateIncidentRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by)),
            incident_id: incident.clone(),
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
        change!(self.incident, estimate_incident(request))
    }
}

impl Place {
    async fn run(self) -> Result<(), Failure> {
        use wire::place_hold_request::Quote;
        let Self { estimate, park } = self;
        let Incident { customer, incident, target } = &estimate.incident;
        let seconds = estimate.seconds.map(Quote::EstimatedSeconds);
        let request = wire::PlaceHoldRequest {
            context: Some(target.context(&estimate.request, customer.clone())?.by(estimate.by)),
            incident_id: incident.clone(),
            incident_class: estimate.class,
            quote: seconds.or(estimate.credits.map(Quote::Credits)),
            opened_at: estimate.opened_at,
            expires_at: estimate.expires_at,
            range_override_reason: estimate.range_override,
            note: estimate.note,
            park,
            labels: estimate.circumstances.labels,
            emergency: estimate.circumstances.emergency,
            kb_answered: estimate.circumstances.kb_answered,
        };
        change!(estimate.incident, place_hold(request))
    }
}

impl Confirm {
    async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::ConfirmEstimateRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            park: self.park,
        };
        change!(self.incident, confirm_estimate(request))
    }
}

impl Decline {
    async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::DeclineEstimateRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by).because(self.reason)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
        };
        change!(self.incident, decline_estimate(request))
    }
}

impl Extend {
    async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::ExtendHoldRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by).because(self.reason)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            credits: self.credits,
        };
        change!(self.incident, extend_hold(request))
    }
}

impl Work {
    async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = &self.incident;
        let request = wire::RecordWorkRequest {
            context: Some(target.context(&self.request, customer.clone())?.by(self.by)),
            target: Some(wire::HoldTarget::incident(incident.clone())),
            work_seconds: self.seconds,
            started_at: self.started_at,
            line: self.line,
            solutions: self.solutions,
            note: self.note,
            labels: self.labels,
        };
        change!(self.incident, record_work(request), |answer| entry(answer.entry.as_ref()))
    }
}

impl Get {
    async fn run(self) -> Result<(), Failure> {
        let Incident { customer, incident, target } = self.incident;
        let request = wire::GetHoldRequest {
            ledger_id: target.ledger.clone(),
            customer_id: customer,
            target: Some(wire::HoldTarget::incident(incident)),
        };
        let mut client = HoldServiceClient::new(target.connect().await?);
        let answer = client.get_hold(request).await.map_err(CallError::from)?.into_inner();
        let Some(found) = answer.hold else { return Err(CallError::unexpected("hold").into()) };
        // By its id: meanwhile the incident may have another one.
        let request = wire::ListWorkRequest {
            ledger_id: target.ledger.clone(),
            customer_id: found.customer_id.clone(),
            target: Some(wire::HoldTarget::hold(found.hold_id.as_str())),
            ..Default::default()
        };
        let (entries, more) = pages!(WORK_SHOWN, client.list_work(request) => entries);
        if more {
            note("... more work than is shown");
        }
        let entries: Vec<_> = entries.iter().map(work).collect();
        target.print(&Shown::One(hold(Some(&found)).with("work", entries)))
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut client = HoldServiceClient::new(self.target.connect().await?);
        let request = wire::ListHoldsRequest {
            ledger_id: self.target.ledger.clone(),
            customer_id: self.customer,
            incident_id: self.incident,
            states: self.states.into_iter().map(i32::from).collect(),
            incident_class: self.class,
            ..Default::default()
        };
        let (holds, more) = pages!(self.limit, client.list_holds(request) => holds);
        self.target.print_list((holds.iter().map(hold_line).collect(), more))
    }
}
