//! BatchService: many commands in one request, and a stream of commands that are answered as soon as they are decided.

use std::future::{Future, Ready, poll_fn, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};
use tracing::Instrument as _;

use crate::ledger::book::Answer;
use crate::ledger::{self, Kind};
use crate::writer::{Submitted, Writer};

use super::api::{Call, Deadline, Reply};
use super::command::read_batch_command;
use super::convert;
use super::status::Problem;
use super::wire::*;

/// The most commands in one ExecuteBatch.
const COMMANDS_MAX: usize = 10_000;
/// Commands in flight on one stream, or KiB of them. Beyond it nothing more is read: the caller is held back by the flow
/// control of its connection, and not by refusals.
const IN_FLIGHT_MAX: u16 = 1_024;

type Sink = mpsc::Sender<Reply<ExecuteStreamResponse>>;

impl Call {
    pub(super) async fn execute_batch(
        &self,
        request: Request<ExecuteBatchRequest>,
    ) -> Reply<ExecuteBatchResponse> {
        let deadline = Deadline::of(&request);
        let allowance = self.called.allowance();
        let max =
            allowance.map_or(COMMANDS_MAX, |allowance| allowance.limits.batch_commands).min(COMMANDS_MAX);
        // One that is empty or too large is refused in any case, and costs what any call does.
        let count = request.get_ref().commands.len();
        self.called.spend_commands(if count > max { 1 } else { count.max(1) })?;
        let (ledger, commands) = self.parse(request.into_inner(), |message, fields| {
            let ExecuteBatchRequest { ledger_id, commands } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let commands = if commands.is_empty() || commands.len() > max {
                fields.refuse("commands", format!("must be 1 to {max} commands"))
            } else {
                fields.each("commands", commands, |fields, command| {
                    read_batch_command(fields, command, ledger.as_ref())
                })
            };
            ledger.zip(commands)
        })?;
        let ledger = self.ledger(ledger).await?;
        let kinds: Vec<_> = commands.iter().map(|(_, command)| command.kind()).collect();
        let requests = commands.into_iter().map(|(scope, command)| scope.request(ledger.no, command));
        let submitted = self.writer_of(&ledger).submit_bulk(requests.collect(), deadline).await?;
        let results = kinds.into_iter().zip(submitted).map(|(kind, submitted)| show_result(kind, submitted));
        Ok(ExecuteBatchResponse { results: results.collect() })
    }

    pub(super) fn execute_stream(
        &self,
        request: Request<Streaming<ExecuteStreamRequest>>,
    ) -> Ready<Reply<ReceiverStream<Reply<ExecuteStreamResponse>>>> {
        let deadline = Deadline::of(&request);
        let commands = request.into_inner();
        let (sink, source) = mpsc::channel(IN_FLIGHT_MAX.into());
        let api = self.clone();
        let task = async move {
            let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX.into()));
            if let Err(status) = api.answer_stream(commands, deadline, &sink, &in_flight).await {
                // An error ends the stream. Commands in flight are answered first, because their sender could not know
                // their outcome otherwise.
                tokio::select! {
                    _ = in_flight.acquire_many(IN_FLIGHT_MAX.into()) => {}
                    () = sink.closed() => return,
                }
                // The caller may have gone away.
                let _ = sink.send(Err(status)).await;
            }
        };
        tokio::spawn(task.in_current_span());
        ready(Ok(ReceiverStream::new(source)))
    }

    async fn answer_stream(
        self,
        mut commands: Streaming<ExecuteStreamRequest>,
        deadline: Option<Instant>,
        sink: &Sink,
        in_flight: &Arc<Semaphore>,
    ) -> Result<(), Status> {
        let mut closing = self.closing.subscribe();
        loop {
            let Ok(mut permit) = Arc::clone(in_flight).acquire_owned().await else { return Ok(()) };
            let message = tokio::select! {
                biased;
                problem = self.called.ended() => return Err(problem.into()),
                message = commands.message() => message.map_err(Problem::explain)?,
                _ = closing.wait_for(|closing| *closing) => return Err(Problem::shutting_down().into()),
                () = sink.closed() => return Ok(()),
            };
            let Some(ExecuteStreamRequest { correlation_id, command }) = message else { return Ok(()) };
            tokio::select! {
                biased;
                problem = self.called.ended() => return Err(problem.into()),
                () = self.called.wait_for_command() => {}
                _ = closing.wait_for(|closing| *closing) => return Err(Problem::shutting_down().into()),
                () = sink.closed() => return Ok(()),
            }
            // A large command counts as several: one for each KiB, and never more than there are.
            let kib = u32::try_from(command.as_ref().map_or(0, prost::Message::encoded_len) >> 10)
                .unwrap_or(u32::MAX);
            let more = kib.min(u32::from(IN_FLIGHT_MAX) - 1);
            let Ok(large) = Arc::clone(in_flight).acquire_many_owned(more).await else { return Ok(()) };
            permit.merge(large);
            let answer = move |result| Ok(ExecuteStreamResponse { correlation_id, result: Some(result) });
            let (writer, request) = match self.read_command(command.unwrap_or_default()).await {
                Ok(read) => read,
                Err(problem) => {
                    let _ = sink.send(answer(show_problem(problem))).await;
                    continue;
                }
            };
            let kind = request.command.kind();
            let mut fate: Pin<Box<dyn Future<Output = BatchResult> + Send>> =
                Box::pin(async move { show_result(kind, writer.submit(request, deadline).await) });
            // The first poll puts the command into the writer's queue. It is done here, in the order of the stream, so
            // that a hold can be placed and settled without waiting in between.
            let at_once = poll_fn(|context| Poll::Ready(fate.as_mut().poll(context))).await;
            let sink = sink.clone();
            tokio::spawn(async move {
                let result = match at_once {
                    Poll::Ready(result) => result,
                    Poll::Pending => fate.await,
                };
                let _ = sink.send(answer(result)).await;
                drop(permit);
            });
        }
    }

    async fn read_command(&self, command: BatchCommand) -> Result<(Writer, ledger::Request), Problem> {
        let (scope, command) =
            self.parse(command, |command, fields| read_batch_command(fields, command, None))?;
        let ledger = self.ledger(scope.ledger_or_main()).await?;
        Ok((self.writer_of(&ledger), scope.request(ledger.no, command)))
    }
}

/// The outcome of one command, in brief: 10,000 of these fit the 4 MiB that clients take by default.
fn show_result(command: Option<Kind>, submitted: Submitted) -> BatchResult {
    match submitted {
        Ok(Ok(answer)) => {
            BatchResult { result: Some(batch_result::Result::Accepted(show_accepted(&answer))) }
        }
        Ok(Err(rejection)) => {
            let problem = Problem::from(rejection);
            show_problem(match command {
                Some(command) => problem.within(command),
                None => problem,
            })
        }
        Err(error) => show_problem(error),
    }
}

fn show_problem(problem: impl Into<Problem>) -> BatchResult {
    BatchResult { result: Some(batch_result::Result::Error(problem.into().into_batch_error())) }
}

fn show_accepted(answer: &Answer) -> BatchAccepted {
    BatchAccepted {
        posting_id: answer.posting.id.to_string(),
        sequence: convert::signed(answer.posting.sequence),
        replayed: answer.replayed,
        hold_id: convert::or_empty(answer.hold.as_ref().map(|hold| &hold.id)),
        available_credits: answer.balances.available.to_string(),
    }
}
