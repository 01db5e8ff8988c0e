//! From a URL to connections, each with the settings that this program relies on.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection, Row as _};

use super::errors::{failed, lost};
use super::url::{self, ReadUrl};
use crate::store::copy::unfinished;
use crate::store::error::StoreError;
use crate::store::sql::copy::is_unfinished;

/// The oldest PostgreSQL that this program is tested with.
const VERSION_MIN: i32 = 130_000;
/// The application name of servers among the sessions of a database.
pub(super) const SERVER: &str = "creditledger";
/// How long making a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a pooler is probed.
const PROBES: u32 = 16;

/// Session settings of every connection; a setting that the server does not know is skipped.
/// - Time-outs: an orphaned transaction must not block its customers for longer than other servers retry a batch. A row
///   that stays locked stalls its customer, not the lane. A batch computes only for milliseconds between its statements. Keep-alives find out that a server is gone.
/// - Plans: each statement is planned once. A plan made while a table was small must not scan it when it is large, so
///   the plan types that scan are off.
/// - Commits: `synchronous_commit` is pinned, so that a later change of the server's configuration does not reach it;
///   `off` becomes `on`.
/// - Messages: warnings are off, because a rollback without a transaction is normal here.
const SESSION: &str = "
    SELECT set_config(s.name, w.value, FALSE)
    FROM (VALUES
        ('client_min_messages', 'error'),
        ('lock_timeout', '250ms'),
        ('statement_timeout', '30s'),
        ('idle_in_transaction_session_timeout', '3s'),
        ('tcp_keepalives_idle', '5'),
        ('tcp_keepalives_interval', '2'),
        ('tcp_keepalives_count', '3'),
        ('jit', 'off'),
        ('plan_cache_mode', 'force_generic_plan'),
        ('enable_seqscan', 'off'),
        ('enable_hashjoin', 'off'),
        ('enable_mergejoin', 'off'),
        ('synchronous_commit',
         CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END)
    ) w(name, value)
    JOIN pg_settings s ON s.name = w.name";

/// The address of a database, and its URL for messages.
#[derive(Clone)]
pub struct Address {
    options: PgConnectOptions,
    shown: String,
    /// Parameters of the URL that are not known.
    ignored: usize,
    is_for_copies: bool,
}

// The driver's options show the password.
impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Address").field(&self.shown).finish()
    }
}

impl Address {
    /// Parses `postgres://` and `postgresql://` URLs; `None` for others.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for a URL that cannot be parsed.
    pub fn of(url: &str) -> Option<Result<Self, StoreError>> {
        if !(url.starts_with("postgres://") || url.starts_with("postgresql://")) {
            return None;
        }
        let ReadUrl { used, shown, ignored } = match url::read(url) {
            Ok(read) => read,
            Err(error) => return Some(Err(cannot_be_read(&error.to_string()))),
        };
        // The driver's text repeats the value.
        let Ok(options) = PgConnectOptions::from_str(used.reveal()) else {
            return Some(Err(cannot_be_read("a parameter has a value that cannot be used")));
        };
        // The caller logs failures; a log line for every statement would hide them.
        let options = options.application_name(SERVER).disable_statement_logging();
        Some(Ok(Self { options, shown, ignored, is_for_copies: false }))
    }

    /// Says that there are parameters without effect, but not which: one may be a password with a mistyped key.
    pub fn tell_ignored(&self) {
        if self.ignored > 0 {
            tracing::warn!(
                count = self.ignored,
                "parameters of the database URL are not known, and are ignored"
            );
        }
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// The same address with another application name, so that a copy is not taken for a server.
    #[must_use]
    pub(super) fn for_copies(self) -> Self {
        Self { options: self.options.application_name("creditledger copy"), is_for_copies: true, ..self }
    }

    pub fn place(&self) -> String {
        let options = &self.options;
        let socket = options.get_socket().map(|socket| socket.display().to_string());
        let host = socket.unwrap_or_else(|| options.get_host().to_owned());
        let database = options.get_database().unwrap_or_else(|| options.get_username());
        format!("postgres://{host}:{}/{database}", options.get_port())
    }

    pub(super) fn options(&self) -> PgConnectOptions {
        self.options.clone()
    }

    /// A new connection with the session settings.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let connect = async {
            let mut connection = self.options.connect().await?;
            prepare(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected.map_err(failed),
            Err(elapsed) => Err(lost(elapsed)),
        }
    }

    /// A connection to the primary. After a fail-over a name may lead to a replica for a while, and replicas are
    /// refused. So is a database with an unfinished copy: one may have begun while this server had no connection.
    ///
    /// # Errors
    /// [`StoreError`]; `Unusable` where a copy has begun.
    pub(super) async fn connect_to_write(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.connect().await?;
        let check = async {
            refuse_read_only(&mut connection).await?;
            if self.is_for_copies { Ok(()) } else { self.refuse_unfinished_copy(&mut connection).await }
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, check).await {
            Ok(done) => done.map(|()| connection),
            Err(elapsed) => Err(lost(elapsed)),
        }
    }

