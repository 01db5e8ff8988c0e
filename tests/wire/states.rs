//! Requests that are well formed and yet name what is not there, or not in a state for it.

use creditledger::grpc::wire::*;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::bad_values::is_bare;
use crate::errors::{fields, reason};
use crate::raw::{call, outcome, text};
use crate::served::{On, Served, on_each_engine};
use crate::types::Types;
use crate::world::World;

const NOWHERE: &str = "0190a2b4-c0de-7000-8000-000000000001";

async fn ids_of_nothing_and_of_elsewhere_are_not_found(on: On) {
    let world = World::new(on).await;
    let types = Types::new();
    let methods = types.methods();
    let mut wrong = Vec::new();
    let mut tried = 0;
    for (method, good) in world.good_requests() {
        let (_, input) = methods.iter().find(|(name, _)| name == method).unwrap();
        let is_bare = is_bare(types.message(input).name());
        let before = world.served.positions().await;
        for (path, field, of) in types.paths(input) {
            let incident_reason =
                if method == "HoldService/GetReceipt" { "SETTLEMENT_NOT_FOUND" } else { "HOLD_NOT_FOUND" };
            let cases: Vec<(&str, &str)> = match field.name() {
                "ledger_id"
                    if !["LedgerService/CreateLedger", "AccessService/CreateToken"].contains(&method) =>
                {
                    vec![("nowhere", "LEDGER_NOT_FOUND")]
                }
                "customer_id" if method != "CustomerService/CreateCustomer" && !is_bare => {
                    vec![("nobody", "CUSTOMER_NOT_FOUND"), ("only-there", "CUSTOMER_NOT_FOUND")]
                }
                "hold_id" => {
                    [NOWHERE, &world.other_hold, &world.foreign_hold].map(|id| (id, "HOLD_NOT_FOUND")).into()
                }
                // An incident of the other ledger, and one of nowhere.
                "incident_id" if of.name() == "HoldTarget" => {
                    ["only-there", "nothing"].map(|id| (id, incident_reason)).into()
                }
                "endpoint_id" => vec![(NOWHERE, "WEBHOOK_ENDPOINT_NOT_FOUND")],
                "work_id" => vec![(NOWHERE, "WORK_NOT_FOUND")],
                "purchase_id" => [NOWHERE, &world.other_purchase].map(|id| (id, "PURCHASE_NOT_FOUND")).into(),
                "rate_card_id" => vec![("no-card", "RATE_CARD_NOT_FOUND")],
                _ => vec![],
            };
            for (id, expected) in cases {
                tried += 1;
                let request = types.with(input, &good, &path, &|n| text(n, id));
                match call(&world.served.channel, method, request).await {
                    Err(status) if status.code() == Code::NotFound && reason(&status) == expected => {}
                    other => wrong.push(format!("{method} {path} {id}: {other:?}")),
                }
            }
        }
        let after = world.served.positions().await;
        if after != before {
            wrong.push(format!("{method} left a trace: {before:?} became {after:?}"));
        }
    }
    // What the loop above does not reach: inside of messages, and a version.
    let order = |storefront: &str, order_id: &str| {
        let target = Some(PurchaseTarget::order(storefront, order_id));
        GetPurchaseRequest { target, ..Default::default() }.encode_to_vec()
    };
    let card = CreateCustomerRequest {
        terms: Some(CustomerTerms { rate_card_id: "no-card".into(), ..Default::default() }),
        ..world.served.customer("new")
    };
    let version = GetRateCardRequest { version: 2, ..Default::default() };
    for (method, request, expected) in [
        ("PurchaseService/GetPurchase", order("web", "there-1"), "PURCHASE_NOT_FOUND"),
        ("PurchaseService/GetPurchase", order("shop", "zeta-1"), "PURCHASE_NOT_FOUND"),
        ("CustomerService/CreateCustomer", card.encode_to_vec(), "RATE_CARD_NOT_FOUND"),
        ("RateCardService/GetRateCard", version.encode_to_vec(), "RATE_CARD_NOT_FOUND"),
    ] {
        let status = call(&world.served.channel, method, request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, expected), "{method}");
    }
    assert!(wrong.is_empty(), "{} of {tried}:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 120, "{tried}");
    // The other ledger's customers are unknown in a list, too.
    let ids = vec!["only-there".to_owned(), "acme".to_owned()];
    let request = BatchGetBalancesRequest { customer_ids: ids, ..Default::default() };
    let many = world.served.ledgers().batch_get_balances(request).await.unwrap().into_inner();
    assert_eq!(many.unknown_customer_ids, ["only-there"]);
}

