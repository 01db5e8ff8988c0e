//! Hands messages to an SMTP server, one after the other over one connection, which is opened again after it broke.
//!
//! lettre's own transport does not report at which command a server refused, and here it matters. A refusal of the
//! recipient or the message concerns one customer; any earlier refusal concerns all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lettre::address::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, Certificate, CertificateStore, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use tokio::sync::Mutex;

use crate::clock::Clock;
use crate::delivery::transport::{Consequence, SendFailure, cut};
use crate::hidden::Hidden;
use crate::ledger::Timestamp;

/// How long all messages wait after the server could not be used.
const SERVER_WAIT_SECONDS: i64 = 5;
/// "Service not available": the server is about to close the connection.
const CLOSING: u16 = 421;

/// How the connection is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte on.
    Implicit,
    /// By STARTTLS before any mail command; a server without it is not used.
    StartTls,
    /// Not at all.
    None,
}

#[derive(Clone, Debug)]
pub struct SmtpSettings {
    /// The server's name or address, which its certificate must be for.
    pub host: String,
    pub port: u16,
    pub tls: Tls,
    /// Certificates in PEM of the authorities to trust instead of those that browsers trust.
    pub authorities: Option<Vec<u8>>,
    /// User and password, where the server wants them.
    pub credentials: Option<(Hidden<String>, Hidden<String>)>,
    /// The name by which this client greets the server.
    pub hello: String,
    /// How long one message may take, the connection included.
    pub timeout: Duration,
}

pub struct Smtp {
    host: String,
    port: u16,
    mode: Tls,
    tls: Option<TlsParameters>,
    credentials: Option<Credentials>,
    hello: ClientId,
    timeout: Duration,
    clock: Arc<dyn Clock>,
    /// The connection while it is idle. A user takes it out, so a connection whose use was cut off is not used again.
    idle: Mutex<Option<AsyncSmtpConnection>>,
    /// Whether the server could not be used the last time. Only a change of this is logged.
    is_down: AtomicBool,
}

