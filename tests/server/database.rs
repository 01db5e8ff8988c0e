//! Databases that cannot be used, or stop being usable: one clear line, and no damage.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::{PurchaseCreditsRequest, context};

use super::process::{Place, Server, sqlite};

#[test]
fn a_second_server_on_the_same_file_is_refused() {
    let place = Place::new();
    let server = place.serve();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    let database = place.path("creditledger.db");
    let expected = format!("creditledger: another creditledger has {} open", database.display());
    assert_eq!(ended.complaint(), expected);
    // What could not be looked at is not called wrong.
    assert_eq!(place.run(&["verify"]).complaint_with(2), expected);
    // The first one goes on.
    let customer = place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    assert_eq!(customer["customer_id"], "acme");
    server.stop();
    place.verify();
}

#[test]
fn a_read_only_file_is_refused() {
    let place = Place::new();
    assert!(place.run(&["migrate"]).status.success());
    let database = place.path("creditledger.db");
    let before = std::fs::read(&database).unwrap();
    std::fs::set_permissions(&database, std::fs::Permissions::from_mode(0o444)).unwrap();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(ended.complaint().contains("read-only"), "{}", ended.stderr);
    assert_eq!(std::fs::read(&database).unwrap(), before);
}

#[test]
fn files_that_are_no_database_of_ours_are_left_alone() {
    let place = Place::new();
    let text = place.write("creditledger.db", "This is a letter, not a database, and it is rather long.\n");
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    ended.complaint();
    place.run(&["verify"]).complaint_with(2);
    assert!(std::fs::read_to_string(text).unwrap().starts_with("This is a letter"));

    let place = Place::new();
    sqlite(&place.path("creditledger.db")).execute_batch("CREATE TABLE recipe (name TEXT)").unwrap();
    let ended = place.run(&["serve", "--listen", "127.0.0.1:0"]);
    assert!(ended.complaint().contains("another program's database"), "{}", ended.stderr);

    let place = Place::new();
    let ended =
        place.run(&["serve", "--listen", "127.0.0.1:0", "--database-url", "sqlite://no/such/folder/a.db"]);
    assert!(ended.complaint().contains("there is no directory"), "{}", ended.stderr);
    let ended = place.run(&["verify"]);
    assert!(ended.complaint_with(2).contains("there is no database"), "{}", ended.stderr);
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn a_database_from_a_newer_version_is_refused_and_not_touched() {
    let place = Place::new();
    assert!(place.run(&["migrate"]).status.success());
    let database = place.path("creditledger.db");
    let connection = sqlite(&database);
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
        VALUES (999999, 'of tomorrow', TRUE, x'00', 0)";
    connection.execute(newer, []).unwrap();
    connection.close().unwrap();
    for (command, status) in
        [(&["serve", "--listen", "127.0.0.1:0"][..], 1), (&["migrate"], 1), (&["verify"], 2)]
    {
        let ended = place.run(command);
        assert!(ended.complaint_with(status).contains("newer version"), "{command:?}: {}", ended.stderr);
    }
}

#[test]
fn verify_names_the_row_that_was_changed() {
    let place = Place::new();
    let server = place.serve();
    place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    place.json(&["purchase", "acme", "10", "--order", "1", "--server", server.url(), "--json"]);
    server.stop();
    let counted = place.verify();
    assert!(counted.contains("2 postings") && counted.contains("1 transfers"), "{counted}");
    let connection = sqlite(&place.path("creditledger.db"));
    assert_eq!(connection.execute("UPDATE customer SET available = available + 1", []).unwrap(), 1);
    connection.close().unwrap();
    let ended = place.run(&["verify"]);
    assert_eq!(ended.status.code(), Some(1));
    assert!(ended.stdout.starts_with("FAILED: ") && ended.stdout.contains("acme"), "{}", ended.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_ends_the_server_and_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    assert!(place.run(&["migrate"]).status.success());
    // No file can grow beyond 1 or 2 MB (a block of `ulimit` has 512 bytes in some shells, 1,024 in others), so the
    // log is soon full. Without the trap the limit would end the process by a signal, which no full disk does.
    let binary = env!("CARGO_BIN_EXE_creditledger");
    let script = format!("trap '' XFSZ; ulimit -f 2000; exec {binary} serve --listen 127.0.0.1:0");
    let mut command = Command::new("sh");
    command.args(["-c", &script]).current_dir(place.path(".")).env_clear();
    let server = Server::start(command);
    place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    let mut client = PurchaseServiceClient::new(server.connect().await);
    let mut acknowledged = 0;
    let status = loop {
        assert!(acknowledged < 20_000, "the disk is never full");
        let request = PurchaseCreditsRequest {
            context: Some(context(format!("request-{acknowledged}-{}", "x".repeat(100)), "acme")),
            storefront: "web".into(),
            order_id: format!("order-{acknowledged}"),
            credits: "1".into(),
            ..Default::default()
        };
        match client.purchase_credits(request).await {
            Ok(_) => acknowledged += 1,
            Err(status) => break status,
        }
    };
    // Whoever was waiting is told that the outcome is unknown, or finds the server gone.
    assert_eq!(status.code(), tonic::Code::Unavailable, "{status}");
    let ended = server.process.end();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let errors: Vec<_> = ended.stderr.lines().filter(|line| line.contains("ERROR")).collect();
    assert_eq!(errors.len(), 1, "{}", ended.stderr);

    place.verify();
    let server = place.serve();
    let balance = place.json(&["balance", "acme", "--server", server.url(), "--json"]);
    let available: usize = balance["available"].as_str().unwrap().parse().unwrap();
    assert!(acknowledged > 10, "{acknowledged}");
    assert!(available == acknowledged || available == acknowledged + 1, "{available} of {acknowledged}");
    server.stop();
    place.verify();
}
