//! Every setting of a server, once: its name, meaning, default and bounds, and how its text is read.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;

use super::auth::AuthSettings;
use super::email::EmailSettings;
use super::limits::LimitSettings;
use super::secret::Secret;
use crate::access::{Hosts, Origins};
use crate::storefront::Shop;

/// A setting that can be given as a flag, a variable and a key of the file, all of the same name.
pub(super) struct Setting {
    pub name: &'static str,
    pub help: &'static str,
    pub kind: Kind,
    /// What its value is called in the help; empty for a switch.
    pub value_name: &'static str,
    /// False for secrets that must not stand in the list of processes.
    pub is_flag: bool,
    /// Its default as text; empty where there is none.
    pub default: fn(&Config) -> String,
    /// Reads its text. The error continues the name.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

/// What a TOML file must give for a setting. Flags and variables give text for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// A list of texts; with commas between them in a flag or a variable.
    Texts,
    /// A whole number within bounds.
    Whole(u64, u64),
    Switch,
}

/// A line for each setting: `name: type = default, kind(reader, or bounds), value name`. The comment is its help too.
macro_rules! settings {
    ($(#[doc = $help:literal] $name:ident: $type:ty = $default:expr, $kind:ident($($of:expr),*), $value_name:literal;)*) => {
        /// What a server is started with.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Config {
            $(#[doc = $help] pub $name: $type,)*
            /// Which database to use; its scheme chooses the engine. [`Config::database_url`] reads it.
            pub database_url: Secret,
            /// Seals stored secrets. [`Config::sealing_keys`] reads it with the old ones.
            pub sealing_key: Option<Secret>,
            /// Open what they sealed before.
            pub sealing_old_keys: Vec<Secret>,
            /// More of them, in files.
            pub sealing_old_key_files: Vec<Secret>,
            /// Who may call, by tokens of providers and by certificates. Only in the file.
            pub auth: Option<AuthSettings>,
            /// How much callers may have done, by role. Only in the file.
            pub limits: Option<LimitSettings>,
            /// E-mail to customers; without it, none is sent. Only in the file.
            pub email: Option<EmailSettings>,
            /// Storefronts whose webhooks are served. Only in the file.
            pub storefronts: Vec<Shop>,
        }

        impl Default for Config {
            fn default() -> Self {
                Self {
                    $($name: $default,)*
                    database_url: Secret::of_text(DATABASE_URL),
                    sealing_key: None,
                    sealing_old_keys: Vec::new(),
                    sealing_old_key_files: Vec::new(),
                    auth: None,
                    limits: None,
                    email: None,
                    storefronts: Vec::new(),
                }
            }
        }

        pub(super) const SETTINGS: &[Setting] = &[
            DATABASE_URL_TEXT,
            DATABASE_URL_FILE,
            SEALING_KEY,
            SEALING_KEY_FILE,
            SEALING_OLD_KEYS,
            SEALING_OLD_KEY_FILES,
            $(Setting {
            name: stringify!($name),
            help: $help,
            kind: settings!(@kind $kind($($of),*)),
            value_name: $value_name,
            is_flag: true,
            default: |config| settings!(@shown $kind config.$name),
            set: |config, text| {
                config.$name = settings!(@read $kind(text $(, $of)*))?;
                Ok(())
            },
        }),*
        ];
    };
    (@kind Whole($min:expr, $max:expr)) => { Kind::Whole($min, $max) };
    (@kind Switch()) => { Kind::Switch };
    (@kind $text:ident($($of:expr),*)) => { Kind::Text };
    (@shown Choice $value:expr) => { name_of(&$value) };
    (@shown File $value:expr) => { $value.as_ref().map(|path| path.display().to_string()).unwrap_or_default() };
    (@shown Address $value:expr) => { $value.map(|address| address.to_string()).unwrap_or_default() };
    (@shown $kind:ident $value:expr) => { $value.to_string() };
    (@read Text($text:expr, $read:expr)) => { $read($text) };
    (@read Choice($text:expr)) => { choice($text) };
    (@read Address($text:expr)) => { address($text).map(Some) };
    (@read File($text:expr)) => { not_empty($text).map(|path| Some(PathBuf::from(path))) };
    (@read Whole($text:expr, $min:expr, $max:expr)) => { whole($text, $min, $max) };
    (@read Switch($text:expr)) => { switch($text) };
}

settings! {
    /// Where to serve gRPC: an address and a port; port 0 takes a free one
    listen: SocketAddr = SocketAddr::from((Ipv4Addr::LOCALHOST, 50_051)), Text(address), "ADDRESS";
    /// Where to serve metrics to Prometheus, at /metrics, such as 127.0.0.1:9464; nowhere by default
    metrics_listen: Option<SocketAddr> = None, Address(), "ADDRESS";
    /// Serve beyond loopback although callers are not authenticated
    insecure: bool = false, Switch(), "";
    /// Let only callers in that show who they are
    authenticate: bool = false, Switch(), "";
    /// Names of the server besides localhost and addresses, with commas; * for any, the default with authentication
    allowed_hosts: Hosts = Hosts::Usual, Text(Hosts::parse), "NAMES";
    /// Web pages that may call: their origins, such as <https://desk.example>, with commas
    allowed_origins: Origins = Origins::default(), Text(Origins::parse), "ORIGINS";
    /// Serve by TLS, with the certificates of this PEM file: the server's own, then those that lead to its authority
    tls_certificate_file: Option<PathBuf> = None, File(), "FILE";
    /// The private key of the certificate, in PEM
    tls_key_file: Option<PathBuf> = None, File(), "FILE";
    /// Authorities that vouch for the certificates of clients, in PEM
    tls_client_authorities_file: Option<PathBuf> = None, File(), "FILE";
    /// Whether clients are asked for a certificate, and must have one: none, optional or required
    tls_client_certificates: ClientCertificates = ClientCertificates::None, Choice(), "WHETHER";
    /// How logs look: text or json
    log_format: LogFormat = LogFormat::Text, Choice(), "FORMAT";
    /// Which logs are written, such as warn,creditledger=debug
    log_filter: String = "info".to_owned(), Text(log_directives), "DIRECTIVES";
    /// Commands that may wait for the writer before callers are answered OVERLOADED; one ExecuteBatch has to fit
    queue_commands_max: usize = 32_768, Whole(10_000, 10_000_000), "COUNT";
    /// Commands in one commit; more raise the tail latency, fewer the cost of each
    batch_commands_max: usize = 1_000, Whole(2, 10_000), "COUNT";
    /// Holds that one customer may have open: quoted, waiting for credits, or active
    open_holds_max: u32 = 1_000, Whole(1, 1_000_000), "COUNT";
    /// The largest request that is read
    request_bytes_max: usize = 4 << 20, Whole(64 << 10, 1 << 30), "BYTES";
    /// The largest request that is read by the batch service; 10,000 commands stay well below the default
    batch_request_bytes_max: usize = 16 << 20, Whole(64 << 10, 1 << 30), "BYTES";
    /// Memory that all requests under way may take together; what does not fit waits, or is answered OVERLOADED
    request_memory_bytes_max: usize = 128 << 20, Whole(16 << 20, 1 << 40), "BYTES";
    /// How long a caller may send nothing in the middle of a request
    silence_timeout_ms: u64 = 30_000, Whole(100, 3_600_000), "MILLISECONDS";
    /// Connections that may be open; one more is closed at once
    connections_max: usize = 4_096, Whole(16, 1_000_000), "COUNT";
    /// Connections that one address may have open; one more is closed at once
    connections_per_address_max: usize = 1_024, Whole(1, 1_000_000), "COUNT";
    /// Calls a second of one address that may fail to show who calls before they are answered RATE_LIMITED; 0 for any
    unauthenticated_per_second: u32 = 100, Whole(0, 1_000_000), "COUNT";
    /// How long a new connection may be silent or in its TLS handshake before it is closed
    first_bytes_timeout_ms: u64 = 10_000, Whole(100, 3_600_000), "MILLISECONDS";
    /// The largest headers of a request by HTTP/2
    header_bytes_max: u32 = 16 << 10, Whole(4 << 10, 1 << 20), "BYTES";
    /// How often a silent connection is asked whether it is still there, and how long it may take to answer
    keepalive_seconds: u64 = 30, Whole(1, 86_400), "SECONDS";
    /// After how long a connection is asked to end; its calls are finished first
    connection_age_seconds: u64 = 3_600, Whole(1, 604_800), "SECONDS";
    /// How long open calls may take to end at shutdown
    shutdown_timeout_ms: u64 = 10_000, Whole(0, 3_600_000), "MILLISECONDS";
    /// How often quiet customers are looked through for what expires or is due
    expiry_interval_ms: u64 = 5_000, Whole(10, 3_600_000), "MILLISECONDS";
    /// How many days the audit log keeps a record
    audit_days: u32 = 400, Whole(1, 36_600), "DAYS";
    /// How many records the audit log keeps
    audit_records_max: u64 = 1_000_000, Whole(1_000, 1_000_000_000), "COUNT";
    /// The bytes of records that the audit log keeps; the database takes about three times as much
    audit_bytes_max: u64 = 256 << 20, Whole(1 << 20, 1 << 40), "BYTES";
    /// How long a server may have been away before its clock is doubted at the start; nothing expires while it is
    clock_gap_max_days: u32 = 7, Whole(1, 36_600), "DAYS";
    /// PostgreSQL: connections that write, each for its share of the customers
    postgres_lanes: usize = 2, Whole(1, 64), "COUNT";
    /// PostgreSQL: read-committed or serializable
    postgres_isolation: IsolationSetting = IsolationSetting::ReadCommitted, Choice(), "LEVEL";
    /// PostgreSQL: the schema with the tables; made where it is missing [default: the first of the role's search path]
    postgres_schema: String = String::new(), Text(not_empty), "NAME";
    /// Let webhooks go to this machine and without TLS, to any port: for development only
    webhook_development: bool = false, Switch(), "";
}

const DATABASE_URL: &str = "sqlite://./creditledger.db";

/// Settings that stand for the same secret: a source gives one of them.
pub(super) const ALTERNATIVES: [[&str; 2]; 2] =
    [["database_url", "database_url_file"], ["sealing_key", "sealing_key_file"]];

const DATABASE_URL_TEXT: Setting = Setting {
    name: "database_url",
    help: "Which database to use; its scheme chooses the engine",
    kind: Kind::Text,
    value_name: "URL",
    is_flag: true,
    default: |_| DATABASE_URL.to_owned(),
    set: |config, text| {
        config.database_url = Secret::of_text(&not_empty(text)?);
        Ok(())
    },
};

const DATABASE_URL_FILE: Setting = Setting {
    name: "database_url_file",
    help: "A file with the database's URL, which may have a password",
    kind: Kind::Text,
    value_name: "FILE",
    is_flag: true,
    default: |_| String::new(),
    set: |config, text| {
        config.database_url = Secret::File(not_empty(text)?.into());
        Ok(())
    },
};

const SEALING_KEY: Setting = Setting {
    name: "sealing_key",
    help: "The key that seals signing secrets in the database: the base64 of 32 random bytes",
    kind: Kind::Text,
    value_name: "KEY",
    is_flag: false,
    default: |_| String::new(),
    set: |config, text| {
        config.sealing_key = Some(Secret::of_text(&not_empty(text)?));
        Ok(())
    },
};

const SEALING_KEY_FILE: Setting = Setting {
    name: "sealing_key_file",
    help: "A file with the key that seals signing secrets in the database: the base64 of 32 random bytes",
    kind: Kind::Text,
    value_name: "FILE",
    is_flag: true,
    default: |_| String::new(),
    set: |config, text| {
        config.sealing_key = Some(Secret::File(not_empty(text)?.into()));
        Ok(())
    },
};

const SEALING_OLD_KEYS: Setting = Setting {
    name: "sealing_old_keys",
    help: "Keys that only open what they sealed before",
    kind: Kind::Texts,
    value_name: "KEYS",
    is_flag: false,
    default: |_| String::new(),
    set: |config, text| {
        config.sealing_old_keys = list(text)?.map(Secret::of_text).collect();
        Ok(())
    },
};

const SEALING_OLD_KEY_FILES: Setting = Setting {
    name: "sealing_old_key_files",
    help: "Files with keys that only open what they sealed before, with commas between them",
    kind: Kind::Texts,
    value_name: "FILES",
    is_flag: true,
    default: |_| String::new(),
    set: |config, text| {
        config.sealing_old_key_files = list(text)?.map(|path| Secret::File(path.into())).collect();
        Ok(())
    },
};

/// How writing transactions are kept apart in PostgreSQL. Both are safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum IsolationSetting {
    /// Rows are locked first and then read: the faster one.
    ReadCommitted,
    /// For engines that know no other.
    Serializable,
}

