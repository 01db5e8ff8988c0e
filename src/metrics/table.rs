//! The table of all instruments: what a server measures, under which name, in which unit, by which attributes.

/// How an instrument counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Rises as things happen.
    Counter,
    /// How often a value fell into which bucket; these are the buckets' upper bounds.
    Histogram(&'static [f64]),
    /// Read as it is now, whenever somebody asks.
    Gauge,
    /// A count that rises elsewhere, read whenever somebody asks.
    Total,
}

/// A row of the table.
#[derive(Debug)]
pub struct Instrument {
    /// The name by OpenTelemetry's rules.
    pub name: &'static str,
    /// The unit in UCUM; what is counted stands in braces.
    pub unit: &'static str,
    pub kind: Kind,
    pub description: &'static str,
    /// The names of its attributes.
    pub attributes: &'static [&'static str],
}

impl Instrument {
    /// The name that Prometheus has for it. A histogram's series end in `_bucket`, `_sum` and `_count`.
    pub fn prometheus_name(&self) -> String {
        let unit = match self.unit {
            "s" => "_seconds",
            "By" => "_bytes",
            _ => "",
        };
        let total = match self.kind {
            Kind::Counter | Kind::Total => "_total",
            Kind::Histogram(_) | Kind::Gauge => "",
        };
        format!("{}{unit}{total}", self.name.replace('.', "_"))
    }
}

/// Seconds of a call: from 10 us, which a read from memory takes, to longer than most deadlines.
const CALL_SECONDS: [f64; 20] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
/// Seconds of a step of a batch.
const STEP_SECONDS: [f64; 16] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 1.0, 5.0,
];
/// Commands of a batch.
const COMMANDS: [f64; 13] =
    [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 250.0, 500.0, 1_000.0, 2_500.0, 10_000.0];

/// A line for each instrument: `CONSTANT = kind, "name", "unit", [attributes], "description"`.
macro_rules! instruments {
    ($($constant:ident = $kind:expr, $name:literal, $unit:literal, [$($attribute:literal),*], $description:literal;)*) => {
        $(
            #[doc = $description]
            pub static $constant: Instrument = Instrument {
                name: $name,
                unit: $unit,
                kind: $kind,
                description: $description,
                attributes: &[$($attribute),*],
            };
        )*

        /// All of them, in the order of a command's path.
        pub static INSTRUMENTS: &[&Instrument] = &[$(&$constant),*];
    };
}

