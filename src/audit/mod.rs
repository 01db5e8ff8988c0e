//! `verify`: replays the whole journal through the core, and compares every stored row with the result.

mod replay;
mod report;
mod rows;
mod storefronts;

use crate::store::{AuditStore, StoreError};

pub use report::{Counts, Report};

/// Checks a database that nobody writes to meanwhile: the engine's own files and pointers; positions and sequences
/// without gaps; every posting against the invariants, by replaying it; every customer, hold, lot, order and system
/// account against the replay; that each ledger sums to zero; and the counts of each storefront against its orders. Holds the replayed state in memory.
///
/// `progress` gets the number of postings that were replayed.
///
/// # Errors
/// [`StoreError`] where the database cannot be read to its end.
pub async fn verify(
    auditor: &dyn AuditStore,
    mut progress: impl FnMut(u64) + Send,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for fault in auditor.integrity().await? {
        report.fault(fault);
    }
    let replayed = replay::replay(auditor, &mut report, &mut progress).await?;
    rows::compare(auditor, &replayed, &mut report).await?;
    // A row that cannot be read ends the counting, and no more than that.
    match storefronts::check(auditor, &mut report).await {
        Err(StoreError::Damaged(damage)) => report.fault(damage),
        checked => checked?,
    }
    Ok(report)
}
