//! The table of checks, and those about this machine: settings, database, room, clock, certificates.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use super::finding::Finding;
use super::network;
use super::seen::look_at;
use crate::app::server::{sealing_keys, tls_files};
use crate::clock;
use crate::config::Config;
use crate::ledger::Timestamp;
use crate::store;
use crate::store::backup::{self, Archiving, Place};
use crate::store::look::{SchemaState, look};

/// What a check gives.
pub(super) type Findings = Pin<Box<dyn Future<Output = Vec<Finding>> + Send>>;
/// A check of a server with these settings.
type Check = fn(Arc<Config>) -> Findings;

/// All checks, in the order in which they are told.
pub(super) const ALL: &[(&str, Check)] = &[
    (VERSIONS, |config| Box::pin(versions(config))),
    (CONFIGURATION, |config| Box::pin(async move { configuration(&config) })),
    (DATABASE, |config| Box::pin(database(config))),
    (DISK, |config| Box::pin(disk(config))),
    (CLOCK, |config| Box::pin(the_clock(config))),
    (TLS, |config| Box::pin(certificates(config))),
    (network::KEYS, |config| Box::pin(network::keys(config))),
    (network::MAIL, |config| Box::pin(network::mail(config))),
    (network::ENDPOINTS, |config| Box::pin(network::endpoints(config))),
];

const VERSIONS: &str = "versions";
const CONFIGURATION: &str = "configuration";
const DATABASE: &str = "database";
const DISK: &str = "disk";
const CLOCK: &str = "clock";
const TLS: &str = "tls";

/// Days before its end from which a certificate is told.
const EXPIRY_DAYS: u32 = 30;
/// Free room below which a server will soon stop, and below which that is near.
const ROOM_BYTES_MIN: u64 = 64 << 20;
const ROOM_BYTES_LOW: u64 = 1 << 30;
/// A log of this size is kept by a reader: it is told of while a server runs, too.
const LOG_BYTES_HIGH: u64 = 256 << 20;
/// How far two clocks may differ.
const APART_MICROS_MAX: i64 = 2_000_000;
/// A clock before this was never set: 2025-01-01.
const EARLIEST: Timestamp = Timestamp::from_micros(1_735_689_600_000_000);

async fn versions(config: Arc<Config>) -> Vec<Finding> {
    let own = format!("creditledger {}", env!("CARGO_PKG_VERSION"));
    // What keeps the engine from being asked is told by the check of the database.
    let engine = look_at(&config).await.map_or_else(|_| String::new(), |look| format!(", {}", look.engine));
    vec![Finding::ok(VERSIONS, own + &engine)]
}

fn configuration(config: &Config) -> Vec<Finding> {
    let checks = [
        config.check_auth().err().map(|error| error.to_string()),
        config.check_exposure().err().map(|error| error.to_string()),
        config.database_url().err().map(|error| error.to_string()),
        sealing_keys(config).err().map(|error| error.to_string()),
    ];
    let wrong: Vec<_> = checks
        .into_iter()
        .flatten()
        .map(|problem| Finding::fail(CONFIGURATION, problem, "correct the setting that is named"))
        .collect();
    if wrong.is_empty() { vec![Finding::ok(CONFIGURATION, "the settings go together")] } else { wrong }
}

async fn database(config: Arc<Config>) -> Vec<Finding> {
    let Ok(url) = config.database_url() else { return Vec::new() };
    let url = url.reveal();
    let shown = store::shown_url(url);
    let seen = match look(url).await {
        Ok(seen) => seen,
        Err(error) => {
            return vec![Finding::fail(DATABASE, error.to_string(), "see \"Backup\" in deploy/README.md")];
        }
    };
    let migrates = "serve migrates it at its next start; make a backup before";
    let mut found = vec![match seen.schema {
        SchemaState::Current => Finding::ok(DATABASE, format!("{shown} has this version's schema")),
        SchemaState::Older => {
            Finding::warn(DATABASE, format!("{shown} has no schema or an older one"), migrates)
        }
        SchemaState::Missing => Finding::warn(
            DATABASE,
            format!("{shown} is not there"),
            "serve makes it; or correct database_url",
        ),
    }];
    if store::wal_bytes(url).is_some_and(|bytes| bytes >= LOG_BYTES_HIGH) {
        let long = "its write-ahead log is long, because a reader keeps it from being emptied";
        found.push(Finding::warn(
            DATABASE,
            long,
            "find the reader with fuser -v on the file that ends with -wal",
        ));
    }
    match backup::place_of(url) {
        Ok(Place::Postgres(_)) => found.extend(archiving(url).await),
        Ok(Place::File(_)) | Err(_) => {}
    }
    found
}

