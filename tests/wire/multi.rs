//! Three servers on one PostgreSQL database: what they promise together is what one of them promises alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use creditledger::clock;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::*;
use creditledger::store::{Isolation, Settings};
use prost::Message;
use tokio::task::{JoinHandle, JoinSet};
use tonic::{Code, Status};

use crate::bulk::{accepted, command};
use crate::errors::reason;
use crate::races::Dice;
use crate::raw::{call, outcome, without};
use crate::served::Served;

const SERVERS: usize = 3;
/// How often a call is made that is told to try again.
const ATTEMPTS: u32 = 20;

struct Three {
    servers: Vec<Served>,
    isolation: Isolation,
    /// Calls that were made again because a server asked for it.
    repeated: AtomicU64,
}

impl Three {
    async fn start(isolation: Isolation) -> Arc<Self> {
        let url = crate::postgres::database().await;
        let settings = Settings { isolation, ..Settings::default() };
        let mut servers = Vec::new();
        for _ in 0..SERVERS {
            servers.push(Served::at(&url, &settings, None).await);
        }
        Arc::new(Self { servers, isolation, repeated: AtomicU64::new(0) })
    }

    /// The one that writes requests down, so that no two have the same id.
    fn first(&self) -> &Served {
        &self.servers[0]
    }

    /// Calls a server; at SERIALIZABLE, where servers that are in each other's way may say so, until it answers.
    async fn call(&self, server: usize, method: &str, request: &[u8]) -> Result<Vec<u8>, Status> {
        for _ in 0..ATTEMPTS {
            match call(&self.servers[server].channel, method, request.to_vec()).await {
                Err(status)
                    if status.code() == Code::Unavailable && self.isolation == Isolation::Serializable =>
                {
                    assert_eq!(reason(&status), "STORAGE_UNAVAILABLE", "{status:?}");
                    self.repeated.fetch_add(1, Ordering::Relaxed);
                }
                answer => return answer,
            }
        }
        panic!("{method} is not answered");
    }

    /// Sends a request each to the servers in turn, all at once.
    async fn at_once(
        self: &Arc<Self>,
        method: &'static str,
        requests: Vec<Vec<u8>>,
    ) -> Vec<Result<Vec<u8>, Status>> {
        let calls = requests.into_iter().enumerate().map(|(n, request)| {
            let three = Arc::clone(self);
            tokio::spawn(async move { three.call(n % SERVERS, method, &request).await })
        });
        let mut answers = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            answers.push(call.await.unwrap());
        }
        answers
    }

    /// Runs commands in one batch, until they are all accepted.
    async fn batch(&self, server: usize, commands: Vec<BatchCommand>) {
        let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
        for _ in 0..ATTEMPTS {
            let mut batches = BatchServiceClient::new(self.servers[server].channel.clone());
            let answer = batches.execute_batch(request.clone()).await.unwrap().into_inner();
            let asks_again = |result: &BatchResult| {
                let Some(batch_result::Result::Error(error)) = &result.result else { return false };
                self.isolation == Isolation::Serializable && error.reason == "STORAGE_UNAVAILABLE"
            };
            if !answer.results.iter().any(asks_again) {
                for result in answer.results {
                    accepted(Some(result));
                }
                return;
            }
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
        panic!("a batch is not accepted");
    }

    /// Makes the customers `c-0`, `c-1`, ..., who have so many credits each.
    async fn make_customers(&self, count: usize, credits: &str) {
        let mut commands = Vec::new();
        for n in 0..count {
            let (id, order) = (format!("c-{n}"), format!("first-{n}"));
            commands.push(command(batch_command::Command::CreateCustomer(self.first().customer(&id))));
            if credits != "0" {
                let purchase = self.first().purchase(credits, &order);
                let purchase = PurchaseCreditsRequest { context: self.first().of(id), ..purchase };
                commands.push(command(batch_command::Command::PurchaseCredits(purchase)));
            }
        }
        self.batch(0, commands).await;
    }

    /// A hold of a customer `c-n`.
    fn hold(&self, customer: usize, incident: &str, credits: &str) -> PlaceHoldRequest {
        PlaceHoldRequest {
            context: self.first().of(format!("c-{customer}")),
            ..self.first().hold(incident, credits)
        }
    }

    /// Sends the same command to all servers at once: one effect, and equal answers.
    async fn one_effect(self: &Arc<Self>, method: &'static str, requests: Vec<Vec<u8>>) {
        let answers = self.at_once(method, requests).await;
        let answers: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
        let first = answers.iter().filter(|answer| !outcome(answer).replayed);
        assert_eq!(first.count(), 1, "{method}: one of them did it");
        let plain: Vec<_> = answers
            .iter()
            .map(|answer| (CommandOutcome { replayed: true, ..outcome(answer) }, without(answer, &[1])))
            .collect();
        assert!(plain.iter().all(|answer| *answer == plain[0]), "{method}: {plain:?}");
    }

    /// Runs `work` for each number below `count`, several at a time.
    async fn for_each<F>(self: &Arc<Self>, count: usize, work: impl Fn(Arc<Self>, usize) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        const AT_ONCE: usize = 12;
        let mut running = JoinSet::new();
        for n in 0..count {
            if running.len() >= AT_ONCE {
                running.join_next().await.unwrap().unwrap();
            }
            running.spawn(work(Arc::clone(self), n));
        }
        while let Some(done) = running.join_next().await {
            done.unwrap();
        }
    }
}

