//! Settings: flags over `CREDITLEDGER_*` variables over a TOML file over defaults. Every name has one spelling: the key
//! `log_format` is the variable `CREDITLEDGER_LOG_FORMAT` and the flag `--log-format`.

mod email;
mod file;
mod source;
mod storefronts;

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use tracing_subscriber::EnvFilter;

pub use email::{EmailSettings, EmailTls};
pub use source::{ConfigError, Flags};
pub use storefronts::{Secret, StorefrontSettings};

/// What a server is started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where gRPC is served: an address and a port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Which database; its scheme chooses the engine. Not empty.
    pub database_url: String,
    /// Serve beyond loopback although nothing authenticates the callers.
    pub insecure: bool,
    /// How logs look.
    pub log_format: LogFormat,
    /// Which logs are written, as `tracing-subscriber` directives: `info`, `warn,creditledger=debug`.
    pub log_filter: String,
    /// Commands that may wait for the writer; one more is answered OVERLOADED. 10,000-10,000,000: one ExecuteBatch has
    /// to fit.
    pub queue_commands_max: usize,
    /// Commands in one commit, 2-10,000: a single one and one of a bulk, so that neither starves. More raises the tail
    /// latency, fewer the cost of each.
    pub batch_commands_max: usize,
    /// The largest request that is read, in bytes: 65,536 (64 KiB) to 1,073,741,824 (1 GiB).
    pub request_bytes_max: usize,
    /// The largest request that is read by the batch service, in bytes: 65,536 (64 KiB) to 1,073,741,824 (1 GiB).
    pub batch_request_bytes_max: usize,
    /// How long open calls may take to end once the server is told to stop, in milliseconds: 0-3,600,000 (1 h).
    pub shutdown_timeout_ms: u64,
    /// How often quiet customers are looked through for what expires and for top-ups that fall due, in milliseconds:
    /// 10-3,600,000 (1 h).
    pub expiry_interval_ms: u64,
    /// PostgreSQL: connections that write, 1-64. A customer's commands all go through the same one.
    pub postgres_lanes: usize,
    /// PostgreSQL: how writing transactions are kept apart.
    pub postgres_isolation: Isolation,
    /// Webhooks may go to this machine and without TLS, to any port. For development only.
    pub webhook_development: bool,
    /// E-mail to customers; without, none is sent. Only in the file.
    pub email: Option<EmailSettings>,
    /// Storefronts whose webhooks are served. Only in the file.
    pub storefronts: Vec<StorefrontSettings>,
}

/// How writing transactions are kept apart in PostgreSQL. Both are safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// Rows are locked first and then read: the faster one.
    ReadCommitted,
    /// For engines that know no other.
    Serializable,
}

/// How logs look on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line, for machines.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 50_051)),
            database_url: "sqlite://./creditledger.db".to_owned(),
            insecure: false,
            log_format: LogFormat::Text,
            log_filter: "info".to_owned(),
            queue_commands_max: 32_768,
            batch_commands_max: 1_000,
            request_bytes_max: 4 << 20,
            // 10,000 commands, the most of one request, stay well below it.
            batch_request_bytes_max: 16 << 20,
            shutdown_timeout_ms: 10_000,
            expiry_interval_ms: 5_000,
            postgres_lanes: 2,
            postgres_isolation: Isolation::ReadCommitted,
            webhook_development: false,
            email: None,
            storefronts: Vec::new(),
        }
    }
}

/// What a TOML file must give for a setting. Flags and variables give text for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Text,
    Integer,
    Flag,
}

/// Every setting. [`Config::set`] reads the value of each; a test holds the two together.
const SETTINGS: [(&str, Shape); 14] = [
    ("listen", Shape::Text),
    ("database_url", Shape::Text),
    ("insecure", Shape::Flag),
    ("log_format", Shape::Text),
    ("log_filter", Shape::Text),
    ("queue_commands_max", Shape::Integer),
    ("batch_commands_max", Shape::Integer),
    ("request_bytes_max", Shape::Integer),
    ("batch_request_bytes_max", Shape::Integer),
    ("shutdown_timeout_ms", Shape::Integer),
    ("expiry_interval_ms", Shape::Integer),
    ("postgres_lanes", Shape::Integer),
    ("postgres_isolation", Shape::Text),
    ("webhook_development", Shape::Flag),
];

