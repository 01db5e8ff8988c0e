//! kill -9 between the answer to a delivery and its commands: what was answered ends in the book, nothing is lost, nothing
//! is there twice. Several senders deliver orders, edits, refunds and disputes of all vendors, in any order, and send
//! again what was not answered, as shops do.
//!
//! `CREDITLEDGER_TEST_TIMES=13 cargo test --test server -- shop_kills` kills more than 100 servers on each engine.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Instant;

use tonic::transport::Channel;

use super::disk::Random;
use super::process::{PATIENCE, Server};
use super::shop_rig::{Delivery, SHOPS, Sale, Sender, Stand, credits, request, times, units, unmatched};

const SEED: u64 = 20_261_129;
/// Kills in CI, on each engine.
const KILLS: usize = 8;
const SENDERS: usize = 6;
/// Orders that begin in a round.
const ORDERS: u64 = 32;

/// A delivery of the `order`th order.
struct Job {
    order: u64,
    delivery: Delivery,
}

/// All that a shop tells of an order, and what the ledger has to show for it: bought, and given back or lost.
pub fn story(order: u64) -> (Sale, Vec<Delivery>, (i64, i64)) {
    let (shop, _) = SHOPS[usize::try_from(order % 4).unwrap()];
    let sale = Sale::new(shop, 10_000 + order);
    let at = |version| sale.clone().at(version);
    let (later, (bought, gone)) = match (shop, order / 4 % 4) {
        (_, 0) => (vec![], (10, 0)),
        (_, 1) => (vec![at(2).refunded(true)], (10, 4)),
        // An edit adds a piece; Stripe's sessions are not edited.
        ("shopify" | "woo" | "own", 2) => (vec![at(2).times(2).paid()], (20, 0)),
        (_, 2) => (vec![at(2).disputed("open"), at(3).disputed("lost")], (10, 10)),
        // A refund or a dispute that is undone.
        ("shopify", _) => (vec![at(2).disputed("open"), at(3).disputed("won")], (10, 0)),
        _ => (vec![at(2).refunded(true), at(3).refunded(false)], (10, 0)),
    };
    let mut told = vec![sale.paid()];
    told.extend(later);
    let unit = units("1");
    (sale, told, (bought * unit, gone * unit))
}

/// What is still to be sent, and what was answered.
struct Post {
    jobs: Mutex<VecDeque<Job>>,
    /// Deliveries of each order that are not answered.
    open: Mutex<BTreeMap<u64, usize>>,
    answered: AtomicUsize,
    more: Condvar,
}

impl Post {
    /// Sends until nothing is left or the server is gone.
    fn send(&self, address: &str) {
        let Ok(mut sender) = Sender::connect(address) else { return };
        while let Some(job) = { self.jobs.lock().unwrap().pop_front() } {
            let sent = sender.send(&request(&job.delivery.again(), ""));
            if !matches!(sent, Ok(200)) {
                assert!(sent.is_err(), "{sent:?}");
                self.jobs.lock().unwrap().push_back(job);
                return;
            }
            *self.open.lock().unwrap().get_mut(&job.order).unwrap() -= 1;
            self.answered.fetch_add(1, Ordering::SeqCst);
            self.more.notify_all();
        }
    }

    /// Waits until so many were answered in all.
    fn reaches(&self, count: usize) {
        let begin = Instant::now();
        let mut open = self.open.lock().unwrap();
        while self.answered.load(Ordering::SeqCst) < count {
            assert!(begin.elapsed() < PATIENCE, "nothing is answered");
            open = self.more.wait_timeout(open, PATIENCE).unwrap().0;
        }
    }

    fn begin(&self, random: &mut Random, orders: std::ops::Range<u64>) {
        let mut jobs: Vec<Job> = self.jobs.lock().unwrap().drain(..).collect();
        for order in orders {
            let (_, told, _) = story(order);
            self.open.lock().unwrap().insert(order, told.len());
            // One in four is told twice.
            let again = (random.below(4) == 0).then(|| told[0].clone());
            *self.open.lock().unwrap().get_mut(&order).unwrap() += usize::from(again.is_some());
            jobs.extend(told.into_iter().chain(again).map(|delivery| Job { order, delivery }));
        }
        for place in (1..jobs.len()).rev() {
            jobs.swap(place, random.below(place + 1));
        }
        self.jobs.lock().unwrap().extend(jobs);
    }