/// Brings the hold of an incident named after its state into that state.
async fn in_every_state(served: &Served) {
    let mut holds = served.holds();
    for incident in ["QUOTED", "DECLINED", "SUPERSEDED"] {
        holds.estimate_incident(served.estimate(incident, "2")).await.unwrap();
    }
    let decline =
        DeclineEstimateRequest { context: served.of("acme"), target: Some(HoldTarget::incident("DECLINED")) };
    holds.decline_estimate(decline).await.unwrap();
    for incident in ["ACTIVE", "SETTLED", "RELEASED"] {
        holds.place_hold(served.hold(incident, "2")).await.unwrap();
    }
    holds.settle_hold(served.settle("SETTLED")).await.unwrap();
    let release = ReleaseHoldRequest {
        context: served.of("acme"),
        target: Some(HoldTarget::incident("RELEASED")),
        ..Default::default()
    };
    holds.release_hold(release).await.unwrap();
    let parked = PlaceHoldRequest { park: true, ..served.hold("AWAITING_CREDITS", "5000") };
    holds.place_hold(parked).await.unwrap();
}

async fn commands_in_the_wrong_state_are_refused(on: On) {
    let world = World::new(on).await;
    let served = &world.served;
    in_every_state(served).await;
    let get = |incident: &str| GetHoldRequest {
        customer_id: "acme".into(),
        target: Some(HoldTarget::incident(incident)),
        ..Default::default()
    };
    let superseded =
        served.holds().get_hold(get("SUPERSEDED")).await.unwrap().into_inner().hold.unwrap().hold_id;
    served.holds().estimate_incident(served.estimate("SUPERSEDED", "3")).await.unwrap();
    /// (method, the states for which it is there, the reason elsewhere)
    const COMMANDS: [(&str, &[&str], &str); 9] = [
        ("HoldService/ConfirmEstimate", &["QUOTED"], "ESTIMATE_NOT_OPEN"),
        ("HoldService/DeclineEstimate", &["QUOTED", "AWAITING_CREDITS"], "ESTIMATE_NOT_OPEN"),
        ("HoldService/ExtendHold", &["ACTIVE"], "HOLD_NOT_ACTIVE"),
        ("HoldService/RecordWork", &["ACTIVE"], "HOLD_NOT_ACTIVE"),
        ("HoldService/VoidWork", &["ACTIVE"], "HOLD_NOT_ACTIVE"),
        ("HoldService/SettleHold", &["ACTIVE"], "HOLD_NOT_ACTIVE"),
        ("HoldService/ReleaseHold", &["ACTIVE", "AWAITING_CREDITS"], "HOLD_NOT_ACTIVE"),
        ("HoldService/CloseIncident", &["QUOTED", "AWAITING_CREDITS", "ACTIVE"], "HOLD_NOT_ACTIVE"),
        ("HoldService/ReverseSettlement", &["SETTLED"], "HOLD_NOT_SETTLED"),
    ];
    let states = ["QUOTED", "AWAITING_CREDITS", "ACTIVE", "SETTLED", "RELEASED", "DECLINED", "SUPERSEDED"];
    let types = Types::new();
    let good = world.good_requests();
    let before = served.positions().await;
    let mut wrong = Vec::new();
    for (method, legal, expected) in COMMANDS {
        let (_, request) = good.iter().find(|(name, _)| *name == method).unwrap();
        let (_, input) = types.methods().into_iter().find(|(name, _)| name == method).unwrap();
        for state in states.into_iter().filter(|state| !legal.contains(state)) {
            let (path, id) = match state {
                "SUPERSEDED" => ("target.hold_id", superseded.as_str()),
                _ => ("target.incident_id", state),
            };
            let request = types.with(input, request, path, &|n| text(n, id));
            match call(&served.channel, method, request).await {
                Err(status) if status.code() == Code::FailedPrecondition && reason(&status) == expected => {
                    let told = status.get_error_details().error_info().unwrap().metadata["state"].clone();
                    if told != state {
                        wrong.push(format!("{method} {state}: told {told}"));
                    }
                }
                other => wrong.push(format!("{method} {state}: {other:?}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(served.positions().await, before);
}

async fn what_else_the_state_forbids(on: On) {
    let world = World::new(on).await;
    let served = &world.served;
    let mut holds = served.holds();
    let mut customers = served.customers();
    let close = |customer: &str| CloseCustomerRequest { context: served.of(customer) };
    customers.close_customer(close("leaving")).await.unwrap();
    let first = holds
        .place_hold(served.hold("open", "1"))
        .await
        .unwrap()
        .into_inner()
        .outcome()
        .hold
        .unwrap()
        .hold_id;
    holds.record_work(served.work("open", 60)).await.unwrap();
    let before = served.positions().await;
    let place = |customer: &str, incident: &str, class: &str, credits: &str| {
        let hold = served.hold(incident, credits);
        PlaceHoldRequest { context: served.of(customer), incident_class: class.into(), ..hold }
            .encode_to_vec()
    };
    let release = ReleaseHoldRequest {
        context: served.of("acme"),
        target: Some(HoldTarget::incident("open")),
        ..Default::default()
    };
    let reverse = ReverseSettlementRequest {
        context: Some(context(served.next(), "acme").because("r")),
        target: Some(HoldTarget::incident("reverse")),
        credits: Some("100".into()),
    };
    let charge = |incident: &str, class: &str| {
        ChargeIncidentRequest {
            context: served.of("acme"),
            incident_id: incident.into(),
            incident_class: class.into(),
            work_seconds: 3_600,
            max_charge_credits: Some("1.5".into()),
            ..Default::default()
        }
        .encode_to_vec()
    };
    let extend = ExtendHoldRequest {
        context: served.of("acme"),
        target: Some(HoldTarget::incident("open")),
        credits: "1".into(),
    };
    let duplicate = ChargeIncidentRequest {
        context: served.of("acme"),
        incident_id: "reverse".into(),
        work_seconds: 3_600,
        expected_charged_credits: Some("0".into()),
        ..Default::default()
    };
    let settle = SettleHoldRequest { expected_work_seconds: Some(1), ..served.settle("open") };
    let capped = SettleHoldRequest { max_charge_credits: Some("1.5".into()), ..served.settle("open") };
    let void_again = VoidWorkRequest {
        context: Some(context(served.next(), "acme").because("r")),
        target: Some(HoldTarget::incident("extend")),
        work_id: world.work_id.clone(),
    };
    let order = PurchaseCreditsRequest { context: served.of("acme"), ..served.purchase("5", "zeta-1") };
    let ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
    let adjust = AdjustBalanceRequest {
        context: Some(context(served.next(), "leaving").because("r")),
        credits: "-1".into(),
    };
    for (method, request, code, expected) in [
        ("HoldService/PlaceHold", place("acme", "open", "", "1"), Code::AlreadyExists, "HOLD_EXISTS"),
        (
            "HoldService/PlaceHold",
            place("leaving", "i", "", "1"),
            Code::FailedPrecondition,
            "CUSTOMER_CLOSED",
        ),
        (
            "HoldService/PlaceHold",
            place("acme", "i", "price-plans", "4.5"),
            Code::FailedPrecondition,
            "ESTIMATE_OUT_OF_RANGE",
        ),
        ("HoldService/ChargeIncident", charge("open", ""), Code::AlreadyExists, "HOLD_EXISTS"),
        ("HoldService/ChargeIncident", charge("i", ""), Code::FailedPrecondition, "EXCEEDS_MAX_CHARGE"),
        ("HoldService/ChargeIncident", charge("i", "other"), Code::FailedPrecondition, "QUOTE_REQUIRED"),
        ("HoldService/ChargeIncident", duplicate.encode_to_vec(), Code::FailedPrecondition, "CHARGE_CHANGED"),
        ("HoldService/ExtendHold", extend.encode_to_vec(), Code::FailedPrecondition, "QUOTE_CONFIRMED"),
        ("HoldService/ReleaseHold", release.encode_to_vec(), Code::FailedPrecondition, "WORK_RECORDED"),
        ("HoldService/SettleHold", settle.encode_to_vec(), Code::FailedPrecondition, "WORK_CHANGED"),
        ("HoldService/SettleHold", capped.encode_to_vec(), Code::FailedPrecondition, "EXCEEDS_MAX_CHARGE"),
        ("HoldService/VoidWork", void_again.encode_to_vec(), Code::NotFound, "WORK_NOT_FOUND"),
        (
            "HoldService/ReverseSettlement",
            reverse.encode_to_vec(),
            Code::FailedPrecondition,
            "EXCEEDS_REVERSIBLE",
        ),
        (
            "PurchaseService/PurchaseCredits",
            order.encode_to_vec(),
            Code::AlreadyExists,
            "ORDER_ALREADY_RECORDED",
        ),
        (
            "CustomerService/CreateCustomer",
            served.customer("acme").encode_to_vec(),
            Code::AlreadyExists,
            "CUSTOMER_EXISTS",
        ),
        (
            "CustomerService/CloseCustomer",
            close("acme").encode_to_vec(),
            Code::FailedPrecondition,
            "HOLDS_OPEN",
        ),
        ("LedgerService/CreateLedger", ledger.encode_to_vec(), Code::AlreadyExists, "LEDGER_EXISTS"),
        (
            "LedgerService/AdjustBalance",
            adjust.encode_to_vec(),
            Code::FailedPrecondition,
            "INSUFFICIENT_CREDITS",
        ),
    ] {
        let status = call(&served.channel, method, request).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{method}");
        if expected == "HOLD_EXISTS" {
            let info = status.get_error_details().error_info().unwrap().metadata.clone();
            assert_eq!(info["hold_id"], first, "the first is named");
        }
        let told = |keys: &[&str]| {
            let info = status.get_error_details().error_info().unwrap().metadata.clone();
            keys.iter().map(|key| info[*key].clone()).collect::<Vec<_>>()
        };
        match expected {
            "QUOTE_CONFIRMED" => assert_eq!(told(&["quote"]), ["1"]),
            "CHARGE_CHANGED" => assert_eq!(told(&["expected", "charged"]), ["0", "1.5"]),
            _ => (),
        }
    }
    assert_eq!(served.positions().await, before);
    // Short credits leave one note of how many are missing, and no second one for the same.
    for _ in 0..3 {
        let status = call(&served.channel, "HoldService/PlaceHold", place("acme", "big", "", "5000"))
            .await
            .unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::FailedPrecondition, "INSUFFICIENT_CREDITS")
        );
    }
    assert_eq!(served.positions().await, [before[0] + 1, before[1]]);
    let last = StreamJournalRequest { after_position: before[0].try_into().unwrap(), ..Default::default() };
    let mut journal = served.ledgers().stream_journal(last).await.unwrap().into_inner();
    let note = journal.message().await.unwrap().unwrap().posting.unwrap();
    assert_eq!((note.kind(), note.transfers.len()), (PostingKind::NoteShortfall, 0));
}

async fn used_request_ids_are_refused_for_other_content(on: On) {
    let world = World::new(on).await;
    let types = Types::new();
    let methods = types.methods();
    for (method, good) in world.good_requests() {
        let (_, input) = methods.iter().find(|(name, _)| name == method).unwrap();
        call(&world.served.channel, method, good.clone()).await.unwrap();
        if types.message(input).field.iter().all(|field| field.name() != "context") {
            continue;
        }
        let before = world.served.positions().await;
        // Other content: who asked for it, or whatever the method has of that sort.
        let (name, value) = match method {
            "LedgerService/CreateLedger" => ("ledger_id", "fourth"),
            "CustomerService/CreateCustomer" | "CustomerService/UpdateCustomer" => ("name", "Another"),
            "PurchaseService/PurchaseCredits" | "PurchaseService/AssignPayment" => ("credits", "7.5"),
            "NotificationService/CreateWebhookEndpoint" | "NotificationService/UpdateWebhookEndpoint" => {
                ("description", "another")
            }
            "AccessService/CreateToken" => ("name", "another"),
            "NotificationService/DeleteWebhookEndpoint" | "NotificationService/RedeliverEvent" => {
                ("endpoint_id", NOWHERE)
            }
            _ => ("context.by", "another"),
        };
        let other = types.with(input, &good, name, &|n| text(n, value));
        let status = call(&world.served.channel, method, other).await.unwrap_err();
        assert_eq!(
            (status.code(), reason(&status).as_str()),
            (Code::AlreadyExists, "REQUEST_ID_REUSED"),
            "{method}"
        );
        // The same content is answered again.
        let again = call(&world.served.channel, method, good.clone()).await.unwrap();
        assert!(outcome(&again).replayed, "{method}");
        assert_eq!(world.served.positions().await, before, "{method}");
    }
}

async fn each_command_of_a_batch_is_checked_as_if_it_came_alone(on: On) {
    let world = World::new(on).await;
    let types = Types::new();
    let methods = types.methods();
    let command_fields = &types.message(".creditledger.v1.BatchCommand").field;
    let channel = &world.served.channel;
    let before = world.served.positions().await;
    let mut tried = 0;
    for (method, good) in world.good_requests() {
        let (_, input) = methods.iter().find(|(name, _)| name == method).unwrap();
        let Some(field) = command_fields.iter().find(|field| field.type_name() == *input) else { continue };
        let (ruined, paths) = types.ruined(input, &good);
        let n = field.number().try_into().unwrap();
        // The ledger of a batch can be named by its commands, but not another one.
        let command = text(2, text(n, &ruined));
        let status = call(channel, "BatchService/ExecuteBatch", command.clone()).await.unwrap_err();
        let mut named = fields(&status);
        let mut expected: Vec<_> =
            paths.iter().map(|path| format!("commands[0].{}.{path}", field.name())).collect();
        named.sort();
        expected.sort();
        assert_eq!(named, expected, "{method}");
        let answer = call(channel, "BatchService/ExecuteStream", command).await.unwrap();
        let result = ExecuteStreamResponse::decode(answer.as_slice()).unwrap().result;
        let error = crate::bulk::refused(result);
        assert_eq!((error.code, error.reason.as_str()), (3, "INVALID_FIELD"));
        let mut named: Vec<_> = error.field_violations.into_iter().map(|violation| violation.field).collect();
        let mut expected: Vec<_> = paths.iter().map(|path| format!("{}.{path}", field.name())).collect();
        named.sort();
        expected.sort();
        assert_eq!(named, expected, "{method}");
        tried += 1;
    }
    assert_eq!(tried, command_fields.len(), "every command has a good request");
    assert_eq!(world.served.positions().await, before);
}

async fn batches_themselves_have_bounds(on: On) {
    let world = World::new(on).await;
    let served = &world.served;
    let before = served.positions().await;
    let mut batches = batch_service_client::BatchServiceClient::new(served.channel.clone());
    let place = || crate::bulk::command(batch_command::Command::PlaceHold(served.hold("i", "1")));
    for (commands, named) in [
        (vec![], "commands"),
        (vec![place(); 10_001], "commands"),
        (vec![BatchCommand::default()], "commands[0].command"),
    ] {
        let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
        assert_eq!(fields(&batches.execute_batch(request).await.unwrap_err()), [named]);
    }
    let request = ExecuteBatchRequest { ledger_id: "a b".into(), commands: vec![place()] };
    assert_eq!(fields(&batches.execute_batch(request).await.unwrap_err()), ["ledger_id"]);
    let request = ExecuteBatchRequest { ledger_id: "nowhere".into(), commands: vec![place()] };
    let status = batches.execute_batch(request).await.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, "LEDGER_NOT_FOUND"));
    // What only the time can judge is named with its path, too.
    let past = Some(prost_types::Timestamp { seconds: 1_600_000_000, nanos: 0 });
    let late = PlaceHoldRequest { expires_at: past, ..served.hold("late", "1") };
    let unquoted = PlaceHoldRequest { quote: None, ..served.hold("unquoted", "1") };
    let lost = PlaceHoldRequest {
        context: Some(context(served.next(), "acme").ledger("nowhere")),
        ..served.hold("lost", "1")
    };
    let commands = [late, unquoted].map(|hold| crate::bulk::command(batch_command::Command::PlaceHold(hold)));
    let paths = ["place_hold.expires_at", "place_hold.quote"];
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands: commands.to_vec() };
    let results = batches.execute_batch(request).await.unwrap().into_inner().results;
    for (result, path) in results.into_iter().zip(paths) {
        let error = crate::bulk::refused(Some(result));
        assert_eq!((error.code, error.field_violations[0].field.as_str()), (3, path));
    }
    let lost = crate::bulk::command(batch_command::Command::PlaceHold(lost));
    let commands = commands.into_iter().chain([BatchCommand::default(), lost]).zip(0..);
    let commands: Vec<_> = commands
        .map(|(command, correlation_id)| ExecuteStreamRequest { correlation_id, command: Some(command) })
        .collect();
    let mut answers = batches.execute_stream(tokio_stream::iter(commands)).await.unwrap().into_inner();
    let mut found = std::collections::BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        found.insert(answer.correlation_id, crate::bulk::refused(answer.result));
    }
    for (id, path) in (0..).zip(["place_hold.expires_at", "place_hold.quote", "command"]) {
        assert_eq!((found[&id].code, found[&id].field_violations[0].field.as_str()), (3, path));
    }
    assert_eq!((found[&3].code, found[&3].reason.as_str()), (5, "LEDGER_NOT_FOUND"));
    assert_eq!(served.positions().await, before);
}

on_each_engine! {
    ids_of_nothing_and_of_elsewhere_are_not_found
    commands_in_the_wrong_state_are_refused
    what_else_the_state_forbids
    used_request_ids_are_refused_for_other_content
    each_command_of_a_batch_is_checked_as_if_it_came_alone
    batches_themselves_have_bounds
}
