//! Shopify's payloads, read into facts.

use creditledger::ledger::{Currency, Timestamp};
use creditledger::storefront::order::{DisputeState, Order, PaymentState, Refund, RefundState, Source};
use creditledger::storefront::vendors::shopify::read;
use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use crate::rig;

fn shop() -> Shop {
    rig::shop(Vendor::Shopify, "note_attributes.customer")
}

pub fn set(euros: &str, dollars: &str) -> Value {
    json!({
        "shop_money": {"amount": euros, "currency_code": "EUR"},
        "presentment_money": {"amount": dollars, "currency_code": "USD"}
    })
}

/// An order of credits for 20.00 EUR and a shirt for 30.00 EUR, which the customer paid in dollars.
pub fn cart() -> Value {
    json!({
        "id": 820_982_911_946_154_508_u64, "admin_graphql_api_id": "gid://shopify/Order/820982911946154508",
        "app_id": null, "browser_ip": null, "buyer_accepts_marketing": true, "cancel_reason": null,
        "cancelled_at": null, "cart_token": null, "checkout_id": null, "checkout_token": null,
        "client_details": null, "closed_at": null, "confirmed": false, "contact_email": "jon@example.com",
        "created_at": "2026-11-28T10:00:00-05:00", "currency": "EUR", "current_total_price": "50.00",
        "current_total_price_set": set("50.00", "100.00"), "email": "jon@example.com",
        "financial_status": "paid", "fulfillment_status": null, "name": "#9999", "note": null,
        "note_attributes": [{"name": "customer", "value": "acme"}], "number": 234, "order_number": 1234,
        "original_total_duties_set": null, "payment_gateway_names": ["visa", "bogus"], "phone": null,
        "presentment_currency": "USD", "processed_at": null, "subtotal_price": "50.00", "taxes_included": false,
        "test": false, "token": "123456abcd", "total_discounts": "0.00", "total_outstanding": "0.00",
        "total_price": "50.00", "total_price_set": set("50.00", "100.00"), "total_tax": "0.00",
        "total_tip_received": "0.00", "updated_at": "2026-11-28T10:00:00-05:00", "user_id": null,
        "customer": {"id": 115_310_627_314_723_954_u64, "email": "john@example.com", "currency": "USD"},
        "discount_applications": [], "fulfillments": [], "payment_terms": null, "refunds": [],
        "line_items": [
            line(866_550_311_766_439_020, "CREDITS_10", "20.00", "40.00"),
            line(141_249_953_214_522_974, "SHIRT", "30.00", "60.00")
        ],
        "shipping_lines": []
    })
}

pub fn line(id: u64, sku: &str, euros: &str, dollars: &str) -> Value {
    json!({
        "id": id, "admin_graphql_api_id": "gid://shopify/LineItem/1", "attributed_staffs": [], "current_quantity": 1,
        "fulfillable_quantity": 1, "gift_card": false, "grams": 567, "name": "Something", "price": euros,
        "price_set": set(euros, dollars), "product_exists": true, "product_id": 632_910_392, "properties": [],
        "quantity": 1, "requires_shipping": true, "sku": sku, "taxable": true, "title": "Something",
        "total_discount": "0.00", "total_discount_set": set("0.00", "0.00"), "variant_id": 808_950_810,
        "variant_title": null, "vendor": null, "tax_lines": [], "duties": [], "discount_allocations": []
    })
}

/// A refund of the credits' line, in dollars, with the amount in both currencies.
pub fn refund() -> Value {
    json!({
        "id": 890_088_186_047_892_319_u64, "order_id": 820_982_911_946_154_508_u64,
        "admin_graphql_api_id": "gid://shopify/Refund/890088186047892319",
        "created_at": "2026-11-28T12:00:00-05:00", "note": "Things were damaged",
        "processed_at": "2026-11-28T12:00:00-05:00", "restock": false, "return": null, "user_id": 548_380_009,
        "duties": [], "total_duties_set": set("0.00", "0.00"), "refund_shipping_lines": [], "order_adjustments": [],
        "refund_line_items": [{
            "id": 487_817_672_276_298_627_u64, "line_item_id": 866_550_311_766_439_020_u64, "location_id": null,
            "quantity": 1, "restock_type": "no_restock", "subtotal": 20.0, "subtotal_set": set("20.00", "40.00"),
            "total_tax": 0.0, "total_tax_set": set("0.00", "0.00"),
            "line_item": line(866_550_311_766_439_020, "CREDITS_10", "20.00", "40.00")
        }],
        "transactions": [{
            "id": 245_135_271_310_201_194_u64, "order_id": 820_982_911_946_154_508_u64, "amount": "40.00",
            "currency": "USD", "kind": "refund", "status": "success", "gateway": "bogus", "test": false,
            "message": "ok", "parent_id": null, "receipt": {}, "error_code": null, "source_name": "web"
        }]
    })
}

