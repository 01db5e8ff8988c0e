//! Reads what metrics show of the present: the queue, the engine, positions, the outbox, orders that wait, and balances.
//!
//! # What it is
//! A scrape asks for a sample first. What lies in memory is read each time, rows at most every 5 s. Balances sum up all
//! customers, so they are read beside the scrape, and for a fiftieth of the time at most. Nothing is read through the
//! writer.
//!
//! # Failure
//! A read that fails or takes too long is counted and logged. Its gauges show nothing until one succeeds.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::time::{Duration, Instant};

use opentelemetry::KeyValue;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive as _;
use tokio::sync::{Mutex, watch};

use crate::clock::Clock;
use crate::delivery::{Progress, Sending};
use crate::ledger::{Credits, LedgerId, LedgerNo};
use crate::metrics::{self, Instrument, Instruments, Metrics, Sample};
use crate::query::{Reader, TrialBalance};
use crate::store::{Gauges, OrderStore, StoreError, StorefrontRoom};
use crate::storefront::amounts;
use crate::writer::Writer;

/// How old rows may be that a sample shows.
const ROWS_EVERY: Duration = Duration::from_secs(5);
/// After balances were read, they are left alone for so many times as long as that took, and [`ROWS_EVERY`] at least.
const BALANCES_REST: u32 = 50;
/// How often a sample is taken for a collector that is sent to.
const SENT_EVERY: Duration = Duration::from_secs(10);
/// How long one read of rows may take: less than a scrape waits.
const ROWS_TIMEOUT: Duration = Duration::from_secs(4);
const BALANCES_TIMEOUT: Duration = Duration::from_secs(50);
/// Ledgers that have series of their own: the oldest.
const LEDGERS_MAX: usize = 50;
/// Endpoints that have series of their own: those furthest behind.
const ENDPOINTS_MAX: usize = 200;
/// Storefronts of ledgers that have series of their own.
const STOREFRONTS_MAX: usize = 200;

/// Where a sample is read from.
pub(super) struct Sources {
    pub writer: Writer,
    pub reader: Arc<Reader>,
    pub orders: Arc<dyn OrderStore>,
    pub gauges: Gauges,
    pub progress: Progress,
    pub clock: Arc<dyn Clock>,
}

/// Takes samples. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sampler(Arc<Shared>);

struct Shared {
    metrics: Metrics,
    sources: Sources,
    /// When rows were read last. Who holds it reads.
    rows_at: Mutex<Option<Instant>>,
    balances: Balances,
}

/// When balances are read again.
#[derive(Default)]
struct Balances(std::sync::Mutex<Reading>);

#[derive(Clone, Copy, Default)]
enum Reading {
    #[default]
    Never,
    Now,
    /// Not before this time.
    Rests(Instant),
}

impl Balances {
    /// True where it is time to read them: whoever is told so does.
    fn begin(&self) -> bool {
        let mut reading = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let is_time = match *reading {
            Reading::Never => true,
            Reading::Now => false,
            Reading::Rests(until) => until <= Instant::now(),
        };
        if is_time {
            *reading = Reading::Now;
        }
        is_time
    }

    fn end(&self, took: Duration) {
        let rest = took.saturating_mul(BALANCES_REST).max(ROWS_EVERY);
        let until = Instant::now() + rest;
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Reading::Rests(until);
    }
}

/// Why rows could not be read.
#[derive(Debug, thiserror::Error)]
enum SampleError {
    #[error(transparent)]
    Read(#[from] crate::query::ReadError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("it took too long")]
    TooLong,
    #[error("the currency {0} has no known number of digits")]
    Currency(String),
}

impl Sampler {
    /// Tells what never changes.
    pub async fn start(metrics: Metrics, sources: Sources) -> Self {
        if let Some(on) = metrics.get() {
            match sources.reader.server_info().await {
                Ok(info) => {
                    let version = KeyValue::new("version", env!("CARGO_PKG_VERSION"));
                    let facts = vec![version, KeyValue::new("engine", info.engine)];
                    on.samples.put(&metrics::BUILD_INFO, vec![(1.0, facts)]);
                }
                Err(error) => failed(on, "the engine's name", &error.into()),
            }
            let start = Decimal::new(sources.clock.now().micros(), 6);
            put_one(on, &metrics::START_TIME, start.to_f64());
        }
        let (rows_at, balances) = (Mutex::default(), Balances::default());
        Self(Arc::new(Shared { metrics, sources, rows_at, balances }))
    }

    /// Takes samples for a collector that is sent to, until it is stopped.
    pub async fn keep_fresh(self, is_sent: bool, mut stop: watch::Receiver<bool>) {
        if !is_sent {
            return;
        }
        loop {
            self.sample().await;
            // A sender that is gone means stop as well.
            if tokio::time::timeout(SENT_EVERY, stop.wait_for(|stop| *stop)).await.is_ok() {
                return;
            }
        }
    }

