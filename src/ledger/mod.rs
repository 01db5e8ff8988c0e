//! The pure core: what a command does to a book. No I/O, clock, randomness, logging or async in here.
//!
//! A [`commands::Request`] meets the loaded state of one customer ([`book::Book`]) in [`decide`]; what comes out is a
//! [`posting::Posting`] or a [`reject::Rejection`]. [`book::Book::apply`] is the only place that moves state, and it
//! reads nothing but the posting: replaying the journal gives every balance, hold and lot again.

#![deny(clippy::as_conversions, clippy::float_arithmetic, clippy::arithmetic_side_effects)]

pub mod account;
pub mod actor;
pub mod alert;
mod apply;
pub mod book;
pub mod card;
pub mod change;
pub mod codec;
pub mod commands;
pub mod credits;
pub mod customer;
pub mod decide;
mod due;
pub mod entry;
pub mod event;
pub mod event_type;
pub mod fingerprint;
pub mod forecast;
pub mod hash;
pub mod hold;
pub mod ids;
pub mod job;
pub mod kind;
pub mod lot;
pub mod money;
pub mod payment;
pub mod posting;
pub mod price;
pub mod receipt;
pub mod reject;
pub mod rounding;
pub mod rules;
mod steps;
pub mod time;
pub mod top_up;
pub mod unused;
pub mod words;
pub mod work;

pub use account::{Account, Transfer};
pub use alert::{Alerts, Threshold};
pub use book::Book;
pub use card::{CardRef, RateCard};
pub use commands::{Command, Request};
pub use credits::Credits;
pub use customer::{Balances, Contact, Customer, Profile, Terms};
pub use hold::{Hold, HoldState};
pub use ids::{
    ClassId, CustomerId, CustomerKey, CustomerMap, CustomerSet, HoldId, IncidentId, LedgerId, LedgerNo,
    LotId, OpenText, OrderId, PostingId, RequestKey, Storefront, Text,
};
pub use kind::Kind;
pub use lot::Lot;
pub use money::{Currency, Money};
pub use posting::{Posting, Texts};
pub use reject::Rejection;
pub use time::{Day, Timestamp};
pub use top_up::TopUp;
