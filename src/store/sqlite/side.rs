//! The connections for webhook endpoints, for orders, and for who may call. Short transactions that write take turns with
//! the writer's; those that only read have a connection of their own.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use super::checkpoints::CHECKPOINT_PAGES;
use super::connection::{Turns, fate_unknown};
use super::lock::DatabaseFile;
use super::readers::OneConnection;
use super::reading::{self, Medium};
use super::settings::{configure, connect};
use crate::ledger::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::database::{Database, Sql as _, Work};
use crate::store::sql::side::{SideConnections, Transaction};

/// Where a connection is while no transaction is open on it.
type Home = Arc<Mutex<Option<Connection>>>;

/// Clones share the connections.
#[derive(Clone, Debug)]
pub struct SqliteSide {
    path: PathBuf,
    /// The connection that writes, while no transaction is open. Transactions take turns, so one is enough.
    idle: Home,
    turns: Turns,
    /// The same of those that only read.
    idle_to_read: Home,
    turns_to_read: Turns,
    // Declared after the connection, so dropped after it.
    file: Arc<DatabaseFile>,
}

impl SqliteSide {
    /// The file is opened at the first transaction.
    #[must_use]
    pub(crate) fn of(path: &Path, turns: Turns, file: Arc<DatabaseFile>) -> Self {
        let (idle, idle_to_read, turns_to_read) = (Home::default(), Home::default(), Turns::default());
        Self { path: path.to_owned(), idle, turns, idle_to_read, turns_to_read, file }
    }

    fn open(&self) -> Result<Connection, StoreError> {
        let connection = connect(&self.path)?;
        configure(&connection)?;
        // Payloads and secrets that are erased leave no bytes on freed pages.
        connection.pragma_update_and_check(None, "secure_delete", true, |_| Ok(()))?;
        // The writer looks at the log after its own commits only. Where it has none, a long log is moved here.
        let pages = CHECKPOINT_PAGES.saturating_mul(2);
        connection.pragma_update_and_check(None, "wal_autocheckpoint", pages, |_| Ok(()))?;
        Ok(connection)
    }
}

/// A transaction that has its turn.
pub struct OpenTransaction {
    connection: OneConnection,
    home: Home,
    file: Arc<DatabaseFile>,
    _turn: OwnedMutexGuard<()>,
}

impl SqliteSide {
    async fn transaction(
        &self,
        turn: OwnedMutexGuard<()>,
        home: &Home,
        open: impl FnOnce() -> Result<Connection, StoreError>,
        begin: &'static str,
    ) -> Result<OpenTransaction, StoreError> {
        let home = Arc::clone(home);
        let idle = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = match idle {
            Some(connection) => connection,
            None => open()?,
        };
        let file = Arc::clone(&self.file);
        let connection = OneConnection::new(connection, Some(Arc::clone(&file)));
        let transaction = OpenTransaction { connection, home, file, _turn: turn };
        transaction.run(move |sql| Box::pin(execute(sql, begin))).await?;
        Ok(transaction)
    }
}

impl SideConnections for SqliteSide {
    type Open = OpenTransaction;

    async fn begin(&self) -> Result<OpenTransaction, StoreError> {
        let turn = Arc::clone(&self.turns).lock_owned().await;
        self.transaction(turn, &self.idle, || self.open(), "BEGIN IMMEDIATE").await
    }

    async fn read(&self) -> Result<OpenTransaction, StoreError> {
        let turn = Arc::clone(&self.turns_to_read).lock_owned().await;
        let open = || Ok(reading::connect(&self.path, Medium::Shared)?);
        self.transaction(turn, &self.idle_to_read, open, "BEGIN").await
    }

    async fn time(&self, _open: &OpenTransaction, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(now)
    }
}

async fn execute(sql: &mut Connection, text: &'static str) -> Result<u64, StoreError> {
    sql.run(text, &[]).await
}

impl Database for OpenTransaction {
    type Connection = Connection;

    async fn run<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut Connection) -> Work<'c, T> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.connection.run(work).await
    }
}

impl Transaction for OpenTransaction {
    async fn commit(self) -> Result<(), StoreError> {
        self.file.check_place()?;
        self.run(|sql| Box::pin(execute(sql, "COMMIT"))).await.map_err(fate_unknown)?;
        *self.home.lock().unwrap_or_else(PoisonError::into_inner) = self.connection.into_inner();
        Ok(())
    }
}