    /// Brings all samples up to date.
    pub async fn sample(&self) {
        let Shared { metrics, sources, rows_at, .. } = &*self.0;
        let Some(on) = metrics.get() else { return };
        sources.memory(on);
        let mut rows_at = rows_at.lock().await;
        if rows_at.is_none_or(|at| at.elapsed() >= ROWS_EVERY) {
            *rows_at = Some(Instant::now());
            sources.rows(on).await;
        }
        drop(rows_at);
        if self.0.balances.begin() {
            let shared = Arc::clone(&self.0);
            // Beside the scrape: a sum over millions of customers takes its time.
            tokio::spawn(async move {
                let begun = Instant::now();
                if let Some(on) = shared.metrics.get() {
                    shared.sources.balances(on).await;
                }
                shared.balances.end(begun.elapsed());
            });
        }
    }
}

impl Sources {
    /// What is known without reading a row.
    fn memory(&self, on: &Instruments) {
        put_one(on, &metrics::QUEUE_COMMANDS, self.writer.queued().to_f64());
        put_one(on, &metrics::QUEUE_AGE, Some(self.writer.queue_age().as_secs_f64()));
        match &self.gauges {
            Gauges::None => {}
            Gauges::Sqlite(log) => {
                let bytes = log.wal_bytes();
                if let Err(error) = &bytes {
                    on.sample_failures.add(1, &[]);
                    tracing::warn!(%error, "the size of the write-ahead log could not be read for metrics");
                }
                put_one(on, &metrics::WAL_SIZE, bytes.ok().and_then(|bytes| bytes.to_f64()));
                put_one(on, &metrics::CHECKPOINTS, log.checkpoints().to_f64());
            }
            Gauges::Postgres(sequencer) => {
                let last = sequencer.last();
                put_one(on, &metrics::SEQUENCER_PENDING, last.and_then(|last| last.pending.to_f64()));
                put_one(on, &metrics::SEQUENCER_LAG, last.map(|last| last.lag.as_secs_f64()));
            }
        }
    }

    /// Positions, the outbox, and orders of storefronts.
    async fn rows(&self, on: &Instruments) {
        let shown = [&metrics::LEDGERS, &metrics::JOURNAL_POSITION, &metrics::OUTBOX_LAG, &metrics::ORDERS];
        let read = tokio::time::timeout(ROWS_TIMEOUT, self.read_rows(on)).await;
        if let Err(error) = read.unwrap_or(Err(SampleError::TooLong)) {
            for instrument in shown {
                on.samples.put(instrument, Vec::new());
            }
            failed(on, "positions and orders", &error);
        }
    }

    async fn read_rows(&self, on: &Instruments) -> Result<(), SampleError> {
        let ledgers = self.reader.all_ledgers().await?;
        let ids: BTreeMap<LedgerNo, LedgerId> =
            ledgers.into_iter().map(|ledger| (ledger.no, ledger.id)).collect();
        let mut sending = self.progress.last();
        let mut positions = BTreeMap::new();
        let named = sending.iter().flatten().map(|sending| sending.ledger);
        for no in ids.keys().copied().take(LEDGERS_MAX).chain(named) {
            if let Entry::Vacant(free) = positions.entry(no) {
                free.insert(self.reader.last_position(no).await?.0);
            }
        }
        let mut tx = self.orders.read(self.clock.now()).await?;
        let rooms = tx.rooms().await?;
        tx.commit().await?;

        put_one(on, &metrics::LEDGERS, ids.len().to_f64());
        let position = |(no, id): (&LedgerNo, &LedgerId)| sample(positions.get(no)?.to_f64(), vec![of(id)]);
        let shown = ids.iter().take(LEDGERS_MAX).filter_map(position).collect();
        on.samples.put(&metrics::JOURNAL_POSITION, shown);
        put_one(on, &metrics::OUTBOX_ENDPOINTS, sending.as_ref().and_then(|sending| sending.len().to_f64()));
        let behind = |sending: &Sending| {
            positions.get(&sending.ledger).map_or(0, |last| last.saturating_sub(sending.done.0))
        };
        if let Some(sending) = &mut sending {
            sending.sort_by_key(|sending| std::cmp::Reverse(behind(sending)));
        }
        let lag = |sending: &Sending| {
            let endpoint = KeyValue::new("creditledger.endpoint", sending.endpoint.to_string());
            sample(behind(sending).to_f64(), vec![of(ids.get(&sending.ledger)?), endpoint])
        };
        on.samples.put(
            &metrics::OUTBOX_LAG,
            sending.iter().flatten().take(ENDPOINTS_MAX).filter_map(lag).collect(),
        );
        let rooms = rooms.into_iter().take(STOREFRONTS_MAX);
        on.samples.put(&metrics::ORDERS, rooms.flat_map(|room| orders(&ids, &room)).collect());
        Ok(())
    }

