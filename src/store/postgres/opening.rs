//! Opens a database: to serve, to read, to fill it from another one, or to migrate it.

use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::audit::PgAudit;
use super::connect::Address;
use super::copy::{PgCopier, refuse_servers};
use super::errors::{not_answered, why};
use super::migrating::{Schema, run_migrations, schema_of};
use super::read::PgReaders;
use super::sequencer::Sequencer;
use super::side::{OneConnection, PgSide};
use super::tend::{Signals, Tending};
use super::write::PgWriter;
use crate::clock::watch::Watch;
use crate::ledger::Timestamp;
use crate::store::clock::ClockStore;
use crate::store::engine::{Engine, EngineClock, Settings, Time};
use crate::store::error::StoreError;
use crate::store::gauges::Gauges;
use crate::store::sql::audit::SqlAudit;
use crate::store::sql::clock;
use crate::store::sql::figures::SqlFigures;
use crate::store::sql::reader::SqlReader;
use crate::store::sql::records::SqlRecords;
use crate::store::sql::side::SideStore;
use crate::store::sql::tokens::SqlTokens;
use crate::store::write_store::WriteStore;

/// Opens the database to serve; creates and migrates its tables where needed.
///
/// # Errors
/// [`StoreError::Unusable`] with one line for the operator.
pub async fn open(address: Address, now: Timestamp, settings: &Settings) -> Result<Engine, StoreError> {
    let mut connection = address.connect_first().await?;
    run_migrations(&address, &mut connection).await?;
    check_privileges(&address, &mut connection).await?;
    address.refuse_unfinished_copy(&mut connection).await?;
    warn_of_lost_commits(&mut connection).await?;
    // The migration cannot know the creation time of main.
    sqlx::query("UPDATE ledger SET created_at = $1 WHERE ledger_no = 0 AND created_at = 0")
        .bind(now.micros())
        .execute(&mut connection)
        .await?;
    let me: Uuid = sqlx::query_scalar("SELECT gen_random_uuid()").fetch_one(&mut connection).await?;
    let watch = Arc::new(Watch::default());
    if let (Some(gap_max), Time::Database) = (settings.clock_gap_max, settings.time) {
        // Before anything asks for the time: the sequencer's watermark, too, is made of it.
        let (known, clock) = clock::known(&mut connection, now).await?;
        watch.begin(&known, gap_max, clock);
    }
    let address = Arc::new(address);
    let signals = Signals::new();
    let sequencer = Arc::new(Sequencer::new(Arc::clone(&address), *settings, Arc::clone(&watch), me));
    let gauges = Gauges::Postgres(sequencer.gauges());
    let lane = || -> Box<dyn WriteStore> {
        Box::new(PgWriter::new(Arc::clone(&address), *settings, Arc::clone(&watch), signals.clone()))
    };
    let writers: Vec<_> = (0..settings.lanes.max(1)).map(|_| lane()).collect();
    let tending = Tending::start(Arc::clone(&sequencer), signals.clone());
    let reader = Arc::new(SqlReader(PgReaders::new(Arc::clone(&address), sequencer, tending)));
    let audit = Arc::new(SqlAudit(PgAudit::open(&address)));
    let clocked = || (Arc::clone(&address), settings.time, Arc::clone(&watch));
    let (webhooks, orders) = (PgSide::for_webhooks(clocked()), PgSide::for_orders(clocked()));
    let (webhooks, orders) = (Arc::new(SideStore(webhooks)), Arc::new(SideStore(orders)));
    let side = || SideStore(PgSide::for_access(clocked()));
    let tokens = Arc::new(SqlTokens { reader: Arc::clone(&reader), side: side() });
    let records = Arc::new(SqlRecords { reader: Arc::clone(&reader), side: side() });
    // It shares the connection of the webhooks: both need it for moments.
    let rows = Arc::clone(&webhooks) as Arc<dyn ClockStore>;
    let clock = EngineClock { source: settings.time, watch: Arc::clone(&watch), rows };
    let notifier = signals.notifier();
    Ok(Engine { writers, reader, audit, webhooks, orders, tokens, records, notifier, gauges, clock })
}

/// Opens what `verify` reads; servers may be running. The database must have this version's schema.
pub async fn open_to_read(address: Address) -> Result<SqlAudit<PgAudit>, StoreError> {
    let mut connection = address.connect_first().await?;
    refuse_older(&address, &mut connection).await?;
    Ok(SqlAudit(PgAudit::open(&address)))
}

/// Refuses a database without this version's schema, and an unfinished copy.
async fn refuse_older(address: &Address, connection: &mut PgConnection) -> Result<(), StoreError> {
    if schema_of(address, connection).await? != Schema::Current {
        return Err(StoreError::Unusable(format!(
            "{} has no schema or an older one; run \"creditledger migrate\" first",
            address.shown()
        )));
    }
    address.refuse_unfinished_copy(connection).await
}

/// What a server looks like before it is used.
pub struct Seen {
    pub version: String,
    pub now: Timestamp,
    /// What reads it, where it has this version's schema.
    pub audit: Option<PgAudit>,
}

/// Looks at a database without changing it.
///
/// # Errors
/// As [`open`], but an older schema is accepted.
pub async fn look(address: Address) -> Result<Seen, StoreError> {
    let mut connection = address.connect_first().await?;
    let (version, now): (String, i64) = sqlx::query_as(
        "SELECT 'PostgreSQL ' || current_setting('server_version'),
                CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
    )
    .fetch_one(&mut connection)
    .await?;
    let is_current = schema_of(&address, &mut connection).await? == Schema::Current;
    if is_current {
        check_privileges(&address, &mut connection).await?;
        address.refuse_unfinished_copy(&mut connection).await?;
    }
    let audit = is_current.then(|| PgAudit::open(&address));
    Ok(Seen { version, now: Timestamp::from_micros(now), audit })
}

