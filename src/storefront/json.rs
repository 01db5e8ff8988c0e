//! Finds values in payloads, and looks up the products of an order in the configuration.

use serde_json::Value;

use super::shop::Shop;
use crate::ledger::{Credits, Money, OpenText, Text};

/// The value at a path such as `customer.id`. In a list of named values (`[{"name": "a", "value": "b"}]`, or with
/// `key`) the next step names one of them.
pub(super) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(value, |value, step| match value {
        Value::Array(items) => {
            let is_named = |item: &&Value| {
                ["name", "key"].iter().any(|name| item.get(name).and_then(Value::as_str) == Some(step))
            };
            items.iter().find(is_named)?.get("value")
        }
        _ => value.get(step),
    })
}

/// A text, or a number as text; empty where there is neither.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The text at a path, as far as it fits the ledger's texts.
pub(super) fn text_at(value: &Value, path: &str) -> String {
    if path.is_empty() { String::new() } else { text(at(value, path)) }
}

/// A text of the ledger: what does not fit is cut, and control characters are left out.
pub(super) fn cut(text: &str) -> Text {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len().saturating_add(c.len_utf8()) > 1_024 {
            break;
        }
        kept.push(c);
    }
    Text::parse(&kept).unwrap_or_default()
}

/// A line of an order.
#[derive(Clone, Debug)]
pub(super) struct Item {
    /// Ids by which its product may be mapped.
    pub ids: Vec<String>,
    pub quantity: i64,
    /// What was paid for all of them.
    pub paid: Option<Money>,
}

/// What an order's lines add up to.
#[derive(Clone, Debug, Default)]
pub(super) struct Bought {
    /// Each product, with how many.
    pub products: Vec<OpenText>,
    /// The credits of those that are mapped; `None` where none is.
    pub credits: Option<Credits>,
    /// What was paid for those that are mapped, where other things were bought as well.
    pub paid: Option<Money>,
}

/// Looks up an order's products. Other goods in the same order do not concern the ledger.
pub(super) fn bought(shop: &Shop, items: &[Item]) -> Bought {
    let mut bought = Bought::default();
    let mut others = false;
    let mut paid: Option<Money> = None;
    for item in items {
        let name = item.ids.iter().find(|id| !id.is_empty()).cloned().unwrap_or_default();
        if bought.products.len() < 50 {
            bought.products.push(OpenText(cut(&format!("{} x {name}", item.quantity))));
        }
        let each = item.ids.iter().find_map(|id| shop.mapping.get(id)).map(|mapped| mapped.credits);
        let all = each.and_then(|each| each.units().checked_mul(item.quantity));
        let Some(all) = all.filter(|all| *all > 0).map(Credits::from_units) else {
            others = true;
            continue;
        };
        let before = bought.credits.unwrap_or_default();
        bought.credits = before.checked_add(all).filter(|sum| *sum <= Credits::MAX_PER_COMMAND);
        paid = match (paid, item.paid) {
            (None, paid) => paid,
            (Some(sum), Some(more)) => Some(sum.with(sum.minor_units.saturating_add(more.minor_units))),
            (Some(sum), None) => Some(sum),
        };
    }
    bought.paid = paid.filter(|_| others);
    bought
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lead_through_objects_and_named_values() {
        let value: Value = serde_json::from_str(
            r#"{"a": {"b": 7}, "notes": [{"name": "x", "value": " y "}], "meta": [{"key": "k", "value": "v"}]}"#,
        )
        .unwrap();
        for (path, found) in [
            ("a.b", "7"),
            ("notes.x", "y"),
            ("meta.k", "v"),
            ("a", ""),
            ("a.c", ""),
            ("notes.z", ""),
            ("", ""),
        ] {
            assert_eq!(text_at(&value, path), found, "{path}");
        }
    }

    #[test]
    fn what_does_not_fit_is_cut() {
        assert_eq!(cut("a\nb").as_str(), "ab");
        assert_eq!(cut(&"é".repeat(600)).as_str().len(), 1_024);
    }
}
