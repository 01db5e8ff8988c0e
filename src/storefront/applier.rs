//! Brings the ledger to what an order's facts come to: reads the book, takes the next step, and reads again.
//!
//! # Invariants
//! - Each step's request id follows from the order and from what is recorded. So a run that was cut off, or that two
//!   servers make at once, records nothing twice.
//! - A row is settled only where the ledger shows its target at the row's own revision.
//!
//! # Failure
//! [`ApplyError`]: the row stays due, and is tried again. What the ledger refuses for good waits for a person.

use std::pin::Pin;
use std::sync::Arc;

use super::apply_error::ApplyError;
use super::change::{Change, Changed};
use super::json::cut;
use super::kept::{Kept, Row, Waits};
use super::ledger_book::LedgerBook;
use super::order::{Booked, BookedPurchase, Bought, Case, Mapping, Step, Wait, Wanted};
use super::queue::Queue;
use super::{seeds, shop::Shop};
use crate::clock;
use crate::ledger::actor::{Actor, Role, Way};
use crate::ledger::fingerprint::Said;
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{
    Command, Kind, LedgerNo, OpenText, OrderId, Posting, Rejection, Request, Storefront, Timestamp,
};
use crate::query::Reader;
use crate::store::{OrderState, StoreError};
use crate::writer::Writer;

/// Steps of one run. The longest history of an order needs fewer; a run that needs more is a fault, and waits.
const STEPS_MAX: usize = 512;
/// When an order is looked at again whose dispute stands behind another one: a person may have ended that.
const LATER_SECONDS: i64 = 300;
/// Steps that somebody else came before, one after another.
const CLASHES_MAX: usize = 8;

/// Follows orders. Cheap to clone.
#[derive(Clone)]
pub struct Applier {
    pub(super) writer: Writer,
    pub(super) reader: Arc<Reader>,
    pub(super) queue: Queue,
    shops: Arc<Vec<Arc<Shop>>>,
}

impl std::fmt::Debug for Applier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Applier").finish_non_exhaustive()
    }
}

/// What a run found.
enum End {
    Settled,
    /// It is looked at again after [`LATER_SECONDS`].
    Later,
    Waits(Wait),
}

impl Applier {
    #[must_use]
    pub fn new(writer: Writer, reader: Arc<Reader>, queue: Queue, shops: Vec<Arc<Shop>>) -> Self {
        Self { writer, reader, queue, shops: Arc::new(shops) }
    }

    /// The settings of a storefront, as long as it is in them.
    pub fn shop(&self, row: &Row) -> Option<&Arc<Shop>> {
        self.shops.iter().find(|shop| shop.storefront == row.place.storefront)
    }

    /// Follows all orders that are due by a time, one after another.
    ///
    /// # Errors
    /// [`ApplyError`]; those that were not followed are still due.
    pub async fn follow_due(&self, until: Timestamp) -> Result<(), ApplyError> {
        loop {
            let due = self.queue.orders().due(until, 256).await?;
            if due.is_empty() {
                return Ok(());
            }
            for row in due {
                self.follow(row).await?;
            }
        }
    }

    /// Brings the ledger to what an order's facts come to, and stores how that ended.
    ///
    /// # Errors
    /// [`ApplyError`]; the row is still due.
    pub async fn follow(&self, mut row: Row) -> Result<OrderState, ApplyError> {
        let mut stored = row.kept.clone();
        loop {
            let end = if let Some(shop) = self.shop(&row).cloned() {
                self.run(&shop, &mut row).await?
            } else {
                let why = "its storefront is not in the settings any more";
                End::Waits(Wait { event: PaymentEvent::Paid, why: why.to_owned() })
            };
            if let (End::Waits(_), None, Some(agreement)) = (&end, row.customer(), &row.kept.order.agreement)
            {
                // Noted before the order waits: so none waits for ever, wherever this is cut off.
                let change = Change::Depend { agreement: agreement.fact.clone(), row: row.place.id };
                let noted = self.queue.change_one(row.place.ledger, &row.place.storefront, change).await?;
                if matches!(noted, Changed::Full) {
                    tracing::warn!(
                        storefront = %row.place.storefront, agreement = %agreement.fact, id = %row.place.id,
                        "more than {} orders wait for an agreement's customer: this one is tried again by `payment retry`",
                        Kept::DEPENDENTS_MAX
                    );
                }
            }
            match self.finish(row, &stored, end).await? {
                Ok(state) => return Ok(state),
                Err(newer) => (row, stored) = newer,
            }
        }
    }

