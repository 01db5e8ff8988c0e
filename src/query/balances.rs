//! Balances, now and as of an earlier point.

use crate::ledger::forecast::Forecast;
use crate::ledger::{Balances, Credits, Customer, CustomerId, CustomerKey, LedgerNo, Timestamp};
use crate::store::usage::{Moment, forecast};
use crate::store::{At, Recorded};

use super::error::ReadError;
use super::reader::Reader;

/// A customer's balances at one point of its history.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BalanceAt {
    pub balances: Balances,
    /// The sequence of the last posting included; 0 before the first.
    pub sequence: u64,
    pub recorded_at: Option<Timestamp>,
    /// True where postings before this point may still be recorded.
    pub provisional: bool,
    /// The total of credits used by then.
    pub used: Credits,
}

impl BalanceAt {
    /// The balances right after a posting; all zero before the first.
    pub(super) fn after(found: Option<&Recorded>) -> Self {
        found.map_or_else(Self::default, |Recorded { posting, .. }| Self {
            balances: posting.after,
            sequence: posting.sequence,
            recorded_at: Some(posting.recorded_at),
            provisional: false,
            used: posting.detail.used,
        })
    }

    fn now(customer: &Customer) -> Self {
        Self {
            balances: customer.balances,
            sequence: customer.sequence,
            recorded_at: Some(customer.state.last_recorded_at),
            provisional: false,
            used: customer.state.used,
        }
    }
}

impl Reader {
    /// Forecasts how long a customer's credits will last, from the time `at`, when it had `balance`.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn forecast(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
        balance: &BalanceAt,
        at: Timestamp,
    ) -> Result<Forecast, ReadError> {
        let customer = self.customer(ledger, id).await?;
        let moment = Moment {
            customer: customer.key(),
            created_at: customer.state.created_at,
            open_holds: customer.state.open_holds,
            at,
            balances: balance.balances,
            used: balance.used,
        };
        Ok(forecast(&*self.store, moment).await?)
    }

    /// A customer's balances, now or `at` an earlier point; all zero before the first posting. `now` is the server's
    /// clock.
    ///
    /// # Errors
    /// [`ReadError::CustomerNotFound`], [`ReadError::Storage`].
    pub async fn balance(
        &self,
        ledger: LedgerNo,
        id: &CustomerId,
        at: Option<At>,
        now: Timestamp,
    ) -> Result<BalanceAt, ReadError> {
        let Some(at) = at else {
            return Ok(BalanceAt::now(&self.customer(ledger, id).await?));
        };
        let customer = self.stored_customer(ledger, id).await?;
        // Asked before the read: postings that become final afterwards may be missing from it.
        let provisional = match at {
            At::Time(time) => self.store.watermark(time, now).await? < time,
            At::Sequence(_) | At::Position(_) | At::Posting(_) => false,
        };
        let found = self.store.posting_at(customer.key(), at).await?;
        Ok(BalanceAt { provisional, ..BalanceAt::after(found.as_ref()) })
    }

    /// The balances of many customers, in the order of `ids`; `None` for a customer that does not exist.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn balances(
        &self,
        ledger: LedgerNo,
        ids: &[CustomerId],
    ) -> Result<Vec<Option<BalanceAt>>, ReadError> {
        let keys = ids.iter().map(|id| CustomerKey::of(ledger, id));
        let found = self.current_by_key(ledger, keys).await?;
        let balance = |id| {
            // Keys are hashes, so the row under a key may be another customer's.
            let customer = found.get(&CustomerKey::of(ledger, id));
            customer.filter(|customer| customer.ledger == ledger && customer.id == *id).map(BalanceAt::now)
        };
        Ok(ids.iter().map(balance).collect())
    }
}
