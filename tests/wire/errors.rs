//! What is refused, and how callers are told.

use creditledger::grpc::DOMAIN;
use creditledger::grpc::wire::*;
use creditledger::store::Settings;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::served::{On, Served, on_each_engine};

/// The reason of a status, which has exactly one ErrorInfo of our domain.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details_vec();
    let infos: Vec<_> = details
        .into_iter()
        .filter_map(|detail| match detail {
            tonic_types::ErrorDetail::ErrorInfo(info) => Some(info),
            _ => None,
        })
        .collect();
    assert_eq!(infos.len(), 1, "{status:?}");
    assert_eq!(infos[0].domain, DOMAIN);
    infos[0].reason.clone()
}

pub fn fields(status: &Status) -> Vec<String> {
    assert_eq!((status.code(), reason(status).as_str()), (Code::InvalidArgument, "INVALID_FIELD"));
    let request = status.get_error_details().bad_request().cloned().unwrap();
    request.field_violations.into_iter().map(|violation| violation.field).collect()
}

async fn every_bad_field_is_named_at_once(on: On) {
    let served = Served::start(on).await;
    let bad = CreateCustomerRequest {
        context: Some(context("é", "x".repeat(129)).ledger("a b")),
        name: "line\nbreak".into(),
        contact: Some(Contact { email: "e".repeat(1_025), ..Default::default() }),
        metadata: (0..33).map(|n| (n.to_string(), String::new())).collect(),
        terms: Some(CustomerTerms {
            product_purchase_date: Some(Date { year: 2026, month: 2, day: 30 }),
            ..Default::default()
        }),
    };
    let status = served.customers().create_customer(bad).await.unwrap_err();
    let ids = ["context.ledger_id", "context.request_id", "context.customer_id"];
    let named = ["name", "contact.email", "metadata", "terms.product_purchase_date"];
    assert_eq!(fields(&status), [&ids[..], &named].concat());

    let status =
        served.holds().settle_hold(SettleHoldRequest { overrun: 9, ..Default::default() }).await.unwrap_err();
    assert_eq!(fields(&status), ["context.request_id", "context.customer_id", "target", "overrun"]);
    let status = served.holds().void_work(VoidWorkRequest::default()).await.unwrap_err();
    assert_eq!(
        fields(&status),
        ["context.request_id", "context.customer_id", "context.reason", "target", "work_id"]
    );
    let adjust = AdjustBalanceRequest { credits: "0".into(), ..Default::default() };
    let status = served.ledgers().adjust_balance(adjust).await.unwrap_err();
    assert_eq!(fields(&status), ["context.request_id", "context.customer_id", "context.reason", "credits"]);
    let late = RecordWorkRequest { work_seconds: -1, solutions: 1_001, ..served.work("i", 1) };
    assert_eq!(fields(&served.holds().record_work(late).await.unwrap_err()), ["work_seconds", "solutions"]);
}

async fn refusals_have_their_code_and_reason(on: On) {
    let served = Served::with_credits(on, "1").await;
    let mut holds = served.holds();
    let status = holds.place_hold(served.hold("i-1", "3")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::FailedPrecondition, "INSUFFICIENT_CREDITS"));
    assert_eq!(status.get_error_details().error_info().unwrap().metadata["shortfall"], "2");

    let other = PlaceHoldRequest {
        context: Some(context(served.next(), "acme").ledger("other")),
        ..served.hold("i-1", "1")
    };
    let status = holds.place_hold(other).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "LEDGER_NOT_FOUND"));
    let nobody = PlaceHoldRequest { context: served.of("nobody"), ..served.hold("i-1", "1") };
    let status = holds.place_hold(nobody).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "CUSTOMER_NOT_FOUND"));
    let status = holds.settle_hold(served.settle("i-9")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "HOLD_NOT_FOUND"));

    let placed = served.hold("i-1", "1");
    holds.place_hold(placed.clone()).await.unwrap();
    let status = holds.place_hold(served.hold("i-1", "1")).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "HOLD_EXISTS"));
    let reused = PlaceHoldRequest { note: "other".into(), ..placed };
    let status = holds.place_hold(reused).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    let receipt = GetReceiptRequest {
        customer_id: "acme".into(),
        target: Some(HoldTarget::incident("i-1")),
        ..Default::default()
    };
    let status = holds.get_receipt(receipt).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "SETTLEMENT_NOT_FOUND"));
}

