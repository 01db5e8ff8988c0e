//! What becomes of messages: delivered in order, tried again, given up, sent again, signed, taken over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use creditledger::clock::Clock as _;
use creditledger::delivery::{EndpointChanged, EventPlace, Patch};
use creditledger::ledger::commands::{Command, SetBalanceAlerts};
use creditledger::ledger::{Alerts, Credits, LedgerNo, Threshold, Timestamp};

use super::{Desk, endpoint_of, on_each_engine};
use crate::desk::{adjust, grant, id, place, purchase, release};
use crate::receiver::{Message, Receiver, Reply, round_trip, verified_by_the_library};
use crate::rig::Rig;

const OK: Reply = Reply::Status(204, None);

/// Random numbers with a fixed seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

fn place_of(message: &Message) -> (i64, i64) {
    let data = &message.json()["data"];
    let number = |field: &str| data[field].as_str().map_or(data[field].as_i64(), |text| text.parse().ok());
    (number("position").unwrap(), number("index").unwrap_or(0))
}

fn customer_of(message: &Message) -> String {
    message.json()["data"]["customer_id"].as_str().unwrap().to_owned()
}

/// Every event was taken, and of each customer each event was first taken after those before it.
fn all_in_order(taken: &[Message], expected: &BTreeSet<String>) {
    let mut seen = BTreeSet::new();
    let mut last: BTreeMap<String, (i64, i64)> = BTreeMap::new();
    for message in taken {
        if seen.insert(message.id().to_owned()) {
            let before = last.insert(customer_of(message), place_of(message));
            assert!(before.is_none_or(|before| before < place_of(message)), "{} is late", message.id());
        }
    }
    assert_eq!(&seen, expected);
}

async fn ids(desk: &Desk) -> BTreeSet<String> {
    desk.events().await.iter().map(|told| told.id()).collect()
}

async fn an_hour_of_failures_loses_nothing_and_keeps_the_order(mut rig: Rig) {
    let desk = Desk::new(&rig);
    let mut dice = Dice(20_261_125);
    // 30 of 100 fail, in every way there is.
    let receiver = Receiver::start(move |_| match dice.below(100) {
        0..10 => Reply::Status(500, None),
        10..15 => Reply::Hang,
        15..20 => Reply::Reset,
        20..21 => Reply::Status(410, None),
        21..26 => Reply::Status(429, Some(7)),
        26..30 => Reply::Status(302, None),
        _ => OK,
    })
    .await;
    let endpoint = desk.endpoint(&receiver.url).await;
    let relay = desk.relay(&rig, 1);
    let customers = ["acme", "zeta", "nova", "luna"];
    for customer in customers {
        rig.new_customer(customer).await;
        let thresholds = vec![Threshold::Credits(Credits::whole(5)), Threshold::Percent(50)];
        let alerts = Some(Arc::new(Alerts::new(thresholds).unwrap()));
        rig.ok(Command::SetBalanceAlerts(SetBalanceAlerts { alerts })).await;
        rig.ok(purchase(&format!("{customer}-0"), "10")).await;
    }
    let mut dice = Dice(7);
    let mut disabled = 0;
    for second in 0..3_600_u64 {
        desk.clock.pass(1);
        rig.now = rig.now.max(desk.clock.now().plus_seconds(-1));
        if second % 10 == 0 {
            rig.customer = id(customers[usize::try_from(second / 10 % 4).unwrap()]);
            let name = format!("{second}");
            let _ = match dice.below(4) {
                0 => rig.run(purchase(&name, "10")).await,
                1 => rig.run(place(&name, "3")).await,
                2 => rig.run(adjust("-2")).await,
                _ => rig.run(place(&name, "4")).await,
            };
        }
        round_trip(receiver.port).await;
        if second % 60 == 0 && desk.stored(endpoint.id).await.disabled.is_some() {
            disabled += 1;
            enable(&desk, endpoint.id).await;
        }
    }
    // Then it is well again, and what is aside comes at its time.
    receiver.answer(|_| OK);
    let expected = ids(&desk).await;
    let arrived = |receiver: &Receiver| {
        receiver.taken().iter().map(|message| message.id().to_owned()).collect::<BTreeSet<_>>() == expected
    };
    let mut hours = 0;
    while !arrived(&receiver) {
        enable(&desk, endpoint.id).await;
        desk.clock.pass(600);
        hours += 1;
        assert!(hours < 1_000, "some events do not come");
        for _ in 0..20 {
            round_trip(receiver.port).await;
        }
    }
    assert!(expected.len() > 250, "{}", expected.len());
    assert!(disabled > 0, "410 was never met");
    let failed = receiver.messages().iter().filter(|message| !message.taken).count();
    assert!(failed > 40, "{failed} failures say little");
    all_in_order(&receiver.taken(), &expected);
    no_threshold_fires_twice(&receiver.taken());
    let secret = desk.secret(&desk.stored(endpoint.id).await);
    let signed: Vec<_> = receiver.messages().into_iter().map(|message| (message, secret.clone())).collect();
    verified_by_the_library(&signed);
    relay.stop().await;
    let stored = desk.stored(endpoint.id).await;
    assert_eq!((stored.holder, stored.done), (None, desk.feed_end().await));
}

