//! `creditledger bench`: how fast this machine is, callers and server together. The numbers are for orientation; this
//! is no test.

mod auth;
mod caller;
mod grow;
mod line;
mod load;
mod measure;
mod metrics;
mod pgbench;
mod plan;
mod plot;
mod receiver;
mod resources;
mod rounds;
mod stream;
mod table;
mod webhooks;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use serde_json::Value;

use self::auth::measure_auth;
use self::caller::{Caller, Crowd};
use self::grow::{Growth, grow};
use self::line::Line;
use self::load::IN_FLIGHT;
use self::metrics::measure_metrics;
use self::plan::{Plan, Sizes};
use super::database_url::url_of;
use super::output::print;
use super::server::Server;
use crate::app::failure::Failure;
use crate::config::{Config, Secret};
use crate::hidden::Hidden;
use crate::store::{open_figures, shown_url};
use crate::telemetry::Meters;

/// How long a line is measured by default.
const LASTS: Duration = Duration::from_millis(1_500);
const LASTS_QUICK: Duration = Duration::from_millis(700);
/// Customers of the lines with many customers.
const MANY: u32 = 1_000_000;
const MANY_QUICK: u32 = 100_000;

/// Measure this machine with an own server, on a temporary database unless told otherwise
///
/// Measures each for some seconds: a ceiling (a call that does nothing), single commands, batches, a stream, balances,
/// one busy customer and a million customers. With --grow it measures a database that gets larger and larger, with --auth
/// what tokens of callers cost. Each run makes a ledger of its own. On PostgreSQL it also runs pgbench where that is installed, so that both figures are of
/// the same minute. The tables of pgbench are removed again.
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// Measure on this database, which is kept and grows. Everybody on this machine can read it on the command line: a URL
    /// with a password belongs in --database-url-file
    #[arg(long, value_name = "URL")]
    database_url: Option<Hidden<String>>,
    /// A file with the URL of the database to measure on
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,
    /// PostgreSQL: connections that write
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: u16,
    /// Shorter lines and fewer customers, for a first look
    #[arg(long)]
    quick: bool,
    /// How long each line is measured, 0.05 to 600 [default: 1.5, with --quick 0.7]
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    seconds: Option<Duration>,
    /// Customers of the ordinary lines
    #[arg(long, default_value_t = 10_000, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    customers: u32,
    /// Customers of the lines about many of them [default: 1000000, with --quick 100000]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100_000_000))]
    many_customers: Option<u32>,
    /// Single commands in flight, a line each
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256,1024", value_name = "COUNTS", value_parser = clap::value_parser!(u16).range(1..=4_096))]
    in_flight: Vec<u16>,
    /// Commands of ExecuteBatch, a line each
    #[arg(long, value_delimiter = ',', default_value = "100,1000,8000", value_name = "COUNTS", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch: Vec<u16>,
    /// Connections that the callers share
    #[arg(long, default_value_t = 4, value_name = "COUNT", value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Instead of all that, fill the database to so many transfers and measure on the way
    #[arg(
        long,
        value_name = "TRANSFERS",
        value_parser = clap::value_parser!(u32).range(1..=1_000_000_000),
        conflicts_with_all = ["many_customers", "in_flight", "batch"]
    )]
    grow: Option<u32>,
    #[command(flatten)]
    cost: Cost,
    /// Print a JSON array, an object a line
    #[arg(long)]
    json: bool,
}

/// What is measured instead of all that: what one thing costs the holds.
#[derive(Clone, Copy, Debug, clap::Args)]
struct Cost {
    /// Instead of all that, measure what metrics cost: holds with and without them, each on a temporary SQLite database
    #[arg(long, conflicts_with_all = ["database_url", "database_url_file", "lanes", "grow", "many_customers", "in_flight", "batch"])]
    metrics: bool,
    /// Instead of all that, compare single holds without a token, and with a JWT that is signed by ES256 and by RS256
    #[arg(long, conflicts_with_all = ["metrics", "grow", "many_customers", "in_flight", "batch"])]
    auth: bool,
}