    /// Orders all of whose deliveries were answered.
    fn done(&self) -> BTreeSet<u64> {
        let open = self.open.lock().unwrap();
        open.iter().filter(|(_, left)| **left == 0).map(|(order, _)| *order).collect()
    }
}

/// Each of these orders must be in the ledger as its story ends; gives how many purchases they have.
pub async fn must_be_in_the_book(channel: &Channel, orders: impl IntoIterator<Item = &u64>) -> i64 {
    let mut all = 0;
    for order in orders {
        let (sale, _, expected) = story(*order);
        let (shown, purchases) = credits(channel, sale.shop, &sale.order()).await;
        assert_eq!(shown, expected, "the order {order} of {}: {}", sale.shop, sale.order());
        all += purchases;
    }
    all
}

async fn killed(stand: Stand) {
    let kills = KILLS * times();
    let mut random = Random(SEED);
    let post = Post {
        jobs: Mutex::default(),
        open: Mutex::default(),
        answered: AtomicUsize::new(0),
        more: Condvar::new(),
    };
    let (first, _) = stand.open().await;
    let mut running = Some(first);
    let mut checked = BTreeSet::new();
    let mut between = 0;
    for kill in 0..kills {
        let server = running.take().unwrap();
        post.begin(&mut random, kill as u64 * ORDERS..(kill as u64 + 1) * ORDERS);
        let target = post.answered.load(Ordering::SeqCst) + 1 + random.below(50);
        let address = server.address().to_owned();
        std::thread::scope(|scope| {
            for _ in 0..SENDERS {
                scope.spawn(|| post.send(&address));
            }
            post.reaches(target);
            server.process.signal("KILL");
        });
        assert!(!server.process.end().status.success());
        between += stand.due().await;
        stand.verify();
        running = Some(restarted(&stand, &post, &mut checked).await);
    }
    let server = running.unwrap();
    let address = server.address().to_owned();
    std::thread::scope(|scope| {
        for _ in 0..SENDERS {
            scope.spawn(|| post.send(&address));
        }
    });
    stand.settled().await;
    let channel = server.connect().await;
    let all: BTreeSet<u64> = (0..kills as u64 * ORDERS).collect();
    assert_eq!(post.done(), all, "everything is answered at the end");
    let purchases = must_be_in_the_book(&channel, &all).await;
    assert_eq!(unmatched(&channel).await, []);
    // Nothing else is there: neither another purchase, nor another order.
    let recorded = stand.count("SELECT COUNT(*) FROM purchase_order").await;
    assert_eq!((recorded, stand.kept().await), (purchases, i64::try_from(all.len()).unwrap()));
    let left: i64 = all.iter().map(|order| story(*order).2).map(|(bought, gone)| bought - gone).sum();
    let balance = stand.place.json(&["balance", "acme", "--server", server.url(), "--json"]);
    let has = |name: &str| units(balance[name].as_str().unwrap());
    assert_eq!(has("available") - has("owed"), left, "{balance}");
    println!("{kills} kills left {between} orders answered and not followed");
    assert!(between > 0, "no kill came between an answer and its commands");
    server.stop();
    stand.verify();
}

/// The next server. All that was answered before is in the book before anything new is told.
async fn restarted(stand: &Stand, post: &Post, checked: &mut BTreeSet<u64>) -> Server {
    let server = stand.serve();
    stand.settled().await;
    let channel = server.connect().await;
    let done = post.done();
    must_be_in_the_book(&channel, done.difference(checked)).await;
    *checked = done;
    server
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_a_kill_before_its_commands() {
    killed(Stand::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_outlives_a_kill_before_its_commands_on_postgresql() {
    if let Some(stand) = Stand::on_postgres().await {
        killed(stand).await;
    }
}
