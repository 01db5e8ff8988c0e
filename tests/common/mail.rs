//! A mail server: it speaks as much SMTP as a client needs, answers as it is told, and remembers what it was handed; and a
//! reader of messages that knows nothing of what wrote them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How long a test waits for mail before it fails.
const PATIENCE: Duration = Duration::from_mins(2);

/// Where in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connect,
    Auth,
    Sender,
    Recipient,
    Data,
    Message,
}

/// How a command is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    Ok,
    Code(u16),
    /// Never: the connection stays open.
    Hang,
    /// The connection is closed.
    Reset,
}

/// How the server's connections are encrypted.
#[derive(Clone)]
pub enum Mode {
    Plain,
    StartTls(TlsAcceptor),
    Implicit(TlsAcceptor),
}

/// A message that was taken.
#[derive(Clone, Debug)]
pub struct Mail {
    pub from: String,
    pub to: String,
    pub raw: String,
    pub is_encrypted: bool,
    /// User and password.
    pub credentials: Option<(String, String)>,
    /// By which connection it came, from 1.
    pub connection: usize,
}

type Answers = Arc<Mutex<dyn FnMut(Stage, &str) -> Reply + Send>>;

struct Shared {
    mode: Mode,
    utf8: bool,
    answers: Mutex<Answers>,
    taken: Mutex<Vec<Mail>>,
    /// Stages that were come to, with the recipient.
    seen: Mutex<Vec<(Stage, String)>>,
    /// Conversations in the middle of a message in which it is the client's turn.
    clients_turn: watch::Sender<usize>,
    count: watch::Sender<usize>,
}

/// While it is there, it is a client's turn to say something.
struct ClientsTurn<'a>(&'a Shared);

impl<'a> ClientsTurn<'a> {
    fn begins(shared: &'a Shared) -> Self {
        shared.clients_turn.send_modify(|turns| *turns += 1);
        Self(shared)
    }
}

impl Drop for ClientsTurn<'_> {
    fn drop(&mut self) {
        self.0.clients_turn.send_modify(|turns| *turns -= 1);
    }
}

pub struct MailServer {
    pub port: u16,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl MailServer {
    /// Answers each command with what `answer` says to it; it is told the recipient as far as that is known.
    pub async fn start(mode: Mode, answer: impl FnMut(Stage, &str) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self::on(listener, mode, false, answer)
    }

    pub fn on(
        listener: TcpListener,
        mode: Mode,
        utf8: bool,
        answer: impl FnMut(Stage, &str) -> Reply + Send + 'static,
    ) -> Self {
        let port = listener.local_addr().unwrap().port();
        let answers: Answers = Arc::new(Mutex::new(answer));
        let shared = Arc::new(Shared {
            mode,
            utf8,
            answers: Mutex::new(answers),
            taken: Mutex::default(),
            seen: Mutex::default(),
            clients_turn: watch::Sender::new(0),
            count: watch::Sender::new(0),
        });
        let served = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut open = tokio::task::JoinSet::new();
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                let shared = Arc::clone(&served);
                open.spawn(async move { accept(stream, &shared, connection).await });
            }
        });
        Self { port, shared, task }
    }

    /// Answers in another way from now on.
    pub fn answer(&self, answer: impl FnMut(Stage, &str) -> Reply + Send + 'static) {
        *self.shared.answers.lock().unwrap() = Arc::new(Mutex::new(answer));
    }

    pub fn taken(&self) -> Vec<Mail> {
        self.shared.taken.lock().unwrap().clone()
    }

    /// How often a stage was come to for this recipient; for any with an empty one.
    pub fn seen(&self, stage: Stage, to: &str) -> usize {
        let seen = self.shared.seen.lock().unwrap();
        seen.iter().filter(|(at, of)| *at == stage && (to.is_empty() || of == to)).count()
    }

    /// Waits until no client is about to say something: time that passes before is time that it did not have. Whoever keeps
    /// it waiting for long does so for a reason.
    pub async fn clients_have_spoken(&self) {
        let mut turns = self.shared.clients_turn.subscribe();
        let _ = tokio::time::timeout(Duration::from_secs(1), turns.wait_for(|turns| *turns == 0)).await;
    }

    /// Waits until what it has seen and taken passes.
    pub async fn until(&self, passes: impl Fn(&Self) -> bool) {
        let passing = async {
            let mut count = self.shared.count.subscribe();
            loop {
                count.mark_unchanged();
                if passes(self) {
                    return;
                }
                count.changed().await.unwrap();
            }
        };
        let passed = tokio::time::timeout(PATIENCE, passing).await;
        assert!(passed.is_ok(), "{:?} was taken, {:?} seen", self.taken(), self.shared.seen.lock().unwrap());
    }
}

