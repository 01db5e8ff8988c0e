//! A program that webhooks are sent to. It answers 200 at once, counts messages, and measures how late each one is. It
//! has a thread of its own and does only what HTTP needs, because it shares the machine with the server.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use hdrhistogram::Histogram;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use uuid::Uuid;

use super::measure::no_times;
use crate::app::failure::Failure;
use crate::clock;

/// Bytes of one read, enough for several messages.
const READ_BYTES: usize = 16 << 10;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A receiver that listens on this machine; it ends when this is dropped.
pub(super) struct Receiver {
    address: SocketAddr,
    seen: Arc<Seen>,
    _stop: oneshot::Sender<()>,
}

struct Seen {
    count: watch::Sender<usize>,
    /// Microseconds from a posting to its message, for all messages since the last [`Receiver::take_lags`].
    lags_us: Mutex<Histogram<u64>>,
}

impl Receiver {
    /// Listens on a free port of this machine.
    pub fn start() -> Result<Self, Failure> {
        let failed = |error: io::Error| Failure::Other(format!("webhooks cannot be received: {error}"));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
        listener.set_nonblocking(true).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let seen = Arc::new(Seen { count: watch::Sender::new(0), lags_us: Mutex::new(no_times()?) });
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().map_err(failed)?;
        let shared = Arc::clone(&seen);
        let run = move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    _ = listen(listener, shared) => {}
                }
            });
        };
        std::thread::Builder::new().name("receiver".to_owned()).spawn(run).map_err(failed)?;
        Ok(Self { address, seen, _stop: stop })
    }

    /// The URL that messages are posted to.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// Messages so far.
    pub fn count(&self) -> usize {
        *self.seen.count.borrow()
    }

    /// Waits until this many messages have arrived.
    pub async fn until(&self, count: usize) {
        // It cannot fail, because the sender is in `self`.
        let _ = self.seen.count.subscribe().wait_for(|seen| *seen >= count).await;
    }

    /// How late messages were since the last call.
    pub fn take_lags(&self) -> Histogram<u64> {
        let mut lags_us = self.seen.lags_us.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = lags_us.clone();
        lags_us.reset();
        taken
    }
}

async fn listen(listener: std::net::TcpListener, seen: Arc<Seen>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let seen = Arc::clone(&seen);
        // A connection that breaks is a failed delivery for the sender.
        tokio::spawn(async move { answer(stream, &seen).await });
    }
}

async fn answer(mut stream: TcpStream, seen: &Seen) -> io::Result<()> {
    let mut bytes = vec![0; READ_BYTES];
    let mut filled = 0_usize;
    loop {
        let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let count = stream.read(room).await?;
        if count == 0 {
            return Ok(());
        }
        filled = filled.saturating_add(count);
        while let Some((id, length)) = message(bytes.get(..filled).unwrap_or_default()) {
            let lag_us = lag_us(id, clock::now().micros());
            seen.lags_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(lag_us);
            seen.count.send_modify(|count| *count = count.saturating_add(1));
            stream.write_all(ANSWER).await?;
            bytes.copy_within(length..filled, 0);
            filled = filled.saturating_sub(length);
        }
    }
}

/// The id of the first message in `bytes`, and its length, if it is complete.
fn message(bytes: &[u8]) -> Option<(Uuid, usize)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(bytes.get(..end)?).ok()?;
    let header = |wanted: &str| {
        head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then_some(value.trim())
        })
    };
    let length: usize = header("content-length")?.parse().ok()?;
    let whole = end.saturating_add(4).saturating_add(length);
    let id = header("webhook-id")?.get(..uuid::fmt::Hyphenated::LENGTH)?;
    (bytes.len() >= whole).then_some((Uuid::try_parse(id).ok()?, whole))
}

/// The time since the posting, from its id: milliseconds, and microseconds within them; see `PostingId`.
fn lag_us(id: Uuid, now_us: i64) -> u64 {
    let bits = id.as_u128();
    let millis = i64::try_from(bits >> 80).unwrap_or_default();
    let micros = i64::try_from((bits >> 66) & 0x3ff).unwrap_or_default();
    let posted_us = millis.saturating_mul(1_000).saturating_add(micros);
    u64::try_from(now_us.saturating_sub(posted_us)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{PostingId, Timestamp};

    #[test]
    fn a_message_is_whole_with_its_last_byte() {
        let id = PostingId::new(Timestamp::from_micros(1_767_225_600_123_456), 77, u64::MAX).uuid();
        let text = format!("POST / HTTP/1.1\r\nwebhook-id: {id}-0\r\nContent-Length: 3\r\n\r\nabc");
        for length in 0..text.len() {
            assert_eq!(message(&text.as_bytes()[..length]), None, "{length}");
        }
        let two = [text.as_bytes(), text.as_bytes()].concat();
        assert_eq!(message(&two), Some((id, text.len())));
        assert_eq!(lag_us(id, 1_767_225_600_124_000), 544);
    }
}
