//! Stands between a client and PostgreSQL, and makes commits fail as a busy or dying server does.
//!
//! It passes everything on, but counts what each message of the client has the server answer, so that it knows which
//! answer belongs to a `COMMIT` even where the client does not wait for one answer before it sends the next message.

#![allow(dead_code)] // no test binary uses everything

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

/// What happens to a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is rolled back, and the client gets SQLSTATE 40001.
    SerializationFailure,
    /// It is rolled back, and the client gets SQLSTATE 40P01.
    Deadlock,
    /// Both connections are closed before the server gets it: it did not happen, and the client cannot know.
    LostBefore,
    /// The client's connection is closed when the server has done it: it happened, and the client cannot know.
    LostAfter,
}

use Fault::{Deadlock, LostAfter, LostBefore, SerializationFailure};

/// How often what was done.
#[derive(Debug, Default)]
pub struct Counts {
    pub serialization_failures: AtomicU64,
    pub deadlocks: AtomicU64,
    pub lost_before: AtomicU64,
    pub lost_after: AtomicU64,
    /// Commits that were passed on, and their answers too.
    pub undisturbed: AtomicU64,
    /// Questions that a client waits for an answer to: a statement each, once it is prepared.
    pub round_trips: AtomicU64,
}

struct Shared {
    target: SocketAddr,
    /// Of a hundred commits, so many get a fault.
    fault_share: AtomicU32,
    /// Goes before what is drawn.
    next: Mutex<Option<Fault>>,
    random: AtomicU64,
    counts: Counts,
}

impl Shared {
    /// Splitmix64: the next of the numbers that the seed stands for.
    fn random(&self) -> u64 {
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self.random.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// What happens to the commit that is here now.
    fn draw(&self) -> Option<Fault> {
        let fault = self.next.lock().unwrap().take().or_else(|| {
            let hit = self.random() % 100 < self.fault_share.load(Ordering::Relaxed).into();
            let which = usize::try_from(self.random() % 4).unwrap();
            hit.then_some([SerializationFailure, Deadlock, LostBefore, LostAfter][which])
        });
        let count = match fault {
            Some(SerializationFailure) => &self.counts.serialization_failures,
            Some(Deadlock) => &self.counts.deadlocks,
            Some(LostBefore) => &self.counts.lost_before,
            Some(LostAfter) => &self.counts.lost_after,
            None => &self.counts.undisturbed,
        };
        count.fetch_add(1, Ordering::Relaxed);
        fault
    }
}

/// A proxy on a thread of its own, so that it works for tests of any kind. It ends with this value.
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Asks for the end of all connections. Gone only while dropping.
    cut: Option<UnboundedSender<mpsc::Sender<()>>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Starts without faults, on a free port.
    pub fn start(target: SocketAddr, seed: u64) -> Self {
        let shared = Arc::new(Shared {
            target,
            fault_share: AtomicU32::new(0),
            next: Mutex::new(None),
            random: AtomicU64::new(seed),
            counts: Counts::default(),
        });
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (cut, cuts) = unbounded_channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || runtime.block_on(accept(listener, serving, cuts)));
        Self { address, shared, cut: Some(cut), thread: Some(thread) }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Of a hundred commits from now on, so many get a fault, each kind as often as the others.
    pub fn set_fault_share(&self, percent: u32) {
        self.shared.fault_share.store(percent, Ordering::Relaxed);
    }

    /// The next commit gets this fault.
    pub fn fail_next(&self, fault: Fault) {
        *self.shared.next.lock().unwrap() = Some(fault);
    }

    pub fn counts(&self) -> &Counts {
        &self.shared.counts
    }

