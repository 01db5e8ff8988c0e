//! The database of the settings, as several checks look at it.

use crate::config::Config;
use crate::store::StoreError;
use crate::store::look::{Look, look};

/// # Errors
/// As [`look`]; also where the URL cannot be read.
pub(super) async fn look_at(config: &Config) -> Result<Look, StoreError> {
    let url = config.database_url().map_err(|error| StoreError::Unusable(error.to_string()))?;
    look(url.reveal()).await
}
