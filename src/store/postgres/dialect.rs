//! The statements that only PostgreSQL runs.

use std::sync::Arc;

use uuid::Uuid;

use super::columns::{PostgreSql, placed_posting_columns, postings_where, postings_within, with_words};
use super::{history, lists, orders};
use crate::ledger::{CustomerKey, Hold, HoldId, LedgerNo, LotId, Storefront, Text, Timestamp};
use crate::store::error::StoreError;
use crate::store::orders::KeptOrder;
use crate::store::read_store::{At, HoldFilter, LotFilter, OwnedLot, Page};
use crate::store::recorded::Recorded;
use crate::store::sql::database::{Dialect, Sql};
use crate::store::sql::lots::lot_columns;
use crate::store::sql::rows::{customer_columns, posting_columns};

impl Dialect for PostgreSql {
    const ENGINE: &'static str = "postgres";
    const CUSTOMERS_BY_KEY: &'static str =
        concat!("SELECT ", customer_columns!(), " FROM customer c WHERE c.customer = ANY($1)");
    const PROFILES_BY_KEY: &'static str = "
        SELECT c.customer, c.customer_id, p.profile
        FROM customer c
        JOIN profile p ON p.ledger_no = c.ledger_no AND p.customer_id = c.customer_id
        WHERE c.customer = ANY($1)";
    const LOT_OF_ORDER: &'static str = concat!(
        "
        SELECT c.customer_id, ",
        lot_columns!(),
        "
        FROM purchase_order o
        JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence
        JOIN lot l ON l.customer = p.customer AND l.lot_id = p.posting_id
        JOIN customer c ON c.customer = l.customer
        WHERE o.ledger_no = $1
          AND o.storefront = $2
          AND o.order_id = $3"
    );
    /// Each order is looked up separately; `OFFSET` keeps the planner from merging the look-ups. A plan from the time
    /// of one storefront, or one customer, would scan all orders or lots for each of them.
    const LOTS_OF_ORDERS: &'static str = concat!(
        "
        SELECT c.customer_id, ",
        lot_columns!(),
        "
        FROM UNNEST($3::text[]) u(order_id)
        CROSS JOIN LATERAL (
            SELECT o.customer, o.sequence
            FROM purchase_order o
            WHERE o.ledger_no = $1
              AND o.storefront = $2
              AND o.order_id = u.order_id
            OFFSET 0
        ) o
        CROSS JOIN LATERAL (
            SELECT p.posting_id
            FROM posting p
            WHERE p.customer = o.customer
              AND p.sequence = o.sequence
            OFFSET 0
        ) p
        CROSS JOIN LATERAL (
            SELECT ",
        lot_columns!(),
        "
            FROM lot l
            WHERE l.customer = o.customer
              AND l.lot_id = p.posting_id
            OFFSET 0
        ) l
        CROSS JOIN LATERAL (
            SELECT c.customer_id
            FROM customer c
            WHERE c.customer = o.customer
            OFFSET 0
        ) c"
    );
    const POSTING_OF_REQUEST: &'static str =
        postings_where!("p.customer = $1 AND p.kind = $2 AND p.request = $3");
    /// Positions have no gaps, so the range of commits is bounded on both sides before any commit is read.
    const FEED: &'static str = postings_within!(
        "f.first_position + u.place - 1",
        "feed f
         CROSS JOIN LATERAL UNNEST(f.customers, f.sequences) WITH ORDINALITY u(customer, sequence, place)
         JOIN posting p ON p.customer = u.customer AND p.sequence = u.sequence",
        "f.ledger_no = $1
         AND f.first_position >= (
             SELECT COALESCE(MAX(b.first_position), 0)
             FROM feed b
             WHERE b.ledger_no = $1
               AND b.first_position <= $4
         )
         AND f.first_position <= $3
         AND f.first_position + u.place - 1 > $2
         AND f.first_position + u.place - 1 <= $3",
        "f.first_position, u.place",
        "$5"
    );
    /// What has no place in the feed yet is stamped too, and nothing is counted before the watermark any more.
    const CLOCK: &'static str = "
        SELECT c.heartbeat_at, c.doubted, c.confirmed_at, c.confirmed_over,
               (SELECT MAX(stamp)
                FROM (SELECT MAX(p.stamp) AS stamp FROM pending p
                      UNION ALL
                      SELECT NULLIF(s.watermark, 0) FROM sequencer s
                      UNION ALL
                      SELECT (SELECT f.counts_from
                              FROM feed f
                              WHERE f.ledger_no = l.ledger_no
                              ORDER BY f.first_position DESC
                              LIMIT 1)
                      FROM ledger l) stamps),
               CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)
        FROM server_clock c";
    const LAST_POSITION: &'static str = "SELECT position FROM feed_end WHERE ledger_no = $1";
    /// The amounts of the newest commits are not in the accounts yet; they are added from `pending`.
    const BALANCES: &'static str = "
        WITH customers(available, held, owed) AS MATERIALIZED (
            SELECT COALESCE(SUM(available), 0), COALESCE(SUM(held), 0), COALESCE(SUM(owed), 0)
            FROM customer
            WHERE ledger_no = $1
        )
        SELECT account, CAST(SUM(balance) AS BIGINT)
        FROM (
            SELECT 'available' AS account, available AS balance FROM customers UNION ALL
            SELECT 'held', held FROM customers UNION ALL
            SELECT 'receivable', -owed FROM customers UNION ALL
            SELECT account, balance FROM system_account WHERE ledger_no = $1 UNION ALL
            SELECT u.account, u.amount
            FROM pending p
            CROSS JOIN LATERAL UNNEST(p.accounts, p.amounts) u(account, amount)
            WHERE p.ledger_no = $1
        ) parts
        GROUP BY account";
    const STORED_ORDERS: &'static str = "
        SELECT o.ledger_no, o.storefront, o.order_id, p.posting_id
        FROM purchase_order o
        LEFT JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence
        WHERE (o.ledger_no, o.storefront, o.order_id) > ($1, $2, $3)
        ORDER BY o.ledger_no, o.storefront, o.order_id
        LIMIT $4";
    /// The amounts of the newest commits are not in the accounts yet; they are added from `pending`.
    const STORED_ACCOUNTS: &'static str = "
        SELECT ledger_no, account, CAST(SUM(balance) AS BIGINT)
        FROM (
            SELECT ledger_no, account, balance FROM system_account UNION ALL
            SELECT p.ledger_no, u.account, u.amount
            FROM pending p
            CROSS JOIN LATERAL UNNEST(p.accounts, p.amounts) u(account, amount)
        ) parts
        GROUP BY ledger_no, account
        ORDER BY ledger_no, account COLLATE \"C\"";
    const ENDPOINT_TO_CHANGE: &'static str =
        "SELECT body FROM webhook_endpoint WHERE endpoint_id = $1 FOR UPDATE";
    const ROOM_TO_CHANGE: &'static str = "
        SELECT waiting, due, payload_bytes
        FROM storefront_room
        WHERE ledger_no = $1
          AND storefront = $2
        FOR UPDATE";
    const BYTES: &'static str = "
        SELECT CAST(COALESCE(SUM(pg_total_relation_size(c.oid)), 0) AS BIGINT)
        FROM pg_class c
        WHERE c.relkind IN ('r', 'p', 'm')
          AND c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE";
    const DURABILITY: &'static str = "
        SELECT 'PostgreSQL: synchronous_commit=' || current_setting('synchronous_commit')
            || ', fsync=' || current_setting('fsync')
            || ', full_page_writes=' || current_setting('full_page_writes')";
    const STRANGERS: &'static [&'static str] = &[
        "SELECT 'posting_words, posting ' || w.sequence || ' of customer key ' || w.customer
             || ': there is no such posting'
         FROM posting_words w
         LEFT JOIN posting p ON p.customer = w.customer AND p.sequence = w.sequence
         WHERE p.customer IS NULL
         ORDER BY w.customer, w.sequence
         LIMIT $1",
        "SELECT 'the profile of customer ' || p.customer_id || ' stands under another customer'
         FROM profile p
         LEFT JOIN customer c ON c.customer = p.customer
         WHERE p.ledger_no IS DISTINCT FROM c.ledger_no
            OR p.customer_id IS DISTINCT FROM c.customer_id
         LIMIT $1",
        "SELECT 'lot ' || l.lot_id || ' stands under another ledger'
         FROM lot l
         LEFT JOIN customer c ON c.customer = l.customer
         WHERE l.ledger_no IS DISTINCT FROM c.ledger_no
         LIMIT $1",
        "SELECT 'order ' || o.order_id || ' of ' || o.storefront || ' points into another ledger'
         FROM purchase_order o
         LEFT JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence
         WHERE o.ledger_no IS DISTINCT FROM p.ledger_no
         LIMIT $1",
        "SELECT 'customer ' || c.customer_id || ' of ledger number ' || c.ledger_no || ': there is no such ledger'
         FROM customer c
         WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.ledger_no = c.ledger_no)
         LIMIT $1",
        "SELECT 'commit ' || b.batch || ' of ledger number ' || b.ledger_no || ': there is no such ledger'
         FROM (SELECT ledger_no, batch FROM feed UNION ALL SELECT ledger_no, batch FROM pending) b
         WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.ledger_no = b.ledger_no)
         LIMIT $1",
        "SELECT 'account ' || s.account || ' of ledger number ' || s.ledger_no || ': there is no such ledger'
         FROM system_account s
         WHERE NOT EXISTS (SELECT 1 FROM ledger l WHERE l.ledger_no = s.ledger_no)
         LIMIT $1",
    ];

    async fn posting_at<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        customer: CustomerKey,
        at: At,
    ) -> Result<Option<Recorded>, StoreError> {
        history::posting_at(sql, customer, at).await
    }

    async fn postings_of<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Vec<(Recorded, usize)>, StoreError> {
        history::postings_of(sql, customer, first, last).await
    }

    async fn counted<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        feed: Vec<Recorded>,
    ) -> Result<Vec<(Recorded, Timestamp)>, StoreError> {
        history::counted(sql, ledger, feed).await
    }

    async fn hold_page<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        filter: HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        lists::holds(sql, ledger, &filter, before, limit).await
    }

    async fn lot_page<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        filter: LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        lists::lots(sql, ledger, &filter, before, limit).await
    }

    async fn orders_named<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        storefront: &Storefront,
        names: &[Text],
    ) -> Result<Vec<KeptOrder>, StoreError> {
        orders::named(sql, ledger, storefront, names).await
    }

    async fn orders_by_id<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        ids: &[Uuid],
    ) -> Result<Vec<KeptOrder>, StoreError> {
        orders::by_id(sql, ledger, ids).await
    }

    async fn put_orders<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        orders: &[KeptOrder],
    ) -> Result<(), StoreError> {
        orders::put(sql, orders).await
    }
}
