//! `creditledger events`: what happened, a line an event, for people and for programs that read JSON lines.

use tonic::Streaming;

use super::Target;
use super::notices::{event, event_line};
use crate::app::Failure;
use crate::app::call::CallError;
use crate::app::output::print;
use crate::grpc::wire;
use wire::notification_service_client::NotificationServiceClient;
use wire::watch_events_response::Item;

/// Show events: what happened to credits, a line each
///
/// Without --follow it shows what is there and ends. With it, it goes on until Ctrl-C, and begins with what comes, unless
/// it is told where to begin.
#[derive(Clone, Debug, clap::Args)]
pub struct Events {
    /// Only of this customer
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer: String,
    /// Only of this type, such as balance.low; may be given several times
    #[arg(long = "type", value_parser = event_type, value_name = "TYPE")]
    types: Vec<wire::EventType>,
    /// Begin after this position of the journal
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(i64).range(0..))]
    after: Option<i64>,
    /// Wait for what comes
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

/// Reads `balance.low` as its number on the wire.
pub(super) fn event_type(name: &str) -> Result<wire::EventType, String> {
    let wire_name = format!("EVENT_TYPE_{}", name.replacen('.', "_", 1).to_ascii_uppercase());
    let known = wire::EventType::from_str_name(&wire_name);
    known
        .filter(|known| *known != wire::EventType::Unspecified && name.contains('.'))
        .ok_or_else(|| "a type of event such as balance.low or hold.quoted is needed".to_owned())
}

impl Events {
    /// Asks the server and prints what it tells.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        use wire::watch_events_request::Start;
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let from_start = (!self.follow).then_some(0);
        let mut request = wire::WatchEventsRequest {
            ledger_id: self.target.ledger.clone(),
            customer_id: self.customer,
            types: self.types.into_iter().map(i32::from).collect(),
            until_now: !self.follow,
            heartbeat_seconds: 0,
            start: self.after.or(from_start).map(Start::AfterPosition),
        };
        loop {
            let stream = client.watch_events(request.clone()).await.map_err(CallError::from)?.into_inner();
            match show(stream, self.target.json).await? {
                // It was too slow, as while its output waited for a reader.
                Some(token) => request.start = Some(Start::ResumeToken(token)),
                None => return Ok(()),
            }
        }
    }
}

/// Prints events until the stream ends; where it may be gone on with, the place.
async fn show(
    mut stream: Streaming<wire::WatchEventsResponse>,
    json: bool,
) -> Result<Option<String>, Failure> {
    loop {
        let message = match stream.message().await {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(None),
            Err(status) => {
                let mut error = CallError::from(status);
                return error
                    .metadata
                    .remove("resume_token")
                    .map_or(Err(error.into()), |token| Ok(Some(token)));
            }
        };
        if let Some(Item::Event(told)) = &message.item {
            print(&if json { event(told).to_json_line() } else { event_line(told) })?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::event_type;
    use crate::grpc::wire::EventType;
    use crate::ledger::event::EventType as Known;

    #[test]
    fn types_have_the_names_of_the_core() {
        for known in Known::ALL {
            assert_eq!(event_type(known.name()).map(i32::from), Ok(known.code().into()));
        }
        for bad in ["", "balance", "balance_low", "BALANCE.LOWER", "unspecified", "balance.low.er"] {
            assert!(event_type(bad).is_err(), "{bad}");
        }
        assert_eq!(event_type("hold.nearly_used"), Ok(EventType::HoldNearlyUsed));
    }
}
