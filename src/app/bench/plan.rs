//! The lines of the benchmark, in their order.

use std::collections::BTreeMap;
use std::time::Duration;

use super::caller::{CREATED_AT_ONCE, Caller, Crowd, incident};
use super::line::{Line, Times};
use super::measure::{Load, Measured, Turn, measure};
use super::progress::Progress;
use super::resources::{Before, Used};
use super::stream::measure_stream;
use super::webhooks::{Rounds, Webhooks, measure_webhooks};
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::delivery::webhooks::MESSAGES_AT_A_TIME;
use crate::grpc::wire::batch_command::Command;
use crate::store::Figures;

/// Calls in flight where a line is not about that.
pub(super) const IN_FLIGHT: usize = 64;
/// Batches in flight: while one is committed the next is parsed.
pub(super) const BATCHES_IN_FLIGHT: usize = 2;
/// Commands in flight on a stream; the server allows 1,024.
const STREAM_IN_FLIGHT: usize = 1_000;
/// Commands in a batch to many customers.
const MANY_BATCH: usize = 1_000;

/// How large it all is.
#[derive(Clone, Debug)]
pub(super) struct Sizes {
    /// Of a line.
    pub lasts: Duration,
    /// Of the ordinary lines.
    pub customers: usize,
    /// Of the lines with many.
    pub many_customers: usize,
    /// Of single commands.
    pub in_flight: Vec<usize>,
    /// Commands of ExecuteBatch.
    pub batches: Vec<usize>,
}

impl Sizes {
    /// How many lines it will be.
    pub fn lines(&self) -> usize {
        let singles = self.in_flight.len().saturating_mul(3);
        // The ceiling at 64, stream, three of balances, two of mixes, four of webhooks, the filling and two of many
        // customers.
        let others = if self.in_flight.contains(&IN_FLIGHT) { 13 } else { 14 };
        singles.saturating_add(self.batches.len()).saturating_add(others)
    }
}

/// What a line is.
#[derive(Clone, Copy)]
struct What {
    name: &'static str,
    /// Commands a call.
    batch: Option<usize>,
    in_flight: usize,
    /// The number in flight of the ceiling that it is compared with.
    ceiling: usize,
    /// No more calls than these.
    most: usize,
}

impl What {
    /// Of single commands.
    const fn single(name: &'static str, in_flight: usize) -> Self {
        Self { name, batch: Some(1), in_flight, ceiling: in_flight, most: usize::MAX }
    }

    /// Of calls that are no commands.
    const fn read(name: &'static str, in_flight: usize) -> Self {
        Self { name, batch: None, in_flight, ceiling: in_flight, most: usize::MAX }
    }

    const fn batch(name: &'static str, batch: usize) -> Self {
        let in_flight = BATCHES_IN_FLIGHT;
        Self { name, batch: Some(batch), in_flight, ceiling: IN_FLIGHT, most: usize::MAX }
    }

    fn load(self, lasts: Duration) -> Load {
        Load { in_flight: self.in_flight, lasts, most: self.most }
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
    /// Calls a second, by the number in flight.
    ceilings: BTreeMap<usize, u64>,
    lines: Vec<Line>,
}

impl Plan {
    /// Nothing is measured yet.
    pub fn new(sizes: Sizes, caller: Caller, figures: Box<dyn Figures>) -> Self {
        let progress = Progress::new(sizes.lines());
        Self { sizes, caller, figures, progress, next: 0, ceilings: BTreeMap::new(), lines: Vec::new() }
    }