pub fn with(mut body: Value, changes: &[(&str, Value)]) -> Value {
    for (pointer, value) in changes {
        match body.pointer_mut(pointer) {
            Some(place) => *place = value.clone(),
            None => panic!("{pointer}"),
        }
    }
    body
}

fn read_one(topic: &str, body: &Value) -> Order {
    let mut orders = read(&shop(), topic, body).unwrap();
    assert_eq!(orders.len(), 1, "{body}");
    orders.remove(0)
}

fn read_order(changes: &[(&str, Value)]) -> Order {
    read_one("orders/updated", &with(cart(), changes))
}

fn read_refund(changes: &[(&str, Value)]) -> Refund {
    let order = read_one("refunds/create", &with(refund(), changes));
    order.refunds.into_values().next().unwrap().fact
}

/// An adjustment with its amount in both currencies.
pub fn adjustment(kind: &str, euros: &str, dollars: &str) -> Value {
    json!([{
        "id": 4_221_763_620_u64, "amount": euros, "amount_set": set(euros, dollars), "kind": kind, "reason": kind,
        "tax_amount": "0.00", "tax_amount_set": set("0.00", "0.00")
    }])
}

#[test]
fn an_order_is_read_whole() {
    for topic in ["orders/create", "orders/paid", "orders/updated", "orders/cancelled", "orders/fulfilled"] {
        let order = read_one(topic, &cart());
        let told = &order.contents[&Source::Order];
        let content = &told.fact;
        assert_eq!(order.names.keys().map(ToString::to_string).collect::<Vec<_>>(), ["820982911946154508"]);
        assert_eq!(told.version.at, Timestamp::from_micros(1_795_878_000_000_000));
        assert_eq!((content.payment, content.currency.as_str()), (PaymentState::Paid, "EUR"));
        assert_eq!((content.total, content.elsewhere, content.problem.as_str()), (5_000, 0, ""));
        let products: Vec<_> = content.lines[0].products.iter().map(ToString::to_string).collect();
        assert_eq!(products, ["808950810", "632910392", "CREDITS_10"]);
        assert_eq!((content.lines[0].quantity, content.lines[0].net), (Some(1), 2_000));
        assert_eq!(order.customer.unwrap().fact.as_str(), "acme");
        assert!(!order.test && order.refunds.is_empty());
    }
    assert!(read_order(&[("/test", json!(true))]).test);
}

#[test]
fn discounts_and_taxes_are_taken_out() {
    let tax = |amount: &str| json!([{"title": "VAT", "rate": 0.19, "price": amount, "price_set": set(amount, "9.00")}]);
    let off = |amount: &str| json!([{"amount": amount, "amount_set": set(amount, "9.00")}]);
    for (included, taxes, allocations, total, line, waits) in [
        (false, json!([]), json!([]), "50.00", (2_000, 0, 0), false),
        (false, tax("3.80"), json!([]), "53.80", (2_000, 380, 0), false),
        (true, tax("3.19"), json!([]), "50.00", (1_681, 319, 0), false),
        (false, json!([]), off("20.00"), "30.00", (0, 0, 2_000), false),
        (true, tax("0.00"), off("20.00"), "30.00", (0, 0, 1_681), false),
        (true, tax("1.60"), off("10.00"), "40.00", (840, 160, 840), false),
        (false, json!([]), off("21.00"), "30.00", (2_000, 0, 0), true),
        (false, json!([{"price": "x"}]), json!([]), "50.00", (2_000, 0, 0), true),
    ] {
        let order = read_order(&[
            ("/taxes_included", json!(included)),
            ("/line_items/0/tax_lines", taxes),
            ("/line_items/0/discount_allocations", allocations),
            ("/total_price", json!(total)),
        ]);
        let content = &order.contents[&Source::Order].fact;
        let read = &content.lines[0];
        assert_eq!(((read.net, read.tax, read.discount), !read.problem.is_empty()), (line, waits), "{total}");
        assert_eq!(content.problem.as_str(), "", "{total}");
    }
}

