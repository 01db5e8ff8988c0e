//! Messages by their descriptors: each field of a request can be spoiled, or set, wherever it stands.

use prost::Message;
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};

use crate::bad_values::{Rule, check, rule, values};
use crate::raw::{nested, text, without};

/// A request with something wrong in it.
#[derive(Clone, Debug)]
pub struct Bad {
    /// The path that must be named.
    pub field: String,
    /// What was put there.
    pub what: String,
    pub request: Vec<u8>,
}

/// Messages by name.
pub struct Types(pub FileDescriptorSet);

impl Types {
    pub fn new() -> Self {
        Self(FileDescriptorSet::decode(creditledger::grpc::wire::DESCRIPTORS).unwrap())
    }

    /// Every method of our services, as `Service/Method`, with the message that it takes.
    pub fn methods(&self) -> Vec<(String, &str)> {
        let services =
            self.0.file.iter().filter(|file| file.package() == "creditledger.v1").flat_map(|f| &f.service);
        let methods = services.flat_map(|service| service.method.iter().map(move |method| (service, method)));
        methods
            .map(|(service, method)| (format!("{}/{}", service.name(), method.name()), method.input_type()))
            .collect()
    }

    pub fn message(&self, name: &str) -> &DescriptorProto {
        let name = name.strip_prefix(".creditledger.v1.").unwrap_or(name);
        let all = self.0.file.iter().filter(|file| file.package() == "creditledger.v1");
        all.flat_map(|file| &file.message_type)
            .find(|message| message.name() == name)
            .unwrap_or_else(|| panic!("{name} is not ours"))
    }

    /// The messages that a request is named and put into its place by.
    const SHARED: [&str; 3] = ["CommandContext", "HoldTarget", "PurchaseTarget"];

    /// The fields of a request, and those of its context and its target: path, field, and the message that it is of.
    pub fn paths(&self, name: &str) -> Vec<(String, &FieldDescriptorProto, &DescriptorProto)> {
        let message = self.message(name);
        let mut paths = Vec::new();
        for field in &message.field {
            let of = field.type_name().strip_prefix(".creditledger.v1.").unwrap_or_default();
            if Self::SHARED.contains(&of) {
                let inner = self.paths(field.type_name()).into_iter();
                paths.extend(inner.map(|(path, inner, of)| (join(field.name(), &path), inner, of)));
            } else {
                paths.push((field.name().to_owned(), field, message));
            }
        }
        paths
    }

    /// The request with another value at a path, which the number of the field is encoded for; instead of whatever else of
    /// a oneof stands there.
    pub fn with(&self, name: &str, good: &[u8], path: &str, value: &dyn Fn(u32) -> Vec<u8>) -> Vec<u8> {
        let message = self.message(name);
        let (first, rest) = path.split_once('.').map_or((path, None), |(first, rest)| (first, Some(rest)));
        let field = message.field.iter().find(|field| field.name() == first).unwrap();
        let n = field.number().try_into().unwrap();
        let value = match rest {
            Some(rest) => text(n, self.with(field.type_name(), &nested(good, n), rest, value)),
            None => value(n),
        };
        [without(good, &alternatives(message, field)), value].concat()
    }

    /// The good request with one thing wrong at a time.
    pub fn spoiled(&self, name: &str, good: &[u8]) -> Vec<Bad> {
        self.spoiled_within(name, name, good)
    }

