//! What comments of the contract say of single fields and rejections, held to what the server does.

use creditledger::grpc::wire::*;
use prost_reflect::DescriptorPool;
use prost_types::Timestamp;
use tonic::Code;

use crate::errors::reason;
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    missing_credits_stand_in_the_postings_that_their_comment_names
    a_closed_customer_gets_no_grant
    a_dispute_refuses_another_chargeback_and_no_refund
    a_quote_ends_at_its_hold_s_expiry_where_that_is_earlier
    the_newest_posting_comes_first_with_its_transfers_in_order
}

async fn postings(served: &Served) -> Vec<Posting> {
    let all = ListPostingsRequest { customer_id: "acme".into(), ..Default::default() };
    served.ledgers().list_postings(all).await.unwrap().into_inner().postings
}

/// The comment on a field.
fn comment(message: &str, field: &str) -> String {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let message = pool.get_message_by_name(&format!("creditledger.v1.{message}")).unwrap();
    let field = message.get_field_by_name(field).unwrap();
    let file = field.parent_file();
    let place = file.file_descriptor_proto().source_code_info.as_ref().unwrap();
    let found = place.location.iter().find(|location| location.path == field.path()).unwrap();
    found.leading_comments().to_owned()
}

async fn missing_credits_stand_in_the_postings_that_their_comment_names(on: On) {
    let served = Served::with_credits(on, "1").await;
    let mut holds = served.holds();
    holds.estimate_incident(served.estimate("estimated", "2")).await.unwrap();
    holds.estimate_incident(served.estimate("parked", "3")).await.unwrap();
    let park = ConfirmEstimateRequest {
        context: served.of("acme"),
        target: Some(HoldTarget::incident("parked")),
        park: true,
    };
    holds.confirm_estimate(park).await.unwrap();
    holds.place_hold(PlaceHoldRequest { park: true, ..served.hold("placed", "4") }).await.unwrap();
    holds.place_hold(served.hold("refused", "5")).await.unwrap_err();
    holds.place_hold(served.hold("worked", "1")).await.unwrap();
    holds.record_work(served.work("worked", 60)).await.unwrap();
    let told: Vec<(String, String)> = postings(&served)
        .await
        .into_iter()
        .filter(|posting| !posting.shortfall_credits.is_empty())
        .map(|posting| (posting.kind().as_str_name().to_owned(), posting.shortfall_credits))
        .collect();
    let of = |kind: &str, missing: &str| (format!("POSTING_KIND_{kind}"), missing.to_owned());
    assert_eq!(
        told,
        [
            of("ESTIMATE_INCIDENT", "1"),
            of("ESTIMATE_INCIDENT", "2"),
            of("PLACE_HOLD", "3"),
            of("NOTE_SHORTFALL", "4"),
            of("RECORD_WORK", "1"),
        ]
    );
    let comment = comment("Posting", "shortfall_credits");
    for (kind, _) in told {
        let kind = kind.strip_prefix("POSTING_KIND_").unwrap();
        assert!(comment.contains(kind), "{kind}: {comment}");
    }
}

async fn a_closed_customer_gets_no_grant(on: On) {
    let served = Served::with_credits(on, "1").await;
    let close = CloseCustomerRequest { context: served.of("acme") };
    served.customers().close_customer(close).await.unwrap();
    let grant = GrantCreditsRequest { context: served.of("acme"), credits: "1".into(), ..Default::default() };
    let refused = served.purchases().grant_credits(grant).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "CUSTOMER_CLOSED"));
    served.purchases().purchase_credits(served.purchase("1", "after")).await.unwrap();
    assert_eq!(postings(&served).await.len(), 4);
}

async fn a_dispute_refuses_another_chargeback_and_no_refund(on: On) {
    let served = Served::with_credits(on, "0").await;
    served.purchases().purchase_credits(served.purchase("5", "o")).await.unwrap();
    let target = || Some(PurchaseTarget::order("web", "o"));
    let taken = || RecordChargebackRequest {
        context: served.of("acme"),
        target: target(),
        credits: Some("1".into()),
        ..Default::default()
    };
    served.purchases().record_chargeback(taken()).await.unwrap();
    let refused = served.purchases().record_chargeback(taken()).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "PURCHASE_DISPUTED"));
    let back = RefundPurchaseRequest {
        context: served.of("acme"),
        target: target(),
        credits: "1".into(),
        ..Default::default()
    };
    let back = served.purchases().refund_purchase(back).await.unwrap().into_inner();
    assert_eq!(back.outcome().purchase.unwrap().refunds.len(), 2);
}

async fn a_quote_ends_at_its_hold_s_expiry_where_that_is_earlier(on: On) {
    let served = Served::with_credits(on, "5").await;
    let now = std::time::SystemTime::now() + std::time::Duration::from_secs(3);
    let expires_at = Some(Timestamp::from(now));
    let estimate = EstimateIncidentRequest { expires_at, ..served.estimate("i", "2") };
    let quoted = served.holds().estimate_incident(estimate).await.unwrap().into_inner();
    let quoted = quoted.outcome().hold.unwrap();
    assert!(quoted.valid_until.unwrap().seconds > quoted.expires_at.unwrap().seconds);
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(2);
    loop {
        // A command that changes nothing applies what is due.
        let alerts = SetBalanceAlertsRequest { context: served.of("acme"), ..Default::default() };
        served.notifications().set_balance_alerts(alerts).await.unwrap();
        let get = GetHoldRequest {
            customer_id: "acme".into(),
            target: Some(HoldTarget::incident("i")),
            ..Default::default()
        };
        let hold = served.holds().get_hold(get).await.unwrap().into_inner().hold.unwrap();
        if hold.state() == HoldState::Expired {
            break;
        }
        assert_eq!(hold.state(), HoldState::Quoted);
        assert!(std::time::Instant::now() < deadline, "the quote is still open: {hold:?}");
        tokio::task::yield_now().await;
    }
}

async fn the_newest_posting_comes_first_with_its_transfers_in_order(on: On) {
    let served = Served::with_credits(on, "5").await;
    served.holds().place_hold(served.hold("i", "1")).await.unwrap();
    served.holds().record_work(served.work("i", 60)).await.unwrap();
    served.holds().settle_hold(served.settle("i")).await.unwrap();
    let newest =
        ListTransfersRequest { customer_id: "acme".into(), newest_first: true, ..Default::default() };
    let listed = served.ledgers().list_transfers(newest).await.unwrap().into_inner().transfers;
    let told: Vec<_> = listed
        .iter()
        .map(|line| {
            let transfer = line.transfer.as_ref().unwrap();
            format!("{}: {} > {}", line.sequence, transfer.debit_account, transfer.credit_account)
        })
        .collect();
    assert_eq!(
        told,
        ["5: held > revenue", "5: available > revenue", "3: available > held", "2: sales:web > available"]
    );
}
