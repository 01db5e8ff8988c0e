//! One database file, whatever its names are and whatever becomes of it while a server has it open.

use std::path::{Path, PathBuf};

use super::process::{Place, Server, sqlite};

const SERVE: [&str; 4] = ["serve", "--listen", "127.0.0.1:0", "--database-url"];

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// A command that must work on a running server.
fn create(place: &Place, server: &Server, customer: &str) {
    place.json(&["customer", "create", customer, "--server", server.url(), "--json"]);
}

/// A server of a place was killed after two commands, which are in the log.
fn killed() -> Place {
    let place = Place::new();
    let server = place.serve();
    create(&place, &server, "acme");
    create(&place, &server, "zeta");
    server.process.signal("KILL");
    server.process.end();
    assert!(std::fs::metadata(place.path("creditledger.db-wal")).unwrap().len() > 4_096);
    place
}

#[test]
fn all_names_of_a_file_are_one_database() {
    let place = Place::new();
    let server = place.serve();
    create(&place, &server, "first");
    let database = place.path("creditledger.db");
    let (link, hard) = (place.path("link.db"), place.path("hard.db"));
    std::os::unix::fs::symlink(&database, &link).unwrap();
    std::fs::hard_link(&database, &hard).unwrap();
    for round in 0..2 {
        for name in [&database, &link, &hard] {
            let url = url(name);
            let expected = format!("creditledger: another creditledger has {} open", name.display());
            assert_eq!(place.run(&[&SERVE[..], &[&url]].concat()).complaint(), expected);
            assert_eq!(place.run(&["migrate", "--database-url", &url]).complaint(), expected);
            assert_eq!(place.run(&["verify", "--database-url", &url]).complaint_with(2), expected);
            create(&place, &server, &format!("{}-{round}", name.file_stem().unwrap().display()));
            // A server that had lost SQLite's own locks would have its log moved and deleted by this one.
            let other = sqlite(&database);
            other.query_row("SELECT COUNT(*) FROM posting", [], |_| Ok(())).unwrap();
            other.close().unwrap();
            assert!(place.path("creditledger.db-wal").exists());
        }
    }
    for beside in ["link.db-wal", "hard.db-wal", "link.db-shm", "hard.db-shm"] {
        assert!(!place.path(beside).exists(), "{beside}");
    }
    server.stop();
    // Behind the other name would be no log, so no name is right until there is one.
    for name in [&database, &hard] {
        let ended = place.run(&[&SERVE[..], &[&url(name)]].concat());
        assert!(ended.complaint().contains("has 2 names (hard links)"), "{}", ended.stderr);
    }
    std::fs::remove_file(hard).unwrap();
    assert!(place.verify().contains("7 postings"));
    // By a symbolic link the log is still that of the file.
    let server = Server::start(place.command(&[&SERVE[..], &[&url(&link)]].concat()));
    create(&place, &server, "last");
    server.process.signal("KILL");
    server.process.end();
    assert!(place.verify().contains("8 postings"));
}

/// What is done to the files of a running server.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Moved,
    Deleted,
    Replaced,
    LogDeleted,
    LogReplaced,
}

fn lose(place: &Place, loss: Loss) {
    let (database, log) = (place.path("creditledger.db"), place.path("creditledger.db-wal"));
    let replace = |path: &PathBuf| {
        let other = place.path("other");
        std::fs::copy(path, &other).unwrap();
        std::fs::rename(other, path).unwrap();
    };
    match loss {
        Loss::Moved => std::fs::rename(&database, place.path("elsewhere.db")).unwrap(),
        Loss::Deleted => std::fs::remove_file(&database).unwrap(),
        Loss::Replaced => replace(&database),
        Loss::LogDeleted => std::fs::remove_file(&log).unwrap(),
        Loss::LogReplaced => replace(&log),
    }
}

const LOSSES: [Loss; 5] = [Loss::Moved, Loss::Deleted, Loss::Replaced, Loss::LogDeleted, Loss::LogReplaced];

