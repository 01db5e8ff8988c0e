//! Loads what a batch names: first the locks, then what they guard. The number of statements does not depend on the
//! size of the batch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::columns::{placed_posting_columns, with_words};
use super::rows::{request_bytes, sql_ledger};
use super::work;
use crate::clock::watch::Watch;
use crate::ledger::alert::{DefaultAlerts, LedgerAlerts};
use crate::ledger::card::Cards;
use crate::ledger::{
    Book, Customer, CustomerKey, Hold, LedgerNo, OrderId, Posting, Profile, Request, Storefront, Timestamp,
};
use crate::store::cards::catch_up;
use crate::store::engine::Time;
use crate::store::error::{StoreError, damaged};
use crate::store::sql::cards;
use crate::store::sql::database::Sql as _;
use crate::store::sql::holds::hold;
use crate::store::sql::lots::{lot, lot_columns};
use crate::store::sql::row::{Param, Row};
use crate::store::sql::rows::{
    CUSTOMER_COLUMNS, PostingRow, body, customer, customer_columns, posting_columns,
};
use crate::store::stored::{
    burned_purchases, count_of, customer_id_of, decoded, ledger_no_of, named_lot, voids_of,
};

/// What a batch's stamp and ids are made of.
pub(super) struct Stamping<'a> {
    pub time: Time,
    /// Judges the database's clock.
    pub watch: &'a Watch,
    /// The caller's clock.
    pub clock: Timestamp,
    pub random: u64,
    /// The cards that the caller knows; brought up to date.
    pub cards: &'a mut Arc<Cards>,
}

/// What the server reports about itself.
struct Server {
    /// Its clock, read after the locks.
    clock: Timestamp,
    /// The newest revision of the rate cards.
    cards_revision: u64,
    /// The current default thresholds of the batch's ledgers.
    default_alerts: Arc<LedgerAlerts>,
}

/// Locks the customers of the requests, and fills a book with what they name. Runs in the batch's transaction;
/// returns the sequence of each customer as it was loaded.
///
/// # Errors
/// [`StoreError`]; the transaction must be rolled back.
pub(super) async fn load(
    connection: &mut PgConnection,
    requests: &[&Request],
    stamping: Stamping<'_>,
) -> Result<(Book, HashMap<CustomerKey, u64>), StoreError> {
    let keys: BTreeSet<CustomerKey> = requests.iter().map(|request| request.customer_key()).collect();
    let customers = lock_customers(connection, &keys).await?;
    let ledgers: BTreeSet<LedgerNo> = requests.iter().map(|request| request.ledger).collect();
    let (server, answers) = earlier_answers(connection, requests, &customers, &ledgers).await?;
    if server.cards_revision > stamping.cards.revision() {
        let changes = cards::changes(&mut *connection, stamping.cards.revision()).await?;
        catch_up(stamping.cards, &changes)?;
    }
    if server.cards_revision < stamping.cards.revision() {
        return Err(StoreError::Unusable(
            "the database has fewer rate cards than it had: a standby took over without them; start the server anew"
                .to_owned(),
        ));
    }
    let (clock, due_until) = match stamping.time {
        Time::Database => {
            let judged = stamping.watch.read(server.clock);
            (judged.now, judged.due_until)
        }
        Time::Caller => (stamping.clock, Timestamp::MAX),
    };
    let last = customers.values().map(|customer| customer.state.last_recorded_at.micros()).max();
    let stamp = clock.max(Timestamp::from_micros(last.map_or(i64::MIN, |last| last.saturating_add(1))));
    let mut book = Book::new(stamp, stamping.random, Arc::clone(stamping.cards));
    book.due_until = due_until;
    book.reserve(requests.len());
    book.put_default_alerts(server.default_alerts);
    let loaded = customers.iter().map(|(key, customer)| (*key, customer.sequence)).collect();
    load_holds(connection, requests, &customers, &answers, &mut book).await?;
    let voids = voids_of(&book, requests);
    work::load(connection, &mut book, &voids).await?;
    load_orders(connection, requests, &mut book).await?;
    load_lots(connection, requests, &mut book).await?;
    load_profiles(connection, requests, &mut book).await?;
    for posting in answers {
        book.put_request(posting);
    }
    for customer in customers.into_values() {
        book.put_customer(Arc::new(customer));
    }
    Ok((book, loaded))
}

