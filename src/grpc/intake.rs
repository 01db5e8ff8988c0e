//! The body of a request on its way in: each message is unpacked, weighed and given room before tonic decodes it.
//!
//! # What it is
//! A body around the body of each call. It gathers one message at a time, with room for what has arrived. It unpacks the
//! message if it is compressed, weighs it by the type that the method takes, and takes room for what it becomes. Calls
//! of gRPC, gRPC-Web and Connect all pass here, and so does each message of a stream of requests.
//!
//! # Invariants
//! - A message is decoded only once there is room for its bytes and for what it becomes.
//! - A message that arrives takes room for what has come of it, and until it is complete no place of the few for batches.
//! - The bytes of a message count for its caller once its length is known, before there is room for more of them. What it
//!   is unpacked to counts too. A single message that is over the limit is refused; a stream of them is read later.
//! - The room is held until the call is answered, or until the next message of a stream has its own.
//! - A sender that is silent, or slower than 32 KiB a second, is cut off. Its room is free then.
//!
//! # Failure
//! A message beyond its bound is MESSAGE_TOO_LARGE. A sender that is cut off gets CALLER_STALLED. Where there is no room
//! the answer is OVERLOADED, and where the caller has sent too many bytes it is RATE_LIMITED. In each case the message was not decoded, and nothing was done.
//!
//! # Cost
//! A message that is there in one piece is passed on as it is. It costs one pass over its bytes and one permit.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::body::Frame;
use tokio::sync::Semaphore;
use tonic::Status;
use tonic::body::Body;
use tonic_health::pb::health_server;

use super::called::Called;
use super::gzip;
use super::json::Place;
use super::methods::{Method, Methods, Shape};
use super::room::{Held, Room};
use super::status::Problem;
use super::wire::batch_service_server;
use crate::access::{Allowance, Counts, Over};

/// What a message may take once it is decoded, as a multiple of the bytes that it may have. 10,000 commands with 32 pairs
/// of metadata each need five times the bytes of a batch.
const WEIGHT_FACTOR: usize = 6;
/// Buffers that have the bytes of a message at the same time: ours, and tonic's.
const COPIES: usize = 2;
/// The same while a message is unpacked: a buffer that grows is there twice.
const UNPACKING_COPIES: usize = 4;
/// Senders are given time for this many bytes a second.
const BYTES_PER_SECOND_MIN: usize = 32 << 10;

/// Bytes of the prefix of a message in gRPC and Connect: flags and length.
pub const PREFIX_BYTES: usize = 5;

/// Bytes of a health check.
const HEALTH_BYTES_MAX: usize = 1 << 10;

/// What requests may have: bytes, room, and silence.
#[derive(Clone, Debug)]
pub struct IntakeLimits {
    /// Bytes of a request.
    pub request_bytes_max: usize,
    /// Bytes of a request to the batch service.
    pub batch_request_bytes_max: usize,
    /// How long a sender may send nothing.
    pub silence: Duration,
    pub room: Room,
}

impl IntakeLimits {
    /// Bytes of a request on this path.
    pub fn bytes_max(&self, path: &str) -> usize {
        match path.trim_start_matches('/').split('/').next() {
            Some(batch_service_server::SERVICE_NAME) => self.batch_request_bytes_max,
            // The name of a service. Anybody may ask, so it must take no room of others.
            Some(health_server::SERVICE_NAME) => HEALTH_BYTES_MAX,
            Some(_) | None => self.request_bytes_max,
        }
    }

    /// The body of a call of `method` with the head `head`. `held` keeps the room of its messages. Once the first one
    /// is complete, `held` changes to a place of `places`, if there are any.
    pub fn body(
        &self,
        head: &http::request::Parts,
        method: Option<&Method>,
        body: Body,
        held: Held,
        places: Option<Arc<Semaphore>>,
    ) -> Body {
        let place = method.map(|method| method.request);
        let gzip = head.headers.get("grpc-encoding").is_some_and(|encoding| encoding == "gzip");
        let bytes_max = self.bytes_max(head.uri.path());
        let reading = Reading {
            body: Patient::new(body, self.silence),
            buffer: BytesMut::new(),
            ready: VecDeque::new(),
            place,
            gzip,
            bytes_max,
            room: self.room.clone(),
            held,
            places,
            counting: Counting {
                allowance: head.extensions.get::<Called>().and_then(Called::allowance).map(Arc::clone),
                is_held_back: method.is_some_and(|method| method.shape == Shape::ClientStream),
                is_counted: false,
            },
            ended: false,
        };
        Body::new(Intake { reading: Some(reading), working: None })
    }
}