/// The server's complaint: it has ended by itself.
fn ended(server: Server, loss: Loss) {
    let ended = server.process.end();
    assert_eq!(ended.status.code(), Some(1), "{loss:?}: {}", ended.stderr);
    let file = if matches!(loss, Loss::LogDeleted | Loss::LogReplaced) { "db-wal was " } else { "db was " };
    let told = ended.stderr.lines().any(|line| line.contains("ERROR") && line.contains(file));
    assert!(told && !ended.stderr.contains("panicked"), "{loss:?}: {}", ended.stderr);
}

#[test]
fn a_server_without_its_file_acknowledges_nothing() {
    for loss in LOSSES {
        let place = Place::new();
        let server = place.serve();
        create(&place, &server, "before");
        lose(&place, loss);
        let after = place.run(&["customer", "create", "after", "--server", server.url()]);
        assert!(!after.status.success(), "{loss:?}: {}", after.stdout);
        ended(server, loss);
    }
}

#[test]
fn a_server_without_its_file_ends_without_being_asked_for_anything() {
    for loss in LOSSES {
        let place = Place::new();
        let server = place.serve();
        create(&place, &server, "before");
        lose(&place, loss);
        ended(server, loss);
    }
}

#[test]
fn a_log_without_its_database_is_kept() {
    let text =
        b"This is a letter, not a database, and it is long enough to have the header of one.".repeat(9);
    let foreign = {
        let place = Place::new();
        sqlite(&place.path("recipes.db")).execute_batch("CREATE TABLE recipe (name TEXT)").unwrap();
        std::fs::read(place.path("recipes.db")).unwrap()
    };
    for (instead, told) in [
        (None, "is missing"),
        (Some(Vec::new()), "is empty"),
        (Some(text), "is not an SQLite database"),
        (Some(foreign), "is another program's database"),
    ] {
        let place = killed();
        let (database, log) = (place.path("creditledger.db"), place.path("creditledger.db-wal"));
        let away = place.path("away");
        std::fs::rename(&database, &away).unwrap();
        if let Some(bytes) = &instead {
            std::fs::write(&database, bytes).unwrap();
        }
        let kept = std::fs::read(&log).unwrap();
        let refused = |arguments: &[&str], status| {
            let ended = place.run(arguments);
            let line = ended.complaint_with(status);
            assert!(line.contains(told) && line.contains("put the database file back"), "{line}");
        };
        refused(&["serve", "--listen", "127.0.0.1:0"], 1);
        refused(&["migrate"], 1);
        if instead.is_some() {
            refused(&["verify"], 2);
        }
        assert_eq!(std::fs::read(&log).unwrap(), kept, "{told}");
        assert_eq!(std::fs::read(&database).ok(), instead, "{told}");
        std::fs::rename(away, database).unwrap();
        assert!(place.verify().contains("2 postings"), "{told}");
    }
}

#[test]
fn a_file_that_was_cut_short_does_not_start() {
    let whole = Place::new();
    assert!(whole.run(&["migrate"]).status.success());
    let bytes = std::fs::read(whole.path("creditledger.db")).unwrap();
    for lost in [1, 4_095, 4_096, bytes.len() / 2, bytes.len() - 4_096] {
        let place = Place::new();
        place.write("creditledger.db", "");
        std::fs::write(place.path("creditledger.db"), &bytes[..bytes.len() - lost]).unwrap();
        for (arguments, status) in
            [(&["serve", "--listen", "127.0.0.1:0"][..], 1), (&["migrate"], 1), (&["verify"], 1)]
        {
            let ended = place.run(arguments);
            assert!(ended.complaint_with(status).contains("was cut short"), "{lost}: {}", ended.stderr);
        }
        assert_eq!(std::fs::read(place.path("creditledger.db")).unwrap(), bytes[..bytes.len() - lost]);
    }
    // Pages that are only in the log so far are not missing.
    let place = Place::new();
    let server = place.serve();
    let before = std::fs::metadata(place.path("creditledger.db")).unwrap().len();
    for number in 0..60 {
        create(&place, &server, &format!("customer-{number}-{}", "x".repeat(100)));
    }
    server.process.signal("KILL");
    server.process.end();
    assert_eq!(std::fs::metadata(place.path("creditledger.db")).unwrap().len(), before);
    assert!(place.verify().contains("60 postings"));
}
