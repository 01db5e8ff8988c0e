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
use super::json::cut;
use super::kept::{Kept, Place, Row, Waits};
use super::order::{
    Booked, BookedPurchase, Bought, Case, Entry, Mapping, Origin, Requests, Step, Wait, Wanted, id_of_part,
};
use super::orders::{Change, Changed};
use super::queue::Queue;
use super::{seeds, shop::Shop};
use crate::clock;
use crate::ledger::fingerprint::Said;
use crate::ledger::lot::RefundState;
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{Command, CustomerId, Kind, LedgerNo, Lot, OrderId, Rejection, Request, Timestamp};
use crate::query::{PostingTarget, ReadError, Reader};
use crate::store::{OrderState, StoreError};
use crate::writer::Writer;

/// Steps of one run. The longest history of an order needs fewer; a run that needs more is a fault, and waits.
const STEPS_MAX: usize = 512;
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
                self.queue.change_one(row.place.ledger, &row.place.storefront, change).await?;
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
        self.seed(row).await?;
        let mut clashes = 0;
        for _ in 0..STEPS_MAX {
            let Some(id) = row.kept.order_id() else {
                let why = "none of its ids can be an order id".to_owned();
                return Ok(End::Waits(Wait { event: PaymentEvent::Paid, why }));
            };
            let booked = self.booked(row, &id).await?;
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
                Step::Wait(wait) => return Ok(End::Waits(wait)),
                Step::Accept(content) => row.kept.decided.accepted = Some(content),
                Step::Send(wanted) => {
                    let event = event_of(&wanted.command);
                    if booked.is_none() && !self.fix(row, shop, &id).await? {
                        continue;
                    }
                    match self.send(row.place.ledger, &row.place.storefront, *wanted).await? {
                        Ok(()) => clashes = 0,
                        Err(rejection) if may_clash(&rejection) && clashes < CLASHES_MAX => {
                            clashes = clashes.saturating_add(1);
                        }
                        Err(rejection) => {
                            if booked.is_none() {
                                // Nothing is recorded: the next attempt is by the settings of then.
                                (row.kept.id, row.kept.terms) = (None, None);
                            }
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

    /// Stores the id and the terms that an order is about to be recorded by; false where the row has changed, and is now
    /// the newer one. So an order that is recorded has both, wherever a run is cut off, and only one run records it.
    async fn fix(&self, row: &mut Row, shop: &Shop, id: &OrderId) -> Result<bool, ApplyError> {
        let mut kept = row.kept.clone();
        kept.id = Some(id.clone());
        kept.terms = Some(Mapping { shop, terms: kept.terms.as_ref() }.terms_of(&kept.order));
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
            Changed::Nothing | Changed::Full | Changed::Stale(None) => {
                Err(StoreError::Damaged(format!("the kept order {} is gone", row.place.id)).into())
            }
        }
    }

    async fn send(
        &self,
        ledger: LedgerNo,
        storefront: &crate::ledger::Storefront,
        wanted: Wanted,
    ) -> Result<Result<(), Rejection>, ApplyError> {
        let Wanted { customer, request, reason, command } = wanted;
        let by = if reason.is_empty() { Said::default().by } else { cut(storefront.as_str()) };
        let said = Said { by, reason: cut(&reason), ..Said::default() };
        let kind = command.kind();
        let request = Request { ledger, customer, request: Some(request), said, command };
        let decided = self.writer.submit(request, None).await?;
        tracing::debug!(%storefront, ?kind, accepted = decided.is_ok(), "a step of an order");
        Ok(decided.map(drop))
    }

    /// Adds what earlier versions recorded or kept of an order to its facts, once.
    async fn seed(&self, row: &mut Row) -> Result<(), ApplyError> {
        if row.kept.is_seeded {
            return Ok(());
        }
        let ids = order_ids(&row.kept);
        let seeds = seeds::of(&self.reader, row.place.ledger, &row.place.storefront, &ids).await?;
        row.kept.order.join(&seeds.order);
        if seeds.payments.is_empty() {
            row.kept.is_seeded = true;
            return Ok(());
        }
        // The facts are stored before the suspense account lets go of them.
        let change = Change::Put { place: row.place.clone(), kept: Box::new(row.kept.clone()) };
        match self.queue.change_one(row.place.ledger, &row.place.storefront, change).await? {
            Changed::Row(stored) => *row = *stored,
            Changed::Nothing | Changed::Full | Changed::Stale(_) => return Ok(()),
        }
        seeds::close(&self.writer, row.place.ledger, &seeds.payments).await?;
        row.kept.is_seeded = true;
        Ok(())
    }

    /// What the ledger has of an order.
    pub(super) async fn booked(&self, row: &Row, id: &OrderId) -> Result<Option<Booked>, ReadError> {
        let Place { ledger, storefront, .. } = &row.place;
        let mut ids = order_ids(&row.kept);
        if !ids.contains(id) {
            ids.push(id.clone());
        }
        let mut found =
            self.reader.purchases_of(*ledger, storefront, &ids.iter().collect::<Vec<_>>()).await?;
        let Some(first) = found.first() else { return Ok(None) };
        let customer = first.customer.clone();
        let base = first.lot.order.clone().unwrap_or_else(|| id.clone());
        while let Some(part) = id_of_part(&base, found.len()) {
            let more = self.reader.purchases_of(*ledger, storefront, &[&part]).await?;
            let Some(more) = more.into_iter().next() else { break };
            // Another order may have this id.
            let request = Requests { storefront, order: &base }.part(found.len());
            let posting = PostingTarget::Id(more.customer.clone(), more.lot.id.into());
            if self.reader.posting(*ledger, &posting).await?.posting.request != Some(request) {
                break;
            }
            found.push(more);
        }
        let mut purchases = Vec::with_capacity(found.len());
        for owned in found {
            purchases.push(self.purchase(row, &owned.customer, &base, owned.lot).await?);
        }
        Ok(Some(Booked { customer, purchases }))
    }

    async fn purchase(
        &self,
        row: &Row,
        customer: &CustomerId,
        base: &OrderId,
        lot: Arc<Lot>,
    ) -> Result<BookedPurchase, ReadError> {
        let ledger = row.place.ledger;
        let requests =
            Requests { storefront: &row.place.storefront, order: lot.order.as_ref().unwrap_or(base) };
        let posting = PostingTarget::Id(customer.clone(), lot.id.into());
        let posting = self.reader.posting(ledger, &posting).await?.posting;
        let is_part = lot.order.as_ref().is_some_and(|order| order != base);
        let is_ours = is_part || requests.is_purchase(posting.request.as_ref());
        let mut entries = Vec::with_capacity(lot.refunds.len());
        for (place, refund) in lot.refunds.iter().enumerate() {
            let posting = PostingTarget::Id(customer.clone(), refund.id);
            let posting = self.reader.posting(ledger, &posting).await?.posting;
            let known = row.kept.order.disputes.keys();
            let origin = requests.origin(posting.request.as_ref(), place, known);
            let kind = match refund.state {
                RefundState::Refunded | RefundState::Disputed => None,
                RefundState::Reversed => Some(Kind::ReverseRefund),
                RefundState::Won | RefundState::Lost => Some(Kind::ResolveChargeback),
            };
            let ended_by_hand = match kind.filter(|_| origin != Origin::Hand) {
                None => false,
                Some(kind) => {
                    let ends = requests.ends(refund, &origin);
                    let ends =
                        ends.into_iter().map(|end| PostingTarget::Request(customer.clone(), kind, end));
                    !self.has_any(ledger, ends).await?
                }
            };
            entries.push(Entry { refund: refund.clone(), origin, ended_by_hand });
        }
        Ok(BookedPurchase { lot, is_ours, entries })
    }

    async fn has_any(
        &self,
        ledger: LedgerNo,
        postings: impl Iterator<Item = PostingTarget>,
    ) -> Result<bool, ReadError> {
        for posting in postings {
            match self.reader.posting(ledger, &posting).await {
                Ok(_) => return Ok(true),
                Err(ReadError::PostingNotFound) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(false)
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
            End::Waits(Wait { event, why }) => {
                let why = cut(&why);
                let earlier = kept.waits.take().filter(|waits| waits.event == event);
                let since = earlier.map_or(now, |waits| waits.since);
                kept.waits = Some(Waits { event, why, since });
                place.due_at = since;
                OrderState::Waiting
            }
        };
        if state == before && kept == *stored {
            return Ok(Ok(state));
        }
        if let Some(Waits { event, why, .. }) = kept.waits.as_ref().filter(|_| state == OrderState::Waiting) {
            tracing::warn!(%storefront, order = ?kept.id, %event, %why, "an order waits for a person");
        }
        place.state = state;
        let change = Change::Put { place, kept: Box::new(kept.clone()) };
        match self.queue.change_one(ledger, &storefront, change).await? {
            Changed::Row(_) | Changed::Nothing | Changed::Full | Changed::Stale(None) => Ok(Ok(state)),
            Changed::Stale(Some(newer)) => {
                // What was learned from the ledger stays; what people decided is the newer row's.
                let mut newer = *newer;
                let stored = newer.kept.clone();
                newer.kept.id = newer.kept.id.take().or(kept.id);
                newer.kept.terms = newer.kept.terms.take().or(kept.terms);
                newer.kept.decided.accepted = newer.kept.decided.accepted.or(kept.decided.accepted);
                Ok(Err((newer, stored)))
            }
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

/// Keeps what is fixed once an order is recorded: its id, and the terms that it was recorded by.
pub(super) fn note_recorded(kept: &mut Kept, shop: &Shop, booked: &Booked) {
    if kept.order.contents.is_empty() {
        kept.order.join(&seeds::of_purchases(booked.purchases.iter().map(|purchase| &*purchase.lot)));
    }
    if kept.id.is_none() {
        kept.id = booked.purchases.first().and_then(|purchase| purchase.lot.order.clone());
    }
    let mapping = Mapping { shop, terms: kept.terms.as_ref() };
    kept.terms = Some(mapping.terms_of(&kept.order));
}

/// The ids under which the ledger may have an order.
fn order_ids(kept: &Kept) -> Vec<OrderId> {
    let names = kept.order.names.keys().filter_map(|name| OrderId::parse(name.0.as_str()).ok());
    let mut ids: Vec<OrderId> = names.collect();
    if let Some(id) = kept.id.clone().filter(|id| !ids.contains(id)) {
        ids.push(id);
    }
    ids
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
