//! A throw-away PostgreSQL for tests: a fresh database each in one server per test process, and servers to be killed.
//!
//! The server is the one of `CREDITLEDGER_TEST_POSTGRES_URL`, where the tests may create databases (which stay there),
//! or one that is made in a folder of its own from the programs of this machine and does not outlive the test process.

#![allow(dead_code)] // no test binary uses everything

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

const URL: &str = "CREDITLEDGER_TEST_POSTGRES_URL";
const REQUIRE: &str = "CREDITLEDGER_REQUIRE_POSTGRES";

const INSTALL: &str = "install it (apt-get install postgresql)";

/// Where this process's tests get their databases.
enum Source {
    Given(String),
    /// Never dropped: its end is that of the process.
    Own(Cluster),
    Missing,
}

fn source() -> &'static Source {
    static SOURCE: OnceLock<Source> = OnceLock::new();
    SOURCE.get_or_init(|| match std::env::var(URL) {
        Ok(url) if !url.is_empty() => Source::Given(url),
        _ if programs().is_some() => Source::Own(Cluster::start()),
        _ => {
            let how = format!("{INSTALL}, or set {URL} to a server's URL");
            missing("the tests on PostgreSQL", &how);
            Source::Missing
        }
    })
}

/// Says what is left out, even where the output of tests is captured; where nothing may be left out, it panics.
fn missing(what: &str, how: &str) {
    assert!(std::env::var_os(REQUIRE).is_none_or(|required| required != "1"), "no PostgreSQL is here: {how}");
    // Nobody to tell where standard error is closed.
    let _ = writeln!(std::io::stderr(), "LEFT OUT for want of PostgreSQL: {what}; to run them, {how}");
}

/// Whether there is a PostgreSQL. Where there is none and `CREDITLEDGER_REQUIRE_POSTGRES` is 1, this panics.
pub fn available() -> bool {
    !matches!(source(), Source::Missing)
}

/// Creates an empty database and gives its URL.
pub async fn database() -> String {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let number = DATABASES.fetch_add(1, Ordering::Relaxed);
    let random = getrandom::u32().unwrap();
    let name = format!("creditledger_test_{}_{number}_{random:08x}", std::process::id());
    let (server, url) = match source() {
        Source::Given(url) => (url.clone(), in_database(url, &name)),
        Source::Own(cluster) => (cluster.url("postgres"), cluster.url(&name)),
        Source::Missing => panic!("ask available() first"),
    };
    let mut connection = PgConnection::connect(&server).await.unwrap();
    let create = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C'");
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    url
}

/// Where the server of [`database`] listens, for what stands between it and a client.
pub fn tcp_address() -> SocketAddr {
    match source() {
        Source::Given(url) => {
            let options: sqlx::postgres::PgConnectOptions = url.parse().unwrap();
            let host = options.get_host();
            assert!(options.get_socket().is_none() && !host.starts_with('/'), "{URL} has no TCP address");
            (host, options.get_port()).to_socket_addrs().unwrap().next().unwrap()
        }
        Source::Own(cluster) => cluster.address(),
        Source::Missing => panic!("ask available() first"),
    }
}

/// The same database with the same user, but over TCP at this address, without TLS.
pub fn through(url: &str, address: SocketAddr) -> String {
    let (scheme, authority, path, _) = parts(url);
    let user = authority.rsplit_once('@').map_or(String::new(), |(user, _)| format!("{user}@"));
    format!("{scheme}://{user}{address}/{path}?sslmode=disable")
}

fn in_database(url: &str, database: &str) -> String {
    let (scheme, authority, _, query) = parts(url);
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{authority}/{database}{mark}{query}")
}

/// Scheme, authority, path and query of a URL.
fn parts(url: &str) -> (&str, &str, &str, &str) {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    (scheme, authority, path, query)
}

