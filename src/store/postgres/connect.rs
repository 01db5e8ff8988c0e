//! From a URL to connections, each with the settings that this program relies on.

use std::str::FromStr as _;
use std::sync::Arc;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgConnection, Row as _};

use super::errors::{failed, lost, why};
use super::hosts::{HostNo, Hosts};
use super::pooler;
use super::schema::Schema;
use super::steps::CONNECT_TIMEOUT;
use super::url::{self, ReadUrl};
use crate::store::copy::unfinished;
use crate::store::error::StoreError;
use crate::store::sql::copy::is_unfinished;

/// The oldest PostgreSQL that this program is tested with.
const VERSION_MIN: i32 = 130_000;
/// The application name of servers among the sessions of a database.
const SERVER: &str = "creditledger";
const COPY: &str = "creditledger copy";

/// Session settings of every connection; a setting that the server does not know is skipped.
/// - Time-outs: an orphaned transaction must not block its customers for longer than other servers retry a batch. A row
///   that stays locked stalls its customer, not the lane. A batch computes only for milliseconds between its statements. Keep-alives find out that a server is gone.
/// - Plans: each statement is planned once. A plan made while a table was small must not scan it when it is large, so
///   the plan types that scan are off. Citus finds the shard of a statement while it is planned, so it must plan again.
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
        ('plan_cache_mode',
         CASE WHEN EXISTS (SELECT 1 FROM pg_extension WHERE extname = 'citus') THEN 'auto' ELSE 'force_generic_plan' END),
        ('enable_seqscan', 'off'),
        ('enable_hashjoin', 'off'),
        ('enable_mergejoin', 'off'),
        ('synchronous_commit',
         CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END)
    ) w(name, value)
    JOIN pg_settings s ON s.name = w.name";

/// The address of a database: its hosts, and its URL for messages. Clones share which host is used.
#[derive(Clone)]
pub struct Address {
    hosts: Arc<Hosts>,
    schema: Option<Schema>,
    shown: String,
    /// Parameters of the URL that are not known.
    ignored: usize,
    is_for_copies: bool,
}

