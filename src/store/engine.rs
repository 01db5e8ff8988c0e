//! An open engine, the signals that it sends to followers, and its settings.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{broadcast, watch};

use super::audit::AuditStore;
use super::clock::ClockStore;
use super::gauges::Gauges;
use super::orders::OrderStore;
use super::read_store::ReadStore;
use super::recorded::Recorded;
use super::records::RecordStore;
use super::tokens::TokenStore;
use super::webhooks::WebhookStore;
use super::write_store::WriteStore;
use crate::clock::watch::Watch;

/// An open engine: the writing sides for the writer, the reading sides for everybody else.
pub struct Engine {
    /// One for each lane of the writer; never empty. A customer always belongs to the same lane.
    pub writers: Vec<Box<dyn WriteStore>>,
    pub reader: Arc<dyn ReadStore>,
    pub audit: Arc<dyn AuditStore>,
    pub webhooks: Arc<dyn WebhookStore>,
    pub orders: Arc<dyn OrderStore>,
    pub tokens: Arc<dyn TokenStore>,
    /// The audit log.
    pub records: Arc<dyn RecordStore>,
    pub notifier: CommitNotifier,
    /// What the engine tells of itself.
    pub gauges: Gauges,
    pub clock: EngineClock,
}

/// The clock that dates what is stored.
#[derive(Clone)]
pub struct EngineClock {
    /// Whose clock it is.
    pub source: Time,
    /// Judges its readings; it has begun where [`Settings::clock_gap_max`] is set.
    pub watch: Arc<Watch>,
    pub rows: Arc<dyn ClockStore>,
}

/// Commits that are kept for followers. A follower that is further behind reads the feed.
const COMMITS_KEPT: usize = 16;

/// The postings of a commit with their positions, in the order of each ledger's feed.
pub type Committed = Arc<Vec<Recorded>>;

/// The signals that an engine sends to followers.
#[derive(Clone, Debug)]
pub struct CommitNotifier {
    /// Changes whenever some ledger's feed may have grown, whichever server committed. A follower subscribes. Where
    /// several servers write, the engine looks for their commits more often while somebody is subscribed.
    pub growth: Arc<watch::Sender<u64>>,
    /// The postings of a commit, sent before `growth` changes, so that a follower need not read them. It only saves
    /// reads: an engine need not send anything, and a slow follower misses some. A follower may use a commit only
    /// where it continues the positions it has without a gap; otherwise it reads the feed.
    pub committed: broadcast::Sender<Committed>,
    /// False while the database cannot be reached.
    pub reachable: watch::Receiver<bool>,
}

impl CommitNotifier {
    /// For an engine inside this process, which is always reachable.
    #[must_use]
    pub fn always_reachable(growth: Arc<watch::Sender<u64>>) -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self::new(growth, watch::channel(true).1)
    }

    /// For an engine that changes both values itself.
    #[must_use]
    pub fn new(growth: Arc<watch::Sender<u64>>, reachable: watch::Receiver<bool>) -> Self {
        Self { growth, committed: broadcast::Sender::new(COMMITS_KEPT), reachable }
    }

    /// Announces a commit. `postings` is called only where somebody follows.
    pub fn tell(&self, postings: impl FnOnce() -> Vec<Recorded>) {
        if self.committed.receiver_count() > 0 {
            // The follower may be gone by now.
            let _ = self.committed.send(Arc::new(postings()));
        }
        self.growth.send_modify(|growth| *growth = growth.wrapping_add(1));
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").finish_non_exhaustive()
    }
}

/// The settings of all engines; each engine uses those that concern it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PostgreSQL: writing connections, at least 1. Each is a lane of the writer.
    pub lanes: usize,
    /// PostgreSQL: how writing transactions are isolated.
    pub isolation: Isolation,
    /// PostgreSQL: the source of the time.
    pub time: Time,
    /// How long a server may have been away before its clock is doubted; `None` takes the clock for right.
    pub clock_gap_max: Option<Duration>,
}

/// How writing transactions are isolated. Both are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// READ COMMITTED: the customers' rows are locked first, and then read as they are under the lock.
    #[default]
    ReadCommitted,
    /// SERIALIZABLE, for databases that offer nothing else. A batch that conflicts with another server's is run
    /// again.
    Serializable,
}

/// The source of the time where several servers write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The database's clock, so that the clocks of the servers do not matter.
    #[default]
    Database,
    /// The caller's clock, for tests that control the time.
    Caller,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lanes: 2, isolation: Isolation::default(), time: Time::default(), clock_gap_max: None }
    }
}
