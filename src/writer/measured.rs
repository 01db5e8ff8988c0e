//! What is measured of a batch that was committed.

use std::time::Duration;

use opentelemetry::KeyValue;

use crate::ledger::top_up::TopUpAct;
use crate::ledger::{Book, Kind, Posting};
use crate::metrics::{Metrics, Stage};

/// A batch was committed. `took` is the time of its append with its commit.
pub(super) fn committed(metrics: &Metrics, book: &Book, took: Duration, commit: Option<Duration>) {
    let Some(on) = metrics.get() else { return };
    let commit = commit.unwrap_or_default().min(took);
    on.stage(Stage::Append, took.saturating_sub(commit));
    on.stage(Stage::Commit, commit);
    // A batch has few kinds.
    let mut kinds: Vec<(Kind, u64)> = Vec::new();
    for posting in book.journal() {
        match kinds.iter_mut().find(|(kind, _)| *kind == posting.kind) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => kinds.push((posting.kind, 1)),
        }
        for event in top_ups(posting) {
            on.top_ups.add(1, &[KeyValue::new("creditledger.event", event)]);
        }
    }
    for (kind, count) in kinds {
        on.postings.add(count, &[KeyValue::new("creditledger.kind", kind.name())]);
    }
}

/// What a posting says of automatic top-ups.
fn top_ups(posting: &Posting) -> impl Iterator<Item = &'static str> {
    let detail = &posting.detail;
    let requested = detail.top_up.is_some().then_some("requested");
    let reported = match detail.top_up_act {
        Some(TopUpAct::Reported(_)) => Some("reported"),
        Some(TopUpAct::Agreed) | None => None,
    };
    let suspended = detail.top_ups_suspended.is_some().then_some("suspended");
    requested.into_iter().chain(reported).chain(suspended)
}
