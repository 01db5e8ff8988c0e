//! Where settings come from besides the file: flags and variables; and what can be wrong with any of them.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::SETTINGS;

/// Every variable of ours begins with it, so that one that does and is not known is a typing error.
const PREFIX: &str = "CREDITLEDGER_";
/// Names the file.
const CONFIG: &str = "CREDITLEDGER_CONFIG";
/// Read by the client commands.
const OF_CLIENTS: [&str; 2] = ["CREDITLEDGER_SERVER", "CREDITLEDGER_WEBHOOK_SECRET"];

/// What is wrong with a setting, and where it was said.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file is not there or not readable.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A key or value in the file.
    #[error("{path} line {line}: {problem}")]
    File {
        /// Which file.
        path: String,
        /// Which line, from 1.
        line: usize,
        /// The key and what is wrong with it.
        problem: String,
    },
    /// A variable.
    #[error("{name} {problem}")]
    Variable {
        /// Its name.
        name: String,
        /// What is wrong, continuing the name.
        problem: String,
    },
    /// A flag.
    #[error("--{name} {problem}")]
    Flag {
        /// Its name.
        name: String,
        /// What is wrong, continuing the name.
        problem: String,
    },
    /// The server would be reachable from other machines, and nothing authenticates callers.
    #[error(
        "{listen} is reachable from other machines and callers are not authenticated yet: \
         listen on 127.0.0.1, or say --insecure where the network is trusted"
    )]
    Exposed {
        /// Where it was to listen.
        listen: SocketAddr,
    },
}

/// The flags for settings, as text: one parser reads them whatever their source.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Flags {
    /// A TOML file with settings [env: CREDITLEDGER_CONFIG]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where to serve gRPC [default: 127.0.0.1:50051]
    #[arg(long, value_name = "ADDRESS")]
    pub listen: Option<String>,
    /// Which database to use [default: sqlite://./creditledger.db]
    #[arg(long, value_name = "URL")]
    pub database_url: Option<String>,
    /// Serve beyond loopback although callers are not authenticated
    #[arg(long)]
    pub insecure: bool,
    /// How logs look: text or json [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<String>,
    /// Which logs are written, such as warn,creditledger=debug [default: info]
    #[arg(long, value_name = "DIRECTIVES")]
    pub log_filter: Option<String>,
    /// Commands that may wait for the writer before callers are answered OVERLOADED: 10000-10000000 [default: 32768]
    #[arg(long, value_name = "COUNT")]
    pub queue_commands_max: Option<String>,
    /// Commands in one commit: 2-10000 [default: 1000]
    #[arg(long, value_name = "COUNT")]
    pub batch_commands_max: Option<String>,
    /// The largest request that is read: 65536-1073741824 [default: 4194304]
    #[arg(long, value_name = "BYTES")]
    pub request_bytes_max: Option<String>,
    /// The largest request that is read by the batch service: 65536-1073741824 [default: 16777216]
    #[arg(long, value_name = "BYTES")]
    pub batch_request_bytes_max: Option<String>,
    /// How long open calls may take to end at shutdown: 0-3600000 [default: 10000]
    #[arg(long, value_name = "MILLISECONDS")]
    pub shutdown_timeout_ms: Option<String>,
    /// How often quiet customers are looked through for what expires or is due: 10-3600000 [default: 5000]
    #[arg(long, value_name = "MILLISECONDS")]
    pub expiry_interval_ms: Option<String>,
    /// PostgreSQL: connections that write, each for its share of the customers: 1-64 [default: 2]
    #[arg(long, value_name = "COUNT")]
    pub postgres_lanes: Option<String>,
    /// PostgreSQL: read-committed or serializable [default: read-committed]
    #[arg(long, value_name = "LEVEL")]
    pub postgres_isolation: Option<String>,
    /// Let webhooks go to this machine and without TLS: for development only
    #[arg(long)]
    pub webhook_development: bool,
}

impl Flags {
    /// The settings that were given, by name.
    pub(super) fn given(&self) -> impl Iterator<Item = (&'static str, &str)> {
        // Destructured, so that a new flag that is not listed breaks the build.
        let Self {
            config: _,
            listen,
            database_url,
            insecure,
            webhook_development,
            log_format,
            log_filter,
            queue_commands_max,
            batch_commands_max,
            request_bytes_max,
            batch_request_bytes_max,
            shutdown_timeout_ms,
            expiry_interval_ms,
            postgres_lanes,
            postgres_isolation,
        } = self;
        [
            ("listen", listen.as_deref()),
            ("database_url", database_url.as_deref()),
            ("insecure", insecure.then_some("true")),
            ("webhook_development", webhook_development.then_some("true")),
            ("log_format", log_format.as_deref()),
            ("log_filter", log_filter.as_deref()),
            ("queue_commands_max", queue_commands_max.as_deref()),
            ("batch_commands_max", batch_commands_max.as_deref()),
            ("request_bytes_max", request_bytes_max.as_deref()),
            ("batch_request_bytes_max", batch_request_bytes_max.as_deref()),
            ("shutdown_timeout_ms", shutdown_timeout_ms.as_deref()),
            ("expiry_interval_ms", expiry_interval_ms.as_deref()),
            ("postgres_lanes", postgres_lanes.as_deref()),
            ("postgres_isolation", postgres_isolation.as_deref()),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)))
    }
}

/// What the variables of ours say.
#[derive(Debug, Default)]
pub(super) struct Variables {
    /// `CREDITLEDGER_CONFIG`.
    pub config: Option<String>,
    /// Settings by name.
    pub settings: Vec<(&'static str, String)>,
}

/// The name of a setting's variable.
pub(super) fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.to_ascii_uppercase())
}

/// Picks our variables out of the environment.
///
/// # Errors
/// [`ConfigError::Variable`] for one with our prefix that is not known or not text.
pub(super) fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Variables, ConfigError> {
    let mut variables = Variables::default();
    for (name, value) in environment {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || OF_CLIENTS.contains(&name.as_str()) {
            continue;
        }
        let wrong = |problem: &str| ConfigError::Variable { name: name.clone(), problem: problem.to_owned() };
        let text = value.into_string().map_err(|_| wrong("must be UTF-8 text"))?;
        if name == CONFIG {
            variables.config = Some(text);
            continue;
        }
        let setting = SETTINGS.iter().find(|(setting, _)| variable_of(setting) == name);
        let (setting, _) = setting.ok_or_else(|| wrong("is not a setting"))?;
        variables.settings.push((setting, text));
    }
    Ok(variables)
}
