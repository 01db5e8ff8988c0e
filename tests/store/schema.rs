//! The schemas: the same tables as the core, an append-only journal, views for people.

use std::collections::{BTreeMap, BTreeSet};

use creditledger::ledger::account::{Side, Slot};
use creditledger::ledger::kind::slots;
use creditledger::ledger::lot::LotSource;
use creditledger::ledger::{HoldState, Kind, LedgerNo};
use creditledger::store::{Position, StoreError, migrate, open_to_read};
use rusqlite::{Connection, ErrorCode};
use sqlx::{Connection as _, PgConnection};

use crate::desk::{adjust, charge, grant, place, purchase, reverse, settle, settle_capped, work};
use crate::rig::Rig;

fn open(rig: &Rig) -> Connection {
    Connection::open(rig.path()).unwrap()
}

fn names(database: &Connection, sql: &str) -> BTreeMap<u8, String> {
    let mut statement = database.prepare(sql).unwrap();
    statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap().map(Result::unwrap).collect()
}

/// Storefronts and some of everything that moves credits.
async fn some_of_everything(rig: &mut Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "5.25")).await;
    rig.ok(grant("0.0001")).await;
    rig.ok(adjust("1")).await;
    rig.ok(adjust("-0.5")).await;
    rig.ok(place("i1", "2.5")).await;
    rig.ok(work("i1", 90)).await;
    rig.ok(settle("i1")).await;
    rig.ok(place("i2", "1")).await;
    rig.ok(work("i2", 60)).await;
    rig.ok(settle_capped("i2")).await;
    rig.ok(reverse("i2", None)).await;
    rig.ok(charge("i3", 31)).await;
}

#[tokio::test]
async fn transfer_slots_are_those_of_the_core() {
    let rig = Rig::sqlite().await;
    let database = open(&rig);
    let mut statement = database.prepare("SELECT kind, slot, debit, credit FROM transfer_slot").unwrap();
    let rows = statement.query_map([], |row| {
        Ok((
            (row.get::<_, u8>(0)?, row.get::<_, u8>(1)?),
            (row.get::<_, String>(2)?, row.get::<_, String>(3)?),
        ))
    });
    let stored: BTreeMap<_, _> = rows.unwrap().map(Result::unwrap).collect();
    let name = |side| match side {
        Side::Available => "available",
        Side::Held => "held",
        Side::Receivable => "receivable",
        Side::Sales => "sales",
        Side::Promotions => "promotions",
        Side::Revenue => "revenue",
        Side::WriteOffs => "write_offs",
        Side::Adjustments => "adjustments",
        Side::Expired => "expired",
    };
    let mut expected = BTreeMap::new();
    for kind in Kind::ALL {
        for slot in Slot::ALL {
            if let Some((debit, credit)) = slots(*kind, slot) {
                let sides = (name(debit).to_owned(), name(credit).to_owned());
                expected.insert((kind.code(), u8::try_from(slot.index() + 1).unwrap()), sides);
            }
        }
    }
    assert_eq!(stored, expected);
}

#[tokio::test]
async fn names_are_those_of_the_core() {
    let rig = Rig::sqlite().await;
    let database = open(&rig);
    let kinds = Kind::ALL.iter().map(|kind| (kind.code(), kind.name().to_owned())).collect();
    assert_eq!(names(&database, "SELECT kind, name FROM posting_kind"), kinds);
    let states = HoldState::ALL.iter().map(|state| (state.code(), state.name().to_owned())).collect();
    assert_eq!(names(&database, "SELECT state, name FROM hold_state"), states);
    let sources = LotSource::ALL.iter().map(|source| (source.code(), source.name().to_owned())).collect();
    assert_eq!(names(&database, "SELECT source, name FROM lot_source"), sources);
}

const WITHOUT_A_KIND: &str = "DELETE FROM posting_kind WHERE name = 'PLACE_HOLD';
    DELETE FROM transfer_slot WHERE kind = (SELECT MIN(kind) FROM transfer_slot)";
const ANOTHER_NAME: &str = "UPDATE posting_kind SET name = 'OTHER' WHERE name = 'PLACE_HOLD'";
const NEWER_KIND: &str = "INSERT INTO posting_kind (kind, name) VALUES (200, 'OF_A_LATER_VERSION')";
const KINDS: &str = "SELECT COUNT(*) FROM posting_kind";

