//! The shared parts of client commands: the server and ledger, and one way to read, to list and to change.

use tonic::Status;

use super::row::{self, OutputRow};
use super::show;
use crate::app::call::CallError;
use crate::app::connect::{Channel, Reach, SERVER};
use crate::app::failure::Failure;
use crate::app::output::note;
use crate::app::paging::{Method, Paged, read_pages};
use crate::clock;
use crate::grpc::wire::{self, Answered, CommandContext};
use crate::ledger::PostingId;

/// Which server and ledger, and how the answer looks.
#[derive(Clone, Debug, clap::Args)]
pub struct Target {
    /// The server
    #[arg(long, env = "CREDITLEDGER_SERVER", default_value = SERVER, value_name = "URL")]
    server: String,
    #[command(flatten)]
    reach: Reach,
    /// The ledger
    #[arg(long, default_value = "main", value_name = "ID")]
    ledger: String,
    /// Print JSON instead of a table
    #[arg(long)]
    pub(super) json: bool,
}

/// How many items a list shows.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Limit {
    /// How many at most
    #[arg(long, default_value_t = 50, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// A change: where it is sent, and the id that makes it repeatable.
#[derive(Clone, Debug, clap::Args)]
pub struct Request {
    /// Idempotency key: a command repeated with the same id has no second effect [default: a new id]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    pub(super) target: Target,
}

/// What the server keeps with a change.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Subject {
    /// The customer's id
    pub(super) customer: String,
    /// Who asks for it, or did the work
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NAME")]
    pub(super) by: String,
    /// Why
    #[arg(long, default_value = "", hide_default_value = true, value_name = "TEXT")]
    reason: String,
}

/// A change about a customer.
#[derive(Clone, Debug, clap::Args)]
pub struct Change {
    #[command(flatten)]
    subject: Subject,
    #[command(flatten)]
    request: Request,
}

/// The outcome of a change, and the id that makes it repeatable.
pub(super) struct ChangeAnswer {
    request_id: String,
    outcome: wire::CommandOutcome,
}

impl Limit {
    /// The most items that are shown.
    pub(super) fn count(self) -> usize {
        usize::try_from(self.limit).unwrap_or(usize::MAX)
    }

    /// The limit of a list.
    pub(super) const fn of(limit: u32) -> Self {
        Self { limit }
    }
}

impl Target {
    pub(super) fn ledger(&self) -> String {
        self.ledger.clone()
    }

    /// A channel to the server, for calls about the ledger.
    pub(super) async fn connect(&self) -> Result<Channel, Failure> {
        Ok(self.reach.connect(&self.server).await?.for_ledger(&self.ledger))
    }

    pub(super) async fn ask<Q, A>(&self, method: Method<Q, A>, request: Q) -> Result<A, Failure> {
        let answer = method(self.connect().await?, request).await;
        Ok(answer.map_err(CallError::from)?.into_inner())
    }

    /// Up to `limit` items of a list, and whether there are more.
    pub(super) async fn pages<Q: Paged>(
        &self,
        limit: Limit,
        method: Method<Q, Q::Answer>,
        request: Q,
    ) -> Result<(Vec<Q::Item>, bool), Failure> {
        let channel = self.connect().await?;
        Ok(read_pages(&channel, limit.count(), request, method).await?)
    }

    /// Prints a list, a row for each item.
    pub(super) async fn list<Q: Paged>(
        &self,
        limit: Limit,
        method: Method<Q, Q::Answer>,
        request: Q,
        row: impl Fn(&Q::Item) -> OutputRow,
    ) -> Result<(), Failure> {
        let (items, more) = self.pages(limit, method, request).await?;
        self.print_list(&items.iter().map(row).collect::<Vec<_>>(), more)
    }

    /// Prints the rows of a list, and a note if there are more.
    pub(super) fn print_list(&self, rows: &[OutputRow], more: bool) -> Result<(), Failure> {
        self.print_rows(rows)?;
        if more {
            note("... more; use --limit");
        }
        Ok(())
    }

    /// Prints a table, a row a line.
    pub(super) fn print_rows(&self, rows: &[OutputRow]) -> Result<(), Failure> {
        row::print_all(rows, self.json)
    }

    /// Prints one row, a value a line.
    pub(super) fn print(&self, row: &OutputRow) -> Result<(), Failure> {
        row.print(self.json)
    }
}

