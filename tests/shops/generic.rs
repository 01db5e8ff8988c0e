//! A shop that sends our own JSON: each delivery is the whole order as it is then.

mod facts;

use creditledger::ledger::Credits;
use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use crate::history::{History, Random, Sold, Told};
use crate::joining::index;

const PRODUCTS: [(&str, i64, i64); 2] = [("CREDITS_10", 2_000, 10), ("CREDITS_25", 4_500, 25)];

pub fn shop() -> Shop {
    crate::rig::shop(Vendor::Generic, "customer")
}

struct Line {
    product: &'static str,
    credits: i64,
    price: i64,
    quantity: i64,
    percent_off: i64,
}

struct Refund {
    state: &'static str,
    amount: i64,
    /// Where it names the first line.
    of_line: bool,
    elsewhere: i64,
}

#[allow(clippy::struct_excessive_bools)] // each is thrown alone
struct Model {
    id: String,
    customer: &'static str,
    test: bool,
    payment: &'static str,
    taxed: bool,
    lines: Vec<Line>,
    shipping: i64,
    refunds: Vec<Refund>,
    dispute: Option<(i64, &'static str)>,
    /// The shop sends a time, a version, or both.
    dated: bool,
    numbered: bool,
    edition: u32,
}

/// A history of one to three orders.
pub fn history(random: &mut Random) -> History {
    let (mut told, mut sold) = (Vec::new(), Vec::new());
    for number in 0..=random.below(3) {
        let mut order = Model::new(1_001 + number, random);
        told.push(order.told());
        order.payment = if random.chance(85) { "paid" } else { "void" };
        told.push(order.told());
        if order.payment == "paid" {
            for _ in 0..random.below(6) {
                order.step(random);
                told.push(order.told());
            }
            sold.extend(order.sold());
        }
    }
    History { told, sold }
}

impl Line {
    fn new(product: usize, random: &mut Random) -> Self {
        let (product, price, credits) = PRODUCTS.get(product).copied().unwrap_or(("shirt", 3_000, 0));
        let percent_off = [0, 0, 10, 50, 100][index(random, 5)];
        Self { product, credits, price, quantity: 1 + random.below(3).cast_signed(), percent_off }
    }

    fn discount(&self) -> i64 {
        self.price * self.quantity * self.percent_off / 100
    }

    fn net(&self) -> i64 {
        self.price * self.quantity - self.discount()
    }
}

impl Model {
    fn new(id: u64, random: &mut Random) -> Self {
        let product = if random.chance(10) { 2 } else { index(random, 2) };
        let mut lines = vec![Line::new(product, random)];
        if product != 2 && random.chance(30) {
            lines.push(Line::new(2, random));
        }
        let (dated, numbered) = [(true, false), (false, true), (true, true)][index(random, 3)];
        Self {
            id: id.to_string(),
            customer: if random.chance(50) { "acme" } else { "zeta" },
            test: random.chance(10),
            payment: "open",
            taxed: random.chance(50),
            lines,
            shipping: if random.chance(20) { 500 } else { 0 },
            refunds: Vec::new(),
            dispute: None,
            dated,
            numbered,
            edition: 0,
        }
    }

    fn tax(&self, line: &Line) -> i64 {
        if self.taxed { (line.net() * 19 + 50) / 100 } else { 0 }
    }

    fn gross(&self, line: &Line) -> i64 {
        line.net() + self.tax(line)
    }

    fn total(&self) -> i64 {
        self.lines.iter().map(|line| self.gross(line)).sum::<i64>() + self.shipping
    }

    fn is_mixed(&self) -> bool {
        self.total() != self.gross(&self.lines[0])
    }

    fn back(&self, is_counted: fn(&Refund) -> bool) -> i64 {
        self.refunds.iter().filter(|refund| is_counted(refund)).map(|refund| refund.amount).sum()
    }

    fn step(&mut self, random: &mut Random) {
        match random.below(8) {
            0 | 1 if self.refunds.is_empty() && self.dispute.is_none() => {
                self.lines[0].quantity = 1 + random.below(4).cast_signed();
            }
            2..=4 if self.dispute.is_none() => self.refund(random),
            5 if self.dispute.is_none() => {
                let place = index(random, self.refunds.len().max(1));
                if let Some(refund) = self.refunds.get_mut(place) {
                    refund.state = match refund.state {
                        "pending" if random.chance(60) => "done",
                        _ => "undone",
                    };
                }
            }
            6 | 7 => self.dispute(random),
            _ => {}
        }
    }

