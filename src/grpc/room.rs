//! The memory that requests under way may take, as one budget in bytes, and what each call holds of it.
//!
//! # What it is
//! Four pools of permits, in two pairs: for messages that are still arriving, and for those that are complete. A message
//! of at most 64 KiB takes from the smaller pool of a pair, so that large ones never keep small ones out. A permit is
//! for 1 KiB.
//!
//! # Invariants
//! - The permits of all requests together never exceed the budget. A request that is larger than a whole pool takes the
//!   whole pool, so that it is not kept out for ever.
//! - An arriving message holds room for what has arrived, not for what it announces, and none for its first KiB. A complete one never waits for
//!   those that are arriving.
//! - A request waits only while it holds nothing of the pool that it waits for, or of a later one. So no two requests
//!   wait for each other.
//!
//! # Failure
//! Where there is no room in time, the call is answered OVERLOADED, and nothing was done.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::status::Problem;

/// Requests that take more memory use the larger pool of their pair.
const SMALL_BYTES_MAX: usize = 64 << 10;
/// Taken at once for a large message that arrives: most then need no second step, which may not wait.
const LARGE_STEP_BYTES: usize = 1 << 20;
/// Bytes of a permit.
const UNIT_BYTES: usize = 1 << 10;

/// The pools, in the order in which a request may wait for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    ArrivingSmall,
    ArrivingLarge,
    Small,
    Large,
}

/// One value a pool.
#[derive(Clone, Debug, Default)]
struct Each<T> {
    arriving_small: T,
    arriving_large: T,
    small: T,
    large: T,
}

impl<T> Each<T> {
    fn get(&self, kind: Kind) -> &T {
        match kind {
            Kind::ArrivingSmall => &self.arriving_small,
            Kind::ArrivingLarge => &self.arriving_large,
            Kind::Small => &self.small,
            Kind::Large => &self.large,
        }
    }

    fn get_mut(&mut self, kind: Kind) -> &mut T {
        match kind {
            Kind::ArrivingSmall => &mut self.arriving_small,
            Kind::ArrivingLarge => &mut self.arriving_large,
            Kind::Small => &mut self.small,
            Kind::Large => &mut self.large,
        }
    }
}

/// The budget of a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Room {
    pools: Each<Pool>,
    /// How long a request without a deadline waits.
    wait: Duration,
}

#[derive(Clone, Debug)]
struct Pool {
    permits: Arc<Semaphore>,
    units: u32,
}

/// What a call holds: its place among the calls, and its part of the budget. Clones share it; the last one that is
/// dropped gives it back.
#[derive(Clone, Debug, Default)]
pub struct Held(Arc<Mutex<Permits>>);

#[derive(Debug, Default)]
struct Permits {
    place: Option<OwnedSemaphorePermit>,
    room: Each<Option<OwnedSemaphorePermit>>,
}

impl Room {
    /// A budget of so many bytes. Of its sixteenths, small requests have four and large ones eight; one is for small
    /// messages that are arriving, and three for large ones.
    pub fn new(bytes_max: usize, wait: Duration) -> Self {
        let sixteenth = bytes_max / 16;
        let pool = |count: usize| Pool::new(sixteenth.saturating_mul(count));
        let pools = Each { arriving_small: pool(1), arriving_large: pool(3), small: pool(4), large: pool(8) };
        Self { pools, wait }
    }

    /// Makes `held` be for a complete message that takes so many bytes, without waiting. What it has beyond that, also
    /// of the message as it arrived, is given back.
    pub fn try_hold(&self, held: &Held, bytes: usize) -> bool {
        self.try_take(held, Kind::complete(bytes), bytes)
    }

    /// The same, but waits for room where it may.
    ///
    /// # Errors
    /// OVERLOADED where there is no room, or none in time.
    pub async fn hold(&self, held: &Held, bytes: usize) -> Result<(), Problem> {
        let kind = Kind::complete(bytes);
        // A message that turns out to be small may stay among the large ones: to wait here could be for ever.
        let is_in_large = held.with(|permits| permits.room.large.is_some());
        if kind == Kind::Small && is_in_large && !self.try_take(held, kind, bytes) {
            self.try_take(held, Kind::Large, bytes);
            return Ok(());
        }
        self.take(held, kind, bytes).await
    }

