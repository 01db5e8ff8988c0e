//! An event with everything its receivers get, and the place of an event in the feed.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use uuid::Uuid;

use crate::ledger::event::{Event, EventType, events};
use crate::ledger::forecast::Forecast;
use crate::ledger::{CustomerId, CustomerKey, LedgerNo, Posting, Profile, Text};
use crate::store::usage::{Moment, forecast};
use crate::store::webhooks::Delivery;
use crate::store::{Position, ReadStore, Recorded, StoreError};

/// A place among the events of a ledger: all events before it were handed out. One posting can have several events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    /// All events of the postings up to here were handed out.
    pub done: Position,
    /// As well as this many events of the next posting.
    pub taken: u32,
}

impl Cursor {
    /// After all events of postings up to `done`.
    #[must_use]
    pub const fn after(done: Position) -> Self {
        Self { done, taken: 0 }
    }

    /// True if the event at this place was handed out.
    pub fn is_past(self, position: Position, index: u32) -> bool {
        let next = self.done.0.saturating_add(1);
        position <= self.done || (position.0 == next && index < self.taken)
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.done.0, self.taken)
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = "must be a resume_token that the server gave";
        let (done, taken) = text.split_once('.').ok_or(wrong)?;
        let cursor = Self {
            done: Position(done.parse().map_err(|_| wrong)?),
            taken: taken.parse().map_err(|_| wrong)?,
        };
        // Each place has one spelling, and no position is beyond the wire's 64-bit integers.
        let is_legal = cursor.to_string() == text && i64::try_from(cursor.done.0).is_ok();
        is_legal.then_some(cursor).ok_or(wrong)
    }
}

/// An event with everything its receivers get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub ledger: LedgerNo,
    /// The place of its posting in the ledger's feed.
    pub position: Position,
    /// Its place among the events of its posting, from 0.
    pub index: u32,
    pub event: Event,
    /// The posting that it follows from.
    pub posting: Arc<Posting>,
    pub customer: CustomerId,
    /// The customer's name and contact when the notice was made.
    pub profile: Arc<Profile>,
    /// How long a low balance will last; only for [`EventType::BalanceLow`].
    pub forecast: Option<Forecast>,
}

impl Notice {
    /// The place just after it.
    pub fn cursor(&self) -> Cursor {
        let done = Position(self.position.0.saturating_sub(1));
        Cursor { done, taken: self.index.saturating_add(1) }
    }

    /// Its id: the same in every message about it.
    pub fn id(&self) -> String {
        format!("{}-{}", self.posting.id, self.index)
    }

    /// A row of the retry queue that has not been tried yet.
    pub(super) fn to_delivery(&self, endpoint: Uuid) -> Delivery {
        Delivery {
            endpoint,
            position: self.position,
            place: self.index,
            event: self.event.event,
            event_id: Text::parse(&self.id()).unwrap_or_default(),
            customer: self.customer.clone(),
            attempts: 0,
            next_at: None,
            dead_at: None,
            tried_at: None,
            status: 0,
            error: Text::default(),
        }
    }
}

/// The events of consecutive postings.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub notices: Vec<Arc<Notice>>,
    /// The last position that was looked at. Postings without events move it too.
    pub last: Position,
    /// True where more may follow at once.
    pub goes_on: bool,
}

/// The events of at most `postings` postings of a ledger after a position.
pub(super) async fn read_page(
    store: &dyn ReadStore,
    ledger: LedgerNo,
    after: Position,
    postings: usize,
) -> Result<Page, StoreError> {
    let feed = store.feed(ledger, after, postings).await?;
    let last = feed.items.last().map_or(after, |last| last.position);
    Ok(Page { notices: notices_of(store, feed.items).await?, last, goes_on: feed.next.is_some() })
}

/// The events of postings, with their customers' profiles. Postings without events cost no read.
pub(super) async fn notices_of(
    store: &dyn ReadStore,
    postings: Vec<Recorded>,
) -> Result<Vec<Arc<Notice>>, StoreError> {
    let with_events: Vec<(Recorded, Vec<Event>)> = postings
        .into_iter()
        .map(|recorded| {
            let events = events(&recorded.posting);
            (recorded, events)
        })
        .filter(|(_, events)| !events.is_empty())
        .collect();
    if with_events.is_empty() {
        return Ok(Vec::new());
    }
    let mut keys: Vec<CustomerKey> =
        with_events.iter().map(|(recorded, _)| recorded.posting.customer).collect();
    keys.sort_unstable();
    keys.dedup();
    let profiles = store.profiles_by_key(&keys).await?;
    let profiles: HashMap<CustomerKey, (CustomerId, Arc<Profile>)> =
        profiles.into_iter().map(|(key, id, profile)| (key, (id, Arc::new(profile)))).collect();
    let mut notices = Vec::with_capacity(with_events.len());
    for (Recorded { position, posting }, events) in with_events {
        let (customer, profile) = profiles
            .get(&posting.customer)
            .ok_or_else(|| StoreError::Damaged("a posting's customer is missing".to_owned()))?;
        for (index, event) in (0..).zip(events) {
            let forecast = match event.event {
                EventType::BalanceLow => Some(forecast_after(store, &posting).await?),
                _ => None,
            };
            notices.push(Arc::new(Notice {
                ledger: posting.ledger,
                position,
                index,
                event,
                posting: Arc::clone(&posting),
                customer: customer.clone(),
                profile: Arc::clone(profile),
                forecast,
            }));
        }
    }
    Ok(notices)
}

async fn forecast_after(store: &dyn ReadStore, posting: &Posting) -> Result<Forecast, StoreError> {
    let customer = store
        .customer(posting.customer)
        .await?
        .ok_or_else(|| StoreError::Damaged("a posting's customer is missing".to_owned()))?;
    let moment = Moment {
        customer: posting.customer,
        created_at: customer.state.created_at,
        open_holds: customer.state.open_holds,
        at: posting.recorded_at,
        balances: posting.after,
        used: posting.detail.used,
    };
    forecast(store, moment).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_one_spelling() {
        let cursor = Cursor { done: Position(12), taken: 3 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for bad in [
            "",
            "12",
            "12.",
            ".3",
            "+12.3",
            "012.3",
            "12.3.4",
            "-1.0",
            "12.3 ",
            "9223372036854775808.0",
            "1.x",
        ] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad}");
        }
    }

    #[test]
    fn events_of_one_posting_are_passed_one_by_one() {
        let cursor = Cursor { done: Position(12), taken: 2 };
        let past = |position, index| cursor.is_past(Position(position), index);
        assert!(past(1, 7) && past(12, 7) && past(13, 0) && past(13, 1));
        assert!(!past(13, 2) && !past(14, 0));
    }
}
