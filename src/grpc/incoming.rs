//! Accepts connections: as many as may be open, and none that stays silent from the start.
//!
//! # What it is
//! A task that accepts the connections of one listener. Each one holds a place until it is closed. A TLS handshake is a
//! task of its own, so that a slow one holds up nobody; it has the place of its connection, and the time of its first bytes.
//!
//! # Failure
//! Out of descriptors or memory, accepting pauses for a moment and goes on: the connections wait in the system's queue.
//! A connection beyond the limit of all or of its address is closed at once, and so is one whose handshake fails. Each is logged at most once a
//! second, with a count.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;

use super::addresses::Addresses;
use super::connection::{Accepted, Connection, Patience, Places};
use crate::tls;

/// How long accepting pauses after a failure of the system.
const PAUSE: Duration = Duration::from_millis(100);
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// Where a server listens, and the TLS of its connections, where they have any.
#[derive(Debug)]
pub struct Listener {
    pub tcp: TcpListener,
    pub tls: Option<tls::Current>,
}

impl From<TcpListener> for Listener {
    /// Without TLS.
    fn from(tcp: TcpListener) -> Self {
        Self { tcp, tls: None }
    }
}

/// What connections may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections_max: usize,
    pub connections_per_address_max: usize,
    pub keepalive: Duration,
    pub patience: Patience,
}

/// Counts what happens, and tells when to log it.
#[derive(Debug, Default)]
struct Seldom {
    logged: Option<Instant>,
    count: u64,
}

impl Seldom {
    /// Counts one. Gives the count since the last line, if it is time for the next one.
    fn happened(&mut self, now: Instant) -> Option<u64> {
        self.count = self.count.saturating_add(1);
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < LOG_INTERVAL) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

/// The connections of a listener, as they come. Accepting ends when the stream is dropped.
pub fn connections(listener: Listener, bounds: Bounds) -> ReceiverStream<std::io::Result<Connection>> {
    let (sink, source) = mpsc::channel(1);
    let incoming =
        TcpIncoming::from(listener.tcp).with_nodelay(Some(true)).with_keepalive(Some(bounds.keepalive));
    tokio::spawn(accept(incoming, listener.tls, bounds, sink));
    ReceiverStream::new(source)
}

type Sink = mpsc::Sender<std::io::Result<Connection>>;

async fn accept(mut incoming: TcpIncoming, tls: Option<tls::Current>, bounds: Bounds, sink: Sink) {
    let doors = Doors {
        all: Arc::new(Semaphore::new(bounds.connections_max)),
        addresses: Addresses::new(bounds.connections_per_address_max),
    };
    let failed_handshakes = Arc::new(Mutex::new(Seldom::default()));
    let (mut failures, mut refusals) = (Seldom::default(), Seldom::default());
    loop {
        let accepted = tokio::select! {
            accepted = incoming.next() => accepted,
            () = sink.closed() => return,
        };
        match accepted {
            None => return,
            Some(Ok(socket)) => match doors.places(&socket) {
                Ok(places) => {
                    let accepted = Accepted::new(socket, bounds.patience, places);
                    if let Some(tls) = &tls {
                        let acceptor = TlsAcceptor::from(Arc::clone(&tls.borrow()));
                        let failures = Arc::clone(&failed_handshakes);
                        tokio::spawn(secure(accepted, acceptor, sink.clone(), failures));
                    } else if sink.send(Ok(accepted.plain())).await.is_err() {
                        return;
                    }
                }
                Err(whose) => {
                    if let Some(count) = refusals.happened(Instant::now()) {
                        let address = socket.peer_addr().ok();
                        tracing::warn!(
                            count,
                            whose,
                            ?address,
                            "connections are refused: as many are open as may be"
                        );
                    }
                }
            },
            Some(Err(error)) => {
                if let Some(count) = failures.happened(Instant::now()) {
                    tracing::error!(%error, count, "no connection can be accepted; trying again");
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Who may come in.
struct Doors {
    all: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

impl Doors {
    /// The places of a new connection. The error is whose connections are too many.
    fn places(&self, socket: &TcpStream) -> Result<Places, &'static str> {
        let address = socket.peer_addr().ok().map(|address| address.ip());
        let of_address = self.addresses.enter(address).ok_or("of this address")?;
        let of_all = Arc::clone(&self.all).try_acquire_owned().map_err(|_| "of all")?;
        Ok(Places { _all: of_all, _address: of_address })
    }
}

/// Makes the handshake of one connection, unless the server stops meanwhile.
async fn secure(accepted: Accepted, acceptor: TlsAcceptor, sink: Sink, failures: Arc<Mutex<Seldom>>) {
    let address = accepted.address();
    let secured = tokio::select! {
        secured = accepted.secured(acceptor) => secured,
        () = sink.closed() => return,
    };
    match secured {
        // A server that stops takes no more connections.
        Ok(connection) => drop(sink.send(Ok(connection)).await),
        // So do probes that only look whether somebody listens.
        Err(error) if matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset) => {
            tracing::debug!(%error, ?address, "a caller has gone in its TLS handshake");
        }
        Err(error) => {
            let seldom = failures.lock().unwrap_or_else(PoisonError::into_inner).happened(Instant::now());
            if let Some(count) = seldom {
                tracing::warn!(%error, ?address, count, "TLS handshakes fail");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_often_is_logged_once_a_second_with_its_count() {
        let (mut seldom, start) = (Seldom::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(seldom.happened(at(0)), Some(1));
        for ms in [1, 500, 999] {
            assert_eq!(seldom.happened(at(ms)), None);
        }
        assert_eq!(seldom.happened(at(1_000)), Some(4));
        assert_eq!(seldom.happened(at(1_001)), None);
        assert_eq!(seldom.happened(at(9_000)), Some(2));
    }
}
