//! One path for every command: read its context, then its own fields, find the ledger, submit, answer.

use tonic::Request;

use crate::ledger::account::Slot;
use crate::ledger::book::Answer;
use crate::ledger::lot::LotSource;
use crate::ledger::reject::Original;
use crate::ledger::unused::Unused;
use crate::ledger::{Command, CustomerId, LedgerId, LedgerNo, Rejection};

use super::api::{Call, Deadline, NamedLedger, Reply};
use super::called::Called;
use super::context::{Reason, Scope};
use super::parse::Fields;
use super::wire::WithContext;
use super::{convert, wire};

/// A wire message that asks for a change of one customer.
pub trait CommandMessage: WithContext + Sized {
    /// Whether the command must state a reason.
    fn reason(&self) -> Reason {
        Reason::Optional
    }

    /// Reads the fields besides the context.
    fn read(self, fields: &mut Fields) -> Option<Command>;
}

/// Reads a command: its context and its own fields, and reports the violations of both at once.
pub fn read<M: CommandMessage>(mut message: M, fields: &mut Fields) -> Option<(Scope, Command)> {
    let reason = message.reason();
    let scope = fields.context(message.take_context(), reason);
    scope.zip(message.read(fields))
}

/// Reads a command of a batch, which may name no other ledger than the batch does.
fn read_in<M: CommandMessage>(
    message: M,
    fields: &mut Fields,
    ledger: Option<&LedgerId>,
) -> Option<(Scope, Command)> {
    let (scope, command) = read(message, fields)?;
    match (&scope.ledger, ledger) {
        (Some(own), Some(ledger)) if own != ledger => {
            fields.refuse("context.ledger_id", "must be empty or the ledger of the batch")
        }
        (Some(_) | None, _) => Some((scope, command)),
    }
}

include!(concat!(env!("OUT_DIR"), "/batch_commands.rs"));

/// A command that was accepted, its customer, and its outcome.
pub struct AcceptedCommand {
    pub ledger: NamedLedger,
    pub customer: CustomerId,
    pub answer: Answer,
    /// Who is answered.
    pub called: Called,
}

impl AcceptedCommand {
    /// The outcome that every response has.
    pub fn outcome(&self) -> wire::CommandOutcome {
        let Answer { posting, replayed, balances, sequence, hold, purchase, about: _ } = &self.answer;
        let ledger = &self.ledger.id;
        let bought = posting.detail.lot.as_ref().filter(|lot| lot.source == LotSource::Purchase);
        let bought = bought.map(|lot| (lot, Unused::none()));
        let lot = purchase.as_ref().map(|(lot, unused)| (lot, *unused)).or(bought);
        wire::CommandOutcome {
            posting: Some(convert::posting(posting, ledger, &self.customer, &self.called)),
            replayed: *replayed,
            balance: Some(convert::balance(*balances, *sequence)),
            activated_holds: convert::activated(posting, ledger),
            expired_credits: posting.amounts.get(Slot::Expired).to_string(),
            hold: hold.as_ref().map(|hold| convert::hold(hold, ledger)),
            purchase: lot.map(|(lot, unused)| convert::purchase(lot, ledger, &self.customer, Some(&unused))),
        }
    }
}

/// The outcome of a command that concerns no customer.
pub fn ledger_outcome(replayed: bool) -> wire::CommandOutcome {
    wire::CommandOutcome { replayed, ..wire::CommandOutcome::default() }
}

/// What a response to a command shows besides the outcome. It follows from the answer alone: a read after the commit
/// could fail, and its error would say that nothing was done.
pub trait Shown: Sized {
    fn of(accepted: &AcceptedCommand) -> Option<Self>;
}

/// The lot that the posting brought in.
impl Shown for wire::Lot {
    fn of(accepted: &AcceptedCommand) -> Option<Self> {
        let AcceptedCommand { ledger, customer, answer, called: _ } = accepted;
        convert::new_lot(&answer.posting, &ledger.id, customer)
    }
}

/// The entry of work that the posting recorded or voided, as it left it.
impl Shown for wire::WorkEntry {
    fn of(accepted: &AcceptedCommand) -> Option<Self> {
        accepted.answer.posting.detail.work.as_deref().map(convert::work)
    }
}

impl Call {
    /// Runs a command to its outcome. The status says why it was not accepted.
    pub(super) async fn run<M: CommandMessage>(&self, request: Request<M>) -> Reply<AcceptedCommand> {
        let deadline = Deadline::of(&request);
        let (scope, command) = self.parse(request.into_inner(), read)?;
        let ledger = self.ledger(scope.ledger_or_main()).await?;
        let request = scope.request(ledger.no, command);
        let customer = request.customer.clone();
        match self.writer_of(&ledger).submit(request, deadline).await? {
            Ok(answer) => Ok(AcceptedCommand { ledger, customer, answer, called: self.called.clone() }),
            Err(Rejection::CustomerExists { .. }) => {
                Err(self.customer_exists(ledger.no, &customer).await.into())
            }
            Err(rejection) => Err(rejection.into()),
        }
    }

    /// Names the posting that created the customer. The writer did not load that posting; if it cannot be read now, the
    /// rejection does without it.
    async fn customer_exists(&self, ledger: LedgerNo, customer: &CustomerId) -> Rejection {
        let first = self.reader.first_posting(ledger, customer).await;
        let first = first.inspect_err(|error| {
            tracing::debug!(%error, "the posting that made a customer is not named");
        });
        Rejection::CustomerExists { original: first.ok().map(|first| Original::of(&first.posting)) }
    }
}
