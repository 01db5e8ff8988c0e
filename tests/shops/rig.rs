//! A ledger in memory behind a shop: deliveries come in, and orders are followed when the test says so.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use creditledger::hidden::Hidden;
use creditledger::ledger::commands::{
    ChargeIncident, Command, CreateCustomer, GrantCredits, NewWork, OnShortfall, PurchaseRef, RefundPurchase,
};
use creditledger::ledger::fingerprint::Said;
use creditledger::ledger::{
    Credits, CustomerId, CustomerKey, IncidentId, LedgerId, LedgerNo, Lot, Money, OpenText, OrderId,
    PostingId, Request, RequestKey, Storefront, Text, Timestamp,
};
use creditledger::query::{PageRequest, Reader};
use creditledger::store::{self, AuditStore, LotFilter, OrderStore, ReadStore, Settings};
use creditledger::storefront::{
    Applier, ApplyError, Intake, IntakeError, Mapped, Orders, Reading, Revenue, Shop, Storefronts, Vendor,
    read_payload,
};
use creditledger::writer::{Limits, Writer, WriterEnd};
use creditledger::{audit, clock};

use crate::counted::{Counts, counted_orders, counted_reads};
use crate::history::Told;

pub struct Rig {
    pub shop: Arc<Shop>,
    pub intake: Intake,
    pub applier: Applier,
    pub writer: Writer,
    parts: Storefronts,
    pub orders: Arc<dyn OrderStore>,
    reader: Arc<Reader>,
    pub store: Arc<dyn ReadStore>,
    audit: Arc<dyn AuditStore>,
    pub counts: Arc<Counts>,
    requests: std::cell::Cell<u32>,
    /// False once the suspense account was made.
    pub suspense_is_new: std::cell::Cell<bool>,
    _end: WriterEnd,
}

/// What an order comes to in the ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// Bought, less what is given back, in dispute or lost.
    pub credits: Credits,
    /// What was paid for all that was bought, less what went back.
    pub money: i64,
    /// Credits in a dispute that is not decided.
    pub in_dispute: Credits,
    /// Refunds and chargebacks that were ever recorded.
    pub entries: usize,
}

/// A shop of a vendor. `CREDITS_10` is 10 credits at 20.00 EUR, `CREDITS_25` 25 at 45.00.
pub fn shop(vendor: Vendor, customer: &str) -> Shop {
    let mapped = |credits, minor_units| Mapped {
        credits: Credits::whole(credits),
        price: Some(Money { currency: creditledger::ledger::Currency::parse("EUR").unwrap(), minor_units }),
    };
    Shop {
        storefront: Storefront::parse("shop").unwrap(),
        vendor,
        ledger: LedgerId::main(),
        secrets: vec![Hidden::new("secret".to_owned())],
        customer: customer.to_owned(),
        product: "metadata.product".to_owned(),
        quantity: "metadata.quantity".to_owned(),
        revenue: Revenue::Net,
        accept_test_payments: false,
        mapping: BTreeMap::from([
            ("CREDITS_10".to_owned(), mapped(10, 2_000)),
            ("CREDITS_25".to_owned(), mapped(25, 4_500)),
        ]),
    }
}

impl Rig {
    pub async fn new(shop: Shop) -> Self {
        let mut engine = store::open("memory:", clock::now(), &Settings::default()).await.unwrap();
        let counts = Arc::new(Counts::default());
        engine.reader = counted_reads(engine.reader, &counts);
        engine.orders = counted_orders(engine.orders, &counts);
        let cards = Arc::new(creditledger::cards::built_in());
        let (writer, end) = Writer::start(engine.writers, &cards, Limits::default()).unwrap();
        let reader = Reader::new(Arc::clone(&engine.reader), engine.notifier, cards);
        let reader = Arc::new(reader.current_by(writer.clone()));
        let shop = Arc::new(shop);
        let orders = engine.orders;
        let shops = vec![Arc::clone(&shop)];
        let parts = Storefronts::new(Arc::clone(&orders), writer.clone(), Arc::clone(&reader), shops);
        let rig = Self {
            shop,
            intake: parts.intake.clone(),
            applier: parts.applier.clone(),
            writer,
            parts,
            orders,
            reader,
            store: engine.reader,
            audit: engine.audit,
            counts,
            requests: std::cell::Cell::new(0),
            suspense_is_new: std::cell::Cell::new(true),
            _end: end,
        };
        for customer in ["acme", "zeta"] {
            rig.run(customer, Command::CreateCustomer(CreateCustomer::default())).await;
        }
        rig
    }

