//! What Stripe's checkout sessions and invoices say was sold.

use serde_json::Value;

use super::super::Unreadable;
use super::fields::{Amounts, Event, id, list, own_id, quantity, share};
use crate::ledger::{OpenText, Text};
use crate::storefront::json::{cut, text, text_at};
use crate::storefront::order::{Content, Line, Order, PaymentState, Source, Told};
use crate::storefront::shop::Shop;

/// Which of an order's names is its id in the ledger: the payment intent, as ever, then the others.
pub(in crate::storefront) const INTENT: u32 = 40;
pub(super) const INVOICE: u32 = 30;
pub(super) const SESSION: u32 = 20;
pub(super) const CHARGE: u32 = 10;
const AGREEMENT: u32 = 1;

/// More lines than this are not read. Stripe's limit is 250 for an invoice, 100 for a session.
const LINES_MAX: usize = 500;

/// Adds the name that a field has, if any.
pub(super) fn name(order: &mut Order, object: &Value, field: &str, naming: u32) -> Result<(), Unreadable> {
    if let Some(id) = id(object, field)? {
        order.names.insert(id, naming);
    }
    Ok(())
}

/// A checkout session; with it the subscription that it began.
pub(super) fn session(shop: &Shop, event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let object = event.object;
    let mode = text(object.get("mode"));
    if mode == "setup" {
        return Ok(Vec::new());
    }
    let status = text(object.get("payment_status"));
    let payment = match (event.kind, status.as_str()) {
        ("checkout.session.expired" | "checkout.session.async_payment_failed", _) => PaymentState::Void,
        (_, "paid" | "no_payment_required") => PaymentState::Paid,
        (_, "unpaid") => PaymentState::Open,
        (_, other) => return Err(Unreadable(format!("the payment_status '{}' is unknown", cut(other)))),
    };
    let mut content = match object.get("currency_conversion") {
        None | Some(Value::Null) => session_content(shop, object)?,
        Some(conversion) => converted(session_content(shop, object)?, conversion)?,
    };
    content.payment = payment;
    let is_free = content.lines.iter().all(|line| line.net == 0 && line.discount == 0);
    if mode == "subscription" && status == "no_payment_required" && is_free {
        for line in &mut content.lines {
            complain(&mut line.problem, "a subscription began without payment, such as for a trial");
        }
    }
    let mut order = Order { test: event.test, ..Order::default() };
    order.names.insert(own_id(object)?, SESSION);
    name(&mut order, object, "payment_intent", INTENT)?;
    name(&mut order, object, "invoice", INVOICE)?;
    tell(&mut order, event, Source::Checkout, content);
    Ok(with_agreement(order, event, id(object, "subscription")?, &text_at(object, &shop.customer)))
}

/// An invoice, which may be of a subscription.
pub(super) fn invoice(shop: &Shop, event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let object = event.object;
    let status = text(object.get("status"));
    let payment = match status.as_str() {
        "draft" => return Ok(Vec::new()),
        "paid" => PaymentState::Paid,
        "open" | "uncollectible" => PaymentState::Open,
        "void" => PaymentState::Void,
        other => return Err(Unreadable(format!("the invoice's status '{}' is unknown", cut(other)))),
    };
    let mut order = Order { test: event.test, ..Order::default() };
    order.names.insert(own_id(object)?, INVOICE);
    name(&mut order, object, "payment_intent", INTENT)?;
    name(&mut order, object, "charge", CHARGE)?;
    for payment in list(object, "payments").iter().filter_map(|payment| payment.get("payment")) {
        name(&mut order, payment, "payment_intent", INTENT)?;
        name(&mut order, payment, "charge", CHARGE)?;
    }
    let content = Content { payment, ..invoice_content(object)? };
    tell(&mut order, event, Source::Order, content);

    // Newer versions of the API have the subscription in `parent`, older ones in the invoice.
    let parent = object.get("parent").and_then(|parent| parent.get("subscription_details"));
    let details = parent.filter(|details| details.is_object()).or_else(|| object.get("subscription_details"));
    let subscription = match parent {
        Some(parent) => id(parent, "subscription")?,
        None => id(object, "subscription")?,
    };
    let mut customer = text_at(object, &shop.customer);
    if let Some(details) = details.filter(|_| customer.is_empty()) {
        customer = text_at(details, &shop.customer);
    }
    Ok(with_agreement(order, event, subscription, &customer))
}

