//! The schema's part of the engine's check of itself. Tables, columns, indexes, views, and the triggers of
//! append-only tables must be those of the migrations. The rows of the tables that only name things are compared too.
//!
//! Not compared:
//! - the text of views, because each version of PostgreSQL prints it differently; names and types of their columns
//!   are compared
//! - defaults of columns, and CHECK constraints
//! - additional objects, which may be an operator's own

use std::collections::BTreeSet;

use sqlx::PgConnection;

use crate::store::checks::Faults;
use crate::store::error::StoreError;
use crate::store::sql::database::Sql;
use crate::store::sql::names;
use crate::store::sql::row::{Param, Row};

/// Tables and views with their columns, and indexes, as in [`made`]. The collation of a column is compared for tables
/// only.
const SHAPES: &str = "
    SELECT CASE c.relkind WHEN 'v' THEN 'view ' ELSE 'table ' END || c.relname,
           STRING_AGG(
               a.attname || ' ' || FORMAT_TYPE(a.atttypid, a.atttypmod)
                   || CASE WHEN c.relkind <> 'v' AND o.collname <> 'default' THEN ' ' || o.collname ELSE '' END
                   || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END,
               ', ' ORDER BY a.attnum)
    FROM pg_class c
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    LEFT JOIN pg_collation o ON o.oid = a.attcollation
    WHERE c.relkind IN ('r', 'p', 'v')
      AND c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE
    GROUP BY c.relkind, c.relname
    UNION ALL
    SELECT 'index ' || c.relname,
           PG_GET_INDEXDEF(i.indexrelid, 0, TRUE) || CASE WHEN i.indisvalid THEN '' ELSE ', not valid' END
    FROM pg_index i
    JOIN pg_class c ON c.oid = i.indexrelid
    WHERE c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE";

/// The migrations that were run. Read alone: engines that spread tables over machines keep this one on a single one.
const MIGRATED: &str = "
    SELECT version
    FROM _sqlx_migrations
    WHERE success
    ORDER BY version";

/// The guards of these migrations that are missing or disabled. A database that does not support them runs without the
/// journal's migration.
const GUARDS: &str = "
    SELECT wanted.name
    FROM (VALUES (2, 'posting_is_append_only', 'posting'), (3, 'rate_cards_are_append_only', 'rate_card_change'),
                 (8, 'posting_words_are_only_erased', 'posting_words'))
         wanted(version, name, guarded)
    WHERE wanted.version = ANY($1)
      AND NOT EXISTS (
          SELECT 1
          FROM pg_trigger t
          JOIN pg_class c ON c.oid = t.tgrelid
          WHERE t.tgname = wanted.name
            AND t.tgenabled IN ('O', 'A')
            AND c.relname = wanted.guarded
            AND c.relnamespace = CURRENT_SCHEMA()::REGNAMESPACE
      )
    ORDER BY wanted.version";

