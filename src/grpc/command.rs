//! One path for every command: read its context, then its own fields, find the ledger, submit, answer.

use tonic::{Request, Response, Status};

use crate::ledger::account::Slot;
use crate::ledger::book::Answer;
use crate::ledger::lot::LotSource;
use crate::ledger::reject::Original;
use crate::ledger::{self, Command, CustomerId, LedgerId, LedgerNo, Rejection};
use crate::query::ReadError;

use super::context::{Reason, Scope};
use super::parse::{Fields, parse};
use super::{Api, Deadline, convert, wire};

/// A wire message that asks for a change of one customer.
pub trait CommandMessage: WithContext {
    /// Whether it must say why.
    fn reason(&self) -> Reason {
        Reason::Optional
    }

    /// Reads its fields besides the context.
    fn read(self, fields: &mut Fields) -> Option<Command>;
}

/// A message whose first field is the context of a command.
pub trait WithContext: Sized {
    /// Takes the context out.
    fn take_context(&mut self) -> Option<wire::CommandContext>;
}

/// What each command is asked with and answered with, and its name in a batch. Whatever is the same for all commands
/// follows from this table.
macro_rules! commands {
    ($($command:ident($request:ident) as $field:literal),* $(,)?) => {
        $(impl WithContext for wire::$request {
            fn take_context(&mut self) -> Option<wire::CommandContext> {
                self.context.take()
            }
        })*

        /// One command of a batch, which is all in one ledger, or of a stream.
        pub fn read_batch_command(
            fields: &mut Fields,
            command: wire::BatchCommand,
            ledger: Option<&LedgerId>,
        ) -> Option<(Scope, Command)> {
            match command.command {
                $(Some(wire::batch_command::Command::$command(message)) => {
                    fields.within($field, |fields| read_in(message, fields, ledger))
                })*
                None => fields.refuse("command", "must be set"),
            }
        }
    };
}
commands!(
    CreateCustomer(CreateCustomerRequest) as "create_customer",
    UpdateCustomer(UpdateCustomerRequest) as "update_customer",
    SetCustomerTerms(SetCustomerTermsRequest) as "set_customer_terms",
    CloseCustomer(CloseCustomerRequest) as "close_customer",
    PurchaseCredits(PurchaseCreditsRequest) as "purchase_credits",
    GrantCredits(GrantCreditsRequest) as "grant_credits",
    AdjustBalance(AdjustBalanceRequest) as "adjust_balance",
    EstimateIncident(EstimateIncidentRequest) as "estimate_incident",
    ConfirmEstimate(ConfirmEstimateRequest) as "confirm_estimate",
    DeclineEstimate(DeclineEstimateRequest) as "decline_estimate",
    PlaceHold(PlaceHoldRequest) as "place_hold",
    ExtendHold(ExtendHoldRequest) as "extend_hold",
    RecordWork(RecordWorkRequest) as "record_work",
    VoidWork(VoidWorkRequest) as "void_work",
    SettleHold(SettleHoldRequest) as "settle_hold",
    ReleaseHold(ReleaseHoldRequest) as "release_hold",
    CloseIncident(CloseIncidentRequest) as "close_incident",
    ChargeIncident(ChargeIncidentRequest) as "charge_incident",
    ReverseSettlement(ReverseSettlementRequest) as "reverse_settlement",
    RefundPurchase(RefundPurchaseRequest) as "refund_purchase",
    ReverseRefund(ReverseRefundRequest) as "reverse_refund",
    RecordChargeback(RecordChargebackRequest) as "record_chargeback",
    ResolveChargeback(ResolveChargebackRequest) as "resolve_chargeback",
    SetBalanceAlerts(SetBalanceAlertsRequest) as "set_balance_alerts",
    ReopenCustomer(ReopenCustomerRequest) as "reopen_customer",
);

/// Reads a command: its context and its own fields, and complains of both at once.
pub fn read<M: CommandMessage>(mut message: M, fields: &mut Fields) -> Option<(Scope, Command)> {
    let reason = message.reason();
    let scope = fields.context(message.take_context(), reason);
    let command = message.read(fields);
    Some((scope?, command?))
}

/// Reads a command that names no other ledger than this one, where there is one.
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

/// What was accepted, for whom.
pub struct Accepted {
    /// The ledger.
    pub ledger: LedgerNo,
    /// Its id.
    pub ledger_id: LedgerId,
    /// The customer.
    pub customer: CustomerId,
    /// The answer.
    pub answer: Answer,
}