    /// [`Applier::follow`], for an order that another one leads to.
    fn follow_again(
        &self,
        row: Row,
    ) -> Pin<Box<dyn Future<Output = Result<OrderState, ApplyError>> + Send + '_>> {
        Box::pin(self.follow(row))
    }

    /// Takes steps until the ledger shows the target, or a person has to look.
    async fn run(&self, shop: &Shop, row: &mut Row) -> Result<End, ApplyError> {
        if row.kept.unread.is_some() {
            // Only a person ends its waiting.
            let waits = row.kept.waits.as_ref();
            let wait = waits.map(|waits| Wait { event: waits.event, why: waits.why.to_string() });
            return Ok(wait.map_or(End::Settled, End::Waits));
        }
        if row.kept.order.customer.is_some() {
            for dependent in std::mem::take(&mut row.kept.dependents) {
                // What it waited for has come.
                if let Some(dependent) = self.queue.orders().row(row.place.ledger, dependent).await? {
                    self.follow_again(dependent).await?;
                }
            }
        }
        let mut book = LedgerBook::new(&self.reader);
        self.seed(row, &mut book).await?;
        let end = self.steps(shop, row, &mut book).await?;
        if !book.has_order() {
            // The next attempt is by the settings of then.
            (row.kept.id, row.kept.terms) = (None, None);
        }
        Ok(end)
    }

    async fn steps(&self, shop: &Shop, row: &mut Row, book: &mut LedgerBook<'_>) -> Result<End, ApplyError> {
        let mut clashes = 0;
        for _ in 0..STEPS_MAX {
            let Some(id) = row.kept.order_id() else {
                let why = "none of its ids can be an order id".to_owned();
                return Ok(End::Waits(Wait { event: PaymentEvent::Paid, why }));
            };
            let booked = book.booked(row, &id).await?;
            if let Some(booked) = &booked {
                note_recorded(&mut row.kept, shop, booked);
            }
            let id = row.kept.order_id().unwrap_or(id);
            let case = case_of(row, shop, &id, booked.as_ref());
            match case.next() {
                Step::Done => {
                    let target = case.target();
                    return Ok(match row.kept.waits.as_ref().map(|waits| waits.event) {
                        // Paid for, and not credited: it is not forgotten because the settings have changed.
                        Some(PaymentEvent::Paid) if booked.is_none() && target.bought == Bought::Unmapped => {
                            let why = "none of its products is mapped any more".to_owned();
                            End::Waits(Wait { event: PaymentEvent::Paid, why })
                        }
                        _ => End::Settled,
                    });
                }
                Step::Later => return Ok(End::Later),
                Step::Wait(wait) => return Ok(End::Waits(wait)),
                Step::Accept(content) => row.kept.decided.accepted = Some(content),
                Step::Send(wanted) => {
                    let event = event_of(&wanted.command);
                    book.forget();
                    if booked.is_none() && !self.fix(row, shop, &id).await? {
                        continue;
                    }
                    match self.send(row.place.ledger, &row.place.storefront, *wanted).await? {
                        Ok(posting) => {
                            book.recorded(&posting);
                            clashes = 0;
                        }
                        Err(rejection) if may_clash(&rejection) && clashes < CLASHES_MAX => {
                            clashes = clashes.saturating_add(1);
                        }
                        Err(rejection) => {
                            return Ok(End::Waits(Wait { event, why: rejection.to_string() }));
                        }
                    }
                }
            }
        }
        let why = format!("it did not come to an end in {STEPS_MAX} steps");
        tracing::error!(storefront = %row.place.storefront, order = ?row.kept.id, "an order's {why}");
        Ok(End::Waits(Wait { event: PaymentEvent::Paid, why }))
    }

    /// Stores the id and the terms that an order is about to be recorded by, unless its delivery has stored them; false
    /// where the row has changed, and is now the newer one. So an order that is recorded has both, wherever a run is cut
    /// off, and only one run records it.
    async fn fix(&self, row: &mut Row, shop: &Shop, id: &OrderId) -> Result<bool, ApplyError> {
        let terms = Mapping { shop, terms: row.kept.terms.as_ref() }.terms_of(&row.kept.order);
        // Of an order that is not recorded, a run has them from its row alone.
        if (row.kept.id.as_ref(), row.kept.terms.as_ref()) == (Some(id), Some(&terms)) {
            return Ok(true);
        }
        let mut kept = row.kept.clone();
        (kept.id, kept.terms) = (Some(id.clone()), Some(terms));
        let change = Change::Put { place: row.place.clone(), kept: Box::new(kept) };
        match self.queue.change_one(row.place.ledger, &row.place.storefront, change).await? {
            Changed::Row(stored) => {
                *row = *stored;
                Ok(true)
            }
            Changed::Stale(Some(newer)) => {
                *row = *newer;
                Ok(false)
            }
            _ => Err(StoreError::Damaged(format!("the kept order {} is gone", row.place.id)).into()),
        }
    }

    async fn send(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        wanted: Wanted,
    ) -> Result<Result<Arc<Posting>, Rejection>, ApplyError> {
        let Wanted { customer, request, reason, command } = wanted;
        let by = if reason.is_empty() { Said::default().by } else { cut(storefront.as_str()) };
        let said = Said { by, reason: cut(&reason), actor: Some(delivered(storefront)), ..Said::default() };
        let kind = command.kind();
        let request = Request { ledger, customer, request: Some(request), said, command };
        let decided = self.writer.submit(request, None).await?;
        tracing::debug!(%storefront, ?kind, accepted = decided.is_ok(), "a step of an order");
        Ok(decided.map(|answer| answer.posting))
    }

    /// Adds what earlier versions recorded or kept of an order to its facts, once.
    async fn seed(&self, row: &mut Row, book: &mut LedgerBook<'_>) -> Result<(), ApplyError> {
        if row.kept.is_seeded {
            return Ok(());
        }
        let seeds = seeds::of(&self.reader, row, book).await?;
        row.kept.order.join(&seeds.order);
        if seeds.payments.is_empty() {
            row.kept.is_seeded = true;
            return Ok(());
        }
        book.forget();
        // The facts are stored before the suspense account lets go of them.
        let change = Change::Put { place: row.place.clone(), kept: Box::new(row.kept.clone()) };
        match self.queue.change_one(row.place.ledger, &row.place.storefront, change).await? {
            Changed::Row(stored) => *row = *stored,
            _ => return Ok(()),
        }
        seeds::close(&self.writer, row.place.ledger, &seeds.payments).await?;
        row.kept.is_seeded = true;
        Ok(())
    }

    /// Stores how a run ended; the newer row, and what is stored of it, where somebody changed it meanwhile. Where it ends
    /// as it is `stored`, nothing is written: a run that comes late does not get in the way of a person.
    async fn finish(
        &self,
        row: Row,
        stored: &Kept,
        end: End,
    ) -> Result<Result<OrderState, (Row, Kept)>, ApplyError> {
        let Row { mut place, mut kept, .. } = row;
        let before = place.state;
        let (ledger, storefront) = (place.ledger, place.storefront.clone());
        kept.tries = 0;
        let now = clock::now();
        let state = match end {
            End::Settled => {
                kept.waits = None;
                OrderState::Settled
            }
            End::Later => {
                kept.waits = None;
                place.due_at = now.plus_seconds(LATER_SECONDS);
                OrderState::Due
            }
            End::Waits(Wait { event, why }) => {
                let why = cut(&why);
                let earlier = kept.waits.take().filter(|waits| waits.event == event);
                let since = earlier.map_or(now, |waits| waits.since);
                kept.waits = Some(Waits { event, why, since });
                place.due_at = since;
                OrderState::Waiting
            }
        };
        if state == before && state != OrderState::Due && kept == *stored {
            return Ok(Ok(state));
        }
        if let Some(Waits { event, why, .. }) = kept.waits.as_ref().filter(|_| state == OrderState::Waiting) {
            tracing::warn!(%storefront, order = ?kept.id, %event, %why, "an order waits for a person");
        }
        place.state = state;
        let change = Change::Put { place, kept: Box::new(kept.clone()) };
        match self.queue.change_one(ledger, &storefront, change).await? {
            Changed::Stale(Some(newer)) => {
                // What was learned from the ledger stays; what people decided is the newer row's.
                let mut newer = *newer;
                let stored = newer.kept.clone();
                newer.kept.id = newer.kept.id.take().or(kept.id);
                newer.kept.terms = newer.kept.terms.take().or(kept.terms);
                newer.kept.decided.accepted = newer.kept.decided.accepted.or(kept.decided.accepted);
                Ok(Err((newer, stored)))
            }
            _ => Ok(Ok(state)),
        }
    }
}