/// Waits until all that was posted is taken and noted: an answer that is on its way must not meet a leap of the clock.
async fn settled(desk: &Desk, id: uuid::Uuid, port: u16) {
    let end = desk.feed_end().await;
    while desk.stored(id).await.done != end {
        desk.clock.pass(1);
        for _ in 0..10 {
            round_trip(port).await;
        }
    }
}

async fn enable(desk: &Desk, id: uuid::Uuid) {
    let patch = Patch { enabled: Some(true), ..Patch::default() };
    endpoint_of(desk.webhooks.update(LedgerNo::MAIN, desk.request(), id, patch).await.unwrap());
}

/// Between two tellings of a threshold the balance was above it, as the events themselves say.
fn no_threshold_fires_twice(taken: &[Message]) {
    let mut by_customer: BTreeMap<String, BTreeMap<(i64, i64), serde_json::Value>> = BTreeMap::new();
    for message in taken {
        let events = by_customer.entry(customer_of(message)).or_default();
        events.insert(place_of(message), message.json()["data"].clone());
    }
    let mut told = 0;
    for events in by_customer.values() {
        let mut below: BTreeSet<String> = BTreeSet::new();
        for event in events.values() {
            let available: f64 = event["balance"]["available_credits"].as_str().unwrap().parse().unwrap();
            below.retain(|level| available <= level.split(' ').next().unwrap().parse().unwrap());
            let crossed = event["balance_event"]["crossed"].as_array();
            for crossed in crossed.into_iter().flatten() {
                let key = format!("{} {}", crossed["level_credits"].as_str().unwrap(), crossed["threshold"]);
                assert!(below.insert(key), "{event}");
                told += 1;
            }
        }
    }
    assert!(told > 5, "{told} crossings say little");
}

