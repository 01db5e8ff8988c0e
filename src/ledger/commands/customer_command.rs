//! The trait of all commands: loading and deciding need to know nothing else of a command.

use std::sync::Arc;

use super::context::Context;
use super::draft::Draft;
use super::keys::Keys;
use crate::ledger::credits::Credits;
use crate::ledger::event_type::EventType;
use crate::ledger::fingerprint::Hashed;
use crate::ledger::posting::Posting;
use crate::ledger::reject::Rejection;

/// An event, and how many credits it is about, where it is about an amount.
pub type Meaning = (EventType, Option<Credits>);

/// A command about one customer, which exists.
pub trait CustomerCommand: Hashed {
    /// What it reads of the stored state beyond its customer.
    fn keys(&self) -> Keys<'_> {
        Keys::default()
    }

    /// The posting of an earlier command with the same meaning, which answers this one too. Rejects where an earlier
    /// command rules this one out.
    fn earlier(&self, _at: &Context<'_>) -> Result<Option<Arc<Posting>>, Rejection> {
        Ok(None)
    }

    /// The draft of its posting. The first check that fails is the rejection.
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection>;

    /// The event that its posting means by itself; `event.rs` adds those that follow from it.
    fn event(_posting: &Posting) -> Option<Meaning>
    where
        Self: Sized,
    {
        None
    }
}
