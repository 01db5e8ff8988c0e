//! `creditledger doctor`: looks at everything that a server needs, and says what to do where something is wrong.
//!
//! # What it is
//! A table of checks, each a small function. Nothing is written or locked, so that it runs beside a server.
//!
//! # Invariants
//! - Each check ends within its time; one that does not is a failure.
//! - A check that cannot look says so. Nothing that was not seen is called good.
//!
//! # Failure
//! A setting that cannot be read is one line; what needs the settings is left out then, and that is said too.
//!
//! # Cost
//! All checks run at the same time.

mod checks;
mod finding;
mod network;
mod seen;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio::task::JoinSet;

use super::failure::Failure;
use super::output::print;
use crate::config::{Config, Flags, Secrets};

use finding::{Finding, State};

/// How long one check may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Look at everything that a server needs, and say what to do
///
/// Takes the settings of serve, from the same sources. Looks at the settings themselves, the database and its schema, room
/// on the disk, the clock, the files of TLS, the keys of providers of tokens, the mail server, and the endpoints of
/// webhooks. Each check takes at most 5 seconds. Nothing is written, and a server may be running. Run it as the user who
/// runs the server.
///
/// Each line is ok, warn or fail. Exits with 0 if none is fail, and else with 1.
#[derive(Clone, Debug, clap::Args)]
pub struct DoctorCommand {
    #[command(flatten)]
    flags: Flags,
    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
}

impl DoctorCommand {
    /// # Errors
    /// [`Failure::Output`] where the findings cannot be printed.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let findings = examine(&self.flags).await;
        let is_good = findings.iter().all(|finding| finding.state != State::Fail);
        if self.json {
            let list: Vec<_> = findings.iter().map(Finding::to_json).collect();
            print(&json!({ "ok": is_good, "findings": list }).to_string())?;
        } else {
            let lines: Vec<_> = findings.iter().map(ToString::to_string).collect();
            print(&lines.join("\n"))?;
        }
        Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

/// Runs all checks. The findings are in the order of the table.
async fn examine(flags: &Flags) -> Vec<Finding> {
    let config = match Config::load(flags, std::env::vars_os(), Secrets::Needed) {
        Ok(config) => Arc::new(config),
        Err(error) => {
            let told = error.to_string();
            let mut findings: Vec<_> = told
                .lines()
                .map(|line| Finding::fail("configuration", line, "correct the setting that is named"))
                .collect();
            let left_out = "the other checks need the settings, and were left out";
            findings.push(Finding::warn("configuration", left_out, "run this again when they are right"));
            return findings;
        }
    };
    let mut running = JoinSet::new();
    for (place, (name, check)) in checks::ALL.iter().enumerate() {
        let check = check(Arc::clone(&config));
        running.spawn(async move {
            let found = tokio::time::timeout(PATIENCE, check).await.unwrap_or_else(|_| {
                let late = format!("no result within {} s", PATIENCE.as_secs());
                vec![Finding::fail(name, late, "look at what it needs: disk, network, names")]
            });
            (place, found)
        });
    }
    let mut found = Vec::new();
    while let Some(ended) = running.join_next().await {
        found.push(ended.unwrap_or_else(|error| {
            (usize::MAX, vec![Finding::fail("doctor", error.to_string(), "tell the makers of this program")])
        }));
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().flat_map(|(_, findings)| findings).collect()
}
