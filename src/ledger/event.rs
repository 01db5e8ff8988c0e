//! Events: what a posting means to those who are told. They are no rows of their own; they follow from the posting.

use super::account::Slot;
use super::commands::{self, CustomerCommand, Meaning, kind_table};
use super::credits::Credits;
use super::due;
use super::hold::{HoldState, SharedHold};
use super::kind::Kind;
use super::posting::Posting;

pub use super::event_type::EventType;

/// Something that happened, with what it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What.
    pub event: EventType,
    /// The hold, for events about one.
    pub hold: Option<SharedHold>,
    /// How many credits it is about, where it is about an amount.
    pub credits: Option<Credits>,
}

/// The events of a posting, in their order: its own first, then what followed from it.
#[must_use]
pub fn events(posting: &Posting) -> Vec<Event> {
    let mut events = Vec::new();
    let detail = &posting.detail;
    let hold_event = |event, hold: &SharedHold, credits| Event { event, hold: Some(hold.clone()), credits };
    if let Some((event, credits)) = own_event(posting) {
        events.push(Event { event, hold: detail.hold.clone(), credits });
    }
    if let (true, Some(hold)) = (detail.nearly_used, &detail.hold) {
        events.push(hold_event(EventType::HoldNearlyUsed, hold, Some(hold.held)));
    }
    if let Some(shortfall) = &detail.shortfall {
        events.push(Event {
            event: EventType::CreditsShortfall,
            hold: detail.hold.clone(),
            credits: Some(shortfall.missing),
        });
    }
    let expired = posting.amounts.get(Slot::Expired);
    if expired.is_positive() {
        events.push(Event { event: EventType::CreditsExpired, hold: None, credits: Some(expired) });
    }
    for hold in detail.others.iter().filter(|hold| hold.state != HoldState::Superseded) {
        let activated = hold.activated_by == Some(posting.id);
        let event = if activated { EventType::HoldActivated } else { EventType::HoldExtended };
        events.push(hold_event(event, hold, Some(hold.held)));
    }
    let balance = [
        (EventType::BalanceLow, !detail.low.is_empty()),
        (EventType::BalanceDepleted, detail.depleted),
        (EventType::BalanceRecovered, detail.recovered),
    ];
    for (event, _) in balance.into_iter().filter(|(_, told)| *told) {
        events.push(Event { event, hold: None, credits: Some(posting.after.available) });
    }
    if let Some(request) = &detail.top_up {
        events.push(Event { event: EventType::TopUpRequested, hold: None, credits: Some(request.credits) });
    }
    events
}

macro_rules! define_own_event {
    (
        commands { $($(#[$doc:meta])* $name:ident = $code:literal / $label:literal { $($slots:tt)* })* }
        ledger { $($(#[$ledger_doc:meta])* $own:ident = $own_code:literal / $own_label:literal { $($own_slots:tt)* })* }
    ) => {
        /// The event that a posting means by itself, with its amount.
        fn own_event(posting: &Posting) -> Option<Meaning> {
            match posting.kind {
                $(Kind::$name => commands::$name::event(posting),)*
                $(Kind::$own)|* => due::event(posting),
            }
        }
    };
}
kind_table!(define_own_event);
