//! Small deliveries of each vendor through the whole path, each with what the ledger has to show for it. Here those that
//! are not of one vendor: settings, what is not kept, what cannot be read, and what people do about it.

mod generic;
pub mod shopify;
pub mod stripe;
pub mod woocommerce;

use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::fingerprint::Said;
use creditledger::ledger::{Credits, CustomerId, LedgerNo, RequestKey};
use creditledger::storefront::{Mapped, Revenue, Shop, Vendor};
use serde_json::json;

use crate::history::Told;
use crate::rig::{Rig, shop};

/// Says that a person may think of a refund that does not say what it is for.
const UNNAMED: &str = "8.00 EUR went back without saying what for, and the order has other goods: it may be for up to 10 \
                       credits, or for none";

/// A shop whose mapping names no prices.
fn without_prices(shop: Shop) -> Shop {
    let mapping = shop.mapping.iter();
    let mapping = mapping.map(|(product, mapped)| (product.clone(), Mapped { price: None, ..*mapped }));
    Shop { mapping: mapping.collect(), ..shop }
}

fn gross(shop: Shop) -> Shop {
    Shop { revenue: Revenue::Gross, ..shop }
}

fn accepts_tests(shop: Shop) -> Shop {
    Shop { accept_test_payments: true, ..shop }
}

/// A shop in which one piece of a product comes to so many credits, whatever it costs.
fn maps(mut shop: Shop, product: &str, credits: i64) -> Shop {
    shop.mapping.insert(product.to_owned(), Mapped { credits: Credits::whole(credits), price: None });
    shop
}

async fn retried(rig: &Rig) -> (u64, u64) {
    let (retried, next) = rig.applier.retry(LedgerNo::MAIN, None, &[], None).await.unwrap();
    assert_eq!(next, None);
    (retried.settled, retried.waiting)
}

/// An order of our own JSON: one line of this product, paid.
fn sold(version: u32, customer: &str, product: &str, quantity: u64, net: &str) -> Told {
    let body = json!({
        "order": "1001", "version": version, "currency": "EUR", "payment": "paid", "customer": customer, "total": net,
        "lines": [{"id": "1", "product": product, "quantity": quantity, "net": net}],
    });
    Told { topic: String::new(), body }
}

async fn generic_rig() -> Rig {
    Rig::new(shop(Vendor::Generic, "customer")).await
}

#[tokio::test]
async fn orders_of_other_goods_are_not_kept_and_fill_no_room() {
    let rig = Rig::new(shop(Vendor::WooCommerce, "meta_data.customer")).await;
    let mut shirt = woocommerce::order(0, &[("/line_items/0/sku", json!("SHIRT"))]);
    for id in 1_000..11_001 {
        shirt.body["id"] = json!(id);
        rig.tell(&shirt).await;
    }
    rig.follow().await;
    assert!(!rig.keeps("1000").await && !rig.keeps("11000").await);
    rig.shows(&[(woocommerce::order(0, &[]), "acme 10 for 20.00")]).await;
}

#[tokio::test]
async fn a_product_that_is_mapped_later_is_credited_once_its_order_is_told_again() {
    let mut rig = generic_rig().await;
    rig.told(&[sold(1, "acme", "NEW_50", 1, "90.00")]).await;
    assert!(!rig.keeps("1001").await);
    rig.restart(maps(shop(Vendor::Generic, "customer"), "NEW_50", 50));
    // It was not kept, so there is nothing to try again.
    assert_eq!((retried(&rig).await, rig.says().await.as_str()), ((0, 0), ""));
    rig.shows(&[(sold(1, "acme", "NEW_50", 1, "90.00"), "acme 50 for 90.00")]).await;
}

#[tokio::test]
async fn a_mapping_that_changes_does_not_change_what_is_recorded() {
    let mut rig = generic_rig().await;
    rig.shows(&[(sold(1, "acme", "CREDITS_10", 1, "20.00"), "acme 10 for 20.00")]).await;
    let mut unmapped = shop(Vendor::Generic, "customer");
    unmapped.mapping.clear();
    for (version, changed) in [(2, maps(shop(Vendor::Generic, "customer"), "CREDITS_10", 12)), (4, unmapped)]
    {
        rig.restart(changed);
        // An edit is credited by the terms that the order was recorded by.
        let more = u64::from(version / 2);
        let before = rig.says().await;
        let now = format!("acme {} for {}.00", 10 * (more + 1), 20 * (more + 1));
        let net = format!("{}.00", 20 * (more + 1));
        assert_ne!(before, now);
        rig.shows(&[(sold(version, "acme", "CREDITS_10", more + 1, &net), &now)]).await;
    }
}

