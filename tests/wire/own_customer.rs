//! A caller that is bound to one customer sees that one alone, and cannot tell another from nobody.

use std::collections::{BTreeMap, BTreeSet};

use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::*;
use creditledger::ledger::actor::Role;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, ReflectMessage as _, Value};
use tonic::{Code, Status};

use crate::access::{pool, reason, requests, table, told};
use crate::callers::{Guarded, with_token};
use crate::served::On;
use crate::world::World;

/// The paths of fields that can name a customer, in a message of this type: by their names, which follow one rule.
fn naming_fields(message: &MessageDescriptor, path: &[String], found: &mut Vec<Vec<String>>) {
    for field in message.fields() {
        let path = [path, &[field.name().to_owned()]].concat();
        match field.kind() {
            Kind::String if field.name().contains("customer") => found.push(path),
            Kind::Message(inner)
                if path.len() < 6 && inner.full_name().starts_with("creditledger.v1") && !field.is_map() =>
            {
                naming_fields(&inner, &path, found);
            }
            _ => {}
        }
    }
}

/// Puts a customer into the field at a path.
fn put(message: &mut DynamicMessage, path: &[String], customer: &str) {
    let field = message.descriptor().get_field_by_name(&path[0]).unwrap();
    if path.len() == 1 {
        let text = Value::String(customer.to_owned());
        let value = if field.is_list() { Value::List(vec![text]) } else { text };
        return message.set_field(&field, value);
    }
    if field.is_list() {
        let Kind::Message(inner) = field.kind() else { unreachable!() };
        let mut items = message.get_field(&field).as_list().unwrap().to_vec();
        if items.is_empty() {
            items.push(Value::Message(DynamicMessage::new(inner)));
        }
        for item in &mut items {
            put(item.as_message_mut().unwrap(), &path[1..], customer);
        }
        return message.set_field(&field, Value::List(items));
    }
    put(message.get_field_mut(&field).as_message_mut().unwrap(), &path[1..], customer);
}