#[test]
fn edits_and_quantities() {
    let three = |current: Value| {
        let order = read_order(&[
            ("/line_items/0/quantity", json!(3)),
            ("/line_items/0/current_quantity", current),
            ("/total_price", json!("90.00")),
            ("/total_outstanding", json!(null)),
        ]);
        order.contents[&Source::Order].fact.clone()
    };
    let content = three(json!(1));
    assert_eq!((content.lines[0].quantity, content.lines[0].net), (Some(1), 2_000));
    assert_eq!((content.total, content.elsewhere, content.problem.as_str()), (9_000, 0, ""));
    assert_eq!((three(json!(3)).lines[0].quantity, three(json!(0)).lines[0].quantity), (Some(3), Some(0)));
    assert!(!three(json!("many")).lines[0].problem.is_empty());
    for quantity in [json!(0), json!(-1), json!(1.5), json!(null)] {
        let order = read_order(&[("/line_items/0/quantity", quantity)]);
        assert!(!order.contents[&Source::Order].fact.lines[0].problem.is_empty());
    }
    // Refunds without their transactions, or none at all, do not tell why a unit is gone.
    let mut silent = refund();
    silent["transactions"] = json!(null);
    for refunds in [json!([silent]), json!(null)] {
        let order = read_order(&[("/line_items/0/current_quantity", json!(0)), ("/refunds", refunds)]);
        assert!(!order.contents[&Source::Order].fact.problem.is_empty());
    }
    // The unit left with a refund of money: it is counted, and the refund takes it back.
    let order = read_order(&[("/line_items/0/current_quantity", json!(0)), ("/refunds", json!([refund()]))]);
    assert_eq!(order.contents[&Source::Order].fact.lines[0].quantity, Some(1));
    let told = order.refunds.values().next().unwrap();
    assert_eq!((told.fact.amount, told.fact.lines[0].amount), (2_000, 2_000));
    assert_eq!(told.version.at, Timestamp::from_micros(1_795_878_000_000_000));
}

#[test]
fn shipping_and_what_does_not_add_up() {
    let shipping = json!([{"id": 1, "price": "10.00", "price_set": set("10.00", "20.00"),
        "discount_allocations": [{"amount": "4.00", "amount_set": set("4.00", "8.00")}],
        "tax_lines": [{"price": "1.14", "price_set": set("1.14", "2.28")}]}]);
    for (total, read, waits) in [
        ("57.14", (5_714, 714), false),
        ("57.15", (5_714, 714), false),
        ("60.00", (6_000, 1_000), false),
        ("49.00", (4_900, 0), true),
        ("x", (0, 0), true),
    ] {
        let order = read_order(&[("/shipping_lines", shipping.clone()), ("/total_price", json!(total))]);
        let content = &order.contents[&Source::Order].fact;
        assert_eq!(
            ((content.total, content.elsewhere), !content.problem.is_empty()),
            (read, waits),
            "{total}"
        );
    }
}

#[test]
fn states_decide_about_the_money() {
    use PaymentState::{Open, Paid, Void};
    let cancelled = json!("2026-11-28T12:00:00-05:00");
    for (status, cancelled, state, waits) in [
        (json!("pending"), None, Open, false),
        (json!("authorized"), None, Open, false),
        (json!("partially_paid"), None, Open, false),
        (json!("paid"), None, Paid, false),
        (json!("partially_refunded"), None, Paid, false),
        (json!("voided"), None, Void, false),
        (json!("expired"), None, Void, false),
        (json!("pending"), Some(&cancelled), Void, false),
        (json!("paid"), Some(&cancelled), Paid, true),
        (json!("refunded"), None, Paid, true),
        (json!("unheard of"), None, Paid, true),
        (json!(null), None, Paid, true),
    ] {
        let cancelled = cancelled.cloned().unwrap_or_default();
        let order = read_order(&[("/financial_status", status.clone()), ("/cancelled_at", cancelled)]);
        let told = &order.contents[&Source::Order];
        assert_eq!((told.fact.payment, !told.fact.problem.is_empty()), (state, waits), "{status}");
        assert_eq!(told.version.at == Timestamp::default(), state == Open, "{status}");
    }
}

