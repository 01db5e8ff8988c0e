//! RateCardService: rate cards, and what work would cost.

use std::sync::Arc;

use tonic::Request;

use crate::clock;
use crate::ledger::card::{CardChange, CardEdit, CardRef, CardRequest, Cards, RateCard as Card, check};
use crate::ledger::commands::NewWork;
use crate::ledger::ids::{CardId, PackageId};
use crate::ledger::job::{Circumstances, PriceInputs, WorkTime};
use crate::ledger::price::price;
use crate::ledger::rules::Rules;
use crate::ledger::work::WorkPart;
use crate::ledger::{ClassId, CustomerId, LedgerNo, Rejection, Terms, Timestamp};
use crate::query::{ClassStatsFilter, ReadError};
use crate::writer::CardsChanged;

use super::api::{Call, LedgerCommand, NamedLedger, Reply, show_page};
use super::card_requests::{named, read_rate_card};
use super::command::ledger_outcome;
use super::context::Keeps;
use super::convert;
use super::hold_commands::read_work;
use super::parse::{Amount, Fields};
use super::status::Problem;
use super::wire::*;

impl Call {
    pub(super) async fn create_rate_card(
        &self,
        request: Request<CreateRateCardRequest>,
    ) -> Reply<CreateRateCardResponse> {
        let read = |message, fields: &mut Fields| {
            let CreateRateCardRequest { context: _, rate_card } = message;
            match rate_card {
                Some(card) => fields.within("rate_card", |fields| read_rate_card(fields, card)),
                None => fields.refuse("rate_card", "must be given"),
            }
        };
        let (command, card) = self.read_ledger_command(request, Keeps::By, read).await?;
        let warnings = check(&card).warnings;
        let ledger = command.ledger.clone();
        let (change, replayed, cards) = self.change_cards(command, CardEdit::Card(Arc::new(card))).await?;
        // Request ids are kept by the kind of change, so this change made a card.
        let card = match change.changed {
            CardEdit::Card(card) => card,
            CardEdit::Default(id) => find_card(&cards, ledger.no, &(Some(id), 0), None)?,
        };
        let warnings = warnings.iter().map(named).map(|(field, text)| RateCardWarning { field, text });
        Ok(CreateRateCardResponse {
            outcome: Some(ledger_outcome(replayed)),
            rate_card: Some(show_card(&cards, &ledger, &card)),
            warnings: warnings.collect(),
        })
    }

    pub(super) async fn set_default_rate_card(
        &self,
        request: Request<SetDefaultRateCardRequest>,
    ) -> Reply<SetDefaultRateCardResponse> {
        let read = |message, fields: &mut Fields| {
            let SetDefaultRateCardRequest { context: _, rate_card_id } = message;
            fields.take("rate_card_id", CardId::parse(&rate_card_id))
        };
        let (command, id) = self.read_ledger_command(request, Keeps::By, read).await?;
        let ledger = command.ledger.clone();
        let (_, replayed, cards) = self.change_cards(command, CardEdit::Default(id.clone())).await?;
        let card = find_card(&cards, ledger.no, &(Some(id), 0), None)?;
        let rate_card = Some(show_card(&cards, &ledger, &card));
        Ok(SetDefaultRateCardResponse { outcome: Some(ledger_outcome(replayed)), rate_card })
    }

    /// Makes a change, or finds that the same request made it before. The cards are those after it, from the writer:
    /// nothing is read after the commit.
    async fn change_cards(
        &self,
        command: LedgerCommand,
        change: CardEdit,
    ) -> Reply<(CardChange, bool, Arc<Cards>)> {
        let LedgerCommand { ledger, request, by, reason: _, deadline } = command;
        let request = CardRequest { ledger: ledger.no, request, change, by };
        let (changed, cards) = self.writer.change_cards(request, deadline).await?;
        match changed {
            CardsChanged::Made { change, replayed } => Ok((change, replayed, cards)),
            CardsChanged::Rejected(rejection) => Err(rejection.into()),
            CardsChanged::TooMany => Err(Problem::too_many_rate_cards().into()),
        }
    }