/// Everything that a caller sees of an answer.
fn seen(answer: &Result<Vec<u8>, Status>) -> String {
    match answer {
        Ok(bytes) => format!("{bytes:?}"),
        Err(status) => format!("{:?} {} {:?}", status.code(), status.message(), status.details()),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_cannot_tell_another_from_nobody() {
    let world = World::new(On::Memory).await;
    let guarded = Guarded::over(&world.served).await;
    let token = guarded.tokens.issue("acme", Role::Customer, &[]);
    let (pool, table) = (pool(), table());
    let mut tried = BTreeMap::new();
    for (method, request) in requests(&world) {
        let (service, name) = method.split_once('/').unwrap();
        let service = pool.get_service_by_name(&format!("creditledger.v1.{service}")).unwrap();
        let input = service.methods().find(|it| it.name() == name).unwrap().input();
        let mut fields = Vec::new();
        naming_fields(&input, &[], &mut fields);
        for path in fields {
            let mut answers = Vec::new();
            for customer in ["zeta", "nobody-here"] {
                let mut message = DynamicMessage::decode(input.clone(), request.as_slice()).unwrap();
                put(&mut message, &path, customer);
                let answer = guarded.call(&token, method, message.encode_to_vec()).await;
                answers.push((told(&answer), seen(&answer)));
            }
            assert_eq!(answers[0], answers[1], "{method}, {path:?}");
            let told = answers[0].0.clone();
            let may = table[method].contains("customer");
            let names = path.last().is_some_and(|field| field.starts_with("customer_id"));
            if may && names && service.name() != "BatchService" {
                assert_eq!(told, "CUSTOMER_NOT_FOUND", "{method}, {path:?}");
            }
            tried.insert((method, path), told);
        }
    }
    assert!(tried.len() > 80, "{tried:?}");
    let refused = tried.values().filter(|told| *told == "CUSTOMER_NOT_FOUND").count();
    assert!(refused > 15, "{tried:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_finds_nothing_by_the_ids_of_another() {
    let world = World::new(On::Memory).await;
    let guarded = Guarded::over(&world.served).await;
    let token = guarded.tokens.issue("acme", Role::Customer, &[]);
    let unknown = "018f4e1e-0000-7000-8000-000000000000".to_owned();
    for hold in [&world.foreign_hold, &world.other_hold, &unknown] {
        let target = Some(HoldTarget::hold(hold.as_str()));
        let context = || Some(context(format!("try-{hold}"), ""));
        let asked: [(&str, Vec<u8>); 6] = [
            (
                "HoldService/GetHold",
                GetHoldRequest { target: target.clone(), ..Default::default() }.encode_to_vec(),
            ),
            (
                "HoldService/GetReceipt",
                GetReceiptRequest { target: target.clone(), ..Default::default() }.encode_to_vec(),
            ),
            (
                "HoldService/ListWork",
                ListWorkRequest { target: target.clone(), ..Default::default() }.encode_to_vec(),
            ),
            (
                "HoldService/ConfirmEstimate",
                ConfirmEstimateRequest { context: context(), target: target.clone(), ..Default::default() }
                    .encode_to_vec(),
            ),
            (
                "HoldService/DeclineEstimate",
                DeclineEstimateRequest { context: context(), target: target.clone() }.encode_to_vec(),
            ),
            (
                "HoldService/CloseIncident",
                CloseIncidentRequest { context: context(), target, ..Default::default() }.encode_to_vec(),
            ),
        ];
        for (method, message) in asked {
            let status = guarded.call(&token, method, message).await.unwrap_err();
            let shown = (status.code(), reason(&status), status.message().to_owned());
            let expected = (Code::NotFound, "HOLD_NOT_FOUND".to_owned());
            assert_eq!((shown.0, shown.1), expected, "{method} of {hold}: {}", shown.2);
            assert!(!shown.2.contains("zeta"), "{}", shown.2);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_customer_sees_its_own_without_naming_itself() {
    let world = World::new(On::Memory).await;
    let guarded = Guarded::over(&world.served).await;
    let token = guarded.tokens.issue("acme", Role::Customer, &[]);
    let all = guarded.call(&token, "HoldService/ListHolds", Vec::new()).await.unwrap();
    let holds = ListHoldsResponse::decode(all.as_slice()).unwrap().holds;
    assert!(!holds.is_empty() && holds.iter().all(|hold| hold.customer_id == "acme"), "{holds:?}");
    let purchases = guarded.call(&token, "PurchaseService/ListPurchases", Vec::new()).await.unwrap();
    let purchases = ListPurchasesResponse::decode(purchases.as_slice()).unwrap().purchases;
    assert!(!purchases.is_empty() && purchases.iter().all(|purchase| purchase.customer_id == "acme"));
    let lots = guarded.call(&token, "LedgerService/ListLots", Vec::new()).await.unwrap();
    let lots = ListLotsResponse::decode(lots.as_slice()).unwrap().lots;
    assert!(lots.iter().all(|lot| lot.customer_id == "acme"), "{lots:?}");
    guarded.call(&token, "LedgerService/GetBalance", Vec::new()).await.unwrap();
    guarded.call(&token, "CustomerService/GetCustomer", Vec::new()).await.unwrap();
    // Its stream of events has its own alone, until now.
    let operator = guarded.tokens.issue("op", Role::Operator, &[]);
    let watching = NotificationServiceClient::new(guarded.channel.clone());
    let customers = |token: String| {
        let mut client = watching.clone();
        async move {
            let asked = WatchEventsRequest {
                until_now: true,
                start: Some(watch_events_request::Start::AfterPosition(0)),
                ..Default::default()
            };
            let mut events = client.watch_events(with_token(&token, asked)).await.unwrap().into_inner();
            let mut customers = BTreeSet::new();
            while let Some(message) = events.message().await.unwrap() {
                if let Some(watch_events_response::Item::Event(event)) = message.item {
                    customers.insert(event.customer_id);
                }
            }
            customers
        }
    };
    assert_eq!(customers(token).await, BTreeSet::from(["acme".to_owned()]));
    assert!(customers(operator).await.len() > 1);
}
