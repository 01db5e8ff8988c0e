//! What `verify` notices: every column of every table, changed in one row behind the server's back, and rows that are
//! gone or were never there. Each must be named.

use std::path::Path;
use std::sync::Arc;

use creditledger::audit;
use creditledger::ledger::card::{CardEdit, RateCard};
use creditledger::ledger::commands::{Command, NewWork, PurchaseCredits, RecordWork, SetCustomerTerms};
use creditledger::ledger::{Currency, LedgerNo, Money};
use creditledger::store::{OrderState, Room, open_to_read};
use rusqlite::{Connection, params};

use crate::desk::{
    START, adjust, charge, credits, estimate, grant, incident, new_work, place, place_parked, purchase,
    purchase_command, purchase_until, reverse, settle_capped, void, work,
};
use crate::orders::order;
use crate::rig::Rig;

/// A table, a row of it, and the words by which a fault of that row is known. Every column is changed in turn.
const ROWS: &[(&str, &str, &[&str])] = &[
    ("ledger", "ledger_no = 1", &["ledger"]),
    ("posting", "sequence = 6", &["osition 6", "posting 6 ", "posting 7 ", "posting 1006 "]),
    ("posting_words", "key = 6", &["osition 6", "posting 6 "]),
    (
        "customer",
        "customer_id = 'acme'",
        &["customer acme", "\"acme\"", "customer acmex", "no posting made it"],
    ),
    ("profile", "customer_id = 'acme'", &["customer acme", "profile"]),
    ("hold", "incident_id = 'i1'", &["hold "]),
    ("hold", "incident_id = 'parked'", &["hold "]),
    ("work", "voided = 0 AND counts_from IS NOT NULL", &["ntry of work "]),
    ("work", "voided = 1", &["ntry of work "]),
    ("lot", "order_id = 'o1'", &["lot "]),
    ("lot", "source = 2", &["lot "]),
    ("purchase_order", "order_id = 'o1'", &["order o1", "order \"o1", "order o1x"]),
    ("system_account", "account = 'revenue'", &["account revenue", "ledger "]),
    ("rate_card_change", "revision = 1", &["rate cards, revision "]),
    ("rate_card_change", "revision = 2", &["rate cards, revision "]),
    ("storefront_order", "state = 3", &["rder of a storefront ", " of a storefront: "]),
    ("storefront_order", "state = 1", &["rder of a storefront ", " of a storefront: "]),
    ("storefront_order_name", "name = 'cs_5'", &["name cs_5 of storefront web"]),
    ("storefront_payload", "TRUE", &["ayload of order "]),
    ("storefront_room", "TRUE", &["storefront web", "storefront webx", "room of a storefront"]),
    ("access_token", "revoked_at IS NULL", &["oken "]),
    ("access_token", "revoked_at IS NOT NULL", &["oken "]),
    ("audit_record", "kind = 2", &["udit record "]),
    ("audit_record", "kind = 1", &["udit record "]),
    ("audit_record_room", "TRUE", &["the room of audit records"]),
    ("posting_kind", "kind = 23", &["posting_kind"]),
    ("hold_state", "state = 3", &["hold_state"]),
    ("lot_source", "source = 1", &["lot_source"]),
    ("transfer_slot", "kind = 23 AND slot = 1", &["transfer_slot"]),
];

/// Columns that nothing else in the database repeats, or that a row's own check keeps as they are.
const ALONE: &[(&str, &str)] = &[
    ("ledger", "ledger_id"),
    ("ledger", "created_at"),
    ("ledger", "request"),
    ("audit_record_room", "only_row"),
    ("posting_words", "erased_at"),
    ("storefront_order_name", "name"),
];

