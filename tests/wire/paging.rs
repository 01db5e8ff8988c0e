//! Every list in pages of every small size: the pages end, and together they are the one large page.

use std::collections::BTreeSet;

use creditledger::access::CallFacts;
use creditledger::grpc::wire::access_service_client::AccessServiceClient;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::rate_card_service_client::RateCardServiceClient;
use creditledger::grpc::wire::*;
use creditledger::ledger::Text;
use creditledger::ledger::actor::{Actor, Role as CallerRole, Way};
use creditledger::ledger::ids::OpenText;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor, ReflectMessage as _, Value};

use crate::batches::random_commands;
use crate::raw::call;
use crate::served::{On, Served, on_each_engine};
use crate::world::World;

/// The methods whose requests have a page size.
fn lists(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    let ours = pool.services().filter(|service| service.package_name() == "creditledger.v1");
    let methods = ours.flat_map(|service| service.methods().collect::<Vec<_>>());
    methods.filter(|method| method.input().get_field_by_name("page_size").is_some()).collect()
}

/// One page: what its repeated fields hold, and the token of the next.
async fn page(
    served: &Served,
    method: &MethodDescriptor,
    request: &DynamicMessage,
    size: i32,
    token: &str,
) -> (Vec<Value>, String) {
    let mut request = request.clone();
    request.set_field_by_name("page_size", Value::I32(size));
    request.set_field_by_name("page_token", Value::String(token.to_owned()));
    let path = format!("{}/{}", method.parent_service().name(), method.name());
    let answer = call(&served.channel, &path, request.encode_to_vec()).await.unwrap();
    let answer = DynamicMessage::decode(method.output(), answer.as_slice()).unwrap();
    let output = method.output();
    let repeated = output.fields().filter(|field| field.is_list());
    let items = repeated.flat_map(|field| answer.get_field(&field).as_list().unwrap().to_vec()).collect();
    let token = answer.get_field_by_name("next_page_token").unwrap().as_str().unwrap().to_owned();
    (items, token)
}

/// More of everything that a page of seven would otherwise show whole.
async fn fill(world: &World) {
    let served = &world.served;
    for n in 0..8 {
        let created = CreateLedgerRequest { context: served.of(""), ledger_id: format!("more-{n}") };
        served.ledgers().create_ledger(created).await.unwrap();
        served.customers().create_customer(served.customer(&format!("more-{n}"))).await.unwrap();
        let endpoint = CreateWebhookEndpointRequest {
            context: served.of(""),
            url: format!("https://hooks.example.com/more-{n}"),
            ..Default::default()
        };
        served.notifications().create_webhook_endpoint(endpoint).await.unwrap();
        let mut access = AccessServiceClient::new(served.channel.clone());
        access.create_token(served.token(&format!("more-{n}"))).await.unwrap();
        let actor = Actor {
            subject: OpenText(Text::parse("ann").unwrap()),
            role: CallerRole::Helpdesk,
            way: Way::Token,
            peer: None,
            provider: OpenText::default(),
        };
        let call = CallFacts { actor: Some(&actor), method: "HoldService/PlaceHold", ..CallFacts::default() };
        served.recorder.rejected(&call, "HOLD_EXISTS");
        served.holds().record_work(served.work("void", 1)).await.unwrap();
        served.purchases().purchase_credits(served.purchase("1", &format!("more-{n}"))).await.unwrap();
        let card = CreateRateCardRequest {
            context: served.of(""),
            rate_card: Some(crate::full_card::full_card(&format!("more-{n}"))),
        };
        RateCardServiceClient::new(served.channel.clone()).create_rate_card(card).await.unwrap();
        let classed = PlaceHoldRequest {
            incident_class: format!("class-{n}"),
            ..served.hold(&format!("more-{n}"), "1")
        };
        served.holds().place_hold(classed).await.unwrap();
        served.holds().record_work(served.work(&format!("more-{n}"), 45)).await.unwrap();
        // What is charged above the hold moves in two transfers of one posting.
        served.holds().settle_hold(served.settle(&format!("more-{n}"))).await.unwrap();
        served.wait_for_a_person(&format!("nobodys-{n}")).await;
    }
    served.recorder.flush().await;
    // Postings of all kinds, with up to three transfers each.
    let mut batches = BatchServiceClient::new(served.channel.clone());
    for commands in random_commands(served, 100, On::Memory).chunks(40) {
        let commands = ExecuteBatchRequest { ledger_id: String::new(), commands: commands.to_vec() };
        batches.execute_batch(commands).await.unwrap();
    }
    served.positions().await;
    for position in 1..60 {
        let again = RedeliverEventRequest {
            context: Some(context(served.next(), "")),
            endpoint_id: world.endpoint_id.clone(),
            position,
            index: 0,
        };
        // Not every posting means an event.
        let _ = served.notifications().redeliver_event(again).await;
    }
    // What was rejected since is in the audit log.
    served.recorder.flush().await;
}

