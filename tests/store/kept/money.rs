//! Credits that come in and go back: purchases, grants, refunds, disputes, top-ups, thresholds, payments that wait.

use creditledger::ledger::Rejection;
use creditledger::ledger::alert::Threshold;
use creditledger::ledger::commands::{
    AdjustBalance, CloseCustomer, Command, OnShortfall, PurchaseCredits, PurchaseRef, RefundPurchase,
};
use creditledger::ledger::customer::Terms;
use creditledger::ledger::payment::PaymentEvent;

use super::cast::{change_terms, own_alerts};
use super::commands::{
    charge, charge_back, close_payment, create, estimate, grant, keep_payment, money, place, purchase,
    refund, refund_command, resolve, reverse_refund, settle, work,
};
use super::stage::Stage;
use crate::desk::{START, credits, id};

pub async fn everything(stage: &mut Stage) {
    purchases(stage).await;
    change_terms(stage).await;
    refunds(stage).await;
    disputes(stage).await;
    alerts(stage).await;
    top_ups(stage).await;
    payments(stage).await;
    second_ledger(stage).await;
}

fn adjust(amount: &str) -> Command {
    Command::AdjustBalance(AdjustBalance { credits: credits(amount) })
}

async fn purchases(stage: &mut Stage) {
    stage.at("main", "acme").await;
    let first = stage.next_key("buy");
    let dollars = PurchaseCredits {
        storefront: id("app"),
        order: id("a-1"),
        credits: credits("10.5"),
        price: Some(money("USD", 2_599)),
        expires_at: Some(START.plus_days(3_000)),
    };
    stage.ok_as("buy in the app", &first, Command::PurchaseCredits(dollars.clone())).await;
    stage.ok("the same order again", Command::PurchaseCredits(dollars.clone())).await;
    let other = PurchaseCredits { credits: credits("11"), ..dollars };
    stage.reused("another purchase, the same id", first, Command::PurchaseCredits(other.clone())).await;
    let known = |rejection: &Rejection| matches!(rejection, Rejection::OrderAlreadyRecorded { .. });
    stage.rejected("another purchase, the same order", Command::PurchaseCredits(other), known).await;
    stage.ok("buy on the web", purchase("w-1", "60", 18_000, None)).await;
    let free = PurchaseCredits {
        storefront: id("web"),
        order: id("w-2"),
        credits: credits("0.0001"),
        price: None,
        expires_at: None,
    };
    stage.ok("buy without a price", Command::PurchaseCredits(free)).await;
    stage.ok("grant", grant("5", Some(START.plus_days(2_000)))).await;
    stage.ok("grant for ever", grant("0.5", None)).await;
    stage.ok("adjust up", adjust("1.5")).await;
    stage.ok("adjust down", adjust("-0.25")).await;
    let short = |rejection: &Rejection| matches!(rejection, Rejection::InsufficientCredits { .. });
    stage.rejected("adjust too far down", adjust("-5000"), short).await;

    stage.at("main", "gone").await;
    stage.ok("gone buys", purchase("gone-1", "4", 1_200, None)).await;
    let close = CloseCustomer;
    stage.ok("gone is closed", Command::CloseCustomer(close)).await;
    let closed = |rejection: &Rejection| *rejection == Rejection::CustomerClosed;
    stage.rejected("gone is given nothing", grant("1", None), closed).await;
    stage.ok("gone has paid again", purchase("gone-2", "1", 300, None)).await;
    let exists = |rejection: &Rejection| matches!(rejection, Rejection::CustomerExists { .. });
    stage.rejected("gone comes again", create("gone", Terms::default()), exists).await;
}

async fn refunds(stage: &mut Stage) {
    stage.at("main", "debtor").await;
    stage.ok("debtor buys", purchase("d-1", "10", 3_000, None)).await;
    let partly = RefundPurchase {
        price: Some(money("EUR", 299)),
        expected_refunded: Some(money("EUR", 0)),
        ..refund_command("d-1", "1", OnShortfall::Reject)
    };
    stage.ok("refund what is left", Command::RefundPurchase(partly)).await;
    stage.ok("debtor spends", charge("debtor-work", 240)).await;
    let spent = |rejection: &Rejection| matches!(rejection, Rejection::LotSpent { .. });
    stage.rejected("refund what is spent", refund("d-1", "3", OnShortfall::Reject), spent).await;
    let bounced = stage.ok("the vendor bears it", refund("d-1", "3", OnShortfall::WriteOff)).await;
    stage.ok("that bounces", reverse_refund("d-1", bounced)).await;
    let owed = stage.ok("the customer owes it", refund("d-1", "2", OnShortfall::Receivable)).await;
    stage.ok("half of it is repaid", purchase("d-2", "1", 300, None)).await;
    stage.ok("that bounces too", reverse_refund("d-1", owed)).await;
    stage.ok("it is refunded again", refund("d-1", "6", OnShortfall::Receivable)).await;
}

