//! What a server does in the background: takes the sequencer's turns while the lease is its own, watches what other
//! servers order, and notices when the database goes away and comes back.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::sequencer::Sequencer;
use crate::store::engine::CommitNotifier;

/// How often the server with the lease looks for commits of others, and any server whose readers follow the journal.
const LOOK_OFTEN: Duration = Duration::from_millis(50);
/// How often a server looks whether the lease is free. With the lease's length this is how long a take-over takes.
const LOOK_SELDOM: Duration = Duration::from_secs(1);
/// How often an unreachable database is tried.
const LOOK_FOR_RETURN: Duration = Duration::from_millis(250);
/// Turns are at least this far apart: each costs about as much as a small commit, and places all that waits.
const TURN_PAUSE: Duration = Duration::from_millis(10);

/// What the lanes tell the background task, and it the readers.
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

    /// A lane has committed: something waits for its place.
    pub fn committed(&self) {
        self.committed.notify_one();
    }

    /// The database does not answer. Heard by the health service; the background task finds out when it is over.
    pub fn lost(&self) {
        self.reachable.send_if_modified(|reachable| std::mem::replace(reachable, false));
        self.committed.notify_one();
    }

    pub fn notifier(&self) -> CommitNotifier {
        CommitNotifier::new(Arc::clone(&self.growth), self.reachable.subscribe())
    }
}

/// The background task; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct Tending(JoinHandle<()>);

impl Tending {
    /// Starts it on the current runtime.
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
        // A commit of this server is placed soon; those of others at the next look.
        let _ = tokio::time::timeout(pause, signals.committed.notified()).await;
    }
}
