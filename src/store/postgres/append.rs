//! Appends a decided batch, one statement a table. Each statement writes in key order, so that concurrent batches
//! wait for each other in the same order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::rows::{checksum_of, row_of, sql_ledger};
use super::{lots, work};
use crate::ledger::codec::encode;
use crate::ledger::{Book, Customer, CustomerKey, LedgerNo, Posting, Profile, Timestamp};
use crate::store::error::{StoreError, damaged};
use crate::store::nets::nets;
use crate::store::sql::row::{RequestColumn, sql_count};
use crate::store::sql::rows::PostingRow;
use crate::store::stored::WordsColumns;

/// Writes the book's batch inside its transaction. `loaded` has the sequences that guard the updates of customers.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn append(
    connection: &mut PgConnection,
    book: &Book,
    loaded: &HashMap<CustomerKey, u64>,
) -> Result<(), StoreError> {
    let placements = placements(book);
    append_rows(connection, book, loaded, &placements).await?;
    match placements.first() {
        Some(first) => insert_pending(connection, book, first.batch).await,
        None => Ok(()),
    }
}

/// The commit of a posting, and its index among that commit's postings in its ledger.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placement {
    pub batch: Uuid,
    pub place: i32,
}

/// Writes all rows except those of the feed. `placements` are those of the journal, in its order.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn append_rows(
    connection: &mut PgConnection,
    book: &Book,
    loaded: &HashMap<CustomerKey, u64>,
    placements: &[Placement],
) -> Result<(), StoreError> {
    let (new, old): (Vec<&Customer>, Vec<&Customer>) =
        book.touched_customers().map(Arc::as_ref).partition(|customer| !loaded.contains_key(&customer.key()));
    // Creations come first: when two servers race for one, the second waits here and has written nothing else yet.
    insert_customers(connection, &new).await?;
    update_customers(connection, &old, loaded).await?;
    if book.journal().is_empty() {
        return Ok(());
    }
    insert_postings(connection, book, placements).await?;
    lots::append(connection, book).await?;
    write_profiles(connection, book).await?;
    write_holds(connection, book).await?;
    work::append(connection, book).await
}

