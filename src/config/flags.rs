//! The flags and variables of the settings, all as text: one reader serves every source.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};

use super::error::ConfigError;
use super::settings::{Config, Kind, SETTINGS, Setting};
use crate::hidden::Hidden;

/// All our variables begin with it, so an unknown one that does is a typing error.
const PREFIX: &str = "CREDITLEDGER_";
/// The variable that names the file.
const CONFIG: &str = "CREDITLEDGER_CONFIG";
/// Variables of the client commands, which are no settings of a server.
const OF_CLIENTS: [&str; 6] = [
    "CREDITLEDGER_SERVER",
    "CREDITLEDGER_CA",
    "CREDITLEDGER_CLIENT_CERT",
    "CREDITLEDGER_CLIENT_KEY",
    "CREDITLEDGER_TOKEN",
    "CREDITLEDGER_WEBHOOK_SECRET",
];

/// Settings from one source, as text.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// The TOML file.
    pub config: Option<PathBuf>,
    /// Some of them are secrets.
    pub settings: Vec<(&'static str, Hidden<String>)>,
}

impl Flags {
    /// For commands that have only these flags.
    #[must_use]
    pub fn of_database(
        config: Option<PathBuf>,
        database_url: Option<Hidden<String>>,
        postgres_schema: Option<String>,
    ) -> Self {
        let url = database_url.map(|url| ("database_url", url));
        let schema = postgres_schema.map(|schema| ("postgres_schema", schema.into()));
        Self { config, settings: url.into_iter().chain(schema).collect() }
    }
}

impl Args for Flags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new("config").long("config").value_name("FILE");
        let file = file.value_parser(clap::value_parser!(PathBuf));
        let file = file.help(format!("A TOML file with settings [env: {CONFIG}]"));
        command.arg(file).args(SETTINGS.iter().filter(|setting| setting.is_flag).map(flag))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

fn flag(setting: &'static Setting) -> Arg {
    let Setting { name, help, kind, value_name, is_flag: _, default, set: _ } = setting;
    let flag = Arg::new(*name).long(name.replace('_', "-"));
    if *kind == Kind::Switch {
        return flag.help(help.trim()).action(ArgAction::SetTrue);
    }
    let bounds = match kind {
        Kind::Whole(min, max) => format!(": {min}-{max}"),
        Kind::Text | Kind::Texts | Kind::Switch => String::new(),
    };
    let default = match default(&Config::default()) {
        none if none.is_empty() => none,
        default => format!(" [default: {default}]"),
    };
    flag.value_name(*value_name).help(format!("{}{bounds}{default}", help.trim()))
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |setting: &Setting| match setting.kind {
            Kind::Switch => matches.get_flag(setting.name).then(|| true.to_string()),
            Kind::Text | Kind::Texts | Kind::Whole(..) => matches.get_one::<String>(setting.name).cloned(),
        };
        let flags = SETTINGS.iter().filter(|setting| setting.is_flag);
        let settings = flags.filter_map(|setting| Some((setting.name, given(setting)?.into())));
        Ok(Self { config: matches.get_one("config").cloned(), settings: settings.collect() })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

pub(super) fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.to_ascii_uppercase())
}

/// Picks our variables out of the environment.
///
/// # Errors
/// [`ConfigError::Variable`] for one with our prefix that is not known or not text.
pub(super) fn variables(
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> Result<Flags, ConfigError> {
    let mut variables = Flags::default();
    for (name, value) in environment {
        let name = name.to_string_lossy().into_owned();
        if !name.starts_with(PREFIX) || OF_CLIENTS.contains(&name.as_str()) {
            continue;
        }
        let wrong = |problem: &str| ConfigError::Variable { name: name.clone(), problem: problem.to_owned() };
        let text = value.into_string().map_err(|_| wrong("must be UTF-8 text"))?;
        if name == CONFIG {
            variables.config = Some(text.into());
            continue;
        }
        let setting = SETTINGS.iter().find(|setting| variable_of(setting.name) == name);
        let setting = setting.ok_or_else(|| wrong("is not a setting"))?;
        variables.settings.push((setting.name, text.into()));
    }
    Ok(variables)
}
