//! AccessService's list of the audit log.

use uuid::Uuid;

use crate::access::{AuditRecord as Record, RecordFilter, RecordKind};
use crate::ledger::ids::OpenText;
use crate::query::{Listed, ReadError, keyed};

use super::api::{Call, Reply, show_page};
use super::convert;
use super::parse::complete;
use super::wire::*;

keyed!(Record => Uuid: |it| it.id);

impl Call {
    pub(super) async fn list_audit_records(
        &self,
        message: ListAuditRecordsRequest,
    ) -> Reply<ListAuditRecordsResponse> {
        self.called.of_all_ledgers().inspect_err(|problem| self.refused(problem))?;
        let (filter, page) = self.parse(message, |message, fields| {
            let ListAuditRecordsRequest {
                recorded_from,
                recorded_until,
                subject,
                kind,
                page_size,
                page_token,
            } = message;
            let filter = complete!(RecordFilter {
                from: fields.time("recorded_from", recorded_from),
                until: fields.time("recorded_until", recorded_until),
                subject: fields
                    .text("subject", &subject)
                    .map(|subject| (!subject.is_empty()).then_some(OpenText(subject))),
                kind: fields.coded("kind", kind, RecordKind::from_code),
            });
            filter.zip(fields.page(page_size, page_token))
        })?;
        let (before, bound) = page.open::<Uuid>(&("audit records", &filter))?;
        let found = self.identities.recorder.page(&filter, before, page.limit).await;
        let (found, next) = found.map_err(ReadError::Storage)?;
        let (audit_records, next_page_token) = show_page(Listed::new(found, next, bound), show);
        Ok(ListAuditRecordsResponse { audit_records, next_page_token })
    }
}

fn show(record: &Record) -> AuditRecord {
    let body = &record.body;
    let actor = body.actor.as_ref();
    let peer = body.peer.or_else(|| actor.and_then(|actor| actor.peer));
    AuditRecord {
        record_id: record.id.to_string(),
        kind: body.kind.code().into(),
        recorded_at: Some(convert::time(body.at)),
        last_at: body.until.map(convert::time),
        count: convert::signed(body.count),
        subject: convert::or_empty(actor.map(|actor| &actor.subject)),
        role: actor.map_or(0, |actor| actor.role.code()).into(),
        way: actor.map_or(0, |actor| actor.way.code()).into(),
        peer: convert::or_empty(peer.as_ref().map(|peer| &peer.0)),
        method: body.method.to_string(),
        request_id: body.request.to_string(),
        ledger_id: convert::or_empty(body.ledger.as_ref()),
        customer_id: convert::or_empty(body.customer.as_ref()),
        reason: body.reason.to_string(),
        about: body.about.to_string(),
        provider: convert::or_empty(actor.map(|actor| &actor.provider)),
    }
}
