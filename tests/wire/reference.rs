//! `proto/REFERENCE.md` is generated from the protos as they are compiled into the server: run these tests with
//! `CREDITLEDGER_WRITE_REFERENCE=1` to write it again.

use std::fmt::Write as _;
use std::path::Path;

use creditledger::grpc::wire::DESCRIPTORS;
use creditledger::ledger::actor::Role;
use prost_reflect::prost_types::method_options::IdempotencyLevel;
use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, FileDescriptor, Kind, MessageDescriptor,
    MethodDescriptor, ServiceDescriptor,
};

const PACKAGE: &str = "creditledger.v1";
const VARIABLE: &str = "CREDITLEDGER_WRITE_REFERENCE";
/// Keys of the list at the end of a reason's comment, in this order.
const REASON_KEYS: [&str; 3] = ["Code", "Metadata", "Try again"];

/// Our files, in the order of their names.
fn files() -> Vec<FileDescriptor> {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let mut files: Vec<_> = pool.files().filter(|file| file.package_name() == PACKAGE).collect();
    files.sort_by(|a, b| a.name().cmp(b.name()));
    files
}

/// The comment before what has this path in its file: paragraphs and lists as they stand there. All have one.
fn comment(file: &FileDescriptor, path: &[i32], name: &str) -> String {
    let proto = file.file_descriptor_proto();
    let locations = &proto.source_code_info.as_ref().expect("no comments are compiled in").location;
    let location = locations.iter().find(|location| location.path == path);
    let text = location.map(|location| location.leading_comments()).unwrap_or_default();
    let lines: Vec<_> = text.lines().map(str::trim).collect();
    // `<storefront>` is no tag.
    let text = lines.join("\n").trim().replace('<', "\\<");
    assert!(!text.is_empty(), "{name} has no comment");
    text
}

/// The same text, to stand in a list: all lines but the first are indented.
fn indented(text: &str) -> String {
    text.replace('\n', "\n  ").replace("\n  \n", "\n\n")
}

/// As an anchor of the page has it.
fn link(name: &str) -> String {
    format!("[{name}](#{})", name.to_lowercase())
}

