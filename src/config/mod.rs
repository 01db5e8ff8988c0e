//! Settings: flags over `CREDITLEDGER_*` variables over a TOML file over defaults. Every name has one spelling: the key
//! `log_format` is the variable `CREDITLEDGER_LOG_FORMAT` and the flag `--log-format`. `settings` has all of them once.

mod auth;
mod email;
mod error;
mod file;
mod flags;
mod limits;
mod load;
mod secret;
mod settings;
mod storefronts;
mod tables;

pub use auth::AuthSettings;
pub use email::{EmailSettings, EmailTls};
pub use error::ConfigError;
pub use flags::Flags;
pub use limits::LimitSettings;
pub use load::Secrets;
pub use secret::Secret;
pub use settings::{ClientCertificates, Config, IsolationSetting, LogFormat};
pub use tables::Fault;
