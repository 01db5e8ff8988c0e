//! Builds the mailer from the settings of e-mail; also `creditledger email`, which prints sample messages.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::failure::Failure;
use super::output::print;
use crate::clock::Clock;
use crate::config::{Config, EmailSettings, EmailTls, Flags, Secret, Secrets};
use crate::delivery::mail::{
    EVENTS, Facts, Link, MailFrom, Mailer, Smtp, SmtpSettings, Templates, Tls, parse_mailbox,
};
use crate::ledger::event::EventType;
use crate::ledger::{CustomerId, LedgerId};

/// Checks the settings and the templates.
///
/// # Errors
/// [`Failure::Other`] with one line that names the setting, or the template and its line.
pub(super) fn mailer(settings: &EmailSettings, clock: &Arc<dyn Clock>) -> Result<Mailer, Failure> {
    let EmailSettings {
        host,
        tls,
        ca_file,
        user,
        password,
        from,
        reply_to,
        top_up_link,
        templates,
        timeout_ms,
        ..
    } = settings;
    let wrong = |name: &'static str| move |problem: String| complaint(&format!("{name} {problem}"));
    let tls = match tls {
        EmailTls::StartTls => Tls::StartTls,
        EmailTls::Implicit => Tls::Implicit,
        EmailTls::None if is_this_machine(host) => Tls::None,
        EmailTls::None => {
            return Err(complaint("tls may be none for a host on this machine only, such as 127.0.0.1"));
        }
    };
    let from = parse_mailbox(from).map_err(wrong("from"))?;
    let reply_to = reply_to.as_deref().map(parse_mailbox).transpose().map_err(wrong("reply_to"))?;
    let link = Link::parse(top_up_link).map_err(wrong("top_up_link"))?;
    let templates = Templates::load(templates.as_deref()).map_err(|error| complaint(&error.to_string()))?;
    let read = |secret: &Secret| {
        secret.revealed().map_err(|problem| complaint(&format!("password{} {problem}", secret.key_end())))
    };
    let password = password.as_ref().map(read).transpose()?;
    let authorities = match ca_file {
        Some(path) => {
            let read = std::fs::read(path);
            Some(read.map_err(|error| complaint(&format!("ca_file {}: {error}", path.display())))?)
        }
        None => None,
    };
    let smtp = SmtpSettings {
        host: host.clone(),
        port: settings.port(),
        tls,
        authorities,
        credentials: user.clone().zip(password),
        // The machine's own name means nothing to a server elsewhere, but the sender's domain does.
        hello: from.email.domain().to_owned(),
        timeout: Duration::from_millis(*timeout_ms),
    };
    let name = if ca_file.is_some() { "ca_file" } else { "host" };
    let smtp = Smtp::new(smtp, Arc::clone(clock)).map_err(wrong(name))?;
    Ok(Mailer { templates, from: MailFrom { from, reply_to }, link, smtp, clock: Arc::clone(clock) })
}

fn complaint(problem: &str) -> Failure {
    Failure::Other(format!("email: {problem}"))
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// See what e-mail to customers looks like
#[derive(Clone, Debug, clap::Subcommand)]
pub enum EmailCommand {
    Preview(PreviewCommand),
}

/// Print a message with made-up facts, from the templates that the settings name
///
/// Nothing is sent. Without settings the built-in templates are shown.
#[derive(Clone, Debug, clap::Args)]
pub struct PreviewCommand {
    /// A TOML file of settings
    #[arg(long, env = "CREDITLEDGER_CONFIG", value_name = "PATH")]
    config: Option<PathBuf>,
    /// balance.low, balance.depleted or credits.shortfall
    #[arg(long, default_value = "balance.low", value_parser = event, value_name = "EVENT")]
    event: EventType,
    /// The customer's language, such as pt-BR
    #[arg(long, default_value = "", value_name = "TAG")]
    locale: String,
    /// The HTML instead of the plain text
    #[arg(long)]
    html: bool,
}

fn event(text: &str) -> Result<EventType, String> {
    let known = || format!("must be one of {}", EVENTS.map(EventType::name).join(", "));
    EVENTS.into_iter().find(|event| event.name() == text).ok_or_else(known)
}

impl EmailCommand {
    /// Prints a sample message.
    pub fn run(self) -> Result<(), Failure> {
        let Self::Preview(PreviewCommand { config, event, locale, html }) = self;
        let flags = Flags::of_database(config, None, None);
        let config = Config::load(&flags, std::iter::empty(), Secrets::NotNeeded)?;
        let directory = config.email.as_ref().and_then(|email| email.templates.clone());
        let link = config.email.map_or_else(
            || "https://shop.example.com/credits?customer={customer_id}".to_owned(),
            |email| email.top_up_link,
        );
        let link = Link::parse(&link).map_err(|problem| complaint(&format!("top_up_link {problem}")))?;
        let templates =
            Templates::load(directory.as_deref()).map_err(|error| complaint(&error.to_string()))?;
        let customer = CustomerId::parse("acme").map_err(|error| Failure::Other(error.to_string()))?;
        let facts = Facts::sample(event, false, &LedgerId::main(), &customer, &link);
        let content = templates.fill(&locale, &facts).map_err(|problem| complaint(&problem))?;
        let body = if html { content.html } else { content.text };
        print(&format!("Subject: {}\n\n{}", content.subject, body.trim_end()))
    }
}
