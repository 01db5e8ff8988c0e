//! The context of every command: where it stands, what it refuses, and what of it is kept.

use creditledger::grpc::wire::*;
use prost::Message;
use prost_types::method_options::IdempotencyLevel;
use prost_types::{DescriptorProto, MethodDescriptorProto};
use tonic::Code;
use tonic::transport::Channel;

use crate::bad_values::{is_bare, must_say_why};
use crate::errors::{fields, reason};
use crate::raw::{call, nested, outcome, text, without};
use crate::served::{On, Served, on_each_engine};
use crate::types::Types;
use crate::world::World;

on_each_engine! {
    a_context_is_checked_by_each_command_and_leaves_nothing
    who_why_and_metadata_are_kept_with_the_posting
}

/// The name and the type of the field 1 of a message.
fn first(message: &DescriptorProto) -> Option<(&str, &str)> {
    let field = message.field.iter().find(|field| field.number() == 1)?;
    Some((field.name(), field.type_name()))
}

#[test]
fn every_method_says_whether_it_changes_anything_and_commands_are_alike() {
    let types = Types::new();
    let ours = types.0.file.iter().filter(|file| file.package() == "creditledger.v1");
    let methods: Vec<(String, &MethodDescriptorProto)> = ours
        .flat_map(|file| &file.service)
        .flat_map(|service| service.method.iter().map(move |method| (service, method)))
        .map(|(service, method)| (format!("{}/{}", service.name(), method.name()), method))
        .collect();
    let context = ("context", ".creditledger.v1.CommandContext");
    let outcome = ("outcome", ".creditledger.v1.CommandOutcome");
    let mut commands = 0;
    for (name, method) in &methods {
        let (asked, answered) = (types.message(method.input_type()), types.message(method.output_type()));
        let (asks, answers) = (first(asked) == Some(context), first(answered) == Some(outcome));
        assert_eq!(asks, answers, "{name} is a command by one of its messages only");
        let level = method.options.as_ref().map(prost_types::MethodOptions::idempotency_level);
        // What is tried again is stored under ids of its own, and a token is revoked once: twice is the same as once.
        let tries = ["PurchaseService/RetryPayments", "AccessService/RevokeToken"].contains(&name.as_str());
        let changes = asks || tries || name.starts_with("BatchService/");
        let expected = if changes { IdempotencyLevel::Idempotent } else { IdempotencyLevel::NoSideEffects };
        assert_eq!(level, Some(expected), "{name}");
        if !asks {
            let has =
                |message: &DescriptorProto, name| message.field.iter().any(|field| field.name() == name);
            assert!(
                !has(asked, "request_id") && !has(asked, "context") && !has(answered, "outcome"),
                "{name}"
            );
            continue;
        }
        commands += 1;
        // What the context says is said once.
        for field in &types.message("CommandContext").field {
            let own = asked.field.iter().any(|other| other.name() == field.name());
            let is_other = match field.name() {
                "ledger_id" => name == "LedgerService/CreateLedger",
                // Whom the token shows, and no customer that the command is about.
                "customer_id" => name == "AccessService/CreateToken",
                // A customer's own metadata, which are not the posting's.
                "metadata" => name.starts_with("CustomerService/"),
                _ => false,
            };
            assert!(!own || is_other, "{name} has its own {}", field.name());
        }
        for field in answered.field.iter().filter(|field| field.number() != 1) {
            let in_outcome = types.message("CommandOutcome").field.iter();
            assert!(in_outcome.into_iter().all(|other| other.name() != field.name()), "{name} says it twice");
        }
    }
    assert!(methods.len() >= 67 && commands >= 33, "{} methods, {commands} commands", methods.len());
    // A batch takes the requests of the methods themselves.
    for field in &types.message("BatchCommand").field {
        let request = types.message(field.type_name());
        assert_eq!(first(request), Some(context), "{}", field.name());
        assert!(!is_bare(request.name()), "{}", field.name());
    }
}

/// All that a server has which no posting tells of.
async fn besides_postings(channel: &Channel) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let tokens = ListTokensRequest::default().encode_to_vec();
    all.push(call(channel, "AccessService/ListTokens", tokens).await.unwrap());
    for ledger_id in ["main", "other"] {
        let alerts = GetBalanceAlertsRequest { ledger_id: ledger_id.into(), ..Default::default() };
        let cards = ListRateCardsRequest { ledger_id: ledger_id.into(), ..Default::default() };
        let endpoints = ListWebhookEndpointsRequest { ledger_id: ledger_id.into(), ..Default::default() };
        for (method, request) in [
            ("LedgerService/ListLedgers", ListLedgersRequest::default().encode_to_vec()),
            ("NotificationService/GetBalanceAlerts", alerts.encode_to_vec()),
            ("RateCardService/ListRateCards", cards.encode_to_vec()),
            ("NotificationService/ListWebhookEndpoints", endpoints.encode_to_vec()),
        ] {
            all.push(call(channel, method, request).await.unwrap());
        }
    }
    all
}

