//! How much each caller may have done: commands and bytes a second, open streams, and the size of a batch.
//!
//! # What it is
//! [`CallerLimits`] are settings, a [`RoleLimits`] for each role. [`Quotas`] has an [`Allowance`] for each caller: its
//! role, the way in which it shows who it is, its provider and its subject. A call finds its allowance once. [`Attempts`]
//! counts, by address, the calls of those that do not show who they are.
//!
//! # Invariants
//! - What is over a limit is refused before it is done.
//! - Nobody is for ever kept from one batch or message that is larger than what can be saved up: see [`Allowance::spend`].
//! - Memory is bounded, however many callers there are. What is forgotten first is what is as good as absent, so that
//!   nobody gets a new allowance by calling under other names: see `table`.
//!
//! # Failure
//! [`Over`] says which limit is reached, and when the call would pass. A server counts alone: callers of several servers
//! have these limits on each.
//!
//! # Cost
//! A call costs a hash of the caller's name, a look into a map under a lock, and an exchange for each rate. Nothing is kept
//! on disk: a server that starts again has forgotten everything.

mod rate;
mod table;

use std::collections::BTreeMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::{Caller, Over};
use crate::ledger::actor::Role;
use rate::{Pace, Since, Spent};
use table::{Forgettable, Table};

/// Callers that are told apart at a time: more than calls may be under way.
const CALLERS_MAX: usize = 65_536;
/// Addresses whose failed attempts are told apart at a time.
const ADDRESSES_MAX: usize = 65_536;
/// Seconds whose failed attempts an address may make at once.
const ATTEMPTS_BURST_SECONDS: u32 = 10;
/// When a caller with too many streams may try again: nobody knows when one ends.
const STREAM_WAIT: Duration = Duration::from_secs(1);

/// What a caller of one role may have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleLimits {
    /// Calls, and commands of batches and streams; no limit where there is none.
    pub commands_per_second: Option<u64>,
    /// Bytes of messages, as they arrive and as they are unpacked; no limit where there is none.
    pub bytes_per_second: Option<u64>,
    /// Seconds whose commands and bytes may be saved up.
    pub burst_seconds: u32,
    /// Streams that may be open.
    pub streams: usize,
    /// Commands in one batch.
    pub batch_commands: usize,
    /// Whether it may waive a charge.
    pub may_waive: bool,
    /// Whether it may estimate outside the range of a class.
    pub may_override_range: bool,
}

impl RoleLimits {
    /// What holds where the settings say nothing. Systems are trusted to know what they need, except that none takes all
    /// streams. A customer may be anybody, and gets what a person at a screen cannot reach.
    pub const fn of(role: Role) -> Self {
        let system = Self {
            commands_per_second: None,
            bytes_per_second: None,
            burst_seconds: 10,
            streams: 256,
            batch_commands: 10_000,
            may_waive: true,
            may_override_range: true,
        };
        match role {
            Role::Customer => Self {
                commands_per_second: Some(50),
                bytes_per_second: Some(1 << 20),
                streams: 16,
                batch_commands: 100,
                ..system
            },
            Role::Storefront | Role::Helpdesk | Role::Billing | Role::Auditor | Role::Operator => system,
        }
    }
}

/// The limits of all roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallerLimits(BTreeMap<Role, RoleLimits>);

impl Default for CallerLimits {
    fn default() -> Self {
        Self::new(RoleLimits::of)
    }
}

impl CallerLimits {
    pub fn new(of: impl Fn(Role) -> RoleLimits) -> Self {
        Self(Role::ALL.iter().map(|role| (*role, of(*role))).collect())
    }

    fn of(&self, role: Role) -> RoleLimits {
        self.0.get(&role).copied().unwrap_or(RoleLimits::of(role))
    }
}

/// The allowances of all callers. Clones share them.
#[derive(Clone, Debug)]
pub struct Quotas(Option<Arc<Counted>>);

#[derive(Debug)]
struct Counted {
    limits: CallerLimits,
    since: Arc<Since>,
    /// Secret, so that nobody finds a subject with the hash of another's.
    hasher: RandomState,
    callers: Table<u64, Allowance>,
}

impl Quotas {
    /// No caller has a limit.
    pub const fn none() -> Self {
        Self(None)
    }

    pub fn new(limits: CallerLimits) -> Self {
        Self::timed(limits, Since::now())
    }

    fn timed(limits: CallerLimits, since: Since) -> Self {
        Self(Some(Arc::new(Counted {
            limits,
            since: Arc::new(since),
            hasher: RandomState::new(),
            callers: Table::new(CALLERS_MAX),
        })))
    }

    /// What this caller may have done; `None` where nothing is limited, and for one that nobody knows.
    pub fn of(&self, caller: &Caller) -> Option<Arc<Allowance>> {
        let Counted { limits, since, hasher, callers } = &**self.0.as_ref()?;
        let key = hasher.hash_one(caller.name()?);
        let new = || Allowance {
            limits: limits.of(caller.bounds.role()),
            since: Arc::clone(since),
            commands: Spent::default(),
            bytes: Spent::default(),
            streams: AtomicUsize::new(0),
        };
        Some(callers.get(key, since.nanos(), new))
    }
}

