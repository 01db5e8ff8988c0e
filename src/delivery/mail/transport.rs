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
use crate::delivery::transport::{Consequence, SendFailure, Sender, Transport};
use crate::ledger::LedgerId;
use crate::store::StoreError;
use crate::store::webhooks::Endpoint;

pub struct Mailer {
    pub templates: Templates,
    pub from: MailFrom,
    pub link: Link,
    pub smtp: Smtp,
    /// For the date of messages.
    pub clock: Arc<dyn Clock>,
}

pub struct MailTransport {
    mailer: Arc<Mailer>,
    mailboxes: Mailboxes,
}

struct MailSender {
    mailer: Arc<Mailer>,
    ledger: LedgerId,
}

impl MailTransport {
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

    /// Not shared: other servers may have e-mail switched off, and there is little of it.
    fn is_shared_evenly(&self) -> bool {
        false
    }

    /// One connection takes one message after the other. A server that fails is noticed before the next message.
    fn messages_at_a_time(&self) -> usize {
        1
    }

    async fn prepare_endpoints(&self) -> Result<(), StoreError> {
        self.mailboxes.make().await
    }

    fn sender(&self, _endpoint: &Endpoint, ledger: &LedgerId) -> Arc<dyn Sender> {
        Arc::new(MailSender { mailer: Arc::clone(&self.mailer), ledger: ledger.clone() })
    }
}

#[async_trait]
impl Sender for MailSender {
    async fn send(&self, notice: &Notice) -> Result<(), SendFailure> {
        self.mailer.send(notice, &self.ledger).await
    }
}

impl Mailer {
    /// Writes to a customer about an event. A customer without an address gets no message, which is no failure.
    async fn send(&self, notice: &Notice, ledger: &LedgerId) -> Result<(), SendFailure> {
        let (event, customer) = (notice.id(), &notice.customer);
        let refused = |error: String, consequence: Consequence| {
            tracing::warn!(event, %customer, error, "an e-mail was not sent");
            Err(SendFailure { consequence, ..SendFailure::without_answer(&error) })
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
        // If a template fails only on these facts, somebody may fix it, so there are more attempts.
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
        if let Err(SendFailure { consequence: Consequence::GiveUp, error, .. }) = &sent {
            tracing::warn!(event, %customer, error, "an e-mail was refused and is given up");
        }
        sent
    }
}
