//! `creditledger events`: a line for each event, for people, or JSON lines for programs.

use tonic::Streaming;

use super::arguments::event_type;
use super::show_events::{event, event_line};
use super::target::Target;
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::app::output::print;
use crate::grpc::wire;
use wire::notification_service_client::NotificationServiceClient;
use wire::watch_events_response::Item;

/// Show events: what happened to credits, a line each
///
/// Without --follow it shows the recorded events and ends. With --follow it begins with the next event, unless --after
/// names a position, and goes on until Ctrl-C.
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
    /// Wait for new events
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    target: Target,
}

impl Events {
    pub async fn run(self) -> Result<(), Failure> {
        use wire::watch_events_request::Start;
        let mut client = NotificationServiceClient::new(self.target.connect().await?);
        let from_start = (!self.follow).then_some(0);
        let mut request = wire::WatchEventsRequest {
            ledger_id: self.target.ledger(),
            customer_id: self.customer,
            types: self.types.into_iter().map(i32::from).collect(),
            until_now: !self.follow,
            heartbeat_seconds: 0,
            start: self.after.or(from_start).map(Start::AfterPosition),
        };
        loop {
            let stream = client.watch_events(request.clone()).await.map_err(CallError::from)?.into_inner();
            match show(stream, self.target.json).await? {
                // This client was too slow, for example while its output waited for a reader.
                Some(token) => request.start = Some(Start::ResumeToken(token)),
                None => return Ok(()),
            }
        }
    }
}

/// Prints events until the stream ends. Returns the token to resume a stream that the server cut off.
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
        if let Some(Item::Event(shown)) = &message.item {
            print(&if json { event(shown).json().to_string() } else { event_line(shown) })?;
        }
    }
}
