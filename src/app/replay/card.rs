//! Selects the rate card that a file is replayed under.

use crate::app::call::CallError;
use crate::app::client::apply::{newest, same_as_newest};
use crate::app::client::target::new_request_id;
use crate::app::connect::Channel;
use crate::app::failure::Failure;
use crate::cards;
use crate::grpc::{rate_card_message, wire};
use wire::rate_card_service_client::RateCardServiceClient;

/// Makes a preset, or the card of a file, the default of the ledger. A second run changes nothing, because then it is
/// the default already.
pub async fn use_card(channel: &Channel, ledger: &str, name: &str) -> Result<(), Failure> {
    let file = cards::read(name).map_err(|error| Failure::Other(error.to_string()))?;
    let mut client = RateCardServiceClient::new(channel.clone());
    if same_as_newest(channel, ledger, &file.card).await?.is_none() {
        let request = wire::CreateRateCardRequest {
            context: Some(context(ledger)?),
            rate_card: Some(rate_card_message(&file.card, None, false)),
        };
        client.create_rate_card(request).await.map_err(CallError::from)?;
    }
    let id = file.card.card.id.to_string();
    if newest(channel, ledger, &id).await?.is_some_and(|card| card.is_default) {
        return Ok(());
    }
    let request = wire::SetDefaultRateCardRequest { context: Some(context(ledger)?), rate_card_id: id };
    client.set_default_rate_card(request).await.map_err(CallError::from)?;
    Ok(())
}

fn context(ledger: &str) -> Result<wire::CommandContext, Failure> {
    Ok(wire::context(new_request_id()?, "").ledger(ledger).by("replay"))
}
