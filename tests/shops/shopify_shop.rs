//! A model of a Shopify shop: random histories of orders, told as its webhooks tell them.

use creditledger::ledger::Credits;
use serde_json::{Value, json};

use crate::history::{History, Random, Sold, Told};
use crate::woocommerce_shop::{date, money};

/// SKU, credits of a unit (0 for other goods), price of a unit in cents.
const GOODS: [(&str, i64, i64); 3] =
    [("CREDITS_10", 10, 2_000), ("CREDITS_25", 25, 4_500), ("SHIRT", 0, 3_000)];

#[derive(Clone, Debug)]
struct Line {
    id: u64,
    product: (&'static str, i64, i64),
    quantity: i64,
    /// Taken out by edits, and by refunds.
    edited: i64,
    refunded: i64,
    /// What went back of it, with tax, and of that the tax.
    money: i64,
    discount: i64,
    tax_percent: i64,
    tax_inside: bool,
}

impl Line {
    fn paid(&self) -> i64 {
        self.product.2 * self.quantity - self.discount
    }
    fn tax(&self) -> i64 {
        let rate = self.tax_percent;
        let base = if self.tax_inside { 100 + rate } else { 100 };
        (2 * self.paid() * rate + base) / (2 * base)
    }
    fn net(&self) -> i64 {
        if self.tax_inside { self.paid() - self.tax() } else { self.paid() }
    }
    fn gross(&self) -> i64 {
        self.net() + self.tax()
    }
    /// The part of an amount that is for so many units.
    fn part(&self, amount: i64, units: i64) -> i64 {
        (2 * amount * units + self.quantity) / (2 * self.quantity)
    }
    fn kept(&self) -> i64 {
        self.quantity - self.edited
    }
    fn kept_gross(&self) -> i64 {
        self.part(self.net(), self.kept()) + self.part(self.tax(), self.kept())
    }
    fn credits(&self) -> i64 {
        self.product.1 * 10_000 * self.kept()
    }
}

#[derive(Clone, Debug)]
struct Refund {
    id: u64,
    state: &'static str,
    /// Line, units, what it comes to with tax, and the tax.
    lines: Vec<(usize, i64, i64, i64)>,
    shipping: i64,
    /// What was transacted.
    amount: i64,
}

#[derive(Clone, Debug)]
struct Order {
    id: u64,
    customer: &'static str,
    status: &'static str,
    cancelled: bool,
    test: bool,
    /// The customer pays in dollars, two for a euro.
    abroad: bool,
    shipping: i64,
    lines: Vec<Line>,
    refunds: Vec<Refund>,
    updated: i64,
    /// The status of its dispute, and the amount.
    dispute: Option<(&'static str, i64)>,
}

impl Order {
    /// With the units that edits took out.
    fn total(&self) -> i64 {
        self.shipping + self.lines.iter().map(Line::gross).sum::<i64>()
    }
    fn back(&self) -> i64 {
        self.refunds.iter().filter(|refund| refund.state == "success").map(|refund| refund.amount).sum()
    }
    fn credits(&self) -> i64 {
        self.lines.iter().map(Line::credits).sum()
    }
    fn is_pure(&self) -> bool {
        self.shipping == 0 && self.lines.iter().all(|line| line.product.1 > 0)
    }
    fn is_edited(&self) -> bool {
        self.lines.iter().any(|line| line.edited > 0)
    }
    fn sold(&self) -> Option<Sold> {
        let credits = self.credits();
        let is_mapped = self.lines.iter().any(|line| line.product.1 > 0);
        let is_paid = matches!(self.status, "paid" | "partially_refunded" | "refunded");
        if self.test || !is_paid || !is_mapped {
            return None;
        }
        let share = |credits: i64, money: i64, whole: i64| {
            let product = 2 * i128::from(credits) * i128::from(money) + i128::from(whole);
            i64::try_from(product / (2 * i128::from(whole))).unwrap()
        };
        let mut gone = 0;
        for (at, line) in self.lines.iter().enumerate().filter(|(_, line)| line.product.1 > 0) {
            let done = self.refunds.iter().filter(|refund| refund.state == "success");
            let money: i64 = done.map(|refund| refund_money(refund, at)).sum();
            if money > 0 {
                gone += share(line.credits(), money, line.kept_gross());
            }
        }
        let unnamed =
            self.refunds.iter().filter(|refund| refund.state == "success" && refund.lines.is_empty());
        let unnamed: i64 = unnamed.map(|refund| refund.amount - refund.shipping).sum();
        if unnamed > 0 || (self.is_pure() && !self.is_edited()) {
            gone = share(credits, self.back(), self.total());
        }
        if self.back() == self.total() {
            gone = credits;
        }
        if let Some(("needs_response" | "under_review" | "lost" | "accepted", amount)) = self.dispute {
            let all = amount + self.back() >= self.total();
            gone = if all { credits } else { gone + share(credits, amount, self.total()) };
        }
        let kept = |line: &Line| line.part(line.net(), line.kept());
        Some(Sold {
            order: self.id.to_string(),
            customer: self.customer.to_owned(),
            bought: Credits::from_units(credits),
            gone: Credits::from_units(gone),
            price: self.lines.iter().filter(|line| line.product.1 > 0).map(kept).sum(),
        })
    }
    fn set(&self, cents: i64) -> Value {
        let (rate, code) = if self.abroad { (2, "USD") } else { (1, "EUR") };
        json!({
            "shop_money": {"amount": money(cents), "currency_code": "EUR"},
            "presentment_money": {"amount": money(cents * rate), "currency_code": code}
        })
    }
    fn told(&self, topic: &str) -> Told {
        Told { topic: topic.to_owned(), body: self.body() }
    }
    fn line_body(&self, line: &Line) -> Value {
        let allocations = if line.discount > 0 {
            json!([{
                "amount": money(line.discount), "amount_set": self.set(line.discount),
                "discount_application_index": 0
            }])
        } else {
            json!([])
        };
        let taxes = json!([{
            "channel_liable": null, "price": money(line.tax()), "price_set": self.set(line.tax()),
            "rate": 0.19, "title": "VAT"
        }]);
        json!({
            "id": line.id, "admin_graphql_api_id": format!("gid://shopify/LineItem/{}", line.id),
            "attributed_staffs": [], "current_quantity": line.quantity - line.edited - line.refunded,
            "fulfillable_quantity": 0, "fulfillment_service": "manual", "fulfillment_status": null,
            "gift_card": false, "grams": 0, "name": "Something", "price": money(line.product.2),
            "price_set": self.set(line.product.2), "product_exists": true, "product_id": 632_910_392,
            "properties": [], "quantity": line.quantity, "requires_shipping": false, "sku": line.product.0,
            "taxable": true, "title": "Something", "total_discount": "0.00", "total_discount_set": self.set(0),
            "variant_id": 808_950_810, "variant_inventory_management": null, "variant_title": null, "vendor": null,
            "tax_lines": taxes, "duties": [], "discount_allocations": allocations
        })
    }
    fn refund_body(&self, refund: &Refund) -> Value {
        let line = |(at, units, gross, tax): &(usize, i64, i64, i64)| {
            let line = &self.lines[*at];
            let subtotal = if line.tax_inside { *gross } else { gross - tax };
            json!({
                "id": refund.id * 10 + *at as u64, "line_item_id": line.id, "location_id": null, "quantity": units,
                "restock_type": "no_restock", "subtotal": money(subtotal), "subtotal_set": self.set(subtotal),
                "total_tax": money(*tax), "total_tax_set": self.set(*tax), "line_item": self.line_body(line)
            })
        };
        let mut adjustments = Vec::new();
        let mut adjust = |kind: &str, amount: i64| {
            if amount != 0 {
                adjustments.push(json!({
                    "id": refund.id, "amount": money(amount), "amount_set": self.set(amount), "kind": kind,
                    "order_id": self.id, "reason": "Refund discrepancy", "refund_id": refund.id,
                    "tax_amount": "0.00", "tax_amount_set": self.set(0)
                }));
            }
        };
        let named: i64 = refund.lines.iter().map(|(_, _, gross, _)| gross).sum();
        adjust("shipping_refund", -refund.shipping);
        adjust("refund_discrepancy", named + refund.shipping - refund.amount);
        let (rate, code) = if self.abroad { (2, "USD") } else { (1, "EUR") };
        let currency = if refund.id.is_multiple_of(3) { Value::Null } else { json!(code) };
        let mut transaction = json!({
            "id": refund.id * 7, "admin_graphql_api_id": "gid://shopify/OrderTransaction/7",
            "amount": money(refund.amount * rate), "authorization": null, "created_at": "2026-11-28T12:00:00+02:00",
            "currency": currency, "device_id": null, "error_code": null, "gateway": "shopify_payments",
            "kind": "refund", "location_id": null, "message": null, "order_id": self.id, "parent_id": 801_038_806,
            "payment_id": "c1", "processed_at": "2026-11-28T12:00:00+02:00", "receipt": {}, "source_name": "web",
            "status": refund.state, "test": self.test, "user_id": null
        });
        if refund.id.is_multiple_of(2) {
            transaction["amount_set"] = self.set(refund.amount);
        }
        let mut body = json!({
            "id": refund.id, "admin_graphql_api_id": format!("gid://shopify/Refund/{}", refund.id),
            "created_at": "2026-11-28T12:00:00+02:00", "note": null, "order_id": self.id,
            "processed_at": "2026-11-28T12:00:00+02:00", "restock": false, "total_duties_set": self.set(0),
            "user_id": 548_380_009, "order_adjustments": adjustments, "transactions": [transaction],
            "refund_line_items": refund.lines.iter().map(line).collect::<Vec<_>>(), "duties": [],
            "return": null, "refund_shipping_lines": []
        });
        if refund.state == "none" {
            body["transactions"] = json!([]);
        }
        body
    }
    fn body(&self) -> Value {
        let total = self.total();
        let removed: i64 = self.lines.iter().map(|line| line.gross() - line.kept_gross()).sum();
        let now = total - removed - self.back();
        let refunds: Vec<Value> = self.refunds.iter().map(|refund| self.refund_body(refund)).collect();
        json!({
            "id": self.id, "admin_graphql_api_id": format!("gid://shopify/Order/{}", self.id), "app_id": 1,
            "cancel_reason": null, "cancelled_at": if self.cancelled { json!("2026-11-28T12:00:00+02:00") } else { Value::Null },
            "confirmed": true, "created_at": "2026-11-28T11:00:00+02:00", "currency": "EUR",
            "current_subtotal_price": money(now), "current_total_price": money(now),
            "current_total_price_set": self.set(now), "financial_status": self.status,
            "fulfillment_status": null, "name": "#1001", "note": null,
            "note_attributes": [{"name": "customer", "value": self.customer}], "number": 1, "order_number": 1_001,
            "original_total_additional_fees_set": null, "original_total_duties_set": null,
            "payment_gateway_names": ["shopify_payments"],
            "presentment_currency": if self.abroad { "USD" } else { "EUR" }, "processed_at": null,
            "source_name": "web", "subtotal_price": money(total - self.shipping), "tags": "", "tax_lines": [],
            "taxes_included": self.lines[0].tax_inside, "test": self.test, "token": "b1946ac92492d2347c6235b4d2611184",
            "total_discounts": "0.00", "total_line_items_price": "0.00", "total_outstanding": money(-removed),
            "total_price": money(total), "total_price_set": self.set(total), "total_tax": "0.00",
            "total_tip_received": "0.00", "total_weight": 0,
            "updated_at": format!("{}+00:00", date(self.updated)), "user_id": null, "billing_address": null,
            "customer": {"id": 115_310_627_314_723_954_u64, "email": "john@example.com", "currency": "USD"},
            "discount_applications": [], "fulfillments": [],
            "line_items": self.lines.iter().map(|line| self.line_body(line)).collect::<Vec<_>>(),
            "payment_terms": null, "refunds": refunds, "shipping_address": null,
            "shipping_lines": [{
                "id": 271_878_346_596_884_015_u64, "code": "Standard", "discounted_price": money(self.shipping),
                "is_removed": false, "price": money(self.shipping), "price_set": self.set(self.shipping),
                "title": "Standard", "tax_lines": [], "discount_allocations": []
            }]
        })
    }
    fn dispute_body(&self, kind: &str) -> Option<Value> {
        let (status, amount) = self.dispute?;
        let is_over = matches!(status, "won" | "lost" | "accepted" | "charge_refunded");
        let finalized = if is_over { json!("2026-11-30T10:00:00+02:00") } else { Value::Null };
        Some(json!({
            "id": self.id * 100 + 99, "order_id": self.id, "type": kind, "amount": money(amount), "currency": "EUR",
            "reason": "fraudulent", "network_reason_code": "4837", "status": status,
            "evidence_due_by": "2026-12-05T10:00:00+02:00", "evidence_sent_on": null, "finalized_on": finalized,
            "initiated_at": "2026-11-28T12:00:00+02:00"
        }))
    }
}

/// What a refund gives back for a line: its share of the money that is not for shipping.
fn refund_money(refund: &Refund, at: usize) -> i64 {
    let named: i64 = refund.lines.iter().map(|(_, _, gross, _)| gross).sum();
    // Only a refund of one line gives back another amount than its lines come to.
    let money = refund.amount - refund.shipping;
    refund
        .lines
        .iter()
        .filter(|(line, ..)| *line == at)
        .map(|(_, _, gross, _)| if named == money { *gross } else { money })
        .sum()
}

pub fn history(random: &mut Random) -> History {
    let (mut told, mut sold) = (Vec::new(), Vec::new());
    for number in 0..=random.below(3) {
        let mut order = created(random, 450_700 + number);
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
    let (tax_percent, tax_inside) = (pick(random, &[0, 7, 19]), random.chance(50));
    let is_mixed = random.chance(50);
    let mut lines = Vec::new();
    for number in 0..if is_mixed { 1 + random.below(2) } else { 1 } {
        // At most one line of credits, so that shares are rounded once.
        let product = if number == 0 && random.chance(90) { pick(random, &GOODS[..2]) } else { GOODS[2] };
        let quantity = 1 + small(random, 3);
        lines.push(Line {
            id: id * 10 + number,
            product,
            quantity,
            edited: 0,
            refunded: 0,
            money: 0,
            discount: pick(random, &[0, 0, 0, 333, 500]),
            tax_percent,
            tax_inside,
        });
    }
    Order {
        id,
        customer: pick(random, &["acme", "zeta"]),
        status: pick(random, &["pending", "authorized"]),
        cancelled: false,
        test: random.chance(8),
        abroad: random.chance(30),
        shipping: if is_mixed && random.chance(50) { 490 } else { 0 },
        lines,
        refunds: Vec::new(),
        updated: 36_000,
        dispute: None,
    }
}

fn life(random: &mut Random, order: &mut Order, told: &mut Vec<Told>) {
    told.push(order.told("orders/create"));
    order.updated += 1 + small(random, 60);
    if random.chance(15) {
        (order.cancelled, order.status) = (true, "voided");
        told.push(order.told("orders/cancelled"));
        return;
    }
    if random.chance(10) {
        return;
    }
    order.status = "paid";
    told.push(order.told("orders/paid"));
    told.push(order.told("orders/updated"));
    for _ in 0..random.below(3) {
        edit(random, order, told);
    }
    for number in 0..random.below(4) {
        refund(random, order, order.id * 100 + number, told);
    }
    if random.chance(25) && !order.is_edited() {
        dispute(random, order, told);
    }
}

fn edit(random: &mut Random, order: &mut Order, told: &mut Vec<Told>) {
    order.updated += 1 + small(random, 90);
    let line = usize::try_from(random.below(order.lines.len() as u64)).unwrap();
    let line = &mut order.lines[line];
    if line.kept() > 1 && random.chance(50) {
        line.edited += 1;
        // Shopify tells what an edit took out as a refund without money.
        let id = order.id * 100 + 50 + u64::try_from(line.edited).unwrap();
        let empty = Refund { id, state: "none", lines: Vec::new(), shipping: 0, amount: 0 };
        order.refunds.push(empty);
        told.push(Told {
            topic: "refunds/create".to_owned(),
            body: order.refund_body(order.refunds.last().unwrap()),
        });
    } else if line.discount == 0 && line.edited == 0 {
        line.quantity += 1;
        order.status = "partially_paid";
        told.push(order.told("orders/updated"));
        order.updated += 1;
        order.status = "paid";
        told.push(order.told("orders/paid"));
    }
    told.push(order.told("orders/updated"));
}

fn refund(random: &mut Random, order: &mut Order, id: u64, told: &mut Vec<Told>) {
    order.updated += 1 + small(random, 90);
    let left = order.total() - order.back();
    let mut refund = Refund { id, state: "pending", lines: Vec::new(), shipping: 0, amount: 0 };
    let is_first = order.refunds.iter().all(|refund| refund.state != "success");
    if order.is_pure() && !order.is_edited() && random.chance(50) {
        if left == 0 {
            return;
        }
        // Money alone.
        refund.amount =
            if random.chance(30) { left } else { 1 + small(random, u64::try_from(left).unwrap()) };
    } else if order.shipping > 0 && random.chance(30) {
        let before: i64 = order.refunds.iter().map(|refund| refund.shipping).sum();
        refund.shipping = order.shipping - before;
        refund.amount = refund.shipping;
    } else {
        let all = is_first && random.chance(30);
        for (at, line) in order.lines.iter_mut().enumerate() {
            let units = line.kept() - line.refunded;
            let money = line.kept_gross() - line.money;
            if units == 0 || money == 0 || (!all && !refund.lines.is_empty()) || (!all && random.chance(30)) {
                continue;
            }
            let units = if all { units } else { 1 + small(random, u64::try_from(units).unwrap()) };
            let is_last = units == line.kept() - line.refunded;
            let gross = if is_last { money } else { money.min(line.part(line.gross(), units)) };
            let tax = line.part(line.tax(), units).min(gross);
            line.refunded += units;
            refund.lines.push((at, units, gross, tax));
            refund.amount += gross;
        }
        if all {
            let before: i64 = order.refunds.iter().map(|refund| refund.shipping).sum();
            refund.shipping = order.shipping - before;
            refund.amount += refund.shipping;
        } else if refund.amount > 1 && random.chance(30) {
            // Less than the line comes to.
            refund.amount -= small(random, u64::try_from(refund.amount).unwrap());
        }
        refund.amount = refund.amount.min(left);
    }
    if refund.amount == 0 {
        return;
    }
    finish(random, order, refund, told);
}

/// Tells a refund, mostly first as pending, and ends it.
fn finish(random: &mut Random, order: &mut Order, mut refund: Refund, told: &mut Vec<Told>) {
    let end = if random.chance(20) { "failure" } else { "success" };
    let states: &[&'static str] = if random.chance(50) { &["pending"] } else { &[] };
    for state in states.iter().copied().chain([end]) {
        refund.state = state;
        order.refunds.retain(|known| known.id != refund.id);
        order.refunds.push(refund.clone());
        if order.back() > 0 {
            order.status = if order.back() == order.total() { "refunded" } else { "partially_refunded" };
        }
        told.push(Told { topic: "refunds/create".to_owned(), body: order.refund_body(&refund) });
        told.push(order.told("orders/updated"));
        order.updated += 1 + small(random, 60);
    }
    if end == "success" {
        for (at, line) in order.lines.iter_mut().enumerate() {
            line.money += refund_money(&refund, at);
        }
    }
    if order.back() == order.total() && random.chance(50) {
        order.cancelled = true;
        told.push(order.told("orders/cancelled"));
    }
}

fn dispute(random: &mut Random, order: &mut Order, told: &mut Vec<Told>) {
    let left = order.total() - order.back();
    if left == 0 {
        return;
    }
    let part = order.is_pure() && order.back() == 0 && random.chance(50);
    let amount =
        if part { 1 + small(random, u64::try_from(left).unwrap()) } else { left + pick(random, &[0, 50]) };
    let mut tell = |order: &Order, topic: &str, kind: &str| {
        told.push(Told { topic: topic.to_owned(), body: order.dispute_body(kind).unwrap() });
    };
    let is_inquiry = random.chance(50);
    if is_inquiry {
        order.dispute = Some(("needs_response", amount));
        tell(order, "disputes/create", "inquiry");
        if random.chance(30) {
            order.dispute = Some((pick(random, &["won", "charge_refunded"]), amount));
            tell(order, "disputes/update", "inquiry");
            return;
        }
    }
    order.dispute = Some(("needs_response", amount));
    tell(order, if is_inquiry { "disputes/update" } else { "disputes/create" }, "chargeback");
    for status in ["under_review", pick(random, &["won", "lost", "accepted"])] {
        if random.chance(70) {
            order.dispute = Some((status, amount));
            tell(order, "disputes/update", "chargeback");
        }
    }
}