/// What the migrations create.
const MADE: &str = "
index access_token_pkey: CREATE UNIQUE INDEX access_token_pkey ON access_token USING btree (token_id)
index access_token_request: CREATE UNIQUE INDEX access_token_request ON access_token USING btree (request)
index access_token_revision_pkey: CREATE UNIQUE INDEX access_token_revision_pkey ON access_token_revision USING btree (only_row)
index access_token_sha256: CREATE UNIQUE INDEX access_token_sha256 ON access_token USING btree (sha256)
index audit_record_kind: CREATE INDEX audit_record_kind ON audit_record USING btree (kind, record_id)
index audit_record_pkey: CREATE UNIQUE INDEX audit_record_pkey ON audit_record USING btree (record_id)
index audit_record_room_pkey: CREATE UNIQUE INDEX audit_record_room_pkey ON audit_record_room USING btree (only_row)
index audit_record_subject: CREATE INDEX audit_record_subject ON audit_record USING btree (subject, record_id) WHERE subject IS NOT NULL
index customer_due: CREATE INDEX customer_due ON customer USING btree (next_due, customer) WHERE next_due IS NOT NULL
index customer_pkey: CREATE UNIQUE INDEX customer_pkey ON customer USING btree (customer)
index default_alerts_pkey: CREATE UNIQUE INDEX default_alerts_pkey ON default_alerts USING btree (ledger_no, version)
index default_alerts_request: CREATE UNIQUE INDEX default_alerts_request ON default_alerts USING btree (ledger_no, request)
index feed_batch: CREATE UNIQUE INDEX feed_batch ON feed USING btree (batch, ledger_no)
index feed_end_pkey: CREATE UNIQUE INDEX feed_end_pkey ON feed_end USING btree (ledger_no)
index feed_pkey: CREATE UNIQUE INDEX feed_pkey ON feed USING btree (ledger_no, first_position)
index hold_id: CREATE UNIQUE INDEX hold_id ON hold USING btree (hold_id)
index hold_incident: CREATE INDEX hold_incident ON hold USING btree (incident_id, hold_id)
index hold_pkey: CREATE UNIQUE INDEX hold_pkey ON hold USING btree (customer, incident_id, hold_id)
index hold_state_name_key: CREATE UNIQUE INDEX hold_state_name_key ON hold_state USING btree (name)
index hold_state_pkey: CREATE UNIQUE INDEX hold_state_pkey ON hold_state USING btree (state)
index hold_watched: CREATE INDEX hold_watched ON hold USING btree (customer) WHERE watched
index ledger_ledger_id_key: CREATE UNIQUE INDEX ledger_ledger_id_key ON ledger USING btree (ledger_id)
index ledger_pkey: CREATE UNIQUE INDEX ledger_pkey ON ledger USING btree (ledger_no)
index ledger_request_key: CREATE UNIQUE INDEX ledger_request_key ON ledger USING btree (request)
index lot_id: CREATE UNIQUE INDEX lot_id ON lot USING btree (lot_id)
index lot_pkey: CREATE UNIQUE INDEX lot_pkey ON lot USING btree (customer, lot_id)
index lot_source_name_key: CREATE UNIQUE INDEX lot_source_name_key ON lot_source USING btree (name)
index lot_source_pkey: CREATE UNIQUE INDEX lot_source_pkey ON lot_source USING btree (source)
index pending_pkey: CREATE UNIQUE INDEX pending_pkey ON pending USING btree (stamp, batch, ledger_no)
index posting_kind_name_key: CREATE UNIQUE INDEX posting_kind_name_key ON posting_kind USING btree (name)
index posting_kind_pkey: CREATE UNIQUE INDEX posting_kind_pkey ON posting_kind USING btree (kind)
index posting_pkey: CREATE UNIQUE INDEX posting_pkey ON posting USING btree (customer, sequence)
index posting_request: CREATE UNIQUE INDEX posting_request ON posting USING btree (customer, kind, request) WHERE request IS NOT NULL
index posting_words_pkey: CREATE UNIQUE INDEX posting_words_pkey ON posting_words USING btree (customer, sequence)
index profile_pkey: CREATE UNIQUE INDEX profile_pkey ON profile USING btree (ledger_no, customer_id)
index purchase_order_pkey: CREATE UNIQUE INDEX purchase_order_pkey ON purchase_order USING btree (ledger_no, storefront, order_id)
index rate_card_change_pkey: CREATE UNIQUE INDEX rate_card_change_pkey ON rate_card_change USING btree (revision)
index rate_card_change_request: CREATE UNIQUE INDEX rate_card_change_request ON rate_card_change USING btree (ledger_no, kind, request)
index sequencer_pkey: CREATE UNIQUE INDEX sequencer_pkey ON sequencer USING btree (only_row)
index server_clock_pkey: CREATE UNIQUE INDEX server_clock_pkey ON server_clock USING btree (only_row)
index storefront_order_due: CREATE INDEX storefront_order_due ON storefront_order USING btree (due_at, order_id) WHERE state = 2
index storefront_order_name_order: CREATE INDEX storefront_order_name_order ON storefront_order_name USING btree (order_id, name)
index storefront_order_name_pkey: CREATE UNIQUE INDEX storefront_order_name_pkey ON storefront_order_name USING btree (ledger_no, storefront, name)
index storefront_order_pkey: CREATE UNIQUE INDEX storefront_order_pkey ON storefront_order USING btree (order_id)
index storefront_order_waiting: CREATE INDEX storefront_order_waiting ON storefront_order USING btree (ledger_no, order_id) WHERE state = 3
index storefront_order_waiting_of: CREATE INDEX storefront_order_waiting_of ON storefront_order USING btree (ledger_no, storefront, order_id) WHERE state = 3
index storefront_payload_pkey: CREATE UNIQUE INDEX storefront_payload_pkey ON storefront_payload USING btree (order_id)
index storefront_room_pkey: CREATE UNIQUE INDEX storefront_room_pkey ON storefront_room USING btree (ledger_no, storefront)
index system_account_pkey: CREATE UNIQUE INDEX system_account_pkey ON system_account USING btree (ledger_no, account)
index transfer_slot_pkey: CREATE UNIQUE INDEX transfer_slot_pkey ON transfer_slot USING btree (kind, slot)
index unfinished_copy_pkey: CREATE UNIQUE INDEX unfinished_copy_pkey ON unfinished_copy USING btree (only_row)
index unfinished_step_pkey: CREATE UNIQUE INDEX unfinished_step_pkey ON unfinished_step USING btree (step)
index webhook_delivery_pkey: CREATE UNIQUE INDEX webhook_delivery_pkey ON webhook_delivery USING btree (endpoint_id, is_dead, \"position\", place)
index webhook_endpoint_pkey: CREATE UNIQUE INDEX webhook_endpoint_pkey ON webhook_endpoint USING btree (endpoint_id)
index webhook_relay_pkey: CREATE UNIQUE INDEX webhook_relay_pkey ON webhook_relay USING btree (relay_id)
index webhook_request_pkey: CREATE UNIQUE INDEX webhook_request_pkey ON webhook_request USING btree (ledger_no, method, request)
index work_first: CREATE INDEX work_first ON work USING btree (hold_id, counts_from) WHERE counts_from IS NOT NULL
index work_last: CREATE INDEX work_last ON work USING btree (hold_id, counts_until) WHERE counts_until IS NOT NULL
index work_pkey: CREATE UNIQUE INDEX work_pkey ON work USING btree (hold_id, work_id)
table access_token: token_id uuid NOT NULL, sha256 bytea NOT NULL, request bytea NOT NULL, expires_at bigint NOT NULL, revoked_at bigint, used_at bigint, body bytea NOT NULL, checksum bigint NOT NULL
table access_token_revision: only_row boolean NOT NULL, revision bigint NOT NULL
table audit_record: record_id uuid NOT NULL, kind smallint NOT NULL, subject text C, body bytea NOT NULL, checksum bigint NOT NULL
table audit_record_room: only_row boolean NOT NULL, records bigint NOT NULL, bytes bigint NOT NULL
table customer: customer bigint NOT NULL, ledger_no integer NOT NULL, customer_id text C NOT NULL, sequence bigint NOT NULL, available bigint NOT NULL, held bigint NOT NULL, owed bigint NOT NULL, next_due bigint, state bytea NOT NULL
table default_alerts: ledger_no integer NOT NULL, version integer NOT NULL, request bytea NOT NULL, set_at bigint NOT NULL, body bytea NOT NULL
table feed: ledger_no integer NOT NULL, first_position bigint NOT NULL, batch uuid NOT NULL, counts_from bigint NOT NULL, customers bigint[] NOT NULL, sequences bigint[] NOT NULL
table feed_end: ledger_no integer NOT NULL, position bigint NOT NULL
table hold: customer bigint NOT NULL, incident_id text C NOT NULL, hold_id uuid NOT NULL, ledger_no integer NOT NULL, previous uuid, state smallint NOT NULL, direct boolean NOT NULL, class text C, settled boolean NOT NULL, estimated bigint NOT NULL, charged bigint, created_at bigint NOT NULL, watched boolean NOT NULL, body bytea NOT NULL
table hold_state: state smallint NOT NULL, name text NOT NULL
table ledger: ledger_no integer NOT NULL, ledger_id text C NOT NULL, created_at bigint NOT NULL, request bytea
table lot: customer bigint NOT NULL, lot_id uuid NOT NULL, ledger_no integer NOT NULL, source smallint NOT NULL, storefront text C, order_id text C, credits bigint NOT NULL, repaid bigint NOT NULL, price_minor bigint, currency text C, expires_at bigint, created_at bigint NOT NULL, body bytea NOT NULL, expired bigint NOT NULL, expired_minor bigint NOT NULL, adjusted bigint NOT NULL, adjusted_minor bigint NOT NULL
table lot_source: source smallint NOT NULL, name text NOT NULL
table pending: stamp bigint NOT NULL, batch uuid NOT NULL, ledger_no integer NOT NULL, customers bigint[] NOT NULL, sequences bigint[] NOT NULL, accounts text[] NOT NULL, amounts bigint[] NOT NULL
table posting: customer bigint NOT NULL, sequence bigint NOT NULL, ledger_no integer NOT NULL, kind smallint NOT NULL, posting_id uuid NOT NULL, batch uuid NOT NULL, place integer NOT NULL, recorded_at bigint NOT NULL, request bytea, fingerprint bigint NOT NULL, credits_1 bigint NOT NULL, credits_2 bigint NOT NULL, credits_3 bigint NOT NULL, credits_4 bigint NOT NULL, expired bigint NOT NULL, repaid bigint NOT NULL, activated bigint NOT NULL, available bigint NOT NULL, held bigint NOT NULL, owed bigint NOT NULL, storefront text C, detail bytea NOT NULL, checksum bigint NOT NULL
table posting_kind: kind smallint NOT NULL, name text NOT NULL
table posting_words: customer bigint NOT NULL, sequence bigint NOT NULL, words bytea, erased_at bigint, checksum bigint
table profile: ledger_no integer NOT NULL, customer_id text C NOT NULL, customer bigint NOT NULL, profile bytea NOT NULL
table purchase_order: ledger_no integer NOT NULL, storefront text C NOT NULL, order_id text C NOT NULL, customer bigint NOT NULL, sequence bigint NOT NULL
table rate_card_change: revision bigint NOT NULL, ledger_no integer NOT NULL, kind smallint NOT NULL, card_id text C NOT NULL, version integer, body bytea, recorded_at bigint NOT NULL, request bytea NOT NULL, fingerprint bigint NOT NULL, made_by text C NOT NULL, checksum bigint NOT NULL
table sequencer: only_row boolean NOT NULL, turn bigint NOT NULL, watermark bigint NOT NULL, holder uuid NOT NULL, held_until bigint NOT NULL
table server_clock: only_row boolean NOT NULL, heartbeat_at bigint, doubted boolean NOT NULL, confirmed_at bigint, confirmed_over bigint
table storefront_order: order_id uuid NOT NULL, ledger_no integer NOT NULL, storefront text C NOT NULL, state smallint NOT NULL, due_at bigint NOT NULL, revision bigint NOT NULL, body bytea NOT NULL, checksum bigint NOT NULL
table storefront_order_name: ledger_no integer NOT NULL, storefront text C NOT NULL, name text C NOT NULL, order_id uuid NOT NULL
table storefront_payload: order_id uuid NOT NULL, payload bytea NOT NULL, checksum bigint NOT NULL
table storefront_room: ledger_no integer NOT NULL, storefront text C NOT NULL, waiting bigint NOT NULL, due bigint NOT NULL, payload_bytes bigint NOT NULL
table system_account: ledger_no integer NOT NULL, account text C NOT NULL, balance numeric(38,0) NOT NULL
table transfer_slot: kind smallint NOT NULL, slot smallint NOT NULL, debit text NOT NULL, credit text NOT NULL
table unfinished_copy: only_row boolean NOT NULL, started_at bigint NOT NULL
table unfinished_step: step text NOT NULL, done_to uuid
table webhook_delivery: endpoint_id uuid NOT NULL, is_dead boolean NOT NULL, position bigint NOT NULL, place integer NOT NULL, body bytea NOT NULL
table webhook_endpoint: endpoint_id uuid NOT NULL, body bytea NOT NULL
table webhook_relay: relay_id uuid NOT NULL, there_until bigint NOT NULL
table webhook_request: ledger_no integer NOT NULL, method smallint NOT NULL, request bytea NOT NULL, body bytea NOT NULL
table work: hold_id uuid NOT NULL, work_id uuid NOT NULL, previous uuid, voided boolean NOT NULL, counts_from bigint, counts_until bigint, body bytea NOT NULL
view customer_decimal: ledger_id text, customer_id text, sequence bigint, available numeric, held numeric, owed numeric
view money_balance: ledger_no integer, currency text, account text, balance bigint
view posting_decimal: ledger_id text, position bigint, customer_id text, sequence bigint, kind text, recorded_at timestamp with time zone, request_id text, posting_id uuid, available numeric, held numeric, owed numeric
view transfer: ledger_no integer, position bigint, posting_id uuid, customer bigint, sequence bigint, slot smallint, recorded_at bigint, debit_account text, credit_account text, credits bigint
view transfer_decimal: ledger_id text, position bigint, customer_id text, sequence bigint, debit_account text, credit_account text, credits numeric
view trial_balance: ledger_no integer, account text, balance bigint
view trial_balance_decimal: ledger_id text, account text, balance numeric
";

/// Compares with what the migrations make.
///
/// # Errors
/// [`StoreError`] where the database cannot be read.
pub(super) async fn check(sql: &mut PgConnection, faults: &mut Faults) -> Result<(), StoreError> {
    let read = |row: &dyn Row| Ok((row.get::<String>(0)?, row.get::<String>(1)?));
    let stored: BTreeSet<_> = sql.all(SHAPES, &[], read).await?.into_iter().collect();
    for (name, _) in made().difference(&stored) {
        faults.expect(false, || format!("schema: {name} is not there as the migrations made it"));
    }
    // Tables that differ cannot be read reliably.
    if !faults.are_none() {
        return Ok(());
    }
    let migrated = sql.all(MIGRATED, &[], |row| row.get::<i64>(0)).await?;
    for name in sql.all(GUARDS, &[Param::Ints(&migrated)], |row| row.get::<String>(0)).await? {
        faults.expect(false, || format!("schema: trigger {name} is not there as the migrations made it"));
    }
    names::check(sql, faults).await
}

/// What the migrations create, one line each.
fn made() -> BTreeSet<(String, String)> {
    let lines = MADE.lines().filter_map(|line| line.split_once(": "));
    lines.map(|(name, shape)| (name.to_owned(), shape.to_owned())).collect()
}
