//! Our own JSON with exactly the facts that it tells, and what is wrong with bad orders.

use creditledger::ledger::{Currency, OpenText, Text, Timestamp};
use creditledger::storefront::order::{
    Content, Dispute, DisputeState, Line, Order, PaymentState, Refund, RefundLine, RefundState, Source,
    Told as Fact,
};
use creditledger::storefront::vendors::generic::read;
use serde_json::{Value, json};

use super::shop;

fn text(text: &str) -> Text {
    Text::parse(text).unwrap()
}

fn open(id: &str) -> OpenText {
    OpenText(text(id))
}

/// The example that the documentation gives.
fn example() -> Value {
    let source = include_str!("../../../src/storefront/vendors/generic.rs");
    let lines = source.lines().skip_while(|line| *line != "//! ```json").skip(1);
    let json: String = lines.take_while(|line| *line != "//! ```").map(|line| &line[3..]).collect();
    serde_json::from_str(&json).unwrap()
}

fn of(body: &Value) -> Order {
    let mut orders = read(&shop(), "", body).unwrap_or_else(|reason| panic!("{reason}"));
    assert_eq!(orders.len(), 1);
    orders.remove(0)
}

fn content(order: &Order) -> &Content {
    &order.contents[&Source::Order].fact
}

/// The example with another value at a JSON pointer.
fn changed(path: &str, value: Value) -> Value {
    let mut body = example();
    if let Some(place) = body.pointer_mut(path) {
        *place = value;
    } else {
        let (parent, name) = path.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[name] = value;
    }
    body
}

#[test]
fn shop_owners_read_the_same_example() {
    let readme = include_str!("../../../src/storefront/README.md");
    let (_, generic) = readme.split_once("### generic").unwrap();
    let (_, block) = generic.split_once("```json\n").unwrap();
    let (json, _) = block.split_once("```").unwrap();
    assert_eq!(serde_json::from_str::<Value>(json).unwrap(), example());
}

#[test]
fn the_example_tells_every_fact() {
    let at: Timestamp = Timestamp::default().plus_seconds(1_795_867_200);
    let line = |id: &str, products: &[&str], quantity, net, tax| Line {
        id: open(id),
        products: products.iter().map(|product| open(product)).collect(),
        quantity: Some(quantity),
        net,
        tax,
        discount: 0,
        credits: None,
        problem: text(""),
    };
    let content = Content {
        payment: PaymentState::Paid,
        currency: Currency::parse("EUR").unwrap(),
        total: 8_830,
        elsewhere: 500,
        lines: vec![
            line("1", &["CREDITS_10"], 2, 4_000, 760),
            line("2", &["shirt-blue-m", "shirt"], 1, 3_000, 570),
        ],
        problem: text(""),
        note: text(""),
    };
    let part = RefundLine { line: open("1"), products: vec![open("CREDITS_10")], quantity: 0, amount: 2_380 };
    let refund = Refund {
        state: RefundState::Done,
        made_at: Timestamp::default(),
        amount: 2_380,
        lines: vec![part],
        elsewhere: 0,
        problem: text(""),
        currency: Some(content.currency),
    };
    let currency = Some(content.currency);
    let dispute = Dispute { state: DisputeState::Inquiry, amount: 6_450, problem: text(""), currency };
    let expected = Order {
        names: [(open("1001"), 2), (open("cart-77"), 1)].into(),
        contents: [(Source::Order, Fact::at(at, 3, content))].into(),
        refunds: [(open("r1"), Fact::at(at, 3, refund))].into(),
        disputes: [(open("d1"), Fact::at(at, 3, dispute))].into(),
        customer: Some(Fact::at(at, 3, text("acme"))),
        ..Order::default()
    };
    assert_eq!(of(&example()), expected);
}

#[test]
fn what_may_be_left_out_is_nothing() {
    let body = json!({
        "order": 7, "version": 1, "currency": "JPY", "payment": "open", "total": "1500", "names": null,
        "lines": [{"product": "CREDITS_10", "quantity": "2", "net": "1500"}],
    });
    let order = of(&body);
    assert_eq!(order.names, [(open("7"), 2)].into());
    assert_eq!((order.customer.clone(), order.test, order.refunds.len()), (None, false, 0));
    let told = &order.contents[&Source::Order];
    assert_eq!((told.version.at, told.version.rank), (Timestamp::default(), 1));
    assert_eq!(
        (told.fact.total, told.fact.lines[0].quantity, told.fact.problem.as_str()),
        (1_500, Some(2), "")
    );
    assert!(of(&changed("/test", json!(true))).test);
}

#[test]
fn the_customer_may_stand_where_the_settings_say() {
    let shop = creditledger::storefront::Shop { customer: "metadata.account".to_owned(), ..shop() };
    let orders = read(&shop, "", &changed("/metadata", json!({"account": "zeta"}))).unwrap();
    assert_eq!(orders[0].customer.as_ref().unwrap().fact, text("zeta"));
}

#[test]
fn states_of_one_moment_move_forward_where_the_shop_sends_no_version() {
    let told = |payment: &str| {
        let mut body = changed("/payment", json!(payment));
        body["version"] = Value::Null;
        of(&body)
    };
    let (mut known, paid) = (told("paid"), told("paid"));
    assert!(!known.join(&told("open")) || content(&known).payment == PaymentState::Paid);
    assert_eq!(known, paid);
}

