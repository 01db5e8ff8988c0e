//! The directory of ledgers, their default thresholds, and their trial balances.

use std::sync::PoisonError;

use crate::ledger::money::MoneyPlace;
use crate::ledger::{Alerts, Credits, LedgerId, LedgerNo};
use crate::store::{Ledger, Position};

use super::error::ReadError;
use super::page::{Listed, PageRequest, keyed};
use super::reader::Reader;

keyed!(Ledger => LedgerNo: |it| it.no);

/// The balances of all accounts of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrialBalance {
    /// By account name.
    pub credits: Vec<(String, Credits)>,
    /// In the smallest unit of each currency.
    pub money: Vec<(MoneyPlace, i64)>,
}

impl Reader {
    /// The number of a ledger. A known one costs no read.
    ///
    /// # Errors
    /// [`ReadError::LedgerNotFound`], [`ReadError::Storage`].
    pub async fn ledger(&self, id: &LedgerId) -> Result<LedgerNo, ReadError> {
        if let Some(no) = self.known_ledger(id) {
            return Ok(no);
        }
        let all = self.store.ledgers().await?;
        // A poisoned lock only means that another reader panicked; the map is intact.
        let mut known = self.ledgers.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(all.into_iter().map(|ledger| (ledger.id, ledger.no)));
        known.get(id).copied().ok_or(ReadError::LedgerNotFound)
    }

    /// # Errors
    /// [`ReadError::LedgerNotFound`], [`ReadError::Storage`].
    pub async fn ledger_record(&self, id: &LedgerId) -> Result<Ledger, ReadError> {
        self.store.ledger(id).await?.ok_or(ReadError::LedgerNotFound)
    }

    fn known_ledger(&self, id: &LedgerId) -> Option<LedgerNo> {
        self.ledgers.read().unwrap_or_else(PoisonError::into_inner).get(id).copied()
    }

    /// All ledgers, oldest first.
    ///
    /// # Errors
    /// [`ReadError::PageToken`], [`ReadError::Storage`].
    pub async fn ledgers(&self, page: &PageRequest) -> Result<Listed<Ledger>, ReadError> {
        page.take_from(&"ledgers", self.store.ledgers().await?.into_iter())
    }

    /// All ledgers.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn all_ledgers(&self) -> Result<Vec<Ledger>, ReadError> {
        Ok(self.store.ledgers().await?)
    }

    /// A ledger's default thresholds; may be empty.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn default_alerts(&self, ledger: LedgerNo) -> Result<Alerts, ReadError> {
        Ok(self.store.default_alerts(ledger).await?.map(|default| default.alerts).unwrap_or_default())
    }

    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn last_position(&self, ledger: LedgerNo) -> Result<Position, ReadError> {
        Ok(self.store.last_position(ledger).await?)
    }

    /// Balances by account name, with all customers' accounts summed, from one consistent read.
    ///
    /// # Errors
    /// [`ReadError::Storage`].
    pub async fn trial_balance(&self, ledger: LedgerNo) -> Result<TrialBalance, ReadError> {
        let mut balances = TrialBalance::default();
        for (account, balance) in self.store.trial_balance(ledger).await? {
            match MoneyPlace::parse(&account) {
                Some(place) => balances.money.push((place, balance.units())),
                None => balances.credits.push((account, balance)),
            }
        }
        Ok(balances)
    }
}
