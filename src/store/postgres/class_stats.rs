//! Statistics by class of incident, in one statement over any amount of history. The percentiles are counted, not
//! interpolated, so that every engine gives the same.

use super::errors::failed;
use super::read::PgReader;
use super::rows::{sql_count, sql_ledger};
use crate::ledger::{ClassId, Timestamp};
use crate::store::StoreError;
use crate::store::class_stats::{ClassStats, ClassStatsFilter, ClassStatsRow, class_stats_of};

impl PgReader {
    pub(super) async fn stats_of_classes(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError> {
        let (first, end) = filter.ids();
        let rows: Vec<ClassStatsRow> = sqlx::query_as(
            "WITH incident AS (
             SELECT COALESCE(class, '') AS class, CAST(SUM(estimated) AS BIGINT) AS estimated,
                    CAST(SUM(charged) AS BIGINT) AS charged
             FROM hold
             WHERE ledger_no = $1
               AND hold_id >= $2
               AND hold_id < $3
               AND created_at >= $4
               AND created_at < $5
               AND charged IS NOT NULL
               AND ($6::text IS NULL OR COALESCE(class, '') > $6)
               AND COALESCE(class, '') = COALESCE($7::text, COALESCE(class, ''))
             GROUP BY COALESCE(class, ''), customer, incident_id
         ),
         measured AS (
             SELECT class, estimated, charged,
                    CASE WHEN estimated > 0 THEN (charged * 20000 + estimated) / (2 * estimated) END AS ratio
             FROM incident
         ),
         ranked AS (
             SELECT class, estimated, charged, ratio,
                    COUNT(*) OVER of_class AS incidents,
                    COUNT(ratio) OVER of_class AS ratios,
                    ROW_NUMBER() OVER (PARTITION BY class ORDER BY charged) AS charged_place,
                    ROW_NUMBER() OVER (PARTITION BY class, ratio IS NULL ORDER BY ratio) AS ratio_place
             FROM measured
             WINDOW of_class AS (PARTITION BY class)
         )
         SELECT class, COUNT(*), CAST(SUM(estimated) AS BIGINT), CAST(SUM(charged) AS BIGINT),
                MIN(CASE WHEN charged_place * 100 >= incidents * 50 THEN charged END),
                MIN(CASE WHEN charged_place * 100 >= incidents * 80 THEN charged END),
                MIN(CASE WHEN charged_place * 100 >= incidents * 95 THEN charged END),
                COUNT(ratio),
                COUNT(CASE WHEN ratio IS NOT NULL AND charged > estimated THEN 1 END),
                MIN(CASE WHEN ratio_place * 100 >= ratios * 50 THEN ratio END),
                MIN(CASE WHEN ratio_place * 100 >= ratios * 80 THEN ratio END),
                MIN(CASE WHEN ratio_place * 100 >= ratios * 95 THEN ratio END)
         FROM ranked
         GROUP BY class
         ORDER BY class
         LIMIT $8",
        )
        .bind(sql_ledger(filter.ledger))
        .bind(first.uuid())
        .bind(end.uuid())
        .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
        .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
        .bind(after)
        .bind(filter.class.as_ref().map(ClassId::as_str))
        .bind(sql_count(limit))
        .fetch_all(&self.pool())
        .await
        .map_err(failed)?;
        rows.into_iter().map(class_stats_of).collect()
    }
}