/// Asks one server after the other for the trial balance until it is told to stop.
struct TrialBalances {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl TrialBalances {
    fn watch(three: &Arc<Three>) -> Self {
        let (three, stop) = (Arc::clone(three), Arc::<AtomicBool>::default());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut asked = 0;
            while !stopped.load(Ordering::Relaxed) {
                for served in &three.servers {
                    let request = GetTrialBalanceRequest::default();
                    let trial = served.ledgers().get_trial_balance(request).await.unwrap().into_inner();
                    assert_eq!(trial.total_credits, "0", "{:?}", trial.accounts);
                    asked += 1;
                }
            }
            asked
        });
        Self { stop, task }
    }

    /// All of them summed to zero.
    async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let asked = self.task.await.unwrap();
        assert!(asked > 3, "{asked}");
    }
}

/// 10,000 calls race for the credits of 1,000 customers, who have one each.
async fn the_first_credits_are_held_once(isolation: Isolation) {
    const CUSTOMERS: usize = 1_000;
    const CALLERS: usize = 10;
    let three = Three::start(isolation).await;
    three.make_customers(CUSTOMERS, "1").await;
    let trial_balances = TrialBalances::watch(&three);
    three
        .for_each(CUSTOMERS, |three: Arc<Three>, customer| async move {
            let hold = |n| three.hold(customer, &format!("i-{n}"), "1").encode_to_vec();
            let answers = three.at_once("HoldService/PlaceHold", (0..CALLERS).map(hold).collect()).await;
            let refused: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
            assert_eq!(refused.len(), CALLERS - 1, "{refused:?}");
            for status in refused {
                let told = (status.code(), reason(&status));
                assert_eq!(told, (Code::FailedPrecondition, "INSUFFICIENT_CREDITS".to_owned()));
            }
        })
        .await;
    trial_balances.end().await;
    let customer_ids = (0..CUSTOMERS).map(|n| format!("c-{n}")).collect();
    let request = BatchGetBalancesRequest { customer_ids, ..Default::default() };
    let found = three.servers[1].ledgers().batch_get_balances(request).await.unwrap().into_inner();
    assert_eq!(found.balances.len(), CUSTOMERS);
    for found in found.balances.into_iter().map(|found| found.balance.unwrap()) {
        assert_eq!(
            (found.available_credits.as_str(), found.held_credits.as_str(), found.owed_credits.as_str()),
            ("0", "1", "0")
        );
    }
    // Created, bought, one hold, and a note for each incident that went without.
    assert_eq!(three.servers[2].verify().await, u64::try_from(CUSTOMERS * (2 + CALLERS)).unwrap());
}

