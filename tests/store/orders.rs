//! Orders of storefronts: what is put is found by id and by any of its names; what is dropped leaves nothing.

use std::sync::Arc;

use creditledger::ledger::{LedgerNo, Storefront, Text};
use creditledger::store::{
    KeptOrder, OrderState, OrderStore, OrderTx, Room, Settings, StoreError, WithPayload, open,
};
use uuid::Uuid;

use crate::desk::{START, id};
use crate::rig::{Rig, on_each_engine, readable};

const MAIN: LedgerNo = LedgerNo::MAIN;

pub fn key(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn shop(name: &str) -> Storefront {
    id(name)
}

fn text(name: &str) -> Text {
    Text::parse(name).unwrap()
}

/// An order of the storefront `web`, with names that are sorted here.
pub fn order(number: u128, names: &[&str], state: OrderState) -> KeptOrder {
    let mut names: Vec<Text> = names.iter().map(|name| text(name)).collect();
    names.sort();
    KeptOrder {
        id: key(number),
        ledger: MAIN,
        storefront: shop("web"),
        names,
        state,
        due_at: START,
        revision: 1,
        body: vec![7; usize::try_from(number % 50).unwrap()],
    }
}

fn settled(number: u128, names: &[&str]) -> KeptOrder {
    order(number, names, OrderState::Settled)
}

async fn begin(orders: &dyn OrderStore) -> Box<dyn OrderTx> {
    orders.begin(START).await.unwrap()
}

/// One transaction that puts orders.
pub async fn put(orders: &dyn OrderStore, new: &[KeptOrder]) {
    let mut tx = begin(orders).await;
    tx.put(new).await.unwrap();
    tx.commit().await.unwrap();
}

async fn named(orders: &dyn OrderStore, names: &[&str]) -> Vec<KeptOrder> {
    let names: Vec<Text> = names.iter().map(|name| text(name)).collect();
    let mut tx = begin(orders).await;
    let found = tx.named(MAIN, &shop("web"), &names).await.unwrap();
    tx.commit().await.unwrap();
    found
}

/// Everything that is kept.
async fn all(orders: &dyn OrderStore) -> (Vec<WithPayload>, Vec<(LedgerNo, Storefront, Room)>) {
    let mut tx = begin(orders).await;
    let mut kept: Vec<WithPayload> = Vec::new();
    loop {
        let page = tx.all(kept.last().map(|(order, _)| order.id), 7).await.unwrap();
        if page.is_empty() {
            break;
        }
        kept.extend(page);
    }
    let rooms = tx.rooms().await.unwrap();
    tx.commit().await.unwrap();
    (kept, rooms)
}

async fn an_order_is_found_by_any_of_its_names(rig: Rig) {
    let orders = &*rig.orders;
    assert_eq!(named(orders, &["cs_1"]).await, []);
    let mut first = settled(2, &["pi_1", "cs_1", "Ümlaut #1001", "ch_1"]);
    let (nameless, second) = (settled(1, &[]), settled(3, &["cs_2"]));
    put(orders, &[first.clone(), nameless.clone(), second.clone()]).await;
    for name in ["pi_1", "cs_1", "Ümlaut #1001", "ch_1"] {
        assert_eq!(named(orders, &[name]).await, [first.clone()], "{name}");
    }
    // By id, each once, whatever the order of the names is.
    let found = named(orders, &["cs_2", "ch_1", "nothing", "pi_1", "cs_2"]).await;
    assert_eq!(found, [first.clone(), second.clone()]);
    assert_eq!(named(orders, &[]).await, []);

    let mut tx = begin(orders).await;
    let other = LedgerNo::new(1).unwrap();
    assert_eq!(tx.named(other, &shop("web"), &[text("cs_1")]).await.unwrap(), []);
    assert_eq!(tx.named(MAIN, &shop("other"), &[text("cs_1")]).await.unwrap(), []);
    assert_eq!(tx.orders(other, &[first.id]).await.unwrap(), []);
    assert_eq!(tx.orders(MAIN, &[key(9), first.id]).await.unwrap(), [first.clone()]);
    assert_eq!(tx.orders(MAIN, &[nameless.id, first.id]).await.unwrap().len(), 2);
    assert_eq!(tx.orders(MAIN, &[nameless.id]).await.unwrap(), [nameless]);

    // What is put again takes the place of what was there, names too.
    first.names = vec![text("ch_1"), text("re_1")];
    (first.state, first.due_at) = (OrderState::Waiting, START.plus_days(1));
    (first.revision, first.body) = (2, b"changed".to_vec());
    tx.put(std::slice::from_ref(&first)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(named(orders, &["cs_1", "pi_1"]).await, []);
    assert_eq!(named(orders, &["re_1"]).await, [first.clone()]);
    let mut tx = begin(orders).await;
    tx.delete(first.id).await.unwrap();
    tx.delete(first.id).await.unwrap();
    assert_eq!(tx.orders(MAIN, &[first.id]).await.unwrap(), []);
    tx.commit().await.unwrap();
    assert_eq!(named(orders, &["ch_1", "re_1", "cs_2"]).await, [second]);
}

async fn names_move_from_one_order_to_another(rig: Rig) {
    let orders = &*rig.orders;
    put(orders, &[settled(1, &["a", "x"]), settled(2, &["b"]), settled(3, &["c"])]).await;
    // Two orders become one.
    let mut tx = begin(orders).await;
    let joined = settled(1, &["a", "b", "x"]);
    tx.put(std::slice::from_ref(&joined)).await.unwrap();
    tx.delete(key(2)).await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(named(orders, &["a", "b", "x"]).await, [joined]);
    // Names change their places in one put.
    let swapped = [settled(1, &["b", "c", "x"]), settled(3, &["a"])];
    put(orders, &swapped).await;
    assert_eq!(named(orders, &["a", "b", "c", "x"]).await, swapped);
    // A name that another order had is its no more.
    put(orders, &[settled(4, &["b", "d"])]).await;
    let after = [settled(1, &["c", "x"]), settled(3, &["a"]), settled(4, &["b", "d"])];
    assert_eq!(named(orders, &["a", "b", "c", "x", "d"]).await, after);
    // The same name in another storefront is another name.
    let other = KeptOrder { storefront: shop("other"), ..settled(5, &["b"]) };
    put(orders, &[other]).await;
    assert_eq!(named(orders, &["b"]).await, [settled(4, &["b", "d"])]);
}

async fn what_is_dropped_leaves_nothing(rig: Rig) {
    let orders = &*rig.orders;
    let mut tx = begin(orders).await;
    tx.room(MAIN, &shop("web")).await.unwrap();
    tx.put(&[settled(1, &["a"]), order(2, &["b"], OrderState::Waiting)]).await.unwrap();
    tx.put_payload(key(2), Some(b"payload")).await.unwrap();
    tx.put_room(MAIN, &shop("web"), Room { waiting: 1, due: 0, payload_bytes: 7 }).await.unwrap();
    tx.commit().await.unwrap();
    let before = all(orders).await;
    assert_eq!((before.0.len(), before.1.len()), (2, 1));

    let mut tx = begin(orders).await;
    assert_eq!(tx.room(MAIN, &shop("web")).await.unwrap().payload_bytes, 7);
    assert_eq!(tx.room(MAIN, &shop("new")).await.unwrap(), Room::default());
    tx.put_room(MAIN, &shop("web"), Room::default()).await.unwrap();
    tx.put(&[order(1, &["a", "b"], OrderState::Due), settled(3, &["c"])]).await.unwrap();
    tx.put_payload(key(3), Some(b"other")).await.unwrap();
    tx.put_payload(key(2), None).await.unwrap();
    tx.delete(key(2)).await.unwrap();
    // It sees what it did itself.
    assert_eq!(readable(tx.due(START, 9).await.unwrap()), [order(1, &["a", "b"], OrderState::Due)]);
    assert_eq!(tx.payload(key(2)).await.unwrap(), None);
    drop(tx);
    assert_eq!(all(orders).await, before);
    assert_eq!(named(orders, &["b", "c"]).await, [order(2, &["b"], OrderState::Waiting)]);
}

async fn lists_are_read_by_pages(rig: Rig) {
    let orders = &*rig.orders;
    let other = LedgerNo::new(3).unwrap();
    let mut kept = Vec::new();
    for number in 1..=40_u32 {
        let state = OrderState::ALL[(number % 3) as usize];
        let due_at = START.plus_seconds(i64::from(number * 17 % 23));
        let storefront = shop(if number % 4 == 0 { "desk" } else { "web" });
        let ledger = if number % 5 == 0 { other } else { MAIN };
        let new = order(number.into(), &[], state);
        kept.push(KeptOrder { due_at, storefront, ledger, ..new });
    }
    put(orders, &kept).await;
    let of = |state| kept.iter().filter(move |order| order.state == state).cloned();
    let mut tx = begin(orders).await;
    for until in [-1, 0, 5, 11, 30] {
        let until = START.plus_seconds(until);
        let mut due: Vec<KeptOrder> = of(OrderState::Due).filter(|order| order.due_at <= until).collect();
        due.sort_by_key(|order| (order.due_at, order.id));
        for limit in [0, 1, 4, 100] {
            let expected = &due[..limit.min(due.len())];
            assert_eq!(readable(tx.due(until, limit).await.unwrap()), expected);
        }
    }
    for (ledger, storefront) in
        [(MAIN, None), (MAIN, Some("web")), (MAIN, Some("desk")), (other, None), (other, Some("none"))]
    {
        let storefront = storefront.map(shop);
        let expected: Vec<_> = of(OrderState::Waiting)
            .filter(|order| order.ledger == ledger)
            .filter(|order| storefront.as_ref().is_none_or(|shop| order.storefront == *shop))
            .collect();
        for limit in [1, 3, 100] {
            let mut waiting: Vec<KeptOrder> = Vec::new();
            loop {
                let after = waiting.last().map(|order| order.id);
                let page = readable(tx.waiting(ledger, storefront.as_ref(), after, limit).await.unwrap());
                assert!(page.len() <= limit);
                if page.is_empty() {
                    break;
                }
                waiting.extend(page);
            }
            assert_eq!(waiting, expected, "{storefront:?}");
        }
    }
    tx.commit().await.unwrap();
    let everything: Vec<KeptOrder> = all(orders).await.0.into_iter().map(|(order, _)| order).collect();
    assert_eq!(everything, kept);
}

/// A page of large payloads ends early, and the next one goes on behind it.
async fn payloads_are_kept_and_erased(rig: Rig) {
    let orders = &*rig.orders;
    let large = |number: u8| vec![number; 900_000];
    let mut tx = begin(orders).await;
    let new: Vec<KeptOrder> = (1..=6).map(|number| order(number, &[], OrderState::Waiting)).collect();
    tx.put(&new).await.unwrap();
    for number in [1, 2, 3, 4, 6] {
        tx.put_payload(key(number.into()), Some(&large(number))).await.unwrap();
    }
    tx.commit().await.unwrap();
    let mut tx = begin(orders).await;
    let page = tx.all(None, 1_000).await.unwrap();
    assert_eq!(page.len(), 3, "2 MiB and the payload that reaches them");
    tx.commit().await.unwrap();
    let kept = all(orders).await.0;
    assert_eq!(kept.iter().map(|(order, _)| order.clone()).collect::<Vec<_>>(), new);
    let payloads = |kept: Vec<WithPayload>| kept.into_iter().map(|(_, payload)| payload).collect::<Vec<_>>();
    let expected = [Some(1), Some(2), Some(3), Some(4), None, Some(6)].map(|number| number.map(large));
    assert_eq!(payloads(kept), expected);

    let mut tx = begin(orders).await;
    tx.put_payload(key(1), None).await.unwrap();
    tx.put_payload(key(5), None).await.unwrap();
    tx.put_payload(key(2), Some(b"")).await.unwrap();
    tx.delete(key(3)).await.unwrap();
    assert_eq!(tx.payload(key(1)).await.unwrap(), None);
    assert_eq!(tx.payload(key(2)).await.unwrap(), Some(Vec::new()));
    assert_eq!(tx.payload(key(4)).await.unwrap(), Some(large(4)));
    tx.commit().await.unwrap();
    let expected = [None, Some(Vec::new()), Some(large(4)), None, Some(large(6))];
    assert_eq!(payloads(all(orders).await.0), expected);
}

async fn what_contradicts_itself_is_refused(rig: Rig) {
    let orders = &*rig.orders;
    put(orders, &[settled(1, &["a"])]).await;
    let before = all(orders).await;
    let unsorted = KeptOrder { names: vec![text("b"), text("a")], ..settled(2, &[]) };
    let repeated = KeptOrder { names: vec![text("b"), text("b")], ..settled(2, &[]) };
    let nameless = KeptOrder { names: vec![Text::EMPTY], ..settled(2, &[]) };
    let nil = KeptOrder { id: Uuid::nil(), ..settled(2, &[]) };
    let of_another_shop = KeptOrder { storefront: shop("other"), ..settled(1, &["a"]) };
    let of_another_ledger = KeptOrder { ledger: LedgerNo::new(1).unwrap(), ..settled(1, &["a"]) };
    for wrong in [
        vec![unsorted],
        vec![repeated],
        vec![nameless],
        vec![nil],
        vec![of_another_shop],
        vec![settled(5, &["e"]), of_another_ledger],
        vec![settled(2, &["b"]), settled(2, &["c"])],
        vec![settled(2, &["b"]), settled(3, &["b"])],
    ] {
        let mut tx = begin(orders).await;
        let refused = tx.put(&wrong).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{wrong:?}: {refused:?}");
    }
    let mut tx = begin(orders).await;
    let refused = tx.put_payload(key(9), Some(b"no order")).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    drop(tx);
    assert_eq!(all(orders).await, before);
}

/// A batch, as deliveries that come together make it.
async fn a_batch_is_put_and_found(rig: Rig) {
    let orders = &*rig.orders;
    let name = |kind: &str, number: u128| format!("{kind}_{number}");
    let mut batch: Vec<KeptOrder> = (1..=64)
        .map(|number| {
            let names = ["cs", "pi", "ch"].map(|kind| name(kind, number));
            KeptOrder { body: vec![1; 4_000], ..settled(number, &names.each_ref().map(String::as_str)) }
        })
        .collect();
    let names: Vec<String> = (1..=64).map(|number| name("pi", number)).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    for revision in 1..=2 {
        for order in &mut batch {
            order.revision = revision;
        }
        put(orders, &batch).await;
        assert_eq!(named(orders, &names).await, batch);
    }
    put(orders, &[]).await;
}

/// Increments that read the count first: what two of them do at a time would be lost.
async fn increments(orders: Arc<dyn OrderStore>, times: u32) {
    for _ in 0..times {
        let mut tx = begin(&*orders).await;
        let room = tx.room(MAIN, &shop("web")).await.unwrap();
        tokio::task::yield_now().await;
        tx.put_room(MAIN, &shop("web"), Room { due: room.due + 1, ..room }).await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn transactions_of_one_storefront_run_one_after_another(rig: Rig) {
    let tasks: Vec<_> = (0..6).map(|_| tokio::spawn(increments(Arc::clone(&rig.orders), 15))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(all(&*rig.orders).await.1, [(MAIN, shop("web"), Room { due: 90, ..Room::default() })]);
}

#[tokio::test]
async fn servers_on_postgresql_exclude_each_other_by_storefront_only() {
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    let one = open(&url, START, &Settings::default()).await.unwrap();
    let two = open(&url, START, &Settings::default()).await.unwrap();
    let tasks: Vec<_> = [&one, &two, &one, &two]
        .map(|engine| tokio::spawn(increments(Arc::clone(&engine.orders), 15)))
        .into();
    for task in tasks {
        task.await.unwrap();
    }
    let mut web = begin(&*one.orders).await;
    assert_eq!(web.room(MAIN, &shop("web")).await.unwrap().due, 60);
    // Others go on while it is open, on the same server and on another one.
    for (engine, name) in [(&one, "desk"), (&two, "desk"), (&two, "new")] {
        let mut other = begin(&*engine.orders).await;
        let room = other.room(MAIN, &shop(name)).await.unwrap();
        other.put_room(MAIN, &shop(name), Room { waiting: room.waiting + 1, ..room }).await.unwrap();
        other.commit().await.unwrap();
    }
    // Not in the same storefront: it waits, and is told so in the end.
    let mut same = begin(&*two.orders).await;
    let waiting = tokio::spawn(async move { same.room(MAIN, &shop("web")).await });
    while !waiting.is_finished() {
        // An idle transaction would be ended.
        web.room(MAIN, &shop("web")).await.unwrap();
    }
    let locked = waiting.await.unwrap();
    assert!(matches!(locked, Err(StoreError::Locked(_))), "{locked:?}");
    web.commit().await.unwrap();
    let waiting: Vec<u64> = all(&*two.orders).await.1.iter().map(|(_, _, room)| room.waiting).collect();
    assert_eq!(waiting, [2, 1, 0]);
}

async fn a_transaction_has_a_time(rig: Rig) {
    let tx = rig.orders.begin(START.plus_days(3)).await.unwrap();
    assert_eq!(tx.now(), START.plus_days(3));
    tx.commit().await.unwrap();
}

/// Numbers from a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A few orders of one storefront that take each other's names.
fn random_batch(numbers: &mut Numbers, revision: u64) -> Vec<KeptOrder> {
    let mut free: Vec<String> = (0..12).map(|number| format!("n{number:02}")).collect();
    let first = numbers.below(20);
    let batch = (0..numbers.below(4)).map(|next| {
        let number = first + 1 + next;
        let mut names: Vec<Text> = Vec::new();
        for _ in 0..numbers.below(4) {
            let at = usize::try_from(numbers.below(free.len() as u64)).unwrap();
            names.push(text(&free.swap_remove(at)));
        }
        names.sort();
        let state = OrderState::ALL[usize::try_from(numbers.below(3)).unwrap()];
        let due_at = START.plus_seconds(numbers.below(9).cast_signed());
        // An order stays in its storefront.
        let storefront = shop(if number.is_multiple_of(2) { "web" } else { "desk" });
        KeptOrder { names, storefront, due_at, revision, ..order(number.into(), &[], state) }
    });
    batch.collect()
}

/// One random transaction; returns what it read.
async fn random_transaction(orders: &dyn OrderStore, numbers: &mut Numbers, revision: u64) -> String {
    let mut tx = begin(orders).await;
    let mut told = Vec::new();
    for _ in 0..=numbers.below(5) {
        let (id, storefront) = (key(1 + u128::from(numbers.below(24))), shop("web"));
        match numbers.below(7) {
            0 | 1 => tx.put(&random_batch(numbers, revision)).await.unwrap(),
            2 => tx.delete(id).await.unwrap(),
            3 if !tx.orders(MAIN, &[id]).await.unwrap().is_empty() => {
                let payload =
                    [None, Some(&b""[..]), Some(b"bytes")][usize::try_from(numbers.below(3)).unwrap()];
                tx.put_payload(id, payload).await.unwrap();
            }
            4 => {
                let room = tx.room(MAIN, &storefront).await.unwrap();
                told.push(format!("{room:?}"));
                let room = Room { due: room.due + 1, waiting: numbers.below(9), payload_bytes: revision };
                tx.put_room(MAIN, &storefront, room).await.unwrap();
            }
            5 => {
                let names = [0; 4].map(|_| text(&format!("n{:02}", numbers.below(12))));
                told.push(format!("{:?}", tx.named(MAIN, &storefront, &names).await.unwrap()));
            }
            _ => {
                let until = START.plus_seconds(numbers.below(9).cast_signed());
                told.push(format!("{:?}", tx.due(until, 5).await.unwrap()));
                told.push(format!("{:?}", tx.waiting(MAIN, None, Some(id), 5).await.unwrap()));
                told.push(format!("{:?}", tx.waiting(MAIN, Some(&storefront), None, 5).await.unwrap()));
                told.push(format!("{:?}", tx.payload(id).await.unwrap()));
            }
        }
    }
    if numbers.below(4) > 0 {
        tx.commit().await.unwrap();
    }
    told.join("\n")
}

async fn random_transactions_give_what_the_reference_gives(rig: Rig) {
    const SEED: u64 = 0x9e37_79b9_7f4a_7c15;
    let reference = Rig::memory();
    let (mut ours, mut theirs) = (Numbers(SEED), Numbers(SEED));
    for round in 1..=150 {
        let told = random_transaction(&*rig.orders, &mut ours, round).await;
        let expected = random_transaction(&*reference.orders, &mut theirs, round).await;
        assert_eq!(told, expected, "round {round} of seed {SEED}");
        assert_eq!(all(&*rig.orders).await, all(&*reference.orders).await, "round {round} of seed {SEED}");
    }
    let kept = all(&*rig.orders).await.0;
    assert!(kept.len() > 5 && kept.iter().any(|(order, _)| order.names.len() > 1), "{kept:?}");
}

/// SQLite overwrites what it frees: nobody finds an erased payload in the file.
#[tokio::test]
async fn an_erased_payload_leaves_no_byte() {
    const MARK: &[u8] = b"a name and an address";
    let mut rig = Rig::sqlite().await;
    let tells = |rig: &Rig| {
        let mut files = std::fs::read_dir(rig.path().parent().unwrap()).unwrap();
        files.any(|file| {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            bytes.windows(MARK.len()).any(|window| window == MARK)
        })
    };
    put(&*rig.orders, &[order(1, &[], OrderState::Waiting), order(2, &[], OrderState::Waiting)]).await;
    let mut tx = begin(&*rig.orders).await;
    // One that fits a page, and one that does not.
    tx.put_payload(key(1), Some(MARK)).await.unwrap();
    tx.put_payload(key(2), Some(&MARK.repeat(10_000))).await.unwrap();
    tx.commit().await.unwrap();
    assert!(tells(&rig));
    let mut tx = begin(&*rig.orders).await;
    tx.put_payload(key(1), None).await.unwrap();
    tx.delete(key(2)).await.unwrap();
    tx.commit().await.unwrap();
    // The log goes into the file, as it does when the last connection is closed.
    rig.writer.close().await.unwrap();
    let file = rusqlite::Connection::open(rig.path()).unwrap();
    file.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0)).unwrap();
    assert!(!tells(&rig), "even without VACUUM");
}

on_each_engine! {
    an_order_is_found_by_any_of_its_names
    names_move_from_one_order_to_another
    what_is_dropped_leaves_nothing
    lists_are_read_by_pages
    payloads_are_kept_and_erased
    what_contradicts_itself_is_refused
    a_batch_is_put_and_found
    transactions_of_one_storefront_run_one_after_another
    a_transaction_has_a_time
    random_transactions_give_what_the_reference_gives
}
