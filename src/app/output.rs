//! Standard output and standard error, for people and for pipes.

use std::io::{self, Write as _};

use super::failure::Failure;

/// Writes lines to standard output. A reader that has gone away, as `head` does, is no error.
///
/// # Errors
/// [`Failure::Output`].
pub(super) fn print(text: &str) -> Result<(), Failure> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::Output(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a line to standard error.
pub(super) fn complain(text: &str) {
    note(&format!("creditledger: {text}"));
}

/// Writes a line to standard error that is no complaint: what a reader of the answer should know besides.
pub(super) fn note(text: &str) {
    // Where standard error is closed there is nobody left to tell; the exit status still says it.
    let _ = writeln!(io::stderr(), "{text}");
}
