//! Balances, lists, the journal, price lists, and the services that every gRPC server has.

use creditledger::grpc::wire::rate_card_service_client::RateCardServiceClient;
use creditledger::grpc::wire::*;
use tonic::Code;

use crate::errors::{fields, reason};
use crate::served::{On, Served, on_each_engine};

fn balance(as_of: Option<get_balance_request::AsOf>) -> GetBalanceRequest {
    GetBalanceRequest { customer_id: "acme".into(), as_of, ..Default::default() }
}

async fn balances_as_of_any_point(on: On) {
    use get_balance_request::AsOf;
    let served = Served::with_credits(on, "5").await;
    served.holds().place_hold(served.hold("i-1", "2")).await.unwrap();
    // Positions are given shortly after the commit, at the latest when somebody reads the journal.
    assert_eq!(served.positions().await, [3, 0]);
    let mut ledgers = served.ledgers();
    for (as_of, available, sequence) in [
        (None, "3", 3),
        (Some(AsOf::Sequence(2)), "5", 2),
        (Some(AsOf::Sequence(0)), "0", 0),
        (Some(AsOf::Sequence(99)), "3", 3),
        (Some(AsOf::Position(1)), "0", 1),
        (Some(AsOf::Time(prost_types::Timestamp { seconds: 1, nanos: 0 })), "0", 0),
        (Some(AsOf::Time(prost_types::Timestamp { seconds: 253_402_300_799, nanos: 0 })), "3", 3),
    ] {
        let found = ledgers.get_balance(balance(as_of)).await.unwrap().into_inner();
        let shown = found.balance.unwrap();
        assert_eq!((shown.available_credits.as_str(), shown.sequence), (available, sequence), "{as_of:?}");
        assert_eq!(found.recorded_at.is_some(), sequence > 0, "{as_of:?}");
    }
    let many =
        BatchGetBalancesRequest { customer_ids: vec!["no".into(), "acme".into()], ..Default::default() };
    let many = ledgers.batch_get_balances(many).await.unwrap().into_inner();
    assert_eq!(
        (many.balances.len(), many.unknown_customer_ids.as_slice()),
        (1, ["no".to_owned()].as_slice())
    );
}

