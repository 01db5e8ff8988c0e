//! The table `[email]` of the file: the mail server, who messages are from, and where their templates are.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{Secret, number};

/// E-mail as the file describes it. Addresses, links and templates are checked where they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSettings {
    /// The mail server's name or address.
    pub host: String,
    /// Its port, 1-65535.
    pub port: u16,
    /// How the connection to it is encrypted.
    pub tls: EmailTls,
    /// Certificates in PEM of the authorities to trust instead of those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// The user, where the server wants one.
    pub user: Option<String>,
    /// The user's password: there is one where there is a user.
    pub password: Option<Secret>,
    /// Who messages are from.
    pub from: String,
    /// Where answers go, if elsewhere.
    pub reply_to: Option<String>,
    /// Where customers buy credits, with places for ids.
    pub top_up_link: String,
    /// A directory of templates that take the place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// How long one message may take to be handed over, in milliseconds: 100-600,000 (10 min).
    pub timeout_ms: u64,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EmailTls {
    /// By STARTTLS, which the server must offer.
    StartTls,
    /// From the first byte on.
    Implicit,
    /// Not at all: for a server on this machine only.
    None,
}

/// Keys of the table.
const KEYS: [&str; 13] = [
    "host",
    "port",
    "tls",
    "ca_file",
    "user",
    "password",
    "password_variable",
    "password_file",
    "from",
    "reply_to",
    "top_up_link",
    "templates",
    "timeout_ms",
];

/// Where in the file, if not where the table begins, and what is wrong.
type Wrong = (Option<usize>, String);

/// Reads the table; what is wrong continues "`email` ...".
pub(super) fn read(value: &Spanned<DeValue<'_>>) -> Result<EmailSettings, Wrong> {
    let DeValue::Table(table) = value.get_ref() else {
        return Err((None, "must be a table: [email]".to_owned()));
    };
    if let Some(key) = table.keys().find(|key| !KEYS.contains(&&**key.get_ref())) {
        return Err((Some(key.span().start), format!("has no {}", key.get_ref())));
    }
    let needed = |name: &str| -> Result<String, Wrong> {
        text(table, name)?.ok_or_else(|| (None, format!("must have {name}")))
    };
    let host = needed("host")?;
    let tls = match text(table, "tls")?.as_deref() {
        None | Some("starttls") => EmailTls::StartTls,
        Some("implicit") => EmailTls::Implicit,
        Some("none") => EmailTls::None,
        Some(other) => {
            return Err(wrong(
                table,
                "tls",
                format!("must have starttls, implicit or none as tls, not {other:?}"),
            ));
        }
    };
    let port = match tls {
        EmailTls::StartTls => 587,
        EmailTls::Implicit => 465,
        EmailTls::None => 25,
    };
    let port = whole(table, "port", 1..=u16::MAX)?.unwrap_or(port);
    let user = text(table, "user")?;
    let passwords = [
        text(table, "password")?.map(Secret::Text),
        text(table, "password_variable")?.map(Secret::Variable),
        text(table, "password_file")?.map(|path| Secret::File(path.into())),
    ];
    let mut passwords = passwords.into_iter().flatten();
    let password = passwords.next();
    if passwords.next().is_some() {
        return Err((None, "must have one of password, password_variable and password_file".to_owned()));
    }
    if user.is_some() != password.is_some() {
        return Err((None, "must have user and a password, or neither".to_owned()));
    }
    Ok(EmailSettings {
        host,
        port,
        tls,
        ca_file: text(table, "ca_file")?.map(PathBuf::from),
        user,
        password,
        from: needed("from")?,
        reply_to: text(table, "reply_to")?,
        top_up_link: needed("top_up_link")?,
        templates: text(table, "templates")?.map(PathBuf::from),
        timeout_ms: whole(table, "timeout_ms", 100..=600_000)?.unwrap_or(15_000),
    })
}

fn wrong(table: &DeTable<'_>, name: &str, problem: String) -> Wrong {
    let key = table.keys().find(|key| &**key.get_ref() == name);
    (key.map(|key| key.span().start), problem)
}

fn text(table: &DeTable<'_>, name: &str) -> Result<Option<String>, Wrong> {
    match table.get(name).map(Spanned::get_ref) {
        None => Ok(None),
        Some(DeValue::String(text)) if !text.is_empty() => Ok(Some(text.to_string())),
        Some(DeValue::String(_)) => Err(wrong(table, name, format!("must not have an empty {name}"))),
        Some(other) => {
            let problem = format!("must have a string as {name}, not {}", other.type_str());
            Err(wrong(table, name, problem))
        }
    }
}

fn whole<T>(table: &DeTable<'_>, name: &str, range: std::ops::RangeInclusive<T>) -> Result<Option<T>, Wrong>
where
    T: std::str::FromStr + PartialOrd + std::fmt::Display,
{
    match table.get(name).map(Spanned::get_ref) {
        None => Ok(None),
        Some(DeValue::Integer(integer)) => {
            let read = number(&integer.to_string(), range);
            read.map(Some).map_err(|problem| wrong(table, name, format!("has a {name} that {problem}")))
        }
        Some(other) => {
            let problem = format!("must have a whole number as {name}, not {}", other.type_str());
            Err(wrong(table, name, problem))
        }
    }
}
