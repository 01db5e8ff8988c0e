//! What a message can say about an event: the variables of the templates.

use std::collections::BTreeMap;

use minijinja::Value;

use super::link::Link;
use crate::delivery::Notice;
use crate::ledger::event::EventType;
use crate::ledger::{Credits, CustomerId, Day, LedgerId};

/// The events that customers are written to about.
pub const EVENTS: [EventType; 3] =
    [EventType::BalanceLow, EventType::BalanceDepleted, EventType::CreditsShortfall];

/// The names of all variables. Each is a text, empty where it does not apply to the event, so that a template may name
/// any of them for every event.
pub const VARIABLES: [&str; 15] = [
    "event",
    "event_id",
    "ledger_id",
    "customer_id",
    "customer_name",
    "contact_name",
    "date",
    "available",
    "held",
    "owed",
    "missing",
    "threshold",
    "incident_id",
    "used_up_on",
    "top_up_link",
];

/// What is said in one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// What happened.
    pub event: EventType,
    /// The event's id.
    pub event_id: String,
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Whose credits.
    pub customer_id: CustomerId,
    /// The customer's name; its id where it has none.
    pub customer_name: String,
    /// The contact's name; empty where none is known.
    pub contact_name: String,
    /// The day of the event, UTC.
    pub date: Day,
    /// Credits that are left.
    pub available: Credits,
    /// Credits that are set aside for open incidents.
    pub held: Credits,
    /// Credits that are owed.
    pub owed: Credits,
    /// Credits that an incident needs and that are not there, for a shortfall.
    pub missing: Option<Credits>,
    /// The lowest threshold that the balance came down to, for a balance that is low.
    pub threshold: Option<Credits>,
    /// The incident that needs them, for a shortfall.
    pub incident_id: String,
    /// When the credits will be used up, for a balance that is low and where it can be said.
    pub used_up_on: Option<Day>,
    /// Where more are bought.
    pub top_up_link: String,
}

impl Facts {
    /// Those of an event.
    #[must_use]
    pub fn new(notice: &Notice, ledger: &LedgerId, link: &Link) -> Self {
        let Notice { event, posting, customer, profile, forecast, .. } = notice;
        let shortfall = match event.event {
            EventType::CreditsShortfall => posting.detail.shortfall.as_ref(),
            _ => None,
        };
        let is_low = event.event == EventType::BalanceLow;
        let name = if profile.name.as_str().is_empty() { customer.as_str() } else { profile.name.as_str() };
        Self {
            event: event.event,
            event_id: notice.id(),
            ledger_id: ledger.clone(),
            customer_id: customer.clone(),
            customer_name: name.to_owned(),
            contact_name: profile.contact.name.to_string(),
            date: posting.recorded_at.day(),
            available: posting.after.available,
            held: posting.after.held,
            owed: posting.after.owed,
            missing: shortfall.map(|shortfall| shortfall.missing),
            threshold: posting.detail.low.iter().filter(|_| is_low).map(|crossed| crossed.level).min(),
            incident_id: shortfall.map(|shortfall| shortfall.incident.to_string()).unwrap_or_default(),
            used_up_on: forecast.as_ref().and_then(|forecast| forecast.runs_out_on),
            top_up_link: link.of(ledger, customer),
        }
    }

    /// Made-up ones, to try templates with: everything that applies to the event is said, or with `bare` only what is
    /// always there.
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
        // 1 January 2026.
        let date = Day::from_days(20_454);
        Self {
            event,
            event_id: "019b7600-0000-7000-8000-000000000000-0".to_owned(),
            ledger_id: ledger.clone(),
            customer_id: customer.clone(),
            customer_name: "Acme & Sons <GmbH>".to_owned(),
            contact_name: if bare { String::new() } else { "Carol".to_owned() },
            date,
            available: if is_depleted { Credits::ZERO } else { Credits::from_units(25_000) },
            held: if bare { Credits::ZERO } else { Credits::whole(3) },
            owed: Credits::ZERO,
            missing: is_short.then(|| Credits::from_units(75_000)),
            threshold: is_low.then(|| Credits::whole(3)),
            incident_id: if is_short { "INC-7".to_owned() } else { String::new() },
            used_up_on: is_low.then(|| date.plus_days(30)),
            top_up_link: link.of(ledger, customer),
        }
    }

    /// As templates see them. Credits stand as they are shown everywhere, so that none is rounded.
    #[must_use]
    pub(super) fn values(&self) -> Value {
        let Self {
            event,
            event_id,
            ledger_id,
            customer_id,
            customer_name,
            contact_name,
            date,
            available,
            held,
            owed,
            missing,
            threshold,
            incident_id,
            used_up_on,
            top_up_link,
        } = self;
        let credits =
            |credits: &Option<Credits>| credits.as_ref().map(ToString::to_string).unwrap_or_default();
        let values: BTreeMap<&str, String> = [
            ("event", event.name().to_owned()),
            ("event_id", event_id.clone()),
            ("ledger_id", ledger_id.to_string()),
            ("customer_id", customer_id.to_string()),
            ("customer_name", customer_name.clone()),
            ("contact_name", contact_name.clone()),
            ("date", shown(*date)),
            ("available", available.to_string()),
            ("held", held.to_string()),
            ("owed", owed.to_string()),
            ("missing", credits(missing)),
            ("threshold", credits(threshold)),
            ("incident_id", incident_id.clone()),
            ("used_up_on", used_up_on.map(shown).unwrap_or_default()),
            ("top_up_link", top_up_link.clone()),
        ]
        .into();
        Value::from(values)
    }
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
    fn the_variables_are_those_that_are_listed() {
        let link = Link::parse("https://example.com/{customer_id}").unwrap();
        let customer = CustomerId::parse("acme").unwrap();
        let facts = Facts::sample(EventType::BalanceLow, false, &LedgerId::main(), &customer, &link);
        let names: Vec<String> = facts.values().try_iter().unwrap().map(|name| name.to_string()).collect();
        let mut listed = VARIABLES;
        listed.sort_unstable();
        assert_eq!(names, listed);
        assert_eq!(facts.values().get_attr("date").unwrap().to_string(), "2026-01-01");
        assert_eq!(facts.values().get_attr("used_up_on").unwrap().to_string(), "2026-01-31");
    }
}