/// What is more than a changed column, and the words by which it is known.
const DAMAGES: &[(&str, &str)] = &[
    ("DELETE FROM posting WHERE sequence = 6", "posting 7 "),
    ("DELETE FROM posting WHERE sequence = (SELECT MAX(sequence) FROM posting WHERE key < 1 << 40)", "acme"),
    ("DELETE FROM customer WHERE customer_id = 'acme'", "customers"),
    ("DELETE FROM profile WHERE customer_id = 'acme'", "acme"),
    ("DELETE FROM hold WHERE incident_id = 'i1'", "holds are stored"),
    ("DELETE FROM work WHERE voided = 0", "entries of work are stored"),
    (
        "INSERT INTO work SELECT hold_id, zeroblob(16), previous, voided, counts_from, counts_until, body FROM work LIMIT 1",
        "no posting recorded it",
    ),
    ("DELETE FROM lot WHERE order_id = 'o1'", "lots are stored"),
    ("DELETE FROM purchase_order WHERE order_id = 'o1'", "orders are stored"),
    ("DELETE FROM system_account WHERE account = 'revenue'", "account revenue"),
    ("DELETE FROM ledger WHERE ledger_no = 1", "ledger"),
    ("INSERT INTO system_account VALUES (0, 'sales:nowhere', 0)", "sales:nowhere"),
    (
        "INSERT INTO profile SELECT ledger_no, 'ghost', 7, profile FROM profile WHERE customer_id = 'acme'",
        "ghost",
    ),
    (
        "INSERT INTO purchase_order SELECT ledger_no, storefront, 'ghost', posting FROM purchase_order LIMIT 1",
        "ghost",
    ),
    ("UPDATE purchase_order SET posting = posting + (1 << 40) WHERE order_id = 'o1'", "order o1"),
    ("UPDATE posting SET request = CAST(request AS BLOB) WHERE sequence = 6", "posting 6 "),
    ("UPDATE posting SET fingerprint = fingerprint - 1 WHERE sequence = 6", "posting 6 "),
    ("UPDATE posting SET kind = 24 WHERE kind = 23", "posting "),
    (
        "UPDATE posting SET credits_1 = credits_1 + 1, available = available + 1 WHERE sequence = 2",
        "posting 2 ",
    ),
    ("DELETE FROM posting_words WHERE key = 6", "posting 6 of ledger number 0: missing field words"),
    (
        "INSERT INTO posting_words SELECT 999, words, NULL, checksum FROM posting_words LIMIT 1",
        "posting_words, key 999: there is no such posting",
    ),
    // Erased without the rows that repeat what was said.
    (
        "UPDATE posting_words SET words = NULL, erased_at = 1, checksum = NULL
         WHERE key IN (SELECT key FROM posting WHERE kind = 20)",
        "hold ",
    ),
    ("DELETE FROM rate_card_change WHERE revision = 1", "revision 2 follows 0"),
    ("DELETE FROM rate_card_change", "it pins rate card mine version 1, which is not there"),
    ("DELETE FROM storefront_order WHERE state = 3", "name cs_5 of storefront web finds no order of it"),
    ("DELETE FROM storefront_order WHERE state = 3", "payload of order "),
    (
        "DELETE FROM storefront_payload",
        "its room says 1 waiting, 1 due, 9 bytes, its orders come to 1 waiting, 1 due, 0 bytes",
    ),
    ("DELETE FROM storefront_room", "its room says 0 waiting, 0 due, 0 bytes, its orders come to 1 waiting"),
    (
        "INSERT INTO storefront_room VALUES (9, 'web', 0, 0, 0)",
        "web of ledger number 9: there is no such ledger",
    ),
    ("DELETE FROM audit_record WHERE kind = 2", "the room of audit records: it is not what they come to"),
    ("DELETE FROM audit_record_room", "the room of audit records"),
    ("UPDATE access_token SET used_at = used_at + 1", "its last use is no hour"),
    ("UPDATE storefront_order SET state = 4 WHERE state = 2", "unknown state 4"),
    ("UPDATE storefront_order SET storefront = 'no shop' WHERE state = 2", "its storefront must consist of"),
    (
        "UPDATE storefront_order_name SET name = name || char(7) WHERE name = 'cs_5'",
        "its name \"cs_5\\u{7}\" must",
    ),
    ("DROP TRIGGER posting_is_never_updated", "posting_is_never_updated"),
    ("DROP TRIGGER posting_words_are_only_erased", "posting_words_are_only_erased"),
    ("DROP VIEW transfer", "transfer"),
    ("DROP INDEX hold_watched", "hold_watched"),
    ("CREATE TRIGGER thief AFTER INSERT ON customer BEGIN DELETE FROM hold; END", "thief"),
];

/// A database with some of everything, closed.
async fn database() -> Rig {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    let price = Some(Money { currency: Currency::parse("EUR").unwrap(), minor_units: 5_000 });
    let priced =
        PurchaseCredits { price, expires_at: Some(START.plus_days(90)), ..purchase_command("o1", "20") };
    rig.ok(Command::PurchaseCredits(priced)).await;
    rig.ok(grant("2")).await;
    rig.ok(adjust("1")).await;
    rig.ok(place("i1", "2.5")).await;
    let began = NewWork { started_at: Some(START), ..new_work(90) };
    rig.ok(Command::RecordWork(RecordWork { hold: incident("i1"), work: began })).await;
    let wrong = rig.ok(work("i1", 5)).await.posting.id;
    rig.ok(void("i1", wrong)).await;
    rig.ok(settle_capped("i1")).await;
    rig.ok(reverse("i1", Some("1"))).await;
    rig.ok(charge("i2", 31)).await;
    let mine = RateCard::plain(crate::desk::id("mine"), credits("2"));
    rig.change_cards("card", CardEdit::Card(Arc::new(mine))).await;
    rig.change_cards("default", CardEdit::Default(crate::desk::id("mine"))).await;
    rig.ok(estimate("quoted", "1")).await;
    rig.ok(place_parked("parked", "99")).await;
    rig.ok(Command::SetCustomerTerms(SetCustomerTerms { charge: credits("1"), ..Default::default() })).await;
    rig.new_ledger("other").await;
    rig.new_customer("zeta").await;
    rig.ok(purchase_until("o2", "3", START.plus_days(9))).await;
    rig.ok(purchase("o3", "3")).await;
    let mut tx = rig.orders.begin(START).await.unwrap();
    tx.room(LedgerNo::MAIN, &crate::desk::id("web")).await.unwrap();
    let orders =
        [(3, "cs_3", OrderState::Settled), (4, "cs_4", OrderState::Due), (5, "cs_5", OrderState::Waiting)];
    let orders = orders.map(|(number, name, state)| order(number, &[name], state));
    tx.put(&orders).await.unwrap();
    tx.put_payload(orders[2].id, Some(b"{\"id\": 1}")).await.unwrap();
    let room = Room { waiting: 1, due: 1, payload_bytes: 9 };
    tx.put_room(LedgerNo::MAIN, &crate::desk::id("web"), room).await.unwrap();
    tx.commit().await.unwrap();
    crate::tokens::fill(&*rig.tokens).await;
    crate::records::fill(&*rig.records).await;
    rig.writer.close().await.unwrap();
    rig
}

