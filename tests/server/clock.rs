//! Clocks that are wrong, by faketime: the server's while it runs and at a start, and PostgreSQL's. Each time what must
//! not expire does not, stamps rise, statements reach to now, and the operator is told.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use creditledger::grpc::wire::customer_service_client::CustomerServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::purchase_service_client::PurchaseServiceClient;
use creditledger::grpc::wire::*;
use prost_types::Timestamp;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use super::postgres::Cluster;
use super::process::{PATIENCE, Place, Server};
use super::shop_rig::until;

const HOUR: i64 = 3_600;
const YEARS: i64 = 10 * 365 * 24 * HOUR;
/// What a test may take on a machine that compiles at the same time; far less than any step here.
const SLACK_SECONDS: i64 = 300;

/// The library that gives processes another time, where it is installed.
fn faketime() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten().map(|folder| folder.path());
    let found = folders
        .chain([PathBuf::from("/usr/local/lib"), PathBuf::from("/usr/lib")])
        .map(|folder| folder.join("faketime/libfaketimeMT.so.1"))
        .find(|library| library.is_file());
    let required = std::env::var_os("CREDITLEDGER_REQUIRE_FAKETIME").is_some();
    assert!(found.is_some() || !required, "faketime must be installed for the tests of the clock");
    if found.is_none() {
        eprintln!("faketime is not installed: the tests of the clock are left out");
    }
    found
}

/// A clock that is as wrong as a file says. The time since the machine started stays true.
struct WrongClock {
    library: PathBuf,
    file: PathBuf,
}

impl WrongClock {
    fn new(library: PathBuf, folder: &Path) -> Self {
        let clock = Self { library, file: folder.join("faketime") };
        clock.set(0);
        clock
    }

    /// Sets it, also under running processes.
    fn set(&self, seconds: i64) {
        // Readers never see half a file.
        let new = self.file.with_extension("new");
        std::fs::write(&new, format!("{seconds:+}\n")).unwrap();
        std::fs::rename(&new, &self.file).unwrap();
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        vec![
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
    }

    fn command(&self, place: &Place, arguments: &[&str]) -> Command {
        let mut command = place.command(arguments);
        command.envs(self.variables());
        command
    }

    fn serve(&self, place: &Place) -> Server {
        Server::start(self.command(place, &["serve", "--listen", "127.0.0.1:0"]))
    }
}

/// The true time.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_secs()).unwrap()
}

fn time(seconds: i64) -> Timestamp {
    Timestamp { seconds, nanos: 0 }
}

/// What a helpdesk asks of a server, and what must be true of each answer.
struct Desk {
    channel: Channel,
    commands: u32,
    /// The last stamp, in seconds and nanoseconds.
    last: (i64, i32),
}

impl Desk {
    async fn of(server: &Server, earlier: Option<Self>) -> Self {
        let (commands, last) = earlier.map_or((0, (0, 0)), |desk| (desk.commands, desk.last));
        Self { channel: server.connect().await, commands, last }
    }

    fn context(&mut self) -> CommandContext {
        self.commands += 1;
        context(format!("r{}", self.commands), "acme").because("a test")
    }

    /// A customer with 10 credits that expire in two hours, of which 2 are held for an hour.
    async fn begin(&mut self) {
        let create = CreateCustomerRequest { context: Some(self.context()), ..Default::default() };
        CustomerServiceClient::new(self.channel.clone()).create_customer(create).await.unwrap();
        let purchase = PurchaseCreditsRequest {
            context: Some(self.context()),
            storefront: "web".to_owned(),
            order_id: "o1".to_owned(),
            credits: "10".to_owned(),
            expires_at: Some(time(now() + 2 * HOUR)),
            ..Default::default()
        };
        PurchaseServiceClient::new(self.channel.clone()).purchase_credits(purchase).await.unwrap();
        let hold = PlaceHoldRequest {
            context: Some(self.context()),
            incident_id: "i1".to_owned(),
            quote: Some(place_hold_request::Quote::Credits("2".to_owned())),
            expires_at: Some(time(now() + HOUR)),
            ..Default::default()
        };
        HoldServiceClient::new(self.channel.clone()).place_hold(hold).await.unwrap();
    }