async fn postings_and_transfers_are_paged_both_ways(on: On) {
    let served = Served::with_credits(on, "9").await;
    for incident in ["i-1", "i-2", "i-3"] {
        served.holds().place_hold(served.hold(incident, "1")).await.unwrap();
        served.holds().record_work(served.work(incident, 45)).await.unwrap();
        served.holds().settle_hold(served.settle(incident)).await.unwrap();
    }
    // Positions are given shortly after the commit, at the latest when somebody reads the journal.
    assert_eq!(served.positions().await, [11, 0]);
    for newest_first in [false, true] {
        let mut sequences = Vec::new();
        let mut transfers = Vec::new();
        let mut token = String::new();
        loop {
            let request = ListPostingsRequest {
                customer_id: "acme".into(),
                newest_first,
                page_size: 4,
                page_token: token,
                ..Default::default()
            };
            let page = served.ledgers().list_postings(request).await.unwrap().into_inner();
            sequences.extend(page.postings.iter().map(|posting| (posting.sequence, posting.position)));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        loop {
            let request = ListTransfersRequest {
                customer_id: "acme".into(),
                newest_first,
                page_size: 2,
                page_token: token,
                ..Default::default()
            };
            let page = served.ledgers().list_transfers(request).await.unwrap().into_inner();
            assert!(page.transfers.len() <= 2);
            transfers.extend(page.transfers.into_iter().map(|transfer| transfer.sequence));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
        }
        let mut expected: Vec<_> = (1..=11).map(|sequence| (sequence, sequence)).collect();
        // Creation and work move nothing; a settlement above its hold moves twice.
        let mut moved = vec![2, 3, 5, 5, 6, 8, 8, 9, 11, 11];
        if newest_first {
            expected.reverse();
            moved.reverse();
        }
        assert_eq!((sequences, transfers), (expected, moved));
    }
    let trial =
        served.ledgers().get_trial_balance(GetTrialBalanceRequest::default()).await.unwrap().into_inner();
    assert_eq!(trial.total_credits, "0");
    assert!(trial.accounts.iter().any(|account| account.account == "sales:web" && account.credits == "-9"));
}

async fn the_journal_is_followed_and_resumed(on: On) {
    let served = Served::with_credits(on, "5").await;
    let all = StreamJournalRequest { after_position: 1, follow: true, ..Default::default() };
    let mut stream = served.ledgers().stream_journal(all).await.unwrap().into_inner();
    let first = stream.message().await.unwrap().unwrap().posting.unwrap();
    assert_eq!((first.position, first.customer_id.as_str(), first.sequence), (2, "acme", 2));
    served.holds().place_hold(served.hold("i-1", "2")).await.unwrap();
    let next = stream.message().await.unwrap().unwrap().posting.unwrap();
    assert_eq!((next.position, next.kind()), (3, PostingKind::PlaceHold));
    let rest = StreamJournalRequest::default();
    let mut ended = served.ledgers().stream_journal(rest).await.unwrap().into_inner();
    for position in 1..=3 {
        assert_eq!(ended.message().await.unwrap().unwrap().posting.unwrap().position, position);
    }
    assert!(ended.message().await.unwrap().is_none());
    served.stop.send(()).unwrap();
    assert_eq!(stream.message().await.unwrap_err().code(), Code::Unavailable);
    drop((stream, ended, served.channel));
    served.server.await.unwrap().unwrap();
}

async fn ledgers_keep_apart(on: On) {
    let served = Served::with_credits(on, "5").await;
    let request = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    let made = served.ledgers().create_ledger(request.clone()).await.unwrap().into_inner();
    let again = served.ledgers().create_ledger(request).await.unwrap().into_inner();
    assert_eq!(made.ledger, again.ledger);
    assert!(!made.outcome().replayed && again.outcome().replayed);
    let taken = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    assert_eq!(served.ledgers().create_ledger(taken).await.unwrap_err().code(), Code::AlreadyExists);
    let elsewhere = GetBalanceRequest { ledger_id: "other".into(), ..balance(None) };
    assert_eq!(served.ledgers().get_balance(elsewhere).await.unwrap_err().code(), Code::NotFound);
    let listed = served.ledgers().list_ledgers(ListLedgersRequest::default()).await.unwrap().into_inner();
    assert_eq!(listed.ledgers.iter().map(|l| l.ledger_id.as_str()).collect::<Vec<_>>(), ["main", "other"]);
}

async fn a_ledger_and_the_server_are_told_of(on: On) {
    let served = Served::start(on).await;
    let mut ledgers = served.ledgers();
    let request = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    let made = ledgers.create_ledger(request).await.unwrap().into_inner().ledger.unwrap();
    let listed = ledgers.list_ledgers(ListLedgersRequest::default()).await.unwrap().into_inner().ledgers;
    assert_eq!(listed[1], made);
    for (ledger_id, expected) in [("", &listed[0]), ("main", &listed[0]), ("other", &made)] {
        let request = GetLedgerRequest { ledger_id: ledger_id.into() };
        let found = ledgers.get_ledger(request).await.unwrap().into_inner().ledger.unwrap();
        assert_eq!(&found, expected);
        assert!(found.created_at.is_some());
    }
    let nowhere = ledgers.get_ledger(GetLedgerRequest { ledger_id: "nowhere".into() }).await.unwrap_err();
    assert_eq!((nowhere.code(), reason(&nowhere).as_str()), (Code::NotFound, "LEDGER_NOT_FOUND"));
    let bad = ledgers.get_ledger(GetLedgerRequest { ledger_id: "a b".into() }).await.unwrap_err();
    assert_eq!(fields(&bad), ["ledger_id"]);

    let about = ledgers.get_server_info(GetServerInfoRequest {}).await.unwrap().into_inner().server_info;
    let about = about.unwrap();
    let (engine, has_schema) = match on {
        On::Memory => ("memory", false),
        On::Sqlite => ("sqlite", true),
        On::Postgres => ("postgres", true),
    };
    assert_eq!((about.version.as_str(), about.engine.as_str()), (env!("CARGO_PKG_VERSION"), engine));
    assert_eq!((about.schema_version > 0, about.ledgers), (has_schema, 2));
    assert!(about.features.is_sorted_by(|one, next| one < next), "{:?}", about.features);
}

async fn a_webhook_endpoint_is_read_by_its_id(on: On) {
    let served = Served::start(on).await;
    let other = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    served.ledgers().create_ledger(other).await.unwrap();
    let mut client = served.notifications();
    let get = |ledger_id: &str, endpoint_id: &str| GetWebhookEndpointRequest {
        ledger_id: ledger_id.into(),
        endpoint_id: endpoint_id.into(),
    };
    let mut made = Vec::new();
    for ledger_id in ["", "other"] {
        let create = CreateWebhookEndpointRequest {
            context: Some(context(served.next(), "").ledger(ledger_id)),
            url: "https://hooks.example.com/here".into(),
            types: vec![EventType::BalanceLow.into()],
            description: "crm".into(),
            ..Default::default()
        };
        let created = client.create_webhook_endpoint(create).await.unwrap().into_inner();
        let endpoint = created.endpoint.unwrap();
        let found = client.get_webhook_endpoint(get(ledger_id, &endpoint.endpoint_id)).await.unwrap();
        assert_eq!(found.into_inner().endpoint.as_ref(), Some(&endpoint));
        assert_eq!(endpoint.ledger_id, if ledger_id.is_empty() { "main" } else { ledger_id });
        made.push(endpoint.endpoint_id);
    }
    let update = UpdateWebhookEndpointRequest {
        context: served.of(""),
        endpoint_id: made[0].clone(),
        description: "erp".into(),
        update_mask: Some(prost_types::FieldMask { paths: vec!["description".into()] }),
        ..Default::default()
    };
    let updated = client.update_webhook_endpoint(update).await.unwrap().into_inner().endpoint;
    let found = client.get_webhook_endpoint(get("main", &made[0])).await.unwrap().into_inner().endpoint;
    assert_eq!((found.clone().unwrap().description.as_str(), &found), ("erp", &updated));
    let delete = DeleteWebhookEndpointRequest { context: served.of(""), endpoint_id: made[0].clone() };
    client.delete_webhook_endpoint(delete).await.unwrap();
    // One that is gone, and those of the other ledger, from either side.
    for (ledger_id, endpoint_id) in [("main", &made[0]), ("main", &made[1]), ("other", &made[0])] {
        let status = client.get_webhook_endpoint(get(ledger_id, endpoint_id)).await.unwrap_err();
        let told = (status.code(), reason(&status));
        assert_eq!(told, (Code::NotFound, "WEBHOOK_ENDPOINT_NOT_FOUND".to_owned()));
    }
    for bad in ["", "email", "x"] {
        let status = client.get_webhook_endpoint(get("", bad)).await.unwrap_err();
        assert_eq!(fields(&status), ["endpoint_id"]);
    }
}

async fn lists_of_purchases_lots_and_customers(on: On) {
    let served = Served::with_credits(on, "5").await;
    served.holds().place_hold(served.hold("i-1", "2")).await.unwrap();
    let grant = GrantCreditsRequest { context: served.of("acme"), credits: "1".into(), ..Default::default() };
    let granted = served.purchases().grant_credits(grant).await.unwrap().into_inner().lot.unwrap();
    assert_eq!((granted.source(), granted.left_credits.as_str()), (LotSource::Grant, "1"));
    let purchases =
        served.purchases().list_purchases(ListPurchasesRequest::default()).await.unwrap().into_inner();
    let [purchase] = purchases.purchases.try_into().unwrap();
    let lots = served.ledgers().list_lots(ListLotsRequest::default()).await.unwrap().into_inner().lots;
    assert_eq!(lots.iter().map(|lot| lot.left_credits.as_str()).collect::<Vec<_>>(), ["1", "5"]);
    assert_eq!(lots[1].lot_id, purchase.purchase_id);
    for target in
        [PurchaseTarget::purchase(&purchase.purchase_id), PurchaseTarget::order("web", &purchase.order_id)]
    {
        let request = GetPurchaseRequest { target: Some(target), ..Default::default() };
        let found = served.purchases().get_purchase(request).await.unwrap().into_inner().purchase.unwrap();
        assert_eq!(found, purchase);
    }
    let by_lot = PurchaseTarget::purchase(granted.lot_id);
    let request = GetPurchaseRequest { target: Some(by_lot), ..Default::default() };
    assert_eq!(served.purchases().get_purchase(request).await.unwrap_err().code(), Code::NotFound);
    let customers =
        served.customers().list_customers(ListCustomersRequest::default()).await.unwrap().into_inner();
    assert_eq!(customers.customers[0].balance.as_ref().unwrap().available_credits, "4");
}

async fn price_lists_and_previews(on: On) {
    let served = Served::with_credits(on, "0").await;
    let mut cards = RateCardServiceClient::new(served.channel.clone());
    let card =
        cards.get_rate_card(GetRateCardRequest::default()).await.unwrap().into_inner().rate_card.unwrap();
    assert_eq!((card.rate_card_id.as_str(), card.version, card.is_default), ("prepaid", 1, true));
    let listed = cards.list_rate_cards(ListRateCardsRequest::default()).await.unwrap().into_inner();
    let names: Vec<_> = listed.rate_cards.iter().map(|card| card.rate_card_id.as_str()).collect();
    assert_eq!(names, ["flat-then-quoted", "half-hour", "prepaid", "three-lines"]);
    assert_eq!(listed.rate_cards[2], card);
    let preview =
        PreviewChargeRequest { customer_id: "acme".into(), work_seconds: 2_400, ..Default::default() };
    let preview = cards.preview_charge(preview).await.unwrap().into_inner();
    assert_eq!((preview.credits.as_str(), preview.steps.len()), ("1.33", 3));
    // 20 minutes on the second line and 25 on the first, which is free; twice for somebody on site.
    let piece =
        |work_seconds, line: &str| PreviewWork { work_seconds, line: line.into(), ..Default::default() };
    let lines = PreviewChargeRequest {
        rate_card_id: "three-lines".into(),
        work: vec![piece(1_200, "second"), piece(1_500, "first")],
        ..Default::default()
    };
    let preview = cards.preview_charge(lines).await.unwrap().into_inner();
    assert_eq!(
        (preview.credits.as_str(), preview.rate_card.unwrap().rate_card_id.as_str()),
        ("1", "three-lines")
    );
    // Twenty minutes after twenty that were charged; and ten by the clock, thirty days after ten.
    let before = |card: &str, work: [PreviewWork; 2]| {
        let [before, work] = work;
        PreviewChargeRequest {
            rate_card_id: card.into(),
            work: vec![work],
            work_before: vec![before],
            ..Default::default()
        }
    };
    let prepaid = before("prepaid", [piece(1_200, ""), piece(1_200, "")]);
    let preview = cards.preview_charge(prepaid.clone()).await.unwrap().into_inner();
    let rules: Vec<_> = preview.steps.iter().map(ChargeStep::rule).collect();
    use StepRule::{ChargedBefore, PriceBefore, Rate, Rounding, Time, TimeBefore};
    assert_eq!(
        (preview.credits.as_str(), rules),
        ("0.33", vec![Time, TimeBefore, Rate, Rounding, PriceBefore])
    );
    let at = |days: i64| {
        let started_at = Some(prost_types::Timestamp { seconds: 86_400 * days, nanos: 0 });
        PreviewWork { started_at, ..piece(600, "") }
    };
    let clock = before("half-hour", [at(0), at(30)]);
    assert_eq!(cards.preview_charge(clock).await.unwrap().into_inner().credits, "0");
    // As incidents were charged by the first rules; not both at once.
    let charged = Some("1".to_owned());
    let first = PreviewChargeRequest {
        work_seconds: 2_400,
        charged_before_credits: charged.clone(),
        ..Default::default()
    };
    let preview = cards.preview_charge(first).await.unwrap().into_inner();
    let last = preview.steps.last().unwrap().rule();
    assert_eq!((preview.credits.as_str(), last), ("0.33", ChargedBefore));
    let both = PreviewChargeRequest { charged_before_credits: charged, ..prepaid };
    assert_eq!(fields(&cards.preview_charge(both).await.unwrap_err()), ["charged_before_credits"]);
    let free =
        PreviewChargeRequest { rate_card_id: "half-hour".into(), emergency: true, ..Default::default() };
    assert_eq!(cards.preview_charge(free).await.unwrap().into_inner().credits, "0");
    let quoted = PreviewChargeRequest { incident_class: "other".into(), ..Default::default() };
    assert_eq!(cards.preview_charge(quoted).await.unwrap_err().code(), Code::FailedPrecondition);
    let missing = GetRateCardRequest { version: 2, ..Default::default() };
    assert_eq!(cards.get_rate_card(missing).await.unwrap_err().code(), Code::NotFound);
}

async fn health_is_told(on: On) {
    use tonic_health::pb::health_check_response::ServingStatus;
    use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
    let served = Served::start(on).await;
    for service in ["", "creditledger.v1.HoldService"] {
        let request = HealthCheckRequest { service: service.into() };
        let answer = HealthClient::new(served.channel.clone()).check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
    }
}

on_each_engine! {
    balances_as_of_any_point
    postings_and_transfers_are_paged_both_ways
    the_journal_is_followed_and_resumed
    ledgers_keep_apart
    a_ledger_and_the_server_are_told_of
    a_webhook_endpoint_is_read_by_its_id
    lists_of_purchases_lots_and_customers
    price_lists_and_previews
    health_is_told
}
