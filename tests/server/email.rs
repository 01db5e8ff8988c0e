//! E-mail by the real binary: what settings may be, that what was posted is told though the server is killed, that no
//! password shows anywhere, and what messages look like.

use std::collections::BTreeSet;

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::*;
use tonic::Code;

use super::mail::{MailServer, Mode, Reply, Stage};
use super::process::{Place, Server};
use super::receiver::tls_for;

const KILLS: u32 = 12;

fn table(port: u16, more: &str) -> String {
    format!(
        "[email]\nhost = \"127.0.0.1\"\nport = {port}\nfrom = \"Credits <credits@example.com>\"\n\
         top_up_link = \"https://shop.example.com/credits?for={{customer_id}}\"\n{more}\n"
    )
}

fn start(place: &Place) -> Server {
    Server::start(place.command(&["--listen", "127.0.0.1:0", "--config", "mail.toml"]))
}

async fn create(server: &Server, email: &str) {
    let contact = Contact { name: "Carol".into(), email: email.into(), locale: "pt-BR".into() };
    let create = CreateCustomerRequest {
        context: Some(context("1", "acme")),
        contact: Some(contact),
        ..Default::default()
    };
    CustomerServiceClient::new(server.connect().await).create_customer(create).await.unwrap();
}

/// Gives credits and takes all of them away.
async fn spend(server: &Server, round: u32) {
    let mut client = LedgerServiceClient::new(server.connect().await);
    for (nth, credits) in [(1, "10"), (2, "-10")] {
        let adjust = AdjustBalanceRequest {
            context: Some(context(format!("{round}-{nth}"), "acme").by("op").because("test")),
            credits: credits.into(),
        };
        client.adjust_balance(adjust).await.unwrap();
    }
}

async fn depleted(server: &Server) -> BTreeSet<String> {
    server.event_ids(vec![EventType::BalanceDepleted.into()]).await
}

fn ids(mail: &MailServer) -> BTreeSet<String> {
    mail.taken().iter().map(|mail| mail.event_id()).collect()
}

