//! Stripe's payloads with exactly the facts that they tell.

use creditledger::ledger::{Currency, OpenText, Text, Timestamp};
use creditledger::storefront::order::{
    Content, Dispute, DisputeState, Line, Order, PaymentState, Refund, RefundState, Source, Told as Fact,
};
use creditledger::storefront::vendors::stripe::read;
use serde_json::{Value, json};

use super::payloads::{self, event, event_in, with};
use super::{facts, shop};
use crate::joining::{joined, refunded};

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn open(id: &str) -> OpenText {
    OpenText(text(id))
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::default().plus_seconds(seconds)
}

fn names<const N: usize>(names: [(&str, u32); N]) -> std::collections::BTreeMap<OpenText, u32> {
    names.map(|(name, naming)| (open(name), naming)).into()
}

/// One unit at 20.00, in an order for that alone.
fn content(products: &[&str], quantity: Option<u64>) -> Content {
    let line = Line {
        id: open(""),
        products: products.iter().map(|product| open(product)).collect(),
        quantity,
        net: 2_000,
        tax: 0,
        discount: 0,
        credits: None,
        problem: text(""),
    };
    Content {
        payment: PaymentState::Paid,
        currency: Currency::parse("EUR").unwrap(),
        total: 2_000,
        elsewhere: 0,
        lines: vec![line],
        problem: text(""),
        note: text(""),
    }
}

fn only(told: &crate::history::Told) -> Order {
    let mut orders = facts(told);
    assert_eq!(orders.len(), 1, "{orders:?}");
    orders.remove(0)
}

fn sold(order: &Order, source: Source) -> &Content {
    &order.contents[&source].fact
}

fn session(fields: Value) -> Value {
    let known = json!({"payment_intent": "pi_1", "metadata": {"product": "CREDITS_10", "quantity": "1"}});
    with(with(payloads::session(), known), fields)
}

#[test]
fn a_session_tells_its_names_its_customer_and_what_its_metadata_sells() {
    let expected = Order {
        names: names([("cs_live_1", 20), ("pi_1", 40), ("in_1", 30)]),
        contents: [(Source::Checkout, Fact::at(at(100), 3, content(&["CREDITS_10"], Some(1))))].into(),
        customer: Some(Fact::at(at(100), 0, text("acme"))),
        ..Order::default()
    };
    let told = event("checkout.session.completed", 100, session(json!({"invoice": "in_1"})));
    assert_eq!(facts(&told), [expected]);
}

#[test]
fn a_session_is_paid_open_or_void() {
    use PaymentState::{Open, Paid, Void};
    for (kind, status, state) in [
        ("completed", "paid", Paid),
        ("completed", "unpaid", Open),
        ("completed", "no_payment_required", Paid),
        ("async_payment_succeeded", "paid", Paid),
        ("async_payment_failed", "unpaid", Void),
        ("expired", "unpaid", Void),
        // Nothing was to be paid, and nothing was ordered.
        ("expired", "no_payment_required", Void),
    ] {
        let object = session(json!({"payment_status": status}));
        let order = only(&event(&format!("checkout.session.{kind}"), 1, object));
        assert_eq!(sold(&order, Source::Checkout).payment, state, "{kind} {status}");
    }
    assert_eq!(
        facts(&event("checkout.session.completed", 1, session(json!({"mode": "setup", "currency": null})))),
        []
    );
}

#[test]
fn an_order_for_nothing_is_a_purchase_at_nothing_but_a_trial_waits() {
    let details = json!({"amount_discount": 2000, "amount_shipping": 0, "amount_tax": 0});
    let free = json!({
        "payment_status": "no_payment_required", "payment_intent": null, "amount_total": 0, "total_details": details,
    });
    let order = only(&event("checkout.session.completed", 1, session(free)));
    assert_eq!(order.names, names([("cs_live_1", 20)]));
    let content = sold(&order, Source::Checkout);
    let line = &content.lines[0];
    assert_eq!((content.total, line.net, line.discount, line.problem.as_str()), (0, 0, 2_000, ""));

    let trial = json!({"payment_status": "no_payment_required", "mode": "subscription", "amount_subtotal": 0, "amount_total": 0});
    let order = only(&event("checkout.session.completed", 1, session(trial)));
    assert!(!sold(&order, Source::Checkout).lines[0].problem.is_empty());
}