impl Bench {
    /// Measures and prints a table, or JSON.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::Other(format!("no temporary folder can be made: {error}")))?;
        let given = url_of(self.database_url.clone(), self.database_url_file.clone(), "--database-url-file")?;
        let url = given.as_ref().map_or_else(
            || format!("sqlite://{}", folder.path().join("bench.db").display()),
            |url| url.reveal().clone(),
        );
        let config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database_url: Secret::of_text(&url),
            postgres_lanes: self.lanes.into(),
            // The receiver is on this machine.
            webhook_development: true,
            ..Config::default()
        };
        let shown = match &given {
            Some(url) => shown_url(url.reveal()),
            None => "temporary, SQLite".to_owned(),
        };
        if self.cost.metrics {
            let (customers, lasts) = (size(self.customers), self.lasts());
            let (lines, durability) =
                measure_metrics(&config, folder.path(), customers, self.connections, lasts).await?;
            return self.show(&lines, "two temporary ones, SQLite", &durability);
        }
        let mut server = Server::start(&config, &Meters::off()).await?;
        if let Some(transfers) = self.grow {
            let grown = grow(self.growth(transfers), &config, server).await?;
            print(&if self.json { grown.json().to_string() } else { grown.page(&shown) })?;
            return Ok(ExitCode::SUCCESS);
        }
        let measured = if self.cost.auth {
            self.compare_tokens(&url, &mut server, folder.path()).await
        } else {
            self.measure(&url, &server).await
        };
        server.stop().await?;
        let (lines, durability) = measured?;
        self.show(&lines, &shown, &durability)
    }

    fn show(&self, lines: &[Line], shown: &str, durability: &str) -> Result<ExitCode, Failure> {
        if self.json {
            let lines: Value = lines.iter().map(|line| line.json(durability)).collect();
            print(&lines.to_string())?;
        } else {
            print(&table::page(lines, shown, durability))?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn growth(&self, transfers: u32) -> Growth {
        Growth {
            transfers: size(transfers),
            customers: size(self.customers),
            lasts: self.lasts(),
            connections: self.connections,
        }
    }

    /// The lines of holds with and without tokens. All connections are closed at the end.
    async fn compare_tokens(
        &self,
        url: &str,
        server: &mut Server,
        folder: &Path,
    ) -> Result<(Vec<Line>, String), Failure> {
        let durability = open_figures(url).await?.durability().await?;
        let crowd = Crowd { name: "customer", count: size(self.customers), random: false };
        Ok((measure_auth(server, crowd, self.lasts(), self.connections, folder).await?, durability))
    }

    fn lasts(&self) -> Duration {
        self.seconds.unwrap_or(if self.quick { LASTS_QUICK } else { LASTS })
    }

    /// The lines, and the durability that commits had. All connections are closed at the end: open ones would keep the
    /// server from ending until its deadline.
    async fn measure(&self, url: &str, server: &Server) -> Result<(Vec<Line>, String), Failure> {
        let mut figures = open_figures(url).await?;
        let durability = figures.durability().await?;
        let many = if self.quick { MANY_QUICK } else { MANY };
        let sizes = Sizes {
            lasts: self.lasts(),
            customers: size(self.customers),
            many_customers: size(self.many_customers.unwrap_or(many)),
            in_flight: self.in_flight.iter().map(|count| usize::from(*count)).collect(),
            batches: self.batch.iter().map(|count| usize::from(*count)).collect(),
        };
        let caller = Caller::start(&server.url(), self.connections).await?;
        let mut lines = Plan::new(sizes, caller, figures).run().await?;
        // Last, because PostgreSQL cleans up after it, which would slow the other lines.
        if let Some(per_second) = pgbench::run(url, IN_FLIGHT, self.lasts()).await? {
            lines.push(Line { name: "pgbench", in_flight: IN_FLIGHT, per_second, ..Line::default() });
        }
        Ok((lines, durability))
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Seconds with a fraction, within sensible bounds.
fn seconds(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(50)..=Duration::from_mins(10);
    let given = text.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    given.filter(|given| bounds.contains(given)).ok_or_else(|| "must be 0.05 to 600 seconds".to_owned())
}
