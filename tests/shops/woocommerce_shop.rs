//! A model of a WooCommerce shop: random histories of orders, told as its webhooks tell them.

use creditledger::ledger::Credits;
use serde_json::{Value, json};

use crate::history::{History, Random, Sold, Told};

/// A line of an order. Its money is what the customer pays for it, in cents.
#[derive(Clone, Debug)]
struct Line {
    id: u64,
    /// SKU, credits of a unit (0 for other goods), price of a unit.
    product: (&'static str, i64, i64),
    quantity: i64,
    coupon_percent: i64,
}

const GOODS: [(&str, i64, i64); 3] =
    [("CREDITS_10", 10, 2_000), ("CREDITS_25", 25, 4_500), ("SHIRT", 0, 3_000)];

impl Line {
    fn subtotal(&self) -> i64 {
        self.product.2 * self.quantity
    }
    fn net(&self) -> i64 {
        self.subtotal() - (self.subtotal() * self.coupon_percent + 50) / 100
    }
    fn tax(&self, percent: i64) -> i64 {
        (self.net() * percent + 50) / 100
    }
}

#[derive(Clone, Debug)]
struct Order {
    id: u64,
    customer: &'static str,
    status: &'static str,
    paid: bool,
    test: bool,
    tax_percent: i64,
    shipping: i64,
    /// Taken off the whole order by a fee below 0.
    rebate: i64,
    lines: Vec<Line>,
    /// Id and amount.
    refunds: Vec<(u64, i64)>,
    modified: i64,
}

impl Order {
    fn rebate_tax(&self) -> i64 {
        (self.rebate * self.tax_percent + 50) / 100
    }
    fn total(&self) -> i64 {
        let lines: i64 = self.lines.iter().map(|line| line.net() + line.tax(self.tax_percent)).sum();
        lines + self.shipping - self.rebate - self.rebate_tax()
    }
    fn back(&self) -> i64 {
        self.refunds.iter().map(|(_, amount)| amount).sum()
    }
    fn credits(&self) -> i64 {
        self.lines.iter().map(|line| line.product.1 * 10_000 * line.quantity).sum()
    }
    fn is_pure(&self) -> bool {
        self.shipping == 0 && self.lines.iter().all(|line| line.product.1 > 0)
    }
    fn sold(&self) -> Option<Sold> {
        if !self.paid || self.test || self.credits() == 0 {
            return None;
        }
        let (total, back, credits) = (self.total(), self.back(), self.credits());
        let gone =
            if self.status == "refunded" { credits } else { (2 * credits * back + total) / (2 * total) };
        let nets = self.lines.iter().filter(|line| line.product.1 > 0).map(Line::net).sum::<i64>();
        Some(Sold {
            order: self.id.to_string(),
            customer: self.customer.to_owned(),
            bought: Credits::from_units(credits),
            gone: Credits::from_units(gone),
            price: nets - self.rebate,
        })
    }
    fn told(&self, topic: &str) -> Told {
        Told { topic: topic.to_owned(), body: self.body() }
    }
    fn body(&self) -> Value {
        let line = |line: &Line| {
            let tax = line.tax(self.tax_percent);
            json!({
                "id": line.id, "name": line.product.0, "product_id": 93, "variation_id": 0, "quantity": line.quantity,
                "tax_class": "", "subtotal": money(line.subtotal()),
                "subtotal_tax": money((line.subtotal() * self.tax_percent + 50) / 100),
                "total": money(line.net()), "total_tax": money(tax),
                "taxes": [{"id": 75, "total": money(tax), "subtotal": money(tax)}],
                "meta_data": [], "sku": line.product.0, "global_unique_id": "", "price": 20.0,
                "image": {"id": "", "src": ""}, "parent_name": null
            })
        };
        let mut fees = Vec::new();
        if self.rebate > 0 {
            fees.push(json!({
                "id": 70, "name": "Loyal customer", "tax_class": "", "tax_status": "taxable",
                "amount": money(-self.rebate), "total": money(-self.rebate),
                "total_tax": money(-self.rebate_tax()), "taxes": [], "meta_data": []
            }));
        }
        let refund = |(id, amount): &(u64, i64)| json!({"id": id, "reason": "", "total": money(-amount)});
        let date = date(self.modified);
        json!({
            "id": self.id, "parent_id": 0, "status": self.status, "currency": "EUR", "version": "10.3.5",
            "prices_include_tax": self.id.is_multiple_of(2), "date_created": "2026-11-28T10:00:00",
            "date_modified": date, "discount_total": "0.00", "discount_tax": "0.00",
            "shipping_total": money(self.shipping), "shipping_tax": "0.00", "cart_tax": "0.00",
            "total": money(self.total()), "total_tax": "0.00", "customer_id": 26, "order_key": "wc_order_x",
            "billing": {"first_name": "A", "email": "a@example.com"}, "shipping": {}, "payment_method": "stripe",
            "transaction_id": "pi_1", "customer_note": "",
            "date_completed": null, "date_paid": if self.paid { json!("2026-11-28T10:00:05") } else { Value::Null },
            "date_paid_gmt": if self.paid { json!("2026-11-28T09:00:05") } else { Value::Null },
            "cart_hash": "", "number": self.id.to_string(),
            "meta_data": [
                {"id": 1, "key": "customer", "value": self.customer},
                {"id": 2, "key": "_wcpay_mode", "value": if self.test { "test" } else { "prod" }}
            ],
            "line_items": self.lines.iter().map(line).collect::<Vec<_>>(),
            "tax_lines": [],
            "shipping_lines": [{
                "id": 71, "method_title": "Flat rate", "method_id": "flat_rate", "instance_id": "1",
                "total": money(self.shipping), "total_tax": "0.00", "taxes": [], "meta_data": []
            }],
            "fee_lines": fees, "coupon_lines": [], "refunds": self.refunds.iter().map(refund).collect::<Vec<_>>(),
            "payment_url": "", "is_editable": false, "needs_payment": !self.paid, "needs_processing": true,
            "date_created_gmt": "2026-11-28T09:00:00", "date_modified_gmt": date, "date_completed_gmt": null,
            "currency_symbol": "€", "_links": {"self": [{"href": "https://shop.example/wp-json/wc/v3/orders/1"}]}
        })
    }
}

pub fn money(cents: i64) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

/// A time of the day 2026-11-28, without a zone.
pub fn date(second: i64) -> String {
    format!("2026-11-28T{:02}:{:02}:{:02}", second / 3_600, second / 60 % 60, second % 60)
}

pub fn history(random: &mut Random) -> History {
    let (mut told, mut sold) = (Vec::new(), Vec::new());
    for number in 0..=random.below(3) {
        let mut order = created(random, 700 + number);
        life(random, &mut order, &mut told);
        sold.extend(order.sold());
    }
    History { told, sold }
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[usize::try_from(random.below(from.len() as u64)).unwrap()]
}

fn small(random: &mut Random, bound: u64) -> i64 {
    i64::try_from(random.below(bound)).unwrap()
}

fn created(random: &mut Random, id: u64) -> Order {
    let line = |random: &mut Random, number| Line {
        id: id * 10 + number,
        product: pick(random, &GOODS),
        quantity: 1 + small(random, 3),
        coupon_percent: pick(random, &[0, 0, 10, 33]),
    };
    let lines: Vec<Line> = (0..=random.below(3)).map(|number| line(random, number)).collect();
    let is_pure = lines.iter().all(|line| line.product.1 > 0);
    Order {
        id,
        customer: pick(random, &["acme", "zeta"]),
        status: pick(random, &["pending", "on-hold", "checkout-draft"]),
        paid: false,
        test: random.chance(8),
        tax_percent: pick(random, &[0, 7, 19]),
        shipping: if random.chance(25) { 490 } else { 0 },
        rebate: if is_pure && random.chance(20) { 333 } else { 0 },
        lines,
        refunds: Vec::new(),
        modified: 36_000,
    }
}

fn life(random: &mut Random, order: &mut Order, told: &mut Vec<Told>) {
    told.push(order.told("order.created"));
    if random.chance(15) {
        order.status = "failed";
        told.push(order.told("order.updated"));
    }
    if random.chance(12) {
        order.status = pick(random, &["cancelled", "trash"]);
        order.modified += small(random, 2);
        told.push(order.told("order.updated"));
        return;
    }
    if random.chance(15) {
        return;
    }
    // A payment is often of the same second as the order.
    order.modified += small(random, 2);
    (order.paid, order.status) = (true, "processing");
    told.push(order.told("order.updated"));
    for _ in 0..random.below(3) {
        order.modified += 1 + small(random, 90);
        order.status = pick(random, &["processing", "completed", "picked", "on-hold"]);
        let line = usize::try_from(random.below(order.lines.len() as u64)).unwrap();
        order.lines[line].quantity = 1 + small(random, 4);
        told.push(order.told("order.updated"));
    }
    for number in 0..random.below(4) {
        order.modified += 1 + small(random, 90);
        let left = order.total() - order.back();
        if !order.refunds.is_empty() && random.chance(35) {
            order.refunds.remove(0);
            order.status = "completed";
        } else if left > 1 && order.is_pure() && random.chance(70) {
            order
                .refunds
                .push((order.id * 100 + number, 1 + small(random, u64::try_from(left).unwrap() - 1)));
        } else if left > 0 {
            // The status alone says that all of it went back, or the list does.
            if random.chance(50) {
                order.refunds.push((order.id * 100 + number, left));
            }
            order.status = "refunded";
        }
        told.push(order.told("order.updated"));
        if order.status == "refunded" {
            return;
        }
    }
    if random.chance(10) {
        told.push(Told { topic: "order.deleted".to_owned(), body: json!({"id": order.id}) });
    }
}