#[tokio::test]
async fn a_customer_that_is_made_later_gets_the_order_when_it_is_tried_again() {
    let rig = generic_rig().await;
    let order = sold(1, "beta", "CREDITS_10", 1, "20.00");
    rig.shows(&[(order, "| PAID the customer does not exist in this ledger")]).await;
    assert_eq!(retried(&rig).await, (0, 1));
    rig.run("beta", Command::CreateCustomer(CreateCustomer::default())).await;
    assert_eq!(retried(&rig).await, (1, 0));
    rig.is("beta 10 for 20.00", "tried again").await;
}

#[tokio::test]
async fn an_order_of_unknown_worth_is_assigned_with_its_credits() {
    let rig = Rig::new(without_prices(shop(Vendor::Stripe, "client_reference_id"))).await;
    let waits = "| PAID nothing tells how many of CREDITS_10 were bought…";
    rig.shows(&[(stripe::session(1, json!({"amount_total": 6_000, "amount_subtotal": 6_000})), waits)]).await;
    let (id, ..) = rig.waiting().await[0].clone();
    let assign = async |credits| {
        let request = (RequestKey::parse("a1").unwrap(), Said::default());
        let customer = CustomerId::parse("acme").unwrap();
        rig.applier.assign(LedgerNo::MAIN, id, customer, credits, request, None).await
    };
    let refused = assign(None).await.unwrap_err().to_string();
    assert!(refused.contains("credits") && refused.contains("must be set"), "{refused}");
    rig.is(waits, "nothing was done").await;
    assign(Some(Credits::whole(30))).await.unwrap();
    rig.is("acme 30 for 60.00", "assigned").await;
    // How much of it went back is as unclear.
    let why = "nothing tells how many of CREDITS_10 were bought: neither a quantity nor a unit price in the settings";
    for (seconds, sum) in [(2, 3_000), (3, 4_000)] {
        let waits = format!("acme 30 for 60.00 | REFUNDED {}.00 EUR went back, and {why}", sum / 100);
        rig.shows(&[(stripe::refunded(seconds, sum), &waits)]).await;
        let (id, ..) = rig.waiting().await[0].clone();
        rig.dismiss(id).await;
        rig.shows(&[(stripe::refunded(seconds, sum), "acme 30 for 60.00")]).await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_kept_until_a_person_dismisses_it() {
    let error = br#"{"code": "woocommerce_rest_cannot_view", "message": "Sorry", "data": {"status": 401}}"#;
    for (vendor, topic, payload) in [
        (Vendor::WooCommerce, "order.updated", &error[..]),
        (Vendor::WooCommerce, "order.updated", b"<html>502 Bad Gateway</html>"),
        (Vendor::Shopify, "orders/paid", b"{\"errors\": \"Not Found\"}"),
        (Vendor::Shopify, "orders/paid", b"\xff\xfe"),
        (Vendor::Stripe, "", b"{\"error\": {\"type\": \"api_error\"}}"),
        (Vendor::Stripe, "", b""),
        (Vendor::Generic, "", b"{\"order\": \"1001\", \"totle\": \"20.00\"}"),
        (Vendor::Generic, "", b"order=1001"),
    ] {
        let shown = format!("{vendor:?} {}", String::from_utf8_lossy(payload));
        let rig = Rig::new(shop(vendor, "customer")).await;
        rig.tell_bytes(topic, payload.to_vec()).await;
        rig.follow().await;
        let waiting = rig.waiting().await;
        assert_eq!((waiting.len(), waiting[0].1.as_str()), (1, "UNREADABLE"), "{shown}");
        let is_json = serde_json::from_slice::<serde_json::Value>(payload).is_ok();
        assert_eq!(waiting[0].2.starts_with("it is not JSON"), !is_json, "{shown}: {}", waiting[0].2);
        // It cannot be read yet: the payload stays as it came.
        assert_eq!(retried(&rig).await, (0, 1), "{shown}");
        assert_eq!(rig.payload(waiting[0].0).await.as_deref(), Some(payload), "{shown}");
        rig.dismiss(waiting[0].0).await;
        assert_eq!((rig.says().await.as_str(), rig.payload(waiting[0].0).await), ("", None), "{shown}");
        assert_eq!(retried(&rig).await, (0, 0), "{shown}");
    }
}

#[tokio::test]
async fn what_could_not_be_read_is_read_again_once_it_can_be() {
    // The settings name another vendor than the one that sends.
    let mut rig = Rig::new(shop(Vendor::Stripe, "customer")).await;
    rig.shows(&[]).await;
    rig.told(&[sold(1, "acme", "CREDITS_10", 1, "20.00")]).await;
    rig.is("| UNREADABLE it is no event: it has no type", "with other settings").await;
    let (id, ..) = rig.waiting().await[0].clone();
    rig.restart(shop(Vendor::Generic, "customer"));
    assert_eq!(retried(&rig).await, (1, 0));
    rig.is("acme 10 for 20.00", "read again").await;
    assert_eq!(rig.payload(id).await, None);
    rig.shows(&[(sold(2, "acme", "CREDITS_10", 2, "40.00"), "acme 20 for 40.00")]).await;
}
