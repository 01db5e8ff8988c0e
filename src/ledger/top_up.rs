//! Automatic top-ups: when available credits fall below a level, the storefront is asked to charge for more.
//!
//! # What it is
//! A request moves nothing; it is an event with an amount. The next purchase answers it, whoever makes it. Meanwhile a
//! storefront may report that a payment is pending, and the request stands longer, or that it was declined. A request that
//! nobody answers lapses. For an hour more it may still be charged ([`TopUps::GRACE_SECONDS`]).
//!
//! # Invariants
//! - No second request is made while one may be charged.
//! - A refund or a chargeback sets off no request. Nor does what follows from it: a debt that a grant repays, a dispute that
//!   is decided, the next look of the sweeper.
//! - After one, requests are paused until the customer itself uses available credits: they are set aside, charged, or waited
//!   for. A purchase ends the pause too, and so do settings that are set again.
//! - What expires, what an operator takes away, and parked holds that are activated are not the customer's own use.
//! - A decline or a lapse delays the next request by 1 hour, the second in a row by 6, the third by 24. The fourth suspends
//!   requests, and an event says so. A purchase, or settings that are set again, end that.
//! - A request fails once: one that lapsed and is declined in its hour counts once.
//! - What was declined does not count to the month's cap, nor what lapsed once it can no longer be charged.
//! - Requests are made for the time at which they are recorded, never for an earlier one. After a pause of three days there
//!   is one, not one for each day.
//! - By rules before [`Rules::Third`](super::rules::Rules::Third) a request was over once it lapsed, and nothing delayed or
//!   paused the next: `TopUps::met_by_older`.

use super::codec::{record, tagged};
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
    /// Requests count in the month in which they were made, unless they came to nothing.
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
    /// From when on it no longer stands. It may be charged for [`TopUps::GRACE_SECONDS`] more.
    pub lapses_at: Timestamp,
}
record!(TopUpRequest { 1 => credits, 2 => below, 3 => target, 4 => lapses_at });

impl TopUpRequest {
    /// From when on it can no longer be charged.
    pub fn charge_until(&self) -> Timestamp {
        charge_until(self.lapses_at)
    }
}

/// From when on a request that lapses then can no longer be charged.
fn charge_until(lapses_at: Timestamp) -> Timestamp {
    lapses_at.plus_seconds(TopUps::GRACE_SECONDS)
}

/// A request that no purchase has answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTopUp {
    pub id: TopUpId,
    pub credits: Credits,
    /// From when on it no longer stands.
    pub lapses_at: Timestamp,
    /// True once it has lapsed, which counts as a failure, once.
    pub lapsed: bool,
}
record!(OpenTopUp { 1 => id, 2 => credits, 3 => lapses_at, 4 => lapsed });

/// What is remembered of a customer's requests, once there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUps {
    /// The one in flight.
    pub open: Option<OpenTopUp>,
    /// When the last one was made.
    pub last_at: Timestamp,
    /// The first day of the month that `month_credits` counts.
    pub month: Day,
    /// Credits asked for in that month, without requests that came to nothing.
    pub month_credits: Credits,
    /// Requests in a row that were declined or lapsed, since the last purchase.
    pub failures: u32,
    /// No request is made before this, after a failure.
    pub retry_at: Option<Timestamp>,
}
record!(TopUps { 1 => open, 2 => last_at, 3 => month, 4 => month_credits, 5 => failures, 6 => retry_at });

/// How charging for a top-up stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopUpAnswer {
    /// A payment was begun. Until this time the request stands, or longer where it stands longer anyway.
    Pending(Timestamp),
    /// Nothing was paid, and nothing will be.
    Declined,
}
tagged!(TopUpAnswer { 1 => Pending(until), 2 => Declined });

/// What a storefront reported of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopUpReport {
    pub top_up: TopUpId,
    pub answer: TopUpAnswer,
}
record!(TopUpReport { 1 => top_up, 2 => answer });

/// What a command does about top-ups, besides what follows from balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopUpAct {
    /// The settings were set, maybe to the same.
    Agreed,
    Reported(TopUpReport),
}
tagged!(TopUpAct { 1 => Agreed, 2 => Reported(report) });

