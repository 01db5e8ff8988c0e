//! Where events are sent in a kept database, and what was not taken. Ids of endpoints are random, and not compared.

use std::sync::Arc;

use creditledger::clock::Clock;
use creditledger::delivery::{
    Endpoint, EndpointChanged, Endpoints, EventPlace, NewEndpoint, Patch, SealingKeys,
};
use creditledger::hidden::Hidden;
use creditledger::ledger::event::EventType;
use creditledger::ledger::{CustomerId, LedgerNo, RequestKey, Text};
use creditledger::store::Position;
use creditledger::store::webhooks::{Delivery, EMAIL_URL};
use uuid::Uuid;

use super::stage::Stage;
use crate::clock::TestClock;
use crate::desk::{START, id};
use crate::rig::Rig;

/// Of the endpoint that takes everything.
pub const URL: &str = "https://hooks.example.com/all";
/// Its secret.
pub const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What asks for endpoints over a rig's database.
pub fn webhooks(rig: &Rig) -> Endpoints {
    let clock = TestClock::at(START);
    clock.set(rig.now);
    Endpoints::new(Arc::clone(&rig.webhooks), Arc::clone(&rig.reader), clock as Arc<dyn Clock>)
}

pub fn request(text: &str) -> RequestKey {
    RequestKey::parse(text).unwrap()
}

/// The endpoint of a change that is made for the first time while the database is being made.
fn done(stage: &Stage, what: &str, changed: EndpointChanged) -> Option<Box<Endpoint>> {
    match changed {
        EndpointChanged::Done { endpoint, replayed } => {
            assert_eq!(replayed, !stage.is_keeping(), "{what}");
            endpoint
        }
        other @ (EndpointChanged::RequestIdReused
        | EndpointChanged::EndpointNotFound
        | EndpointChanged::EventNotFound
        | EndpointChanged::TooMany) => panic!("{what}: {other:?}"),
    }
}

fn new(url: &str, types: Vec<EventType>, secret: Option<&str>) -> NewEndpoint {
    let secret = secret.map(|secret| Hidden::new(id(secret)));
    NewEndpoint {
        url: id(url),
        types,
        description: id("the billing system"),
        secret,
        after: Some(Position(0)),
    }
}

pub async fn everything(stage: &mut Stage) {
    stage.at("main", "acme").await;
    let webhooks = webhooks(&stage.rig);
    let main = LedgerNo::MAIN;
    let made = webhooks.create(main, request("endpoint 1"), new(URL, vec![], Some(SECRET))).await.unwrap();
    let all = done(stage, "the first endpoint", made).unwrap();

    let types = vec![EventType::BalanceLow, EventType::HoldPlaced];
    let some = new("https://hooks.example.com/some", types, None);
    let key = request("0197b0a0-0000-7000-8000-00000000e002");
    let made = webhooks.create(main, key, some).await.unwrap();
    let some = done(stage, "the second endpoint", made).unwrap();
    let patch = Patch {
        url: Some(id("https://hooks.example.com/some/moved")),
        types: Some(vec![EventType::BalanceLow]),
        description: Some(id("moved")),
        rotate: true,
        secret: Some(Hidden::new(id("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"))),
        enabled: Some(false),
    };
    let made = webhooks.update(main, request("endpoint 3"), some.id, patch).await.unwrap();
    done(stage, "the second is moved", made);

    // An endpoint that is gone has no id to ask for again.
    if stage.is_keeping() {
        let leaving = new("https://hooks.example.com/gone", vec![], None);
        let made = webhooks.create(main, request("endpoint 4"), leaving).await.unwrap();
        let gone = done(stage, "the third endpoint", made).unwrap();
        let made = webhooks.delete(main, request("endpoint 5"), gone.id).await.unwrap();
        done(stage, "the third is removed", made);
    }

    let place = EventPlace { position: first_event(&stage.rig).await, index: 0 };
    let made = webhooks.redeliver(main, request("endpoint 6"), all.id, place).await.unwrap();
    done(stage, "an event again", made);

    stage.at("second", "acme").await;
    let there = new("https://hooks.example.com/second", vec![], Some(SECRET));
    let made = webhooks.create(stage.rig.ledger, request("endpoint 1"), there).await.unwrap();
    done(stage, "an endpoint of the second ledger", made);

    if stage.is_keeping() {
        deliver(stage, &all).await;
    }
}

