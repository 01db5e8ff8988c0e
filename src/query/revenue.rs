//! What was sold, earned, refunded and forfeited in a period, from the money journal.

use std::collections::BTreeMap;

use crate::ledger::money::MoneyAccount;
use crate::ledger::{Currency, Kind, LedgerNo, Posting, Timestamp};
use crate::store::Position;

use super::error::ReadError;
use super::postings::just_before;
use super::reader::Reader;
use super::statement::Period;

const READ: usize = 1_000;
/// How long the feed is read past the end of the period. Commits of the same few seconds may be out of order in the
/// feed.
const ORDER_SECONDS: i64 = 60;

/// A currency's revenue in a period, in its smallest unit. `closing = opening + sold - earned - refunded - expired`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revenue {
    /// Paid for and not yet worked for, at the start.
    pub opening_deferred: i64,
    /// Prices of purchases.
    pub sold: i64,
    /// Earned by settlements and by repaid debts, less what reversals and refunds of spent credits took back.
    pub earned: i64,
    /// Refunds to buyers, less refunds and disputes that were undone.
    pub refunded: i64,
    /// Expired, or removed by an adjustment.
    pub expired: i64,
    /// Paid for and not yet worked for, at the end.
    pub closing_deferred: i64,
}

#[derive(Clone, Debug, Default)]
pub struct RevenueReport {
    /// The currencies in which anything moved by the end of the period.
    pub currencies: BTreeMap<Currency, Revenue>,
    /// True where postings of the period may still be recorded.
    pub provisional: bool,
}

impl Reader {
    /// The revenue of a ledger in a period. Reads the journal from its beginning to the end of the period. `now` is
    /// the server's clock.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn revenue(
        &self,
        ledger: LedgerNo,
        period: Period,
        now: Timestamp,
    ) -> Result<RevenueReport, ReadError> {
        let last = just_before(period.until);
        // Asked before the reads: postings that become final afterwards may be missing from them.
        let provisional = self.store.watermark(last, now).await? < last;
        let mut currencies: BTreeMap<Currency, Revenue> = BTreeMap::new();
        let mut after = Position::default();
        let behind = period.until.plus_seconds(ORDER_SECONDS);
        'feed: loop {
            let page = self.store.counted_feed(ledger, after, READ).await?;
            for (recorded, counts_from) in &page.items {
                after = recorded.position;
                if *counts_from > behind {
                    break 'feed;
                }
                if *counts_from < period.until {
                    add(&mut currencies, &recorded.posting, *counts_from < period.from).ok_or_else(|| {
                        ReadError::damaged("the sums of a revenue report leave their bounds")
                    })?;
                }
            }
            if page.next.is_none() {
                break;
            }
        }
        Ok(RevenueReport { currencies, provisional })
    }
}

fn add(currencies: &mut BTreeMap<Currency, Revenue>, posting: &Posting, before: bool) -> Option<()> {
    for moved in &posting.detail.money {
        let sums = currencies.entry(moved.money.currency).or_default();
        let units = moved.money.minor_units;
        for (account, change) in [(moved.debit, units.checked_neg()?), (moved.credit, units)] {
            let back = change.checked_neg()?;
            let (sum, change) = match account {
                MoneyAccount::DeferredRevenue => {
                    sums.closing_deferred = sums.closing_deferred.checked_add(change)?;
                    (&mut sums.opening_deferred, if before { change } else { 0 })
                }
                _ if before => continue,
                MoneyAccount::StorefrontReceivable if posting.kind == Kind::PurchaseCredits => {
                    (&mut sums.sold, back)
                }
                MoneyAccount::StorefrontReceivable => (&mut sums.refunded, change),
                MoneyAccount::EarnedRevenue => (&mut sums.earned, change),
                MoneyAccount::Breakage => (&mut sums.expired, change),
            };
            *sum = sum.checked_add(change)?;
        }
    }
    Some(())
}
