//! The audit log: the statements of reads, of one transaction, and of a copy.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::database::{ReadDatabase, Sql};
use super::reader::SqlReader;
use super::row::{Row, sql_count};
use super::rows::body;
use super::side::{SideConnections, SideStore, SideTx, Transaction};
use crate::ledger::Timestamp;
use crate::ledger::codec::encode;
use crate::store::error::{StoreError, damaged};
use crate::store::records::{
    AuditRecord, RecordBody, RecordFilter, RecordKind, RecordRoom, RecordStore, RecordTx,
};
use crate::store::stored::{checksum, count_of, stored_count};

/// The columns of a record, in the order in which [`record_from`] reads them.
macro_rules! record_columns {
    () => {
        "record_id, kind, subject, body, checksum"
    };
}

pub(in crate::store) use record_columns;

/// Reads [`record_columns`] from column `first` on.
///
/// # Errors
/// [`StoreError::Damaged`], naming the record.
pub fn record_from(row: &dyn Row, first: usize) -> Result<AuditRecord, StoreError> {
    let id: Uuid = row.get(first)?;
    let what = format!("audit record {id}");
    let (kind, subject): (i64, Option<String>) = (row.get(first + 1)?, row.get(first + 2)?);
    let record = AuditRecord { id, body: body(row, first + 3, &what)? };
    let RecordBody { kind: known, .. } = record.body;
    if (kind, subject.as_deref()) != (i64::from(known.code()), record.body.subject())
        || row.get::<i64>(first + 4)? != checksum_of(&record, &encode(&record.body))
    {
        return Err(damaged(format!("{what}: it is not what its checksum was made of")));
    }
    Ok(record)
}

/// The checksum of a record. It is stored, so what it covers must never change.
fn checksum_of(record: &AuditRecord, body: &[u8]) -> i64 {
    checksum([], &[record.id.as_bytes(), body])
}

/// The rows of an engine: read through its readers, changed through its side connections.
#[derive(Debug)]
pub struct SqlRecords<D, C> {
    pub reader: Arc<SqlReader<D>>,
    pub side: SideStore<C>,
}

#[async_trait]
impl<D: ReadDatabase, C: SideConnections> RecordStore for SqlRecords<D, C> {
    async fn records(
        &self,
        filter: &RecordFilter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let filter = filter.clone();
        self.reader.0.run(move |sql| Box::pin(records(sql, filter, before, limit))).await
    }

    async fn room(&self) -> Result<RecordRoom, StoreError> {
        self.reader.0.run(|sql| Box::pin(room(sql))).await
    }

    async fn begin(&self, now: Timestamp) -> Result<Box<dyn RecordTx>, StoreError> {
        Ok(self.side.open(now).await?)
    }
}

#[async_trait]
impl<D: Transaction> RecordTx for SideTx<D> {
    async fn add(&mut self, records: &[AuditRecord]) -> Result<(), StoreError> {
        let records = records.to_vec();
        self.run(move |sql| Box::pin(async move { add(sql, &records).await })).await
    }

    async fn prune(
        &mut self,
        before: Uuid,
        limit: usize,
        but_changes: bool,
    ) -> Result<RecordRoom, StoreError> {
        self.run(move |sql| Box::pin(prune(sql, before, limit, but_changes))).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.transaction.commit().await
    }
}

async fn records(
    sql: &mut impl Sql,
    filter: RecordFilter,
    before: Option<Uuid>,
    limit: usize,
) -> Result<Vec<AuditRecord>, StoreError> {
    let of_all = concat!(
        "SELECT ",
        record_columns!(),
        " FROM audit_record
         WHERE record_id >= $1
           AND record_id < $2
         ORDER BY record_id DESC
         LIMIT $3"
    );
    let of_subject = concat!(
        "SELECT ",
        record_columns!(),
        " FROM audit_record
         WHERE subject = $4
           AND record_id >= $1
           AND record_id < $2
         ORDER BY record_id DESC
         LIMIT $3"
    );
    let of_kind = concat!(
        "SELECT ",
        record_columns!(),
        " FROM audit_record
         WHERE kind = $4
           AND record_id >= $1
           AND record_id < $2
         ORDER BY record_id DESC
         LIMIT $3"
    );
    let (first, end) = filter.ids(before);
    let (first, end, limit) = (first.into(), end.into(), sql_count(limit).into());
    let read = |row: &dyn Row| record_from(row, 0);
    match (&filter.subject, filter.kind) {
        (Some(subject), _) => {
            sql.all(of_subject, &[first, end, limit, subject.0.as_str().into()], read).await
        }
        (None, Some(kind)) => {
            sql.all(of_kind, &[first, end, limit, i64::from(kind.code()).into()], read).await
        }
        (None, None) => sql.all(of_all, &[first, end, limit], read).await,
    }
}

