//! Reads the fields of Stripe's objects: ids, amounts, quantities and times.

use serde_json::Value;

use super::super::Unreadable;
use crate::ledger::{Currency, OpenText, Text, Timestamp};
use crate::storefront::amounts;
use crate::storefront::json::text;

/// The longest id. Stripe's have at most 255 characters.
const ID_BYTES_MAX: usize = 255;

/// The greatest amount, so that sums of an order cannot overflow.
const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

/// The most units in a line.
const QUANTITY_MAX: u64 = 1_000_000_000;

/// What happened, and the object as it was then.
pub(super) struct Event<'a> {
    pub kind: &'a str,
    pub at: Timestamp,
    pub test: bool,
    pub object: &'a Value,
}

/// An id, or the id of an object that stands in its place; `None` for null.
pub(super) fn id(object: &Value, field: &str) -> Result<Option<OpenText>, Unreadable> {
    let value = match object.get(field) {
        Some(expanded @ Value::Object(_)) => expanded.get("id"),
        value => value,
    };
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(id)) if id.is_empty() => Ok(None),
        Some(Value::String(id)) if id.len() <= ID_BYTES_MAX => match Text::parse(id) {
            Ok(id) => Ok(Some(OpenText(id))),
            Err(_) => Err(Unreadable(format!("{field} has control characters"))),
        },
        Some(_) => Err(Unreadable(format!("{field} is no id"))),
    }
}

/// The id of the object itself.
pub(super) fn own_id(object: &Value) -> Result<OpenText, Unreadable> {
    id(object, "id")?.ok_or_else(|| Unreadable("the object has no id".to_owned()))
}

/// Seconds since 1970.
pub(super) fn time(object: &Value, field: &str) -> Option<Timestamp> {
    let seconds = object.get(field)?.as_i64()?;
    let latest = Timestamp::MAX.micros() / Timestamp::MICROS_PER_SECOND;
    (0..=latest).contains(&seconds).then(|| Timestamp::default().plus_seconds(seconds))
}

/// The elements of a list, or of a list object (`{"object": "list", "data": [...]}`); none for null.
pub(super) fn list<'a>(object: &'a Value, field: &str) -> &'a [Value] {
    let list = object.get(field);
    let list = list.and_then(|list| list.get("data")).or(list);
    list.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// How many units: `None` where it is not told.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn quantity(told: Option<&Value>) -> Result<Option<u64>, String> {
    if matches!(told, None | Some(Value::Null)) {
        return Ok(None);
    }
    let told = text(told);
    let (whole, fraction) = told.split_once('.').unwrap_or((&told, ""));
    let is_whole =
        fraction.bytes().all(|digit| digit == b'0') && whole.bytes().all(|byte| byte.is_ascii_digit());
    let read = whole.parse().ok().filter(|read| is_whole && (1..=QUANTITY_MAX).contains(read));
    read.map(Some).ok_or_else(|| format!("the quantity '{told}' is no number of units"))
}

/// `amount * part / whole`, to the nearest unit; nothing of nothing.
pub(super) fn share(amount: i64, part: i64, whole: i64) -> i64 {
    let (amount, part, whole) = (i128::from(amount), i128::from(part), i128::from(whole));
    if whole <= 0 {
        return 0;
    }
    let twice = amount.saturating_mul(part).saturating_mul(2).saturating_add(whole);
    i64::try_from(twice.div_euclid(whole.saturating_mul(2))).unwrap_or(i64::MAX)
}

/// Reads the amounts of one currency, and remembers what was wrong.
pub(super) struct Amounts {
    pub currency: Currency,
    /// True once an amount had more digits than the currency.
    pub is_rounded: bool,
    problem: Option<String>,
}

impl Amounts {
    /// `None` where the currency is unknown.
    pub(super) fn new(code: &str) -> Option<Self> {
        let (zero, _) = amounts::stripe(code, 0)?;
        Some(Self { currency: zero.currency, is_rounded: false, problem: None })
    }

    /// An amount of either sign that has to be there.
    pub(super) fn signed(&mut self, object: &Value, field: &str) -> i64 {
        let amount = object.get(field).and_then(Value::as_i64);
        let amount = amount.filter(|amount| amount.saturating_abs() <= AMOUNT_MAX);
        let read = amount.and_then(|amount| amounts::stripe(self.currency.as_str(), amount));
        let Some((money, is_rounded)) = read else {
            self.complain(format!("{field} is no amount"));
            return 0;
        };
        self.is_rounded |= is_rounded;
        money.minor_units
    }

    /// An amount that has to be there, and is not negative.
    pub(super) fn required(&mut self, object: &Value, field: &str) -> i64 {
        let amount = self.signed(object, field);
        if amount < 0 {
            self.complain(format!("{field} is negative"));
        }
        amount.max(0)
    }

    /// An amount that is nothing where it is not told.
    pub(super) fn optional(&mut self, object: &Value, field: &str) -> i64 {
        if matches!(object.get(field), None | Some(Value::Null)) { 0 } else { self.signed(object, field) }
    }

    /// The sum of a field over some objects.
    pub(super) fn sum<'a>(&mut self, objects: impl IntoIterator<Item = &'a Value>, field: &str) -> i64 {
        objects.into_iter().fold(0_i64, |sum, object| sum.saturating_add(self.signed(object, field)))
    }

    /// Keeps the first of what is wrong.
    pub(super) fn complain(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }

    /// What was wrong since the last call.
    pub(super) fn take_problem(&mut self) -> Option<String> {
        self.problem.take()
    }
}
