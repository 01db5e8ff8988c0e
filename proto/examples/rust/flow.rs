//! The whole flow with tonic and the crate's own client: `cargo run --example flow -- HOST:PORT CUSTOMER`.

use std::error::Error;
use std::fmt::Write as _;

use creditledger::grpc::wire::{watch_events_request::Start, watch_events_response::Item, *};
use tonic_types::StatusExt as _;

/// Runs it, and gives what there is to tell.
pub(crate) async fn flow(address: &str, customer: &str) -> Result<String, Box<dyn Error>> {
    let channel = tonic::transport::Endpoint::new(format!("http://{address}"))?.connect().await?;
    let mut customers = customer_service_client::CustomerServiceClient::new(channel.clone());
    let mut purchases = purchase_service_client::PurchaseServiceClient::new(channel.clone());
    let mut holds = hold_service_client::HoldServiceClient::new(channel.clone());
    let mut events = notification_service_client::NotificationServiceClient::new(channel);
    // Who asks, about whom. The request id makes it safe to send the same again.
    let ask = |request_id| Some(context(request_id, customer).by("flow.rs"));
    let mut told = String::new();
    let create = CreateCustomerRequest { context: ask("create"), ..Default::default() };
    let said = customers.create_customer(create).await?.into_inner().outcome();
    writeln!(told, "created: {} credits available", said.balance.unwrap_or_default().available_credits)?;
    let mut buy = PurchaseCreditsRequest { context: ask("buy"), credits: "10".into(), ..Default::default() };
    (buy.storefront, buy.order_id) = ("web".into(), customer.into());
    buy.price = Some(Money { currency_code: "EUR".into(), amount: "99.00".into() });
    let said = purchases.purchase_credits(buy).await?.into_inner().outcome();
    writeln!(told, "purchased: {} credits available", said.balance.unwrap_or_default().available_credits)?;
    let mut estimate = EstimateIncidentRequest { context: ask("estimate"), ..Default::default() };
    estimate.incident_id = "INC-1".into();
    estimate.quote = Some(estimate_incident_request::Quote::EstimatedSeconds(7200));
    let hold = holds.estimate_incident(estimate).await?.into_inner().outcome().hold.unwrap_or_default();
    writeln!(told, "estimated: {} credits, {}", hold.estimated_credits, hold.state().as_str_name())?;

    let target = Some(HoldTarget::hold(hold.hold_id));
    let confirm = ConfirmEstimateRequest { context: ask("confirm"), target: target.clone(), park: false };
    let said = holds.confirm_estimate(confirm).await?.into_inner().outcome().balance.unwrap_or_default();
    writeln!(told, "confirmed: {} credits available, {} held", said.available_credits, said.held_credits)?;
    let mut work = RecordWorkRequest { context: ask("work"), target: target.clone(), ..Default::default() };
    work.work_seconds = 5400;
    let work = holds.record_work(work).await?.into_inner().outcome().hold.unwrap_or_default().work;
    writeln!(told, "worked: {} seconds", work.unwrap_or_default().work_seconds)?;
    let settle = SettleHoldRequest { context: ask("settle"), target, ..Default::default() };
    let said = holds.settle_hold(settle.clone()).await?.into_inner().outcome();
    let (hold, balance) = (said.hold.unwrap_or_default(), said.balance.unwrap_or_default());
    let charged = hold.settlement.unwrap_or_default().charged_credits;
    writeln!(told, "settled: {charged} credits, {} available", balance.available_credits)?;

    let mut place = PlaceHoldRequest { context: ask("place"), ..Default::default() };
    place.incident_id = "INC-2".into();
    place.quote = Some(place_hold_request::Quote::Credits("25".into()));
    let refused = holds.place_hold(place).await.err().and_then(|status| status.get_details_error_info());
    let refused = refused.ok_or("taken, or refused without a reason")?;
    let mut metadata: Vec<_> = refused.metadata.iter().map(|(k, v)| format!(" {k}={v}")).collect();
    metadata.sort();
    writeln!(told, "refused: {}{}", refused.reason, metadata.concat())?;
    let said = holds.settle_hold(settle).await?.into_inner().outcome();
    let available = said.balance.unwrap_or_default().available_credits;
    writeln!(told, "repeated: replayed {}, {available} available", said.replayed)?;

    let mut watch = WatchEventsRequest { customer_id: customer.into(), ..Default::default() };
    (watch.start, watch.until_now) = (Some(Start::AfterPosition(0)), true);
    let (mut stream, mut what) = (events.watch_events(watch.clone()).await?.into_inner(), "watched:");
    while let Some(WatchEventsResponse { item, resume_token }) = stream.message().await? {
        let Some(Item::Event(event)) = item else { continue };
        write!(told, "{what} {}", event.r#type().as_str_name())?;
        if std::mem::take(&mut what) == "watched:" {
            // Or the connection breaks: what came last says where to go on.
            watch.start = Some(Start::ResumeToken(resume_token));
            (stream, what) = (events.watch_events(watch.clone()).await?.into_inner(), "\nresumed:");
        }
    }
    Ok(told)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().collect();
    println!("{}", Box::pin(flow(&words[1], &words[2])).await?);
    Ok(())
}
