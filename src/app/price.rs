//! `creditledger price`: what work would cost under a rate card, without a server.

use serde_json::{Value, json};

use super::client::arguments::seconds;
use super::failure::Failure;
use super::output::{note, print};
use crate::ledger::ids::{LabelId, LineId, PackageId};
use crate::ledger::job::{Circumstances, PriceInputs};
use crate::ledger::price::{Receipt, price};
use crate::ledger::work::WorkPart;
use crate::ledger::{ClassId, Credits, Rejection};
use crate::{cards, clock};

/// Price work under a rate card, without a server, and print the receipt
///
/// Exits with 0 also if the card refuses the work: a refusal is an answer too.
#[derive(Clone, Debug, clap::Args)]
pub struct Price {
    /// The card: prepaid, half-hour, flat-then-quoted, three-lines, or a TOML file
    #[arg(long, default_value = "prepaid", value_name = "NAME|FILE")]
    card: String,
    /// How long the work takes, such as 45 or 1.5; given several times, one piece of work each
    #[arg(long = "minutes", required = true, value_parser = seconds, value_name = "MINUTES")]
    seconds: Vec<i32>,
    /// The incident's class
    #[arg(long, value_parser = ClassId::parse, value_name = "ID")]
    class: Option<ClassId>,
    /// Which line of support does the work; given several times, one for each --minutes
    #[arg(long = "line", value_parser = LineId::parse, value_name = "ID")]
    lines: Vec<LineId>,
    /// The customer's package
    #[arg(long, value_parser = PackageId::parse, value_name = "ID")]
    package: Option<PackageId>,
    /// What the incident may cost more for, such as after-hours; may be repeated
    #[arg(long = "label", value_parser = LabelId::parse, value_name = "LABEL")]
    labels: Vec<LabelId>,
    /// It is an emergency
    #[arg(long)]
    emergency: bool,
    /// The knowledge base has the answer already
    #[arg(long)]
    kb_answered: bool,
    /// How many solutions it brings
    #[arg(long, default_value_t = 1, value_name = "COUNT")]
    solutions: u32,
    /// The total of a quote that the customer confirmed
    #[arg(long, value_parser = quote, value_name = "CREDITS")]
    quote: Option<Credits>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn quote(text: &str) -> Result<Credits, String> {
    match Credits::parse(text) {
        Ok(credits) if credits < Credits::ZERO => Err("must be at least 0".to_owned()),
        Ok(credits) => Ok(credits),
        Err(error) => Err(error.to_string()),
    }
}

impl Price {
    /// Prices the work and prints the receipt.
    ///
    /// # Errors
    /// [`Failure`] where the card cannot be read.
    pub fn run(self) -> Result<(), Failure> {
        let file = cards::read(&self.card).map_err(|error| Failure::Other(error.to_string()))?;
        for warning in &file.warnings {
            note(&format!("warning: {warning}"));
        }
        let priced = price(&file.card, &self.inputs()?);
        if self.json { print(&format!("{:#}", as_json(&priced))) } else { print(&as_text(&priced)) }
    }

    fn inputs(&self) -> Result<PriceInputs, Failure> {
        if self.lines.len() > 1 && self.lines.len() != self.seconds.len() {
            return Err(Failure::Other("give one --line for all, or one for each --minutes".to_owned()));
        }
        let mut circumstances =
            Circumstances { labels: Vec::new(), emergency: self.emergency, kb_answered: self.kb_answered };
        circumstances.add_labels(&self.labels);
        let mut inputs = PriceInputs {
            class: self.class.clone(),
            opened_on: clock::now().day(),
            confirmed_quote: self.quote,
            package: self.package.clone(),
            circumstances,
            ..PriceInputs::default()
        };
        let only = self.lines.first().filter(|_| self.lines.len() == 1);
        let pieces = self.seconds.iter().enumerate().map(|(nth, seconds)| WorkPart {
            seconds: seconds.unsigned_abs().into(),
            line: only.or_else(|| self.lines.get(nth)),
            ..WorkPart::default()
        });
        inputs.add_work(pieces);
        inputs.solutions = self.solutions;
        Ok(inputs)
    }
}

fn as_text(priced: &Result<Receipt, Rejection>) -> String {
    match priced {
        Ok(receipt) => {
            let steps = receipt.steps.iter().map(|step| step.text.clone());
            let unit = if receipt.credits == Credits::whole(1) { "credit" } else { "credits" };
            steps.chain([format!("charge: {} {unit}", receipt.credits)]).collect::<Vec<_>>().join("\n")
        }
        Err(rejection) => format!("rejected: {}: {rejection}", rejection.reason()),
    }
}

fn as_json(priced: &Result<Receipt, Rejection>) -> Value {
    match priced {
        Ok(receipt) => {
            let steps = receipt.steps.iter().map(|step| {
                json!({
                    "rule": step.rule.name(),
                    "text": step.text,
                    "credits": step.credits.map(|credits| credits.to_string()),
                })
            });
            json!({ "credits": receipt.credits.to_string(), "steps": steps.collect::<Vec<_>>() })
        }
        Err(rejection) => {
            json!({ "rejection": rejection.reason(), "message": rejection.to_string() })
        }
    }
}
