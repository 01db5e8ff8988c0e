//! WooCommerce's payloads, read into facts.

use creditledger::ledger::Timestamp;
use creditledger::storefront::order::{Order, PaymentState, RefundState, Source};
use creditledger::storefront::vendors::woocommerce::{is_ping, read};
use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use crate::rig;

fn shop() -> Shop {
    rig::shop(Vendor::WooCommerce, "meta_data.customer")
}

/// An order of credits for 20.00 and a shirt for 30.00, paid, as the documentation shows orders.
pub fn cart() -> Value {
    json!({
        "id": 727, "parent_id": 0, "number": "727", "order_key": "wc_order_58d2d042d1d", "created_via": "checkout",
        "version": "10.3.5", "status": "processing", "currency": "EUR", "date_created": "2026-11-28T16:28:02",
        "date_created_gmt": "2026-11-28T15:28:02", "date_modified": "2026-11-28T16:28:08",
        "date_modified_gmt": "2026-11-28T15:28:08", "discount_total": "0.00", "discount_tax": "0.00",
        "shipping_total": "0.00", "shipping_tax": "0.00", "cart_tax": "0.00", "total": "50.00", "total_tax": "0.00",
        "prices_include_tax": false, "customer_id": 26, "customer_ip_address": "", "customer_user_agent": "",
        "customer_note": "", "billing": {"first_name": "John", "email": "john.doe@example.com"}, "shipping": {},
        "payment_method": "bacs", "payment_method_title": "Direct Bank Transfer", "transaction_id": "",
        "date_paid": "2026-11-28T16:28:08", "date_paid_gmt": "2026-11-28T15:28:08", "date_completed": null,
        "date_completed_gmt": null, "cart_hash": "",
        "meta_data": [{"id": 13106, "key": "customer", "value": "acme"}],
        "line_items": [
            line(315, "CREDITS_10", &json!(1), "20.00", "20.00"), line(316, "SHIRT", &json!(1), "30.00", "30.00")
        ],
        "tax_lines": [], "shipping_lines": [], "fee_lines": [], "coupon_lines": [], "refunds": [],
        "_links": {"self": [{"href": "https://example.com/wp-json/wc/v3/orders/727"}]}
    })
}

pub fn line(id: u64, sku: &str, quantity: &Value, subtotal: &str, total: &str) -> Value {
    json!({
        "id": id, "name": "Something", "product_id": 93, "variation_id": 0, "quantity": quantity, "tax_class": "",
        "subtotal": subtotal, "subtotal_tax": "0.00", "total": total, "total_tax": "0.00", "taxes": [],
        "meta_data": [{"id": 2095, "key": "pa_color", "value": "black"}], "sku": sku, "price": 20
    })
}

/// The cart with changes: pointers into it, and what stands there.
pub fn with(changes: &[(&str, Value)]) -> Value {
    let mut cart = cart();
    for (pointer, value) in changes {
        match cart.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => panic!("{pointer}"),
        }
    }
    cart
}

fn read_one(body: &Value) -> Order {
    let mut orders = read(&shop(), "order.updated", body).unwrap();
    assert_eq!(orders.len(), 1);
    orders.remove(0)
}

#[test]
fn an_order_is_read_whole() {
    let order = read_one(&cart());
    let told = &order.contents[&Source::Order];
    let content = &told.fact;
    assert_eq!(order.names.keys().map(ToString::to_string).collect::<Vec<_>>(), ["727"]);
    assert_eq!(told.version.at, Timestamp::from_micros(1_795_879_688_000_000));
    assert_eq!((content.payment, content.currency.as_str()), (PaymentState::Paid, "EUR"));
    assert_eq!((content.total, content.elsewhere), (5_000, 0));
    assert_eq!((content.problem.as_str(), content.note.as_str()), ("", ""));
    assert_eq!(
        content.lines[0].products.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["93", "CREDITS_10"]
    );
    assert_eq!((content.lines[0].quantity, content.lines[0].net, content.lines[0].tax), (Some(1), 2_000, 0));
    assert_eq!(order.refunded_total.unwrap().fact, 0);
    assert_eq!(order.customer.unwrap().fact.as_str(), "acme");
    assert!(!order.test && order.refunds.is_empty() && order.disputes.is_empty());
}

