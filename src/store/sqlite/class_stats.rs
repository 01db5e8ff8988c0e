//! Statistics by class of incident, in one statement over any amount of history. The percentiles are counted, not
//! interpolated, so that every engine gives the same.

use super::failed;
use super::read::SqliteReader;
use super::rows::limit_of;
use crate::ledger::{ClassId, Timestamp};
use crate::store::StoreError;
use crate::store::class_stats::{ClassStats, ClassStatsFilter, ClassStatsRow, class_stats_of};

impl SqliteReader {
    pub(super) async fn stats_of_classes(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError> {
        let (first, end) = filter.ids();
        let rows: Vec<ClassStatsRow> = sqlx::query_as(
            "WITH incident AS (
             SELECT COALESCE(class, '') AS class, CAST(SUM(estimated) AS INTEGER) AS estimated,
                    CAST(SUM(charged) AS INTEGER) AS charged
             FROM hold
             WHERE ledger_no = ?
               AND hold_id >= ?
               AND hold_id < ?
               AND created_at >= ?
               AND created_at < ?
               AND charged IS NOT NULL
               AND (? IS NULL OR COALESCE(class, '') > ?)
               AND COALESCE(class, '') = COALESCE(?, COALESCE(class, ''))
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
         SELECT class, COUNT(*), CAST(SUM(estimated) AS INTEGER), CAST(SUM(charged) AS INTEGER),
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
         LIMIT ?",
        )
        .bind(filter.ledger.get())
        .bind(first.uuid().as_bytes().to_vec())
        .bind(end.uuid().as_bytes().to_vec())
        .bind(filter.from.map_or(i64::MIN, Timestamp::micros))
        .bind(filter.until.map_or(i64::MAX, Timestamp::micros))
        .bind(after)
        .bind(after)
        .bind(filter.class.as_ref().map(ClassId::as_str))
        .bind(limit_of(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(failed)?;
        rows.into_iter().map(class_stats_of).collect()
    }
}
