//! Reads the fields of our own JSON strictly, and says where a wrong one stands.

use serde_json::{Map, Value};

use super::super::Unreadable;
use crate::ledger::{Currency, OpenText, Text, Timestamp};
use crate::storefront::amounts;
use crate::storefront::json::{cut, text};

const ID_BYTES_MAX: usize = 255;
const QUANTITY_MAX: u64 = 1_000_000_000;

/// An object all of whose fields are known.
pub(super) struct Object<'a> {
    path: String,
    fields: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    pub(super) fn new(path: &str, value: &'a Value, known: &[&str]) -> Result<Self, Unreadable> {
        let Value::Object(fields) = value else {
            let what = if path.is_empty() { "the payload" } else { path };
            return Err(Unreadable(format!("{what} must be an object")));
        };
        let object = Self { path: path.to_owned(), fields };
        match fields.keys().find(|name| !known.contains(&name.as_str())) {
            Some(unknown) => Err(object.wrong(cut(unknown).as_str(), "is no field of an order")),
            None => Ok(object),
        }
    }

    /// Names a field with what is wrong with it.
    pub(super) fn wrong(&self, field: &str, what: &str) -> Unreadable {
        let dot = if self.path.is_empty() { "" } else { "." };
        Unreadable(format!("{}{dot}{field} {what}", self.path))
    }

    /// A field that is there and not null.
    pub(super) fn get(&self, field: &str) -> Option<&'a Value> {
        self.fields.get(field).filter(|value| !value.is_null())
    }

    pub(super) fn flag(&self, field: &str) -> Result<bool, Unreadable> {
        match self.get(field) {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(_) => Err(self.wrong(field, "must be true or false")),
        }
    }

    /// One of the names of some states, in lower case.
    pub(super) fn state<T: Copy>(
        &self,
        field: &str,
        all: &[T],
        name: fn(T) -> &'static str,
    ) -> Result<T, Unreadable> {
        let told = self.get(field).and_then(Value::as_str).unwrap_or_default();
        all.iter().copied().find(|state| name(*state).to_ascii_lowercase() == told).ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|state| name(*state).to_ascii_lowercase()).collect();
            self.wrong(field, &format!("must be one of {}", names.join(", ")))
        })
    }

    pub(super) fn time(&self, field: &str) -> Result<Option<Timestamp>, Unreadable> {
        let Some(told) = self.get(field) else { return Ok(None) };
        let time = told.as_str().and_then(|told| told.parse::<jiff::Timestamp>().ok());
        let time = time.map(|time| Timestamp::from_micros(time.as_microsecond()));
        let time = time.filter(|time| (Timestamp::default()..=Timestamp::MAX).contains(time));
        time.map(Some).ok_or_else(|| self.wrong(field, "must be a time such as \"2026-11-28T12:00:00Z\""))
    }

    pub(super) fn id(&self, field: &str) -> Result<OpenText, Unreadable> {
        self.optional_id(field)?.ok_or_else(|| self.wrong(field, "must be there"))
    }

    pub(super) fn optional_id(&self, field: &str) -> Result<Option<OpenText>, Unreadable> {
        self.get(field).map(|told| self.id_of(field, told)).transpose()
    }

    /// A list of ids; none where it is left out.
    pub(super) fn ids(&self, field: &str, max: usize) -> Result<Vec<OpenText>, Unreadable> {
        self.list(field, max)?.iter().map(|told| self.id_of(field, told)).collect()
    }

    /// An id is text; a whole number counts as its digits.
    fn id_of(&self, field: &str, told: &Value) -> Result<OpenText, Unreadable> {
        let is_id = told.is_string() || told.is_u64();
        let id = text(Some(told));
        let id =
            Text::parse(&id).ok().filter(|id| is_id && !id.is_empty() && id.as_str().len() <= ID_BYTES_MAX);
        id.map(OpenText).ok_or_else(|| {
            self.wrong(
                field,
                &format!("must be text of 1 to {ID_BYTES_MAX} bytes without control characters"),
            )
        })
    }

    /// A list of objects; none where it is left out.
    pub(super) fn objects(&self, field: &str, max: usize, known: &[&str]) -> Result<Vec<Self>, Unreadable> {
        let dot = if self.path.is_empty() { "" } else { "." };
        let path = |place| format!("{}{dot}{field}[{place}]", self.path);
        let told = self.list(field, max)?.iter().enumerate();
        told.map(|(place, told)| Self::new(&path(place), told, known)).collect()
    }

    fn list(&self, field: &str, max: usize) -> Result<&'a [Value], Unreadable> {
        match self.get(field) {
            None => Ok(&[]),
            Some(Value::Array(list)) if list.len() <= max => Ok(list),
            Some(_) => Err(self.wrong(field, &format!("must be a list of at most {max}"))),
        }
    }

    pub(super) fn amount(&self, field: &str, money: &mut Money) -> Result<i64, Unreadable> {
        let told = self.get(field).ok_or_else(|| self.wrong(field, "must be there"))?;
        let told = told.as_str().ok_or_else(|| self.wrong(field, "must be text such as \"20.00\""))?;
        let (units, is_rounded) = rounded(told, money.digits).map_err(|what| self.wrong(field, &what))?;
        money.is_rounded |= is_rounded;
        Ok(units)
    }

    pub(super) fn amount_or_nothing(&self, field: &str, money: &mut Money) -> Result<i64, Unreadable> {
        if self.get(field).is_some() { self.amount(field, money) } else { Ok(0) }
    }
}

/// The currency of an order's amounts.
pub(super) struct Money {
    pub currency: Currency,
    /// True once an amount had more digits than the currency.
    pub is_rounded: bool,
    digits: u32,
}

impl Money {
    pub(super) fn of(object: &Object<'_>) -> Result<Self, Unreadable> {
        let code = object.get("currency").and_then(Value::as_str).unwrap_or_default();
        let known = Currency::parse(code).zip(amounts::digits(code));
        let (currency, digits) =
            known.ok_or_else(|| object.wrong("currency", "must be a code of ISO 4217 such as \"EUR\""))?;
        Ok(Self { currency, is_rounded: false, digits })
    }
}

/// A number of units, also as text, and as `2.0`.
pub(super) fn quantity(told: &Value) -> Option<u64> {
    let told = text(Some(told));
    let (whole, fraction) = told.split_once('.').unwrap_or((&told, "0"));
    let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = is_digits(whole) && !fraction.is_empty() && fraction.bytes().all(|byte| byte == b'0');
    whole.parse().ok().filter(|read| is_whole && (1..=QUANTITY_MAX).contains(read))
}

/// A decimal amount in smallest units, rounded half up, and whether that changed it.
fn rounded(told: &str, digits: u32) -> Result<(i64, bool), String> {
    let (whole, fraction) = told.split_once('.').unwrap_or((told, ""));
    let kept = usize::try_from(digits).unwrap_or(usize::MAX);
    let Some((near, rest)) = fraction.split_at_checked(kept) else {
        return amounts::minor_units(told, digits).map(|units| (units, false));
    };
    if !rest.bytes().all(|byte| byte.is_ascii_digit()) || (fraction.is_empty() && told.contains('.')) {
        return amounts::minor_units(told, digits).map(|units| (units, false));
    }
    let exact = if near.is_empty() { whole.to_owned() } else { format!("{whole}.{near}") };
    let units = amounts::minor_units(&exact, digits)?;
    let up = i64::from(rest.bytes().next().is_some_and(|first| first >= b'5'));
    Ok((units.saturating_add(up), rest.bytes().any(|digit| digit != b'0')))
}
