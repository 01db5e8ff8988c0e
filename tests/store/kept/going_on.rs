//! New commands on a kept database: what stood open goes on, at the prices that were known when it was left.

use std::sync::Arc;

use creditledger::delivery::{EndpointChanged, EventPlace};
use creditledger::ledger::book::Answer;
use creditledger::ledger::card::{CardEdit, RateCard};
use creditledger::ledger::commands::{
    CloseCustomer, Command, NewWork, OnShortfall, ReopenCustomer, ReportTopUp, Said, UpdateCustomer,
};
use creditledger::ledger::customer::Terms;
use creditledger::ledger::decide::Outcome;
use creditledger::ledger::top_up::TopUpAnswer;
use creditledger::ledger::{
    Customer, CustomerId, CustomerKey, HoldState, Kind, LedgerNo, Request, RequestKey, Text, Timestamp,
};
use creditledger::store::{CardsChanged, Position};

use super::commands::{
    charge, charge_back, close_incident, close_payment, confirm, create, decline, estimate, grant, new_work,
    order_of, place, purchase, record, refund, release, resolve, reverse, reverse_refund, said_with, settle,
    void, work,
};
use super::endpoints::{URL, first_event, request, webhooks};
use super::stage::Answers;
use crate::desk::{START, adjust, credits, id};
use crate::rig::Rig;

/// A rig whose request ids are told apart by when it was opened.
struct Hand {
    rig: Rig,
    opened: &'static str,
    requests: u32,
}

impl Hand {
    async fn open(url: &str, opened: &'static str, now: Timestamp) -> Self {
        let mut rig = Rig::open(url).await;
        rig.now = now.plus_seconds(60);
        Self { rig, opened, requests: 0 }
    }

    async fn at(&mut self, ledger: &str, customer: &str) {
        let ledgers = self.rig.reader.ledgers().await.unwrap();
        self.rig.ledger = ledgers.iter().find(|found| found.id == id(ledger)).unwrap().no;
        self.rig.customer = id(customer);
    }

    fn request(&mut self, command: Command) -> Request {
        self.requests += 1;
        let request = RequestKey::parse(&format!("{} {}", self.opened, self.requests)).unwrap();
        let (ledger, customer) = (self.rig.ledger, self.rig.customer.clone());
        Request { ledger, customer, request: Some(request), said: said_with(&command), command }
    }

    async fn run(&mut self, command: Command) -> Outcome {
        let request = self.request(command);
        self.rig.send(&request).await
    }

    async fn ok(&mut self, command: Command) -> Answer {
        let told = format!("{command:?}");
        let answer = self.run(command).await.unwrap_or_else(|rejection| panic!("{told}: {rejection}"));
        assert!(!answer.replayed, "{told}");
        answer
    }

    /// What a settlement comes to.
    async fn settled(&mut self, command: Command) -> String {
        let answer = self.ok(command).await;
        answer.hold.unwrap().settlement.as_ref().unwrap().charge.to_string()
    }

    async fn customer(&self) -> Customer {
        self.rig.reader.customer(self.rig.key()).await.unwrap().unwrap()
    }

    /// The state of the newest hold of an incident.
    async fn state(&self, incident: &str) -> HoldState {
        let holds = self.rig.reader.holds_of_incident(self.rig.key(), &id(incident)).await.unwrap();
        holds.last().unwrap().state
    }

    /// `available held owed`
    async fn balances(&self) -> String {
        let balances = self.customer().await.balances;
        format!("{} {} {}", balances.available, balances.held, balances.owed)
    }
}

/// Goes on where the database was left, and gives the time at the end of it.
pub async fn first(url: &str, now: Timestamp, answers: &Answers) -> Timestamp {
    let mut hand = Hand::open(url, "going on", now).await;
    open_holds(&mut hand, answers).await;
    quotes(&mut hand).await;
    purchases(&mut hand, answers).await;
    around(&mut hand).await;
    hand.rig.writer.close().await.unwrap();
    hand.rig.now
}

