//! Whether a PostgreSQL server archives its log, without which a base backup cannot be brought forward to a later moment.

use sqlx::Row as _;

use super::connect::Address;
use crate::store::error::StoreError;

/// How the log is archived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archiving {
    /// Nothing is archived: this setting is what is missing.
    Off(&'static str),
    /// The last attempt failed, and none succeeded since.
    Failing,
    /// It is on, and nothing was archived yet.
    NotYet,
    /// The last attempt succeeded.
    On,
}

/// # Errors
/// [`StoreError::Unusable`] where the server cannot be asked.
pub async fn archiving(address: &Address) -> Result<Archiving, StoreError> {
    let mut connection = address.connect_first().await?;
    // `archive_library` is known from version 15 on.
    let row = sqlx::query(
        "SELECT
             current_setting('wal_level') IN ('replica', 'logical'),
             current_setting('archive_mode') <> 'off',
             current_setting('archive_command') NOT IN ('', '(disabled)')
                 OR COALESCE(current_setting('archive_library', TRUE), '') <> '',
             last_archived_time IS NOT NULL,
             COALESCE(last_failed_time > COALESCE(last_archived_time, '-infinity'), FALSE)
         FROM pg_stat_archiver",
    )
    .persistent(false)
    .fetch_one(&mut connection)
    .await?;
    let is = |column: usize| row.try_get::<bool, _>(column);
    Ok(if !is(0)? {
        Archiving::Off("wal_level is minimal; set it to replica")
    } else if !is(1)? {
        Archiving::Off("archive_mode is off; set it to on")
    } else if !is(2)? {
        Archiving::Off("archive_command and archive_library are empty; set one of them")
    } else if is(4)? {
        Archiving::Failing
    } else if is(3)? {
        Archiving::On
    } else {
        Archiving::NotYet
    })
}