/// All that the next step of a row depends on.
pub(super) fn case_of<'a>(
    row: &'a Row,
    shop: &'a Shop,
    id: &'a OrderId,
    booked: Option<&'a Booked>,
) -> Case<'a> {
    Case {
        storefront: &row.place.storefront,
        order: &row.kept.order,
        customer: row.customer(),
        mapping: Mapping { shop, terms: row.kept.terms.as_ref() },
        decided: &row.kept.decided,
        id,
        booked,
    }
}

/// Keeps what is fixed once an order is recorded: the id that it is under, and the terms that it was recorded by.
pub(super) fn note_recorded(kept: &mut Kept, shop: &Shop, booked: &Booked) {
    if kept.order.contents.is_empty() {
        kept.order.join(&seeds::of_purchases(booked.purchases.iter().map(|purchase| &*purchase.lot)));
    }
    let is_its = |purchase: &BookedPurchase| kept.id.is_some() && purchase.lot.order == kept.id;
    if !booked.purchases.iter().any(is_its) {
        kept.id = booked.purchases.first().and_then(|purchase| purchase.lot.order.clone());
    }
    let mapping = Mapping { shop, terms: kept.terms.as_ref() };
    kept.terms = Some(mapping.terms_of(&kept.order));
}

/// Whether somebody else may have come first, so that the book has to be read again.
fn may_clash(rejection: &Rejection) -> bool {
    matches!(
        rejection,
        Rejection::RequestIdReused { .. }
            | Rejection::OrderAlreadyRecorded { .. }
            | Rejection::PurchaseChanged
            | Rejection::PurchaseDisputed
            | Rejection::ExceedsRefundable { .. }
            | Rejection::RefundNotStanding { .. }
    )
}

fn event_of(command: &Command) -> PaymentEvent {
    match command.kind() {
        Some(Kind::RecordChargeback) => PaymentEvent::Disputed,
        Some(Kind::ResolveChargeback) => PaymentEvent::DisputeWon,
        Some(Kind::RefundPurchase | Kind::ReverseRefund) => PaymentEvent::Refunded,
        _ => PaymentEvent::Paid,
    }
}

/// Who calls for what a delivery sets off: the shop, which has signed it.
fn delivered(storefront: &Storefront) -> Arc<Actor> {
    let subject = OpenText(cut(storefront.as_str()));
    Arc::new(Actor {
        subject,
        role: Role::Storefront,
        way: Way::Delivery,
        peer: None,
        provider: OpenText::default(),
    })
}
