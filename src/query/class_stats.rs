//! What incidents of each class were estimated at and charged.

use crate::ledger::Text;
use crate::store::{ClassStats, ClassStatsFilter};

use super::error::ReadError;
use super::page::{Keyed, Listed, PageRequest};
use super::reader::Reader;

impl Keyed for ClassStats {
    /// The class; empty for incidents without one, which come first.
    type Key = Text;

    fn key(&self) -> Text {
        // A class is a text of the kind that free text is, only shorter: it always parses.
        self.class.as_ref().and_then(|class| Text::parse(class.as_str()).ok()).unwrap_or_default()
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
        let (after, bound) = page.open::<Text>(&("class stats", filter))?;
        let after = after.as_ref().map(Text::as_str);
        let items = self.store.class_stats(filter, after, page.limit.saturating_add(1)).await?;
        Ok(page.cut(items, bound))
    }
}
