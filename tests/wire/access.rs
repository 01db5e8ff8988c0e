//! Who may call what: every method with every role, as the descriptor says, and what each role may name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use creditledger::access::Refused;
use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::hold_service_client::HoldServiceClient;
use creditledger::grpc::wire::ledger_service_client::LedgerServiceClient;
use creditledger::grpc::wire::notification_service_client::NotificationServiceClient;
use creditledger::grpc::wire::{self, *};
use creditledger::ledger::actor::Role;
use prost::Message;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::callers::{Guarded, with_token};
use crate::plain::{self, Http};
use crate::raw;
use crate::served::{On, Served};
use crate::world::World;

pub fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

/// The roles of a method, as its option says.
pub fn roles(method: &MethodDescriptor) -> Vec<&'static str> {
    let option = method.parent_pool().get_extension_by_name("creditledger.v1.allowed").unwrap();
    let options = method.options();
    let allowed = options.get_extension(&option);
    let roles = allowed.as_message().unwrap().get_field_by_name("roles").unwrap();
    let codes = roles.as_list().unwrap().iter().map(|role| role.as_enum_number().unwrap());
    codes.map(|code| Role::from_code(u8::try_from(code).unwrap()).unwrap().name()).collect()
}

/// The roles of every method.
pub fn table() -> BTreeMap<String, BTreeSet<&'static str>> {
    let pool = pool();
    let mut table = BTreeMap::new();
    let services =
        pool.services().filter(|service| service.parent_file().package_name() == "creditledger.v1");
    for method in services.flat_map(|service| service.methods().collect::<Vec<_>>()) {
        let names = roles(&method).into_iter().collect();
        table.insert(format!("{}/{}", method.parent_service().name(), method.name()), names);
    }
    table
}