/// Locks the customers that exist, in key order, and reads them under the lock. A customer that does not exist cannot
/// be locked; a second creation of it clashes at the insert.
pub(super) async fn lock_customers(
    connection: &mut PgConnection,
    keys: &BTreeSet<CustomerKey>,
) -> Result<BTreeMap<CustomerKey, Customer>, StoreError> {
    let raw: Vec<i64> = keys.iter().map(|key| key.raw()).collect();
    let text = concat!(
        "SELECT ",
        customer_columns!(),
        ", c.customer FROM customer c WHERE c.customer = ANY($1) ORDER BY c.customer FOR NO KEY UPDATE"
    );
    let read = |row: &dyn Row| Ok((CustomerKey::from_raw(row.get(CUSTOMER_COLUMNS)?), customer(row)?));
    Ok(connection.all(text, &[Param::Ints(&raw)], read).await?.into_iter().collect())
}

/// Which of these customers another transaction has locked. The locks that this takes end with the transaction.
pub(super) async fn locked_by_others(
    connection: &mut PgConnection,
    keys: &[CustomerKey],
) -> Result<BTreeSet<CustomerKey>, StoreError> {
    let raw: Vec<i64> = keys.iter().map(|key| key.raw()).collect();
    let read = |row: &dyn Row| Ok(CustomerKey::from_raw(row.get(0)?));
    let free = "SELECT c.customer
                FROM customer c
                WHERE c.customer = ANY($1)
                ORDER BY c.customer
                FOR NO KEY UPDATE SKIP LOCKED";
    let free = connection.all(free, &[Param::Ints(&raw)], read).await?;
    let exist = "SELECT c.customer FROM customer c WHERE c.customer = ANY($1)";
    let exist = connection.all(exist, &[Param::Ints(&raw)], read).await?;
    let mut locked: BTreeSet<CustomerKey> = exist.into_iter().collect();
    for key in free {
        locked.remove(&key);
    }
    Ok(locked)
}

/// Columns of the server's facts, which come before those of a posting.
const FACTS: usize = 3;

/// The server's facts after the locks, and the postings that answered these requests before. Only customers that were
/// locked are searched. If another one has come to exist meanwhile, its creation clashes, and the next attempt reads
/// it.
async fn earlier_answers(
    connection: &mut PgConnection,
    requests: &[&Request],
    customers: &BTreeMap<CustomerKey, Customer>,
    ledgers: &BTreeSet<LedgerNo>,
) -> Result<(Server, Vec<Arc<Posting>>), StoreError> {
    let (mut owners, mut kinds, mut ids) = (Vec::new(), Vec::new(), Vec::new());
    for request in requests {
        let key = request.customer_key();
        if let (Some(id), Some(kind), true) =
            (&request.request, request.command.kind(), customers.contains_key(&key))
        {
            owners.push(key.raw());
            kinds.push(i16::from(kind.code()));
            ids.push(request_bytes(id));
        }
    }
    // The server's facts come with every row, or alone where there is no earlier answer.
    let rows = sqlx::query(concat!(
        "SELECT server.clock, server.cards, server.alerts, ",
        placed_posting_columns!("NULL::bigint"),
        " FROM (
              SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT),
                     (SELECT COALESCE(MAX(revision), 0) FROM rate_card_change),
                     ARRAY(SELECT (SELECT d.body
                                   FROM default_alerts d
                                   WHERE d.ledger_no = l.ledger_no
                                   ORDER BY d.version DESC
                                   LIMIT 1)
                           FROM UNNEST($4::int[]) WITH ORDINALITY l(ledger_no, n)
                           ORDER BY l.n)
          ) server(clock, cards, alerts)
          LEFT JOIN (
              SELECT p.*
              FROM UNNEST($1::bigint[], $2::smallint[], $3::bytea[]) u(customer, kind, request)
              JOIN posting p ON p.customer = u.customer AND p.kind = u.kind AND p.request = u.request
          ) p ON TRUE",
        with_words!()
    ))
    .bind(owners)
    .bind(kinds)
    .bind(ids)
    .bind(ledgers.iter().map(|ledger| sql_ledger(*ledger)).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let first = rows.first().ok_or_else(|| damaged("the server says nothing of itself"))?;
    let clock = Timestamp::from_micros(first.try_get(0)?);
    let bodies: Vec<Option<Vec<u8>>> = first.try_get(2)?;
    let mut default_alerts = LedgerAlerts::new();
    for (ledger, body) in ledgers.iter().zip(bodies) {
        if let Some(body) = body {
            let default: DefaultAlerts = decoded(&body, "the thresholds of a ledger")?;
            default_alerts.insert(*ledger, Arc::new(default.alerts));
        }
    }
    let server = Server {
        clock,
        cards_revision: count_of(first.try_get(1)?, "the revision of rate cards")?,
        default_alerts: Arc::new(default_alerts),
    };
    let mut answers = Vec::new();
    for row in &rows {
        let row: &dyn Row = row;
        // The id is the sixth column of a posting; it is NULL where the row has no posting.
        if row.get::<Option<Uuid>>(FACTS + 5)?.is_some() {
            answers.push(PostingRow::read(row, FACTS)?.recorded()?.posting);
        }
    }
    Ok((server, answers))
}

