//! The audit log, at the wire: what was refused, rejected and changed, by whom, once each.

use std::time::Duration;

use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::*;
use creditledger::ledger::actor::Role;
use creditledger::writer::Limits;
use prost::Message;

use crate::callers::{Guarded, with_token};
use crate::gate::gated;
use crate::raw;
use crate::served::{On, Served};

/// All records, oldest first: kind, subject, method, request, reason, about.
async fn records(served: &Served, guarded: &Guarded, token: &str) -> Vec<[String; 6]> {
    served.recorder.flush().await;
    let asked = ListAuditRecordsRequest { page_size: 1_000, ..Default::default() };
    let answer = guarded.call(token, "AccessService/ListAuditRecords", asked.encode_to_vec()).await.unwrap();
    let records = ListAuditRecordsResponse::decode(answer.as_slice()).unwrap().audit_records;
    let mut shown: Vec<_> = records
        .into_iter()
        .map(|record| {
            let kind = AuditRecordKind::try_from(record.kind).unwrap().as_str_name();
            let kind = kind.trim_start_matches("AUDIT_RECORD_KIND_").to_owned();
            [kind, record.subject, record.method, record.request_id, record.reason, record.about]
        })
        .collect();
    shown.reverse();
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_posting_is_in_the_audit_log_once() {
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::over(&served).await;
    let tokens = &guarded.tokens;
    let (operator, auditor) =
        (tokens.issue("op", Role::Operator, &[]), tokens.issue("eye", Role::Auditor, &[]));
    let desk = tokens.issue("desk", Role::Helpdesk, &["main"]);
    let customer = tokens.issue("acme", Role::Customer, &[]);
    let call = |token: &str, method: &'static str, message: Vec<u8>| {
        let token = token.to_owned();
        let guarded = &guarded;
        async move { guarded.call(&token, method, message).await }
    };
    let context = |request: &str, customer: &str| Some(context(request, customer));
    // A change that is no posting, and its repeat.
    let ledger =
        CreateLedgerRequest { context: context("new-ledger", ""), ledger_id: "new".into() }.encode_to_vec();
    for _ in 0..2 {
        call(&operator, "LedgerService/CreateLedger", ledger.clone()).await.unwrap();
    }
    // A role that may not, a ledger and a customer that are not the caller's.
    call(&desk, "LedgerService/CreateLedger", ledger).await.unwrap_err();
    let elsewhere =
        GetBalanceRequest { ledger_id: "new".into(), customer_id: "acme".into(), ..Default::default() };
    call(&desk, "LedgerService/GetBalance", elsewhere.encode_to_vec()).await.unwrap_err();
    let other = GetBalanceRequest { customer_id: "zeta".into(), ..Default::default() };
    call(&customer, "LedgerService/GetBalance", other.encode_to_vec()).await.unwrap_err();
    // Rejections: alone, in a batch, in a stream.
    let settle = |request: &str| SettleHoldRequest {
        context: context(request, "acme"),
        target: Some(HoldTarget::incident("nothing")),
        ..Default::default()
    };
    call(&desk, "HoldService/SettleHold", settle("r-1").encode_to_vec()).await.unwrap_err();
    let command =
        |request: &str| BatchCommand { command: Some(batch_command::Command::SettleHold(settle(request))) };
    let batch = ExecuteBatchRequest { commands: vec![command("r-2")], ..Default::default() };
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    client.execute_batch(with_token(&desk, batch)).await.unwrap();
    let streamed = [ExecuteStreamRequest { correlation_id: 1, command: Some(command("r-3")) }];
    let answers = client.execute_stream(with_token(&desk, tokio_stream::iter(streamed))).await.unwrap();
    assert!(answers.into_inner().message().await.unwrap().is_some());
    // What is accepted is in the journal, malformed requests were never decided, and reads change nothing.
    let grant =
        GrantCreditsRequest { context: context("g", "acme"), credits: "1".into(), ..Default::default() };
    call(&operator, "PurchaseService/GrantCredits", grant.encode_to_vec()).await.unwrap();
    let malformed = GrantCreditsRequest { credits: "x".into(), ..Default::default() };
    call(&operator, "PurchaseService/GrantCredits", malformed.encode_to_vec()).await.unwrap_err();
    let unknown = GetBalanceRequest { customer_id: "nobody".into(), ..Default::default() };
    call(&operator, "LedgerService/GetBalance", unknown.encode_to_vec()).await.unwrap_err();
    let expected = [
        ["LEDGER_CREATED", "op", "LedgerService/CreateLedger", "new-ledger", "", "new"],
        ["PERMISSION_DENIED", "desk", "LedgerService/CreateLedger", "", "PERMISSION_DENIED", ""],
        ["PERMISSION_DENIED", "desk", "LedgerService/GetBalance", "", "PERMISSION_DENIED", ""],
        ["PERMISSION_DENIED", "acme", "LedgerService/GetBalance", "", "CUSTOMER_NOT_FOUND", ""],
        ["REJECTED", "desk", "HoldService/SettleHold", "r-1", "HOLD_NOT_FOUND", ""],
        ["REJECTED", "desk", "BatchService/ExecuteBatch", "r-2", "HOLD_NOT_FOUND", ""],
        ["REJECTED", "desk", "BatchService/ExecuteStream", "r-3", "HOLD_NOT_FOUND", ""],
    ];
    let found = records(&served, &guarded, &auditor).await;
    assert_eq!(found, expected.map(|row| row.map(str::to_owned)));
    // Strangers are counted by peer and minute.
    for _ in 0..3 {
        raw::call(&guarded.channel, "LedgerService/ListLedgers", Vec::new()).await.unwrap_err();
    }
    // A bound auditor or operator does not see the log of the whole server.
    let bound = tokens.issue("bound", Role::Operator, &["main"]);
    for method in ["AccessService/ListAuditRecords", "AccessService/ListTokens"] {
        let status = call(&bound, method, Vec::new()).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::PermissionDenied);
    }
}

