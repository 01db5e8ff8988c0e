//! Growth: measures the same calls on a database that gets larger, to show what depends on its size.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::caller::{Caller, Crowd};
use super::line::{Column, grouped, mebibytes, millis};
use super::load::{Call, Load, create, measure};
use super::measure::{Measured, micros_since, per_second};
use super::plot::plot;
use super::resources::Before;
use super::table::table;
use crate::app::failure::Failure;
use crate::app::progress::Progress;
use crate::app::server::Server;
use crate::config::Config;
use crate::store::open_figures;
use crate::telemetry::Meters;

/// Commands in a batch.
const BATCH: usize = 1_000;
/// Batches of holds; as many batches of settlements follow.
const ROUND: usize = 50;
/// A hold moves credits once. Its settlement charges a part and gives the rest back.
const TRANSFERS_A_PAIR: usize = 3;
/// The first step, unless less is asked for.
const FIRST_STEP: usize = 100_000;

/// The columns of the table.
const COLUMNS: [Column<Step>; 10] = [
    ("transfers", |step| Some(grouped(step.transfers))),
    ("batches of 1,000, commands/s", |step| Some(grouped(step.batch_commands_per_second))),
    ("holds/s", |step| Some(grouped(step.holds_per_second))),
    ("p50 ms", |step| Some(millis(step.hold_us[0]))),
    ("p99 ms", |step| Some(millis(step.hold_us[1]))),
    ("balance p50 ms", |step| Some(millis(step.balance_us[0]))),
    ("p99 ms", |step| Some(millis(step.balance_us[1]))),
    ("peak MiB", |step| step.peak_bytes.map(mebibytes)),
    ("start ms", |step| Some(millis(step.start_us))),
    ("database MiB", |step| Some(mebibytes(step.database_bytes))),
];

const NOTES: &str = "\
Filled by ExecuteBatch of 1,000, two in flight: holds and their settlements, three transfers a pair. Then single holds
with 64 in flight, balances of random customers one after the other, and the server stopped and started again. Memory is
the most that the process, callers included, had at the step.";

/// The arguments of a run.
#[derive(Clone, Copy, Debug)]
pub(super) struct Growth {
    /// Rows of the view `transfer` at the end.
    pub transfers: usize,
    /// Customers of the run.
    pub customers: usize,
    /// How long single calls are made at each step.
    pub lasts: Duration,
    /// Connections that the callers share.
    pub connections: u16,
}

/// The figures of one size.
#[derive(Clone, Debug)]
struct Step {
    transfers: usize,
    batch_commands_per_second: u64,
    holds_per_second: u64,
    hold_us: [u64; 2],
    balance_us: [u64; 2],
    peak_bytes: Option<u64>,
    start_us: u64,
    database_bytes: u64,
}

/// The steps, and the durability that commits had.
#[derive(Clone, Debug)]
pub(super) struct Grown {
    steps: Vec<Step>,
    durability: String,
}

/// A database that grows.
struct Growing {
    growth: Growth,
    crowd: Crowd,
    caller: Caller,
    server: Server,
    /// All transfers of the database, with those from before this run.
    transfers: usize,
    /// The number of the next incident.
    next: usize,
    progress: Progress,
}

/// Grows the database of a running server, and stops the server at the end.
///
/// # Errors
/// [`Failure`] where a call fails, or the database has other transfers than were made.
pub(super) async fn grow(growth: Growth, config: &Config, server: Server) -> Result<Grown, Failure> {
    let url = config.database_url()?;
    let url = url.reveal();
    // Opened anew each time: a connection that stays open would keep the server from checkpointing its files when it
    // stops.
    let count = async || -> Result<usize, Failure> {
        let transfers = open_figures(url).await?.transfers().await?;
        Ok(usize::try_from(transfers).unwrap_or(usize::MAX))
    };
    let before = count().await?;
    if before >= growth.transfers {
        return Err(Failure::Other(format!("the database has {} transfers already", grouped(before))));
    }
    let caller = Caller::start(&server.url(), growth.connections).await?;
    let crowd = Crowd { name: "customer", count: growth.customers, random: true };
    create(&caller, crowd).await?;
    let progress =
        Progress::new("bench {wide_bar} {human_pos}/{human_len} {elapsed} {msg}", growth.transfers);
    // Each customer has bought credits.
    let made = before.saturating_add(growth.customers);
    let mut growing = Growing { growth, crowd, caller, server, transfers: made, next: 0, progress };
    let mut steps = Vec::new();
    for goal in goals(growth.transfers) {
        if goal <= growing.transfers && goal < growth.transfers {
            continue;
        }
        let before = Before::now();
        let batch_commands_per_second = growing.fill(goal).await?;
        let filled = growing.transfers;
        let holds = growing.holds().await?;
        let balances = growing.balances().await?;
        let peak_bytes = before.used().peak_bytes;
        let start_us;
        (growing, start_us) = growing.restart(config).await?;
        let quantiles = |measured: &Measured| [0.5, 0.99].map(|q| measured.times_us.value_at_quantile(q));
        steps.push(Step {
            transfers: filled,
            batch_commands_per_second,
            holds_per_second: holds.per_second(1),
            hold_us: quantiles(&holds),
            balance_us: quantiles(&balances),
            peak_bytes,
            start_us,
            database_bytes: open_figures(url).await?.bytes().await?,
        });
    }
    growing.progress.says("counting");
    let counted = count().await?;
    // Somebody else may use a database that was named, so there may be more. Nothing may be missing.
    if counted < growing.transfers {
        let made = growing.transfers;
        return Err(Failure::Other(format!("the database has {counted} transfers, and {made} were made")));
    }
    let durability = open_figures(url).await?.durability().await?;
    let Growing { caller, server, .. } = growing;
    drop(caller);
    server.stop().await?;
    Ok(Grown { steps, durability })
}