/// The first position of the main ledger whose posting tells something.
pub async fn first_event(rig: &Rig) -> Position {
    let feed = rig.reader.feed(LedgerNo::MAIN, Position(0), usize::MAX).await.unwrap().items;
    let tells = |posting| !creditledger::ledger::event::events(posting).is_empty();
    feed.iter().find(|recorded| tells(&recorded.posting)).unwrap().position
}

/// As a relay leaves it: an endpoint that is some way along the feed, what it did not take, and the one of e-mail.
async fn deliver(stage: &Stage, endpoint: &Endpoint) {
    let now = stage.rig.now;
    let mut tx = stage.rig.webhooks.begin(now).await.unwrap();
    let mut along = tx.endpoint(endpoint.id).await.unwrap().unwrap();
    (along.done, along.taken) = (Position(40), 1);
    tx.put_endpoint(&along).await.unwrap();
    let waits = Delivery {
        endpoint: endpoint.id,
        position: Position(38),
        place: 0,
        event: EventType::PurchaseCompleted,
        event_id: id("an-event"),
        customer: CustomerId::parse("acme").unwrap(),
        attempts: 2,
        next_at: Some(now.plus_seconds(300)),
        dead_at: None,
        tried_at: Some(now),
        status: 503,
        error: id("the receiver answered 503"),
    };
    let behind =
        Delivery { position: Position(39), attempts: 0, next_at: None, tried_at: None, ..waits.clone() };
    let dead = Delivery {
        position: Position(37),
        place: 1,
        attempts: 12,
        next_at: None,
        dead_at: Some(now),
        status: 0,
        ..waits.clone()
    };
    for delivery in [&waits, &behind, &dead] {
        tx.put_delivery(delivery).await.unwrap();
    }
    let email = Endpoint {
        id: Uuid::from_u128(0x0197_b0a0_0000_7000_8000_0000_0000_00e9),
        url: id(EMAIL_URL),
        types: vec![EventType::BalanceLow],
        description: Text::EMPTY,
        ..along
    };
    tx.put_endpoint(&email).await.unwrap();
    let letter = Delivery { endpoint: email.id, event: EventType::BalanceLow, status: 450, ..waits };
    tx.put_delivery(&letter).await.unwrap();
    tx.put_relay(Uuid::from_u128(7), Some(now)).await.unwrap();
    tx.commit().await.unwrap();
}

/// Endpoints and deliveries as they are stored.
pub async fn stored(rig: &Rig) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    let mut tx = rig.webhooks.begin(rig.now).await.unwrap();
    for endpoint in tx.endpoints().await.unwrap() {
        let types: Vec<u8> = endpoint.types.iter().map(|event| event.code()).collect();
        let disabled = endpoint.disabled.as_ref().map(|disabled| disabled.reason.to_string());
        let has_old = endpoint.old_secret.is_some();
        // Those that nobody chose are random.
        let secret = SealingKeys::default().secret_of(&endpoint).unwrap();
        let secret = Some(secret.reveal().as_str()).filter(|secret| *secret == SECRET);
        let name = format!("stored endpoint {} of ledger {}", endpoint.url, endpoint.ledger.get());
        lines.push((
            name.clone(),
            format!(
                "{types:?} '{}' {secret:?} old {has_old} off {disabled:?} at {}.{} version {}",
                endpoint.description, endpoint.done.0, endpoint.taken, endpoint.version
            ),
        ));
        for dead in [false, true] {
            for delivery in tx.deliveries(endpoint.id, dead, None, usize::MAX).await.unwrap() {
                let Delivery { position, place, event, customer, attempts, status, error, .. } = &delivery;
                lines.push((
                    format!("{name}, delivery {}.{place}", position.0),
                    format!(
                        "{} {customer} tried {attempts} status {status} '{error}' waits {} dead {}",
                        event.code(),
                        delivery.next_at.is_some(),
                        delivery.dead_at.is_some()
                    ),
                ));
            }
        }
    }
    tx.commit().await.unwrap();
    // They come in the order of their ids, which are random.
    lines.sort();
    lines
}
