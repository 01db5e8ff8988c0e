//! Brings a rate card from a file into a ledger, without adding the same version twice.

use crate::app::call::CallError;
use crate::app::connect::Channel;
use crate::grpc::{rate_card_message, wire};
use crate::ledger::RateCard;
use wire::ErrorReason;
use wire::rate_card_service_client::RateCardServiceClient;

/// The newest version of a card; `None` if the ledger does not have the card.
pub async fn newest(
    channel: &Channel,
    ledger: &str,
    card: &str,
) -> Result<Option<wire::RateCard>, CallError> {
    let request =
        wire::GetRateCardRequest { ledger_id: ledger.to_owned(), rate_card_id: card.to_owned(), version: 0 };
    let answer = RateCardServiceClient::new(channel.clone()).get_rate_card(request).await;
    match answer.map_err(CallError::from) {
        Ok(answer) => Ok(answer.into_inner().rate_card),
        Err(error) if error.is(ErrorReason::RateCardNotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The newest version, if it equals this card.
pub async fn same_as_newest(
    channel: &Channel,
    ledger: &str,
    card: &RateCard,
) -> Result<Option<wire::RateCard>, CallError> {
    let wanted = rate_card_message(card, None, false);
    let is_same = |newest: &wire::RateCard| {
        wanted
            == (wire::RateCard {
                ledger_id: String::new(),
                version: wanted.version,
                is_default: false,
                ..newest.clone()
            })
    };
    Ok(newest(channel, ledger, card.card.id.as_str()).await?.filter(is_same))
}