/// Loads the holds that requests name by id or incident, and those of earlier answers in their present state. Also
/// loads holds that may move without being named: they are due, or wait for credits.
async fn load_holds(
    connection: &mut PgConnection,
    requests: &[&Request],
    customers: &BTreeMap<CustomerKey, Customer>,
    answers: &[Arc<Posting>],
    book: &mut Book,
) -> Result<(), StoreError> {
    let (mut ids, mut whole) = (BTreeSet::new(), BTreeSet::new());
    let mut incidents = BTreeSet::new();
    for request in requests {
        let keys = request.command.keys();
        if let Some(id) = keys.hold {
            if keys.whole_incident { &mut whole } else { &mut ids }.insert(id.uuid());
        }
        if let Some(incident) = keys.incident {
            incidents.insert((request.customer_key().raw(), incident.as_str()));
        }
    }
    ids.extend(answers.iter().filter_map(|posting| Some(posting.detail.hold.as_ref()?.id.uuid())));
    let is_watched = |customer: &&Customer| {
        customer.state.parked > 0 || customer.state.next_due.is_some_and(|due| due <= book.now)
    };
    let watched: Vec<i64> =
        customers.values().filter(is_watched).map(|customer| customer.key().raw()).collect();
    if ids.is_empty() && whole.is_empty() && incidents.is_empty() && watched.is_empty() {
        return Ok(());
    }
    let (owners, incidents): (Vec<i64>, Vec<&str>) = incidents.into_iter().unzip();
    let rows = sqlx::query(
        "SELECT h.body
         FROM hold h
         WHERE h.hold_id = ANY($1)
         UNION ALL
         SELECT h.body
         FROM hold named
         JOIN hold h ON h.customer = named.customer AND h.incident_id = named.incident_id
         WHERE named.hold_id = ANY($2)
         UNION ALL
         SELECT h.body
         FROM UNNEST($3::bigint[], $4::text[]) u(customer, incident_id)
         JOIN hold h ON h.customer = u.customer AND h.incident_id = u.incident_id
         UNION ALL
         SELECT h.body
         FROM hold h
         WHERE h.customer = ANY($5)
           AND h.watched",
    )
    .bind(ids.into_iter().collect::<Vec<Uuid>>())
    .bind(whole.into_iter().collect::<Vec<Uuid>>())
    .bind(owners)
    .bind(incidents)
    .bind(watched)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let hold: Hold = body(row, 0, "a hold")?;
        // A hold of another customer must look as if it did not exist. If that customer is locked too, the hold is
        // put under its own customer.
        if customers.get(&hold.customer_key()).is_some_and(|owner| owner.id == hold.customer) {
            book.put_hold(Arc::new(hold));
        }
    }
    Ok(())
}

/// Holds by their ids; missing ones are left out.
pub(super) async fn holds_by_id(
    connection: &mut PgConnection,
    ids: Vec<Uuid>,
) -> Result<Vec<Arc<Hold>>, StoreError> {
    let text = "SELECT h.body FROM hold h WHERE h.hold_id = ANY($1)";
    let rows = sqlx::query(text).bind(ids).fetch_all(connection).await?;
    rows.iter().map(|row| hold(row)).collect()
}