/// What top-ups are decided by, of a posting.
#[derive(Clone, Copy, Debug)]
pub struct Happened {
    pub kind: Kind,
    pub now: Timestamp,
    /// The customer has settings for top-ups after it.
    pub has_settings: bool,
    /// The customer itself used available credits.
    pub uses_credits: bool,
    pub act: Option<TopUpAct>,
}

impl Happened {
    /// Whether requests are paused after it, for what was taken back, where they `were_paused` before.
    pub fn leaves_paused(&self, were_paused: bool) -> bool {
        let takes_back = matches!(self.kind, Kind::RefundPurchase | Kind::RecordChargeback);
        let ends = self.uses_credits || self.begins_anew();
        self.has_settings && (takes_back || (were_paused && !ends))
    }

    /// Whether it ends what failures have delayed.
    fn begins_anew(&self) -> bool {
        self.kind == Kind::PurchaseCredits || self.act == Some(TopUpAct::Agreed)
    }
}

impl TopUp {
    /// One hour.
    pub const COOL_DOWN_SECONDS_DEFAULT: u32 = 3_600;
    /// One day.
    pub const LAPSE_SECONDS_DEFAULT: u32 = 86_400;
    /// One minute.
    pub const SECONDS_MIN: u32 = 60;
    /// 31 days.
    pub const SECONDS_MAX: u32 = 31 * 86_400;

    /// From when on a request may be made while `available` stays as it is; `None` where enough is available, and while
    /// requests are suspended.
    pub fn due_at(&self, before: Option<&TopUps>, available: Credits) -> Option<Timestamp> {
        if available >= self.below {
            return None;
        }
        let Some(before) = before else { return Some(Timestamp::default()) };
        let over_at = before.open.map(|open| open.charge_until());
        let over = over_at.map_or(*before, |at| before.at(at));
        if over.is_suspended() {
            return None;
        }
        let at = [over_at, over.retry_at].into_iter().flatten().fold(self.cooled_down(&over), Timestamp::max);
        let has_room = self.room(&over.at(at)).is_none_or(Credits::is_positive);
        Some(if has_room { at } else { at.day().next_month().start() })
    }

    /// The request that is due at `now`, if one is; `met` is as [`TopUps::met`] gives it for `now`.
    pub fn request(&self, met: Option<&TopUps>, available: Credits, now: Timestamp) -> Option<TopUpRequest> {
        let may_ask = |met: &TopUps| {
            let has_waited = self.cooled_down(met) <= now && met.retry_at.is_none_or(|at| at <= now);
            met.open.is_none() && !met.is_suspended() && has_waited
        };
        if available >= self.below || !met.is_none_or(may_ask) {
            return None;
        }
        let missing = self.target.less_at_least_zero(available);
        let room = met.map_or(self.monthly_cap, |met| self.room(met));
        let credits = room.map_or(missing, |room| room.min(missing));
        credits.is_positive().then(|| TopUpRequest {
            credits,
            below: self.below,
            target: self.target,
            lapses_at: now.plus_seconds(i64::from(self.lapse_seconds)),
        })
    }

    fn cooled_down(&self, met: &TopUps) -> Timestamp {
        met.last_at.plus_seconds(i64::from(self.cool_down_seconds))
    }

    /// What the cap leaves for the month that `counted` is in.
    fn room(&self, counted: &TopUps) -> Option<Credits> {
        self.monthly_cap.map(|cap| cap.less_at_least_zero(counted.month_credits))
    }
}

impl OpenTopUp {
    /// From when on it can no longer be charged.
    pub fn charge_until(&self) -> Timestamp {
        charge_until(self.lapses_at)
    }
}

impl TopUps {
    /// How long a request that lapsed may still be charged: one hour, for what was under way.
    pub const GRACE_SECONDS: i64 = 3_600;
    /// How long the next request waits after the first failure in a row, the second, and the third. One more suspends
    /// requests.
    pub const BACK_OFF_SECONDS: [i64; 3] = [3_600, 6 * 3_600, 24 * 3_600];

    /// True where so many requests failed that there are no more.
    pub fn is_suspended(&self) -> bool {
        usize::try_from(self.failures).is_ok_and(|failures| failures > Self::BACK_OFF_SECONDS.len())
    }

    /// When the request in flight lapses, where that suspends all further ones.
    pub fn suspends_at(&self) -> Option<Timestamp> {
        let lapses_at = self.open?.lapses_at;
        (!self.is_suspended() && self.at(lapses_at).is_suspended()).then_some(lapses_at)
    }

