//! Forgetting what was said about a customer: the same walk over its history for every engine.
//!
//! # What it is
//! A customer's postings are gone through from the newest to the oldest. The words of each are erased; rows that repeat
//! them (holds, entries of work, the profile) are written again as they follow from the posting that moved them last.
//!
//! # Invariants
//! - Rows are what replaying the journal gives, before and after: a row whose last posting cannot be erased stays.
//! - All of it is one transaction in which nobody else writes for the customer: a command between two parts would carry
//!   a hold's texts on into a posting that was not there when the walk began.
//!
//! # Cost
//! The customer's history is read once; in memory stands a page of it, and 16 bytes for each of its holds and entries of
//! work.

use std::collections::HashSet;

use super::error::{StoreError, damaged};
use super::recorded::Recorded;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{Hold, HoldId, Posting, Profile, Texts, Timestamp};

/// Postings read at a time.
pub(super) const PAGE: i64 = 1_000;

/// What came of forgetting a customer's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Erased {
    /// Postings whose words were erased now.
    pub postings: u64,
    /// Older postings with texts in the journal, which cannot be erased.
    pub kept: u64,
}

/// What was found on the way back so far.
#[derive(Debug)]
pub(super) struct Walk {
    at: Timestamp,
    holds: HashSet<HoldId>,
    work: HashSet<WorkId>,
    knows_profile: bool,
    /// What came of it.
    pub erased: Erased,
}

/// What is to be written for one posting.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// It, with its words erased.
    pub posting: Posting,
    /// Holds that it moved last.
    pub holds: Vec<HoldId>,
    /// True where it recorded or voided its entry of work last.
    pub has_work: bool,
    /// True where it gave the customer the profile that it has.
    pub has_profile: bool,
}

impl Rewritten {
    /// The holds that it moved last, as their rows are now.
    pub fn holds(&self) -> impl Iterator<Item = &Hold> {
        self.posting.holds().map(AsRef::as_ref).filter(|hold| self.holds.contains(&hold.id))
    }

    /// The entry of work as its row is now, with its hold.
    pub fn work(&self) -> Option<(HoldId, &Work)> {
        let detail = &self.posting.detail;
        detail.hold.as_ref().map(|hold| hold.id).zip(detail.work.as_deref()).filter(|_| self.has_work)
    }

    /// The profile as its row is now.
    pub fn profile(&self) -> Option<&Profile> {
        self.posting.detail.profile.as_deref().filter(|_| self.has_profile)
    }
}

impl Walk {
    /// From the newest posting on.
    pub fn new(at: Timestamp) -> Self {
        Self {
            at,
            holds: HashSet::new(),
            work: HashSet::new(),
            knows_profile: false,
            erased: Erased::default(),
        }
    }

    /// Takes the next older posting; gives what is to be written, where it has words to erase.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the posting cannot be encoded and read again.
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
