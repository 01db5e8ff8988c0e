//! The URL of a database from a file: a password in it then stands on no command line, where everybody on the machine
//! can read it.

use std::path::PathBuf;

use super::failure::Failure;
use crate::config::Secret;
use crate::hidden::Hidden;

/// The URL as it was given, or else from the file that `flag` names.
///
/// # Errors
/// [`Failure`] where the file has no URL. It does not show what stands there.
pub fn url_of(
    given: Option<Hidden<String>>,
    file: Option<PathBuf>,
    flag: &str,
) -> Result<Option<Hidden<String>>, Failure> {
    let Some(file) = file else { return Ok(given) };
    let url = Secret::File(file).revealed();
    url.map(Some).map_err(|problem| Failure::Other(format!("{flag} {problem}")))
}
