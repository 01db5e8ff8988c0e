//! The PostgreSQL of the tests keeps what they rely on: databases are apart, a crash loses nothing that was committed,
//! and nothing is left behind when a test process is killed.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::postgres::{self, Cluster};

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn run(connection: &mut PgConnection, sql: &'static str) {
    sqlx::raw_sql(sql).execute(connection).await.unwrap();
}

async fn count(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(connection).await.unwrap()
}

#[tokio::test]
async fn databases_are_apart() {
    if !postgres::available() {
        return;
    }
    let urls = [postgres::database().await, postgres::database().await];
    // The table would be there already if both were one.
    for url in &urls {
        let mut connection = connect(url).await;
        run(&mut connection, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)").await;
        assert_eq!(count(&mut connection).await, 1);
    }
}

#[tokio::test]
async fn a_database_is_reached_over_tcp_too() {
    if !postgres::available() {
        return;
    }
    let url = postgres::database().await;
    run(&mut connect(&url).await, "CREATE TABLE kept (n int)").await;
    let mut connection = connect(&postgres::through(&url, postgres::tcp_address())).await;
    assert_eq!(count(&mut connection).await, 0);
}

#[tokio::test]
async fn a_cluster_that_is_killed_keeps_what_was_committed() {
    if !Cluster::available() {
        return;
    }
    let mut cluster = Cluster::start();
    let (url, port, first) = (cluster.url("postgres"), cluster.port(), cluster.postmaster());
    let mut committed = connect(&url).await;
    run(&mut committed, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)").await;
    let mut open = connect(&url).await;
    run(&mut open, "BEGIN").await;
    run(&mut open, "INSERT INTO kept VALUES (2)").await;

    cluster.stop_immediately();
    assert!(!is_running(first));
    assert!(sqlx::raw_sql("COMMIT").execute(&mut open).await.is_err());
    assert!(PgConnection::connect(&url).await.is_err());

    cluster.start_again();
    assert_eq!((cluster.url("postgres"), cluster.port()), (url.clone(), port));
    assert_ne!(cluster.postmaster(), first);
    assert_eq!(count(&mut connect(&url).await).await, 1);

    let (directory, last) = (cluster.directory().to_owned(), cluster.postmaster());
    drop(cluster);
    assert!(!is_running(last) && !directory.exists());
}

fn is_running(process: u32) -> bool {
    let mut kill = Command::new("kill");
    kill.args(["-0", &process.to_string()]).stderr(Stdio::null()).status().unwrap().success()
}

const HOLD: &str = "CREDITLEDGER_TEST_HOLD_A_CLUSTER";

/// No test but for the one below, which runs it in a process to be killed.
#[test]
fn hold_a_cluster_until_killed() {
    if std::env::var_os(HOLD).is_some() {
        let cluster = Cluster::start();
        println!("\nholds {} {}", cluster.postmaster(), cluster.directory().display());
        std::io::stdin().lines().for_each(drop);
    }
}

#[test]
fn a_cluster_does_not_outlive_a_test_process_that_is_killed() {
    if !Cluster::available() {
        return;
    }
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "--nocapture", "cluster::hold_a_cluster_until_killed"]).env(HOLD, "1");
    let mut process = test.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = { lines }.find(|line| line.starts_with("holds ")).unwrap();
    let [_, postmaster, directory] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
    let postmaster = postmaster.parse().unwrap();
    assert!(is_running(postmaster) && Path::new(directory).exists());

    // With SIGKILL: nothing in that process can tidy up.
    process.kill().unwrap();
    process.wait().unwrap();
    // The directory goes last.
    let end = Instant::now() + Duration::from_mins(1);
    while Path::new(directory).exists() {
        assert!(Instant::now() < end, "{directory} is left behind");
        std::thread::yield_now();
    }
    assert!(!is_running(postmaster));
}
