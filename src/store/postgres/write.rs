//! The writing side: one connection for one lane. After an error that leaves it in doubt, the connection is dropped,
//! which ends its transaction; the next batch makes a new one.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use sqlx::{PgConnection, Row as _};

use super::connect::Address;
use super::errors::{failed, leaves_connection_sound, not_answered, timed_out};
use super::hosts::HostNo;
use super::load::Stamping;
use super::steps::{STEP_TIMEOUT, begin_and_name, within};
use super::tend::Signals;
use super::words::Erasing;
use super::{append, load};
use crate::clock::watch::Watch;
use crate::ledger::card::{CardRequest, Cards};
use crate::ledger::{Book, CustomerId, CustomerKey, LedgerNo, Request, Timestamp};
use crate::store::alerts::{DefaultAlertsSet, NewDefaultAlerts};
use crate::store::cards::{CardsChanged, catch_up, decide};
use crate::store::engine::Settings;
use crate::store::error::StoreError;
use crate::store::sql::row::sql_count;
use crate::store::sql::{alerts, cards, ledgers};
use crate::store::words::Erased;
use crate::store::write_store::{LedgerCreated, NewLedger, WriteStore};

pub struct PgWriter {
    address: Arc<Address>,
    settings: Settings,
    watch: Arc<Watch>,
    signals: Signals,
    connection: Option<PgConnection>,
    /// The host of the connection.
    host: HostNo,
    /// The server process of the connection, once it is known. If it changes, a pooler is in between, and session
    /// settings are not reliable.
    backend: Option<i32>,
    /// The sequences of the customers that the open transaction has locked.
    loaded: HashMap<CustomerKey, u64>,
    last_commit: Option<Duration>,
}

impl std::fmt::Debug for PgWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PgWriter").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl PgWriter {
    /// Connects at the first batch.
    pub(super) fn new(
        address: Arc<Address>,
        settings: Settings,
        watch: Arc<Watch>,
        signals: Signals,
    ) -> Self {
        let (connection, backend, last_commit) = (None, None, None);
        let (host, loaded) = (address.host(), HashMap::new());
        Self { address, settings, watch, signals, connection, host, backend, loaded, last_commit }
    }

    pub(super) fn address(&self) -> Arc<Address> {
        Arc::clone(&self.address)
    }

    /// A connection with an open transaction.
    pub(super) async fn begin(&mut self) -> Result<PgConnection, StoreError> {
        self.loaded.clear();
        // A connection to a host that takes no writes any more is not used again.
        let kept = self.connection.take().filter(|_| self.host == self.address.host());
        let mut connection = if let Some(connection) = kept {
            connection
        } else {
            self.backend = None;
            let connected = self.address.connect_to_write().await.inspect_err(|_| self.signals.lost())?;
            self.host = connected.host;
            connected.connection
        };
        // One message. The process is asked for apart from any table: an engine that spreads tables over machines would
        // name the machine of the table.
        let begin = begin_and_name(self.settings.isolation);
        let named = async { sqlx::raw_sql(begin).fetch_one(&mut connection).await?.try_get(0) };
        let backend = within("beginning", named, failed).await?;
        if *self.backend.get_or_insert(backend) != backend {
            return Err(StoreError::Unusable(
                "a pooler in transaction mode is in between: one connection has led to two; connect to PostgreSQL \
                 itself, or pool by session"
                    .to_owned(),
            ));
        }
        Ok(connection)
    }

    /// Commits. A connection whose commit was not answered is not used again; a conflict is an answer.
    pub(super) async fn commit(&mut self, mut connection: PgConnection) -> Result<(), StoreError> {
        let begun = Instant::now();
        let commit = sqlx::raw_sql("COMMIT").execute(&mut connection);
        match tokio::time::timeout(STEP_TIMEOUT, commit).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                let told = not_answered(error);
                if !matches!(told, StoreError::Unsure(_)) {
                    self.connection = Some(connection);
                }
                return Err(told);
            }
            Err(_) => return Err(StoreError::Unsure("the commit took too long".into())),
        }
        self.last_commit = Some(begun.elapsed());
        self.connection = Some(connection);
        self.signals.committed();
        Ok(())
    }

    /// The open transaction's connection, and the sequences of the customers that it has locked.
    ///
    /// # Errors
    /// [`StoreError::Failed`] where there is none.
    pub(super) fn open_transaction(
        &mut self,
    ) -> Result<(PgConnection, HashMap<CustomerKey, u64>), StoreError> {
        let connection = self
            .connection
            .take()
            .ok_or_else(|| StoreError::Failed("there is no open transaction".into()))?;
        Ok((connection, std::mem::take(&mut self.loaded)))
    }

    /// Keeps the transaction open for the append that follows.
    pub(super) fn keep_open(&mut self, connection: PgConnection, loaded: HashMap<CustomerKey, u64>) {
        self.connection = Some(connection);
        self.loaded = loaded;
    }

    /// Rolls back. If that fails, the connection is dropped, and the transaction ends with it.
    async fn roll_back(&mut self, mut connection: PgConnection) {
        self.loaded.clear();
        let done = within("rolling back", sqlx::raw_sql("ROLLBACK").execute(&mut connection), failed).await;
        if done.is_ok() {
            self.connection = Some(connection);
        }
    }

    /// Runs a step of an open transaction. If it fails, the transaction is closed.
    pub(super) async fn step<T>(
        &mut self,
        what: &'static str,
        mut connection: PgConnection,
        step: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<(PgConnection, T), StoreError> {
        let Ok(done) = tokio::time::timeout(STEP_TIMEOUT, step(&mut connection)).await else {
            // The server is still busy with the step, so a rollback is impossible: the connection is dropped.
            return Err(timed_out(what));
        };
        match done {
            Ok(done) => Ok((connection, done)),
            Err(error) => {
                if leaves_connection_sound(&error) {
                    self.roll_back(connection).await;
                }
                Err(error)
            }
        }
    }
}

