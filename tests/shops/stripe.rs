//! A shop that sells with Stripe: checkout sessions, subscriptions, refunds and disputes, told in Stripe's events.

mod facts;
pub mod objects;
pub mod payloads;

use creditledger::ledger::Credits;
use creditledger::storefront::order::Order;
use creditledger::storefront::vendors::stripe::read;
use creditledger::storefront::{Shop, Vendor};
use serde_json::{Value, json};

use self::objects::{Dispute, Item, Payment, Refund, invoice_of, session_line};
use self::payloads::{event, event_in, with};
use crate::history::{History, Random, Sold, Told};
use crate::joining::index;

/// A product, its list price without tax in cents, and the credits of one unit.
const PRODUCTS: [(&str, i64, i64); 2] = [("CREDITS_10", 2_000, 10), ("CREDITS_25", 4_500, 25)];

pub fn shop() -> Shop {
    crate::rig::shop(Vendor::Stripe, "client_reference_id")
}

pub fn facts(told: &Told) -> Vec<Order> {
    read(&shop(), &told.topic, &told.body).unwrap_or_else(|reason| panic!("{reason}: {}", told.body))
}

struct Model<'a> {
    random: &'a mut Random,
    now: u64,
    ids: u64,
    told: Vec<Told>,
    sold: Vec<Sold>,
}

/// A history of one to three orders or subscriptions.
pub fn history(random: &mut Random) -> History {
    // Later than what an earlier version may have recorded, at the time of the test.
    let mut model = Model { now: 1_900_000_000, ids: 0, told: Vec::new(), sold: Vec::new(), random };
    for _ in 0..=model.random.below(3) {
        match model.random.below(100) {
            0..55 => model.checkout(),
            55..90 => model.subscription(),
            _ => model.free(),
        }
    }
    History { told: model.told, sold: model.sold }
}

