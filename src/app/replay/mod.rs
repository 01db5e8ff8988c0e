//! `creditledger replay FILE.csv`: drives a server with the incidents of a file, as they happened.

mod audit;
mod card;
mod client;
mod drive;
mod incidents;
mod plan;
mod queue;
mod summary;
mod totals;

use std::fs::File;
use std::io::BufReader;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use hdrhistogram::Histogram;
use tempfile::TempDir;

use self::audit::Audit;
use self::client::ReplayClient;
use self::incidents::Incident;
use self::summary::Summary;
use super::check;
use super::connect::Reach;
use super::database_url::url_of;
use super::output::print;
use super::progress::Progress;
use super::server::Server;
use super::tries::ask;
use crate::app::failure::Failure;
use crate::config::{Config, Secret};
use crate::hidden::Hidden;
use crate::telemetry;

/// Drive a server with the incidents of a CSV file, then check the book
///
/// Every incident is opened with a hold for its estimate, worked on and settled; customers buy packs of credits when
/// they run short. Request ids derive from the incidents: running the same file again on the same database changes
/// nothing. Its own server ignores settings of files and of the environment. It has the defaults, except that it takes
/// a free port, logs only warnings, and has a temporary database unless --database-url or --database-url-file names
/// another one.
#[derive(Clone, Debug, clap::Args)]
pub struct Replay {
    /// Columns, in any order: incident_id, customer_id, incident_class, estimated_minutes, worked_minutes, opened_at,
    /// closed_at. Others are ignored
    file: PathBuf,
    /// Drive this running server instead of an own one. Several servers of one database, with commas between them,
    /// share the customers. CREDITLEDGER_SERVER is not read, so that nobody drives a server in use by accident
    #[arg(long, value_name = "URL", value_delimiter = ',', conflicts_with_all = ["database_url", "database_url_file"])]
    server: Vec<String>,
    #[command(flatten)]
    reach: Reach,
    /// Keep the database, here. Everybody on this machine can read it on the command line: a URL with a password belongs
    /// in --database-url-file
    #[arg(long, value_name = "URL")]
    database_url: Option<Hidden<String>>,
    /// A file with the URL of the database to keep
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,
    /// The ledger, which must exist
    #[arg(long, default_value = "main", value_name = "ID")]
    ledger: String,
    /// How many customers are served at the same time
    #[arg(long, default_value_t = 64, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=4_096))]
    concurrency: u16,
    /// Make this rate card the ledger's default first: a preset such as half-hour, or a TOML file
    #[arg(long, value_name = "NAME|FILE")]
    rate_card: Option<String>,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

const PROGRESS: &str = "replay {wide_bar} {pos}/{len} events, {eta} left";

/// The server that is driven.
enum Target {
    /// In this process.
    Own { server: Box<Server>, database_url: String, _temporary: Option<TempDir> },
    /// A server that somebody else runs.
    Running,
}

impl Replay {
    /// Replays the file and prints the summary.
    ///
    /// # Errors
    /// [`Failure`] where the file is malformed or the server does not answer.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let incidents = self.incidents()?;
        let config = Config { log_filter: "warn".to_owned(), ..Config::default() };
        let telemetry = telemetry::start(&config, telemetry::collector()?.as_ref())?;
        let summary = tokio::select! {
            summary = self.replay(incidents) => summary,
            // What was sent so far is safe: the same command goes on from there.
            _ = tokio::signal::ctrl_c() => Err(Failure::Other("interrupted".to_owned())),
        };
        telemetry.stop().await;
        let summary = summary?;
        if self.json {
            print(&summary.json().to_string())?;
        } else {
            print(&summary.to_string())?;
        }
        Ok(if summary.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn incidents(&self) -> Result<Vec<Incident>, Failure> {
        let shown = self.file.display();
        let file = File::open(&self.file);
        let file = file.map_err(|error| Failure::Other(format!("{shown} cannot be read: {error}")))?;
        incidents::parse(BufReader::new(file)).map_err(|error| Failure::Other(format!("{shown}: {error}")))
    }

    async fn replay(&self, incidents: Vec<Incident>) -> Result<Summary, Failure> {
        let (urls, target) = self.target().await?;
        // An own server is reached without TLS, whatever the environment has for others.
        let own = Reach::default();
        let reach = if self.server.is_empty() { &own } else { &self.reach };
        let channel = reach.connect_to_all(&urls).await?.for_ledger(&self.ledger);
        if let Some(name) = &self.rate_card {
            card::use_card(&channel, &self.ledger, name).await?;
        }
        let none = Histogram::new_with_bounds(1, 60_000_000, 3)
            .map_err(|error| Failure::Other(format!("times cannot be counted: {error}")))?;
        let mut answered_us = none.clone();
        let client = ReplayClient::new(channel.clone(), &self.ledger, none);
        let progress = Progress::new(PROGRESS, incidents.len().saturating_mul(2));
        let start = Instant::now();
        let concurrency = usize::from(self.concurrency);
        let tally = drive::drive(incidents.clone(), &client, concurrency, progress, &mut answered_us).await;
        let elapsed = start.elapsed();
        let totals = ask(async || totals::totals(channel.clone(), &self.ledger, &incidents).await).await;
        let summary = Summary::new(incidents.len(), tally?, totals?, &answered_us, elapsed)?;
        match target {
            Target::Running => {
                let found = ask(async || audit::audit(channel.clone(), &self.ledger).await).await?;
                Ok(summary.verified(matches!(found, Audit::Clean { .. }), found.to_string()))
            }
            Target::Own { server, database_url, _temporary } => {
                // Open connections would keep the server from ending until its deadline.
                drop((channel, client));
                server.stop().await?;
                let report = check::verify_database(&database_url).await?;
                Ok(summary.verified(report.is_clean(), check::shown(&report)))
            }
        }
    }

    /// The servers' URLs, and the server if it is our own.
    async fn target(&self) -> Result<(Vec<String>, Target), Failure> {
        if !self.server.is_empty() {
            return Ok((self.server.clone(), Target::Running));
        }
        let given = url_of(self.database_url.clone(), self.database_url_file.clone(), "--database-url-file")?;
        let (database_url, temporary) = if let Some(url) = given {
            (url.reveal().clone(), None)
        } else {
            let folder = tempfile::tempdir()
                .map_err(|error| Failure::Other(format!("no temporary folder can be made: {error}")))?;
            (format!("sqlite://{}", folder.path().join("replay.db").display()), Some(folder))
        };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = Config { listen, database_url: Secret::of_text(&database_url), ..Config::default() };
        let server = Box::new(Server::start(&config, &telemetry::Meters::off()).await?);
        let url = server.url();
        Ok((vec![url], Target::Own { server, database_url, _temporary: temporary }))
    }
}