    /// Grants a credit, whose stamp must be later than the one before; gives its seconds.
    async fn grant(&mut self) -> i64 {
        let grant = GrantCreditsRequest {
            context: Some(self.context()),
            credits: "1".to_owned(),
            ..Default::default()
        };
        let answer = PurchaseServiceClient::new(self.channel.clone()).grant_credits(grant).await.unwrap();
        let posting = answer.into_inner().outcome.unwrap().posting.unwrap();
        let stamp = posting.recorded_at.unwrap();
        let stamp = (stamp.seconds, stamp.nanos);
        assert!(stamp > self.last, "{stamp:?} after {:?}", self.last);
        self.last = stamp;
        // A statement up to the next second has it.
        let statement = GetStatementRequest {
            customer_id: "acme".to_owned(),
            period_from: Some(time(0)),
            period_until: Some(time(stamp.0 + 1)),
            ..Default::default()
        };
        let statement = LedgerServiceClient::new(self.channel.clone()).get_statement(statement).await;
        let closing = statement.unwrap().into_inner().closing_balance.unwrap();
        assert_eq!(closing.sequence, posting.sequence);
        stamp.0
    }

    /// Available and held credits.
    async fn balance(&self) -> (String, String) {
        let request = GetBalanceRequest { customer_id: "acme".to_owned(), ..Default::default() };
        let answer = LedgerServiceClient::new(self.channel.clone()).get_balance(request).await.unwrap();
        let balance = answer.into_inner().balance.unwrap();
        (balance.available_credits, balance.held_credits)
    }

    async fn health(&self, service: &str) -> ServingStatus {
        let request = HealthCheckRequest { service: service.to_owned() };
        HealthClient::new(self.channel.clone()).check(request).await.unwrap().into_inner().status()
    }

    /// Waits until the health service says this of the clock; the server serves all the same.
    async fn clock_is(&self, plausible: bool) {
        let wanted = if plausible { ServingStatus::Serving } else { ServingStatus::NotServing };
        until("the health of the clock", async || {
            (self.health("creditledger.clock").await == wanted).then_some(())
        })
        .await;
        assert_eq!(self.health("").await, ServingStatus::Serving);
    }

    /// The clock is wrong: what is stamped now is stamped with the true time, and nothing expires, swept or not.
    async fn goes_on_in_spite_of_it(&mut self) {
        self.clock_is(false).await;
        let before = self.balance().await;
        let stamp = self.grant().await;
        assert!((stamp - now()).abs() < SLACK_SECONDS, "{stamp} is not the time");
        let granted = before.0.parse::<u32>().unwrap() + 1;
        assert_eq!(self.balance().await, (granted.to_string(), before.1));
    }

    /// The clock is right, or taken for it.
    async fn goes_on(&mut self, wrong: i64) {
        self.clock_is(true).await;
        let stamp = self.grant().await;
        assert!((stamp - wrong - now()).abs() < SLACK_SECONDS, "{stamp} is not the time");
    }
}

/// The operator reads this in the log.
fn is_told(server: &Server, times: usize) {
    let told = |log: &str| log.matches("is implausible: nothing expires").count() >= times;
    assert!(server.process.logs(PATIENCE, told), "the log says nothing of the clock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_stepped_under_a_server_harms_nothing() {
    let Some(library) = faketime() else { return };
    let place = Place::new();
    let clock = WrongClock::new(library, &place.path(""));
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, None).await;
    desk.begin().await;
    desk.goes_on(0).await;
    for (nth, wrong) in [8 * HOUR, -HOUR].into_iter().enumerate() {
        clock.set(wrong);
        desk.goes_on_in_spite_of_it().await;
        is_told(&server, nth + 1);
        clock.set(0);
        desk.goes_on(0).await;
    }
    // A start does not hide a step: the gap alone would be believed.
    clock.set(8 * HOUR);
    desk.goes_on_in_spite_of_it().await;
    until("the doubt is stored", async || {
        let doubted = super::process::sqlite(&place.path("creditledger.db")).query_row(
            "SELECT doubted FROM server_clock",
            [],
            |row| row.get::<_, bool>(0),
        );
        doubted.unwrap().then_some(())
    })
    .await;
    server.stop();
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, Some(desk)).await;
    desk.goes_on_in_spite_of_it().await;
    clock.set(0);
    desk.goes_on(0).await;
    assert_eq!(desk.balance().await.1, "2");
    server.stop();
    place.verify();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_at_a_start_harms_nothing() {
    let Some(library) = faketime() else { return };
    let place = Place::new();
    let clock = WrongClock::new(library, &place.path(""));
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, None).await;
    desk.begin().await;
    desk.goes_on(0).await;
    server.stop();
    for wrong in [YEARS, -HOUR] {
        clock.set(wrong);
        let server = clock.serve(&place);
        desk = Desk::of(&server, Some(desk)).await;
        desk.goes_on_in_spite_of_it().await;
        is_told(&server, 1);
        clock.set(0);
        desk.goes_on(0).await;
        server.stop();
        // And back at a start.
        clock.set(wrong);
        let server = clock.serve(&place);
        desk = Desk::of(&server, Some(desk)).await;
        desk.goes_on_in_spite_of_it().await;
        server.stop();
        clock.set(0);
        let server = clock.serve(&place);
        desk = Desk::of(&server, Some(desk)).await;
        desk.goes_on(0).await;
        server.stop();
    }
    place.verify();
}