impl Model<'_> {
    fn id(&mut self, prefix: &str) -> String {
        self.ids += 1;
        format!("{prefix}_{}", self.ids)
    }

    fn wait(&mut self) -> u64 {
        self.now += 1 + self.random.below(10_000);
        self.now
    }

    fn customer(&mut self) -> &'static str {
        if self.random.chance(50) { "acme" } else { "zeta" }
    }

    fn item(&mut self, product: &'static str, price: i64, credits: i64) -> Item {
        let quantity = 1 + self.random.below(3).cast_signed();
        let (tax_within, has_tax) = (self.random.chance(30), self.random.chance(60));
        let percent = [0, 0, 0, 10, 50][index(self.random, 5)];
        let round = |amount: i64, part: i64, whole: i64| (2 * amount * part + whole) / (2 * whole);
        let tax_within = tax_within && has_tax;
        let net_listed = price * quantity;
        let listed = if tax_within { round(net_listed, 119, 100) } else { net_listed };
        let discount = round(listed, percent, 100);
        let paid = listed - discount;
        let (tax, gross) = match (has_tax, tax_within) {
            (false, _) => (0, paid),
            (true, true) => (round(paid, 19, 119), paid),
            (true, false) => (round(paid, 19, 100), paid + round(paid, 19, 100)),
        };
        Item { product, credits: credits * quantity, quantity, listed, discount, tax, gross, tax_within }
    }

    /// Credits, sometimes with other goods after them, sometimes other goods alone.
    fn basket(&mut self) -> Vec<Item> {
        let (product, price, credits) = PRODUCTS[index(self.random, 2)];
        let credits = self.item(product, price, credits);
        match self.random.below(10) {
            0..2 => vec![credits, self.item("shirt", 3_000, 0)],
            2 => vec![self.item("shirt", 3_000, 0)],
            _ => vec![credits],
        }
    }

    fn sold(order: &str, customer: &str, items: &[Item]) -> Sold {
        let credits = items.iter().filter(|item| item.credits > 0);
        Sold {
            order: order.to_owned(),
            customer: customer.to_owned(),
            bought: Credits::whole(items.iter().map(|item| item.credits).sum()),
            gone: Credits::ZERO,
            price: credits.map(|item| item.gross - item.tax).sum(),
        }
    }

    fn payment(&mut self, intent: &str, customer: &str, items: &[Item], livemode: bool) -> Payment {
        Payment {
            sold: Self::sold(intent, customer, items),
            intent: intent.to_owned(),
            charge: self.id("ch"),
            invoice: None,
            livemode,
            total: items.iter().map(|item| item.gross).sum(),
            mixed: items.iter().any(|item| item.credits == 0),
            refunds: Vec::new(),
            dispute: None,
            partly_disputed: false,
        }
    }

    /// A session in the mode `payment`.
    fn checkout(&mut self) {
        let items = self.basket();
        let (livemode, customer) = (!self.random.chance(10), self.customer());
        let (id, intent) = (self.id("cs"), self.id("pi"));
        let sum = |part: fn(&Item) -> i64| items.iter().map(part).sum::<i64>();
        let mut session = with(
            payloads::session(),
            json!({
                "id": id, "livemode": livemode, "client_reference_id": customer, "payment_intent": intent,
                "amount_subtotal": sum(|item| item.listed), "amount_total": sum(|item| item.gross),
                "total_details": {
                    "amount_discount": sum(|item| item.discount), "amount_shipping": 0,
                    "amount_tax": sum(|item| item.tax),
                },
            }),
        );
        if items.len() > 1 || self.random.chance(30) {
            let lines: Vec<Value> = items.iter().map(session_line).collect();
            session["line_items"] = json!({
                "object": "list", "data": lines, "has_more": false, "url": format!("/v1/checkout/sessions/{id}/line_items"),
            });
        } else {
            let item = &items[0];
            session["metadata"] = json!({"product": item.product, "quantity": item.quantity.to_string()});
        }
        let payment = self.payment(&intent, customer, &items, livemode);
        self.tell_session(session, payment);
    }

    /// At once, later, never.
    fn tell_session(&mut self, session: Value, payment: Payment) {
        let unpaid = with(session.clone(), json!({"payment_status": "unpaid"}));
        match self.random.below(10) {
            0 => {
                let expired = with(unpaid, json!({"status": "expired"}));
                let at = self.wait();
                self.told.push(event("checkout.session.expired", at, expired));
            }
            1..4 => {
                let at = self.wait();
                self.told.push(event("checkout.session.completed", at, unpaid.clone()));
                let at = self.wait();
                if self.random.chance(30) {
                    self.told.push(event("checkout.session.async_payment_failed", at, unpaid));
                } else {
                    self.told.push(event("checkout.session.async_payment_succeeded", at, session));
                    self.live(payment);
                }
            }
            _ => {
                let at = self.wait();
                self.told.push(event("checkout.session.completed", at, session));
                self.live(payment);
            }
        }
    }

    /// A session in the mode `payment` whose coupon takes off all.
    fn free(&mut self) {
        let (product, price, credits) = PRODUCTS[index(self.random, 2)];
        let (id, customer) = (self.id("cs"), self.customer());
        let session = with(
            payloads::session(),
            json!({
                "id": id, "client_reference_id": customer, "payment_status": "no_payment_required",
                "amount_subtotal": price, "amount_total": 0,
                "total_details": {"amount_discount": price, "amount_shipping": 0, "amount_tax": 0},
                "metadata": {"product": product, "quantity": "1"},
            }),
        );
        let at = self.wait();
        self.told.push(event("checkout.session.completed", at, session));
        let (order, customer) = (id, customer.to_owned());
        self.sold.push(Sold {
            order,
            customer,
            bought: Credits::whole(credits),
            gone: Credits::ZERO,
            price: 0,
        });
    }

    /// A session that begins a subscription, and up to three invoices of it.
    fn subscription(&mut self) {
        let (livemode, customer) = (!self.random.chance(10), self.customer());
        let (subscription, old_api) = (self.id("sub"), self.random.chance(40));
        let items = self.basket();
        for number in 0..=self.random.below(3) {
            let (invoice, intent) = (self.id("in"), self.id("pi"));
            let mut payment = self.payment(&intent, customer, &items, livemode);
            payment.invoice = old_api.then(|| invoice.clone());
            let total = payment.total;
            if number == 0 {
                let session = with(
                    payloads::session(),
                    json!({
                        "id": self.id("cs"), "mode": "subscription", "invoice": invoice, "livemode": livemode,
                        "subscription": subscription, "client_reference_id": customer, "customer": "cus_1",
                        "amount_total": total, "amount_subtotal": total,
                    }),
                );
                let at = self.wait();
                self.told.push(event("checkout.session.completed", at, session));
            }
            let told = invoice_of(&invoice, &subscription, &intent, &items, old_api);
            let paid = with(told, json!({"livemode": livemode}));
            let open =
                with(paid.clone(), json!({"status": "open", "amount_paid": 0, "amount_remaining": total}));
            let at = self.wait();
            self.told.push(event("invoice.finalized", at, open.clone()));
            if self.random.chance(20) {
                self.told.push(event("invoice.payment_failed", at, open.clone()));
                if self.random.chance(40) {
                    let at = self.wait();
                    let void = with(open, json!({"status": "void"}));
                    self.told.push(event("invoice.voided", at, void));
                    continue;
                }
                self.wait();
            }
            self.told.push(event("invoice.paid", self.now, paid.clone()));
            self.told.push(event("invoice.payment_succeeded", self.now, paid));
            if !old_api {
                let link = with(payloads::invoice_payment(&invoice, &intent), json!({"livemode": livemode}));
                self.told.push(event("invoice_payment.paid", self.now, link));
            }
            self.live(payment);
        }
    }

    /// What happens to a payment after it was made.
    fn live(&mut self, mut payment: Payment) {
        for _ in 0..self.random.below(6) {
            self.wait();
            match self.random.below(10) {
                0..4 => self.refund(&mut payment),
                4..7 => self.decide_refund(&mut payment),
                _ => self.dispute(&mut payment),
            }
        }
        payment.sold.gone = payment.gone();
        if payment.livemode && payment.sold.bought.is_positive() {
            self.sold.push(payment.sold);
        }
    }

    fn refund(&mut self, payment: &mut Payment) {
        let left = payment.total - payment.refunded_sum();
        let is_taken = payment.dispute.as_ref().is_some_and(|dispute| dispute.is_taken());
        if left <= 0 || is_taken || payment.partly_disputed || (payment.mixed && left < payment.total) {
            return;
        }
        let whole = payment.mixed || self.random.chance(30);
        let amount = if whole { left } else { 1 + self.random.below(left.cast_unsigned()).cast_signed() };
        let status = if self.random.chance(60) { "succeeded" } else { "pending" };
        let refund = Refund { id: self.id("re"), amount, made: self.now, status };
        let object = payment.refund_object(&refund);
        payment.refunds.push(refund);
        let mut charge = payment.charge_object();
        if self.random.chance(30) {
            let all: Vec<Value> =
                payment.refunds.iter().rev().map(|refund| payment.refund_object(refund)).collect();
            charge["refunds"] =
                json!({"object": "list", "data": all, "has_more": false, "total_count": all.len()});
        }
        self.told.push(event("charge.refunded", self.now, charge));
        self.told.push(event_in(payment.livemode, "refund.created", self.now, object));
    }

    /// A pending refund succeeds or fails; one that was done may fail, too.
    fn decide_refund(&mut self, payment: &mut Payment) {
        let fails = self.random.chance(50);
        let from = if fails && self.random.chance(30) { "succeeded" } else { "pending" };
        let Some(place) = payment.refunds.iter().position(|refund| refund.status == from) else { return };
        // The money of a dispute that was taken meanwhile stays where it is.
        if payment.dispute.is_some() {
            return;
        }
        payment.refunds[place].status = if fails { "failed" } else { "succeeded" };
        let object = payment.refund_object(&payment.refunds[place]);
        for kind in ["refund.updated", "charge.refund.updated"] {
            self.told.push(event_in(payment.livemode, kind, self.now, object.clone()));
        }
        if fails {
            self.told.push(event_in(payment.livemode, "refund.failed", self.now, object));
        }
    }

    fn dispute(&mut self, payment: &mut Payment) {
        let Some(dispute) = &payment.dispute else {
            let partly = payment.refunds.is_empty() && !payment.mixed && self.random.chance(30);
            let amount = if partly {
                1 + self.random.below(payment.total.cast_unsigned()).cast_signed()
            } else {
                payment.total + [0, 50][index(self.random, 2)]
            };
            let status = if self.random.chance(40) { "warning_needs_response" } else { "needs_response" };
            payment.partly_disputed = partly;
            payment.dispute = Some(Dispute { id: self.id("du"), amount, status });
            let object = payment.dispute_object();
            self.told.push(event("charge.dispute.created", self.now, object.clone()));
            if status == "needs_response" {
                self.told.push(event("charge.dispute.funds_withdrawn", self.now, object));
            }
            return;
        };
        let (kind, status) = match (dispute.status, self.random.below(4)) {
            ("warning_needs_response", 0) => ("closed", "warning_closed"),
            ("warning_needs_response", 1) => ("updated", "warning_under_review"),
            ("warning_needs_response" | "warning_under_review", _) => ("updated", "needs_response"),
            ("needs_response", 0) => ("updated", "under_review"),
            ("needs_response" | "under_review", 1) => ("closed", "won"),
            ("needs_response" | "under_review", 2) => ("closed", "lost"),
            ("won", 3) => ("updated", "needs_response"),
            _ => return,
        };
        payment.dispute.as_mut().unwrap().status = status;
        let object = payment.dispute_object();
        self.told.push(event(&format!("charge.dispute.{kind}"), self.now, object.clone()));
        if status == "won" {
            self.told.push(event("charge.dispute.funds_reinstated", self.now, object));
        }
    }
}
