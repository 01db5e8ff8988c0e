//! A receiver of webhooks: a small HTTP server that answers as it is told, and remembers what it was sent.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// How long a test waits for messages before it fails: far longer than they ever take, but for a server's lease.
const PATIENCE: Duration = Duration::from_mins(2);

/// A message as it came.
#[derive(Clone, Debug)]
pub struct Message {
    /// The request line.
    pub line: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
    /// Whether it was answered with 2xx.
    pub taken: bool,
}

impl Message {
    pub fn id(&self) -> &str {
        &self.headers["webhook-id"]
    }

    /// True where one of its signatures is this secret's.
    pub fn is_signed_with(&self, secret: &str) -> bool {
        let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
        mac.update(format!("{}.{}.{}", self.id(), self.headers["webhook-timestamp"], self.body).as_bytes());
        let signature = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
        self.headers["webhook-signature"].split(' ').any(|one| one == signature)
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// How a message is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// With this status, and perhaps `retry-after`.
    Status(u16, Option<u32>),
    /// Never: the connection stays open.
    Hang,
    /// The connection is closed.
    Reset,
}

type Answers = Arc<Mutex<dyn FnMut(&Message) -> Reply + Send>>;

pub struct Receiver {
    pub url: String,
    pub port: u16,
    messages: Arc<Mutex<Vec<Message>>>,
    count: watch::Sender<usize>,
    answers: Arc<Mutex<Answers>>,
}

impl Receiver {
    pub async fn start(answer: impl FnMut(&Message) -> Reply + Send + 'static) -> Self {
        Self::start_with(None, answer).await
    }

    pub async fn start_with(
        tls: Option<TlsAcceptor>,
        answer: impl FnMut(&Message) -> Reply + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let messages: Arc<Mutex<Vec<Message>>> = Arc::default();
        let count = watch::Sender::new(0);
        let answers: Arc<Mutex<Answers>> = Arc::new(Mutex::new(Arc::new(Mutex::new(answer))));
        let (kept, counted, how) = (Arc::clone(&messages), count.clone(), Arc::clone(&answers));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, counted, how) = (Arc::clone(&kept), counted.clone(), Arc::clone(&how));
                let tls = tls.clone();
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &kept, &counted, &how).await;
                            }
                        }
                        None => serve(stream, &kept, &counted, &how).await,
                    }
                });
            }
        });
        Self { url: format!("http://127.0.0.1:{port}/hooks"), port, messages, count, answers }
    }

    /// Answers in another way from now on.
    pub fn answer(&self, answer: impl FnMut(&Message) -> Reply + Send + 'static) {
        *self.answers.lock().unwrap() = Arc::new(Mutex::new(answer));
    }

    pub fn messages(&self) -> Vec<Message> {
        self.messages.lock().unwrap().clone()
    }

    pub fn taken(&self) -> Vec<Message> {
        self.messages().into_iter().filter(|message| message.taken).collect()
    }

    /// Waits until what it was sent so far passes.
    pub async fn until(&self, passes: impl Fn(&[Message]) -> bool) {
        let passing = tokio::time::timeout(PATIENCE, self.passing(passes)).await;
        assert!(
            passing.is_ok(),
            "{} messages have come, and what is waited for has not",
            self.messages().len()
        );
    }

    async fn passing(&self, passes: impl Fn(&[Message]) -> bool) {
        let mut count = self.count.subscribe();
        loop {
            count.mark_unchanged();
            if passes(&self.messages.lock().unwrap()) {
                return;
            }
            count.changed().await.unwrap();
        }
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    kept: &Mutex<Vec<Message>>,
    counted: &watch::Sender<usize>,
    how: &Mutex<Answers>,
) {
    let mut bytes = Vec::new();
    loop {
        let Some((mut message, used)) = read(&mut stream, &mut bytes).await else { return };
        bytes.drain(..used);
        let answers = Arc::clone(&how.lock().unwrap());
        let reply = (answers.lock().unwrap())(&message);
        message.taken = matches!(reply, Reply::Status(200..=299, _));
        kept.lock().unwrap().push(message);
        counted.send_modify(|count| *count += 1);
        match reply {
            Reply::Status(status, retry_after) => {
                let wait = retry_after.map_or(String::new(), |wait| format!("retry-after: {wait}\r\n"));
                let location = if (300..400).contains(&status) { "location: /elsewhere\r\n" } else { "" };
                let head = format!("HTTP/1.1 {status} .\r\n{wait}{location}content-length: 2\r\n\r\nok");
                if stream.write_all(head.as_bytes()).await.is_err() {
                    return;
                }
            }
            Reply::Hang => {
                // Until the other end has had enough.
                let _ = stream.read(&mut [0; 16]).await;
                return;
            }
            Reply::Reset => return,
        }
    }
}

