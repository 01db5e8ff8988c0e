//! Batches and streams at their full size, and as the same thing as commands one by one.

use std::collections::BTreeMap;

use creditledger::grpc::wire::batch_service_client::BatchServiceClient;
use creditledger::grpc::wire::*;
use prost::Message;
use tonic::Code;
use tonic_types::StatusExt;

use crate::bulk::{accepted, command, refused};
use crate::races::Dice;
use crate::raw::{call, nested, outcome, split};
use crate::served::{On, Served, on_each_engine};
use crate::types::Types;

const CUSTOMERS: [&str; 5] = ["acme", "zeta", "nova", "c-4", "c-5"];

async fn with_customers(served: Served) -> Served {
    for customer in CUSTOMERS {
        served.customers().create_customer(served.customer(customer)).await.unwrap();
        let purchase =
            PurchaseCreditsRequest { context: served.of(customer), ..served.purchase("50", customer) };
        served.purchases().purchase_credits(purchase).await.unwrap();
    }
    served
}

async fn run_batch(served: &Served, commands: Vec<BatchCommand>) -> Vec<BatchResult> {
    let request = ExecuteBatchRequest { ledger_id: String::new(), commands };
    BatchServiceClient::new(served.channel.clone()).execute_batch(request).await.unwrap().into_inner().results
}

async fn run_stream(served: &Served, commands: Vec<BatchCommand>) -> Vec<BatchResult> {
    let count = commands.len();
    let commands = (0..)
        .zip(commands)
        .map(|(correlation_id, command)| ExecuteStreamRequest { correlation_id, command: Some(command) });
    let commands = tokio_stream::iter(commands.collect::<Vec<_>>());
    let mut batches = BatchServiceClient::new(served.channel.clone());
    let mut answers = batches.execute_stream(commands).await.unwrap().into_inner();
    let mut found = BTreeMap::new();
    while let Some(answer) = answers.message().await.unwrap() {
        let before = found.insert(answer.correlation_id, answer.result.unwrap());
        assert!(before.is_none(), "{} is answered twice", answer.correlation_id);
    }
    assert_eq!(found.len(), count);
    found.into_values().collect()
}

/// Commands of incidents that begin and end, one customer's in between the other's.
fn whole_incidents(served: &Served, count: usize) -> Vec<(&'static str, BatchCommand)> {
    use batch_command::Command;
    let mut commands = Vec::new();
    for n in 0..count.div_ceil(CUSTOMERS.len() * 4) {
        let incident = format!("i-{n}");
        for step in 0..4 {
            for customer in CUSTOMERS {
                let one = match step {
                    0 => Command::PlaceHold(PlaceHoldRequest {
                        context: served.of(customer),
                        ..served.hold(&incident, "0.5")
                    }),
                    1 => Command::RecordWork(RecordWorkRequest {
                        context: served.of(customer),
                        ..served.work(&incident, 30)
                    }),
                    2 => Command::SettleHold(SettleHoldRequest {
                        context: served.of(customer),
                        overrun: OverrunPolicy::CapAtHold.into(),
                        ..served.settle(&incident)
                    }),
                    _ => Command::GrantCredits(GrantCreditsRequest {
                        context: served.of(customer),
                        credits: "0.5".into(),
                        ..Default::default()
                    }),
                };
                commands.push((customer, command(one)));
            }
        }
    }
    commands.truncate(count);
    commands
}

