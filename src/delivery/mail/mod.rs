//! The transport of e-mail: customers are written to when credits run low, are gone, or do not suffice for an incident.
//!
//! E-mail is one more endpoint of each ledger (`mailboxes`). Here is what a message says (`facts`, `templates`), its
//! form (`message`), and how it is handed to an SMTP server (`smtp`).

mod facts;
mod link;
mod mailboxes;
mod message;
mod smtp;
mod templates;
mod transport;

pub use facts::{EVENTS, Facts};
pub use link::Link;
pub use mailboxes::{Mailboxes, email_endpoint};
pub use message::{Content, MailFrom, parse_mailbox};
pub use smtp::{Smtp, SmtpSettings, Tls};
pub use templates::{TemplateError, Templates};
pub use transport::{MailTransport, Mailer};
