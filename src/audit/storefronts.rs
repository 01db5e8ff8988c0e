//! The last part of `verify`: the counts of each storefront against its orders. No journal gives these rows.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Report;
use crate::ledger::{LedgerNo, Storefront};
use crate::store::{AuditStore, OrderState, Room, StoreError, StoredLedger};

/// Orders in one read.
const PAGE: usize = 1_000;

pub(super) async fn check(auditor: &dyn AuditStore, report: &mut Report) -> Result<(), StoreError> {
    let ledgers = auditor.stored_ledgers().await?;
    let ledgers: BTreeSet<LedgerNo> = ledgers.iter().map(|StoredLedger { ledger, .. }| ledger.no).collect();
    let mut counted: BTreeMap<(LedgerNo, Storefront), Room> = BTreeMap::new();
    let mut after = None;
    loop {
        let page = auditor.storefront_orders(after, PAGE).await?;
        let Some((last, _)) = page.last() else { break };
        after = Some(last.id);
        for (order, payload) in &page {
            report.counts.storefront_orders = report.counts.storefront_orders.saturating_add(1);
            let room = counted.entry((order.ledger, order.storefront.clone())).or_default();
            match order.state {
                OrderState::Settled => {}
                OrderState::Due => room.due = room.due.saturating_add(1),
                OrderState::Waiting => room.waiting = room.waiting.saturating_add(1),
            }
            let bytes = u64::try_from(payload.as_ref().map_or(0, Vec::len)).unwrap_or(u64::MAX);
            room.payload_bytes = room.payload_bytes.saturating_add(bytes);
        }
    }
    let mut stored: BTreeMap<(LedgerNo, Storefront), Room> = BTreeMap::new();
    for (ledger, storefront, room) in auditor.storefront_rooms().await? {
        stored.insert((ledger, storefront), room);
    }
    let places: BTreeSet<_> = counted.keys().chain(stored.keys()).collect();
    for place in places {
        let (ledger, storefront) = place;
        let name = || format!("storefront {storefront} of ledger number {}", ledger.get());
        if !ledgers.contains(ledger) {
            report.fault(format!("{}: there is no such ledger", name()));
        }
        // A storefront without a row has an empty room.
        let [counted, stored] =
            [&counted, &stored].map(|rooms| rooms.get(place).copied().unwrap_or_default());
        if counted != stored {
            let shown = |room: Room| {
                format!("{} waiting, {} due, {} bytes", room.waiting, room.due, room.payload_bytes)
            };
            report.fault(format!(
                "{}: its room says {}, its orders come to {}",
                name(),
                shown(stored),
                shown(counted)
            ));
        }
    }
    Ok(())
}
