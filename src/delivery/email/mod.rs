//! Events sent to people by e-mail: that credits run low, are gone, or do not suffice for an incident.
//!
//! For the relay e-mail is one more endpoint of each ledger ([`mailboxes`]): the cursor, what is kept aside, the schedule and
//! the leases are those of webhooks. What differs is here: what a message says ([`facts`], [`templates`]), what it looks
//! like on its way ([`message`]) and how it is handed to an SMTP server ([`smtp`]).

mod facts;
mod link;
mod mailboxes;
mod mailer;
mod message;
mod smtp;
mod templates;

use crate::ledger::event::EventType;

pub use facts::{Facts, VARIABLES};
pub use link::Link;
pub use mailboxes::{Mailboxes, email_endpoint};
pub use mailer::{Mailer, Preview, preview};
pub use message::{Sender, parse_mailbox};
pub use smtp::{Smtp, SmtpSettings, Tls};
pub use templates::{TemplateError, Templates};

/// What people are told of.
pub const EVENTS: [EventType; 3] =
    [EventType::BalanceLow, EventType::BalanceDepleted, EventType::CreditsShortfall];