/// Work on old holds, old entries voided, settlements at known prices, old settlements given back.
async fn open_holds(hand: &mut Hand, answers: &Answers) {
    hand.at("main", "acme").await;
    hand.ok(decline("i-open")).await;
    let second = NewWork { line: Some(id("second")), ..new_work(20) };
    hand.ok(record("i-open", second)).await;
    hand.ok(void("i-open", answers.id("i-open: entry 4"))).await;
    // 65 minutes on the second line at 4 an hour, 25 on the first for nothing; a weekend makes it twice as dear.
    assert_eq!(hand.settled(settle("i-open")).await, "8.67");
    hand.ok(reverse("i-open", Some("0.67"))).await;
    hand.ok(reverse("i-settled", Some("0.5"))).await;
    hand.ok(reverse("i-direct", None)).await;
    hand.ok(place("i-settled", 1_800)).await;
    hand.ok(work("i-settled", 20)).await;
    // Ninety minutes and 45 were charged by the first rules, a part of it at night: 155 minutes less 135, by day.
    assert_eq!(hand.settled(settle("i-settled")).await, "0.5");
    // The second version of the card, but by the price of the package.
    hand.ok(place("n-new", 7_200)).await;
    hand.ok(work("n-new", 120)).await;
    assert_eq!(hand.settled(settle("n-new")).await, "3");

    hand.at("main", "clocked").await;
    let started_at = Some(START.plus_days(19));
    hand.ok(record("c-open", NewWork { started_at, ..new_work(5) })).await;
    // From minute 0 to 111 and 3 minutes more: four half hours, at night twice as dear.
    assert_eq!(hand.settled(settle("c-open")).await, "8");
    hand.ok(reverse("c-settled", None)).await;

    hand.at("main", "tiered").await;
    hand.ok(work("t-open", 20)).await;
    assert_eq!(hand.settled(settle("t-open")).await, "3", "as quoted");
    assert_eq!(hand.settled(settle("t-flat")).await, "1");

    hand.at("main", "in-the-window").await;
    assert_eq!(hand.settled(close_incident("f-open", Some(18_000))).await, "0");

    hand.at("second", "acme").await;
    assert_eq!(hand.settled(settle("i-4")).await, "4.5");
    hand.ok(confirm("i-1", false)).await;
    hand.ok(reverse("i-2", None)).await;
}

/// Quotes confirmed and declined; a purchase that activates what was parked, the oldest first.
async fn quotes(hand: &mut Hand) {
    hand.at("main", "quoted").await;
    assert_eq!(hand.balances().await, "20.5 9.5 0");
    for hold in ["q-quoted", "q-active", "q-down"] {
        hand.ok(confirm(hold, false)).await;
        assert_eq!(hand.state(hold).await, HoldState::Active);
    }
    assert_eq!(hand.balances().await, "18.5 11.5 0");
    hand.ok(decline("q-declined")).await;
    hand.ok(release("b-2", id("nobody asked for it"))).await;

    hand.at("main", "parked").await;
    assert_eq!(hand.balances().await, "1 2 0");
    hand.ok(purchase("n-parked", "10", 3_000, None)).await;
    assert_eq!(hand.balances().await, "0 13 0");
    for hold in ["p-first", "p-active", "p-last"] {
        assert_eq!(hand.state(hold).await, HoldState::Active);
    }
    hand.ok(work("p-first", 30)).await;
}

/// Refunds of old purchases, old refunds and disputes undone, a debt that is paid, payments that wait, top-ups.
async fn purchases(hand: &mut Hand, answers: &Answers) {
    hand.at("main", "debtor").await;
    let owed = hand.customer().await.balances.owed;
    assert!(owed.is_positive());
    hand.ok(resolve(order_of("open"), true)).await;
    hand.ok(reverse_refund("d-1", answers.id("it is refunded again"))).await;
    hand.ok(purchase("n-debtor", "40", 12_000, None)).await;
    assert_eq!(hand.customer().await.balances.owed, credits("0"));
    hand.ok(charge_back("d-2", None, None)).await;

    hand.at("main", "acme").await;
    hand.ok(refund("w-1", "2.5", OnShortfall::Reject)).await;
    // What the storefront sent long ago, under a new request id.
    let again = hand.run(purchase("w-1", "60", 18_000, None)).await.unwrap();
    assert_eq!((again.replayed, again.posting.id), (true, answers.id("buy on the web")));

    hand.at("main", "unmatched-payments").await;
    hand.ok(close_payment(answers.id("keep nobodys PAID"))).await;
    assert_eq!(hand.customer().await.state.payments.len(), 2);

    hand.at("main", "topped-up").await;
    let asked = hand.customer().await.state.top_ups.unwrap().open;
    assert!(asked.is_some());
    hand.ok(purchase("n-top", "20", 6_000, None)).await;
    assert_eq!(hand.customer().await.state.top_ups.unwrap().open, None);

    hand.at("main", "expiring").await;
    let until = Some(hand.rig.now.plus_days(5));
    hand.ok(purchase("n-expiring", "3", 900, until)).await;
    hand.at("main", "gone").await;
    hand.ok(purchase("n-gone", "1", 300, None)).await;
}

