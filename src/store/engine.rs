//! An open engine, what it tells by itself, and how it may be set.

use std::sync::Arc;

use tokio::sync::{broadcast, watch};

use super::audit::AuditStore;
use super::read_store::ReadStore;
use super::recorded::Recorded;
use super::webhooks::WebhookStore;
use super::write_store::WriteStore;

/// An open engine: the writing sides for the writer, the reading sides for everybody.
pub struct Engine {
    /// One a lane of the writer; never empty. A customer always belongs to the same lane.
    pub writers: Vec<Box<dyn WriteStore>>,
    /// Shared by all readers.
    pub reader: Arc<dyn ReadStore>,
    /// What `verify` reads.
    pub audit: Arc<dyn AuditStore>,
    /// Where events are sent.
    pub webhooks: Arc<dyn WebhookStore>,
    /// What it tells by itself.
    pub notifier: CommitNotifier,
}

/// Commits that are kept for those who follow; whoever is further behind reads the feed.
const COMMITS_KEPT: usize = 16;

/// The postings of a commit, in the order of each ledger's feed, with their places.
pub type Committed = Arc<Vec<Recorded>>;

/// What an engine tells those who wait.
#[derive(Clone, Debug)]
pub struct CommitNotifier {
    /// Changes whenever some ledger's feed may have grown, by whichever server. Who follows subscribes; where several
    /// servers write, the engine looks for commits of others more often while somebody does.
    pub growth: Arc<watch::Sender<u64>>,
    /// What is committed, before `growth` changes, so that who follows need not read it. Only a saving: an engine need not
    /// tell it, and whoever is behind misses some; what follows without a gap on what is known is all there is of it.
    pub committed: broadcast::Sender<Committed>,
    /// False while the database cannot be reached.
    pub reachable: watch::Receiver<bool>,
}

impl CommitNotifier {
    /// For an engine inside this process.
    #[must_use]
    pub fn always_reachable(growth: Arc<watch::Sender<u64>>) -> Self {
        // A receiver keeps the last value when its sender is gone.
        Self::new(growth, watch::channel(true).1)
    }

    /// For an engine that sees to both.
    #[must_use]
    pub fn new(growth: Arc<watch::Sender<u64>>, reachable: watch::Receiver<bool>) -> Self {
        Self { growth, committed: broadcast::Sender::new(COMMITS_KEPT), reachable }
    }

    /// Tells of a commit with these postings, which are asked for where somebody follows.
    pub fn tell(&self, postings: impl FnOnce() -> Vec<Recorded>) {
        if self.committed.receiver_count() > 0 {
            // Whoever followed may be gone by now.
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

/// How an engine is used; each takes what concerns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// PostgreSQL: writing connections, each a lane of the writer, at least 1.
    pub lanes: usize,
    /// PostgreSQL: how writing transactions are kept apart.
    pub isolation: Isolation,
    /// PostgreSQL: who says what time it is.
    pub time: Time,
}

/// How writing transactions are kept apart. Both are safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// READ COMMITTED: the customers' rows are locked first, and read as they are then.
    #[default]
    ReadCommitted,
    /// SERIALIZABLE, for engines that know no other: a batch that meets another server's is run again.
    Serializable,
}

/// Who says what time it is where several servers write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Time {
    /// The database, so that the clocks of the servers do not matter.
    #[default]
    Database,
    /// Whoever calls: for tests that drive the time.
    Caller,
}

impl Default for Settings {
    fn default() -> Self {
        Self { lanes: 2, isolation: Isolation::default(), time: Time::default() }
    }
}