#[test]
fn refunds_are_split_over_what_they_name() {
    let none = json!([]);
    let shipping = adjustment("shipping_refund", "-5.00", "-10.00");
    let less = adjustment("refund_discrepancy", "15.00", "30.00");
    let unnamed = adjustment("refund_discrepancy", "-8.00", "-16.00");
    let lines = refund()["refund_line_items"].clone();
    // Lines, adjustments, dollars; what goes back, for the line, for other things.
    for (lines, adjustments, dollars, read) in [
        (&lines, &none, "40.00", (2_000, 2_000, 0)),
        (&lines, &less, "10.00", (500, 500, 0)),
        (&lines, &shipping, "50.00", (2_500, 2_000, 500)),
        (&none, &shipping, "10.00", (500, 0, 500)),
        (&none, &unnamed, "16.00", (800, 0, 0)),
    ] {
        let refund = read_refund(&[
            ("/refund_line_items", lines.clone()),
            ("/order_adjustments", adjustments.clone()),
            ("/transactions/0/amount", json!(dollars)),
        ]);
        let named: i64 = refund.lines.iter().map(|line| line.amount).sum();
        assert_eq!((refund.amount, named, refund.elsewhere), read, "{dollars}");
        assert_eq!((refund.state, refund.problem.as_str()), (RefundState::Done, ""));
        assert_eq!(refund.made_at, Timestamp::from_micros(1_795_885_200_000_000));
    }
    let new =
        json!([{"id": 1, "subtotal_amount_set": set("4.00", "8.00"), "tax_amount_set": set("1.00", "2.00")}]);
    let refund = read_refund(&[("/refund_shipping_lines", new), ("/transactions/0/amount", json!("50.00"))]);
    assert_eq!((refund.amount, refund.lines[0].amount, refund.elsewhere), (2_500, 2_000, 500));
}

#[test]
fn refunds_are_in_shop_money_or_wait() {
    let mut bare = refund();
    bare["refund_line_items"] = json!([]);
    bare["total_duties_set"] = json!(null);
    for (currency, amount, in_sets, read, waits) in [
        (json!("USD"), "40.00", true, 2_000, false),
        (json!("EUR"), "20.00", true, 2_000, false),
        (json!(null), "40.00", true, 2_000, false),
        (json!(null), "20.00", true, 2_000, false),
        (json!("USD"), "39.00", true, 1_950, false),
        (json!(null), "39.00", true, 0, true),
        (json!("GBP"), "10.00", true, 0, true),
        (json!(null), "20.00", false, 0, true),
        (json!("USD"), "20.00", false, 0, true),
        (json!("USD"), "forty", true, 0, true),
    ] {
        let body = if in_sets { refund() } else { bare.clone() };
        let changes =
            [("/transactions/0/currency", currency.clone()), ("/transactions/0/amount", json!(amount))];
        let order = read_one("refunds/create", &with(body, &changes));
        let refund = &order.refunds.values().next().unwrap().fact;
        assert_eq!((refund.amount, !refund.problem.is_empty()), (read, waits), "{currency} {amount}");
    }
    bare["transactions"][0]["amount_set"] = set("7.00", "14.00");
    let order = read_one("refunds/create", &bare);
    assert_eq!(order.refunds.values().next().unwrap().fact.amount, 700);
}

#[test]
fn refunds_move_forward() {
    let at = |status: &str| {
        read_one("refunds/create", &with(refund(), &[("/transactions/0/status", json!(status))]))
    };
    let state = |order: &Order| order.refunds.values().next().unwrap().fact.state;
    let states = ["pending", "success", "failure"].map(|status| state(&at(status)));
    assert_eq!(states, [RefundState::Pending, RefundState::Done, RefundState::Undone]);
    assert_eq!(state(&at("error")), RefundState::Undone);
    assert!(!at("lost in space").refunds.values().next().unwrap().fact.problem.is_empty());
    // Pending in dollars without a currency, then done: once, however it arrives.
    let pending = [("/transactions/0/status", json!("pending")), ("/transactions/0/currency", json!(null))];
    let pending = read_one("refunds/create", &with(refund(), &pending));
    for orders in [[&pending, &at("success")], [&at("success"), &pending]] {
        let mut known = Order::default();
        for order in orders {
            known.join(order);
        }
        assert_eq!(known.refunds.len(), 1);
        assert_eq!(
            (state(&known), known.refunds.values().next().unwrap().fact.amount),
            (RefundState::Done, 2_000)
        );
    }
    for (pointer, value) in [("/transactions", json!([])), ("/transactions/0/kind", json!("void"))] {
        assert_eq!(read(&shop(), "refunds/create", &with(refund(), &[(pointer, value)])), Ok(Vec::new()));
    }
    assert!(read_one("refunds/create", &with(refund(), &[("/transactions/0/test", json!(true))])).test);
}

