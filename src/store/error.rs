//! Why an engine could not do what it was asked, classified by how the writer and the readers must react.

use uuid::Uuid;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be used as it is: a newer schema, another server's lock, read-only. Found when
    /// a connection is made.
    #[error("{0}")]
    Unusable(String),
    /// The database refused a row that the core let through: a bug, caused by one command. Nothing is stored; the
    /// writer runs the commands of the batch one by one.
    #[error("the database refused a row: {0}")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Reading or writing failed. After a failed write nothing of the batch is stored.
    #[error("the database failed: {0}")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A conflict with another server, or a connection lost before the commit. Nothing is stored; the same batch may
    /// succeed when it is run again.
    #[error("the database asks for another attempt: {0}")]
    Again(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Somebody else has kept a row locked for too long. Nothing is stored; [`WriteStore::locked`] finds out which
    /// customers it concerns.
    ///
    /// [`WriteStore::locked`]: super::write_store::WriteStore::locked
    #[error("a row is locked by somebody else: {0}")]
    Locked(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Another server stored a row with the same key since the load. Nothing is stored; the next attempt reads that
    /// row. Repeated clashes become [`StoreError::Refused`].
    #[error("a row with the same key exists: {0}")]
    Clash(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The answer to a commit was lost. The next attempt finds out with `WriteStore::was_stored`.
    #[error("the answer to a commit was lost: {0}")]
    Unsure(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The commit failed, and nobody knows whether it is stored. The writer of the ledger, which decides by what it
    /// remembers, must stop the process: only a restart finds out. Whoever remembers nothing asks again.
    #[error("the fate of a commit is unknown: {0}")]
    UnknownFate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database holds something that this program did not write.
    #[error("the database is damaged: {0}")]
    Damaged(String),
}

impl StoreError {
    /// The database failed for a reason that no caller can act on.
    pub fn failed(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}

/// A row that cannot be read, while the others of its page can.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the database is damaged: {problem}")]
pub struct Unreadable {
    /// By which it is found.
    pub id: Uuid,
    pub problem: String,
}

/// A row of a page, or why it alone cannot be read.
pub type Readable<T> = Result<T, Unreadable>;

impl From<Unreadable> for StoreError {
    fn from(Unreadable { id: _, problem }: Unreadable) -> Self {
        Self::Damaged(problem)
    }
}

pub fn damaged(what: impl Into<String>) -> StoreError {
    StoreError::Damaged(what.into())
}
