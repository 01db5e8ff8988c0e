//! Gives commits their positions in the feeds of their ledgers, one server at a time.
//!
//! # What it is
//! Positions are given after the commit. A turn looks at what is pending. In one transaction it inserts
//! the rows of the feed, moves the watermark, and advances the one row of `sequencer` by a turn.
//!
//! # Invariants
//! - A reader that has seen a position never misses one below it. A number taken before the commit cannot promise
//!   that, because the commit may come late.
//! - Moving to the next turn is a compare-and-set; if it fails, nothing of the turn is stored. That alone makes it
//!   safe; the lease only keeps servers from doing the same work.
//! - Reads as of a time at or before the watermark never change. A posting that is placed with an earlier stamp
//!   counts from just after the watermark.
//!
//! # Failure
//! After a turn that was lost to another server, the sequencer looks again. A server that dies in its turn stores
//! nothing of it. Another server takes over when the lease ends.
//!
//! # Cost
//! A turn costs about as much as a small commit and places everything that is pending, up to a bound. A look is one
//! statement.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use sqlx::{Connection as _, PgConnection, Row as _};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::append::{add_to_accounts, set_ends};
use super::connect::{Address, Connected};
use super::errors::{failed, leaves_connection_sound, not_answered, timed_out};
use super::steps::{begin_statement, within};
use crate::clock::watch::Watch;
use crate::ledger::Timestamp;
use crate::store::engine::{Isolation, Settings, Time};
use crate::store::error::{StoreError, damaged};
use crate::store::gauges::{SequencerGauge, SequencerGauges};
use crate::store::sql::row::sql_count;

/// The most commits that one turn places.
const BATCHES_MAX: i64 = 1_000;
/// How far the watermark stays behind the database's clock: longer than nearly every commit takes.
const WATERMARK_LAG_MICROS: i64 = 2_000_000;
/// The least that the watermark moves at a time, because each move is a write.
const WATERMARK_STEP_MICROS: i64 = 100_000;
/// The lease: how long other servers leave the turns to the server that took the last one.
const LEASE_MICROS: i64 = 3_000_000;
/// How long one turn may take before its connection is given up.
const TURN_TIMEOUT: Duration = Duration::from_secs(15);
/// How many turns one call tries for. A turn that is lost was taken by another server, so the work gets done.
const TRIES_MAX: u32 = 200;
/// How many lost connections one call survives.
const LOST_MAX: u32 = 3;

/// The sequencer of one server.
#[derive(Debug)]
pub(super) struct Sequencer {
    address: Arc<Address>,
    isolation: Isolation,
    time: Time,
    /// Judges the database's clock.
    watch: Arc<Watch>,
    /// The id of this server in the lease.
    me: Uuid,
    connection: Mutex<Option<Connected>>,
    gauges: Arc<SequencerGauges>,
}

/// What a look at the database found.
#[derive(Debug)]
pub(super) struct Look {
    /// The number of the last turn; it changes with every one.
    pub turn: i64,
    /// True where no other server holds the lease.
    pub is_ours: bool,
    watermark: i64,
    clock: i64,
    pending: Vec<Pending>,
}

impl Look {
    fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    fn gauge(&self) -> SequencerGauge {
        let oldest = self.pending.first().map_or(self.clock, |first| first.stamp);
        let lag = u64::try_from(self.clock.saturating_sub(oldest)).unwrap_or_default();
        let pending = self.pending.len().try_into().unwrap_or(u64::MAX);
        SequencerGauge { pending, lag: Duration::from_micros(lag) }
    }
}

/// A commit's postings in one ledger, without a position.
#[derive(Debug)]
struct Pending {
    stamp: i64,
    batch: Uuid,
    ledger: i32,
    count: i64,
    accounts: Vec<String>,
    amounts: Vec<i64>,
    /// The last position of its ledger.
    end: i64,
}

/// The result of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// Everything that was seen has its position.
    Done,
    /// There was more than one turn places.
    More,
    /// Another server took the turn.
    Lost,
}

impl Sequencer {
    pub fn new(address: Arc<Address>, settings: Settings, watch: Arc<Watch>, me: Uuid) -> Self {
        let Settings { isolation, time, lanes: _, clock_gap_max: _ } = settings;
        let (connection, gauges) = (Mutex::new(None), Arc::default());
        Self { address, isolation, time, watch, me, connection, gauges }
    }

    /// What it saw last.
    pub fn gauges(&self) -> Arc<SequencerGauges> {
        Arc::clone(&self.gauges)
    }

