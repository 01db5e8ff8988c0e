//! The reading side: a pool of read-only connections. Each call is one statement, or a few over rows that never
//! change; what must be of one moment is one statement.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::{Executor as _, PgConnection};

use super::connect::{Address, prepare, refuse_read_only};
use super::errors::timed_out;
use super::sequencer::Sequencer;
use super::tend::Tending;
use crate::ledger::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::database::{Database, ReadDatabase, Work};

/// Reading connections.
const READERS_MAX: u32 = 8;
/// How long a reader waits for a connection, be it a free one or a new one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// Longer than any statement may take: the server would have said so by then, were it there.
const READ_TIMEOUT: Duration = Duration::from_secs(35);
/// After a fail-over, connections to what is no longer the main server go away by themselves.
const CONNECTION_AGE_MAX: Duration = Duration::from_mins(30);

/// The reading side of a PostgreSQL database.
#[derive(Debug)]
pub struct PgReaders {
    address: Arc<Address>,
    pool: RwLock<PgPool>,
    sequencer: Arc<Sequencer>,
    /// Goes on for as long as somebody may read.
    _tending: Tending,
}

impl PgReaders {
    /// A pool that connects when it is asked for something: a database that cannot be reached now may be later.
    pub(super) fn new(address: Arc<Address>, sequencer: Arc<Sequencer>, tending: Tending) -> Self {
        let pool = RwLock::new(new_pool(&address));
        Self { address, pool, sequencer, _tending: tending }
    }

    fn pool(&self) -> PgPool {
        self.pool.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Database for PgReaders {
    type Connection = PgConnection;

    /// Waits for what is read, but not for ever: a machine that goes away without a word leaves connections that nothing
    /// comes back on, and neither the driver nor its pool gives them up. Then a new pool takes the place of the one that
    /// they belong to.
    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut PgConnection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let pool = self.pool();
        let read = async {
            let mut connection = pool.acquire().await?;
            work(&mut connection).await
        };
        if let Ok(done) = tokio::time::timeout(READ_TIMEOUT, read).await {
            return done;
        }
        *self.pool.write().unwrap_or_else(PoisonError::into_inner) = new_pool(&self.address);
        Err(timed_out("a read"))
    }
}

impl ReadDatabase for PgReaders {
    async fn watermark(&self, wanted: Timestamp, _now: Timestamp) -> Result<Timestamp, StoreError> {
        self.sequencer.watermark(wanted).await
    }

    /// What is not placed yet counts from just after the watermark, so that must be as late as it can be.
    async fn reach(&self, time: Timestamp) -> Result<(), StoreError> {
        self.sequencer.watermark(time).await.map(drop)
    }

    async fn place_all(&self) -> Result<(), StoreError> {
        self.sequencer.catch_up().await
    }
}

fn new_pool(address: &Address) -> PgPool {
    PgPoolOptions::new()
        .min_connections(0)
        .max_connections(READERS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .max_lifetime(CONNECTION_AGE_MAX)
        .after_connect(|connection, _| {
            Box::pin(async move {
                prepare(connection).await?;
                refuse_read_only(connection).await?;
                connection.execute("SET default_transaction_read_only = on").await.map(drop)
            })
        })
        .connect_lazy_with(address.options())
}
