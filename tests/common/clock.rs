//! A clock that stands still until the test moves it.

use std::sync::Arc;

use async_trait::async_trait;
use creditledger::clock::Clock;
use creditledger::ledger::Timestamp;
use tokio::sync::watch;

/// A clock that stands still until it is moved.
pub struct TestClock(watch::Sender<Timestamp>);

impl TestClock {
    pub fn at(start: Timestamp) -> Arc<Self> {
        Arc::new(Self(watch::Sender::new(start)))
    }

    pub fn set(&self, now: Timestamp) {
        self.0.send_modify(|time| *time = now.max(*time));
    }

    pub fn pass(&self, seconds: i64) {
        self.set(self.now().plus_seconds(seconds));
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    async fn sleep_until(&self, at: Timestamp) {
        self.0.subscribe().wait_for(|now| *now >= at).await.unwrap();
    }
}
