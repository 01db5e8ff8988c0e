//! Classifies the driver's errors, by SQLSTATE or kind, never by text.

use sqlx::Error;

use crate::store::error::StoreError;

/// An error before the commit: nothing is stored.
pub(super) fn failed(error: Error) -> StoreError {
    match &error {
        Error::Database(cause) => match cause.code().as_deref() {
            Some("23505") => StoreError::Clash(Box::new(error)),
            Some("55P03") => StoreError::Locked(Box::new(error)),
            // Data exceptions and violated constraints: one command's fault.
            Some(code) if code.starts_with("22") || code.starts_with("23") => {
                StoreError::Refused(Box::new(error))
            }
            // Conflicts, time-outs, ended connections, full disks and revoked rights: none is a reason to stop this
            // server, and all of them may be over soon.
            _ => lost(error),
        },
        Error::ColumnDecode { .. } | Error::Decode(_) | Error::ColumnNotFound(_) | Error::RowNotFound => {
            StoreError::Damaged(error.to_string())
        }
        _ => lost(error),
    }
}

/// An error of the commit itself. Only a serialization failure, a deadlock and a violated constraint guarantee that
/// nothing is stored. A server that is shut down may have committed before it reports the error.
pub(super) fn not_answered(error: Error) -> StoreError {
    let code = error.as_database_error().and_then(|cause| cause.code());
    match code.as_deref() {
        Some("40001" | "40P01") => StoreError::Again(Box::new(error)),
        Some("23505") => StoreError::Clash(Box::new(error)),
        Some(code) if code.starts_with("23") => StoreError::Refused(Box::new(error)),
        _ => StoreError::Unsure(Box::new(error)),
    }
}

/// An error after which another attempt is worthwhile, usually because the connection is lost.
pub(super) fn lost(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Again(Box::new(error))
}

/// True where the connection can be used again: the batch met a conflict, or a row was wrong. After any other error a
/// new one is better: this one may lead to a former primary that is read-only now.
pub(super) fn leaves_connection_sound(error: &StoreError) -> bool {
    match error {
        StoreError::Clash(_) | StoreError::Locked(_) | StoreError::Refused(_) => true,
        StoreError::Again(cause) => {
            let cause = cause.downcast_ref::<Error>().and_then(Error::as_database_error);
            let code = cause.and_then(|cause| cause.code());
            matches!(code.as_deref(), Some("40001" | "40P01"))
        }
        _ => false,
    }
}

pub(super) fn timed_out(what: &str) -> StoreError {
    StoreError::Again(format!("{what} took too long").into())
}

/// The part of an error that an operator can act on, in one line.
pub(super) fn why(error: &Error) -> String {
    let text = match error {
        Error::Database(cause) => cause.message().to_owned(),
        Error::Io(cause) => format!("cannot be reached: {cause}"),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