/// A connection, and the host that it leads to.
#[derive(Debug)]
pub(super) struct Connected {
    pub connection: PgConnection,
    pub host: HostNo,
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
        let ReadUrl { hosts, schema, shown, ignored } = match url::read(url) {
            Ok(read) => read,
            Err(error) => return Some(Err(cannot_be_read(&error))),
        };
        // The driver's text repeats the value.
        let options: Result<Vec<_>, _> =
            hosts.iter().map(|url| PgConnectOptions::from_str(url.reveal())).collect();
        let Ok(options) = options else {
            return Some(Err(cannot_be_read("a parameter has a value that cannot be used")));
        };
        // The caller logs failures; a log line for every statement would hide them. PgBouncer refuses the other setting,
        // which is about numbers that this program does not use.
        let options =
            options.into_iter().map(|host| host.disable_statement_logging().extra_float_digits(None));
        let Some(hosts) = Hosts::new(options.collect()) else {
            return Some(Err(cannot_be_read("it names no host")));
        };
        Some(Ok(Self { hosts: Arc::new(hosts), schema, shown, ignored, is_for_copies: false }))
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
        Self { is_for_copies: true, ..self }
    }

    pub fn place(&self) -> String {
        let hosts = self.hosts.all().map(|(_, options)| {
            let socket = options.get_socket().map(|socket| socket.display().to_string());
            let host = socket.unwrap_or_else(|| options.get_host().to_owned());
            format!("{host}:{}", options.get_port())
        });
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let first = self.hosts.options(self.hosts.current());
        let database = first.get_database().unwrap_or_else(|| first.get_username());
        let schema = self.schema.as_ref().map_or("", Schema::name);
        format!("postgres://{hosts}/{database}/{schema}")
    }

    pub(super) const fn schema(&self) -> Option<&Schema> {
        self.schema.as_ref()
    }

    /// The application name of servers on this schema, among the sessions of the database.
    pub(super) fn server_name(&self) -> String {
        match self.schema.as_ref().map(Schema::name) {
            None | Some("public") => SERVER.to_owned(),
            Some(schema) => format!("{SERVER}/{schema}"),
        }
    }

    /// The host of new connections. It changes when another one takes writes.
    pub(super) fn host(&self) -> HostNo {
        self.hosts.current()
    }

    pub(super) fn options(&self, host: HostNo) -> PgConnectOptions {
        let name = if self.is_for_copies { COPY.to_owned() } else { self.server_name() };
        self.hosts.options(host).clone().application_name(&name)
    }

    /// Applies the session settings to a new connection.
    pub(super) async fn prepare(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(SESSION).execute(&mut *connection).await?;
        match &self.schema {
            Some(schema) => schema.enter(connection).await,
            None => Ok(()),
        }
    }

    async fn connect_to(&self, host: HostNo) -> Result<PgConnection, StoreError> {
        let connect = async {
            let mut connection = self.options(host).connect().await?;
            self.prepare(&mut connection).await?;
            Ok::<_, sqlx::Error>(connection)
        };
        match tokio::time::timeout(CONNECT_TIMEOUT, connect).await {
            Ok(connected) => connected.map_err(failed),
            Err(elapsed) => Err(lost(elapsed)),
        }
    }

    /// A new connection to read, with the session settings: to the host that takes writes, or else to any.
    pub(super) async fn connect(&self) -> Result<PgConnection, StoreError> {
        let (mut spare, mut fault) = (None, None);
        for host in self.hosts.in_turn() {
            match self.connect_to(host).await {
                Ok(connection) if !self.hosts.are_several() => return Ok(connection),
                Ok(mut connection) => match refuse_read_only(&mut connection).await {
                    Ok(()) => {
                        self.hosts.settle(host);
                        return Ok(connection);
                    }
                    Err(error) => {
                        fault = Some(failed(error));
                        spare.get_or_insert(connection);
                    }
                },
                Err(error) => fault = Some(error),
            }
        }
        spare.ok_or_else(|| fault.unwrap_or_else(no_host))
    }

    /// A connection to the host that takes writes. After a fail-over a name may lead to a replica for a while, and
    /// replicas are refused. So is a database with an unfinished copy: one may have begun while this server had no
    /// connection.
    ///
    /// # Errors
    /// [`StoreError`]; `Unusable` where a copy has begun.
    pub(super) async fn connect_to_write(&self) -> Result<Connected, StoreError> {
        let mut fault = None;
        for host in self.hosts.in_turn() {
            match self.connect_to_write_on(host).await {
                Ok(connection) => {
                    self.hosts.settle(host);
                    return Ok(Connected { connection, host });
                }
                // The database itself: the other hosts have the same.
                Err(error @ StoreError::Unusable(_)) => return Err(error),
                Err(error) => fault = Some(error),
            }
        }
        Err(fault.unwrap_or_else(no_host))
    }

    async fn connect_to_write_on(&self, host: HostNo) -> Result<PgConnection, StoreError> {
        let mut connection = self.connect_to(host).await?;
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

    /// The refusal of this database.
    pub(super) fn unusable(&self, what: &str) -> StoreError {
        StoreError::Unusable(format!("{}: {what}", self.shown()))
    }

    /// The first connection: everything that is wrong must be reported in one line.
    ///
    /// # Errors
    /// [`StoreError::Unusable`].
    pub(super) async fn connect_first(&self) -> Result<PgConnection, StoreError> {
        let said = |error: sqlx::Error| self.unusable(&why(&error));
        let Connected { mut connection, host } = self.first_host().await?;
        // One message each, until it is known that no pooler spreads them over several connections.
        let facts = "SELECT current_setting('server_version_num'), current_setting('synchronous_commit')";
        let facts = async {
            let row = sqlx::raw_sql(facts).fetch_one(&mut connection).await?;
            Ok((row.try_get::<String, _>(0)?, row.try_get::<String, _>(1)?))
        };
        let facts: (String, String) = facts.await.map_err(said)?;
        // A version that is not a number was never tested.
        let version: i32 = facts.0.parse().unwrap_or(0);
        if let Some(complaint) = too_old(version) {
            return Err(self.unusable(&complaint));
        }
        if facts.1 == "off" {
            return Err(self.unusable(
                "synchronous_commit is off, so a commit that was acknowledged could be lost; set it to on",
            ));
        }
        pooler::refuse(&self.options(host), &mut connection).await.map_err(|what| self.unusable(&what))?;
        self.prepare(&mut connection).await.map_err(said)?;
        Ok(connection)
    }

    /// The first host that takes writes, or else the first that answers: what it lacks is said later.
    async fn first_host(&self) -> Result<Connected, StoreError> {
        let (mut spare, mut faults) = (None, Vec::new());
        for host in self.hosts.in_turn() {
            let fault = match tokio::time::timeout(CONNECT_TIMEOUT, self.first_on(host)).await {
                Ok(Ok((connection, true))) => {
                    self.hosts.begin_with(host);
                    return Ok(Connected { connection, host });
                }
                Ok(Ok((connection, false))) => {
                    spare.get_or_insert(Connected { connection, host });
                    continue;
                }
                Ok(Err(error)) => why(&error),
                Err(_) => format!("no answer within {} s", CONNECT_TIMEOUT.as_secs()),
            };
            let place = if self.hosts.are_several() {
                format!("{}: ", self.hosts.shown(host))
            } else {
                String::new()
            };
            faults.push(format!("{place}{fault}"));
        }
        spare.ok_or_else(|| self.unusable(&faults.join("; ")))
    }

    /// A bare connection, and whether the host takes writes. A single host is not asked.
    async fn first_on(&self, host: HostNo) -> Result<(PgConnection, bool), sqlx::Error> {
        let mut connection = self.options(host).connect().await?;
        let takes_writes = !self.hosts.are_several() || {
            let row = sqlx::raw_sql(IS_READ_ONLY).fetch_one(&mut connection).await?;
            !row.try_get::<bool, _>(0)?
        };
        Ok((connection, takes_writes))
    }
}

