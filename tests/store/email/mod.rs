//! E-mail from a posting to a real mail server, with a clock that the test drives.

mod delivery;
mod handover;
mod templates;

use std::sync::Arc;
use std::time::Duration;

use creditledger::clock::Clock;
use creditledger::delivery::mail::{
    Link, MailFrom, Mailer, Smtp, SmtpSettings, Templates, Tls, email_endpoint, parse_mailbox,
};
use creditledger::delivery::{Delivery, Endpoint};
use creditledger::ledger::commands::{Command, CreateCustomer, SetBalanceAlerts};
use creditledger::ledger::{Alerts, Contact, Credits, LedgerNo, Profile, Text, Threshold};

use crate::desk::id;
use crate::mail::{Mail, MailServer};
use crate::receiver::round_trip;
use crate::rig::Rig;
use crate::webhooks::{Desk, Relaying};

/// What a mail may take: so long that no test comes to it by letting time pass. Those that mean to set their own.
const TIMEOUT: Duration = Duration::from_hours(24 * 365);

pub fn settings(port: u16, tls: Tls) -> SmtpSettings {
    SmtpSettings {
        host: "127.0.0.1".into(),
        port,
        tls,
        authorities: None,
        credentials: None,
        hello: "example.com".into(),
        timeout: TIMEOUT,
    }
}

pub fn mailer_with(settings: SmtpSettings, templates: Templates, clock: &Arc<dyn Clock>) -> Arc<Mailer> {
    let from = parse_mailbox("Credits <credits@example.com>").unwrap();
    let reply_to = Some(parse_mailbox("support@example.com").unwrap());
    Arc::new(Mailer {
        templates,
        from: MailFrom { from, reply_to },
        link: Link::parse("https://shop.example.com/{ledger_id}?for={customer_id}").unwrap(),
        smtp: Smtp::new(settings, Arc::clone(clock)).unwrap(),
        clock: Arc::clone(clock),
    })
}

pub fn contact(email: &str) -> Contact {
    Contact { name: id("Carol"), email: id(email), locale: Text::EMPTY }
}

/// A desk with what e-mail needs besides.
pub struct Office {
    pub desk: Desk,
}

impl Office {
    pub fn new(rig: &Rig) -> Self {
        Self { desk: Desk::new(rig) }
    }

    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.desk.clock) as Arc<dyn Clock>
    }

    /// A server that sends mail, once it has begun.
    pub async fn open(&self, rig: &Rig, me: u128, server: &MailServer) -> Relaying {
        let templates = Templates::load(None).unwrap();
        self.open_with(rig, me, mailer_with(settings(server.port, Tls::None), templates, &self.clock())).await
    }

    pub async fn open_with(&self, rig: &Rig, me: u128, mailer: Arc<Mailer>) -> Relaying {
        let relay = self.desk.relay_with(rig, me, Some(mailer));
        patiently(async {
            while self.stored(rig, LedgerNo::MAIN).await.is_none() {
                tokio::task::yield_now().await;
            }
        })
        .await;
        relay
    }

    /// The endpoint of e-mail as it is stored.
    pub async fn stored(&self, rig: &Rig, ledger: LedgerNo) -> Option<Endpoint> {
        let mut tx = rig.webhooks.begin(self.desk.clock.now()).await.unwrap();
        let endpoint = tx.endpoint(email_endpoint(ledger)).await.unwrap();
        tx.commit().await.unwrap();
        endpoint
    }

    /// Waits until the relay has stored that it is through with all that was posted.
    pub async fn settled(&self, rig: &Rig, server: &MailServer) {
        let end = self.desk.webhooks.last_position(LedgerNo::MAIN).await.unwrap();
        patiently(async {
            while self.stored(rig, LedgerNo::MAIN).await.unwrap().done != end {
                self.second(server).await;
            }
        })
        .await;
    }

    /// Lets a second pass in which something can be done: a lease must not be over before its holder had a turn.
    pub async fn second(&self, server: &MailServer) {
        self.desk.clock.pass(1);
        for _ in 0..8 {
            round_trip(server.port).await;
        }
        server.clients_have_spoken().await;
    }

    /// Lets time pass until the server has seen what is waited for.
    pub async fn pass_until(&self, server: &MailServer, passes: impl Fn(&MailServer) -> bool) {
        patiently(async {
            while !passes(server) {
                self.second(server).await;
            }
        })
        .await;
    }

    /// Waits until what was not sent at once, or was given up, passes.
    pub async fn deliveries(&self, dead: bool, passes: impl Fn(&[Delivery]) -> bool) -> Vec<Delivery> {
        let endpoint = email_endpoint(LedgerNo::MAIN);
        patiently(async {
            loop {
                let found = self.desk.webhooks.deliveries(LedgerNo::MAIN, endpoint, dead, None, 100).await;
                let found = found.unwrap().unwrap();
                if passes(&found) {
                    return found;
                }
                tokio::task::yield_now().await;
            }
        })
        .await
    }
}

/// What is waited for comes in two minutes, or never.
pub async fn patiently<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_mins(2), what).await.expect("what is waited for does not come")
}

/// A customer with a contact and a threshold of 5 credits.
pub async fn customer(rig: &mut Rig, customer: &str, contact: Contact) {
    rig.customer = id(customer);
    let profile = Profile { name: id(&format!("{customer} GmbH")), contact, ..Profile::default() };
    rig.ok(Command::CreateCustomer(CreateCustomer { profile, ..CreateCustomer::default() })).await;
    let alerts = Some(Arc::new(Alerts::new(vec![Threshold::Credits(Credits::whole(5))]).unwrap()));
    rig.ok(Command::SetBalanceAlerts(SetBalanceAlerts { alerts })).await;
}

pub fn subjects(taken: &[Mail]) -> Vec<String> {
    taken.iter().map(|mail| mail.shown().headers["subject"].clone()).collect()
}