async fn pages_of_every_size_end_and_join(on: On) {
    let world = World::new(on).await;
    fill(&world).await;
    let good = world.good_requests();
    let served = &world.served;
    // Positions are given shortly after the commit, at the latest when somebody reads the journal.
    served.positions().await;
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut wrong = Vec::new();
    let mut many = BTreeSet::new();
    for method in lists(&pool) {
        let path = format!("{}/{}", method.parent_service().name(), method.name());
        let (_, filtered) = good.iter().find(|(name, _)| *name == path).unwrap();
        let filtered = DynamicMessage::decode(method.input(), filtered.as_slice()).unwrap();
        for request in variants(&filtered) {
            let (whole, end) = page(served, &method, &request, 1_000, "").await;
            assert_eq!(end, "", "{path} {request}");
            if whole.len() > 7 {
                many.insert(path.clone());
            }
            for size in 1..=7 {
                let (mut joined, mut token, mut pages) = (Vec::new(), String::new(), 0);
                loop {
                    let (items, next) = page(served, &method, &request, size, &token).await;
                    pages += 1;
                    joined.extend(items);
                    token = next;
                    if token.is_empty() || pages > whole.len() + 500 {
                        break;
                    }
                }
                if pages > whole.len() + 500 {
                    wrong.push(format!("{path} of {size} does not end: {request}"));
                } else if joined != whole {
                    wrong.push(format!("{path} of {size}: {} of {}: {request}", joined.len(), whole.len()));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}:\n{}", wrong.len(), wrong.join("\n"));
    let few: Vec<_> = lists(&pool).iter().map(|it| it.name().to_owned()).collect();
    let few: Vec<_> = few.into_iter().filter(|name| !many.iter().any(|path| path.ends_with(name))).collect();
    assert!(few.is_empty(), "these lists are shorter than a page: {few:?}");
}

/// The request with each filter but those that it needs, and without them; in both orders where it has two.
fn variants(filtered: &DynamicMessage) -> Vec<DynamicMessage> {
    const NEEDED: [&str; 5] = ["customer_id", "target", "endpoint_id", "period_from", "period_until"];
    let mut bare = filtered.clone();
    for field in filtered.descriptor().fields() {
        if !NEEDED.contains(&field.name()) {
            bare.clear_field(&field);
        }
    }
    let mut variants = vec![filtered.clone(), bare];
    let has = |field: &str| filtered.descriptor().get_field_by_name(field).is_some();
    if has("customer_id") && !has("target") {
        let mut zeta = variants[1].clone();
        zeta.set_field_by_name("customer_id", Value::String("zeta".to_owned()));
        variants.push(zeta);
    }
    if has("newest_first") {
        for mut newest in variants.clone() {
            newest.set_field_by_name("newest_first", Value::Bool(true));
            variants.push(newest);
        }
    }
    variants
}

on_each_engine! {
    pages_of_every_size_end_and_join
}
