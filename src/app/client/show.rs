//! How answers look: each message is a row of named values, printed as a table or as JSON.

use comfy_table::Table;
use serde_json::{Map, Value};

use crate::app::Failure;
use crate::app::output::print;
use crate::grpc::wire;

/// Named values, in the order in which a table shows them.
#[derive(Clone, Debug, Default)]
pub(super) struct Row {
    values: Vec<(&'static str, Value)>,
    /// Only JSON has room for them.
    more: Vec<(&'static str, Value)>,
}

/// What a command prints.
#[derive(Clone, Debug)]
pub(super) enum Shown {
    /// One thing: a line for each value.
    One(Row),
    /// A list: a line for each thing.
    Many(Vec<Row>),
}

impl Row {
    /// Adds a value. Empty texts are values too: a column is the same for all rows.
    pub fn with(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// Adds a value that a table leaves out.
    pub fn with_more(mut self, name: &'static str, value: impl Into<Value>) -> Self {
        self.more.push((name, value.into()));
        self
    }

    /// Adds the values of another row.
    pub fn and(mut self, other: Self) -> Self {
        self.values.extend(other.values);
        self.more.extend(other.more);
        self
    }

    /// A value as a table shows it; `None` where there is nothing to show.
    pub fn shown(&self, name: &str) -> Option<String> {
        let found = self.values.iter().find(|(known, _)| *known == name).map(|(_, value)| cell(value));
        found.filter(|value| !value.is_empty())
    }

    /// As one line of JSON.
    pub fn to_json_line(&self) -> String {
        self.json().to_string()
    }

    fn json(&self) -> Value {
        let fields =
            self.values.iter().chain(&self.more).map(|(name, value)| ((*name).to_owned(), value.clone()));
        Value::Object(fields.collect::<Map<_, _>>())
    }
}

impl Shown {
    /// Writes to standard output.
    ///
    /// # Errors
    /// [`Failure::Output`].
    pub fn print(&self, json: bool) -> Result<(), Failure> {
        let text = match (self, json) {
            (Self::One(row), true) => format!("{:#}", row.json()),
            (Self::Many(rows), true) => format!("{:#}", rows.iter().map(Row::json).collect::<Value>()),
            (Self::One(row), false) => {
                let mut table = table();
                let filled = row.values.iter().filter(|(_, value)| !cell(value).is_empty());
                table.add_rows(filled.map(|(name, value)| [(*name).to_owned(), cell(value)]));
                table.to_string()
            }
            (Self::Many(rows), false) => {
                let mut table = table();
                let Some(first) = rows.first() else { return print("nothing found") };
                table.set_header(first.values.iter().map(|(name, _)| *name));
                table.add_rows(rows.iter().map(|row| row.values.iter().map(|(_, value)| cell(value))));
                table.to_string()
            }
        };
        print(&text)
    }
}

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::UTF8_BORDERS_ONLY);
    table
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(values) => values.iter().map(cell).collect::<Vec<_>>().join("\n"),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", cell(value))).collect::<Vec<_>>().join(" ")
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

/// A time as RFC 3339; null where there is none.
pub(super) fn time(time: Option<&prost_types::Timestamp>) -> Value {
    time.map_or(Value::Null, |time| time.to_string().into())
}

/// The name of an enum's value without the prefix that the wire needs.
pub(super) fn bare(name: &str, prefix: &str) -> Value {
    name.strip_prefix(prefix).unwrap_or(name).into()
}

/// A customer's balances.
pub(super) fn balance(balance: Option<&wire::Balance>) -> Row {
    let Some(balance) = balance else { return Row::default() };
    let wire::Balance { available_credits, held_credits, owed_credits, sequence } = balance;
    Row::default()
        .with("available", available_credits.as_str())
        .with("held", held_credits.as_str())
        .with("owed", owed_credits.as_str())
        .with("sequence", *sequence)
}

/// What a change left in the journal, and the id that makes it repeatable.
pub(super) fn posting(request_id: String, outcome: Option<&wire::CommandOutcome>) -> Row {
    let id = outcome.and_then(|outcome| outcome.posting.as_ref()).map(|posting| posting.posting_id.as_str());
    Row::default().with("posting_id", id).and(replayed(request_id, outcome))
}

/// Whether a change had been made before, and the id that makes it repeatable.
pub(super) fn replayed(request_id: String, outcome: Option<&wire::CommandOutcome>) -> Row {
    let replayed = outcome.is_some_and(|outcome| outcome.replayed);
    Row::default().with("replayed", replayed).with_more("request_id", request_id)
}

/// All that came of a change, with `more` of what it was about.
pub(super) fn outcome(request_id: String, outcome: Option<&wire::CommandOutcome>, more: Row) -> Row {
    let row = posting(request_id, outcome);
    let Some(outcome) = outcome else { return row.and(more) };
    row.and(hold(outcome.hold.as_ref()))
        .and(purchase(outcome.purchase.as_ref()))
        .and(more)
        .and(consequences(&outcome.activated_holds, &outcome.expired_credits))
        .and(balance(outcome.balance.as_ref()))
}

/// A day of the calendar as YYYY-MM-DD; empty where there is none.
pub(super) fn day(date: Option<wire::Date>) -> String {
    let Some(wire::Date { year, month, day }) = date else { return String::new() };
    format!("{year:04}-{month:02}-{day:02}")
}

/// A customer.
pub(super) fn customer(customer: Option<&wire::Customer>) -> Row {
    let Some(customer) = customer else { return Row::default() };
    let contact = customer.contact.clone().unwrap_or_default();
    let terms = customer.terms.clone().unwrap_or_default();
    let metadata = customer.metadata.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str())));
    Row::default()
        .with("customer_id", customer.customer_id.as_str())
        .with("name", customer.name.as_str())
        .with("contact_name", contact.name)
        .with("email", contact.email)
        .with("locale", contact.locale)
        .with("rate_card_id", terms.rate_card_id)
        .with("package", terms.package)
        .with("product_purchase_date", day(terms.product_purchase_date))
        .with("metadata", metadata.collect::<Map<_, _>>())
        .with("closed", customer.closed)
        .with("open_holds", customer.open_holds)
        .with("top_up", top_up(terms.top_up.as_ref()))
        .with("open_top_up", open_top_up(customer.open_top_up.as_ref()))
        .with("created_at", time(customer.created_at.as_ref()))
        .and(balance(customer.balance.as_ref()))
}

