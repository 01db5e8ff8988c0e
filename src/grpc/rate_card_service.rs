//! RateCardService: price lists, and what work would cost.

use std::sync::Arc;
use std::time::Instant;

use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::clock;
use crate::ledger::card::{CardChange, CardRef, CardRequest, Cards, Changed, RateCard as Card, check};
use crate::ledger::commands::NewWork;
use crate::ledger::ids::{CardId, LineId, PackageId};
use crate::ledger::job::{Circumstances, PriceInputs};
use crate::ledger::price::price;
use crate::ledger::work::WorkPart;
use crate::ledger::{ClassId, CustomerId, LedgerId, LedgerNo, Rejection, Terms, Timestamp};
use crate::query::{ClassStatsFilter, ReadError};
use crate::writer::CardsChanged;

use super::card_requests::{named, read_rate_card};
use super::command::bare_outcome;
use super::context::{BareScope, Keeps};
use super::hold_commands::read_labels;
use super::parse::{Amount, Fields, parse};
use super::status::Problem;
use super::wire::rate_card_service_server::RateCardService;
use super::wire::*;
use super::{Api, Deadline, PAGE_BYTES_MAX, card_messages};

#[async_trait]
impl RateCardService for Api {
    async fn create_rate_card(
        &self,
        request: Request<CreateRateCardRequest>,
    ) -> Result<Response<CreateRateCardResponse>, Status> {
        let deadline = Deadline::of(&request);
        let (scope, card) = parse(request.into_inner(), |message, fields| {
            let CreateRateCardRequest { context, rate_card } = message;
            let scope = fields.bare_context(context, Keeps::By);
            let card = match rate_card {
                Some(card) => fields.within("rate_card", |fields| read_rate_card(fields, card)),
                None => fields.refuse("rate_card", "must be given"),
            };
            Some((scope?, card?))
        })?;
        let id = scope.ledger_or_main();
        let ledger = self.ledger(&id).await?;
        let warnings = check(&card).warnings;
        let BareScope { ledger: _, request, by } = scope;
        let request = CardRequest { ledger, request, change: Changed::Card(Arc::new(card)), by };
        let (change, replayed) = self.change_cards(request, deadline).await?;
        let cards = self.reader.cards().await?;
        // The scope of a request id is its kind, so that what was made is a card.
        let card = match change.changed {
            Changed::Card(card) => card,
            Changed::Default(id) => find_card(&cards, ledger, &(Some(id), 0), None)?,
        };
        Ok(Response::new(CreateRateCardResponse {
            outcome: Some(bare_outcome(replayed)),
            rate_card: Some(shown(&cards, (&id, ledger), &card)),
            warnings: warnings
                .iter()
                .map(named)
                .map(|(field, text)| RateCardWarning { field, text })
                .collect(),
        }))
    }

