//! A look at a database for `doctor`. Nothing is locked or written, and a server may have it open.

use super::error::StoreError;
use super::open::sqlite_path;
use super::postgres::{self, Address};
use super::sql::database::AuditDatabase;
use super::sql::{ledgers, webhooks};
use super::sqlite;
use super::webhooks::Endpoint;
use crate::ledger::Timestamp;
use crate::store::recorded::Position;

/// What a database looks like from outside.
#[derive(Debug)]
pub struct Look {
    /// The engine and its version.
    pub engine: String,
    pub schema: SchemaState,
    /// The time of its own clock, where it has one.
    pub now: Option<Timestamp>,
    /// What it holds; `None` where this version cannot read it yet.
    pub content: Option<Content>,
}

/// The schema of a database beside this version's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaState {
    /// There is no database, or it has no tables.
    Missing,
    Older,
    Current,
}

#[derive(Debug)]
pub struct Content {
    /// When the newest posting was recorded.
    pub last_recorded: Option<Timestamp>,
    pub endpoints: Vec<Endpoint>,
}

/// Looks at the database that a URL names.
///
/// # Errors
/// [`StoreError`] where it cannot be used as it is.
pub async fn look(url: &str) -> Result<Look, StoreError> {
    if let Some(address) = Address::of(url) {
        let seen = postgres::look(address?).await?;
        let content = match &seen.audit {
            Some(audit) => Some(content(audit).await?),
            None => None,
        };
        let schema = if content.is_some() { SchemaState::Current } else { SchemaState::Older };
        return Ok(Look { engine: seen.version, schema, now: Some(seen.now), content });
    }
    let path = sqlite_path(url)?;
    // A disk that does not answer holds a thread of its own, and no other check.
    let looked = tokio::task::spawn_blocking(move || sqlite::look(&path)).await;
    let (schema, readers) = looked.map_err(StoreError::failed)??;
    let schema = match schema {
        None => SchemaState::Missing,
        Some(sqlite::Schema::Older) => SchemaState::Older,
        Some(sqlite::Schema::Current) => SchemaState::Current,
    };
    let content = match &readers {
        Some(readers) => Some(content(readers).await?),
        None => None,
    };
    Ok(Look { engine: sqlite::version(), schema, now: None, content })
}

async fn content(database: &impl AuditDatabase) -> Result<Content, StoreError> {
    let mut last_recorded = None;
    for stored in database.run(|sql| Box::pin(ledgers::stored(sql))).await? {
        let no = stored.ledger.no;
        let end = database.journal_end(no).await?;
        if let Some(before) = end.0.checked_sub(1) {
            let page = database.journal(no, Position(before), 1).await?;
            last_recorded = last_recorded.max(page.items.first().map(|last| last.posting.recorded_at));
        }
    }
    let endpoints = database.run(|sql| Box::pin(webhooks::endpoints(sql))).await?;
    Ok(Content { last_recorded, endpoints })
}
