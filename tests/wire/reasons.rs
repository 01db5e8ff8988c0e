//! The table of error reasons in `common.proto` is the one that `status.rs` gives: reasons, codes and metadata keys.

use std::collections::BTreeMap;

/// Reason -> (code, metadata keys).
type Reasons = BTreeMap<String, (String, Vec<String>)>;

const STATUS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/src/grpc/status.rs"));
const PROTO: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/proto/creditledger/v1/common.proto"));

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

/// What the source gives: a reason is a literal in capitals, after its code; the tuples that follow have its keys.
fn given() -> Reasons {
    let shipped = STATUS.split("#[cfg(test)]").next().unwrap();
    let pieces: Vec<&str> = shipped.split('"').collect();
    let mut reasons = Reasons::new();
    let mut last = String::new();
    // Literals stand at the odd places; none of the file has a quote in it.
    for (before, literal) in pieces.iter().zip(&pieces[1..]).step_by(2) {
        if literal.len() > 3 && literal.chars().all(|c| c.is_ascii_uppercase() || c == '_') {
            let before = before.trim_end().trim_end_matches([',', '(']);
            let name = &before[before.rfind(|c| !is_name(c)).map_or(0, |end| end + 1)..];
            let code = if name == "code" { "any".to_owned() } else { code(name) };
            reasons.insert((*literal).to_owned(), (code, Vec::new()));
            last = (*literal).to_owned();
        } else if let Some(before) = before.strip_suffix('(')
            && !before.ends_with(is_name)
            && literal.chars().all(is_name)
        {
            // In a tuple, not the argument of a call.
            reasons.get_mut(&last).unwrap().1.push((*literal).to_owned());
        }
    }
    reasons
}

/// What the proto documents.
fn documented() -> Reasons {
    let rows = PROTO.lines().filter_map(|line| line.strip_prefix("//   "));
    let mut reasons = Reasons::new();
    for row in rows.skip_while(|row| !row.starts_with("code ")).skip(1) {
        let columns: Vec<&str> = row.split("  ").map(str::trim).filter(|column| !column.is_empty()).collect();
        let (code, reason, keys) = match columns[..] {
            [code, reason, _retry] => (code, reason, ""),
            [code, reason, keys, _retry] => (code, reason, keys),
            _ => panic!("{row}"),
        };
        let keys = keys.split([',', ' ']).filter(|key| !key.is_empty() && !key.starts_with('('));
        let keys = keys.map(str::to_owned).collect();
        assert!(
            reasons.insert(reason.to_owned(), (code.to_owned(), keys)).is_none(),
            "{reason} stands twice"
        );
    }
    reasons
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
