//! The statements that only SQLite runs. The lender of the connection ends a transaction that an error leaves open.

use std::sync::Arc;

use uuid::Uuid;

use super::columns::{POSTING_OF_REQUEST, Sqlite, keyed_posting_columns, with_words};
use super::{history, lists, orders};
use crate::ledger::{CustomerKey, Hold, HoldId, LedgerNo, LotId, Storefront, Text, Timestamp};
use crate::store::error::StoreError;
use crate::store::orders::KeptOrder;
use crate::store::read_store::{At, HoldFilter, LotFilter, OwnedLot, Page};
use crate::store::recorded::Recorded;
use crate::store::sql::database::{Dialect, Sql};
use crate::store::sql::lots::lot_columns;
use crate::store::sql::rows::{customer_columns, posting_columns};

impl Dialect for Sqlite {
    const ENGINE: &'static str = "sqlite";
    const CUSTOMERS_BY_KEY: &'static str = concat!(
        "SELECT ",
        customer_columns!(),
        " FROM customer c WHERE c.customer IN (SELECT value FROM json_each($1))"
    );
    const PROFILES_BY_KEY: &'static str = "
        SELECT c.customer, c.customer_id, p.profile
        FROM customer c
        CROSS JOIN profile p
        WHERE c.customer IN (SELECT value FROM json_each($1))
          AND p.ledger_no = c.ledger_no
          AND p.customer_id = c.customer_id";
    const LOT_OF_ORDER: &'static str = concat!(
        "
        SELECT c.customer_id, ",
        lot_columns!(),
        "
        FROM purchase_order o
        CROSS JOIN posting p ON p.key = o.posting
        CROSS JOIN lot l ON l.lot_id = p.posting_id
        CROSS JOIN customer c ON c.customer = l.customer
        WHERE o.ledger_no = $1
          AND o.storefront = $2
          AND o.order_id = $3"
    );
    const LOTS_OF_ORDERS: &'static str = concat!(
        "
        SELECT c.customer_id, ",
        lot_columns!(),
        "
        FROM json_each($3) u
        CROSS JOIN purchase_order o ON o.ledger_no = $1 AND o.storefront = $2 AND o.order_id = u.value
        CROSS JOIN posting p ON p.key = o.posting
        CROSS JOIN lot l ON l.lot_id = p.posting_id
        CROSS JOIN customer c ON c.customer = l.customer"
    );
    const POSTING_OF_REQUEST: &'static str = POSTING_OF_REQUEST;
    const FEED: &'static str = concat!(
        "SELECT ",
        keyed_posting_columns!(),
        " FROM posting p",
        with_words!(),
        "WHERE p.key > ($1 << 40) + MIN($2, 1099511627775)
           AND p.key < ($1 + 1) << 40
         ORDER BY p.key
         LIMIT $3 - $2"
    );
    const CLOCK: &'static str = "
        SELECT heartbeat_at, doubted, confirmed_at, confirmed_over,
               (SELECT MAX(stamp)
                FROM (SELECT (SELECT p.recorded_at
                              FROM posting p
                              WHERE p.key BETWEEN l.ledger_no << 40 AND ((l.ledger_no + 1) << 40) - 1
                              ORDER BY p.key DESC
                              LIMIT 1) AS stamp
                      FROM ledger l
                      UNION ALL
                      SELECT latest_at FROM copied)),
               NULL
        FROM server_clock";
    const LAST_POSITION: &'static str = "
        SELECT key & 1099511627775
        FROM posting
        WHERE key > $1 << 40
          AND key < ($1 + 1) << 40
        ORDER BY key DESC
        LIMIT 1";
    const BALANCES: &'static str = "
        WITH customers(available, held, owed) AS MATERIALIZED (
            SELECT COALESCE(SUM(available), 0), COALESCE(SUM(held), 0), COALESCE(SUM(owed), 0)
            FROM customer
            WHERE ledger_no = $1
        )
        SELECT 'available', available FROM customers
        UNION ALL
        SELECT 'held', held FROM customers
        UNION ALL
        SELECT 'receivable', -owed FROM customers
        UNION ALL
        SELECT account, balance FROM system_account WHERE ledger_no = $1";
    const STORED_ORDERS: &'static str = "
        SELECT o.ledger_no, o.storefront, o.order_id, p.posting_id
        FROM purchase_order o
        LEFT JOIN posting p ON p.key = o.posting
        WHERE (o.ledger_no, o.storefront, o.order_id) > ($1, $2, $3)
        ORDER BY o.ledger_no, o.storefront, o.order_id
        LIMIT $4";
    const STORED_ACCOUNTS: &'static str = "
        SELECT ledger_no, account, balance
        FROM system_account
        ORDER BY ledger_no, account";
    /// No lock is needed: this engine runs one transaction at a time.
    const ENDPOINT_TO_CHANGE: &'static str = "SELECT body FROM webhook_endpoint WHERE endpoint_id = $1";
    /// No lock is needed here either.
    const ROOM_TO_CHANGE: &'static str = "
        SELECT waiting, due, payload_bytes
        FROM storefront_room
        WHERE ledger_no = $1
          AND storefront = $2";
    /// Pages as of the last commit. The log is not added, because its length depends on when it last restarted.
    const BYTES: &'static str = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    /// The setting of the connection that writes; that of the reading connection means nothing.
    const DURABILITY: &'static str = "
        SELECT 'SQLite: journal_mode=' || journal_mode || ', synchronous=FULL' FROM pragma_journal_mode";
    const STRANGERS: &'static [&'static str] = &[
        "SELECT 'posting_words, key ' || w.key || ': there is no such posting'
         FROM posting_words w
         WHERE NOT EXISTS (SELECT 1 FROM posting p WHERE p.key = w.key)
         ORDER BY w.key
         LIMIT $1",
        "SELECT 'the profile of customer ' || p.customer_id || ' stands under another customer'
         FROM profile p
         LEFT JOIN customer c ON c.customer = p.customer
         WHERE p.ledger_no IS NOT c.ledger_no
            OR p.customer_id IS NOT c.customer_id
         LIMIT $1",
        "SELECT 'lot ' || lower(hex(l.lot_id)) || ' stands under another ledger'
         FROM lot l
         LEFT JOIN customer c ON c.customer = l.customer
         WHERE l.ledger_no IS NOT c.ledger_no
         LIMIT $1",
        "SELECT 'order ' || order_id || ' of ' || storefront || ' points into another ledger'
         FROM purchase_order
         WHERE ledger_no IS NOT posting >> 40
         LIMIT $1",
        "SELECT 'posting ' || (key & 1099511627775) || ' of ledger number ' || (key >> 40) || ': there is no such ledger'
         FROM posting
         WHERE key >> 40 NOT IN (SELECT ledger_no FROM ledger)
         LIMIT $1",
        "SELECT 'account ' || account || ' of ledger ' || ledger_no || ': there is no such ledger'
         FROM system_account
         WHERE ledger_no NOT IN (SELECT ledger_no FROM ledger)
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
        _sql: &mut S,
        _ledger: LedgerNo,
        feed: Vec<Recorded>,
    ) -> Result<Vec<(Recorded, Timestamp)>, StoreError> {
        let counted = |recorded: Recorded| {
            let from = recorded.posting.recorded_at;
            (recorded, from)
        };
        Ok(feed.into_iter().map(counted).collect())
    }

    async fn hold_page<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        filter: HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        sql.run("BEGIN", &[]).await?;
        let page = lists::holds(sql, ledger, &filter, before, limit).await?;
        sql.run("COMMIT", &[]).await?;
        Ok(page)
    }

    async fn lot_page<S: Sql<Dialect = Self> + Send>(
        sql: &mut S,
        ledger: LedgerNo,
        filter: LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        sql.run("BEGIN", &[]).await?;
        let page = lists::lots(sql, ledger, &filter, before, limit).await?;
        sql.run("COMMIT", &[]).await?;
        Ok(page)
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
