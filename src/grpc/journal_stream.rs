//! The journal as a stream: pages of the feed in short reads, and then, if asked for, new postings as they are
//! recorded.

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tracing::Instrument as _;

use crate::query::Position;

use super::api::{Call, NamedLedger, Reply};
use super::convert;
use super::parse::Fields;
use super::status::Problem;
use super::wire::{StreamJournalRequest, StreamJournalResponse};

/// Postings in one read: each read is a transaction of its own, so that a slow caller keeps none open.
const PAGE_POSTINGS: usize = 256;
/// Postings that wait for a slow caller. One may have megabytes: its hold, and a thousand others that it activated.
const WAITING_POSTINGS: usize = 4;

struct Pump {
    api: Call,
    ledger: NamedLedger,
    after: Position,
    follow: bool,
    growth: watch::Receiver<u64>,
    closing: watch::Receiver<bool>,
    sink: mpsc::Sender<Reply<StreamJournalResponse>>,
}

impl Call {
    /// The postings of a ledger after a position.
    pub(super) async fn stream_journal(
        &self,
        message: StreamJournalRequest,
    ) -> Reply<ReceiverStream<Reply<StreamJournalResponse>>> {
        let read = |message, fields: &mut Fields| {
            let StreamJournalRequest { ledger_id: _, after_position, follow } = message;
            fields.position("after_position", after_position).map(|after| (after, follow))
        };
        let (ledger, (after, follow)) = self.read(message, read).await?;
        // One slot is reserved for the final status, so that it reaches also a reader that has not taken the rest.
        let (sink, source) = mpsc::channel(WAITING_POSTINGS + 1);
        let pump = Pump {
            api: self.clone(),
            ledger,
            after,
            follow,
            growth: self.reader.growth(),
            closing: self.closing.subscribe(),
            sink: sink.clone(),
        };
        let task = async move {
            let Ok(last) = sink.reserve_owned().await else { return };
            if let Err(status) = pump.run().await {
                last.send(Err(status));
            }
        };
        tokio::spawn(task.in_current_span());
        Ok(ReceiverStream::new(source))
    }
}

impl Pump {
    async fn run(mut self) -> Reply<()> {
        loop {
            // Marked before the read, so that growth during the read makes `changed` ready at once.
            self.growth.mark_unchanged();
            // A page is bounded, so it is no long read: a few reports must not end all streams.
            let page = self.api.reader.journal(self.ledger.no, self.after, PAGE_POSTINGS).await?;
            for (recorded, customer) in page.items {
                self.after = recorded.position;
                let posting =
                    Some(convert::recorded(&recorded, &self.ledger.id, &customer, &self.api.called));
                match tokio::time::timeout(self.api.silence, self.sink.reserve()).await {
                    Ok(Ok(place)) => place.send(Ok(StreamJournalResponse { posting })),
                    Ok(Err(_)) => return Ok(()),
                    Err(_) => return Err(Problem::caller_stalled().into()),
                }
            }
            if page.next.is_some() {
                continue;
            }
            if !self.follow {
                return Ok(());
            }
            tokio::select! {
                changed = self.growth.changed() => changed.map_err(|_| Problem::shutting_down())?,
                _ = self.closing.wait_for(|closing| *closing) => return Err(Problem::shutting_down().into()),
                () = self.sink.closed() => return Ok(()),
            }
        }
    }
}
