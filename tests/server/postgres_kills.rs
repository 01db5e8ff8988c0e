//! Twenty times in the middle of a replay a server dies, or PostgreSQL does: the replay ends well all the same.

use super::postgres::{self, Cluster};
use super::postgres_rig::{Book, Journal, Site};
use super::process::incidents;

const KILLS: i64 = 20;
/// The kills are over after half of the work: while one is waited for the replay goes on, on some machines fast.
const SHARES: i64 = 40;

/// Long enough that the last kill still meets it at work.
async fn long_book() -> Book {
    Book::of(incidents(900, 90)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_twenty_servers() {
    if postgres::available() {
        twenty_servers("read-committed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_twenty_servers_when_serializable() {
    if postgres::available() {
        twenty_servers("serializable").await;
    }
}

async fn twenty_servers(isolation: &'static str) {
    let book = long_book().await;
    let site = Site::new().await.at(isolation);
    let mut servers = vec![site.serve(), site.serve(), site.serve()];
    let replay = site.replay(&book, &servers);
    let mut journal = Journal::default();
    for kill in 1..=KILLS {
        // Another one than is killed now, which was not killed just before.
        journal.reach(&servers[1], book.postings * kill / SHARES).await;
        let server = servers.remove(0);
        let address = server.address().to_owned();
        server.process.signal("KILL");
        assert!(!server.process.end().status.success());
        servers.push(site.serve_on(&address));
    }
    assert!(site.postings().await < book.postings, "the last of the kills came after the end");
    book.must_be_in(&site, replay).await;
    journal.reach(&servers[0], book.postings).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_twenty_crashes_of_postgresql() {
    if Cluster::available() {
        twenty_crashes("read-committed").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_outlives_twenty_crashes_of_postgresql_when_serializable() {
    if Cluster::available() {
        twenty_crashes("serializable").await;
    }
}

async fn twenty_crashes(isolation: &'static str) {
    let book = long_book().await;
    let mut cluster = Cluster::start();
    let site = Site::on(cluster.url("postgres")).at(isolation);
    let servers = [site.serve(), site.serve()];
    let replay = site.replay(&book, &servers);
    let mut journal = Journal::default();
    for kill in 1..=KILLS {
        journal.reach(&servers[usize::from(kill % 2 == 0)], book.postings * kill / SHARES).await;
        cluster.stop_immediately();
        cluster.start_again();
    }
    assert!(site.postings().await < book.postings, "the last of the crashes came after the end");
    book.must_be_in(&site, replay).await;
    journal.reach(&servers[0], book.postings).await;
    for server in servers {
        server.stop();
    }
}
