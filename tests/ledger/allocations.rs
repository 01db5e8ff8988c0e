//! How often the core allocates for each command, counted and not timed, so that none creeps in: allocations are most of
//! what deciding a command costs.

use allocation_counter::measure;
use creditledger::ledger::commands::{Command, CreateCustomer, OnShortfall, PurchaseCredits};
use creditledger::ledger::decide::decide;

use crate::desk::{
    Desk, START, adjust, charge, charge_back, estimate, euro, extend, grant, id, place, place_timed, priced,
    purchase, purchase_command, refund, release, reverse, settle, work,
};

/// Commands of one kind, after those of `before`. A table that happens to grow just then would be counted too, so it is
/// the least of some that counts.
fn allocations(before: &[Command], command: impl Fn(u32) -> Command) -> u64 {
    let mut desk = Desk::with("1000000");
    for step in before {
        desk.ok(step.clone());
    }
    let mut count = |nth| {
        let command = command(nth);
        if matches!(command, Command::CreateCustomer(_)) {
            desk.customer = id(&format!("customer-{nth}"));
        }
        let mut request = desk.request(command);
        // Who says so pays for it.
        request.said.metadata.clear();
        measure(|| drop(decide(&mut desk.book, &request).unwrap().unwrap())).count_total
    };
    (0..8).map(&mut count).min().unwrap()
}

#[test]
fn no_command_allocates_more_than_it_did() {
    fn all(command: impl Fn(&str) -> Command) -> Vec<Command> {
        (0..8_u32).map(|nth| command(&nth.to_string())).collect()
    }
    fn named(command: fn(&str) -> Command) -> impl Fn(u32) -> Command {
        move |nth| command(&nth.to_string())
    }
    let held = all(|incident| place(incident, "2"));
    let timed = all(|incident| place_timed(incident, 60));
    let worked = [held.clone(), all(|incident| work(incident, 45))].concat();
    let settled = [worked.clone(), all(settle)].concat();
    let sold = all(|order| priced(order, "10", 999));
    // Dated, so that what burns has a price.
    let dated = Command::PurchaseCredits(PurchaseCredits {
        price: Some(euro(99_900)),
        expires_at: Some(START.plus_days(90)),
        ..purchase_command("dated", "1000")
    });
    let priced_work = [vec![dated], worked.clone()].concat();
    let create = |_| Command::CreateCustomer(CreateCustomer::default());
    // (kind, what it allocates, what it may: what it did when this was written, and one more)
    let counted = [
        // Its answer has the customer itself.
        ("CreateCustomer", allocations(&[], create), 9),
        ("PurchaseCredits", allocations(&[], named(|order| purchase(order, "10"))), 10),
        ("RefundPurchase", allocations(&sold, named(|order| refund(order, "1", OnShortfall::Reject))), 11),
        ("RecordChargeback", allocations(&sold, named(|order| charge_back(order, None))), 13),
        ("SettleHold of a priced lot", allocations(&priced_work, named(settle)), 12),
        ("GrantCredits", allocations(&[], |_| grant("10")), 10),
        ("AdjustBalance", allocations(&[], |_| adjust("-10")), 9),
        ("EstimateIncident", allocations(&[], named(|incident| estimate(incident, "2"))), 8),
        ("PlaceHold", allocations(&[], named(|incident| place(incident, "2"))), 8),
        ("ExtendHold", allocations(&timed, named(|incident| extend(incident, "1"))), 7),
        // The sums of its line, and the entry, which the posting shares with its row.
        ("RecordWork", allocations(&held, named(|incident| work(incident, 45))), 10),
        ("SettleHold", allocations(&worked, named(settle)), 11),
        ("ReleaseHold", allocations(&held, named(release)), 7),
        ("ChargeIncident", allocations(&[], named(|incident| charge(incident, 45))), 14),
        ("ReverseSettlement", allocations(&settled, named(|incident| reverse(incident, None))), 13),
    ];
    let over: Vec<_> = counted.iter().filter(|(_, counted, most)| counted > most).collect();
    assert!(over.is_empty(), "more allocations than there may be: {over:?}");
}
