//! `creditledger backup` and `creditledger restore`: under load, killed, on a full disk, and what they refuse.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::io::Errno;

use super::disk::failing;
use super::power::{create, send};
use super::process::{PATIENCE, Place, Running, sqlite};
use crate::postgres::{self, Cluster};

/// A place whose closed database has so many customers, each with a grant.
async fn filled(customers: usize) -> Place {
    let place = Place::new();
    let server = place.serve();
    let channel = server.connect().await;
    for number in 0..customers {
        create(&channel, &format!("c{number}")).await.unwrap();
        send(&channel, &format!("c{number}"), 1).await.unwrap();
    }
    server.stop();
    place
}

/// The names in a place, sorted. What SQLite may leave beside a database that was read does not count.
fn names(place: &Place) -> Vec<String> {
    let entries = std::fs::read_dir(place.path(".")).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let beside = ["creditledger.db-wal", "creditledger.db-shm"];
    names.retain(|name| !beside.contains(&name.as_str()));
    names.sort();
    names
}

fn postings(path: &Path) -> i64 {
    sqlite(path).query_row("SELECT COUNT(*) FROM posting", [], |row| row.get(0)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_one_moment_of_the_book() {
    let place = Arc::new(Place::new());
    let server = place.serve();
    let enough = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..6 {
        let (channel, enough) = (server.connect().await, Arc::clone(&enough));
        writers.push(tokio::spawn(async move {
            let customer = format!("c{writer}");
            create(&channel, &customer).await.unwrap();
            let mut number = 0;
            while !enough.load(Ordering::Relaxed) {
                send(&channel, &customer, number).await.unwrap();
                number += 1;
            }
        }));
    }
    let database = place.path("creditledger.db");
    let begun = Instant::now();
    while postings(&database) < 100 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::task::yield_now().await;
    }
    for round in ["one.db", "two.db"] {
        let before = postings(&database);
        let made = Arc::clone(&place);
        let made =
            tokio::task::spawn_blocking(move || made.json(&["backup", round, "--json"])).await.unwrap();
        assert_eq!(made["verified"], true);
        let after = postings(&database);
        let file = place.path(round);
        assert_eq!(made["bytes"], std::fs::metadata(&file).unwrap().len());
        let ended = place.run(&["verify", "--database-url", &format!("sqlite:{round}")]);
        assert!(ended.stdout.starts_with("clean: "), "{}{}", ended.stdout, ended.stderr);
        let there = postings(&file);
        assert!(before <= there && there < after, "{before} <= {there} < {after}");
    }
    enough.store(true, Ordering::Relaxed);
    for writer in writers {
        writer.await.unwrap();
    }
    server.stop();
    place.verify();
    assert_eq!(names(&place), ["creditledger.db", "one.db", "two.db"]);
}

/// Killed at several moments, it leaves no file of the name that was asked for. The next one needs nobody to tidy up.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_was_killed_leaves_no_file() {
    let place = filled(400).await;
    let (file, partial) = (place.path("b.db"), place.path("b.db.partial"));
    let mut killed = 0;
    for wanted in [0, 1, 1] {
        let _ = std::fs::remove_file(&partial);
        let running = Running::start(place.command(&["backup", "b.db"]));
        let begun = Instant::now();
        let bytes = || std::fs::metadata(&partial).map(|facts| facts.len()).ok();
        while bytes().is_none_or(|bytes| bytes < wanted) && !file.exists() {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        running.signal("KILL");
        let ended = running.end();
        assert_eq!(ended.status.success(), file.exists(), "{}", ended.stderr);
        if ended.status.success() {
            std::fs::remove_file(&file).unwrap();
        } else {
            killed += 1;
            assert!(partial.exists());
        }
    }
    assert!(killed > 0, "every backup was faster than its end");
    // Asked to end, it removes what it has begun.
    let _ = std::fs::remove_file(&partial);
    let running = Running::start(place.command(&["backup", "b.db"]));
    let begun = Instant::now();
    while !std::fs::metadata(&partial).is_ok_and(|facts| facts.len() > 1) && !file.exists() {
        assert!(begun.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    running.signal("TERM");
    let ended = running.end();
    assert!(!partial.exists() && ended.status.success() == file.exists(), "{}", ended.stderr);
    let _ = std::fs::remove_file(&file);
    place.write("b.db.partial", "what a process that was killed has left");
    // Two at a time do not mix, whichever is first.
    let both = [(); 2].map(|()| Running::start(place.command(&["backup", "b.db"])));
    let ended = both.map(Running::end);
    let made = ended.iter().filter(|ended| ended.status.success()).count();
    assert_eq!(made, 1, "{}{}", ended[0].stderr, ended[1].stderr);
    assert!(place.run(&["verify", "--database-url", "sqlite:b.db"]).stdout.contains("800 postings"));
    assert_eq!(names(&place), ["b.db", "creditledger.db"]);
}

/// Each write and each sync fails in its turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_leaves_nothing_behind() {
    let place = filled(3).await;
    let before = std::fs::read(place.path("creditledger.db")).unwrap();
    let hit = Place::new();
    let (mut call, mut failed) = (1, 0);
    loop {
        let hit = hit.path(&format!("hit-{call}"));
        let backup = place.command(&["backup", "b.db"]);
        let ended = Running::start(failing(backup, call, Errno::NOSPC, &hit)).end();
        if !hit.exists() {
            assert!(ended.status.success(), "{}", ended.stderr);
            break;
        }
        let complaint = ended.complaint();
        assert!(complaint.contains("b.db") && !complaint.contains("panicked"), "{complaint}");
        assert_eq!(names(&place), ["creditledger.db"], "call {call}: {complaint}");
        failed += 1;
        // Pages are alike; the calls at both ends are not.
        call += if (5..50).contains(&call) { 9 } else { 1 };
    }
    assert!(call > 60 && failed > 10, "{failed} of {call} calls failed");
    assert_eq!(std::fs::read(place.path("creditledger.db")).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_serves_as_its_database_did() {
    let place = filled(20).await;
    let counts = place.verify();
    let made = place.run(&["backup", "b.db"]);
    assert!(
        made.status.success() && made.stdout.contains(counts.trim_end()),
        "{}{}",
        made.stdout,
        made.stderr
    );
    let restored = Place::new();
    let backup = place.path("b.db");
    let backup = backup.to_str().unwrap();
    let ended = restored.run(&["restore", backup]);
    assert!(ended.status.success() && ended.stdout.contains(counts.trim_end()), "{}", ended.stderr);
    assert_eq!(names(&restored), ["creditledger.db"]);
    // Somebody may already read it when its first server starts.
    let reader = sqlite(&restored.path("creditledger.db"));
    reader.execute_batch("BEGIN; SELECT COUNT(*) FROM posting").unwrap();
    let server = restored.serve();
    let channel = server.connect().await;
    send(&channel, "c7", 5).await.unwrap();
    // A request that the backup has is the same request still.
    send(&channel, "c7", 1).await.unwrap();
    server.stop();
    drop(reader);
    assert!(restored.verify().contains("41 postings"));
    // The backup is as it was.
    assert!(place.run(&["verify", "--database-url", "sqlite:b.db"]).stdout.contains("40 postings"));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_overwritten_and_nothing_damaged_is_kept() {
    let place = filled(2).await;
    let refused = |arguments: &[&str], told: &str| {
        let before = names(&place);
        let ended = place.run(arguments);
        assert!(ended.complaint().contains(told), "{arguments:?}: {}", ended.stderr);
        assert_eq!(names(&place), before, "{arguments:?}");
    };
    assert!(place.run(&["backup", "b.db"]).status.success());
    for there in ["taken.db", "free.db-wal", "free.db-shm", "free.db-journal"] {
        place.write(there, "of somebody");
        let name = there.split('-').next().unwrap();
        refused(&["backup", name], &format!("{there} is there already; nothing is overwritten"));
        let url = format!("sqlite:{name}");
        refused(&["restore", "b.db", "--database-url", &url], "is there already; nothing is overwritten");
        assert_eq!(std::fs::read_to_string(place.path(there)).unwrap(), "of somebody");
        std::fs::remove_file(place.path(there)).unwrap();
    }
    std::os::unix::fs::symlink(place.path("nowhere"), place.path("link.db")).unwrap();
    refused(&["backup", "link.db"], "link.db is there already");
    refused(&["backup"], "say which FILE to make");
    refused(&["backup", "no/such/place.db"], "cannot be made: No such file");
    refused(&["backup", ".."], "names no file");
    refused(&["backup", "c.db", "--database-url", "sqlite:absent.db"], "there is no database ");
    refused(&["restore", "absent.db", "--database-url", "sqlite:c.db"], "there is no database ");
    // What a backup that was killed has left is not used up by a restore to the name that it was to have.
    std::fs::copy(place.path("b.db"), place.path("d.db.partial")).unwrap();
    refused(&["restore", "d.db.partial", "--database-url", "sqlite:d.db"], "is being made");
    assert_eq!(
        std::fs::read(place.path("d.db.partial")).unwrap(),
        std::fs::read(place.path("b.db")).unwrap()
    );
    refused(&["backup", "c.db", "--database-url", "memory:"], "memory: is gone with its server");
    place.write("text.db", &"This is no database at all. ".repeat(50));
    refused(&["restore", "text.db", "--database-url", "sqlite:c.db"], "is not an SQLite database");
    sqlite(&place.path("other.db")).execute_batch("CREATE TABLE song (title TEXT)").unwrap();
    refused(&["backup", "c.db", "--database-url", "sqlite:other.db"], "is another program's database");

    // A book that is wrong is not restored, and no backup is made of it.
    let wrong = place.path("wrong.db");
    std::fs::copy(place.path("b.db"), &wrong).unwrap();
    sqlite(&wrong).execute_batch("UPDATE customer SET available = available + 1").unwrap();
    for arguments in [
        &["restore", "wrong.db", "--database-url", "sqlite:c.db"][..],
        &["backup", "c.db", "--database-url", "sqlite:wrong.db"],
    ] {
        let before = names(&place);
        let ended = place.run(arguments);
        assert_eq!(ended.status.code(), Some(1));
        assert!(ended.stderr.contains("does not verify, so it was removed"), "{}", ended.stderr);
        assert!(ended.stderr.contains("its balances are not those"), "{}", ended.stderr);
        assert_eq!(names(&place), before);
    }
    // A log that lost a part is no log to take a backup of: SQLite would leave out what is behind the damage.
    let killed = filled(1).await;
    let server = killed.serve();
    let channel = server.connect().await;
    for number in 5..8 {
        send(&channel, "c0", number).await.unwrap();
    }
    server.process.signal("KILL");
    server.process.end();
    let log = killed.path("creditledger.db-wal");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[32 + 24 + 100] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    let ended = killed.run(&["backup", "b.db"]);
    assert!(ended.complaint().contains("is not as it was written"), "{}", ended.stderr);
    assert!(!killed.path("b.db").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn only_backups_are_rotated() {
    let place = filled(2).await;
    assert!(place.run(&["backup", "plain.db"]).status.success());
    let plain = std::fs::read(place.path("plain.db")).unwrap();
    // Made by the command, so that they may go; in the order of their times.
    let own = ["20200101T000000Z", "20210101T000000Z", "20220101T000000Z", "20230101T000000Z"];
    let name = |time: &str| format!("keep-{time}.db");
    for time in own {
        std::fs::write(place.path(&name(time)), &plain).unwrap();
    }
    // These have the form of a name, or what is in a backup, but not both; or another directory's.
    place.write(&name("20190101T000000Z"), "of somebody");
    std::fs::copy(place.path("creditledger.db"), place.path(&name("20190202T000000Z"))).unwrap();
    std::os::unix::fs::symlink("plain.db", place.path(&name("20190303T000000Z"))).unwrap();
    std::fs::write(place.path("keep-yesterday.db"), &plain).unwrap();
    std::fs::write(place.path("other-20190101T000000Z.db"), &plain).unwrap();
    // A backup that was served is a database.
    std::fs::write(place.path(&name("20190404T000000Z")), &plain).unwrap();
    let url = format!("sqlite:{}", name("20190404T000000Z"));
    assert!(place.run(&["migrate", "--database-url", &url]).status.success());
    let before = names(&place);

    let made = place.json(&["backup", "keep.db", "--keep", "3", "--json"]);
    let new = made["file"].as_str().unwrap().to_owned();
    let form = |c: char| if c.is_ascii_digit() { 'd' } else { c };
    assert_eq!(new.chars().map(form).collect::<String>(), "keep-ddddddddTddddddZ.db");
    let deleted = [name(own[1]), name(own[0])];
    assert_eq!(made["deleted"], serde_json::json!(deleted));
    let mut expected: Vec<_> = before.into_iter().filter(|name| !deleted.contains(name)).collect();
    expected.push(new);
    expected.sort();
    assert_eq!(names(&place), expected);
    // What is not one is named.
    let ended = place.run(&["backup", "second.db", "--keep", "1"]);
    assert!(ended.status.success() && !ended.stdout.contains("deleted"), "{}", ended.stdout);
    let refused = place.run(&["backup", "keep.db", "--keep", "0"]);
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
}

/// A database of an earlier version is backed up before it is migrated. Its journal cannot be replayed yet, and it says so.
#[test]
fn a_database_of_an_earlier_version_is_backed_up_as_it_is() {
    let place = Place::new();
    let kept = std::fs::File::open("tests/databases/v0.1.0/sqlite.db.gz").unwrap();
    let mut database = std::fs::File::create(place.path("creditledger.db")).unwrap();
    std::io::copy(&mut flate2::read::GzDecoder::new(kept), &mut database).unwrap();
    drop(database);
    let made = place.json(&["backup", "b.db", "--json"]);
    assert_eq!(made["verified"], false);
    let restored = place.run(&["restore", "b.db", "--database-url", "sqlite:c.db"]);
    assert!(restored.stdout.contains("its schema is older than this version's"), "{}", restored.stderr);
    assert!(place.run(&["migrate", "--database-url", "sqlite:c.db"]).status.success());
    let ended = place.run(&["verify", "--database-url", "sqlite:c.db"]);
    assert!(ended.stdout.starts_with("clean: "), "{}{}", ended.stdout, ended.stderr);
    // Its pages are looked at all the same.
    let path = place.path("b.db");
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.len();
    bytes[end - 4_096..].fill(0xAA);
    std::fs::write(&path, bytes).unwrap();
    let ended = place.run(&["restore", "b.db", "--database-url", "sqlite:d.db"]);
    assert!(ended.status.code() == Some(1) && !place.path("d.db").exists(), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_is_asked_whether_it_archives_its_log() {
    if !Cluster::available() {
        return;
    }
    let mut cluster = Cluster::start();
    let place = Place::new();
    let url = cluster.url("postgres");
    let ask = |told: &str, status: i32| {
        let ended = place.run(&["backup", "--database-url", &url]);
        assert_eq!(ended.status.code(), Some(status), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.contains(told) && ended.stdout.contains("pg_basebackup"), "{}", ended.stdout);
    };
    let execute = async |sql: &str| super::postgres_rig::execute(&url, sql).await;
    ask("archiving of the log: off: archive_mode is off", 1);
    execute("ALTER SYSTEM SET archive_mode = on").await;
    cluster.stop_immediately();
    cluster.start_again();
    ask("archiving of the log: off: archive_command and archive_library are empty", 1);
    execute("ALTER SYSTEM SET archive_command = 'true'").await;
    execute("SELECT pg_reload_conf()").await;
    let begun = Instant::now();
    while !place.run(&["backup", "--database-url", &url]).status.success() {
        assert!(begun.elapsed() < PATIENCE, "the setting is not taken over");
    }
    execute("ALTER SYSTEM SET archive_command = 'false'").await;
    execute("SELECT pg_reload_conf()").await;
    execute("CREATE TABLE something (x INT)").await;
    execute("SELECT pg_switch_wal()").await;
    while place.run(&["backup", "--database-url", &url]).status.success() {
        assert!(begun.elapsed() < PATIENCE, "the failure is not told");
    }
    ask("archiving of the log: failing", 1);
    let ended = place.run(&["backup", "b.db", "--database-url", &url]);
    assert!(ended.complaint().contains("leave FILE out"), "{}", ended.stderr);
    let ended = place.run(&["restore", "b.db", "--database-url", &url]);
    assert!(ended.complaint().contains("PostgreSQL's own means"), "{}", ended.stderr);
    let nobody = format!("postgres://127.0.0.1:{}/none", postgres::free_port());
    let ended = place.run(&["backup", "--database-url", &nobody]);
    assert!(ended.complaint_with(2).contains("cannot be reached"), "{}", ended.stderr);
}