/// A payment of an invoice says which intent paid it; newer invoices do not.
pub(super) fn invoice_payment(event: &Event<'_>) -> Result<Vec<Order>, Unreadable> {
    let mut order = Order { test: event.test, ..Order::default() };
    name(&mut order, event.object, "invoice", INVOICE)?;
    if order.names.is_empty() {
        return Err(Unreadable("the payment names no invoice".to_owned()));
    }
    let payment = event.object.get("payment").unwrap_or(&Value::Null);
    name(&mut order, payment, "payment_intent", INTENT)?;
    name(&mut order, payment, "charge", CHARGE)?;
    Ok(vec![order])
}

fn tell(order: &mut Order, event: &Event<'_>, source: Source, content: Content) {
    let rank = match content.payment {
        PaymentState::Open => 1,
        PaymentState::Void => 2,
        PaymentState::Paid => 3,
    };
    order.contents.insert(source, Told::at(event.at, rank, content));
}

/// Names the customer, both of the order and of the subscription that it belongs to.
fn with_agreement(
    mut order: Order,
    event: &Event<'_>,
    subscription: Option<OpenText>,
    customer: &str,
) -> Vec<Order> {
    let customer = cut(customer);
    let customer = (!customer.is_empty()).then(|| Told::at(event.at, 0, customer));
    order.customer.clone_from(&customer);
    let Some(subscription) = subscription else { return vec![order] };
    order.agreement = Some(Told::at(event.at, 0, subscription.clone()));
    let mut told = vec![order];
    if customer.is_some() {
        let names = [(subscription, AGREEMENT)].into();
        told.push(Order { names, customer, test: event.test, ..Order::default() });
    }
    told
}

fn session_content(shop: &Shop, object: &Value) -> Result<Content, Unreadable> {
    let mut amounts = amounts_of(object)?;
    let total = amounts.required(object, "amount_total");
    let details = object.get("total_details").unwrap_or(&Value::Null);
    let shipping = object.get("shipping_cost").filter(|cost| cost.is_object());
    let (elsewhere, shipping_tax) = match shipping {
        Some(cost) => (amounts.required(cost, "amount_total"), amounts.optional(cost, "amount_tax")),
        None => (amounts.optional(details, "amount_shipping"), 0),
    };
    let has_lines = object.get("line_items").is_some_and(Value::is_object);
    let lines = if has_lines {
        listed(object, "line_items", &mut amounts, session_line)?
    } else {
        let gross = total.saturating_sub(elsewhere);
        let tax = amounts.optional(details, "amount_tax").saturating_sub(shipping_tax);
        let discount = amounts.optional(details, "amount_discount");
        let money = Paid { gross, tax, discount, listed: amounts.optional(object, "amount_subtotal") };
        let told = text_at(object, &shop.quantity);
        let told = (!told.is_empty()).then_some(Value::String(told));
        let product = Text::parse(&text_at(object, &shop.product)).unwrap_or_default();
        let products = [product].into_iter().filter(|product| !product.is_empty()).map(OpenText).collect();
        vec![line(OpenText::default(), products, quantity(told.as_ref()), &money)]
    };
    Ok(content(amounts, total, elsewhere, lines))
}

