//! What people do about orders that wait: list them, say whose they are, close them, and have them tried again.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::applier::{Applier, case_of, note_recorded};
use super::apply_error::ApplyError;
use super::change::{Change, Changed};
use super::json::cut;
use super::kept::{Decision, Row};
use super::ledger_book::LedgerBook;
use super::order::{Entry, Line, Mapping, Origin, Unnamed, Worth, fingerprint, fingerprint_of_refunds};
use crate::clock;
use crate::ledger::book::Answer;
use crate::ledger::commands::{ClosePayment, CreateCustomer, PurchaseCredits};
use crate::ledger::fingerprint::Said;
use crate::ledger::payment::{PaymentEvent, suspense};
use crate::ledger::{
    Command, Credits, CustomerId, LedgerNo, Lot, OpenText, PostingId, Rejection, Request, RequestKey,
    Storefront,
};
use crate::query::{Listed, PageRequest, ReadError, keyed};
use crate::store::{OrderState, StoreError};
use crate::writer::SubmitError;

/// A waiting order, for people.
#[derive(Clone, Debug)]
pub struct WaitingOrder {
    pub row: Row,
    pub worth: Worth,
    /// How many of what; at most 50.
    pub products: Vec<String>,
}

keyed!(WaitingOrder => Uuid: |it| it.row.place.id);

/// Products of a waiting order that are shown.
const PRODUCTS_MAX: usize = 50;

/// What came of trying again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Orders that no longer wait.
    pub settled: u64,
    /// Orders that still do.
    pub waiting: u64,
}

/// Attempts at storing a decision while the shop tells more of its order.
const ATTEMPTS: usize = 8;

/// Orders that are tried again by one call.
pub const RETRIED_MAX: usize = 1_000;

