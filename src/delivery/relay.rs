//! The relay of a server: a worker for each endpoint that this server sends to, so that a slow one delays no other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::feeds::EventFeeds;
use super::leases::Leases;
use super::progress::Progress;
use super::thread::DeliveryThread;
use super::transport::Transport;
use super::worker::{self, End, Shared};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::webhooks::{Endpoint, WebhookStore};

/// How often a server looks for endpoints that are new, changed, or held by nobody.
pub const LOOK_SECONDS: i64 = 1;
/// How long each worker may take to finish at shutdown.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

pub struct Relay {
    shared: Arc<Shared>,
    leases: Leases,
    workers: HashMap<Uuid, Running>,
    progress: Progress,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Relay").field("workers", &self.workers.len()).finish_non_exhaustive()
    }
}

struct Running {
    changes: watch::Sender<Endpoint>,
    task: JoinHandle<()>,
}

impl Relay {
    /// A relay that other servers know as `me`. Messages are made and sent on `thread`.
    #[must_use]
    pub fn new(
        feeds: Arc<EventFeeds>,
        rows: Arc<dyn WebhookStore>,
        clock: Arc<dyn Clock>,
        transports: Vec<Arc<dyn Transport>>,
        thread: DeliveryThread,
        me: Uuid,
    ) -> Self {
        let transports: Arc<[_]> = transports.into();
        let leases = Leases {
            rows: Arc::clone(&rows),
            clock: Arc::clone(&clock),
            me,
            transports: Arc::clone(&transports),
        };
        let metrics = Metrics::default();
        let shared = Shared { feeds, rows, clock, transports, thread, me, metrics };
        let progress = Progress::default();
        Self { shared: Arc::new(shared), leases, workers: HashMap::new(), progress }
    }

    /// Counts messages.
    #[must_use]
    pub fn measured(mut self, metrics: Metrics) -> Self {
        // Nothing else has it before the relay runs.
        if let Some(shared) = Arc::get_mut(&mut self.shared) {
            shared.metrics = metrics;
        }
        self
    }

    /// How far the endpoints are that it sends to.
    pub fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// Sends until `stop` is true. Then it stores its cursors and gives up its endpoints.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let clock = Arc::clone(&self.shared.clock);
        loop {
            for transport in self.shared.transports.iter() {
                if let Err(error) = transport.prepare_endpoints().await {
                    tracing::debug!(%error, "the endpoints could not be prepared");
                }
            }
            match self.leases.look().await {
                Ok(endpoints) => {
                    self.progress.saw(Some(&endpoints));
                    self.assign(endpoints);
                }
                Err(error) => {
                    self.progress.saw(None);
                    tracing::debug!(%error, "the endpoints could not be looked at");
                }
            }
            let again = clock.now().plus_seconds(LOOK_SECONDS);
            tokio::select! {
                () = clock.sleep_until(again) => {}
                // A `stop` sender that is gone means stop as well.
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        let tasks: Vec<JoinHandle<()>> = self.workers.drain().map(|(_, worker)| worker.task).collect();
        for mut task in tasks {
            if tokio::time::timeout(STOP_TIMEOUT, &mut task).await.is_err() {
                task.abort();
            }
        }
        if let Err(error) = self.leases.leave().await {
            tracing::debug!(%error, "the endpoints are left to others once the lease is over");
        }
    }

    /// Runs one worker for each of these endpoints and for no other.
    fn assign(&mut self, endpoints: Vec<Endpoint>) {
        // Dropping the sender of changes ends the worker, which stores its cursor first.
        self.workers.retain(|id, worker| {
            !worker.task.is_finished() && endpoints.iter().any(|endpoint| endpoint.id == *id)
        });
        for endpoint in endpoints {
            if let Some(worker) = self.workers.get(&endpoint.id) {
                worker.changes.send_if_modified(|known| {
                    let is_new = known.version != endpoint.version;
                    if is_new {
                        *known = endpoint;
                    }
                    is_new
                });
            } else {
                let id = endpoint.id;
                let (changes, heard) = watch::channel(endpoint);
                let task = tokio::spawn(work(Arc::clone(&self.shared), heard, id));
                self.workers.insert(id, Running { changes, task });
            }
        }
    }
}

async fn work(shared: Arc<Shared>, changes: watch::Receiver<Endpoint>, id: Uuid) {
    match worker::run(shared, changes).await {
        End::Over => {}
        // The next look starts another worker from the stored cursor.
        End::Store(error) => tracing::debug!(%error, endpoint = %id, "sending to an endpoint begins again"),
    }
}
