//! Reads the sources and holds them to the architecture: who may import what, where SQL, status codes and the clock
//! live, and a few habits that keep the code readable.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

use std::fs;
use std::path::{Path, PathBuf};

/// A source file.
struct Source {
    /// From the root of the crate, with `/`.
    path: String,
    text: String,
}

impl Source {
    /// Its lines with their numbers, without comments and without what stands between quotes.
    fn code(&self) -> impl Iterator<Item = (usize, String)> {
        (1..).zip(self.text.lines()).map(|(number, line)| (number, bare(line)))
    }

    /// The code before its tests.
    fn shipped(&self) -> impl Iterator<Item = (usize, String)> {
        self.code().take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }
}

/// A line without comment and texts: good enough for one that rustfmt has formatted.
fn bare(line: &str) -> String {
    let mut bare = String::new();
    let mut quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => {
                chars.next();
            }
            '\'' if !quoted && chars.peek() == Some(&'"') => {
                chars.next();
            }
            '"' => quoted = !quoted,
            '/' if !quoted && chars.peek() == Some(&'/') => break,
            _ if quoted => {}
            _ => bare.push(c),
        }
    }
    bare
}

fn sources(folder: &str) -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let mut paths: Vec<PathBuf> =
            fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        for path in paths {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let shown = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                sources.push(Source { path: shown, text: fs::read_to_string(&path).unwrap() });
            }
        }
    }
    assert!(!sources.is_empty(), "{folder} has no sources");
    sources
}

fn report(findings: &[String]) {
    assert!(findings.is_empty(), "\n{}\n", findings.join("\n"));
}

/// Names of a line that follow `before`: `crate::` gives the modules of this crate that it uses.
fn names_after<'a>(line: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(before)
        .filter(move |(start, _)| !line[..*start].ends_with(is_name))
        .map(move |(start, _)| &line[start + before.len()..])
        .map(move |rest| &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())])
}

/// (layer, what of this crate it may use besides itself)
const LAYERS: [(&str, &[&str]); 13] = [
    ("ledger", &[]),
    ("cards", &["ledger"]),
    ("store", &["ledger"]),
    ("writer", &["store", "ledger", "clock"]),
    ("delivery", &["store", "ledger", "clock"]),
    ("query", &["store", "ledger"]),
    ("audit", &["store", "cards", "ledger"]),
    ("copy", &["store", "ledger"]),
    ("storefront", &["writer", "query", "ledger"]),
    ("grpc", &["storefront", "writer", "query", "delivery", "ledger", "clock"]),
    ("http", &["storefront", "writer", "query", "ledger", "clock"]),
    ("config", &[]),
    ("telemetry", &["config"]),
];

#[test]
fn layers_import_only_what_lies_below_them() {
    let mut findings = Vec::new();
    for source in sources("src") {
        for (layer, below) in LAYERS {
            if !source.is_in(&[&format!("src/{layer}/"), &format!("src/{layer}.rs")]) {
                continue;
            }
            for (number, line) in source.shipped() {
                for used in names_after(&line, "crate::") {
                    if used != layer && !below.contains(&used) {
                        findings.push(format!("{}:{number}: {layer} uses {used}", source.path));
                    }
                }
            }
        }
    }
    report(&findings);
}