async fn a_request_sent_to_all_has_one_effect(isolation: Isolation) {
    const ROUNDS: usize = 200;
    let three = Three::start(isolation).await;
    let trial_balances = TrialBalances::watch(&three);
    three
        .for_each(ROUNDS, |three: Arc<Three>, n| async move {
            if n % 2 == 1 {
                let ledger_id = format!("ledger-{n}");
                let ledger = CreateLedgerRequest { context: three.first().of(""), ledger_id };
                let ledgers = vec![ledger.encode_to_vec(); SERVERS];
                three.one_effect("LedgerService/CreateLedger", ledgers).await;
            }
            let customer_id = || format!("c-{n}");
            let create = three.first().customer(&customer_id()).encode_to_vec();
            three.one_effect("CustomerService/CreateCustomer", vec![create; SERVERS]).await;
            // The number of an order makes a purchase repeatable, too.
            let mut purchase = three.first().purchase("5", &format!("o-{n}"));
            purchase.context = three.first().of(customer_id());
            let purchases = (0..SERVERS).map(|_| {
                if n % 2 == 1 {
                    purchase.context = three.first().of(customer_id());
                }
                purchase.encode_to_vec()
            });
            let purchases = purchases.collect();
            three.one_effect("PurchaseService/PurchaseCredits", purchases).await;
            let hold = three.hold(n, "i", "2").encode_to_vec();
            three.one_effect("HoldService/PlaceHold", vec![hold; SERVERS]).await;
            let settle =
                SettleHoldRequest { context: three.first().of(customer_id()), ..three.first().settle("i") };
            three.one_effect("HoldService/SettleHold", vec![settle.encode_to_vec(); SERVERS]).await;
        })
        .await;
    trial_balances.end().await;
    assert_eq!(three.first().verify().await, u64::try_from(ROUNDS * 4).unwrap());
}