/// A server that was away for a month: the operator says that the clock is right, and what is due expires.
#[tokio::test(flavor = "multi_thread")]
async fn an_operator_confirms_a_clock_that_is_right() {
    const MONTH: i64 = 30 * 24 * HOUR;
    let Some(library) = faketime() else { return };
    let place = Place::new();
    let clock = WrongClock::new(library, &place.path(""));
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, None).await;
    desk.begin().await;
    server.stop();
    clock.set(MONTH);
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, Some(desk)).await;
    desk.goes_on_in_spite_of_it().await;
    assert_eq!(desk.balance().await, ("9".to_owned(), "2".to_owned()));
    let confirm = super::process::Running::start(clock.command(&place, &["clock", "confirm"])).end();
    assert!(confirm.status.success() && confirm.stdout.contains(" is the right time"), "{}", confirm.stderr);
    desk.goes_on(MONTH).await;
    // The hold, and then the purchase, whose credits it gave back. Two grants are left.
    assert_eq!(desk.balance().await, ("2".to_owned(), "0".to_owned()));
    server.stop();
    // The next start knows it, and a server that is stopped can be told as well.
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, Some(desk)).await;
    desk.goes_on(MONTH).await;
    server.stop();
    clock.set(-HOUR);
    let confirm = super::process::Running::start(clock.command(&place, &["clock", "confirm"])).end();
    assert!(confirm.status.success(), "{}", confirm.stderr);
    let server = clock.serve(&place);
    let mut desk = Desk::of(&server, Some(desk)).await;
    desk.clock_is(true).await;
    // Stamps that are later than the clock only keep the order.
    let last = desk.last.0;
    assert!((desk.grant().await - last).abs() <= 1);
    server.stop();
    place.verify();
}

/// What PostgreSQL's clock shows counts there, and not the server's.
#[tokio::test(flavor = "multi_thread")]
async fn the_clock_of_the_database_is_watched() {
    let Some(library) = faketime() else { return };
    if !Cluster::available() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // PostgreSQL runs as another user.
    std::fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let clock = WrongClock::new(library, folder.path());
    let mut cluster = Cluster::start_with(&clock.variables());
    let url = cluster.url("postgres");
    let place = Place::new();
    let serve =
        || Server::start(place.command(&["serve", "--listen", "127.0.0.1:0", "--database-url", &url]));
    let server = serve();
    let mut desk = Desk::of(&server, None).await;
    desk.begin().await;
    desk.goes_on(0).await;
    for (nth, wrong) in [8 * HOUR, -HOUR].into_iter().enumerate() {
        clock.set(wrong);
        desk.goes_on_in_spite_of_it().await;
        is_told(&server, nth + 1);
        clock.set(0);
        desk.goes_on(0).await;
    }
    server.stop();
    for wrong in [YEARS, -HOUR] {
        clock.set(wrong);
        let server = serve();
        desk = Desk::of(&server, Some(desk)).await;
        desk.goes_on_in_spite_of_it().await;
        is_told(&server, 1);
        clock.set(0);
        desk.goes_on(0).await;
        assert_eq!(desk.balance().await.1, "2");
        server.stop();
    }
    // It was away for a month.
    let month = 30 * 24 * HOUR;
    clock.set(month);
    let server = serve();
    desk = Desk::of(&server, Some(desk)).await;
    desk.goes_on_in_spite_of_it().await;
    let confirm = place.run(&["clock", "confirm", "--database-url", &url]);
    assert!(confirm.status.success(), "{}", confirm.stderr);
    desk.goes_on(month).await;
    assert_eq!(desk.balance().await.1, "0");
    server.stop();
    let verified = place.run(&["verify", "--database-url", &url]);
    assert!(verified.stdout.starts_with("clean: "), "{}{}", verified.stdout, verified.stderr);
    cluster.stop_immediately();
}
