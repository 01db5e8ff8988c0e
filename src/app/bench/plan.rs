//! The plan of the benchmark: its steps in order, the loads of each, and the lines that result.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use super::caller::{Caller, Crowd};
use super::line::{Line, Times};
use super::load::{BATCHES_IN_FLIGHT, Call, IN_FLIGHT, Load, create, measure};
use super::measure::Measured;
use super::resources::{Before, cpu_us_per_1000};
use super::rounds::Rounds;
use super::stream::measure_stream;
use super::webhooks::{Webhooks, measure_webhooks};
use crate::app::failure::Failure;
use crate::app::progress::Progress;
use crate::delivery::webhooks::MESSAGES_AT_A_TIME;
use crate::store::Figures;

/// Commands in flight on a stream; the server allows 1,024.
const STREAM_IN_FLIGHT: usize = 1_000;
/// Commands in a batch to many customers.
const MANY_BATCH: usize = 1_000;

/// The sizes of the benchmark.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// How long a line is measured.
    pub lasts: Duration,
    /// Customers of the ordinary lines.
    pub customers: usize,
    /// Customers of the lines with many customers.
    pub many_customers: usize,
    /// Single commands in flight, one line each.
    pub in_flight: Vec<usize>,
    /// Commands in one ExecuteBatch, one line each.
    pub batches: Vec<usize>,
}

/// What a line measures.
#[derive(Clone, Copy)]
struct What {
    name: &'static str,
    call: Call,
    crowd: Crowd,
    in_flight: usize,
    /// Its line is compared with the ceiling of this many calls in flight.
    ceiling: usize,
}

/// What is measured at the same time.
#[derive(Clone, Copy)]
enum Step {
    /// One kind of calls alone.
    Alone(What),
    /// Commands on a stream.
    Stream(What),
    /// Two kinds of calls at the same time.
    Both(What, What),
    /// Webhooks by themselves, and holds with and without them.
    Webhooks(Crowd),
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Alone(what) | Self::Stream(what) | Self::Both(what, _) => what.name,
            Self::Webhooks(_) => "webhooks",
        }
    }

    const fn lines(self) -> usize {
        match self {
            Self::Alone(_) | Self::Stream(_) => 1,
            Self::Both(..) => 2,
            Self::Webhooks(_) => 4,
        }
    }
}

impl Sizes {
    fn steps(&self) -> Vec<Step> {
        let crowd = Crowd { name: "customer", count: self.customers, random: false };
        let at_random = Crowd { random: true, ..crowd };
        let many = Crowd { name: "many", count: self.many_customers, random: true };
        let single = |name, call, crowd| What { name, call, crowd, in_flight: IN_FLIGHT, ceiling: IN_FLIGHT };
        let batch = |name, call, crowd| What { in_flight: BATCHES_IN_FLIGHT, ..single(name, call, crowd) };
        let at = |in_flight, what: What| Step::Alone(What { in_flight, ceiling: in_flight, ..what });
        let ceiling = single("ceiling", Call::Nothing, crowd);
        let mut steps = Vec::new();
        if !self.in_flight.contains(&IN_FLIGHT) {
            steps.push(Step::Alone(ceiling));
        }
        for in_flight in &self.in_flight {
            steps.push(at(*in_flight, ceiling));
            steps.push(at(*in_flight, single("hold", Call::Hold, crowd)));
            steps.push(at(*in_flight, single("settle", Call::Settle, crowd)));
        }
        let batches = self.batches.iter();
        steps.extend(batches.map(|count| Step::Alone(batch("batch", Call::Holds(*count), crowd))));
        let on_stream = What { in_flight: STREAM_IN_FLIGHT, ..single("stream", Call::Hold, crowd) };
        // hot_customer makes the same calls as hold_settle except for the customer, so that the two can be compared.
        let hot = Crowd { count: 1, ..crowd };
        steps.extend([
            Step::Stream(on_stream),
            Step::Alone(single("balance", Call::Balance, at_random)),
            Step::Both(
                single("balance_beside_holds", Call::Balance, at_random),
                single("hold_beside_balances", Call::Hold, crowd),
            ),
            Step::Alone(single("hold_settle", Call::HoldAndSettle("hold_settle"), crowd)),
            Step::Alone(single("hot_customer", Call::HoldAndSettle("hot_customer"), hot)),
            Step::Webhooks(crowd),
            // So many customers that their rows fit no cache.
            Step::Alone(batch("fill", Call::Customers, many)),
            Step::Alone(single("hold_many_customers", Call::Hold, many)),
            Step::Alone(batch("batch_many_customers", Call::Holds(MANY_BATCH), many)),
        ]);
        steps
    }
}

/// A benchmark under way.
pub(super) struct Plan {
    sizes: Sizes,
    caller: Caller,
    figures: Box<dyn Figures>,
    progress: Progress,
    /// The number of the next incident.
    next: usize,
    /// The incidents of the last line that placed holds.
    held: Range<usize>,
    /// Calls a second of the ceiling, by calls in flight.
    ceilings: BTreeMap<usize, u64>,
    lines: Vec<Line>,
}

/// The usage of the process and the database when a line began.
struct Begun {
    bytes: u64,
    before: Before,
}

