//! From an event to a message that is handed over.

use std::sync::Arc;

use super::facts::Facts;
use super::link::Link;
use super::message::{NoAddress, Sender, message, recipient};
use super::smtp::Smtp;
use super::templates::Templates;
use crate::clock::Clock;
use crate::delivery::Told;
use crate::delivery::webhooks::{Failure, Then, cut};
use crate::ledger::LedgerId;

/// Writes to customers.
#[derive(Debug)]
pub struct Mailer {
    /// What messages say.
    pub templates: Templates,
    /// Who they are from.
    pub sender: Sender,
    /// Where customers buy more.
    pub link: Link,
    /// Who they are handed to.
    pub smtp: Smtp,
}

impl Mailer {
    /// Writes to a customer of an event; nothing is sent where the customer has no address, which is no failure.
    pub(in crate::delivery) async fn send(
        &self,
        told: &Told,
        ledger: &LedgerId,
        clock: &Arc<dyn Clock>,
    ) -> Result<(), Failure> {
        let (event, customer) = (told.id(), &told.customer);
        let refused = |error: String, then: Then| {
            tracing::warn!(event, %customer, error, "an e-mail was not sent");
            Err(Failure { status: 0, error: cut(&error), retry_after: None, then })
        };
        let to = match recipient(&told.profile.contact) {
            Ok(to) => to,
            Err(NoAddress::None) => {
                tracing::info!(event, %customer, "no e-mail is sent: the customer has no address");
                return Ok(());
            }
            Err(NoAddress::Wrong) => {
                return refused(
                    "the customer's contact has no valid e-mail address".to_owned(),
                    Then::GiveUp,
                );
            }
        };
        let facts = Facts::new(told, ledger, &self.link);
        // A template that fails on these facts alone is mended by somebody, so there are more attempts.
        let content = match self.templates.fill(told.profile.contact.locale.as_str(), &facts) {
            Ok(content) => content,
            Err(error) => return refused(error, Then::TryAgain),
        };
        let address = to.email.clone();
        let message = match message(&self.sender, to, &event, content, clock.now()) {
            Ok(message) => message,
            Err(error) => return refused(error.to_string(), Then::GiveUp),
        };
        let sent = self.smtp.send(&self.sender.from.email, &address, &message.formatted()).await;
        if let Err(Failure { then: Then::GiveUp, error, .. }) = &sent {
            tracing::warn!(event, %customer, error, "an e-mail was refused and is given up");
        }
        sent
    }
}

/// A message as a customer would get it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preview {
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub text: String,
    /// The HTML.
    pub html: String,
}

/// What templates make of facts.
///
/// # Errors
/// What a template cannot do with them.
pub fn preview(templates: &Templates, locale: &str, facts: &Facts) -> Result<Preview, String> {
    let content = templates.fill(locale, facts)?;
    Ok(Preview { subject: content.subject, text: content.text, html: content.html })
}
