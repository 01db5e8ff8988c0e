//! `creditledger audit`: records of who was refused, what was rejected, and what was changed without a posting.

use prost_types::Timestamp;

use super::arguments::moment;
use super::row::{OutputRow, row};
use super::show::{bare, time};
use super::target::{Limit, Target};
use crate::app::failure::Failure;
use crate::app::paging::method;
use crate::grpc::wire;
use crate::ledger::actor::{Role, Way};
use wire::access_service_client::AccessServiceClient;

/// List the audit log, newest first: calls that were refused or rejected, and changes that are no postings
#[derive(Clone, Debug, clap::Args)]
pub struct Audit {
    /// Only from this day or time on (UTC)
    #[arg(long, value_parser = moment, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Only before this day or time (UTC)
    #[arg(long, value_parser = moment, value_name = "TIME")]
    until: Option<Timestamp>,
    /// Only of the caller with this name
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    subject: String,
    /// Only of this kind, such as rejected, permission-denied or token-created
    #[arg(long, value_parser = kind)]
    kind: Option<wire::AuditRecordKind>,
    #[command(flatten)]
    limit: Limit,
    #[command(flatten)]
    target: Target,
}

impl Audit {
    pub async fn run(self) -> Result<(), Failure> {
        let Self { from, until, subject, kind, limit, target } = self;
        let request = wire::ListAuditRecordsRequest {
            recorded_from: from,
            recorded_until: until,
            subject,
            kind: kind.map_or(0, i32::from),
            ..Default::default()
        };
        target.list(limit, method!(AccessServiceClient.list_audit_records), request, record).await
    }
}

fn kind(text: &str) -> Result<wire::AuditRecordKind, String> {
    let name = format!("AUDIT_RECORD_KIND_{}", text.to_ascii_uppercase().replace('-', "_"));
    wire::AuditRecordKind::from_str_name(&name)
        .ok_or_else(|| "a kind such as rejected, permission-denied or token-created is needed".to_owned())
}

fn record(record: &wire::AuditRecord) -> OutputRow {
    let role = u8::try_from(record.role).ok().and_then(Role::from_code).map(Role::name);
    let way = u8::try_from(record.way).ok().and_then(Way::from_code).map(Way::name);
    OutputRow::default()
        .with("recorded_at", time(record.recorded_at.as_ref()))
        .with("kind", bare(record.kind().as_str_name(), "AUDIT_RECORD_KIND_"))
        .and(row!(record: count, subject, peer, method, ledger_id, customer_id, reason, about))
        .with_more("record_id", record.record_id.as_str())
        .with_more("last_at", time(record.last_at.as_ref()))
        .with_more("role", role)
        .with_more("way", way)
        .with_more("request_id", record.request_id.as_str())
}
