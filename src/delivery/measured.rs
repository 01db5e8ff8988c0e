//! What is counted of a round of messages.

use opentelemetry::KeyValue;

use super::chains::Sent;
use super::transport::Consequence;
use crate::ledger::LedgerId;
use crate::metrics::Metrics;
use crate::store::webhooks::Endpoint;

/// Counts a round to one endpoint: messages by what became of them, and those that it did not take.
pub(super) fn sent(metrics: &Metrics, endpoint: &Endpoint, ledger: &LedgerId, sent: &[Sent]) {
    let Some(on) = metrics.get() else { return };
    let transport = if endpoint.is_email() { "email" } else { "webhook" };
    let add = |count: usize, outcome: &'static str| {
        if count > 0 {
            let attributes = [
                KeyValue::new("creditledger.transport", transport),
                KeyValue::new("creditledger.outcome", outcome),
            ];
            on.outbox_messages.add(count.try_into().unwrap_or(u64::MAX), &attributes);
        }
    };
    let given_up = |sent: &&Sent| {
        sent.failed.as_ref().is_some_and(|(_, failure)| failure.consequence == Consequence::GiveUp)
    };
    let failed = sent.iter().filter(|sent| sent.failed.is_some()).count();
    let given_up = sent.iter().filter(given_up).count();
    add(sent.iter().map(|sent| sent.taken.len()).sum(), "taken");
    add(given_up, "given_up");
    add(failed.saturating_sub(given_up), "again");
    if failed > 0 {
        let attributes = [
            KeyValue::new("creditledger.ledger", ledger.to_string()),
            KeyValue::new("creditledger.endpoint", endpoint.id.to_string()),
        ];
        on.outbox_failures.add(failed.try_into().unwrap_or(u64::MAX), &attributes);
    }
}