/// 1, 2 and 5 times every power of ten below `most`, and `most` itself.
fn goals(most: usize) -> Vec<usize> {
    let mut goals = Vec::new();
    let mut power = if most > FIRST_STEP { FIRST_STEP } else { most.div_euclid(10).max(1) };
    while power < most {
        goals.extend(
            [1, 2, 5].map(|times| power.saturating_mul(times)).into_iter().filter(|goal| *goal < most),
        );
        power = power.saturating_mul(10);
    }
    goals.push(most);
    goals
}

impl Growing {
    /// Adds holds and settlements up to `goal` transfers, or a few if there are as many already. Returns commands a
    /// second.
    async fn fill(&mut self, goal: usize) -> Result<u64, Failure> {
        self.progress.says(&format!("to {}", grouped(goal)));
        let (mut commands, mut elapsed) = (0_usize, Duration::ZERO);
        while self.transfers < goal || commands == 0 {
            let pairs = goal.saturating_sub(self.transfers).div_ceil(TRANSFERS_A_PAIR);
            let batches = pairs.div_ceil(BATCH).clamp(1, ROUND);
            let first = self.next;
            for call in [Call::Holds(BATCH), Call::Settlements(BATCH)] {
                let round = measure(&self.caller, Load::batches(call, self.crowd, first, batches)).await?;
                elapsed = elapsed.saturating_add(round.elapsed);
            }
            let pairs = batches.saturating_mul(BATCH);
            self.next = first.saturating_add(pairs);
            self.transfers = self.transfers.saturating_add(pairs.saturating_mul(TRANSFERS_A_PAIR));
            commands = commands.saturating_add(pairs.saturating_mul(2));
            self.progress.reaches(self.transfers);
        }
        Ok(per_second(commands, elapsed))
    }

    async fn holds(&mut self) -> Result<Measured, Failure> {
        let load = Load::single(Call::Hold, self.crowd, self.next, self.growth.lasts);
        let measured = measure(&self.caller, load).await?;
        self.next = self.next.saturating_add(measured.calls());
        self.transfers = self.transfers.saturating_add(measured.calls());
        Ok(measured)
    }

    async fn balances(&self) -> Result<Measured, Failure> {
        let load = Load::single(Call::Balance, self.crowd, 0, self.growth.lasts);
        measure(&self.caller, Load { in_flight: 1, ..load }).await
    }

    /// Stops the server and starts it again. Returns the microseconds of the start.
    async fn restart(self, config: &Config) -> Result<(Self, u64), Failure> {
        let Self { growth, crowd, caller, server, transfers, next, progress } = self;
        let ledger = caller.ledger();
        // Open connections would keep the server from ending until its deadline.
        drop(caller);
        server.stop().await?;
        let start = Instant::now();
        let server = Server::start(config, &Meters::off()).await?;
        let start_us = micros_since(start);
        let url = server.url();
        let caller = Caller::connect(&url, growth.connections, ledger).await?;
        Ok((Self { growth, crowd, caller, server, transfers, next, progress }, start_us))
    }
}

impl Grown {
    /// One object for each step.
    pub fn json(&self) -> Value {
        let step = |step: &Step| {
            json!({
                "name": "grow",
                "transfers": step.transfers,
                "batch_commands_per_second": step.batch_commands_per_second,
                "hold_commands_per_second": step.holds_per_second,
                "hold_p50_us": step.hold_us[0],
                "hold_p99_us": step.hold_us[1],
                "balance_p50_us": step.balance_us[0],
                "balance_p99_us": step.balance_us[1],
                "peak_memory_bytes": step.peak_bytes,
                "start_us": step.start_us,
                "database_bytes": step.database_bytes,
                "durability": self.durability,
            })
        };
        self.steps.iter().map(step).collect()
    }

    /// The page for people: a table and bars.
    pub fn page(&self, database: &str) -> String {
        let table = table(&COLUMNS, &self.steps);
        let bars = |title: &str, value: fn(&Step) -> u64, shown: fn(u64) -> String| {
            let bar = |step: &Step| (grouped(step.transfers), value(step), shown(value(step)));
            plot(title, &self.steps.iter().map(bar).collect::<Vec<_>>())
        };
        let plots = [
            bars("batches, commands/s", |step| step.batch_commands_per_second, grouped),
            bars("holds/s, 64 in flight", |step| step.holds_per_second, grouped),
            bars("balance, p50 ms", |step| step.balance_us[0], millis),
            bars("peak memory, MiB", |step| step.peak_bytes.unwrap_or_default(), mebibytes),
            bars("start, ms", |step| step.start_us, millis),
            bars("database, MiB", |step| step.database_bytes, mebibytes),
        ];
        let durability = &self.durability;
        format!(
            "{table}\n{NOTES}\nDatabase: {database}\nDurability: {durability}\n\n{}",
            plots.join("\n").trim_end()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_even_on_a_logarithmic_scale() {
        assert_eq!(
            goals(10_000_000),
            [100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000]
        );
        assert_eq!(goals(500_000), [100_000, 200_000, 500_000]);
        assert_eq!(goals(300_000), [100_000, 200_000, 300_000]);
        assert_eq!(goals(2_000), [200, 400, 1_000, 2_000]);
        assert_eq!(goals(1), [1]);
    }
}
