//! Writes lines of comma-separated values (RFC 4180).

/// One line, without its end.
pub(super) fn row(fields: &[&str]) -> String {
    let quoted = |field: &&str| {
        if field.contains([',', '"', '\n', '\r']) {
            format!("\"{}\"", field.replace('"', "\"\""))
        } else {
            (*field).to_owned()
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    #[test]
    fn fields_that_need_it_are_quoted() {
        assert_eq!(super::row(&["a", "", "b,c", "say \"hi\""]), "a,,\"b,c\",\"say \"\"hi\"\"\"");
    }
}