/// The type of a field's values, without repetition.
fn value(kind: &Kind) -> String {
    let other = |name: &str, full: &str| if full.starts_with(PACKAGE) { link(name) } else { full.to_owned() };
    match kind {
        Kind::Message(message) => other(message.name(), message.full_name()),
        Kind::Enum(of) => other(of.name(), of.full_name()),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

/// What may stand in a field: its type, and how often.
fn shape(field: &FieldDescriptor) -> String {
    let mut shape = match field.kind() {
        Kind::Message(entry) if field.is_map() => format!(
            "map of {} to {}",
            value(&entry.map_entry_key_field().kind()),
            value(&entry.map_entry_value_field().kind())
        ),
        kind if field.cardinality() == Cardinality::Repeated => format!("list of {}", value(&kind)),
        kind => value(&kind),
    };
    let proto = field.field_descriptor_proto();
    if proto.proto3_optional() {
        shape.push_str(", optional");
    } else if let Some(oneof) = field.containing_oneof() {
        write!(shape, ", one of `{}`", oneof.name()).unwrap();
    }
    if behavior(field).iter().any(|behavior| behavior == "REQUIRED") {
        shape.push_str(", **required**");
    }
    shape
}

/// google.api.field_behavior of a field.
fn behavior(field: &FieldDescriptor) -> Vec<String> {
    let options = field.options();
    let Some((extension, values)) = options.extensions().find(|(of, _)| of.name() == "field_behavior") else {
        return Vec::new();
    };
    let Kind::Enum(names) = extension.kind() else { panic!("field_behavior is an enum") };
    let numbers = values.as_list().unwrap().iter().map(|value| value.as_enum_number().unwrap());
    numbers.map(|number| names.get_value(number).unwrap().name().to_owned()).collect()
}

/// The roles that may call a method, which is an option of it.
fn callers(method: &MethodDescriptor) -> String {
    let roles = crate::access::roles(method);
    if roles.len() == Role::ALL.len() { "all".to_owned() } else { roles.join(", ") }
}

/// Whether it changes something, and which side streams.
fn manner(method: &MethodDescriptor) -> &'static str {
    let level = method.method_descriptor_proto().options.as_ref().map(|options| options.idempotency_level());
    match (level, method.is_client_streaming(), method.is_server_streaming()) {
        (Some(IdempotencyLevel::NoSideEffects), false, false) => "read",
        (Some(IdempotencyLevel::NoSideEffects), false, true) => "read, a stream of answers",
        (Some(IdempotencyLevel::NoSideEffects), true, false) => "read, a stream of requests",
        (Some(IdempotencyLevel::Idempotent), false, false) => "command",
        (Some(IdempotencyLevel::Idempotent), true, true) => "commands, a stream both ways",
        other => panic!("{}: {other:?} has no words here", method.full_name()),
    }
}

fn service(page: &mut String, service: &ServiceDescriptor) {
    let about = comment(&service.parent_file(), service.path(), service.full_name());
    let name = service.name();
    writeln!(page, "## {name}\n\n{about}\n").unwrap();
    writeln!(page, "| method | kind | roles that may call it |\n|---|---|---|").unwrap();
    for method in service.methods() {
        writeln!(page, "| {} | {} | {} |", link(method.name()), manner(&method), callers(&method)).unwrap();
    }
    for method in service.methods() {
        let what = comment(&method.parent_file(), method.path(), method.full_name()).replace('\n', " ");
        let (input, output) = (method.input(), method.output());
        writeln!(page, "\n### {}\n\n{what}\n", method.name()).unwrap();
        let (input, output) = (link(input.name()), link(output.name()));
        writeln!(page, "`/{}/{}`: {input}, answered by {output}", service.full_name(), method.name())
            .unwrap();
    }
    page.push('\n');
}

fn message(page: &mut String, message: &MessageDescriptor) {
    let file = message.parent_file();
    writeln!(page, "### {}\n\n{}\n", message.name(), comment(&file, message.path(), message.full_name()))
        .unwrap();
    for field in message.fields() {
        let about = indented(&comment(&file, field.path(), field.full_name()));
        writeln!(page, "- `{}` = {} ({}): {about}", field.name(), field.number(), shape(&field)).unwrap();
    }
    page.push('\n');
}

fn values(page: &mut String, of: &EnumDescriptor) {
    let file = of.parent_file();
    writeln!(page, "### {}\n\n{}\n", of.name(), comment(&file, of.path(), of.full_name())).unwrap();
    for value in of.values() {
        let about = indented(&comment(&file, value.path(), value.full_name()));
        writeln!(page, "- `{}` = {}: {about}", value.name(), value.number()).unwrap();
    }
    page.push('\n');
}

/// The reasons of errors as a table: what stands in the comment's list is in columns of its own.
fn reasons(page: &mut String, of: &EnumDescriptor) {
    let file = of.parent_file();
    writeln!(page, "## {}\n\n{}\n", of.name(), comment(&file, of.path(), of.full_name())).unwrap();
    writeln!(page, "| reason | code | metadata | try again | why |\n|---|---|---|---|---|").unwrap();
    for value in of.values().filter(|value| value.number() != 0) {
        let text = comment(&file, value.path(), value.full_name());
        let (why, list) = text.split_once("\n\n").unwrap_or_else(|| panic!("{} has no list", value.name()));
        let list = list.replace("\n*", "\0*").replace('\n', " ");
        let column = |(line, key): (&str, &str)| {
            let rest = line.strip_prefix(&format!("* {key}: ")).and_then(|line| line.strip_suffix('.'));
            rest.unwrap_or_else(|| panic!("{}: {line} is no {key}", value.name())).to_owned()
        };
        let columns: Vec<_> = list.split('\0').zip(REASON_KEYS).map(column).collect();
        assert_eq!(columns.len(), REASON_KEYS.len(), "{}", value.name());
        let reason = value.name().strip_prefix("ERROR_REASON_").unwrap();
        writeln!(page, "| `{reason}` | {} | {} |", columns.join(" | "), why.replace('\n', " ")).unwrap();
    }
    page.push('\n');
}

/// The whole page.
fn page() -> String {
    let files = files();
    let mut page = format!(
        "# Reference of {PACKAGE}\n\n\
         Generated from the protos: change their comments, then write it again with `{VARIABLE}=1 cargo test --test wire \
         reference`. The rules that all calls share are in [README.md](README.md).\n\n\
         - Services: {}\n- [Errors](#errorreason)\n- [Messages](#messages)\n- [Enums](#enums)\n\n",
        files
            .iter()
            .flat_map(FileDescriptor::services)
            .map(|of| link(of.name()))
            .collect::<Vec<_>>()
            .join(", ")
    );
    for of in files.iter().flat_map(FileDescriptor::services) {
        service(&mut page, &of);
    }
    let is_reason = |of: &EnumDescriptor| of.name() == "ErrorReason";
    let mut enums: Vec<_> = files.iter().flat_map(FileDescriptor::enums).collect();
    reasons(&mut page, enums.iter().find(|of| is_reason(of)).unwrap());
    enums.retain(|of| !is_reason(of));
    enums.sort_by(|a, b| a.name().cmp(b.name()));
    let mut messages: Vec<_> = files.iter().flat_map(FileDescriptor::messages).collect();
    messages.sort_by(|a, b| a.name().cmp(b.name()));
    page.push_str("## Messages\n\n");
    for of in &messages {
        message(&mut page, of);
    }
    page.push_str("## Enums\n\n");
    for of in &enums {
        values(&mut page, of);
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

#[test]
fn the_reference_is_what_the_protos_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto/REFERENCE.md");
    let page = page();
    if std::env::var_os(VARIABLE).is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    // Line by line, so that what differs shows and not two pages.
    let committed = std::fs::read_to_string(&path).unwrap();
    let differs = page.lines().zip(committed.lines()).find(|(new, old)| new != old);
    assert!(differs.is_none(), "{differs:?}: write it again with {VARIABLE}=1");
    assert_eq!(page.lines().count(), committed.lines().count(), "write it again with {VARIABLE}=1");
}