pub fn reason(status: &Status) -> String {
    status.get_error_details().error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// What a call came to: its reason, or nothing.
pub fn told(answer: &Result<Vec<u8>, Status>) -> String {
    answer.as_ref().err().map(reason).unwrap_or_default()
}

/// A request to every method, batches and streams too.
pub fn requests(world: &World) -> Vec<(&'static str, Vec<u8>)> {
    let held = BatchCommand {
        command: Some(batch_command::Command::CloseIncident(CloseIncidentRequest {
            context: world.served.of("acme"),
            target: Some(HoldTarget::incident("nothing")),
            ..Default::default()
        })),
    };
    let mut requests = world.good_requests();
    // Without the terms, which are for operators.
    let plain = CreateCustomerRequest { name: "New".into(), ..world.served.customer("new") };
    let create = requests.iter_mut().find(|(method, _)| *method == "CustomerService/CreateCustomer").unwrap();
    create.1 = plain.encode_to_vec();
    let batch = ExecuteBatchRequest { commands: vec![held.clone()], ..Default::default() };
    requests.push(("BatchService/ExecuteBatch", batch.encode_to_vec()));
    let streamed = ExecuteStreamRequest { correlation_id: 1, command: Some(held) };
    requests.push(("BatchService/ExecuteStream", streamed.encode_to_vec()));
    requests
}

#[test]
fn roles_have_the_same_names_and_numbers_everywhere() {
    for role in Role::ALL {
        let named = wire::Role::try_from(i32::from(role.code())).unwrap();
        assert_eq!(named.as_str_name(), format!("ROLE_{}", role.name().to_uppercase()));
    }
    let operator: Vec<_> = table()
        .into_iter()
        .filter(|(_, roles)| !roles.contains("operator"))
        .map(|(method, _)| method)
        .collect();
    assert!(operator.is_empty(), "an operator may call everything: {operator:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_method_is_allowed_to_exactly_its_roles() {
    let world = World::new(On::Memory).await;
    let guarded = Guarded::over(&world.served).await;
    let table = table();
    let requests = requests(&world);
    let covered: BTreeSet<_> = requests.iter().map(|(method, _)| (*method).to_owned()).collect();
    assert_eq!(covered, table.keys().cloned().collect(), "every method has a request here");
    for (method, request) in &requests {
        for role in Role::ALL {
            let token = guarded.tokens.issue(role.name(), *role, &[]);
            let elsewhere = guarded.tokens.issue(&format!("{role}-elsewhere"), *role, &["elsewhere"]);
            let told_here = told(&guarded.call(&token, method, request.clone()).await);
            // The command of the batch is looked at by its own method.
            let commands =
                if *method == "BatchService/ExecuteBatch" { "HoldService/CloseIncident" } else { method };
            let may = [method, commands].iter().all(|method| table[*method].contains(role.name()));
            assert_eq!(told_here == "PERMISSION_DENIED", !may, "{method} by {role}: {told_here}");
            assert!(
                !["UNAUTHENTICATED", "INTERNAL"].contains(&&*told_here),
                "{method} by {role}: {told_here}"
            );
            // The same in a ledger that is none of the caller's.
            let told_elsewhere = told(&guarded.call(&elsewhere, method, request.clone()).await);
            // These name no ledger. What they list is bound below.
            let names_none = ["LedgerService/GetServerInfo", "LedgerService/ListLedgers"].contains(method);
            // One whose customer is refused does not come to its ledger.
            let other_customer = *role == Role::Customer && told_here == "CUSTOMER_NOT_FOUND";
            // A stream of commands answers each of them.
            let streams = *method == "BatchService/ExecuteStream";
            if !(may && (names_none || other_customer || streams)) {
                assert_eq!(told_elsewhere, "PERMISSION_DENIED", "{method} by {role} elsewhere");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_that_is_bound_to_ledgers_is_told_of_no_others() {
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::over(&served).await;
    for ledger in ["other", "third"] {
        let create = CreateLedgerRequest { context: served.of(""), ledger_id: ledger.into() };
        served.ledgers().create_ledger(create).await.unwrap();
    }
    let all = guarded.tokens.issue("all", Role::Operator, &[]);
    let bound = guarded.tokens.issue("bound", Role::Operator, &["main", "other", "not-there"]);
    let ledgers = async |token: &str| {
        let answer = guarded.call(token, "LedgerService/GetServerInfo", Vec::new()).await.unwrap();
        GetServerInfoResponse::decode(answer.as_slice()).unwrap().server_info.unwrap().ledgers
    };
    assert_eq!((ledgers(&all).await, ledgers(&bound).await), (3, 2));
    // Heartbeats have the position of the ledger that is watched. What is posted elsewhere does not move it.
    let position = async || {
        let mut client = NotificationServiceClient::new(guarded.channel.clone());
        let watch = with_token(&bound, WatchEventsRequest::default());
        let mut stream = client.watch_events(watch).await.unwrap().into_inner();
        loop {
            let item = stream.message().await.unwrap().unwrap().item.unwrap();
            if let watch_events_response::Item::Heartbeat(heartbeat) = item {
                return heartbeat.position;
            }
        }
    };
    let before = position().await;
    let create = CreateCustomerRequest {
        context: Some(context("elsewhere", "acme").ledger("third")),
        ..Default::default()
    };
    served.customers().create_customer(create).await.unwrap();
    assert_eq!(position().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_not_known_calls_nothing() {
    let world = World::new(On::Memory).await;
    let guarded = Guarded::over(&world.served).await;
    let good = guarded.tokens.issue("good", Role::Operator, &[]);
    let revoked = guarded.tokens.issue("revoked", Role::Operator, &[]);
    guarded.tokens.revoke(&revoked);
    let away = guarded.tokens.put("clt_away", Err(Refused::Unavailable));
    let before = world.served.positions().await;
    let long = format!("Bearer {}", "x".repeat(9_000));
    let broken: Vec<Vec<String>> = vec![
        vec![],
        vec![format!("Bearer {revoked}")],
        vec![format!("bearer {good}")],
        vec![format!("Bearer  {good}")],
        vec![format!("Bearer {good} ")],
        vec!["Bearer".into()],
        vec!["Bearer ".into()],
        vec![good.clone()],
        vec![format!("Basic {good}")],
        vec![format!("Bearer {good}"), format!("Bearer {good}")],
        vec![format!("Bearer {good}"), "Bearer x".into()],
        vec!["Bearer a.b.c.d.e.f".into()],
        vec!["Bearer ...".into()],
        vec![long],
    ];
    let mut messages = BTreeSet::new();
    for (method, request) in requests(&world) {
        for headers in &broken {
            let mut call = tonic::Request::new(request.clone());
            for header in headers {
                call.metadata_mut().append("authorization", header.parse().unwrap());
            }
            let status = raw::send(&guarded.channel, method, call).await.unwrap_err();
            assert_eq!(status.code(), Code::Unauthenticated, "{method} {headers:?}: {status}");
            assert_eq!(reason(&status), "UNAUTHENTICATED");
            messages.insert(status.message().to_owned());
        }
        let status = guarded.call(&away, method, request).await.unwrap_err();
        assert_eq!(
            (status.code(), &*reason(&status)),
            (Code::Unavailable, "IDENTITY_UNAVAILABLE"),
            "{method}"
        );
        assert!(status.get_error_details().retry_info().is_some());
    }
    assert_eq!(messages.len(), 1, "nothing tells which part was wrong: {messages:?}");
    assert_eq!(world.served.positions().await, before, "nothing was done");
    // By the other protocols too; and there is an answer to a method that is not there, whoever asks.
    let list = "/creditledger.v1.LedgerService/ListLedgers";
    let get = format!("{list}?encoding=json&message=%7B%7D");
    let post = |content_type| ("POST", list, content_type);
    for (verb, path, content_type) in
        [post("application/json"), post("application/proto"), ("GET", &*get, "application/json")]
    {
        let headers = [("content-type", content_type)];
        let answer = plain::send_to(&guarded.address, Http::One, verb, path, &headers, b"{}").await;
        assert_eq!(answer.refusal(), (401, "unauthenticated".into(), "UNAUTHENTICATED".into()), "{verb}");
    }
    let headers = [("content-type", "application/grpc-web+proto")];
    let answer = plain::send_to(&guarded.address, Http::One, "POST", list, &headers, &[0; 5]).await;
    let told = String::from_utf8_lossy(&answer.body).into_owned() + &format!("{:?}", answer.headers);
    assert!(told.contains("16"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_lists_its_own_ledgers() {
    let world = World::new(On::Memory).await;
    let guarded = Guarded::over(&world.served).await;
    let token = guarded.tokens.issue("desk", Role::Helpdesk, &["other"]);
    let mut ledgers = LedgerServiceClient::new(guarded.channel.clone());
    let listed = ledgers.list_ledgers(with_token(&token, ListLedgersRequest::default())).await.unwrap();
    let ids: Vec<_> = listed.into_inner().ledgers.into_iter().map(|ledger| ledger.ledger_id).collect();
    assert_eq!(ids, ["other"]);
    // One that is there and one that is not are answered the same.
    for ledger in ["main", "nowhere"] {
        let asked = GetLedgerRequest { ledger_id: ledger.into() };
        let status = ledgers.get_ledger(with_token(&token, asked)).await.unwrap_err();
        assert_eq!(status.code(), Code::PermissionDenied);
        assert_eq!(
            status.message(),
            "the role helpdesk may not name this ledger here: it is bound to others"
        );
    }
}

/// A batch with these commands.
fn batch(commands: Vec<batch_command::Command>) -> ExecuteBatchRequest {
    let commands = commands.into_iter().map(|command| BatchCommand { command: Some(command) }).collect();
    ExecuteBatchRequest { commands, ..Default::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_with_one_command_too_many_does_nothing() {
    let served = Served::with_credits(On::Memory, "10").await;
    served.customers().create_customer(served.customer("zeta")).await.unwrap();
    let guarded = Guarded::over(&served).await;
    let grant = |customer: &str| {
        batch_command::Command::GrantCredits(GrantCreditsRequest {
            context: served.of(customer),
            credits: "1".into(),
            ..Default::default()
        })
    };
    let hold = || batch_command::Command::PlaceHold(served.hold("inc", "1"));
    let close = |customer: &str| {
        batch_command::Command::CloseIncident(CloseIncidentRequest {
            context: served.of(customer),
            target: Some(HoldTarget::incident("inc")),
            ..Default::default()
        })
    };
    let before = served.positions().await;
    let tokens = &guarded.tokens;
    let (shop, customer) =
        (tokens.issue("shop", Role::Storefront, &[]), tokens.issue("acme", Role::Customer, &[]));
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let refused = [
        (&shop, batch(vec![grant("acme"), hold()]), "PERMISSION_DENIED"),
        (&customer, batch(vec![close("acme"), grant("acme")]), "PERMISSION_DENIED"),
        (&customer, batch(vec![close("acme"), close("zeta")]), "CUSTOMER_NOT_FOUND"),
        (&customer, batch(vec![close("nobody"), close("acme")]), "CUSTOMER_NOT_FOUND"),
    ];
    for (token, batch, expected) in refused {
        let status = client.execute_batch(with_token(token, batch)).await.unwrap_err();
        assert_eq!(reason(&status), expected, "{status}");
    }
    assert_eq!(served.positions().await, before, "nothing of them was done");
    // In a stream each command is answered for itself.
    let desk = tokens.issue("desk", Role::Helpdesk, &[]);
    let purchase = batch_command::Command::PurchaseCredits(served.purchase("1", "o-1"));
    let sent: Vec<_> = [hold(), purchase]
        .into_iter()
        .map(|command| ExecuteStreamRequest {
            correlation_id: 1,
            command: Some(BatchCommand { command: Some(command) }),
        })
        .collect();
    let answers = client.execute_stream(with_token(&desk, tokio_stream::iter(sent))).await.unwrap();
    let mut answers = answers.into_inner();
    let mut told = Vec::new();
    while let Some(answer) = answers.message().await.unwrap() {
        told.push(match answer.result.unwrap().result.unwrap() {
            batch_result::Result::Accepted(_) => "accepted".to_owned(),
            batch_result::Result::Error(error) => error.reason,
        });
    }
    told.sort();
    assert_eq!(told, ["PERMISSION_DENIED", "accepted"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_when_their_token_is_revoked() {
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::over(&served).await;
    let token = guarded.tokens.issue("op", Role::Operator, &[]);
    let mut watching = NotificationServiceClient::new(guarded.channel.clone());
    let asked = WatchEventsRequest { heartbeat_seconds: 1, ..Default::default() };
    let mut events = watching.watch_events(with_token(&token, asked)).await.unwrap().into_inner();
    let mut client = BatchServiceClient::new(guarded.channel.clone());
    let (sink, source) = tokio::sync::mpsc::channel(8);
    let source = tokio_stream::wrappers::ReceiverStream::new(source);
    let command = |incident: &str| ExecuteStreamRequest {
        correlation_id: 1,
        command: Some(BatchCommand {
            command: Some(batch_command::Command::PlaceHold(served.hold(incident, "1"))),
        }),
    };
    sink.send(command("first")).await.unwrap();
    let mut answers = client.execute_stream(with_token(&token, source)).await.unwrap().into_inner();
    assert!(answers.message().await.unwrap().is_some());
    guarded.tokens.revoke(&token);
    let ended = tokio::time::timeout(Duration::from_mins(1), async {
        let of_events = loop {
            if let Err(status) = events.message().await {
                break status;
            }
        };
        let of_commands = loop {
            if let Err(status) = answers.message().await {
                break status;
            }
        };
        [of_events, of_commands]
    });
    for status in ended.await.unwrap() {
        assert_eq!(
            (status.code(), &*reason(&status)),
            (Code::Unauthenticated, "UNAUTHENTICATED"),
            "{status}"
        );
    }
    // What is sent after it is not run.
    let before = served.positions().await;
    let _ = sink.send(command("second")).await;
    served.verify().await;
    assert_eq!(served.positions().await, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_keeps_who_called_and_repeats_are_repeats() {
    for on in [On::Memory, On::Sqlite] {
        let served = Served::with_credits(on, "10").await;
        let guarded = Guarded::over(&served).await;
        let tokens = &guarded.tokens;
        let (desk, again) =
            (tokens.issue("desk-1", Role::Helpdesk, &[]), tokens.issue("desk-2", Role::Helpdesk, &[]));
        let (operator, auditor) =
            (tokens.issue("op", Role::Operator, &[]), tokens.issue("eye", Role::Auditor, &[]));
        let hold = served.hold("inc", "1");
        let mut holds = HoldServiceClient::new(guarded.channel.clone());
        let first = holds.place_hold(with_token(&desk, hold.clone())).await.unwrap().into_inner();
        let posting = first.outcome.unwrap().posting.unwrap();
        assert_eq!(posting.actor, None, "shown to operators and auditors alone");
        // By another token, as after a renewal.
        let repeat = holds.place_hold(with_token(&again, hold)).await.unwrap().into_inner().outcome.unwrap();
        assert!(repeat.replayed);
        assert_eq!(repeat.posting.unwrap().posting_id, posting.posting_id);
        let mut ledgers = LedgerServiceClient::new(guarded.channel.clone());
        for (token, sees) in [(&desk, false), (&operator, true), (&auditor, true)] {
            let asked = ListTransfersRequest { customer_id: "acme".into(), ..Default::default() };
            let transfers =
                ledgers.list_transfers(with_token(token, asked)).await.unwrap().into_inner().transfers;
            let last = transfers.last().unwrap();
            let expected = Actor {
                subject: "desk-1".into(),
                role: wire::Role::Helpdesk.into(),
                way: CallerWay::Token.into(),
                peer: "127.0.0.1".into(),
                provider: String::new(),
            };
            assert_eq!(last.actor, sees.then_some(expected));
            // What came in without authentication has none.
            assert_eq!(transfers[0].actor, None);
        }
        served.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn terms_are_for_operators_also_where_a_customer_is_made() {
    let served = Served::with_credits(On::Memory, "10").await;
    let guarded = Guarded::over(&served).await;
    let terms = CustomerTerms { rate_card_id: "prepaid".into(), ..Default::default() };
    let create = |id: &str| {
        CreateCustomerRequest { terms: Some(terms.clone()), ..served.customer(id) }.encode_to_vec()
    };
    for role in [Role::Helpdesk, Role::Storefront, Role::Billing] {
        let token = guarded.tokens.issue(role.name(), role, &[]);
        let status = guarded.call(&token, "CustomerService/CreateCustomer", create("new")).await.unwrap_err();
        assert_eq!(status.message(), format!("the role {role} may not set terms"));
        // Empty terms are none.
        let none = Some(CustomerTerms::default());
        let plain = CreateCustomerRequest { terms: none, ..served.customer(role.name()) }.encode_to_vec();
        guarded.call(&token, "CustomerService/CreateCustomer", plain).await.unwrap();
    }
    let operator = guarded.tokens.issue("op", Role::Operator, &[]);
    guarded.call(&operator, "CustomerService/CreateCustomer", create("new")).await.unwrap();
}
