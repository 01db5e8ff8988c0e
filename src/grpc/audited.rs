//! What the audit log is told of calls: refusals, rejections, and changes that are no postings.
//!
//! Refusals and rejections are kept only where callers are authenticated: of callers that nobody knows there is nothing to
//! keep. A change that is a posting has its actor in the journal.

use std::sync::Arc;

use tonic::Status;
use tonic_types::StatusExt as _;

use crate::access::{CallFacts, RecordKind, Recorder};
use crate::ledger::{LedgerId, Rejection, Request};
use crate::writer::{Rejections, Writer};

use super::api::{Call, NamedLedger, Reply};
use super::called::Called;
use super::status::Problem;
use super::wire::CommandContext;

/// What a method changes without a posting, by its name.
fn changes(method: &str) -> Option<RecordKind> {
    let (_, method) = method.split_once('/')?;
    Some(match method {
        "CreateLedger" => RecordKind::LedgerCreated,
        "CreateRateCard" => RecordKind::RateCardCreated,
        "SetDefaultRateCard" => RecordKind::DefaultRateCardSet,
        "SetDefaultBalanceAlerts" => RecordKind::DefaultAlertsSet,
        "CreateWebhookEndpoint" => RecordKind::EndpointCreated,
        "UpdateWebhookEndpoint" => RecordKind::EndpointUpdated,
        "DeleteWebhookEndpoint" => RecordKind::EndpointDeleted,
        "RedeliverEvent" => RecordKind::EventRedelivered,
        "AssignPayment" => RecordKind::PaymentAssigned,
        "DismissPayment" => RecordKind::PaymentDismissed,
        "RetryPayments" => RecordKind::PaymentsRetried,
        "CreateToken" => RecordKind::TokenCreated,
        "RevokeToken" => RecordKind::TokenRevoked,
        _ => return None,
    })
}

/// Keeps what the writer rejects of the commands of one call.
#[derive(Debug)]
struct OfCall {
    recorder: Recorder,
    called: Called,
    ledger: LedgerId,
}

impl Rejections for OfCall {
    fn rejected(&self, request: &Request, rejection: &Rejection) {
        let asked = request.request.as_ref().map(ToString::to_string).unwrap_or_default();
        let facts = CallFacts {
            actor: request.said.actor.as_deref(),
            peer: self.called.peer(),
            method: self.called.method,
            request: &asked,
            ledger: Some(&self.ledger),
            customer: Some(&request.customer),
        };
        self.recorder.rejected(&facts, rejection.reason());
    }
}

impl Call {
    /// The writer, for commands in a ledger. It tells the audit log what it rejects, whether or not this call is still
    /// there when that is decided.
    pub(super) fn writer_of(&self, ledger: &NamedLedger) -> Writer {
        if !self.called.is_known() {
            return self.writer.clone();
        }
        let (recorder, called) = (self.identities.recorder.clone(), self.called.clone());
        self.writer.heard_by(Arc::new(OfCall { recorder, called, ledger: ledger.id.clone() }))
    }

    /// Keeps that the caller may not name or do something.
    pub(super) fn refused(&self, problem: &Problem) {
        self.record(&CallFacts::default(), |recorder, facts| recorder.refused(facts, problem.reason()));
    }

    /// Keeps what came of a call that changes something without a posting. `about` names what was changed, and `None`
    /// stands for a repeat, which changes nothing.
    pub(super) fn note<T>(
        &self,
        context: Option<&CommandContext>,
        answer: &Reply<T>,
        about: impl FnOnce(&T) -> Option<String>,
    ) {
        let Some(kind) = changes(self.called.method) else { return };
        let ledger = context.and_then(|context| LedgerId::parse(&context.ledger_id).ok());
        let request = context.map(|context| context.request_id.as_str()).unwrap_or_default();
        let facts = CallFacts { request, ledger: ledger.as_ref(), ..CallFacts::default() };
        match answer {
            Ok(answer) => {
                if let Some(about) = about(answer) {
                    self.record(&facts, |recorder, facts| recorder.changed(facts, kind, &about));
                }
            }
            // Nobody may be told later: the repeat of a change changes nothing.
            Err(status) if Problem::leaves_outcome_unknown(status) => {
                self.record(&facts, |recorder, facts| {
                    recorder.changed(facts, kind, "the outcome is unknown");
                });
            }
            Err(status) if self.called.is_known() && Problem::is_rejection(status) => {
                let reason = reason_of(status);
                self.record(&facts, |recorder, facts| recorder.rejected(facts, &reason));
            }
            Err(_) => {}
        }
    }

    fn record(&self, facts: &CallFacts<'_>, keep: impl FnOnce(&Recorder, &CallFacts<'_>)) {
        let actor = self.called.actor();
        let (actor, peer) = (actor.as_deref(), self.called.peer());
        let facts = CallFacts { actor, peer, method: self.called.method, ..*facts };
        keep(&self.identities.recorder, &facts);
    }
}

fn reason_of(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::methods::{Methods, Shape};

    #[test]
    fn every_method_that_changes_something_is_kept_somewhere() {
        for method in Methods::all().named() {
            let (path, method) = method;
            let name = Methods::short(path);
            let is_ours = method.allowed.is_some();
            // Reads, and batches, whose commands are kept one by one, have none.
            let is_command = super::super::command::is_batched(path);
            let expected = is_ours && !method.reads && method.shape == Shape::Unary && !is_command;
            let is_batch = name == "BatchService/ExecuteBatch";
            assert_eq!(changes(name).is_some(), expected && !is_batch, "{path}");
        }
    }
}