/// Customers, cards, ledgers and endpoints.
async fn around(hand: &mut Hand) {
    hand.at("main", "acme").await;
    let metadata = Some([(id("crm"), id("4713"))].into());
    let update = UpdateCustomer { name: None, contact: None, metadata };
    hand.ok(Command::UpdateCustomer(update)).await;
    let profile = hand.rig.reader.profile(hand.rig.key()).await.unwrap().unwrap();
    assert_eq!((profile.name, profile.contact.email), (id("Acme & Söhne"), id("ada@example.org")));

    let third = CardEdit::Card(Arc::new(RateCard::plain(id("desk"), credits("5"))));
    match hand.rig.change_cards("a third version", third).await {
        CardsChanged::Made { change, replayed: false } => match &change.changed {
            CardEdit::Card(card) => assert_eq!(card.card.version, 3),
            CardEdit::Default(_) => panic!("{change:?}"),
        },
        other => panic!("{other:?}"),
    }
    hand.at("main", "quoted").await;
    hand.ok(place("n-third", 3_600)).await;
    hand.ok(work("n-third", 60)).await;
    assert_eq!(hand.settled(settle("n-third")).await, "5");

    let webhooks = webhooks(&hand.rig);
    let endpoints = webhooks.endpoints(LedgerNo::MAIN).await.unwrap();
    let endpoint = endpoints.iter().find(|endpoint| endpoint.url.as_str() == URL).unwrap();
    let place = EventPlace { position: first_event(&hand.rig).await, index: 0 };
    let again = webhooks.redeliver(LedgerNo::MAIN, request("again"), endpoint.id, place).await.unwrap();
    assert!(matches!(again, EndpointChanged::Done { replayed: false, .. }), "{again:?}");

    hand.rig.new_ledger("third").await;
    hand.rig.customer = id("new");
    hand.ok(create("a customer of a new ledger", Terms::default())).await;
    hand.ok(grant("2", None)).await;
    hand.ok(charge("n-charged", 30)).await;
}

/// A request that is declined, and as many that lapse as end them.
async fn top_ups(hand: &mut Hand) {
    hand.at("main", "topped-up").await;
    let available = hand.customer().await.balances.available;
    hand.ok(adjust(&format!("-{available}"))).await;
    let open = hand.customer().await.state.top_ups.unwrap().open.unwrap();
    assert_eq!(open.credits, credits("20"));
    let declined = ReportTopUp { top_up: open.id, answer: TopUpAnswer::Declined };
    hand.ok(Command::ReportTopUp(declined)).await;
    let (ledger, customer) = (hand.rig.ledger, hand.rig.customer.clone());
    for kind in [Kind::RequestTopUp, Kind::RequestTopUp, Kind::RequestTopUp, Kind::SuspendTopUps] {
        hand.rig.now = hand.rig.now.plus_days(3);
        let due = Request::apply_due(ledger, customer.clone());
        assert_eq!(hand.rig.send(&due).await.unwrap().posting.kind, kind);
    }
    assert!(hand.customer().await.state.top_ups.unwrap().is_suspended());
}

/// After a restart: repeats of what was new, the rest of what stood open, and what has fallen due since.
pub async fn second(url: &str, now: Timestamp) {
    let mut hand = Hand::open(url, "going on", now).await;
    hand.at("main", "acme").await;
    let repeat = hand.request(decline("i-open"));
    assert!(hand.rig.send(&repeat).await.unwrap().replayed);
    hand.opened = "after a restart";

    hand.at("main", "parked").await;
    hand.ok(work("p-first", 30)).await;
    assert_eq!(hand.settled(settle("p-first")).await, "3", "an hour by the second version");
    hand.at("main", "quoted").await;
    hand.ok(estimate("n-quote", "1")).await;

    hand.rig.now = hand.rig.now.plus_days(40);
    let due = hand.rig.reader.customers_due(hand.rig.now, 1_000).await.unwrap();
    assert!(due.contains(&(LedgerNo::MAIN, CustomerId::parse("quoted").unwrap())), "{due:?}");
    for (ledger, customer) in due {
        let request =
            Request { ledger, customer, request: None, said: Said::default(), command: Command::ApplyDue };
        // Where somebody looked too early, nothing is due.
        let _ = hand.rig.send(&request).await;
    }
    for incident in ["q-lapsing", "n-quote"] {
        assert_eq!(hand.state(incident).await, HoldState::Expired);
    }
    hand.at("main", "expiring").await;
    assert_eq!(hand.balances().await, "0 4 0", "what a hold covers does not expire");
    hand.ok(release("e-covers", Text::EMPTY)).await;
    assert_eq!(hand.balances().await, "0 0 0", "what it gives back expires at once");
    let close = CloseCustomer;
    hand.ok(Command::CloseCustomer(close)).await;
    assert!(hand.customer().await.state.closed);
    hand.ok(Command::ReopenCustomer(ReopenCustomer)).await;
    assert!(!hand.customer().await.state.closed);

    top_ups(&mut hand).await;

    // All that is left of every customer, in the order of the feed.
    for ledger in hand.rig.reader.ledgers().await.unwrap() {
        let feed = hand.rig.reader.feed(ledger.no, Position(0), usize::MAX).await.unwrap().items;
        for (nth, recorded) in (1..).zip(&feed) {
            assert_eq!(recorded.position, Position(nth));
        }
        let sum: i64 =
            hand.rig.reader.trial_balance(ledger.no).await.unwrap().iter().map(|(_, sum)| sum.units()).sum();
        assert_eq!(sum, 0, "{}", ledger.id);
        let customers = hand.rig.reader.customers(ledger.no, None, usize::MAX).await.unwrap();
        for (customer, _) in customers {
            let key = CustomerKey::of(ledger.no, &customer.id);
            let postings = hand.rig.reader.postings_of(key, 1, customer.sequence).await.unwrap().items;
            assert_eq!(u64::try_from(postings.len()).unwrap(), customer.sequence, "{}", customer.id);
        }
    }
    hand.rig.writer.close().await.unwrap();
}