#[test]
fn the_core_depends_on_nothing_that_acts() {
    const ALLOWED: [&str; 9] =
        ["std", "core", "crate", "$crate", "super", "self", "uuid", "rust_decimal", "thiserror"];
    let mut findings = Vec::new();
    let core = sources("src/ledger");
    // `pub use account::Account` in a `mod.rs` names a module beside it.
    let modules: Vec<&str> = core.iter().flat_map(|source| source.path.split(['/', '.'])).collect();
    for source in &core {
        for (number, line) in source.shipped() {
            let line = line.trim_start();
            let line = line.strip_prefix("pub ").unwrap_or(line);
            let Some(used) = line.strip_prefix("use ") else {
                let acts =
                    ["std::fs", "std::net", "std::io", "std::thread", "std::env", "async ", "println!"];
                for act in acts.iter().filter(|act| line.contains(**act)) {
                    findings.push(format!("{}:{number}: the core uses {act}", source.path));
                }
                continue;
            };
            let krate = used.split([':', ';', ' ']).next().unwrap_or_default();
            // An enum's variants, as in `use Side::{Available, ...}`.
            let own = krate.starts_with(char::is_uppercase) || modules.contains(&krate);
            if !own && !ALLOWED.contains(&krate) {
                findings.push(format!("{}:{number}: the core imports {krate}", source.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn each_matter_has_its_place() {
    /// (what, where it may stand, why)
    const PLACES: [(&str, &[&str], &str); 10] = [
        ("SystemTime", &["src/clock.rs"], "the wall clock is asked in one place"),
        ("getrandom::u", &["src/clock.rs"], "so is randomness"),
        ("getrandom::fill", &["src/clock.rs"], "so is randomness"),
        ("Uuid::new_v", &[], "ids are made from the clock's time and randomness"),
        ("jiff::Timestamp::now", &[], "the wall clock is asked in one place"),
        (
            "Instant::now",
            &["src/app/", "src/grpc/", "src/writer/"],
            "only what measures or bounds a call's time",
        ),
        ("Code::", &["src/grpc/status.rs", "src/app/call.rs"], "one mapping to the wire, one reader of it"),
        ("sqlx::", &["src/store/"], "SQL stays in the store"),
        ("rusqlite::", &["src/store/"], "SQL stays in the store"),
        ("prost_types::", &["src/grpc/", "src/app/"], "wire types end at the boundary"),
    ];
    let mut findings = Vec::new();
    for source in sources("src") {
        for (what, places, why) in PLACES {
            if source.is_in(places) {
                continue;
            }
            for (number, line) in source.shipped() {
                if names_after(&line, what).next().is_some() {
                    findings.push(format!("{}:{number}: {what} does not belong here: {why}", source.path));
                }
            }
        }
        if source.is_in(&["src/store/"]) {
            continue;
        }
        let statements =
            ["\"SELECT ", "\"INSERT INTO ", "\"UPDATE ", "\"DELETE FROM ", "\"CREATE TABLE ", "\"PRAGMA "];
        let shipped = source.text.lines().take_while(|line| !line.starts_with("#[cfg(test)]"));
        for (number, line) in (1..).zip(shipped) {
            if statements.iter().any(|statement| line.contains(statement)) {
                findings.push(format!("{}:{number}: SQL does not belong here", source.path));
            }
        }
    }
    report(&findings);
}

#[test]
fn every_file_says_what_it_is_for_and_stays_readable() {
    const LINES_MAX: usize = 500;
    let mut findings = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let first = source.text.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") {
            findings.push(format!("{}:1: the first line does not say what the file is for", source.path));
        }
        let lines = source.text.lines().count();
        if lines > LINES_MAX {
            findings.push(format!("{}: {lines} lines, at most {LINES_MAX} are readable", source.path));
        }
    }
    report(&findings);
}

#[test]
fn nothing_is_left_for_later_and_no_test_sleeps() {
    // Put together, so that this file does not find itself.
    let left = ["todo".to_owned() + "!(", "unimplemented".to_owned() + "!(", "dbg".to_owned() + "!("];
    let mut findings = Vec::new();
    for source in sources("src").into_iter().chain(sources("tests")) {
        let is_test = source.is_in(&["tests/"]);
        let mut in_tests = is_test;
        for (number, line) in source.code() {
            in_tests |= line.starts_with("#[cfg(test)]");
            for left in left.iter().filter(|left| line.contains(left.as_str())) {
                findings.push(format!("{}:{number}: {left}...) is left", source.path));
            }
            if line.trim_start().starts_with("#[ignore") {
                findings.push(format!("{}:{number}: a test is ignored", source.path));
            }
            if in_tests && line.contains("sleep(") {
                findings.push(format!(
                    "{}:{number}: a test sleeps instead of waiting for what it needs",
                    source.path
                ));
            }
        }
    }
    report(&findings);
}
