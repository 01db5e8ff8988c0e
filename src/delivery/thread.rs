//! The thread that makes and sends messages. A message costs about as much CPU as a posting, so it must not compete
//! with the threads that answer calls. This thread has a lower priority: on a busy machine callers come first, and
//! messages still get a share.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

const NAME: &str = "delivery";
/// The nice level: beside one busy thread it gets a quarter of a CPU.
const NICE: i32 = 5;

/// The thread and the work on it end when this is dropped.
#[derive(Debug, Default)]
pub struct DeliveryThread {
    /// `None` does the work on the caller's runtime.
    thread: Option<(Handle, oneshot::Sender<()>)>,
}

impl DeliveryThread {
    /// Starts the thread. The default has none, for tests that pass their own time: due work then runs in turn with
    /// them.
    #[must_use]
    pub fn start() -> Self {
        let thread =
            start().inspect_err(|error| tracing::debug!(%error, "delivery has no thread of its own"));
        Self { thread: thread.ok() }
    }

    /// Runs work on the thread; `None` if the work did not finish. Work that nobody waits for is aborted: the endpoint
    /// may be another server's by then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let Some((handle, _)) = &self.thread else { return Some(work.await) };
        let mut task = JoinSet::new();
        task.spawn_on(work, handle);
        task.join_next().await?.ok()
    }
}

fn start() -> io::Result<(Handle, oneshot::Sender<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let (stop, stopped) = oneshot::channel();
    let run = move || {
        // On Linux the nice level belongs to one thread; elsewhere it would slow the whole process.
        if cfg!(target_os = "linux")
            && let Err(error) = rustix::process::nice(NICE)
        {
            tracing::debug!(%error, "delivery has the priority of calls");
        }
        // Returns when the sender is gone.
        let _ = runtime.block_on(stopped);
    };
    std::thread::Builder::new().name(NAME.to_owned()).spawn(run)?;
    Ok((handle, stop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_on_a_thread_that_gives_way() {
        let thread = DeliveryThread::start();
        let look = || {
            let name = std::thread::current().name().map(str::to_owned);
            (name, rustix::process::getpriority_process(None).unwrap())
        };
        let (name, priority) = thread.run(async move { look() }).await.unwrap();
        assert_eq!(name.as_deref(), Some(NAME));
        if cfg!(target_os = "linux") {
            assert_eq!(priority, (look().1 + NICE).min(19));
        }
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_ended() {
        let thread = DeliveryThread::start();
        let (is_running, running) = oneshot::channel();
        let (held, ended) = oneshot::channel::<()>();
        let work = async move {
            is_running.send(()).unwrap();
            std::future::pending::<()>().await;
            drop(held);
        };
        tokio::select! {
            done = thread.run(work) => panic!("{done:?}"),
            _ = running => {}
        }
        assert!(ended.await.is_err(), "the work goes on");
    }

    #[tokio::test]
    async fn work_that_fails_is_told_and_other_work_goes_on() {
        let thread = DeliveryThread::start();
        let failing = async { assert!(std::hint::black_box(false), "on purpose") };
        assert!(thread.run(failing).await.is_none());
        assert_eq!(thread.run(async { 7 }).await, Some(7));
    }
}
