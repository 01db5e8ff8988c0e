//! A URL with several hosts: dead ones, silent ones and standbys are passed by, and a fault says what is wrong with each.

use std::net::TcpListener;

use super::postgres::{self, Cluster};
use super::postgres_rig::Site;
use super::process::Place;

#[tokio::test(flavor = "multi_thread")]
async fn the_host_that_takes_writes_is_found() {
    if !Cluster::available() {
        return;
    }
    let primary = Cluster::start();
    let standby = primary.standby();
    let closed = format!("127.0.0.1:{}", postgres::free_port());
    // Connections wait in its queue, and nobody takes them.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = listener.local_addr().unwrap();
    let (there, other) = (primary.address(), standby.address());
    let (port, other_port) = (primary.port(), standby.port());
    for url in [
        format!("postgres://postgres@{closed},{silent},{other},{there}/postgres?sslmode=disable"),
        format!("postgres://postgres@nobody/postgres?host=127.0.0.1,localhost&port={other_port},{port}"),
        format!(
            "postgres://postgres@127.0.0.1,localhost:{port}/postgres?hostaddr=,127.0.0.1&port={other_port},{port}"
        ),
    ] {
        let site = Site::on(url);
        let server = site.serve();
        site.place.json(&["customer", "list", "--server", server.url(), "--json"]);
        server.stop();
        site.verify();
    }
    let refusal = |url: &str| {
        let ended = Place::new().run(&["serve", "--listen", "127.0.0.1:0", "--database-url", url]);
        ended.complaint().to_owned()
    };
    let line = refusal(&format!("postgres://postgres:s3cret@{closed},{silent}/postgres"));
    assert!(
        line.contains(&format!("postgres:***@{closed},{silent}/postgres: {closed}: cannot be reached: ")),
        "{line}"
    );
    assert!(line.ends_with(&format!("; {silent}: no answer within 3 s")), "{line}");
    // A standby alone: where nothing else answers, what it lacks is said.
    let line = refusal(&format!("postgres://postgres@{other},{closed}/postgres"));
    assert!(line.contains("read-only"), "{line}");
    // Its data can be checked all the same.
    let ended = Site::on(format!("postgres://postgres@{other},{closed}/postgres")).verify();
    assert!(ended.starts_with("clean: "), "{ended}");
}
