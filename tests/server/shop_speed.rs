//! How fast deliveries go the whole way: socket, signature, facts stored and answered, followed to the purchase.
//!
//! `CREDITLEDGER_TEST_TIMES=100 cargo test --release --test server -- shop_speed --nocapture --test-threads 1` measures with
//! 20,000 deliveries a line; in CI only few go that way, and their figure says little.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::shop_rig::{SHOPS, Sale, Sender, Stand, create, request, times};

/// Deliveries in CI.
const DELIVERIES: usize = 200;
const CUSTOMERS: usize = 200;

async fn measured(stand: Stand, engine: &str, shops: &[&'static str], senders: usize) {
    let (server, channel) = stand.open().await;
    for customer in 0..CUSTOMERS {
        create(&channel, &format!("c{customer}")).await;
    }
    let count = DELIVERIES * times();
    let deliveries: Vec<_> = (0..count)
        .map(|number| {
            let sale = Sale::new(shops[number % shops.len()], number as u64);
            request(&sale.of(&format!("c{}", number % CUSTOMERS)).paid(), "")
        })
        .collect();
    let (next, full, address) = (AtomicUsize::new(0), AtomicUsize::new(0), server.address().to_owned());
    let (begin, before) = (Instant::now(), server.process.cpu_ticks());
    std::thread::scope(|scope| {
        for _ in 0..senders {
            scope.spawn(|| {
                let mut sender = Sender::connect(&address).unwrap();
                while let Some(delivery) = deliveries.get(next.fetch_add(1, Ordering::Relaxed)) {
                    loop {
                        match sender.send(delivery).unwrap() {
                            200 => break,
                            // The room of what waits is full: a shop sends again later, this one at once.
                            503 => full.fetch_add(1, Ordering::Relaxed),
                            other => panic!("a delivery was answered {other}"),
                        };
                        std::thread::yield_now();
                    }
                }
            });
        }
    });
    let answered = begin.elapsed();
    stand.settled().await;
    let followed = begin.elapsed();
    let ticks = server.process.cpu_ticks() - before;
    assert_eq!(stand.count("SELECT COUNT(*) FROM purchase_order").await, i64::try_from(count).unwrap());
    let count = u128::try_from(count).unwrap();
    let per_second = |lasted: Duration| count * 1_000_000 / lasted.as_micros();
    println!(
        "{engine}, {} shops, {senders} senders: {} deliveries/s answered, {}/s followed to the purchase, {} us of CPU each, \
         {} answers that the room was full",
        shops.len(),
        per_second(answered),
        per_second(followed),
        // A tick is 10 ms.
        u128::from(ticks) * 10_000 / count,
        full.load(Ordering::Relaxed)
    );
    server.stop();
    stand.verify();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_the_whole_way() {
    let all = SHOPS.map(|(shop, _)| shop);
    measured(Stand::new(), "SQLite", &all[..1], 64).await;
    measured(Stand::new(), "SQLite", &all, 64).await;
    measured(Stand::new(), "SQLite", &all, 8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliveries_go_the_whole_way_on_postgresql() {
    let all = SHOPS.map(|(shop, _)| shop);
    for (shops, senders) in [(&all[..1], 64), (&all[..], 64)] {
        let Some(stand) = Stand::on_postgres().await else { return };
        measured(stand, "PostgreSQL", shops, senders).await;
    }
}
