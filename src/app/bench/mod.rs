//! `creditledger bench`: how fast this machine is, callers and server together. Numbers for orientation, no test.

mod measure;
mod pgbench;

use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use comfy_table::Table;
use comfy_table::presets::UTF8_BORDERS_ONLY;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use self::measure::{Measured, measure};
use super::Failure;
use super::call::{CallError, connect};
use super::output::print;
use super::server::Server;
use crate::clock;
use crate::config::Config;
use crate::grpc::wire;
use crate::ledger::PostingId;
use wire::batch_command::Command;
use wire::batch_service_client::BatchServiceClient;
use wire::hold_service_client::HoldServiceClient;
use wire::ledger_service_client::LedgerServiceClient;

/// Measure this machine with an own server, on a temporary database unless told otherwise
///
/// Each run makes a ledger of its own. On PostgreSQL pgbench is run beside it where it is installed, so that both figures
/// are of the same minute; its tables are removed again.
#[derive(Clone, Debug, clap::Args)]
pub struct Bench {
    /// Measure on this database, which is kept and grows
    #[arg(long, value_name = "URL")]
    database_url: Option<String>,
    /// PostgreSQL: connections that write
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    lanes: u16,
    /// Customers, taken in turn
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    customers: u32,
    /// Calls of each kind
    #[arg(long, default_value_t = 40_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    calls: u32,
    /// Calls in flight
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=4_096))]
    in_flight: u16,
    /// Connections that they share
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=256))]
    connections: u16,
    /// Batches
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batches: u32,
    /// Commands in each
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    batch_commands: u16,
    /// Calls of a caller that is alone
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    lone_calls: u32,
}

/// What the measured calls share.
#[derive(Clone)]
struct Caller {
    /// At least one.
    channels: Arc<(Channel, Vec<Channel>)>,
    customers: usize,
    random: u64,
    ledger: String,
}

impl Bench {
    /// Measures and prints a table.
    ///
    /// # Errors
    /// [`Failure`] where a call fails.
    pub async fn run(self) -> Result<ExitCode, Failure> {
        let folder = tempfile::tempdir()
            .map_err(|error| Failure::Other(format!("no temporary folder can be made: {error}")))?;
        let config = Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            database_url: self
                .database_url
                .clone()
                .unwrap_or_else(|| format!("sqlite://{}", folder.path().join("bench.db").display())),
            postgres_lanes: self.lanes.into(),
            ..Config::default()
        };
        let server = Server::start(&config).await?;
        let url = format!("http://{}", server.address());
        let first = connect(&url).await?;
        let mut rest = Vec::new();
        for _ in 1..self.connections {
            rest.push(connect(&url).await?);
        }
        let random = clock::random().map_err(Failure::Randomness)?;
        let customers = size(self.customers);
        let ledger = format!("bench-{random:016x}");
        let caller = Caller { channels: Arc::new((first, rest)), customers, random, ledger };
        let table = self.measure(&caller, &config.database_url).await;
        // Open connections would keep the server from ending until its deadline.
        drop(caller);
        server.stop().await?;
        print(&table?.to_string())?;
        Ok(ExitCode::SUCCESS)
    }

    async fn measure(self, caller: &Caller, database_url: &str) -> Result<Table, Failure> {
        let (calls, in_flight) = (size(self.calls), usize::from(self.in_flight));
        let (batches, each) = (size(self.batches), usize::from(self.batch_commands));
        caller.create_ledger().await?;
        caller.create_customers().await?;

        let ceiling = measure(calls, in_flight, caller.each(Caller::check_health)).await?;
        let holds = measure(calls, in_flight, caller.each(Caller::place)).await?;
        let settlements = measure(calls, in_flight, caller.each(Caller::settle)).await?;
        // Two at a time: while one batch is committed the next is parsed.
        let batch = caller.each(move |caller, number| caller.place_batch(number, each));
        let batches = measure(batches, 2, batch).await?;
        let lone = measure(size(self.lone_calls), 1, caller.each(Caller::place_alone)).await?;
        // Last, because what PostgreSQL clears up after it would be in the way of the others.
        let yardstick = pgbench::run(database_url, in_flight).await?;

        let mut table = Table::new();
        table.load_style(UTF8_BORDERS_ONLY);
        table.set_header(["what", "in flight", "a second", "of the ceiling", "p50", "p99"]);
        let of = ceiling.per_second(1).max(1);
        let mut row = |what: &str, in_flight: usize, measured: &Measured, each: usize| {
            let rate = measured.per_second(each);
            let percent = rate.saturating_mul(100).div_euclid(of);
            table.add_row([
                what.to_owned(),
                in_flight.to_string(),
                rate.to_string(),
                format!("{percent} %"),
                millis(measured.times_us.value_at_quantile(0.5)),
                millis(measured.times_us.value_at_quantile(0.99)),
            ]);
        };
        row("health checks: the ceiling", in_flight, &ceiling, 1);
        row("PlaceHold", in_flight, &holds, 1);
        row("SettleHold", in_flight, &settlements, 1);
        row(&format!("commands in ExecuteBatch of {each}"), 2, &batches, each);
        row("PlaceHold, a lone caller", 1, &lone, 1);
        if let Some(rate) = yardstick {
            let cells = ["pgbench, its own TPC-B", &in_flight.to_string(), &rate.to_string(), "", "", ""];
            table.add_row(cells);
        }
        Ok(table)
    }
}

