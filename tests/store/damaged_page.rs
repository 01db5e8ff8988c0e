//! A page of a SQLite file that cannot be read: readers are told of damage, and `verify` reports it.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::Path;

use creditledger::ledger::{LedgerNo, LotId};
use creditledger::query::ReadError;
use creditledger::store::{At, HoldFilter, LotFilter, StoreError, open_to_check};
use rusqlite::Connection;

use crate::desk::{place, purchase, settle};
use crate::lookups::reader;
use crate::rig::Rig;

const PAGE: u64 = 4_096;

/// Overwrites the first page of a table.
fn damage(path: &Path, table: &str) {
    let root: u64 = {
        let database = Connection::open(path).unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = ?";
        database.query_row(root, [table], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    let mut file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start((root - 1) * PAGE)).unwrap();
    file.write_all(&[0xFF; 4_096]).unwrap();
}

async fn damaged(table: &str) -> Rig {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "5")).await;
    rig.ok(place("i1", "1")).await;
    rig.ok(settle("i1")).await;
    rig.writer.close().await.unwrap();
    damage(&rig.path(), table);
    rig.reopen().await
}

#[tokio::test]
async fn readers_are_told_of_damage() {
    let rig = damaged("hold").await;
    let list = rig.reader.holds(LedgerNo::MAIN, &HoldFilter::default(), None, 10).await;
    assert!(matches!(list, Err(StoreError::Damaged(_))), "{list:?}");
    // The connection is as good as before, and what lies elsewhere is read.
    for _ in 0..10 {
        assert!(rig.reader.holds(LedgerNo::MAIN, &HoldFilter::default(), None, 10).await.is_err());
        assert!(rig.reader.lots(LedgerNo::MAIN, &LotFilter::default(), None, 10).await.is_ok());
    }
    let rig = damaged("lot").await;
    let lot = reader(&rig).lot(LedgerNo::MAIN, LotId::default()).await;
    assert!(matches!(lot, Err(ReadError::Storage(StoreError::Damaged(_)))), "{lot:?}");
    assert!(rig.reader.posting_at(rig.key(), At::Sequence(2)).await.unwrap().is_some());
}

#[tokio::test]
async fn verify_reports_damage() {
    let mut rig = damaged("hold").await;
    rig.writer.close().await.unwrap();
    // The first server has its lock still.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    std::fs::copy(rig.path(), &copy).unwrap();
    let (audit, _lock) = open_to_check(&format!("sqlite://{}", copy.display())).await.unwrap();
    let faults = audit.integrity().await.unwrap();
    assert!(!faults.is_empty(), "{faults:?}");
}

/// A reader that is given up leaves its connection to the others.
#[tokio::test]
async fn a_reader_that_goes_away_loses_no_connection() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    for _ in 0..100 {
        let read = rig.reader.customer(rig.key());
        // Polled once, so that it is on its way, and then dropped.
        let polled = tokio::time::timeout(std::time::Duration::ZERO, read).await;
        drop(polled);
    }
    for _ in 0..10 {
        assert!(rig.reader.customer(rig.key()).await.unwrap().is_some());
    }
}
