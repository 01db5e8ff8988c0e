//! The JWKS endpoint of a provider: a small HTTP server that answers as it is told, and counts what it is asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// How long a test waits for a request before it fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// What a request gets.
#[derive(Clone, Debug)]
pub enum Answer {
    /// With this body.
    Body(String),
    /// With this body and `cache-control`.
    Cached(String, &'static str),
    /// With this status and a body that nobody should read.
    Status(u16, String),
    /// Never: the connection stays open.
    Hang,
    /// With a head that promises more than comes.
    BreakOff(String),
    /// With nothing.
    Reset,
}

/// A provider that is listened for.
pub struct JwksServer {
    pub port: u16,
    answer: Arc<Mutex<Answer>>,
    asked: watch::Sender<usize>,
}

impl JwksServer {
    pub async fn start(answer: Answer) -> Self {
        Self::start_with(None, answer).await
    }

    pub async fn start_with(tls: Option<TlsAcceptor>, answer: Answer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let asked = watch::Sender::new(0);
        let server = Self { port, answer: Arc::clone(&answer), asked: asked.clone() };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, asked, tls) = (Arc::clone(&answer), asked.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &answer, &asked).await;
                            }
                        }
                        None => serve(stream, &answer, &asked).await,
                    }
                });
            }
        });
        server
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/keys?v=1", self.port)
    }

    /// Answers in another way from now on.
    pub fn answers(&self, answer: Answer) {
        *self.answer.lock().unwrap() = answer;
    }

    /// How often it was asked.
    pub fn asked(&self) -> usize {
        *self.asked.borrow()
    }

    /// Waits until it was asked so often.
    pub async fn until_asked(&self, count: usize) {
        let mut asked = self.asked.subscribe();
        let waited = tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked >= count)).await;
        assert!(waited.is_ok(), "asked {} times, and {count} were expected", self.asked());
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Mutex<Answer>,
    asked: &watch::Sender<usize>,
) {
    let mut bytes = Vec::new();
    while !bytes.windows(4).any(|four| four == b"\r\n\r\n") {
        let mut more = [0; 4 << 10];
        match stream.read(&mut more).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&more[..count]),
            Ok(0) | Err(_) => return,
        }
    }
    let line = String::from_utf8_lossy(&bytes);
    assert!(line.starts_with("GET /keys?v=1 HTTP/1.1\r\n"), "{line}");
    asked.send_modify(|asked| *asked += 1);
    let reply = answer.lock().unwrap().clone();
    let head = |status: u16, more: &str, length: usize| {
        format!("HTTP/1.1 {status} .\r\n{more}content-length: {length}\r\n\r\n")
    };
    let text = match reply {
        Answer::Body(body) => head(200, "content-type: application/json\r\n", body.len()) + &body,
        Answer::Cached(body, control) => {
            head(200, &format!("cache-control: {control}\r\n"), body.len()) + &body
        }
        Answer::Status(status, body) => head(status, "location: /keys?v=1\r\n", body.len()) + &body,
        Answer::BreakOff(body) => head(200, "", body.len() + 100) + &body,
        Answer::Hang => {
            // Until the other end has had enough.
            let _ = stream.read(&mut [0; 16]).await;
            return;
        }
        Answer::Reset => return,
    };
    let _ = stream.write_all(text.as_bytes()).await;
    let _ = stream.shutdown().await;
}
