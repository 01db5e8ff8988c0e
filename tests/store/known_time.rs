//! What a database knows of the time, on each engine, and that a batch lets nothing fall due after what it was told.

use std::time::Duration;

use creditledger::clock;
use creditledger::clock::plausible::Known;
use creditledger::ledger::Timestamp;
use creditledger::ledger::commands::Command;
use creditledger::ledger::decide::decide;
use creditledger::store::{Isolation, Settings, Time, confirm_clock, open};

use crate::desk::{START, grant, purchase_until};
use crate::rig::Rig;

/// A rig of each engine that is here, with the URL of its database.
async fn rigs() -> Vec<(Rig, Option<String>)> {
    let sqlite = Rig::sqlite().await;
    let url = format!("sqlite://{}", sqlite.path().display());
    let mut rigs = vec![(Rig::memory(), None), (sqlite, Some(url))];
    if crate::postgres::available() {
        let url = crate::postgres::database().await;
        rigs.push((Rig::open(&url).await, Some(url)));
    }
    rigs
}

#[tokio::test]
async fn heartbeats_doubts_and_confirmations_are_kept() {
    for (mut rig, url) in rigs().await {
        let rows = rig.clock.rows.clone();
        let (known, shown) = rows.known(START).await.unwrap();
        assert_eq!(known, Known::default(), "a new database knows nothing");
        let is_postgres = url.as_ref().is_some_and(|url| url.starts_with("postgres"));
        // PostgreSQL tells its own clock.
        let apart = shown.micros().abs_diff(clock::wall().micros());
        assert_eq!(shown == START, !is_postgres);
        assert!(!is_postgres || apart < 600_000_000, "{apart} us");
        rows.doubt().await.unwrap();
        let beat = START.plus_seconds(60);
        assert!(rows.known(START).await.unwrap().0.is_doubted);
        rows.beat(beat).await.unwrap();
        let (known, _) = rows.known(START).await.unwrap();
        assert_eq!(known, Known { heartbeat: Some(beat), ..Known::default() });
        let Some(url) = url else { continue };
        // A stamp of a customer's is the last one, also where it has no place in the feed yet.
        rig.new_customer("acme").await;
        let stamp = rig.ok(grant("1")).await.posting.recorded_at;
        let (known, _) = rows.known(START).await.unwrap();
        assert!(known.last_stamp >= Some(stamp), "{known:?}");
        // From another process's connection, while this one has the database open.
        rows.doubt().await.unwrap();
        let wall = START.plus_days(1);
        let confirmed = confirm_clock(&url, wall).await.unwrap();
        assert!(is_postgres || confirmed == wall);
        let (now, _) = rows.known(START).await.unwrap();
        let confirmed = Some(confirmed);
        let expected = Known {
            heartbeat: confirmed,
            is_doubted: false,
            confirmed,
            confirmed_over: known.last_stamp,
            last_stamp: now.last_stamp,
        };
        assert_eq!(now, expected);
        // Opened again, it is all there.
        drop(rows);
        let rig = rig.reopen().await;
        let (again, _) = rig.clock.rows.known(START).await.unwrap();
        assert_eq!((again.heartbeat, again.confirmed), (confirmed, confirmed));
    }
    assert!(confirm_clock("memory:", START).await.is_err());
    assert!(confirm_clock("sqlite:///nowhere/to/be/found.db", START).await.is_err());
}

/// The stamp is late, but the clock was doubted before the credits expired.
#[tokio::test]
async fn nothing_falls_due_after_what_a_batch_was_told() {
    for (mut rig, _) in rigs().await {
        rig.new_customer("acme").await;
        rig.ok(purchase_until("o1", "3", START.plus_days(5))).await;
        rig.now = START.plus_days(6);
        for (due_until, kinds) in [(START.plus_days(4), 1), (Timestamp::MAX, 2)] {
            let request = rig.request(grant("1"));
            let mut book = rig.load(std::slice::from_ref(&request)).await;
            book.due_until = due_until;
            decide(&mut book, &request).unwrap().unwrap();
            assert_eq!(book.journal().len(), kinds, "{:?}", book.journal());
            rig.writer.append(&book).await.unwrap();
        }
        let due = rig.request(Command::ApplyDue);
        let mut book = rig.load(std::slice::from_ref(&due)).await;
        assert!(decide(&mut book, &due).unwrap().is_err(), "everything was applied");
        rig.writer.abandon().await.unwrap();
    }
}

/// An engine with a clock of its own judges it before its first batch; the others leave that to their caller.
#[tokio::test]
async fn a_clock_that_is_implausible_at_the_opening_is_known_at_once() {
    for (rig, url) in rigs().await {
        let Some(url) = url else { continue };
        let ahead = clock::wall().plus_days(30);
        rig.clock.rows.beat(ahead).await.unwrap();
        let _directory = rig.close().await;
        let settings = Settings {
            lanes: 1,
            isolation: Isolation::ReadCommitted,
            time: Time::Database,
            clock_gap_max: Some(Duration::from_hours(168)),
        };
        let engine = open(&url, clock::wall(), &settings).await.unwrap();
        let standing = engine.clock.watch.standing();
        assert!(!standing.is_plausible && !standing.is_step && standing.doubts == 1, "{standing:?}");
        let judged = engine.clock.watch.read(clock::wall());
        assert_eq!(judged.due_until, ahead);
        assert!(judged.now >= ahead && judged.now < ahead.plus_seconds(600));
    }
}