    /// As they stand at `now`, which is not before the last request. One that has lapsed by then has failed. One that can
    /// no longer be charged is neither in flight nor counted; a new month begins at 0.
    #[must_use]
    pub fn at(mut self, now: Timestamp) -> Self {
        if let Some(open) = self.open.filter(|open| open.lapses_at <= now && !open.lapsed) {
            self.open = Some(OpenTopUp { lapsed: true, ..open });
            self.failures = self.failures.saturating_add(1);
            self.back_off(open.lapses_at);
        }
        if self.open.is_some_and(|open| open.charge_until() <= now) {
            self = self.without_open();
        }
        self.in_month_of(now)
    }

    /// As they stand by rules before the third: what has lapsed is over.
    fn at_by_older(self, now: Timestamp) -> Self {
        let has_lapsed = self.open.is_some_and(|open| open.lapses_at <= now);
        if has_lapsed { self.without_open() } else { self }.in_month_of(now)
    }

    /// Lets the next request wait for as long as the failures so far ask for.
    fn back_off(&mut self, from: Timestamp) {
        let nth = usize::try_from(self.failures).unwrap_or(usize::MAX).saturating_sub(1);
        self.retry_at = Self::BACK_OFF_SECONDS.get(nth).map(|seconds| from.plus_seconds(*seconds));
    }

    /// Without the request in flight, which counted in the month in which it was made.
    fn without_open(mut self) -> Self {
        let counts = self.last_at.day().month() == self.month;
        if let Some(open) = self.open.take().filter(|_| counts) {
            self.month_credits = self.month_credits.less_at_least_zero(open.credits);
        }
        self
    }

    fn in_month_of(mut self, now: Timestamp) -> Self {
        let month = now.day().month();
        if month != self.month {
            self.month = month;
            self.month_credits = Credits::ZERO;
        }
        self
    }

