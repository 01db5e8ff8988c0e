//! Signing secrets that are sealed: signed with all the same, not sent without the key, and moved from key to key.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creditledger::clock::Clock as _;
use creditledger::delivery::{Endpoint, NotOpened, Patch, SealingKey, SealingKeys};
use creditledger::ledger::LedgerNo;
use creditledger::store::signing_secret::StoredSecret;
use uuid::Uuid;

use super::{Desk, endpoint_of, on_each_engine};
use crate::desk::purchase;
use crate::receiver::{Message, Receiver, Reply, round_trip};
use crate::rig::Rig;

const OK: Reply = Reply::Status(204, None);
const PATIENCE: Duration = Duration::from_mins(2);

fn key(byte: u8) -> SealingKey {
    SealingKey::parse(&STANDARD.encode([byte; 32])).unwrap()
}

/// Seals with the first key; the others only open.
fn keys(bytes: &[u8]) -> SealingKeys {
    let (current, old) = bytes.split_first().unwrap();
    SealingKeys::new(key(*current), old.iter().map(|byte| key(*byte)).collect())
}

fn sealed_with(endpoint: &Endpoint) -> Option<String> {
    match &endpoint.secret {
        StoredSecret::Clear(_) => None,
        StoredSecret::Sealed(sealed) => Some(sealed.key.to_string()),
    }
}

/// Waits until the endpoint's cursor is stored at the end. The clock moves only now and then, so that no answer and no
/// secret is late by it.
async fn stored_to_the_end(desk: &Desk, endpoint: Uuid, port: u16) {
    let (begin, end) = (Instant::now(), desk.feed_end().await);
    while desk.stored(endpoint).await.done != end {
        assert!(begin.elapsed() < PATIENCE, "the cursor stays at {:?}", desk.stored(endpoint).await.done);
        desk.clock.pass(1);
        for _ in 0..20 {
            round_trip(port).await;
        }
    }
}

fn is_signed(messages: &[Message], secret: &str) {
    assert!(!messages.is_empty() && messages.iter().all(|message| message.is_signed_with(secret)));
}

async fn without_the_key_nothing_is_sent_and_nothing_is_lost(mut rig: Rig) {
    let receiver = Receiver::start(|_| OK).await;
    let open = Receiver::start(|_| OK).await;
    let desk = Desk::with_keys(&rig, keys(&[1]));
    let endpoint = desk.endpoint(&receiver.url).await;
    let secret = desk.secret(&endpoint);
    assert_eq!(sealed_with(&desk.stored(endpoint.id).await), Some(key(1).id().to_string()));
    assert!(!format!("{endpoint:?}").contains(&secret[6..]), "{endpoint:?}");
    rig.new_customer("acme").await;
    rig.ok(purchase("1", "10")).await;

    // Servers with another key and without any: an endpoint of their own gets all, the sealed one gets nothing.
    for (me, other) in [(1, keys(&[2, 3])), (2, SealingKeys::default())] {
        let without = Desk::with_keys(&rig, other);
        without.clock.set(desk.clock.now());
        let refused = without.webhooks.secret_of(&without.stored(endpoint.id).await);
        assert_eq!(refused, Err(NotOpened::NoKey(key(1).id())));
        let theirs = without.endpoint(&format!("{}/{me}", open.url)).await;
        let relay = without.relay(&rig, me);
        let path = format!("/hooks/{me} ");
        let all = without.events().await.len();
        open.until(|messages| messages.iter().filter(|message| message.line.contains(&path)).count() >= all)
            .await;
        stored_to_the_end(&without, theirs.id, open.port).await;
        // A lease that was taken would be there by now.
        let stored = without.stored(endpoint.id).await;
        assert_eq!((stored.holder, stored.done, stored.taken), (None, endpoint.done, 0));
        assert_eq!(receiver.messages().len(), 0, "a message was sent that nobody could sign");
        // It can be switched off and on without the key.
        for enabled in [false, true] {
            let patch = Patch { enabled: Some(enabled), ..Patch::default() };
            let request = desk.request();
            let changed = without.webhooks.update(LedgerNo::MAIN, request, endpoint.id, patch).await;
            assert_eq!(endpoint_of(changed.unwrap()).secret, endpoint.secret);
        }
        relay.stop().await;
        desk.clock.set(without.clock.now());
    }

    // The server that has the key takes it over, and sends all of it.
    let relay = desk.relay(&rig, 3);
    let all = desk.events().await.len();
    receiver.until(|messages| messages.len() >= all).await;
    stored_to_the_end(&desk, endpoint.id, receiver.port).await;
    is_signed(&receiver.taken(), &secret);
    relay.stop().await;
}