    /// The server starts again with other settings of the shop.
    pub fn restart(&mut self, shop: Shop) {
        self.shop = Arc::new(shop);
        let shops = vec![Arc::clone(&self.shop)];
        let (orders, reader) = (Arc::clone(&self.orders), Arc::clone(&self.reader));
        self.parts = Storefronts::new(orders, self.writer.clone(), reader, shops);
        self.intake = self.parts.intake.clone();
        self.applier = self.parts.applier.clone();
    }

    /// Runs a command of somebody else, which must be accepted.
    pub async fn run(&self, customer: &str, command: Command) -> PostingId {
        self.requests.set(self.requests.get() + 1);
        self.submit(customer, &format!("by hand {}", self.requests.get()), command).await
    }

    /// Runs a command with this request id, which must be accepted.
    pub async fn submit(&self, customer: &str, request: &str, command: Command) -> PostingId {
        let request = Request {
            ledger: LedgerNo::MAIN,
            customer: CustomerId::parse(customer).unwrap(),
            request: Some(RequestKey::parse(request).unwrap()),
            said: Said { reason: Text::parse("by hand").unwrap(), ..Said::default() },
            command,
        };
        self.writer.submit(request, None).await.unwrap().unwrap().posting.id
    }

    /// What an earlier version kept in the suspense account becomes kept orders, and all that is due is followed.
    pub async fn adopt(&self) {
        self.parts.adopt().await.unwrap();
        self.follow().await;
    }

    /// Payments in the suspense account.
    pub async fn in_suspense(&self) -> usize {
        let page = PageRequest { limit: 100, token: String::new() };
        self.reader.kept_payments(LedgerNo::MAIN, &page).await.unwrap().items.len()
    }

    /// Whether an order is kept under this name.
    pub async fn keeps(&self, name: &str) -> bool {
        let name = OpenText(Text::parse(name).unwrap());
        let mut tx = self.orders.read(clock::now()).await.unwrap();
        let found = tx.named(LedgerNo::MAIN, &self.shop.storefront, &[name.0]).await.unwrap();
        tx.commit().await.unwrap();
        !found.is_empty()
    }

    /// The payload of a delivery that could not be read.
    pub async fn payload(&self, id: PostingId) -> Option<Vec<u8>> {
        Orders::new(Arc::clone(&self.orders)).payload(id.uuid()).await.unwrap()
    }

    /// What the ledger shows of all orders, and what waits: `acme 7.5 for 15.00`, credits left and the money that was
    /// paid for them and did not go back; `+ 2 in dispute`; `| REFUNDED why`.
    pub async fn says(&self) -> String {
        let lots = self.store.lots(LedgerNo::MAIN, &LotFilter::default(), None, 1_000).await.unwrap().items;
        let mut disputes: BTreeMap<String, Credits> = BTreeMap::new();
        for owned in &lots {
            if let Some(dispute) = owned.lot.dispute() {
                let sum = disputes.entry(owned.customer.to_string()).or_default();
                *sum = sum.checked_add(dispute.credits).unwrap();
            }
        }
        let orders = self.orders().await.into_iter();
        let orders = orders.map(|(customer, left, money)| {
            let money = money.unwrap();
            format!("{customer} {left} for {}.{:02}", money / 100, money % 100)
        });
        let mut parts: Vec<String> = orders.collect();
        parts.extend(disputes.values().map(|credits| format!("+ {credits} in dispute")));
        parts.extend(self.waiting().await.iter().map(|(_, event, why)| format!("| {event} {why}")));
        parts.join(" ")
    }

    /// Tells deliveries one after another, each followed, and compares what the rig then says. A `…` at the end of what
    /// is expected stands for the rest.
    pub async fn shows(&self, steps: &[(Told, &str)]) {
        for (place, (told, expected)) in steps.iter().enumerate() {
            self.told(std::slice::from_ref(told)).await;
            self.is(expected, &format!("after delivery {place}")).await;
            // Once more: nothing changes.
            let before = self.postings().await;
            self.told(std::slice::from_ref(told)).await;
            assert_eq!(self.postings().await, before, "delivery {place} again");
        }
        self.must_be_clean().await;
    }

    /// Compares what the rig says.
    pub async fn is(&self, expected: &str, when: &str) {
        let says = self.says().await;
        let is_same = match expected.strip_suffix('…') {
            Some(start) => says.starts_with(start),
            None => says == expected,
        };
        assert!(is_same, "{when}:\n  is     {says}\n  should {expected}");
    }