    /// Measures all lines.
    ///
    /// # Errors
    /// [`Failure`] where a call fails.
    pub async fn run(mut self) -> Result<Vec<Line>, Failure> {
        let crowd = Crowd { name: "customer", count: self.sizes.customers };
        self.progress.tell("customers");
        create(&self.caller, crowd).await?;
        if !self.sizes.in_flight.contains(&IN_FLIGHT) {
            self.ceiling(IN_FLIGHT).await?;
        }
        for in_flight in self.sizes.in_flight.clone() {
            self.ceiling(in_flight).await?;
            self.singles(crowd, in_flight).await?;
        }
        for batch in self.sizes.batches.clone() {
            self.batches(What::batch("batch", batch), move |number| crowd.in_turn(number)).await?;
        }
        self.stream(crowd).await?;
        self.balances(crowd).await?;
        // The same calls but for the customer, so that the two can be compared.
        self.mix("hold_settle", Crowd { name: "customer", count: self.sizes.customers }).await?;
        self.mix("hot_customer", Crowd { name: "customer", count: 1 }).await?;
        self.webhooks(crowd).await?;
        self.many().await?;
        Ok(self.lines)
    }

    async fn ceiling(&mut self, in_flight: usize) -> Result<(), Failure> {
        let caller = self.caller.clone();
        let call = move |turn: Turn| {
            let caller = caller.clone();
            async move { caller.check_health(turn.number).await }
        };
        let measured = self.line(What::read("ceiling", in_flight), call).await?;
        self.ceilings.insert(in_flight, measured.per_second(1));
        if let Some(line) = self.lines.last_mut() {
            line.of_ceiling = Some(1_000);
        }
        Ok(())
    }

    /// Holds, and the settlements of as many of them as there is time for.
    async fn singles(&mut self, crowd: Crowd, in_flight: usize) -> Result<(), Failure> {
        let first = self.next;
        let place = self.place(move |number| crowd.in_turn(number));
        let held = self.line(What::single("hold", in_flight), place).await?.calls();
        self.next = first.saturating_add(held);
        let caller = self.caller.clone();
        let settle = move |turn: Turn| {
            let (caller, number) = (caller.clone(), first.saturating_add(turn.number));
            async move { caller.settle(number, crowd.in_turn(number), incident(number)).await }
        };
        self.line(What { most: held, ..What::single("settle", in_flight) }, settle).await?;
        Ok(())
    }

    /// A call that places the holds from the next incident on.
    fn place<W>(&self, whose: W) -> impl Fn(Turn) -> BoxedCall + Clone + Send + 'static
    where
        W: Fn(usize) -> String + Copy + Send + 'static,
    {
        let (caller, first) = (self.caller.clone(), self.next);
        move |turn: Turn| {
            let (caller, number) = (caller.clone(), first.saturating_add(turn.number));
            Box::pin(async move { caller.place(number, whose(number), incident(number)).await })
        }
    }

    async fn batches<W>(&mut self, what: What, whose: W) -> Result<(), Failure>
    where
        W: Fn(usize) -> String + Copy + Send + 'static,
    {
        let (caller, first, each) = (self.caller.clone(), self.next, what.batch.unwrap_or(1));
        let call = move |turn: Turn| {
            let caller = caller.clone();
            async move {
                let first = first.saturating_add(turn.number.saturating_mul(each));
                let holds = (first..first.saturating_add(each))
                    .map(|number| Command::PlaceHold(caller.hold(number, whose(number), incident(number))));
                caller.execute(turn.number, holds.collect()).await
            }
        };
        let calls = self.line(what, call).await?.calls();
        self.next = first.saturating_add(calls.saturating_mul(each));
        Ok(())
    }

    async fn stream(&mut self, crowd: Crowd) -> Result<(), Failure> {
        let what = What { ceiling: IN_FLIGHT, ..What::single("stream", STREAM_IN_FLIGHT) };
        let begun = self.begin(what.name).await?;
        let (first, lasts) = (self.next, self.sizes.lasts);
        let measured = measure_stream(&self.caller, crowd, first, what.in_flight, lasts).await?;
        self.next = first.saturating_add(measured.calls());
        self.end(what, &measured, begun).await
    }