/// What is wrong with a context, and the fields of it that are named.
type Case = (&'static str, Option<CommandContext>, Vec<&'static str>);

/// Contexts that the command of this request refuses, made from its good one.
fn bad_contexts(request: &str, good: &CommandContext) -> Vec<Case> {
    let bare = is_bare(request);
    let pairs = |count: usize| (0..count).map(|n| (n.to_string(), "v".to_owned())).collect();
    let with = |change: &dyn Fn(&mut CommandContext)| {
        let mut context = good.clone();
        change(&mut context);
        Some(context)
    };
    let mut missing = vec!["request_id"];
    if !bare {
        missing.push("customer_id");
    }
    if must_say_why(request) {
        missing.push("reason");
    }
    let long = "x".repeat(129);
    let metadata = |pairs: std::collections::BTreeMap<String, String>| {
        with(&move |context| context.metadata = pairs.clone())
    };
    let pair = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    let named = |of_customers: &'static str| if bare { "metadata" } else { of_customers };
    vec![
        ("no context", None, missing.clone()),
        ("an empty context", Some(CommandContext::default()), missing),
        ("a long ledger_id", with(&|context| context.ledger_id.clone_from(&long)), vec!["ledger_id"]),
        ("a long request_id", with(&|context| context.request_id.clone_from(&long)), vec!["request_id"]),
        ("a long customer_id", with(&|context| context.customer_id.clone_from(&long)), vec!["customer_id"]),
        (
            "all ids too long",
            with(&|context| {
                context.ledger_id.clone_from(&long);
                context.request_id.clone_from(&long);
                context.customer_id.clone_from(&long);
            }),
            vec!["ledger_id", "request_id", "customer_id"],
        ),
        (
            "a customer, or none",
            with(&|context| context.customer_id = if bare { "acme".into() } else { String::new() }),
            vec!["customer_id"],
        ),
        ("control characters in by", with(&|context| context.by = "an\u{7}n".into()), vec!["by"]),
        ("a long by", with(&|context| context.by = "x".repeat(1_025)), vec!["by"]),
        ("control characters in reason", with(&|context| context.reason = "so\nso".into()), vec!["reason"]),
        ("a long reason", with(&|context| context.reason = "x".repeat(1_025)), vec!["reason"]),
        ("33 pairs", metadata(pairs(33)), vec!["metadata"]),
        ("an empty key", metadata(pair("", "v")), vec![named("metadata.key")]),
        ("a control character in a value", metadata(pair("k", "\u{1b}")), vec![named("metadata.value")]),
    ]
}