impl Applier {
    /// Orders that wait, oldest first.
    ///
    /// # Errors
    /// [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn waiting(
        &self,
        ledger: LedgerNo,
        page: &PageRequest,
    ) -> Result<Listed<WaitingOrder>, ReadError> {
        let (after, bound) = page.open::<Uuid>(&("payments", ledger))?;
        let (rows, next) = self.queue.orders().waiting(ledger, None, after, page.limit).await?;
        let items: Vec<_> = rows.into_iter().map(|row| self.shown(row)).collect();
        Ok(Listed::new(items, next, bound))
    }

    fn shown(&self, row: Row) -> WaitingOrder {
        let Some(shop) = self.shop(&row) else {
            return WaitingOrder { row, worth: Worth::default(), products: Vec::new() };
        };
        let mapping = Mapping { shop, terms: row.kept.terms.as_ref() };
        let worth = super::order::worth(&row.kept.order, mapping);
        let content = super::order::content(&row.kept.order, mapping);
        let products =
            content.map(|content| content.lines.iter().take(PRODUCTS_MAX).map(Line::shown).collect());
        WaitingOrder { worth, products: products.unwrap_or_default(), row }
    }

    /// Records a waiting payment as a customer's purchase, and applies what else was told of its order. A repeat gets
    /// the same answer as a repeated purchase.
    ///
    /// # Errors
    /// [`ApplyError`]; [`Rejection::PaymentNotFound`] where none is kept under this id.
    pub async fn assign(
        &self,
        ledger: LedgerNo,
        id: PostingId,
        customer: CustomerId,
        credits: Option<Credits>,
        (request, said): (RequestKey, Said),
        deadline: Option<Instant>,
    ) -> Result<Answer, ApplyError> {
        let wrong = |field, problem: &str| Rejection::InvalidField { field, problem: problem.to_owned() };
        let mut row = self.kept_row(ledger, id).await?;
        let before = self.assigned_before(&row, &customer, &request).await?;
        if before.is_none() {
            row = self.about_to_assign(row).await?;
        }
        let shop = self.shop(&row).ok_or_else(gone)?;
        let mapping = Mapping { shop, terms: row.kept.terms.as_ref() };
        let bought = super::order::worth(&row.kept.order, mapping);
        let (order, price, of_before) = match &before {
            // A repeat asks for what was recorded then, whatever was told of the order since.
            Some(lot) => (lot.order.clone(), lot.price, Some(lot.credits)),
            None => (row.kept.order_id(), bought.price, None),
        };
        let order = order.ok_or(Rejection::PaymentNotFound)?;
        let credits = credits
            .or(of_before)
            .or(bought.credits)
            .ok_or_else(|| wrong("credits", "must be set: what was bought is not known"))?;
        let command = Command::PurchaseCredits(PurchaseCredits {
            storefront: row.place.storefront.clone(),
            order,
            credits,
            price,
            expires_at: None,
        });
        let decision = decision(&said, &format!("assigned {credits} credits to {customer}"), &request);
        let request = Request { ledger, customer, request: Some(request), said, command };
        let answer = self.writer.submit(request, deadline).await??;
        // The purchase is stored. Whatever fails from here on, nobody is told that nothing was done: a repeat with the
        // same request id does the rest.
        if !row.kept.decisions.iter().any(|noted| noted.request == decision.request) {
            let earlier = row.kept.decided.accepted.filter(|_| before.is_some());
            row.kept.decided.accepted = earlier.or(row.kept.decided.assigned);
            self.go_on(row, decision).await?;
        }
        Ok(answer)
    }

    /// The purchase of an order that this request recorded.
    async fn assigned_before(
        &self,
        row: &Row,
        customer: &CustomerId,
        request: &RequestKey,
    ) -> Result<Option<Arc<Lot>>, ApplyError> {
        let mut book = LedgerBook::new(&self.reader);
        for owned in book.own(row).await? {
            if owned.customer == *customer
                && book.request_of(row.place.ledger, customer, owned.lot.id.into()).await?.as_ref()
                    == Some(request)
            {
                return Ok(Some(owned.lot));
            }
        }
        Ok(None)
    }

    /// Stores which content a person is about to record a purchase for: wherever that is cut off, the purchase stands for
    /// just this, and not for what the shop tells of the order meanwhile.
    async fn about_to_assign(&self, mut row: Row) -> Result<Row, ApplyError> {
        for _ in 0..ATTEMPTS {
            if row.kept.waits.as_ref().map(|waits| waits.event) != Some(PaymentEvent::Paid) {
                let problem = "must be a payment whose event is PAID".to_owned();
                return Err(Rejection::InvalidField { field: "payment_id", problem }.into());
            }
            let shop = self.shop(&row).ok_or_else(gone)?;
            let mapping = Mapping { shop, terms: row.kept.terms.as_ref() };
            row.kept.decided.assigned = fingerprint(&row.kept.order, mapping);
            let (ledger, storefront) = (row.place.ledger, row.place.storefront.clone());
            let change = Change::Put { place: row.place, kept: Box::new(row.kept) };
            match self.queue.change_one(ledger, &storefront, change).await? {
                Changed::Row(stored) => return Ok(*stored),
                Changed::Stale(Some(newer)) => row = *newer,
                _ => return Err(Rejection::PaymentNotFound.into()),
            }
        }
        // Nothing but what was seen is stored.
        Err(StoreError::Again("the order changes all the time".into()).into())
    }

    /// Closes a waiting payment: what is recorded stands. The word counts for what was told until now.
    ///
    /// # Errors
    /// [`ApplyError`]; [`Rejection::PaymentNotFound`] where nothing waits under this id.
    pub async fn dismiss(
        &self,
        ledger: LedgerNo,
        id: PostingId,
        (request, said): (RequestKey, Said),
        deadline: Option<Instant>,
    ) -> Result<Answer, ApplyError> {
        let mut row = self.kept_row(ledger, id).await?;
        let is_repeat = row.kept.decisions.iter().any(|decision| decision.request == text_of(&request));
        if row.kept.waits.is_none() && !is_repeat {
            return Err(Rejection::PaymentNotFound.into());
        }
        // All that is read comes first: after the command nobody is told that nothing was done.
        if !is_repeat {
            self.let_stand(&mut row).await?;
        }
        let decision = decision(&said, "dismissed", &request);
        let command = Command::ClosePayment(ClosePayment { payment: id, is_order: true });
        let close = Request { ledger, customer: suspense(), request: Some(request.clone()), said, command };
        let answer = match self.writer.submit(close.clone(), deadline).await? {
            Err(Rejection::CustomerNotFound) => {
                // The suspense account is made with the first payment that is closed.
                let command = Command::CreateCustomer(CreateCustomer::default());
                let create = Request { request: Some(request), command, ..close.clone() };
                match self.writer.submit(create, deadline).await? {
                    Ok(_) | Err(Rejection::CustomerExists { .. }) => {}
                    Err(rejection) => return Err(rejection.into()),
                }
                // The account was made: what fails from here on does not say that nothing was done.
                self.writer.submit(close, deadline).await.map_err(|_| SubmitError::Unknown)??
            }
            decided => decided?,
        };
        if !is_repeat {
            self.go_on(row, decision).await?;
        }
        Ok(answer)
    }

    /// Notes that what is recorded of an order is what should be.
    async fn let_stand(&self, row: &mut Row) -> Result<(), ApplyError> {
        let (Some(shop), Some(id)) = (self.shop(row).cloned(), row.kept.order_id()) else { return Ok(()) };
        let booked = LedgerBook::new(&self.reader).booked(row, &id).await?;
        if let Some(booked) = &booked {
            note_recorded(&mut row.kept, &shop, booked);
        }
        let mapping = Mapping { shop: &shop, terms: row.kept.terms.as_ref() };
        let now = fingerprint(&row.kept.order, mapping);
        let event = row.kept.waits.as_ref().map(|waits| waits.event);
        let target = case_of(row, &shop, &id, booked.as_ref()).target();
        match event {
            Some(PaymentEvent::Paid) => row.kept.decided.accepted = now,
            Some(PaymentEvent::Refunded) => {
                if target.unnamed > 0 {
                    let before = row.kept.decided.unnamed.map_or(Credits::ZERO, |unnamed| unnamed.credits);
                    row.kept.decided.unnamed = Some(Unnamed { money: target.unnamed, credits: before });
                }
                if target.gone_unclear.is_some() {
                    row.kept.decided.unclear = Some(fingerprint_of_refunds(&row.kept.order));
                }
                if let Some(booked) = &booked {
                    let beyond = case_of(row, &shop, &id, Some(booked)).beyond(booked);
                    row.kept.decided.beyond = beyond.credits;
                    row.kept.decided.beyond_money = beyond.money;
                    row.kept.decided.seen = booked.by_hand();
                }
            }
            Some(PaymentEvent::Disputed | PaymentEvent::DisputeWon | PaymentEvent::DisputeLost) => {
                let is_over = |disputed: &super::order::Disputed| {
                    let is_its = |entry: &Entry| entry.origin == Origin::Dispute(disputed.id.clone());
                    event != Some(PaymentEvent::DisputeWon)
                        && booked.iter().flat_map(super::order::Booked::entries).any(is_its)
                };
                let waiting = target.disputed.into_iter().filter(|disputed| !is_over(disputed));
                row.kept.decided.dismissed.extend(waiting.map(|disputed| (disputed.id, disputed.told)));
            }
            Some(PaymentEvent::Unreadable) | None => {}
        }
        Ok(())
    }

    /// Stores a decision, and follows the order.
    async fn go_on(&self, mut row: Row, decision: Decision) -> Result<(), ApplyError> {
        let rest = async {
            for _ in 0..ATTEMPTS {
                row.kept.waits = None;
                row.kept.note(decision.clone());
                let decided = row.kept.decided.clone();
                row.place.state = OrderState::Due;
                row.place.due_at = clock::now();
                let (ledger, storefront) = (row.place.ledger, row.place.storefront.clone());
                let (place, kept) = (row.place, Box::new(row.kept));
                let change = if kept.unread.is_some() {
                    Change::Resolve { place, kept }
                } else {
                    Change::Put { place, kept }
                };
                match self.queue.change_one(ledger, &storefront, change).await? {
                    Changed::Row(row) => return self.follow(*row).await.map(drop),
                    // The shop told more of it meanwhile. What was decided names what the person has seen.
                    Changed::Stale(Some(newer)) => {
                        row = *newer;
                        row.kept.decided = decided;
                    }
                    _ => break,
                }
            }
            Err(ApplyError::Submit(SubmitError::Unknown))
        };
        rest.await.map_err(|error: ApplyError| {
            tracing::warn!(%error, "a decision about a payment is recorded, but what follows from it is not done yet");
            ApplyError::Submit(SubmitError::Unknown)
        })
    }

    /// Tries waiting orders again: those with these ids, or all of a storefront or ledger where there are none.
    ///
    /// # Errors
    /// [`ApplyError`]; [`Rejection::PaymentNotFound`] where one of the ids does not wait.
    pub async fn retry(
        &self,
        ledger: LedgerNo,
        storefront: Option<&Storefront>,
        ids: &[PostingId],
        after: Option<Uuid>,
    ) -> Result<(Retried, Option<Uuid>), ApplyError> {
        let mut rows = Vec::new();
        for id in ids {
            let row = self.kept_row(ledger, *id).await?;
            if row.kept.waits.is_none() {
                return Err(Rejection::PaymentNotFound.into());
            }
            rows.push(row);
        }
        let mut next = None;
        if ids.is_empty() {
            (rows, next) = self.queue.orders().waiting(ledger, storefront, after, RETRIED_MAX).await?;
        }
        let mut retried = Retried::default();
        for row in rows {
            let id = row.place.id;
            let count = match self.try_again(row).await {
                Ok(OrderState::Settled | OrderState::Due) => &mut retried.settled,
                Ok(OrderState::Waiting) => &mut retried.waiting,
                // The others are tried all the same; and what was done of it is done.
                Err(error) => {
                    tracing::warn!(%id, %error, "an order could not be tried again");
                    &mut retried.waiting
                }
            };
            *count = count.saturating_add(1);
        }
        Ok((retried, next))
    }

    async fn try_again(&self, row: Row) -> Result<OrderState, ApplyError> {
        if row.kept.unread.is_some() {
            return self.read_again(row).await;
        }
        // What it waited for may have come from its agreement.
        match self.queue.orders().row(row.place.ledger, row.place.id).await? {
            Some(row) => self.follow(row).await,
            None => Ok(OrderState::Settled),
        }
    }

    /// Reads a delivery that could not be read: a newer version of this server may be able to.
    async fn read_again(&self, row: Row) -> Result<OrderState, ApplyError> {
        let (ledger, storefront) = (row.place.ledger, row.place.storefront.clone());
        let payload = self.queue.orders().payload(row.place.id).await?.unwrap_or_default();
        let topic = row.kept.unread.as_ref().map(|unread| unread.topic.to_string()).unwrap_or_default();
        let read = self.shop(&row).map(|shop| super::read_payload(shop, &topic, &payload));
        let Some(Ok(orders)) = read else { return Ok(OrderState::Waiting) };
        let told: Vec<_> = orders.into_iter().map(|order| Change::Tell(Box::new(order.into()))).collect();
        let told = self.queue.change(ledger, &storefront, told).await?;
        if told.iter().any(|changed| matches!(changed, Changed::Full | Changed::TooLarge)) {
            return Ok(OrderState::Waiting);
        }
        // Its facts are stored: the payload is not needed any more.
        let Row { mut place, mut kept, .. } = row;
        place.state = OrderState::Settled;
        kept.waits = None;
        self.queue.change_one(ledger, &storefront, Change::Resolve { place, kept: Box::new(kept) }).await?;
        for changed in told {
            if let Changed::Row(row) = changed {
                self.follow(*row).await?;
            }
        }
        Ok(OrderState::Settled)
    }

    async fn kept_row(&self, ledger: LedgerNo, id: PostingId) -> Result<Row, ApplyError> {
        let row = self.queue.orders().row(ledger, id.uuid()).await?;
        Ok(row.ok_or(Rejection::PaymentNotFound)?)
    }
}

fn gone() -> Rejection {
    let problem = "must be of a storefront that is in the settings".to_owned();
    Rejection::InvalidField { field: "payment_id", problem }
}

fn text_of(request: &RequestKey) -> OpenText {
    OpenText(cut(&request.to_string()))
}

fn decision(said: &Said, what: &str, request: &RequestKey) -> Decision {
    Decision {
        at: clock::now(),
        by: said.by.clone(),
        reason: said.reason.clone(),
        what: OpenText(cut(what)),
        request: text_of(request),
    }
}
