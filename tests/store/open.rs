//! Opening: what must be refused, and in words that a person can act on.

use std::path::Path;

use creditledger::ledger::LedgerNo;
use creditledger::store::{Position, Settings, StoreError, migrate, open, open_to_read};
use rusqlite::Connection;

use crate::desk::{START, grant, place, purchase, settle};
use crate::rig::Rig;

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

async fn refused(path: &Path) -> String {
    match open(&url(path), START, &Settings::default()).await {
        Err(StoreError::Unusable(message)) => {
            assert!(!message.contains('\n'), "{message}");
            message
        }
        other => panic!("{other:?}"),
    }
}

/// SQLite's locks on the main file, which this process holds.
fn posix_locks(path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt as _;
    let (process, file) =
        (std::process::id().to_string(), std::fs::metadata(path).unwrap().ino().to_string());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    let is_ours = |line: &&str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        words.contains(&"POSIX")
            && words.contains(&process.as_str())
            && words.iter().any(|word| word.rsplit(':').next() == Some(&file) && word.contains(':'))
    };
    locks.lines().filter(is_ours).count()
}

#[tokio::test]
async fn a_second_server_is_refused_until_the_first_is_gone() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    let locks = posix_locks(&rig.path());
    assert!(locks > 0);
    for _ in 0..2 {
        let message = refused(&rig.path()).await;
        assert_eq!(message, format!("another creditledger has {} open", rig.path().display()));
        // An attempt that closed its descriptor of the file would have dropped them.
        assert_eq!(posix_locks(&rig.path()), locks);
    }
    assert!(matches!(migrate(&url(&rig.path())).await, Err(StoreError::Unusable(_))));
    // Reading beside it is allowed.
    let audit = open_to_read(&url(&rig.path())).await.unwrap();
    assert_eq!(audit.journal(LedgerNo::MAIN, Position(0), 9).await.unwrap().items.len(), 1);
    assert_eq!(audit.integrity().await.unwrap(), Vec::<String>::new());
    drop(audit);
    let rig = rig.reopen().await;
    assert_eq!(rig.reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(1));
}

#[tokio::test]
async fn a_newer_schema_is_left_alone() {
    let mut rig = Rig::sqlite().await;
    rig.writer.close().await.unwrap();
    let path = rig.path();
    drop((rig.writer, rig.reader, rig.audit));
    let database = Connection::open(&path).unwrap();
    database
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
             VALUES (9999, 'from the future', TRUE, x'00', 0)",
            [],
        )
        .unwrap();
    // Closing it does not do that while connections of the reader's are still being closed.
    database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(database);
    let before = std::fs::read(&path).unwrap();
    let expected = format!("{} was written by a newer version of creditledger", path.display());
    // Said by open, by migrate and to readers, and nothing is touched.
    let directory = tempfile::tempdir().unwrap();
    let copy = directory.path().join("copy.db");
    std::fs::copy(&path, &copy).unwrap();
    assert_eq!(refused(&copy).await, expected.replace(path.to_str().unwrap(), copy.to_str().unwrap()));
    for done in [migrate(&url(&copy)).await, open_to_read(&url(&copy)).await.map(drop)] {
        assert!(matches!(done, Err(StoreError::Unusable(message)) if message.contains("newer version")));
    }
    assert_eq!(std::fs::read(&copy).unwrap(), before);
}

#[tokio::test]
async fn what_is_no_database_of_ours_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text.db");
    std::fs::write(&text, "This is not a database, but long enough to have the header of one. ".repeat(20))
        .unwrap();
    assert_eq!(refused(&text).await, format!("{} is not an SQLite database", text.display()));

    let other = directory.path().join("other.db");
    Connection::open(&other).unwrap().execute_batch("CREATE TABLE song (title TEXT)").unwrap();
    assert_eq!(refused(&other).await, format!("{} is another program's database", other.display()));
    let tables: i64 = Connection::open(&other)
        .unwrap()
        .query_row("SELECT COUNT(*) FROM sqlite_schema", [], |row| row.get(0))
        .unwrap();
    assert_eq!(tables, 1);

    assert!(refused(directory.path()).await.ends_with("is not a file"));
    let missing = directory.path().join("no/such/place.db");
    assert!(refused(&missing).await.contains("there is no directory"));
    assert!(!directory.path().join("no").exists());
    let absent = directory.path().join("absent.db");
    assert!(matches!(open_to_read(&url(&absent)).await, Err(StoreError::Unusable(_))));
    assert!(!absent.exists());
}

