//! An order of a shop as its vendor knows it, and what the ledger has to show for it.
//!
//! # What it is
//! Deliveries come in any order, some twice, some never. So none of them is a command. A vendor's file reads a delivery
//! into an [`Order`] of the facts that it tells, and [`Order::join`] adds them to what is known. The target is a pure
//! function of the facts, and commands follow from its difference to the book.
//!
//! # Invariants
//! - Joining is commutative, associative and idempotent: any set of deliveries, in any order, any of them repeated, gives
//!   the same order.
//! - A fact gives way to a newer one only. What is newer is the vendor's word ([`Version`]), never the time of arrival.
//! - Nothing unreadable has a default: a fact has a `problem` instead, and waits for a person.

mod book;
mod decided;
mod difference;
mod facts;
mod fold;
mod mapping;
mod priced;
mod target;
mod went_back;

pub use book::{Booked, BookedPurchase, Entry, Origin, Requests, id_of_part};
pub use decided::Decided;
pub use difference::{Case, Step, Wait, Wanted, fingerprint, fingerprint_of_refunds};
pub use facts::{
    Content, Dispute, DisputeState, Line, Naming, Order, PaymentState, Refund, RefundLine, RefundState,
    Source, Told, Version,
};
pub use mapping::{Mapping, Term, Terms};
pub use priced::{Amount, Unclear};
pub use target::{Bought, Disputed, Target, Unnamed, Worth, content, is_ours, target, worth};