instruments! {
    BUILD_INFO = Kind::Gauge, "creditledger.build.info", "", ["version", "engine"],
        "1, with the version of the program and the engine of its database";
    START_TIME = Kind::Gauge, "process.start_time", "s", [],
        "When the server started, in seconds since 1970";
    CALL_DURATION = Kind::Histogram(&CALL_SECONDS), "rpc.server.call.duration", "s",
        ["rpc.system.name", "rpc.method", "rpc.response.status_code"],
        "How long calls took, until their answer was ready; streams until they ended";
    ACCESS_REFUSALS = Kind::Counter, "creditledger.access.refusals", "{call}", ["creditledger.reason"],
        "Calls that were refused because of who made them, by the reason of the error";
    QUEUE_COMMANDS = Kind::Gauge, "creditledger.queue.commands", "{command}", [],
        "Commands that wait for the writer";
    QUEUE_AGE = Kind::Gauge, "creditledger.queue.age", "s", [],
        "How long the oldest command of the queue has waited";
    BATCH_WAIT = Kind::Histogram(&STEP_SECONDS), "creditledger.batch.wait", "s", [],
        "How long the oldest command of a batch had waited for it";
    BATCH_COMMANDS = Kind::Histogram(&COMMANDS), "creditledger.batch.commands", "{command}", [],
        "Commands of a batch";
    BATCH_DURATION = Kind::Histogram(&STEP_SECONDS), "creditledger.batch.duration", "s", ["creditledger.stage"],
        "How long a batch took in each stage: load, decide, append, commit";
    BATCH_RETRIES = Kind::Counter, "creditledger.batch.retries", "{batch}", [],
        "Batches that were run again, after a conflict or because the database was away";
    POSTINGS = Kind::Counter, "creditledger.postings", "{posting}", ["creditledger.kind"],
        "Postings that this server committed, by kind";
    TOP_UPS = Kind::Counter, "creditledger.top_ups", "{top_up}", ["creditledger.event"],
        "Automatic top-ups: requested, reported by a storefront, suspended after failures";
    JOURNAL_POSITION = Kind::Gauge, "creditledger.journal.position", "{posting}", ["creditledger.ledger"],
        "The last position of a ledger's journal";
    LEDGERS = Kind::Gauge, "creditledger.ledgers", "{ledger}", [],
        "Ledgers of the database; only the first 50 have series of their own";
    WAL_SIZE = Kind::Gauge, "creditledger.sqlite.wal.size", "By", [],
        "SQLite: the size of the write-ahead log's file";
    CHECKPOINTS = Kind::Total, "creditledger.sqlite.checkpoints", "{checkpoint}", [],
        "SQLite: how often the writer had the log copied into the database";
    SEQUENCER_PENDING = Kind::Gauge, "creditledger.sequencer.pending", "{commit}", [],
        "PostgreSQL: commits without a position, at the last look; at most 1,000 are seen";
    SEQUENCER_LAG = Kind::Gauge, "creditledger.sequencer.lag", "s", [],
        "PostgreSQL: the age of the oldest commit without a position, at the last look";
    OUTBOX_MESSAGES = Kind::Counter, "creditledger.outbox.messages", "{message}",
        ["creditledger.transport", "creditledger.outcome"],
        "Messages of events by webhook or e-mail: taken by their receiver, to be tried again, given up";
    OUTBOX_FAILURES = Kind::Counter, "creditledger.outbox.failures", "{message}",
        ["creditledger.ledger", "creditledger.endpoint"],
        "Messages that an endpoint did not take, each attempt counted";
    OUTBOX_LAG = Kind::Gauge, "creditledger.outbox.lag", "{posting}",
        ["creditledger.ledger", "creditledger.endpoint"],
        "Postings behind the stored cursor of an endpoint that this server sends to; the 200 furthest behind";
    OUTBOX_ENDPOINTS = Kind::Gauge, "creditledger.outbox.endpoints", "{endpoint}", [],
        "Endpoints that this server sends to";
    DELIVERIES = Kind::Counter, "creditledger.storefront.deliveries", "{delivery}",
        ["creditledger.storefront", "creditledger.outcome"],
        "Deliveries of storefronts: stored, unsigned, bad, or failed and to be sent again";
    ORDERS = Kind::Gauge, "creditledger.storefront.orders", "{order}",
        ["creditledger.ledger", "creditledger.storefront", "creditledger.state"],
        "Orders of storefronts that wait for a person, or are due to be followed";
    ACCOUNT_CREDITS = Kind::Gauge, "creditledger.account.credits", "{credit}",
        ["creditledger.ledger", "creditledger.account"],
        "The balance of an account in credits, all customers together";
    ACCOUNT_MONEY = Kind::Gauge, "creditledger.account.money", "{unit}",
        ["creditledger.ledger", "creditledger.account", "creditledger.currency"],
        "The balance of an account in units of its currency, all customers together";
    SAMPLE_FAILURES = Kind::Counter, "creditledger.sample.failures", "{read}", [],
        "Reads for these metrics that failed; what they would have told is left out meanwhile";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_buckets_rise() {
        let names: BTreeSet<&str> = INSTRUMENTS.iter().map(|instrument| instrument.name).collect();
        assert_eq!(names.len(), INSTRUMENTS.len());
        for instrument in INSTRUMENTS {
            if let Kind::Histogram(bounds) = instrument.kind {
                assert!(bounds.is_sorted_by(|one, next| one < next), "{}", instrument.name);
            }
        }
    }

    #[test]
    fn prometheus_names_have_units_and_kinds() {
        let names =
            [&CALL_DURATION, &WAL_SIZE, &CHECKPOINTS, &QUEUE_COMMANDS].map(Instrument::prometheus_name);
        let expected = [
            "rpc_server_call_duration_seconds",
            "creditledger_sqlite_wal_size_bytes",
            "creditledger_sqlite_checkpoints_total",
            "creditledger_queue_commands",
        ];
        assert_eq!(names, expected);
    }
}