    pub(super) async fn get_rate_card(&self, message: GetRateCardRequest) -> Reply<GetRateCardResponse> {
        let read = |message, fields: &mut Fields| {
            let GetRateCardRequest { ledger_id: _, rate_card_id, version } = message;
            read_named(fields, &rate_card_id, version)
        };
        let (ledger, named) = self.read(message, read).await?;
        let cards = self.reader.cards().await?;
        let card = find_card(&cards, ledger.no, &named, None)?;
        Ok(GetRateCardResponse { rate_card: Some(show_card(&cards, &ledger, &card)) })
    }

    pub(super) async fn list_rate_cards(
        &self,
        message: ListRateCardsRequest,
    ) -> Reply<ListRateCardsResponse> {
        let read = |message, fields: &mut Fields| {
            let ListRateCardsRequest { ledger_id: _, page_size, page_token } = message;
            fields.page(page_size, page_token)
        };
        let (ledger, page) = self.read(message, read).await?;
        let cards = self.reader.cards().await?;
        let all = cards.all(ledger.no).into_iter().map(|card| Card::clone(card));
        let listed = page.take_from(&("rate cards", ledger.no), all)?;
        let (rate_cards, next_page_token) = show_page(listed, |card| show_card(&cards, &ledger, card));
        Ok(ListRateCardsResponse { rate_cards, next_page_token })
    }

    pub(super) async fn preview_charge(&self, message: PreviewChargeRequest) -> Reply<PreviewChargeResponse> {
        let (ledger, Preview { customer, named, subject }) = self.read(message, read_preview).await?;
        let terms = match &customer {
            Some(customer) => self.reader.customer(ledger.no, customer).await?.state.terms,
            None => Terms::default(),
        };
        let Terms { rate_card, package, product_purchased_on, top_up: _ } = terms;
        let cards = self.reader.cards().await?;
        let card = find_card(&cards, ledger.no, &named, rate_card.as_ref())?;
        let rate_card = Some(convert::card_ref(&card.card));
        match (subject, customer) {
            (Subject::Period(period, token), Some(customer)) => {
                let _place = self.long_read().await?;
                let what_if = self.reader.what_if(ledger.no, &customer, &card, period, token).await?;
                Ok(PreviewChargeResponse {
                    credits: what_if.preview.to_string(),
                    steps: Vec::new(),
                    rate_card,
                    what_if: Some(convert::what_if(&what_if)),
                })
            }
            // Parsing makes sure that a period has a customer.
            (Subject::Period(..), None) => Err(ReadError::CustomerNotFound.into()),
            (Subject::Work(inputs), _) => {
                let inputs = PriceInputs {
                    package: inputs.package.clone().or(package),
                    product_purchased_on: inputs.product_purchased_on.or(product_purchased_on),
                    ..*inputs
                };
                let receipt = price(&card, &inputs)?;
                Ok(PreviewChargeResponse {
                    credits: receipt.credits.to_string(),
                    steps: receipt.steps.iter().map(convert::step).collect(),
                    rate_card,
                    what_if: None,
                })
            }
        }
    }

    pub(super) async fn get_incident_class_stats(
        &self,
        message: GetIncidentClassStatsRequest,
    ) -> Reply<GetIncidentClassStatsResponse> {
        let read = |message, fields: &mut Fields| {
            let GetIncidentClassStatsRequest {
                ledger_id: _,
                incident_class,
                created_from,
                created_until,
                page_size,
                page_token,
            } = message;
            let class = fields.optional("incident_class", &incident_class, ClassId::parse);
            let from = fields.time("created_from", created_from);
            let until = fields.time("created_until", created_until);
            let page = fields.page(page_size, page_token);
            Some((class?, from?, until?, page?))
        };
        let (ledger, (class, from, until, page)) = self.read(message, read).await?;
        let filter = ClassStatsFilter { ledger: ledger.no, class, from, until };
        let _place = self.long_read().await?;
        let listed = self.reader.class_stats(&filter, &page).await?;
        let (classes, next_page_token) = show_page(listed, convert::class_stats);
        Ok(GetIncidentClassStatsResponse { classes, next_page_token })
    }
}

/// The card that a request names: none, the newest version of one, or one version.
type Named = (Option<CardId>, u32);