async fn insert_customers(connection: &mut PgConnection, customers: &[&Customer]) -> Result<(), StoreError> {
    if customers.is_empty() {
        return Ok(());
    }
    let column = |value: fn(&Customer) -> i64| customers.iter().map(|c| value(c)).collect::<Vec<i64>>();
    sqlx::query(
        "INSERT INTO customer (
             customer, ledger_no, customer_id, sequence, available, held, owed, next_due, state
         )
         SELECT *
         FROM UNNEST($1::bigint[], $2::int[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                     $8::bigint[], $9::bytea[])",
    )
    .bind(column(|c| c.key().raw()))
    .bind(customers.iter().map(|c| sql_ledger(c.ledger)).collect::<Vec<_>>())
    .bind(customers.iter().map(|c| c.id.as_str()).collect::<Vec<_>>())
    .bind(column(|c| sql_count(c.sequence)))
    .bind(column(|c| c.balances.available.units()))
    .bind(column(|c| c.balances.held.units()))
    .bind(column(|c| c.balances.owed.units()))
    .bind(customers.iter().map(|c| c.state.next_due.map(Timestamp::micros)).collect::<Vec<_>>())
    .bind(customers.iter().map(|c| encode(&c.state)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The loaded sequence guards each row: a row that changed since the load is not overwritten.
async fn update_customers(
    connection: &mut PgConnection,
    customers: &[&Customer],
    loaded: &HashMap<CustomerKey, u64>,
) -> Result<(), StoreError> {
    if customers.is_empty() {
        return Ok(());
    }
    let column = |value: fn(&Customer) -> i64| customers.iter().map(|c| value(c)).collect::<Vec<i64>>();
    let before = customers.iter().map(|c| loaded.get(&c.key()).map_or(-1, |sequence| sql_count(*sequence)));
    let updated = sqlx::query(
        "UPDATE customer c
         SET sequence = u.sequence, available = u.available, held = u.held, owed = u.owed,
             next_due = u.next_due, state = u.state
         FROM UNNEST($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                     $7::bigint[], $8::bytea[])
              u(customer, before, sequence, available, held, owed, next_due, state)
         WHERE c.customer = u.customer
           AND c.sequence = u.before",
    )
    .bind(column(|c| c.key().raw()))
    .bind(before.collect::<Vec<i64>>())
    .bind(column(|c| sql_count(c.sequence)))
    .bind(column(|c| c.balances.available.units()))
    .bind(column(|c| c.balances.held.units()))
    .bind(column(|c| c.balances.owed.units()))
    .bind(customers.iter().map(|c| c.state.next_due.map(Timestamp::micros)).collect::<Vec<_>>())
    .bind(customers.iter().map(|c| encode(&c.state)).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    if updated.rows_affected() == customers.len().try_into().unwrap_or(u64::MAX) {
        Ok(())
    } else {
        Err(damaged("a customer's row changed while it was locked"))
    }
}

/// The batch is one commit; the id of its first posting names it.
fn placements(book: &Book) -> Vec<Placement> {
    let Some(first) = book.journal().first() else { return Vec::new() };
    let batch = first.id.uuid();
    let mut counts: BTreeMap<LedgerNo, i32> = BTreeMap::new();
    let placement = |posting: &Arc<Posting>| {
        let count = counts.entry(posting.ledger).or_default();
        let place = *count;
        *count = count.saturating_add(1);
        Placement { batch, place }
    };
    book.journal().iter().map(placement).collect()
}

async fn insert_postings(
    connection: &mut PgConnection,
    book: &Book,
    placements: &[Placement],
) -> Result<(), StoreError> {
    let postings = book.journal().iter().zip(placements);
    let mut rows: Vec<(PostingRow, Placement)> =
        postings.map(|(posting, at)| Ok((row_of(posting)?, *at))).collect::<Result<_, StoreError>>()?;
    rows.sort_unstable_by_key(|(row, _)| (row.customer, row.sequence));
    let (rows, places): (Vec<PostingRow>, Vec<Placement>) = rows.into_iter().unzip();
    let numbers = |value: fn(&PostingRow) -> i64| rows.iter().map(value).collect::<Vec<i64>>();
    let checksums = rows.iter().zip(&places).map(|(row, at)| checksum_of(row, at.batch, at.place.into()));
    let query = sqlx::query(
        "INSERT INTO posting (
             customer, sequence, ledger_no, kind, posting_id, batch, place, recorded_at, request, fingerprint,
             credits_1, credits_2, credits_3, credits_4, expired, repaid, activated,
             available, held, owed, storefront, detail, checksum
         )
         SELECT customer, sequence, ledger_no, kind, posting_id, batch, place, recorded_at, request, fingerprint,
                credits_1, credits_2, credits_3, credits_4, expired, repaid, activated,
                available, held, owed, storefront, detail, checksum
         FROM UNNEST($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::uuid[], $1::uuid[], $7::int[], $8::bigint[],
                     $9::bytea[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
                     $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],
                     $21::text[], $22::bytea[], $23::bigint[])
              u(customer, sequence, ledger_no, kind, posting_id, batch, place, recorded_at,
                request, fingerprint, credits_1, credits_2, credits_3, credits_4,
                expired, repaid, activated, available, held, owed,
                storefront, detail, checksum)",
    )
    .bind(places.iter().map(|at| at.batch).collect::<Vec<_>>())
    .bind(numbers(|row| row.customer))
    .bind(numbers(|row| row.sequence))
    .bind(numbers(|row| row.ledger_no))
    .bind(numbers(|row| row.kind))
    .bind(rows.iter().map(|row| row.id).collect::<Vec<_>>())
    .bind(places.iter().map(|at| at.place).collect::<Vec<_>>())
    .bind(numbers(|row| row.recorded_at))
    .bind(rows.iter().map(|row| row.request.as_ref().map(RequestColumn::concat)).collect::<Vec<_>>())
    .bind(numbers(|row| row.fingerprint))
    .bind(numbers(|row| row.amounts[0]))
    .bind(numbers(|row| row.amounts[1]))
    .bind(numbers(|row| row.amounts[2]))
    .bind(numbers(|row| row.amounts[3]))
    .bind(numbers(|row| row.amounts[4]))
    .bind(numbers(|row| row.amounts[5]))
    .bind(numbers(|row| row.amounts[6]))
    .bind(numbers(|row| row.after[0]))
    .bind(numbers(|row| row.after[1]))
    .bind(numbers(|row| row.after[2]))
    .bind(rows.iter().map(|row| row.storefront.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.detail.as_slice()).collect::<Vec<_>>())
    .bind(checksums.collect::<Vec<i64>>());
    query.execute(&mut *connection).await?;
    insert_words(connection, &rows).await
}

/// Postings without texts need no row.
async fn insert_words(connection: &mut PgConnection, rows: &[PostingRow]) -> Result<(), StoreError> {
    let rows: Vec<&PostingRow> = rows.iter().filter(|row| row.words != WordsColumns::default()).collect();
    if rows.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO posting_words (customer, sequence, words, erased_at, checksum)
         SELECT *
         FROM UNNEST($1::bigint[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bigint[])",
    )
    .bind(rows.iter().map(|row| row.customer).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.sequence).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.words.words.as_deref()).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.words.erased_at).collect::<Vec<_>>())
    .bind(rows.iter().map(|row| row.words.checksum).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Every customer has a profile from its creation on, because the list of customers walks this table.
async fn write_profiles(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    // The last profile of each customer wins.
    let mut profiles: BTreeMap<(i32, &str), (i64, Vec<u8>)> = BTreeMap::new();
    for posting in book.journal() {
        if posting.detail.created.is_none() && posting.detail.profile.is_none() {
            continue;
        }
        let customer = book.entry(posting.customer).and_then(|entry| entry.customer.as_ref());
        let id = customer.ok_or_else(|| damaged("a profile without its customer"))?.id.as_str();
        let none = Profile::default();
        let profile = encode(posting.detail.profile.as_deref().unwrap_or(&none));
        profiles.insert((sql_ledger(posting.ledger), id), (posting.customer.raw(), profile));
    }
    if profiles.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO profile (ledger_no, customer_id, customer, profile)
         SELECT *
         FROM UNNEST($1::int[], $2::text[], $3::bigint[], $4::bytea[])
         ON CONFLICT (ledger_no, customer_id) DO UPDATE
         SET profile = excluded.profile",
    )
    .bind(profiles.keys().map(|key| key.0).collect::<Vec<_>>())
    .bind(profiles.keys().map(|key| key.1).collect::<Vec<_>>())
    .bind(profiles.values().map(|value| value.0).collect::<Vec<_>>())
    .bind(profiles.values().map(|value| value.1.as_slice()).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

async fn write_holds(connection: &mut PgConnection, book: &Book) -> Result<(), StoreError> {
    let mut holds: Vec<_> = book.touched_holds().collect();
    if holds.is_empty() {
        return Ok(());
    }
    holds.sort_unstable_by(|one, other| {
        let key = |hold: &crate::ledger::Hold| (hold.customer_key(), hold.id);
        key(one).cmp(&key(other))
    });
    // Columns that never change are not named after DO UPDATE.
    sqlx::query(
        "INSERT INTO hold (
             customer, incident_id, hold_id, ledger_no, previous, state, direct, class, settled, estimated,
             charged, created_at, watched, body
         )
         SELECT *
         FROM UNNEST($1::bigint[], $2::text[], $3::uuid[], $4::int[], $5::uuid[], $6::smallint[], $7::boolean[],
                     $8::text[], $9::boolean[], $10::bigint[], $11::bigint[], $12::bigint[], $13::boolean[],
                     $14::bytea[])
         ON CONFLICT (customer, incident_id, hold_id) DO UPDATE
         SET state = excluded.state, class = excluded.class, settled = excluded.settled,
             estimated = excluded.estimated, charged = excluded.charged, watched = excluded.watched,
             body = excluded.body",
    )
    .bind(holds.iter().map(|hold| hold.customer_key().raw()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.incident.as_str()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.id.uuid()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| sql_ledger(hold.ledger)).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.previous.map(|id| id.uuid())).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| i16::from(hold.state.code())).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.direct).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.class.as_ref().map(ToString::to_string)).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.settlement.is_some()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.estimate.units()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| Some(hold.settlement.as_ref()?.charge.units())).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.created_at.micros()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| hold.is_watched()).collect::<Vec<_>>())
    .bind(holds.iter().map(|hold| encode(hold.as_ref())).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// The sequencer needs these rows to place the batch; until then the trial balance adds them. They are the batch's
/// own, so that no two batches wait for each other on a system account.
async fn insert_pending(connection: &mut PgConnection, book: &Book, batch: Uuid) -> Result<(), StoreError> {
    let nets = nets(book)?;
    let postings = book.journal();
    sqlx::query(
        "INSERT INTO pending (stamp, batch, ledger_no, customers, sequences, accounts, amounts)
         SELECT $1, $2, p.ledger_no, array_agg(p.customer ORDER BY p.n), array_agg(p.sequence ORDER BY p.n),
                COALESCE((SELECT array_agg(net.account ORDER BY net.n) FROM UNNEST($6::int[], $7::text[])
                          WITH ORDINALITY net(ledger_no, account, n) WHERE net.ledger_no = p.ledger_no), '{}'),
                COALESCE((SELECT array_agg(net.amount ORDER BY net.n) FROM UNNEST($6::int[], $8::bigint[])
                          WITH ORDINALITY net(ledger_no, amount, n) WHERE net.ledger_no = p.ledger_no), '{}')
         FROM UNNEST($3::int[], $4::bigint[], $5::bigint[]) WITH ORDINALITY p(ledger_no, customer, sequence, n)
         GROUP BY p.ledger_no",
    )
    .bind(book.now.micros())
    .bind(batch)
    .bind(postings.iter().map(|posting| sql_ledger(posting.ledger)).collect::<Vec<_>>())
    .bind(postings.iter().map(|posting| posting.customer.raw()).collect::<Vec<_>>())
    .bind(postings.iter().map(|posting| sql_count(posting.sequence)).collect::<Vec<_>>())
    .bind(nets.keys().map(|key| sql_ledger(key.0)).collect::<Vec<_>>())
    .bind(nets.keys().map(|key| key.1.to_string()).collect::<Vec<_>>())
    .bind(nets.values().copied().collect::<Vec<i64>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Moves the ends of feeds.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn set_ends(
    connection: &mut PgConnection,
    ends: &BTreeMap<i32, i64>,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO feed_end (ledger_no, position)
         SELECT *
         FROM UNNEST($1::int[], $2::bigint[])
         ON CONFLICT (ledger_no) DO UPDATE
         SET position = excluded.position",
    )
    .bind(ends.keys().copied().collect::<Vec<_>>())
    .bind(ends.values().copied().collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}

/// Adds the net amounts of placed commits to the system accounts.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn add_to_accounts(
    connection: &mut PgConnection,
    nets: &BTreeMap<(i32, String), i128>,
) -> Result<(), StoreError> {
    if nets.is_empty() {
        return Ok(());
    }
    // Bound as text: a sum over many commits may exceed 64 bits.
    sqlx::query(
        "INSERT INTO system_account (ledger_no, account, balance)
         SELECT u.ledger_no, u.account, CAST(u.net AS NUMERIC(38, 0))
         FROM UNNEST($1::int[], $2::text[], $3::text[]) u(ledger_no, account, net)
         ON CONFLICT (ledger_no, account) DO UPDATE
         SET balance = system_account.balance + excluded.balance",
    )
    .bind(nets.keys().map(|key| key.0).collect::<Vec<_>>())
    .bind(nets.keys().map(|key| key.1.as_str()).collect::<Vec<_>>())
    .bind(nets.values().map(ToString::to_string).collect::<Vec<_>>())
    .execute(connection)
    .await?;
    Ok(())
}