    /// Balances of now, alone and beside as many holds as come.
    async fn balances(&mut self, crowd: Crowd) -> Result<(), Failure> {
        let caller = self.caller.clone();
        let read = move |turn: Turn| {
            let caller = caller.clone();
            async move { caller.balance(turn.number, crowd.at_random(turn.number)).await }
        };
        self.line(What::read("balance", IN_FLIGHT), read.clone()).await?;

        let reads = What::read("balance_beside_holds", IN_FLIGHT);
        let writes = What::single("hold_beside_balances", IN_FLIGHT);
        let place = self.place(move |number| crowd.in_turn(number));
        let begun = self.begin(reads.name).await?;
        let lasts = self.sizes.lasts;
        let (read, held) =
            tokio::try_join!(measure(reads.load(lasts), read), measure(writes.load(lasts), place))?;
        self.next = self.next.saturating_add(held.calls());
        let peak_bytes = begun.before.used().peak_bytes;
        self.push(reads, &read, Shared { peak_bytes, ..Shared::default() });
        self.push(writes, &held, Shared { peak_bytes, ..Shared::default() });
        Ok(())
    }

    /// Each caller places a hold and settles it, in turn, so that no customer has more open holds than there are callers.
    async fn mix(&mut self, name: &'static str, crowd: Crowd) -> Result<(), Failure> {
        let caller = self.caller.clone();
        let call = move |turn: Turn| {
            let caller = caller.clone();
            async move {
                let Turn { number, worker, nth } = turn;
                let (pair, place) = (nth.div_euclid(2), nth.rem_euclid(2) == 0);
                let customer = crowd.in_turn(worker.wrapping_mul(7_919).wrapping_add(pair));
                let incident = format!("{name}-{worker}-{pair}");
                if place {
                    caller.place(number, customer, incident).await
                } else {
                    caller.settle(number, customer, incident).await
                }
            }
        };
        self.line(What::single(name, IN_FLIGHT), call).await?;
        Ok(())
    }

    /// Webhooks alone, and holds with and without them.
    async fn webhooks(&mut self, crowd: Crowd) -> Result<(), Failure> {
        self.begin("webhooks").await?;
        let lasts = self.sizes.lasts;
        let measured = measure_webhooks(&self.caller, crowd, lasts, &mut self.next).await?;
        let Webhooks { backlog_per_second, backlog_used, without, beside, events_per_second, lags_us } =
            measured;
        let (Used { cpu, peak_bytes }, events) = backlog_used;
        let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
        let events = u64::try_from(events).unwrap_or(u64::MAX);
        let webhooks = Line {
            name: "webhooks",
            in_flight: MESSAGES_AT_A_TIME,
            batch: None,
            per_second: backlog_per_second,
            times: None,
            cpu_us_per_1000: cpu_us.saturating_mul(1_000).checked_div(events),
            peak_bytes,
            database_bytes_per_command: None,
            of_ceiling: None,
            of_alone: None,
        };
        let holds = |name, rounds: &Rounds| Line {
            name,
            in_flight: IN_FLIGHT,
            batch: Some(1),
            per_second: rounds.per_second(),
            times: Some(Times::of(&rounds.times_us)),
            cpu_us_per_1000: None,
            peak_bytes: None,
            of_ceiling: self.of_ceiling(IN_FLIGHT, rounds.per_second()),
            ..webhooks.clone()
        };
        let without = holds("hold_without_webhooks", &without);
        let beside = holds("hold_beside_webhooks", &beside);
        let of_alone = beside.per_second.saturating_mul(1_000).checked_div(without.per_second);
        let steady = Line {
            name: "webhooks_beside_holds",
            per_second: events_per_second,
            times: Some(Times::of(&lags_us)),
            cpu_us_per_1000: None,
            peak_bytes: None,
            ..webhooks.clone()
        };
        self.lines.extend([webhooks, without, Line { of_alone, ..beside }, steady]);
        Ok(())
    }

