//! The imports that nearly every command's file needs, so that a new command repeats none.

pub(super) use std::sync::Arc;

pub(super) use super::context::Context;
pub(super) use super::customer_command::{CustomerCommand, Meaning};
pub(super) use super::draft::Draft;
pub(super) use super::keys::{HoldRef, Keys, PurchaseRef};
pub(super) use crate::ledger::account::Slot;
pub(super) use crate::ledger::credits::Credits;
pub(super) use crate::ledger::event_type::EventType;
pub(super) use crate::ledger::fingerprint::hashed;
pub(super) use crate::ledger::hold::{Hold, HoldState, SharedHold};
pub(super) use crate::ledger::ids::Text;
pub(super) use crate::ledger::posting::Posting;
pub(super) use crate::ledger::reject::Rejection;
pub(super) use crate::ledger::time::Timestamp;