#[test]
fn quantities_that_are_no_number_of_units_wait() {
    for (quantity, read) in [
        (json!(2), Some(2)),
        (json!("2"), Some(2)),
        (json!(2.0), Some(2)),
        (json!(1.5), None),
        (json!(0), None),
        (json!(-1), None),
        (json!("two"), None),
        (json!(""), None),
        (json!("2."), None),
        (json!([2]), None),
        (json!(1e18), None),
    ] {
        let order = of(&changed("/lines/0/quantity", quantity.clone()));
        let line = &content(&order).lines[0];
        assert_eq!((line.quantity, line.problem.is_empty()), (read, read.is_some()), "{quantity}");
    }
}

#[test]
fn sums_that_do_not_add_up_wait() {
    for (path, value) in
        [("/total", "88.29"), ("/elsewhere", "5.01"), ("/lines/0/net", "40.01"), ("/lines/1/tax", "5.71")]
    {
        let order = of(&changed(path, json!(value)));
        assert!(!content(&order).problem.is_empty(), "{path}");
    }
    for (path, value) in [
        ("/refunds/0/lines/0/amount", json!("23.81")),
        ("/refunds/0/elsewhere", json!("0.01")),
        ("/refunds/0/lines/0/line", json!("3")),
        ("/refunds/0/lines/0/quantity", json!(1.5)),
    ] {
        let order = of(&changed(path, value));
        assert!(content(&order).problem.is_empty(), "{path}");
        assert!(!order.refunds[&open("r1")].fact.problem.is_empty(), "{path}");
    }
}

#[test]
fn amounts_are_rounded_half_up_and_that_is_noted() {
    for (told, read, note) in [
        ("64.5", 6_450, false),
        ("64.500", 6_450, false),
        ("64.504", 6_450, true),
        ("64.505", 6_451, true),
        ("64", 6_400, false),
        ("0.999", 100, true),
    ] {
        let mut body = changed("/disputes/0/amount", json!(told));
        let order = of(&body);
        assert_eq!(order.disputes[&open("d1")].fact.amount, read, "{told}");
        body["lines"] = json!([]);
        body["refunds"] = json!([]);
        body["elsewhere"] = json!(told);
        body["total"] = json!(told);
        let order = of(&body);
        assert_eq!((content(&order).total, !content(&order).note.is_empty()), (read, note), "{told}");
    }
}

#[test]
fn an_order_of_another_form_is_unreadable_and_says_where() {
    let line = example()["lines"][0].clone();
    let refund = example()["refunds"][0].clone();
    let dispute = example()["disputes"][0].clone();
    for (path, value, says) in [
        ("/refund", json!([]), "refund is no field"),
        ("/lines/0/nett", json!("1.00"), "lines[0].nett is no field"),
        ("/refunds/0/lines/0/sum", json!("1.00"), "refunds[0].lines[0].sum is no field"),
        ("/order", Value::Null, "order must be there"),
        ("/order", json!(1.5), "order must be text"),
        ("/order", json!(""), "order must be text"),
        ("/order", json!("x".repeat(256)), "order must be text"),
        ("/order", json!("a\nb"), "order must be text"),
        ("/names", json!(vec!["x"; 21]), "names must be a list"),
        ("/updated_at", json!("yesterday"), "updated_at must be a time"),
        ("/updated_at", json!("1969-12-31T23:59:59Z"), "updated_at must be a time"),
        ("/version", json!(-1), "version must be a whole number"),
        ("/currency", json!("EURO"), "currency must be a code"),
        ("/currency", json!("ZZZ"), "currency must be a code"),
        ("/payment", json!("PAID"), "payment must be one of open, paid, void"),
        ("/test", json!("false"), "test must be true or false"),
        ("/total", json!(88.3), "total must be text"),
        ("/total", json!("-1.00"), "total must be"),
        ("/total", json!("88,30"), "total must be"),
        ("/total", json!("88.3x"), "total must be"),
        ("/total", json!("88."), "total must be"),
        ("/total", json!("9999999999999"), "total must be"),
        ("/lines", Value::Null, "lines must be there"),
        ("/lines", json!({}), "lines must be a list"),
        ("/lines", json!(vec![line.clone(); 501]), "lines must be a list of at most 500"),
        ("/lines/1", line, "lines[1].id"),
        ("/lines/0", json!("CREDITS_10"), "lines[0] must be an object"),
        ("/lines/0/product", Value::Null, "lines[0].product or products must be there"),
        ("/lines/0/quantity", Value::Null, "lines[0].quantity must be there"),
        ("/lines/0/net", Value::Null, "lines[0].net must be there"),
        ("/refunds", json!(vec![refund.clone(); 101]), "refunds must be a list of at most 100"),
        ("/refunds", json!([refund.clone(), refund]), "refunds[1].id"),
        ("/refunds/0/state", json!("succeeded"), "refunds[0].state must be one of pending, done, undone"),
        ("/refunds/0/id", Value::Null, "refunds[0].id must be there"),
        ("/disputes", json!([dispute.clone(), dispute]), "disputes[1].id"),
        ("/disputes/0/state", Value::Null, "disputes[0].state must be one of"),
        ("/metadata", json!("x"), "metadata must be an object"),
    ] {
        let Err(reason) = read(&shop(), "", &changed(path, value)) else { panic!("{path} is read: {says}") };
        assert!(reason.0.contains(says), "{path}: {reason}, not {says}");
    }
    let mut undated = example();
    undated["updated_at"] = Value::Null;
    undated["version"] = Value::Null;
    assert!(read(&shop(), "", &undated).is_err());
    for body in [json!([]), json!("x"), Value::Null, json!({}), json!({"error": "x"})] {
        assert!(read(&shop(), "", &body).is_err(), "{body}");
    }
}
