//! Databases that earlier versions left behind, kept in `tests/databases/<version>/`: they open, migrate, verify and go on.
//!
//! # What is kept
//! A folder per version, with a database of each engine and what was answered while they were made:
//! - `sqlite.db.gz`: the file as the program left it, after a checkpoint;
//! - `postgres.sql.gz`: SQL of `pg_dump` that `psql` and any client load;
//! - `answers.txt`: a line per step and per stored thing. Both engines gave the same.
//!
//! # What is checked
//! A copy is opened with the code of today, which migrates it. Everything reads as `answers.txt` says. Every accepted
//! request is sent again and answered from its first posting. New commands go on with what stood open. `verify` finds
//! nothing, before and after a restart.
//!
//! # To keep one more
//! What is kept is never made again: a file that today's code makes proves nothing about yesterday's. A later version
//! gets a folder of its own beside: add its name and its script to [`VERSIONS`] (a new script, or an old one that still
//! covers all that is stored), and run once, with PostgreSQL 15 on the machine:
//! ```text
//! CREDITLEDGER_KEEP_DATABASES=v0.2.0 cargo test --test store -- kept::keep
//! ```
//! It refuses a folder that is there. Commands of an old script may change their shape in the source, but never their
//! fingerprint: an old request id must be answered as a repeat.

mod cast;
mod commands;
mod endpoints;
mod going_on;
mod incidents;
mod loading;
mod money;
mod stage;
mod state;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use creditledger::audit::verify;
use creditledger::ledger::commands::{Command, HoldRef, VoidWork};
use creditledger::ledger::{HoldState, Kind};
use creditledger::store::{Erased, HoldFilter, OrderState, migrate, open_to_check};

use crate::orders::order;
use crate::rig::Rig;
use loading::{dump_postgres, load_postgres, load_sqlite, packed, whole_file};
use stage::{Answers, Stage};

/// The versions that are kept. Each was made by the one script there is.
const VERSIONS: [&str; 1] = ["v0.1.0"];

/// Kinds of postings that came after the script was written. The script of the next version has them; what goes on with a
/// kept database has them now.
const KINDS_SINCE: [Kind; 3] = [Kind::ReopenCustomer, Kind::ReportTopUp, Kind::SuspendTopUps];

/// Set to the name of a version, the databases of that version are made and kept.
const KEEP: &str = "CREDITLEDGER_KEEP_DATABASES";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/databases")
}

/// All that happens in a kept database, in its order.
async fn script(stage: &mut Stage) {
    cast::set_up(stage).await;
    incidents::expire(stage).await;
    money::everything(stage).await;
    incidents::everything(stage).await;
    endpoints::everything(stage).await;
    state::everything(stage).await;
}

async fn assert_sound(url: &str, when: &str) {
    let (audit, _alone) = open_to_check(url).await.unwrap();
    let report = verify(&*audit, |_| ()).await.unwrap();
    assert!(report.is_clean(), "{when}: {:?}", report.faults);
}

/// Runs the script on a new database, closes it, and gives what was answered.
async fn made(url: &str) -> String {
    let mut stage = Stage::keeping(Rig::open(url).await);
    script(&mut stage).await;
    let answers = stage.finish().await;
    assert_sound(url, "as it was made").await;
    answers
}

/// Opens a kept database, in a copy, and holds it to what was answered; then goes on.
async fn check(url: &str, answers: &str) {
    let answers = Answers::read(answers);
    let mut stage = Stage::checking(Rig::open(url).await, answers.clone());
    // Before anything is sent: the rows are as the migration left them.
    state::everything(&mut stage).await;
    let state = stage.state();
    script(&mut stage).await;
    assert_eq!(stage.state(), state, "repeats have changed something");
    let now = stage.rig.now;
    stage.finish().await;
    assert_sound(url, "after the repeats").await;

    let now = going_on::first(url, now, &answers).await;
    assert_sound(url, "after new commands").await;
    going_on::second(url, now).await;
    assert_sound(url, "after a restart").await;
    // Orders of storefronts came with a later version.
    let mut rig = Rig::open(url).await;
    let mut tx = rig.orders.begin(now).await.unwrap();
    assert_eq!((tx.all(None, 9).await.unwrap(), tx.rooms().await.unwrap()), (vec![], vec![]));
    tx.put(&[order(7, &["cs_7"], OrderState::Settled)]).await.unwrap();
    tx.commit().await.unwrap();
    rig.writer.close().await.unwrap();
    drop(rig);
    assert_sound(url, "with an order").await;
}

#[test]
fn every_kept_version_is_checked() {
    let kept = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap());
    let kept: BTreeSet<String> = kept.map(|entry| entry.file_name().into_string().unwrap()).collect();
    assert_eq!(kept, VERSIONS.map(str::to_owned).into());
    const BYTES_MAX: u64 = 100_000;
    for version in VERSIONS {
        for file in std::fs::read_dir(folder().join(version)).unwrap().map(Result::unwrap) {
            let bytes = file.metadata().unwrap().len();
            assert!(bytes <= BYTES_MAX, "{}: {bytes} bytes", file.path().display());
        }
    }
}

#[tokio::test]
async fn sqlite_files_of_earlier_versions_open_and_go_on() {
    for version in VERSIONS {
        let kept = folder().join(version);
        let directory = tempfile::tempdir().unwrap();
        let url = load_sqlite(&kept.join("sqlite.db.gz"), directory.path());
        check(&url, &std::fs::read_to_string(kept.join("answers.txt")).unwrap()).await;
    }
}