#[async_trait]
impl WriteStore for PgWriter {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        let connection = self.begin().await?;
        let watch = Arc::clone(&self.watch);
        let stamping = Stamping { time: self.settings.time, watch: &watch, clock, random, cards };
        let (connection, (book, loaded)) = self
            .step("loading", connection, async |connection| load::load(connection, requests, stamping).await)
            .await?;
        self.keep_open(connection, loaded);
        Ok(book)
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        let (connection, loaded) = self.open_transaction()?;
        let (connection, ()) = self
            .step("appending", connection, async |connection| append::append(connection, book, &loaded).await)
            .await?;
        self.commit(connection).await
    }

    fn last_commit(&self) -> Option<Duration> {
        self.last_commit
    }

    async fn was_stored(&mut self, book: &Book) -> Result<bool, StoreError> {
        // Without a posting nothing was stored that could not be done again.
        let Some(first) = book.journal().first() else { return Ok(false) };
        let (connection, loaded) = self.open_transaction()?;
        let (connection, found) = self
            .step("looking for a batch", connection, async |connection| {
                sqlx::query_scalar::<_, uuid::Uuid>(
                    "SELECT posting_id FROM posting WHERE customer = $1 AND sequence = $2",
                )
                .bind(first.customer.raw())
                .bind(sql_count(first.sequence))
                .fetch_optional(connection)
                .await
                .map_err(failed)
            })
            .await?;
        self.keep_open(connection, loaded);
        Ok(found == Some(first.id.uuid()))
    }

    async fn locked(&mut self, customers: &[CustomerKey]) -> Result<BTreeSet<CustomerKey>, StoreError> {
        let connection = self.begin().await?;
        let (connection, locked) = self
            .step("looking for locks", connection, async |connection| {
                load::locked_by_others(connection, customers).await
            })
            .await?;
        self.roll_back(connection).await;
        Ok(locked)
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        if let Some(connection) = self.connection.take() {
            self.roll_back(connection).await;
        }
        Ok(())
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        let connection = self.begin().await?;
        let (connection, created) = self
            .step("making a ledger", connection, async |connection| {
                ledgers::create(connection, ledger, now).await
            })
            .await?;
        if let LedgerCreated::Created { replayed: false, .. } = created {
            self.commit(connection).await?;
        } else {
            self.roll_back(connection).await;
        }
        Ok(created)
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        let connection = self.begin().await?;
        let (connection, decided) = self
            .step("changing rate cards", connection, async |connection| {
                catch_up(cards, &cards::changes(&mut *connection, cards.revision()).await?)?;
                let earlier = cards::earlier(connection, request).await?;
                let decided = decide(cards, request, earlier, now)?;
                if let CardsChanged::Made { change, replayed: false } = &decided {
                    cards::insert(connection, change).await?;
                }
                Ok(decided)
            })
            .await?;
        if let CardsChanged::Made { change, replayed: false } = &decided {
            self.commit(connection).await?;
            // The change is stored: an error must not say that nothing was.
            let fits = catch_up(cards, std::slice::from_ref(change));
            fits.map_err(|error| StoreError::UnknownFate(Box::new(error)))?;
        } else {
            self.roll_back(connection).await;
        }
        Ok(decided)
    }

    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        let connection = self.begin().await?;
        let (connection, set) = self
            .step("setting thresholds", connection, async |connection| {
                alerts::set(connection, alerts, now).await
            })
            .await?;
        if set == (DefaultAlertsSet::Set { replayed: false }) {
            self.commit(connection).await?;
        } else {
            self.roll_back(connection).await;
        }
        Ok(set)
    }

    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        const ERASING: &str = "erasing words";
        let connection = self.begin().await?;
        let (mut connection, erasing) = self
            .step(ERASING, connection, async |connection| {
                Erasing::begin(connection, ledger, customer, now).await
            })
            .await?;
        let Some(mut erasing) = erasing else {
            self.roll_back(connection).await;
            return Ok(Erased::default());
        };
        let mut goes_on = true;
        while goes_on {
            let page = async |connection: &mut PgConnection| erasing.page(connection).await;
            (connection, goes_on) = self.step(ERASING, connection, page).await?;
        }
        self.commit(connection).await?;
        Ok(erasing.erased())
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        if let Some(connection) = self.connection.take() {
            use sqlx::Connection as _;
            // If this does not reach the server, it notices by itself.
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection was not closed in order");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