    /// Places everything that is committed by now, whoever has the lease. A reader that was notified of a commit must
    /// find it in the feed.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        self.until_done(Look::has_pending).await
    }

    /// Moves the watermark to `wanted`, or as far as it may go, and returns it.
    pub async fn watermark(&self, wanted: Timestamp) -> Result<Timestamp, StoreError> {
        // Moving it is a write, so small steps are left out.
        let far = WATERMARK_LAG_MICROS + WATERMARK_STEP_MICROS;
        let may_go = |look: &Look| look.watermark < look.clock.saturating_sub(far);
        self.until_done(|look| look.watermark < wanted.micros() && may_go(look)).await?;
        let mut connection = self.connection.lock().await;
        let look = self.on(&mut connection, async |connection| self.look(connection).await).await?;
        Ok(Timestamp::from_micros(look.watermark))
    }

    /// True where there is no connection and none can be made to a host that takes writes. One lost connection does not
    /// mean that the database is away.
    pub async fn is_cut_off(&self) -> bool {
        let mut connection = self.connection.lock().await;
        if connection.is_none() {
            *connection = self.address.connect_to_write().await.ok();
        }
        connection.is_none()
    }

    /// Looks, and takes a turn where something is pending and this server may take the lease.
    pub async fn tend(&self) -> Result<Look, StoreError> {
        let mut connection = self.connection.lock().await;
        let tended = self.on(&mut connection, async |connection| {
            let seen = self.look(connection).await?;
            if seen.is_ours && seen.has_pending() {
                self.turn(connection, &seen).await?;
                return self.look(connection).await;
            }
            Ok(seen)
        });
        let tended = tended.await;
        self.gauges.saw(tended.as_ref().ok().map(Look::gauge));
        tended
    }

    /// Takes turns until nothing that was there at the beginning is left to do.
    async fn until_done(&self, is_needed: impl Fn(&Look) -> bool + Sync) -> Result<(), StoreError> {
        let mut connection = self.connection.lock().await;
        let mut lost = 0;
        for _ in 0..TRIES_MAX {
            let turn = self
                .on(&mut connection, async |connection| {
                    let seen = self.look(connection).await?;
                    if is_needed(&seen) { self.turn(connection, &seen).await } else { Ok(Turn::Done) }
                })
                .await;
            match turn {
                Ok(Turn::Done) => return Ok(()),
                // A clash means that another server placed the same commit.
                Ok(Turn::More | Turn::Lost) | Err(StoreError::Clash(_)) => {}
                Err(StoreError::Again(_) | StoreError::Locked(_)) if connection.is_some() => {}
                // One lost connection is no error for a reader if the next one works.
                Err(StoreError::Again(_) | StoreError::Unsure(_)) if lost < LOST_MAX => {
                    lost += 1;
                    *connection = Some(self.address.connect_to_write().await?);
                }
                Err(error) => return Err(error),
            }
        }
        Err(StoreError::Again("other servers keep the sequencer busy".into()))
    }

    /// Runs `work` on the connection. The connection is made where there is none, or where the servers use another host
    /// by now. It is dropped after an error that leaves it in doubt.
    async fn on<T>(
        &self,
        connection: &mut Option<Connected>,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = match connection.take().filter(|open| open.host == self.address.host()) {
            Some(open) => open,
            None => self.address.connect_to_write().await?,
        };
        match tokio::time::timeout(TURN_TIMEOUT, work(&mut open.connection)).await {
            Ok(Ok(done)) => {
                *connection = Some(open);
                Ok(done)
            }
            Ok(Err(error)) => {
                // After a conflict the connection is usable, and its transaction is over.
                if leaves_connection_sound(&error)
                    && within("asking for a sign of life", open.connection.ping(), failed).await.is_ok()
                {
                    *connection = Some(open);
                }
                Err(error)
            }
            Err(_) => Err(timed_out("a turn of the sequencer")),
        }
    }

    /// One turn: all or nothing, and only where nobody took one since the look.
    async fn turn(&self, connection: &mut PgConnection, seen: &Look) -> Result<Turn, StoreError> {
        let more = sql_count(seen.pending.len()) >= BATCHES_MAX;
        // Where more is pending than this turn places, the watermark must not pass what is left.
        let lag = seen.clock.saturating_sub(WATERMARK_LAG_MICROS);
        let last = seen.pending.last().map_or(i64::MAX, |last| last.stamp);
        let watermark = if more { lag.min(last.saturating_sub(1)) } else { lag }.max(seen.watermark);
        sqlx::raw_sql(begin_statement(self.isolation)).execute(&mut *connection).await?;
        match self.move_on(connection, seen, watermark).await {
            Ok(true) => {
                // A commit that fails ends the transaction, too.
                sqlx::raw_sql("COMMIT").execute(&mut *connection).await.map_err(not_answered)?;
                Ok(if more { Turn::More } else { Turn::Done })
            }
            given_up => {
                let over = sqlx::raw_sql("ROLLBACK").execute(&mut *connection).await;
                // If the transaction may still be open, the connection cannot be used again.
                over.map_err(|error| StoreError::Unsure(Box::new(error)))?;
                given_up.map(|_| Turn::Lost)
            }
        }
    }

    /// Writes the turn; false where another server took it.
    async fn move_on(
        &self,
        connection: &mut PgConnection,
        seen: &Look,
        watermark: i64,
    ) -> Result<bool, StoreError> {
        let moved = sqlx::query(
            "UPDATE sequencer
             SET turn = turn + 1, watermark = $2, holder = $3, held_until = $4
             WHERE only_row
               AND turn = $1",
        )
        .bind(seen.turn)
        .bind(watermark)
        .bind(self.me)
        .bind(seen.clock.saturating_add(LEASE_MICROS))
        .execute(&mut *connection)
        .await?;
        if moved.rows_affected() != 1 {
            return Ok(false);
        }
        if !seen.pending.is_empty() {
            self.place(connection, seen).await?;
        }
        Ok(true)
    }

    /// Moves what is pending to the end of its ledgers' feeds.
    async fn place(&self, connection: &mut PgConnection, seen: &Look) -> Result<(), StoreError> {
        let mut ends: BTreeMap<i32, i64> = BTreeMap::new();
        let mut nets: BTreeMap<(i32, String), i128> = BTreeMap::new();
        let mut firsts = Vec::with_capacity(seen.pending.len());
        for pending in &seen.pending {
            let end = ends.entry(pending.ledger).or_insert(pending.end);
            firsts.push(end.saturating_add(1));
            *end = end.saturating_add(pending.count);
            for (account, amount) in pending.accounts.iter().zip(&pending.amounts) {
                *nets.entry((pending.ledger, account.clone())).or_default() += i128::from(*amount);
            }
        }
        let late = seen.watermark.saturating_add(1);
        let placed = sqlx::query(
            "WITH placed AS (
                 DELETE FROM pending p
                 USING UNNEST($1::bigint[], $2::uuid[], $3::int[], $4::bigint[]) u(stamp, batch, ledger_no, first_position)
                 WHERE p.stamp = u.stamp AND p.batch = u.batch AND p.ledger_no = u.ledger_no
                 RETURNING p.ledger_no, u.first_position, p.batch, p.stamp, p.customers, p.sequences
             )
             INSERT INTO feed (ledger_no, first_position, batch, counts_from, customers, sequences)
             SELECT ledger_no, first_position, batch, GREATEST(stamp, $5), customers, sequences
             FROM placed",
        )
        .bind(seen.pending.iter().map(|pending| pending.stamp).collect::<Vec<_>>())
        .bind(seen.pending.iter().map(|pending| pending.batch).collect::<Vec<_>>())
        .bind(seen.pending.iter().map(|pending| pending.ledger).collect::<Vec<_>>())
        .bind(firsts)
        .bind(late)
        .execute(&mut *connection)
        .await?;
        if placed.rows_affected() != u64::try_from(seen.pending.len()).unwrap_or(u64::MAX) {
            return Err(damaged("what waited for its place is gone, though nobody took a turn"));
        }
        set_ends(connection, &ends).await?;
        add_to_accounts(connection, &nets).await
    }

    /// One statement, so it reads one snapshot.
    async fn look(&self, connection: &mut PgConnection) -> Result<Look, StoreError> {
        let rows = sqlx::query(
            "SELECT s.turn, s.watermark, s.holder, s.held_until,
                    CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT),
                    p.stamp, p.batch, p.ledger_no, CAST(cardinality(p.customers) AS BIGINT), p.accounts, p.amounts,
                    COALESCE(e.position, 0)
             FROM sequencer s
             LEFT JOIN (
                 SELECT *
                 FROM pending
                 ORDER BY stamp, batch, ledger_no
                 LIMIT $1
             ) p ON TRUE
             LEFT JOIN feed_end e ON e.ledger_no = p.ledger_no
             ORDER BY p.stamp, p.batch, p.ledger_no",
        )
        .bind(BATCHES_MAX)
        .fetch_all(connection)
        .await?;
        self.read_look(&rows).map_err(failed)
    }

    fn read_look(&self, rows: &[PgRow]) -> Result<Look, sqlx::Error> {
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let mut pending = Vec::new();
        for row in rows {
            let Some(stamp) = row.try_get::<Option<i64>, _>(5)? else { continue };
            pending.push(Pending {
                stamp,
                batch: row.try_get(6)?,
                ledger: row.try_get(7)?,
                count: row.try_get(8)?,
                accounts: row.try_get(9)?,
                amounts: row.try_get(10)?,
                end: row.try_get(11)?,
            });
        }
        let (database_clock, held_until): (i64, i64) = (first.try_get(4)?, first.try_get(3)?);
        let watermark: i64 = first.try_get(1)?;
        let judged = self.watch.read(Timestamp::from_micros(database_clock)).now.micros();
        let clock = match self.time {
            Time::Database => judged,
            // A test's time advances with what it has stored.
            Time::Caller => {
                let last = pending
                    .last()
                    .map_or(watermark, |last| last.stamp.saturating_add(WATERMARK_LAG_MICROS - 1));
                last.max(watermark)
            }
        };
        let holder: Uuid = first.try_get(2)?;
        Ok(Look {
            turn: first.try_get(0)?,
            // A lease far in the future comes from a wrong clock and does not count.
            is_ours: holder == self.me
                || !(judged..=judged.saturating_add(LEASE_MICROS)).contains(&held_until),
            watermark,
            clock,
            pending,
        })
    }
}
