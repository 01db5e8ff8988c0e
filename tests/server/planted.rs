//! More than a hundred secrets are planted wherever a secret can be, and looked for wherever none may show: logs of every
//! level in both formats, spans, errors, `--help`, and Debug output; as they are and encoded.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use creditledger::config::{Config, Flags, Secrets};
use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::*;
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Status};

use super::mail::{MailServer, Mode, Reply as MailReply, Stage};
use super::planted_secrets::Planted;
use super::postgres::free_port;
use super::process::{Place, Running, Server};
use super::receiver::{Receiver, Reply};
use super::shop_rig::{Delivery, request, signed_with};
use super::traces::Collector;

/// Secrets that must be planted in all.
const SECRETS_MIN: usize = 100;
const SHOPS: usize = 10;
const ENDPOINTS: usize = 40;
/// The control: a part of names that are logged and traced, without which this test would see nothing.
const MARKER: &str = "planted-marker";

/// Everything that a caller learns of an error.
fn told(status: &Status) -> String {
    let details = String::from_utf8_lossy(status.details());
    format!("{status} {status:?} {} {details} {:?}", status.message(), status.metadata())
}

/// Sends a request over a socket of its own, and gives the whole answer.
fn http(server: &Server, request: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.address()).unwrap();
    socket.write_all(request).unwrap();
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Settings with secrets in every place that a server reads.
struct Settings {
    place: Place,
    variables: Vec<(String, String)>,
    /// The text secret of each shop.
    shops: Vec<String>,
}

impl Settings {
    fn new(planted: &Planted, mail_port: u16) -> Self {
        let place = Place::new();
        let (mut variables, mut shops) = (Vec::new(), Vec::new());
        place.write("mail-password", &format!("{}\n", planted.new_secret("password of e-mail")));
        place.write("old-key", &planted.sealing_key("old key in a file"));
        variables.push(("CREDITLEDGER_SEALING_KEY".to_owned(), planted.sealing_key("key")));
        let user = planted.new_secret("user of e-mail");
        let old = planted.sealing_key("old key in the settings");
        let mut text = format!(
            "listen = \"127.0.0.1:0\"\nlog_filter = \"trace\"\nwebhook_development = true\n\
             sealing_old_keys = [{old:?}]\nsealing_old_key_files = [\"old-key\"]\n\
             [email]\nhost = \"127.0.0.1\"\nport = {mail_port}\ntls = \"none\"\nuser = {user:?}\n\
             password_file = \"mail-password\"\nfrom = \"Credits <credits@example.com>\"\n\
             top_up_link = \"https://shop.example.com/credits?for={{customer_id}}\"\n"
        );
        let vendors = ["stripe", "shopify", "woocommerce", "generic"];
        for number in 0..SHOPS {
            let vendor = vendors[number % vendors.len()];
            let secret = planted.new_secret("secret of a shop");
            let old = planted.new_secret("old secret of a shop");
            variables.push((format!("SHOP_{number}"), planted.new_secret("variable of a shop")));
            place.write(&format!("shop-{number}"), &planted.new_secret("file of a shop"));
            write!(
                text,
                "[[storefronts]]\nid = \"{MARKER}-{number}\"\nvendor = \"{vendor}\"\nsecrets = [{secret:?}, {old:?}]\n\
                 secret_variables = [\"SHOP_{number}\"]\nsecret_files = [\"shop-{number}\"]\ncustomer = \"customer\"\n\
                 credits = {{ P = \"10\" }}\n"
            )
            .unwrap();
            shops.push(secret);
        }
        place.write("settings.toml", &text);
        Self { place, variables, shops }
    }

    fn command(&self, arguments: &[&str]) -> std::process::Command {
        let mut command = self.place.command(arguments);
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }
}

/// A call whose headers have secrets.
fn with_headers<T>(planted: &Planted, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let headers: &mut MetadataMap = request.metadata_mut();
    for name in ["x-api-key", "x-forwarded-access-token", "cookie"] {
        headers.insert(name, planted.new_secret(name).parse().unwrap());
    }
    let bearer = format!("Bearer {}", planted.new_secret("authorization: Bearer"));
    headers.insert("authorization", bearer.parse().unwrap());
    let bytes = planted.new_secret("binary metadata").into_bytes();
    headers.insert_bin("x-token-bin", MetadataValue::from_bytes(&bytes));
    request
}

fn with_metadata(planted: &Planted, id: &str, customer: &str) -> CommandContext {
    let mut context = context(id, customer);
    for key in ["token", "password"] {
        context.metadata.insert(key.to_owned(), planted.new_secret("metadata of a command"));
    }
    context
}