/// A server of its own, which ends with this value or with the process, however that ends.
pub struct Cluster {
    directory: PathBuf,
    port: u16,
    postmaster: u32,
    supervisor: Child,
    /// What the supervisor is to do; it tidies up and ends where this closes. Gone only while dropping.
    commands: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

/// Starts and stops the server as it is told, and takes everything away when nobody can tell it any more. PostgreSQL
/// is its child, so that it waits until that is really gone.
const SUPERVISOR: &str = r#"
programs=$1 directory=$2 data=$2/data primary=$3 postmaster=
trap '' PIPE
stop() {
    if [ -n "$postmaster" ]; then kill -QUIT "$postmaster"; wait "$postmaster"; fi
    postmaster=
}
trap 'stop; cd /; rm -rf "$directory"' EXIT
trap 'exit 1' HUP INT TERM
is_ready() {
    [ "$(sed -n 1p "$data/postmaster.pid" 2>/dev/null)" = "$postmaster" ] &&
        case $(sed -n '8s/ *$//p' "$data/postmaster.pid") in ready | standby) true ;; *) false ;; esac
}
start() {
    "$programs/postgres" -D "$data" -p "$1" -k "$directory" -c listen_addresses=127.0.0.1 \
        -c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB \
        -c dynamic_shared_memory_type=mmap -c autovacuum=on </dev/null >>"$directory/log" 2>&1 &
    postmaster=$! tries=0
    until is_ready; do
        tries=$((tries + 1))
        if [ $tries -gt 6000 ] || ! kill -0 "$postmaster" 2>/dev/null; then
            stop 2>/dev/null
            echo failed
            return
        fi
        sleep 0.02
    done
    echo "$postmaster"
}
make() {
    if [ -n "$primary" ]; then
        "$programs/pg_basebackup" -D "$data" --no-sync -R -c fast -d "$primary"
    else
        "$programs/initdb" -D "$data" --no-sync -U postgres -A trust -E UTF8 --locale=C
    fi
}
if make >"$directory/log" 2>&1; then echo made; else echo failed; fi
while read -r command port; do
    case $command in
        start) start "$port" ;;
        stop) stop; echo stopped ;;
    esac
done
"#;

impl Cluster {
    /// Whether one can be started here. Where not and `CREDITLEDGER_REQUIRE_POSTGRES` is 1, this panics.
    pub fn available() -> bool {
        static SAID: OnceLock<()> = OnceLock::new();
        let found = programs().is_some();
        // Where there is none at all, the line for all tests says so.
        if !found && available() {
            SAID.get_or_init(|| missing("the tests that start a server of their own", INSTALL));
        }
        found
    }

    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one whose processes have these variables.
    pub fn start_with(variables: &[(&str, String)]) -> Self {
        Self::made_from("", variables)
    }

    /// Starts a standby, which follows this server until it is promoted.
    pub fn standby(&self) -> Self {
        let primary = format!("host={} port={} user=postgres", self.directory.display(), self.port);
        Self::made_from(&primary, &[])
    }

    /// Makes the primary of a standby, which the other servers have to look for.
    pub async fn promote(&self) {
        let mut connection = PgConnection::connect(&self.url("postgres")).await.unwrap();
        let promoted: bool =
            sqlx::query_scalar("SELECT pg_promote(TRUE, 60)").fetch_one(&mut connection).await.unwrap();
        assert!(promoted, "{}", self.log());
    }

    /// From nothing, or as a standby of the server that this connection string names.
    fn made_from(primary: &str, variables: &[(&str, String)]) -> Self {
        let programs = programs().expect("ask available() first");
        let directory = tempfile::Builder::new().prefix("creditledger-pg-").tempdir().unwrap();
        let mut supervisor = Command::new("/bin/sh");
        supervisor.args([OsStr::new("-c"), OsStr::new(SUPERVISOR), OsStr::new("supervisor")]);
        supervisor.arg(programs).arg(directory.path()).arg(primary).current_dir(directory.path());
        supervisor.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("LC_ALL", "C");
        supervisor.envs(variables.iter().map(|(name, value)| (*name, value)));
        supervisor.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        // Ctrl-C is for the test process; the supervisor has to tidy up after it.
        supervisor.process_group(0);
        if directory.path().metadata().unwrap().uid() == 0 {
            // PostgreSQL refuses to run as root.
            let (user, group) = unprivileged();
            chown(directory.path(), Some(user), Some(group)).unwrap();
            supervisor.uid(user).gid(group);
        }
        let mut supervisor = supervisor.spawn().unwrap();
        let commands = supervisor.stdin.take();
        let answers = BufReader::new(supervisor.stdout.take().unwrap());
        // From here on it is the supervisor's to remove.
        let directory = directory.keep();
        let mut cluster = Self { directory, port: 0, postmaster: 0, supervisor, commands, answers };
        assert_eq!(cluster.answer(), "made", "initdb: {}", cluster.log());
        // Somebody else may be faster to take a port that is free.
        for _ in 0..5 {
            cluster.port = free_port();
            if cluster.try_start() {
                return cluster;
            }
        }
        panic!("PostgreSQL does not start: {}", cluster.log());
    }

