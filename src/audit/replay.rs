//! The first half of `verify`: replays the journal from its first posting to its last.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use super::report::Report;
use crate::cards;
use crate::ledger::book::{Book, OrderScope};
use crate::ledger::card::{CardChange, CardEdit, CardRef, CardRequest, Cards, check};
use crate::ledger::receipt::{ReceiptError, receipt};
use crate::ledger::{Credits, CustomerKey, HoldId, LedgerNo, Lot, LotId, Posting, PostingId, Timestamp};
use crate::store::nets::changes;
use crate::store::{AuditStore, Ledger, Position, Recorded, StoreError, StoredLedger};

/// Postings in one read.
const PAGE: usize = 1_000;

/// The state that the journal gives.
pub(super) struct Replayed {
    pub book: Book,
    /// The customer of each hold with work.
    pub owners: HashMap<HoldId, CustomerKey>,
    /// Each customer's last posting.
    pub last: HashMap<CustomerKey, PostingId>,
    /// Every lot, as its last posting left it, and its customer.
    pub lots: HashMap<LotId, (CustomerKey, Arc<Lot>)>,
    /// Every order, and the posting that recorded it.
    pub orders: HashMap<OrderScope, PostingId>,
    /// Balances of the accounts that belong to no customer, each in its own unit.
    pub accounts: BTreeMap<(LedgerNo, String), Credits>,
}

pub(super) async fn replay(
    auditor: &dyn AuditStore,
    report: &mut Report,
    progress: &mut (impl FnMut(u64) + Send),
) -> Result<Replayed, StoreError> {
    let ledgers = auditor.stored_ledgers().await?;
    let cards = replay_cards(auditor, &ledgers, report).await?;
    // Replaying decides nothing, so neither time nor randomness matters.
    let mut replayed = Replayed {
        book: Book::new(Timestamp::MAX, 0, Arc::new(cards)),
        owners: HashMap::new(),
        last: HashMap::new(),
        lots: HashMap::new(),
        orders: HashMap::new(),
        accounts: BTreeMap::new(),
    };
    for StoredLedger { ledger, .. } in ledgers {
        report.counts.ledgers += 1;
        let mut last = Position::default();
        loop {
            let page = auditor.journal(ledger.no, last, PAGE).await?;
            for recorded in &page.items {
                if recorded.position.0 != last.0 + 1 {
                    let (found, expected) = (recorded.position.0, last.0 + 1);
                    report.fault(format!("ledger {}: position {found} follows {}", ledger.id, expected - 1));
                }
                last = recorded.position;
                replayed.take(&ledger, recorded, report);
            }
            progress(report.counts.postings);
            if page.next.is_none() {
                break;
            }
        }
    }
    Ok(replayed)
}

/// Each change of rate cards must follow from those before it, and match what its request asked for.
async fn replay_cards(
    auditor: &dyn AuditStore,
    ledgers: &[StoredLedger],
    report: &mut Report,
) -> Result<Cards, StoreError> {
    let mut cards = cards::built_in();
    let mut requests = HashSet::new();
    for change in auditor.stored_card_changes().await? {
        report.counts.card_changes += 1;
        let CardChange { revision, ledger, changed, request, by, .. } = &change;
        let mut fault = |what: String| report.fault(format!("rate cards, revision {revision}: {what}"));
        if !ledgers.iter().any(|stored| stored.ledger.no == *ledger) {
            fault(format!("there is no ledger number {}", ledger.get()));
        }
        let asked = CardRequest {
            ledger: *ledger,
            request: request.clone(),
            change: changed.clone(),
            by: by.clone(),
        };
        if asked.fingerprint() != change.fingerprint {
            fault("its fingerprint is not that of what changed".to_owned());
        }
        if !requests.insert((*ledger, changed.kind(), request.clone())) {
            fault("it repeats a request id".to_owned());
        }
        if let CardEdit::Card(card) = changed {
            for wrong in check(card).faults {
                fault(format!("{} {}", wrong.field, wrong.problem));
            }
        }
        if let Err(error) = cards.apply(&change) {
            fault(error.to_string());
        }
    }
    Ok(cards)
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
        if let (Some(hold), Some(_)) = (&posting.detail.hold, &posting.detail.work) {
            self.owners.insert(hold.id, posting.customer);
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
        for hold in posting.holds().filter(|hold| self.book.cards.get(ledger.no, &hold.card).is_none()) {
            let CardRef { id, version } = &hold.card;
            report
                .fault(format!("{}: it pins rate card {id} version {version}, which is not there", place()));
        }
        if let Some(fault) = receipt_fault(&self.book.cards, posting) {
            report.fault(format!("{}: {fault}", place()));
        }
        for lot in posting.changed_lots() {
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

/// The fault of a settlement whose cost differs from its receipt.
fn receipt_fault(cards: &Cards, posting: &Posting) -> Option<ReceiptError> {
    let hold = posting.detail.hold.as_ref()?;
    let settlement = hold.settlement.as_ref().filter(|settlement| settlement.posting == posting.id)?;
    receipt(cards, posting.ledger, &hold.card, settlement).err()
}