impl Request {
    /// True if the caller gave no request id, so that this is no repeat.
    pub(super) const fn is_new(&self) -> bool {
        self.request_id.is_none()
    }

    /// Sends a change, and prints the row that `row` makes of the answer. If the outcome is unknown, the error names
    /// the request id.
    pub(super) async fn send<Q, A: Answered + Clone>(
        self,
        subject: Subject,
        method: Method<Q, A>,
        request: impl FnOnce(Option<CommandContext>) -> Q,
        row: impl FnOnce(&A, ChangeAnswer) -> OutputRow,
    ) -> Result<(), Failure> {
        let Self { request_id, target } = self;
        let request_id = match request_id {
            Some(id) => id,
            None => new_request_id()?,
        };
        let Subject { customer, by, reason } = subject;
        let context = wire::context(&request_id, customer).ledger(&target.ledger).by(by).because(reason);
        let answer = match method(target.connect().await?, request(Some(context))).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => return Err(unanswered(status, request_id)),
        };
        let outcome = answer.clone().outcome();
        target.print(&row(&answer, ChangeAnswer { request_id, outcome }))
    }
}

impl Subject {
    /// For a change of no customer that keeps who asks for it.
    pub(super) fn by(by: String) -> Self {
        Self { by, ..Self::default() }
    }

    /// For a change of no customer that keeps who asks for it, and why.
    pub(super) fn why(by: String, reason: String) -> Self {
        Self { by, reason, ..Self::default() }
    }

    /// For a change of a customer that a flag names.
    pub(super) fn customer(customer: String) -> Self {
        Self { customer, ..Self::default() }
    }
}

impl Change {
    /// As [`Request::send`], about the customer.
    pub(super) async fn send<Q, A: Answered + Clone>(
        self,
        method: Method<Q, A>,
        request: impl FnOnce(Option<CommandContext>) -> Q,
        row: impl FnOnce(&A, ChangeAnswer) -> OutputRow,
    ) -> Result<(), Failure> {
        self.request.send(self.subject, method, request, row).await
    }
}

impl ChangeAnswer {
    /// The subject of the change, then whether the change was a repeat.
    pub(super) fn after(self, about: OutputRow) -> OutputRow {
        about.and(self.replayed())
    }

    /// The posting, then the subject of the change.
    pub(super) fn before(self, about: OutputRow) -> OutputRow {
        self.posting().and(about)
    }

    /// The posting and its whole outcome, with `more` about the subject.
    pub(super) fn whole(self, more: OutputRow) -> OutputRow {
        let head = self.posting();
        let outcome = &self.outcome;
        head.and(show::of(outcome.hold.as_ref(), show::hold))
            .and(show::of(outcome.purchase.as_ref(), show::purchase))
            .and(more)
            .and(show::consequences(&outcome.activated_holds, &outcome.expired_credits))
            .and(show::of(outcome.balance.as_ref(), show::balance))
    }

    /// The purchase that was changed.
    pub(super) const fn purchase(&self) -> Option<&wire::Purchase> {
        self.outcome.purchase.as_ref()
    }

    fn posting(&self) -> OutputRow {
        let id = self.outcome.posting.as_ref().map(|posting| posting.posting_id.as_str());
        OutputRow::default().with("posting_id", id).and(self.replayed())
    }

    fn replayed(&self) -> OutputRow {
        let row = OutputRow::default().with("replayed", self.outcome.replayed);
        row.with_more("request_id", self.request_id.as_str())
    }
}

/// A time-ordered id, as the server prefers.
pub fn new_request_id() -> Result<String, Failure> {
    let random = clock::random().map_err(Failure::Randomness)?;
    Ok(PostingId::new(clock::now(), 0, random).to_string())
}

/// The failure of a change. If its outcome is unknown, it names the request id.
fn unanswered(status: Status, request_id: String) -> Failure {
    let error = CallError::from(status);
    if error.leaves_outcome_unknown() {
        Failure::OutcomeUnknown { error: Box::new(error), request_id }
    } else {
        Failure::Call(error)
    }
}

/// The mask of the fields that are given.
pub(super) fn mask(fields: &[(&str, bool)]) -> prost_types::FieldMask {
    let given = fields.iter().filter(|(_, is_given)| *is_given);
    prost_types::FieldMask { paths: given.map(|(path, _)| (*path).to_owned()).collect() }
}
