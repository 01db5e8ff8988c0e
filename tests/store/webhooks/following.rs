//! Followers hear of commits from the engine itself where it tells of them. What it tells late, twice, in part or of another
//! ledger changes nothing of what they hear.

use std::sync::Arc;

use creditledger::delivery::{Cursor, Filter, Watch};
use creditledger::ledger::{LedgerNo, Posting};
use creditledger::store::{Position, Recorded};

use super::{Desk, on_each_engine};
use crate::desk::purchase;
use crate::rig::Rig;

const PURCHASES: usize = 80;

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

on_each_engine!(what_is_told_of_commits_changes_nothing_of_what_followers_hear);