/// Records after an id, oldest first.
///
/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn stored(
    sql: &mut impl Sql,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<AuditRecord>, StoreError> {
    let text = concat!(
        "SELECT ",
        record_columns!(),
        " FROM audit_record WHERE record_id > $1 ORDER BY record_id LIMIT $2"
    );
    let params = [after.unwrap_or_default().into(), sql_count(limit).into()];
    sql.all(text, &params, |row| record_from(row, 0)).await
}

/// # Errors
/// [`StoreError`] where it cannot be read.
pub async fn room(sql: &mut impl Sql) -> Result<RecordRoom, StoreError> {
    let text = "SELECT records, bytes FROM audit_record_room";
    sql.one(text, &[], |row| room_of(row.array(0)?)).await
}

fn room_of([records, bytes]: [i64; 2]) -> Result<RecordRoom, StoreError> {
    let what = "the room of audit records";
    Ok(RecordRoom { records: count_of(records, what)?, bytes: count_of(bytes, what)? })
}

/// What the records really take up.
///
/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn counted(sql: &mut impl Sql) -> Result<RecordRoom, StoreError> {
    let text = "SELECT COUNT(*), CAST(COALESCE(SUM(OCTET_LENGTH(body)), 0) AS BIGINT) FROM audit_record";
    // By an index where there must be one, and within the check's own transaction: a scan would end it.
    sql.one(text, &[], |row| room_of(row.array(0)?)).await
}

/// The last record.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub async fn last(sql: &mut impl Sql) -> Result<Option<Uuid>, StoreError> {
    let text = "SELECT record_id FROM audit_record ORDER BY record_id DESC LIMIT 1";
    sql.first(text, &[], |row| row.get(0)).await
}

/// Adds to the room, or takes from it. It locks the row until the end of the transaction.
async fn change_room(sql: &mut impl Sql, records: i64, bytes: i64) -> Result<(), StoreError> {
    let text = "UPDATE audit_record_room SET records = records + $1, bytes = bytes + $2";
    match sql.run(text, &[records.into(), bytes.into()]).await? {
        1 => Ok(()),
        _ => Err(damaged("the row with the room of audit records is missing")),
    }
}

async fn add(sql: &mut impl Sql, records: &[AuditRecord]) -> Result<(), StoreError> {
    change_room(sql, 0, 0).await?;
    let (mut added, mut bytes) = (0_u64, 0_u64);
    for record in records {
        let body = encode(&record.body);
        let params = [
            record.id.into(),
            i64::from(record.body.kind.code()).into(),
            record.body.subject().into(),
            (&body).into(),
            checksum_of(record, &body).into(),
        ];
        let text = concat!(
            "INSERT INTO audit_record (",
            record_columns!(),
            ") VALUES ($1, $2, $3, $4, $5) ON CONFLICT (record_id) DO NOTHING"
        );
        if sql.run(text, &params).await? > 0 {
            added = added.saturating_add(1);
            bytes = bytes.saturating_add(u64::try_from(body.len()).unwrap_or(u64::MAX));
        }
    }
    change_room(sql, stored_count(added)?, stored_count(bytes)?).await
}

async fn prune(
    sql: &mut impl Sql,
    before: Uuid,
    limit: usize,
    but_changes: bool,
) -> Result<RecordRoom, StoreError> {
    let last_kind = if but_changes { RecordKind::LAST_NOT_DONE.code() } else { u8::MAX };
    let last_kind = i64::from(last_kind);
    change_room(sql, 0, 0).await?;
    let text = "
        SELECT record_id, OCTET_LENGTH(body)
        FROM audit_record
        WHERE record_id < $1
          AND kind <= $2
        ORDER BY record_id
        LIMIT $3";
    let oldest: Vec<(Uuid, i64)> = sql
        .all(text, &[before.into(), last_kind.into(), sql_count(limit).into()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .await?;
    let Some((last, _)) = oldest.last() else { return Ok(RecordRoom::default()) };
    let text = "DELETE FROM audit_record WHERE record_id <= $1 AND kind <= $2";
    sql.run(text, &[(*last).into(), last_kind.into()]).await?;
    let bytes = oldest.iter().fold(0_i64, |sum, (_, bytes)| sum.saturating_add(*bytes));
    let records = sql_count(oldest.len());
    change_room(sql, records.saturating_neg(), bytes.saturating_neg()).await?;
    room_of([records, bytes])
}

/// Puts records of another database in place of those from behind `after` up to the last of them, or up to the end where
/// the page is empty.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub async fn replace(
    sql: &mut impl Sql,
    after: Option<Uuid>,
    page: &[AuditRecord],
) -> Result<(), StoreError> {
    let last = page.last().map_or(Uuid::max(), |record| record.id);
    let range = [after.unwrap_or_default().into(), last.into()];
    let text = "
        SELECT COUNT(*), CAST(COALESCE(SUM(OCTET_LENGTH(body)), 0) AS BIGINT)
        FROM audit_record
        WHERE record_id > $1
          AND record_id <= $2";
    let [records, bytes] = sql.one(text, &range, |row| row.array::<2>(0)).await?;
    sql.run("DELETE FROM audit_record WHERE record_id > $1 AND record_id <= $2", &range).await?;
    change_room(sql, records.saturating_neg(), bytes.saturating_neg()).await?;
    add(sql, page).await
}
