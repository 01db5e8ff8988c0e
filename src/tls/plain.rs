//! A client's connection without TLS. It notes where the server speaks another protocol: to the layers above that is a
//! broken connection, and nothing tells a person what to do.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::client::{ConnectFailure, Refusal, in_time};

/// The first byte of a TLS alert. A server that expects TLS answers what is none with an alert.
const ALERT: u8 = 0x15;

/// Connects to a host in the clear.
///
/// # Errors
/// Why nothing answers. What a server says first is noted in `refusal`.
pub async fn connect_in_the_clear(host: String, port: u16, refusal: Refusal) -> io::Result<InTheClear> {
    refusal.set(None);
    let stream = in_time(TcpStream::connect((host.as_str(), port))).await?;
    // Without it small calls wait for each other; a system that cannot do it still connects.
    let _ = stream.set_nodelay(true);
    Ok(InTheClear { stream, refusal: Some(refusal) })
}

/// What is wrong with a server that begins like this; HTTP/2 begins with a frame, whose length begins with a zero.
fn problem_of(first: u8) -> Option<&'static str> {
    match first {
        ALERT => Some("speaks TLS: say https:// instead of http://"),
        b'H' => {
            Some("speaks HTTP/1.1 and no HTTP/2, which gRPC needs: say https:// if it is meant to be by TLS")
        }
        _ => None,
    }
}

impl InTheClear {
    /// Notes what the server has begun with; only the first time counts.
    fn note(&mut self, first: Option<u8>) {
        if let Some(refusal) = self.refusal.take()
            && let Some(problem) = first.and_then(problem_of)
        {
            refusal.set(Some(ConnectFailure::lasting(problem)));
        }
    }

    /// Where writing fails, the server may have said why and closed before anything was read.
    fn after_writing<T>(&mut self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if matches!(written, Poll::Ready(Err(_))) && self.refusal.is_some() {
            let first = unread(&self.stream);
            self.note(first);
        }
        written
    }
}

/// The first byte that has come and was not read, whether or not the runtime knows of it already.
#[cfg(unix)]
fn unread(stream: &TcpStream) -> Option<u8> {
    use std::os::fd::AsFd as _;
    let socket = std::net::TcpStream::from(stream.as_fd().try_clone_to_owned().ok()?);
    let mut first = [0];
    (socket.peek(&mut first).ok()? > 0).then_some(first[0])
}

#[cfg(not(unix))]
fn unread(stream: &TcpStream) -> Option<u8> {
    let mut first = [0];
    (stream.try_read(&mut first).ok()? > 0).then_some(first[0])
}

/// A connection in the clear.
#[derive(Debug)]
pub struct InTheClear {
    stream: TcpStream,
    /// Where it is noted what the server speaks, until it has said anything.
    refusal: Option<Refusal>,
}

impl AsyncRead for InTheClear {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(context, buffer);
        if polled.is_ready() {
            self.note(buffer.filled().get(before).copied());
        }
        polled
    }
}

impl AsyncWrite for InTheClear {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.after_writing(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, buffers);
        self.after_writing(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