async fn disputes(stage: &mut Stage) {
    stage.at("main", "debtor").await;
    for order in ["won", "lost", "open"] {
        stage.ok(&format!("debtor buys {order}"), purchase(order, "8", 2_400, None)).await;
    }
    stage.ok("debtor spends more", charge("debtor-more", 150)).await;
    let share = Some(money("EUR", 1_500));
    stage.ok("the bank takes a part", charge_back("won", Some("5"), share)).await;
    stage.ok("it gives it back", resolve(super::commands::order_of("won"), true)).await;
    let taken = stage.ok("the bank takes all", charge_back("lost", None, None)).await;
    let found = stage.rig.reader.order(stage.rig.ledger, &id("web"), &id("lost")).await.unwrap();
    let lot = found.unwrap().lot;
    assert_eq!(lot.refunds.last().map(|refund| refund.id), Some(taken));
    stage.ok("it keeps it", resolve(PurchaseRef::Id(lot.id), false)).await;
    stage.ok("the bank has not decided", charge_back("open", Some("6"), None)).await;
    let disputed = |rejection: &Rejection| *rejection == Rejection::PurchaseDisputed;
    stage.rejected("it asks twice", charge_back("open", None, None), disputed).await;
}

async fn alerts(stage: &mut Stage) {
    stage.at("main", "alerted").await;
    let thresholds = vec![Threshold::Credits(credits("8")), Threshold::Percent(30)];
    stage.ok("thresholds of one's own", own_alerts(Some(thresholds))).await;
    stage.ok("alerted buys", purchase("alerted-1", "10", 3_000, None)).await;
    stage.ok("low", charge("alerted-work", 90)).await;
    stage.ok("lower", charge("alerted-more", 150)).await;
    stage.ok("recovered", purchase("alerted-2", "10", 3_000, None)).await;
    stage.ok("no thresholds", own_alerts(Some(vec![]))).await;
    stage.ok("those of the ledger", own_alerts(None)).await;
    stage.ok("depleted", adjust("-12")).await;
    stage.ok("thresholds again", own_alerts(Some(vec![Threshold::Credits(credits("4"))]))).await;
}

async fn top_ups(stage: &mut Stage) {
    stage.at("main", "topped-up").await;
    stage.ok("topped-up answers the request", purchase("top-1", "6", 1_800, None)).await;
    stage.ok("topped-up falls below", charge("topped-work", 60)).await;
    stage.pass_days(1);
    stage.due("a request lapsed, and the next is made").await;
    stage.ok("topped-up answers that", purchase("top-2", "16", 4_800, None)).await;
    stage.pass_days(1);
    stage.ok("topped-up falls below again", charge("topped-more", 510)).await;
}

async fn payments(stage: &mut Stage) {
    stage.at("main", "unmatched-payments").await;
    let mut kept = Vec::new();
    for (event, order) in [
        (PaymentEvent::Paid, "nobodys"),
        (PaymentEvent::Refunded, "nobodys"),
        (PaymentEvent::Disputed, "somebodys"),
        (PaymentEvent::DisputeWon, "somebodys"),
        (PaymentEvent::DisputeLost, "other"),
    ] {
        kept.push(stage.ok(&format!("keep {order} {event}"), keep_payment(event, order)).await);
    }
    stage.ok("dismiss a payment", close_payment(kept[1])).await;
    stage.ok("dismiss another", close_payment(kept[4])).await;
    let gone = |rejection: &Rejection| *rejection == Rejection::PaymentNotFound;
    stage.rejected("dismiss it twice", close_payment(kept[4]), gone).await;
}

/// The same ids in a ledger of its own.
async fn second_ledger(stage: &mut Stage) {
    stage.at("second", "acme").await;
    stage.ok("second: buy", purchase("w-1", "20", 9_000, None)).await;
    stage.ok("second: grant", grant("1", None)).await;
    stage.ok("second: estimate", estimate("i-1", "3")).await;
    stage.ok("second: place", place("i-2", 1_800)).await;
    stage.ok("second: work", work("i-2", 31)).await;
    stage.ok("second: settle", settle("i-2")).await;
    stage.ok("second: charge", charge("i-3", 20)).await;
    stage.ok("second: open hold", place("i-4", 3_600)).await;
    stage.ok("second: work on it", work("i-4", 45)).await;
    let nothing = Command::CloseCustomer(CloseCustomer);
    let open = |rejection: &Rejection| matches!(rejection, Rejection::HoldsOpen { .. });
    stage.rejected("second: not to be closed", nothing, open).await;
}