impl Plan {
    /// A plan of which nothing is measured yet.
    pub fn new(sizes: Sizes, caller: Caller, figures: Box<dyn Figures>) -> Self {
        let lines = sizes.steps().into_iter().map(Step::lines).sum();
        let progress = Progress::new("bench {wide_bar} {human_pos}/{human_len} {elapsed} {msg}", lines);
        let (ceilings, lines) = (BTreeMap::new(), Vec::new());
        Self { sizes, caller, figures, progress, next: 0, held: 0..0, ceilings, lines }
    }

    /// Measures all lines.
    pub async fn run(mut self) -> Result<Vec<Line>, Failure> {
        self.progress.says("customers");
        create(&self.caller, Crowd { name: "customer", count: self.sizes.customers, random: false }).await?;
        for step in self.sizes.steps() {
            self.progress.says(step.name());
            self.progress.reaches(self.lines.len());
            let begun = Begun { bytes: self.figures.bytes().await?, before: Before::now() };
            match step {
                Step::Alone(what) => {
                    let measured = measure(&self.caller, self.load(what)).await?;
                    self.end(what, &measured, begun).await?;
                }
                Step::Stream(what) => {
                    let measured = measure_stream(&self.caller, self.load(what)).await?;
                    self.end(what, &measured, begun).await?;
                }
                Step::Both(one, other) => {
                    let loads = (self.load(one), self.load(other));
                    let (measured, beside) =
                        tokio::try_join!(measure(&self.caller, loads.0), measure(&self.caller, loads.1))?;
                    let peak_bytes = begun.before.used().peak_bytes;
                    for (what, measured) in [(one, measured), (other, beside)] {
                        let line = self.line(what, &measured);
                        self.lines.push(Line { peak_bytes, ..line });
                    }
                }
                Step::Webhooks(crowd) => self.webhooks(crowd).await?,
            }
        }
        Ok(self.lines)
    }

    fn load(&self, what: What) -> Load {
        let What { call, crowd, in_flight, .. } = what;
        let load = Load::single(call, crowd, self.next, self.sizes.lasts);
        match call {
            // As many of the holds as there is time for.
            Call::Settle => Load { first: self.held.start, most: self.held.len(), in_flight, ..load },
            // Bounded by their number, because later lines need exactly these customers.
            Call::Customers => Load::customers(crowd),
            _ => Load { in_flight, ..load },
        }
    }

    /// The line of a measurement, without figures that it shares with a line at the same time. Records its incidents.
    fn line(&mut self, what: What, measured: &Measured) -> Line {
        let What { name, call, crowd, in_flight, ceiling } = what;
        let opened = measured.calls().saturating_mul(call.opens());
        if opened > 0 {
            self.held = self.next..self.next.saturating_add(opened);
            self.next = self.held.end;
        }
        let batch = call.commands(crowd);
        let per_second = measured.per_second(batch.unwrap_or(1));
        if call == Call::Nothing {
            self.ceilings.insert(in_flight, per_second);
        }
        let of_ceiling = self.of_ceiling(ceiling, per_second);
        let times = Some(Times::of(&measured.times_us));
        Line { name, in_flight, batch, per_second, times, of_ceiling, ..Line::default() }
    }

    async fn end(&mut self, what: What, measured: &Measured, begun: Begun) -> Result<(), Failure> {
        let used = begun.before.used();
        let line = self.line(what, measured);
        let commands = measured.calls().saturating_mul(line.batch.unwrap_or(1));
        let grown = self.figures.bytes().await?.saturating_sub(begun.bytes);
        let stored = line.batch.and(u64::try_from(commands).ok());
        self.lines.push(Line {
            cpu_us_per_1000: cpu_us_per_1000(used.cpu, commands),
            peak_bytes: used.peak_bytes,
            database_bytes_per_command: stored.and_then(|commands| grown.checked_div(commands)),
            ..line
        });
        Ok(())
    }

    async fn webhooks(&mut self, crowd: Crowd) -> Result<(), Failure> {
        let lasts = self.sizes.lasts;
        let Webhooks { backlog_per_second, backlog_used, without, beside, events_per_second, lags_us } =
            measure_webhooks(&self.caller, crowd, lasts, &mut self.next).await?;
        let (used, events) = backlog_used;
        let events_line =
            |name, per_second| Line { name, in_flight: MESSAGES_AT_A_TIME, per_second, ..Line::default() };
        let backlog = Line {
            cpu_us_per_1000: cpu_us_per_1000(used.cpu, events),
            peak_bytes: used.peak_bytes,
            ..events_line("webhooks", backlog_per_second)
        };
        let holds = |name, rounds: &Rounds| Line {
            name,
            in_flight: IN_FLIGHT,
            batch: Some(1),
            per_second: rounds.per_second(),
            times: Some(Times::of(&rounds.times_us)),
            of_ceiling: self.of_ceiling(IN_FLIGHT, rounds.per_second()),
            ..Line::default()
        };
        let without = holds("hold_without_webhooks", &without);
        let beside = holds("hold_beside_webhooks", &beside);
        let of_alone = beside.per_second.saturating_mul(1_000).checked_div(without.per_second);
        let times = Some(Times::of(&lags_us));
        let steady = Line { times, ..events_line("webhooks_beside_holds", events_per_second) };
        self.lines.extend([backlog, without, Line { of_alone, ..beside }, steady]);
        Ok(())
    }

    /// The rate in thousandths of the ceiling with so many calls in flight.
    fn of_ceiling(&self, in_flight: usize, per_second: u64) -> Option<u64> {
        per_second.saturating_mul(1_000).checked_div(*self.ceilings.get(&in_flight)?)
    }
}
