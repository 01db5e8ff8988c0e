//! Reads from requests which postings they mean: one, or some of a customer's.

use crate::ledger::{CustomerId, IncidentId, Kind, PostingId, RequestKey, Storefront};
use crate::query::{PageRequest, PostingFilter, PostingTarget};

use super::parse::{Fields, complete};
use super::wire::*;

/// The posting that a request names, and its customer.
pub fn read_target(message: GetPostingRequest, fields: &mut Fields) -> Option<(CustomerId, PostingTarget)> {
    use get_posting_request::NamedBy;
    let GetPostingRequest { ledger_id: _, customer_id, named_by } = message;
    let customer = fields.customer(&customer_id);
    let target = match named_by {
        Some(NamedBy::PostingId(id)) => fields
            .made_id("posting_id", &id, PostingId::from_uuid)
            .and_then(|id| Some(PostingTarget::Id(customer.clone()?, id))),
        Some(NamedBy::Request(AnsweredRequest { kind, request_id })) => fields.within("request", |fields| {
            let kind = read_kind(fields, "kind", kind);
            let request = fields.take("request_id", RequestKey::parse(&request_id));
            Some(PostingTarget::Request(customer.clone()?, kind?, request?))
        }),
        None => fields.refuse("named_by", "must be a posting_id or a request"),
    };
    customer.zip(target)
}

/// The filter of a list of a customer's postings.
pub fn read_list(
    message: ListPostingsRequest,
    fields: &mut Fields,
) -> Option<(CustomerId, PostingFilter, PageRequest)> {
    let ListPostingsRequest {
        ledger_id: _,
        customer_id,
        recorded_from,
        recorded_until,
        newest_first,
        kinds,
        incident_id,
        storefront,
        page_size,
        page_token,
    } = message;
    let customer = fields.customer(&customer_id);
    let filter = complete!(PostingFilter {
        from: fields.time("recorded_from", recorded_from),
        until: fields.time("recorded_until", recorded_until),
        newest_first,
        kinds: if kinds.len() > Kind::ALL.len() {
            fields.refuse("kinds", format!("must be at most {}", Kind::ALL.len()))
        } else {
            fields.each("kinds", kinds, |fields, kind| read_kind(fields, "", kind))
        },
        incident: fields.optional("incident_id", &incident_id, IncidentId::parse),
        storefront: fields.optional("storefront", &storefront, Storefront::parse),
    });
    let page = fields.page(page_size, page_token);
    Some((customer?, filter?, page?))
}

/// The kinds have the same numbers on the wire as in the journal; a test of `convert` compares them.
fn read_kind(fields: &mut Fields, field: &str, kind: i32) -> Option<Kind> {
    match u8::try_from(kind).ok().and_then(Kind::from_code) {
        Some(kind) => Some(kind),
        None => fields.refuse(field, "must be a known kind of posting"),
    }
}
