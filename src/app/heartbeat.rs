//! Stores the server's heartbeat, and tells people when its clock is not to be believed, and when it is again.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock;
use crate::clock::watch::Standing;
use crate::ledger::Timestamp;
use crate::store::{EngineClock, StoreError, Time};

/// How often a plausible time is stored, and the log reminds of an implausible one.
const BEAT: Duration = Duration::from_mins(1);
/// How often the clock is looked at where nobody asks for the time, and whether an operator has confirmed it.
const LOOK: Duration = Duration::from_secs(5);
/// How long a look may take. Its transaction is given up then.
const PATIENCE: Duration = Duration::from_secs(10);

/// Beats until it is dropped.
pub(super) async fn heartbeat(clock: EngineClock) {
    let mut changes = clock.watch.changes();
    let mut told = Standing::default();
    let mut next_beat = Instant::now();
    loop {
        let is_beat = next_beat <= Instant::now();
        // A database that has gone without a word must not keep this from looking again.
        let looked = tokio::time::timeout(PATIENCE, look(&clock, is_beat, &mut told)).await;
        match looked.unwrap_or_else(|_| Err(StoreError::Failed("the database does not answer".into()))) {
            Ok(()) if is_beat => next_beat = Instant::now() + BEAT,
            Ok(()) => {}
            Err(error) => tracing::warn!(%error, "what is known of the clock could not be read or stored"),
        }
        // A change of the standing is told at once. The sender is in `clock`, so waiting cannot fail.
        let _ = tokio::time::timeout(LOOK, changes.changed()).await;
    }
}

/// Reads the clock, heeds a confirmation, tells what has changed, and stores what is to be known of it.
async fn look(clock: &EngineClock, is_beat: bool, told: &mut Standing) -> Result<(), StoreError> {
    let (known, wall) = clock.rows.known(clock::wall()).await?;
    clock.watch.heed(known.confirmed);
    let judged = clock.watch.read(wall);
    let standing = clock.watch.standing();
    if standing.is_plausible != told.is_plausible || !standing.is_plausible && is_beat {
        tell(clock.source, standing, wall, judged.now);
    }
    *told = standing;
    if judged.is_plausible && (is_beat || known.is_doubted) {
        clock.rows.beat(judged.now).await?;
    } else if standing.is_step && !known.is_doubted {
        clock.rows.doubt().await?;
    }
    Ok(())
}

fn tell(source: Time, standing: Standing, wall: Timestamp, now: Timestamp) {
    let whose = match source {
        Time::Database => "the database's clock",
        Time::Caller => "the clock of this machine",
    };
    let (shows, goes_on_from) = (shown(wall), shown(now));
    if standing.is_plausible {
        tracing::info!(%shows, "{whose} is plausible again");
    } else {
        tracing::error!(
            %shows, %goes_on_from,
            "{whose} is implausible: nothing expires, and stamps go on by the time that elapses; set the clock, or run \
             \"creditledger clock confirm\" if it is right"
        );
    }
}

/// A time for people, in UTC.
pub(super) fn shown(time: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(time.micros())
        .map_or_else(|_| "no date".to_owned(), |time| time.to_string())
}
