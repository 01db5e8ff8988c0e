//! The handle that all layers record with, and the instruments behind it.

use std::sync::Arc;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{BoundHistogram, Counter, Histogram, Meter};

use super::calls::Calls;
use super::samples::Samples;
use super::table::{self, Instrument, Kind};

/// All instruments of a server; off by default. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics(Option<Arc<Instruments>>);

impl Metrics {
    /// Makes all instruments.
    #[must_use]
    pub fn of(meter: &Meter) -> Self {
        Self(Some(Arc::new(Instruments::new(meter))))
    }

    /// `None` where nothing is measured.
    pub fn get(&self) -> Option<&Instruments> {
        self.0.as_deref()
    }

    /// Adds 1 to a counter.
    pub fn count(&self, counter: impl Fn(&Instruments) -> &Counter<u64>, attributes: &[KeyValue]) {
        if let Some(on) = self.get() {
            counter(on).add(1, attributes);
        }
    }
}

/// The instruments.
#[derive(Debug)]
pub struct Instruments {
    pub calls: Calls,
    pub access_refusals: Counter<u64>,
    batch_wait: BoundHistogram<f64>,
    batch_commands: BoundHistogram<f64>,
    batch_stages: [BoundHistogram<f64>; Stage::ALL.len()],
    pub batch_retries: Counter<u64>,
    pub postings: Counter<u64>,
    pub top_ups: Counter<u64>,
    pub outbox_messages: Counter<u64>,
    pub outbox_failures: Counter<u64>,
    pub deliveries: Counter<u64>,
    pub sample_failures: Counter<u64>,
    /// What is read when somebody asks.
    pub samples: Samples,
}

/// A stage of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Load,
    Decide,
    /// Without the commit.
    Append,
    Commit,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Load, Self::Decide, Self::Append, Self::Commit];

    const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Decide => "decide",
            Self::Append => "append",
            Self::Commit => "commit",
        }
    }
}

impl Instruments {
    fn new(meter: &Meter) -> Self {
        let stages = histogram(meter, &table::BATCH_DURATION);
        let stage = |stage: Stage| stages.bind(&[KeyValue::new("creditledger.stage", stage.name())]);
        let made = Self {
            calls: Calls::new(histogram(meter, &table::CALL_DURATION)),
            access_refusals: counter(meter, &table::ACCESS_REFUSALS),
            batch_wait: histogram(meter, &table::BATCH_WAIT).bind(&[]),
            batch_commands: histogram(meter, &table::BATCH_COMMANDS).bind(&[]),
            batch_stages: Stage::ALL.map(stage),
            batch_retries: counter(meter, &table::BATCH_RETRIES),
            postings: counter(meter, &table::POSTINGS),
            top_ups: counter(meter, &table::TOP_UPS),
            outbox_messages: counter(meter, &table::OUTBOX_MESSAGES),
            outbox_failures: counter(meter, &table::OUTBOX_FAILURES),
            deliveries: counter(meter, &table::DELIVERIES),
            sample_failures: counter(meter, &table::SAMPLE_FAILURES),
            samples: Samples::new(meter),
        };
        // A rate needs the zero before the first event.
        for counter in [&made.batch_retries, &made.sample_failures] {
            counter.add(0, &[]);
        }
        made
    }

    /// A batch of so many commands begins, the oldest of which has waited so long.
    pub fn batch(&self, commands: usize, waited: Duration) {
        self.batch_commands.record(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
        self.batch_wait.record(waited.as_secs_f64());
    }

    /// A batch has passed a stage.
    pub fn stage(&self, stage: Stage, took: Duration) {
        let histogram = match stage {
            Stage::Load => &self.batch_stages[0],
            Stage::Decide => &self.batch_stages[1],
            Stage::Append => &self.batch_stages[2],
            Stage::Commit => &self.batch_stages[3],
        };
        histogram.record(took.as_secs_f64());
    }
}

fn counter(meter: &Meter, of: &Instrument) -> Counter<u64> {
    meter.u64_counter(of.name).with_unit(of.unit).with_description(of.description).build()
}

fn histogram(meter: &Meter, of: &Instrument) -> Histogram<f64> {
    let bounds = match of.kind {
        Kind::Histogram(bounds) => bounds.to_vec(),
        Kind::Counter | Kind::Gauge | Kind::Total => Vec::new(),
    };
    let builder = meter.f64_histogram(of.name).with_unit(of.unit).with_description(of.description);
    builder.with_boundaries(bounds).build()
}
