//! Followers hear of commits from the engine itself where it tells of them. What it tells late, twice, in part or of another
//! ledger changes nothing of what they hear.

use std::sync::Arc;
use std::time::Duration;

use creditledger::delivery::{Cursor, Filter, Watch};
use creditledger::ledger::{LedgerNo, Posting};
use creditledger::store::{Position, Recorded};

use super::{Desk, on_each_engine};
use crate::desk::{START, purchase};
use crate::rig::Rig;

const PURCHASES: usize = 80;
/// A busy machine meets this.
const PATIENCE: Duration = Duration::from_mins(1);

async fn what_is_told_of_commits_changes_nothing_of_what_followers_hear(mut rig: Rig) {
    let desk = Desk::new(&rig);
    rig.new_customer("acme").await;
    let mut watch = Watch::new(&desk.feeds, LedgerNo::MAIN, Filter::default(), Cursor::default());
    let mut seed = 20_261_126_u64;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let mut heard = Vec::new();
    for n in 1..=PURCHASES {
        rig.ok(purchase(&n.to_string(), "1")).await;
        let feed = rig.reader.feed(LedgerNo::MAIN, Position(0), usize::MAX).await.unwrap().items;
        let mut told: Vec<Recorded> = feed.into_iter().filter(|_| below(3) == 0).collect();
        if let Some(last) = told.last().cloned().filter(|_| below(2) == 0) {
            // As if it came next, but in another ledger.
            let other = Posting { ledger: LedgerNo::new(7).unwrap(), ..Posting::clone(&last.posting) };
            let position = Position(last.position.0 + 1);
            told.push(Recorded { position, posting: Arc::new(other) });
        }
        rig.notifier.tell(|| told);
        while below(3) == 0 && heard.len() < n {
            heard.extend(watch.next().await.unwrap().unwrap());
        }
    }
    while heard.len() < PURCHASES {
        heard.extend(watch.next().await.unwrap().unwrap());
    }
    assert_eq!(heard, desk.events().await);
}

/// Whoever looks at endpoints waits for no transaction, however long it goes on.
async fn endpoints_are_read_beside_a_transaction_that_writes(rig: Rig) {
    let desk = Desk::new(&rig);
    let endpoint = desk.endpoint("https://example.com/").await;
    // In memory all transactions take turns.
    let open = if rig.is_in_memory() {
        None
    } else {
        let mut open = rig.webhooks.begin(START).await.unwrap();
        // It has a lock of the row too.
        assert!(open.endpoint(endpoint.id).await.unwrap().is_some());
        Some(open)
    };
    let reads = async {
        let all = desk.webhooks.endpoints(LedgerNo::MAIN).await.unwrap();
        let one = desk.webhooks.endpoint(LedgerNo::MAIN, endpoint.id).await.unwrap();
        assert_eq!((&all[..], one), (&[endpoint.clone()][..], Some(endpoint.clone())));
        for dead in [false, true] {
            let waiting = desk.webhooks.deliveries(LedgerNo::MAIN, endpoint.id, dead, None, 10).await;
            assert_eq!(waiting.unwrap(), Some(vec![]));
        }
    };
    tokio::time::timeout(PATIENCE, reads).await.expect("reads wait for nobody");
    drop(open);
}

on_each_engine!(
    what_is_told_of_commits_changes_nothing_of_what_followers_hear
    endpoints_are_read_beside_a_transaction_that_writes
);
