//! What incidents of each class were estimated at and charged.

use crate::ledger::ClassId;
use crate::store::{ClassStats, ClassStatsFilter};

use super::error::ReadError;
use super::page::{Keyed, Listed, PageRequest};
use super::reader::Reader;

impl Keyed for ClassStats {
    /// The class; none for incidents without one, which come first.
    type Key = Option<ClassId>;

    fn key(&self) -> Option<ClassId> {
        self.class.clone()
    }
}

impl Reader {
    /// Statistics by class, in the order of the classes.
    ///
    /// # Errors
    /// [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        page: &PageRequest,
    ) -> Result<Listed<ClassStats>, ReadError> {
        let (after, bound) = page.open::<Option<ClassId>>(&("class stats", filter))?;
        let after = after.as_ref().map(|class| class.as_ref().map_or("", ClassId::as_str));
        let items = self.store.class_stats(filter, after, page.limit.saturating_add(1)).await?;
        Ok(page.cut(items, bound))
    }
}
