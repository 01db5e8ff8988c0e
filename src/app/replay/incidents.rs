//! Reads a file of incidents, one in each line. All of it is checked before anything is sent. Errors name the line and
//! the column.
//!
//! The parser is written by hand: the usual readers accept a quote that is never closed, so a truncated file would
//! pass. They also count lines differently after blank ones.

use std::collections::HashMap;
use std::fmt;

use crate::ledger::ids::TextError;
use crate::ledger::{ClassId, CustomerId, IncidentId, Timestamp};

/// The columns, in their order.
const COLUMNS: [&str; 7] = [
    "incident_id",
    "customer_id",
    "incident_class",
    "estimated_minutes",
    "worked_minutes",
    "opened_at",
    "closed_at",
];

/// The longest work that the ledger records in one entry, 366 days.
const MINUTES_MAX: u64 = crate::ledger::commands::NewWork::SECONDS_MAX / 60;

/// A line of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// Unique in the file.
    pub id: IncidentId,
    pub customer: CustomerId,
    /// The class, if the incident was classified: the only column that may be empty.
    pub class: Option<ClassId>,
    /// The estimate at its opening.
    pub estimated_minutes: u64,
    pub worked_minutes: u64,
    pub opened_at: Timestamp,
    /// Not before `opened_at`.
    pub closed_at: Timestamp,
}

/// Why a file is not a file of incidents.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct CsvError {
    /// From 1.
    pub line: usize,
    /// From 1; fields, not characters.
    pub column: usize,
    /// What is wrong with the field.
    pub problem: String,
}

impl fmt::Display for CsvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, problem } = self;
        match column.checked_sub(1).and_then(|index| COLUMNS.get(index)) {
            Some(name) => write!(f, "line {line}, column {column} ({name}): {problem}"),
            None => write!(f, "line {line}, column {column}: {problem}"),
        }
    }
}

/// Reads the whole file: a header, then an incident in each line. Blank lines are skipped.
///
/// # Errors
/// [`CsvError`] for the first fault.
pub fn parse(bytes: &[u8]) -> Result<Vec<Incident>, CsvError> {
    // Spreadsheets put a byte order mark at the start of a file.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut incidents = Vec::new();
    let mut seen: HashMap<IncidentId, usize> = HashMap::new();
    let mut header = false;
    for (line, bytes) in (1..).zip(bytes.split(|byte| *byte == b'\n')) {
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if bytes.is_empty() {
            continue;
        }
        let wrong = |column: usize, problem: String| CsvError { line, column, problem };
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            wrong(before.split(|byte| *byte == b',').count(), "is not UTF-8 text".to_owned())
        })?;
        let fields = split(text).map_err(|(column, problem)| wrong(column, problem.to_owned()))?;
        if !header {
            check_header(&fields).map_err(|(column, problem)| wrong(column, problem))?;
            header = true;
            continue;
        }
        let incident = incident(&fields).map_err(|(column, problem)| wrong(column, problem))?;
        if let Some(first) = seen.insert(incident.id.clone(), line) {
            return Err(wrong(1, format!("{} is on line {first} already", incident.id)));
        }
        incidents.push(incident);
    }
    if header {
        return Ok(incidents);
    }
    Err(CsvError { line: 1, column: 1, problem: format!("the header is missing: {}", COLUMNS.join(",")) })
}

/// A column, from 1, and what is wrong with it.
type Problem<T = String> = (usize, T);

/// Splits a line into fields. A field may be quoted (RFC 4180), but must end in its line: none of ours has a line
/// break.
fn split(line: &str) -> Result<Vec<String>, Problem<&'static str>> {
    let mut fields = Vec::with_capacity(COLUMNS.len());
    let mut rest = line;
    loop {
        let column = fields.len().saturating_add(1);
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, next) =
                rest.split_once(',').map_or((rest, None), |(field, next)| (field, Some(next)));
            if field.contains('"') {
                return Err((column, "has a quote in the middle"));
            }
            fields.push(field.to_owned());
            match next {
                Some(next) => rest = next,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        rest = quoted;
        loop {
            let (part, next) = rest.split_once('"').ok_or((column, "has a quote that is never closed"))?;
            field.push_str(part);
            rest = next;
            // Two quotes stand for one.
            match rest.strip_prefix('"') {
                Some(next) => {
                    field.push('"');
                    rest = next;
                }
                None => break,
            }
        }
        fields.push(field);
        match rest.strip_prefix(',') {
            Some(next) => rest = next,
            None if rest.is_empty() => return Ok(fields),
            None => return Err((column, "goes on after its closing quote")),
        }
    }
}