/// What the shop is paid, where a session's amounts are in the currency that the customer was shown. Its refunds would
/// be in that currency too, and cannot be measured against it: a person decides.
fn converted(shown: Content, conversion: &Value) -> Result<Content, Unreadable> {
    let code = text(conversion.get("source_currency"));
    let unknown = || Unreadable("the currency_conversion names no known currency".to_owned());
    let mut amounts = Amounts::new(&code).ok_or_else(unknown)?;
    let total = amounts.required(conversion, "amount_total");
    let own = |amount| share(amount, total, shown.total);
    let lines = shown.lines.into_iter();
    let lines = lines.map(|line| {
        let gross = own(line.net.saturating_add(line.tax));
        let tax = own(line.tax);
        Line { net: gross.saturating_sub(tax), tax, discount: own(line.discount), ..line }
    });
    let problem =
        format!("the customer paid in {}, and refunds will be told in that currency", shown.currency);
    amounts.complain(problem);
    Ok(content(amounts, total, own(shown.elsewhere), lines.collect()))
}

fn invoice_content(object: &Value) -> Result<Content, Unreadable> {
    let mut amounts = amounts_of(object)?;
    let total = amounts.required(object, "total");
    let shipping = object.get("shipping_cost").filter(|cost| cost.is_object());
    let elsewhere = shipping.map_or(0, |cost| amounts.required(cost, "amount_total"));
    let lines = listed(object, "lines", &mut amounts, invoice_line)?;
    if amounts.optional(object, "pre_payment_credit_notes_amount") > 0 {
        amounts.complain("a credit note lowered what was to be paid".to_owned());
    }
    Ok(content(amounts, total, elsewhere, lines))
}

fn amounts_of(object: &Value) -> Result<Amounts, Unreadable> {
    let code = text(object.get("currency"));
    Amounts::new(&code).ok_or_else(|| Unreadable(format!("the currency '{}' is unknown", cut(&code))))
}

/// The lines of a list object. It may hold only the first of them.
fn listed(
    object: &Value,
    field: &str,
    amounts: &mut Amounts,
    read: fn(&Value, &mut Amounts) -> Result<Line, Unreadable>,
) -> Result<Vec<Line>, Unreadable> {
    let lines = list(object, field);
    if lines.len() > LINES_MAX {
        return Err(Unreadable(format!("there are more than {LINES_MAX} lines")));
    }
    let before = amounts.take_problem();
    let mut read_lines = Vec::with_capacity(lines.len());
    for line in lines {
        let mut read = read(line, amounts)?;
        if let Some(problem) = amounts.take_problem() {
            complain(&mut read.problem, &problem);
        }
        read_lines.push(read);
    }
    if let Some(before) = before {
        amounts.complain(before);
    }
    if object.get(field).and_then(|list| list.get("has_more")) == Some(&Value::Bool(true)) {
        amounts.complain(format!("only the first {} lines are told", lines.len()));
    }
    Ok(read_lines)
}

fn content(mut amounts: Amounts, total: i64, elsewhere: i64, lines: Vec<Line>) -> Content {
    let gross = |line: &Line| line.net.saturating_add(line.tax);
    let sum = lines.iter().fold(elsewhere, |sum, line| sum.saturating_add(gross(line)));
    if sum != total {
        amounts.complain(format!("the lines and shipping add up to {sum}, but the total is {total}"));
    }
    let digits = if amounts.is_rounded { "amounts were rounded to the currency's smallest unit" } else { "" };
    let problem = cut(&amounts.take_problem().unwrap_or_default());
    let currency = amounts.currency;
    Content { payment: PaymentState::Open, currency, total, elsewhere, lines, problem, note: cut(digits) }
}

fn session_line(item: &Value, amounts: &mut Amounts) -> Result<Line, Unreadable> {
    let money = Paid {
        gross: amounts.required(item, "amount_total"),
        tax: amounts.optional(item, "amount_tax"),
        discount: amounts.optional(item, "amount_discount"),
        listed: amounts.optional(item, "amount_subtotal"),
    };
    let products = products(item)?;
    Ok(line(id(item, "id")?.unwrap_or_default(), products, quantity(item.get("quantity")), &money))
}