async fn load_orders(
    connection: &mut PgConnection,
    requests: &[&Request],
    book: &mut Book,
) -> Result<(), StoreError> {
    let mut orders: BTreeSet<(LedgerNo, &Storefront, &OrderId)> = BTreeSet::new();
    for request in requests {
        if let Some((storefront, order)) = request.command.keys().order {
            orders.insert((request.ledger, storefront, order));
        }
    }
    if orders.is_empty() {
        return Ok(());
    }
    let rows = sqlx::query(concat!(
        "SELECT o.storefront, o.order_id, ",
        placed_posting_columns!("NULL::bigint"),
        " FROM UNNEST($1::int[], $2::text[], $3::text[]) u(ledger_no, storefront, order_id)
          JOIN purchase_order o
            ON o.ledger_no = u.ledger_no AND o.storefront = u.storefront AND o.order_id = u.order_id
          JOIN posting p ON p.customer = o.customer AND p.sequence = o.sequence",
        with_words!()
    ))
    .bind(orders.iter().map(|order| sql_ledger(order.0)).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.1.as_str()).collect::<Vec<_>>())
    .bind(orders.iter().map(|order| order.2.as_str()).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    for row in rows {
        let (storefront, order): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        let posting = PostingRow::read(&row, 2)?.recorded()?.posting;
        let named = orders.iter().find(|named| {
            (named.0, named.1.as_str(), named.2.as_str()) == (posting.ledger, &*storefront, &*order)
        });
        if let Some((ledger, storefront, order)) = named {
            book.put_order((*ledger, (*storefront).clone(), (*order).clone()), posting);
        }
    }
    Ok(())
}

/// Loads purchases that their owners name, or whose credits they may give back; orders and holds were loaded before.
async fn load_lots(
    connection: &mut PgConnection,
    requests: &[&Request],
    book: &mut Book,
) -> Result<(), StoreError> {
    let named: BTreeSet<(i64, Uuid)> = requests
        .iter()
        .flat_map(|request| {
            let keys = request.command.keys();
            let named = keys.purchase.and_then(|purchase| named_lot(book, request.ledger, purchase));
            let burned = burned_purchases(book, request, &keys);
            named.into_iter().chain(burned).map(|id| (request.customer_key().raw(), id.uuid()))
        })
        .collect();
    if named.is_empty() {
        return Ok(());
    }
    let (owners, ids): (Vec<i64>, Vec<Uuid>) = named.into_iter().unzip();
    let rows = sqlx::query(concat!(
        "SELECT l.customer, ",
        lot_columns!(),
        " FROM UNNEST($1::bigint[], $2::uuid[]) u(customer, lot_id)
          JOIN lot l ON l.customer = u.customer AND l.lot_id = u.lot_id"
    ))
    .bind(owners)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let (lot, unused) = lot(row, 1)?;
        book.put_lot(CustomerKey::from_raw(row.try_get(0)?), lot, unused);
    }
    Ok(())
}

async fn load_profiles(
    connection: &mut PgConnection,
    requests: &[&Request],
    book: &mut Book,
) -> Result<(), StoreError> {
    let asked = requests.iter().filter(|request| request.command.keys().profile);
    let named: BTreeSet<(i32, &str)> =
        asked.map(|request| (sql_ledger(request.ledger), request.customer.as_str())).collect();
    if named.is_empty() {
        return Ok(());
    }
    let (ledgers, ids): (Vec<i32>, Vec<&str>) = named.into_iter().unzip();
    let rows = sqlx::query(
        "SELECT p.ledger_no, p.customer_id, p.profile
         FROM UNNEST($1::int[], $2::text[]) u(ledger_no, customer_id)
         JOIN profile p ON p.ledger_no = u.ledger_no AND p.customer_id = u.customer_id",
    )
    .bind(ledgers)
    .bind(ids)
    .fetch_all(connection)
    .await?;
    for row in &rows {
        let profile: Profile = body(row, 2, "a profile")?;
        let id = customer_id_of(row.try_get(1)?)?;
        let ledger: i32 = row.try_get(0)?;
        book.put_profile(CustomerKey::of(ledger_no_of(ledger.into())?, &id), profile);
    }
    Ok(())
}