impl Config {
    /// Reads the file that the flags or `CREDITLEDGER_CONFIG` name, then the variables, then the flags.
    ///
    /// # Errors
    /// [`ConfigError`] names the first key, variable or flag that is unknown or has a bad value.
    pub fn load(
        flags: &Flags,
        variables: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    ) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        let variables = source::variables(variables)?;
        let file = flags.config.clone().or_else(|| variables.config.clone().map(PathBuf::from));
        if let Some(path) = file {
            file::read(&path, &mut config)?;
        }
        for (name, text) in &variables.settings {
            config
                .set(name, text)
                .map_err(|problem| ConfigError::Variable { name: source::variable_of(name), problem })?;
        }
        for (name, text) in flags.given() {
            config
                .set(name, text)
                .map_err(|problem| ConfigError::Flag { name: name.replace('_', "-"), problem })?;
        }
        Ok(config)
    }

    /// Refuses to serve beyond this machine without authentication, unless told to.
    ///
    /// # Errors
    /// [`ConfigError::Exposed`].
    pub fn check_exposure(&self) -> Result<(), ConfigError> {
        if self.insecure || self.listen.ip().is_loopback() {
            return Ok(());
        }
        Err(ConfigError::Exposed { listen: self.listen })
    }

    /// How long open calls may take to end once the server is told to stop.
    #[must_use]
    pub const fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }

    /// How often quiet customers are looked through for what expires.
    #[must_use]
    pub const fn expiry_interval(&self) -> Duration {
        Duration::from_millis(self.expiry_interval_ms)
    }

    /// Sets one of [`SETTINGS`] from its text.
    fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
        match name {
            "listen" => {
                self.listen = text.parse().map_err(|_| {
                    format!("must be an address and a port such as 127.0.0.1:50051, not {text:?}")
                })?;
            }
            "database_url" => {
                if text.is_empty() {
                    return Err("must not be empty".to_owned());
                }
                text.clone_into(&mut self.database_url);
            }
            "insecure" => self.insecure = flag(text)?,
            "log_format" => {
                self.log_format = match text {
                    "text" => LogFormat::Text,
                    "json" => LogFormat::Json,
                    _ => return Err(format!("must be text or json, not {text:?}")),
                };
            }
            "log_filter" => {
                EnvFilter::builder().parse(text).map_err(|error| {
                    format!("must be log directives such as info or warn,creditledger=debug: {error}")
                })?;
                text.clone_into(&mut self.log_filter);
            }
            "queue_commands_max" => self.queue_commands_max = number(text, 10_000..=10_000_000)?,
            "batch_commands_max" => self.batch_commands_max = number(text, 2..=10_000)?,
            "request_bytes_max" => self.request_bytes_max = number(text, 64 << 10..=1 << 30)?,
            "batch_request_bytes_max" => self.batch_request_bytes_max = number(text, 64 << 10..=1 << 30)?,
            "shutdown_timeout_ms" => self.shutdown_timeout_ms = number(text, 0..=3_600_000)?,
            "expiry_interval_ms" => self.expiry_interval_ms = number(text, 10..=3_600_000)?,
            "postgres_lanes" => self.postgres_lanes = number(text, 1..=64)?,
            "postgres_isolation" => {
                self.postgres_isolation = match text {
                    "read-committed" => Isolation::ReadCommitted,
                    "serializable" => Isolation::Serializable,
                    _ => return Err(format!("must be read-committed or serializable, not {text:?}")),
                };
            }
            "webhook_development" => self.webhook_development = flag(text)?,
            _ => return Err("is not a setting".to_owned()),
        }
        Ok(())
    }
}

fn flag(text: &str) -> Result<bool, String> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("must be true or false, not {text:?}")),
    }
}