impl Shared {
    fn reply(&self, stage: Stage, to: &str) -> Reply {
        let answers = Arc::clone(&self.answers.lock().unwrap());
        let reply = (answers.lock().unwrap())(stage, to);
        self.seen.lock().unwrap().push((stage, to.to_owned()));
        self.count.send_modify(|count| *count += 1);
        reply
    }
}

async fn accept(stream: TcpStream, shared: &Shared, connection: usize) {
    match &shared.mode {
        Mode::Plain => {
            talk(BufReader::new(stream), shared, connection, None, true).await;
        }
        Mode::Implicit(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                talk(BufReader::new(stream), shared, connection, None, true).await;
            }
        }
        Mode::StartTls(tls) => {
            let upgraded = talk(BufReader::new(stream), shared, connection, Some(tls), true).await;
            if let Some(stream) = upgraded
                && let Ok(stream) = tls.accept(stream).await
            {
                talk(BufReader::new(stream), shared, connection, None, false).await;
            }
        }
    }
}

/// Says its part, and tells whether it was a good one; nothing where the connection ends.
async fn say(stream: &mut (impl AsyncWrite + Unpin), reply: Reply, good: &str) -> Option<bool> {
    let line = match reply {
        Reply::Ok => format!("{good}\r\n"),
        Reply::Code(code) => format!("{code} as the test wants it\r\n"),
        Reply::Hang => std::future::pending().await,
        Reply::Reset => return None,
    };
    stream.write_all(line.as_bytes()).await.ok()?;
    Some(reply == Reply::Ok)
}

/// One conversation; gives the stream where the client wants STARTTLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: BufReader<S>,
    shared: &Shared,
    connection: usize,
    starttls: Option<&TlsAcceptor>,
    greets: bool,
) -> Option<S> {
    let is_encrypted = !matches!(shared.mode, Mode::Plain);
    let greeted =
        !greets || say(&mut stream, shared.reply(Stage::Connect, ""), "220 mail.test ESMTP").await?;
    let (mut from, mut to) = (String::new(), String::new());
    let mut credentials = None;
    let mut turn = greeted.then(|| ClientsTurn::begins(shared));
    loop {
        let line = line(&mut stream).await?;
        drop(turn.take());
        let verb = line.split([' ', ':']).next().unwrap().to_ascii_uppercase();
        let is_good = match verb.as_str() {
            "EHLO" => {
                let utf8 = if shared.utf8 { "250-SMTPUTF8\r\n" } else { "" };
                let tls = if starttls.is_some() { "250-STARTTLS\r\n" } else { "" };
                say(&mut stream, Reply::Ok, &format!("250-mail.test\r\n{utf8}{tls}250 AUTH PLAIN LOGIN"))
                    .await
            }
            "STARTTLS" if starttls.is_some() => {
                say(&mut stream, Reply::Ok, "220 go ahead").await;
                assert!(stream.buffer().is_empty(), "nothing is said before the handshake");
                return Some(stream.into_inner());
            }
            "AUTH" => {
                let given = STANDARD.decode(line.strip_prefix("AUTH PLAIN ").unwrap()).unwrap();
                let given = String::from_utf8(given).unwrap();
                let [_, user, password] = given.split('\0').collect::<Vec<_>>()[..] else {
                    panic!("{given:?}")
                };
                credentials = Some((user.to_owned(), password.to_owned()));
                say(&mut stream, shared.reply(Stage::Auth, ""), "235 welcome").await
            }
            "MAIL" => {
                from = address(&line);
                say(&mut stream, shared.reply(Stage::Sender, ""), "250 ok").await
            }
            "RCPT" => {
                to = address(&line);
                say(&mut stream, shared.reply(Stage::Recipient, &to), "250 ok").await
            }
            "DATA" => {
                let reply = shared.reply(Stage::Data, &to);
                if reply == Reply::Ok {
                    say(&mut stream, reply, "354 go ahead").await;
                    let turn = ClientsTurn::begins(shared);
                    let raw = data(&mut stream, shared.utf8).await?;
                    drop(turn);
                    let reply = shared.reply(Stage::Message, &to);
                    if reply == Reply::Ok {
                        let (from, to, credentials) = (from.clone(), to.clone(), credentials.clone());
                        let mail = Mail { from, to, raw, is_encrypted, credentials, connection };
                        shared.taken.lock().unwrap().push(mail);
                        shared.count.send_modify(|count| *count += 1);
                    }
                    say(&mut stream, reply, "250 taken").await
                } else {
                    say(&mut stream, reply, "").await
                }
            }
            "NOOP" | "RSET" => say(&mut stream, Reply::Ok, "250 ok").await,
            "QUIT" => return None,
            _ => say(&mut stream, Reply::Code(502), "").await,
        };
        // After a message, and after what ends one, a connection may rest.
        let goes_on = is_good? && matches!(verb.as_str(), "EHLO" | "AUTH" | "MAIL" | "RCPT");
        turn = goes_on.then(|| ClientsTurn::begins(shared));
    }
}

