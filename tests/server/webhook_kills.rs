//! kill -9 between posting and delivery: what was posted arrives, whenever the server died.

use std::collections::BTreeSet;

use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::*;

use super::process::{Place, Server};
use super::receiver::{Message, Receiver, Reply};

const KILLS: u32 = 100;

fn start(place: &Place) -> Server {
    Server::start(place.command(&["--listen", "127.0.0.1:0", "--webhook-development"]))
}

async fn post(server: &Server, round: u32) -> bool {
    let mut holds = hold_service_client::HoldServiceClient::new(server.connect().await);
    for nth in 0..3 {
        let hold = PlaceHoldRequest {
            context: Some(context(format!("{round}-{nth}"), "acme")),
            incident_id: format!("{round}-{nth}"),
            quote: Some(place_hold_request::Quote::Credits("0".into())),
            ..Default::default()
        };
        if holds.place_hold(hold).await.is_err() {
            return false;
        }
    }
    true
}

fn taken(messages: &[Message]) -> BTreeSet<String> {
    messages.iter().filter(|message| message.taken).map(|message| message.id().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_arrives_though_the_server_is_killed_a_hundred_times() {
    let place = Place::new();
    let receiver = Receiver::start(|_| Reply::Status(200, None)).await;
    let server = start(&place);
    place.json(&["customer", "create", "acme", "--server", server.url(), "--json"]);
    let endpoint = CreateWebhookEndpointRequest {
        context: Some(context("1", "")),
        url: receiver.url.clone(),
        after_position: Some(0),
        ..Default::default()
    };
    let mut client = NotificationServiceClient::new(server.connect().await);
    client.create_webhook_endpoint(endpoint).await.unwrap();
    let mut server = Some(server);
    for round in 0..KILLS {
        let running = server.take().unwrap_or_else(|| start(&place));
        // Counted before: what is posted may have arrived by the time that it is answered.
        let before = receiver.messages().len();
        assert!(post(&running, round).await);
        // At once, or once something of what was posted so far has arrived: before, while and after it is noted.
        if round % 3 > 0 {
            receiver.until(|messages| messages.len() > before).await;
        }
        running.process.signal("KILL");
        assert!(!running.process.end().status.success());
    }
    let last = start(&place);
    let expected = last.event_ids(vec![]).await;
    assert_eq!(expected.len(), usize::try_from(3 * KILLS).unwrap());
    receiver.until(|messages| taken(messages) == expected).await;
    last.stop();
    place.verify();
}
