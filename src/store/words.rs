//! Erases the texts about a customer (who, why): the same walk over its history for every engine.
//!
//! # What it is
//! A customer's postings are read from the newest to the oldest, and the texts of each are erased. Rows that repeat
//! these texts (holds, entries of work, the profile) are rewritten from the posting that moved them last.
//!
//! # Invariants
//! - Rows equal what replaying the journal gives, before and after. A row whose last posting cannot be erased stays.
//! - One transaction does all of it, and nobody else writes for the customer meanwhile. A command in between would
//!   copy a hold's texts into a posting that the walk does not see.
//!
//! # Failure
//! An error before the commit rolls back, and nothing is erased. Texts in the journal's own rows (of older versions)
//! cannot be erased; such postings are counted in [`Erased::kept`].
//!
//! # Cost
//! The customer's history is read once. The walk keeps one page of it in memory, and 16 bytes for each hold and entry
//! of work.

use std::collections::HashSet;

use super::error::{StoreError, damaged};
use super::recorded::Recorded;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{Hold, HoldId, Posting, Profile, Texts, Timestamp};

/// Postings read at a time.
pub(super) const PAGE: i64 = 1_000;

/// The result of erasing a customer's texts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Postings whose texts were erased now.
    pub postings: u64,
    /// Older postings whose texts are in the journal itself and cannot be erased.
    pub kept: u64,
}

/// What the walk has seen so far.
#[derive(Debug)]
pub(super) struct Walk {
    at: Timestamp,
    holds: HashSet<HoldId>,
    work: HashSet<WorkId>,
    knows_profile: bool,
    pub erased: Erased,
}

/// The rows to write for one posting.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// The posting without its texts.
    pub posting: Posting,
    /// Holds whose newest posting this is.
    pub holds: Vec<HoldId>,
    /// True where this is the newest posting of its entry of work.
    pub has_work: bool,
    /// True where this posting set the customer's current profile.
    pub has_profile: bool,
}

impl Rewritten {
    /// The holds whose rows must be rewritten, without their texts.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.posting.holds().map(AsRef::as_ref).filter(|hold| self.holds.contains(&hold.id))
    }

    /// The entry of work whose row must be rewritten, with its hold.
    pub fn work(&self) -> Option<(HoldId, &Work)> {
        let detail = &self.posting.detail;
        detail.hold.as_ref().map(|hold| hold.id).zip(detail.work.as_deref()).filter(|_| self.has_work)
    }

    /// The profile whose row must be rewritten.
    pub fn profile(&self) -> Option<&Profile> {
        self.posting.detail.profile.as_deref().filter(|_| self.has_profile)
    }
}

impl Walk {
    /// Starts at the newest posting.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            holds: HashSet::new(),
            work: HashSet::new(),
            knows_profile: false,
            erased: Erased::default(),
        }
    }

    /// Takes the next older posting. Returns the rows to write where it has texts to erase.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the rewritten posting cannot be encoded and read again.
    pub fn back_to(&mut self, recorded: &Recorded) -> Result<Option<Rewritten>, StoreError> {
        let posting = &recorded.posting;
        let holds = posting.holds().map(|hold| hold.id).filter(|id| self.holds.insert(*id)).collect();
        let has_work = posting.detail.work.as_ref().is_some_and(|work| self.work.insert(work.id));
        let has_profile = posting.detail.profile.is_some() && !self.knows_profile;
        self.knows_profile |= posting.detail.profile.is_some();
        if posting.texts == Texts::Inline {
            self.erased.kept = self.erased.kept.saturating_add(1);
        }
        let forgotten = posting.forgotten(self.at);
        let forgotten = forgotten.map_err(|error| damaged(format!("posting {}: {error}", posting.id)))?;
        Ok(forgotten.map(|posting| {
            self.erased.postings = self.erased.postings.saturating_add(1);
            Rewritten { posting, holds, has_work, has_profile }
        }))
    }
}
