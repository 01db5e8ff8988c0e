//! Finds values in payloads, and cuts texts to what the ledger keeps.

use serde_json::Value;

use crate::ledger::Text;

/// The value at a path such as `customer.id`. In a list of named values (`[{"name": "a", "value": "b"}]`, or with
/// `key`) the next step names one of them.
pub(crate) fn at<'a>(value: &'a Value, path: &str) -> Option<&'a Value> {
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
pub(crate) fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

/// The text at a path, of any length; empty where there is none. The empty path leads nowhere.
pub(crate) fn text_at(value: &Value, path: &str) -> String {
    if path.is_empty() { String::new() } else { text(at(value, path)) }
}

/// A text of the ledger: what does not fit is cut, and control characters are left out.
pub(crate) fn cut(text: &str) -> Text {
    let mut kept = String::new();
    for c in text.chars().filter(|c| !c.is_control()) {
        if kept.len().saturating_add(c.len_utf8()) > 1_024 {
            break;
        }
        kept.push(c);
    }
    Text::parse(&kept).unwrap_or_default()
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
