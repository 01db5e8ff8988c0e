//! Brings the schema of a PostgreSQL database up to date.
//!
//! # What it is
//! Migrations are listed in `_sqlx_migrations`, as sqlx would. They are run here because sqlx sends the text of a
//! migration as one message, and engines that spread tables over machines want each statement alone.
//!
//! # Invariants
//! A migration and its line in the list commit together. Servers that start together wait for each other.
//!
//! # Failure
//! What was cut off is rolled back, and the next start does it again.

use sqlx::migrate::{Migrate as _, MigrateError};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::connect::Address;
use super::errors::why;
use super::schema::Made;
use super::work;
use crate::store::error::StoreError;
use crate::store::migrations::{Migration, POSTGRES};
use crate::store::sql::names;

/// The list of migrations.
const LIST: &str = "_sqlx_migrations";

/// Whether the database has this version's schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// It is empty, or older.
    Behind,
    Current,
}

/// A migration in the list: its version, whether it is done, and its checksum.
type Listed = (i64, bool, Vec<u8>);

/// Whether the list is there, and tables with our names.
const TABLES: &str = "
    SELECT to_regclass('_sqlx_migrations') IS NOT NULL,
           EXISTS (
               SELECT 1
               FROM pg_catalog.pg_class
               WHERE relnamespace = (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = current_schema())
                 AND relname IN ('posting', 'customer', 'ledger')
           )";

/// The list and whether there are tables with our names, of one moment: another server may be migrating. The list is
/// read alone, because engines that spread tables over machines keep it on a single one.
async fn look(connection: &mut PgConnection) -> Result<(Option<Vec<Listed>>, bool), sqlx::Error> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").execute(&mut *connection).await?;
    let (is_listed, are_there): (bool, bool) = sqlx::query_as(TABLES).fetch_one(&mut *connection).await?;
    let listed = if is_listed {
        let listed =
            sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version");
        Some(listed.fetch_all(&mut *connection).await?)
    } else {
        None
    };
    sqlx::raw_sql("COMMIT").execute(connection).await?;
    Ok((listed, are_there))
}

/// Looks at the schema without changing anything, so that a server whose role may not change it can start.
pub(super) async fn schema_of(
    address: &Address,
    connection: &mut PgConnection,
) -> Result<Schema, StoreError> {
    let unusable = |what: &str| address.unusable(what);
    let said = |error: sqlx::Error| unusable(&why(&error));
    let (listed, are_there) = look(connection).await.map_err(said)?;
    let Some(listed) = listed else {
        return if are_there {
            Err(unusable("it has tables of another program"))
        } else {
            Ok(Schema::Behind)
        };
    };
    // The list of migrations is created before the first table.
    if are_there == listed.is_empty() {
        return Err(unusable("it has tables of another program"));
    }
    for (version, success, checksum) in &listed {
        let Some(migration) = POSTGRES.iter().find(|migration| migration.version == *version) else {
            return Err(unusable("it was written by a newer version of creditledger"));
        };
        if !success {
            return Err(unusable(&format!("migration {version} was cut off half-way")));
        }
        if migration.checksum() != *checksum {
            return Err(unusable(&format!(
                "it has another schema {version} than this version of creditledger"
            )));
        }
    }
    if listed.len() < POSTGRES.len() {
        return Ok(Schema::Behind);
    }
    let is_unfinished: bool = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM unfinished_step)")
        .fetch_one(&mut *connection)
        .await
        .map_err(said)?;
    let is_current = !is_unfinished && names::are_complete(connection).await?;
    Ok(if is_current { Schema::Current } else { Schema::Behind })
}

/// Makes the schema that the address names, and brings its tables up to date.
pub(super) async fn run_migrations(
    address: &Address,
    connection: &mut PgConnection,
) -> Result<(), StoreError> {
    let said = |error: sqlx::Error| address.unusable(&why(&error));
    if let Some(schema) = address.schema() {
        let made = schema.make(connection).await.map_err(|error| {
            address.unusable(&format!("the schema {} cannot be made: {}", schema.name(), why(&error)))
        })?;
        if made == Made::Denied {
            return Err(address.unusable(&format!("the role may not use the schema {}", schema.name())));
        }
    }
    if schema_of(address, connection).await? == Schema::Current {
        // Adds nothing, but refuses what a newer version has added.
        return names::complete(connection, address.shown()).await;
    }
    // Another server may be migrating, and tables may be large: no time-out is long enough.
    sqlx::raw_sql("SET lock_timeout = 0; SET statement_timeout = 0")
        .execute(&mut *connection)
        .await
        .map_err(said)?;
    // Servers that start together wait for each other, where the database has advisory locks.
    let can_lock: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM pg_proc WHERE proname = 'pg_advisory_lock')")
            .fetch_one(&mut *connection)
            .await
            .map_err(said)?;
    let migrated = run_missing(connection, can_lock).await;
    migrated.map_err(|error| match error {
        MigrateError::Execute(error) => address.unusable(&format!("it cannot be migrated: {}", why(&error))),
        MigrateError::ExecuteMigration(error, version) => {
            address.unusable(&format!("migration {version} failed: {}", why(&error)))
        }
        other => address.unusable(&other.to_string()),
    })?;
    names::complete(connection, address.shown()).await?;
    // The part of a migration that SQL cannot do.
    work::finish_step(connection).await
}

