//! Payments that a storefront reported and that match no customer yet.

use super::codec::{coded_enum, record};
use super::credits::Credits;
use super::hash::stable_hash;
use super::ids::{CustomerId, OpenText, OrderId, Storefront, Text};
use super::money::Money;

coded_enum!(
    /// What happened to a payment.
    PaymentEvent {
        /// An order was paid.
        Paid = 1 / "PAID",
        /// Money of an order went back.
        Refunded = 2 / "REFUNDED",
        /// The customer's bank took the money back.
        Disputed = 3 / "DISPUTED",
        /// The bank decided for the vendor.
        DisputeWon = 4 / "DISPUTE_WON",
        /// The bank decided for the customer.
        DisputeLost = 5 / "DISPUTE_LOST",
        /// Something that could not be read.
        Unreadable = 6 / "UNREADABLE",
    }
);

/// A storefront's report, in terms that all storefronts share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Payment {
    pub event: PaymentEvent,
    pub storefront: Storefront,
    pub order: OrderId,
    /// Identifies the report: a repeated report has the same key.
    pub key: OpenText,
    /// Who bought, as the storefront names them; empty where it does not.
    pub customer: Text,
    /// What was bought, as the storefront names it.
    pub products: Vec<OpenText>,
    /// What `products` come to, where all of them are known.
    pub credits: Option<Credits>,
    pub price: Option<Money>,
    /// True where `price` is all that went back of the order so far, not a part of it.
    pub cumulative: bool,
    /// Why it could not be put into an account.
    pub reason: Text,
}
record!(Payment {
    1 => event, 2 => storefront, 3 => order, 4 => key, 5 => customer, 6 => products, 7 => credits, 8 => price,
    9 => cumulative, 10 => reason,
});

impl Payment {
    /// The most payments that wait at a time: one customer's row has them all.
    pub const WAITING_MAX: usize = 10_000;

    /// A hash by which the waiting payments of an order are found; two orders may share it.
    pub fn order_key(storefront: &Storefront, order: &OrderId) -> u64 {
        stable_hash(&[storefront.as_str().as_bytes(), order.as_str().as_bytes()])
    }
}

/// The suspense account of each ledger: the customer whose row has the payments that earlier versions kept, and whose
/// postings say which waiting orders people closed. It is made with the first of these.
pub fn suspense() -> CustomerId {
    CustomerId::well_known("unmatched-payments")
}
