//! One snapshot of a database, with the positions that pending commits will have.

use sqlx::{Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::columns::{placed_posting_columns, postings_within, with_words};
use super::rows::sql_ledger;
use crate::ledger::LedgerNo;
use crate::store::error::StoreError;
use crate::store::read_store::{Page, READ_BYTES_MAX};
use crate::store::recorded::{Position, Recorded};
use crate::store::sql::database::Sql as _;
use crate::store::sql::row::{Param, sql_count};
use crate::store::sql::rows::{posting_columns, weighed};

/// A snapshot stays open for as long as its reader takes, so the usual time-outs do not apply.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
    SET LOCAL statement_timeout = 0;
    SET LOCAL idle_in_transaction_session_timeout = 0;";

#[derive(Debug)]
pub(super) struct Snapshot {
    connection: PgConnection,
    /// In the order of their ledgers and positions.
    pub unplaced: Vec<Unplaced>,
    /// False from before a statement until it has succeeded. After a failed or abandoned statement the snapshot is
    /// not used again.
    sound: bool,
}

/// A commit without a position in this snapshot, with the position that it gets if nothing comes before it.
#[derive(Debug)]
pub(super) struct Unplaced {
    pub ledger_no: i32,
    pub batch: Uuid,
    pub first_position: i64,
    /// Customer and sequence of each posting.
    pub postings: Vec<(i64, i64)>,
}

impl Snapshot {
    /// Takes the snapshot.
    pub async fn begin(mut connection: PgConnection) -> Result<Self, StoreError> {
        // One message: the next statement takes the snapshot.
        sqlx::raw_sql(BEGIN).execute(&mut connection).await?;
        let rows = sqlx::query(
            "SELECT q.ledger_no, q.batch, q.customers, q.sequences, COALESCE(e.position, 0)
             FROM pending q
             LEFT JOIN feed_end e ON e.ledger_no = q.ledger_no
             ORDER BY q.ledger_no, q.stamp, q.batch",
        )
        .fetch_all(&mut connection)
        .await?;
        let mut unplaced: Vec<Unplaced> = Vec::with_capacity(rows.len());
        for row in rows {
            let (ledger_no, batch, end): (i32, _, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(4)?);
            let (customers, sequences): (Vec<i64>, Vec<i64>) = (row.try_get(2)?, row.try_get(3)?);
            let before = unplaced.last().filter(|before| before.ledger_no == ledger_no);
            let first_position = before.map_or(end.saturating_add(1), Unplaced::end);
            let postings = customers.into_iter().zip(sequences).collect();
            unplaced.push(Unplaced { ledger_no, batch, first_position, postings });
        }
        Ok(Self { connection, unplaced, sound: true })
    }

    /// The connection, for statements. The caller must call [`Snapshot::goes_on`] when they have succeeded.
    pub fn connection(&mut self) -> &mut PgConnection {
        self.sound = false;
        &mut self.connection
    }

    pub fn goes_on(&mut self) {
        self.sound = true;
    }

    /// False after a statement that failed or was abandoned.
    pub const fn is_sound(&self) -> bool {
        self.sound
    }

    /// Ends it. If that fails, there is nothing left to end.
    pub async fn end(mut self) {
        if self.sound {
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut self.connection).await;
            let _ = self.connection.close().await;
        }
    }

    /// The postings of a ledger after `after` that have no position in the feed.
    pub async fn unplaced_after(
        &mut self,
        ledger: LedgerNo,
        after: i64,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        let (mut customers, mut sequences, mut positions) = (Vec::new(), Vec::new(), Vec::new());
        let commits = self.unplaced.iter().filter(|commit| commit.ledger_no == sql_ledger(ledger));
        let places = commits.flat_map(|commit| (commit.first_position..).zip(&commit.postings));
        for (position, (customer, sequence)) in places.filter(|(position, _)| *position > after).take(limit) {
            customers.push(*customer);
            sequences.push(*sequence);
            positions.push(position);
        }
        if positions.is_empty() {
            return Ok(Page { items: Vec::new(), next: None });
        }
        let text = postings_within!(
            "u.position",
            "UNNEST($1, $2, $3) u(customer, sequence, position)
             JOIN posting p ON p.customer = u.customer AND p.sequence = u.sequence",
            "TRUE",
            "u.position",
            "$4"
        );
        let params = [
            Param::Ints(&customers),
            Param::Ints(&sequences),
            Param::Ints(&positions),
            sql_count(READ_BYTES_MAX).into(),
        ];
        let postings = self.connection().within(text, &params, weighed).await?;
        self.goes_on();
        Ok(Page::weighed(postings, limit, |last| last.position))
    }
}

impl Unplaced {
    /// The position after its last one.
    pub fn end(&self) -> i64 {
        self.first_position.saturating_add(sql_count(self.postings.len()))
    }
}