    async fn set_default_rate_card(
        &self,
        request: Request<SetDefaultRateCardRequest>,
    ) -> Result<Response<SetDefaultRateCardResponse>, Status> {
        let deadline = Deadline::of(&request);
        let (scope, id) = parse(request.into_inner(), |message, fields| {
            let SetDefaultRateCardRequest { context, rate_card_id } = message;
            let scope = fields.bare_context(context, Keeps::By);
            let id = fields.take("rate_card_id", CardId::parse(&rate_card_id));
            Some((scope?, id?))
        })?;
        let ledger_id = scope.ledger_or_main();
        let ledger = self.ledger(&ledger_id).await?;
        let BareScope { ledger: _, request, by } = scope;
        let request = CardRequest { ledger, request, change: Changed::Default(id.clone()), by };
        let (_, replayed) = self.change_cards(request, deadline).await?;
        let cards = self.reader.cards().await?;
        let card = find_card(&cards, ledger, &(Some(id), 0), None)?;
        Ok(Response::new(SetDefaultRateCardResponse {
            outcome: Some(bare_outcome(replayed)),
            rate_card: Some(shown(&cards, (&ledger_id, ledger), &card)),
        }))
    }

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
        let no = self.ledger(&ledger).await?;
        let cards = self.reader.cards().await?;
        let card = find_card(&cards, no, &named, None)?;
        Ok(Response::new(GetRateCardResponse { rate_card: Some(shown(&cards, (&ledger, no), &card)) }))
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
        let no = self.ledger(&ledger).await?;
        let cards = self.reader.cards().await?;
        let all = cards.all(no);
        let listed = page.take_from(&("rate cards", no), all.into_iter().map(|card| Card::clone(card)))?;
        let show = |card: &Card| shown(&cards, (&ledger, no), card);
        let (rate_cards, next_page_token) = listed.show(PAGE_BYTES_MAX, show, Message::encoded_len);
        Ok(Response::new(ListRateCardsResponse { rate_cards, next_page_token }))
    }

    async fn preview_charge(
        &self,
        request: Request<PreviewChargeRequest>,
    ) -> Result<Response<PreviewChargeResponse>, Status> {
        let Preview { ledger, customer, named, subject } = parse(request.into_inner(), read_preview)?;
        let ledger = self.ledger(&ledger).await?;
        let terms = match &customer {
            Some(customer) => self.reader.customer(ledger, customer).await?.state.terms,
            None => Terms::default(),
        };
        let Terms { rate_card, package, product_purchased_on, top_up: _ } = terms;
        let cards = self.reader.cards().await?;
        let card = find_card(&cards, ledger, &named, rate_card.as_ref())?;
        let rate_card = Some(card_messages::card_ref(&card.card));
        match (subject, customer) {
            (Subject::Period(period, token), Some(customer)) => {
                let what_if = self.reader.what_if(ledger, &customer, &card, period, token).await?;
                Ok(Response::new(PreviewChargeResponse {
                    credits: what_if.preview.to_string(),
                    steps: Vec::new(),
                    rate_card,
                    what_if: Some(card_messages::what_if(&what_if)),
                }))
            }
            // Parsing sees to it that a period has a customer.
            (Subject::Period(..), None) => Err(ReadError::CustomerNotFound.into()),
            (Subject::Work(inputs), _) => {
                let inputs = PriceInputs {
                    package: inputs.package.clone().or(package),
                    product_purchased_on: inputs.product_purchased_on.or(product_purchased_on),
                    ..*inputs
                };
                let receipt = price(&card, &inputs)?;
                Ok(Response::new(PreviewChargeResponse {
                    credits: receipt.credits.to_string(),
                    steps: receipt.steps.iter().map(card_messages::step).collect(),
                    rate_card,
                    what_if: None,
                }))
            }
        }
    }

    async fn get_incident_class_stats(
        &self,
        request: Request<GetIncidentClassStatsRequest>,
    ) -> Result<Response<GetIncidentClassStatsResponse>, Status> {
        let (ledger, class, from, until, page) = parse(request.into_inner(), |message, fields| {
            let GetIncidentClassStatsRequest {
                ledger_id,
                incident_class,
                created_from,
                created_until,
                page_size,
                page_token,
            } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let class = fields.optional("incident_class", &incident_class, ClassId::parse);
            let from = fields.time("created_from", created_from);
            let until = fields.time("created_until", created_until);
            let page = fields.page(page_size, page_token);
            Some((ledger?, class?, from?, until?, page?))
        })?;
        let filter = ClassStatsFilter { ledger: self.ledger(&ledger).await?, class, from, until };
        let listed = self.reader.class_stats(&filter, &page).await?;
        let (classes, next_page_token) =
            listed.show(PAGE_BYTES_MAX, card_messages::class_stats, Message::encoded_len);
        Ok(Response::new(GetIncidentClassStatsResponse { classes, next_page_token }))
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
    subject: Subject,
}

