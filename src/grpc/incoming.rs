//! Accepts connections: as many as may be open, and none that stays silent from the start.
//!
//! # What it is
//! A task that accepts the connections of one listener. Each one holds a place until it is closed.
//!
//! # Failure
//! Out of descriptors or memory, accepting pauses for a moment and goes on: the connections wait in the system's queue.
//! A connection beyond the limit is closed at once. Both are logged at most once a second, with a count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::server::TcpIncoming;

use super::connection::{Connection, Patience};

/// How long accepting pauses after a failure of the system.
const PAUSE: Duration = Duration::from_millis(100);
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What connections may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub connections_max: usize,
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
pub fn connections(listener: TcpListener, bounds: Bounds) -> ReceiverStream<std::io::Result<Connection>> {
    let (sink, source) = mpsc::channel(1);
    let incoming =
        TcpIncoming::from(listener).with_nodelay(Some(true)).with_keepalive(Some(bounds.keepalive));
    tokio::spawn(accept(incoming, bounds, sink));
    ReceiverStream::new(source)
}

async fn accept(mut incoming: TcpIncoming, bounds: Bounds, sink: mpsc::Sender<std::io::Result<Connection>>) {
    let places = Arc::new(Semaphore::new(bounds.connections_max));
    let (mut failures, mut refusals) = (Seldom::default(), Seldom::default());
    loop {
        let accepted = tokio::select! {
            accepted = incoming.next() => accepted,
            () = sink.closed() => return,
        };
        match accepted {
            None => return,
            Some(Ok(socket)) => match Arc::clone(&places).try_acquire_owned() {
                Ok(place) => {
                    let connection = Connection::new(socket, bounds.patience, place);
                    if sink.send(Ok(connection)).await.is_err() {
                        return;
                    }
                }
                Err(_) => {
                    if let Some(count) = refusals.happened(Instant::now()) {
                        let max = bounds.connections_max;
                        tracing::warn!(count, max, "connections are refused: as many are open as may be");
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