#[test]
fn disputes_are_read_with_their_state() {
    let dispute = json!({
        "id": 285_332_461_850_802_050_u64, "order_id": 820_982_911_946_154_508_u64, "type": "chargeback",
        "amount": "11.50", "currency": "EUR", "reason": "fraudulent", "network_reason_code": "4837",
        "status": "under_review", "evidence_due_by": "2026-12-30T19:00:00-05:00", "evidence_sent_on": null,
        "finalized_on": null, "initiated_at": "2026-11-28T19:00:00-05:00"
    });
    for (kind, status, state) in [
        ("inquiry", "needs_response", Some(DisputeState::Inquiry)),
        ("inquiry", "under_review", Some(DisputeState::Inquiry)),
        ("inquiry", "charge_refunded", Some(DisputeState::Won)),
        ("chargeback", "needs_response", Some(DisputeState::Open)),
        ("chargeback", "under_review", Some(DisputeState::Open)),
        ("chargeback", "won", Some(DisputeState::Won)),
        ("chargeback", "accepted", Some(DisputeState::Lost)),
        ("chargeback", "lost", Some(DisputeState::Lost)),
        ("chargeback", "unheard of", None),
    ] {
        let body = with(dispute.clone(), &[("/type", json!(kind)), ("/status", json!(status))]);
        for topic in ["disputes/create", "disputes/update"] {
            let order = read_one(topic, &body);
            let told = order.disputes.values().next().unwrap();
            assert_eq!(told.fact.amount, 1_150);
            assert_eq!(told.fact.problem.is_empty(), state.is_some(), "{status}");
            assert!(state.is_none_or(|state| state == told.fact.state), "{status}");
        }
    }
    for (pointer, value) in [("/amount", json!("-1")), ("/currency", json!("ZZZ")), ("/amount", json!(null))]
    {
        let order = read_one("disputes/create", &with(dispute.clone(), &[(pointer, value)]));
        assert!(!order.disputes.values().next().unwrap().fact.problem.is_empty());
    }
    // A later end replaces an earlier one.
    let ended = |status: &str, on: &str| {
        let changes = [("/status", json!(status)), ("/finalized_on", json!(on))];
        read_one("disputes/update", &with(dispute.clone(), &changes))
    };
    let mut known = ended("won", "2026-12-20");
    known.join(&ended("lost", "2026-12-10T10:00:00-05:00"));
    assert_eq!(known.disputes.values().next().unwrap().fact.state, DisputeState::Won);
    // Its currency is told: the order's own decides whether that is the same money.
    let dollars = read_one("disputes/create", &with(dispute.clone(), &[("/currency", json!("USD"))]));
    assert_eq!(dollars.disputes.values().next().unwrap().fact.currency, Currency::parse("USD"));
    assert!(read(&shop(), "disputes/create", &with(dispute, &[("/order_id", json!(null))])).is_err());
}

#[test]
fn what_cannot_be_read_is_not_guessed() {
    for changes in [
        ("/id", json!(null)),
        ("/id", json!("x".repeat(256))),
        ("/currency", json!("ZZZ")),
        ("/updated_at", json!("soon")),
        ("/line_items", json!(null)),
        ("/line_items", json!(vec![json!({"id": 1}); 501])),
        ("/line_items", json!([{"id": null}])),
        ("/refunds", json!({})),
        ("/refunds", json!(vec![refund(); 101])),
    ] {
        assert!(
            read(&shop(), "orders/paid", &with(cart(), std::slice::from_ref(&changes))).is_err(),
            "{}",
            changes.0
        );
    }
    for body in [json!(null), json!([]), json!({"errors": "Not Found"})] {
        for topic in ["orders/paid", "refunds/create", "disputes/update"] {
            assert!(read(&shop(), topic, &body).is_err());
        }
    }
    for topic in ["orders/edited", "orders/delete", "order_transactions/create", "fulfillments/create", ""] {
        assert_eq!(read(&shop(), topic, &json!({})), Ok(Vec::new()), "{topic}");
    }
}