    /// Kills every process of the server, as a power cut would, and waits until they are gone.
    pub fn stop_immediately(&mut self) {
        self.tell("stop");
        assert_eq!(self.answer(), "stopped", "{}", self.log());
    }

    /// Starts the server again, on the data that it had, where it listened before.
    pub fn start_again(&mut self) {
        assert!(self.try_start(), "PostgreSQL does not start again: {}", self.log());
    }

    fn try_start(&mut self) -> bool {
        self.tell(&format!("start {}", self.port));
        let answer = self.answer();
        self.postmaster = answer.parse().unwrap_or_default();
        answer != "failed"
    }

    fn tell(&mut self, command: &str) {
        writeln!(self.commands.as_mut().unwrap(), "{command}").unwrap();
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// What PostgreSQL has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_else(|error| error.to_string())
    }

    /// The URL of a database, over the Unix socket; `postgres` is always there.
    pub fn url(&self, database: &str) -> String {
        let mut host = String::new();
        for byte in self.directory.to_str().unwrap().bytes() {
            if byte.is_ascii_alphanumeric() {
                host.push(char::from(byte));
            } else {
                write!(host, "%{byte:02X}").unwrap();
            }
        }
        format!("postgres://postgres@{host}:{}/{database}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// The process id of the server.
    pub fn postmaster(&self) -> u32 {
        self.postmaster
    }

    /// Where it keeps everything; gone when all of it is gone.
    pub fn directory(&self) -> &Path {
        &self.directory
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.commands.take());
        // It ends by itself, and there is nothing to do where it has ended badly.
        let _ = self.supervisor.wait();
    }
}

/// Below what systems give to outgoing connections, so that the port is still free when the server starts again.
pub fn free_port() -> u16 {
    loop {
        let port = 15_000 + u16::try_from(getrandom::u32().unwrap() % 15_000).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

/// One of PostgreSQL's other programs.
pub fn program(name: &str) -> PathBuf {
    programs().expect("the programs of PostgreSQL are not on this machine").join(name)
}

/// The folder of `initdb` and `postgres`: in the PATH, or the newest where Debian has them.
fn programs() -> Option<&'static Path> {
    static PROGRAMS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let find = || {
        let path = std::env::var_os("PATH").unwrap_or_default();
        // PostgreSQL looks for its other files from where it really lies.
        let in_path = std::env::split_paths(&path)
            .filter_map(|folder| Some(folder.join("initdb").canonicalize().ok()?.parent()?.to_owned()))
            .find(|folder| folder.join("postgres").is_file());
        in_path.or_else(|| {
            let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten();
            let versions = versions.filter_map(|version| {
                let number: u32 = version.file_name().to_str()?.parse().ok()?;
                let folder = version.path().join("bin");
                let is_whole = folder.join("initdb").is_file() && folder.join("postgres").is_file();
                is_whole.then_some((number, folder))
            });
            versions.max().map(|(_, folder)| folder)
        })
    };
    PROGRAMS.get_or_init(find).as_deref()
}

/// The user and group `postgres`, or else `nobody`.
fn unprivileged() -> (u32, u32) {
    let users = std::fs::read_to_string("/etc/passwd").unwrap();
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut ids = line.split(':').skip(2).map(|id| id.parse().ok());
        Some((ids.next()??, ids.next()??))
    };
    find("postgres")
        .or_else(|| find("nobody"))
        .expect("PostgreSQL does not run as root, and there is nobody else")
}
