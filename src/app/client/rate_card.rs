//! `creditledger rate-card ...`

use serde_json::Value;

use super::show::{Row, Shown, bare, replayed};
use super::{Limit, RequestId, Target, pages, send};
use crate::app::Failure;
use crate::app::apply::same_as_newest;
use crate::app::call::CallError;
use crate::app::output::note;
use crate::cards;
use crate::grpc::{rate_card_message, wire};
use wire::rate_card_service_client::RateCardServiceClient;

/// Rate cards: add a version from a file, list, show, choose the default
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RateCardCommand {
    /// Add a card, or the next version of one, from a TOML file
    ///
    /// Does nothing where the newest version is the same already. What is open keeps the version that it was made under.
    Apply(Apply),
    /// List every version of every card
    List(List),
    /// Show one card
    Show(Show),
    /// Make a card the one for customers without a card of their own
    Default(SetDefault),
}

/// See [`RateCardCommand::Apply`].
#[derive(Clone, Debug, clap::Args)]
pub struct Apply {
    /// The file
    file: String,
    /// Who adds it
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

/// See [`RateCardCommand::List`].
#[derive(Clone, Debug, clap::Args)]
pub struct List {
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

/// See [`RateCardCommand::Show`].
#[derive(Clone, Debug, clap::Args)]
pub struct Show {
    /// The card [default: the ledger's default]
    #[arg(default_value = "", hide_default_value = true)]
    card: String,
    /// Its version [default: the newest]
    #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
    version: i32,
    #[command(flatten)]
    target: Target,
}

/// See [`RateCardCommand::Default`].
#[derive(Clone, Debug, clap::Args)]
pub struct SetDefault {
    /// The card
    card: String,
    /// Who makes it the default
    #[arg(long, default_value = "", hide_default_value = true)]
    by: String,
    #[command(flatten)]
    request: RequestId,
    #[command(flatten)]
    target: Target,
}

impl RateCardCommand {
    /// Asks the server and prints its answer.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Apply(command) => command.run().await,
            Self::List(command) => command.run().await,
            Self::Show(command) => command.run().await,
            Self::Default(command) => command.run().await,
        }
    }
}

impl Apply {
    async fn run(self) -> Result<(), Failure> {
        let file = cards::read(&self.file).map_err(|error| Failure::Other(error.to_string()))?;
        for warning in &file.warnings {
            note(&format!("warning: {warning}"));
        }
        let channel = self.target.connect().await?;
        // A given request id is a repeat: then the server says what came of it.
        if self.request.is_new()
            && let Some(newest) = same_as_newest(&channel, &self.target.ledger, &file.card).await?
        {
            note("the newest version is the same already");
            return self.target.print(&Shown::One(row(Some(&newest))));
        }
        let mut client = RateCardServiceClient::new(channel);
        let request = wire::CreateRateCardRequest {
            context: Some(self.target.context(&self.request, "")?.by(self.by)),
            rate_card: Some(rate_card_message(&file.card, None, false)),
        };
        let (request_id, answer) = send!(client.create_rate_card(request));
        let made = replayed(request_id, answer.outcome.as_ref());
        self.target.print(&Shown::One(row(answer.rate_card.as_ref()).and(made)))
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let mut client = RateCardServiceClient::new(self.target.connect().await?);
        let request =
            wire::ListRateCardsRequest { ledger_id: self.target.ledger.clone(), ..Default::default() };
        let (cards, more) = pages!(self.limit, client.list_rate_cards(request) => rate_cards);
        self.target.print_list((cards.iter().map(line).collect(), more))
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let mut client = RateCardServiceClient::new(self.target.connect().await?);
        let request = wire::GetRateCardRequest {
            ledger_id: self.target.ledger.clone(),
            rate_card_id: self.card,
            version: self.version,
        };
        let answer = client.get_rate_card(request).await.map_err(CallError::from)?.into_inner();
        self.target.print(&Shown::One(row(answer.rate_card.as_ref())))
    }
}

impl SetDefault {
    async fn run(self) -> Result<(), Failure> {
        let mut client = RateCardServiceClient::new(self.target.connect().await?);
        let request = wire::SetDefaultRateCardRequest {
            context: Some(self.target.context(&self.request, "")?.by(self.by)),
            rate_card_id: self.card,
        };
        let (request_id, answer) = send!(client.set_default_rate_card(request));
        let made = replayed(request_id, answer.outcome.as_ref());
        let card = answer.rate_card.as_ref().map(line).unwrap_or_default();
        self.target.print(&Shown::One(card.and(made)))
    }
}

/// A card in a list: what fits a line.
fn line(card: &wire::RateCard) -> Row {
    Row::default()
        .with("rate_card_id", card.rate_card_id.as_str())
        .with("version", card.version)
        .with("is_default", card.is_default)
        .with("description", card.description.as_str())
}

/// A whole card.
fn row(card: Option<&wire::RateCard>) -> Row {
    let Some(card) = card else { return Row::default() };
    let classes = card.classes.iter().map(|rule| {
        let mode = bare(rule.mode().as_str_name(), "INCIDENT_CLASS_MODE_");
        let range = if rule.estimate_max_credits.is_empty() {
            String::new()
        } else {
            format!(" {}-{}", rule.estimate_min_credits, rule.estimate_max_credits)
        };
        let rate = if rule.credits_per_hour.is_empty() {
            String::new()
        } else {
            format!(" at {} an hour", rule.credits_per_hour)
        };
        Value::from(format!("{}: {}{range}{rate}", rule.incident_class, mode.as_str().unwrap_or_default()))
    });
    let lines = card.lines.iter().map(|rate| {
        let rate_or_free = if rate.free { "free" } else { rate.credits_per_hour.as_str() };
        Value::from(format!("{}: {rate_or_free}", rate.line))
    });
    let packages =
        card.packages.iter().map(|rate| Value::from(format!("{}: {}", rate.package, rate.credits_per_hour)));
    let multipliers = card.multipliers.iter().map(|by| Value::from(format!("{}: {}", by.label, by.factor)));
    let flat = card
        .flat_tier
        .as_ref()
        .map(|flat| format!("{} for each solution under {} s", flat.credits, flat.under_seconds));
    line(card)
        .with("credits_per_hour", card.credits_per_hour.as_str())
        .with("time_basis", bare(card.time_basis().as_str_name(), "TIME_BASIS_"))
        .with("minimum_seconds", card.minimum_seconds)
        .with("increment_seconds", card.increment_seconds)
        .with("minimum_credits", card.minimum_credits.as_str())
        .with("charge_scale", card.charge_scale)
        .with("flat_tier", flat)
        .with("quote_valid_days", card.quote_valid_days)
        .with("free_support_days", card.free_support_days)
        .with("emergency", bare(card.emergency().as_str_name(), "EMERGENCY_POLICY_"))
        .with("confirmed_hold_only", card.confirmed_hold_only)
        .with("classes", classes.collect::<Vec<_>>())
        .with("lines", lines.collect::<Vec<_>>())
        .with("packages", packages.collect::<Vec<_>>())
        .with("multipliers", multipliers.collect::<Vec<_>>())
}
