//! Remembers for a while how new the orders were that are not kept: an older delivery of one of them must not bring back
//! what an edit took out.
//!
//! # What it is
//! WooCommerce and our own JSON tell the lines that an order has now. After an edit that took out all products of credits
//! an order looks like one of other goods, which are not kept. Where that comes before the order itself, the older delivery
//! with its products would be credited. So the version of an order that is not kept is noted, under a hash of each of its
//! names. The notes stand on 16 shelves a storefront, which are rows that no vendor's id finds.
//!
//! # Cost
//! A shelf holds [`OTHERS_MAX`] notes, in about 6 KiB. The note that was made first makes place: so the last 4,096 names of
//! a storefront are noted. What comes later than that counts as if no edit had come before.

use crate::ledger::codec::record;
use crate::ledger::hash::stable_hash;
use crate::ledger::{Text, Timestamp};

use super::json::cut;
use super::order::{Content, Order, PaymentState, Source, Told, Version};

/// Notes on a shelf.
pub const OTHERS_MAX: usize = 256;
const SHELVES: u64 = 16;

/// How new an order was that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// A hash of one of its names; never 0, which a record leaves out.
    pub name: u64,
    /// The vendor's word for how new it was.
    pub at: Timestamp,
    pub rank: u32,
}
record!(Other { 1 => name, 2 => at, 3 => rank });

fn hash(name: &Text) -> u64 {
    stable_hash(&[name.as_str().as_bytes()]) | 1
}

/// The name of the shelf for an order's name. It is longer than any id of a vendor.
pub fn shelf_of(name: &Text) -> Text {
    let shelf = (hash(name) >> 1) % SHELVES;
    cut(&format!("{:-<300}{shelf:02}", "orders that are not kept "))
}

/// The version of what was sold, as it was told last.
pub fn version_of(order: &Order) -> Option<Version> {
    order.contents.values().map(|told| told.version).max()
}

/// The version that is noted on a shelf.
pub fn noted(shelf: &[Other], name: &Text) -> Option<Version> {
    let name = hash(name);
    let other = shelf.iter().find(|other| other.name == name)?;
    Some(Version { at: other.at, rank: other.rank })
}

/// Notes a version on a shelf; false where it is not newer than the one that is there.
pub fn note(shelf: &mut Vec<Other>, name: &Text, version: Version) -> bool {
    if noted(shelf, name).is_some_and(|noted| noted >= version) {
        return false;
    }
    let name = hash(name);
    shelf.retain(|other| other.name != name);
    let over = shelf.len().saturating_add(1).saturating_sub(OTHERS_MAX);
    shelf.drain(..over);
    shelf.push(Other { name, at: version.at, rank: version.rank });
    true
}

/// Adds to an older delivery of an order that a newer one had no product of credits.
pub fn recall(order: &mut Order, newer: Version) {
    let Some(Told { version, fact }) = order.contents.get(&Source::Order) else { return };
    if *version >= newer {
        return;
    }
    // Its encoding is the least of all: told again, the newer delivery itself takes its place.
    let fact = Content {
        payment: PaymentState::Open,
        currency: fact.currency,
        total: 0,
        elsewhere: 0,
        lines: Vec::new(),
        problem: Text::EMPTY,
        note: Text::EMPTY,
    };
    order.contents.insert(Source::Order, Told { version: newer, fact });
}
