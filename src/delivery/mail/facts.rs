//! The facts of an event that a message can state: the variables of the templates.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

use super::link::Link;
use crate::delivery::Notice;
use crate::ledger::event::EventType;
use crate::ledger::{CustomerId, Day, LedgerId};

/// The events that customers get messages about.
pub const EVENTS: [EventType; 3] =
    [EventType::BalanceLow, EventType::BalanceDepleted, EventType::CreditsShortfall];

/// The facts of one message: the variables of the templates, by name. Each is a text, empty where it does not apply to
/// the event, so that a template may name any of them for every event. Credits keep all their digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Facts {
    #[serde(serialize_with = "name_of")]
    pub event: EventType,
    event_id: String,
    ledger_id: String,
    customer_id: String,
    /// The customer's id if it has no name.
    customer_name: String,
    contact_name: String,
    /// The day of the event, UTC.
    date: String,
    available: String,
    held: String,
    owed: String,
    /// For a shortfall: the credits that an incident needs and that are missing.
    missing: String,
    /// For a low balance: the lowest threshold that it came down to.
    threshold: String,
    /// For a shortfall: the incident that needs the credits.
    incident_id: String,
    /// For a low balance: when the credits will be used up, if a forecast exists.
    used_up_on: String,
    /// Where the customer buys credits.
    top_up_link: String,
}

impl Facts {
    #[must_use]
    pub fn new(notice: &Notice, ledger: &LedgerId, link: &Link) -> Self {
        let Notice { event, posting, customer, profile, forecast, .. } = notice;
        let shortfall = match event.event {
            EventType::CreditsShortfall => posting.detail.shortfall.as_ref(),
            _ => None,
        };
        let is_low = event.event == EventType::BalanceLow;
        let threshold = posting.detail.low.iter().filter(|_| is_low).map(|crossed| crossed.level).min();
        let used_up_on = forecast.as_ref().and_then(|forecast| forecast.runs_out_on);
        let name = if profile.name.as_str().is_empty() { customer.as_str() } else { profile.name.as_str() };
        Self {
            event: event.event,
            event_id: notice.id(),
            ledger_id: ledger.to_string(),
            customer_id: customer.to_string(),
            customer_name: name.to_owned(),
            contact_name: profile.contact.name.to_string(),
            date: shown(posting.recorded_at.day()),
            available: posting.after.available.to_string(),
            held: posting.after.held.to_string(),
            owed: posting.after.owed.to_string(),
            missing: shortfall.map(|shortfall| shortfall.missing.to_string()).unwrap_or_default(),
            threshold: threshold.map(|level| level.to_string()).unwrap_or_default(),
            incident_id: shortfall.map(|shortfall| shortfall.incident.to_string()).unwrap_or_default(),
            used_up_on: used_up_on.map(shown).unwrap_or_default(),
            top_up_link: link.of(ledger, customer),
        }
    }

    /// Sample facts to try templates with: all that apply to the event, or with `bare` only those that are always
    /// there.
    #[must_use]
    pub fn sample(
        event: EventType,
        bare: bool,
        ledger: &LedgerId,
        customer: &CustomerId,
        link: &Link,
    ) -> Self {
        let is_low = event == EventType::BalanceLow && !bare;
        let is_short = event == EventType::CreditsShortfall;
        let is_depleted = event == EventType::BalanceDepleted;
        let applies = |applies: bool, text: &str| if applies { text.to_owned() } else { String::new() };
        Self {
            event,
            event_id: "019b7600-0000-7000-8000-000000000000-0".to_owned(),
            ledger_id: ledger.to_string(),
            customer_id: customer.to_string(),
            customer_name: "Acme & Sons <GmbH>".to_owned(),
            contact_name: applies(!bare, "Carol"),
            date: "2026-01-01".to_owned(),
            available: if is_depleted { "0" } else { "2.5" }.to_owned(),
            held: if bare { "0" } else { "3" }.to_owned(),
            owed: "0".to_owned(),
            missing: applies(is_short, "7.5"),
            threshold: applies(is_low, "3"),
            incident_id: applies(is_short, "INC-7"),
            used_up_on: applies(is_low, "2026-01-31"),
            top_up_link: link.of(ledger, customer),
        }
    }

    /// A text for each variable, as templates see them.
    pub(super) fn values(&self) -> BTreeMap<String, String> {
        let object = serde_json::to_value(self).unwrap_or_default();
        let texts = object.as_object().into_iter().flatten();
        texts.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde calls it so
fn name_of<S: Serializer>(event: &EventType, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(event.name())
}

/// A day as YYYY-MM-DD.
fn shown(day: Day) -> String {
    let (year, month, day) = day.civil();
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_variable_is_a_text_under_its_name() {
        let link = Link::parse("https://example.com/{customer_id}").unwrap();
        let customer = CustomerId::parse("acme").unwrap();
        let facts = Facts::sample(EventType::BalanceLow, false, &LedgerId::main(), &customer, &link);
        let values = facts.values();
        assert_eq!(values.len(), 15);
        assert_eq!((values["event"].as_str(), values["date"].as_str()), ("balance.low", "2026-01-01"));
        assert_eq!((values["used_up_on"].as_str(), values["missing"].as_str()), ("2026-01-31", ""));
    }
}