async fn archiving(url: &str) -> Option<Finding> {
    let restores = "a base backup alone restores no later moment: see \"Backup\" in deploy/README.md";
    match backup::archiving(url).await {
        Ok(Archiving::On | Archiving::NotYet) => None,
        Ok(Archiving::Off(why)) => {
            Some(Finding::warn(DATABASE, format!("its log is not archived: {why}"), restores))
        }
        Ok(Archiving::Failing) => Some(Finding::fail(
            DATABASE,
            "its log cannot be archived",
            "look at pg_stat_archiver and the log of PostgreSQL, before the disk is full",
        )),
        Err(error) => {
            Some(Finding::warn(DATABASE, format!("its archive cannot be asked for: {error}"), restores))
        }
    }
}

/// Room where a SQLite database lies.
async fn disk(config: Arc<Config>) -> Vec<Finding> {
    let Ok(url) = config.database_url() else { return Vec::new() };
    let Ok(Place::File(file)) = backup::place_of(url.reveal()) else { return Vec::new() };
    // A disk that hangs must not keep the other checks from their end.
    let looked = tokio::task::spawn_blocking(move || room(&file)).await;
    vec![looked.unwrap_or_else(|error| Finding::fail(DISK, error.to_string(), "run this again"))]
}

fn room(file: &Path) -> Finding {
    let directory = file.parent().unwrap_or(Path::new("."));
    let shown = directory.display();
    let facts = match rustix::fs::statvfs(directory) {
        Ok(facts) => facts,
        Err(error) => {
            return Finding::fail(
                DISK,
                format!("{shown}: {error}"),
                "make the directory, or correct database_url",
            );
        }
    };
    if let Err(error) = rustix::fs::access(directory, rustix::fs::Access::WRITE_OK) {
        let to_do = "run this as the user of the server, and give that user the directory";
        return Finding::fail(DISK, format!("{shown} cannot be written to: {error}"), to_do);
    }
    let free = facts.f_bavail.saturating_mul(facts.f_frsize);
    let size = std::fs::metadata(file).map_or(0, |facts| facts.len());
    let what = format!("{} MiB free in {shown}, the database has {} MiB", free >> 20, size >> 20);
    if free < ROOM_BYTES_MIN {
        Finding::fail(DISK, what, "make room: a server stops when a write fails")
    } else if free < ROOM_BYTES_LOW.max(size) {
        Finding::warn(DISK, what, "make room: a backup beside the database needs as much again")
    } else {
        Finding::ok(DISK, what)
    }
}

async fn the_clock(config: Arc<Config>) -> Vec<Finding> {
    let now = clock::now();
    let set = "set the clock, and keep it by NTP (timedatectl)";
    if now < EARLIEST {
        return vec![Finding::fail(CLOCK, "the clock was never set", set)];
    }
    // What keeps the database from being asked is told by the check of the database.
    let Ok(seen) = look_at(&config).await else {
        return vec![Finding::warn(
            CLOCK,
            "the database could not be asked for its times",
            "correct that first",
        )];
    };
    let own = seen.now.unwrap_or(now);
    let apart = own.micros().saturating_sub(now.micros());
    if apart.abs() > APART_MICROS_MAX {
        let what = format!("the database's clock is {} away from this machine's", seconds(apart));
        return vec![Finding::warn(CLOCK, what, set)];
    }
    let last = seen.content.and_then(|content| content.last_recorded);
    match last.map(|last| last.micros().saturating_sub(own.micros())) {
        Some(ahead) if ahead > APART_MICROS_MAX => {
            let what = format!("the newest posting is {} ahead of the clock", seconds(ahead));
            vec![Finding::fail(CLOCK, what, set)]
        }
        Some(ahead) => {
            vec![Finding::ok(CLOCK, format!("the newest posting is {} old", seconds(ahead)))]
        }
        None => vec![Finding::ok(CLOCK, "there is no posting to compare it with")],
    }
}

fn seconds(micros: i64) -> String {
    format!("{} s", micros.abs() / 1_000_000)
}

async fn certificates(config: Arc<Config>) -> Vec<Finding> {
    let Some(files) = tls_files(&config) else {
        return vec![Finding::ok(TLS, "not used: the server listens without it")];
    };
    let looked = tokio::task::spawn_blocking(move || files.warnings(EXPIRY_DAYS)).await;
    let renew = "renew the certificate, and replace its files: a running server takes them over";
    match looked {
        Ok(Ok(warnings)) if warnings.is_empty() => {
            vec![Finding::ok(TLS, format!("certificate and key fit, for {EXPIRY_DAYS} days at least"))]
        }
        Ok(Ok(warnings)) => warnings
            .into_iter()
            .map(|what| match what.split_once(": ") {
                Some((what, to_do)) => Finding::warn(TLS, what, to_do),
                None => Finding::warn(TLS, what, renew),
            })
            .collect(),
        Ok(Err(problem)) => vec![Finding::fail(TLS, problem, "correct the files of the certificate")],
        Err(error) => vec![Finding::fail(TLS, error.to_string(), "run this again")],
    }
}
