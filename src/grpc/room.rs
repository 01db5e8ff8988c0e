//! The memory that requests under way may take, as one budget in bytes.
//!
//! # What it is
//! Two pools of permits. A request of at most 64 KiB takes from the smaller one, so that large ones never keep small
//! ones out. A permit is for 1 KiB.
//!
//! # Invariants
//! - The permits of all requests together never exceed the budget. A request that is larger than a whole pool takes the
//!   whole pool, so that it is not kept out for ever.
//! - A request waits only while it holds nothing of the pool that it waits for. So no two requests wait for each other.
//!
//! # Failure
//! Where there is no room in time, the call is answered OVERLOADED, and nothing was done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::status::Problem;

/// Requests that take more memory use the larger pool.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Bytes of a permit.
const UNIT_BYTES: usize = 1 << 10;

/// The budget of a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    small: Pool,
    large: Pool,
    /// How long a request without a deadline waits.
    wait: Duration,
}

#[derive(Clone, Debug)]
struct Pool {
    permits: Arc<Semaphore>,
    units: u32,
}

/// What a call holds of the budget. Clones share it; the last one that is dropped gives it back.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Permits>>);

#[derive(Debug, Default)]
struct Permits {
    small: Option<OwnedSemaphorePermit>,
    large: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// A budget of so many bytes: a quarter for small requests, the rest for large ones.
    pub fn new(bytes_max: usize, wait: Duration) -> Self {
        let small = bytes_max / 4;
        Self { small: Pool::new(small), large: Pool::new(bytes_max.saturating_sub(small)), wait }
    }

    /// Makes `held` be for so many bytes, without waiting. Less than it has already is given back.
    pub fn try_hold(&self, held: &Held, bytes: usize) -> bool {
        let (is_small, pool) = self.pool(bytes);
        held.with(|permits| {
            let (kept, other) = permits.of(is_small);
            let units = pool.units_of(bytes);
            let missing = units.saturating_sub(kept.as_ref().map_or(0, units_in));
            if missing > 0 {
                let Some(more) = pool.try_take(missing) else { return false };
                put(kept, more);
            } else if let Some(kept) = kept {
                drop(kept.split(kept.num_permits().saturating_sub(to_usize(units))));
            }
            *other = None;
            true
        })
    }

    /// Makes `held` be for so many bytes, and waits for them where it may.
    ///
    /// # Errors
    /// OVERLOADED where there is no room, or none in time.
    pub async fn hold(&self, held: &Held, bytes: usize) -> Result<(), Problem> {
        if self.try_hold(held, bytes) {
            return Ok(());
        }
        let (is_small, pool) = self.pool(bytes);
        if held.with(|permits| permits.of(is_small).0.is_some()) {
            return Err(Problem::overloaded());
        }
        let taking = Arc::clone(&pool.permits).acquire_many_owned(pool.units_of(bytes));
        let Ok(Ok(taken)) = tokio::time::timeout(self.wait, taking).await else {
            return Err(Problem::overloaded());
        };
        held.with(|permits| {
            let (kept, other) = permits.of(is_small);
            *kept = Some(taken);
            *other = None;
        });
        Ok(())
    }

    fn pool(&self, bytes: usize) -> (bool, &Pool) {
        let is_small = bytes <= SMALL_BYTES_MAX;
        (is_small, if is_small { &self.small } else { &self.large })
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        let units = u32::try_from(bytes / UNIT_BYTES).unwrap_or(u32::MAX).max(1);
        Self { permits: Arc::new(Semaphore::new(to_usize(units))), units }
    }

    fn units_of(&self, bytes: usize) -> u32 {
        u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX).min(self.units)
    }

    fn try_take(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.permits).try_acquire_many_owned(units).ok()
    }
}

impl Held {
    fn with<T>(&self, change: impl FnOnce(&mut Permits) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Permits {
    /// What is held of the pool in question, and of the other one.
    fn of(
        &mut self,
        is_small: bool,
    ) -> (&mut Option<OwnedSemaphorePermit>, &mut Option<OwnedSemaphorePermit>) {
        if is_small { (&mut self.small, &mut self.large) } else { (&mut self.large, &mut self.small) }
    }
}

fn put(kept: &mut Option<OwnedSemaphorePermit>, more: OwnedSemaphorePermit) {
    match kept {
        Some(kept) => kept.merge(more),
        None => *kept = Some(more),
    }
}

fn units_in(permit: &OwnedSemaphorePermit) -> u32 {
    u32::try_from(permit.num_permits()).unwrap_or(u32::MAX)
}

fn to_usize(units: u32) -> usize {
    usize::try_from(units).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1 << 10;

    fn free(room: &Room) -> (usize, usize) {
        (room.small.permits.available_permits(), room.large.permits.available_permits())
    }

    /// Long enough for nobody to see it, short enough for a refusal to be waited for.
    const WAIT: Duration = Duration::from_millis(20);

    #[tokio::test]
    async fn large_requests_never_keep_small_ones_out() {
        let room = Room::new(1_024 * KIB, WAIT);
        let (large, next, small) = (Held::default(), Held::default(), Held::default());
        // More than there is: all of the larger pool.
        room.hold(&large, usize::MAX).await.unwrap();
        assert_eq!(free(&room), (256, 0));
        assert!(!room.try_hold(&next, 65 * KIB));
        room.hold(&next, 65 * KIB).await.unwrap_err();
        room.hold(&small, 64 * KIB).await.unwrap();
        assert_eq!(free(&room), (192, 0));
        drop((large, small));
        room.hold(&next, 65 * KIB).await.unwrap();
        assert_eq!(free(&room), (256, 703));
    }

    #[tokio::test]
    async fn a_request_waits_for_a_pool_of_which_it_holds_nothing() {
        let room = Room::new(1_024 * KIB, Duration::from_mins(1));
        let (first, second, third) = (Held::default(), Held::default(), Held::default());
        room.hold(&first, 700 * KIB).await.unwrap();
        room.hold(&second, 68 * KIB).await.unwrap();
        // Both want more: one is refused at once, and so the other can go on.
        let begun = std::time::Instant::now();
        room.hold(&second, 70 * KIB).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(30), "it waited");
        drop(second);
        room.hold(&first, 768 * KIB).await.unwrap();
        // From the smaller pool to the larger one is a wait.
        room.hold(&third, KIB).await.unwrap();
        let waits = room.clone();
        let waiting = tokio::spawn(async move { waits.hold(&third, 100 * KIB).await.map(|()| third) });
        tokio::task::yield_now().await;
        drop(first);
        let third = waiting.await.unwrap().unwrap();
        assert_eq!(free(&room), (256, 668));
        // Less than is held is given back, and all with the last clone.
        assert!(room.try_hold(&third, 80 * KIB));
        assert_eq!(free(&room), (256, 688));
        let clone = third.clone();
        drop(third);
        assert_eq!(free(&room), (256, 688));
        drop(clone);
        assert_eq!(free(&room), (256, 768));
    }
}