/// Nobody hides what he tries by going away before it is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rejection_is_kept_though_its_caller_has_gone_away() {
    let (served, mut gate) = gated(Limits::default()).await;
    let guarded = Guarded::over(&served).await;
    let auditor = guarded.tokens.issue("eye", Role::Auditor, &[]);
    let desk = guarded.tokens.issue("desk", Role::Helpdesk, &["main"]);
    // While this commit waits, what comes after it is queued.
    gate.close();
    let mut customers = served.customers();
    let create = CreateCustomerRequest { context: served.of("acme"), ..Default::default() };
    let first = tokio::spawn(async move { customers.create_customer(create).await });
    gate.wait_for_commit().await;
    let settle = |request: &str| SettleHoldRequest {
        context: Some(context(request, "acme")),
        target: Some(HoldTarget::incident("nothing")),
        ..Default::default()
    };
    let command =
        |request: &str| BatchCommand { command: Some(batch_command::Command::SettleHold(settle(request))) };
    let batch = ExecuteBatchRequest { commands: vec![command("r-2"), command("r-3")], ..Default::default() };
    let calls = [
        ("HoldService/SettleHold", settle("r-1").encode_to_vec()),
        ("BatchService/ExecuteBatch", batch.encode_to_vec()),
    ];
    let calls = calls.map(|(method, message)| {
        let (channel, request) = (guarded.channel.clone(), with_token(&desk, message));
        tokio::spawn(async move { raw::send(&channel, method, request).await })
    });
    let queued = async {
        while served.writer.queued() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), queued).await.unwrap();
    for call in calls {
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
    }
    // The connection carries calls in their order: once these are answered the server has seen the others go.
    for _ in 0..50 {
        guarded.call(&desk, "LedgerService/ListLedgers", Vec::new()).await.unwrap();
    }
    gate.set_open(true);
    first.await.unwrap().unwrap();
    served.verify().await;
    let rejected = |method: &str, request: &str| {
        ["REJECTED", "desk", method, request, "HOLD_NOT_FOUND", ""].map(str::to_owned)
    };
    let mut found = records(&served, &guarded, &auditor).await;
    found.sort();
    let expected = [
        rejected("BatchService/ExecuteBatch", "r-2"),
        rejected("BatchService/ExecuteBatch", "r-3"),
        rejected("HoldService/SettleHold", "r-1"),
    ];
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_authentication_only_changes_are_kept() {
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::over(&served).await;
    let auditor = guarded.tokens.issue("eye", Role::Auditor, &[]);
    let ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "new".into() };
    let request = ledger.context.clone().unwrap().request_id;
    served.ledgers().create_ledger(ledger).await.unwrap();
    served.holds().settle_hold(served.settle("nothing")).await.unwrap_err();
    let expected =
        ["LEDGER_CREATED", "", "LedgerService/CreateLedger", &request, "", "new"].map(str::to_owned);
    assert_eq!(records(&served, &guarded, &auditor).await, [expected]);
}