/// Opens a database to be filled from another one; creates and migrates its tables where needed.
///
/// # Errors
/// As [`open`], but an unfinished copy is accepted.
pub async fn open_for_copy(address: Address) -> Result<(PgCopier, SqlAudit<PgAudit>), StoreError> {
    let address = address.for_copies();
    let mut connection = address.connect_first().await?;
    run_migrations(&address, &mut connection).await?;
    check_privileges(&address, &mut connection).await?;
    refuse_servers(&address, &mut connection).await?;
    let audit = SqlAudit(PgAudit::open(&address));
    let writer = PgWriter::new(Arc::new(address), Settings::default(), Arc::default(), Signals::new());
    Ok((PgCopier::new(writer), audit))
}

/// Keeps that an operator has confirmed the database's clock, and returns what it shows. Servers may be running.
///
/// # Errors
/// As [`open_to_read`].
pub async fn confirm_clock(address: Address) -> Result<Timestamp, StoreError> {
    let mut connection = address.connect_first().await?;
    refuse_older(&address, &mut connection).await?;
    sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut connection).await?;
    let confirmed = clock::confirm(&mut connection, Timestamp::default()).await?;
    sqlx::raw_sql("COMMIT").execute(&mut connection).await.map_err(not_answered)?;
    Ok(confirmed)
}

/// Opens the figures of a database.
///
/// # Errors
/// [`StoreError`] where it cannot be reached.
pub async fn open_figures(address: Address) -> Result<SqlFigures<OneConnection>, StoreError> {
    let mut connection = address.connect().await?;
    // Reading a journal of many millions takes longer than the time-out of a server.
    sqlx::raw_sql("SET statement_timeout = 0").execute(&mut connection).await?;
    Ok(SqlFigures(OneConnection::new(connection)))
}

/// Brings the schema up to date and does nothing else.
pub async fn migrate(address: Address) -> Result<(), StoreError> {
    let mut connection = address.connect_first().await?;
    run_migrations(&address, &mut connection).await?;
    address.refuse_unfinished_copy(&mut connection).await
}

/// Refuses what would fail at the first command: a role that may not write, or a replica.
async fn check_privileges(address: &Address, connection: &mut PgConnection) -> Result<(), StoreError> {
    let unusable = |what: String| address.unusable(&what);
    let (replica, denied): (bool, Option<String>) = sqlx::query_as(
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
                (SELECT string_agg(right_to || ' on ' || wanted.name, ', ')
                 FROM (VALUES ('ledger', 'SELECT INSERT UPDATE'), ('posting', 'SELECT INSERT'), ('posting_words', 'SELECT INSERT'),
                              ('customer', 'SELECT INSERT UPDATE'), ('profile', 'SELECT INSERT UPDATE'),
                              ('hold', 'SELECT INSERT UPDATE'), ('work', 'SELECT INSERT UPDATE'),
                              ('lot', 'SELECT INSERT UPDATE'),
                              ('purchase_order', 'SELECT INSERT'), ('pending', 'SELECT INSERT DELETE'),
                              ('feed', 'SELECT INSERT'), ('feed_end', 'SELECT INSERT UPDATE'),
                              ('sequencer', 'SELECT UPDATE'), ('system_account', 'SELECT INSERT UPDATE'),
                              ('default_alerts', 'SELECT INSERT'),
                              ('webhook_endpoint', 'SELECT INSERT UPDATE DELETE'),
                              ('webhook_delivery', 'SELECT INSERT DELETE'),
                              ('webhook_request', 'SELECT INSERT'),
                              ('webhook_relay', 'SELECT INSERT UPDATE DELETE'),
                              ('storefront_order', 'SELECT INSERT UPDATE DELETE'),
                              ('storefront_order_name', 'SELECT INSERT UPDATE DELETE'),
                              ('storefront_payload', 'SELECT INSERT UPDATE DELETE'),
                              ('storefront_room', 'SELECT INSERT UPDATE'),
                              ('access_token', 'SELECT INSERT UPDATE DELETE'),
                              ('access_token_revision', 'SELECT UPDATE'),
                              ('audit_record', 'SELECT INSERT DELETE'),
                              ('audit_record_room', 'SELECT UPDATE'),
                              ('server_clock', 'SELECT UPDATE'),
                              ('unfinished_copy', 'SELECT'),
                              ('rate_card_change', 'SELECT INSERT'))
                      wanted(name, rights),
                      UNNEST(string_to_array(rights, ' ')) right_to
                 WHERE NOT has_table_privilege(wanted.name, right_to))",
    )
    .fetch_one(connection)
    .await
    .map_err(|error| unusable(why(&error)))?;
    if let Some(denied) = denied {
        return Err(unusable(format!("the role lacks privileges: {denied}")));
    }
    if replica {
        return Err(unusable("it is read-only; a server must write to it".to_owned()));
    }
    Ok(())
}

/// Says that a fail-over may lose what was acknowledged, although the operator has a standby that prevents it.
async fn warn_of_lost_commits(connection: &mut PgConnection) -> Result<(), StoreError> {
    let is_local: bool = sqlx::query_scalar(
        "SELECT current_setting('synchronous_commit') = 'local'
                AND COALESCE(current_setting('synchronous_standby_names', TRUE), '') <> ''",
    )
    .fetch_one(connection)
    .await?;
    if is_local {
        tracing::warn!(
            "synchronous_commit is local although the database has synchronous standbys: what is acknowledged can be lost \
             when one of them takes over"
        );
    }
    Ok(())
}