#[tokio::test]
async fn postgres_databases_of_earlier_versions_open_and_go_on() {
    if !crate::postgres::available() {
        return;
    }
    for version in VERSIONS {
        let kept = folder().join(version);
        let url = load_postgres(&kept.join("postgres.sql.gz")).await;
        check(&url, &std::fs::read_to_string(kept.join("answers.txt")).unwrap()).await;
    }
}

/// What was said before words lay aside cannot be erased; it is counted, and what is said now is erased beside it.
#[tokio::test]
async fn texts_of_earlier_versions_stay() {
    for version in VERSIONS {
        let kept = folder().join(version);
        let directory = tempfile::tempdir().unwrap();
        let url = load_sqlite(&kept.join("sqlite.db.gz"), directory.path());
        let answers = Answers::read(&std::fs::read_to_string(kept.join("answers.txt")).unwrap());
        let mut stage = Stage::checking(Rig::open(&url).await, answers);
        stage.at("main", "acme").await;
        let rig = &mut stage.rig;
        let before = rig.reader.postings_of(rig.key(), 1, 1_000).await.unwrap().items;
        let erased = rig.writer.erase_words(rig.ledger, &rig.customer, rig.now).await.unwrap();
        assert!(erased.postings == 0 && erased.kept > 10, "{erased:?}");
        assert_eq!(rig.reader.postings_of(rig.key(), 1, 1_000).await.unwrap().items, before);
        rig.ok(crate::desk::grant("1")).await;
        let again = rig.writer.erase_words(rig.ledger, &rig.customer, rig.now).await.unwrap();
        assert_eq!(again, Erased { postings: 1, ..erased });
        // An entry of work of an older posting is voided by one that can be forgotten.
        let filter = HoldFilter { states: vec![HoldState::Active], ..HoldFilter::default() };
        let holds = rig.reader.holds(rig.ledger, &filter, None, 1_000).await.unwrap().items;
        let hold = holds.iter().find(|hold| !hold.work.is_empty()).unwrap();
        let entries = rig.reader.work(hold.id, None, 1_000).await.unwrap().items;
        let work = entries.iter().find(|work| work.counts()).unwrap().id;
        rig.customer = hold.customer.clone();
        rig.ok(Command::VoidWork(VoidWork { hold: HoldRef::Id(hold.id), work })).await;
        let erased = rig.writer.erase_words(rig.ledger, &rig.customer, rig.now).await.unwrap();
        assert!(erased.postings > 0 && erased.kept > 0, "{erased:?}");
        rig.writer.close().await.unwrap();
        drop(stage);
        assert_sound(&url, "after what could be erased was").await;
    }
}

/// Until a migration is done to its end, nobody reads the database; one that was cut off goes on at the next start.
#[tokio::test]
async fn a_migration_that_was_cut_off_is_finished_by_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let url = load_sqlite(&folder().join("v0.1.0/sqlite.db.gz"), directory.path());
    migrate(&url).await.unwrap();
    let rows = |sql: &str| -> i64 {
        let database = rusqlite::Connection::open(url.strip_prefix("sqlite://").unwrap()).unwrap();
        database.query_row(sql, [], |row| row.get(0)).unwrap()
    };
    let entries = rows("SELECT COUNT(*) FROM work");
    assert!(entries > 10);
    rows("INSERT INTO unfinished_step (step) VALUES ('work') RETURNING 1");
    let refused = open_to_check(&url).await.err().unwrap().to_string();
    assert!(refused.ends_with("has an older schema; run \"creditledger migrate\" first"), "{refused}");
    migrate(&url).await.unwrap();
    assert_eq!(
        (rows("SELECT COUNT(*) FROM unfinished_step"), rows("SELECT COUNT(*) FROM work")),
        (0, entries)
    );
    assert_sound(&url, "after the second migration").await;
}

#[tokio::test]
async fn servers_that_start_together_migrate_once() {
    if !crate::postgres::available() {
        return;
    }
    let url = load_postgres(&folder().join("v0.1.0/postgres.sql.gz")).await;
    let started = tokio::join!(migrate(&url), migrate(&url), migrate(&url));
    for started in [started.0, started.1, started.2] {
        started.unwrap();
    }
    assert_sound(&url, "migrated by three at once").await;
}

/// What makes the kept databases still runs, so that it is there for the next version; asked to, it keeps them.
#[tokio::test]
async fn keep() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("kept.db");
    let answers = made(&format!("sqlite://{}", file.display())).await;
    for kind in Kind::ALL.iter().filter(|kind| !KINDS_SINCE.contains(kind)) {
        assert!(answers.contains(&format!(" kind {} ", kind.code())), "no {kind} is kept");
    }
    for state in HoldState::ALL {
        assert!(
            answers.contains(&format!(" state {} card ", state.code())),
            "no hold that is {state} is kept"
        );
    }
    let Some(version) = std::env::var_os(KEEP) else { return };
    let version = version.into_string().unwrap();
    assert!(VERSIONS.contains(&version.as_str()), "{version} is not among the versions");
    let kept = folder().join(&version);
    assert!(!kept.exists(), "{version} is kept already, and never made again");

    assert!(crate::postgres::available(), "both engines are kept, or none");
    let postgres = crate::postgres::database().await;
    let others = made(&postgres).await;
    for (one, other) in answers.lines().zip(others.lines()) {
        assert_eq!(one, other, "the engines differ");
    }
    assert_eq!(answers.len(), others.len());

    std::fs::create_dir_all(&kept).unwrap();
    std::fs::write(kept.join("sqlite.db.gz"), packed(&whole_file(&file))).unwrap();
    std::fs::write(kept.join("postgres.sql.gz"), packed(dump_postgres(&postgres).as_bytes())).unwrap();
    std::fs::write(kept.join("answers.txt"), answers).unwrap();
}