async fn a_key_is_replaced_while_messages_go_on(mut rig: Rig) {
    let receiver = Receiver::start(|_| OK).await;
    rig.new_customer("acme").await;
    // As an earlier version, or a server without a key, left it.
    let desk = Desk::new(&rig);
    let endpoint = desk.endpoint(&receiver.url).await;
    let first = desk.secret(&endpoint);
    assert_eq!(sealed_with(&endpoint), None);
    let patch = Patch { rotate: true, ..Patch::default() };
    let request = desk.request();
    let rotated =
        endpoint_of(desk.webhooks.update(LedgerNo::MAIN, request, endpoint.id, patch).await.unwrap());
    let secret = desk.secret(&rotated);
    assert_ne!(first, secret);

    // Sealing is switched on, the key replaced, and the old one dropped.
    let steps: [(&[u8], u8); 3] = [(&[1], 1), (&[2, 1], 2), (&[2], 2)];
    for (step, (with, by)) in (1_u32..).zip(steps) {
        let server = Desk::with_keys(&rig, keys(with));
        server.clock.set(desk.clock.now());
        rig.ok(purchase(&format!("order-{step}"), "10")).await;
        let sent = receiver.taken().len();
        let relay = server.relay(&rig, step.into());
        receiver.until(|messages| messages.len() > sent).await;
        stored_to_the_end(&server, endpoint.id, receiver.port).await;
        let stored = server.stored(endpoint.id).await;
        assert_eq!(sealed_with(&stored), Some(key(by).id().to_string()));
        assert_eq!(server.secret(&stored), secret);
        // The one before signs too for a day, so it is sealed as well.
        let StoredSecret::Sealed(old) = &stored.old_secret.as_ref().unwrap().secret else {
            panic!("the secret before is in the clear");
        };
        assert_eq!(old.key, key(by).id());
        let messages = receiver.taken().split_off(sent);
        is_signed(&messages, &secret);
        is_signed(&messages, &first);
        relay.stop().await;
        desk.clock.set(server.clock.now());
    }
    // What is sealed says nothing to an older key.
    let stored = desk.stored(endpoint.id).await;
    assert_eq!(keys(&[1]).secret_of(&stored), Err(NotOpened::NoKey(key(2).id())));
}

async fn a_sealed_secret_opens_in_no_other_row(rig: Rig) {
    let receiver = Receiver::start(|_| OK).await;
    let desk = Desk::with_keys(&rig, keys(&[1]));
    let mine = desk.endpoint(&receiver.url).await;
    let theirs = desk.endpoint(&format!("{}/theirs", receiver.url)).await;
    let mut tx = rig.webhooks.begin(desk.clock.now()).await.unwrap();
    let mut moved = tx.endpoint(theirs.id).await.unwrap().unwrap();
    moved.secret = mine.secret.clone();
    tx.put_endpoint(&moved).await.unwrap();
    tx.commit().await.unwrap();
    let refused = desk.webhooks.secret_of(&desk.stored(theirs.id).await);
    assert_eq!(refused, Err(NotOpened::Damaged(key(1).id())));
    assert_eq!(desk.secret(&desk.stored(mine.id).await), desk.secret(&mine));
    assert_ne!(theirs.id, Uuid::nil());
}

on_each_engine!(
    without_the_key_nothing_is_sent_and_nothing_is_lost
    a_key_is_replaced_while_messages_go_on
    a_sealed_secret_opens_in_no_other_row
);
