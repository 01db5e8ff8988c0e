//! The changes of a storefront's orders, what came of each, and how much of an order or a storefront is kept.

use bytes::Bytes;
use uuid::Uuid;

use super::kept::{Fixed, Kept, Place, Row};
use super::order::Order;
use crate::ledger::{OpenText, Text};

/// Orders of one storefront that are not settled. One more is refused; those that are kept still change.
pub const WAITING_MAX: u64 = 10_000;
/// Bytes of the deliveries of one storefront that could not be read and wait.
pub const PAYLOAD_BYTES_MAX: u64 = 64 << 20;
/// Bytes of the facts of one order. A delivery that would bring more is kept as it came, for a person.
pub const ORDER_BYTES_MAX: usize = 1 << 20;

/// A change of a storefront's orders.
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds facts to an order, which is made where no name finds it.
    Tell(Box<Telling>),
    /// Adds facts to an order where a name finds it. Otherwise nothing of it is kept but how new it was.
    TellKnown(Box<Telling>),
    /// Notes that a row waits until this agreement names a customer.
    Depend { agreement: OpenText, row: Uuid },
    /// Keeps a delivery that could not be read.
    Unread { topic: OpenText, payload: Bytes, why: Text },
    /// Puts a row in place of the revision that it was read at.
    Put { place: Place, kept: Box<Kept> },
    /// The same, and erases the payload.
    Resolve { place: Place, kept: Box<Kept> },
}

/// What a delivery tells of an order.
#[derive(Clone, Debug, Default)]
pub struct Telling {
    pub order: Order,
    /// What its purchase will be recorded by, where no later delivery tells better.
    pub fixed: Option<Fixed>,
    /// True where its vendor leaves out lines that an edit took out: see [`super::others`].
    pub leaves_out: bool,
}

impl From<Order> for Telling {
    fn from(order: Order) -> Self {
        Self { order, ..Self::default() }
    }
}

/// What came of a change.
#[derive(Clone, Debug)]
pub enum Changed {
    /// The row as it is now.
    Row(Box<Row>),
    /// It was known before, or is gone.
    Nothing,
    /// It is not known, so it is not kept.
    NotKept,
    /// There is no room for it.
    Full,
    /// The order would have more facts than [`ORDER_BYTES_MAX`]: nothing was done.
    TooLarge,
    /// Somebody else has changed the row: nothing was done. The row as it is now, if it is there.
    Stale(Option<Box<Row>>),
}