    /// An unfinished copy can only be completed.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] for an unfinished copy.
    pub(super) async fn refuse_unfinished_copy(
        &self,
        connection: &mut PgConnection,
    ) -> Result<(), StoreError> {
        if is_unfinished(connection).await? { Err(unfinished(self.shown())) } else { Ok(()) }
    }

    /// The first connection: everything that is wrong must be reported in one line.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub(super) async fn connect_first(&self) -> Result<PgConnection, StoreError> {
        let shown = self.shown();
        let unusable = |what: String| StoreError::Unusable(format!("{shown}: {what}"));
        let mut connection = match tokio::time::timeout(CONNECT_TIMEOUT, self.options.connect()).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return Err(unusable(why(&error))),
            Err(_) => return Err(unusable(format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()))),
        };
        // One message each, until it is known that no pooler spreads them over several connections.
        let facts = "SELECT current_setting('server_version_num'), current_setting('synchronous_commit')";
        let facts = async {
            let row = sqlx::raw_sql(facts).fetch_one(&mut connection).await?;
            Ok((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?))
        };
        let facts: (String, String) = facts.await.map_err(|error: sqlx::Error| unusable(why(&error)))?;
        // A version that is not a number was never tested.
        let version: i32 = facts.0.parse().unwrap_or(0);
        if let Some(complaint) = too_old(version) {
            return Err(unusable(complaint));
        }
        if facts.1 == "off" {
            return Err(unusable(
                "synchronous_commit is off, so a commit that was acknowledged could be lost; set it to on"
                    .to_owned(),
            ));
        }
        self.refuse_a_pooler(&mut connection).await?;
        prepare(&mut connection).await.map_err(|error| unusable(why(&error)))?;
        Ok(connection)
    }

    /// Refuses a pooler that gives each transaction another connection: session settings and prepared statements
    /// would reach other clients. The probe sets a setting on one connection while a transaction is open on a second
    /// one. With such a pooler, the second connection sees the setting, or the first has lost it.
    async fn refuse_a_pooler(&self, first: &mut PgConnection) -> Result<(), StoreError> {
        let unusable = |what: String| StoreError::Unusable(format!("{}: {what}", self.shown()));
        let shows = "SELECT COALESCE(current_setting('creditledger.probe', TRUE), '')";
        let probe = async {
            let mut second = self.options.connect().await?;
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
            Ok(Ok(false)) => Err(unusable(
                "a pooler in transaction mode is in between; connect to PostgreSQL itself, or pool by session"
                    .to_owned(),
            )),
            Ok(Err(error)) => Err(unusable(why(&error))),
            // A pooler with one connection, or a server that stopped at this moment.
            Err(_) => Err(unusable(format!(
                "two connections at a time get no answer within {} s; a pooler in between must pool by session \
                 and have room for all connections of a server",
                CONNECT_TIMEOUT.as_secs()
            ))),
        }
    }
}

/// Applies the session settings to a new connection.
pub(super) async fn prepare(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::raw_sql(SESSION).execute(connection).await.map(drop)
}

/// Refuses a replica: its data may be old.
pub(super) async fn refuse_read_only(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let read_only: bool = sqlx::query_scalar(
        "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'",
    )
    .persistent(false)
    .fetch_one(connection)
    .await?;
    if read_only { Err(sqlx::Error::Configuration("the database is read-only".into())) } else { Ok(()) }
}

/// The part of an error that an operator can act on, in one line.
pub(super) fn why(error: &sqlx::Error) -> String {
    let text = match error {
        sqlx::Error::Database(cause) => cause.message().to_owned(),
        sqlx::Error::Io(cause) => format!("cannot be reached: {cause}"),
        other => other.to_string(),
    };
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The refusal for a server of this version (`server_version_num`), if it is too old.
fn too_old(version: i32) -> Option<String> {
    let (has, needed) = (version / 10_000, VERSION_MIN / 10_000);
    (version < VERSION_MIN).then(|| format!("PostgreSQL {has} is too old; {needed} or later is needed"))
}

/// A URL that cannot be parsed is not repeated: the part that is wrong may be the password.
fn cannot_be_read(error: &str) -> StoreError {
    StoreError::Unusable(format!("the database URL cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{Address, too_old};

    #[test]
    fn only_tested_versions_are_used() {
        assert_eq!(too_old(120_022).unwrap(), "PostgreSQL 12 is too old; 13 or later is needed");
        // A version that is not a number.
        assert!(too_old(0).is_some());
        assert_eq!([too_old(130_000), too_old(150_019), too_old(180_001)], [None, None, None]);
    }

    #[test]
    fn a_url_that_cannot_be_read_is_not_repeated() {
        // A password with a slash, which a URL would need as %2F; and one in a wrong place.
        for url in
            ["postgres://ada:s3/cret@h/db", "postgres://h/db?sslmode=s3cret", "postgres://h/db?port=s3cret"]
        {
            let refused = Address::of(url).map(|address| address.map(drop));
            let Some(Err(error)) = refused else { panic!("it was read: {refused:?}") };
            assert!(!error.to_string().contains("cret"), "{error}");
        }
    }
}