#[test]
fn metadata_tells_how_many_or_nobody_does() {
    for (quantity, read, has_problem) in [
        (json!("3"), Some(3), false),
        (json!("2.0"), Some(2), false),
        (Value::Null, None, false),
        (json!("1.5"), None, true),
        (json!("0"), None, true),
        (json!("-1"), None, true),
        (json!("two"), None, true),
    ] {
        let metadata = json!({"product": "CREDITS_10", "quantity": quantity});
        let object = session(json!({"metadata": metadata, "amount_total": 6000, "amount_subtotal": 6000}));
        let order = only(&event("checkout.session.completed", 1, object));
        let line = &sold(&order, Source::Checkout).lines[0];
        assert_eq!(
            (line.quantity, !line.problem.is_empty(), line.net),
            (read, has_problem, 6_000),
            "{quantity}"
        );
    }
}

#[test]
fn tax_shipping_and_discounts_are_told_apart() {
    // (subtotal, total, details, shipping) with (net, tax, discount, elsewhere)
    let details = |discount: i64, shipping: i64, tax: i64| json!({"amount_discount": discount, "amount_shipping": shipping, "amount_tax": tax});
    let shipping = |subtotal: i64, tax: i64| json!({"amount_subtotal": subtotal, "amount_tax": tax, "amount_total": subtotal + tax, "shipping_rate": "shr_1"});
    for (subtotal, total, details, shipping, expected) in [
        (2000, 2380, details(0, 0, 380), Value::Null, (2000, 380, 0, 0)),
        (2380, 2380, details(0, 0, 380), Value::Null, (2000, 380, 0, 0)),
        (2000, 2142, details(200, 0, 342), Value::Null, (1800, 342, 200, 0)),
        (2380, 1190, details(1190, 0, 190), Value::Null, (1000, 190, 1000, 0)),
        (2000, 2500, details(0, 500, 0), Value::Null, (2000, 0, 0, 500)),
        (2000, 2975, details(0, 500, 475), shipping(500, 95), (2000, 380, 0, 595)),
    ] {
        let fields = json!({"amount_subtotal": subtotal, "amount_total": total, "total_details": details, "shipping_cost": shipping});
        let order = only(&event("checkout.session.completed", 1, session(fields)));
        let content = sold(&order, Source::Checkout);
        let line = &content.lines[0];
        assert_eq!((line.net, line.tax, line.discount, content.elsewhere), expected, "{subtotal} {total}");
        assert_eq!(content.problem.as_str(), "");
    }
}

#[test]
fn lines_of_a_session_that_do_not_tell_all_wait() {
    let lines = |more: bool| json!({"object": "list", "data": [payloads::item()], "has_more": more});
    let read = |fields: Value| {
        let order = only(&event("checkout.session.completed", 1, session(fields)));
        sold(&order, Source::Checkout).clone()
    };
    let told = read(json!({"line_items": lines(false)}));
    let mut expected = content(&["price_1", "prod_1"], Some(1));
    expected.lines[0].id = open("li_1");
    assert_eq!(told, expected);
    assert!(!read(json!({"line_items": lines(true)})).problem.is_empty());
    assert!(!read(json!({"line_items": lines(false), "amount_total": 2_500})).problem.is_empty());
}

#[test]
fn the_customers_currency_is_never_taken_for_the_shops() {
    let shown = json!({"presentment_amount": 2200, "presentment_currency": "usd"});
    let order = only(&event("checkout.session.completed", 1, session(json!({"presentment_details": shown}))));
    assert_eq!(*sold(&order, Source::Checkout), content(&["CREDITS_10"], Some(1)));

    // Older sessions are in the customer's currency, and so are their refunds.
    let conversion =
        json!({"amount_subtotal": 2000, "amount_total": 2000, "fx_rate": "1.1", "source_currency": "eur"});
    let fields = json!({"currency": "usd", "amount_subtotal": 2200, "amount_total": 2200, "currency_conversion": conversion});
    let order = only(&event("checkout.session.completed", 1, session(fields)));
    let told = sold(&order, Source::Checkout);
    assert_eq!((told.currency.as_str(), told.total, told.lines[0].net), ("EUR", 2_000, 2_000));
    assert!(told.problem.as_str().contains("USD"), "{}", told.problem);
}

