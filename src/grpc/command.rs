//! One path for every command: parse, find the ledger, submit, answer.

use tonic::{Request, Response, Status};

use crate::ledger::account::Slot;
use crate::ledger::book::Answer;
use crate::ledger::{self, Command, CustomerId, LedgerId, LedgerNo};
use crate::query::ReadError;

use super::parse::{Fields, Scope, parse};
use super::{Api, Deadline, convert, wire};

/// A wire message that asks for a change of one customer.
pub trait CommandMessage: Sized {
    /// Reads its fields.
    fn read(self, fields: &mut Fields) -> Option<(Scope, Command)>;
}

/// What was accepted, for whom.
pub struct Accepted {
    /// The ledger.
    pub ledger: LedgerNo,
    /// The customer.
    pub customer: CustomerId,
    /// The answer.
    pub answer: Answer,
}

impl Accepted {
    /// What was posted.
    pub fn posting(&self) -> wire::Posting {
        convert::posting(&self.answer.posting, &self.customer)
    }

    /// The customer's balances now.
    pub fn balance(&self) -> wire::Balance {
        convert::balance(self.answer.balances, self.answer.sequence)
    }

    /// The hold now.
    pub fn hold(&self) -> Option<wire::Hold> {
        self.answer.hold.as_ref().map(|hold| convert::hold(hold))
    }

    /// What the posting brought in.
    pub fn lot(&self) -> Option<wire::Lot> {
        convert::new_lot(&self.answer.posting, &self.customer)
    }

    /// Parked holds that the posting activated.
    pub fn activated_holds(&self) -> Vec<wire::Hold> {
        convert::activated(&self.answer.posting)
    }

    /// Credits that expired in the same posting.
    pub fn expired_credits(&self) -> String {
        self.answer.posting.amounts.get(Slot::Expired).to_string()
    }
}

impl Api {
    /// Runs a command to its fate.
    ///
    /// # Errors
    /// The status that says why it was not accepted.
    pub async fn run<M: CommandMessage>(&self, request: Request<M>) -> Result<Accepted, Status> {
        let deadline = Deadline::of(&request);
        let (scope, command) = parse(request.into_inner(), M::read)?;
        let request = self.request(scope, command).await?;
        let (ledger, customer) = (request.ledger, request.customer.clone());
        let answer = self.writer.submit(request, deadline).await??;
        Ok(Accepted { ledger, customer, answer })
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