    fn spoiled_within(&self, request: &str, name: &str, good: &[u8]) -> Vec<Bad> {
        let request = self.message(request).name();
        let message = self.message(name);
        let mut all = Vec::new();
        for field in &message.field {
            let rule = rule(request, message.name(), field.name());
            check(&rule, field);
            let rest = without(good, &alternatives(message, field));
            let mut spoil = |path: String, what: String, bytes: Vec<u8>| {
                all.push(Bad { field: path, what, request: [rest.as_slice(), &bytes].concat() });
            };
            let name = field.name();
            for (what, bytes, suffix) in values(&rule, field) {
                spoil(format!("{name}{suffix}"), what, bytes);
            }
            let n = field.number().try_into().unwrap();
            if let Some(index) = rule.index_of_nested() {
                for bad in self.spoiled_within(request, field.type_name(), &nested(good, n)) {
                    spoil(join(&format!("{name}{index}"), &bad.field), bad.what, text(n, bad.request));
                }
            }
            let required = matches!(
                rule,
                Rule::Id
                    | Rule::RequestId
                    | Rule::Url
                    | Rule::MadeId
                    | Rule::RequiredText
                    | Rule::Ids
                    | Rule::Mask
            ) || (matches!(rule, Rule::Positive | Rule::Signed) && !field.proto3_optional());
            if field.oneof_index.is_none() && (required || name == "target") {
                spoil(name.to_owned(), "left out".into(), Vec::new());
            }
        }
        for (index, oneof) in (0..).zip(&message.oneof_decl) {
            let members: Vec<_> = message.field.iter().filter(|f| f.oneof_index == Some(index)).collect();
            if !members[0].proto3_optional()
                && !["as_of", "start"].contains(&oneof.name())
                && !good_without(message, oneof.name())
            {
                let rest = without(good, &alternatives(message, members[0]));
                // A target without anything in it is named as one that is not there.
                let field = if oneof.name() == "target" { "" } else { oneof.name() };
                all.push(Bad { field: field.to_owned(), what: "left out".into(), request: rest });
            }
        }
        all
    }

    /// The good request with everything wrong at once, as far as all of it can be told together, and the paths.
    pub fn ruined(&self, name: &str, good: &[u8]) -> (Vec<u8>, Vec<String>) {
        self.ruined_within(name, name, good)
    }

    fn ruined_within(&self, request: &str, name: &str, good: &[u8]) -> (Vec<u8>, Vec<String>) {
        let asked = self.message(request).name();
        let message = self.message(name);
        let mut ruined = good.to_vec();
        let mut paths = Vec::new();
        let mut seen = Vec::new();
        for field in &message.field {
            // One of a oneof; tokens are read after all else; the digits of an amount depend on its currency.
            let again = field.oneof_index.is_some_and(|index| seen.contains(&index));
            if again || matches!(field.name(), "page_token" | "amount") {
                continue;
            }
            seen.extend(field.oneof_index);
            let rule = rule(asked, message.name(), field.name());
            let n = field.number().try_into().unwrap();
            if let Some(index) = rule.index_of_nested() {
                let (inner, inner_paths) = self.ruined_within(asked, field.type_name(), &nested(good, n));
                ruined = [without(&ruined, &alternatives(message, field)), text(n, inner)].concat();
                let name = format!("{}{index}", field.name());
                paths.extend(inner_paths.into_iter().map(|path| join(&name, &path)));
            } else if let Some((_, bytes, suffix)) = values(&rule, field).into_iter().next() {
                ruined = [without(&ruined, &alternatives(message, field)), bytes].concat();
                paths.push(format!("{}{suffix}", field.name()));
            }
        }
        (ruined, paths)
    }
}

/// The path of a field within a message; the message itself where it has none.
fn join(message: &str, field: &str) -> String {
    if field.is_empty() { message.to_owned() } else { format!("{message}.{field}") }
}

/// The good estimate is of a class whose range says how much, so that it needs no quote.
fn good_without(message: &DescriptorProto, oneof: &str) -> bool {
    message.name() == "EstimateIncidentRequest" && oneof == "quote"
}

/// The field, and what else can stand in its place.
fn alternatives(message: &DescriptorProto, field: &FieldDescriptorProto) -> Vec<u32> {
    let same = |other: &&FieldDescriptorProto| {
        other.number == field.number
            || (field.oneof_index.is_some() && other.oneof_index == field.oneof_index)
    };
    message.field.iter().filter(same).map(|field| field.number().try_into().unwrap()).collect()
}
