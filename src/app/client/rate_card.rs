//! `creditledger rate-card ...`

use serde_json::Value;

use super::apply::same_as_newest;
use super::row::{OutputRow, row};
use super::show::{bare, of};
use super::target::{Limit, Request, Subject, Target};
use crate::app::failure::Failure;
use crate::app::output::note;
use crate::app::paging::method;
use crate::cards;
use crate::grpc::{rate_card_message, wire};
use wire::rate_card_service_client::RateCardServiceClient;

/// Rate cards: add a version from a file, list, show, choose the default
#[derive(Clone, Debug, clap::Subcommand)]
pub enum RateCardCommand {
    /// Add a card, or the next version of one, from a TOML file
    ///
    /// Does nothing where the newest version is the same already. What is open keeps the version that it was made
    /// under.
    Apply {
        /// The file
        file: String,
        /// Who adds it
        #[arg(long, default_value = "", hide_default_value = true)]
        by: String,
        #[command(flatten)]
        request: Request,
    },
    /// List every version of every card
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        target: Target,
    },
    /// Show one card
    Show {
        /// The card [default: the ledger's default]
        #[arg(default_value = "", hide_default_value = true)]
        card: String,
        /// Its version [default: the newest]
        #[arg(long, default_value_t = 0, hide_default_value = true, value_name = "NUMBER")]
        version: i32,
        #[command(flatten)]
        target: Target,
    },
    /// Make a card the one for customers without a card of their own
    Default {
        /// The card
        card: String,
        /// Who makes it the default
        #[arg(long, default_value = "", hide_default_value = true)]
        by: String,
        #[command(flatten)]
        request: Request,
    },
}

impl RateCardCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Apply { file, by, request } => apply(&file, by, request).await,
            Self::List { limit, target } => {
                let request = wire::ListRateCardsRequest { ledger_id: target.ledger(), ..Default::default() };
                target.list(limit, method!(RateCardServiceClient.list_rate_cards), request, line).await
            }
            Self::Show { card, version, target } => {
                let request =
                    wire::GetRateCardRequest { ledger_id: target.ledger(), rate_card_id: card, version };
                let answer = target.ask(method!(RateCardServiceClient.get_rate_card), request).await?;
                target.print(&of(answer.rate_card.as_ref(), whole))
            }
            Self::Default { card, by, request } => {
                let set = |context| wire::SetDefaultRateCardRequest { context, rate_card_id: card };
                let method = method!(RateCardServiceClient.set_default_rate_card);
                let send = request.send(Subject::by(by), method, set, |answer, changed| {
                    changed.after(of(answer.rate_card.as_ref(), line))
                });
                send.await
            }
        }
    }
}

async fn apply(file: &str, by: String, request: Request) -> Result<(), Failure> {
    let file = cards::read(file).map_err(|error| Failure::Other(error.to_string()))?;
    for warning in &file.warnings {
        note(&format!("warning: {warning}"));
    }
    let target = &request.target;
    // A given request id means a repeat: then the server reports its outcome.
    if request.is_new()
        && let Some(newest) = same_as_newest(&target.connect().await?, &target.ledger(), &file.card).await?
    {
        note("the newest version is the same already");
        return target.print(&whole(&newest));
    }
    let card = Some(rate_card_message(&file.card, None, false));
    let create = |context| wire::CreateRateCardRequest { context, rate_card: card };
    let method = method!(RateCardServiceClient.create_rate_card);
    let send = request.send(Subject::by(by), method, create, |answer, changed| {
        changed.after(of(answer.rate_card.as_ref(), whole))
    });
    send.await
}

/// A card in a list: the fields that fit a line.
fn line(card: &wire::RateCard) -> OutputRow {
    row!(card: rate_card_id, version, is_default, description)
}

/// A card with all its fields.
fn whole(card: &wire::RateCard) -> OutputRow {
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
    let rules = row!(card:
        credits_per_hour,
        time_basis = bare(card.time_basis().as_str_name(), "TIME_BASIS_"),
        minimum_seconds,
        increment_seconds,
        minimum_credits,
        charge_scale,
        flat_tier = flat,
        quote_valid_days,
        free_support_days,
        emergency = bare(card.emergency().as_str_name(), "EMERGENCY_POLICY_"),
        confirmed_hold_only,
        classes = classes.collect::<Vec<_>>(),
        lines = lines.collect::<Vec<_>>(),
        packages = packages.collect::<Vec<_>>(),
        multipliers = multipliers.collect::<Vec<_>>(),
    );
    line(card).and(rules)
}