fn invoice_line(item: &Value, amounts: &mut Amounts) -> Result<Line, Unreadable> {
    let listed = amounts.signed(item, "amount");
    let credit = |credit: &&Value| text(credit.get("type")) == "credit_balance_transaction";
    let discount = amounts.sum(list(item, "discount_amounts"), "amount").saturating_add(
        // Those of the type `discount` repeat what `discount_amounts` says.
        amounts.sum(list(item, "pretax_credit_amounts").iter().filter(credit), "amount"),
    );
    let (newer, older) = (list(item, "taxes"), list(item, "tax_amounts"));
    let taxes = if newer.is_empty() { older } else { newer };
    let within = |tax: &&Value| {
        text(tax.get("tax_behavior")) == "inclusive" || tax.get("inclusive") == Some(&Value::Bool(true))
    };
    let tax = amounts.sum(taxes, "amount");
    let outside = amounts.sum(taxes.iter().filter(|tax| !within(tax)), "amount");
    let gross = listed.saturating_sub(discount).saturating_add(outside);
    let units = quantity(item.get("quantity"));
    let money = Paid { gross, tax, discount, listed };
    let mut line = line(id(item, "id")?.unwrap_or_default(), products(item)?, units, &money);
    if is_proration(item) {
        complain(&mut line.problem, "a proration, whose quantity does not tell what was sold for it");
    } else if listed < 0 {
        complain(&mut line.problem, "a line of less than nothing");
    } else if listed == 0 && discount == 0 && has_price(item) {
        complain(&mut line.problem, "it was free without a discount, such as for a trial");
    }
    Ok(line)
}

fn is_proration(item: &Value) -> bool {
    let parents = ["subscription_item_details", "invoice_item_details"].into_iter();
    let parents = parents.filter_map(|details| item.get("parent")?.get(details));
    parents.chain([item]).any(|at| at.get("proration") == Some(&Value::Bool(true)))
}

/// True where the line's price is not free.
fn has_price(item: &Value) -> bool {
    let told =
        ["pricing.unit_amount_decimal", "price.unit_amount_decimal", "price.unit_amount", "plan.amount"];
    told.into_iter().any(|path| text_at(item, path).bytes().any(|digit| (b'1'..=b'9').contains(&digit)))
}

/// The money of a line: `gross` is what was paid for it with tax, `listed` its worth before discounts.
struct Paid {
    gross: i64,
    tax: i64,
    discount: i64,
    listed: i64,
}

/// Takes out the tax, also out of a discount whose amounts had tax within them.
fn line(id: OpenText, products: Vec<OpenText>, quantity: Result<Option<u64>, String>, paid: &Paid) -> Line {
    let Paid { gross, tax, discount, listed } = *paid;
    let net = gross.saturating_sub(tax);
    let has_tax_within = tax > 0 && listed.saturating_sub(discount) == gross;
    let discount = if has_tax_within { share(discount, net, gross) } else { discount };
    let (quantity, problem) = match quantity {
        Ok(quantity) => (quantity, String::new()),
        Err(problem) => (None, problem),
    };
    Line { id, products, quantity, net, tax, discount, credits: None, problem: cut(&problem) }
}

/// Price, product and plan, the most exact first, as newer and older versions of the API tell them.
fn products(item: &Value) -> Result<Vec<OpenText>, Unreadable> {
    let details = item.get("pricing").and_then(|pricing| pricing.get("price_details"));
    let objects = [details, item.get("price"), item.get("plan")];
    let mut products = Vec::new();
    for (holder, field) in [(details, "price"), (Some(item), "price"), (Some(item), "plan")] {
        products.extend(holder.map(|holder| id(holder, field)).transpose()?.flatten());
    }
    for holder in objects.into_iter().flatten() {
        products.extend(id(holder, "product")?);
    }
    let mut once = Vec::with_capacity(products.len());
    for product in products {
        if !once.contains(&product) {
            once.push(product);
        }
    }
    Ok(once)
}

/// Keeps the first problem.
fn complain(problem: &mut Text, found: &str) {
    if problem.is_empty() {
        *problem = cut(found);
    }
}