impl std::fmt::Debug for Smtp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Smtp").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl Smtp {
    /// Connects only when there is something to send. The error says in words why TLS cannot be used with these
    /// settings.
    pub fn new(settings: SmtpSettings, clock: Arc<dyn Clock>) -> Result<Self, String> {
        let SmtpSettings { host, port, tls: mode, authorities, credentials, hello, timeout } = settings;
        let tls = match mode {
            Tls::None => None,
            Tls::Implicit | Tls::StartTls => Some(parameters(&host, authorities.as_deref())?),
        };
        let credentials = credentials
            .map(|(user, password)| Credentials::new(user.reveal().clone(), password.reveal().clone()));
        let (idle, is_down) = (Mutex::default(), AtomicBool::new(false));
        let hello = ClientId::Domain(hello);
        Ok(Self { host, port, mode, tls, credentials, hello, timeout, clock, idle, is_down })
    }

    /// Connects as for a message, and sends none. It has no time-out of its own: callers bound the time.
    ///
    /// # Errors
    /// Why the server cannot be used, as a text for people.
    pub async fn probe(&self) -> Result<(), String> {
        let mut connection = self.connect().await.map_err(|error| error.to_string())?;
        if !connection.test_connected().await {
            return Err("it closes the connection at once".to_owned());
        }
        // It is of no use any more, whatever the server says.
        let _ = connection.quit().await;
        Ok(())
    }

    /// Sends a message, once those before it are through.
    pub(super) async fn send(&self, from: &Address, to: &Address, message: &[u8]) -> Result<(), SendFailure> {
        let mut idle = self.idle.lock().await;
        let kept = idle.take();
        let micros = i64::try_from(self.timeout.as_micros()).unwrap_or(i64::MAX);
        let until = Timestamp::from_micros(self.clock.now().micros().saturating_add(micros));
        let sent = tokio::select! {
            sent = self.converse(kept, from, to, message) => sent,
            () = self.clock.sleep_until(until) => {
                Err(Refusal::Server { status: 0, error: format!("no answer within {} ms", self.timeout.as_millis()) })
            }
        };
        let outcome = match sent {
            Ok((connection, outcome)) => {
                *idle = connection;
                outcome
            }
            Err(refusal) => Err(refusal),
        };
        let is_down = matches!(outcome, Err(Refusal::Server { .. }));
        let was_down = self.is_down.swap(is_down, Ordering::Relaxed);
        match &outcome {
            Err(Refusal::Server { error, .. }) if !was_down => {
                tracing::warn!(host = %self.host, error = %cut(error), "e-mail cannot be handed over; it is tried again");
            }
            Ok(()) | Err(Refusal::Message { .. }) if was_down => {
                tracing::info!(host = %self.host, "e-mail can be handed over again");
            }
            Ok(()) | Err(_) => {}
        }
        outcome.map_err(SendFailure::from)
    }

    /// Sends one message over the kept connection or a new one. Returns the connection if it can be used again.
    async fn converse(
        &self,
        kept: Option<AsyncSmtpConnection>,
        from: &Address,
        to: &Address,
        message: &[u8],
    ) -> Result<(Option<AsyncSmtpConnection>, Result<(), Refusal>), Refusal> {
        let mut connection = match kept {
            Some(mut kept) => {
                // The server may have closed it by now; that is no failure.
                if kept.test_connected().await {
                    kept
                } else {
                    self.connect().await.map_err(|error| Refusal::server(&error))?
                }
            }
            None => self.connect().await.map_err(|error| Refusal::server(&error))?,
        };
        let mut parameters = Vec::new();
        // The bodies are encoded as ASCII, but the local parts of addresses may be beyond it.
        if !to.to_string().is_ascii() || !from.to_string().is_ascii() {
            if !connection.server_info().supports_feature(Extension::SmtpUtfEight) {
                let error = "the mail server takes no addresses beyond ASCII (SMTPUTF8)".to_owned();
                return Ok((Some(connection), Err(Refusal::Message { status: 0, error, is_final: true })));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        connection
            .command(Mail::new(Some(from.clone()), parameters))
            .await
            .map_err(|error| Refusal::server(&error))?;
        let outcome = match connection.command(Rcpt::new(to.clone(), Vec::new())).await {
            Ok(_) => match connection.command(Data).await {
                Ok(_) => connection.message(message).await,
                Err(error) => Err(error),
            },
            Err(error) => Err(error),
        };
        let outcome = outcome.map(drop).map_err(|error| Refusal::message(&error));
        match &outcome {
            Ok(()) => Ok((Some(connection), outcome)),
            // RSET drops the message that was begun, so that the next one begins anew.
            Err(Refusal::Message { .. }) => {
                let can_go_on = connection.command(Rset).await.is_ok();
                Ok((can_go_on.then_some(connection), outcome))
            }
            Err(Refusal::Server { .. }) => Ok((None, outcome)),
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, Error> {
        let address = (self.host.as_str(), self.port);
        let implicit = self.tls.clone().filter(|_| self.mode == Tls::Implicit);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(address, Some(self.timeout), &self.hello, implicit, None)
                .await?;
        if let Some(tls) = self.tls.clone().filter(|_| self.mode == Tls::StartTls) {
            connection.starttls(tls, &self.hello).await?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await?;
        }
        Ok(connection)
    }
}

fn parameters(host: &str, authorities: Option<&[u8]>) -> Result<TlsParameters, String> {
    let mut builder = TlsParameters::builder(host.to_owned());
    builder = match authorities {
        None => builder.certificate_store(CertificateStore::WebpkiRoots),
        Some(pem) => {
            // An empty list parses without an error, and then no server is trusted.
            let has_one = pem.windows(27).any(|bytes| bytes == b"-----BEGIN CERTIFICATE-----");
            let certificates = Certificate::from_pem(pem).ok().filter(|_| has_one);
            let certificates = certificates.ok_or("must name a file of certificates in PEM")?;
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificates)
        }
    };
    builder.build_rustls().map_err(|error| format!("cannot be used for TLS: {error}"))
}

/// Why a message was not taken.
enum Refusal {
    /// The server cannot be used now, for any message.
    Server { status: u16, error: String },
    /// The server does not take this message.
    Message { status: u16, error: String, is_final: bool },
}

impl Refusal {
    fn server(error: &Error) -> Self {
        Self::Server { status: status(error), error: error.to_string() }
    }

    /// For errors after the server took the sender: a code concerns this message, and anything else the connection.
    fn message(error: &Error) -> Self {
        match status(error) {
            0 | CLOSING => Self::server(error),
            status => Self::Message { status, error: error.to_string(), is_final: error.is_permanent() },
        }
    }
}

impl From<Refusal> for SendFailure {
    fn from(refusal: Refusal) -> Self {
        let (status, error, retry_after, consequence) = match refusal {
            Refusal::Server { status, error } => {
                (status, error, Some(SERVER_WAIT_SECONDS), Consequence::TryAgain)
            }
            Refusal::Message { status, error, is_final: true } => (status, error, None, Consequence::GiveUp),
            Refusal::Message { status, error, is_final: false } => {
                (status, error, None, Consequence::TryAgain)
            }
        };
        Self { status, error: cut(&error), retry_after, consequence }
    }
}

/// The code of the answer; 0 without one.
fn status(error: &Error) -> u16 {
    error.status().and_then(|code| code.to_string().parse().ok()).unwrap_or(0)
}
