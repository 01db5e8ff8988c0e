//! Why an engine could not do what it was asked, in the terms in which the writer and the readers react.

/// Why an engine could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used as it is: newer schema, locked by another server, read-only. For start-up.
    #[error("{0}")]
    Unusable(String),
    /// The database refused a row that the core let through: a bug, for one command's sake. Nothing is stored; the
    /// writer runs the batch again one by one.
    #[error("the database refused a row: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed. After a failed write nothing of the batch is stored.
    #[error("the database failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another server was in the way, or the connection was lost before the commit. Nothing is stored; the same batch
    /// may well succeed if it is run again.
    #[error("the database asks for another attempt: {0}")]
    Again(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another server stored a row with the same key in between. Nothing is stored; the next attempt reads that row.
    /// Where it keeps happening, it is [`StoreError::Refused`].
    #[error("a row with the same key exists: {0}")]
    Clash(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer to a commit was lost. The next attempt finds out with [`WriteStore::was_stored`].
    #[error("the answer to a commit was lost: {0}")]
    Unsure(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The commit failed in a way that leaves its fate open. The process must stop: only a restart finds out.
    #[error("the fate of a commit is unknown: {0}")]
    UnknownFate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database holds what this program did not write.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// The database failed, for a reason that no caller can act on.
    pub fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A complaint about a stored value.
pub fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}
