//! What `deploy/` and packages rest on: health checks by the binary, settings files that a server takes, manual pages.

use std::collections::BTreeSet;
use std::path::Path;

use super::authority::Authority;
use super::process::{Place, Server};
use super::tls;

fn deployed(name: &str) -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy").join(name)).unwrap()
}

#[test]
fn a_health_check_says_whether_the_server_serves() {
    let place = Place::new();
    let server = place.serve();
    let check = |more: &[&str]| place.run(&[&["health", "--server", server.url()], more].concat());
    for more in [&[][..], &["--live"], &["--service", "creditledger.v1.HoldService"]] {
        let ended = check(more);
        assert!(ended.status.success() && ended.stdout.contains("SERVING"), "{more:?}: {}", ended.stderr);
    }
    assert!(check(&["--service", "nobody"]).complaint().contains("nobody"));
    let url = server.url().to_owned();
    server.stop();
    assert!(place.run(&["health", "--server", &url]).complaint().contains("no server answers"));
}

/// Every variable that a file of `deploy/` names is one that the program reads.
#[test]
fn variables_in_deploy_are_the_programs() {
    let place = Place::new();
    // Settings are variables too, as their flags are written; compose alone reads the last.
    let flags = place.run(&["serve", "--help"]).stdout;
    let flags = flags.split_whitespace().filter_map(|word| word.strip_prefix("--"));
    let known: BTreeSet<_> = flags
        .map(|flag| format!("CREDITLEDGER_{}", flag.to_uppercase().replace('-', "_")))
        .chain(["CREDITLEDGER_SERVER", "CREDITLEDGER_CA", "CREDITLEDGER_DB_PASSWORD"].map(str::to_owned))
        .collect();
    for file in ["Dockerfile", "compose.yaml", "creditledger.service", "kubernetes.yaml"] {
        let text = deployed(file);
        let named = text.split(|of: char| !(of.is_ascii_uppercase() || of == '_'));
        let named: BTreeSet<_> = named.filter(|name| name.starts_with("CREDITLEDGER_")).collect();
        for name in named.into_iter().filter(|name| *name != "CREDITLEDGER_") {
            assert!(known.contains(name), "{file}: {name}");
        }
    }
}

#[test]
fn the_image_serves_with_its_settings() {
    let place = Place::new();
    place.write("image.toml", &deployed("image.toml"));
    let url = place.url();
    let flags = ["serve", "--config", "image.toml", "--listen", "127.0.0.1:0", "--database-url", &url];
    Server::start(place.command(&flags)).stop();
}

/// With the secrets where the manifests mount them, and the probes' own commands.
#[test]
fn the_manifests_of_kubernetes_serve_with_their_settings() {
    let (place, authority) = (Place::new(), Authority::new("ours"));
    let manifest = deployed("kubernetes.yaml");
    // The Service is called as settings begin.
    assert!(manifest.contains("enableServiceLinks: false"), "CREDITLEDGER_PORT would be no setting");
    let settings = manifest.split_once("creditledger.toml: |\n").unwrap().1.split_once("---").unwrap().0;
    let settings: Vec<_> = settings.lines().map(str::trim_start).collect();
    let own = |path: &str| place.path(path).display().to_string();
    let settings = settings
        .join("\n")
        .replace("/etc/creditledger/secrets/", &own(""))
        .replace("/etc/creditledger/tls/tls.crt", &own("server.pem"))
        .replace("/etc/creditledger/tls/tls.key", &own("server.key"));
    assert!(!settings.contains("/etc/"), "{settings}");
    place.write("settings.toml", &settings);
    place.write("database-url", &place.url());
    place.write("sealing-key", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n");
    authority.write(&place);
    let identity = authority.issue(&["creditledger.creditledger.svc", "127.0.0.1"]);
    let server = tls::serve(&place, &identity, &["--config", "settings.toml"]);
    for probe in manifest.lines().filter_map(|line| line.trim().strip_prefix("exec: ")) {
        let words: Vec<_> = probe.split('"').skip(1).step_by(2).collect();
        let (program, arguments) = words.split_first().unwrap();
        assert_eq!(*program, "creditledger");
        let mut command = place.command(arguments);
        command.env("CREDITLEDGER_SERVER", server.url()).env("CREDITLEDGER_CA", own("ca.pem"));
        let asked = command.output().unwrap();
        assert!(asked.status.success(), "{probe}: {}", String::from_utf8_lossy(&asked.stderr));
    }
    server.stop();
}

#[test]
fn manual_pages_and_completions_follow_from_the_arguments() {
    let place = Place::new();
    let written = place.run(&["man", "."]);
    assert!(written.status.success(), "{}", written.stderr);
    for (page, says) in [
        ("creditledger.1", "Prepaid support credits"),
        ("creditledger-serve.1", "authenticate"),
        ("creditledger-hold-place.1", "incident"),
    ] {
        let text = std::fs::read_to_string(place.path(page)).unwrap();
        assert!(text.contains(says), "{page}");
    }
    assert!(place.run(&["man", "nowhere"]).complaint().contains("nowhere"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(&["completions", shell]);
        assert!(script.status.success() && script.stdout.contains("rate-card"), "{shell}: {}", script.stderr);
    }
}
