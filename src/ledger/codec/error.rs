//! Why stored bytes cannot be read: damage, or rows of a newer build. Neither may panic.

/// Stored bytes that are not what this build wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("the bytes end too early")]
    Truncated,
    /// A number that its type cannot hold, or an unknown code of an enumeration.
    #[error("a number is out of range")]
    Range,
    /// A text that breaks the rules of its type.
    #[error("a text is malformed")]
    Text,
    /// A field that this build does not know.
    #[error("unknown field {0}")]
    UnknownField(u8),
    /// A field without a default that is not there.
    #[error("missing field {0}")]
    MissingField(&'static str),
    /// Bytes after the end of the record.
    #[error("bytes are left over")]
    LeftOver,
}
