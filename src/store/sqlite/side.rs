//! The connection for webhook endpoints, orders, and who may call. Its short transactions take turns with the writer's.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::OwnedMutexGuard;

use super::checkpoints::CHECKPOINT_PAGES;
use super::connection::{Turns, fate_unknown};
use super::lock::DatabaseFile;
use super::readers::OneConnection;
use super::settings::{configure, connect};
use crate::ledger::Timestamp;
use crate::store::error::StoreError;
use crate::store::sql::database::{Database, Sql as _, Work};
use crate::store::sql::side::{SideConnections, Transaction};

/// Clones share the connection.
#[derive(Clone, Debug)]
pub struct SqliteSide {
    path: PathBuf,
    /// The connection while no transaction is open. Transactions take turns, so one is enough.
    idle: Arc<Mutex<Option<Connection>>>,
    turns: Turns,
    // Declared after the connection, so dropped after it.
    file: Arc<DatabaseFile>,
}

impl SqliteSide {
    /// The file is opened at the first transaction.
    #[must_use]
    pub(crate) fn of(path: &Path, turns: Turns, file: Arc<DatabaseFile>) -> Self {
        Self { path: path.to_owned(), idle: Arc::default(), turns, file }
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

/// A transaction that has the turn to write.
pub struct OpenTransaction {
    connection: OneConnection,
    home: Arc<Mutex<Option<Connection>>>,
    file: Arc<DatabaseFile>,
    _turn: OwnedMutexGuard<()>,
}

impl SideConnections for SqliteSide {
    type Open = OpenTransaction;

    async fn begin(&self, now: Timestamp) -> Result<(Timestamp, OpenTransaction), StoreError> {
        let turn = Arc::clone(&self.turns).lock_owned().await;
        let home = Arc::clone(&self.idle);
        let idle = home.lock().unwrap_or_else(PoisonError::into_inner).take();
        let connection = match idle {
            Some(connection) => connection,
            None => self.open()?,
        };
        let file = Arc::clone(&self.file);
        let connection = OneConnection::new(connection, Some(Arc::clone(&file)));
        let transaction = OpenTransaction { connection, home, file, _turn: turn };
        transaction.run(|sql| Box::pin(execute(sql, "BEGIN IMMEDIATE"))).await?;
        Ok((now, transaction))
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
