//! What brings credits in, or takes them out, without work: purchases, grants, adjustments.

use std::sync::Arc;

use super::{Accepted, Context, Draft};
use crate::ledger::account::Slot;
use crate::ledger::command::{AdjustBalance, GrantCredits, PurchaseCredits};
use crate::ledger::credits::Credits;
use crate::ledger::lot::{Lot, LotSource, OpenLot};
use crate::ledger::money::MoneyAccount;
use crate::ledger::posting::Posting;
use crate::ledger::reject::{Original, Rejection};
use crate::ledger::time::Timestamp;

/// Purchases are accepted from closed customers too: the money is paid.
pub(super) fn purchase(at: &Context<'_>, command: &PurchaseCredits) -> Result<Accepted, Rejection> {
    let scope = (at.request.ledger, command.storefront.clone(), command.order.clone());
    if let Some(earlier) = at.book.order(&scope) {
        let same = earlier.customer == at.customer.key()
            && earlier.detail.lot.as_ref().is_some_and(|lot| {
                lot.credits == command.credits
                    && lot.price == command.price
                    && lot.expires_at == command.expires_at
            });
        return if same {
            Ok(Accepted::Earlier(Arc::clone(earlier)))
        } else {
            Err(Rejection::OrderAlreadyRecorded { original: Original::of(earlier) })
        };
    }
    at.must_be_later("expires_at", command.expires_at)?;
    let mut draft = at.draft();
    draft.storefront = Some(command.storefront.clone());
    let repaid = command.credits.min(draft.balances().owed);
    let credited = command.credits.less_at_least_zero(repaid);
    draft.shift(Slot::First, credited)?;
    draft.shift(Slot::Second, repaid)?;
    let lot = new_lot(at, &draft, LotSource::Purchase, command.credits, command.expires_at);
    open(
        &mut draft,
        Lot {
            repaid,
            price: command.price,
            storefront: Some(command.storefront.clone()),
            order: Some(command.order.clone()),
            ..lot
        },
    )?;
    draft.finish(at.entry).map(Accepted::Posting)
}

pub(super) fn grant(at: &Context<'_>, command: &GrantCredits) -> Result<Arc<Posting>, Rejection> {
    at.must_not_be_closed()?;
    at.must_be_later("expires_at", command.expires_at)?;
    let mut draft = at.draft();
    draft.shift(Slot::First, command.credits)?;
    let lot = new_lot(at, &draft, LotSource::Grant, command.credits, command.expires_at);
    open(&mut draft, lot)?;
    draft.finish(at.entry)
}

pub(super) fn adjust(at: &Context<'_>, command: &AdjustBalance) -> Result<Arc<Posting>, Rejection> {
    let mut draft = at.draft();
    if command.credits.is_positive() {
        draft.shift(Slot::First, command.credits)?;
        let lot = new_lot(at, &draft, LotSource::Adjustment, command.credits, None);
        open(&mut draft, lot)?;
    } else {
        let down = command.credits.negated();
        draft.need_available(down)?;
        draft.shift(Slot::Second, down)?;
        draft.burn(down, MoneyAccount::Breakage)?;
    }
    draft.finish(at.entry)
}

fn new_lot(
    at: &Context<'_>,
    draft: &Draft<'_>,
    source: LotSource,
    credits: Credits,
    expires_at: Option<Timestamp>,
) -> Lot {
    Lot {
        id: draft.id.into(),
        source,
        credits,
        repaid: Credits::ZERO,
        price: None,
        storefront: None,
        order: None,
        expires_at,
        created_at: at.book.now,
        refunds: Vec::new(),
    }
}

/// Brings a new lot in, with what of it did not repay a debt. The repaid share of the price is earned already, the rest
/// is deferred.
fn open(draft: &mut Draft<'_>, lot: Lot) -> Result<(), Rejection> {
    let earned = lot.price.map(|price| price.share(lot.repaid, lot.credits));
    let deferred = lot.price.zip(earned).map(|(price, earned)| {
        // The share is at most the price.
        price.with(price.minor_units.saturating_sub(earned.minor_units))
    });
    draft.pay(MoneyAccount::StorefrontReceivable, MoneyAccount::EarnedRevenue, earned)?;
    draft.pay(MoneyAccount::StorefrontReceivable, MoneyAccount::DeferredRevenue, deferred)?;
    draft.bring_in(OpenLot {
        id: lot.id,
        source: lot.source,
        expires_at: lot.expires_at,
        left: lot.credits.less_at_least_zero(lot.repaid),
        money: deferred,
        disputed: false,
    });
    draft.detail.lot = Some(Arc::new(lot));
    Ok(())
}
