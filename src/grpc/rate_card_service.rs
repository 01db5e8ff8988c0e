//! RateCardService: price lists, and what work would cost.

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::clock;
use crate::ledger::card::{CardRef, RateCard as Card};
use crate::ledger::command::NewWork;
use crate::ledger::ids::{CardId, LineId, PackageId};
use crate::ledger::job::{Circumstances, PriceInputs, WorkPart};
use crate::ledger::price::price;
use crate::ledger::{ClassId, CustomerId, LedgerId, LedgerNo, Rejection, Terms};

use super::hold_commands::read_labels;
use super::parse::{Amount, Fields, parse};
use super::wire::rate_card_service_server::RateCardService;
use super::wire::*;
use super::{Api, PAGE_BYTES_MAX, card_messages};

#[async_trait]
impl RateCardService for Api {
    async fn get_rate_card(
        &self,
        request: Request<GetRateCardRequest>,
    ) -> Result<Response<GetRateCardResponse>, Status> {
        let (ledger, named) = parse(request.into_inner(), |message, fields| {
            let GetRateCardRequest { ledger_id, rate_card_id, version } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let named = read_named(fields, &rate_card_id, version);
            Some((ledger?, named?))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let card = self.find_card(ledger, &named, None)?;
        Ok(Response::new(GetRateCardResponse { rate_card: Some(self.shown(ledger, &card)) }))
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
        let all = self.cards.all(ledger);
        let listed =
            page.take_from(&("rate cards", ledger), all.into_iter().map(|card| Card::clone(card)))?;
        let show = |card: &Card| self.shown(ledger, card);
        let (rate_cards, next_page_token) = listed.show(PAGE_BYTES_MAX, show, Message::encoded_len);
        Ok(Response::new(ListRateCardsResponse { rate_cards, next_page_token }))
    }

    async fn preview_charge(
        &self,
        request: Request<PreviewChargeRequest>,
    ) -> Result<Response<PreviewChargeResponse>, Status> {
        let Preview { ledger, customer, named, inputs } = parse(request.into_inner(), read_preview)?;
        let ledger = self.ledger(&ledger).await?;
        let terms = match customer {
            Some(customer) => self.reader.customer(ledger, &customer).await?.state.terms,
            None => Terms::default(),
        };
        let Terms { rate_card, package, product_purchased_on } = terms;
        let inputs = PriceInputs {
            package: inputs.package.clone().or(package),
            product_purchased_on: inputs.product_purchased_on.or(product_purchased_on),
            ..inputs
        };
        let card = self.find_card(ledger, &named, rate_card.as_ref())?;
        let receipt = price(&card, &inputs)?;
        Ok(Response::new(PreviewChargeResponse {
            credits: receipt.credits.to_string(),
            steps: receipt.steps.iter().map(card_messages::step).collect(),
            rate_card: Some(card_messages::card_ref(&card.card)),
        }))
    }
}

/// Which card a request names: none, the newest version of one, or a version.
type Named = (Option<CardId>, u32);

fn read_named(fields: &mut Fields, rate_card_id: &str, version: i32) -> Option<Named> {
    let card = fields.optional("rate_card_id", rate_card_id, CardId::parse);
    let version = fields.number("version", version.into(), i32::MAX.unsigned_abs().into());
    Some((card?, u32::try_from(version?).ok()?))
}

/// What a preview asks for.
struct Preview {
    ledger: LedgerId,
    customer: Option<CustomerId>,
    named: Named,
    inputs: PriceInputs,
}

fn read_preview(message: PreviewChargeRequest, fields: &mut Fields) -> Option<Preview> {
    let PreviewChargeRequest {
        ledger_id,
        customer_id,
        incident_class,
        work_seconds,
        opened_at,
        confirmed_quote_credits,
        rate_card_id,
        version,
        package,
        labels,
        emergency,
        kb_answered,
        work,
        charged_before_credits,
        solutions,
        product_purchase_date,
    } = message;
    let ledger = fields.ledger_or_main(&ledger_id);
    let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
    let named = read_named(fields, &rate_card_id, version);
    let class = fields.optional("incident_class", &incident_class, ClassId::parse);
    let seconds = fields.number("work_seconds", work_seconds, NewWork::SECONDS_MAX);
    let opened_at = fields.time("opened_at", opened_at);
    let quote = confirmed_quote_credits.as_deref();
    let quote = fields.optional_credits("confirmed_quote_credits", quote, Amount::AtLeastZero);
    let package = fields.optional("package", &package, PackageId::parse);
    let labels = read_labels(fields, labels);
    let before = charged_before_credits.as_deref();
    let before = fields.optional_credits("charged_before_credits", before, Amount::AtLeastZero);
    let solutions = fields.number("solutions", solutions.into(), NewWork::SOLUTIONS_MAX.into());
    let bought = fields.day("product_purchase_date", &product_purchase_date);
    let pieces = read_pieces(fields, work);
    if seconds.is_some_and(|seconds| seconds > 0) && pieces.as_ref().is_some_and(|pieces| !pieces.is_empty())
    {
        return fields.refuse("work_seconds", "must be 0 where the pieces of work are given");
    }
    let mut inputs = PriceInputs {
        class: class?,
        opened_on: opened_at?.unwrap_or_else(clock::now).day(),
        product_purchased_on: bought?,
        confirmed_quote: quote?,
        charged_before: before?.unwrap_or_default(),
        package: package?,
        circumstances: Circumstances { labels: labels?, emergency, kb_answered },
        ..PriceInputs::default()
    };
    let whole = WorkPart { seconds: seconds?, ..WorkPart::default() };
    let pieces = pieces?;
    inputs.add_work(pieces.iter().map(NewWork::part).chain(pieces.is_empty().then_some(whole)));
    inputs.solutions = inputs.solutions.saturating_add(u32::try_from(solutions?).ok()?);
    Some(Preview { ledger: ledger?, customer: customer?, named: named?, inputs })
}

fn read_pieces(fields: &mut Fields, work: Vec<PreviewWork>) -> Option<Vec<NewWork>> {
    const PIECES_MAX: usize = 1_000;
    if work.len() > PIECES_MAX {
        return fields.refuse("work", format!("must be at most {PIECES_MAX}"));
    }
    fields.each("work", work, |fields, piece| {
        let PreviewWork { work_seconds, started_at, line, solutions } = piece;
        let seconds = fields.number("work_seconds", work_seconds, NewWork::SECONDS_MAX);
        let started_at = fields.time("started_at", started_at);
        let line = fields.optional("line", &line, LineId::parse);
        let solutions = fields.number("solutions", solutions.into(), NewWork::SOLUTIONS_MAX.into());
        Some(NewWork {
            seconds: seconds?,
            started_at: started_at?,
            line: line?,
            solutions: u32::try_from(solutions?).ok()?,
            ..NewWork::default()
        })
    })
}

impl Api {
    /// The card that a request names, else the customer's `own`, else the ledger's default.
    fn find_card(
        &self,
        ledger: LedgerNo,
        (id, version): &Named,
        own: Option<&CardId>,
    ) -> Result<Arc<Card>, Rejection> {
        let id = id.as_ref().or(own).unwrap_or_else(|| self.cards.default_card(ledger));
        let found = match version {
            0 => self.cards.newest(ledger, id),
            version => self.cards.get(ledger, &CardRef { id: id.clone(), version: *version }),
        };
        found.cloned().ok_or_else(|| Rejection::RateCardNotFound(id.clone()))
    }

    fn shown(&self, ledger: LedgerNo, card: &Card) -> RateCard {
        let default = self.cards.for_customer(ledger, None);
        card_messages::rate_card(card, default.is_some_and(|default| default.card == card.card))
    }
}
