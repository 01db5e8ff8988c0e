//! Starts the binary in a folder of its own, and never waits for ever.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use creditledger::grpc::wire::WatchEventsRequest;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::watch_events_request::Start;
use creditledger::grpc::wire::watch_events_response::Item;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

/// Far beyond what anything here takes, on a machine that compiles at the same time.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// A folder with nothing in it, removed at the end.
pub struct Place(TempDir);

impl Place {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The URL of its database.
    pub fn url(&self) -> String {
        format!("sqlite://{}", self.path("creditledger.db").display())
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The binary, to be started here, without anything of this process's environment.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_creditledger"));
        command.args(arguments).current_dir(self.0.path()).env_clear();
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Ended {
        Running::start(self.command(arguments)).end()
    }

    /// Runs a command that must succeed, and reads its output as JSON.
    pub fn json(&self, arguments: &[&str]) -> serde_json::Value {
        let ended = self.run(arguments);
        assert!(ended.status.success(), "{arguments:?}: {}", ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }

    /// Starts a server on a free port, on the database of this place.
    pub fn serve(&self) -> Server {
        self.serve_on("127.0.0.1:0")
    }

    /// Starts a server on this address.
    pub fn serve_on(&self, listen: &str) -> Server {
        Server::start(self.command(&["serve", "--listen", listen]))
    }

    /// `verify` must find nothing.
    pub fn verify(&self) -> String {
        let ended = self.run(&["verify"]);
        assert!(ended.status.success(), "{}{}", ended.stdout, ended.stderr);
        assert!(ended.stdout.starts_with("clean: "), "{}", ended.stdout);
        ended.stdout
    }
}

/// A process that has ended.
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// It must have failed, with one line; gives that line.
    pub fn complaint(&self) -> &str {
        self.complaint_with(1)
    }

    /// The same for another exit status.
    pub fn complaint_with(&self, status: i32) -> &str {
        assert_eq!(self.status.code(), Some(status), "{}{}", self.stdout, self.stderr);
        let line = self.stderr.trim_end();
        assert!(!line.is_empty() && !line.contains('\n'), "one line is wanted: {line}");
        line
    }
}

/// A process that runs; killed when it is dropped.
pub struct Running {
    child: Child,
    stdout: Receiver<String>,
    logged: Arc<Logged>,
    logger: JoinHandle<()>,
}

/// What a process has written to its standard error so far.
#[derive(Default)]
struct Logged {
    text: Mutex<String>,
    more: Condvar,
}

impl Running {
    pub fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (lines, stdout) = channel();
        let pipe = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in pipe.lines() {
                // The test has seen enough where the receiver is gone.
                let _ = lines.send(line.unwrap());
            }
        });
        let mut pipe = BufReader::new(child.stderr.take().unwrap());
        let logged = Arc::new(Logged::default());
        let log = Arc::clone(&logged);
        let logger = std::thread::spawn(move || {
            let mut line = String::new();
            while pipe.read_line(&mut line).unwrap() > 0 {
                log.text.lock().unwrap().push_str(&std::mem::take(&mut line));
                log.more.notify_all();
            }
        });
        Self { child, stdout, logged, logger }
    }

    /// Waits until what it has logged is `enough`; false if it is not within the time.
    pub fn logs(&self, within: Duration, enough: impl Fn(&str) -> bool) -> bool {
        let text = self.logged.text.lock().unwrap();
        let waited = self.logged.more.wait_timeout_while(text, within, |text| !enough(text)).unwrap();
        !waited.1.timed_out()
    }

    /// The next line of its standard output; `None` where it has closed it.
    pub fn line(&self) -> Option<String> {
        match self.stdout.recv_timeout(PATIENCE) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Disconnected) => None,
            Err(RecvTimeoutError::Timeout) => panic!("no line within {PATIENCE:?}"),
        }
    }

    /// Sends a signal by its name, such as `TERM`.
    pub fn signal(&self, name: &str) {
        let kill = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(kill.success());
    }

    /// The CPU that it has used, in ticks of the system.
    pub fn cpu_ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        // After the name, which is in brackets: the 12th and 13th value.
        let (_, after) = stat.rsplit_once(')').unwrap();
        after.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    /// The most memory that it has had, in MiB.
    pub fn memory_mib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        peak.split_whitespace().next().unwrap().parse::<u64>().unwrap() >> 10
    }

    /// Waits until it has ended by itself.
    pub fn end(mut self) -> Ended {
        let mut stdout = String::new();
        while let Some(line) = self.line() {
            stdout.push_str(&line);
            stdout.push('\n');
        }
        let status = self.child.wait().unwrap();
        std::mem::replace(&mut self.logger, std::thread::spawn(|| {})).join().unwrap();
        let stderr = self.logged.text.lock().unwrap().clone();
        Ended { status, stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended by itself, or it ends now.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that has said where it listens.
pub struct Server {
    pub process: Running,
    /// Its three lines.
    pub said: [String; 3],
}

impl Server {
    pub fn start(command: Command) -> Self {
        let process = Running::start(command);
        match [process.line(), process.line(), process.line()] {
            [Some(what), Some(address), Some(database)] => Self { process, said: [what, address, database] },
            said => panic!("{said:?}: {}", process.end().stderr),
        }
    }

    /// Host and port.
    pub fn address(&self) -> &str {
        self.url().split_once("://").unwrap().1
    }

    pub fn url(&self) -> &str {
        self.said[1].split(' ').find(|word| word.contains("://")).unwrap()
    }

    pub async fn connect(&self) -> Channel {
        Endpoint::new(self.url().to_owned()).unwrap().connect().await.unwrap()
    }

    /// The ids of all events of these types so far; of all types where none is named.
    pub async fn event_ids(&self, types: Vec<i32>) -> BTreeSet<String> {
        let start = Some(Start::AfterPosition(0));
        let all = WatchEventsRequest { types, start, until_now: true, ..Default::default() };
        let mut client = NotificationServiceClient::new(self.connect().await);
        let mut stream = client.watch_events(all).await.unwrap().into_inner();
        let mut ids = BTreeSet::new();
        while let Some(message) = stream.message().await.unwrap() {
            if let Some(Item::Event(event)) = message.item {
                ids.insert(event.event_id);
            }
        }
        ids
    }

    /// Sends SIGTERM and waits for the end, which must be a good one.
    pub fn stop(self) -> Ended {
        self.process.signal("TERM");
        let ended = self.process.end();
        assert!(ended.status.success(), "{:?} {}", ended.status, ended.stderr);
        ended
    }
}

/// A file of incidents: so many of so many customers, overlapping, with estimates too low and too high.
pub fn incidents(count: usize, customers: usize) -> String {
    let mut text =
        "incident_id,customer_id,incident_class,estimated_minutes,worked_minutes,opened_at,closed_at\n"
            .to_owned();
    for number in 0..count {
        let customer = number * 7 % customers;
        let class = number % 5;
        let (estimated, worked) = (5 + number * 37 % 180, 1 + number * 53 % 240);
        let time = |minute: usize| {
            format!(
                "2016-{:02}-{:02}T{:02}:{:02}:00Z",
                1 + minute / 40_320,
                1 + minute / 1_440 % 28,
                minute / 60 % 24,
                minute % 60
            )
        };
        let (opened, closed) = (number * 3, number * 3 + number * 11 % 400);
        writeln!(
            text,
            "INC{number:05},customer-{customer},class-{class},{estimated},{worked},{},{}",
            time(opened),
            time(closed)
        )
        .unwrap();
    }
    text
}

/// What the incidents of a file cost at 2 credits an hour, minimum 1, calculated on its own: in hundredths.
pub fn expected_charge(csv: &str) -> u64 {
    let worked = csv.lines().skip(1).map(|line| line.split(',').nth(4).unwrap().parse::<u64>().unwrap());
    // minutes / 30 to two decimals, halves up: minutes * 100 / 30 is minutes * 10 / 3.
    worked.map(|minutes| ((minutes * 20 + 3) / 6).max(100)).sum()
}

/// Hundredths as the shortest decimal.
pub fn decimal(hundredths: u64) -> String {
    let text = format!("{}.{:02}", hundredths / 100, hundredths % 100);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The database of a place, opened with plain SQLite.
pub fn sqlite(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}
