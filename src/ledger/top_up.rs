//! Automatic top-ups: when available credits fall below a level, the storefront is asked to charge for more.
//!
//! A request moves nothing; it is an event with an amount. The next purchase answers it, whoever makes it. Until then,
//! or until it lapses, no other is made: a storefront that charges for it must not be asked to charge again. Requests
//! are made for the time at which they are recorded, never for an earlier one. After a pause of three days there is
//! one, not one for each day.

use super::codec::record;
use super::credits::Credits;
use super::ids::TopUpId;
use super::kind::Kind;
use super::time::{Day, Timestamp};

/// When a customer is asked for a top-up, and for how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUp {
    /// It is asked where less than this is available; more than 0.
    pub below: Credits,
    /// What is to be available afterwards; more than `below`.
    pub target: Credits,
    /// The most that is asked for in a UTC calendar month, at least `target` less `below`; `None` for no bound.
    /// Requests count in the month in which they were made, unless they lapsed.
    pub monthly_cap: Option<Credits>,
    /// Seconds from one request to the next at least, [`TopUp::SECONDS_MIN`] to [`TopUp::SECONDS_MAX`].
    pub cool_down_seconds: u32,
    /// Seconds after which a request that no purchase answered lapses, within the same bounds.
    pub lapse_seconds: u32,
}
record!(TopUp { 1 => below, 2 => target, 3 => monthly_cap, 4 => cool_down_seconds, 5 => lapse_seconds });

/// A request for a top-up, as its event has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopUpRequest {
    /// How many credits are asked for; more than 0.
    pub credits: Credits,
    /// The level that the available credits were below.
    pub below: Credits,
    /// What is to be available afterwards. It takes more than `credits` where the month's cap left less.
    pub target: Credits,
    /// From when on it no longer stands.
    pub lapses_at: Timestamp,
}
record!(TopUpRequest { 1 => credits, 2 => below, 3 => target, 4 => lapses_at });

/// A request that no purchase has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTopUp {
    pub id: TopUpId,
    pub credits: Credits,
    /// From when on it no longer stands.
    pub lapses_at: Timestamp,
}
record!(OpenTopUp { 1 => id, 2 => credits, 3 => lapses_at });

/// What is remembered of a customer's requests, once there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUps {
    /// The one in flight.
    pub open: Option<OpenTopUp>,
    /// When the last one was made.
    pub last_at: Timestamp,
    /// The first day of the month that `month_credits` counts.
    pub month: Day,
    /// Credits asked for in that month, without requests that lapsed.
    pub month_credits: Credits,
}
record!(TopUps { 1 => open, 2 => last_at, 3 => month, 4 => month_credits });

impl TopUp {
    /// One hour.
    pub const COOL_DOWN_SECONDS_DEFAULT: u32 = 3_600;
    /// One day.
    pub const LAPSE_SECONDS_DEFAULT: u32 = 86_400;
    /// One minute.
    pub const SECONDS_MIN: u32 = 60;
    /// 31 days.
    pub const SECONDS_MAX: u32 = 31 * 86_400;

    /// From when on a request may be made while `available` stays as it is; `None` where enough is available.
    pub fn due_at(&self, before: Option<&TopUps>, available: Credits) -> Option<Timestamp> {
        if available >= self.below {
            return None;
        }
        let Some(before) = before else { return Some(Timestamp::default()) };
        let cooled_down = before.last_at.plus_seconds(i64::from(self.cool_down_seconds));
        let at = before.open.map_or(cooled_down, |open| cooled_down.max(open.lapses_at));
        let has_room = self.room(&before.at(at)).is_none_or(Credits::is_positive);
        Some(if has_room { at } else { at.day().next_month().start() })
    }

    /// The request that is due at `now`, if one is.
    pub fn request(
        &self,
        before: Option<&TopUps>,
        available: Credits,
        now: Timestamp,
    ) -> Option<TopUpRequest> {
        if self.due_at(before, available)? > now {
            return None;
        }
        let missing = self.target.less_at_least_zero(available);
        let room = before.map_or(self.monthly_cap, |before| self.room(&before.at(now)));
        Some(TopUpRequest {
            credits: room.map_or(missing, |room| room.min(missing)),
            below: self.below,
            target: self.target,
            lapses_at: now.plus_seconds(i64::from(self.lapse_seconds)),
        })
    }

    /// What the cap leaves for the month that `counted` is in.
    fn room(&self, counted: &TopUps) -> Option<Credits> {
        self.monthly_cap.map(|cap| cap.less_at_least_zero(counted.month_credits))
    }
}

