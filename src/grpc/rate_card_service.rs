//! RateCardService: price lists, and what work would cost.

use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::clock;
use crate::ledger::card::{CardRef, RateCard as Card};
use crate::ledger::command::NewWork;
use crate::ledger::ids::CardId;
use crate::ledger::price::{PriceInputs, price};
use crate::ledger::{ClassId, Credits, CustomerId, Rejection, Terms, Text};

use super::parse::{Amount, parse};
use super::wire::rate_card_service_server::RateCardService;
use super::wire::*;
use super::{Api, PAGE_BYTES_MAX, convert};

#[async_trait]
impl RateCardService for Api {
    async fn get_rate_card(
        &self,
        request: Request<GetRateCardRequest>,
    ) -> Result<Response<GetRateCardResponse>, Status> {
        let (ledger, card, version) = parse(request.into_inner(), |message, fields| {
            let GetRateCardRequest { ledger_id, rate_card_id, version } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let card = fields.optional("rate_card_id", &rate_card_id, CardId::parse);
            let version = fields.number("version", version.into(), i32::MAX.unsigned_abs().into());
            Some((ledger?, card?, u32::try_from(version?).ok()?))
        })?;
        self.ledger(&ledger).await?;
        let default = self.cards.default_card();
        let id = card.unwrap_or_else(|| default.id.clone());
        let found = match version {
            0 => self.cards.newest(&id),
            version => self.cards.get(&CardRef { id: id.clone(), version }),
        };
        let card = found.ok_or(Rejection::RateCardNotFound(id))?;
        Ok(Response::new(GetRateCardResponse { rate_card: Some(convert::rate_card(card, default)) }))
    }

    async fn list_rate_cards(
        &self,
        request: Request<ListRateCardsRequest>,
    ) -> Result<Response<ListRateCardsResponse>, Status> {
        let (ledger, page) = parse(request.into_inner(), |message, fields| {
            let ListRateCardsRequest { ledger_id, page_size, page_token } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let page = fields.page(page_size, page_token);
            Some((ledger?, page?))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let listed = page.take_from(&("rate cards", ledger), self.cards.iter().cloned())?;
        let default = self.cards.default_card();
        let show = |card: &Card| convert::rate_card(card, default);
        let (rate_cards, next_page_token) = listed.show(PAGE_BYTES_MAX, show, Message::encoded_len);
        Ok(Response::new(ListRateCardsResponse { rate_cards, next_page_token }))
    }

    async fn preview_charge(
        &self,
        request: Request<PreviewChargeRequest>,
    ) -> Result<Response<PreviewChargeResponse>, Status> {
        let (ledger, customer, mut inputs) = parse(request.into_inner(), |message, fields| {
            let PreviewChargeRequest {
                ledger_id,
                customer_id,
                incident_class,
                work_seconds,
                opened_at,
                confirmed_quote_credits,
            } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
            let class = fields.optional("incident_class", &incident_class, ClassId::parse);
            let seconds = fields.number("work_seconds", work_seconds, NewWork::SECONDS_MAX);
            let opened_at = fields.time("opened_at", opened_at);
            let quote = confirmed_quote_credits.as_deref();
            let quote = fields.optional_credits("confirmed_quote_credits", quote, Amount::AtLeastZero);
            let inputs = PriceInputs {
                class: class?,
                opened_on: opened_at?.unwrap_or_else(clock::now).day(),
                product_purchased_on: None,
                seconds: seconds?,
                confirmed_quote: quote?,
                charged_before: Credits::ZERO,
                waive_reason: Text::default(),
            };
            Some((ledger?, customer?, inputs))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let Terms { rate_card, package: _, product_purchased_on } = match customer {
            Some(customer) => self.reader.customer(ledger, &customer).await?.state.terms,
            None => Terms::default(),
        };
        inputs.product_purchased_on = product_purchased_on;
        let card = self.cards.for_customer(rate_card.as_ref()).ok_or_else(|| {
            Rejection::RateCardNotFound(rate_card.unwrap_or_else(|| self.cards.default_card().id.clone()))
        })?;
        let receipt = price(card, &inputs)?;
        Ok(Response::new(PreviewChargeResponse {
            credits: receipt.credits.to_string(),
            steps: receipt.steps.iter().map(convert::step).collect(),
            rate_card: Some(convert::card_ref(&card.card)),
        }))
    }
}
