//! How fast a customer uses credits. Each posting carries the total used so far, so the use between two times takes
//! two look-ups.

use super::error::StoreError;
use super::read_store::{At, ReadStore};
use crate::ledger::forecast::{Forecast, LONG_WEEKS, SHORT_WEEKS, Used};
use crate::ledger::{Balances, Credits, CustomerKey, Timestamp};

/// A customer at one moment of its history.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub customer: CustomerKey,
    pub created_at: Timestamp,
    /// The number of holds that are open now.
    pub open_holds: u32,
    pub at: Timestamp,
    /// The balances at that moment.
    pub balances: Balances,
    /// The total of credits used by that moment.
    pub used: Credits,
}

/// Forecasts how long the credits last, from that moment on.
pub async fn forecast(store: &dyn ReadStore, moment: Moment) -> Result<Forecast, StoreError> {
    let Moment { customer, created_at, open_holds, at, balances, used } = moment;
    let mut before = [Credits::ZERO; 2];
    for (used, weeks) in before.iter_mut().zip([SHORT_WEEKS, LONG_WEEKS]) {
        let begin = Forecast::begin(at, weeks);
        if begin >= created_at {
            let found = store.posting_at(customer, At::Time(begin)).await?;
            *used = found.map_or(Credits::ZERO, |found| found.posting.detail.used);
        }
    }
    let [weeks_4_ago, weeks_12_ago] = before;
    let used = Used { now: used, weeks_4_ago, weeks_12_ago };
    Ok(Forecast { open_holds, ..Forecast::new(balances, used, created_at, at) })
}