#[tokio::test]
async fn a_read_only_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    migrate(&url(&path)).await.unwrap();
    let mut permissions = std::fs::metadata(&path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&path, permissions).unwrap();
    assert_eq!(refused(&path).await, format!("{} is read-only; a server must write to it", path.display()));
}

#[tokio::test]
async fn urls_of_no_engine_are_refused() {
    for url in
        ["", "creditledger.db", "mysql://host/db", "sqlite:", "sqlite::memory:", "sqlite://a.db?mode=rw"]
    {
        assert!(
            matches!(open(url, START, &Settings::default()).await, Err(StoreError::Unusable(_))),
            "{url}"
        );
    }
    assert!(open("memory:", START, &Settings::default()).await.is_ok());
    assert!(open_to_read("memory:").await.is_err());
}

#[tokio::test]
async fn migrating_makes_a_database_and_changes_nothing_the_second_time() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    migrate(&url(&path)).await.unwrap();
    let before = std::fs::read(&path).unwrap();
    migrate(&url(&path)).await.unwrap();
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// Each fault is found, and named.
#[tokio::test]
async fn the_check_finds_damage() {
    for (damage, told) in [
        ("UPDATE posting SET previous = 1 WHERE sequence = 4", "posting 4 of ledger number 0: its pointers"),
        ("DELETE FROM posting WHERE sequence = 3", "posting 4 of ledger number 0: the position before it"),
        ("UPDATE posting SET sequence = 9 WHERE key = 2", "posting 2 of ledger number 0: its customer has 2"),
        ("UPDATE customer SET path = x'01'", "customer acme: its pointers"),
        ("UPDATE customer SET next_due = 5", "customer acme: next_due"),
        ("UPDATE hold SET state = 1", ": its columns"),
        ("UPDATE lot SET credits = 1", ": its columns"),
    ] {
        let mut rig = Rig::sqlite().await;
        rig.new_customer("acme").await;
        rig.ok(purchase("o1", "5")).await;
        rig.ok(grant("1")).await;
        rig.ok(place("i1", "1")).await;
        rig.ok(settle("i1")).await;
        assert_eq!(rig.audit.integrity().await.unwrap(), Vec::<String>::new());
        let database = Connection::open(rig.path()).unwrap();
        database
            .execute_batch("DROP TRIGGER posting_is_never_updated; DROP TRIGGER posting_is_never_deleted")
            .unwrap();
        database.execute(damage, []).unwrap();
        let faults = rig.audit.integrity().await.unwrap();
        assert!(faults.iter().any(|fault| fault.contains(told)), "{damage}: {faults:?}");
    }
}

/// A server that was killed leaves a log behind; one that lost power may leave half a commit at its end.
#[tokio::test]
async fn a_log_that_was_left_behind_is_taken_in_up_to_its_last_whole_commit() {
    let mut rig = Rig::sqlite().await;
    rig.new_customer("acme").await;
    rig.ok(purchase("o1", "5")).await;
    rig.ok(place("i1", "1")).await;
    let wal = |path: &Path| format!("{}-wal", path.display());
    let log = std::fs::read(wal(&rig.path())).unwrap();
    for (lost, postings) in [(0, 3), (1, 2), (5_000, 2)] {
        let directory = tempfile::tempdir().unwrap();
        let copy = directory.path().join("copy.db");
        std::fs::copy(rig.path(), &copy).unwrap();
        std::fs::write(wal(&copy), &log[..log.len() - lost]).unwrap();
        let mut engine = open(&url(&copy), START, &Settings::default()).await.unwrap();
        assert_eq!(engine.reader.last_position(LedgerNo::MAIN).await.unwrap(), Position(postings));
        assert_eq!(engine.audit.integrity().await.unwrap(), Vec::<String>::new());
        engine.writers[0].close().await.unwrap();
    }
}

#[test]
fn sqlite_is_compiled_as_the_project_says() {
    let connection = Connection::open_in_memory().unwrap();
    let mut list = connection.prepare("SELECT compile_options FROM pragma_compile_options").unwrap();
    let options: Vec<String> = list.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let has = |option: &str| options.iter().any(|set| set == option);
    assert!(
        has("DEFAULT_MEMSTATUS=0") && !has("ENABLE_MEMORY_MANAGEMENT") && !has("ENABLE_API_ARMOR"),
        "{options:?}"
    );
}
