//! The reading side of the reference engine: filters over everything.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use async_trait::async_trait;

use super::{Memory, State};
use crate::ledger::alert::DefaultAlerts;
use crate::ledger::book::RequestScope;
use crate::ledger::card::CardChange;
use crate::ledger::ids::WorkId;
use crate::ledger::work::Work;
use crate::ledger::{
    ClassId, Credits, Customer, CustomerId, CustomerKey, Hold, HoldId, IncidentId, LedgerId, LedgerNo, Lot,
    LotId, OrderId, Profile, Storefront, Timestamp,
};
use crate::store::class_stats::{ClassStats, ClassStatsFilter, PERCENTILES};
use crate::store::error::damaged;
use crate::store::{
    At, HoldFilter, Ledger, LotFilter, OwnedLot, Page, Position, ReadStore, Recorded, StoreError, StoreInfo,
};

#[async_trait]
impl ReadStore for Memory {
    async fn info(&self) -> Result<StoreInfo, StoreError> {
        let ledgers = u64::try_from(self.read().ledgers.len()).unwrap_or(u64::MAX);
        Ok(StoreInfo { engine: "memory", schema_version: 0, ledgers })
    }

    async fn ledger(&self, id: &LedgerId) -> Result<Option<Ledger>, StoreError> {
        let state = self.read();
        Ok(state.ledgers.values().map(|(ledger, _)| ledger).find(|ledger| ledger.id == *id).cloned())
    }

    async fn ledgers(&self) -> Result<Vec<Ledger>, StoreError> {
        Ok(self.read().ledgers.values().map(|(ledger, _)| ledger.clone()).collect())
    }

    async fn card_changes(&self, after: u64) -> Result<Vec<CardChange>, StoreError> {
        Ok(self.read().card_changes_after(after).to_vec())
    }

