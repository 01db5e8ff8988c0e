//! What settlements would have cost under another rate card. Only reads and prices; nothing moves.

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

/// Settlements in one read, and reads for one answer. Together they bound the answer's size and time.
const PAGE: usize = 1_000;
const PAGES_MAX: usize = 10;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WhatIf {
    /// The number of settlements that were priced again.
    pub settlements: u64,
    pub charged: Credits,
    pub preview: Credits,
    /// The number of settlements that the other card would have rejected.
    pub rejected: u64,
    /// What the rejected ones cost.
    pub rejected_charged: Credits,
    /// Settlements whose cost differs, newest first.
    pub differences: Vec<Difference>,
    /// The token for the settlements before these; empty where there are none.
    pub next: String,
}

/// A settlement whose cost would have differed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    pub hold: Arc<Hold>,
    pub settled_at: Timestamp,
    pub charged: Credits,
    pub preview: Result<Credits, Rejection>,
}

impl Reader {
    /// Prices a customer's settlements again; only those whose holds were made from `from` until before `until`.
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

    /// What the card would have charged for the incident before. Only the first rules take that off; by later ones the
    /// settlement stores the time before it.
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
            // Credits that were returned are charged again with the next settlement.
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
