//! Erases the texts about a customer.

use rusqlite::params;

use super::columns::{keyed_posting_columns, with_words};
use super::connection::Statements;
use crate::ledger::codec::encode;
use crate::ledger::{CustomerId, CustomerKey, LedgerNo, Timestamp};
use crate::store::error::{StoreError, damaged};
use crate::store::skew::Path;
use crate::store::sql::rows::{
    CUSTOMER_COLUMNS, POSTING_COLUMNS, customer as customer_of, customer_columns, posting_columns, recorded,
};
use crate::store::words::{Erased, Rewritten, Walk};

/// Erases a customer's texts inside a transaction. Freed bytes on pages are overwritten only where `secure_delete` is
/// on.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub(super) fn erase(
    statements: Statements<'_>,
    ledger: LedgerNo,
    customer: &CustomerId,
    at: Timestamp,
) -> Result<Erased, StoreError> {
    let mut walk = Walk::new(at);
    let found = statements.first(
        concat!("SELECT ", customer_columns!(), ", c.path FROM customer c WHERE c.customer = ?"),
        [CustomerKey::of(ledger, customer).raw()],
        |row| Ok((customer_of(row)?, row.get::<Vec<u8>>(CUSTOMER_COLUMNS)?)),
    )?;
    let Some((found, path)) = found else { return Ok(walk.erased) };
    if found.ledger != ledger || found.id != *customer {
        return Ok(walk.erased);
    }
    let path = Path::decode(&path, found.sequence)
        .map_err(|error| damaged(format!("pointers of customer {customer}: {error}")))?;
    let mut postings = statements.prepare(concat!(
        "SELECT ",
        keyed_posting_columns!(),
        ", p.previous FROM posting p",
        with_words!(),
        "WHERE p.key = ?"
    ))?;
    let mut next = path.last();
    while let Some(key) = next {
        let found = postings.first([key], |row| Ok((recorded(row)?, row.get(POSTING_COLUMNS)?)))?;
        let (recorded, previous) =
            found.ok_or_else(|| damaged(format!("posting key {key} is pointed to and does not exist")))?;
        if let Some(rewritten) = walk.back_to(&recorded)? {
            write(statements, key, at, &rewritten)?;
        }
        next = previous;
    }
    Ok(walk.erased)
}

fn write(
    statements: Statements<'_>,
    key: i64,
    at: Timestamp,
    rewritten: &Rewritten,
) -> Result<(), StoreError> {
    let one = |changed: usize| {
        if changed == 1 {
            Ok(())
        } else {
            Err(damaged(format!("posting key {key}: a row of it is not there")))
        }
    };
    one(statements.run(
        "UPDATE posting_words
         SET words = NULL, erased_at = ?, checksum = NULL
         WHERE key = ?",
        params![at.micros(), key],
    )?)?;
    for hold in rewritten.holds() {
        one(statements.run(
            "UPDATE hold
             SET body = ?
             WHERE hold_id = ?",
            params![encode(hold), hold.id.uuid().as_bytes()],
        )?)?;
    }
    if let Some((hold, work)) = rewritten.work() {
        one(statements.run(
            "UPDATE work
             SET body = ?
             WHERE hold_id = ?
               AND work_id = ?",
            params![encode(work), hold.uuid().as_bytes(), work.id.uuid().as_bytes()],
        )?)?;
    }
    if let Some(profile) = rewritten.profile() {
        one(statements.run(
            "UPDATE profile
             SET profile = ?
             WHERE customer = ?",
            params![encode(profile), rewritten.posting.customer.raw()],
        )?)?;
    }
    Ok(())
}
