//! What a database knows of the time: the statements, which all engines with SQL share.

use async_trait::async_trait;

use super::database::{Dialect, Sql};
use super::row::Row;
use super::side::{SideConnections, SideStore, Transaction};
use crate::clock::plausible::Known;
use crate::ledger::Timestamp;
use crate::store::clock::ClockStore;
use crate::store::error::StoreError;

/// What is known, and what the clock shows: the engine's, or `wall` where it has none.
///
/// # Errors
/// [`StoreError`] where it cannot be read.
pub async fn known<S: Sql>(sql: &mut S, wall: Timestamp) -> Result<(Known, Timestamp), StoreError> {
    let read = |row: &dyn Row| {
        let time = |column| Ok::<_, StoreError>(row.get::<Option<i64>>(column)?.map(Timestamp::from_micros));
        let known = Known {
            heartbeat: time(0)?,
            is_doubted: row.get(1)?,
            confirmed: time(2)?,
            confirmed_over: time(3)?,
            last_stamp: time(4)?,
        };
        Ok((known, time(5)?.unwrap_or(wall)))
    };
    sql.one(S::Dialect::CLOCK, &[], read).await
}

/// Keeps that an operator has confirmed what the clock shows, and returns that.
///
/// # Errors
/// [`StoreError`]; nothing is kept.
pub async fn confirm(sql: &mut impl Sql, wall: Timestamp) -> Result<Timestamp, StoreError> {
    let (Known { last_stamp, .. }, shown) = known(sql, wall).await?;
    let text = "UPDATE server_clock
                SET heartbeat_at = $1, doubted = FALSE, confirmed_at = $1, confirmed_over = $2";
    let last_stamp = last_stamp.map(Timestamp::micros);
    sql.run(text, &[shown.into(), last_stamp.into()]).await.map(|_| shown)
}

#[async_trait]
impl<C: SideConnections> ClockStore for SideStore<C> {
    async fn known(&self, wall: Timestamp) -> Result<(Known, Timestamp), StoreError> {
        let tx = self.open_to_read(wall).await?;
        let found = tx.run(move |sql| Box::pin(known(sql, wall))).await?;
        tx.transaction.commit().await?;
        Ok(found)
    }

    async fn beat(&self, at: Timestamp) -> Result<(), StoreError> {
        let tx = self.open(at).await?;
        let text = "UPDATE server_clock SET heartbeat_at = $1, doubted = FALSE";
        tx.run(move |sql| Box::pin(async move { sql.run(text, &[at.into()]).await.map(drop) })).await?;
        tx.transaction.commit().await
    }

    async fn doubt(&self) -> Result<(), StoreError> {
        let tx = self.open(Timestamp::default()).await?;
        let text = "UPDATE server_clock SET doubted = TRUE";
        tx.run(move |sql| Box::pin(async move { sql.run(text, &[]).await.map(drop) })).await?;
        tx.transaction.commit().await
    }
}