async fn an_order_belongs_to_one_customer(isolation: Isolation) {
    const CUSTOMERS: usize = 18;
    const ORDERS: usize = 200;
    const CALLERS: usize = 6;
    let three = Three::start(isolation).await;
    three.make_customers(CUSTOMERS, "0").await;
    three
        .for_each(ORDERS, |three: Arc<Three>, n| async move {
            let order_id = format!("o-{n}");
            let purchase = |caller| PurchaseCreditsRequest {
                context: three.first().of(format!("c-{}", (n + 5 * caller) % CUSTOMERS)),
                ..three.first().purchase("1", &order_id)
            };
            let requests = (0..CALLERS).map(|caller| purchase(caller).encode_to_vec()).collect();
            let answers = three.at_once("PurchaseService/PurchaseCredits", requests).await;
            let (won, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
            assert_eq!((won.len(), refused.len()), (1, CALLERS - 1), "{refused:?}");
            for status in refused.into_iter().map(Result::unwrap_err) {
                let told = (status.code(), reason(&status));
                assert_eq!(told, (Code::AlreadyExists, "ORDER_ALREADY_RECORDED".to_owned()));
            }
            let won = PurchaseCreditsResponse::decode(won[0].as_ref().unwrap().as_slice()).unwrap();
            let target = Some(PurchaseTarget::order("web", order_id));
            let request = GetPurchaseRequest { target, ..Default::default() };
            let mut purchases = three.servers[n % SERVERS].purchases();
            let found = purchases.get_purchase(request).await.unwrap().into_inner();
            assert_eq!(found.purchase, won.outcome().purchase);
        })
        .await;
    assert_eq!(three.first().verify().await, u64::try_from(CUSTOMERS + ORDERS).unwrap());
}

/// Reads a server's journal up to a position: customer, sequence and id of each posting.
async fn follow(three: Arc<Three>, server: usize, last: usize) -> Vec<(String, i64, String)> {
    let request = StreamJournalRequest { follow: true, ..Default::default() };
    let mut stream = three.servers[server].ledgers().stream_journal(request).await.unwrap().into_inner();
    let mut seen: Vec<(String, i64, String)> = Vec::new();
    let mut sequences = BTreeMap::new();
    while seen.len() < last {
        let posting = stream.message().await.unwrap().unwrap().posting.unwrap();
        let position = usize::try_from(posting.position).unwrap();
        assert_eq!(position, seen.len() + 1, "neither a gap nor a repeat");
        let sequence = sequences.entry(posting.customer_id.clone()).or_insert(0);
        *sequence += 1;
        assert_eq!(posting.sequence, *sequence, "each customer's postings in their order");
        seen.push((posting.customer_id, posting.sequence, posting.posting_id));
    }
    seen
}

async fn followers_of_every_server_see_the_same(isolation: Isolation) {
    const CUSTOMERS: usize = 30;
    const CALLS: usize = 900;
    const BATCHES: usize = 30;
    const BATCH: usize = 60;
    const ALL: usize = 2 * CUSTOMERS + CALLS + BATCHES * BATCH;
    let three = Three::start(isolation).await;
    let followers: Vec<_> =
        (0..SERVERS).map(|server| tokio::spawn(follow(Arc::clone(&three), server, ALL))).collect();
    three.make_customers(CUSTOMERS, "1000").await;
    let trial_balances = TrialBalances::watch(&three);
    three
        .for_each(CALLS + BATCHES, |three: Arc<Three>, n| async move {
            if n % (CALLS / BATCHES + 1) == 0 {
                let hold = |m| three.hold((n + 7 * m) % CUSTOMERS, &format!("b-{n}-{m}"), "0.1");
                let hold = |m| command(batch_command::Command::PlaceHold(hold(m)));
                three.batch(n % SERVERS, (0..BATCH).map(hold).collect()).await;
            } else {
                let hold = three.hold(n % CUSTOMERS, &format!("i-{n}"), "0.1").encode_to_vec();
                three.call(n % SERVERS, "HoldService/PlaceHold", &hold).await.unwrap();
            }
        })
        .await;
    trial_balances.end().await;
    let mut seen = Vec::new();
    for follower in followers {
        seen.push(follower.await.unwrap());
    }
    assert!(seen.iter().all(|one| *one == seen[0]));
    assert_eq!(three.first().verify().await, u64::try_from(ALL).unwrap());
}

/// A time that was a posting's of a customer, and the balance as of it.
type AsOf = (usize, prost_types::Timestamp, GetBalanceResponse);

async fn balance_as_of(served: &Served, customer: usize, time: prost_types::Timestamp) -> GetBalanceResponse {
    let as_of = Some(get_balance_request::AsOf::Time(time));
    let request = GetBalanceRequest { customer_id: format!("c-{customer}"), as_of, ..Default::default() };
    served.ledgers().get_balance(request).await.unwrap().into_inner()
}

/// Writes until it is told to stop, and notes the times.
async fn write_on(three: Arc<Three>, writer: usize, stop: Arc<AtomicBool>, times: Times) {
    let mut n: usize = 0;
    while !stop.load(Ordering::Relaxed) {
        n += 1;
        if n.is_multiple_of(10) {
            let hold = |m| three.hold((n + 3 * m) % AS_OF_CUSTOMERS, &format!("b-{writer}-{n}-{m}"), "0.1");
            let hold = |m| command(batch_command::Command::PlaceHold(hold(m)));
            three.batch(writer % SERVERS, (0..40_usize).map(hold).collect()).await;
        } else {
            let customer = (n + writer) % AS_OF_CUSTOMERS;
            let hold = three.hold(customer, &format!("i-{writer}-{n}"), "0.1").encode_to_vec();
            let answer = three.call(writer % SERVERS, "HoldService/PlaceHold", &hold).await.unwrap();
            let posting = outcome(&answer).posting.unwrap();
            times.lock().unwrap().push((customer, posting.recorded_at.unwrap()));
        }
    }
}

type Times = Arc<Mutex<Vec<(usize, prost_types::Timestamp)>>>;

const AS_OF_CUSTOMERS: usize = 20;

/// Any of the times that are about to be final or are so already, as often one of the newest; at first any time.
fn choose(
    times: &[(usize, prost_types::Timestamp)],
    dice: &mut Dice,
) -> Option<(usize, prost_types::Timestamp)> {
    let now = clock::now().micros();
    let micros = |time: prost_types::Timestamp| time.seconds * 1_000_000 + i64::from(time.nanos) / 1_000;
    let old = times.partition_point(|(_, time)| micros(*time) <= now - 1_950_000);
    let among = if old == 0 { times.len() } else { old };
    let back = if dice.below(2) == 0 { among.min(20) } else { among };
    let back = dice.below(u64::try_from(back.max(1)).unwrap());
    times.get(among.checked_sub(1)?.checked_sub(usize::try_from(back).unwrap())?).copied()
}

async fn what_was_final_stays_as_it_was(isolation: Isolation) {
    const EACH: usize = 40;
    let three = Three::start(isolation).await;
    three.make_customers(AS_OF_CUSTOMERS, "100000").await;
    let trial_balances = TrialBalances::watch(&three);
    let (stop, times) = (Arc::<AtomicBool>::default(), Times::default());
    let mut writers = JoinSet::new();
    for writer in 0..SERVERS {
        writers.spawn(write_on(Arc::clone(&three), writer, Arc::clone(&stop), Arc::clone(&times)));
    }
    let provisional = Arc::<AtomicUsize>::default();
    let mut askers = JoinSet::new();
    for asker in 0..SERVERS {
        let (three, times, provisional) = (Arc::clone(&three), Arc::clone(&times), Arc::clone(&provisional));
        askers.spawn(async move {
            let mut dice = Dice(u64::try_from(asker).unwrap());
            let mut told: Vec<AsOf> = Vec::new();
            while told.len() < EACH {
                let Some((customer, time)) = choose(&times.lock().unwrap(), &mut dice) else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let server = told.len() % SERVERS;
                let answer = balance_as_of(&three.servers[server], customer, time).await;
                if answer.provisional {
                    provisional.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                let other = &three.servers[(server + 1) % SERVERS];
                assert_eq!(balance_as_of(other, customer, time).await, answer);
                told.push((customer, time, answer));
            }
            told
        });
    }
    let told: Vec<AsOf> = askers.join_all().await.into_iter().flatten().collect();
    stop.store(true, Ordering::Relaxed);
    writers.join_all().await;
    trial_balances.end().await;
    // Times of a moment ago were asked for, too.
    assert!(provisional.load(Ordering::Relaxed) > 0);
    for (n, (customer, time, answer)) in told.into_iter().enumerate() {
        assert_eq!(balance_as_of(&three.servers[(n + 2) % SERVERS], customer, time).await, answer);
    }
    three.first().verify().await;
}

/// Runs each test at each isolation.
macro_rules! at_each_isolation {
    ($($name:ident)*) => {
        mod read_committed {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if crate::postgres::available() {
                    super::$name(creditledger::store::Isolation::ReadCommitted).await;
                }
            })*
        }
        mod serializable {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                if crate::postgres::available() {
                    super::$name(creditledger::store::Isolation::Serializable).await;
                }
            })*
        }
    };
}

at_each_isolation! {
    the_first_credits_are_held_once
    a_request_sent_to_all_has_one_effect
    an_order_belongs_to_one_customer
    followers_of_every_server_see_the_same
    what_was_final_stays_as_it_was
}
