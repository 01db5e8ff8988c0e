//! Two servers on one PostgreSQL database get the same and different deliveries of the same orders at once: the book is
//! the one that a single server would have made.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::disk::Random;
use super::shop_kills::{must_be_in_the_book, story};
use super::shop_rig::{Sender, Stand, request, times, unmatched};

const SEED: u64 = 20_261_130;
/// Orders in CI: each story of each vendor some times.
const ORDERS: u64 = 64;
/// Connections to each server.
const SENDERS: usize = 6;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_servers_that_are_told_the_same_make_one_book() {
    let Some(stand) = Stand::on_postgres().await else { return };
    let (first, channel) = stand.open().await;
    let second = stand.serve();
    let orders: BTreeSet<u64> = (0..ORDERS * times() as u64).collect();
    let mut random = Random(SEED);
    // Each delivery with who gets it: the first, the second, or both.
    let mut told: Vec<_> =
        orders.iter().flat_map(|order| story(*order).1).map(|told| (told, random.below(3))).collect();
    // Those of an order are near each other, so that the servers really meet.
    for place in 1..told.len() {
        told.swap(place, place - random.below(place.min(8) + 1));
    }
    let addresses = [&first, &second].map(|server| server.address().to_owned());
    std::thread::scope(|scope| {
        for (number, address) in addresses.iter().enumerate() {
            let (told, next) = (&told, Arc::new(AtomicUsize::new(0)));
            for _ in 0..SENDERS {
                let next = Arc::clone(&next);
                scope.spawn(move || {
                    let mut sender = Sender::connect(address).unwrap();
                    while let Some((delivery, who)) = told.get(next.fetch_add(1, Ordering::Relaxed)) {
                        if *who != 1 - number {
                            assert_eq!(sender.send(&request(&delivery.again(), "")).unwrap(), 200);
                        }
                    }
                });
            }
        }
    });
    stand.settled().await;
    let purchases = must_be_in_the_book(&channel, &orders).await;
    assert_eq!(unmatched(&channel).await, []);
    let recorded = stand.count("SELECT COUNT(*) FROM purchase_order").await;
    assert_eq!((recorded, stand.kept().await), (purchases, i64::try_from(orders.len()).unwrap()));
    stand.verify();
    // Both tell the same of it.
    must_be_in_the_book(&second.connect().await, &orders).await;
    first.stop();
    second.stop();
}