    /// Closes every connection, and returns when they are closed. New ones are served.
    pub fn cut_all(&self) {
        let (done, is_done) = mpsc::channel();
        self.cut.as_ref().unwrap().send(done).unwrap();
        is_done.recv().unwrap();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.cut.take());
        // A panic of the thread has been seen in what the test wanted of it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

async fn accept(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    mut cuts: UnboundedReceiver<mpsc::Sender<()>>,
) {
    let listener = TcpListener::from_std(listener).unwrap();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                connections.spawn(connection(accepted.unwrap().0, Arc::clone(&shared)));
            }
            cut = cuts.recv() => {
                connections.shutdown().await;
                let Some(done) = cut else { return };
                // A test that has panicked does not wait for it.
                let _ = done.send(());
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// What is to be done with the server's messages up to the next `ReadyForQuery`.
#[derive(Clone, Copy)]
enum Answer {
    PassOn,
    /// The answer to a rollback becomes this error.
    Fail {
        state: &'static str,
        text: &'static str,
    },
    /// The answer to a commit goes nowhere, and the connection ends.
    Lose,
}

/// What the server is still to answer.
type Answers = Mutex<VecDeque<Answer>>;

/// Ends both of its halves together. Errors end it too: without a proxy, they are connections that end.
async fn connection(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(shared.target).await else { return };
    // Else every small message waits for the one before to be acknowledged.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, mut to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let answers = Answers::default();
    let mut from_client = BufReader::new(from_client);
    let Ok(startup) = startup(&mut from_client, &mut to_client).await else { return };
    tokio::select! {
        _ = requests(startup, from_client, BufWriter::new(to_server), &answers, &shared) => {}
        _ = replies(BufReader::new(from_server), BufWriter::new(to_client), &answers) => {}
    }
}

/// Reads the message that names user and database. It has no type, and encryption may be asked for before: there is none.
async fn startup(input: &mut BufReader<OwnedReadHalf>, output: &mut OwnedWriteHalf) -> io::Result<Vec<u8>> {
    const SSL: [u8; 4] = 80_877_103_u32.to_be_bytes();
    const GSS: [u8; 4] = 80_877_104_u32.to_be_bytes();
    loop {
        let message = rest_of_message(input, Vec::new()).await?;
        if !matches!(message.get(4..8), Some(code) if code == SSL || code == GSS) {
            return Ok(message);
        }
        output.write_all(b"N").await?;
    }
}

async fn message(input: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let kind = input.read_u8().await?;
    rest_of_message(input, vec![kind]).await
}

async fn rest_of_message(input: &mut BufReader<OwnedReadHalf>, mut start: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = input.read_u32().await?;
    start.extend(length.to_be_bytes());
    let body = start.len();
    // The length counts itself.
    start.resize(body + usize::try_from(length).unwrap().saturating_sub(4), 0);
    input.read_exact(&mut start[body..]).await?;
    Ok(start)
}

/// From the client to the server, until the client has ended or is to believe that the server has.
async fn requests(
    startup: Vec<u8>,
    mut input: BufReader<OwnedReadHalf>,
    mut output: BufWriter<OwnedWriteHalf>,
    answers: &Answers,
    shared: &Shared,
) -> io::Result<()> {
    let mut message_in = startup;
    let mut answer = Some(Answer::PassOn);
    loop {
        // First, as the server may be faster than this.
        answers.lock().unwrap().extend(answer);
        let mut sent = output.write_all(&message_in).await;
        if input.buffer().is_empty() {
            sent = sent.and(output.flush().await);
        }
        if sent.is_err() {
            // What the server had to say before it went is still to be passed on, which ends this too.
            std::future::pending::<()>().await;
        }
        message_in = message(&mut input).await?;
        answer = match message_in[0] {
            b'Q' if message_in[5..] == *b"COMMIT\0" => Some(match shared.draw() {
                None => Answer::PassOn,
                Some(LostBefore) => return Ok(()),
                Some(LostAfter) => Answer::Lose,
                Some(SerializationFailure) => {
                    message_in = query("ROLLBACK");
                    Answer::Fail { state: "40001", text: "could not serialize access (a test's fault)" }
                }
                Some(Deadlock) => {
                    message_in = query("ROLLBACK");
                    Answer::Fail { state: "40P01", text: "deadlock detected (a test's fault)" }
                }
            }),
            // Query, FunctionCall and Sync: each is answered with one ReadyForQuery in the end.
            b'Q' | b'F' | b'S' => Some(Answer::PassOn),
            _ => None,
        };
        shared.counts.round_trips.fetch_add(u64::from(answer.is_some()), Ordering::Relaxed);
    }
}

/// From the server to the client, until the server has ended or the client is to believe so.
async fn replies(
    mut input: BufReader<OwnedReadHalf>,
    mut output: BufWriter<OwnedWriteHalf>,
    answers: &Answers,
) -> io::Result<()> {
    loop {
        let Ok(message) = message(&mut input).await else { return output.flush().await };
        let is_ready = message[0] == b'Z';
        // Without a question there are notices, and the last words of a server that ends.
        let front = answers.lock().unwrap().front().copied();
        match front.unwrap_or(Answer::PassOn) {
            Answer::PassOn => output.write_all(&message).await?,
            // Notifications and parameters are no answers.
            _ if matches!(message[0], b'A' | b'S') => output.write_all(&message).await?,
            _ if !is_ready => {}
            Answer::Fail { state, text } => {
                output.write_all(&error(state, text)).await?;
                output.write_all(&message).await?;
            }
            Answer::Lose => return output.flush().await,
        }
        if is_ready {
            answers.lock().unwrap().pop_front();
        }
        if input.buffer().is_empty() {
            output.flush().await?;
        }
    }
}

fn query(text: &str) -> Vec<u8> {
    framed(b'Q', format!("{text}\0").as_bytes())
}

fn error(state: &str, text: &str) -> Vec<u8> {
    framed(b'E', format!("SERROR\0VERROR\0C{state}\0M{text}\0\0").as_bytes())
}

fn framed(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len() + 4).unwrap();
    [&[kind], &length.to_be_bytes()[..], body].concat()
}
