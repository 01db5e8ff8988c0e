//! What the ledger shows of an order, and which of it followed from the shop's own words.

use std::sync::Arc;

use crate::ledger::hash::stable_hash;
use crate::ledger::lot::{Refund, RefundState};
use crate::ledger::payment::PaymentEvent;
use crate::ledger::{Credits, CustomerId, Lot, OpenText, OrderId, PostingId, RequestKey, Storefront};

/// The purchases of an order: the first one, and one for each edit that added credits.
#[derive(Clone, Debug)]
pub struct Booked {
    pub customer: CustomerId,
    /// Oldest first; never empty.
    pub purchases: Vec<BookedPurchase>,
}

/// A purchase of an order.
#[derive(Clone, Debug)]
pub struct BookedPurchase {
    pub lot: Arc<Lot>,
    /// True where it followed from the shop's words, false where somebody else recorded it.
    pub is_ours: bool,
    /// Its refunds and chargebacks, oldest first: as many as the lot has.
    pub entries: Vec<Entry>,
}

/// A refund or chargeback of a purchase.
#[derive(Clone, Debug)]
pub struct Entry {
    pub refund: Refund,
    pub origin: Origin,
    /// True where it was undone or decided by somebody else.
    pub ended_by_hand: bool,
}

/// What a refund or chargeback followed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The shop's refunds.
    Refunds,
    /// The shop's dispute with this id.
    Dispute(OpenText),
    /// Somebody else recorded it.
    Hand,
}

impl Booked {
    /// All that was bought.
    pub fn credits(&self) -> Credits {
        sum(self.purchases.iter().map(|purchase| purchase.lot.credits))
    }

    /// The price of all that was bought, in the currency's smallest unit.
    pub fn price(&self) -> i64 {
        let prices = self.purchases.iter().filter_map(|purchase| purchase.lot.price);
        prices.fold(0, |sum, price| sum.saturating_add(price.minor_units))
    }

    /// Refunds and chargebacks that people recorded and that stand.
    pub fn by_hand(&self) -> Vec<PostingId> {
        self.entries().filter(|entry| entry.is_by_hand()).map(|entry| entry.refund.id).collect()
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.purchases.iter().flat_map(|purchase| &purchase.entries)
    }
}

impl Entry {
    /// True for a refund that a person recorded and that stands.
    pub fn is_by_hand(&self) -> bool {
        self.origin == Origin::Hand && self.refund.stands()
    }

    /// True for what followed from the shop's refunds and counts as recorded: what a person undid is not done again.
    pub fn counts(&self) -> bool {
        self.origin == Origin::Refunds && (self.refund.stands() || self.ended_by_hand)
    }

    pub fn money(&self) -> i64 {
        self.refund.price.map_or(0, |price| price.minor_units)
    }

    /// True for a chargeback that is not undone.
    pub fn is_dispute(&self) -> bool {
        match self.refund.state {
            RefundState::Disputed | RefundState::Lost => true,
            RefundState::Refunded | RefundState::Reversed | RefundState::Won => false,
        }
    }
}

/// Adds credits up; they were bounded when they were recorded.
pub fn sum(credits: impl Iterator<Item = Credits>) -> Credits {
    credits.fold(Credits::ZERO, |sum, credits| sum.checked_add(credits).unwrap_or(sum))
}

/// The order id of an order's purchase after `count` others.
pub fn id_of_part(id: &OrderId, count: usize) -> Option<OrderId> {
    if count == 0 {
        return Some(id.clone());
    }
    OrderId::parse(&format!("{id}:{}", count.saturating_add(1))).ok()
}

/// The request ids of an order's commands. They follow from the order, the dispute or refund, and how much was recorded
/// before: so a command that is sent again changes nothing, and two servers never both send the next one.
#[derive(Clone, Copy, Debug)]
pub struct Requests<'a> {
    pub storefront: &'a Storefront,
    pub order: &'a OrderId,
}

