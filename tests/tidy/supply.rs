//! What the program is built from: no version with a known fault, no source but the registry, and no licence that was not
//! agreed on.
//!
//! The RustSec database cannot be read here: it is a git repository, no package has its advisories, and this test must run
//! without a network. So the faults that concern packages of this tree stand below, each with its advisory. They are
//! looked up by hand when dependencies are updated. Versions that were withdrawn cannot be known without a network.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::report;

/// (package, first version without the fault, advisory and fault). A package whose older series were mended too has a row
/// for each series.
const MENDED: [(&str, &str, &str); 22] = [
    ("bytes", "1.11.1", "RUSTSEC-2026-0007: an overflow in BytesMut::reserve"),
    ("crossbeam-channel", "0.5.15", "RUSTSEC-2025-0024: a double free on drop"),
    ("crossbeam-epoch", "0.9.20", "RUSTSEC-2026-0204"),
    ("event-listener", "5.4.2", "RUSTSEC-2026-0221"),
    ("h2", "0.4.4", "RUSTSEC-2024-0332: CONTINUATION frames without end"),
    ("h2", "0.4.16", "RUSTSEC-2026-0258: empty DATA frames without end"),
    ("hashbrown", "0.15.1", "RUSTSEC-2024-0402: a borsh encoding that is not canonical"),
    ("idna", "1.0.0", "RUSTSEC-2024-0421: Punycode that means plain ASCII was taken"),
    ("lettre", "0.11.22", "RUSTSEC-2026-0141: host names were not checked over one of its TLS backends"),
    ("rand", "0.8.6", "RUSTSEC-2026-0097: unsound with a logger that asks for random numbers"),
    ("rand", "0.9.3", "RUSTSEC-2026-0097"),
    ("rand", "0.10.1", "RUSTSEC-2026-0097"),
    ("ring", "0.17.12", "RUSTSEC-2025-0009: AES could panic where overflows are checked"),
    ("rustls", "0.23.18", "RUSTSEC-2024-0399: an acceptor panics on a crafted ClientHello"),
    ("rustls", "0.23.45", "RUSTSEC-2026-0285: handshake messages at the wrong encryption level"),
    (
        "rustls-webpki",
        "0.103.10",
        "RUSTSEC-2026-0049: revocation lists were not matched by distribution point",
    ),
    ("rustls-webpki", "0.103.12", "RUSTSEC-2026-0098, RUSTSEC-2026-0099: name constraints were not kept"),
    ("rustls-webpki", "0.103.13", "RUSTSEC-2026-0104: a crafted revocation list panics"),
    ("sqlx", "0.8.1", "RUSTSEC-2024-0363: a length that is cut off makes values into commands"),
    ("time", "0.3.47", "RUSTSEC-2026-0009: deep recursion in RFC 2822 dates"),
    ("tokio", "1.44.2", "RUSTSEC-2025-0023: a broadcast channel clones without Sync"),
    ("tracing-subscriber", "0.3.20", "RUSTSEC-2025-0055: escape sequences in logs reach the terminal"),
];

/// Licences under which anything may be used here.
const LICENCES: [&str; 11] = [
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "BSL-1.0",
    "ISC",
    "MIT",
    "Unicode-3.0",
    "Unlicense",
    "Zlib",
    "Apache-2.0 WITH LLVM-exception",
];

/// (package, licence, reason) beyond them.
const EXCEPTIONS: [(&str, &str, &str); 1] = [
    // A licence of data: it asks for nothing but its text beside the data.
    ("webpki-roots", "CDLA-Permissive-2.0", "the certificates of the authorities that browsers trust"),
];

/// SQLite below it can damage a database in WAL mode as its log is reset.
const SQLITE: i32 = 3_051_003;

type Version = (u64, u64, u64);

/// The three numbers of a version, without what follows them.
fn version(text: &str) -> Version {
    let plain = text.split(['-', '+']).next().unwrap();
    let numbers: Vec<u64> = plain.split('.').map(|number| number.parse().unwrap()).collect();
    let [major, minor, patch] = numbers[..] else { panic!("{text} is no version") };
    (major, minor, patch)
}

/// What versions have in common that can replace each other.
fn series((major, minor, _): Version) -> (u64, u64) {
    if major == 0 { (0, minor) } else { (major, 0) }
}

/// Packages of a lock file with a known fault, or from elsewhere than the registry.
fn faults(lock: &str) -> Vec<String> {
    let lock: toml::Table = lock.parse().unwrap();
    let mut findings = Vec::new();
    for package in lock["package"].as_array().unwrap() {
        let text = |key: &str| package.get(key).and_then(toml::Value::as_str);
        let (name, shown) = (text("name").unwrap(), text("version").unwrap());
        match text("source") {
            Some(source) if source.starts_with("registry+") => {
                if text("checksum").is_none() {
                    findings.push(format!("{name} {shown} has no checksum"));
                }
            }
            None if name == env!("CARGO_PKG_NAME") => {}
            other => findings.push(format!("{name} {shown} comes from {other:?}")),
        }
        let found = version(shown);
        let rows: Vec<_> = MENDED.iter().filter(|(of, ..)| *of == name).collect();
        let own: Vec<_> =
            rows.iter().filter(|(_, first, _)| series(version(first)) == series(found)).copied().collect();
        let rows = if own.is_empty() { rows } else { own };
        for (_, first, fault) in rows {
            if found < version(first) {
                findings.push(format!("{name} {shown} must be {first} or newer: {fault}"));
            }
        }
    }
    findings
}

