//! How messages are handed over: what TLS demands, who logs in, what is said to whom, and what a message is made of whatever
//! stands in names and addresses.

use creditledger::delivery::mail::{Smtp, SmtpSettings, Templates, Tls};
use creditledger::hidden::Hidden;
use creditledger::ledger::{Contact, Text};

use super::{Office, contact, customer, mailer_with, patiently, settings};
use crate::desk::{adjust, id, purchase};
use crate::mail::{Mail, MailServer, Mode, Reply, Stage};
use crate::receiver::tls_for;
use crate::rig::Rig;

fn with_login(settings: SmtpSettings, authorities: &str) -> SmtpSettings {
    SmtpSettings {
        authorities: Some(authorities.as_bytes().to_vec()),
        credentials: Some((Hidden::new("robot".into()), Hidden::new("pass word".into()))),
        ..settings
    }
}

/// Sends one message to this contact; it, or what the delivery says went wrong, with its status.
async fn send_one(
    server: &MailServer,
    settings: SmtpSettings,
    contact: Contact,
) -> Result<Mail, (u32, String)> {
    let mut rig = Rig::memory();
    let office = Office::new(&rig);
    let mailer = mailer_with(settings, Templates::load(None).unwrap(), &office.clock());
    let relay = office.open_with(&rig, 1, mailer).await;
    customer(&mut rig, "acme", contact).await;
    rig.ok(purchase("1", "10")).await;
    rig.ok(adjust("-6")).await;
    let sent = patiently(async {
        loop {
            if let Some(mail) = server.taken().pop() {
                return Ok(mail);
            }
            let mut failed = office.deliveries(false, |_| true).await;
            failed.extend(office.deliveries(true, |_| true).await);
            if let Some(failed) = failed.first().filter(|failed| failed.attempts > 0) {
                return Err((failed.status, failed.error.to_string()));
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    relay.kill().await;
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tls_the_server_must_prove_who_it_is_before_it_is_told_anything() {
    let (tls, certificate) = tls_for("127.0.0.1");
    let pem = certificate.pem();
    let others = tls_for("127.0.0.1").1.pem();
    for (mode, way) in
        [(Mode::StartTls(tls.clone()), Tls::StartTls), (Mode::Implicit(tls.clone()), Tls::Implicit)]
    {
        let server = MailServer::start(mode, |_, _| Reply::Ok).await;
        let at = settings(server.port, way);
        let mail =
            send_one(&server, with_login(at.clone(), &pem), contact("carol@example.org")).await.unwrap();
        assert!(mail.is_encrypted);
        assert_eq!(mail.credentials, Some(("robot".into(), "pass word".into())));
        // Another authority, or those that browsers trust, do not vouch for it.
        let before = (server.seen(Stage::Auth, ""), server.seen(Stage::Sender, ""));
        let untrusted =
            [with_login(at.clone(), &others), SmtpSettings { authorities: None, ..with_login(at, &pem) }];
        for settings in untrusted {
            let fresh = MailServer::start(server_mode(way, &tls), |_, _| Reply::Ok).await;
            let settings = SmtpSettings { port: fresh.port, ..settings };
            let (status, error) = send_one(&fresh, settings, contact("carol@example.org")).await.unwrap_err();
            assert_eq!(status, 0);
            assert!(error.contains("certificate"), "{error}");
            assert_eq!((fresh.seen(Stage::Auth, ""), fresh.seen(Stage::Sender, "")), (0, 0));
        }
        assert_eq!((server.seen(Stage::Auth, ""), server.seen(Stage::Sender, "")), before);
    }
}

fn server_mode(way: Tls, tls: &tokio_rustls::TlsAcceptor) -> Mode {
    match way {
        Tls::StartTls => Mode::StartTls(tls.clone()),
        Tls::Implicit => Mode::Implicit(tls.clone()),
        Tls::None => Mode::Plain,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_does_not_offer_starttls_is_told_nothing() {
    let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let settings = with_login(settings(server.port, Tls::StartTls), &tls_for("127.0.0.1").1.pem());
    let (status, error) = send_one(&server, settings, contact("carol@example.org")).await.unwrap_err();
    assert_eq!(status, 0);
    assert!(error.contains("STARTTLS is not supported"), "{error}");
    assert_eq!((server.seen(Stage::Auth, ""), server.seen(Stage::Sender, "")), (0, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_or_sender_concerns_all_and_is_tried_again() {
    let (tls, certificate) = tls_for("127.0.0.1");
    let pem = certificate.pem();
    for (stage, code) in [(Stage::Auth, 535), (Stage::Sender, 553), (Stage::Connect, 554)] {
        let answer = move |at, _: &str| if at == stage { Reply::Code(code) } else { Reply::Ok };
        let server = MailServer::start(Mode::Implicit(tls.clone()), answer).await;
        let mut rig = Rig::memory();
        let office = Office::new(&rig);
        let settings = with_login(settings(server.port, Tls::Implicit), &pem);
        let mailer = mailer_with(settings, Templates::load(None).unwrap(), &office.clock());
        let relay = office.open_with(&rig, 1, mailer).await;
        for name in ["acme", "zeta", "nova"] {
            customer(&mut rig, name, contact("carol@example.org")).await;
            rig.ok(purchase(name, "10")).await;
            rig.ok(adjust("-6")).await;
        }
        // After a failure the server is left alone for some seconds, and the feed with it.
        let waiting = patiently(async {
            loop {
                let waiting = office.deliveries(false, |_| true).await;
                if waiting.len() == 3 {
                    return waiting;
                }
                office.second(&server).await;
            }
        })
        .await;
        let tried: Vec<_> = waiting.iter().filter(|it| it.attempts > 0).collect();
        assert!(!tried.is_empty() && tried.iter().all(|it| it.status == u32::from(code)), "{waiting:?}");
        assert!(waiting.iter().all(|it| !it.error.as_str().contains("pass word")), "{waiting:?}");
        assert_eq!(office.deliveries(true, |_| true).await, []);
        // Somebody puts it right.
        server.answer(|_, _| Reply::Ok);
        office.pass_until(&server, |server| server.taken().len() >= 3).await;
        relay.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_and_subjects_stay_what_they_are() {
    /// (customer's name, contact's name, the header To)
    const NAMES: [(&str, &str, &str); 7] = [
        ("Acme", "", "carol@example.org"),
        ("Acme Inc.", "Carol Doe", "\"Carol Doe\" <carol@example.org>"),
        ("Acme, Inc.", "Doe, Carol", "Doe, Carol <carol@example.org>"),
        ("=?utf-8?q?Bcc:?=", "x\" <eve@example.org>", "x\" <eve@example.org> <carol@example.org>"),
        ("Bcc: eve@example.org", "a@b.c; Bcc: eve", "a@b.c; Bcc: eve <carol@example.org>"),
        ("Überprüfungsgesellschaft für außergewöhnlich lange Namen", "Zoë", "Zoë <carol@example.org>"),
        ("株式会社", "李", "李 <carol@example.org>"),
    ];
    for (name, person, to) in NAMES {
        let server = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
        let mut rig = Rig::memory();
        let office = Office::new(&rig);
        let relay = office.open(&rig, 1, &server).await;
        let contact = Contact { name: Text::parse(person).unwrap(), ..contact("carol@example.org") };
        customer(&mut rig, "acme", contact).await;
        let named =
            creditledger::ledger::commands::UpdateCustomer { name: Some(id(name)), ..Default::default() };
        rig.ok(creditledger::ledger::commands::Command::UpdateCustomer(named)).await;
        rig.ok(purchase("1", "10")).await;
        rig.ok(adjust("-6")).await;
        server.until(|server| server.taken().len() == 1).await;
        let mail = server.taken().remove(0);
        let shown = mail.shown();
        assert_eq!(mail.to, "carol@example.org");
        assert_eq!(shown.headers["to"], to);
        // As it stands there it is one address: what means something to mail programs is encoded.
        let unfolded = mail.raw.replace("\r\n ", " ");
        let line = unfolded.split("\r\n").find(|line| line.starts_with("To: ")).unwrap();
        assert!(!line.contains([',', ';']) && line.matches('@').count() == 1, "{line}");
        assert_eq!(shown.headers["subject"], format!("{name}: 4 support credits left"));
        let mut headers: Vec<&str> = shown.headers.keys().map(String::as_str).collect();
        headers.retain(|header| !header.starts_with("content-"));
        let expected =
            ["auto-submitted", "date", "from", "message-id", "mime-version", "reply-to", "subject", "to"];
        assert_eq!(headers, expected, "{}", mail.raw);
        assert!(shown.text.contains(&format!("{name} has 4 support credits left.")), "{}", shown.text);
        relay.kill().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn addresses_beyond_ascii_go_where_they_are_taken() {
    let plain = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let refused = send_one(&plain, settings(plain.port, Tls::None), contact("jürgen@example.org")).await;
    let (status, error) = refused.unwrap_err();
    assert_eq!(status, 0);
    assert!(error.contains("SMTPUTF8"), "{error}");
    assert_eq!(plain.seen(Stage::Sender, ""), 0);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let modern = MailServer::on(listener, Mode::Plain, true, |_, _| Reply::Ok);
    let mail =
        send_one(&modern, settings(modern.port, Tls::None), contact("jürgen@example.org")).await.unwrap();
    assert_eq!(
        (mail.to.as_str(), mail.shown().headers["to"].as_str()),
        ("jürgen@example.org", "Carol <jürgen@example.org>")
    );
    // A domain has another spelling, which every server takes.
    let plain = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    let mail =
        send_one(&plain, settings(plain.port, Tls::None), contact("carol@münchen.example")).await.unwrap();
    assert_eq!(mail.to, "carol@xn--mnchen-3ya.example");
}

#[test]
fn authorities_that_are_none_are_refused() {
    let clock = || std::sync::Arc::new(creditledger::clock::System);
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"] {
        let settings = SmtpSettings { authorities: Some(pem.into()), ..settings(465, Tls::Implicit) };
        assert!(Smtp::new(settings, clock()).is_err(), "{pem:?}");
    }
    let settings = SmtpSettings {
        credentials: Some((Hidden::new("u".into()), Hidden::new("p4ss".into()))),
        ..settings(465, Tls::Implicit)
    };
    let shown = format!("{settings:?} {:?}", Smtp::new(settings.clone(), clock()).unwrap());
    assert!(!shown.contains("p4ss"), "{shown}");
}
