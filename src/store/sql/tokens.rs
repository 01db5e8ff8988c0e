//! Tokens of the server's own: the statements of reads, of one transaction, and of a copy.

use std::sync::Arc;

use async_trait::async_trait;
use uuid::Uuid;

use super::database::{ReadDatabase, Sql};
use super::reader::SqlReader;
use super::row::{RequestColumn, Row, alone, sql_count};
use super::rows::body;
use super::side::{SideConnections, SideStore, SideTx, Transaction};
use crate::ledger::codec::encode;
use crate::ledger::{RequestKey, Timestamp};
use crate::store::error::{Readable, StoreError, Unreadable, damaged};
use crate::store::stored::{checksum, count_of};
use crate::store::tokens::{StoredToken, TokenCounts, TokenStore, TokenTx};

/// The columns of a token, in the order in which [`token_of_row`] reads them.
macro_rules! token_columns {
    () => {
        "token_id, sha256, request, expires_at, revoked_at, used_at, body, checksum"
    };
}

pub(in crate::store) use token_columns;

/// Reads a token from a row of [`token_columns`].
///
/// # Errors
/// As [`token_from`].
fn token_of_row(row: &dyn Row) -> Result<StoredToken, StoreError> {
    token_from(row, 0)
}

/// Reads [`token_columns`] from column `first` on. A token decides who may call, so one that was changed behind the
/// server's back is not accepted.
///
/// # Errors
/// [`StoreError::Damaged`], naming the token.
pub fn token_from(row: &dyn Row, first: usize) -> Result<StoredToken, StoreError> {
    let id: Uuid = row.get(first)?;
    let what = format!("token {id}");
    let sha256: Vec<u8> = row.get(first + 1)?;
    let request = row.request(first + 2)?.ok_or_else(|| damaged(format!("{what}: it has no request id")))?;
    let token = StoredToken {
        id,
        sha256: sha256.try_into().map_err(|_| damaged(format!("{what}: its hash has not 32 bytes")))?,
        request: request.key(&what)?,
        expires_at: Timestamp::from_micros(row.get(first + 3)?),
        revoked_at: row.get::<Option<i64>>(first + 4)?.map(Timestamp::from_micros),
        used_at: row.get::<Option<i64>>(first + 5)?.map(Timestamp::from_micros),
        body: body(row, first + 6, &what)?,
    };
    if row.get::<i64>(first + 7)? == checksum_of(&token) {
        Ok(token)
    } else {
        Err(damaged(format!("{what}: it is not what its checksum was made of")))
    }
}

/// The checksum of a token's columns but its last use. It is stored, so what it covers must never change.
fn checksum_of(token: &StoredToken) -> i64 {
    let StoredToken { id, sha256, request, expires_at, revoked_at, used_at: _, body } = token;
    let revoked = [i64::from(revoked_at.is_some()), revoked_at.map_or(0, Timestamp::micros)];
    let numbers = [expires_at.micros(), revoked[0], revoked[1]];
    checksum(numbers, &[id.as_bytes(), sha256, &RequestColumn::of(request).concat(), &encode(body)])
}

/// The rows of an engine: read through its readers, changed through its side connections.
#[derive(Debug)]
pub struct SqlTokens<D, C> {
    pub reader: Arc<SqlReader<D>>,
    pub side: SideStore<C>,
}

#[async_trait]
impl<D: ReadDatabase, C: SideConnections> TokenStore for SqlTokens<D, C> {
    async fn revision(&self) -> Result<u64, StoreError> {
        self.reader.0.run(|sql| Box::pin(revision(sql))).await
    }

    async fn tokens(
        &self,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Readable<StoredToken>>, StoreError> {
        self.reader.0.run(move |sql| Box::pin(tokens(sql, after, limit))).await
    }

    async fn begin(&self, now: Timestamp) -> Result<Box<dyn TokenTx>, StoreError> {
        Ok(self.side.open(now).await?)
    }
}

#[async_trait]
impl<D: Transaction> TokenTx for SideTx<D> {
    fn now(&self) -> Timestamp {
        self.now
    }

    async fn raise_revision(&mut self) -> Result<(), StoreError> {
        self.run(|sql| Box::pin(raise_revision(sql))).await
    }

    async fn token(&mut self, id: Uuid) -> Result<Option<StoredToken>, StoreError> {
        self.run(move |sql| Box::pin(token(sql, id))).await
    }

    async fn token_of(&mut self, request: &RequestKey) -> Result<Option<StoredToken>, StoreError> {
        let request = request.clone();
        self.run(|sql| Box::pin(token_of(sql, request))).await
    }

    async fn counts(&mut self) -> Result<TokenCounts, StoreError> {
        let now = self.now;
        self.run(move |sql| Box::pin(counts(sql, now))).await
    }

    async fn put(&mut self, token: &StoredToken) -> Result<(), StoreError> {
        let token = token.clone();
        self.run(|sql| Box::pin(async move { put(sql, &token).await })).await
    }

