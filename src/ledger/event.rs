//! Events: what receivers learn of a posting. They are not stored; they follow from the posting.

use super::account::Slot;
use super::commands::{self, CustomerCommand, Meaning};
use super::credits::Credits;
use super::due;
use super::hold::{HoldState, SharedHold};
use super::kind::Kind;
use super::kind::kind_table;
use super::posting::Posting;

pub use super::event_type::EventType;

/// Something that happened, with what it happened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub event: EventType,
    /// The hold, for events about one.
    pub hold: Option<SharedHold>,
    /// How many credits it is about, where it is about an amount.
    pub credits: Option<Credits>,
}

/// The events of a posting, in their order: its own first, then what followed from it.
pub fn events(posting: &Posting) -> Vec<Event> {
    let mut events = Vec::new();
    let mut push = |event, hold: Option<&SharedHold>, credits| {
        events.push(Event { event, hold: hold.cloned(), credits });
    };
    let detail = &posting.detail;
    let own = detail.hold.as_ref();
    if let Some((event, credits)) = own_event(posting) {
        push(event, own, credits);
    }
    if let (true, Some(hold)) = (detail.nearly_used, own) {
        push(EventType::HoldNearlyUsed, own, Some(hold.held));
    }
    if let Some(shortfall) = &detail.shortfall {
        push(EventType::CreditsShortfall, own, Some(shortfall.missing));
    }
    let expired = posting.amounts.get(Slot::Expired);
    if expired.is_positive() {
        push(EventType::CreditsExpired, None, Some(expired));
    }
    for hold in detail.others.iter().filter(|hold| hold.state != HoldState::Superseded) {
        let activated = hold.activated_by == Some(posting.id);
        let event = if activated { EventType::HoldActivated } else { EventType::HoldExtended };
        push(event, Some(hold), Some(hold.held));
    }
    let balance = [
        (EventType::BalanceLow, !detail.low.is_empty()),
        (EventType::BalanceDepleted, detail.depleted),
        (EventType::BalanceRecovered, detail.recovered),
    ];
    for (event, _) in balance.into_iter().filter(|(_, happened)| *happened) {
        push(event, None, Some(posting.after.available));
    }
    if detail.top_ups_suspended.is_some() {
        push(EventType::TopUpSuspended, None, None);
    }
    if let Some(request) = &detail.top_up {
        push(EventType::TopUpRequested, None, Some(request.credits));
    }
    events
}

macro_rules! define_own_event {
    (
        commands { $($(#[$doc:meta])* $file:ident :: $name:ident = $code:literal / $label:literal $slots:tt)* }
        ledger { $($(#[$own_doc:meta])* $own_file:ident :: $own:ident = $own_code:literal / $own_label:literal $own_slots:tt)* }
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