/// The tables of names follow from the core: a kind that is missing is put in by a start, and not by a reader.
#[tokio::test]
async fn a_kind_that_is_missing_is_put_in() {
    let rig = Rig::sqlite().await;
    let slots: i64 =
        open(&rig).query_row("SELECT COUNT(*) FROM transfer_slot", [], |row| row.get(0)).unwrap();
    open(&rig).execute_batch(WITHOUT_A_KIND).unwrap();
    let url = format!("sqlite://{}", rig.path().display());
    let faults = open_to_read(&url).await.unwrap().integrity().await.unwrap();
    assert!(faults.iter().any(|fault| fault.contains("posting_kind 23")), "{faults:?}");
    assert!(faults.iter().any(|fault| fault.contains("transfer_slot")), "{faults:?}");
    let kinds = |rig: &Rig| open(rig).query_row(KINDS, [], |row| row.get::<_, i64>(0)).unwrap();
    let all = i64::try_from(Kind::ALL.len()).unwrap();
    assert_eq!(kinds(&rig), all - 1);
    let mut rig = rig.reopen().await;
    assert_eq!(kinds(&rig), all);
    let again = open(&rig).query_row("SELECT COUNT(*) FROM transfer_slot", [], |row| row.get(0));
    assert_eq!(again, Ok(slots));
    assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
    // A row that contradicts the core is for a person, and one that it does not know is of a newer version.
    rig.writer.close().await.unwrap();
    for (change, complaint) in [(ANOTHER_NAME, "not that of this version"), (NEWER_KIND, "newer version")] {
        let copy = rig.path().with_file_name("copy.db");
        std::fs::copy(rig.path(), &copy).unwrap();
        Connection::open(&copy).unwrap().execute_batch(change).unwrap();
        let refused = migrate(&format!("sqlite://{}", copy.display())).await;
        assert!(
            matches!(&refused, Err(StoreError::Unusable(line))
                if line.contains("posting_kind") && line.contains(complaint)),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_kind_that_is_missing_is_put_in_on_postgres() {
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    migrate(&url).await.unwrap();
    let mut database = PgConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(WITHOUT_A_KIND).execute(&mut database).await.unwrap();
    let kinds = i64::try_from(Kind::ALL.len()).unwrap();
    migrate(&url).await.unwrap();
    let stored: i64 = sqlx::query_scalar(KINDS).fetch_one(&mut database).await.unwrap();
    assert_eq!(stored, kinds);
    assert_eq!(open_to_read(&url).await.unwrap().integrity().await.unwrap(), Vec::<String>::new());
    for (change, complaint) in [(NEWER_KIND, "newer version"), (ANOTHER_NAME, "not that of this version")] {
        sqlx::raw_sql(change).execute(&mut database).await.unwrap();
        let refused = migrate(&url).await;
        assert!(
            matches!(&refused, Err(StoreError::Unusable(line))
                if line.contains("posting_kind") && line.contains(complaint)),
            "{refused:?}"
        );
        sqlx::raw_sql("DELETE FROM posting_kind WHERE kind = 200").execute(&mut database).await.unwrap();
    }
}

#[tokio::test]
async fn the_journal_refuses_update_and_delete() {
    let mut rig = Rig::sqlite().await;
    some_of_everything(&mut rig).await;
    let database = open(&rig);
    for sql in [
        "UPDATE posting SET credits_1 = 1 WHERE sequence = 2",
        "UPDATE posting SET detail = detail",
        "DELETE FROM posting WHERE sequence = 2",
        "DELETE FROM posting",
    ] {
        let error = database.execute(sql, []).unwrap_err();
        assert_eq!(error.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}");
    }
    assert_eq!(rig.reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(13));
}

#[tokio::test]
async fn the_view_of_transfers_is_the_function_of_the_core() {
    let mut rig = Rig::sqlite().await;
    some_of_everything(&mut rig).await;
    let expected: Vec<(i64, String, String, i64)> = rig
        .reader
        .feed(LedgerNo::MAIN, Position(0), 100)
        .await
        .unwrap()
        .items
        .iter()
        .flat_map(|recorded| {
            recorded.posting.transfers().map(|transfer| {
                let sides = (transfer.debit.to_string(), transfer.credit.to_string());
                (recorded.position.0.cast_signed(), sides.0, sides.1, transfer.credits.units())
            })
        })
        .collect();
    let database = open(&rig);
    let mut statement = database
        .prepare(
            "SELECT position, debit_account, credit_account, credits FROM transfer ORDER BY position, slot",
        )
        .unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)));
    let shown: Vec<(i64, String, String, i64)> = rows.unwrap().map(Result::unwrap).collect();
    assert_eq!(shown, expected);
    assert!(shown.len() > 12);
}

