//! Nearly a third of all commits fails, or is done and not answered: a replay comes to the right end all the same.

use std::sync::atomic::Ordering;

use super::pg_proxy::Proxy;
use super::postgres;
use super::postgres_rig::{Book, Site};
use super::process::incidents;

/// Of a hundred commits, those of the sequencer among them.
const FAULTS: u32 = 30;

/// Says which faults these were where the test fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the seed of the faults: {}", self.0);
        }
    }
}

async fn faults_in_between(isolation: &'static str) {
    let book = Book::of(incidents(150, 30)).await;
    let site = Site::new().await.at(isolation);
    let seed = Seed(getrandom::u64().unwrap());
    let proxy = Proxy::start(postgres::tcp_address(), seed.0);
    let url = postgres::through(&site.url, proxy.address());
    let servers = [(); 2].map(|()| site.serve_through(&url, "127.0.0.1:0"));
    proxy.set_fault_share(FAULTS);
    let replay = site.replay(&book, &servers);
    book.must_be_in(&site, replay).await;
    let counts = proxy.counts();
    for count in [
        &counts.serialization_failures,
        &counts.deadlocks,
        &counts.lost_before,
        &counts.lost_after,
        &counts.undisturbed,
    ] {
        assert!(count.load(Ordering::Relaxed) >= 5, "{counts:?}");
    }
    proxy.set_fault_share(0);
    for server in servers {
        let ended = server.stop();
        // Connections were lost, the database never was, and no batch was given up.
        for complaint in ["cannot be reached", "could not be stored", "refused"] {
            assert!(!ended.stderr.contains(complaint), "{}", ended.stderr);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_commits_neither_lose_nor_double_anything() {
    if postgres::available() {
        faults_in_between("read-committed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failing_commits_neither_lose_nor_double_anything_when_serializable() {
    if postgres::available() {
        faults_in_between("serializable").await;
    }
}
