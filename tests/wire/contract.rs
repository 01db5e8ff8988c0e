//! What all methods and messages of the protos have in common, read from the descriptors that the server has inside.

use creditledger::grpc::wire::DESCRIPTORS;
use prost_reflect::{DescriptorPool, MessageDescriptor, MethodDescriptor, Value};

fn pool() -> DescriptorPool {
    DescriptorPool::decode(DESCRIPTORS).unwrap()
}

fn methods(pool: &DescriptorPool) -> Vec<MethodDescriptor> {
    let ours = pool.services().filter(|service| service.package_name() == "creditledger.v1");
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// Names of a message's first field and of its type.
fn first_field(message: &MessageDescriptor) -> Option<(String, String)> {
    let field = message.get_field(1)?;
    Some((field.name().to_owned(), field.kind().as_message()?.name().to_owned()))
}

#[test]
fn each_command_about_a_customer_is_in_a_batch() {
    let pool = pool();
    let batch = pool.get_message_by_name("creditledger.v1.BatchCommand").unwrap();
    let mut alone: Vec<String> = methods(&pool)
        .iter()
        .filter(|method| {
            let outcome = method.output().fields().count() > 0 && first_field(&method.output()).is_some();
            let context = method.input().get_field(1).filter(|field| field.name() == "context");
            outcome && context.is_some()
        })
        .filter(|method| {
            let input = method.input();
            !batch.fields().any(|field| field.kind().as_message() == Some(&input))
        })
        .map(|method| method.name().to_owned())
        .collect();
    alone.sort();
    // Those about no customer, and one that is several commands at once.
    assert_eq!(
        alone,
        [
            "AssignPayment",
            "CreateLedger",
            "CreateRateCard",
            "CreateToken",
            "CreateWebhookEndpoint",
            "DeleteWebhookEndpoint",
            "DismissPayment",
            "RedeliverEvent",
            "SetDefaultBalanceAlerts",
            "SetDefaultRateCard",
            "UpdateWebhookEndpoint",
        ]
    );
}

#[test]
fn options_of_fields_survive_in_the_descriptors() {
    let pool = pool();
    let behavior = pool.get_extension_by_name("google.api.field_behavior").unwrap();
    let mut required = 0;
    for message in pool.all_messages().filter(|message| message.package_name() == "creditledger.v1") {
        for field in message.fields() {
            let options = field.options();
            let said = options.get_extension(&behavior).as_list().unwrap().to_vec();
            required += usize::from(said.contains(&Value::EnumNumber(2)));
            if field.name() == "context" {
                assert_eq!(said, [Value::EnumNumber(2)], "{}", field.full_name());
            }
            let is_place = matches!(field.name(), "position" | "sequence" | "after_position");
            let text_in_javascript = options.get_field_by_name("jstype").unwrap().as_enum_number();
            assert_eq!(text_in_javascript == Some(1), is_place, "{}", field.full_name());
        }
    }
    assert!(required > 60, "{required}");
}

#[test]
fn reflection_knows_the_details_of_errors() {
    let pool = pool();
    for name in ["Status", "ErrorInfo", "BadRequest", "RetryInfo"] {
        assert!(pool.get_message_by_name(&format!("google.rpc.{name}")).is_some(), "{name}");
    }
}
