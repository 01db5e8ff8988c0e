//! Under which rate card a file is replayed.

use tonic::transport::Channel;

use crate::app::Failure;
use crate::app::apply::{newest, same_as_newest};
use crate::app::call::CallError;
use crate::grpc::{rate_card_message, wire};
use crate::ledger::PostingId;
use crate::{cards, clock};
use wire::rate_card_service_client::RateCardServiceClient;

/// Makes a preset, or the card of a file, the default of the ledger, where it is not yet: a second run changes nothing.
///
/// # Errors
/// [`Failure`] where it is no card, or the server does not take it.
pub async fn use_card(channel: &Channel, ledger: &str, name: &str) -> Result<(), Failure> {
    let file = cards::read(name).map_err(|error| Failure::Other(error.to_string()))?;
    let mut client = RateCardServiceClient::new(channel.clone());
    if same_as_newest(channel, ledger, &file.card).await?.is_none() {
        let request = wire::CreateRateCardRequest {
            ledger_id: ledger.to_owned(),
            request_id: new_id()?,
            rate_card: Some(rate_card_message(&file.card, false)),
            by: "replay".to_owned(),
        };
        client.create_rate_card(request).await.map_err(CallError::from)?;
    }
    let id = file.card.card.id.to_string();
    if newest(channel, ledger, &id).await?.is_some_and(|card| card.is_default) {
        return Ok(());
    }
    let request = wire::SetDefaultRateCardRequest {
        ledger_id: ledger.to_owned(),
        request_id: new_id()?,
        rate_card_id: id,
        by: "replay".to_owned(),
    };
    client.set_default_rate_card(request).await.map_err(CallError::from)?;
    Ok(())
}

fn new_id() -> Result<String, Failure> {
    let random = clock::random().map_err(Failure::Randomness)?;
    Ok(PostingId::new(clock::now(), 0, random).to_string())
}
