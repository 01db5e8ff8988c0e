//! What people say about an order while the shop tells more of it, and while their calls are cut off or repeated.

use std::pin::pin;
use std::task::Poll;

use creditledger::ledger::book::Answer;
use creditledger::ledger::fingerprint::Said;
use creditledger::ledger::{Credits, CustomerId, LedgerNo, PostingId, RequestKey};
use creditledger::storefront::{ApplyError, Vendor};
use serde_json::{Value, json};

use crate::costs::order;
use crate::history::Told;
use crate::rig::{Rig, shop};

async fn rig() -> Rig {
    Rig::new(shop(Vendor::Generic, "customer")).await
}

/// So many times 10 credits, of nobody.
fn nobodys(version: u32, quantity: i64) -> Told {
    let net = format!("{}.00", 20 * quantity);
    let lines = json!([{"id": "1", "product": "CREDITS_10", "quantity": quantity, "net": net}]);
    let changes = [("customer", Value::Null), ("total", json!(net)), ("lines", lines)];
    order(1, version, "CREDITS_10", &changes)
}

async fn assign(
    rig: &Rig,
    payment: PostingId,
    request: &str,
    credits: Option<i64>,
) -> Result<Answer, ApplyError> {
    let request = (RequestKey::parse(request).unwrap(), Said::default());
    let customer = CustomerId::parse("acme").unwrap();
    let credits = credits.map(Credits::whole);
    rig.applier.assign(LedgerNo::MAIN, payment, customer, credits, request, None).await
}

/// A person assigns 10 credits while the shop tells of 20. Wherever the call is cut off, the purchase stands for the 10
/// that the person saw, and the rest waits.
#[tokio::test]
async fn an_assigned_purchase_stands_for_what_the_person_saw() {
    let mut purchases = 0;
    for turns in 0..200_u32 {
        let rig = rig().await;
        rig.told(&[nobodys(1, 1)]).await;
        let payment = rig.waiting().await[0].0;
        let mut left = turns;
        let mut is_done = false;
        {
            let mut assigning = pin!(assign(&rig, payment, "a1", None));
            std::future::poll_fn(|context| {
                if left == 0 {
                    return Poll::Ready(());
                }
                left -= 1;
                assigning.as_mut().poll(context).map(|answer| {
                    answer.unwrap();
                    is_done = true;
                })
            })
            .await;
        }
        // What was sent to the writer may still be on its way.
        rig.grant("acme", Credits::whole(1)).await;
        rig.told(&[nobodys(2, 2)]).await;
        let says = rig.says().await;
        if says.starts_with("acme 10 for 20.00 ") {
            purchases += 1;
            let why = "| PAID 10 credits of it were recorded by hand, and the shop now tells of 20";
            assert_eq!(says, format!("acme 10 for 20.00 {why}"), "{turns} turns");
            // The same call again does the rest and changes nothing else.
            assert!(assign(&rig, payment, "a1", None).await.unwrap().replayed, "{turns} turns");
            assert_eq!(rig.says().await, says, "{turns} turns");
        } else {
            assert_eq!(says, "| PAID the storefront names no customer", "{turns} turns");
        }
        rig.must_be_clean().await;
        if is_done {
            assert!(purchases > 1, "no call was cut off behind its purchase");
            return;
        }
    }
    panic!("the call does not end");
}

/// A repeat gets the first answer, however much was told of the order since.
#[tokio::test]
async fn a_late_repeat_of_an_assignment_gets_its_first_answer() {
    let rig = rig().await;
    rig.told(&[nobodys(1, 1)]).await;
    let payment = rig.waiting().await[0].0;
    let first = assign(&rig, payment, "a1", None).await.unwrap();
    rig.told(&[nobodys(2, 2)]).await;
    let waits = rig.says().await;
    for credits in [None, Some(10)] {
        let again = assign(&rig, payment, "a1", credits).await.unwrap();
        assert_eq!((again.posting.id, again.replayed), (first.posting.id, true));
    }
    // It is no word about what was told since.
    assert_eq!(rig.says().await, waits);
    // Another content under the same request is another one.
    assign(&rig, payment, "a1", Some(11)).await.unwrap_err();
    assign(&rig, payment, "a2", None).await.unwrap_err();
    assert_eq!(rig.says().await, waits);
    rig.must_be_clean().await;
}