/// A body whose sender must not fall silent.
pub struct Patient {
    body: Body,
    silence: Duration,
    /// Since when the present message is waited for.
    since: Option<Instant>,
}

impl Patient {
    pub fn new(body: Body, silence: Duration) -> Self {
        Self { body, silence, since: None }
    }

    /// The next frame of a message of `bytes`; `None` at the end.
    ///
    /// # Errors
    /// CALLER_STALLED where nothing comes for too long, or the whole message has taken too long.
    pub async fn frame(&mut self, bytes: usize) -> Result<Option<Frame<Bytes>>, Status> {
        let since = *self.since.get_or_insert_with(Instant::now);
        let seconds = u64::try_from(bytes / BYTES_PER_SECOND_MIN).unwrap_or(u64::MAX);
        let until = self.silence.saturating_add(Duration::from_secs(seconds));
        let left = until.saturating_sub(since.elapsed()).min(self.silence);
        match tokio::time::timeout(left, self.body.frame()).await {
            Ok(frame) => frame.transpose(),
            Err(_) => Err(Problem::caller_stalled().into()),
        }
    }
}

type Frames = Option<Result<Frame<Bytes>, Status>>;

/// Work that takes the reading with it, and gives it back.
type Working = Pin<Box<dyn Future<Output = (Reading, Frames)> + Send>>;

struct Intake {
    /// `None` while `working` has it.
    reading: Option<Reading>,
    working: Option<Working>,
}

impl hyper::body::Body for Intake {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Frames> {
        let mut working = match (self.working.take(), self.reading.take()) {
            (Some(working), _) => working,
            (None, None) => return Poll::Ready(None),
            (None, Some(mut reading)) => {
                if let Some(frame) = reading.at_once(context) {
                    self.reading = Some(reading);
                    return Poll::Ready(frame);
                }
                Box::pin(async move {
                    let frame = reading.next().await.transpose();
                    (reading, frame)
                })
            }
        };
        let polled = working.as_mut().poll(context);
        if polled.is_pending() {
            self.working = Some(working);
        }
        let (reading, frame) = ready!(polled);
        self.reading = Some(reading);
        Poll::Ready(frame)
    }
}

struct Reading {
    body: Patient,
    /// What has come of the present message, with its prefix.
    buffer: BytesMut,
    /// What tonic takes next.
    ready: VecDeque<Bytes>,
    /// The type of the messages.
    place: Option<Place>,
    /// Messages may be compressed by gzip.
    gzip: bool,
    bytes_max: usize,
    room: Room,
    held: Held,
    /// The places of the call, until it has one.
    places: Option<Arc<Semaphore>>,
    counting: Counting,
    ended: bool,
}

/// Counts the bytes of messages for their caller.
struct Counting {
    /// What the caller may have done.
    allowance: Option<Arc<Allowance>>,
    /// A stream of messages waits until their bytes pass. A single message is refused.
    is_held_back: bool,
    /// The bytes of the present message are counted.
    is_counted: bool,
}

impl Counting {
    /// Counts the bytes of the present message, once.
    fn count(&mut self, bytes: usize) -> Result<(), Over> {
        if let Some(allowance) = self.allowance.as_ref().filter(|_| !self.is_counted) {
            allowance.spend(Counts::Bytes, bytes)?;
            self.is_counted = true;
        }
        Ok(())
    }

    /// Counts what a message was unpacked to besides what came of it.
    fn unpacked(&self, bytes: usize) {
        if let Some(allowance) = &self.allowance {
            allowance.owe(Counts::Bytes, bytes);
        }
    }
}