    /// As they stand when a posting is made, before it makes a request of its own. A purchase answers one in flight and
    /// ends what failures have delayed; so do settings that are set, apart from the answer.
    ///
    /// # Errors
    /// The posting reports on another request than the one in flight.
    pub fn met(before: Option<&Self>, happened: &Happened) -> Result<Option<Self>, &'static str> {
        let report = match happened.act {
            Some(TopUpAct::Reported(report)) => Some(report),
            Some(TopUpAct::Agreed) | None => None,
        };
        let Some(before) = before else {
            return if report.is_none() {
                Ok(None)
            } else {
                Err("it reports on a top-up, and none is in flight")
            };
        };
        let mut stand = before.at(happened.now);
        if happened.kind == Kind::PurchaseCredits {
            stand.open = None;
        }
        if happened.begins_anew() {
            stand.failures = 0;
            stand.retry_at = None;
        }
        match report {
            Some(report) => stand.reported(&report, happened.now).map(Some),
            None => Ok(Some(stand)),
        }
    }

    fn reported(mut self, report: &TopUpReport, now: Timestamp) -> Result<Self, &'static str> {
        let open = self.open.filter(|open| open.id == report.top_up);
        let open = open.ok_or("it reports on a top-up that is not in flight")?;
        match report.answer {
            TopUpAnswer::Pending(until) => {
                self.open = Some(OpenTopUp { lapses_at: open.lapses_at.max(until), ..open });
            }
            TopUpAnswer::Declined => {
                self.failures = self.failures.saturating_add(u32::from(!open.lapsed));
                self.back_off(now);
                self = self.without_open();
            }
        }
        Ok(self)
    }

    /// The request whose failure suspends all further ones, where they stand as `met` after a posting.
    pub fn suspended_by(before: Option<&Self>, met: Option<&Self>) -> Option<TopUpId> {
        let before = before.filter(|before| !before.is_suspended())?;
        before.open.filter(|_| met.is_some_and(Self::is_suspended)).map(|open| open.id)
    }

    /// As [`TopUps::met`], for postings that were decided by rules before the third.
    pub(super) fn met_by_older(before: Option<&Self>, kind: Kind, now: Timestamp) -> Option<Self> {
        let stand = before?.at_by_older(now);
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
        let TopUpRequest { credits, lapses_at, .. } = *request;
        Some(Self {
            open: Some(OpenTopUp { id, credits, lapses_at, lapsed: false }),
            last_at: now,
            month: now.day().month(),
            month_credits: counted.checked_add(credits)?,
            failures: before.map_or(0, |before| before.failures),
            retry_at: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const HOUR: i64 = 3_600;
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
            lapsed: false,
        };
        TopUps {
            open: Some(open),
            last_at: NOW,
            month: NOW.day().month(),
            month_credits: Credits::whole(17),
            failures: 0,
            retry_at: None,
        }
    }

    #[test]
    fn what_can_no_longer_be_charged_is_not_counted_in_its_own_month_nor_in_the_next() {
        let before = asked();
        assert_eq!(before.at(NOW.plus_seconds(DAY / 2 - 1)), before, "January's last second");
        // The month begins while the request stands; February has none.
        let turned = before.at(NOW.plus_seconds(DAY / 2));
        assert_eq!((turned.open, turned.month_credits), (before.open, Credits::ZERO));
        let over = turned.at(NOW.plus_seconds(DAY + HOUR));
        assert_eq!((over.open, over.month_credits), (None, Credits::ZERO));
        let mut early = before;
        early.open = early.open.map(|open| OpenTopUp { lapses_at: NOW.plus_seconds(60), ..open });
        // Lapsed, it may still be charged and counts; by the older rules it is over at once.
        let lapsed = early.at(NOW.plus_seconds(60));
        assert_eq!((lapsed.open.unwrap().lapsed, lapsed.month_credits), (true, Credits::whole(17)));
        assert_eq!((lapsed.failures, lapsed.retry_at), (1, Some(NOW.plus_seconds(60 + HOUR))));
        assert_eq!(lapsed.at(NOW.plus_seconds(60 + HOUR)).month_credits, Credits::whole(10));
        let older = early.at_by_older(NOW.plus_seconds(60));
        assert_eq!(older, TopUps { open: None, month_credits: Credits::whole(10), ..before });
    }

    #[test]
    fn a_request_is_due_just_when_it_says() {
        let after = |seconds| Some(NOW.plus_seconds(seconds));
        let answered = TopUps { open: None, ..asked() };
        let failed = |failures, seconds| TopUps { failures, retry_at: after(seconds), ..answered };
        let lapses_for_the_third_time = TopUps { failures: 2, ..asked() };
        for (cap, before, expected) in [
            (None, None, Some(Timestamp::default())),
            (None, Some(asked()), after(DAY + HOUR)), // when it can no longer be charged
            (None, Some(answered), after(HOUR)),      // when it has cooled down
            (Some(18), Some(answered), after(HOUR)),  // 17 of 18 were asked for
            (Some(17), Some(answered), after(DAY / 2)), // with the next month
            (Some(15), Some(asked()), after(DAY + HOUR)), // it lapses in February
            (None, Some(failed(2, 6 * HOUR)), after(6 * HOUR)),
            (None, Some(failed(1, 60)), after(HOUR)), // the cool-down is longer
            (None, Some(lapses_for_the_third_time), after(DAY + 24 * HOUR)),
        ] {
            let settings = settings(cap);
            let available = Credits::whole(4);
            assert_eq!(settings.due_at(before.as_ref(), available), expected, "cap {cap:?} {before:?}");
            let due = expected.unwrap_or_default().max(NOW);
            let request = |at| {
                let met = before.map(|before| before.at(at));
                settings.request(met.as_ref(), available, at)
            };
            assert!(request(due).is_some_and(|request| request.credits.is_positive()));
            assert!(before.is_none() || request(Timestamp::from_micros(due.micros() - 1)).is_none());
            assert_eq!(settings.due_at(before.as_ref(), Credits::whole(5)), None, "5 is not below 5");
        }
    }

    #[test]
    fn the_fourth_failure_in_a_row_is_the_last() {
        let fourth = TopUps { failures: 3, ..asked() };
        assert_eq!(fourth.suspends_at(), Some(NOW.plus_seconds(DAY)));
        assert_eq!(settings(None).due_at(Some(&fourth), Credits::ZERO), None);
        let suspended = fourth.at(NOW.plus_seconds(DAY));
        assert_eq!((suspended.is_suspended(), suspended.suspends_at()), (true, None));
        assert_eq!(settings(None).request(Some(&suspended), Credits::ZERO, NOW.plus_seconds(90 * DAY)), None);
        assert_eq!(TopUps { failures: 2, ..asked() }.suspends_at(), None);
    }
}
