//! A message as it goes over the wire: who it is from, who it is for, its headers and its two bodies.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::address::Address;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use url::Host;

use crate::ledger::{Contact, Timestamp};

/// Characters of a subject or a name; longer ones are cut.
const LINE_CHARS: usize = 200;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Content {
    /// One line without control characters.
    pub subject: String,
    pub text: String,
    pub html: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MailFrom {
    pub from: Mailbox,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<Mailbox>,
}

/// Reads an address as settings give it: `credits@example.com`, or `Credits <credits@example.com>`.
///
/// # Errors
/// What is wrong with it, continuing the name of the setting.
pub fn parse_mailbox(text: &str) -> Result<Mailbox, String> {
    let mailbox: Option<Mailbox> = text.parse().ok();
    mailbox
        .filter(|_| !text.contains(char::is_control))
        .map(|Mailbox { name, email }| Mailbox::new(name, with_ascii_domain(email)))
        .ok_or_else(|| format!("must be an address such as \"Credits <credits@example.com>\", not {text:?}"))
}

/// Writes the domain of an address in its ASCII form, so that every server accepts it. A local part beyond ASCII stays,
/// and needs a server with SMTPUTF8.
fn with_ascii_domain(address: Address) -> Address {
    match Host::parse(address.domain()) {
        Ok(Host::Domain(domain)) if !address.domain().is_ascii() => {
            Address::new(address.user(), domain).unwrap_or(address)
        }
        Ok(_) | Err(_) => address,
    }
}

/// Why a customer cannot be written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoAddress {
    /// The customer has no address.
    None,
    /// The customer's address is malformed.
    Wrong,
}

pub(super) fn recipient(contact: &Contact) -> Result<Mailbox, NoAddress> {
    let text = contact.email.as_str().trim();
    if text.is_empty() {
        return Err(NoAddress::None);
    }
    let address: Address = text.parse().map_err(|_| NoAddress::Wrong)?;
    let name = one_line(contact.name.as_str());
    Ok(Mailbox::new((!name.is_empty()).then_some(name), with_ascii_domain(address)))
}

/// A message that is sent to one customer.
///
/// Its id follows from the event's, so that a receiver recognizes a repeat. `Auto-Submitted` (RFC 3834) keeps
/// out-of-office replies away.
///
/// # Errors
/// The part of it that cannot be written.
pub(super) fn message(
    from: &MailFrom,
    to: Mailbox,
    event_id: &str,
    content: Content,
    now: Timestamp,
) -> Result<Message, lettre::error::Error> {
    let since = Duration::from_micros(now.micros().try_into().unwrap_or(0));
    let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
    let mut builder = Message::builder()
        .from(from.from.clone())
        .to(to)
        .message_id(Some(format!("<{event_id}@{}>", from.from.email.domain())))
        .date(UNIX_EPOCH + since)
        .subject(content.subject)
        .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()));
    if let Some(reply_to) = &from.reply_to {
        builder = builder.reply_to(reply_to.clone());
    }
    builder.multipart(MultiPart::alternative_plain_html(content.text, content.html))
}

/// A text as one line. A line break could begin another header, so control characters become spaces.
pub(super) fn one_line(text: &str) -> String {
    let spaced: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let words: Vec<&str> = spaced.split_whitespace().collect();
    words.join(" ").chars().take(LINE_CHARS).collect()
}