    async fn balances(&self, on: &Instruments) {
        let read = tokio::time::timeout(BALANCES_TIMEOUT, self.read_balances(on)).await;
        if let Err(error) = read.unwrap_or(Err(SampleError::TooLong)) {
            for instrument in [&metrics::ACCOUNT_CREDITS, &metrics::ACCOUNT_MONEY] {
                on.samples.put(instrument, Vec::new());
            }
            failed(on, "balances", &error);
        }
    }

    async fn read_balances(&self, on: &Instruments) -> Result<(), SampleError> {
        let (mut credits, mut money) = (AccountSamples::default(), AccountSamples::default());
        for ledger in self.reader.all_ledgers().await?.into_iter().take(LEDGERS_MAX) {
            let TrialBalance { credits: in_credits, money: in_money } =
                self.reader.trial_balance(ledger.no).await?;
            for (account, balance) in in_credits {
                let value = Decimal::from(balance.units()) / Decimal::from(Credits::UNITS_PER_CREDIT);
                credits.add(&ledger.id, account, None, value);
            }
            for (place, minor_units) in in_money {
                let currency = place.currency.to_string();
                let digits =
                    amounts::digits(&currency).ok_or_else(|| SampleError::Currency(currency.clone()))?;
                let value = Decimal::new(minor_units, digits);
                money.add(&ledger.id, place.short_name(), Some(currency), value);
            }
        }
        on.samples.put(&metrics::ACCOUNT_CREDITS, credits.samples());
        on.samples.put(&metrics::ACCOUNT_MONEY, money.samples());
        Ok(())
    }
}

/// Balances by ledger, account and currency. Whoever records purchases names storefronts, so only the first
/// [`STOREFRONTS_MAX`] of their accounts have series of their own. The others are one together, so that sums stay.
#[derive(Default)]
struct AccountSamples {
    balances: BTreeMap<(LedgerId, String, Option<String>), Decimal>,
    of_storefronts: usize,
}

impl AccountSamples {
    fn add(&mut self, ledger: &LedgerId, account: String, currency: Option<String>, balance: Decimal) {
        let account = match account.split_once(':') {
            Some((kind, _)) if self.of_storefronts >= STOREFRONTS_MAX => format!("{kind}:others"),
            Some(_) => {
                self.of_storefronts = self.of_storefronts.saturating_add(1);
                account
            }
            None => account,
        };
        let sum = self.balances.entry((ledger.clone(), account, currency)).or_default();
        *sum = sum.saturating_add(balance);
    }

    fn samples(self) -> Vec<Sample> {
        let shown =
            |((ledger, account, currency), balance): ((LedgerId, String, Option<String>), Decimal)| {
                let mut attributes = vec![of(&ledger), KeyValue::new("creditledger.account", account)];
                attributes.extend(currency.map(|currency| KeyValue::new("creditledger.currency", currency)));
                sample(balance.to_f64(), attributes)
            };
        self.balances.into_iter().filter_map(shown).collect()
    }
}

/// The orders of a storefront, by what they wait for.
fn orders(ids: &BTreeMap<LedgerNo, LedgerId>, room: &StorefrontRoom) -> Vec<Sample> {
    let (ledger, storefront, room) = room;
    let Some(id) = ids.get(ledger) else { return Vec::new() };
    let of_state = |(count, state): (u64, &'static str)| {
        let storefront = KeyValue::new("creditledger.storefront", storefront.to_string());
        sample(count.to_f64(), vec![of(id), storefront, KeyValue::new("creditledger.state", state)])
    };
    [(room.waiting, "waiting"), (room.due, "due")].into_iter().filter_map(of_state).collect()
}

fn of(ledger: &LedgerId) -> KeyValue {
    KeyValue::new("creditledger.ledger", ledger.to_string())
}

fn sample(value: Option<f64>, attributes: Vec<KeyValue>) -> Option<Sample> {
    value.map(|value| (value, attributes))
}

fn put_one(on: &Instruments, of: &'static Instrument, value: Option<f64>) {
    on.samples.put(of, sample(value, Vec::new()).into_iter().collect());
}

fn failed(on: &Instruments, what: &'static str, error: &SampleError) {
    on.sample_failures.add(1, &[]);
    tracing::warn!(%error, what, "what metrics show could not be read");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_many_storefronts_there_are_the_sums_stay_and_the_series_are_bounded() {
        let mut accounts = AccountSamples::default();
        let ledger = LedgerId::parse("main").unwrap();
        accounts.add(&ledger, "available".to_owned(), None, Decimal::from(3_000));
        for number in 0..3_000 {
            accounts.add(&ledger, format!("sales:shop-{number}"), None, Decimal::from(-1));
        }
        let samples = accounts.samples();
        assert_eq!(samples.len(), STOREFRONTS_MAX + 2);
        assert!(samples.iter().map(|(value, _)| value).sum::<f64>().abs() < 1e-9);
    }
}
