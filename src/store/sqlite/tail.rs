//! The last position of each ledger, and the balances of system accounts.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::connection::Statements;
use super::keys::place_of;
use crate::ledger::{LedgerNo, Posting, Timestamp};
use crate::store::error::StoreError;
use crate::store::recorded::{Position, Recorded};
use crate::store::stored::ledger_no_of;

/// By ledger and account name.
pub(super) type SystemBalances = BTreeMap<(LedgerNo, String), i64>;

/// The ends of what is stored. Only this writer moves them, so they are read once and then remembered.
#[derive(Debug, Default)]
pub(super) struct Tail {
    pub positions: BTreeMap<LedgerNo, u64>,
    pub system: SystemBalances,
    /// The stamp of the last batch before the database was opened.
    pub stamp: Timestamp,
}

impl Tail {
    /// Reads the ends once, when the database is opened.
    pub(super) fn read(statements: Statements<'_>) -> Result<Self, StoreError> {
        let mut tail = Self::default();
        for no in statements.all("SELECT ledger_no FROM ledger", [], |row| row.get(0))? {
            let ledger = ledger_no_of(no)?;
            let last = statements.first(
                "SELECT key, recorded_at
                 FROM posting
                 WHERE key BETWEEN ?1 << 40 AND ((?1 + 1) << 40) - 1
                 ORDER BY key DESC
                 LIMIT 1",
                [no],
                |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
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
        if let Some(latest) = statements.first("SELECT latest_at FROM copied", [], |row| row.get(0))? {
            tail.stamp = tail.stamp.max(Timestamp::from_micros(latest));
        }
        let accounts =
            statements.all("SELECT ledger_no, account, balance FROM system_account", [], |row| {
                Ok((row.get::<i64>(0)?, row.get::<String>(1)?, row.get::<i64>(2)?))
            })?;
        for (no, account, balance) in accounts {
            tail.system.insert((ledger_no_of(no)?, account), balance);
        }
        Ok(tail)
    }

    /// Moves to the ends after a batch.
    pub(super) fn advance(&mut self, moved: Self) {
        self.positions.extend(moved.positions);
        self.system.extend(moved.system);
    }

    /// The next postings with the positions that they get.
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