    async fn delete_dead(&mut self, count: u64) -> Result<(), StoreError> {
        let now = self.now;
        self.run(move |sql| Box::pin(delete_dead(sql, now, count))).await
    }

    async fn used(&mut self, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
        self.run(move |sql| Box::pin(used(sql, id, at))).await
    }

    async fn commit(self: Box<Self>) -> Result<(), StoreError> {
        self.transaction.commit().await
    }
}

/// # Errors
/// [`StoreError`] where it cannot be read.
pub async fn revision(sql: &mut impl Sql) -> Result<u64, StoreError> {
    let text = "SELECT revision FROM access_token_revision";
    let revision = sql.one(text, &[], |row| row.get(0)).await?;
    count_of(revision, "the revision of tokens")
}

/// Tokens of a page where all of them must be readable.
///
/// # Errors
/// [`StoreError`] where they cannot be read.
pub async fn whole_tokens(
    sql: &mut impl Sql,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<StoredToken>, StoreError> {
    Ok(tokens(sql, after, limit).await?.into_iter().collect::<Result<_, Unreadable>>()?)
}

async fn tokens(
    sql: &mut impl Sql,
    after: Option<Uuid>,
    limit: usize,
) -> Result<Vec<Readable<StoredToken>>, StoreError> {
    let text = concat!(
        "SELECT ",
        token_columns!(),
        " FROM access_token WHERE token_id > $1 ORDER BY token_id LIMIT $2"
    );
    let params = [after.unwrap_or_default().into(), sql_count(limit).into()];
    sql.all(text, &params, |row| alone(row, token_of_row)).await
}

async fn raise_revision(sql: &mut impl Sql) -> Result<(), StoreError> {
    match sql.run("UPDATE access_token_revision SET revision = revision + 1", &[]).await? {
        1 => Ok(()),
        _ => Err(damaged("the row with the revision of tokens is missing")),
    }
}

async fn token(sql: &mut impl Sql, id: Uuid) -> Result<Option<StoredToken>, StoreError> {
    let text = concat!("SELECT ", token_columns!(), " FROM access_token WHERE token_id = $1");
    sql.first(text, &[id.into()], token_of_row).await
}

async fn token_of(sql: &mut impl Sql, request: RequestKey) -> Result<Option<StoredToken>, StoreError> {
    let text = concat!("SELECT ", token_columns!(), " FROM access_token WHERE request = $1");
    sql.first(text, &[(&request).into()], token_of_row).await
}

async fn counts(sql: &mut impl Sql, now: Timestamp) -> Result<TokenCounts, StoreError> {
    let text = "
        SELECT COUNT(*), COUNT(CASE WHEN revoked_at IS NULL AND expires_at > $1 THEN 1 END)
        FROM access_token";
    let [all, live] = sql.one(text, &[now.into()], |row| row.array::<2>(0)).await?;
    let what = "the number of tokens";
    Ok(TokenCounts { all: count_of(all, what)?, live: count_of(live, what)? })
}

async fn put(sql: &mut impl Sql, token: &StoredToken) -> Result<(), StoreError> {
    sql.run(
        concat!(
            "INSERT INTO access_token (",
            token_columns!(),
            ")
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (token_id) DO UPDATE
             SET revoked_at = excluded.revoked_at,
                 checksum = excluded.checksum"
        ),
        &[
            token.id.into(),
            token.sha256.as_slice().into(),
            (&token.request).into(),
            token.expires_at.into(),
            token.revoked_at.map(Timestamp::micros).into(),
            token.used_at.map(Timestamp::micros).into(),
            (&encode(&token.body)).into(),
            checksum_of(token).into(),
        ],
    )
    .await
    .map(drop)
}

async fn delete_dead(sql: &mut impl Sql, now: Timestamp, count: u64) -> Result<(), StoreError> {
    sql.run(
        "DELETE FROM access_token
         WHERE token_id IN (
             SELECT token_id
             FROM access_token
             WHERE revoked_at IS NOT NULL
                OR expires_at <= $1
             ORDER BY token_id
             LIMIT $2
         )",
        &[now.into(), sql_count(count).into()],
    )
    .await
    .map(drop)
}

async fn used(sql: &mut impl Sql, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
    sql.run(
        "UPDATE access_token
         SET used_at = $2
         WHERE token_id = $1
           AND (used_at IS NULL OR used_at < $2)",
        &[id.into(), at.into()],
    )
    .await
    .map(drop)
}

/// Puts tokens of another database in place of those from behind `after` up to the last of them, or up to the end where
/// the page is empty.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub async fn replace(
    sql: &mut impl Sql,
    after: Option<Uuid>,
    page: &[StoredToken],
) -> Result<(), StoreError> {
    raise_revision(sql).await?;
    let last = page.last().map_or(Uuid::max(), |token| token.id);
    let text = "DELETE FROM access_token WHERE token_id > $1 AND token_id <= $2";
    sql.run(text, &[after.unwrap_or_default().into(), last.into()]).await?;
    for token in page {
        put(sql, token).await?;
    }
    Ok(())
}
