//! The second half of `verify`: compares every stored row with what the journal gives.

use std::collections::BTreeMap;

use super::replay::Replayed;
use super::report::Report;
use crate::ledger::codec::{decode, encode};
use crate::ledger::customer::CustomerState;
use crate::ledger::entry::Entry;
use crate::ledger::money::{MoneyAccount, MoneyPlace};
use crate::ledger::{Credits, Currency, Customer, HoldState, LedgerNo, Timestamp};
use crate::store::{AuditStore, StoreError, StoredCustomer};

/// Rows in one read.
const PAGE: usize = 1_000;

/// Reads all rows of a table, a page at a time, and counts them. The body gives the key after which the next page
/// begins.
macro_rules! each_row {
    ($auditor:ident.$read:ident, |$stored:ident| $body:block) => {{
        let (mut after, mut count) = (None, 0_u64);
        loop {
            let page = $auditor.$read(after, PAGE).await?;
            for $stored in &page {
                count = count.saturating_add(1);
                after = Some($body);
            }
            if page.len() < PAGE {
                break count;
            }
        }
    }};
}

pub(super) async fn compare(
    auditor: &dyn AuditStore,
    replayed: &Replayed,
    report: &mut Report,
) -> Result<(), StoreError> {
    let sums = customers(auditor, replayed, report).await?;
    holds(auditor, replayed, report).await?;
    work(auditor, replayed, report).await?;
    lots(auditor, replayed, report).await?;
    orders(auditor, replayed, report).await?;
    accounts(auditor, replayed, sums, report).await
}

/// Sums that must be zero: a ledger's accounts in credits (without a currency), and those in each currency.
type Sums = BTreeMap<(LedgerNo, Option<Currency>), i128>;

/// Compares customers. Returns two sums by ledger: that of their accounts, and the negative price of what is left in
/// their lots. The second one plus the deferred revenue must be zero.
async fn customers(
    auditor: &dyn AuditStore,
    replayed: &Replayed,
    report: &mut Report,
) -> Result<(Sums, Sums), StoreError> {
    let mut sums = Sums::new();
    let mut deferred = Sums::new();
    report.counts.customers = each_row!(auditor.stored_customers, |stored| {
        let entry = replayed.book.entry(stored.key);
        match entry.and_then(|entry| Some((entry, entry.customer.as_deref()?))) {
            None => report.fault(format!("customer {}: no posting made it", stored.id)),
            Some((entry, customer)) => {
                if let Some(fault) = customer_fault(stored, entry, customer) {
                    report.fault(format!("customer {}: {fault}", stored.id));
                }
                for money in customer.state.lots.iter().filter_map(|lot| lot.money) {
                    let place = (stored.ledger, Some(money.currency));
                    *deferred.entry(place).or_default() -= i128::from(money.minor_units);
                }
            }
        }
        let balances = stored.balances;
        let sum = sums.entry((stored.ledger, None)).or_default();
        *sum += i128::from(balances.available.units()) + i128::from(balances.held.units());
        *sum -= i128::from(balances.owed.units());
        stored.key
    });
    let made = replayed.last.len();
    missing(report, "customers", report.counts.customers, made);
    Ok((sums, deferred))
}

fn customer_fault(stored: &StoredCustomer, entry: &Entry, customer: &Customer) -> Option<&'static str> {
    let Ok(state) = decode::<CustomerState>(&stored.state) else {
        return Some("its state cannot be read");
    };
    if (stored.ledger, &stored.id) != (customer.ledger, &customer.id) || stored.key != customer.key() {
        return Some("it stands under the wrong key");
    }
    if stored.sequence != customer.sequence {
        return Some("its sequence is not that of its last posting");
    }
    if stored.balances != customer.balances {
        return Some("its balances are not those that the journal gives");
    }
    if stored.next_due != state.next_due || due_is_late(state.next_due, entry, customer) {
        return Some("it would be looked at too late for what falls due");
    }
    // `next_due` is a bound that does not follow from the journal; everything else does.
    let journal = CustomerState { next_due: state.next_due, ..customer.state.clone() };
    if state != journal {
        return Some("its lots, holds or terms are not those that the journal gives");
    }
    if stored.profile != entry.profile.as_ref().map(|profile| encode(profile.as_ref())) {
        return Some("its profile is not the one that the journal gives");
    }
    let mut active = entry.holds().filter(|hold| hold.state == HoldState::Active);
    let held = active.try_fold(Credits::ZERO, |sum, hold| sum.checked_add(hold.held));
    (held != Some(customer.balances.held)).then_some("its active holds do not sum to what is held")
}

/// True if something falls due before the bound, so that a sweep would look too late.
fn due_is_late(bound: Option<Timestamp>, entry: &Entry, customer: &Customer) -> bool {
    let holds = entry.holds().filter_map(|hold| hold.due_at());
    // A lot that a hold covers may have been looked at when it fell due, which leaves no posting.
    let uncovered = customer.state.lots.uncovered(customer.balances.held, Timestamp::MAX);
    let lots = uncovered.iter().filter_map(|lot| lot.expires_at).min();
    let due = holds.chain(lots).chain(customer.top_up_due()).min();
    due.is_some_and(|due| bound.is_none_or(|bound| bound > due))
}

async fn holds(auditor: &dyn AuditStore, replayed: &Replayed, report: &mut Report) -> Result<(), StoreError> {
    report.counts.holds = each_row!(auditor.stored_holds, |stored| {
        let hold = replayed.book.entry(stored.customer).and_then(|entry| entry.hold(stored.id));
        let journal = hold.map(|hold| encode(hold.as_ref()));
        check_body(report, &format!("hold {}", stored.id), journal, &stored.body, "no posting made it");
        stored.id
    });
    let made = replayed.last.keys().filter_map(|key| replayed.book.entry(*key));
    missing(report, "holds", report.counts.holds, made.map(|entry| entry.holds().count()).sum());
    Ok(())
}

