//! Schemas of one PostgreSQL are cells that do not see each other: their ledgers, journals, checks and copies.

use super::postgres::Cluster;
use super::postgres_rig::{Journal, Site, execute};
use super::process::{Place, Server};

/// A server on a schema.
fn serve(site: &Site, schema: &str) -> Server {
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--database-url", &site.url, "--postgres-schema", schema];
    Server::start(site.place.command(&arguments))
}

fn verify(site: &Site, schema: &str) -> String {
    let ended = site.place.run(&["verify", "--database-url", &site.url, "--postgres-schema", schema]);
    format!("{}{}", ended.stdout, ended.stderr)
}

fn buys(site: &Site, server: &Server, credits: &str) {
    for arguments in [
        vec!["customer", "create", "acme", "--request-id", "create"],
        vec!["purchase", "acme", credits, "--order", "1", "--request-id", "buy"],
        vec!["charge", "acme", "I", "--minutes", "45", "--request-id", "charge"],
    ] {
        let told = site.place.json(&[&arguments[..], &["--server", server.url(), "--json"]].concat());
        assert_eq!(told["replayed"], false, "{told}");
    }
}

fn available(site: &Site, server: &Server) -> String {
    let told = site.place.json(&["balance", "acme", "--server", server.url(), "--json"]);
    told["available"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn schemas_do_not_see_each_other() {
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    let site = Site::on(cluster.url("postgres"));
    execute(&site.url, "ALTER SYSTEM SET log_statement = ddl").await;
    execute(&site.url, "SELECT pg_reload_conf()").await;
    // One without a name is in public.
    let servers = [serve(&site, "cell_a"), serve(&site, "cell_b"), site.serve()];
    for (server, credits) in servers.iter().zip(["10", "20", "30"]) {
        buys(&site, server, credits);
    }
    for (server, left) in servers.iter().zip(["8.5", "18.5", "28.5"]) {
        assert_eq!(available(&site, server), left);
        // Each has its own sequencer, and positions from 1.
        let mut journal = Journal::default();
        journal.reach(server, 3).await;
    }
    // A second server of a cell has the same.
    let second = serve(&site, "cell_a");
    assert_eq!(available(&site, &second), "8.5");

    // A copy goes from one schema to another. It is refused where a server has the target open, and nowhere else.
    let schema = |name: &str| format!("{}?schema={name}", site.url);
    let copy = |from: &str, to: &str| site.place.run(&["copy", "--from", &schema(from), "--to", &schema(to)]);
    let busy = serve(&site, "cell_d");
    let ended = copy("cell_a", "cell_d");
    let told = ended.complaint();
    assert!(told.ends_with("open") && told.contains("schema=cell_d"), "{told}");
    busy.stop();
    let ended = copy("cell_a", "cell_c");
    assert!(ended.stdout.starts_with("copied and verified: 3 postings"), "{}{}", ended.stdout, ended.stderr);
    assert_eq!(available(&site, &serve(&site, "cell_c")), "8.5");
    let ended = copy("cell_a", "cell_a");
    assert!(ended.complaint().ends_with("name the same database"), "{}", ended.stderr);

    // Damage in one is damage in none other.
    execute(&site.url, "UPDATE cell_b.customer SET available = available + 1").await;
    execute(&site.url, "DROP TRIGGER posting_is_append_only ON cell_c.posting").await;
    execute(&site.url, "DROP INDEX public.posting_request").await;
    assert!(verify(&site, "cell_a").starts_with("clean: "));
    assert!(verify(&site, "cell_b").contains("customer acme"), "{}", verify(&site, "cell_b"));
    let told = verify(&site, "cell_c");
    assert!(told.contains("trigger posting_is_append_only is not there"), "{told}");
    assert!(verify(&site, "public").contains("index posting_request"), "{}", verify(&site, "public"));
    let told = verify(&site, "cell_x");
    assert!(told.contains("has no schema or an older one"), "{told}");

    // Migrations were sent statement by statement.
    let log = cluster.log();
    let statements: Vec<&str> = log.split("statement: ").skip(1).collect();
    assert!(statements.iter().filter(|statement| statement.contains("CREATE TABLE posting (")).count() == 5);
    for statement in statements {
        let statement = statement.split(" LOG: ").next().unwrap();
        let makes = statement.matches("\tCREATE ").count() + usize::from(statement.starts_with("CREATE "));
        assert!(makes < 2, "several statements in one message: {statement}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_made_where_the_role_may() {
    if !Cluster::available() {
        return;
    }
    let cluster = Cluster::start();
    execute(&cluster.url("postgres"), "CREATE ROLE ada LOGIN; CREATE SCHEMA hers; CREATE SCHEMA theirs")
        .await;
    execute(&cluster.url("postgres"), "GRANT CREATE, USAGE ON SCHEMA hers TO ada").await;
    let place = Place::new();
    let url = format!("postgres://ada@{}/postgres", cluster.address());
    let migrate = |schema: &str| {
        let arguments = ["migrate", "--database-url", &url, "--postgres-schema", schema];
        place.run(&arguments)
    };
    let ended = migrate("none");
    let told = ended.complaint();
    assert!(
        told.ends_with("the schema none cannot be made: permission denied for database postgres"),
        "{told}"
    );
    let ended = migrate("theirs");
    assert!(ended.complaint().ends_with("the role may not use the schema theirs"), "{}", ended.stderr);
    let ended = migrate("Hers");
    assert!(ended.complaint().contains("the schema must be 1 to 48 of a-z"), "{}", ended.stderr);
    let ended = migrate("hers");
    assert!(ended.stdout.ends_with("schema=hers is up to date\n"), "{}{}", ended.stdout, ended.stderr);
    let ended = place.run(&["verify", "--database-url", &format!("{url}?schema=hers")]);
    assert!(ended.stdout.starts_with("clean: "), "{}{}", ended.stdout, ended.stderr);
    let ended = place.run(&["verify", "--postgres-schema", "hers"]);
    let told = ended.complaint_with(2);
    assert!(told.ends_with("postgres_schema is for databases in PostgreSQL"), "{told}");
    // Many that start together make one schema.
    execute(&cluster.url("postgres"), "GRANT CREATE ON DATABASE postgres TO ada").await;
    let site = Site::on(url.clone());
    let servers: Vec<Server> = std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| serve(&site, "new"))).collect();
        starts.into_iter().map(|start| start.join().unwrap()).collect()
    });
    for server in servers {
        server.stop();
    }
    assert!(verify(&site, "new").starts_with("clean: "));
}