fn check_header(fields: &[String]) -> Result<(), Problem> {
    for (column, name) in (1..).zip(COLUMNS) {
        match fields.get(column - 1) {
            Some(field) if field == name => {}
            Some(field) => return Err((column, format!("the header says {field:?}"))),
            None => return Err((column, "is missing in the header".to_owned())),
        }
    }
    no_more_than(fields)
}

fn no_more_than(fields: &[String]) -> Result<(), Problem> {
    if fields.len() > COLUMNS.len() {
        return Err((COLUMNS.len().saturating_add(1), format!("there are only {} columns", COLUMNS.len())));
    }
    Ok(())
}

fn incident(fields: &[String]) -> Result<Incident, Problem> {
    let [id, customer, class, estimated, worked, opened, closed] = fields else {
        no_more_than(fields)?;
        let column = fields.len().saturating_add(1);
        return Err((column, "is missing; is the file complete?".to_owned()));
    };
    let text = |column, error: TextError| (column, error.to_string());
    let incident = Incident {
        id: IncidentId::parse(id).map_err(|error| text(1, error))?,
        customer: CustomerId::parse(customer).map_err(|error| text(2, error))?,
        class: (!class.is_empty())
            .then(|| ClassId::parse(class))
            .transpose()
            .map_err(|error| text(3, error))?,
        estimated_minutes: minutes(estimated).map_err(|problem| (4, problem))?,
        worked_minutes: minutes(worked).map_err(|problem| (5, problem))?,
        opened_at: time(opened).map_err(|problem| (6, problem))?,
        closed_at: time(closed).map_err(|problem| (7, problem))?,
    };
    if incident.closed_at < incident.opened_at {
        return Err((7, format!("{closed} is before opened_at, {opened}")));
    }
    Ok(incident)
}

fn minutes(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|minutes| digits && *minutes <= MINUTES_MAX)
        .ok_or_else(|| format!("must be a whole number of minutes, at most {MINUTES_MAX}, not {text:?}"))
}

