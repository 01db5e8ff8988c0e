//! Refunds on each engine: what left a lot unused is counted without reading its row, and a reversal finds the refund of
//! what it gives back.

use creditledger::audit;
use creditledger::ledger::commands::{Command, HoldRef, OnShortfall, ReverseSettlement};
use creditledger::ledger::unused::Unused;
use creditledger::ledger::{Credits, LedgerNo};
use creditledger::store::OwnedLot;

use crate::desk::{
    START, adjust, charge, credits, grant, id, place, purchase, purchase_until, refund, reverse,
    reverse_refund, settle, transfers, work,
};
use crate::rig::{Rig, on_each_engine};

use OnShortfall::{Receivable, Reject, WriteOff};

on_each_engine! {
    a_lot_expires_and_is_refunded_in_one_batch
    what_left_a_lot_unused_is_read_with_it
    a_reversal_undoes_the_refund_of_an_earlier_batch
}

async fn lot(rig: &Rig) -> OwnedLot {
    rig.reader.order(LedgerNo::MAIN, &id("web"), &id("o1")).await.unwrap().unwrap()
}

async fn is_sound(rig: &Rig) {
    let report = audit::verify(&*rig.audit, |_| ()).await.unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
}

fn expired(amount: &str) -> Unused {
    Unused { expired: credits(amount), ..Unused::none() }
}

async fn a_lot_expires_and_is_refunded_in_one_batch(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase_until("o1", "10", START.plus_days(5))).await;
    rig.ok(charge("i", 120)).await;
    rig.now = START.plus_days(6);
    // The first command finds the lot due; the second refunds what expired before it, the third what is left of that.
    let commands = [grant("1"), refund("o1", "2", Reject), refund("o1", "8", Receivable)];
    let requests = commands.map(|command| rig.request(command));
    let outcomes = rig.batch(&requests).await;
    let moved: Vec<String> = outcomes.iter().map(|outcome| transfers(outcome.as_ref().unwrap())).collect();
    assert_eq!(
        moved,
        [
            "promotions > available 1",
            "expired > sales:web 2",
            "receivable > sales:web 4, expired > sales:web 4",
        ]
    );
    assert_eq!(lot(&rig).await.unused, expired("6"));
    is_sound(&rig).await;
}

async fn what_left_a_lot_unused_is_read_with_it(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(purchase_until("o1", "10", START.plus_days(5))).await;
    rig.ok(place("h", "3")).await;
    rig.ok(adjust("-2")).await;
    rig.now = START.plus_days(6);
    rig.ok(Command::ApplyDue).await;
    let both = Unused { adjusted: credits("2"), ..expired("5") };
    let found = lot(&rig).await;
    assert_eq!(found.unused, both);
    assert_eq!(rig.reader.lot(LedgerNo::MAIN, found.lot.id).await.unwrap().unwrap(), found);
    // A later batch loads the counts with the lot, and adds to them.
    rig.ok(refund("o1", "6", Reject)).await;
    assert_eq!(lot(&rig).await.unused, both);
    rig.ok(work("h", 30)).await;
    rig.ok(settle("h")).await;
    assert_eq!(lot(&rig).await.unused, Unused { adjusted: credits("2"), ..expired("7") });
    let answer = rig.ok(refund("o1", "3", Reject)).await;
    assert_eq!(transfers(&answer), "write_offs > sales:web 1, expired > sales:web 2");
    let (purchase, unused) = answer.purchase.unwrap();
    assert_eq!((purchase.refunded(), unused), (credits("9"), lot(&rig).await.unused));
    is_sound(&rig).await;
}

async fn a_reversal_undoes_the_refund_of_an_earlier_batch(mut rig: Rig) {
    for (customer, by_id, on_shortfall, moved) in [
        ("acme", true, WriteOff, "revenue > write_offs 3"),
        ("zeta", false, WriteOff, "revenue > write_offs 3"),
        ("nova", true, Receivable, "revenue > available 3, available > receivable 3"),
    ] {
        let order = format!("o-{customer}");
        rig.new_customer(customer).await;
        rig.ok(purchase(&order, "10")).await;
        rig.ok(place("i", "4")).await;
        rig.ok(work("i", 120)).await;
        let settled = rig.ok(settle("i")).await.hold.unwrap();
        let refunded = rig.ok(refund(&order, "10", on_shortfall)).await.posting.id;
        let part = if by_id {
            let hold = HoldRef::Id(settled.id);
            Command::ReverseSettlement(ReverseSettlement { hold, credits: Some(credits("3")) })
        } else {
            reverse("i", Some("3"))
        };
        assert_eq!(transfers(&rig.ok(part).await), moved);
        let purchase = rig.reader.order(LedgerNo::MAIN, &id("web"), &id(&order)).await.unwrap().unwrap();
        assert_eq!(purchase.lot.refunds[0].undone, credits("3"));
        // The rest of the work, and then the refund, in one batch.
        let rest = [reverse("i", None), reverse_refund(&order, refunded)].map(|command| rig.request(command));
        assert!(rig.batch(&rest).await.iter().all(Result::is_ok));
        let balances = rig.reader.customer(rig.key()).await.unwrap().unwrap().balances;
        assert_eq!((balances.available, balances.owed), (credits("10"), Credits::ZERO));
    }
    is_sound(&rig).await;
}