#[test]
fn an_invoice_is_an_order_in_newer_and_older_versions_of_the_api() {
    let details = json!({"metadata": {"customer": "acme"}, "subscription": "sub_1"});
    let parent =
        json!({"quote_details": null, "subscription_details": details, "type": "subscription_details"});
    let price = json!({"id": "price_1", "object": "price", "product": "prod_1", "unit_amount": 2000});
    let plan = json!({"id": "plan_1", "object": "plan", "product": "prod_1", "amount": 2000});
    let pricing = json!({"price_details": {"price": "price_1", "product": "prod_1"}, "type": "price_details", "unit_amount_decimal": "2000"});
    let payment =
        json!({"object": "invoice_payment", "payment": {"type": "payment_intent", "payment_intent": "pi_1"}});
    let payments = json!({"object": "list", "data": [payment]});
    let line = |fields: Value| json!({"object": "list", "data": [with(payloads::line(), fields)], "has_more": false});
    let newer = json!({"parent": parent, "payments": payments, "lines": line(json!({"pricing": pricing}))});
    let older = json!({
        "subscription": "sub_1", "subscription_details": details, "payment_intent": "pi_1", "charge": "ch_1",
        "lines": line(json!({"price": price, "plan": plan, "proration": false})),
    });
    let shop = creditledger::storefront::Shop { customer: "metadata.customer".to_owned(), ..shop() };
    for (fields, products, charge) in
        [(newer, &["price_1", "prod_1"][..], None), (older, &["price_1", "plan_1", "prod_1"], Some("ch_1"))]
    {
        let told = event("invoice.paid", 100, with(payloads::invoice(), fields));
        let mut content = content(products, Some(1));
        content.lines[0].id = open("il_1");
        let customer = Some(Fact::at(at(100), 0, text("acme")));
        let mut expected = Order {
            names: names([("in_1", 30), ("pi_1", 40)]),
            contents: [(Source::Order, Fact::at(at(100), 3, content))].into(),
            customer: customer.clone(),
            agreement: Some(Fact::at(at(100), 0, open("sub_1"))),
            ..Order::default()
        };
        expected.names.extend(charge.map(|charge| (open(charge), 10)));
        let agreement = Order { names: names([("sub_1", 1)]), customer, ..Order::default() };
        assert_eq!(read(&shop, "", &told.body), Ok(vec![expected, agreement]));
    }
}

#[test]
fn lines_of_an_invoice_that_tell_no_clear_sale_wait() {
    let proration = json!({"parent": {"subscription_item_details": {"proration": true}}});
    for (what, fields, has_problem) in [
        ("a sale", json!({}), false),
        ("a proration", proration, true),
        ("a proration of an older API", json!({"proration": true}), true),
        ("a negative line", json!({"amount": -2000}), true),
        ("a trial", json!({"amount": 0, "pricing": {"unit_amount_decimal": "2000"}}), true),
        ("a product that is free", json!({"amount": 0, "pricing": {"unit_amount_decimal": "0"}}), false),
        ("a discount of all", json!({"discount_amounts": [{"amount": 2000, "discount": "di_1"}]}), false),
        ("half a unit", json!({"quantity": 1.5}), true),
        ("no amount", json!({"amount": "20.00"}), true),
    ] {
        let mut invoice = payloads::invoice();
        let line = with(payloads::line(), fields);
        let total = line["amount"].as_i64().unwrap_or(2_000).max(0);
        invoice["lines"]["data"] = json!([line]);
        let order = only(&event("invoice.paid", 1, with(invoice, json!({"total": total}))));
        let line = &sold(&order, Source::Order).lines[0];
        assert_eq!(!line.problem.is_empty(), has_problem, "{what}: {}", line.problem);
    }
}

#[test]
fn a_subscription_and_its_invoices_are_orders_that_refunds_find() {
    let session = session(json!({
        "mode": "subscription", "payment_intent": null, "invoice": "in_1", "subscription": "sub_1", "metadata": {},
    }));
    let invoice = |id: &str| {
        let fields =
            json!({"id": id, "parent": {"subscription_details": {"subscription": "sub_1", "metadata": {}}}});
        event("invoice.paid", 10, with(payloads::invoice(), fields))
    };
    let refund = with(payloads::refund(), json!({"payment_intent": "pi_2", "charge": "ch_2"}));
    let told = [
        event_in(true, "refund.created", 30, refund),
        invoice("in_2"),
        event("invoice_payment.paid", 10, payloads::invoice_payment("in_2", "pi_2")),
        invoice("in_1"),
        event("checkout.session.completed", 10, session),
        invoice("in_3"),
        invoice("in_2"),
    ];
    let orders = joined(&facts, &told);
    assert_eq!(orders.len(), 4, "three invoices and the subscription: {orders:?}");
    let named = |name: &str| orders.iter().find(|order| order.names.contains_key(&open(name))).unwrap();
    assert!(
        named("in_2").names.contains_key(&open("ch_2")) && named("in_2").refunds.contains_key(&open("re_1"))
    );
    assert!(named("in_1").names.contains_key(&open("cs_live_1")));
    for name in ["in_1", "in_2", "in_3"] {
        assert_eq!(named(name).agreement.as_ref().unwrap().fact, open("sub_1"));
    }
    assert_eq!(named("sub_1").customer.as_ref().unwrap().fact, text("acme"));
}