/// Customers, and commands that are taken and refused.
async fn command(server: &Server, planted: &Planted) {
    let mut client = CustomerServiceClient::new(server.connect().await);
    let contact = Contact { name: "Ann".into(), email: "ann@example.com".into(), ..Default::default() };
    let create = |id: &str| CreateCustomerRequest {
        context: Some(with_metadata(planted, id, "acme")),
        contact: Some(contact.clone()),
        ..Default::default()
    };
    client.create_customer(with_headers(planted, create("1"))).await.unwrap();
    let refused = client.create_customer(with_headers(planted, create("2"))).await.unwrap_err();
    assert_eq!(refused.code(), Code::AlreadyExists, "{refused:?}");
    planted.are_not_in("a refused command", &told(&refused));
    let mut client = LedgerServiceClient::new(server.connect().await);
    for (nth, credits) in ["10", "-10", "1,5", "-99"].into_iter().enumerate() {
        let context = with_metadata(planted, &format!("a{nth}"), "acme").by("op").because("test");
        let adjust = AdjustBalanceRequest { context: Some(context), credits: credits.into() };
        if let Err(refused) = client.adjust_balance(with_headers(planted, adjust)).await {
            planted.are_not_in("a refused command", &told(&refused));
        }
    }
}

/// Endpoints with secrets of their own, some replaced, and those that are refused.
async fn endpoints(server: &Server, planted: &Planted, url: &str) {
    let mut client = NotificationServiceClient::new(server.connect().await);
    for number in 0..ENDPOINTS {
        let query = planted.new_secret("query of an endpoint's URL").replace(['+', '/'], "-");
        let create = CreateWebhookEndpointRequest {
            context: Some(context(format!("e{number}"), "")),
            url: format!("{url}?token={query}"),
            secret: planted.signing_secret("secret of an endpoint"),
            after_position: Some(0),
            ..Default::default()
        };
        let made = client.create_webhook_endpoint(create.clone()).await.unwrap().into_inner();
        assert_eq!(made.secret, create.secret);
        planted.are_not_in("Debug of a request", &format!("{create:?}").replace(&create.url, ""));
        planted.are_not_in(
            "Debug of an answer",
            &format!("{:?}", CreateWebhookEndpointResponse { endpoint: None, ..made.clone() }),
        );
        if number % 2 == 0 {
            let update = UpdateWebhookEndpointRequest {
                context: Some(context(format!("u{number}"), "")),
                endpoint_id: made.endpoint.unwrap().endpoint_id,
                secret: planted.signing_secret("new secret of an endpoint"),
                update_mask: Some(prost_types::FieldMask { paths: vec!["secret".into()] }),
                ..Default::default()
            };
            let changed = client.update_webhook_endpoint(update.clone()).await.unwrap().into_inner();
            assert_eq!(changed.secret, update.secret);
            planted.are_not_in("Debug of a request", &format!("{update:?}"));
        }
    }
    let password = planted.new_secret("password in an endpoint's URL");
    for (url, secret) in [
        (format!("https://ada:{password}@hooks.example.com/x"), String::new()),
        (format!("https://{password}@hooks.example.com/x"), String::new()),
        (url.to_owned(), planted.new_secret("a secret of the wrong form")),
        (url.to_owned(), format!("whsec_{}", planted.new_secret("a secret that is no base64"))),
        (url.to_owned(), format!("whsec_{}\n", planted.new_secret("a secret with a line's end"))),
    ] {
        let create = CreateWebhookEndpointRequest {
            context: Some(context("bad", "")),
            url,
            secret,
            ..Default::default()
        };
        let refused = client.create_webhook_endpoint(with_headers(planted, create)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        planted.are_not_in("a refused endpoint", &told(&refused));
    }
}

/// What is refused before it is a command: by path, by form, and over Connect.
fn raw_calls(server: &Server, planted: &Planted) {
    let basic = STANDARD.encode(format!("ada:{}", planted.new_secret("authorization: Basic")));
    let token = planted.new_secret("query of Connect").replace(['+', '/'], "-");
    let name = "creditledger.v1.NotificationService/CreateWebhookEndpoint";
    let bodies = [
        format!("{{\"secret\":[\"{}\"]}}", planted.new_secret("JSON of the wrong type")),
        format!("{{\"secret\":\"{}", planted.new_secret("JSON that breaks off")),
        format!("{{\"secret\":\"{}\",\"url\":1}}", planted.new_secret("JSON beside a fault")),
    ];
    for body in bodies {
        let head = format!(
            "POST /{name}?token={token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\nauthorization: Basic {basic}\r\n\
             content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = http(server, head.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        planted.are_not_in("an answer of Connect", &answer);
    }
    let get = planted.new_secret("query of a GET").replace(['+', '/'], "-");
    for path in ["creditledger.v1.LedgerService/GetBalance", "creditledger.v1.NoService/Get", "nowhere"] {
        let head = format!(
            "GET /{path}?encoding=json&message=%7B%7D&token={get} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             authorization: Basic {basic}\r\n\r\n"
        );
        planted.are_not_in("an answer to a GET", &http(server, head.as_bytes()));
    }
}

/// Deliveries of shops: signed, signed wrongly, and with secrets where none belongs.
fn deliveries(server: &Server, planted: &Planted, shops: &[String]) {
    for (number, secret) in shops.iter().enumerate() {
        let vendor = ["stripe", "shopify", "woo", "own"][number % 4];
        let id = format!("{MARKER}-{number}");
        let id: &'static str = id.leak();
        for (with, body) in [
            (secret.clone(), "{}"),
            (planted.new_secret("a shop's wrong secret"), "{}"),
            (secret.clone(), "no JSON"),
        ] {
            let delivery = Delivery { shop: id, ..signed_with(&with, vendor, "orders/paid", body, 0) };
            let more = format!(
                "connection: close\r\nx-shop-token: {}\r\nauthorization: Bearer {}\r\n",
                planted.new_secret("header of a delivery"),
                planted.new_secret("authorization of a delivery"),
            );
            let answer = http(server, &request(&delivery, &more));
            planted.are_not_in("an answer to a delivery", &answer);
        }
        let signature = planted.new_secret("a signature");
        let token = planted.new_secret("query of a delivery").replace(['+', '/'], "-");
        let head = format!(
            "POST /webhooks/{id}?secret={token} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
             stripe-signature: {signature}\r\nwebhook-signature: {signature}\r\ncontent-length: 2\r\n\r\n{{}}"
        );
        planted.are_not_in("an answer to a delivery", &http(server, head.as_bytes()));
    }
}

/// One server through all of it, at the finest log level.
async fn exercise(format: &str, mail_is_there: bool) {
    let planted = Planted::default();
    let mail = MailServer::start(Mode::Plain, |stage, _| match stage {
        Stage::Auth => MailReply::Code(535),
        _ => MailReply::Ok,
    })
    .await;
    let settings = Settings::new(&planted, if mail_is_there { mail.port } else { free_port() });
    let (collector, endpoint) = Collector::start().await;
    let mut command_line = settings.command(&["serve", "--config", "settings.toml", "--log-format", format]);
    command_line.env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint);
    let server = Server::start(command_line);
    let mut refusals = 0_u32;
    let receiver = Receiver::start(move |_| {
        refusals += 1;
        if refusals.is_multiple_of(3) { Reply::Status(500, None) } else { Reply::Status(204, None) }
    })
    .await;
    endpoints(&server, &planted, &receiver.url).await;
    // One where nobody listens.
    endpoint_at_a_closed_port(&server, &planted).await;
    command(&server, &planted).await;
    raw_calls(&server, &planted);
    deliveries(&server, &planted, &settings.shops);
    receiver.until(|messages| messages.len() >= ENDPOINTS).await;
    if mail_is_there {
        mail.until(|mail| mail.seen(Stage::Auth, "") > 0).await;
    }
    let mut client = CustomerServiceClient::new(server.connect().await);
    let marked = GetCustomerRequest { ledger_id: MARKER.into(), customer_id: "acme".into() };
    client.get_customer(marked).await.unwrap_err();
    drop(client);

    let said = server.said.join("\n");
    let ended = server.stop();
    let spans = collector.spans();
    for number in 0..SHOPS {
        assert!(ended.stderr.contains(&format!("{MARKER}-{number}")), "the log is not whole");
    }
    assert!(ended.stderr.contains("TRACE"), "this is not the finest level");
    assert!(spans.contains(MARKER) && spans.contains("CreateWebhookEndpoint"), "no spans came");
    planted.are_not_in("the output", &format!("{said}\n{}", ended.stdout));
    planted.are_not_in("the spans", &spans);
    planted.are_not_in("the log", &ended.stderr);
    assert!(planted.count() >= SECRETS_MIN, "{} secrets", planted.count());
}

async fn endpoint_at_a_closed_port(server: &Server, planted: &Planted) {
    let create = CreateWebhookEndpointRequest {
        context: Some(context("closed", "")),
        url: format!("http://127.0.0.1:{}/{}", free_port(), "hook"),
        secret: planted.signing_secret("secret of an endpoint"),
        after_position: Some(0),
        ..Default::default()
    };
    let mut client = NotificationServiceClient::new(server.connect().await);
    client.create_webhook_endpoint(create).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_as_text() {
    exercise("text", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_a_log_as_json() {
    exercise("json", true).await;
}

/// Settings that are wrong beside, around and in a secret.
fn wrong_settings(secret: &str) -> Vec<String> {
    vec![
        format!("sealing_key = \"{secret}\""),
        format!("sealing_key = [\"{secret}\"]"),
        format!("sealing_key = \"{secret}"),
        format!("sealing_key = {secret}"),
        format!("sealing_key = \"{secret}\\q\""),
        format!("sealing_key = \"{secret}\"\nsealing_key = \"{secret}\""),
        format!("sealing_key = \"{secret}\"\nsealing_key_file = \"x\""),
        format!("sealing_old_keys = \"{secret}\""),
        format!("sealing_old_keys = [\"{secret}\", 5]"),
        format!("sealing_old_keys = [\"{secret}\"]"),
        format!("database_url = \"{secret}\""),
        format!("database_url = [\"{secret}\"]"),
        format!("database_url = \"postgres://ada:{secret}@h/d\"\ndatabase_url_file = \"x\""),
        format!("[email]\nhost = \"h\"\npassword = \"{secret}\"\npassword_file = \"x\""),
        format!("[email]\nhost = \"h\"\npassword = [\"{secret}\"]"),
        format!("[[storefronts]]\nid = \"w\"\nsecrets = \"{secret}\""),
        format!("[[storefronts]]\nid = \"w\"\nsecrets = [\"{secret}\\n\"]"),
        format!("[[storefronts]]\nid = \"w\"\nsecrets = [{secret}]"),
    ]
}

#[test]
fn no_secret_is_in_help_errors_of_settings_or_debug_output() {
    let planted = Planted::default();
    let settings = Settings::new(&planted, 25);
    // What a server has of its settings, as Debug shows it.
    let path = settings.place.path("settings.toml");
    let flags = Flags { config: Some(path.clone()), settings: Vec::new() };
    let variables = settings.variables.iter().map(|(name, value)| (name.into(), value.into()));
    let text = std::fs::read_to_string(&path).unwrap();
    let here = settings.place.path("").display().to_string();
    let whole = text
        .replace("\"old-key\"", &format!("\"{here}old-key\""))
        .replace("[\"shop-", &format!("[\"{here}shop-"));
    std::fs::write(&path, whole).unwrap();
    let config = Config::load(&flags, variables, Secrets::Needed).unwrap();
    assert_eq!(config.storefronts.len(), SHOPS);
    planted.are_not_in("Debug of the settings", &format!("{config:?}\n{config:#?}\n{flags:?}"));

    let run = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = settings.command(arguments);
        command.envs(variables.iter().copied());
        let ended = Running::start(command).end();
        format!("{}\n{}", ended.stdout, ended.stderr)
    };
    let own = planted.signing_secret("variable of the client");
    let url = format!(
        "postgres://ada:{}@127.0.0.1:{}/d",
        planted.new_secret("password of the database"),
        free_port()
    );
    let secrets = [("CREDITLEDGER_WEBHOOK_SECRET", &*own), ("CREDITLEDGER_DATABASE_URL", &*url)];
    for help in
        [&["--help"][..], &["serve", "--help"], &["webhook", "create", "--help"], &["verify", "--help"]]
    {
        let said = run(help, &secrets);
        assert!(said.contains("Usage: "), "{said}");
        planted.are_not_in("--help", &said);
    }
    // A database that is not there, and URLs that cannot be read.
    for url in [
        &*url,
        &url.replace("postgres:", "mysql:"),
        &url.replace("127.0.0.1", "127.0.0.1:x"),
        &url.replace("/d", "/d?sslmode=odd"),
    ] {
        for command in ["serve", "verify", "migrate"] {
            let said = run(&[command], &[("CREDITLEDGER_DATABASE_URL", url)]);
            assert!(said.contains("creditledger: "), "{said}");
            planted.are_not_in("an error of the database", &said);
            let said = run(&[command, "--database-url", url], &[]);
            planted.are_not_in("an error of the database", &said);
        }
        let said = run(&["copy", "--from", url, "--to", url], &[]);
        planted.are_not_in("an error of a copy", &said);
    }
    let secret = planted.new_secret("a secret in wrong settings");
    for wrong in wrong_settings(&secret) {
        settings.place.write("wrong.toml", &wrong);
        let ended = settings.place.run(&["serve", "--listen", "127.0.0.1:0", "--config", "wrong.toml"]);
        let said = format!(
            "{}
{}",
            ended.stdout, ended.stderr
        );
        assert!(said.contains("creditledger: "), "{wrong}: {said}");
        planted.are_not_in(&format!("an error of {}", wrong.replace(&secret, "S")), &said);
    }
    for variable in ["CREDITLEDGER_SEALING_KEY", "CREDITLEDGER_SEALING_OLD_KEYS", "CREDITLEDGER_DATABASE_URL"]
    {
        let said = run(&["serve", "--listen", "127.0.0.1:0"], &[(variable, &secret)]);
        planted.are_not_in(variable, &said);
    }
}
