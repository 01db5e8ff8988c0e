//! Compares the JSON of messages with what reflection makes of them.

use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DynamicMessage, Kind as Described, MapKey, MessageDescriptor, SerializeOptions, Value,
};
use serde_json::json;

use super::*;
use crate::grpc::wire::DESCRIPTORS;

struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn value(&mut self, kind: &Described, depth: u32) -> Value {
        let texts = ["", "plain", "a \"quote\" \\ \n \u{1}", "größer € 😀", "</script>"];
        let numbers = [0, 1, -1, 250, i64::MAX, i64::MIN, 1_767_225_600];
        let number = numbers[usize::try_from(self.below(7)).unwrap()];
        match kind {
            Described::String => Value::String(texts[usize::try_from(self.below(5)).unwrap()].to_owned()),
            Described::Bool => Value::Bool(self.below(2) == 1),
            Described::Int32 => Value::I32(i32::try_from(number).unwrap_or(i32::MIN)),
            Described::Int64 => Value::I64(number),
            Described::Enum(of) => {
                let known: Vec<i32> = of.values().map(|value| value.number()).chain([9_999]).collect();
                let place = self.below(known.len().try_into().unwrap());
                Value::EnumNumber(known[usize::try_from(place).unwrap()])
            }
            Described::Message(of) if of.full_name() == "google.protobuf.Timestamp" => {
                let nanos = [0, 500_000_000, 119_321_000, 1][usize::try_from(self.below(4)).unwrap()];
                let seconds = i64::try_from(self.below(4_000_000_000)).unwrap();
                let mut message = DynamicMessage::new(of.clone());
                message.transcode_from(&prost_types::Timestamp { seconds, nanos }).unwrap();
                Value::Message(message)
            }
            Described::Message(of) if of.full_name() == "google.protobuf.FieldMask" => {
                let paths = ["name", "terms.product_purchase_date"].map(str::to_owned).to_vec();
                let mut message = DynamicMessage::new(of.clone());
                message.transcode_from(&prost_types::FieldMask { paths }).unwrap();
                Value::Message(message)
            }
            Described::Message(of) => Value::Message(self.message(of, depth + 1)),
            other => panic!("{other:?}"),
        }
    }

    fn message(&mut self, of: &MessageDescriptor, depth: u32) -> DynamicMessage {
        let mut message = DynamicMessage::new(of.clone());
        for field in of.fields() {
            let group = field.containing_oneof();
            let is_taken = group.is_some_and(|group| group.fields().any(|other| message.has_field(&other)));
            if depth > 5 || is_taken || self.below(3) == 0 {
                continue;
            }
            let value = if field.is_map() {
                let entry = field.kind().as_message().unwrap().map_entry_value_field().kind();
                let keys = ["", "k", "größer \"€\""];
                let count = usize::try_from(self.below(4)).unwrap();
                let keys = keys.iter().take(count).map(|key| MapKey::String((*key).to_owned()));
                Value::Map(keys.map(|key| (key, self.value(&entry, depth))).collect())
            } else if field.is_list() {
                Value::List((0..self.below(4)).map(|_| self.value(&field.kind(), depth)).collect())
            } else {
                self.value(&field.kind(), depth)
            };
            message.set_field(&field, value);
        }
        message
    }
}

const ALL: [&str; 8] = [
    "Event",
    "Hold",
    "Lot",
    "Posting",
    "ListWebhookEndpointsResponse",
    "CreateCustomerRequest",
    "UpdateCustomerRequest",
    "ExecuteBatchRequest",
];

fn described(name: &str) -> MessageDescriptor {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    pool.get_message_by_name(&format!("creditledger.v1.{name}")).unwrap()
}

fn table(name: &str, names: Names) -> (Json, Place) {
    let mut json = Json::new(names);
    let place = json.add(&described(name)).unwrap_or_else(|| panic!("{name}"));
    (json, place)
}

#[test]
fn it_is_the_json_that_reflection_writes_and_reads() {
    for (name, names) in ALL.into_iter().flat_map(|name| [(name, Names::Proto), (name, Names::Json)]) {
        let described = described(name);
        let (json, place) = table(name, names);
        let mut dice = Dice(20_261_126);
        for nth in 0..200 {
            let message = dice.message(&described, 0);
            let options = SerializeOptions::new().use_proto_field_name(names == Names::Proto);
            let expected = message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
            let mut written = Vec::new();
            json.write(place, &message.encode_to_vec(), &mut written).unwrap();
            let value: serde_json::Value = serde_json::from_slice(&written).unwrap();
            assert_eq!(value, expected, "{name} {nth}");
            let read = json.read(place, &written).unwrap_or_else(|wrong| panic!("{name} {nth}: {wrong:?}"));
            let read = DynamicMessage::decode(described.clone(), read.as_slice()).unwrap();
            // Of two equal messages, one may have a default set that the other leaves out.
            let again = read.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
            assert_eq!(again, expected, "{name} {nth}");
        }
    }
}

