//! What settlements would have cost under another rate card: read, priced anew, and nothing moved.

use std::sync::Arc;

use crate::ledger::card::RateCard;
use crate::ledger::hold::Settlement;
use crate::ledger::job::PriceInputs;
use crate::ledger::price::charge;
use crate::ledger::{Credits, CustomerId, Hold, LedgerNo, Rejection, Timestamp};
use crate::store::HoldFilter;

use super::error::ReadError;
use super::page::PageRequest;
use super::reader::Reader;

/// Settlements in one read, and reads for one answer: together they bound the answer and the time that it takes.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 10;

/// What settlements cost, and what they would have cost.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// How many were priced anew.
    pub settlements: u64,
    /// What they cost.
    pub charged: Credits,
    /// What they would have cost.
    pub preview: Credits,
    /// How many would have been rejected.
    pub rejected: u64,
    /// What those cost.
    pub rejected_charged: Credits,
    /// Those that differ, the newest first.
    pub differences: Vec<Difference>,
    /// Where the settlements before these are; empty where there are none.
    pub next: String,
}

/// A settlement that would have cost something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The settled hold.
    pub hold: Arc<Hold>,
    /// When it was settled.
    pub settled_at: Timestamp,
    /// What it cost.
    pub charged: Credits,
    /// What it would have cost.
    pub preview: Result<Credits, Rejection>,
}

impl Reader {
    /// Prices a customer's settlements anew, those whose holds were made from `from` until before `until`.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn what_if(
        &self,
        ledger: LedgerNo,
        customer: &CustomerId,
        card: &RateCard,
        (from, until): (Option<Timestamp>, Option<Timestamp>),
        token: String,
    ) -> Result<WhatIf, ReadError> {
        let filter = HoldFilter { from, until, settled: true, ..HoldFilter::default() };
        let mut what_if = WhatIf { next: token, ..WhatIf::default() };
        for _ in 0..PAGES_MAX {
            let page = PageRequest { limit: PAGE, token: std::mem::take(&mut what_if.next) };
            let listed = self.holds(ledger, Some(customer), filter.clone().into(), &page).await?;
            let (holds, next) = listed.show(usize::MAX, Arc::clone, |_| 0);
            for hold in holds {
                let Some(settlement) = &hold.settlement else { continue };
                let before = self.charged_before(ledger, card, &hold, settlement).await?;
                let preview = charge(card, &with(settlement, before));
                what_if.add(&hold, settlement, preview).ok_or_else(beyond)?;
            }
            what_if.next = next;
            if what_if.next.is_empty() {
                break;
            }
        }
        Ok(what_if)
    }

    /// What the card would have charged for the incident before: a reopened one costs its whole time less that.
    async fn charged_before(
        &self,
        ledger: LedgerNo,
        card: &RateCard,
        hold: &Hold,
        settlement: &Settlement,
    ) -> Result<Credits, ReadError> {
        let mut before = Credits::ZERO;
        if settlement.inputs.charged_before.is_zero() {
            return Ok(before);
        }
        for earlier in self.incident(ledger, &hold.customer, &hold.incident).await? {
            let Some(settled) = earlier.settlement.as_ref().filter(|_| earlier.id < hold.id) else {
                continue;
            };
            // What was given back is charged again with the next settlement.
            if settled.standing_charge().is_positive()
                && let Ok(credits) = charge(card, &with(settled, before))
            {
                before = before.checked_add(credits).ok_or_else(beyond)?;
            }
        }
        Ok(before)
    }
}

fn beyond() -> ReadError {
    ReadError::damaged("the sums of settlements leave their bounds")
}

fn with(settlement: &Settlement, charged_before: Credits) -> PriceInputs {
    PriceInputs { charged_before, ..settlement.inputs.clone() }
}

impl WhatIf {
    fn add(
        &mut self,
        hold: &Arc<Hold>,
        settlement: &Settlement,
        preview: Result<Credits, Rejection>,
    ) -> Option<()> {
        let charged = settlement.charge;
        if let Ok(preview) = &preview {
            self.settlements = self.settlements.checked_add(1)?;
            self.charged = self.charged.checked_add(charged)?;
            self.preview = self.preview.checked_add(*preview)?;
        } else {
            self.rejected = self.rejected.checked_add(1)?;
            self.rejected_charged = self.rejected_charged.checked_add(charged)?;
        }
        if preview != Ok(charged) {
            let settled_at = settlement.settled_at;
            self.differences.push(Difference { hold: Arc::clone(hold), settled_at, charged, preview });
        }
        Some(())
    }
}