impl Accepted {
    /// What every answer says.
    pub fn outcome(&self) -> wire::CommandOutcome {
        let Answer { posting, replayed, balances, sequence, hold, purchase } = &self.answer;
        let ledger = &self.ledger_id;
        let bought = posting.detail.lot.as_ref().filter(|lot| lot.source == LotSource::Purchase);
        wire::CommandOutcome {
            posting: Some(convert::posting(posting, ledger, &self.customer)),
            replayed: *replayed,
            balance: Some(convert::balance(*balances, *sequence)),
            activated_holds: convert::activated(posting, ledger),
            expired_credits: posting.amounts.get(Slot::Expired).to_string(),
            hold: hold.as_ref().map(|hold| convert::hold(hold, ledger)),
            purchase: purchase.as_ref().or(bought).map(|lot| convert::purchase(lot, ledger, &self.customer)),
        }
    }

    /// What the posting brought in.
    pub fn lot(&self) -> Option<wire::Lot> {
        convert::new_lot(&self.answer.posting, &self.ledger_id, &self.customer)
    }

    /// The entry of work that it recorded or voided, as the posting left it.
    pub fn entry(&self) -> Option<wire::WorkEntry> {
        self.answer.posting.detail.work.as_deref().map(convert::work)
    }
}

/// Answers that say nothing but the outcome.
macro_rules! outcomes {
    ($($response:ident),* $(,)?) => {
        $(impl From<Accepted> for wire::$response {
            fn from(accepted: Accepted) -> Self {
                Self { outcome: Some(accepted.outcome()) }
            }
        })*
    };
}
outcomes!(
    PurchaseCreditsResponse,
    RefundPurchaseResponse,
    ReverseRefundResponse,
    RecordChargebackResponse,
    ResolveChargebackResponse,
    AssignPaymentResponse,
    EstimateIncidentResponse,
    ConfirmEstimateResponse,
    DeclineEstimateResponse,
    PlaceHoldResponse,
    ExtendHoldResponse,
    SettleHoldResponse,
    ReleaseHoldResponse,
    CloseIncidentResponse,
    ReverseSettlementResponse,
);

/// Answers that show what came in as well.
macro_rules! outcomes_with {
    ($field:ident: $($response:ident),* $(,)?) => {
        $(impl From<Accepted> for wire::$response {
            fn from(accepted: Accepted) -> Self {
                Self { $field: accepted.$field(), outcome: Some(accepted.outcome()) }
            }
        })*
    };
}
outcomes_with!(lot: GrantCreditsResponse, AdjustBalanceResponse);
outcomes_with!(entry: RecordWorkResponse, VoidWorkResponse, ChargeIncidentResponse);

/// The outcome of a command about no customer.
pub fn bare_outcome(replayed: bool) -> wire::CommandOutcome {
    wire::CommandOutcome { replayed, ..wire::CommandOutcome::default() }
}

impl Api {
    /// Runs a command to its fate.
    ///
    /// # Errors
    /// The status that says why it was not accepted.
    pub async fn run<M: CommandMessage>(&self, request: Request<M>) -> Result<Accepted, Status> {
        let deadline = Deadline::of(&request);
        let (scope, command) = parse(request.into_inner(), read)?;
        let ledger_id = scope.ledger.clone().unwrap_or_else(LedgerId::main);
        let request = self.request(scope, command).await?;
        let (ledger, customer) = (request.ledger, request.customer.clone());
        match self.writer.submit(request, deadline).await? {
            Ok(answer) => Ok(Accepted { ledger, ledger_id, customer, answer }),
            Err(Rejection::CustomerExists { .. }) => {
                Err(self.customer_exists(ledger, &customer).await.into())
            }
            Err(rejection) => Err(rejection.into()),
        }
    }

    /// Names the posting that made the customer. The writer did not load it; where it cannot be read now, the rejection
    /// stands without it.
    async fn customer_exists(&self, ledger: LedgerNo, customer: &CustomerId) -> Rejection {
        let first = self.reader.first_posting(ledger, customer).await;
        let first = first.inspect_err(|error| {
            tracing::debug!(%error, "the posting that made a customer is not named");
        });
        Rejection::CustomerExists { original: first.ok().map(|first| Original::of(&first.posting)) }
    }

    /// Runs a command and answers with what was accepted.
    ///
    /// # Errors
    /// As [`Api::run`].
    pub async fn execute<M, R>(&self, request: Request<M>) -> Result<Response<R>, Status>
    where
        M: CommandMessage,
        R: From<Accepted>,
    {
        Ok(Response::new(self.run(request).await?.into()))
    }

    /// A command with its ledger found.
    ///
    /// # Errors
    /// [`ReadError`] where there is no such ledger, or it cannot be read.
    pub async fn request(&self, scope: Scope, command: Command) -> Result<ledger::Request, ReadError> {
        let Scope { ledger, request, customer, said } = scope;
        let ledger = self.ledger(&ledger.unwrap_or_else(LedgerId::main)).await?;
        Ok(ledger::Request { ledger, customer, request: Some(request), said, command })
    }
}
