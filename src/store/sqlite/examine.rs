//! Looks at a database file and its log before SQLite opens them: SQLite would delete, mix or drop what does not fit, in
//! silence.

use std::path::Path;

use super::file::log_path;
use super::lock::DatabaseFile;
use super::log_file::{Damage, Log, word};
use crate::store::error::StoreError;

/// "CRLG"; the first migration writes it into the file's header.
pub(super) const APPLICATION_ID: u32 = 1_129_466_951;
pub(super) const MAGIC: &[u8] = b"SQLite format 3\0";
const HEADER_BYTES: usize = 100;
/// SQLite never writes the page that has this byte.
const LOCK_BYTE: u64 = 1 << 30;

/// Refuses a missing file beside a log that holds commits: an empty database would be made, and the log deleted.
///
/// # Errors
/// [`StoreError::Unusable`].
pub fn missing(path: &Path) -> Result<(), StoreError> {
    if read_log(path, None)?.holds_data() {
        return Err(refused(path, "is missing", "put the database file back, or move the log away"));
    }
    Ok(())
}

/// Checks that file and log fit each other, and that neither lost a part. The caller has the lock, and no connection.
///
/// # Errors
/// [`StoreError::Unusable`] where another file lies where the database should be; [`StoreError::Damaged`] where a part
/// is lost.
pub fn examine(file: &DatabaseFile, path: &Path) -> Result<(), StoreError> {
    let (header, bytes) = file.begin(HEADER_BYTES).map_err(|error| unreadable(path, &error))?;
    let page_bytes = page_bytes(&header);
    let log = read_log(path, page_bytes)?;
    if let Some(Damage { frame, at_byte }) = log.damage {
        let log = log_path(path);
        return Err(StoreError::Damaged(format!(
            "{} is not as it was written at frame {frame} (byte {at_byte}), and later commits are behind it: restore \
             a backup; cutting the log off there loses all commits from there on",
            log.display()
        )));
    }
    if log.holds_data() {
        fits(path, &header, bytes, page_bytes, &log)?;
    }
    match page_bytes {
        Some(page_bytes) => is_whole(path, &header, bytes, page_bytes, &log),
        // SQLite says what it thinks of it.
        None => Ok(()),
    }
}

/// Refuses a file that the log is not of.
fn fits(
    path: &Path,
    header: &[u8],
    bytes: u64,
    page_bytes: Option<u32>,
    log: &Log,
) -> Result<(), StoreError> {
    let put_back = "put the database file back, or move the log away";
    let Some(page_bytes) = page_bytes else {
        let is = if bytes == 0 { "is empty" } else { "is not an SQLite database" };
        return Err(refused(path, is, put_back));
    };
    let application = |page: &[u8]| word(page, 68);
    // Until the first checkpoint, page 1 of a new database is only in its log.
    let is_new = application(header) == 0 && bytes <= u64::from(page_bytes);
    let of_log = log.first_page.as_deref().map(application);
    if (application(header) != APPLICATION_ID && !is_new)
        || of_log.is_some_and(|of_log| of_log != APPLICATION_ID && of_log != 0)
    {
        return Err(refused(path, "is another program's database", put_back));
    }
    if page_bytes != log.page_bytes {
        return Err(refused(path, "is another database", put_back));
    }
    Ok(())
}

/// Refuses a file that is shorter than its header says. Pages that lie in the log may be missing.
fn is_whole(path: &Path, header: &[u8], bytes: u64, page_bytes: u32, log: &Log) -> Result<(), StoreError> {
    let in_header = word(header, 28);
    // SQLite uses the number only where these two are equal.
    let is_current = word(header, 24) == word(header, 92);
    let pages = match log.database_pages {
        0 if is_current => in_header,
        0 => return Ok(()),
        after_log => after_log,
    };
    let there = bytes / u64::from(page_bytes);
    let lock_page = LOCK_BYTE / u64::from(page_bytes) + 1;
    let lost = (there.saturating_add(1)..=u64::from(pages))
        .find(|page| *page != lock_page && !u32::try_from(*page).is_ok_and(|page| log.pages.contains(&page)));
    match lost {
        None => Ok(()),
        Some(page) => Err(StoreError::Damaged(format!(
            "{} was cut short: it has {bytes} bytes, page {page} of {pages} is missing; restore a backup",
            path.display()
        ))),
    }
}

/// The size of a page by the header of an SQLite database.
fn page_bytes(header: &[u8]) -> Option<u32> {
    if header.len() < HEADER_BYTES || !header.starts_with(MAGIC) {
        return None;
    }
    match word(header, 16) >> 16 {
        1 => Some(65_536),
        bytes => Some(bytes).filter(|bytes| bytes.is_power_of_two() && *bytes >= 512),
    }
}

fn read_log(path: &Path, page_bytes: Option<u32>) -> Result<Log, StoreError> {
    let log = log_path(path);
    Log::read(&log, page_bytes).map_err(|error| unreadable(&log, &error))
}

fn refused(path: &Path, is: &str, what_to_do: &str) -> StoreError {
    let log = log_path(path);
    StoreError::Unusable(format!(
        "{} {is}, but {} beside it holds committed changes; {what_to_do}",
        path.display(),
        log.display()
    ))
}

fn unreadable(path: &Path, error: &std::io::Error) -> StoreError {
    StoreError::Unusable(format!("cannot read {}: {error}", path.display()))
}
