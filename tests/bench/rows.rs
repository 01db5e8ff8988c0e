//! The floor under a batch on SQLite: the very rows that the store wrote, with nothing left to load, decide or encode.

use std::time::Duration;

use creditledger::store::WriteStore;
use creditledger::store::sqlite::SqliteWriter;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::{BATCH, Filled, on_sqlite, place, timed};

/// Two databases that begin alike: a store writes batches to one, and their rows go to the other by bare statements.
pub struct Rows {
    source: Filled<SqliteWriter>,
    read: Connection,
    target: Connection,
}

/// What a batch of holds writes, column by column.
struct Batch {
    postings: Vec<Vec<Value>>,
    customers: Vec<Vec<Value>>,
    holds: Vec<Vec<Value>>,
}

impl Rows {
    /// Fills both.
    pub fn new(runtime: &Runtime, directory: &TempDir) -> Self {
        let source = runtime.block_on(on_sqlite(directory, "source.db"));
        let mut target = runtime.block_on(on_sqlite(directory, "target.db"));
        runtime.block_on(target.store.close()).unwrap();
        let read =
            Connection::open_with_flags(directory.path().join("source.db"), OpenFlags::SQLITE_OPEN_READ_ONLY);
        let target = Connection::open(directory.path().join("target.db")).unwrap();
        target.pragma_update(None, "synchronous", "FULL").unwrap();
        target.pragma_update(None, "cache_size", -4_096).unwrap();
        // The store leaves most of a checkpoint to another thread, so here it is left out.
        target.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        Self { source, read: read.unwrap(), target }
    }

    /// How long the next batch's rows take, with the commit and without checkpoints.
    pub fn write_batch(&mut self, runtime: &Runtime) -> Duration {
        let requests = self.source.requests(place);
        runtime.block_on(self.source.run(&requests));
        let batch = self.latest();
        let written = timed(|| self.write(&batch));
        self.target.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
        written
    }

    fn latest(&self) -> Batch {
        let rows = |sql: &str| -> Vec<Vec<Value>> {
            let mut statement = self.read.prepare(sql).unwrap();
            let columns = statement.column_count();
            let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column)).collect());
            rows.unwrap().collect::<rusqlite::Result<_>>().unwrap()
        };
        let latest = format!("SELECT * FROM posting ORDER BY key DESC LIMIT {BATCH}");
        let postings = rows(&format!("SELECT * FROM ({latest}) ORDER BY key"));
        let customers = rows(&format!(
            "SELECT sequence, available, held, owed, path, state, customer
             FROM customer
             WHERE customer IN (SELECT customer FROM ({latest}))
             ORDER BY customer"
        ));
        let latest = format!("SELECT * FROM hold ORDER BY hold_id DESC LIMIT {BATCH}");
        let holds = rows(&format!("SELECT * FROM ({latest}) ORDER BY hold_id"));
        Batch { postings, customers, holds }
    }

    fn write(&self, batch: &Batch) {
        let write = |sql: &str, rows: &[Vec<Value>]| {
            let mut statement = self.target.prepare_cached(sql).unwrap();
            for row in rows {
                assert_eq!(statement.execute(params_from_iter(row)).unwrap(), 1);
            }
        };
        let insert = |table: &str, rows: &[Vec<Value>]| {
            let values = vec!["?"; rows[0].len()].join(", ");
            write(&format!("INSERT INTO {table} VALUES ({values})"), rows);
        };
        self.target.execute_batch("BEGIN IMMEDIATE").unwrap();
        insert("posting", &batch.postings);
        write(
            "UPDATE customer
             SET sequence = ?, available = ?, held = ?, owed = ?, path = ?, state = ?
             WHERE customer = ?",
            &batch.customers,
        );
        insert("hold", &batch.holds);
        self.target.execute_batch("COMMIT").unwrap();
    }
}
