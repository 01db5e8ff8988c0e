//! Standard output and standard error, for people and for pipes.

use std::io::{self, Write as _};

use super::failure::Failure;

/// Writes lines to standard output. A reader that has closed its end, as `head` does, is no error.
///
/// # Errors
/// [`Failure::Output`].
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes an error to standard error.
pub(super) fn complain(text: &str) {
    note(&format!("creditledger: {text}"));
}

/// Writes a note to standard error: information for the reader that is no error.
pub(super) fn note(text: &str) {
    // If standard error is closed, nobody can read this; the exit status still reports the outcome.
    let _ = writeln!(io::stderr(), "{text}");
}
