//! BatchService: many commands in one request. Streams of them are in `batch_stream`.

use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::ledger::book::Answer;
use crate::ledger::{self, Command, Kind, LedgerId};
use crate::writer::Submitted;

use super::batch_stream::AnswerStream;
use super::command::read_batch_command;
use super::context::Scope;
use super::parse::{Fields, parse};
use super::status::Problem;
use super::wire::batch_service_server::BatchService;
use super::wire::*;
use super::{Api, Deadline, convert};

/// Commands in one ExecuteBatch.
const COMMANDS_MAX: usize = 10_000;

#[async_trait]
impl BatchService for Api {
    type ExecuteStreamStream = AnswerStream;

    async fn execute_batch(
        &self,
        request: Request<ExecuteBatchRequest>,
    ) -> Result<Response<ExecuteBatchResponse>, Status> {
        let deadline = Deadline::of(&request);
        let (ledger, commands) = parse(request.into_inner(), |message, fields| {
            let ExecuteBatchRequest { ledger_id, commands } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let commands = read_commands(fields, commands, ledger.as_ref());
            Some((ledger?, commands?))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let request = |(scope, command)| {
            let Scope { ledger: _, request, customer, said } = scope;
            ledger::Request { ledger, customer, request: Some(request), said, command }
        };
        let kinds: Vec<_> = commands.iter().map(|(_, command)| command.kind()).collect();
        let submitted =
            self.writer.submit_bulk(commands.into_iter().map(request).collect(), deadline).await?;
        let results =
            kinds.into_iter().zip(submitted).map(|(kind, submitted)| show_result(kind, submitted)).collect();
        Ok(Response::new(ExecuteBatchResponse { results }))
    }

    async fn execute_stream(
        &self,
        request: Request<Streaming<ExecuteStreamRequest>>,
    ) -> Result<Response<AnswerStream>, Status> {
        let deadline = Deadline::of(&request);
        Ok(Response::new(self.clone().answer_stream(request.into_inner(), deadline)))
    }
}

fn read_commands(
    fields: &mut Fields,
    commands: Vec<BatchCommand>,
    ledger: Option<&LedgerId>,
) -> Option<Vec<(Scope, Command)>> {
    if commands.is_empty() || commands.len() > COMMANDS_MAX {
        return fields.refuse("commands", format!("must be 1 to {COMMANDS_MAX} commands"));
    }
    fields.each("commands", commands, |fields, command| read_batch_command(fields, command, ledger))
}

/// What became of one command, in brief: 10,000 of these fit the 4 MiB that clients take by default.
pub fn show_result(command: Option<Kind>, submitted: Submitted) -> BatchResult {
    let result = match submitted {
        Ok(Ok(answer)) => batch_result::Result::Accepted(show_accepted(&answer)),
        Ok(Err(rejection)) => {
            let problem = Problem::from(rejection);
            return show_problem(match command {
                Some(command) => problem.within(command),
                None => problem,
            });
        }
        Err(error) => return show_problem(error),
    };
    BatchResult { result: Some(result) }
}

/// A command that was not accepted.
pub fn show_problem(problem: impl Into<Problem>) -> BatchResult {
    BatchResult { result: Some(batch_result::Result::Error(problem.into().into_batch_error())) }
}

fn show_accepted(answer: &Answer) -> BatchAccepted {
    BatchAccepted {
        posting_id: answer.posting.id.to_string(),
        sequence: convert::signed(answer.posting.sequence),
        replayed: answer.replayed,
        hold_id: answer.hold.as_ref().map(|hold| hold.id.to_string()).unwrap_or_default(),
        available_credits: answer.balances.available.to_string(),
    }
}
