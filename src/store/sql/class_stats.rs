//! Statistics by class of incident, in one statement over any amount of history. Percentiles are counted, not
//! interpolated, so that every engine returns the same.

use super::database::Sql;
use super::row::{Row, sql_count};
use crate::ledger::{ClassId, Credits, Timestamp};
use crate::store::class_stats::{ClassStats, ClassStatsFilter};
use crate::store::error::{StoreError, damaged};
use crate::store::stored::count_of;

const SQL: &str = "
    WITH incident AS (
        SELECT COALESCE(class, '') AS class, CAST(SUM(estimated) AS BIGINT) AS estimated,
               CAST(SUM(charged) AS BIGINT) AS charged
        FROM hold
        WHERE ledger_no = $1
          AND hold_id >= $2
          AND hold_id < $3
          AND created_at >= $4
          AND created_at < $5
          AND charged IS NOT NULL
          AND (CAST($6 AS TEXT) IS NULL OR COALESCE(class, '') > $6)
          AND COALESCE(class, '') = COALESCE(CAST($7 AS TEXT), COALESCE(class, ''))
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
    LIMIT $8";

/// The statistics of the classes after `after`.
pub async fn list(
    sql: &mut impl Sql,
    filter: ClassStatsFilter,
    after: Option<String>,
    limit: usize,
) -> Result<Vec<ClassStats>, StoreError> {
    let (first, end) = filter.ids();
    let params = [
        filter.ledger.into(),
        first.into(),
        end.into(),
        filter.from.map_or(i64::MIN, Timestamp::micros).into(),
        filter.until.map_or(i64::MAX, Timestamp::micros).into(),
        after.as_deref().into(),
        filter.class.as_ref().map(ClassId::as_str).into(),
        sql_count(limit).into(),
    ];
    sql.all(SQL, &params, stats).await
}

fn stats(row: &dyn Row) -> Result<ClassStats, StoreError> {
    let class: String = row.get(0)?;
    let class = (!class.is_empty()).then(|| ClassId::parse(&class)).transpose();
    let count = |column| count_of(row.get(column)?, "a count of incidents");
    let ratios: [Option<i64>; 3] = [row.get(9)?, row.get(10)?, row.get(11)?];
    Ok(ClassStats {
        class: class.map_err(|error| damaged(format!("a class: {error}")))?,
        incidents: count(1)?,
        estimated: Credits::from_units(row.get(2)?),
        charged: Credits::from_units(row.get(3)?),
        charged_percentiles: row.array(4)?.map(Credits::from_units),
        with_estimate: count(7)?,
        over_estimate: count(8)?,
        ratio_percentiles: match ratios {
            [Some(p50), Some(p80), Some(p95)] => Some([p50, p80, p95]),
            _ => None,
        },
    })
}