/// True where a licence of the list suffices: one of alternatives, all of what is joined.
fn is_agreed(licence: &str, is_listed: &dyn Fn(&str) -> bool) -> bool {
    let licence = licence.replace('/', " OR ").replace("  ", " ");
    let plain = licence.replace(['(', ')'], "");
    if is_listed(plain.trim()) {
        return true;
    }
    // Brackets stand around alternatives alone.
    if let Some((first, rest)) = split_outside(&licence, " AND ") {
        return is_agreed(first, is_listed) && is_agreed(rest, is_listed);
    }
    match plain.split_once(" OR ") {
        Some((first, rest)) => is_agreed(first, is_listed) || is_agreed(rest, is_listed),
        None => false,
    }
}

/// Splits at the first place outside of brackets.
fn split_outside<'a>(text: &'a str, at: &str) -> Option<(&'a str, &'a str)> {
    text.match_indices(at)
        .find(|(start, _)| text[..*start].matches('(').count() == text[..*start].matches(')').count())
        .map(|(start, _)| (&text[..start], &text[start + at.len()..]))
}

/// Packages, as cargo describes them, under a licence that was not agreed on.
fn unlicensed(packages: &[Value]) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let licence = package["license"].as_str().unwrap_or("no licence");
        let is_listed = |one: &str| {
            LICENCES.contains(&one)
                || EXCEPTIONS.iter().any(|(of, licence, _)| (*of, *licence) == (name, one))
        };
        if !is_agreed(licence, &is_listed) {
            findings.push(format!("{name} is under {licence}"));
        }
    }
    findings
}

/// What cargo says, without a network. Packages for other systems need not be there.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_package_has_a_known_fault_or_comes_from_elsewhere() {
    let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock");
    report(&faults(&std::fs::read_to_string(lock).unwrap()));
    assert!(rusqlite::version_number() >= SQLITE, "SQLite {}", rusqlite::version());
}

#[test]
fn every_licence_was_agreed_on() {
    let version = cargo(&["version", "--verbose"]);
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    let told =
        cargo(&["metadata", "--format-version", "1", "--offline", "--locked", "--filter-platform", host]);
    let told: Value = serde_json::from_str(&told).unwrap();
    let packages = told["packages"].as_array().unwrap();
    assert!(packages.len() > 100, "{} packages", packages.len());
    report(&unlicensed(packages));
}

#[test]
fn the_checks_find_what_is_planted() {
    let registry = "source = \"registry+https://example.com/index\"\nchecksum = \"00\"\n";
    let lock = |name: &str, version: &str, rest: &str| {
        faults(&format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n{rest}"))
    };
    for (name, good, bad) in [
        ("h2", "0.4.16", "0.4.15"),
        ("rustls", "0.23.46", "0.23.44"),
        ("rustls-webpki", "0.104.0", "0.103.12"),
        ("ring", "0.17.14", "0.16.20"),
        ("rand", "0.8.8", "0.8.5"),
        ("rand", "0.9.5", "0.9.2"),
        ("sqlx", "0.9.0", "0.7.4"),
        ("tokio", "1.54.1+extra", "1.44.1"),
    ] {
        assert_eq!(lock(name, good, registry), Vec::<String>::new());
        let found = lock(name, bad, registry);
        assert!(
            found.iter().all(|one| one.contains("RUSTSEC-")) && !found.is_empty(),
            "{name} {bad}: {found:?}"
        );
    }
    for rest in
        ["", "source = \"git+https://example.com/x#1\"\n", "source = \"registry+https://example.com\"\n"]
    {
        assert_eq!(lock("x", "1.0.0", rest).len(), 1, "{rest}");
    }
    let package = |name: &str, licence: &str| serde_json::json!({ "name": name, "license": licence });
    for good in
        ["MIT", "MIT/Apache-2.0", "GPL-3.0 OR MIT", "(MIT OR GPL-3.0) AND Unicode-3.0", "Apache-2.0 / MIT"]
    {
        assert_eq!(unlicensed(&[package("x", good)]), Vec::<String>::new(), "{good}");
    }
    for bad in ["GPL-3.0", "MIT AND GPL-3.0", "(GPL-3.0 OR AGPL-3.0) AND MIT", "CDLA-Permissive-2.0", ""] {
        assert_eq!(unlicensed(&[package("x", bad)]).len(), 1, "{bad}");
    }
    assert_eq!(unlicensed(&[serde_json::json!({ "name": "x" })]).len(), 1);
    assert_eq!(unlicensed(&[package("webpki-roots", "CDLA-Permissive-2.0")]), Vec::<String>::new());
}