/// Every command was accepted, each customer's in the order in which they were sent.
fn are_in_order(customers: &[&'static str], results: Vec<BatchResult>) {
    let mut sequences: BTreeMap<&str, i64> = CUSTOMERS.map(|customer| (customer, 2)).into();
    assert_eq!(results.len(), customers.len());
    for (customer, result) in customers.iter().zip(results) {
        let accepted = accepted(Some(result));
        let sequence = sequences.get_mut(customer).unwrap();
        *sequence += 1;
        assert_eq!((accepted.sequence, accepted.replayed), (*sequence, false), "{customer}");
    }
}

async fn ten_thousand_commands_in_a_batch_keep_their_order(on: On) {
    let served = with_customers(Served::start(on).await).await;
    let (customers, commands): (Vec<_>, Vec<_>) = whole_incidents(&served, 10_000).into_iter().unzip();
    let results = run_batch(&served, commands.clone()).await;
    let bytes = ExecuteBatchResponse { results: results.clone() }.encoded_len();
    assert!(bytes < 4 << 20, "{bytes} bytes are more than clients take by default");
    are_in_order(&customers, results);
    for result in run_batch(&served, commands).await {
        assert!(accepted(Some(result)).replayed);
    }
    assert_eq!(served.verify().await, 10 + 10_000);
}

async fn ten_thousand_commands_on_a_stream_keep_their_order(on: On) {
    let served = with_customers(Served::start(on).await).await;
    let (customers, commands): (Vec<_>, Vec<_>) = whole_incidents(&served, 8_000).into_iter().unzip();
    // One in five is wrong in one of two ways, and does not disturb the others.
    let mut mixed = Vec::new();
    for (n, good) in commands.into_iter().enumerate() {
        mixed.push(good);
        if n % 4 == 3 {
            let bad = if n % 8 == 3 { "1e3" } else { "1000000" };
            mixed.push(command(batch_command::Command::PlaceHold(served.hold(&format!("bad-{n}"), bad))));
        }
    }
    assert_eq!(mixed.len(), 10_000);
    let (bad, good): (Vec<_>, Vec<_>) =
        (0..).zip(run_stream(&served, mixed).await).partition(|(n, _): &(usize, _)| n % 5 == 4);
    let mut codes = BTreeMap::new();
    for (_, result) in bad {
        let error = refused(Some(result));
        *codes.entry((error.code, error.reason)).or_insert(0) += 1;
    }
    let expected =
        [((3, "INVALID_FIELD".to_owned()), 1_000), ((9, "INSUFFICIENT_CREDITS".to_owned()), 1_000)];
    assert_eq!(codes, expected.into());
    // The notes of shortfalls take places in the history of acme, so its sequences have gaps here.
    let mut last = BTreeMap::new();
    for (customer, (_, result)) in customers.iter().zip(good) {
        let accepted = accepted(Some(result));
        assert!(!accepted.replayed);
        let before = last.insert(customer, accepted.sequence);
        assert!(before.is_none_or(|before| before < accepted.sequence), "{customer}");
    }
    assert_eq!(served.verify().await, 10 + 8_000 + 1_000);
}

/// What became of a command, as far as two servers can agree on it: ids and times are their own.
#[derive(Debug, PartialEq)]
enum Outcome {
    Accepted { sequence: i64, replayed: bool, available: String, has_hold: bool },
    Refused { code: i32, reason: String, metadata: BTreeMap<String, String> },
}

impl Outcome {
    fn of(result: BatchResult) -> Self {
        match result.result.unwrap() {
            batch_result::Result::Accepted(accepted) => Self::Accepted {
                sequence: accepted.sequence,
                replayed: accepted.replayed,
                available: accepted.available_credits,
                has_hold: !accepted.hold_id.is_empty(),
            },
            batch_result::Result::Error(error) => Self::Refused {
                code: error.code,
                reason: error.reason,
                metadata: without_ids(error.metadata),
            },
        }
    }
}

fn without_ids(metadata: impl IntoIterator<Item = (String, String)>) -> BTreeMap<String, String> {
    let shown = |(key, value): (String, String)| {
        let is_id = ["hold_id", "posting_id"].contains(&key.as_str());
        (key, if is_id { String::new() } else { value })
    };
    metadata.into_iter().map(shown).collect()
}

/// Sends a command to its own method.
async fn run_alone(served: &Served, types: &Types, command: &BatchCommand) -> Outcome {
    let encoded = command.encode_to_vec();
    let (number, _) = split(&encoded).remove(0);
    let fields = &types.message(".creditledger.v1.BatchCommand").field;
    let field = fields.iter().find(|field| field.number() == i32::try_from(number).unwrap()).unwrap();
    let (method, _) = types.methods().into_iter().find(|(_, input)| *input == field.type_name()).unwrap();
    match call(&served.channel, &method, nested(&encoded, number)).await {
        // Answers to commands are alike.
        Ok(answer) => {
            let outcome = outcome(&answer);
            assert_eq!(outcome.hold.is_some(), method.starts_with("HoldService/"), "{method}");
            Outcome::Accepted {
                sequence: outcome.posting.unwrap().sequence,
                replayed: outcome.replayed,
                available: outcome.balance.unwrap().available_credits,
                has_hold: outcome.hold.is_some(),
            }
        }
        Err(status) => {
            let info = status.get_error_details().error_info().unwrap().clone();
            let code = i32::from(status.code());
            Outcome::Refused { code, reason: info.reason, metadata: without_ids(info.metadata) }
        }
    }
}

/// Commands that often collide: few customers and incidents, few credits, some sent twice, some in vain. Where the order
/// of different customers' commands is open, they do not order the same.
pub fn random_commands(served: &Served, count: u32, on: On) -> Vec<BatchCommand> {
    use batch_command::Command;
    let own_orders = on == On::Postgres;
    let mut dice = Dice(20_261_121);
    let mut commands: Vec<BatchCommand> = Vec::new();
    while commands.len() < usize::try_from(count).unwrap() {
        let who = ["acme", "zeta", "nobody"][usize::try_from(dice.below(11)).unwrap() / 5];
        let incident = format!("i-{}", dice.below(4));
        let credits = format!("{}.{}", dice.below(12), dice.below(10));
        let seconds = i32::try_from(dice.below(10_000)).unwrap();
        macro_rules! of_incident {
            ($request:ident { $($field:ident: $value:expr),* $(,)? }) => {{
                let target = Some(HoldTarget::incident(&incident));
                #[allow(clippy::needless_update)] // some have no other field
                $request { context: served.of(who), target, $($field: $value,)* ..Default::default() }
            }};
        }
        let hold = PlaceHoldRequest { context: served.of(who), ..served.hold(&incident, &credits) };
        let hold = match dice.below(2) {
            0 => hold,
            _ => PlaceHoldRequest { quote: served.timed_hold("", seconds / 60).quote, ..hold },
        };
        let park = dice.below(2) == 0;
        commands.push(command(match dice.below(17) {
            0 | 1 => Command::PlaceHold(hold),
            2 => Command::PlaceHold(PlaceHoldRequest { park, ..hold }),
            3 => Command::EstimateIncident(EstimateIncidentRequest {
                context: served.of(who),
                ..served.estimate(&incident, &credits)
            }),
            4 => Command::ConfirmEstimate(of_incident!(ConfirmEstimateRequest { park: park })),
            5 => Command::DeclineEstimate(of_incident!(DeclineEstimateRequest {})),
            6 => Command::ExtendHold(of_incident!(ExtendHoldRequest { credits: "0.5".into() })),
            7 | 8 => Command::RecordWork(of_incident!(RecordWorkRequest { work_seconds: seconds })),
            9 | 10 => Command::SettleHold(of_incident!(SettleHoldRequest {})),
            11 => Command::ReleaseHold(of_incident!(ReleaseHoldRequest {})),
            12 => Command::ReverseSettlement(ReverseSettlementRequest {
                context: Some(context(served.next(), who).because("goodwill")),
                target: Some(HoldTarget::incident(&incident)),
                ..Default::default()
            }),
            13 => Command::ChargeIncident(ChargeIncidentRequest {
                context: served.of(who),
                incident_id: incident.clone(),
                work_seconds: seconds,
                ..Default::default()
            }),
            14 => {
                let order = format!("o-{}{}", if own_orders { who } else { "" }, dice.below(12));
                let purchase = served.purchase("3", &order);
                Command::PurchaseCredits(PurchaseCreditsRequest { context: served.of(who), ..purchase })
            }
            15 => {
                let order_id = format!("o-{}{}", if own_orders { who } else { "" }, dice.below(12));
                let target = Some(PurchaseTarget::order("web", order_id));
                if dice.below(2) == 0 {
                    Command::RefundPurchase(RefundPurchaseRequest {
                        context: served.of(who),
                        target,
                        credits: "0.7".into(),
                        on_shortfall: ShortfallPolicy::Receivable.into(),
                        ..Default::default()
                    })
                } else {
                    Command::RecordChargeback(RecordChargebackRequest {
                        context: served.of(who),
                        target,
                        ..Default::default()
                    })
                }
            }
            _ => match commands.get(usize::try_from(dice.below(u64::from(count))).unwrap()) {
                Some(earlier) => {
                    commands.push(earlier.clone());
                    continue;
                }
                None => continue,
            },
        }));
    }
    commands
}

async fn a_batch_is_the_same_as_its_commands_one_by_one(on: On) {
    let types = Types::new();
    // The engine in memory says what is right.
    let (alone, batch, stream) = (
        with_customers(Served::start(On::Memory).await).await,
        with_customers(Served::start(on).await).await,
        with_customers(Served::start(on).await).await,
    );
    let commands = random_commands(&alone, 1_000, on);
    let batched: Vec<_> = run_batch(&batch, commands.clone()).await.into_iter().map(Outcome::of).collect();
    let streamed: Vec<_> = run_stream(&stream, commands.clone()).await.into_iter().map(Outcome::of).collect();
    let mut kinds = BTreeMap::new();
    for (n, command) in commands.iter().enumerate() {
        let outcome = run_alone(&alone, &types, command).await;
        assert_eq!(batched[n], outcome, "command {n} in a batch: {command:?}");
        assert_eq!(streamed[n], outcome, "command {n} on a stream: {command:?}");
        let kind = match outcome {
            Outcome::Accepted { replayed: true, .. } => "REPLAYED".to_owned(),
            Outcome::Accepted { .. } => "ACCEPTED".to_owned(),
            Outcome::Refused { reason, code, .. } => {
                assert_ne!(code, i32::from(Code::Internal));
                reason
            }
        };
        *kinds.entry(kind).or_insert(0_u32) += 1;
    }
    // The commands are worth comparing: many are accepted, repeated, and refused for many reasons.
    assert!(kinds["ACCEPTED"] > 200 && kinds["REPLAYED"] > 10 && kinds.len() > 8, "{kinds:?}");
    let postings = alone.verify().await;
    assert_eq!((batch.verify().await, stream.verify().await), (postings, postings));
}

on_each_engine! {
    ten_thousand_commands_in_a_batch_keep_their_order
    ten_thousand_commands_on_a_stream_keep_their_order
    a_batch_is_the_same_as_its_commands_one_by_one
}
