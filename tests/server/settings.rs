//! Settings that are wrong end the start with a line for each that names it, and leave nothing behind.

use super::process::{Place, Server};

#[test]
fn an_unknown_or_bad_setting_is_named() {
    let place = Place::new();
    place.write("c.toml", "listen = \"127.0.0.1:0\"\nlistn = 1\n");
    let ended = place.run(&["--config", "c.toml"]);
    assert_eq!(ended.complaint(), "creditledger: c.toml line 2: listn is not a setting");
    let ended = place.run(&["serve", "--batch-commands-max", "many"]);
    assert!(
        ended.complaint().starts_with("creditledger: --batch-commands-max must be a whole number from 2")
    );
    for (name, value, complaint) in [
        ("CREDITLEDGER_LISTN", "x", "CREDITLEDGER_LISTN is not a setting"),
        ("CREDITLEDGER_LISTEN", "localhost", "CREDITLEDGER_LISTEN must be an address and a port"),
        ("CREDITLEDGER_INSECURE", "yes", "CREDITLEDGER_INSECURE must be true or false, not \"yes\""),
        ("CREDITLEDGER_CONFIG", "none.toml", "none.toml cannot be read"),
        ("CREDITLEDGER_DATABASE_URL", "mysql://host/db", "the database URL must begin with sqlite:"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "no address", "OTEL_EXPORTER_OTLP_ENDPOINT cannot be used"),
    ] {
        let mut command = place.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.env(name, value);
        let ended = super::process::Running::start(command).end();
        assert!(ended.complaint().starts_with(&format!("creditledger: {complaint}")), "{}", ended.stderr);
    }
    let wrong = place.run(&["serve", "--listn", "127.0.0.1:0"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("--listn"), "{}", wrong.stderr);
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn it_does_not_listen_beyond_loopback_unless_told_to() {
    let place = Place::new();
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051"] {
        let ended = place.run(&["serve", "--listen", listen]);
        let complaint = ended.complaint();
        assert!(complaint.contains(listen) && complaint.contains("--insecure"), "{complaint}");
    }
    assert!(!place.path("creditledger.db").exists());
    let server = Server::start(place.command(&["--listen", "0.0.0.0:0", "--insecure"]));
    assert!(server.url().starts_with("http://0.0.0.0:"), "{:?}", server.said);
    server.stop();
}

#[test]
fn flags_win_over_variables_over_the_file() {
    let place = Place::new();
    let text = "database_url = \"sqlite://file.db\"\nlisten = \"127.0.0.1:0\"\nlog_format = \"json\"\n";
    place.write("c.toml", text);
    let server = Server::start(place.command(&["--config", "c.toml"]));
    assert_eq!(server.said[2], "database sqlite://file.db");
    let ended = server.stop();
    let line: serde_json::Value = serde_json::from_str(ended.stderr.lines().next().unwrap()).unwrap();
    assert_eq!(line["signal"], "SIGTERM");

    let mut command = place.command(&["--config", "c.toml"]);
    command.env("CREDITLEDGER_DATABASE_URL", "sqlite://variable.db").env("CREDITLEDGER_LOG_FORMAT", "text");
    let server = Server::start(command);
    assert_eq!(server.said[2], "database sqlite://variable.db");
    assert!(server.stop().stderr.contains("INFO"));

    let mut command = place.command(&["--config", "c.toml", "--database-url", "sqlite://flag.db"]);
    command.env("CREDITLEDGER_DATABASE_URL", "sqlite://variable.db");
    let server = Server::start(command);
    assert_eq!(server.said[2], "database sqlite://flag.db");
    server.stop();
}

#[test]
fn the_documented_settings_are_the_defaults() {
    let place = Place::new();
    let documented = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/creditledger.toml");
    let server = Server::start(place.command(&["--config", documented, "--listen", "127.0.0.1:0"]));
    assert_eq!(server.said[2], "database sqlite://./creditledger.db");
    server.stop();
    assert!(place.path("creditledger.db").exists());
}

#[test]
fn all_faults_of_the_file_are_told_at_once() {
    let place = Place::new();
    let lines = [
        "listn = 1",
        "[[storefronts]]",
        "id = \"web\"",
        "vendor = \"etsy\"",
        "secrets = [\"hidden\"]",
        "customer = \"note.customer_id\"",
        "credits = { price_10 = \"ten\" }",
        "[[storefronts]]",
        "id = \"web\"",
        "vendor = \"shopify\"",
        "secret_variables = [\"NO_SUCH_VARIABLE\"]",
        "customer = \"note.customer_id\"",
    ];
    place.write("shops.toml", &lines.join("\n"));
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--config", "shops.toml"]);
    let told = [
        "line 1: listn is not a setting",
        "line 4: storefronts.vendor must be stripe, shopify, woocommerce or generic, not \"etsy\"",
        "line 7: storefronts.credits.price_10 must be a decimal number such as 2.5, without exponent, spaces or plus sign",
        "line 9: storefronts.id is \"web\", as on line 3 already",
        "line 11: storefronts.secret_variables names NO_SUCH_VARIABLE, which is not set",
    ];
    let told = told.map(|line| format!("shops.toml {line}\n")).concat();
    assert_eq!(ended.stderr, format!("creditledger: {told}"));
    assert_eq!(ended.status.code(), Some(1));
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn rules_about_callers_are_refused_while_nobody_is_asked() {
    let place = Place::new();
    let text = "[auth.certificates]\n\"DNS:a\" = { role = \"auditor\", ledgers = \"*\" }\n";
    place.write("auth.toml", text);
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--authenticate", "--config", "auth.toml"]);
    let told = "creditledger: auth.certificates needs tls_client_authorities_file";
    assert!(ended.complaint().starts_with(told), "{}", ended.stderr);
    let authorities = ["--tls-certificate-file", "c.pem", "--tls-key-file", "c.key"];
    let asked = ["--tls-client-authorities-file", "ca.pem", "--tls-client-certificates", "optional"];
    let served = ["serve", "--listen", "127.0.0.1:0", "--config", "auth.toml"];
    let ended = place.run(&[&served[..], &authorities, &asked].concat());
    let told = "creditledger: auth.toml line 1: auth says who may call, but callers are not authenticated";
    assert!(ended.complaint().starts_with(told), "{}", ended.stderr);
    place.write("auth.toml", &text.replace("auditor", "admin"));
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0", "--authenticate", "--config", "auth.toml"]);
    let told = "creditledger: auth.toml line 2: auth.certificates.DNS:a.role must be a role, one of";
    assert!(ended.complaint().starts_with(told), "{}", ended.stderr);
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn only_a_server_needs_the_secrets_of_storefronts() {
    let place = Place::new();
    place.write(
        "shops.toml",
        "[[storefronts]]\nid = \"web\"\nvendor = \"shopify\"\nsecret_variables = [\"SHOP_SECRET\"]\n\
         customer = \"note.customer_id\"\n",
    );
    let mut command = place.command(&["serve", "--listen", "127.0.0.1:0", "--config", "shops.toml"]);
    command.env("SHOP_SECRET", "hidden");
    Server::start(command).stop();
    let ended = place.run(&["verify", "--config", "shops.toml"]);
    assert!(ended.status.success(), "{}", ended.stderr);
}
