//! Measures what metrics cost: the same single holds with and without them, in rounds that take turns.
//!
//! Each kind has a server with a temporary database of its own. The other server is idle meanwhile. The one that measures
//! is scraped each second, as Prometheus would at its most eager. Rounds go in the order ABBA, so that an even drift of the
//! machine cancels out.

use std::path::Path;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::caller::{Caller, Crowd};
use super::line::{Line, Times};
use super::load::{Call, IN_FLIGHT, Load, create, measure};
use super::resources::{Before, cpu_us_per_1000};
use super::rounds::Rounds;
use crate::app::failure::Failure;
use crate::app::server::Server;
use crate::config::{Config, Secret};
use crate::store::open_figures;
use crate::telemetry::Meters;

/// Turns of four rounds: without, with, with, without.
const TURNS: usize = 6;
const SCRAPED_EVERY: Duration = Duration::from_secs(1);

/// A server and how its rounds went.
struct Side {
    url: String,
    server: Server,
    caller: Caller,
    rounds: Rounds,
    cpu: Duration,
    calls: usize,
    next: usize,
}

impl Side {
    async fn start(config: &Config, folder: &Path, crowd: Crowd, connections: u16) -> Result<Self, Failure> {
        let is_measured = config.metrics_listen.is_some();
        let meters =
            Meters::new(is_measured, None).map_err(|error| Failure::Other(format!("no metrics: {error}")))?;
        let name = if is_measured { "with.db" } else { "without.db" };
        let url = format!("sqlite://{}", folder.join(name).display());
        let config = Config { database_url: Secret::of_text(&url), ..config.clone() };
        let server = Server::start(&config, &meters).await?;
        let caller = Caller::start(&server.url(), connections).await?;
        create(&caller, crowd).await?;
        Ok(Self { url, server, caller, rounds: Rounds::none()?, cpu: Duration::ZERO, calls: 0, next: 0 })
    }

    async fn round(&mut self, crowd: Crowd, lasts: Duration, counts: bool) -> Result<(), Failure> {
        let before = Before::now();
        let load = Load::single(Call::Hold, crowd, self.next, lasts);
        let measured = match self.server.metrics_url() {
            None => measure(&self.caller, load).await?,
            Some(url) => tokio::select! {
                measured = measure(&self.caller, load) => measured?,
                failed = scrape(url.to_owned()) => return Err(failed),
            },
        };
        self.next = self.next.saturating_add(measured.calls());
        if counts {
            self.cpu = self.cpu.saturating_add(before.used().cpu);
            self.calls = self.calls.saturating_add(measured.calls());
            self.rounds.take(&measured);
        }
        Ok(())
    }

    fn line(&self, name: &'static str) -> Line {
        Line {
            name,
            in_flight: IN_FLIGHT,
            batch: Some(1),
            per_second: self.rounds.per_second(),
            times: Some(Times::of(&self.rounds.times_us)),
            cpu_us_per_1000: cpu_us_per_1000(self.cpu, self.calls),
            ..Line::default()
        }
    }
}

/// Scrapes again and again; ready only where that fails.
async fn scrape(url: String) -> Failure {
    let failed = |error: std::io::Error| Failure::Other(format!("{url} cannot be scraped: {error}"));
    let address = url.trim_start_matches("http://").trim_end_matches("/metrics").to_owned();
    loop {
        let scraped = async {
            let mut socket = TcpStream::connect(&address).await?;
            socket.write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n").await?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await?;
            if answer.starts_with(b"HTTP/1.1 200 ") {
                Ok(())
            } else {
                Err(std::io::Error::other("no metrics"))
            }
        };
        if let Err(error) = scraped.await {
            return failed(error);
        }
        tokio::time::sleep(SCRAPED_EVERY).await;
    }
}

/// Two lines, holds without metrics and with them, and the durability that commits had. The ratio of the second to the
/// first is its `of_alone`.
///
/// # Errors
/// [`Failure`] where a server does not start or a call fails.
pub(super) async fn measure_metrics(
    config: &Config,
    folder: &Path,
    customers: usize,
    connections: u16,
    lasts: Duration,
) -> Result<(Vec<Line>, String), Failure> {
    let crowd = Crowd { name: "customer", count: customers, random: false };
    let off = Config { metrics_listen: None, ..config.clone() };
    let on = Config { metrics_listen: Some(config.listen), ..config.clone() };
    let mut without = Side::start(&off, folder, crowd, connections).await?;
    let mut with = Side::start(&on, folder, crowd, connections).await?;
    without.round(crowd, lasts, false).await?;
    with.round(crowd, lasts, false).await?;
    for _ in 0..TURNS {
        without.round(crowd, lasts, true).await?;
        with.round(crowd, lasts, true).await?;
        with.round(crowd, lasts, true).await?;
        without.round(crowd, lasts, true).await?;
    }
    let durability = open_figures(&with.url).await?.durability().await?;
    let alone = without.line("hold_without_metrics");
    let beside = with.line("hold_with_metrics");
    let of_alone = beside.per_second.saturating_mul(1_000).checked_div(alone.per_second);
    for Side { server, caller, .. } in [without, with] {
        // Open connections would keep the server from ending until its deadline.
        drop(caller);
        server.stop().await?;
    }
    Ok((vec![alone, Line { of_alone, ..beside }], durability))
}
