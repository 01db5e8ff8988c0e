//! How fast a customer uses credits: each posting carries what was used so far, so the use between two moments is two
//! look-ups.

use super::error::StoreError;
use super::read_store::{At, ReadStore};
use crate::ledger::forecast::{Forecast, LONG_WEEKS, SHORT_WEEKS, Used};
use crate::ledger::{Balances, Credits, CustomerKey, Timestamp};

/// A customer at one moment of its history.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Whose.
    pub customer: CustomerKey,
    /// When the customer was created.
    pub created_at: Timestamp,
    /// Holds of it that are open now.
    pub open_holds: u32,
    /// The moment.
    pub at: Timestamp,
    /// The balances then.
    pub balances: Balances,
    /// The credits used by then.
    pub used: Credits,
}

/// What is to be expected from a moment on.
///
/// # Errors
/// [`StoreError`].
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