async fn what_is_never_taken_is_given_up_after_ten_attempts_and_sent_again_on_request(mut rig: Rig) {
    let desk = Desk::new(&rig);
    let receiver =
        Receiver::start(|message| if customer_of(message) == "acme" { Reply::Status(500, None) } else { OK })
            .await;
    let endpoint = desk.endpoint(&receiver.url).await;
    for customer in ["acme", "zeta"] {
        rig.new_customer(customer).await;
        rig.ok(grant("1")).await;
        rig.ok(grant("2")).await;
    }
    let relay = desk.relay(&rig, 1);
    let of = |customer: &'static str| {
        move |messages: &[Message]| messages.iter().filter(|message| customer_of(message) == customer).count()
    };
    receiver.until(|messages| of("zeta")(messages) == 2).await;
    let mut times: Vec<Timestamp> = Vec::new();
    for attempt in 1..=10 {
        receiver.until(|messages| of("acme")(messages) >= attempt).await;
        times.push(desk.clock.now());
        let pending = wait_for(&desk, endpoint.id, false, |pending| {
            pending.first().is_some_and(|first| usize::try_from(first.attempts).unwrap() == attempt)
                || attempt == 10
        })
        .await;
        if attempt < 10 {
            // The later one of the same customer waits behind it, and was not tried.
            let waiting: Vec<_> = pending.iter().map(|it| (it.attempts > 0, it.next_at.is_some())).collect();
            assert_eq!(waiting, [(true, true), (false, false)]);
            assert_eq!(pending[0].status, 500);
            desk.clock.set(pending[0].next_at.unwrap());
        }
    }
    let delays: Vec<i64> =
        times.windows(2).map(|pair| (pair[1].micros() - pair[0].micros()) / 1_000_000).collect();
    for (delay, expected) in delays.iter().zip([5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400])
    {
        assert!((expected * 9 / 10 - 1..=expected * 11 / 10 + 2).contains(delay), "{delays:?}");
    }
    // It is given up, and the next one of the customer has its turn.
    let dead = wait_for(&desk, endpoint.id, true, |dead| !dead.is_empty()).await;
    assert_eq!((dead[0].attempts, dead[0].next_at), (10, None));
    receiver.until(|messages| of("acme")(messages) >= 11).await;
    receiver.answer(|_| OK);
    let place = EventPlace { position: dead[0].position, index: dead[0].place };
    let request = desk.request();
    for replayed in [false, true] {
        let again =
            desk.webhooks.redeliver(LedgerNo::MAIN, request.clone(), endpoint.id, place).await.unwrap();
        assert!(
            matches!(again, EndpointChanged::Done { replayed: found, .. } if found == replayed),
            "{again:?}"
        );
    }
    desk.clock.pass(2);
    let expected = ids(&desk).await;
    while receiver.taken().iter().map(|message| message.id().to_owned()).collect::<BTreeSet<_>>() != expected
    {
        // Slowly, or answers that are on their way would be too late.
        desk.clock.pass(1);
        for _ in 0..5 {
            round_trip(receiver.port).await;
        }
    }
    wait_for(&desk, endpoint.id, true, <[_]>::is_empty).await;
    wait_for(&desk, endpoint.id, false, <[_]>::is_empty).await;
    let nothing = EventPlace { index: 7, ..place };
    let refused =
        desk.webhooks.redeliver(LedgerNo::MAIN, desk.request(), endpoint.id, nothing).await.unwrap();
    assert_eq!(refused, EndpointChanged::EventNotFound);
    relay.stop().await;
}

/// Asks again until what is stored passes.
async fn wait_for(
    desk: &Desk,
    endpoint: uuid::Uuid,
    dead: bool,
    passes: impl Fn(&[creditledger::delivery::Delivery]) -> bool,
) -> Vec<creditledger::delivery::Delivery> {
    loop {
        let found =
            desk.webhooks.deliveries(LedgerNo::MAIN, endpoint, dead, None, 100).await.unwrap().unwrap();
        if passes(&found) {
            return found;
        }
        tokio::task::yield_now().await;
    }
}

async fn two_secrets_are_valid_while_one_takes_the_place_of_the_other(mut rig: Rig) {
    let desk = Desk::new(&rig);
    let receiver = Receiver::start(|_| OK).await;
    let endpoint = desk.endpoint(&receiver.url).await;
    let relay = desk.relay(&rig, 1);
    rig.new_customer("acme").await;
    rig.ok(grant("1")).await;
    receiver.until(|messages| messages.len() == 1).await;
    let rotate = Patch { rotate: true, ..Patch::default() };
    let request = desk.request();
    let rotated = endpoint_of(
        desk.webhooks.update(LedgerNo::MAIN, request.clone(), endpoint.id, rotate.clone()).await.unwrap(),
    );
    assert_ne!(rotated.secret, endpoint.secret);
    assert_eq!(rotated.old_secret.as_ref().unwrap().secret, endpoint.secret);
    // A repeat rotates nothing, or the first new secret would be lost.
    let again = desk.webhooks.update(LedgerNo::MAIN, request, endpoint.id, rotate).await.unwrap();
    let EndpointChanged::Done { endpoint: Some(again), replayed: true } = again else { panic!("{again:?}") };
    assert_eq!(again.secret, rotated.secret);
    // The sender looks once a second.
    let mut count = 1;
    let signatures = |message: &Message| message.headers["webhook-signature"].split(' ').count();
    while signatures(receiver.messages().last().unwrap()) != 2 {
        desk.clock.pass(1);
        rig.ok(grant("1")).await;
        count += 1;
        receiver.until(|messages| messages.len() == count).await;
    }
    let both = receiver.messages().pop().unwrap();
    // A day later only the new one is.
    settled(&desk, endpoint.id, receiver.port).await;
    desk.clock.pass(86_401);
    rig.ok(grant("1")).await;
    receiver.until(|messages| messages.len() == count + 1).await;
    let new = receiver.messages().pop().unwrap();
    assert_eq!(signatures(&new), 1);
    let first = receiver.messages().remove(0);
    let (old_secret, new_secret) = (desk.secret(&endpoint), desk.secret(&rotated));
    verified_by_the_library(&[
        (first, old_secret.clone()),
        (both.clone(), old_secret),
        (both.clone(), new_secret.clone()),
        (new, new_secret),
    ]);
    // What a message is made of.
    assert_eq!(both.line, "POST /hooks HTTP/1.1");
    assert_eq!(both.headers["content-type"], "application/json");
    let body = both.json();
    assert_eq!(body["type"], "credits.granted");
    assert_eq!(body["data"]["type"], "EVENT_TYPE_CREDITS_GRANTED");
    assert_eq!(body["data"]["credits_event"]["credits"], "1");
    assert_eq!(body["data"]["event_id"], both.id());
    assert_eq!(body["timestamp"], body["data"]["recorded_at"]);
    relay.stop().await;
}