    /// So many customers that their rows do not fit any cache, taken at random.
    async fn many(&mut self) -> Result<(), Failure> {
        let crowd = Crowd { name: "many", count: self.sizes.many_customers };
        let caller = self.caller.clone();
        let create = move |turn: Turn| {
            let caller = caller.clone();
            async move { caller.create_customers(crowd, turn.number).await }
        };
        let each = CREATED_AT_ONCE.min(crowd.count).saturating_mul(2);
        let most = crowd.count.div_ceil(CREATED_AT_ONCE);
        // The filling is bounded by its count: the lines after it are about so many customers.
        let lasts = std::mem::replace(&mut self.sizes.lasts, Duration::MAX);
        self.line(What { most, ..What::batch("fill", each) }, create).await?;
        self.sizes.lasts = lasts;

        let place = self.place(move |number| crowd.at_random(number));
        let held = self.line(What::single("hold_many_customers", IN_FLIGHT), place).await?.calls();
        self.next = self.next.saturating_add(held);
        let what = What::batch("batch_many_customers", MANY_BATCH);
        self.batches(what, move |number| crowd.at_random(number)).await
    }

    async fn line<F, Fut>(&mut self, what: What, call: F) -> Result<Measured, Failure>
    where
        F: Fn(Turn) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<(), CallError>> + Send,
    {
        let begun = self.begin(what.name).await?;
        let measured = measure(what.load(self.sizes.lasts), call).await?;
        self.end(what, &measured, begun).await?;
        Ok(measured)
    }

    async fn begin(&mut self, name: &str) -> Result<Begun, Failure> {
        self.progress.tell(name);
        self.progress.reach(self.lines.len());
        let bytes = self.figures.bytes().await?;
        Ok(Begun { bytes, before: Before::now() })
    }

    async fn end(&mut self, what: What, measured: &Measured, begun: Begun) -> Result<(), Failure> {
        let Used { cpu, peak_bytes } = begun.before.used();
        let commands =
            u64::try_from(measured.calls().saturating_mul(what.batch.unwrap_or(1))).unwrap_or(u64::MAX);
        let cpu_us = u64::try_from(cpu.as_micros()).unwrap_or(u64::MAX);
        let cpu_us_per_1000 = cpu_us.saturating_mul(1_000).checked_div(commands);
        let grown = self.figures.bytes().await?.saturating_sub(begun.bytes);
        let stores = what.batch.is_some();
        let bytes_per_command = if stores { grown.checked_div(commands) } else { None };
        self.push(what, measured, Shared { cpu_us_per_1000, peak_bytes, bytes_per_command });
        Ok(())
    }

    fn push(&mut self, what: What, measured: &Measured, shared: Shared) {
        let What { name, batch, in_flight, ceiling, most: _ } = what;
        let per_second = measured.per_second(batch.unwrap_or(1));
        let of_ceiling = self.of_ceiling(ceiling, per_second);
        self.lines.push(Line {
            name,
            in_flight,
            batch,
            per_second,
            times: Some(Times::of(&measured.times_us)),
            cpu_us_per_1000: shared.cpu_us_per_1000,
            peak_bytes: shared.peak_bytes,
            database_bytes_per_command: shared.bytes_per_command,
            of_ceiling,
            of_alone: None,
        });
    }

    /// Thousandths of the ceiling with so many in flight.
    fn of_ceiling(&self, in_flight: usize, per_second: u64) -> Option<u64> {
        per_second.saturating_mul(1_000).checked_div(*self.ceilings.get(&in_flight)?)
    }
}

/// One call, made.
type BoxedCall = std::pin::Pin<Box<dyn Future<Output = Result<(), CallError>> + Send>>;

/// How things stood when a line began.
struct Begun {
    bytes: u64,
    before: Before,
}

/// What is not of the calls themselves.
#[derive(Clone, Copy, Debug, Default)]
struct Shared {
    cpu_us_per_1000: Option<u64>,
    peak_bytes: Option<u64>,
    bytes_per_command: Option<u64>,
}

/// Makes all customers of a crowd.
///
/// # Errors
/// [`Failure`] where one is refused.
pub(super) async fn create(caller: &Caller, crowd: Crowd) -> Result<(), Failure> {
    let caller = caller.clone();
    let load = Load {
        in_flight: BATCHES_IN_FLIGHT,
        lasts: Duration::MAX,
        most: crowd.count.div_ceil(CREATED_AT_ONCE),
    };
    let call = move |turn: Turn| {
        let caller = caller.clone();
        async move { caller.create_customers(crowd, turn.number).await }
    };
    measure(load, call).await.map(|_| ())
}