    /// Makes `held` be for the `arrived` bytes of a message that has at most `bytes_max`. It grows in steps, each twice
    /// what has arrived. The first KiB is free, because the places of calls bound it.
    ///
    /// # Errors
    /// As [`Self::hold`].
    pub async fn arrive(&self, held: &Held, arrived: usize, bytes_max: usize) -> Result<(), Problem> {
        if arrived <= UNIT_BYTES {
            return Ok(());
        }
        let is_covered = held.with(|permits| {
            [Kind::ArrivingSmall, Kind::ArrivingLarge].into_iter().any(|kind| {
                let has = permits.room.get(kind).as_ref().map_or(0, units_in);
                has > 0 && has >= self.pools.get(kind).units_of(arrived)
            })
        });
        if is_covered {
            return Ok(());
        }
        let step = arrived.saturating_mul(2);
        let step = if step > SMALL_BYTES_MAX { step.max(LARGE_STEP_BYTES) } else { step };
        let bytes = step.min(bytes_max).max(arrived);
        self.take(held, Kind::arriving(bytes), bytes).await
    }

    fn try_take(&self, held: &Held, kind: Kind, bytes: usize) -> bool {
        let pool = self.pools.get(kind);
        held.with(|permits| {
            let kept = permits.room.get_mut(kind);
            let units = pool.units_of(bytes);
            let missing = units.saturating_sub(kept.as_ref().map_or(0, units_in));
            if missing > 0 {
                let Some(more) = pool.try_take(missing) else { return false };
                put(kept, more);
            } else if let Some(kept) = kept {
                drop(kept.split(kept.num_permits().saturating_sub(to_usize(units))));
            }
            permits.keep_only(kind);
            true
        })
    }

    async fn take(&self, held: &Held, kind: Kind, bytes: usize) -> Result<(), Problem> {
        if self.try_take(held, kind, bytes) {
            return Ok(());
        }
        if held.with(|permits| kind.and_later().iter().any(|kind| permits.room.get(*kind).is_some())) {
            return Err(Problem::overloaded());
        }
        let pool = self.pools.get(kind);
        let taking = Arc::clone(&pool.permits).acquire_many_owned(pool.units_of(bytes));
        let Ok(Ok(taken)) = tokio::time::timeout(self.wait, taking).await else {
            return Err(Problem::overloaded());
        };
        held.with(|permits| {
            *permits.room.get_mut(kind) = Some(taken);
            permits.keep_only(kind);
        });
        Ok(())
    }
}

impl Kind {
    fn complete(bytes: usize) -> Self {
        if bytes <= SMALL_BYTES_MAX { Self::Small } else { Self::Large }
    }

    fn arriving(bytes: usize) -> Self {
        if bytes <= SMALL_BYTES_MAX { Self::ArrivingSmall } else { Self::ArrivingLarge }
    }

    /// This pool and those that come after it.
    fn and_later(self) -> &'static [Self] {
        match self {
            Self::ArrivingSmall => &[Self::ArrivingSmall, Self::ArrivingLarge, Self::Small, Self::Large],
            Self::ArrivingLarge => &[Self::ArrivingLarge, Self::Small, Self::Large],
            Self::Small => &[Self::Small, Self::Large],
            Self::Large => &[Self::Large],
        }
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
    /// Holds this place, instead of the one before.
    pub fn take_place(&self, place: OwnedSemaphorePermit) {
        self.with(|permits| permits.place = Some(place));
    }

