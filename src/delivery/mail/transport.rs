//! Writes to customers about their events, and hands the messages to a mail server.

use std::sync::Arc;

use async_trait::async_trait;

use super::facts::Facts;
use super::link::Link;
use super::mailboxes::Mailboxes;
use super::message::{MailFrom, NoAddress, message, recipient};
use super::smtp::Smtp;
use super::templates::Templates;
use crate::clock::Clock;
use crate::delivery::Notice;
use crate::delivery::transport::{Consequence, Failure, Sender, Transport};
use crate::ledger::LedgerId;
use crate::store::StoreError;
use crate::store::webhooks::Endpoint;

/// Writes to customers.
pub struct Mailer {
    /// What messages say.
    pub templates: Templates,
    /// Who they are from.
    pub from: MailFrom,
    /// Where customers buy more.
    pub link: Link,
    /// Who they are handed to.
    pub smtp: Smtp,
    /// The date of messages.
    pub clock: Arc<dyn Clock>,
}

/// The transport of e-mail.
pub struct MailTransport {
    mailer: Arc<Mailer>,
    mailboxes: Mailboxes,
}

/// Writes to the customers of one ledger.
struct MailSender {
    mailer: Arc<Mailer>,
    ledger: LedgerId,
}

impl MailTransport {
    /// Writes with `mailer` about the events of the endpoints that `mailboxes` makes.
    #[must_use]
    pub const fn new(mailer: Arc<Mailer>, mailboxes: Mailboxes) -> Self {
        Self { mailer, mailboxes }
    }
}

#[async_trait]
impl Transport for MailTransport {
    fn serves(&self, endpoint: &Endpoint) -> bool {
        endpoint.is_email()
    }

    /// Other servers may have e-mail switched off and take none of it, and it is little.
    fn is_shared_evenly(&self) -> bool {
        false
    }

    /// One connection takes one message after the other, and a server that fails is noticed before the next one.
    fn messages_at_a_time(&self) -> usize {
        1
    }

    async fn make_endpoints(&self) -> Result<(), StoreError> {
        self.mailboxes.make().await
    }

    fn sender(&self, _endpoint: &Endpoint, ledger: &LedgerId) -> Arc<dyn Sender> {
        Arc::new(MailSender { mailer: Arc::clone(&self.mailer), ledger: ledger.clone() })
    }
}

#[async_trait]
impl Sender for MailSender {
    async fn send(&self, notice: &Notice) -> Result<(), Failure> {
        self.mailer.send(notice, &self.ledger).await
    }
}

impl Mailer {
    /// Writes to a customer about an event. A customer without an address gets no message, which is no failure.
    async fn send(&self, notice: &Notice, ledger: &LedgerId) -> Result<(), Failure> {
        let (event, customer) = (notice.id(), &notice.customer);
        let refused = |error: String, consequence: Consequence| {
            tracing::warn!(event, %customer, error, "an e-mail was not sent");
            Err(Failure { consequence, ..Failure::without_answer(&error) })
        };
        let to = match recipient(&notice.profile.contact) {
            Ok(to) => to,
            Err(NoAddress::None) => {
                tracing::info!(event, %customer, "no e-mail is sent: the customer has no address");
                return Ok(());
            }
            Err(NoAddress::Wrong) => {
                return refused(
                    "the customer's contact has no valid e-mail address".to_owned(),
                    Consequence::GiveUp,
                );
            }
        };
        let facts = Facts::new(notice, ledger, &self.link);
        // A template that fails on these facts alone is mended by somebody, so there are more attempts.
        let content = match self.templates.fill(notice.profile.contact.locale.as_str(), &facts) {
            Ok(content) => content,
            Err(error) => return refused(error, Consequence::TryAgain),
        };
        let address = to.email.clone();
        let message = match message(&self.from, to, &event, content, self.clock.now()) {
            Ok(message) => message,
            Err(error) => return refused(error.to_string(), Consequence::GiveUp),
        };
        let sent = self.smtp.send(&self.from.from.email, &address, &message.formatted()).await;
        if let Err(Failure { consequence: Consequence::GiveUp, error, .. }) = &sent {
            tracing::warn!(event, %customer, error, "an e-mail was refused and is given up");
        }
        sent
    }
}
