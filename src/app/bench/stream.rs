//! Holds on one ExecuteStream, with many in flight. The correlation id gives each command's time.

use std::time::Instant;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::caller::{Caller, must_be_accepted};
use super::load::{Load, incident};
use super::measure::{Measured, micros_since, no_times};
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::grpc::wire;
use wire::batch_command::Command;
use wire::batch_service_client::BatchServiceClient;

/// Sends holds with the numbers from `first` on, and the next one after each answer.
///
/// # Errors
/// [`Failure`] where one is refused.
pub(super) async fn measure_stream(caller: &Caller, load: Load) -> Result<Measured, Failure> {
    let Load { crowd, first, in_flight, lasts, .. } = load;
    let mut times_us = no_times()?;
    let (sender, commands) = mpsc::channel(in_flight.max(1));
    let mut sender = Some(sender);
    let mut sent: Vec<Instant> = Vec::new();
    let start = Instant::now();
    let next = |sent: &mut Vec<Instant>| {
        let number = first.saturating_add(sent.len());
        let hold = caller.hold(number, crowd.customer(number), incident(number));
        let correlation_id = i64::try_from(sent.len()).unwrap_or(i64::MAX);
        sent.push(Instant::now());
        let command = Some(wire::BatchCommand { command: Some(Command::PlaceHold(hold)) });
        wire::ExecuteStreamRequest { correlation_id, command }
    };
    let broken = || CallError::unexpected("stream");
    if let Some(sender) = &sender {
        for _ in 0..in_flight {
            // The channel has room for them.
            sender.send(next(&mut sent)).await.map_err(|_| broken())?;
        }
    }
    let mut client = BatchServiceClient::new(caller.channel(0));
    let answers = client.execute_stream(ReceiverStream::new(commands)).await.map_err(CallError::from)?;
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await.map_err(CallError::from)? {
        let wire::ExecuteStreamResponse { correlation_id, result } = answer;
        must_be_accepted(&result.ok_or_else(broken)?)?;
        let begun = usize::try_from(correlation_id).ok().and_then(|place| sent.get(place));
        times_us.saturating_record(micros_since(*begun.ok_or_else(broken)?));
        if start.elapsed() >= lasts {
            // The server ends the stream when it has answered what is in flight.
            sender = None;
        } else if let Some(sender) = &sender {
            sender.send(next(&mut sent)).await.map_err(|_| broken())?;
        }
    }
    let measured = Measured { elapsed: start.elapsed(), times_us };
    if measured.calls() == sent.len() { Ok(measured) } else { Err(broken().into()) }
}
