//! Events as a stream: from a follower of the feed to a caller, with heartbeats.

use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Instrument as _;

use crate::clock;
use crate::delivery::{Cursor, Watch, WatchError};
use crate::ledger::LedgerId;
use crate::query::ReadError;

use super::api::{Call, Reply};
use super::convert;
use super::status::Problem;
use super::wire::watch_events_response::Item;
use super::wire::{Heartbeat, WatchEventsResponse};

/// The stream that a caller of WatchEvents reads.
pub type EventStream = ReceiverStream<Reply<WatchEventsResponse>>;

/// Messages that wait for a reader; events beyond them stay in the feed.
const MESSAGES_MAX: usize = 64;

struct Pump {
    watch: Watch,
    ledger: LedgerId,
    heartbeat: Duration,
    closing: watch::Receiver<bool>,
    sink: mpsc::Sender<Reply<WatchEventsResponse>>,
    /// How long the reader may take nothing.
    stalled: Duration,
    /// The place after the last message that was handed to the reader.
    delivered: Cursor,
}

/// Why a stream ends before its caller does.
enum End {
    /// With this status.
    Status(Status),
    /// The caller has gone away.
    Gone,
}

impl Call {
    /// The events that `watch` finds, until it ends.
    pub(super) fn event_stream(&self, watch: Watch, ledger: LedgerId, heartbeat: Duration) -> EventStream {
        stream(watch, ledger, heartbeat, self.closing.subscribe(), self.silence)
    }
}

fn stream(
    watch: Watch,
    ledger: LedgerId,
    heartbeat: Duration,
    closing: watch::Receiver<bool>,
    stalled: Duration,
) -> EventStream {
    // One slot is reserved for the final status, so that it reaches also a reader that has not taken the rest.
    let (sink, source) = mpsc::channel(MESSAGES_MAX + 1);
    let delivered = watch.cursor();
    let pump = Pump { watch, ledger, heartbeat, closing, sink: sink.clone(), stalled, delivered };
    let task = async move {
        let Ok(last) = sink.reserve_owned().await else { return };
        if let Err(End::Status(status)) = pump.run().await {
            last.send(Err(status));
        }
    };
    tokio::spawn(task.in_current_span());
    ReceiverStream::new(source)
}

impl Pump {
    async fn run(mut self) -> Result<(), End> {
        let mut ticks = interval_at(Instant::now() + self.heartbeat, self.heartbeat);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.beat().await?;
        loop {
            let found = tokio::select! {
                found = self.watch.next() => Some(found),
                _ = ticks.tick() => None,
                _ = self.closing.wait_for(|closing| *closing) => {
                    return Err(End::Status(Problem::shutting_down().into()));
                }
                () = self.sink.closed() => return Err(End::Gone),
            };
            match found {
                None => self.beat().await?,
                Some(Ok(Some(events))) => {
                    for event in events {
                        let item = Item::Event(convert::event(&event, &self.ledger));
                        self.send(item, event.cursor()).await?;
                    }
                }
                Some(Ok(None)) => return self.beat().await,
                Some(Err(WatchError::TooSlow)) => return Err(self.too_slow()),
                Some(Err(WatchError::Storage(error))) => {
                    return Err(End::Status(Problem::from(ReadError::Storage(error)).into()));
                }
            }
        }
    }

    async fn beat(&mut self) -> Result<(), End> {
        let cursor = self.watch.cursor();
        let sent_at = Some(convert::time(clock::now()));
        let beat = Heartbeat { sent_at, position: convert::signed(cursor.done.0) };
        self.send(Item::Heartbeat(beat), cursor).await
    }

    async fn send(&mut self, item: Item, cursor: Cursor) -> Result<(), End> {
        match timeout(self.stalled, self.sink.reserve()).await {
            Ok(Ok(place)) => {
                place.send(Ok(WatchEventsResponse { item: Some(item), resume_token: cursor.to_string() }));
                self.delivered = cursor;
                Ok(())
            }
            Ok(Err(_)) => Err(End::Gone),
            Err(_) => Err(self.too_slow()),
        }
    }

    fn too_slow(&self) -> End {
        End::Status(Problem::watcher_too_slow(&self.delivered).into())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tonic_types::StatusExt as _;

    use super::*;
    use crate::delivery::{EventFeeds, Filter};
    use crate::ledger::LedgerNo;
    use crate::store::{Position, Settings, open};

    #[tokio::test]
    async fn a_reader_that_takes_nothing_is_cut_off_with_where_to_go_on() {
        let engine = open("memory:", clock::now(), &Settings::default()).await.unwrap();
        let feeds = Arc::new(EventFeeds::new(engine.reader, engine.notifier));
        let start = Cursor::after(Position(7));
        let watch = Watch::new(&feeds, LedgerNo::MAIN, Filter::default(), start);
        let (_closing, closes) = watch::channel(false);
        // Heartbeats fill the messages that wait for the reader.
        let limit = Duration::from_millis(100);
        let begun = Instant::now();
        let mut source =
            stream(watch, LedgerId::main(), Duration::from_millis(1), closes, limit).into_inner();
        while !source.is_closed() {
            tokio::task::yield_now().await;
        }
        assert!(begun.elapsed() >= limit, "{:?}", begun.elapsed());
        for nth in 0..MESSAGES_MAX {
            let message = source.recv().await.unwrap();
            assert_eq!(message.unwrap().resume_token, start.to_string(), "{nth}");
        }
        let status = source.recv().await.unwrap().unwrap_err();
        let details = status.get_details_error_info().unwrap();
        assert_eq!(details.reason, "WATCHER_TOO_SLOW");
        assert_eq!(details.metadata["resume_token"], start.to_string());
        assert!(source.recv().await.is_none());
    }
}
