//! What was sold, earned, given back and forfeited in a period, from the money journal.

use std::collections::BTreeMap;

use crate::ledger::money::MoneyAccount;
use crate::ledger::{Currency, Kind, LedgerNo, Posting, Timestamp};
use crate::store::Position;

use super::error::ReadError;
use super::postings::just_before;
use super::reader::Reader;
use super::statement::Period;

/// Postings in one read.
const READ: usize = 1_000;
/// What is ordered later than this after a time counts after it, too: orders are made from commits of the last seconds.
const ORDER_SECONDS: i64 = 60;

/// A currency's revenue in a period, in its smallest unit. What is deferred at the end is what was at the start + sold -
/// earned - refunded - expired.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revenue {
    /// Paid for and not worked for, at the start.
    pub opening_deferred: i64,
    /// Prices of purchases.
    pub sold: i64,
    /// What was earned: by settlements and by what repaid a debt, less what reversals and refunds of spent credits took
    /// back.
    pub earned: i64,
    /// What went back to buyers, less what came back from refunds and disputes that were undone.
    pub refunded: i64,
    /// What expired or was adjusted away.
    pub expired: i64,
    /// Paid for and not worked for, at the end.
    pub closing_deferred: i64,
}

/// Revenue by currency.
#[derive(Clone, Debug, Default)]
pub struct RevenueReport {
    /// Those currencies in which anything moved by the end of the period.
    pub currencies: BTreeMap<Currency, Revenue>,
    /// True where something may still be recorded within the period.
    pub provisional: bool,
}

impl Reader {
    /// The revenue of a ledger in a period. It reads the journal from its beginning to the end of the period. `now` is
    /// the clock of the server.
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
        // Before the reads: what is final by then is what is read.
        let provisional = self.store.watermark(last, now).await? < last;
        let mut currencies: BTreeMap<Currency, Revenue> = BTreeMap::new();
        let mut after = Position::default();
        let behind = period.until.plus_seconds(ORDER_SECONDS);
        'feed: loop {
            let page = self.store.counted_feed(ledger, after, READ).await?;
            for (recorded, counts_from) in &page {
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
            if page.len() < READ {
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