/// Waits until e-mail has begun, so that what is posted from now on is told.
async fn begun(server: &Server) {
    let mut client = NotificationServiceClient::new(server.connect().await);
    let list = || ListDeliveriesRequest { endpoint_id: "email".into(), ..Default::default() };
    while let Err(status) = client.list_deliveries(list()).await {
        assert_eq!(status.code(), Code::NotFound, "{status:?}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_is_told_though_the_server_is_killed_again_and_again() {
    let place = Place::new();
    let mail = MailServer::start(Mode::Plain, |_, _| Reply::Ok).await;
    place.write("mail.toml", &table(mail.port, "tls = \"none\""));
    let server = start(&place);
    create(&server, "carol@example.org").await;
    begun(&server).await;
    let mut server = Some(server);
    for round in 0..KILLS {
        let running = server.take().unwrap_or_else(|| start(&place));
        let before = mail.seen(Stage::Recipient, "");
        spend(&running, round).await;
        // At once, or while it is handed over, or once it is.
        match round % 3 {
            0 => {}
            1 => mail.until(|mail| mail.seen(Stage::Recipient, "") > before).await,
            _ => mail.until(|mail| mail.seen(Stage::Message, "") > before).await,
        }
        running.process.signal("KILL");
        assert!(!running.process.end().status.success());
    }
    let last = start(&place);
    let expected = depleted(&last).await;
    assert_eq!(expected.len(), usize::try_from(KILLS).unwrap());
    mail.until(|mail| ids(mail) == expected).await;
    last.stop();
    place.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_is_listed_and_sent_again_and_no_password_is_in_any_log() {
    let place = Place::new();
    let (tls, certificate) = tls_for("127.0.0.1");
    let pem = certificate.pem();
    let mail = MailServer::start(Mode::StartTls(tls), |stage, _| match stage {
        Stage::Recipient => Reply::Code(550),
        _ => Reply::Ok,
    })
    .await;
    place.write("ca.pem", &pem);
    place.write("password", "s3cret-word\n");
    for ending in ["subject", "txt", "html"] {
        std::fs::create_dir_all(place.path("templates/pt")).unwrap();
        place.write(&format!("templates/pt/balance.depleted.{ending}"), "Acabou, {{ contact_name }}");
    }
    let more =
        "ca_file = \"ca.pem\"\nuser = \"robot\"\npassword_file = \"password\"\ntemplates = \"templates\"";
    place.write("mail.toml", &format!("log_filter = \"trace\"\n{}", table(mail.port, more)));
    let server = start(&place);
    create(&server, "carol@example.org").await;
    begun(&server).await;
    spend(&server, 1).await;
    let mut client = NotificationServiceClient::new(server.connect().await);
    let dead = loop {
        let list = ListDeliveriesRequest {
            endpoint_id: "email".into(),
            state: DeliveryState::Dead.into(),
            ..Default::default()
        };
        if let Some(dead) = client.list_deliveries(list).await.unwrap().into_inner().deliveries.pop() {
            break dead;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!((dead.endpoint_id.as_str(), dead.status, dead.attempts), ("email", 550, 1));
    assert_eq!(dead.customer_id, "acme");
    mail.answer(|_, _| Reply::Ok);
    let again = RedeliverEventRequest {
        context: Some(context("again", "")),
        endpoint_id: "email".into(),
        position: dead.position,
        index: dead.index,
    };
    let again = client.redeliver_event(again).await.unwrap().into_inner();
    assert_eq!(again.endpoint_id, "email");
    mail.until(|mail| mail.taken().len() == 1).await;
    let taken = mail.taken().remove(0);
    assert_eq!(taken.event_id(), dead.event_id);
    assert_eq!(taken.credentials, Some(("robot".into(), "s3cret-word".into())));
    assert!(taken.is_encrypted);
    let shown = taken.shown();
    assert_eq!((shown.headers["subject"].as_str(), shown.text.as_str()), ("Acabou, Carol", "Acabou, Carol"));
    let listed = client.list_webhook_endpoints(ListWebhookEndpointsRequest::default()).await.unwrap();
    assert_eq!(listed.into_inner().endpoints, []);
    drop(client);
    let said = server.stop().stderr;
    assert!(said.contains("an e-mail was refused and is given up"), "{said}");
    // As it is, and as AUTH PLAIN has it.
    for secret in ["s3cret-word", "cm9ib3Q", "czNjcmV0"] {
        assert!(!said.contains(secret), "{secret}");
    }
}

#[test]
fn settings_that_are_wrong_are_named_and_nothing_is_started() {
    let good = table(25, "tls = \"none\"");
    let without =
        |key: &str| good.lines().filter(|line| !line.starts_with(key)).collect::<Vec<_>>().join("\n");
    let with = |more: &str| table(25, more);
    let at = |line: usize, problem: &str| format!("mail.toml line {line}: email{problem}");
    let cases = [
        ("email = 1".to_owned(), at(1, " must be a table: [email]")),
        (without("host"), at(1, " must have the key host")),
        (without("from"), at(1, " must have the key from")),
        (without("top_up_link"), at(1, " must have the key top_up_link")),
        (with("hots = \"x\""), at(6, ".hots is not a setting")),
        (with("tls = \"ssl\""), at(6, ".tls must be \"starttls\", \"implicit\" or \"none\", not \"ssl\"")),
        (with("tls = 1"), at(6, ".tls must be a string, not integer")),
        (with("reply_to = \"\""), at(6, ".reply_to must not be empty")),
        (without("port") + "\nport = 0", at(6, ".port must be a whole number from 1 to 65535, not 0")),
        (
            without("port") + "\nport = \"25\"",
            at(6, ".port must be a whole number from 1 to 65535, not string"),
        ),
        (with("timeout_ms = 99"), at(6, ".timeout_ms must be a whole number from 100 to 600000, not 99")),
        (with("user = \"u\""), at(1, " must have user and a password, or neither")),
        (with("password = \"p4ss\""), at(1, " must have user and a password, or neither")),
        (
            with("user = \"u\"\npassword = \"p4ss\"\npassword_file = \"p\""),
            at(1, " must have one of password, password_variable and password_file"),
        ),
        (
            with("user = \"u\"\npassword_variable = \"NO_SUCH\""),
            "email: password_variable names NO_SUCH, which is not set".to_owned(),
        ),
        (
            with("user = \"u\"\npassword_file = \"none\""),
            "email: password_file names none, which cannot be read: ".to_owned(),
        ),
        (
            good.replace("127.0.0.1", "mail.example.com"),
            "email: tls may be none for a host on this machine only".to_owned(),
        ),
        (
            good.replace("Credits <credits@example.com>", "Credits"),
            "email: from must be an address such as \"Credits <credits@example.com>\", not \"Credits\""
                .to_owned(),
        ),
        (
            good.replace("Credits <credits@example.com>", "a@example.com\\r\\nBcc: b@example.com"),
            "email: from must be an address".to_owned(),
        ),
        (with("tls = \"none\"\nreply_to = \"nobody\""), "email: reply_to must be an address".to_owned()),
        (
            good.replace("{customer_id}", "{customer}"),
            "email: top_up_link may put in {customer_id}".to_owned(),
        ),
        (good.replace("https:", "javascript:"), "email: top_up_link must be an http or https URL".to_owned()),
        (with("tls = \"none\"\ntemplates = \"none\""), "email: none cannot be read: ".to_owned()),
        (
            with("tls = \"none\"\ntemplates = \"templates\""),
            "email: templates/balance.low.txt line 2: there is no variable avialable; ".to_owned(),
        ),
        (with("ca_file = \"none.pem\""), "email: ca_file none.pem: ".to_owned()),
        (
            with("ca_file = \"mail.toml\""),
            "email: ca_file must name a file of certificates in PEM".to_owned(),
        ),
    ];
    let place = Place::new();
    std::fs::create_dir(place.path("templates")).unwrap();
    place.write("templates/balance.low.txt", "Hello,\n{{ avialable }} are left\n");
    for (text, complaint) in cases {
        place.write("mail.toml", &text);
        let ended = place.run(&["--listen", "127.0.0.1:0", "--config", "mail.toml"]);
        let said = ended.complaint();
        assert!(said.starts_with(&format!("creditledger: {complaint}")), "{text}\n{said}\n{complaint}");
        assert!(!said.contains("p4ss"), "{said}");
    }
    place.write("mail.toml", "listn = 1\n[email]\nhots = \"x\"\nport = 0\ntls = 1\n");
    let ended = place.run(&["--listen", "127.0.0.1:0", "--config", "mail.toml"]);
    let said = ended.stderr;
    for problem in ["listn", ".hots", ".port", ".tls", "the key host", "the key from", "the key top_up_link"]
    {
        assert!(said.contains(problem), "{problem} is not told in one go:\n{said}");
    }
    assert!(!place.path("creditledger.db").exists());
}

#[test]
fn a_preview_shows_what_a_customer_would_get() {
    let place = Place::new();
    let run = |arguments: &[&str]| {
        let ended = place.run(&[&["email", "preview"], arguments].concat());
        assert!(ended.status.success(), "{}", ended.stderr);
        ended.stdout
    };
    let built_in = run(&[]);
    assert!(
        built_in.starts_with("Subject: Acme & Sons <GmbH>: 2.5 support credits left\n\nHello Carol,\n"),
        "{built_in}"
    );
    let html = run(&["--event", "credits.shortfall", "--html"]);
    assert!(html.contains("<p>Hello Carol,</p>") && html.contains("Acme &amp; Sons &lt;GmbH&gt;"), "{html}");
    // With what the documentation shows as settings.
    let documented =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/creditledger.toml"));
    let documented = documented.unwrap();
    let (_, rest) = documented.split_once("# [email]\n").unwrap();
    let example: Vec<&str> =
        rest.lines().take_while(|line| line.starts_with("# ")).map(|line| &line[2..]).collect();
    assert!(example.len() > 10, "{example:?}");
    let example: Vec<&str> = example.into_iter().filter(|line| !line.starts_with("templates")).collect();
    place.write("mail.toml", &format!("[email]\n{}\n", example.join("\n")));
    let shown = run(&["--config", "mail.toml", "--locale", "pt-BR"]);
    assert!(shown.contains("https://shop.example.com/credits?customer=acme"), "{shown}");
    let wrong = place.run(&["email", "preview", "--event", "hold.placed"]);
    assert!(
        wrong.stderr.contains("must be one of balance.low, balance.depleted, credits.shortfall"),
        "{}",
        wrong.stderr
    );
}
