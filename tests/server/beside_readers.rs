//! Other programs that read the database of a server: a reader that never ends, and Litestream's tables.

use super::disk::{Disk, Random, calls, recorded};
use super::power::{create, migrated, requests_in, send};
use super::process::{PATIENCE, Place, Server, sqlite};

const SERVE: [&str; 3] = ["serve", "--listen", "127.0.0.1:0"];

/// A read transaction is held while a server is killed, started, and stopped. The disk never had the log that the killed
/// one left: its last sync failed, and the system takes it for written all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_keeps_no_server_from_starting_and_what_is_served_is_on_the_disk() {
    let (place, before) = migrated();
    let server = place.serve();
    let channel = server.connect().await;
    let mut acknowledged = vec![create(&channel, "acme").await.unwrap()];
    for number in 0..3 {
        acknowledged.push(send(&channel, "acme", number).await.unwrap());
    }
    let reader = sqlite(&place.path("creditledger.db"));
    let seen = || -> i64 { reader.query_row("SELECT COUNT(*) FROM posting", [], |row| row.get(0)).unwrap() };
    reader.execute_batch("BEGIN").unwrap();
    assert_eq!(seen(), 4);
    for number in 3..20 {
        acknowledged.push(send(&channel, "acme", number).await.unwrap());
    }
    server.process.signal("KILL");
    server.process.end();

    let record = place.path("record");
    let server = Server::start(recorded(place.command(&SERVE), &record));
    let told = |log: &str| log.contains("cannot be emptied yet") && log.contains("fuser -v ");
    assert!(server.process.logs(PATIENCE, told));
    let calls = calls(&record);
    let mut disk = Disk::new(before, true);
    for call in &calls {
        disk.take(call);
    }
    let [database, log] = disk.cut(&mut Random(7));
    let cut = Place::new();
    std::fs::write(cut.path("cut.db"), database).unwrap();
    std::fs::write(cut.path("cut.db-wal"), log).unwrap();
    let there = requests_in(&cut.path("cut.db")).await.unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !there.contains(*id)).collect();
    assert!(lost.is_empty(), "{lost:?}");

    // It serves as always, and so does the next one.
    for number in 20..25 {
        let channel = server.connect().await;
        acknowledged.push(send(&channel, "acme", number).await.unwrap());
    }
    assert_eq!(seen(), 4, "the reader has its snapshot");
    server.stop();
    place.serve().stop();
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(usize::try_from(seen()).unwrap(), acknowledged.len());
    reader.close().unwrap();
    // Without a reader the log is emptied, and nothing is told.
    let ended = place.serve().stop();
    assert!(!ended.stderr.contains("fuser"), "{}", ended.stderr);
    assert!(!place.path("creditledger.db-wal").exists());
    place.verify();
}

/// The tables that Litestream 0.3 makes in a database that it replicates, and how it uses them.
const LITESTREAM: &str = "
    CREATE TABLE IF NOT EXISTS _litestream_seq (id INTEGER PRIMARY KEY, seq INTEGER);
    CREATE TABLE IF NOT EXISTS _litestream_lock (id INTEGER);
    INSERT INTO _litestream_seq (id, seq) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET seq = seq + 1;";

#[tokio::test(flavor = "multi_thread")]
async fn the_tables_of_litestream_are_no_damage() {
    let place = Place::new();
    let database = place.path("creditledger.db");
    // It may be there before the first server.
    sqlite(&database).execute_batch(&format!("PRAGMA journal_mode = WAL; {LITESTREAM}")).unwrap();
    let server = place.serve();
    let channel = server.connect().await;
    create(&channel, "acme").await.unwrap();
    let beside = sqlite(&database);
    beside.execute_batch(LITESTREAM).unwrap();
    send(&channel, "acme", 0).await.unwrap();
    beside.close().unwrap();
    server.stop();
    let counts = place.verify();
    let copied = place.run(&["copy", "--from", &place.url(), "--to", "sqlite:copy.db"]);
    assert!(copied.status.success(), "{}", copied.stderr);
    for made in ["backup", "restore"] {
        let arguments: &[&str] = match made {
            "backup" => &["backup", "backup.db"],
            _ => &["restore", "backup.db", "--database-url", "sqlite:restored.db"],
        };
        let ended = place.run(arguments);
        assert!(ended.status.success() && ended.stdout.contains(counts.trim_end()), "{}", ended.stderr);
    }
    // What could change a book is damage, whatever it calls itself.
    for (foreign, told) in [
        ("CREATE TABLE litestream (id INTEGER)", "schema: table litestream is none"),
        ("CREATE TABLE xlitestream_seq (id INTEGER)", "schema: table xlitestream_seq is none"),
        (
            "CREATE TRIGGER _litestream_t AFTER INSERT ON _litestream_seq BEGIN DELETE FROM hold; END",
            "schema: trigger _litestream_t is none",
        ),
        (
            "CREATE TRIGGER _litestream_u AFTER INSERT ON posting BEGIN DELETE FROM hold; END",
            "schema: trigger _litestream_u is none",
        ),
        ("CREATE INDEX _litestream_i ON posting (sequence)", "schema: index _litestream_i is none"),
        ("CREATE VIEW _litestream_v AS SELECT 1", "schema: view _litestream_v is none"),
    ] {
        let ended = place.run(&["backup", "foreign.db"]);
        assert!(ended.status.success(), "{}", ended.stderr);
        sqlite(&place.path("foreign.db")).execute_batch(foreign).unwrap();
        let ended = place.run(&["verify", "--database-url", "sqlite:foreign.db"]);
        assert!(ended.status.code() == Some(1) && ended.stdout.contains(told), "{foreign}: {}", ended.stdout);
        std::fs::remove_file(place.path("foreign.db")).unwrap();
    }
}
