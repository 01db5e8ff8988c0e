//! Making ledgers, and where each of them ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use rusqlite::{Row, params};

use super::connection::Statements;
use super::rows::{POSITION_MAX, key_of, ledger_no_of, place_of, request_value};
use crate::ledger::{LedgerNo, Posting, Timestamp};
use crate::store::{Ledger, LedgerCreated, NewLedger, Position, Recorded, StoreError};

/// Balances of system accounts, by ledger and name.
pub(super) type SystemBalances = BTreeMap<(LedgerNo, String), i64>;

/// The ends of what is stored. Only this writer moves them, so they are read once and then remembered.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// The last position of each ledger.
    pub positions: BTreeMap<LedgerNo, u64>,
    /// Balances of the system accounts.
    pub system: SystemBalances,
    /// The stamp of the last batch when the database was opened.
    pub stamp: Timestamp,
}

impl Tail {
    /// Reads it, once, when the database is opened.
    pub(super) fn read(statements: Statements<'_>) -> Result<Self, StoreError> {
        let mut tail = Self::default();
        for no in statements.all("SELECT ledger_no FROM ledger", [], |row| row.get::<_, i64>(0))? {
            let ledger = ledger_no_of(no)?;
            let last = statements.first(
                "SELECT key, recorded_at
                 FROM posting
                 WHERE key BETWEEN ? AND ?
                 ORDER BY key DESC
                 LIMIT 1",
                [key_of(ledger, Position(0)), key_of(ledger, Position(POSITION_MAX))],
                |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)),
            )?;
            let position = match last {
                Some((key, recorded_at)) => {
                    tail.stamp = tail.stamp.max(Timestamp::from_micros(recorded_at));
                    place_of(key)?.1.0
                }
                None => 0,
            };
            tail.positions.insert(ledger, position);
        }
        let copied = statements.first("SELECT latest_at FROM copied", [], |row| row.get::<_, i64>(0))?;
        tail.stamp = tail.stamp.max(Timestamp::from_micros(copied.unwrap_or(0)));
        let accounts =
            statements.all("SELECT ledger_no, account, balance FROM system_account", [], |row| {
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
            })?;
        for (no, account, balance) in accounts {
            tail.system.insert((ledger_no_of(no)?, account), balance);
        }
        Ok(tail)
    }

    /// Goes on to where a batch has moved it.
    pub(super) fn advance(&mut self, moved: Self) {
        self.positions.extend(moved.positions);
        self.system.extend(moved.system);
    }

    /// Postings that come next, with the places that they get.
    pub(super) fn after(&self, postings: &[Arc<Posting>]) -> Vec<Recorded> {
        let mut positions = BTreeMap::new();
        let place = |posting: &Arc<Posting>| {
            let last = self.positions.get(&posting.ledger)?;
            let position: &mut u64 = positions.entry(posting.ledger).or_insert(*last);
            *position = position.saturating_add(1);
            Some(Recorded { position: Position(*position), posting: Arc::clone(posting) })
        };
        postings.iter().filter_map(place).collect()
    }
}

/// Makes a ledger, in the caller's transaction.
///
/// # Errors
/// [`StoreError`].
pub(super) fn create(
    statements: Statements<'_>,
    ledger: &NewLedger,
    now: Timestamp,
) -> Result<LedgerCreated, StoreError> {
    let read = |row: &Row<'_>| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?));
    let by_request = statements.first(
        "SELECT ledger_no, ledger_id, created_at
         FROM ledger
         WHERE request = ?",
        params![request_value(&ledger.request)],
        read,
    )?;
    if let Some((no, id, created_at)) = by_request {
        if id != ledger.id.as_str() {
            return Ok(LedgerCreated::RequestIdReused);
        }
        let created_at = Timestamp::from_micros(created_at);
        let ledger = Ledger { no: ledger_no_of(no)?, id: ledger.id.clone(), created_at };
        return Ok(LedgerCreated::Created { ledger, replayed: true });
    }
    let by_id =
        statements.first("SELECT 1 FROM ledger WHERE ledger_id = ?", [ledger.id.as_str()], |_| Ok(()))?;
    if by_id.is_some() {
        return Ok(LedgerCreated::Exists);
    }
    let last: Option<u32> = statements.first("SELECT MAX(ledger_no) FROM ledger", [], |row| row.get(0))?;
    let Some(no) = last.unwrap_or(0).checked_add(1).and_then(LedgerNo::new) else {
        return Ok(LedgerCreated::TooMany);
    };
    statements.run(
        "INSERT INTO ledger (ledger_no, ledger_id, created_at, request)
         VALUES (?, ?, ?, ?)",
        params![no.get(), ledger.id.as_str(), now.micros(), request_value(&ledger.request)],
    )?;
    let ledger = Ledger { no, id: ledger.id.clone(), created_at: now };
    Ok(LedgerCreated::Created { ledger, replayed: false })
}