    /// The shop sends a delivery, which is stored. Nothing follows yet.
    pub async fn tell(&self, told: &Told) {
        self.tell_bytes(&told.topic, told.body.to_string().into_bytes()).await;
    }

    /// The shop sends a delivery, which may be refused.
    pub async fn try_to_tell(&self, told: &Told) -> Result<(), IntakeError> {
        let payload = told.body.to_string().into_bytes();
        let orders = read_payload(&self.shop, &told.topic, &payload);
        let reading = Reading { topic: told.topic.clone(), orders, payload: payload.into() };
        self.intake.take(&self.shop, LedgerNo::MAIN, reading).await
    }

    /// Orders that are due, also later.
    pub async fn due(&self) -> usize {
        let orders = Orders::new(Arc::clone(&self.orders));
        orders.due(Timestamp::from_micros(i64::MAX), 1_000).await.unwrap().len()
    }

    /// Follows all orders that are due, which may fail.
    pub async fn try_to_follow(&self) -> Result<(), ApplyError> {
        self.applier.follow_due(clock::now().plus_seconds(60)).await
    }

    /// The shop sends these bytes.
    pub async fn tell_bytes(&self, topic: &str, payload: Vec<u8>) {
        let orders = read_payload(&self.shop, topic, &payload);
        let reading = Reading { topic: topic.to_owned(), orders, payload: payload.into() };
        self.intake.take(&self.shop, LedgerNo::MAIN, reading).await.unwrap();
    }

    /// Follows all orders that are due by now.
    pub async fn follow(&self) {
        self.try_to_follow().await.unwrap();
    }

    /// Follows all orders that are due by a time.
    pub async fn follow_until(&self, until: Timestamp) {
        self.applier.follow_due(until).await.unwrap();
    }