    async fn class_stats(
        &self,
        filter: &ClassStatsFilter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ClassStats>, StoreError> {
        let state = self.read();
        let mut classes: BTreeMap<Option<ClassId>, BTreeMap<(CustomerKey, IncidentId), [Credits; 2]>> =
            BTreeMap::new();
        for hold in state.holds.values() {
            let wanted = hold.ledger == filter.ledger
                && filter.from.is_none_or(|from| from <= hold.created_at)
                && filter.until.is_none_or(|until| hold.created_at < until)
                && filter.class.as_ref().is_none_or(|class| hold.class.as_ref() == Some(class))
                && after.is_none_or(|after| hold.class.as_ref().map_or("", ClassId::as_str) > after);
            let Some(settlement) = hold.settlement.as_ref().filter(|_| wanted) else { continue };
            let incidents = classes.entry(hold.class.clone()).or_default();
            let incident = incidents.entry((hold.customer_key(), hold.incident.clone())).or_default();
            for (sum, credits) in incident.iter_mut().zip([hold.estimate, settlement.charge]) {
                *sum = sum.checked_add(credits).ok_or_else(|| damaged("a sum leaves its bounds"))?;
            }
        }
        classes
            .into_iter()
            .take(limit)
            .map(|(class, incidents)| stats(class, incidents.into_values()))
            .collect()
    }

    async fn watermark(&self, wanted: Timestamp, now: Timestamp) -> Result<Timestamp, StoreError> {
        Ok(self.stamps.watermark(wanted.min(now)))
    }

    async fn customer(&self, key: CustomerKey) -> Result<Option<Customer>, StoreError> {
        Ok(self.read().customers.get(&key).cloned())
    }

    async fn customers_by_key(&self, keys: &[CustomerKey]) -> Result<Vec<Customer>, StoreError> {
        let state = self.read();
        Ok(state.customers.values().filter(|customer| keys.contains(&customer.key())).cloned().collect())
    }

    async fn profile(&self, key: CustomerKey) -> Result<Option<Profile>, StoreError> {
        Ok(self.read().profiles.get(&key).cloned())
    }

    async fn profiles_by_key(
        &self,
        keys: &[CustomerKey],
    ) -> Result<Vec<(CustomerKey, CustomerId, Profile)>, StoreError> {
        let state = self.read();
        let named = |key: &CustomerKey| {
            let customer = state.customers.get(key)?;
            Some((*key, customer.id.clone(), state.profiles.get(key)?.clone()))
        };
        let keys: BTreeSet<CustomerKey> = keys.iter().copied().collect();
        Ok(keys.iter().filter_map(named).collect())
    }

    async fn default_alerts(&self, ledger: LedgerNo) -> Result<Option<DefaultAlerts>, StoreError> {
        let state = self.read();
        Ok(state.default_alerts.get(&ledger).and_then(|all| all.last()).map(|last| last.default.clone()))
    }

    async fn customers(
        &self,
        ledger: LedgerNo,
        after: Option<&CustomerId>,
        limit: usize,
    ) -> Result<Vec<(Customer, Profile)>, StoreError> {
        let state = self.read();
        let mut customers: Vec<&Customer> = state.customers.values().collect();
        customers
            .retain(|customer| customer.ledger == ledger && after.is_none_or(|after| customer.id > *after));
        customers.sort_by(|one, other| one.id.cmp(&other.id));
        customers.truncate(limit);
        let with_profile = |customer: &Customer| {
            (customer.clone(), state.profiles.get(&customer.key()).cloned().unwrap_or_default())
        };
        Ok(customers.into_iter().map(with_profile).collect())
    }

    async fn customers_due(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(LedgerNo, CustomerId)>, StoreError> {
        let state = self.read();
        let mut due: Vec<&Customer> = state.customers.values().collect();
        due.retain(|customer| customer.state.next_due.is_some_and(|due| due <= now));
        due.sort_by_key(|customer| (customer.state.next_due, customer.key()));
        Ok(due.into_iter().take(limit).map(|customer| (customer.ledger, customer.id.clone())).collect())
    }

    async fn posting_at(&self, customer: CustomerKey, at: At) -> Result<Option<Recorded>, StoreError> {
        let state = self.read();
        let found = state.history(customer).rfind(|recorded| match at {
            At::Sequence(sequence) => recorded.posting.sequence <= sequence,
            At::Position(position) => recorded.position <= position,
            At::Time(time) => recorded.posting.recorded_at <= time,
            At::Posting(id) => recorded.posting.id == id,
        });
        Ok(found.cloned())
    }

    async fn postings_of(
        &self,
        customer: CustomerKey,
        first: u64,
        last: u64,
    ) -> Result<Page<Recorded, u64>, StoreError> {
        let state = self.read();
        let wanted = |recorded: &&Recorded| (first..=last).contains(&recorded.posting.sequence);
        Ok(Page { items: state.history(customer).filter(wanted).cloned().collect(), next: None })
    }

    async fn posting_by_request(&self, scope: &RequestScope) -> Result<Option<Recorded>, StoreError> {
        Ok(self.read().requests.get(scope).cloned())
    }

    async fn feed(
        &self,
        ledger: LedgerNo,
        after: Position,
        limit: usize,
    ) -> Result<Page<Recorded, Position>, StoreError> {
        let state = self.read();
        let journal = state.journal.get(&ledger).into_iter().flatten();
        let mut behind = journal.filter(|recorded| recorded.position > after);
        // The postings are in memory anyway, so their bytes do not matter.
        let items: Vec<Recorded> = behind.by_ref().take(limit).cloned().collect();
        let next = items.last().filter(|_| items.len() >= limit).map(|last| last.position);
        Ok(Page { items, next })
    }

    async fn last_position(&self, ledger: LedgerNo) -> Result<Position, StoreError> {
        Ok(self.read().last_position(ledger))
    }

    async fn hold(&self, ledger: LedgerNo, id: HoldId) -> Result<Option<Arc<Hold>>, StoreError> {
        Ok(self.read().holds.get(&id).filter(|hold| hold.ledger == ledger).cloned())
    }

    async fn holds_of_incident(
        &self,
        customer: CustomerKey,
        incident: &IncidentId,
    ) -> Result<Vec<Arc<Hold>>, StoreError> {
        let state = self.read();
        let wanted = |hold: &&Arc<Hold>| hold.customer_key() == customer && hold.incident == *incident;
        Ok(state.holds.values().filter(wanted).cloned().collect())
    }

    async fn holds(
        &self,
        ledger: LedgerNo,
        filter: &HoldFilter,
        before: Option<HoldId>,
        limit: usize,
    ) -> Result<Page<Arc<Hold>, HoldId>, StoreError> {
        let state = self.read();
        let wanted =
            |hold: &&Arc<Hold>| before.is_none_or(|before| hold.id < before) && passes(hold, ledger, filter);
        Ok(page(state.holds.values().rev().filter(wanted).cloned(), limit, |hold| hold.id))
    }

    async fn work(
        &self,
        hold: HoldId,
        after: Option<WorkId>,
        limit: usize,
    ) -> Result<Page<Arc<Work>, WorkId>, StoreError> {
        let state = self.read();
        let of_hold = state.work.range((hold, WorkId::MIN)..=(hold, WorkId::MAX));
        let rest = of_hold.filter(|((_, id), _)| after.is_none_or(|after| *id > after));
        let items = rest.take(limit.saturating_add(1)).map(|(_, work)| Arc::clone(work)).collect();
        Ok(Page::cut(items, limit, |work| work.id))
    }

    async fn lot(&self, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError> {
        let state = self.read();
        let found = state.lots.get(&id).and_then(|(customer, lot)| state.owned(*customer, lot));
        Ok(found.filter(|(of, _)| *of == ledger).map(|(_, lot)| lot))
    }

    async fn order(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<Option<OwnedLot>, StoreError> {
        let state = self.read();
        let Some(recorded) = state.orders.get(&(ledger, storefront.clone(), order.clone())) else {
            return Ok(None);
        };
        let lot = recorded.posting.detail.lot.as_ref().and_then(|lot| state.lots.get(&lot.id));
        Ok(lot.and_then(|(customer, lot)| state.owned(*customer, lot)).map(|(_, lot)| lot))
    }

    async fn orders(
        &self,
        ledger: LedgerNo,
        storefront: &Storefront,
        orders: &[&OrderId],
    ) -> Result<Vec<OwnedLot>, StoreError> {
        let mut found = Vec::new();
        for order in orders {
            found.extend(self.order(ledger, storefront, order).await?);
        }
        Ok(found)
    }

    async fn lots(
        &self,
        ledger: LedgerNo,
        filter: &LotFilter,
        before: Option<LotId>,
        limit: usize,
    ) -> Result<Page<OwnedLot, LotId>, StoreError> {
        let state = self.read();
        // From where the page before ended: a list that is read to its end is gone through once.
        let older = (Bound::Unbounded, before.map_or(Bound::Unbounded, Bound::Excluded));
        let lots = state.lots.range(older).rev().filter_map(|(_, (customer, lot))| {
            let (of, owned) = state.owned(*customer, lot)?;
            let wanted = of == ledger
                && filter.customer.is_none_or(|wanted| wanted == *customer)
                && filter.source.is_none_or(|wanted| wanted == lot.source)
                && filter.storefront.as_ref().is_none_or(|wanted| lot.storefront.as_ref() == Some(wanted))
                && filter.from.is_none_or(|from| from <= lot.created_at)
                && filter.until.is_none_or(|until| lot.created_at < until);
            wanted.then_some(owned)
        });
        Ok(page(lots, limit, |owned| owned.lot.id))
    }

    async fn trial_balance(&self, ledger: LedgerNo) -> Result<Vec<(String, Credits)>, StoreError> {
        let state = self.read();
        let mut balances = [("available", 0_i64), ("held", 0), ("receivable", 0)];
        for customer in state.customers.values().filter(|customer| customer.ledger == ledger) {
            let own = customer.balances;
            let changes = [own.available.units(), own.held.units(), own.owed.units().saturating_neg()];
            for ((account, sum), change) in balances.iter_mut().zip(changes) {
                *sum = sum
                    .checked_add(change)
                    .ok_or_else(|| StoreError::Damaged(format!("the account {account} leaves its bounds")))?;
            }
        }
        let customers =
            balances.into_iter().map(|(name, units)| (name.to_owned(), Credits::from_units(units)));
        let system = state.accounts.iter().filter(|((of, _), _)| *of == ledger);
        let system = system.map(|((_, account), balance)| (account.clone(), *balance));
        let mut all: Vec<(String, Credits)> = customers.chain(system).collect();
        all.sort();
        Ok(all)
    }
}

/// Counts the incidents of a class, each an estimate and a charge.
fn stats(
    class: Option<ClassId>,
    incidents: impl Iterator<Item = [Credits; 2]>,
) -> Result<ClassStats, StoreError> {
    let incidents: Vec<[Credits; 2]> = incidents.collect();
    let sum = |of: usize| {
        let sum = incidents.iter().try_fold(Credits::ZERO, |sum, incident| sum.checked_add(incident[of]));
        sum.ok_or_else(|| damaged("a sum leaves its bounds"))
    };
    let mut charged: Vec<i64> = incidents.iter().map(|[_, charged]| charged.units()).collect();
    charged.sort_unstable();
    let estimated = incidents.iter().filter(|[estimated, _]| estimated.is_positive());
    let mut ratios: Vec<i64> = estimated
        .clone()
        .map(|[estimated, charged]| {
            let (estimated, charged) = (estimated.units(), charged.units());
            charged.saturating_mul(20_000).saturating_add(estimated).div_euclid(estimated.saturating_mul(2))
        })
        .collect();
    ratios.sort_unstable();
    let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
    Ok(ClassStats {
        class,
        incidents: count(incidents.len()),
        estimated: sum(0)?,
        charged: sum(1)?,
        charged_percentiles: PERCENTILES.map(|percent| Credits::from_units(nearest_rank(&charged, percent))),
        with_estimate: count(ratios.len()),
        over_estimate: count(estimated.filter(|[estimated, charged]| charged > estimated).count()),
        ratio_percentiles: (!ratios.is_empty())
            .then(|| PERCENTILES.map(|percent| nearest_rank(&ratios, percent))),
    })
}

/// The least of the sorted values that at least so many in a hundred do not exceed.
fn nearest_rank(sorted: &[i64], percent: i64) -> i64 {
    let percent = usize::try_from(percent).unwrap_or(100);
    let rank = sorted.len().saturating_mul(percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
}

impl State {
    fn owned(&self, customer: CustomerKey, lot: &Arc<Lot>) -> Option<(LedgerNo, OwnedLot)> {
        let customer = self.customers.get(&customer)?;
        let unused = self.unused(lot.id);
        Some((customer.ledger, OwnedLot { customer: customer.id.clone(), lot: Arc::clone(lot), unused }))
    }
}

fn passes(hold: &Hold, ledger: LedgerNo, filter: &HoldFilter) -> bool {
    hold.ledger == ledger
        && filter.customer.is_none_or(|wanted| wanted == hold.customer_key())
        && filter.incident.as_ref().is_none_or(|wanted| *wanted == hold.incident)
        && (filter.states.is_empty() || filter.states.contains(&hold.state))
        && filter.class.as_ref().is_none_or(|wanted| hold.class.as_ref() == Some(wanted))
        && filter.from.is_none_or(|from| from <= hold.created_at)
        && filter.until.is_none_or(|until| hold.created_at < until)
        && if filter.settled { hold.settlement.is_some() } else { !hold.direct }
}

/// The first `limit` items, and where to go on where there are more.
fn page<T, K>(items: impl Iterator<Item = T>, limit: usize, key: impl Fn(&T) -> K) -> Page<T, K> {
    let mut items: Vec<T> = items.take(limit.saturating_add(1)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(key);
    Page { items, next }
}