async fn line(stream: &mut (impl AsyncBufReadExt + Unpin)) -> Option<String> {
    let mut line = String::new();
    let count = stream.read_line(&mut line).await.ok()?;
    (count > 0).then(|| line.strip_suffix("\r\n").expect("commands end with CR LF").to_owned())
}

/// What stands between the angle brackets.
fn address(line: &str) -> String {
    let start = line.find('<').unwrap() + 1;
    line[start..].split('>').next().unwrap().to_owned()
}

async fn data(stream: &mut (impl AsyncBufReadExt + Unpin), utf8: bool) -> Option<String> {
    let mut raw = String::new();
    loop {
        let line = line(stream).await?;
        if line == "." {
            return Some(raw);
        }
        assert!(line.len() <= 998 && (utf8 || line.is_ascii()), "not a line of a message: {line:?}");
        raw.push_str(line.strip_prefix('.').unwrap_or(&line));
        raw.push_str("\r\n");
    }
}

/// A message as a mail program shows it.
#[derive(Clone, Debug)]
pub struct Shown {
    /// By lower-case name, decoded; each once.
    pub headers: BTreeMap<String, String>,
    pub text: String,
    pub html: String,
}

impl Mail {
    pub fn shown(&self) -> Shown {
        let (headers, body) = part(&self.raw);
        let kind = &headers["content-type"];
        assert!(kind.starts_with("multipart/alternative"), "{kind}");
        let boundary = kind.split("boundary=\"").nth(1).unwrap().split('"').next().unwrap();
        let between = format!("--{boundary}");
        let mut parts = body.split(&between).skip(1);
        let mut bodies = Vec::new();
        for expected in ["text/plain", "text/html"] {
            let (headers, body) = part(parts.next().unwrap().strip_prefix("\r\n").unwrap());
            assert_eq!(headers["content-type"], format!("{expected}; charset=utf-8"));
            let body = body.strip_suffix("\r\n").unwrap();
            let encoding = headers.get("content-transfer-encoding").map_or("7bit", String::as_str);
            bodies.push(decoded_body(encoding, body).replace("\r\n", "\n"));
        }
        assert_eq!(parts.next().unwrap().trim(), "--");
        assert_eq!(parts.next(), None);
        let html = bodies.pop().unwrap();
        Shown { headers, text: bodies.pop().unwrap(), html }
    }

    /// The event's id, which the message's id is made of.
    pub fn event_id(&self) -> String {
        let id = &self.shown().headers["message-id"];
        id.strip_prefix('<').unwrap().split('@').next().unwrap().to_owned()
    }
}

fn part(text: &str) -> (BTreeMap<String, String>, &str) {
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let mut headers = BTreeMap::new();
    for line in head.replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n") {
        let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("no header: {line:?}"));
        let before = headers.insert(name.to_ascii_lowercase(), decoded_words(value));
        assert_eq!(before, None, "{name} stands twice");
    }
    (headers, body)
}

/// RFC 2047: encoded words, between which a space does not count.
fn decoded_words(value: &str) -> String {
    let mut out = String::new();
    let mut was_encoded = false;
    for word in value.split(' ') {
        let inner = word.strip_prefix("=?utf-8?b?").and_then(|word| word.split_once("?="));
        let Some((inner, rest)) = inner else {
            if !out.is_empty() {
                out.push(' ');
            }
            out.push_str(word);
            was_encoded = false;
            continue;
        };
        if !out.is_empty() && !was_encoded {
            out.push(' ');
        }
        out.push_str(&String::from_utf8(STANDARD.decode(inner).unwrap()).unwrap());
        out.push_str(rest);
        was_encoded = true;
    }
    out
}

fn decoded_body(encoding: &str, body: &str) -> String {
    match encoding {
        "7bit" => body.to_owned(),
        "base64" => String::from_utf8(STANDARD.decode(body.replace("\r\n", "")).unwrap()).unwrap(),
        "quoted-printable" => {
            let joined = body.replace("=\r\n", "");
            let (mut bytes, mut rest) = (Vec::new(), joined.bytes());
            while let Some(byte) = rest.next() {
                if byte == b'=' {
                    let hex = [rest.next().unwrap(), rest.next().unwrap()];
                    bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                } else {
                    bytes.push(byte);
                }
            }
            String::from_utf8(bytes).unwrap()
        }
        other => panic!("unknown encoding {other}"),
    }
}