/// Whether clients prove by a certificate who they are. One that is shown must be good either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClientCertificates {
    /// They are not asked.
    None,
    /// Those that have one may.
    Optional,
    /// Without one they are not served.
    Required,
}

/// How logs look on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line, for machines.
    Json,
}

impl Setting {
    pub fn named(name: &str) -> Option<&'static Self> {
        SETTINGS.iter().find(|setting| setting.name == name)
    }
}

impl Config {
    pub const fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms)
    }

    pub const fn silence_timeout(&self) -> Duration {
        Duration::from_millis(self.silence_timeout_ms)
    }

    pub const fn first_bytes_timeout(&self) -> Duration {
        Duration::from_millis(self.first_bytes_timeout_ms)
    }

    pub const fn expiry_interval(&self) -> Duration {
        Duration::from_millis(self.expiry_interval_ms)
    }

    pub fn clock_gap_max(&self) -> Duration {
        Duration::from_hours(24 * u64::from(self.clock_gap_max_days))
    }
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("must be an address and a port such as 127.0.0.1:50051, not {text:?}"))
}

fn not_empty(text: &str) -> Result<String, String> {
    if text.is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

/// Texts with commas between them. An empty text is an empty list.
fn list(text: &str) -> Result<impl Iterator<Item = &str>, String> {
    if !text.is_empty() && text.split(',').any(str::is_empty) {
        return Err("must not have an empty entry".to_owned());
    }
    Ok(text.split(',').filter(|entry| !entry.is_empty()))
}

fn log_directives(text: &str) -> Result<String, String> {
    let read = EnvFilter::builder().parse(text);
    read.map(|_| text.to_owned())
        .map_err(|error| format!("must be log directives such as info or warn,creditledger=debug: {error}"))
}

fn switch(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("must be true or false, not {text:?}"))
}

fn whole<T: TryFrom<u64>>(text: &str, min: u64, max: u64) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| (min..=max).contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| format!("must be a whole number from {min} to {max}, not {text:?}"))
}

fn choice<T: ValueEnum>(text: &str) -> Result<T, String> {
    T::from_str(text, false).map_err(|_| {
        let names: Vec<_> = T::value_variants().iter().map(name_of).collect();
        format!("must be {}, not {text:?}", names.join(" or "))
    })
}

fn name_of(choice: &impl ValueEnum) -> String {
    choice.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}
