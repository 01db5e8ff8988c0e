//! `verify` and `backup` where nothing can be written: as another user, without the files that SQLite makes, and on a file
//! system without locks.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::disk::without_locks;
use super::process::{Ended, Place, Running};

/// A user who is not the one of the tests.
const NOBODY: u32 = 65_534;

/// A place with postings, whose server has ended by this signal.
fn place(signal: &str) -> Place {
    let place = Place::new();
    let server = place.serve();
    for customer in ["acme", "zeta"] {
        place.json(&["customer", "create", customer, "--server", server.url(), "--json"]);
    }
    server.process.signal(signal);
    server.process.end();
    place
}

/// Lets everybody look into the place, and nobody but its owner write.
fn only_to_read(place: &Place) {
    let set = |path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    set(place.path("."), 0o755);
    for file in std::fs::read_dir(place.path(".")).unwrap() {
        set(file.unwrap().path(), 0o644);
    }
}

/// Whether the tests may become another user.
fn is_root() -> bool {
    let is = rustix::process::getuid().is_root();
    if !is {
        eprintln!("LEFT OUT: to become another user the tests must run as root");
    }
    is
}

fn as_nobody(mut command: Command) -> Ended {
    command.uid(NOBODY).gid(NOBODY);
    Running::start(command).end()
}

#[test]
fn another_user_verifies_what_he_can_only_read() {
    if !is_root() {
        return;
    }
    let place = place("TERM");
    only_to_read(&place);
    assert!(!place.path("creditledger.db-wal").exists());
    let before = std::fs::read(place.path("creditledger.db")).unwrap();
    let ended = as_nobody(place.command(&["verify"]));
    assert!(ended.stdout.starts_with("clean: 1 ledgers, 2 postings"), "{}{}", ended.stdout, ended.stderr);
    // And makes a backup of it elsewhere.
    let elsewhere = Place::new();
    std::fs::set_permissions(elsewhere.path("."), std::fs::Permissions::from_mode(0o777)).unwrap();
    let file = elsewhere.path("backup.db");
    let ended = as_nobody(place.command(&["backup", file.to_str().unwrap()]));
    assert!(ended.status.success(), "{}", ended.stderr);
    let names: Vec<_> =
        std::fs::read_dir(place.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["creditledger.db"], "nothing was written");
    assert_eq!(std::fs::read(place.path("creditledger.db")).unwrap(), before);
    // The backup needs nothing beside it either.
    std::fs::set_permissions(elsewhere.path("."), std::fs::Permissions::from_mode(0o555)).unwrap();
    let ended = as_nobody(elsewhere.command(&["verify", "--database-url", "sqlite:backup.db"]));
    assert!(ended.stdout.starts_with("clean: 1 ledgers, 2 postings"), "{}{}", ended.stdout, ended.stderr);
    std::fs::set_permissions(elsewhere.path("."), std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn what_another_user_cannot_read_whole_he_is_told() {
    if !is_root() {
        return;
    }
    let place = place("KILL");
    only_to_read(&place);
    let log = place.path("creditledger.db-wal");
    assert!(std::fs::metadata(&log).unwrap().len() > 0, "the server left its log");
    // With the index that the server left, SQLite reads the log too.
    let ended = as_nobody(place.command(&["verify"]));
    assert!(ended.stdout.starts_with("clean: 1 ledgers, 2 postings"), "{}{}", ended.stdout, ended.stderr);
    // Without it, the file alone is older than what was acknowledged.
    std::fs::remove_file(place.path("creditledger.db-shm")).unwrap();
    for (command, status) in [(&["verify"][..], 2), (&["backup", "/tmp/never-made.db"], 1)] {
        let ended = as_nobody(place.command(command));
        let complaint = ended.complaint_with(status);
        assert!(
            complaint.contains("creditledger.db-wal has changes that are not in it")
                && complaint.contains("copy both files, under these names, to a directory"),
            "{complaint}"
        );
    }
    assert!(!std::path::Path::new("/tmp/never-made.db").exists());
    std::fs::set_permissions(&log, std::fs::Permissions::from_mode(0o600)).unwrap();
    let ended = as_nobody(place.command(&["verify"]));
    assert!(ended.complaint_with(2).contains("creditledger.db-wal: Permission denied"), "{}", ended.stderr);
    std::fs::set_permissions(place.path("creditledger.db"), std::fs::Permissions::from_mode(0o600)).unwrap();
    let ended = as_nobody(place.command(&["verify"]));
    assert!(ended.complaint_with(2).contains("cannot open "), "{}", ended.stderr);
    // Nothing of this touched it.
    assert!(place.verify().contains("2 postings"));
    // An interrupted change of a database without a log must be undone before it is read.
    let place = self::place("TERM");
    place.write("creditledger.db-journal", "what a change that was cut off is undone from");
    only_to_read(&place);
    let ended = as_nobody(place.command(&["verify"]));
    assert!(ended.complaint_with(2).contains("-journal is of a change that was cut off"), "{}", ended.stderr);
    std::fs::remove_file(place.path("creditledger.db-journal")).unwrap();
    // A server of somebody else is told by its lock.
    let server = place.serve();
    only_to_read(&place);
    let ended = as_nobody(place.command(&["verify"]));
    assert!(ended.complaint_with(2).contains("another creditledger has"), "{}", ended.stderr);
    server.stop();
}

#[test]
fn a_file_system_without_locks_is_read_where_nothing_can_be_written() {
    if !is_root() {
        return;
    }
    let place = place("TERM");
    only_to_read(&place);
    let ended = as_nobody(without_locks(place.command(&["verify"])));
    assert!(ended.stdout.starts_with("clean: 1 ledgers, 2 postings"), "{}{}", ended.stdout, ended.stderr);
    // Where a server could write, no lock means no answer.
    let ended = Running::start(without_locks(place.command(&["verify"]))).end();
    assert!(ended.complaint_with(2).contains("cannot lock "), "{}", ended.stderr);
    let ended = Running::start(without_locks(place.command(&["serve", "--listen", "127.0.0.1:0"]))).end();
    assert!(ended.complaint().contains("cannot lock "), "{}", ended.stderr);
}
