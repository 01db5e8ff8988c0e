//! What all services share: the writer and the readers that they call, and the first steps of every call.

use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tonic::{Extensions, Request, Status};

use crate::access::{Recorder, Tokens};
use crate::clock::watch::Standing;
use crate::delivery::webhooks::Policy;
use crate::delivery::{Endpoints, EventFeeds};
use crate::ledger::{LedgerId, LedgerNo, RequestKey, Text};
use crate::metrics::Metrics;
use crate::query::{Keyed, Listed, Reader};
use crate::storefront::Applier;
use crate::writer::Writer;

use super::called::Called;
use super::context::{Keeps, LedgerScope};
use super::http_routes::HttpRoutes;
use super::parse::Fields;
use super::status::Problem;
use super::wire::{OfLedger, WithContext};

/// Pages stop here, so that they fit the 4 MiB that clients take by default.
const PAGE_BYTES_MAX: usize = 3 << 20;

/// Reads that take long, at a time: half of the reading connections of SQLite, so that short reads always find one.
const LONG_READS_MAX: usize = 2;
/// How long such a read waits for its turn.
const LONG_READ_WAIT: Duration = Duration::from_secs(30);

/// The response of a method, or the status that says why there is none.
pub type Reply<T> = Result<T, Status>;

/// What all services share; cheap to clone. Each service implements its generated trait for this.
#[derive(Clone)]
pub struct Api(Arc<Shared>);

/// The services as one caller has them: a method of theirs is a function of this.
#[derive(Clone)]
pub struct Call {
    shared: Arc<Shared>,
    pub(super) called: Called,
}

/// What calls have in common.
#[derive(Clone)]
pub struct Shared {
    pub(super) writer: Writer,
    pub(super) reader: Arc<Reader>,
    /// What is done about orders of storefronts that wait.
    pub(super) payments: Applier,
    pub(super) feeds: Arc<EventFeeds>,
    pub(super) webhooks: Arc<Endpoints>,
    /// Where webhooks may be sent.
    pub(super) policy: Policy,
    pub(super) identities: Identities,
    /// True once the server shuts down: streams without an end stop then.
    pub(super) closing: watch::Sender<bool>,
    /// Places of reads that take long.
    pub(super) long_reads: Arc<Semaphore>,
    /// How long a reader of a stream may take nothing.
    pub(super) silence: Duration,
    /// What the same listener serves besides gRPC.
    pub(super) http_routes: Option<HttpRoutes>,
    pub(super) metrics: Metrics,
    /// How the clock stands that dates what is stored; `None` where nobody watches it.
    pub(super) clock: Option<watch::Receiver<Standing>>,
}

/// Who may call.
#[derive(Clone, Debug)]
pub struct Identities {
    pub tokens: Tokens,
    pub recorder: Recorder,
}

/// A ledger that a request names, and that exists.
#[derive(Clone, Debug)]
pub struct NamedLedger {
    pub no: LedgerNo,
    pub id: LedgerId,
}

/// A command about a ledger and none of its customers, without its own fields.
pub struct LedgerCommand {
    pub ledger: NamedLedger,
    pub request: RequestKey,
    /// Who asks; empty where the command does not keep it.
    pub by: Text,
    /// Why; empty where the command does not keep it.
    pub reason: Text,
    pub deadline: Option<Instant>,
}

impl Api {
    /// The services over a writer, a reader and the events of the same store. `policy` says which webhook URLs are
    /// allowed.
    #[must_use]
    pub fn new(
        writer: Writer,
        reader: Arc<Reader>,
        payments: Applier,
        feeds: Arc<EventFeeds>,
        webhooks: Arc<Endpoints>,
        policy: Policy,
        identities: Identities,
    ) -> Self {
        Self(Arc::new(Shared {
            writer,
            reader,
            payments,
            feeds,
            webhooks,
            policy,
            identities,
            closing: watch::Sender::new(false),
            silence: Duration::MAX,
            long_reads: Arc::new(Semaphore::new(LONG_READS_MAX)),
            http_routes: None,
            metrics: Metrics::default(),
            clock: None,
        }))
    }

    /// Also serves plain HTTP below one path.
    #[must_use]
    pub fn with(mut self, http_routes: HttpRoutes) -> Self {
        Arc::make_mut(&mut self.0).http_routes = Some(http_routes);
        self
    }

    /// Measures calls.
    #[must_use]
    pub fn measured(mut self, metrics: Metrics) -> Self {
        Arc::make_mut(&mut self.0).metrics = metrics;
        self
    }