/// What is priced.
enum Subject {
    /// Work that may be done.
    Work(Box<PriceInputs>),
    /// What was settled from one time until another; where the page begins.
    Period((Option<Timestamp>, Option<Timestamp>), String),
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
        created_from,
        created_until,
        page_token,
    } = message;
    let ledger = fields.ledger_or_main(&ledger_id);
    let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
    let named = read_named(fields, &rate_card_id, version);
    let class = fields.optional("incident_class", &incident_class, ClassId::parse);
    let seconds = fields.number("work_seconds", work_seconds.into(), NewWork::SECONDS_MAX);
    let opened_at = fields.time("opened_at", opened_at);
    let quote = confirmed_quote_credits.as_deref();
    let quote = fields.optional_credits("confirmed_quote_credits", quote, Amount::AtLeastZero);
    let package = fields.optional("package", &package, PackageId::parse);
    let labels = read_labels(fields, labels);
    let before = charged_before_credits.as_deref();
    let before = fields.optional_credits("charged_before_credits", before, Amount::AtLeastZero);
    let solutions = fields.number("solutions", solutions.into(), NewWork::SOLUTIONS_MAX.into());
    let bought = fields.day("product_purchase_date", product_purchase_date);
    let pieces = read_pieces(fields, work);
    let from = fields.time("created_from", created_from);
    let until = fields.time("created_until", created_until);
    let is_period = created_from.is_some() || created_until.is_some();
    if !is_period && !page_token.is_empty() {
        return fields.refuse("page_token", "must be empty without a period");
    }
    if is_period && customer_id.is_empty() {
        return fields.refuse("customer_id", "must be given with a period");
    }
    if seconds.is_some_and(|seconds| seconds > 0) && pieces.as_ref().is_some_and(|pieces| !pieces.is_empty())
    {
        return fields.refuse("work_seconds", "must be 0 where the pieces of work are given");
    }
    let (from, until) = (from?, until?);
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
    let subject =
        if is_period { Subject::Period((from, until), page_token) } else { Subject::Work(Box::new(inputs)) };
    Some(Preview { ledger: ledger?, customer: customer?, named: named?, subject })
}

fn read_pieces(fields: &mut Fields, work: Vec<PreviewWork>) -> Option<Vec<NewWork>> {
    const PIECES_MAX: usize = 1_000;
    if work.len() > PIECES_MAX {
        return fields.refuse("work", format!("must be at most {PIECES_MAX}"));
    }
    fields.each("work", work, |fields, piece| {
        let PreviewWork { work_seconds, started_at, line, solutions } = piece;
        let seconds = fields.number("work_seconds", work_seconds.into(), NewWork::SECONDS_MAX);
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
    /// Has a change made, or finds it made before by the same request.
    async fn change_cards(
        &self,
        request: CardRequest,
        deadline: Option<Instant>,
    ) -> Result<(CardChange, bool), Status> {
        match self.writer.change_cards(request, deadline).await? {
            CardsChanged::Made { change, replayed } => Ok((change, replayed)),
            CardsChanged::Rejected(rejection) => Err(rejection.into()),
            CardsChanged::TooMany => Err(Problem::too_many_rate_cards().into()),
        }
    }
}

/// The card that a request names, else the customer's `own`, else the ledger's default.
fn find_card(
    cards: &Cards,
    ledger: LedgerNo,
    (id, version): &Named,
    own: Option<&CardId>,
) -> Result<Arc<Card>, Rejection> {
    let id = id.as_ref().or(own).unwrap_or_else(|| cards.default_card(ledger));
    let found = match version {
        0 => cards.newest(ledger, id),
        version => cards.get(ledger, &CardRef { id: id.clone(), version: *version }),
    };
    found.cloned().ok_or_else(|| Rejection::RateCardNotFound(id.clone()))
}

fn shown(cards: &Cards, (id, ledger): (&LedgerId, LedgerNo), card: &Card) -> RateCard {
    let default = cards.for_customer(ledger, None);
    card_messages::rate_card(card, Some(id), default.is_some_and(|default| default.card == card.card))
}