/// When top-ups are requested; null where they are not.
fn top_up(settings: Option<&wire::TopUpSettings>) -> Value {
    let Some(settings) = settings else { return Value::Null };
    let mut fields = Map::new();
    fields.insert("below_credits".to_owned(), settings.below_credits.as_str().into());
    fields.insert("target_credits".to_owned(), settings.target_credits.as_str().into());
    if let Some(cap) = &settings.monthly_cap_credits {
        fields.insert("monthly_cap_credits".to_owned(), cap.as_str().into());
    }
    fields.insert("cool_down_seconds".to_owned(), settings.cool_down_seconds.into());
    fields.insert("lapse_seconds".to_owned(), settings.lapse_seconds.into());
    Value::Object(fields)
}

/// The top-up that is requested; null where none is.
fn open_top_up(open: Option<&wire::TopUpRequest>) -> Value {
    let Some(open) = open else { return Value::Null };
    let mut fields = Map::new();
    fields.insert("top_up_id".to_owned(), open.top_up_id.as_str().into());
    fields.insert("credits".to_owned(), open.credits.as_str().into());
    fields.insert("lapses_at".to_owned(), time(open.lapses_at.as_ref()));
    Value::Object(fields)
}

/// A hold with what it was settled at.
pub(super) fn hold(hold: Option<&wire::Hold>) -> Row {
    let Some(hold) = hold else { return Row::default() };
    let settlement = hold.settlement.as_ref();
    let pending = hold.pending.as_ref();
    Row::default()
        .with("hold_id", hold.hold_id.as_str())
        .with("customer_id", hold.customer_id.as_str())
        .with("incident_id", hold.incident_id.as_str())
        .with("incident_class", hold.incident_class.as_str())
        .with("state", bare(hold.state().as_str_name(), "HOLD_STATE_"))
        .with("estimated_credits", hold.estimated_credits.as_str())
        .with("held_credits", hold.held_credits.as_str())
        .with("pending_total_credits", pending.map(|pending| pending.total_credits.as_str()))
        .with("work_seconds", work_seconds(hold))
        .with("work_entries", hold.work.as_ref().map(|work| work.entries))
        .with("charged_credits", settlement.map(|settlement| settlement.charged_credits.as_str()))
        .with("written_off_credits", settlement.map(|settlement| settlement.written_off_credits.as_str()))
        .with("reversed_credits", settlement.map(|settlement| settlement.reversed_credits.as_str()))
        .with("opened_at", time(hold.opened_at.as_ref()))
        .with("valid_until", time(hold.valid_until.as_ref()))
        .with("expires_at", time(hold.expires_at.as_ref()))
        .with("ended_at", time(hold.ended_at.as_ref()))
        .with("note", hold.note.as_str())
}