#[test]
fn quantities_are_whole_or_wait() {
    for (quantity, read, waits) in [
        (json!(2), 2, false),
        (json!("2"), 2, false),
        (json!(2.0), 2, false),
        (json!(1.5), 0, true),
        (json!(0), 0, true),
        (json!(-1), 0, true),
        (json!(null), 0, true),
    ] {
        let order = read_one(&with(&[("/line_items/0/quantity", quantity.clone())]));
        let line = &order.contents[&Source::Order].fact.lines[0];
        assert_eq!((line.quantity, !line.problem.is_empty()), (Some(read), waits), "{quantity}");
    }
}

#[test]
fn the_lines_decide_where_a_total_is_rounded() {
    let body = with(&[
        ("/total", json!("19.9912")),
        ("/line_items", json!([line(315, "CREDITS_10", &json!(1), "19.9912", "19.9912")])),
    ]);
    let order = read_one(&body);
    let content = &order.contents[&Source::Order].fact;
    assert_eq!((content.total, content.lines[0].net, content.problem.as_str()), (1_999, 1_999, ""));
    assert_eq!(content.note.as_str(), "amounts with more digits than EUR has were rounded half up");
}

#[test]
fn states_decide_about_the_money() {
    use PaymentState::{Open, Paid, Void};
    let paid = json!("2026-11-28T15:28:08");
    for (status, paid, state, back, waits) in [
        ("pending", None, Open, 0, false),
        ("checkout-draft", None, Open, 0, false),
        ("on-hold", None, Open, 0, false),
        ("processing", None, Open, 0, false),
        ("cancelled", None, Void, 0, false),
        ("failed", None, Void, 0, false),
        ("trash", None, Void, 0, false),
        ("refunded", None, Void, 0, false),
        ("processing", Some(&paid), Paid, 0, false),
        ("completed", Some(&paid), Paid, 0, false),
        ("ready-for-pickup", Some(&paid), Paid, 0, false),
        ("on-hold", Some(&paid), Paid, 0, false),
        ("refunded", Some(&paid), Paid, 5_000, false),
        ("cancelled", Some(&paid), Paid, 0, true),
        ("failed", Some(&paid), Paid, 0, true),
        ("trash", Some(&paid), Paid, 0, true),
    ] {
        let paid = paid.cloned().unwrap_or_default();
        let order = read_one(&with(&[
            ("/status", json!(status)),
            ("/date_paid", paid.clone()),
            ("/date_paid_gmt", paid),
        ]));
        let content = &order.contents[&Source::Order].fact;
        let refunded = order.refunded_total.as_ref().unwrap().fact;
        assert_eq!(
            (content.payment, refunded, !content.problem.is_empty()),
            (state, back, waits),
            "{status}"
        );
    }
}

#[test]
fn refunds_tell_their_sum_and_no_lines() {
    let listed =
        json!([{"id": 726, "reason": "", "total": "-8.00"}, {"id": 728, "reason": "x", "total": "-2.00"}]);
    let mut order = read_one(&with(&[("/refunds", listed)]));
    assert_eq!(order.refunded_total.as_ref().unwrap().fact, 1_000);
    for refund in order.refunds.values() {
        assert_eq!(
            (refund.fact.state, refund.fact.lines.len(), refund.fact.elsewhere),
            (RefundState::Done, 0, 0)
        );
        assert_eq!(refund.version.at, Timestamp::default());
    }
    // One of them is deleted: the sum goes down, in whatever order that is heard.
    let later = with(&[
        ("/refunds", json!([{"id": 728, "reason": "x", "total": "-2.00"}])),
        ("/date_modified_gmt", json!("2026-11-28T15:30:00")),
    ]);
    let mut later = read_one(&later);
    let before = order.clone();
    order.join(&later);
    later.join(&before);
    assert_eq!(order, later);
    assert_eq!(order.refunded_total.unwrap().fact, 200);
}

