//! Erases the texts about a customer.

use sqlx::PgConnection;

use super::columns::{placed_posting_columns, with_words};
use super::rows::sql_ledger;
use crate::ledger::codec::encode;
use crate::ledger::{CustomerId, CustomerKey, Hold, LedgerNo, Timestamp};
use crate::store::error::{StoreError, damaged};
use crate::store::sql::database::Sql as _;
use crate::store::sql::rows::{posting_columns, recorded};
use crate::store::words::{Erased, PAGE, Rewritten, Walk};

/// Erases a customer's texts inside a transaction, one page of its history a step. Dead rows keep the texts until the
/// tables are vacuumed.
pub(super) struct Erasing {
    walk: Walk,
    customer: CustomerKey,
    at: Timestamp,
    /// The oldest posting that was read.
    before: i64,
}

impl Erasing {
    /// Locks the customer; `None` where there is none.
    pub async fn begin(
        connection: &mut PgConnection,
        ledger: LedgerNo,
        id: &CustomerId,
        at: Timestamp,
    ) -> Result<Option<Self>, StoreError> {
        let customer = CustomerKey::of(ledger, id);
        // No command is decided for the customer from here on: see `store::words`.
        let sequence: Option<i64> = sqlx::query_scalar(
            "SELECT sequence
             FROM customer
             WHERE customer = $1
               AND ledger_no = $2
               AND customer_id = $3
             FOR NO KEY UPDATE",
        )
        .bind(customer.raw())
        .bind(sql_ledger(ledger))
        .bind(id.as_str())
        .fetch_optional(connection)
        .await?;
        Ok(sequence.map(|last| Self { walk: Walk::new(at), customer, at, before: last.saturating_add(1) }))
    }

    /// Rewrites the next page; false at the end.
    pub async fn page(&mut self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let text = concat!(
            "SELECT ",
            placed_posting_columns!("NULL::bigint"),
            " FROM posting p",
            with_words!(),
            "WHERE p.customer = $1 AND p.sequence < $2 ORDER BY p.sequence DESC LIMIT $3"
        );
        let params = [self.customer.into(), self.before.into(), PAGE.into()];
        let page = connection.all(text, &params, recorded).await?;
        let mut rewritten = Vec::new();
        for recorded in &page {
            self.before = recorded.posting.sequence.try_into().unwrap_or(i64::MAX);
            rewritten.extend(self.walk.back_to(recorded)?);
        }
        if !rewritten.is_empty() {
            self.write(connection, &rewritten).await?;
        }
        Ok(!page.is_empty())
    }

    pub const fn erased(&self) -> Erased {
        self.walk.erased
    }

    async fn write(&self, connection: &mut PgConnection, rewritten: &[Rewritten]) -> Result<(), StoreError> {
        let sequences = rewritten.iter().map(|one| one.posting.sequence.try_into().unwrap_or(i64::MAX));
        let erased = sqlx::query(
            "UPDATE posting_words
             SET words = NULL, erased_at = $3, checksum = NULL
             WHERE customer = $1
               AND sequence = ANY($2)",
        )
        .bind(self.customer.raw())
        .bind(sequences.collect::<Vec<i64>>())
        .bind(self.at.micros())
        .execute(&mut *connection)
        .await?;
        self.all(erased.rows_affected(), rewritten.len())?;
        let holds: Vec<&Hold> = rewritten.iter().flat_map(Rewritten::holds).collect();
        let written = sqlx::query(
            "UPDATE hold h
             SET body = u.body
             FROM UNNEST($2::text[], $3::uuid[], $4::bytea[]) u(incident_id, hold_id, body)
             WHERE h.customer = $1
               AND h.incident_id = u.incident_id
               AND h.hold_id = u.hold_id",
        )
        .bind(self.customer.raw())
        .bind(holds.iter().map(|hold| hold.incident.as_str()).collect::<Vec<_>>())
        .bind(holds.iter().map(|hold| hold.id.uuid()).collect::<Vec<_>>())
        .bind(holds.iter().map(|hold| encode(*hold)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        self.all(written.rows_affected(), holds.len())?;
        let work: Vec<_> = rewritten.iter().filter_map(Rewritten::work).collect();
        let written = sqlx::query(
            "UPDATE work w
             SET body = u.body
             FROM UNNEST($1::uuid[], $2::uuid[], $3::bytea[]) u(hold_id, work_id, body)
             WHERE w.hold_id = u.hold_id
               AND w.work_id = u.work_id",
        )
        .bind(work.iter().map(|(hold, _)| hold.uuid()).collect::<Vec<_>>())
        .bind(work.iter().map(|(_, work)| work.id.uuid()).collect::<Vec<_>>())
        .bind(work.iter().map(|(_, work)| encode(*work)).collect::<Vec<_>>())
        .execute(&mut *connection)
        .await?;
        self.all(written.rows_affected(), work.len())?;
        for profile in rewritten.iter().filter_map(Rewritten::profile) {
            let written = sqlx::query(
                "UPDATE profile
                 SET profile = $2
                 WHERE customer = $1",
            )
            .bind(self.customer.raw())
            .bind(encode(profile))
            .execute(&mut *connection)
            .await?;
            self.all(written.rows_affected(), 1)?;
        }
        Ok(())
    }

    fn all(&self, changed: u64, wanted: usize) -> Result<(), StoreError> {
        if usize::try_from(changed) == Ok(wanted) {
            return Ok(());
        }
        Err(damaged(format!("customer key {}: rows of its postings are not there", self.customer.raw())))
    }
}