fn read_named(fields: &mut Fields, rate_card_id: &str, version: i32) -> Option<Named> {
    let card = fields.optional("rate_card_id", rate_card_id, CardId::parse);
    let version = fields.count("version", version, i32::MAX.unsigned_abs());
    card.zip(version)
}

/// A preview request, parsed.
struct Preview {
    customer: Option<CustomerId>,
    named: Named,
    subject: Subject,
}

enum Subject {
    /// Work that has not been done.
    Work(Box<PriceInputs>),
    /// Settlements from one time until another; then the place where the page begins.
    Period((Option<Timestamp>, Option<Timestamp>), String),
}

fn read_preview(message: PreviewChargeRequest, fields: &mut Fields) -> Option<Preview> {
    let PreviewChargeRequest {
        ledger_id: _,
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
        work_before,
    } = message;
    let customer = fields.optional_customer(&customer_id);
    let named = read_named(fields, &rate_card_id, version);
    let class = fields.optional("incident_class", &incident_class, ClassId::parse);
    let seconds = fields.number("work_seconds", work_seconds.into(), NewWork::SECONDS_MAX);
    let opened_at = fields.time("opened_at", opened_at);
    let quote =
        fields.optional_credits("confirmed_quote_credits", confirmed_quote_credits, Amount::AtLeastZero);
    let package = fields.optional("package", &package, PackageId::parse);
    let labels = fields.labels(labels);
    let before =
        fields.optional_credits("charged_before_credits", charged_before_credits, Amount::AtLeastZero);
    let solutions = fields.count("solutions", solutions, NewWork::SOLUTIONS_MAX);
    let bought = fields.day("product_purchase_date", product_purchase_date);
    let pieces = read_pieces(fields, "work", work);
    let before_is_named = !work_before.is_empty();
    let time_before = read_pieces(fields, "work_before", work_before);
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
    let before = before?;
    if before.is_some() && before_is_named {
        return fields.refuse("charged_before_credits", "must not be set where work_before is given");
    }
    let (from, until) = (from?, until?);
    let mut inputs = PriceInputs {
        class: class?,
        opened_on: opened_at?.unwrap_or_else(clock::now).day(),
        product_purchased_on: bought?,
        confirmed_quote: quote?,
        charged_before: before.unwrap_or_default(),
        before: time_before?.iter().map(time_of).reduce(|before, time| before.with(&time)),
        rules: if before.is_some() { Rules::First } else { Rules::CURRENT },
        package: package?,
        circumstances: Circumstances { labels: labels?, emergency, kb_answered },
        ..PriceInputs::default()
    };
    let whole = WorkPart { seconds: seconds?, ..WorkPart::default() };
    let pieces = pieces?;
    inputs.add_work(pieces.iter().map(NewWork::part).chain(pieces.is_empty().then_some(whole)));
    inputs.solutions = inputs.solutions.saturating_add(solutions?);
    let subject =
        if is_period { Subject::Period((from, until), page_token) } else { Subject::Work(Box::new(inputs)) };
    Some(Preview { customer: customer?, named: named?, subject })
}

/// The time of one piece, as if it had a hold of its own.
fn time_of(piece: &NewWork) -> WorkTime {
    let mut inputs = PriceInputs::default();
    inputs.add_work(std::iter::once(piece.part()));
    inputs.time()
}

fn read_pieces(fields: &mut Fields, name: &'static str, work: Vec<PreviewWork>) -> Option<Vec<NewWork>> {
    const PIECES_MAX: usize = 1_000;
    if work.len() > PIECES_MAX {
        return fields.refuse(name, format!("must be at most {PIECES_MAX}"));
    }
    fields.each(name, work, |fields, piece| {
        let PreviewWork { work_seconds, started_at, line, solutions } = piece;
        read_work(fields, work_seconds, started_at, &line, solutions)
    })
}

/// The card that a request names, or the customer's `own`, or the ledger's default.
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

fn show_card(cards: &Cards, ledger: &NamedLedger, card: &Card) -> RateCard {
    let default = cards.for_customer(ledger.no, None);
    convert::rate_card(card, Some(&ledger.id), default.is_some_and(|default| default.card == card.card))
}