fn number<T>(text: &str, range: RangeInclusive<T>) -> Result<T, String>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    text.parse().ok().filter(|value| range.contains(value)).ok_or_else(|| {
        format!("must be a whole number from {} to {}, not {text:?}", range.start(), range.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(flags: &Flags, variables: &[(&str, &str)], file: Option<&str>) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let mut variables: Vec<_> = variables.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        if let Some(text) = file {
            std::fs::write(&path, text).unwrap();
            variables.push(("CREDITLEDGER_CONFIG".into(), path.clone().into()));
        }
        let shown = format!("{}", path.display());
        Config::load(flags, variables.into_iter())
            .map_err(|error| error.to_string().replace(&shown, "c.toml"))
    }

    #[test]
    fn flags_win_over_variables_over_file_over_defaults() {
        let none = Flags::default();
        assert_eq!(load(&none, &[], None), Ok(Config::default()));
        // What the client commands read is no setting of a server that is started in the same shell.
        let of_clients = [("CREDITLEDGER_SERVER", "http://x"), ("CREDITLEDGER_WEBHOOK_SECRET", "whsec_x")];
        assert_eq!(load(&none, &of_clients, None), Ok(Config::default()));
        let file =
            "listen = \"127.0.0.1:1\"\nbatch_commands_max = 1_0\ninsecure = true\nlog_format = \"json\"";
        let variables = [("CREDITLEDGER_LISTEN", "127.0.0.1:2"), ("CREDITLEDGER_BATCH_COMMANDS_MAX", "20")];
        let flags = Flags { listen: Some("127.0.0.1:3".into()), ..Flags::default() };
        let config = load(&flags, &variables, Some(file)).unwrap();
        assert_eq!(config.listen.port(), 3);
        assert_eq!(config.batch_commands_max, 20);
        assert!(config.insecure);
        assert_eq!(config.log_format, LogFormat::Json);
        let config = load(&none, &[], Some(file)).unwrap();
        assert_eq!((config.listen.port(), config.batch_commands_max), (1, 10));
    }

    #[test]
    fn every_setting_can_be_set_from_each_source() {
        for (name, shape) in SETTINGS {
            let bad = Config::default().set(name, "");
            assert_ne!(bad, Err("is not a setting".to_owned()), "{name}");
            let value = match (name, shape) {
                ("listen", _) => "127.0.0.1:7",
                ("log_format", _) => "json",
                ("log_filter", _) => "warn",
                ("postgres_lanes", _) => "7",
                ("postgres_isolation", _) => "serializable",
                (_, Shape::Text) => "sqlite://x.db",
                (_, Shape::Integer) => "70000",
                (_, Shape::Flag) => "true",
            };
            let value = if name == "batch_commands_max" { "77" } else { value };
            let quoted = if shape == Shape::Text { format!("{value:?}") } else { value.to_owned() };
            let from_file = load(&Flags::default(), &[], Some(&format!("{name} = {quoted}"))).unwrap();
            let variable = source::variable_of(name);
            let from_variable = load(&Flags::default(), &[(&variable, value)], None).unwrap();
            assert_eq!(from_file, from_variable, "{name}");
            assert_ne!(from_file, Config::default(), "{name}");
        }
    }

    #[test]
    fn names_what_is_wrong_and_where() {
        let none = Flags::default();
        let file = |text: &str| load(&none, &[], Some(text)).unwrap_err();
        assert_eq!(file("insecure = false\nlistn = 1"), "c.toml line 2: listn is not a setting");
        assert_eq!(file("[limits]\nqueue = 1"), "c.toml line 1: limits is not a setting");
        assert_eq!(file("\nlisten = 5"), "c.toml line 2: listen must be a string, not integer");
        assert_eq!(file("insecure = \"yes\""), "c.toml line 1: insecure must be true or false, not string");
        assert_eq!(
            file("queue_commands_max = 9_999"),
            "c.toml line 1: queue_commands_max must be a whole number from 10000 to 10000000, not \"9999\""
        );
        assert!(file("a = 1\nlisten = ").starts_with("c.toml line 2: "));
        assert!(file("insecure = true\ninsecure = true").starts_with("c.toml line 2: "));

        let variable = |name, text| load(&none, &[(name, text)], None).unwrap_err();
        assert_eq!(variable("CREDITLEDGER_LISTN", "x"), "CREDITLEDGER_LISTN is not a setting");
        assert_eq!(
            variable("CREDITLEDGER_LOG_FORMAT", "xml"),
            "CREDITLEDGER_LOG_FORMAT must be text or json, not \"xml\""
        );
        assert!(
            variable("CREDITLEDGER_CONFIG", "/no/such.toml").starts_with("/no/such.toml cannot be read: ")
        );

        let flags = Flags { log_filter: Some("creditledger=loud".into()), ..Flags::default() };
        assert!(load(&flags, &[], None).unwrap_err().starts_with("--log-filter must be log directives"));
    }

    #[test]
    fn serves_beyond_loopback_only_when_told_to() {
        let at = |listen: &str, insecure| Config {
            listen: listen.parse().unwrap(),
            insecure,
            ..Config::default()
        };
        assert!(at("127.9.9.9:1", false).check_exposure().is_ok());
        assert!(at("[::1]:1", false).check_exposure().is_ok());
        assert!(at("0.0.0.0:1", true).check_exposure().is_ok());
        for open in ["0.0.0.0:1", "[::]:1", "192.168.1.1:1"] {
            let error = at(open, false).check_exposure().unwrap_err().to_string();
            assert!(error.contains("--insecure") && !error.contains('\n'), "{error}");
        }
    }
}