#[test]
fn refunds_tell_their_state_and_charges_their_sum() {
    use RefundState::{Done, Pending, Undone};
    for (status, state, has_problem) in [
        ("pending", Pending, false),
        ("requires_action", Pending, false),
        ("succeeded", Done, false),
        ("failed", Undone, false),
        ("canceled", Undone, false),
        ("reversed", Pending, true),
    ] {
        let object =
            with(payloads::refund(), json!({"status": status, "payment_intent": "pi_1", "created": 90}));
        let order = only(&event_in(true, "charge.refund.updated", 100, object));
        assert_eq!(order.names, names([("ch_1", 10), ("pi_1", 40)]));
        let told = &order.refunds[&open("re_1")];
        let problem = told.fact.problem.clone();
        let currency = Currency::parse("EUR");
        let fact =
            Refund { state, made_at: at(90), amount: 500, lines: vec![], elsewhere: 0, problem, currency };
        assert_eq!(*told, Fact::at(at(100), state.code().into(), fact));
        assert_eq!(!told.fact.problem.is_empty(), has_problem, "{status}");
    }
    let unknown = with(payloads::refund(), json!({"currency": "xxz"}));
    let order = only(&event_in(true, "refund.created", 1, unknown));
    assert!(!order.refunds[&open("re_1")].fact.problem.is_empty(), "an amount in an unknown currency");
    let of_balance = with(payloads::refund(), json!({"charge": null}));
    assert_eq!(facts(&event_in(true, "refund.created", 1, of_balance)), []);

    let object = with(payloads::charge(), json!({"amount_refunded": 500, "payment_intent": "pi_1"}));
    let order = only(&event("charge.refunded", 100, object));
    assert_eq!(order.refunded_total, Some(Fact::at(at(100), 500, 500)));
    assert_eq!(order.names, names([("ch_1", 10), ("pi_1", 40)]));
}

#[test]
fn a_refund_that_failed_is_not_in_the_next_sum() {
    let charge = |at, sum: i64| {
        event("charge.refunded", at, with(payloads::charge(), json!({"amount_refunded": sum})))
    };
    let refund = |at, status: &str| {
        let fields = json!({"amount": 2000, "status": status, "created": 100});
        event_in(true, "refund.updated", at, with(payloads::refund(), fields))
    };
    let told = [charge(100, 2_000), refund(100, "succeeded"), refund(200, "failed"), charge(300, 500)];
    let back = |told: &[crate::history::Told]| refunded(&joined(&facts, told)[0]);
    assert_eq!([back(&told[..2]), back(&told[..3]), back(&told)], [2_000, 0, 500]);
    let backwards: Vec<_> = told.into_iter().rev().collect();
    assert_eq!(back(&backwards), 500);
}

#[test]
fn disputes_tell_whether_the_money_is_gone() {
    use DisputeState::{Inquiry, Lost, Open, Won};
    let moved = json!([{"id": "txn_1", "object": "balance_transaction", "amount": -2000, "currency": "eur"}]);
    for (status, moves, state, has_problem) in [
        ("warning_needs_response", json!([]), Inquiry, false),
        ("warning_under_review", json!([]), Inquiry, false),
        ("warning_closed", json!([]), Won, false),
        ("needs_response", moved.clone(), Open, false),
        ("under_review", moved.clone(), Open, false),
        ("won", moved.clone(), Won, false),
        ("lost", moved.clone(), Lost, false),
        ("prevented", json!([]), Won, false),
        ("prevented", moved.clone(), Lost, false),
        ("something new", moved, Open, true),
    ] {
        let object = with(payloads::dispute(), json!({"status": status, "balance_transactions": moves}));
        let order = only(&event("charge.dispute.updated", 100, object));
        let told = &order.disputes[&open("du_1")];
        let problem = told.fact.problem.clone();
        assert_eq!(!problem.is_empty(), has_problem, "{status}");
        let fact = Dispute { state, amount: 2_000, problem, currency: Currency::parse("EUR") };
        assert_eq!(*told, Fact::at(at(100), state.code().into(), fact));
    }
}

