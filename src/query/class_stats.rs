//! What incidents of each class were estimated at and charged.

use crate::ledger::Text;
use crate::store::{ClassStats, ClassStatsFilter};

use super::{Keyed, Listed, PageRequest, ReadError, Reader};

impl Keyed for ClassStats {
    /// The class; empty for incidents without one, which come first.
    type Key = Text;

    fn key(&self) -> Text {
        // Ids are texts of the kind that free text is, only shorter.
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
        let mut items = self.store.class_stats(filter, after, page.limit.saturating_add(1)).await?;
        let more = items.len() > page.limit;
        items.truncate(page.limit);
        let next = items.last().filter(|_| more).map(Keyed::key);
        Ok(Listed::new(items, next, bound))
    }
}
