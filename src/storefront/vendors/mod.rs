//! Reads the payloads of each vendor into facts of orders.
//!
//! A vendor's file lists every shape of its documentation that touches money, with the source, and reads or ignores each
//! on purpose.

pub mod generic;
mod reading;
pub mod shopify;
pub mod stripe;
pub mod woocommerce;

/// Lines that the refunds of one delivery name in all. A delivery with more is not read.
const REFUND_PARTS_MAX: usize = 2_000;

/// Why a signed delivery cannot be read. It is kept as it came, for a person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unreadable(pub String);
