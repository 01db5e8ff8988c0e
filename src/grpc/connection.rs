//! A connection that gathers small writes, and that is closed when its caller is silent at the wrong moment.
//!
//! If a socket can write several buffers at once, h2 makes one system call for each DATA frame of 256 bytes or more.
//! The answers to holds and settlements are just above that, and one commit answers many calls of a connection at once.
//! If a connection claims to take one buffer at a time, h2 copies frames of up to 1,024 bytes together. It then sends
//! them with one system call.
//!
//! # Failure
//! A connection that has not said in time which protocol it speaks fails as timed out, and so does one that takes
//! nothing for too long. Later silence is not its matter: HTTP/2 has pings, and bodies have times of their own.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tonic::transport::server::{Connected, TcpConnectInfo};

/// What an HTTP/2 connection says first. hyper waits for all of it without an end of its own.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long a connection may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the start, until it is known which protocol it speaks.
    pub first_bytes: Duration,
    /// While something waits to be written to it.
    pub writing: Duration,
}

/// A TCP connection that takes one buffer at a time.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    patience: Patience,
    /// Bytes of the preface that have come, and until when the rest may come; `None` once the protocol is known.
    opening: Option<(usize, Pin<Box<Sleep>>)>,
    /// Until when something must be taken, while a write waits.
    writing: Option<Pin<Box<Sleep>>>,
    /// The connection's place among those that may be open.
    _place: OwnedSemaphorePermit,
}

impl Connection {
    pub(super) fn new(socket: TcpStream, patience: Patience, place: OwnedSemaphorePermit) -> Self {
        let opening = Some((0, Box::pin(sleep(patience.first_bytes))));
        Self { socket, patience, opening, writing: None, _place: place }
    }

    /// A write that waits may wait so long.
    fn watched<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writing = None;
            return polled;
        }
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(self.patience.writing)));
        if writing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.socket).poll_read(context, buffer);
        let Some((known, until)) = &mut self.opening else { return polled };
        if polled.is_pending() {
            return until.as_mut().poll(context).map(|()| Err(io::ErrorKind::TimedOut.into()));
        }
        let new = buffer.filled().get(before..).unwrap_or_default();
        let rest = PREFACE.get(*known..).unwrap_or_default();
        *known = known.saturating_add(new.len());
        if new.len() >= rest.len() || !rest.starts_with(new) {
            self.opening = None;
        }
        polled
    }
}

// `is_write_vectored` keeps its default, false; that is the purpose of this type.
impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watched(polled, context)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}

impl Connected for Connection {
    type ConnectInfo = TcpConnectInfo;

    fn connect_info(&self) -> TcpConnectInfo {
        self.socket.connect_info()
    }
}