impl TopUps {
    /// As they stand at `now`, which is not before the last request. One that has lapsed by then is neither in flight
    /// nor counted; a new month begins at 0.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if let Some(open) = self.open.filter(|open| open.lapses_at <= now) {
            self.open = None;
            if self.last_at.day().month() == self.month {
                self.month_credits = self.month_credits.less_at_least_zero(open.credits);
            }
        }
        let month = now.day().month();
        if month != self.month {
            self.month = month;
            self.month_credits = Credits::ZERO;
        }
        self
    }

    /// As they stand when a posting is made, before it makes a request of its own. A purchase answers one in flight.
    pub fn met(before: Option<&Self>, kind: Kind, now: Timestamp) -> Option<Self> {
        let stand = before?.at(now);
        let open = stand.open.filter(|_| kind != Kind::PurchaseCredits);
        Some(Self { open, ..stand })
    }

    /// With one more request; `None` where the count leaves its bounds.
    pub(super) fn with(
        before: Option<Self>,
        id: TopUpId,
        request: &TopUpRequest,
        now: Timestamp,
    ) -> Option<Self> {
        let counted = before.map_or(Credits::ZERO, |before| before.month_credits);
        Some(Self {
            open: Some(OpenTopUp { id, credits: request.credits, lapses_at: request.lapses_at }),
            last_at: now,
            month: now.day().month(),
            month_credits: counted.checked_add(request.credits)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    /// 2026-01-31T12:00:00Z.
    const NOW: Timestamp = Timestamp::from_micros(1_769_860_800_000_000);

    fn settings(cap: Option<i64>) -> TopUp {
        TopUp {
            below: Credits::whole(5),
            target: Credits::whole(20),
            monthly_cap: cap.map(Credits::whole),
            cool_down_seconds: 3_600,
            lapse_seconds: 86_400,
        }
    }

    /// 7 asked for at noon of the last day of January, 17 in all.
    fn asked() -> TopUps {
        let open = OpenTopUp {
            id: TopUpId::default(),
            credits: Credits::whole(7),
            lapses_at: NOW.plus_seconds(DAY),
        };
        TopUps { open: Some(open), last_at: NOW, month: NOW.day().month(), month_credits: Credits::whole(17) }
    }

    #[test]
    fn what_lapses_is_not_counted_in_its_own_month_nor_in_the_next() {
        let before = asked();
        assert_eq!(before.at(NOW.plus_seconds(DAY / 2 - 1)), before, "January's last second");
        // The month begins while the request stands; February has none.
        let turned = before.at(NOW.plus_seconds(DAY / 2));
        assert_eq!((turned.open, turned.month_credits), (before.open, Credits::ZERO));
        let lapsed = turned.at(NOW.plus_seconds(DAY));
        assert_eq!((lapsed.open, lapsed.month_credits), (None, Credits::ZERO));
        let mut early = before;
        early.open = early.open.map(|open| OpenTopUp { lapses_at: NOW.plus_seconds(60), ..open });
        assert_eq!(early.at(NOW.plus_seconds(60)).month_credits, Credits::whole(10));
    }

    #[test]
    fn a_request_is_due_just_when_it_says() {
        let after = |seconds| Some(NOW.plus_seconds(seconds));
        let answered = TopUps { open: None, ..asked() };
        for (cap, before, expected) in [
            (None, None, Some(Timestamp::default())),
            (None, Some(asked()), after(DAY)),          // when it lapses
            (None, Some(answered), after(3_600)),       // when it has cooled down
            (Some(18), Some(answered), after(3_600)),   // 17 of 18 were asked for
            (Some(17), Some(answered), after(DAY / 2)), // with the next month
            (Some(15), Some(asked()), after(DAY)),      // it lapses in February
        ] {
            let settings = settings(cap);
            let available = Credits::whole(4);
            assert_eq!(settings.due_at(before.as_ref(), available), expected, "cap {cap:?} {before:?}");
            let due = expected.unwrap_or_default().max(NOW);
            let request = |at| settings.request(before.as_ref(), available, at);
            assert!(request(due).is_some_and(|request| request.credits.is_positive()));
            assert!(before.is_none() || request(Timestamp::from_micros(due.micros() - 1)).is_none());
            assert_eq!(settings.due_at(before.as_ref(), Credits::whole(5)), None, "5 is not below 5");
        }
    }
}
