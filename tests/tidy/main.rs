//! Reads the sources and holds them to the architecture: who may import what, no circles of files, where SQL, status codes
//! and the clock live, and a few habits that keep the code readable.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

mod imports;
mod shape;
mod supply;

use std::fs;
use std::path::{Path, PathBuf};

use imports::Crate;

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
const LAYERS: [(&str, &[&str]); 18] = [
    ("hidden", &[]),
    ("ledger", &[]),
    // Every layer that measures is handed its instruments, so they lie below all.
    ("metrics", &[]),
    ("net", &["tls"]),
    ("cards", &["ledger"]),
    ("store", &["ledger", "clock", "hidden"]),
    ("access", &["store", "ledger", "net", "tls", "clock"]),
    ("writer", &["store", "ledger", "clock", "metrics"]),
    ("delivery", &["store", "ledger", "net", "clock", "hidden", "metrics"]),
    ("query", &["writer", "store", "ledger", "clock"]),
    ("audit", &["store", "cards", "ledger"]),
    ("copy", &["store", "ledger"]),
    ("storefront", &["writer", "query", "store", "ledger", "clock", "hidden"]),
    ("tls", &["clock"]),
    ("grpc", &["access", "storefront", "writer", "query", "delivery", "ledger", "tls", "clock", "metrics"]),
    ("http", &["storefront", "writer", "query", "ledger", "clock", "metrics"]),
    ("config", &["access", "storefront", "ledger", "hidden"]),
    ("telemetry", &["config", "metrics", "tls"]),
];

fn the_crate(sources: &[Source]) -> Crate {
    Crate::read(sources.iter().map(|source| (source.path.trim_start_matches("src/"), &*source.text)))
}

#[test]
fn layers_import_only_what_lies_below_them() {
    report(&upwards(&the_crate(&sources("src"))));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    report(&imports::circles(&the_crate(&sources("src")).imports()));
}

/// Imports of a layer that [`LAYERS`] does not allow.
fn upwards(read: &Crate) -> Vec<String> {
    let mut findings = Vec::new();
    for import in read.imports() {
        let layer = import.from.split(['/', '.']).next().unwrap();
        let rule = LAYERS.iter().find(|(name, _)| *name == layer);
        if let Some((_, below)) = rule
            && import.layer != layer
            && !below.contains(&&*import.layer)
        {
            findings.push(format!("src/{}:{}: {layer} uses {}", import.from, import.line, import.layer));
        }
    }
    findings
}

#[test]
fn the_checks_of_imports_find_what_is_planted() {
    let lib = ("lib.rs", "pub mod ledger; pub mod store;");
    let store = ("store/mod.rs", "mod rows; mod read; pub use rows::Row; pub struct Failed;");
    let ledger = ("ledger.rs", "pub struct Credits;");
    let clean = [
        lib,
        store,
        ledger,
        ("store/rows.rs", "use crate::ledger::Credits; pub struct Row(Credits, super::Failed);"),
        ("store/read.rs", "use super::Row; fn read() -> Row { panic!() }"),
    ];
    let clean_crate = Crate::read(clean);
    assert_eq!(imports::circles(&clean_crate.imports()), Vec::<String>::new());
    assert_eq!(upwards(&clean_crate), Vec::<String>::new());
    let shown: Vec<String> =
        clean_crate.imports().into_iter().map(|import| format!("{} > {}", import.from, import.to)).collect();
    let expected =
        ["store/read.rs > store/rows.rs", "store/rows.rs > ledger.rs", "store/rows.rs > store/mod.rs"];
    assert_eq!(shown, expected, "a re-export leads to where the name is defined");

    // Each closes a circle, or imports upwards, in another way.
    let circles = [
        ("store/rows.rs", "use crate::store::read::read; pub struct Row;"),
        ("store/rows.rs", "pub struct Row; fn back() { super::read::read() }"),
        ("store/rows.rs", "pub struct Row; macro_rules! back { () => { $crate::store::read::read() } }"),
        ("store/rows.rs", "pub struct Row; mod inner { use super::super::read::*; fn back() { read() } }"),
        ("store/mod.rs", "mod rows; mod read; pub use rows::Row; pub struct Failed(Row);"),
    ];
    for (path, text) in circles {
        let planted = Crate::read(clean.map(|file| if file.0 == path { (path, text) } else { file }));
        assert_eq!(imports::circles(&planted.imports()).len(), 1, "{text}");
    }
    for text in ["use crate::store::Row; pub struct Credits(Row);", "pub struct Credits(crate::store::Row);"]
    {
        let planted =
            Crate::read(clean.map(|file| if file.0 == "ledger.rs" { (file.0, text) } else { file }));
        assert_eq!(upwards(&planted), ["src/ledger.rs:1: ledger uses store"], "{text}");
    }
    let tests = "pub struct Row; #[cfg(test)] mod tests { use crate::store::read::read; }";
    let allowed =
        Crate::read(clean.map(|file| if file.0 == "store/rows.rs" { (file.0, tests) } else { file }));
    assert_eq!(imports::circles(&allowed.imports()), Vec::<String>::new(), "tests may look at everything");
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
            &[
                "src/access",
                "src/app/",
                "src/clock/boot.rs",
                "src/grpc/",
                "src/writer/",
                "src/store/sqlite/connection.rs",
                "src/store/postgres/write.rs",
            ],
            "only what measures or bounds the time of a call or a commit",
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
fn functions_stay_short_and_flat() {
    const LINES_MAX: usize = 90;
    /// Branches, loops and closures inside each other.
    const DEPTH_MAX: usize = 4;
    let mut findings = Vec::new();
    for source in sources("src") {
        for function in shape::functions(&source.text) {
            let shape::Function { name, line, lines, depth } = function;
            if lines > LINES_MAX || depth > DEPTH_MAX {
                findings.push(format!("{}:{line}: {name} has {lines} lines, {depth} deep", source.path));
            }
        }
    }
    report(&findings);
    let nested = "fn f() { if a { for b in c { match d { _ => { e.map(|g| { g }) } } } } else { h(|| i) } }\nfn j() {\n}";
    let shapes: Vec<_> =
        shape::functions(nested).into_iter().map(|f| (f.name, f.line, f.lines, f.depth)).collect();
    assert_eq!(shapes, [("f".to_owned(), 1, 1, 4), ("j".to_owned(), 2, 2, 0)]);
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