async fn servers_share_the_endpoints_and_take_over_from_one_that_dies(mut rig: Rig) {
    let desk = Desk::new(&rig);
    let mut receivers = Vec::new();
    let mut endpoints = Vec::new();
    for _ in 0..6 {
        let receiver = Receiver::start(|_| OK).await;
        endpoints.push(desk.endpoint(&receiver.url).await.id);
        receivers.push(receiver);
    }
    let (one, other) = (desk.relay(&rig, 1), desk.relay(&rig, 2));
    let shares = async || {
        let mut shares: BTreeMap<Option<u128>, usize> = BTreeMap::new();
        for endpoint in desk.webhooks.endpoints(LedgerNo::MAIN).await.unwrap() {
            *shares.entry(endpoint.holder.map(|holder| holder.as_u128())).or_default() += 1;
        }
        shares
    };
    while shares().await != BTreeMap::from([(Some(1), 3), (Some(2), 3)]) {
        desk.clock.pass(1);
        tokio::task::yield_now().await;
    }
    rig.new_customer("acme").await;
    rig.ok(grant("1")).await;
    for receiver in &receivers {
        receiver.until(|messages| !messages.is_empty()).await;
    }
    one.kill().await;
    rig.ok(grant("2")).await;
    rig.ok(grant("3")).await;
    let expected = ids(&desk).await;
    let has_all = |receiver: &Receiver| {
        receiver.taken().iter().map(|message| message.id().to_owned()).collect::<BTreeSet<_>>() == expected
    };
    let mut seconds = 0;
    while !receivers.iter().all(has_all) {
        desk.clock.pass(1);
        seconds += 1;
        assert!(seconds < 1_000, "some events do not come");
        round_trip(receivers[0].port).await;
    }
    assert_eq!(shares().await, BTreeMap::from([(Some(2), 6)]));
    // One that comes gets its share, and one that goes leaves all of its own at once.
    let third = desk.relay(&rig, 3);
    while shares().await != BTreeMap::from([(Some(2), 3), (Some(3), 3)]) {
        desk.clock.pass(1);
        tokio::task::yield_now().await;
    }
    third.stop().await;
    // The other may have taken them already.
    assert!(!shares().await.contains_key(&Some(3)));
    other.stop().await;
}

async fn an_endpoint_that_does_not_answer_delays_no_other(mut rig: Rig) {
    let desk = Desk::new(&rig);
    let silent = Receiver::start(|_| Reply::Hang).await;
    let well = Receiver::start(|_| OK).await;
    desk.endpoint(&silent.url).await;
    desk.endpoint(&well.url).await;
    let relay = desk.relay(&rig, 1);
    rig.new_customer("acme").await;
    for n in 1..=20 {
        rig.ok(place(&format!("i{n}"), "0")).await;
        rig.ok(release(&format!("i{n}"))).await;
        // The clock stands still, so the silent one is waited for all the while.
        well.until(|messages| messages.len() == 2 * n).await;
    }
    assert_eq!(silent.messages().len(), 1);
    relay.kill().await;
}

on_each_engine! {
    an_hour_of_failures_loses_nothing_and_keeps_the_order
    what_is_never_taken_is_given_up_after_ten_attempts_and_sent_again_on_request
    two_secrets_are_valid_while_one_takes_the_place_of_the_other
    servers_share_the_endpoints_and_take_over_from_one_that_dies
    an_endpoint_that_does_not_answer_delays_no_other
}
