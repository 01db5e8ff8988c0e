//! The comments of `ErrorReason` say what `status.rs` gives: each reason's code and metadata keys.

use std::collections::BTreeMap;

use creditledger::grpc::reason_name;
use creditledger::grpc::wire::{DESCRIPTORS, ErrorReason};
use creditledger::ledger::Rejection;
use prost_reflect::DescriptorPool;

/// Reason -> (code, metadata keys).
type Reasons = BTreeMap<String, (String, Vec<String>)>;

const STATUS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/grpc/status.rs"));

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// `NotFound` or `not_found` as `NOT_FOUND`.
fn code(name: &str) -> String {
    let mut code = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !code.is_empty() {
            code.push('_');
        }
        code.push(c.to_ascii_uppercase());
    }
    code
}

/// What the source gives: a reason stands after its code; the literals of the tuples that follow are its keys.
fn given() -> Reasons {
    let shipped = STATUS.split("#[cfg(test)]").next().unwrap();
    let mut reasons = Reasons::new();
    // The keys of rejections are read by themselves.
    let (before, metadata) = shipped.split_once("fn metadata(").unwrap();
    let (metadata, after) = metadata.split_once("\n}\n").unwrap();
    let others = [before, after].concat();
    let mut pieces = others.split("Reason::");
    let mut before = pieces.next().unwrap();
    for piece in pieces {
        let name: String = piece.chars().take_while(|c| is_name(*c)).collect();
        let given_with = before.trim_end().trim_end_matches([',', '(']);
        let given_with = &given_with[given_with.rfind(|c| !is_name(c)).map_or(0, |end| end + 1)..];
        let given_with = if given_with == "code" { "any".to_owned() } else { code(given_with) };
        let keys = piece.split("(\"").skip(1).filter_map(|rest| rest.split('"').next());
        // In a tuple, not the argument of a call.
        let tuples = piece.match_indices("(\"").map(|(at, _)| !piece[..at].ends_with(is_name));
        let keys = keys.zip(tuples).filter(|(key, tuple)| *tuple && key.chars().all(is_name));
        let keys = keys.map(|(key, _)| key.to_owned()).collect();
        reasons.insert(code(&name), (given_with, keys));
        before = piece;
    }
    for (variant, class, reason) in Rejection::TABLE {
        let class = format!("{class:?}");
        assert!(shipped.contains(&format!("RejectionClass::{class} => Code::{class},")), "{class}");
        let given = (code(&class), keys_of(metadata, variant));
        // A wrong field and a failure of the server are no matter of rejections alone.
        let known = reasons.entry((*reason).to_owned()).or_insert_with(|| given.clone());
        assert!(
            known.0 == given.0 && (given.1.is_empty() || known.1 == given.1),
            "{reason}: {known:?}, {given:?}"
        );
    }
    reasons
}

/// The keys of a rejection's metadata: the literals of the tuples in its arm of `metadata`.
fn keys_of(arms: &str, variant: &str) -> Vec<String> {
    let name = format!("Rejection::{variant}");
    let is_it = |(at, _): &(usize, &str)| !arms[at + name.len()..].starts_with(is_name);
    let Some((at, _)) = arms.match_indices(&name).find(is_it) else { return Vec::new() };
    let arm = arms[at..].split("=> ").nth(1).unwrap().split(']').next().unwrap();
    arm.split("(\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned).collect()
}

/// What the comments of the enum say.
fn documented() -> Reasons {
    let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
    let reasons = pool.get_enum_by_name("creditledger.v1.ErrorReason").unwrap();
    let file = reasons.parent_file().file_descriptor_proto().clone();
    let comments = file.source_code_info.unwrap().location;
    let known = reasons.values().filter(|value| value.number() != 0).map(|value| {
        let here = comments.iter().find(|location| location.path == value.path()).unwrap();
        let comment = here.leading_comments();
        let rule = |name: &str| {
            let line = comment.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            line.strip_suffix('.').unwrap().to_owned()
        };
        assert!(!rule("* Try again: ").is_empty() && !comment.trim().starts_with('*'), "{}", value.name());
        let keys = rule("* Metadata: ");
        // What else is said of them stands after a comma that no key follows.
        let keys = keys.split(", ").take_while(|key| *key != "none" && key.chars().all(is_name));
        let keys = keys.map(str::to_owned).collect();
        let name = value.name().strip_prefix("ERROR_REASON_").unwrap().to_owned();
        (name, (rule("* Code: "), keys))
    });
    known.collect()
}

#[test]
fn every_reason_is_documented_with_its_code_and_metadata() {
    let (given, documented) = (given(), documented());
    assert!(given.len() > 30, "{given:?}");
    for (reason, what) in &given {
        assert_eq!(documented.get(reason), Some(what), "{reason}");
    }
    for reason in documented.keys() {
        assert!(given.contains_key(reason), "{reason} is documented and never given");
    }
}

#[test]
fn reasons_are_told_without_their_prefix() {
    assert_eq!(reason_name(ErrorReason::InsufficientCredits), "INSUFFICIENT_CREDITS");
}
