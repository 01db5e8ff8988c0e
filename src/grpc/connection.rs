//! A connection that gathers small writes, and that is closed when its caller is silent at the wrong moment.
//!
//! # What it is
//! Three things on top of each other: the socket, which does not wait for ever to be read; TLS, where there is any; and
//! on top the connection that hyper sees.
//!
//! If a socket can write several buffers at once, h2 makes one system call for each DATA frame of 256 bytes or more.
//! The answers to holds and settlements are just above that, and one commit answers many calls of a connection at once.
//! If a connection claims to take one buffer at a time, h2 copies frames of up to 1,024 bytes together. It then sends
//! them with one system call, and by TLS in one record.
//!
//! # Failure
//! A connection that has not said in time which protocol it speaks fails as timed out, its TLS handshake included, and so
//! does one that takes nothing for too long. Later silence is not its matter: HTTP/2 has pings, and bodies have times of
//! their own.

use std::future::Future as _;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tonic::transport::server::Connected;

use super::addresses::AddressPlace;
use crate::tls::Peer;

/// What an HTTP/2 connection says first. hyper waits for all of it without an end of its own.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// What is read of a client whose handshake has failed, so that the reason reaches it.
const LAST_BYTES_MAX: u64 = 64 << 10;

/// How long a connection may be silent.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the start, until it is known which protocol it speaks.
    pub first_bytes: Duration,
    /// While something waits to be written to it.
    pub writing: Duration,
}

/// The places of a connection.
#[derive(Debug)]
pub(super) struct Places {
    /// Among all that may be open.
    pub _all: OwnedSemaphorePermit,
    /// Among those of its address.
    pub _address: AddressPlace,
}

/// A connection that was just accepted.
pub(super) struct Accepted {
    socket: Socket,
    /// Until when it must be known which protocol it speaks.
    until: Pin<Box<Sleep>>,
    places: Places,
}

/// A connection that takes one buffer at a time.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    peer: Peer,
    /// Bytes of the preface that have come, and until when the rest may come; `None` once the protocol is known.
    opening: Option<(usize, Pin<Box<Sleep>>)>,
    _places: Places,
}

#[derive(Debug)]
enum Stream {
    Plain(Socket),
    Tls(Box<TlsStream<Socket>>),
}

impl Accepted {
    pub fn new(socket: TcpStream, patience: Patience, places: Places) -> Self {
        let socket = Socket { socket, patience: patience.writing, writing: None };
        Self { socket, until: Box::pin(sleep(patience.first_bytes)), places }
    }

    pub fn address(&self) -> Option<SocketAddr> {
        self.socket.socket.peer_addr().ok()
    }

    /// A connection without TLS.
    pub fn plain(self) -> Connection {
        let peer = Peer::new(self.address(), None);
        let Self { socket, until, places } = self;
        Connection { stream: Stream::Plain(socket), peer, opening: Some((0, until)), _places: places }
    }

    /// A connection by TLS, once the handshake is done. What is left of its time is for the first bytes after it.
    ///
    /// # Errors
    /// If the handshake fails, or is not done in time.
    pub async fn secured(self, acceptor: TlsAcceptor) -> io::Result<Connection> {
        let address = self.address();
        let Self { socket, mut until, places } = self;
        let stream = tokio::select! {
            stream = handshake(socket, acceptor) => stream?,
            () = &mut until => return Err(io::ErrorKind::TimedOut.into()),
        };
        let peer = Peer::new(address, stream.get_ref().1.peer_certificates());
        let opening = Some((0, until));
        Ok(Connection { stream: Stream::Tls(Box::new(stream)), peer, opening, _places: places })
    }
}

async fn handshake(socket: Socket, acceptor: TlsAcceptor) -> io::Result<TlsStream<Socket>> {
    match acceptor.accept(socket).into_fallible().await {
        Ok(stream) => Ok(stream),
        Err((error, mut socket)) => {
            // The alert is sent. To close now, with bytes unread, would reset the connection and take the alert away.
            if socket.shutdown().await.is_ok() {
                let mut rest = socket.take(LAST_BYTES_MAX);
                let _ = tokio::io::copy(&mut rest, &mut tokio::io::sink()).await;
            }
            Err(error)
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_read(context, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        };
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
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_write(context, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_flush(context),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Stream::Plain(socket) => Pin::new(socket).poll_shutdown(context),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

/// A socket that fails where the other side takes nothing for too long.
#[derive(Debug)]
struct Socket {
    socket: TcpStream,
    /// How long a write may wait.
    patience: Duration,
    /// Until when something must be taken, while a write waits.
    writing: Option<Pin<Box<Sleep>>>,
}

impl Socket {
    /// A write that waits may wait so long.
    fn watched<T>(&mut self, polled: Poll<io::Result<T>>, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.writing = None;
            return polled;
        }
        let writing = self.writing.get_or_insert_with(|| Box::pin(sleep(self.patience)));
        if writing.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write(context, bytes);
        self.watched(polled, context)
    }

    // TLS sends the records that wait with one system call.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.socket).poll_write_vectored(context, buffers);
        self.watched(polled, context)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
