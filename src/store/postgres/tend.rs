//! The background task of a server. It takes the sequencer's turns while this server holds the lease, and watches for
//! commits of other servers. It also notices when the database goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::sequencer::Sequencer;
use crate::store::engine::CommitNotifier;

/// How often the server with the lease looks for commits of other servers; so does any server with followers.
const LOOK_OFTEN: Duration = Duration::from_millis(50);
/// How often a server looks whether the lease is free. A take-over takes this and the length of the lease.
const LOOK_SELDOM: Duration = Duration::from_secs(1);
/// How often an unreachable database is tried.
const LOOK_FOR_RETURN: Duration = Duration::from_millis(250);
/// The least time between turns: each costs about as much as a small commit, and places everything that is pending.
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// Signals from the lanes to the background task, and from it to the readers.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    committed: Arc<Notify>,
    growth: Arc<watch::Sender<u64>>,
    reachable: Arc<watch::Sender<bool>>,
}

impl Signals {
    pub fn new() -> Self {
        Self {
            committed: Arc::default(),
            growth: Arc::default(),
            reachable: Arc::new(watch::Sender::new(true)),
        }
    }

    /// A lane has committed: something is pending.
    pub fn committed(&self) {
        self.committed.notify_one();
    }

    /// The database does not answer. The health service reports it; the background task notices when the database is
    /// back.
    pub fn lost(&self) {
        self.reachable.send_if_modified(|reachable| std::mem::replace(reachable, false));
        self.committed.notify_one();
    }

    pub fn notifier(&self) -> CommitNotifier {
        CommitNotifier::new(Arc::clone(&self.growth), self.reachable.subscribe())
    }
}

/// The background task; dropping this ends it.
#[derive(Debug)]
pub(super) struct Tending(JoinHandle<()>);

impl Tending {
    pub fn start(sequencer: Arc<Sequencer>, signals: Signals) -> Self {
        Self(tokio::spawn(tend(sequencer, signals)))
    }
}

impl Drop for Tending {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn tend(sequencer: Arc<Sequencer>, signals: Signals) {
    let mut last_turn = None;
    loop {
        let pause = match sequencer.tend().await {
            Ok(look) => {
                signals.reachable.send_if_modified(|reachable| !std::mem::replace(reachable, true));
                if last_turn.replace(look.turn) != Some(look.turn) {
                    signals.growth.send_modify(|growth| *growth = growth.wrapping_add(1));
                }
                let is_followed = signals.growth.receiver_count() > 0;
                if look.is_ours || is_followed { LOOK_OFTEN } else { LOOK_SELDOM }
            }
            Err(error) => {
                tracing::debug!(%error, "the sequencer could not look");
                if sequencer.is_cut_off().await {
                    let was = signals.reachable.send_replace(false);
                    if was {
                        tracing::error!(%error, "the database cannot be reached");
                    }
                }
                LOOK_FOR_RETURN
            }
        };
        tokio::time::sleep(TURN_PAUSE.min(pause)).await;
        // A commit of this server wakes the task; commits of others wait for the next look.
        let _ = tokio::time::timeout(pause, signals.committed.notified()).await;
    }
}