#[test]
fn discounts_and_taxes_are_those_of_the_lines() {
    let mut body = with(&[
        ("/line_items/0/total", json!("15.00")),
        ("/line_items/0/total_tax", json!("2.85")),
        ("/line_items/1/total_tax", json!("5.70")),
        (
            "/shipping_lines",
            json!([{"id": 1, "method_id": "flat_rate", "total": "4.00", "total_tax": "0.76"}]),
        ),
        (
            "/fee_lines",
            json!([
                {"id": 2, "name": "Rebate", "total": "-9.00", "total_tax": "-1.71"},
                {"id": 3, "name": "Gift wrap", "total": "1.00", "total_tax": "0.00"}
            ]),
        ),
        ("/total", json!("48.60")),
    ]);
    let order = read_one(&body);
    let content = &order.contents[&Source::Order].fact;
    let lines: Vec<_> = content.lines.iter().map(|line| (line.net, line.tax, line.discount)).collect();
    // The rebate of 9.00 is shared as 15 : 30, its tax as 2.85 : 5.70.
    assert_eq!(lines, [(1_200, 228, 800), (2_400, 456, 600)]);
    assert_eq!((content.total, content.elsewhere, content.problem.as_str()), (4_860, 576, ""));
    body["total"] = json!("40.00");
    let order = read_one(&body);
    assert!(!order.contents[&Source::Order].fact.problem.is_empty());
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    let error =
        json!({"code": "woocommerce_rest_authentication_error", "message": "no", "data": {"status": 401}});
    for body in [
        error,
        json!([]),
        json!(null),
        json!("x"),
        with(&[("/id", json!("x".repeat(256)))]),
        with(&[("/id", json!("7\u{7}"))]),
        with(&[("/currency", json!("ZZZ"))]),
        with(&[("/status", json!(null))]),
        with(&[("/refunds", json!(null))]),
        with(&[("/line_items", json!({}))]),
        with(&[("/line_items", json!(vec![json!({"id": 1}); 501]))]),
        with(&[("/refunds", json!(vec![json!({"id": 1, "total": "-1.00"}); 101]))]),
        with(&[("/date_modified_gmt", json!("soon")), ("/date_created_gmt", json!(null))]),
    ] {
        assert!(read(&shop(), "order.updated", &body).is_err(), "{body}");
    }
    for (pointer, value) in [
        ("/total", json!("much")),
        ("/total", json!("-1.00")),
        ("/total", json!("70.00")),
        ("/refunds", json!([{"id": 1, "total": "5.00"}])),
        ("/refunds", json!([{"id": 1, "total": null}])),
        ("/fee_lines", json!([{"id": 1, "total": "-60.00"}])),
        ("/shipping_lines", json!([{"id": 1, "total": []}])),
    ] {
        let order = read_one(&with(&[(pointer, value.clone())]));
        assert!(!order.contents[&Source::Order].fact.problem.is_empty(), "{pointer} {value}");
    }
    for (pointer, value) in [("/line_items/0/total", json!("x")), ("/line_items/0/total_tax", json!("-1"))] {
        let order = read_one(&with(&[(pointer, value.clone())]));
        let content = &order.contents[&Source::Order].fact;
        assert!(!content.lines[0].problem.is_empty() && content.problem.is_empty(), "{pointer} {value}");
    }
}

#[test]
fn test_payments_guests_and_other_topics() {
    let test = with(&[("/meta_data", json!([{"id": 1, "key": "_wcpay_mode", "value": "test"}]))]);
    assert!(read_one(&test).test);
    let guests = rig::shop(Vendor::WooCommerce, "customer_id");
    let orders = read(&guests, "order.created", &with(&[("/customer_id", json!(0))])).unwrap();
    assert_eq!(orders[0].customer, None);
    for topic in ["order.deleted", "product.updated", "coupon.created", "action.woocommerce_add_to_cart", ""]
    {
        assert_eq!(read(&shop(), topic, &json!({"id": 727})), Ok(Vec::new()), "{topic}");
    }
    let form = "application/x-www-form-urlencoded";
    assert!(is_ping(form, b"webhook_id=7"));
    assert!(!is_ping(form, b"webhook_id=") && !is_ping(form, b"webhook_id=7&a=1"));
    assert!(!is_ping("application/json", b"webhook_id=7"));
}