async fn a_context_is_checked_by_each_command_and_leaves_nothing(on: On) {
    let world = World::new(on).await;
    let types = Types::new();
    let channel = &world.served.channel;
    let methods = types.methods();
    let mut wrong = Vec::new();
    let mut commands = 0;
    for (method, good) in world.good_requests() {
        let (_, input) = methods.iter().find(|(name, _)| name == method).unwrap();
        let request = types.message(input);
        if first(request).is_none_or(|(name, _)| name != "context") {
            call(channel, method, good).await.unwrap();
            continue;
        }
        commands += 1;
        let context = CommandContext::decode(nested(&good, 1).as_slice()).unwrap();
        let rest = without(&good, &[1]);
        let encoded = |context: Option<CommandContext>| {
            let context = context.map_or_else(Vec::new, |context| text(1, context.encode_to_vec()));
            [context, rest.clone()].concat()
        };
        let before = (world.served.positions().await, besides_postings(channel).await);
        for (what, bad, named) in bad_contexts(request.name(), &context) {
            match call(channel, method, encoded(bad)).await {
                Err(status) if status.code() == Code::InvalidArgument => {
                    let mut told = fields(&status);
                    let mut expected: Vec<_> = named.iter().map(|name| format!("context.{name}")).collect();
                    told.sort();
                    expected.sort();
                    if told != expected {
                        wrong.push(format!("{method}, {what}: {told:?} instead of {expected:?}"));
                    }
                }
                other => wrong.push(format!("{method}, {what}: {other:?}")),
            }
        }
        // Good ids of what there is not.
        let mut unknown = vec![("LEDGER_NOT_FOUND", context.clone().ledger("nowhere"))];
        if ["LedgerService/CreateLedger", "AccessService/CreateToken"].contains(&method) {
            unknown.clear();
        } else if !is_bare(request.name()) && method != "CustomerService/CreateCustomer" {
            let nobody = CommandContext { customer_id: "nobody".into(), ..context.clone() };
            unknown.push(("CUSTOMER_NOT_FOUND", nobody));
        }
        for (expected, context) in unknown {
            let status = call(channel, method, encoded(Some(context))).await.unwrap_err();
            let told = (status.code(), reason(&status));
            if told != (Code::NotFound, expected.to_owned()) {
                wrong.push(format!("{method}: {told:?} instead of {expected}"));
            }
        }
        if (world.served.positions().await, besides_postings(channel).await) != before {
            wrong.push(format!("{method} left a trace"));
        }
        // None of it has used the request_id up; and what is said now is kept.
        let said = if is_bare(request.name()) {
            context
        } else {
            CommandContext { by: "ann".into(), metadata: pairs(&[("ticket", "T-1")]), ..context }
        };
        let answer = call(channel, method, encoded(Some(said.clone()))).await.unwrap();
        let told = outcome(&answer);
        if told.replayed {
            wrong.push(format!("{method} was run before"));
        }
        if let Some(Posting { by, metadata, .. }) = told.posting
            && (&by, &metadata) != (&said.by, &said.metadata)
        {
            wrong.push(format!("{method} keeps {by:?} and {metadata:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(commands >= 33, "{commands}");
    world.served.verify().await;
}

fn pairs(pairs: &[(&str, &str)]) -> std::collections::BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

async fn who_why_and_metadata_are_kept_with_the_posting(on: On) {
    let served = Served::start(on).await;
    let said = |customer: &str, number: &str| {
        let context = context(served.next(), customer).by(format!("ann {number}")).because("they asked");
        CommandContext { metadata: pairs(&[("ticket", number), ("empty", "")]), ..context }
    };
    let create = CreateCustomerRequest {
        context: Some(said("acme", "1")),
        metadata: pairs(&[("crm", "4711")]),
        ..Default::default()
    };
    let created = served.customers().create_customer(create).await.unwrap().into_inner();
    assert_eq!(created.customer.as_ref().unwrap().metadata, pairs(&[("crm", "4711")]), "its own");
    let purchase = PurchaseCreditsRequest { context: Some(said("acme", "2")), ..served.purchase("5", "o") };
    let bought = served.purchases().purchase_credits(purchase).await.unwrap().into_inner();
    let hold = PlaceHoldRequest { context: Some(said("acme", "3")), ..served.hold("i", "2") };
    let placed = served.holds().place_hold(hold.clone()).await.unwrap().into_inner();
    let work = RecordWorkRequest { context: Some(said("acme", "4")), ..served.work("i", 30) };
    let worked = served.holds().record_work(work.clone()).await.unwrap().into_inner();
    assert_eq!(worked.entry.as_ref().unwrap().by, "ann 4", "who did the work");
    let close = CloseIncidentRequest {
        context: Some(said("acme", "5")),
        target: Some(HoldTarget::incident("i")),
        ..Default::default()
    };
    let closed = served.holds().close_incident(close).await.unwrap().into_inner();
    let outcomes =
        [created.outcome(), bought.outcome(), placed.outcome(), worked.outcome(), closed.outcome()];
    let told = |posting: &Posting| (posting.by.clone(), posting.reason.clone(), posting.metadata.clone());
    let mut expected = Vec::new();
    for (number, outcome) in (1..).zip(outcomes) {
        let number = number.to_string();
        let kept = pairs(&[("ticket", &number), ("empty", "")]);
        expected.push((format!("ann {number}"), "they asked".to_owned(), kept));
        assert_eq!(told(&outcome.posting.unwrap()), expected[expected.len() - 1]);
    }
    // Lists and the journal tell the same, and a repeat is answered with it.
    let list = ListPostingsRequest { customer_id: "acme".into(), ..Default::default() };
    let listed = served.ledgers().list_postings(list).await.unwrap().into_inner().postings;
    assert_eq!(listed.iter().map(told).collect::<Vec<_>>(), expected);
    let mut journal =
        served.ledgers().stream_journal(StreamJournalRequest::default()).await.unwrap().into_inner();
    for expected in &expected {
        assert_eq!(&told(&journal.message().await.unwrap().unwrap().posting.unwrap()), expected);
    }
    let again = served.holds().record_work(work.clone()).await.unwrap().into_inner().outcome();
    assert!(again.replayed);
    assert_eq!(told(&again.posting.unwrap()), expected[3]);
    // It is part of what was asked: with other words it is another command.
    let request_id = work.context.clone().unwrap().request_id;
    for other in [
        CommandContext { metadata: pairs(&[]), ..said("acme", "4") },
        CommandContext { metadata: pairs(&[("ticket", "4"), ("empty", " ")]), ..said("acme", "4") },
        said("acme", "4").by("bob"),
        said("acme", "4").because(""),
    ] {
        let context = Some(CommandContext { request_id: request_id.clone(), ..other });
        let other = RecordWorkRequest { context, ..work.clone() };
        let status = served.holds().record_work(other).await.unwrap_err();
        assert_eq!((status.code(), reason(&status).as_str()), (Code::AlreadyExists, "REQUEST_ID_REUSED"));
    }
    // 32 pairs of the longest texts are kept as they are.
    let longest = (0..32).map(|n| (format!("{n:x>1024}"), "é".repeat(512))).collect();
    let full = CommandContext { metadata: longest, ..said("acme", "6") };
    let grant =
        GrantCreditsRequest { context: Some(full.clone()), credits: "1".into(), ..Default::default() };
    let granted = served.purchases().grant_credits(grant).await.unwrap().into_inner().outcome();
    assert_eq!(granted.posting.unwrap().metadata, full.metadata);
    assert_eq!(served.verify().await, 6);
}