#[test]
fn credit_notes_that_gave_money_back_otherwise_wait() {
    let note = |fields: Value| {
        let known = json!({
            "id": "cn_1", "object": "credit_note", "amount": 800, "total": 800, "currency": "eur", "created": 90,
            "customer_balance_transaction": null, "out_of_band_amount": null, "invoice": "in_1", "livemode": true,
            "refunds": [], "status": "issued", "type": "post_payment",
        });
        facts(&event("credit_note.created", 100, with(known, fields)))
    };
    assert_eq!(note(json!({})), []);
    let told = note(
        json!({"customer_balance_transaction": "cbtxn_1", "refunds": [{"amount_refunded": 300, "refund": "re_1"}]}),
    );
    let refund = &told[0].refunds[&open("cn_1")].fact;
    assert_eq!((refund.state, refund.amount, refund.problem.is_empty()), (RefundState::Done, 500, false));
}

#[test]
fn amounts_are_in_the_digits_of_iso_4217() {
    for (code, told, read, note) in [
        ("jpy", 1500, 1500, false),
        ("isk", 50_000, 500, false),
        ("isk", 50_050, 501, true),
        ("mga", 5, 500, false),
        ("kwd", 1_001, 1_001, false),
    ] {
        let order = only(&event(
            "checkout.session.completed",
            1,
            session(json!({"currency": code, "amount_total": told})),
        ));
        let content = sold(&order, Source::Checkout);
        assert_eq!((content.total, !content.note.is_empty()), (read, note), "{code} {told}");
    }
}

#[test]
fn test_payments_are_told_as_such() {
    for object in [session(json!({"livemode": false})), with(payloads::dispute(), json!({"livemode": false}))]
    {
        let kind = if object["object"] == "dispute" {
            "charge.dispute.created"
        } else {
            "checkout.session.completed"
        };
        assert!(only(&event(kind, 1, object)).test);
    }
    assert!(only(&event_in(false, "refund.created", 1, payloads::refund())).test);
    assert!(!only(&event_in(true, "refund.created", 1, payloads::refund())).test);
}

#[test]
fn what_touches_no_money_is_ignored_and_what_is_unreadable_says_why() {
    for kind in [
        "payment_intent.succeeded",
        "charge.succeeded",
        "charge.updated",
        "customer.subscription.updated",
        "invoice.upcoming",
        "invoice.deleted",
        "invoiceitem.created",
        "payout.paid",
        "invoice_payment.detached",
    ] {
        assert_eq!(facts(&event_in(true, kind, 1, json!({"object": "any"}))), [], "{kind}");
    }
    assert_eq!(
        facts(&event("invoice.created", 1, with(payloads::invoice(), json!({"status": "draft"})))),
        []
    );
    let good = event("checkout.session.completed", 1, session(json!({}))).body;
    let of = |object: Value| with(good.clone(), json!({"data": {"object": object}}));
    for (what, body) in [
        ("no event", json!({"error": {"message": "x"}})),
        ("a list", json!([])),
        ("no object", with(good.clone(), json!({"data": {}}))),
        ("no time", with(good.clone(), json!({"created": null}))),
        ("a negative time", with(good.clone(), json!({"created": -1}))),
        ("no mode", with(good.clone(), json!({"livemode": "true"}))),
        ("no id", of(session(json!({"id": null})))),
        ("a long id", of(session(json!({"id": "x".repeat(256)})))),
        ("an id with a line break", of(session(json!({"payment_intent": "pi\n1"})))),
        ("an id that is none", of(session(json!({"invoice": 5})))),
        ("an unknown status", of(session(json!({"payment_status": "maybe"})))),
        ("an unknown currency", of(session(json!({"currency": "xxz"})))),
        ("too many lines", of(session(json!({"line_items": {"data": vec![payloads::item(); 501]}})))),
    ] {
        assert!(read(&shop(), "", &body).is_err(), "{what}");
    }
}