fn size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn millis(micros: u64) -> String {
    format!("{}.{:03} ms", micros.div_euclid(1_000), micros.rem_euclid(1_000))
}

impl Caller {
    /// A call that [`measure`] can make, from one of this caller's.
    fn each<F, Fut>(&self, call: F) -> impl Fn(usize) -> Fut + Clone + Send + 'static
    where
        F: Fn(Self, usize) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<(), CallError>> + Send,
    {
        let caller = self.clone();
        move |number| call(caller.clone(), number)
    }

    /// The connections in turn.
    fn channel(&self, number: usize) -> Channel {
        let (first, rest) = &*self.channels;
        number
            .rem_euclid(rest.len().saturating_add(1))
            .checked_sub(1)
            .and_then(|place| rest.get(place))
            .unwrap_or(first)
            .clone()
    }

    fn customer(&self, number: usize) -> String {
        format!("customer-{}", number.rem_euclid(self.customers))
    }

    /// Time-ordered, as the documentation asks of callers.
    fn request_id(&self, number: usize) -> String {
        let counter = u32::try_from(number).unwrap_or(u32::MAX);
        PostingId::new(clock::now(), counter, self.random).to_string()
    }

    /// A ledger that no other run has used.
    async fn create_ledger(&self) -> Result<(), CallError> {
        let request =
            wire::CreateLedgerRequest { ledger_id: self.ledger.clone(), request_id: self.ledger.clone() };
        LedgerServiceClient::new(self.channel(0)).create_ledger(request).await?;
        Ok(())
    }

    /// Customers with more credits than they can use.
    async fn create_customers(&self) -> Result<(), Failure> {
        let numbers: Vec<usize> = (0..self.customers).collect();
        for page in numbers.chunks(2_000) {
            let commands = page.iter().flat_map(|number| {
                let customer_id = self.customer(*number);
                let create = wire::CreateCustomerRequest {
                    request_id: self.request_id(*number),
                    customer_id: customer_id.clone(),
                    ..Default::default()
                };
                let purchase = wire::PurchaseCreditsRequest {
                    request_id: self.request_id(*number),
                    customer_id,
                    storefront: "bench".to_owned(),
                    order_id: format!("order-{number}"),
                    credits: "1000000".to_owned(),
                    ..Default::default()
                };
                [Command::CreateCustomer(create), Command::PurchaseCredits(purchase)]
            });
            self.execute(0, commands.collect()).await?;
        }
        Ok(())
    }

    /// Sends a batch; one refused command fails it.
    async fn execute(&self, number: usize, commands: Vec<Command>) -> Result<(), CallError> {
        let commands = commands.into_iter().map(|command| wire::BatchCommand { command: Some(command) });
        let request =
            wire::ExecuteBatchRequest { ledger_id: self.ledger.clone(), commands: commands.collect() };
        let answer = BatchServiceClient::new(self.channel(number)).execute_batch(request).await?.into_inner();
        let accepted = |result: &wire::BatchResult| {
            matches!(result.result, Some(wire::batch_result::Result::Accepted(_)))
        };
        if answer.results.iter().all(accepted) { Ok(()) } else { Err(CallError::unexpected("batch result")) }
    }

    async fn check_health(self, number: usize) -> Result<(), CallError> {
        let mut client = HealthClient::new(self.channel(number));
        client.check(HealthCheckRequest { service: String::new() }).await?;
        Ok(())
    }

    fn hold(&self, number: usize, incident_id: String) -> wire::PlaceHoldRequest {
        wire::PlaceHoldRequest {
            ledger_id: self.ledger.clone(),
            request_id: self.request_id(number),
            customer_id: self.customer(number),
            incident_id,
            quote: Some(wire::place_hold_request::Quote::EstimatedSeconds(2_700)),
            ..Default::default()
        }
    }

    async fn place(self, number: usize) -> Result<(), CallError> {
        let request = self.hold(number, format!("incident-{number}"));
        HoldServiceClient::new(self.channel(number)).place_hold(request).await?;
        Ok(())
    }

    async fn place_alone(self, number: usize) -> Result<(), CallError> {
        let request = self.hold(number, format!("lone-{number}"));
        HoldServiceClient::new(self.channel(0)).place_hold(request).await?;
        Ok(())
    }

    async fn settle(self, number: usize) -> Result<(), CallError> {
        let incident = format!("incident-{number}");
        let request = wire::SettleHoldRequest {
            ledger_id: self.ledger.clone(),
            request_id: self.request_id(number),
            customer_id: self.customer(number),
            target: Some(wire::settle_hold_request::Target::IncidentId(incident)),
            ..Default::default()
        };
        HoldServiceClient::new(self.channel(number)).settle_hold(request).await?;
        Ok(())
    }

    async fn place_batch(self, number: usize, each: usize) -> Result<(), CallError> {
        let first = number.saturating_mul(each);
        let holds = (first..first.saturating_add(each))
            .map(|number| Command::PlaceHold(self.hold(number, format!("batch-{number}"))));
        self.execute(number, holds.collect()).await
    }
}