async fn work(auditor: &dyn AuditStore, replayed: &Replayed, report: &mut Report) -> Result<(), StoreError> {
    report.counts.work = each_row!(auditor.stored_work, |stored| {
        let key = (stored.hold, stored.id);
        let entry = replayed.owners.get(&stored.hold).and_then(|owner| replayed.book.entry(*owner));
        let journal = entry.and_then(|entry| entry.work().get(&key)).map(|work| encode(work.as_ref()));
        check_body(
            report,
            &format!("entry of work {}", stored.id),
            journal,
            &stored.body,
            "no posting recorded it",
        );
        key
    });
    let made = replayed.last.keys().filter_map(|key| replayed.book.entry(*key));
    missing(report, "entries of work", report.counts.work, made.map(|entry| entry.work().len()).sum());
    Ok(())
}

async fn lots(auditor: &dyn AuditStore, replayed: &Replayed, report: &mut Report) -> Result<(), StoreError> {
    report.counts.lots = each_row!(auditor.stored_lots, |stored| {
        let lot = replayed.lots.get(&stored.id);
        // A lot of another customer counts as one that the journal does not give.
        let journal = lot.map(
            |(customer, lot)| {
                if *customer == stored.customer { encode(lot.as_ref()) } else { Vec::new() }
            },
        );
        check_body(report, &format!("lot {}", stored.id), journal, &stored.body, "no posting brought it in");
        let entry = replayed.book.entry(stored.customer);
        if entry.is_some_and(|entry| entry.unused(stored.id) != stored.unused) {
            report.fault(format!("lot {}: what left it unused is not what the journal gives", stored.id));
        }
        stored.id
    });
    missing(report, "lots", report.counts.lots, replayed.lots.len());
    Ok(())
}

async fn orders(
    auditor: &dyn AuditStore,
    replayed: &Replayed,
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = auditor.stored_orders(after.as_ref(), PAGE).await?;
        for stored in &page {
            report.counts.orders += 1;
            let (_, storefront, order) = &stored.scope;
            if stored.posting.is_none() || replayed.orders.get(&stored.scope) != stored.posting.as_ref() {
                report.fault(format!("order {order} of {storefront}: no posting at its place recorded it"));
            }
            after = Some(stored.scope.clone());
        }
        if page.len() < PAGE {
            break;
        }
    }
    missing(report, "orders", report.counts.orders, replayed.orders.len());
    Ok(())
}

/// Compares the system accounts. Each ledger must sum to zero, in credits and in each currency. The deferred revenue
/// must equal the price of what is left in lots.
async fn accounts(
    auditor: &dyn AuditStore,
    replayed: &Replayed,
    (mut sums, mut deferred): (Sums, Sums),
    report: &mut Report,
) -> Result<(), StoreError> {
    let mut expected = replayed.accounts.clone();
    for (ledger, account, balance) in auditor.stored_accounts().await? {
        report.counts.system_accounts += 1;
        let money = MoneyPlace::parse(&account);
        let place = (ledger, money.as_ref().map(|money| money.currency));
        *sums.entry(place).or_default() += i128::from(balance.units());
        if money.is_some_and(|money| money.account == MoneyAccount::DeferredRevenue) {
            *deferred.entry(place).or_default() += i128::from(balance.units());
        }
        let journal = expected.remove(&(ledger, account.clone()));
        let ledger = ledger.get();
        let Some(journal) = journal else {
            report
                .fault(format!("account {account} of ledger {ledger}: no transfer of the journal names it"));
            continue;
        };
        if journal != balance {
            report.fault(format!(
                "account {account} of ledger {ledger}: {balance} is stored, the journal gives {journal}"
            ));
        }
    }
    for ((ledger, account), balance) in expected.iter().filter(|(_, balance)| !balance.is_zero()) {
        let ledger = ledger.get();
        report.fault(format!(
            "account {account} of ledger {ledger}: nothing is stored, the journal gives {balance}"
        ));
    }
    for ((ledger, currency), sum) in sums.into_iter().filter(|(_, sum)| *sum != 0) {
        let unit =
            currency.map_or("ten-thousandths".to_owned(), |currency| format!("smallest units of {currency}"));
        report.fault(format!("ledger {}: its accounts sum to {sum} {unit}, not to zero", ledger.get()));
    }
    for ((ledger, currency), more) in deferred.into_iter().filter(|(_, more)| *more != 0) {
        let currency = currency.map(|currency| currency.to_string()).unwrap_or_default();
        report.fault(format!(
            "ledger {}: its deferred revenue is {more} smallest units of {currency} off the price of what is left in lots",
            ledger.get()
        ));
    }
    Ok(())
}

/// Compares the body of a row with the journal's; `unmade` is the fault where the journal gives none.
fn check_body(report: &mut Report, row: &str, journal: Option<Vec<u8>>, stored: &[u8], unmade: &str) {
    match journal {
        None => report.fault(format!("{row}: {unmade}")),
        Some(journal) if journal != stored => {
            report.fault(format!("{row}: it is not as its last posting left it"));
        }
        Some(_) => {}
    }
}

fn missing(report: &mut Report, what: &str, stored: u64, made: usize) {
    if stored != u64::try_from(made).unwrap_or(u64::MAX) {
        report.fault(format!("{stored} {what} are stored, the journal made {made}"));
    }
}
