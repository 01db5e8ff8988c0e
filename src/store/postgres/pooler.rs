//! Finds out whether a pooler in between gives each transaction another connection, and refuses it.

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};

use super::errors::why;
use super::steps::CONNECT_TIMEOUT;

/// How often a pooler is probed.
const PROBES: u32 = 16;

/// Refuses a pooler that gives each transaction another connection: session settings and prepared statements
/// would reach other clients. The probe sets a setting on one connection while a transaction is open on a second
/// one. With such a pooler, the second connection sees the setting, or the first has lost it.
///
/// # Errors
/// What is in between, in one line.
pub(super) async fn refuse(options: &PgConnectOptions, first: &mut PgConnection) -> Result<(), String> {
    let shows = "SELECT COALESCE(current_setting('creditledger.probe', TRUE), '')";
    let probe = async {
        let mut second = options.connect().await?;
        let sets = "SELECT set_config('creditledger.probe', CAST(gen_random_uuid() AS TEXT), FALSE)";
        let mark: String = sqlx::raw_sql(sets).fetch_one(&mut *first).await?.try_get(0)?;
        second.execute("BEGIN").await?;
        let seen: String = sqlx::raw_sql(shows).fetch_one(&mut second).await?.try_get(0)?;
        // A busy pooler may return the same connection to the first client, but not every time.
        let mut kept = true;
        for _ in 0..PROBES {
            let shown: String = sqlx::raw_sql(shows).fetch_one(&mut *first).await?.try_get(0)?;
            kept &= shown == mark;
        }
        second.execute("ROLLBACK").await?;
        second.close().await?;
        sqlx::raw_sql("RESET creditledger.probe").execute(&mut *first).await?;
        Ok::<_, sqlx::Error>(seen != mark && kept)
    };
    match tokio::time::timeout(CONNECT_TIMEOUT, probe).await {
        Ok(Ok(true)) => Ok(()),
        Ok(Ok(false)) => {
            Err("a pooler in transaction mode is in between; connect to PostgreSQL itself, or pool by \
                              session"
                .to_owned())
        }
        Ok(Err(error)) => Err(why(&error)),
        // A pooler with one connection, or a server that stopped at this moment.
        Err(_) => Err(format!(
            "two connections at a time get no answer within {} s; a pooler in between must pool by session \
             and have room for all connections of a server",
            CONNECT_TIMEOUT.as_secs()
        )),
    }
}