impl Reading {
    /// What can be passed on without waiting: a message that is there in one piece and finds room, or the end. The outer
    /// `None` means that it takes longer.
    fn at_once(&mut self, context: &mut Context<'_>) -> Option<Frames> {
        if let Some(bytes) = self.ready.pop_front() {
            return Some(Some(Ok(Frame::data(bytes))));
        }
        if self.ended {
            return Some(None);
        }
        if !self.buffer.is_empty() {
            return None;
        }
        let Poll::Ready(frame) = hyper::body::Body::poll_frame(Pin::new(&mut self.body.body), context) else {
            return None;
        };
        let frame = match frame {
            Some(Ok(frame)) => frame,
            Some(Err(status)) => return Some(Some(Err(status))),
            None => return Some(None),
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(trailers) => return Some(Some(Ok(trailers))),
        };
        if let Some(([0, length @ ..], message)) = data.split_first_chunk::<PREFIX_BYTES>()
            && message.len() == to_usize(*length)
            && message.len() <= self.bytes_max
            && self.counting.count(message.len()).is_ok()
            && let Some(need) = self.weigh(message)
            && self.room.try_hold(&self.held, need)
        {
            self.body.since = None;
            self.counting.is_counted = false;
            return Some(Some(self.enter().map(|()| Frame::data(data)).map_err(Status::from)));
        }
        self.buffer.extend_from_slice(&data);
        None
    }

    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, Status> {
        loop {
            let mut expected = PREFIX_BYTES;
            if let Some(([flag, length @ ..], message)) = self.buffer.split_first_chunk::<PREFIX_BYTES>() {
                let (flag, length, arrived) = (*flag, to_usize(*length), message.len());
                if length > self.bytes_max {
                    return Err(Problem::too_large(self.bytes_max).into());
                }
                self.counted(length).await?;
                if arrived >= length {
                    return self.message(flag, length).await.map(|bytes| Some(Frame::data(bytes)));
                }
                expected = length.saturating_add(PREFIX_BYTES);
            }
            if !self.buffer.is_empty() {
                self.room.arrive(&self.held, self.buffer.len(), expected).await?;
            }
            let Some(frame) = self.body.frame(expected).await? else {
                self.ended = true;
                // tonic says what is wrong with an end in the middle of a message.
                let rest = std::mem::take(&mut self.buffer);
                return Ok((!rest.is_empty()).then(|| Frame::data(rest.freeze())));
            };
            match frame.into_data() {
                Ok(data) => self.buffer.extend_from_slice(&data),
                Err(trailers) => return Ok(Some(trailers)),
            }
        }
    }

    /// The message at the head of the buffer, with room for all that it becomes.
    async fn message(&mut self, flag: u8, length: usize) -> Result<Bytes, Status> {
        self.body.since = None;
        self.counting.is_counted = false;
        self.enter()?;
        let packed = self.buffer.split_to(length.saturating_add(PREFIX_BYTES)).freeze();
        let message = packed.slice(PREFIX_BYTES..);
        if flag != 1 || !self.gzip {
            let need = self.weigh(&message).ok_or_else(|| self.too_heavy())?;
            self.room.hold(&self.held, need).await?;
            return Ok(packed);
        }
        let message =
            gzip::unpacked(message, self.bytes_max, UNPACKING_COPIES, (&self.room, &self.held)).await?;
        self.counting.unpacked(message.len().saturating_sub(length));
        let need = self.weigh(&message).ok_or_else(|| self.too_heavy())?;
        self.room.hold(&self.held, need).await?;
        let mut prefix = BytesMut::with_capacity(PREFIX_BYTES);
        prefix.extend_from_slice(&[0]);
        prefix.extend_from_slice(&u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        self.ready.push_back(message);
        Ok(prefix.freeze())
    }

    /// Counts the bytes of the present message; a stream waits until they pass. A sender that is held back is not silent.
    async fn counted(&mut self, bytes: usize) -> Result<(), Problem> {
        while let Err(over) = self.counting.count(bytes) {
            // What a caller owes for other calls must not keep the room of this one for longer than silence may.
            if !self.counting.is_held_back || over.wait > self.body.silence {
                return Err(Problem::rate_limited(over));
            }
            tokio::time::sleep(over.wait).await;
            self.body.since = None;
        }
        Ok(())
    }

    /// Changes to a place of those that only calls with a message take.
    fn enter(&mut self) -> Result<(), Problem> {
        if let Some(places) = self.places.take() {
            self.held.take_place(places.try_acquire_owned().map_err(|_| Problem::overloaded())?);
        }
        Ok(())
    }

    /// The room that a message needs; `None` if it becomes too much.
    fn weigh(&self, message: &[u8]) -> Option<usize> {
        let weight = match self.place {
            Some(place) => Methods::all().json.weigh(place, message, self.weight_max())?,
            // Reflection, whose requests have no lists.
            None => message.len(),
        };
        // Decoded, it is read into types of the core; by then the list that was growing is not copied any more.
        Some(message.len().saturating_mul(COPIES).saturating_add(weight).saturating_add(weight / 2))
    }

    fn weight_max(&self) -> usize {
        self.bytes_max.saturating_mul(WEIGHT_FACTOR)
    }

    fn too_heavy(&self) -> Problem {
        Problem::too_heavy(self.weight_max())
    }
}

fn to_usize(length: [u8; 4]) -> usize {
    usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX)
}
