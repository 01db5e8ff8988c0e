//! The first half of `verify`: the journal, from its first posting to its last.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::Report;
use crate::ledger::book::{Book, OrderScope};
use crate::ledger::card::Cards;
use crate::ledger::receipt::{ReceiptError, receipt};
use crate::ledger::{Credits, CustomerKey, LedgerNo, Lot, LotId, Posting, PostingId, Timestamp};
use crate::store::nets::changes;
use crate::store::{AuditStore, Ledger, Position, Recorded, StoreError, StoredLedger};

/// Postings in one read.
const PAGE: usize = 1_000;

/// The state that the journal gives.
pub(super) struct Replayed {
    /// Customers and holds.
    pub book: Book,
    /// Each customer's last posting.
    pub last: HashMap<CustomerKey, PostingId>,
    /// Every lot that came in, as its last posting left it, and whose it is.
    pub lots: HashMap<LotId, (CustomerKey, Arc<Lot>)>,
    /// Every order, and the posting that recorded it.
    pub orders: HashMap<OrderScope, PostingId>,
    /// Balances of the accounts that are no customer's, each in its own unit.
    pub accounts: BTreeMap<(LedgerNo, String), Credits>,
}

pub(super) async fn replay(
    auditor: &dyn AuditStore,
    report: &mut Report,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<Replayed, StoreError> {
    // Nothing is decided, so neither time nor randomness nor cards matter.
    let mut replayed = Replayed {
        book: Book::new(Timestamp::MAX, 0, Arc::new(Cards::built_in())),
        last: HashMap::new(),
        lots: HashMap::new(),
        orders: HashMap::new(),
        accounts: BTreeMap::new(),
    };
    for StoredLedger { ledger, .. } in auditor.stored_ledgers().await? {
        report.counts.ledgers += 1;
        let mut last = Position::default();
        loop {
            let page = auditor.journal(ledger.no, last, PAGE).await?;
            for recorded in &page {
                if recorded.position.0 != last.0 + 1 {
                    let (found, expected) = (recorded.position.0, last.0 + 1);
                    report.fault(format!("ledger {}: position {found} follows {}", ledger.id, expected - 1));
                }
                last = recorded.position;
                replayed.take(&ledger, recorded, report);
            }
            progress(report.counts.postings);
            if page.len() < PAGE {
                break;
            }
        }
    }
    Ok(replayed)
}

impl Replayed {
    fn take(&mut self, ledger: &Ledger, recorded: &Recorded, report: &mut Report) {
        let posting = &recorded.posting;
        report.counts.postings += 1;
        let place = || format!("ledger {}, position {}", ledger.id, recorded.position.0);
        if posting.ledger != ledger.no {
            report.fault(format!("{}: the posting is of another ledger", place()));
        }
        if posting.request.is_some() != (posting.fingerprint != 0) {
            report.fault(format!("{}: request id and fingerprint do not go together", place()));
        }
        if let Err(broken) = self.book.apply(posting) {
            report.fault(format!("{}: {broken}", place()));
        }
        let before = self.last.insert(posting.customer, posting.id);
        if before.is_some_and(|id| id >= posting.id) {
            report.fault(format!("{}: the posting's id does not rise", place()));
        }
        let transfers = u64::try_from(posting.transfers().count()).unwrap_or(u64::MAX);
        report.counts.transfers = report.counts.transfers.saturating_add(transfers);
        for (account, change) in changes(posting) {
            let balance = self.accounts.entry((ledger.no, account.to_string())).or_default();
            match balance.checked_add(Credits::from_units(change)) {
                Some(sum) => *balance = sum,
                None => report.fault(format!("{}: {account} leaves its bounds", place())),
            }
        }
        if let Some(fault) = receipt_fault(&self.book.cards, posting) {
            report.fault(format!("{}: {fault}", place()));
        }
        if let Some(lot) = &posting.detail.refunded {
            self.lots.insert(lot.id, (posting.customer, Arc::clone(lot)));
        }
        if let Some(lot) = &posting.detail.lot {
            self.lots.insert(lot.id, (posting.customer, Arc::clone(lot)));
            if let (Some(storefront), Some(order)) = (&lot.storefront, &lot.order) {
                let scope = (ledger.no, storefront.clone(), order.clone());
                if self.orders.insert(scope, posting.id).is_some() {
                    report.fault(format!("{}: order {order} of {storefront} is recorded twice", place()));
                }
            }
        }
    }
}

/// A settlement must cost what its receipt says.
fn receipt_fault(cards: &Cards, posting: &Posting) -> Option<ReceiptError> {
    let hold = posting.detail.hold.as_ref()?;
    let settlement = hold.settlement.as_ref().filter(|settlement| settlement.posting == posting.id)?;
    receipt(cards, &hold.card, settlement).err()
}