    /// Follows orders, and is cut off after so many turns.
    pub async fn follow_until_cut(&self, turns: u64) {
        let mut following = pin!(self.applier.follow_due(clock::now().plus_seconds(60)));
        let mut left = turns;
        std::future::poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            following.as_mut().poll(context).map(Result::unwrap)
        })
        .await;
    }

    /// Everything at once.
    pub async fn told(&self, told: &[Told]) {
        for told in told {
            self.tell(told).await;
        }
        self.follow().await;
    }

    /// Available and owed credits of a customer.
    pub async fn balance(&self, customer: &str) -> (Credits, Credits) {
        let key = CustomerKey::of(LedgerNo::MAIN, &CustomerId::parse(customer).unwrap());
        let balances = self.store.customer(key).await.unwrap().unwrap().balances;
        (balances.available, balances.owed)
    }

    /// The purchases of an order, with those of its edits.
    pub async fn lots(&self, order: &str) -> Vec<Arc<Lot>> {
        let lots = self.store.lots(LedgerNo::MAIN, &LotFilter::default(), None, 1_000).await.unwrap().items;
        let is_its = |lot: &Arc<Lot>| {
            let id = lot.order.as_ref().map(ToString::to_string).unwrap_or_default();
            id == order || id.starts_with(&format!("{order}:"))
        };
        lots.into_iter().map(|owned| owned.lot).filter(is_its).collect()
    }

    pub async fn shown(&self, order: &str) -> Shown {
        let mut shown = Shown::default();
        for lot in self.lots(order).await {
            let left = lot.credits.less_at_least_zero(lot.refunded());
            shown.credits = shown.credits.checked_add(left).unwrap();
            let money = lot.price.map_or(0, |price| price.minor_units);
            shown.money += money - lot.refunded_price().map_or(0, |price| price.minor_units);
            let disputed = lot.dispute().map_or(Credits::ZERO, |dispute| dispute.credits);
            shown.in_dispute = shown.in_dispute.checked_add(disputed).unwrap();
            shown.entries += lot.refunds.len();
        }
        shown
    }

    /// The number of postings of each customer.
    pub async fn postings(&self) -> Vec<u64> {
        let mut counts = Vec::new();
        for customer in ["acme", "zeta"] {
            let key = CustomerKey::of(LedgerNo::MAIN, &CustomerId::parse(customer).unwrap());
            counts.push(self.store.customer(key).await.unwrap().unwrap().sequence);
        }
        counts
    }

    /// True where anything was given back, or added to an order that was recorded.
    pub async fn was_changed(&self) -> bool {
        let lots = self.store.lots(LedgerNo::MAIN, &LotFilter::default(), None, 1_000).await.unwrap().items;
        let is_part = |id: &OrderId| id.to_string().contains(':');
        lots.iter()
            .any(|owned| !owned.lot.refunds.is_empty() || owned.lot.order.as_ref().is_some_and(is_part))
    }

    /// Each order with its customer, the credits that are left of it, and the money that was paid for them.
    pub async fn orders(&self) -> Vec<(String, Credits, Option<i64>)> {
        let lots = self.store.lots(LedgerNo::MAIN, &LotFilter::default(), None, 1_000).await.unwrap().items;
        let mut orders: BTreeMap<String, (String, Credits, Option<i64>)> = BTreeMap::new();
        for owned in lots.iter().filter(|owned| owned.lot.order.is_some()) {
            let lot = &owned.lot;
            let id = lot.order.as_ref().unwrap().to_string();
            let base = id.split(':').next().unwrap().to_owned();
            let order = orders.entry(base).or_insert((owned.customer.to_string(), Credits::ZERO, Some(0)));
            order.1 = order.1.checked_add(lot.credits.less_at_least_zero(lot.refunded())).unwrap();
            let price = lot.price.unwrap().minor_units - lot.refunded_price().unwrap().minor_units;
            order.2 = order.2.map(|sum| sum + price);
        }
        orders.into_values().collect()
    }

    /// The facts of what waits.
    pub async fn facts(&self) -> String {
        let page = PageRequest { limit: 100, token: String::new() };
        let listed = self.applier.waiting(LedgerNo::MAIN, &page).await.unwrap();
        let facts: Vec<_> =
            listed.items.iter().map(|waiting| format!("{:?}", waiting.row.kept.order)).collect();
        facts.join("\n")
    }

    /// How many orders wait; at most 1,000.
    pub async fn listed(&self) -> usize {
        let page = PageRequest { limit: 1_000, token: String::new() };
        self.applier.waiting(LedgerNo::MAIN, &page).await.unwrap().items.len()
    }

    /// What waits: the event and why.
    pub async fn waiting(&self) -> Vec<(PostingId, String, String)> {
        let page = PageRequest { limit: 100, token: String::new() };
        let listed = self.applier.waiting(LedgerNo::MAIN, &page).await.unwrap();
        let shown = listed.items.iter().map(|waiting| {
            let waits = waiting.row.kept.waits.as_ref().unwrap();
            (PostingId::from_uuid(waiting.row.place.id), waits.event.to_string(), waits.why.to_string())
        });
        shown.collect()
    }

    /// A customer spends some credits.
    pub async fn spend(&self, customer: &str, incident: &str, minutes: u64) -> PostingId {
        let work = NewWork { seconds: minutes * 60, ..NewWork::default() };
        let charge = ChargeIncident {
            incident: IncidentId::parse(incident).unwrap(),
            class: None,
            work,
            opened_at: None,
            max_charge: None,
            waive_reason: Text::EMPTY,
            circumstances: creditledger::ledger::job::Circumstances::default(),
            expected_charged: None,
        };
        self.run(customer, Command::ChargeIncident(charge)).await
    }

    /// A person gives credits away.
    pub async fn grant(&self, customer: &str, credits: Credits) -> PostingId {
        self.run(customer, Command::GrantCredits(GrantCredits { credits, expires_at: None })).await
    }

    /// A person gives credits of an order back.
    pub async fn refund_by_hand(&self, customer: &str, order: &str, credits: i64) -> PostingId {
        let refund = RefundPurchase {
            purchase: PurchaseRef::Order(self.shop.storefront.clone(), OrderId::parse(order).unwrap()),
            credits: Credits::whole(credits),
            price: None,
            expected_refunded: None,
            on_shortfall: OnShortfall::Receivable,
        };
        self.run(customer, Command::RefundPurchase(refund)).await
    }

    /// A person closes what waits.
    pub async fn dismiss(&self, payment: PostingId) {
        self.requests.set(self.requests.get() + 1);
        let request = RequestKey::parse(&format!("dismiss {}", self.requests.get())).unwrap();
        let said = Said { reason: Text::parse("settled").unwrap(), ..Said::default() };
        self.applier.dismiss(LedgerNo::MAIN, payment, (request, said), None).await.unwrap();
    }

    /// The whole database is as its journal says.
    pub async fn must_be_clean(&self) {
        let report = audit::verify(&*self.audit, |_| {}).await.unwrap();
        assert!(report.is_clean(), "{report:?}");
    }
}