/// Does the damage to a copy and returns what `verify` says, a fault a line.
async fn verified_after(rig: &Rig, damage: impl FnOnce(&Connection)) -> String {
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    std::fs::copy(rig.path(), &copy).unwrap();
    let connection = Connection::open(&copy).unwrap();
    damage(&connection);
    connection.close().unwrap();
    verify(&copy).await
}

async fn verify(database: &Path) -> String {
    let auditor = open_to_read(&format!("sqlite://{}", database.display())).await.unwrap();
    match audit::verify(&*auditor, |_| ()).await {
        Ok(report) => report.faults.join("\n"),
        Err(error) => error.to_string(),
    }
}

/// Runs `sql` as if the journal had no triggers; they are there again after it.
fn behind_the_triggers(connection: &Connection, sql: &str) {
    let triggers = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name";
    let mut statement = connection.prepare(triggers).unwrap();
    let triggers: Vec<String> =
        statement.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    connection
        .execute_batch(
            "DROP TRIGGER posting_is_never_updated; DROP TRIGGER posting_is_never_deleted;
             DROP TRIGGER rate_card_change_is_never_updated; DROP TRIGGER rate_card_change_is_never_deleted;
             DROP TRIGGER posting_words_are_only_erased; DROP TRIGGER posting_words_are_never_deleted;",
        )
        .unwrap();
    let changed = connection.execute(sql, params![]).unwrap_or_else(|error| panic!("{sql}: {error}"));
    assert!(changed > 0, "{sql} changed nothing");
    for trigger in triggers {
        connection.execute_batch(&trigger).unwrap();
    }
}

#[tokio::test]
async fn a_sound_database_is_clean() {
    let rig = database().await;
    assert_eq!(verify(&rig.path()).await, "");
}

#[tokio::test]
async fn a_lot_that_a_hold_covers_past_its_expiry_is_no_damage() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    rig.ok(purchase_until("o1", "3", START.plus_days(5))).await;
    rig.ok(place("i1", "3")).await;
    rig.now = START.plus_days(6);
    rig.rejected(Command::ApplyDue).await;
    rig.writer.close().await.unwrap();
    assert_eq!(verify(&rig.path()).await, "");
}

#[tokio::test]
async fn a_changed_column_is_named_with_its_row() {
    let rig = database().await;
    let connection = Connection::open(rig.path()).unwrap();
    let mut missed = Vec::new();
    for (table, row, names) in ROWS {
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        let mut columns = connection.prepare(&columns).unwrap();
        let columns = columns.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap);
        for column in columns.filter(|column| !ALONE.contains(&(table, column))) {
            let changed = format!(
                "CASE typeof({column})
                 WHEN 'blob' THEN CAST(substr({column}, 1, length({column}) - 2) ||
                     CASE substr({column}, -2, 1) WHEN x'01' THEN x'02' ELSE x'01' END ||
                     substr({column}, -1) AS BLOB)
                 WHEN 'text' THEN {column} || 'x'
                 WHEN 'null' THEN CASE WHEN '{column}' IN ('class', 'storefront', 'order_id', 'currency')
                     THEN 'x' WHEN '{column}' = 'body' OR '{column}' = 'previous' AND '{table}' IN ('hold', 'work') THEN zeroblob(16) ELSE 3 END
                 ELSE CASE WHEN '{column}' IN ('direct', 'settled', 'watched', 'voided') THEN 1 - {column}
                     WHEN '{column}' IN ('key', 'ledger_no', 'kind', 'state', 'source', 'slot', 'customer', 'revision')
                     THEN {column} + 1000 ELSE {column} + 1 END END"
            );
            let sql = format!("UPDATE {table} SET {column} = {changed} WHERE {row}");
            let told = verified_after(&rig, |copy| behind_the_triggers(copy, &sql)).await;
            if !names.iter().any(|name| told.contains(name)) {
                missed.push(format!("{table}.{column}: {told}"));
            }
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}

#[tokio::test]
async fn missing_and_strange_rows_are_named() {
    let rig = database().await;
    let mut missed = Vec::new();
    for (sql, name) in DAMAGES {
        let told = verified_after(&rig, |copy| {
            if sql.starts_with("DROP") || sql.starts_with("CREATE") {
                copy.execute_batch(sql).unwrap();
            } else {
                behind_the_triggers(copy, sql);
            }
        })
        .await;
        if !told.contains(name) {
            missed.push(format!("{sql}: {told}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