async fn read(stream: &mut (impl AsyncRead + Unpin), bytes: &mut Vec<u8>) -> Option<(Message, usize)> {
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n");
            let line = lines.next().unwrap().to_owned();
            let headers: BTreeMap<String, String> = lines
                .map(|line| line.split_once(": ").unwrap())
                .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
                .collect();
            let length: usize = headers["content-length"].parse().unwrap();
            let whole = end + 4 + length;
            if bytes.len() >= whole {
                let body = String::from_utf8(bytes[end + 4..whole].to_vec()).unwrap();
                return Some((Message { line, headers, body, taken: false }, whole));
            }
        }
        let mut more = vec![0; 16 << 10];
        match stream.read(&mut more).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&more[..count]),
            Ok(0) | Err(_) => return None,
        }
    }
}

/// A connection and back: lets what is on its way arrive.
pub async fn round_trip(port: u16) {
    drop(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    tokio::task::yield_now().await;
}

/// The python that has the library of the specification, where it is there.
pub fn python() -> Option<std::path::PathBuf> {
    let python = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("target/standardwebhooks/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert!(
        std::env::var_os("CREDITLEDGER_REQUIRE_STANDARDWEBHOOKS").is_none(),
        "{} is required and not there",
        python.display()
    );
    // Not println, which a passing test does not show.
    let said =
        "left out: the signatures are not checked with PyPI's standardwebhooks (.ci/run installs it)\n";
    let _ = std::io::Write::write_all(&mut std::io::stderr(), said.as_bytes());
    None
}

/// Has the library of the specification verify each message with each of its secrets; false where it is not there.
pub fn verified_by_the_library(messages: &[(Message, String)]) -> bool {
    const SCRIPT: &str = r#"
import json, sys
from datetime import datetime, timedelta, timezone
import standardwebhooks.webhooks as library
cases = json.load(sys.stdin)
for case in cases:
    class Then(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.fromtimestamp(int(case["headers"]["webhook-timestamp"]), tz)
    library.datetime = Then
    library.Webhook(case["secret"]).verify(case["body"], case["headers"])
    try:
        library.Webhook(case["secret"]).verify(case["body"] + " ", case["headers"])
    except library.WebhookVerificationError:
        continue
    raise Exception("a changed body was verified")
print(len(cases))
"#;
    let Some(python) = python() else { return false };
    let cases: Vec<serde_json::Value> = messages
        .iter()
        .map(|(message, secret)| {
            serde_json::json!({ "headers": message.headers, "body": message.body, "secret": secret })
        })
        .collect();
    let mut child = std::process::Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let input = serde_json::to_vec(&cases).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let fed = std::thread::spawn(move || std::io::Write::write_all(&mut stdin, &input));
    let output = child.wait_with_output().unwrap();
    fed.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), cases.len().to_string());
    true
}

/// TLS of a server of this name, and the certificate that its clients trust.
pub fn tls_for(name: &str) -> (TlsAcceptor, rcgen::Certificate) {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert)
}
