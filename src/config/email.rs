//! The table `[email]` of the file: the mail server, the sender of messages, and the templates.

use std::num::NonZeroU16;
use std::path::PathBuf;

use super::secret::{self, Secret};
use super::tables::{Entry, Faults, Table, file, optional, whole};
use crate::hidden::Hidden;

/// E-mail as the file describes it. Addresses, links and templates are checked where they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmailSettings {
    /// The mail server's name or address.
    pub host: String,
    port: Option<NonZeroU16>,
    /// How the connection to it is encrypted.
    pub tls: EmailTls,
    /// Certificates in PEM of the authorities to trust instead of those that browsers trust.
    pub ca_file: Option<PathBuf>,
    /// The user, where the server wants one.
    pub user: Option<Hidden<String>>,
    /// There is a password if there is a user.
    pub password: Option<Secret>,
    /// The sender of messages.
    pub from: String,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<String>,
    /// Where customers buy credits, with placeholders for ids.
    pub top_up_link: String,
    /// A directory of templates that take the place of the built-in ones.
    pub templates: Option<PathBuf>,
    /// How long one message may take to be handed over, in milliseconds: 100-600,000 (10 min).
    pub timeout_ms: u64,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EmailTls {
    /// By STARTTLS, which the server must offer.
    #[default]
    StartTls,
    /// From the first byte on.
    Implicit,
    /// Not at all: for a server on this machine only.
    None,
}

impl EmailSettings {
    /// The mail server's port: the usual one of its encryption unless the file names one.
    pub fn port(&self) -> u16 {
        self.port.map_or(
            match self.tls {
                EmailTls::StartTls => 587,
                EmailTls::Implicit => 465,
                EmailTls::None => 25,
            },
            NonZeroU16::get,
        )
    }
}

/// Reads the table. Where it has a fault, there is none and the fault is noted.
pub(super) fn read(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<EmailSettings> {
    const TIMEOUT_MS: u64 = 15_000;
    let mut table = entry.table(faults, "a table: [email]")?;
    let needed = |table: &mut Table<'_>, faults: &mut Faults<'_>, key| {
        table.need(faults, key).and_then(|entry| entry.some_text(faults)).map(str::to_owned)
    };
    let host = needed(&mut table, faults, "host");
    let from = needed(&mut table, faults, "from");
    let top_up_link = needed(&mut table, faults, "top_up_link");
    let port = optional(&mut table, faults, "port", |entry, faults| {
        let port = whole(entry, faults, 1, u64::from(u16::MAX))?;
        u16::try_from(port).ok().and_then(NonZeroU16::new)
    });
    let tls = optional(&mut table, faults, "tls", tls);
    let ca_file = optional(&mut table, faults, "ca_file", file);
    let user = optional(&mut table, faults, "user", |entry, faults| {
        Some(Hidden::new(entry.some_text(faults)?.to_owned()))
    });
    let reply_to =
        optional(&mut table, faults, "reply_to", |entry, faults| entry.some_text(faults).map(str::to_owned));
    let templates = optional(&mut table, faults, "templates", file);
    let timeout_ms =
        optional(&mut table, faults, "timeout_ms", |entry, faults| whole(entry, faults, 100, 600_000));
    let password = password(&mut table, faults, user.as_ref().is_none_or(Option::is_some));
    table.end(faults);
    Some(EmailSettings {
        host: host?,
        port: port?,
        tls: tls?.unwrap_or_default(),
        ca_file: ca_file?,
        user: user?,
        password: password?,
        from: from?,
        reply_to: reply_to?,
        top_up_link: top_up_link?,
        templates: templates?,
        timeout_ms: timeout_ms?.unwrap_or(TIMEOUT_MS),
    })
}

fn tls(entry: &Entry<'_>, faults: &mut Faults<'_>) -> Option<EmailTls> {
    match entry.text(faults)? {
        "starttls" => Some(EmailTls::StartTls),
        "implicit" => Some(EmailTls::Implicit),
        "none" => Some(EmailTls::None),
        other => entry
            .refuse(faults, format_args!("must be \"starttls\", \"implicit\" or \"none\", not {other:?}")),
    }
}

/// The password, which goes with a user. The outer `None` stands for a fault.
fn password(table: &mut Table<'_>, faults: &mut Faults<'_>, has_user: bool) -> Option<Option<Secret>> {
    let password = secret::one(table, faults, "password")?;
    if has_user != password.is_some() {
        table.lacks(faults, "user and a password, or neither");
        return None;
    }
    Some(password)
}
