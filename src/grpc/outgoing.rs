//! The body of an answer on its way out: what waits for its reader has a bound in bytes and in time.
//!
//! # What it is
//! An answer with one message is gathered before its head is sent. A small one is then the connection's: its call is
//! over. Any other answer goes out in pieces, and keeps its call's place and its room until it ends.
//!
//! # Invariants
//! - The connection is given at most 16 KiB of an answer before it comes back for more.
//! - A reader that takes nothing for too long loses its answer: place, room and source are free then, also where the
//!   connection never asks again.
//!
//! # Failure
//! A reader that comes back after that has its stream reset.
//!
//! # Cost
//! A small answer costs two polls. Each other one has a task that looks at it a few times in the time that a reader may
//! be silent.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tonic::Status;
use tonic::body::Body;

use super::room::{Held, Room};
use super::status::Problem;

/// Bytes that the connection is given at a time.
const PIECE_BYTES: usize = 16 << 10;
/// How often a reader is looked at in the time that it may be silent.
const LOOKS: u32 = 4;

/// What a call has until its answer is gone.
pub struct Kept {
    /// Its place, and its room.
    held: Held,
    /// How long the reader may take nothing.
    silence: Duration,
}

impl Kept {
    pub fn new(held: Held, silence: Duration) -> Self {
        Self { held, silence }
    }
}

/// An answer with one message. `room` is given where a large answer may be refused, because nothing was done.
pub async fn gathered(answer: Response<Body>, kept: Kept, room: Option<&Room>) -> Response<Body> {
    let (head, mut body) = answer.into_parts();
    let (mut data, mut trailers) = (Bytes::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(piece)) if data.is_empty() => data = piece,
            Ok(Ok(piece)) => data = [data, piece].concat().into(),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
            Err(status) => return status.into_http(),
        }
    }
    let is_large = data.len() > PIECE_BYTES;
    if let Some(room) = room
        && is_large
        && !room.try_hold(&kept.held, data.len())
    {
        return Status::from(Problem::overloaded()).into_http();
    }
    let whole = Body::new(Whole { data, trailers });
    let body = if is_large { streamed(whole, kept) } else { whole };
    Response::from_parts(head, body)
}

/// An answer that keeps what it has until it ends, or until its reader is silent for too long.
pub fn streamed(body: Body, kept: Kept) -> Body {
    let pause = kept.silence / LOOKS;
    let source = Source { body, rest: Bytes::new(), kept, since: Some(Instant::now()) };
    let source = Arc::new(Mutex::new(Some(source)));
    tokio::spawn(watch(Arc::downgrade(&source), pause));
    Body::new(Outgoing(source))
}

/// Takes the source away from a reader that is silent for too long.
async fn watch(source: Weak<Mutex<Option<Source>>>, pause: Duration) {
    loop {
        tokio::time::sleep(pause).await;
        let Some(source) = source.upgrade() else { return };
        let mut source = source.lock().unwrap_or_else(PoisonError::into_inner);
        if source.as_ref().is_none_or(|source| source.is_forgotten()) {
            *source = None;
            return;
        }
    }
}

/// A message and its trailers.
struct Whole {
    data: Bytes,
    trailers: Option<HeaderMap>,
}

impl hyper::body::Body for Whole {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let data = std::mem::take(&mut self.data);
        if !data.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_empty() && self.trailers.is_none()
    }
}

struct Source {
    body: Body,
    /// What of the last frame is not handed out.
    rest: Bytes,
    kept: Kept,
    /// Since when the connection has not come for more; `None` while it waits for us.
    since: Option<Instant>,
}

impl Source {
    fn is_forgotten(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > self.kept.silence)
    }

    /// Copied, so that what is on its way does not keep the rest.
    fn piece(&mut self) -> Bytes {
        if self.rest.len() <= PIECE_BYTES {
            return std::mem::take(&mut self.rest);
        }
        let piece = Bytes::copy_from_slice(self.rest.get(..PIECE_BYTES).unwrap_or_default());
        self.rest.advance(piece.len());
        piece
    }
}

struct Outgoing(Arc<Mutex<Option<Source>>>);

impl hyper::body::Body for Outgoing {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let mut source = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = &mut *source else {
            return Poll::Ready(Some(Err(Problem::caller_stalled().into())));
        };
        source.since = None;
        if source.rest.is_empty() {
            let frame = match std::task::ready!(Pin::new(&mut source.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                Some(Err(status)) => return Poll::Ready(Some(Err(status))),
                None => return Poll::Ready(None),
            };
            source.since = Some(Instant::now());
            match frame.into_data() {
                Ok(data) => source.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        source.since = Some(Instant::now());
        let piece = source.piece();
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }
}