    fn with<T>(&self, change: impl FnOnce(&mut Permits) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Permits {
    /// Gives back what `kind` replaces. The message before, in a stream, keeps its room while the next one arrives.
    fn keep_only(&mut self, kind: Kind) {
        let Each { arriving_small, arriving_large, small, large } = &mut self.room;
        match kind {
            Kind::ArrivingSmall => *arriving_large = None,
            Kind::ArrivingLarge => *arriving_small = None,
            Kind::Small => (*arriving_small, *arriving_large, *large) = (None, None, None),
            Kind::Large => (*arriving_small, *arriving_large, *small) = (None, None, None),
        }
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

    fn units_free(room: &Room, kinds: [Kind; 2]) -> (usize, usize) {
        let [small, large] = kinds.map(|kind| room.pools.get(kind).permits.available_permits());
        (small, large)
    }

    fn free(room: &Room) -> (usize, usize) {
        units_free(room, [Kind::Small, Kind::Large])
    }

    fn free_to_arrive(room: &Room) -> (usize, usize) {
        units_free(room, [Kind::ArrivingSmall, Kind::ArrivingLarge])
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
        assert_eq!(free(&room), (256, 447));
    }

    #[tokio::test]
    async fn a_request_waits_for_a_pool_of_which_it_holds_nothing() {
        let room = Room::new(1_024 * KIB, Duration::from_mins(1));
        let (first, second, third) = (Held::default(), Held::default(), Held::default());
        room.hold(&first, 444 * KIB).await.unwrap();
        room.hold(&second, 68 * KIB).await.unwrap();
        // Both want more: one is refused at once, and so the other can go on.
        let begun = std::time::Instant::now();
        room.hold(&second, 70 * KIB).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(30), "it waited");
        drop(second);
        room.hold(&first, 512 * KIB).await.unwrap();
        // From the smaller pool to the larger one is a wait.
        room.hold(&third, KIB).await.unwrap();
        let waits = room.clone();
        let waiting = tokio::spawn(async move { waits.hold(&third, 100 * KIB).await.map(|()| third) });
        tokio::task::yield_now().await;
        drop(first);
        let third = waiting.await.unwrap().unwrap();
        assert_eq!(free(&room), (256, 412));
        // Less than is held is given back, and all with the last clone.
        assert!(room.try_hold(&third, 80 * KIB));
        assert_eq!(free(&room), (256, 432));
        let clone = third.clone();
        drop(third);
        assert_eq!(free(&room), (256, 432));
        drop(clone);
        assert_eq!(free(&room), (256, 512));
    }

    #[tokio::test]
    async fn from_the_larger_pool_to_the_smaller_one_nobody_waits() {
        let room = Room::new(1_024 * KIB, Duration::from_mins(1));
        let (held, small) = (Held::default(), [const { 64 * KIB }; 4].map(|bytes| (Held::default(), bytes)));
        room.hold(&held, 500 * KIB).await.unwrap();
        for (held, bytes) in &small {
            room.hold(held, *bytes).await.unwrap();
        }
        let begun = std::time::Instant::now();
        room.hold(&held, 10 * KIB).await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30), "it waited");
        assert_eq!(free(&room), (0, 502));
    }

    #[tokio::test]
    async fn what_arrives_is_counted_as_it_arrives_and_keeps_no_complete_message_out() {
        let room = Room::new(16 << 20, WAIT);
        let whole = 3 << 20;
        let held = Held::default();
        for (arrived, free) in [
            (5, (1_024, 3_072)),
            (1_024, (1_024, 3_072)),
            (1_100, (1_021, 3_072)),
            (20_000, (984, 3_072)),
            // From here on in the larger pool.
            (41_000, (1_024, 2_048)),
            (1 << 20, (1_024, 2_048)),
            ((1 << 20) + 1, (1_024, 1_023)),
            (3 << 20, (1_024, 0)),
        ] {
            room.arrive(&held, arrived, whole).await.unwrap();
            assert_eq!(free_to_arrive(&room), free, "{arrived}");
        }
        // Others that arrive wait, and those that are complete do not.
        let next = Held::default();
        room.arrive(&next, 1 << 20, whole).await.unwrap_err();
        room.arrive(&next, 64 << 10, 64 << 10).await.unwrap();
        assert!(room.try_hold(&Held::default(), 8 << 20));
        // Once it is complete, the next may arrive, and it keeps its room meanwhile.
        room.hold(&held, 1 << 20).await.unwrap();
        assert_eq!(free_to_arrive(&room), (960, 3_072));
        room.arrive(&held, 2_000, 2_000).await.unwrap();
        assert_eq!((free_to_arrive(&room), free(&room)), ((958, 3_072), (4_096, 7_168)));
    }
}