impl Requests<'_> {
    pub fn purchase(self) -> RequestKey {
        self.key("purchase")
    }

    /// The purchase of an edit, after `count` others.
    pub fn part(self, count: usize) -> RequestKey {
        self.key(&format!("part {count}"))
    }

    /// `before`: refunds and chargebacks that the purchase had.
    pub fn refund(self, before: usize) -> RequestKey {
        self.key(&format!("refund {before}"))
    }

    pub fn dispute(self, id: &OpenText, before: usize) -> RequestKey {
        self.key(&format!("dispute {before} {id}"))
    }

    /// For undoing or deciding what this posting recorded.
    pub fn end(self, refund: &Refund) -> RequestKey {
        self.key(&format!("end {}", refund.id))
    }

    /// The requests by which an entry may have been ended because of the shop's words, of whichever version.
    pub fn ends(self, refund: &Refund, origin: &Origin) -> Vec<RequestKey> {
        let mut requests = vec![self.end(refund)];
        if let Origin::Dispute(id) = origin {
            for event in [PaymentEvent::DisputeWon, PaymentEvent::DisputeLost] {
                let before = format!("storefront {} {} {event} decided {id}", self.storefront, self.order);
                requests.extend(RequestKey::parse(&before));
            }
        }
        requests
    }

    /// Whether this request, whose posting is the `place`th refund or chargeback, followed from the shop's words; `known`
    /// are the order's disputes.
    pub fn origin<'a>(
        self,
        request: Option<&RequestKey>,
        place: usize,
        mut known: impl Iterator<Item = &'a OpenText>,
    ) -> Origin {
        let Some(request) = request else { return Origin::Hand };
        let text = request.to_string();
        if let Some(what) = text.strip_prefix(&format!("shop {} {} ", self.storefront, self.order)) {
            let (what, rest) = what.split_once(' ').unwrap_or_default();
            return match what {
                "refund" => Origin::Refunds,
                "dispute" => rest.split_once(' ').map_or(Origin::Hand, |(_, id)| {
                    Origin::Dispute(OpenText(crate::storefront::json::cut(id)))
                }),
                _ => Origin::Hand,
            };
        }
        if !text.starts_with("shop ") {
            return self.origin_before(request);
        }
        // Its text was too long, so it is a hash.
        // Others may have recorded refunds after the request was made and before it was decided.
        if (0..=place).any(|before| self.refund(before) == *request) {
            return Origin::Refunds;
        }
        let is_dispute = |id: &&OpenText| (0..=place).any(|before| self.dispute(id, before) == *request);
        if let Some(id) = known.find(is_dispute) {
            return Origin::Dispute(id.clone());
        }
        self.origin_before(request)
    }

    /// The same, for requests as earlier versions made them.
    fn origin_before(self, request: &RequestKey) -> Origin {
        let text = request.to_string();
        let Some(rest) = text.strip_prefix(&format!("storefront {} {} ", self.storefront, self.order)) else {
            return Origin::Hand;
        };
        match rest.strip_prefix("DISPUTED disputed ") {
            Some(id) => Origin::Dispute(OpenText(crate::storefront::json::cut(id))),
            None if rest.starts_with("REFUNDED ") => Origin::Refunds,
            None => Origin::Hand,
        }
    }

    /// Whether a purchase followed from the shop's words, of whichever version.
    pub fn is_purchase(self, request: Option<&RequestKey>) -> bool {
        let before = format!("storefront {} {} PAID paid", self.storefront, self.order);
        request.is_some_and(|request| *request == self.purchase() || request.to_string() == before)
    }

    fn key(self, what: &str) -> RequestKey {
        let text = format!("shop {} {} {what}", self.storefront, self.order);
        RequestKey::parse(&text).unwrap_or_else(|_| {
            // The text is too long or not plain ASCII.
            let hash = stable_hash(&[text.as_bytes()]);
            let mixed = stable_hash(&[&hash.to_be_bytes(), text.as_bytes()]);
            RequestKey::Text(format!("shop {hash:016x}{mixed:016x}").into())
        })
    }
}