fn no_host() -> StoreError {
    StoreError::Failed("the database has no host".into())
}

const IS_READ_ONLY: &str =
    "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'";

/// Refuses a replica: its data may be old.
pub(super) async fn refuse_read_only(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let read_only: bool = sqlx::query_scalar(IS_READ_ONLY).persistent(false).fetch_one(connection).await?;
    if read_only { Err(sqlx::Error::Configuration("the database is read-only".into())) } else { Ok(()) }
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
    use sqlx::PgConnection;

    use super::super::test_server;
    use super::{Address, too_old};

    async fn setting(connection: &mut PgConnection, name: &'static str) -> String {
        let shows = "SELECT current_setting($1)";
        sqlx::query_scalar(shows).bind(name).fetch_one(connection).await.unwrap()
    }

    #[tokio::test]
    async fn plans_are_made_once_unless_they_choose_the_machine() {
        if !test_server::available() {
            return;
        }
        let address = Address::of(&test_server::database().await).unwrap().unwrap();
        let mut connection = address.connect().await.unwrap();
        assert_eq!(setting(&mut connection, "plan_cache_mode").await, "force_generic_plan");
        // The entry alone: the library is not needed to see it.
        let pretends = "
            SET allow_system_table_mods = on;
            INSERT INTO pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion)
            SELECT 99999, 'citus', 10, oid, FALSE, '13.2' FROM pg_namespace WHERE nspname = 'public'";
        sqlx::raw_sql(pretends).execute(&mut connection).await.unwrap();
        let mut connection = address.connect().await.unwrap();
        assert_eq!(setting(&mut connection, "plan_cache_mode").await, "auto");
    }

    #[tokio::test]
    async fn a_connection_finds_tables_in_its_schema_only() {
        if !test_server::available() {
            return;
        }
        let url = format!("{}?schema=user", test_server::database().await);
        let address = Address::of(&url).unwrap().unwrap();
        let mut connection = address.connect().await.unwrap();
        assert_eq!(setting(&mut connection, "search_path").await, "\"user\"");
        assert_eq!(setting(&mut connection, "application_name").await, "creditledger/user");
    }

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