fn work_seconds(hold: &wire::Hold) -> i64 {
    hold.work.as_ref().map_or(0, |work| work.work_seconds)
}

/// An entry of work.
pub(super) fn work(entry: &wire::WorkEntry) -> Value {
    let mut fields = Map::new();
    fields.insert("work_id".to_owned(), entry.work_id.as_str().into());
    fields.insert("work_seconds".to_owned(), entry.work_seconds.into());
    for (name, text) in [("by", &entry.by), ("line", &entry.line), ("note", &entry.note)] {
        if !text.is_empty() {
            fields.insert(name.to_owned(), text.as_str().into());
        }
    }
    if let Some(voided) = &entry.voided {
        fields.insert("voided".to_owned(), voided.reason.as_str().into());
    }
    Value::Object(fields)
}

/// The entry of work that was just made or voided: whoever withdraws it names it by its id.
pub(super) fn entry(entry: Option<&wire::WorkEntry>) -> Row {
    Row::default().with("work", entry.map(work).into_iter().collect::<Vec<_>>())
}

/// A hold in a list: what fits a line.
pub(super) fn hold_line(hold: &wire::Hold) -> Row {
    let settlement = hold.settlement.as_ref();
    Row::default()
        .with("customer_id", hold.customer_id.as_str())
        .with("incident_id", hold.incident_id.as_str())
        .with("class", hold.incident_class.as_str())
        .with("state", bare(hold.state().as_str_name(), "HOLD_STATE_"))
        .with("estimated", hold.estimated_credits.as_str())
        .with("held", hold.held_credits.as_str())
        .with("work_seconds", work_seconds(hold))
        .with("charged", settlement.map(|settlement| settlement.charged_credits.as_str()))
        .with("created_at", time(hold.created_at.as_ref()))
        .with_more("hold_id", hold.hold_id.as_str())
}

/// An amount of money; null where there is none.
fn price(price: Option<&wire::Money>) -> Value {
    price.map_or(Value::Null, |price| format!("{} {}", price.amount, price.currency_code).into())
}

/// A payment that is nobody's yet.
pub(super) fn unmatched_payment(payment: &wire::UnmatchedPayment) -> Row {
    Row::default()
        .with("payment_id", payment.payment_id.as_str())
        .with("event", bare(payment.event().as_str_name(), "PAYMENT_EVENT_"))
        .with("storefront", payment.storefront.as_str())
        .with("order_id", payment.order_id.as_str())
        .with("customer", payment.customer.as_str())
        .with("products", payment.products.clone())
        .with("credits", payment.credits.as_str())
        .with("price", price(payment.price.as_ref()))
        .with("reason", payment.reason.as_str())
        .with_more("received_at", time(payment.received_at.as_ref()))
}

/// A purchase.
pub(super) fn purchase(purchase: Option<&wire::Purchase>) -> Row {
    let Some(purchase) = purchase else { return Row::default() };
    Row::default()
        .with("purchase_id", purchase.purchase_id.as_str())
        .with("customer_id", purchase.customer_id.as_str())
        .with("storefront", purchase.storefront.as_str())
        .with("order_id", purchase.order_id.as_str())
        .with("credits", purchase.credits.as_str())
        .with("credited_credits", purchase.credited_credits.as_str())
        .with("repaid_credits", purchase.repaid_credits.as_str())
        .with("price", price(purchase.price.as_ref()))
        .with("expires_at", time(purchase.expires_at.as_ref()))
        .with(
            "refunded_credits",
            (purchase.refunded_credits != "0").then_some(purchase.refunded_credits.as_str()),
        )
}