    /// Also reports how the clock stands, by the health service.
    #[must_use]
    pub fn watching_clock(mut self, clock: watch::Receiver<Standing>) -> Self {
        Arc::make_mut(&mut self.0).clock = Some(clock);
        self
    }

    /// With readers of streams that may take nothing for so long.
    pub(super) fn with_silence(mut self, silence: Duration) -> Self {
        Arc::make_mut(&mut self.0).silence = silence;
        self
    }

    /// The services as the caller of a request has them.
    ///
    /// # Errors
    /// INTERNAL where no stage has asked who calls: such a call is not served.
    pub(super) fn called_by(&self, extensions: &Extensions) -> Result<Call, Problem> {
        let called = extensions.get::<Called>().cloned().ok_or_else(Problem::internal)?;
        Ok(Call { shared: Arc::clone(&self.0), called })
    }
}

impl Deref for Api {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Deref for Call {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.shared
    }
}

impl Call {
    /// A place for a read whose cost grows with what is stored: statistics, reports, and previews of past work. It
    /// waits for its turn, within the call's deadline.
    pub(super) async fn long_read(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let place = Arc::clone(&self.long_reads).acquire_owned();
        match tokio::time::timeout(LONG_READ_WAIT, place).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_)) | Err(_) => Err(Problem::overloaded()),
        }
    }

    /// Reads a whole message as the caller may write it.
    ///
    /// # Errors
    /// All violations, or what the caller may not name.
    pub(super) fn parse<M, T>(
        &self,
        message: M,
        read: impl FnOnce(M, &mut Fields) -> Option<T>,
    ) -> Result<T, Problem> {
        let mut fields = Fields::of(self.called.clone());
        let value = read(message, &mut fields);
        let is_denied = fields.is_denied();
        let read = fields.finish(value);
        if let (Err(problem), true) = (&read, is_denied) {
            self.refused(problem);
        }
        read
    }

    /// Finds the ledger of a call and records it in the call's span. This is where the bounds of a caller to ledgers
    /// hold.
    pub(super) async fn ledger(&self, id: LedgerId) -> Result<NamedLedger, Problem> {
        self.called.may_name(&id).inspect_err(|problem| self.refused(problem))?;
        tracing::Span::current().record("ledger", id.as_str());
        Ok(NamedLedger { no: self.reader.ledger(&id).await?, id })
    }

    /// Reads a request about a ledger, and finds the ledger. `read` reads the other fields of the message.
    pub(super) async fn read<M: OfLedger, T>(
        &self,
        message: M,
        read: impl FnOnce(M, &mut Fields) -> Option<T>,
    ) -> Reply<(NamedLedger, T)> {
        let (ledger, asked) = self.parse(message, |message, fields| {
            let ledger = fields.ledger_or_main(message.ledger_id());
            ledger.zip(read(message, fields))
        })?;
        Ok((self.ledger(ledger).await?, asked))
    }

    /// Reads a command about a ledger, and finds the ledger. `read` reads the message's fields besides its context.
    pub(super) async fn read_ledger_command<M: WithContext, T>(
        &self,
        request: Request<M>,
        keeps: Keeps,
        read: impl FnOnce(M, &mut Fields) -> Option<T>,
    ) -> Reply<(LedgerCommand, T)> {
        let deadline = Deadline::of(&request);
        let (scope, asked) = self.parse(request.into_inner(), |mut message, fields| {
            let scope = fields.ledger_context(message.take_context(), keeps);
            scope.zip(read(message, fields))
        })?;
        let ledger = self.ledger(scope.ledger.clone().unwrap_or_else(LedgerId::main)).await?;
        let LedgerScope { ledger: _, request, by, reason } = scope;
        Ok((LedgerCommand { ledger, request, by, reason, deadline }, asked))
    }
}

/// The part of a page that fits [`PAGE_BYTES_MAX`], and the token of the next page.
pub fn show_page<T: Keyed, M: Message>(listed: Listed<T>, show: impl FnMut(&T) -> M) -> (Vec<M>, String) {
    listed.show(PAGE_BYTES_MAX, show, M::encoded_len)
}

/// When the caller stops waiting. The call's layer puts it into the extensions of a request.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(pub Instant);

impl Deadline {
    /// The deadline of a call, if it has one.
    pub fn of<T>(request: &Request<T>) -> Option<Instant> {
        request.extensions().get::<Self>().map(|deadline| deadline.0)
    }
}