#[tokio::test]
async fn what_tonic_refuses_has_a_reason_too() {
    let served = Served::with_credits(On::Memory, "1").await;
    let large = PlaceHoldRequest { note: "n".repeat(5 << 20), ..served.hold("i-1", "1") };
    let status = served.holds().place_hold(large).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));

    let mut any = tonic::client::Grpc::new(served.channel.clone());
    let mut call = async |path: &'static str| {
        any.ready().await.unwrap();
        // The first fields of a command are a message and a text; numbers there are no request.
        let request = tonic::Request::new(prost_types::Timestamp { seconds: 1, nanos: 1 });
        let codec = tonic_prost::ProstCodec::<prost_types::Timestamp, ()>::default();
        any.unary(request, http::uri::PathAndQuery::from_static(path), codec).await.unwrap_err()
    };
    let status = call("/creditledger.v1.HoldService/PlaceHold").await;
    assert_eq!((status.code(), reason(&status).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    for path in ["/creditledger.v1.HoldService/Nothing", "/nothing/at/all"] {
        let status = call(path).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNIMPLEMENTED"));
    }
}

async fn page_tokens_belong_to_their_filter(on: On) {
    let served = Served::with_credits(on, "5").await;
    for incident in ["i-1", "i-2", "i-3"] {
        served.holds().place_hold(served.hold(incident, "1")).await.unwrap();
    }
    let list = |page_token: &str, class: &str| ListHoldsRequest {
        page_size: 2,
        page_token: page_token.into(),
        incident_class: class.into(),
        ..Default::default()
    };
    let first = served.holds().list_holds(list("", "")).await.unwrap().into_inner();
    assert_eq!(first.holds.iter().map(|hold| hold.incident_id.as_str()).collect::<Vec<_>>(), ["i-3", "i-2"]);
    let second = served.holds().list_holds(list(&first.next_page_token, "")).await.unwrap().into_inner();
    assert_eq!((second.holds.len(), second.next_page_token.as_str()), (1, ""));
    for (token, class) in [(first.next_page_token.as_str(), "price-plans"), ("nonsense", "")] {
        let status = served.holds().list_holds(list(token, class)).await.unwrap_err();
        assert_eq!(fields(&status), ["page_token"]);
    }
    let negative = ListHoldsRequest { page_size: -1, states: vec![0, 99], ..Default::default() };
    let status = served.holds().list_holds(negative).await.unwrap_err();
    assert_eq!(fields(&status), ["states[0]", "states[1]", "page_size"]);
}

/// A page of the file that cannot be read is no outage: no repeat mends it.
#[tokio::test]
async fn a_damaged_page_is_told_as_data_loss() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let url = |name: &str| format!("sqlite://{}", path(name).display());
    let first = Served::at(&url("first.db"), &Settings::default(), None).await;
    first.buy("5").await;
    first.holds().place_hold(first.hold("i", "1")).await.unwrap();
    let root: u64 = {
        let database = rusqlite::Connection::open(path("first.db")).unwrap();
        database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let root = "SELECT rootpage FROM sqlite_schema WHERE name = 'hold'";
        database.query_row(root, [], |row| row.get::<_, i64>(0)).unwrap().cast_unsigned()
    };
    let mut file = std::fs::read(path("first.db")).unwrap();
    let start = usize::try_from((root - 1) * 4_096).unwrap();
    file[start..start + 4_096].fill(0xFF);
    std::fs::write(path("second.db"), file).unwrap();
    let served = Served::at(&url("second.db"), &Settings::default(), None).await;
    let status = served.holds().list_holds(ListHoldsRequest::default()).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::DataLoss, "DATA_DAMAGED"));
}

on_each_engine! {
    every_bad_field_is_named_at_once
    refusals_have_their_code_and_reason
    page_tokens_belong_to_their_filter
}