#[tokio::test]
async fn people_read_decimals() {
    let mut rig = Rig::sqlite().await;
    some_of_everything(&mut rig).await;
    let database = open(&rig);
    let row = |sql: &str| -> Vec<String> {
        let mut statement = database.prepare(sql).unwrap();
        let columns = statement.column_count();
        let mut rows = statement.query([]).unwrap();
        let row = rows.next().unwrap().unwrap();
        (0..columns).map(|column| row.get::<_, String>(column).unwrap()).collect()
    };
    assert_eq!(
        row(
            "SELECT kind, customer_id, recorded_at, available, held, owed FROM posting_decimal WHERE sequence = 3"
        ),
        ["GRANT_CREDITS", "acme", "2026-01-01T00:00:03.000000Z", "5.2501", "0.0000", "0.0000"]
    );
    assert_eq!(
        row("SELECT debit_account, credit_account, credits FROM transfer_decimal WHERE sequence = 2"),
        ["sales:web", "available", "5.2500"]
    );
    let customer = rig.reader.customer(rig.key()).await.unwrap().unwrap();
    let units = customer.balances.available.units();
    assert_eq!(
        row("SELECT customer_id, available FROM customer_decimal"),
        ["acme".to_owned(), format!("{}.{:04}", units / 10_000, units % 10_000)]
    );
    assert_eq!(row("SELECT balance FROM trial_balance_decimal WHERE account = 'sales:web'"), ["-5.2500"]);
    assert_eq!(row("SELECT balance FROM trial_balance_decimal WHERE account = 'promotions'"), ["-0.0001"]);
    let sum: i64 =
        database.query_row("SELECT SUM(balance) FROM trial_balance", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 0);
}

/// The same on PostgreSQL, where positions come from the feed and what is not placed yet is added.
#[tokio::test]
async fn the_views_of_postgresql_say_the_same() {
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    let mut rig = Rig::open(&url).await;
    some_of_everything(&mut rig).await;
    let mut database = PgConnection::connect(&url).await.unwrap();
    // With and without places.
    let (mut sums, mut has_pending) = (BTreeSet::new(), true);
    while has_pending {
        let sum: Option<i64> = sqlx::query_scalar("SELECT CAST(SUM(balance) AS BIGINT) FROM trial_balance")
            .fetch_one(&mut database)
            .await
            .unwrap();
        sums.insert(sum);
        rig.reader.last_position(LedgerNo::MAIN).await.unwrap();
        has_pending = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pending)")
            .fetch_one(&mut database)
            .await
            .unwrap();
    }
    assert_eq!(sums, BTreeSet::from([Some(0)]));
    let feed = rig.reader.feed(LedgerNo::MAIN, Position(0), 100).await.unwrap().items;
    let expected: Vec<(i64, String, String, i64)> = feed
        .iter()
        .flat_map(|recorded| {
            recorded.posting.transfers().map(|transfer| {
                let sides = (transfer.debit.to_string(), transfer.credit.to_string());
                (recorded.position.0.cast_signed(), sides.0, sides.1, transfer.credits.units())
            })
        })
        .collect();
    let shown: Vec<(i64, String, String, i64)> = sqlx::query_as(
        "SELECT position, debit_account, credit_account, credits FROM transfer ORDER BY position, slot",
    )
    .fetch_all(&mut database)
    .await
    .unwrap();
    assert_eq!(shown, expected);
    assert!(shown.len() > 12);
    for (sql, expected) in [
        (
            "SELECT kind || ' ' || customer_id || ' ' || request_id || ' ' || position || ' ' || available || ' ' || owed
             FROM posting_decimal WHERE sequence = 3",
            "GRANT_CREDITS acme request 3 3 5.2501 0.0000",
        ),
        (
            "SELECT debit_account || ' ' || credit_account || ' ' || credits FROM transfer_decimal WHERE sequence = 2",
            "sales:web available 5.2500",
        ),
        ("SELECT customer_id || ' ' || sequence FROM customer_decimal", "acme 13"),
        ("SELECT CAST(balance AS TEXT) FROM trial_balance_decimal WHERE account = 'sales:web'", "-5.2500"),
        ("SELECT CAST(balance AS TEXT) FROM trial_balance_decimal WHERE account = 'promotions'", "-0.0001"),
    ] {
        let shown: String = sqlx::query_scalar(sql).fetch_one(&mut database).await.unwrap();
        assert_eq!(shown, expected);
    }
}