    fn refund(&mut self, random: &mut Random) {
        let left = self.total() - self.back(|refund| refund.state != "undone");
        if left <= 0 {
            return;
        }
        let named: i64 = self
            .refunds
            .iter()
            .filter(|refund| refund.of_line && refund.state != "undone")
            .map(|refund| refund.amount)
            .sum();
        let line_left = self.gross(&self.lines[0]) - named;
        let has_shipped_back = self.refunds.iter().any(|refund| refund.elsewhere > 0);
        let state = if random.chance(60) { "done" } else { "pending" };
        let mut refund = Refund { state, amount: 0, of_line: false, elsewhere: 0 };
        if !self.is_mixed() {
            refund.amount =
                if random.chance(30) { left } else { left.min(1 + random.below(3_000).cast_signed()) };
        } else if self.shipping > 0 && !has_shipped_back && random.chance(40) {
            (refund.amount, refund.elsewhere) = (self.shipping, self.shipping);
        } else if self.refunds.is_empty() && random.chance(30) {
            refund.amount = left;
        } else if self.refunds.iter().all(|refund| refund.of_line || refund.elsewhere > 0) {
            refund.of_line = true;
            refund.amount = line_left.min(1 + random.below(3_000).cast_signed());
        }
        if refund.amount > 0 {
            self.refunds.push(refund);
        }
    }

    fn dispute(&mut self, random: &mut Random) {
        self.dispute = match self.dispute {
            // More than what is left: with fees, or what was refunded before.
            None if self.total() > 0 => Some((self.total() + 50, "inquiry")),
            Some((amount, "inquiry")) => Some((amount, if random.chance(70) { "open" } else { "won" })),
            Some((amount, "open")) => Some((amount, if random.chance(50) { "won" } else { "lost" })),
            Some((amount, "won")) if random.chance(30) => Some((amount, "open")),
            other => other,
        };
    }

    fn sold(&self) -> Option<Sold> {
        let line = &self.lines[0];
        if self.test || line.credits == 0 {
            return None;
        }
        let bought = Credits::whole(line.credits * line.quantity);
        let done = self.back(|refund| refund.state == "done");
        let is_taken = self.dispute.is_some_and(|(_, state)| matches!(state, "open" | "lost"));
        let named = self.refunds.iter().filter(|refund| refund.of_line && refund.state == "done");
        let (part, whole) = match (self.is_mixed(), self.gross(line)) {
            _ if self.total() > 0 && (is_taken || done == self.total()) => (1, 1),
            (true, gross) => (named.map(|refund| refund.amount).sum(), gross.max(1)),
            (false, _) => (done, self.total().max(1)),
        };
        let gone = Credits::from_units((2 * bought.units() * part + whole) / (2 * whole));
        Some(Sold {
            order: self.id.clone(),
            customer: self.customer.to_owned(),
            bought,
            gone,
            price: line.net(),
        })
    }

    fn told(&mut self) -> Told {
        self.edition += 1;
        let lines: Vec<Value> = self.lines.iter().map(|line| json!({
            "id": line.product, "product": line.product, "quantity": line.quantity, "net": amount(line.net()),
            "tax": amount(self.tax(line)), "discount": amount(line.discount()),
        })).collect();
        let refunds: Vec<Value> = (1..).zip(&self.refunds).map(|(number, refund): (u32, _)| {
            let named = json!([{"line": self.lines[0].product, "amount": amount(refund.amount)}]);
            json!({
                "id": format!("{}-{number}", self.id), "state": refund.state, "amount": amount(refund.amount),
                "lines": if refund.of_line { named } else { Value::Null }, "elsewhere": amount(refund.elsewhere),
            })
        }).collect();
        let disputes: Vec<Value> = self.dispute.iter().map(|(sum, state)| {
            json!({"id": format!("{}-d", self.id), "state": state, "amount": amount(*sum)})
        }).collect();
        let mut body = json!({
            "order": self.id, "names": [format!("cart-{}", self.id)], "currency": "EUR", "payment": self.payment,
            "test": self.test, "customer": self.customer, "total": amount(self.total()),
            "elsewhere": amount(self.shipping), "lines": lines, "refunds": refunds, "disputes": disputes,
            "metadata": {"campaign": "autumn"},
        });
        if self.dated {
            body["updated_at"] = json!(format!("2026-11-28T12:{:02}:00Z", self.edition));
        }
        if self.numbered {
            body["version"] = json!(self.edition);
        }
        Told { topic: String::new(), body }
    }
}

fn amount(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}