/// What one caller may have done, and has had done.
#[derive(Debug)]
pub struct Allowance {
    pub limits: RoleLimits,
    since: Arc<Since>,
    commands: Spent,
    bytes: Spent,
    streams: AtomicUsize,
}

impl Forgettable for Allowance {
    fn whole_at(&self) -> u64 {
        // Each open stream holds the allowance.
        self.commands.whole_at().max(self.bytes.whole_at())
    }
}

/// What is counted by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counts {
    Commands,
    Bytes,
}

impl Allowance {
    /// Counts so many, if they pass. More than can be saved up pass once all is saved up, and the caller waits for what is
    /// missing afterwards.
    ///
    /// # Errors
    /// [`Over`]; then nothing was counted.
    pub fn spend(&self, what: Counts, amount: usize) -> Result<(), Over> {
        self.counted(what, |spent, pace, now| spent.spend(pace, now, to_u64(amount)))
    }

    /// Whether one would pass.
    ///
    /// # Errors
    /// [`Over`].
    pub fn has(&self, what: Counts) -> Result<(), Over> {
        self.counted(what, |spent, pace, now| spent.has(pace, now, 1))
    }

    /// Counts what is done already.
    pub fn owe(&self, what: Counts, amount: usize) {
        let owed = self.counted(what, |spent, pace, now| {
            spent.owe(pace, now, to_u64(amount));
            Ok(())
        });
        debug_assert!(owed.is_ok(), "nothing is refused here");
    }

    /// Waits until so many pass, and counts them.
    pub async fn wait(&self, what: Counts, amount: usize) {
        while let Err(over) = self.spend(what, amount) {
            tokio::time::sleep(over.wait).await;
        }
    }

    fn counted(
        &self,
        what: Counts,
        count: impl FnOnce(&Spent, Pace, u64) -> Result<(), Duration>,
    ) -> Result<(), Over> {
        let RoleLimits { commands_per_second, bytes_per_second, burst_seconds, .. } = self.limits;
        let (limit, max, spent) = match what {
            Counts::Commands => ("commands_per_second", commands_per_second, &self.commands),
            Counts::Bytes => ("bytes_per_second", bytes_per_second, &self.bytes),
        };
        let Some(max) = max else { return Ok(()) };
        let counted = count(spent, Pace::new(max, burst_seconds), self.since.nanos());
        counted.map_err(|wait| Over { limit, max, wait })
    }

    /// A place for one more stream, until it is dropped.
    ///
    /// # Errors
    /// [`Over`] where as many are open as may be.
    pub fn open_stream(self: &Arc<Self>) -> Result<StreamPlace, Over> {
        let max = self.limits.streams;
        let one_more = |open: usize| (open < max).then(|| open.saturating_add(1));
        let taken = self.streams.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        taken.map_err(|_| Over { limit: "streams", max: to_u64(max), wait: STREAM_WAIT })?;
        Ok(StreamPlace(Arc::clone(self)))
    }
}

/// The place of an open stream.
#[derive(Debug)]
pub struct StreamPlace(Arc<Allowance>);

impl Drop for StreamPlace {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Calls of those that do not show who they are, by the address that they come from. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Attempts(Option<Arc<Failed>>);

#[derive(Debug)]
struct Failed {
    pace: Pace,
    since: Since,
    addresses: Table<IpAddr, Spent>,
}

impl Forgettable for Spent {
    fn whole_at(&self) -> u64 {
        Self::whole_at(self)
    }
}

impl Attempts {
    /// So many a second by address; 0 for any number.
    pub fn new(per_second: u32) -> Self {
        Self::timed(per_second, Since::now())
    }

    fn timed(per_second: u32, since: Since) -> Self {
        let pace = Pace::new(per_second.into(), ATTEMPTS_BURST_SECONDS);
        let failed = Failed { pace, since, addresses: Table::new(ADDRESSES_MAX) };
        Self((per_second > 0).then(|| Arc::new(failed)))
    }

    /// Whether this address may have something checked that costs work.
    ///
    /// # Errors
    /// [`Over`].
    pub fn may_try(&self, address: Option<IpAddr>) -> Result<(), Over> {
        let Some(failed) = &self.0 else { return Ok(()) };
        match failed.addresses.find(&network(address)) {
            Some(spent) => failed.told(spent.has(failed.pace, failed.since.nanos(), 1)),
            None => Ok(()),
        }
    }

    /// Counts a failure.
    ///
    /// # Errors
    /// [`Over`] where there were as many as may be.
    pub fn failed(&self, address: Option<IpAddr>) -> Result<(), Over> {
        let Some(failed) = &self.0 else { return Ok(()) };
        let now = failed.since.nanos();
        let spent = failed.addresses.get(network(address), now, Spent::default);
        failed.told(spent.spend(failed.pace, now, 1))
    }
}

impl Failed {
    fn told(&self, spent: Result<(), Duration>) -> Result<(), Over> {
        let max = self.pace.per_second;
        spent.map_err(|wait| Over { limit: "unauthenticated_per_second", max, wait })
    }
}

/// What one caller has of addresses: one of IPv4, or 2^64 of IPv6.
pub fn network(address: Option<IpAddr>) -> IpAddr {
    match address.map(|address| address.to_canonical()) {
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        Some(IpAddr::V4(address)) => IpAddr::V4(address),
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

fn to_u64(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
