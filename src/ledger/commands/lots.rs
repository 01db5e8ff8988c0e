//! New lots: how credits come in.

use super::prelude::*;
use crate::ledger::lot::{Lot, LotSource, OpenLot};
use crate::ledger::money::MoneyAccount::{DeferredRevenue, EarnedRevenue, StorefrontReceivable};

impl Draft<'_> {
    /// A lot without price that has the posting's id.
    pub fn new_lot(&self, source: LotSource, credits: Credits, expires_at: Option<Timestamp>) -> Lot {
        Lot {
            id: self.id.into(),
            source,
            credits,
            repaid: Credits::ZERO,
            price: None,
            storefront: None,
            order: None,
            expires_at,
            created_at: self.recorded_at(),
            refunds: Vec::new(),
        }
    }

    /// Brings a new lot in, less the credits that repaid a debt. Their share of the price is earned already; the rest
    /// is deferred.
    pub fn open_lot(&mut self, lot: Lot) -> Result<(), Rejection> {
        let earned = lot.price.map(|price| price.share(lot.repaid, lot.credits));
        let deferred = lot.price.zip(earned).map(|(price, earned)| price.less(earned));
        self.pay(StorefrontReceivable, EarnedRevenue, earned)?;
        self.pay(StorefrontReceivable, DeferredRevenue, deferred)?;
        self.bring_in(OpenLot {
            id: lot.id,
            source: lot.source,
            expires_at: lot.expires_at,
            left: lot.credits.less_at_least_zero(lot.repaid),
            money: deferred,
            disputed: false,
        });
        self.detail.lot = Some(Arc::new(lot));
        Ok(())
    }
}

/// How many credits the lot of a posting brought in.
pub(super) fn credits_of_lot(posting: &Posting) -> Option<Credits> {
    posting.detail.lot.as_ref().map(|lot| lot.credits)
}