fn time(text: &str) -> Result<Timestamp, String> {
    let wrong = || format!("must be an RFC 3339 time such as 2016-02-29T01:16:00Z, not {text:?}");
    // The library accepts more than RFC 3339 allows, such as +05 for the first half of +05:30.
    let bytes = text.as_bytes();
    let seconds = bytes.get(10).is_some_and(|byte| b"Tt ".contains(byte)) && bytes.get(16) == Some(&b':');
    let zone = matches!(bytes, [.., b'Z' | b'z'] | [.., b'+' | b'-', _, _, b':', _, _]);
    if !seconds || !zone {
        return Err(wrong());
    }
    let time: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    Ok(Timestamp::from_micros(time.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "incident_id,customer_id,incident_class,estimated_minutes,worked_minutes,opened_at,closed_at";
    const ROW: &str = "I1,acme,c-1,20,17,2016-02-29T01:16:00Z,2016-02-29T11:29:00Z";

    fn wrong(text: &str) -> String {
        parse(text.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn reads_what_spreadsheets_write() {
        let plain = parse(format!("{HEADER}\n{ROW}\n").as_bytes()).unwrap();
        assert_eq!(plain.len(), 1);
        assert_eq!(plain[0].opened_at, Timestamp::from_micros(1_456_708_560_000_000));
        assert_eq!((plain[0].estimated_minutes, plain[0].worked_minutes), (20, 17));
        let quoted = "\"I1\",acme,\"c-1\",20,17,2016-02-29T02:16:00+01:00,\"2016-02-29T11:29:00Z\"";
        let odd = format!("\u{feff}{HEADER}\r\n\r\n{quoted}");
        assert_eq!(parse(odd.as_bytes()).unwrap(), plain);
        assert_eq!(parse(HEADER.as_bytes()), Ok(Vec::new()));
        let unclassified = ROW.replace("c-1", "");
        assert_eq!(parse(format!("{HEADER}\n{unclassified}").as_bytes()).unwrap()[0].class, None);
    }

    #[test]
    fn names_line_and_column_of_what_is_wrong() {
        assert!(wrong("").starts_with("line 1, column 1 (incident_id): the header is missing"));
        assert_eq!(
            wrong("incident_id,customer"),
            "line 1, column 2 (customer_id): the header says \"customer\""
        );
        assert_eq!(wrong("incident_id"), "line 1, column 2 (customer_id): is missing in the header");
        assert_eq!(wrong(&format!("{HEADER},more")), "line 1, column 8: there are only 7 columns");
        let rows = [
            (ROW.replace("I1", ""), 1, "must not be empty"),
            (ROW.replace("acme", "a b"), 2, "must consist of letters, digits and ._:@-"),
            (ROW.replace("c-1", &"c".repeat(129)), 3, "must be at most 128 bytes"),
            (
                ROW.replace("20", "twenty"),
                4,
                "must be a whole number of minutes, at most 527040, not \"twenty\"",
            ),
            (ROW.replace(",17,", ",-17,"), 5, "must be a whole number"),
            (ROW.replace(",17,", ",+17,"), 5, "must be a whole number"),
            (ROW.replace(",17,", ",527041,"), 5, "must be a whole number"),
            (ROW.replace("2016-02-29T01", "2015-02-29T01"), 6, "must be an RFC 3339 time"),
            (ROW.replace("01:16:00Z", "01:16:00"), 6, "must be an RFC 3339 time"),
            (ROW.replace("11:29:00Z", "11:29:00+05"), 7, "must be an RFC 3339 time"),
            (ROW.replace("11:29:00Z", "11:29"), 7, "must be an RFC 3339 time"),
            (ROW.replace("T11", "T00"), 7, "2016-02-29T00:29:00Z is before opened_at, 2016-02-29T01:16:00Z"),
            (format!("{ROW},more"), 8, "there are only 7 columns"),
            (ROW.replace("acme", "\"acme"), 2, "has a quote that is never closed"),
            (ROW.replace("acme", "ac\"me"), 2, "has a quote in the middle"),
            (ROW.replace("acme", "\"acme\"s"), 2, "goes on after its closing quote"),
        ];
        for (row, column, problem) in rows {
            let error = parse(format!("{HEADER}\n\n{row}\n").as_bytes()).unwrap_err();
            assert_eq!((error.line, error.column), (3, column), "{error}");
            assert!(error.problem.starts_with(problem), "{error}");
        }
        let twice = format!("{HEADER}\n{ROW}\n{}\n{ROW}\n", ROW.replace("I1", "I2"));
        assert_eq!(wrong(&twice), "line 4, column 1 (incident_id): I1 is on line 2 already");
        let mut bytes = format!("{HEADER}\n{ROW}\n").into_bytes();
        let at = bytes.iter().rposition(|byte| *byte == b'c').unwrap();
        bytes[at] = 0xff;
        assert_eq!(
            parse(&bytes).unwrap_err().to_string(),
            "line 2, column 3 (incident_class): is not UTF-8 text"
        );
    }

    #[test]
    fn a_file_cut_anywhere_inside_a_line_does_not_pass() {
        let whole = format!("{HEADER}\n{ROW}");
        for end in HEADER.len() + 2..whole.len() {
            let error = parse(&whole.as_bytes()[..end]).unwrap_err();
            assert_eq!(error.line, 2, "cut after {end} bytes: {error}");
        }
        for end in 0..HEADER.len() {
            assert_eq!(parse(&whole.as_bytes()[..end]).unwrap_err().line, 1);
        }
    }
}
