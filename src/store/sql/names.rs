//! The tables that name kinds, states, sources and slots, for views and people. Their rows follow from the core's
//! tables. Each migration adds the rows that are missing, so a new kind needs no migration of its own.

use std::collections::BTreeSet;

use super::database::Sql;
use super::row::Param;
use crate::ledger::account::Slot;
use crate::ledger::kind::slots;
use crate::ledger::lot::LotSource;
use crate::ledger::{HoldState, Kind};
use crate::store::checks::Faults;
use crate::store::error::StoreError;

/// The stored rows.
const STORED: &str = "
    SELECT 'posting_kind', kind, 0, name, '' FROM posting_kind UNION ALL
    SELECT 'hold_state', state, 0, name, '' FROM hold_state UNION ALL
    SELECT 'lot_source', source, 0, name, '' FROM lot_source UNION ALL
    SELECT 'transfer_slot', kind, slot, debit, credit FROM transfer_slot";

/// A row: its table, its key (a slot has two numbers), and its names (a slot has two).
type NameRow = (String, i64, i64, String, String);

fn expected() -> BTreeSet<NameRow> {
    let kinds = Kind::ALL.iter().map(|kind| ("posting_kind", kind.code(), kind.name()));
    let states = HoldState::ALL.iter().map(|state| ("hold_state", state.code(), state.name()));
    let sources = LotSource::ALL.iter().map(|source| ("lot_source", source.code(), source.name()));
    let one = |(table, code, name): (&str, u8, &str)| {
        (table.to_owned(), code.into(), 0, name.to_owned(), String::new())
    };
    let mut rows: BTreeSet<NameRow> = kinds.chain(states).chain(sources).map(one).collect();
    for kind in Kind::ALL {
        for (number, slot) in (1..).zip(Slot::ALL) {
            if let Some((debit, credit)) = slots(*kind, slot) {
                let (debit, credit) = (debit.name().to_owned(), credit.name().to_owned());
                rows.insert(("transfer_slot".to_owned(), kind.code().into(), number, debit, credit));
            }
        }
    }
    rows
}

fn key((table, code, slot, ..): &NameRow) -> (&str, i64, i64) {
    (table, *code, *slot)
}

async fn stored(sql: &mut impl Sql) -> Result<BTreeSet<NameRow>, StoreError> {
    let read =
        |row: &dyn super::row::Row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
    Ok(sql.all(STORED, &[], read).await?.into_iter().collect())
}

/// True where every row of the core's tables is stored.
pub async fn are_complete(sql: &mut impl Sql) -> Result<bool, StoreError> {
    Ok(expected().is_subset(&stored(sql).await?))
}

/// Adds the rows that are missing. Existing rows are never changed.
///
/// A row that the core does not know is of a newer version. No migration need say so, and this version could not read
/// the postings of such a kind.
///
/// # Errors
/// [`StoreError`]; [`StoreError::Unusable`] where a row contradicts the core, or is of a newer version.
pub async fn complete(sql: &mut impl Sql, shown: &str) -> Result<(), StoreError> {
    let (expected, stored) = (expected(), stored(sql).await?);
    let stored_keys: BTreeSet<_> = stored.iter().map(key).collect();
    let known_keys: BTreeSet<_> = expected.iter().map(key).collect();
    if let Some((table, code, _)) = stored_keys.difference(&known_keys).next() {
        return Err(StoreError::Unusable(format!(
            "{shown}: it was written by a newer version of creditledger (row {code} of table {table})"
        )));
    }
    for (table, code, slot, name, second) in expected.difference(&stored) {
        if stored_keys.contains(&(table.as_str(), *code, *slot)) {
            return Err(StoreError::Unusable(format!(
                "{shown}: the row {code} of table {table} is not that of this version of creditledger"
            )));
        }
        let (text, params): (_, &[Param<'_>]) = match table.as_str() {
            "posting_kind" => (
                "INSERT INTO posting_kind (kind, name) VALUES ($1, $2) ON CONFLICT (kind) DO NOTHING",
                &[(*code).into(), name.as_str().into()],
            ),
            "hold_state" => (
                "INSERT INTO hold_state (state, name) VALUES ($1, $2) ON CONFLICT (state) DO NOTHING",
                &[(*code).into(), name.as_str().into()],
            ),
            "lot_source" => (
                "INSERT INTO lot_source (source, name) VALUES ($1, $2) ON CONFLICT (source) DO NOTHING",
                &[(*code).into(), name.as_str().into()],
            ),
            _ => (
                "INSERT INTO transfer_slot (kind, slot, debit, credit)
                 VALUES ($1, $2, $3, $4)
                 ON CONFLICT (kind, slot) DO NOTHING",
                &[(*code).into(), (*slot).into(), name.as_str().into(), second.as_str().into()],
            ),
        };
        sql.run(text, params).await?;
    }
    Ok(())
}

/// Compares the rows with the core's tables.
///
/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn check(sql: &mut impl Sql, faults: &mut Faults) -> Result<(), StoreError> {
    let name = |(table, code, slot, ..): &NameRow| match slot {
        0 => format!("{table} {code}"),
        slot => format!("{table} {code} {slot}"),
    };
    let (expected, stored) = (expected(), stored(sql).await?);
    for row in expected.difference(&stored) {
        faults.expect(false, || format!("schema: {} is not there as the migrations made it", name(row)));
    }
    for row in stored.difference(&expected) {
        faults.expect(false, || format!("schema: {} is none that the migrations made", name(row)));
    }
    Ok(())
}