/// How long credits will last.
pub(super) fn forecast(forecast: Option<&wire::Forecast>) -> Row {
    let Some(forecast) = forecast else { return Row::default() };
    Row::default()
        .with("weekly_credits_over_4_weeks", forecast.weekly_credits_over_4_weeks.as_str())
        .with("weekly_credits_over_12_weeks", forecast.weekly_credits_over_12_weeks.as_str())
        .with("open_holds", forecast.open_holds)
        .with("run_out_date", day(forecast.run_out_date))
}

/// A transfer in a list.
pub(super) fn transfer(line: &wire::JournalTransfer) -> Row {
    let transfer = line.transfer.clone().unwrap_or_default();
    Row::default()
        .with("sequence", line.sequence)
        .with("kind", bare(line.kind().as_str_name(), "POSTING_KIND_"))
        .with("debit_account", transfer.debit_account)
        .with("credit_account", transfer.credit_account)
        .with("credits", transfer.credits)
        .with("incident_id", line.incident_id.as_str())
        .with("recorded_at", time(line.recorded_at.as_ref()))
        .with_more("position", line.position)
        .with_more("posting_id", line.posting_id.as_str())
}

/// A receipt: its steps, then what it comes to.
pub(super) fn receipt(receipt: &wire::Receipt) -> Row {
    let card =
        receipt.rate_card.as_ref().map(|card| format!("{} version {}", card.rate_card_id, card.version));
    let settlement = receipt.settlement.as_ref();
    let steps = receipt.steps.iter().map(|step| Value::from(step.text.as_str()));
    Row::default()
        .with("hold_id", receipt.hold_id.as_str())
        .with("customer_id", receipt.customer_id.as_str())
        .with("incident_id", receipt.incident_id.as_str())
        .with("rate_card", card)
        .with("steps", steps.collect::<Vec<_>>())
        .with("charged_credits", settlement.map(|settlement| settlement.charged_credits.as_str()))
        .with("from_held_credits", settlement.map(|settlement| settlement.from_held_credits.as_str()))
        .with(
            "from_available_credits",
            settlement.map(|settlement| settlement.from_available_credits.as_str()),
        )
        .with("written_off_credits", settlement.map(|settlement| settlement.written_off_credits.as_str()))
}

/// A receipt in words, as it could be sent to the customer.
pub(super) fn receipt_text(receipt: &wire::Receipt) -> String {
    let wire::Receipt {
        hold_id,
        customer_id,
        incident_id,
        rate_card,
        inputs,
        steps,
        settlement,
        ledger_id: _,
    } = receipt;
    let card = rate_card.clone().unwrap_or_default();
    let inputs = inputs.clone().unwrap_or_default();
    let mut lines = vec![
        format!("incident {incident_id} of customer {customer_id} (hold {hold_id})"),
        format!("rate card {} version {}", card.rate_card_id, card.version),
    ];
    for (name, value) in [
        ("class", &inputs.incident_class),
        ("package", &inputs.package),
        ("opened on", &day(inputs.opened_on)),
        ("product bought on", &day(inputs.product_purchase_date)),
        ("confirmed quote", &inputs.confirmed_quote_credits),
    ] {
        if !value.is_empty() {
            lines.push(format!("{name} {value}"));
        }
    }
    if !inputs.labels.is_empty() {
        lines.push(format!("labels {}", inputs.labels.join(", ")));
    }
    lines.extend(steps.iter().map(|step| format!("  {}", step.text)));
    if let Some(paid) = settlement {
        lines.push(format!("charge: {} credits", paid.charged_credits));
        let (held, available) = (&paid.from_held_credits, &paid.from_available_credits);
        lines.push(format!("paid: {held} from the hold, {available} from available credits"));
        for (name, value) in
            [("borne by the vendor", &paid.written_off_credits), ("given back since", &paid.reversed_credits)]
        {
            if value != "0" {
                lines.push(format!("{name}: {value}"));
            }
        }
    }
    lines.join("\n")
}

/// Holds that were activated by a change, and credits that expired with it.
fn consequences(activated: &[wire::Hold], expired_credits: &str) -> Row {
    let activated: Vec<_> = activated.iter().map(|hold| Value::from(hold.incident_id.as_str())).collect();
    let expired = (expired_credits != "0" && !expired_credits.is_empty()).then_some(expired_credits);
    Row::default().with("activated_incidents", activated).with("expired_credits", expired)
}
