//! Commands on a stream: answered as soon as they are decided, with a bound on those in flight.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Instant;

use tokio::sync::{Semaphore, mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};
use tracing::Instrument as _;

use crate::ledger::Request;

use super::Api;
use super::batch_service::{show_problem, show_result};
use super::command::read_batch_command;
use super::parse::parse;
use super::status::Problem;
use super::wire::{BatchCommand, BatchResult, ExecuteStreamRequest, ExecuteStreamResponse};

/// What a caller of ExecuteStream reads from.
pub type AnswerStream = ReceiverStream<Result<ExecuteStreamResponse, Status>>;

/// Commands in flight on one stream. Beyond it nothing more is read, so that the caller is held back by the flow
/// control of its connection instead of by refusals.
const IN_FLIGHT_MAX: u16 = 1_024;

type Sink = mpsc::Sender<Result<ExecuteStreamResponse, Status>>;

impl Api {
    /// Answers to the commands that come in.
    pub(super) fn answer_stream(
        self,
        commands: Streaming<ExecuteStreamRequest>,
        deadline: Option<Instant>,
    ) -> AnswerStream {
        let (sink, source) = mpsc::channel(IN_FLIGHT_MAX.into());
        let task = async move {
            let in_flight = Arc::new(Semaphore::new(IN_FLIGHT_MAX.into()));
            if let Err(problem) = self.read_stream(commands, deadline, &sink, &in_flight).await {
                // An error ends the stream. What is in flight is answered first: its sender would else have to ask
                // for its fate.
                tokio::select! {
                    _ = in_flight.acquire_many(IN_FLIGHT_MAX.into()) => {}
                    () = sink.closed() => return,
                }
                // Where the caller has gone away there is nobody to tell.
                let _ = sink.send(Err(problem.into())).await;
            }
        };
        tokio::spawn(task.in_current_span());
        ReceiverStream::new(source)
    }

    async fn read_stream(
        self,
        mut commands: Streaming<ExecuteStreamRequest>,
        deadline: Option<Instant>,
        sink: &Sink,
        in_flight: &Arc<Semaphore>,
    ) -> Result<(), Problem> {
        let mut closing = self.closing.subscribe();
        loop {
            let Ok(permit) = Arc::clone(in_flight).acquire_owned().await else { return Ok(()) };
            let message = tokio::select! {
                message = commands.message() => message.map_err(|status| Problem::before_the_service(&status))?,
                _ = closing.wait_for(|closing| *closing) => return Err(Problem::shutting_down()),
                () = sink.closed() => return Ok(()),
            };
            let Some(ExecuteStreamRequest { correlation_id, command }) = message else { return Ok(()) };
            let answer = move |result| Ok(ExecuteStreamResponse { correlation_id, result: Some(result) });
            let request = match self.read_one(command.unwrap_or_default()).await {
                Ok(request) => request,
                Err(problem) => {
                    let _ = sink.send(answer(show_problem(problem))).await;
                    continue;
                }
            };
            let writer = self.writer.clone();
            let kind = request.command.kind();
            let mut fate: Pin<Box<dyn Future<Output = BatchResult> + Send>> =
                Box::pin(async move { show_result(kind, writer.submit(request, deadline).await) });
            // The first poll puts the command into the writer's queue: done here, in the order of the stream, so that
            // a hold can be placed and settled without waiting in between.
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

    async fn read_one(&self, command: BatchCommand) -> Result<Request, Problem> {
        let (scope, command) = parse(command, |command, fields| read_batch_command(fields, command, None))?;
        Ok(self.request(scope, command).await?)
    }
}