/// The violations of a request: each field with its problem.
fn wrong(name: &str, json: &[u8]) -> Vec<(String, String)> {
    let (table, place) = table(name, Names::Json);
    match table.read(place, json) {
        Err(Unreadable::Fields(violations)) => {
            assert_eq!(violations.count, violations.shown.len());
            violations.shown.into_iter().map(|wrong| (wrong.field, wrong.problem)).collect()
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_that_is_wrong_is_named_at_once() {
    let json = json!({
        "context": {"customerId": 7}, "name": null, "metadata": {"a": 1, "b": "x", "c": null}, "colour": [[{}]],
        "contact": {"email": [], "fax": ""}, "terms": "none",
    });
    let found = wrong("CreateCustomerRequest", json.to_string().as_bytes());
    let fields: Vec<&str> = found.iter().map(|(field, _)| field.as_str()).collect();
    let expected = [
        "context.customer_id",
        "metadata[\"a\"]",
        "metadata[\"c\"]",
        "colour",
        "contact.email",
        "contact.fax",
        "terms",
    ];
    let mut sorted = (fields.clone(), expected.to_vec());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1);
    let problem = |field: &str| found.iter().find(|(named, _)| named == field).unwrap().1.as_str();
    assert_eq!(problem("colour"), "is no field of CreateCustomerRequest");
    assert_eq!(problem("contact.fax"), "is no field of Contact");
    assert_eq!(problem("terms"), "must be an object");
    let long = format!("{{\"{}\": 1}}", "é".repeat(1_000_000));
    assert!(wrong("CreateCustomerRequest", long.as_bytes())[0].0.len() < 140);
}

#[test]
fn nothing_is_given_twice() {
    for twice in [
        r#"{"customerId": "a", "customerId": "a"}"#,
        r#"{"customerId": "a", "customer_id": "a"}"#,
        r#"{"customer_id": null, "customer_id": "a"}"#,
    ] {
        let found = wrong("GetCustomerRequest", twice.as_bytes());
        assert_eq!(found, [("customer_id".to_owned(), "is given twice".to_owned())]);
    }
    let found = wrong("CreateCustomerRequest", br#"{"metadata": {"k": "1", "k": "2"}}"#);
    assert_eq!(found, [("metadata[\"k\"]".to_owned(), "is given twice".to_owned())]);
    let found = wrong("WatchEventsRequest", br#"{"afterPosition": "1", "resumeToken": "x"}"#);
    assert_eq!(found[0].0, "resume_token");
}

#[test]
fn lists_and_maps_are_bounded() {
    let numbered = |count: usize, element: &dyn Fn(usize) -> String| {
        (0..count).map(element).collect::<Vec<_>>().join(",")
    };
    let found = wrong(
        "ExecuteBatchRequest",
        format!("{{\"commands\": [{}]}}", numbered(100_002, &|_| "{}".into())).as_bytes(),
    );
    assert_eq!(found, [("commands".to_owned(), "has more than 100000 elements".to_owned())]);
    let pairs = numbered(100_002, &|n| format!("\"{n}\": \"\""));
    let found = wrong("CreateCustomerRequest", format!("{{\"metadata\": {{{pairs}}}}}").as_bytes());
    assert_eq!(found, [("metadata".to_owned(), "has more than 100000 entries".to_owned())]);
}

#[test]
fn numbers_and_names_are_taken_exactly_or_not_at_all() {
    let (json, place) = table("ListHoldsRequest", Names::Json);
    let read = |text: &str| {
        let read = json.read(place, text.as_bytes());
        read.map(|bytes| crate::grpc::wire::ListHoldsRequest::decode(bytes.as_slice()).unwrap())
    };
    for (text, size) in [("7", 7), ("-7", -7), ("\"7\"", 7), ("7.0", 7), ("7e0", 7), ("null", 0)] {
        assert_eq!(read(&format!("{{\"pageSize\": {text}}}")).unwrap().page_size, size, "{text}");
    }
    for text in ["2147483648", "-2147483649", "7.5", "1e99", "\"7 \"", "\"\"", "true", "[7]", "{}"] {
        assert!(matches!(read(&format!("{{\"page_size\": {text}}}")), Err(Unreadable::Fields(_))), "{text}");
    }
    assert_eq!(read(r#"{"states": ["HOLD_STATE_ACTIVE", 99]}"#).unwrap().states, [3, 99]);
    for text in [r#"["ACTIVE"]"#, r#"["hold_state_active"]"#, "[null]", "[1.5]", r#"["1"]"#, "7", "{}"] {
        assert!(matches!(read(&format!("{{\"states\": {text}}}")), Err(Unreadable::Fields(_))), "{text}");
    }
    let broken = ["", "{", "{}{}", "{'a': 1}", "{\"pageSize\": 01}", "{\"pageSize\": 1e999}", "nul"];
    for text in broken {
        assert!(matches!(read(text), Err(Unreadable::Syntax(_))), "{text}");
    }
    for text in ["null", "[]", "7", "\"{}\""] {
        assert!(matches!(read(text), Err(Unreadable::Fields(_))), "{text}");
    }
    let deep = format!("{{\"colour\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert!(read(&deep).is_err());
}

#[test]
fn what_is_cut_off_is_no_message() {
    let (json, place) = table("Event", Names::Proto);
    let event = crate::grpc::wire::Event { event_id: "1-0".to_owned(), sequence: 300, ..Default::default() };
    let encoded = event.encode_to_vec();
    let mut out = Vec::new();
    assert!(json.write(place, &encoded[..encoded.len() - 1], &mut out).is_none());
    out.clear();
    json.write(place, &encoded, &mut out).unwrap();
    assert_eq!(out, br#"{"event_id":"1-0","sequence":"300"}"#);
}

#[test]
fn a_mask_is_not_many_times_its_size() {
    let (json, place) = table("UpdateCustomerRequest", Names::Json);
    let mask = |paths: usize| format!("{{\"updateMask\": \"{}\"}}", vec!["name"; paths].join(","));
    assert!(json.read(place, mask(100).as_bytes()).is_ok());
    for paths in [101, 1_000_000] {
        let found = wrong("UpdateCustomerRequest", mask(paths).as_bytes());
        assert_eq!(found[0].0, "update_mask");
    }
}

/// What decoding takes from the allocator at most, and what was weighed.
fn taken_and_weighed<M: prost::Message + Default>(message: &M) -> (u64, usize) {
    let name = std::any::type_name::<M>().rsplit(':').next().unwrap();
    let pool = DescriptorPool::decode(super::super::wire::DESCRIPTORS).unwrap();
    let mut json = Json::new(Names::Json);
    let place = json.add(&pool.get_message_by_name(&format!("creditledger.v1.{name}")).unwrap()).unwrap();
    let bytes = message.encode_to_vec();
    let weight = json.weigh(place, &bytes, usize::MAX).unwrap();
    assert_eq!(json.weigh(place, &bytes, weight), Some(weight));
    assert_eq!(json.weigh(place, &bytes, weight - 1), None);
    let taken = allocation_counter::measure(|| drop(M::decode(bytes.as_slice()).unwrap()));
    // The struct itself is where the caller puts it.
    (taken.bytes_max + u64::try_from(size_of::<M>()).unwrap(), weight)
}

#[test]
fn a_message_takes_no_more_than_it_weighs() {
    use super::super::wire::*;
    let metadata = |n: u32| (0..n).map(|k| (format!("key-{k}"), "v".repeat(30))).collect();
    let context = |n| Some(CommandContext { metadata: metadata(n), ..context("r-1", "acme") });
    let hold = |n| PlaceHoldRequest {
        context: context(n),
        incident_id: "INC-7".into(),
        quote: Some(place_hold_request::Quote::Credits("2.5".into())),
        ..Default::default()
    };
    let batch = |count, command: Option<batch_command::Command>| ExecuteBatchRequest {
        ledger_id: String::new(),
        commands: vec![BatchCommand { command }; count],
    };
    let place = |n| Some(batch_command::Command::PlaceHold(hold(n)));
    let mut cases =
        vec![("a note", taken_and_weighed(&PlaceHoldRequest { note: "n".repeat(1_000), ..hold(0) }))];
    for count in [0, 1, 2, 4, 5, 9, 100, 129, 1_025, 10_000] {
        cases.push(("empty commands", taken_and_weighed(&batch(count, None))));
        cases.push(("holds", taken_and_weighed(&batch(count, place(0)))));
    }
    for n in [1, 2, 11, 12, 32] {
        cases.push(("metadata", taken_and_weighed(&hold(n))));
        cases.push(("holds with metadata", taken_and_weighed(&batch(50, place(n)))));
    }
    let paths = |n: usize| prost_types::FieldMask { paths: vec!["x".into(); n] };
    for n in [0, 1, 5, 100] {
        let update = UpdateCustomerRequest { update_mask: Some(paths(n)), ..Default::default() };
        cases.push(("paths", taken_and_weighed(&update)));
        let states = ListHoldsRequest { states: vec![1; n], ..Default::default() };
        cases.push(("states", taken_and_weighed(&states)));
        let ids = BatchGetBalancesRequest { customer_ids: vec!["acme".into(); n], ..Default::default() };
        cases.push(("ids", taken_and_weighed(&ids)));
    }
    for (nth, (what, (taken, weight))) in cases.into_iter().enumerate() {
        let taken = usize::try_from(taken).unwrap();
        assert!(taken <= weight, "{what} ({nth}): {taken} bytes taken, {weight} weighed");
        // An honest message is not taken for a large one.
        assert!(weight <= 6 * taken + 1_024, "{what} ({nth}): {taken} bytes taken, {weight} weighed");
    }
}