/// Runs what is not listed, in order. The lock is that of earlier versions.
async fn run_missing(connection: &mut PgConnection, can_lock: bool) -> Result<(), MigrateError> {
    if can_lock {
        connection.lock().await?;
    }
    connection.ensure_migrations_table(LIST).await?;
    let listed = connection.list_applied_migrations(LIST).await?;
    for migration in POSTGRES {
        match listed.iter().find(|listed| listed.version == migration.version) {
            None => run(connection, migration).await?,
            // Another server has migrated meanwhile.
            Some(listed) if *listed.checksum == *migration.checksum() => {}
            Some(_) => return Err(MigrateError::VersionMismatch(migration.version)),
        }
    }
    if can_lock {
        connection.unlock().await?;
    }
    Ok(())
}

async fn run(connection: &mut PgConnection, migration: &Migration) -> Result<(), MigrateError> {
    let mut transaction = connection.begin().await?;
    for statement in statements(migration.sql) {
        let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut *transaction).await;
        done.map_err(|error| MigrateError::ExecuteMigration(error, migration.version))?;
    }
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
         VALUES ($1, $2, TRUE, $3, -1)",
    )
    .bind(migration.version)
    .bind(migration.description)
    .bind(migration.checksum())
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await?;
    Ok(())
}

/// The statements of a text. A semicolon in quotes, in a comment or in the body of a function ends none.
fn statements(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut rest, mut at) = (text, 0);
    while let Some(left) = rest.get(at..).filter(|left| !left.is_empty()) {
        if left.starts_with(';') {
            let (statement, others) = rest.split_at(at);
            found.push(statement.trim());
            rest = others.get(1..).unwrap_or_default();
            at = 0;
        } else {
            at = at.saturating_add(whole_length(left));
        }
    }
    found.push(rest.trim());
    found
        .retain(|statement| statement.lines().any(|line| !line.trim().is_empty() && !line.starts_with("--")));
    found
}

/// How much of a text belongs together at its beginning: a comment, what stands in quotes, or a character.
fn whole_length(text: &str) -> usize {
    let dollars = text
        .strip_prefix('$')
        .and_then(|tag| tag.find('$'))
        .and_then(|end| text.get(..end.saturating_add(2)));
    let tag = dollars
        .filter(|tag| tag.bytes().all(|byte| byte == b'$' || byte == b'_' || byte.is_ascii_alphabetic()));
    let (begin, end) = match (text, tag) {
        (_, Some(tag)) => (tag, tag),
        (text, None) if text.starts_with("--") => ("--", "\n"),
        (text, None) if text.starts_with("/*") => ("/*", "*/"),
        (text, None) if text.starts_with('\'') => ("'", "'"),
        (text, None) if text.starts_with('"') => ("\"", "\""),
        (text, None) => return text.chars().next().map_or(1, char::len_utf8),
    };
    let inner = text.get(begin.len()..).unwrap_or_default();
    inner.find(end).map_or(text.len(), |at| at.saturating_add(begin.len()).saturating_add(end.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_its_statements() {
        let text = "-- it's; one\nSELECT ';', \";\", 'a''; b' /* ; */; -- and\n
            CREATE FUNCTION f() AS $$ x; y; $$; CREATE FUNCTION g() AS $b$ $$; $b$;\n SELECT $1;\n-- the end; of it\n";
        let cut = statements(text);
        let begins = ["-- it's; one\nSELECT", "-- and", "CREATE FUNCTION g() AS $b$ $$; $b$", "SELECT $1"];
        assert_eq!(cut.len(), begins.len(), "{cut:?}");
        assert!(cut.iter().zip(begins).all(|(statement, begin)| statement.starts_with(begin)), "{cut:?}");
    }

    #[test]
    fn migrations_are_cut_without_a_loss() {
        for migration in POSTGRES {
            let cut = statements(migration.sql);
            let whole: String = migration.sql.chars().filter(|char| !char.is_whitespace()).collect();
            let joined: String = cut.concat().chars().filter(|char| !char.is_whitespace()).collect();
            let ends = whole.matches(';').count() - cut.concat().matches(';').count();
            assert_eq!(whole.len(), joined.len() + ends, "{}", migration.version);
            assert!(ends >= cut.len() - 1 && !cut.is_empty(), "{}", migration.version);
            let makes = |statement: &&str| statement.matches("\nCREATE ").count() < 2;
            assert!(cut.iter().all(makes), "{}: {cut:?}", migration.version);
        }
    }
}
