//! Reads a file of incidents, one in each line. All of it is checked before anything is sent. Errors name the line and
//! the column.

use std::collections::HashMap;
use std::io::BufRead;

use crate::app::csv::{Columns, CsvError, Reader, Record, Wrong};
use crate::ledger::{ClassId, CustomerId, IncidentId, Timestamp};

/// All of them are needed, in any order.
const COLUMNS: Columns = Columns {
    names: &[
        "incident_id",
        "customer_id",
        "incident_class",
        "estimated_minutes",
        "worked_minutes",
        "opened_at",
        "closed_at",
    ],
    needed: 7,
};

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

/// Reads the whole file: a header, then an incident in each line.
///
/// # Errors
/// [`CsvError`] for the first fault.
pub fn parse(input: impl BufRead) -> Result<Vec<Incident>, CsvError> {
    let mut incidents = Vec::new();
    let mut seen: HashMap<IncidentId, usize> = HashMap::new();
    let mut reader = Reader::new(input, COLUMNS)?;
    while let Some(record) = reader.read()? {
        let incident = incident(&record)?;
        if let Some(first) = seen.insert(incident.id.clone(), record.line) {
            return Err(record.wrong(0, format!("{} is on line {first} already", incident.id)).into());
        }
        incidents.push(incident);
    }
    Ok(incidents)
}

fn incident(record: &Record) -> Result<Incident, Wrong> {
    fn read<T, E: ToString>(
        record: &Record,
        column: usize,
        read: impl Fn(&str) -> Result<T, E>,
    ) -> Result<T, Wrong> {
        read(record.get(column)).map_err(|error| record.wrong(column, error.to_string()))
    }
    let class = (!record.get(2).is_empty()).then(|| read(record, 2, ClassId::parse)).transpose()?;
    let incident = Incident {
        id: read(record, 0, IncidentId::parse)?,
        customer: read(record, 1, CustomerId::parse)?,
        class,
        estimated_minutes: read(record, 3, minutes)?,
        worked_minutes: read(record, 4, minutes)?,
        opened_at: read(record, 5, time)?,
        closed_at: read(record, 6, time)?,
    };
    if incident.closed_at < incident.opened_at {
        let (closed, opened) = (record.get(6), record.get(5));
        return Err(record.wrong(6, format!("{closed} is before opened_at, {opened}")));
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
        let odd = format!("\u{feff}{HEADER}\r\n\r\n{quoted}\r\n\r\n");
        assert_eq!(parse(odd.as_bytes()).unwrap(), plain);
        let semicolons = format!("{HEADER},more\n{ROW},x\n").replace(',', ";");
        assert_eq!(parse(semicolons.as_bytes()).unwrap(), plain);
        let turned = |line: &str| line.split(',').rev().collect::<Vec<_>>().join(",");
        assert_eq!(parse(format!("{}\n{}", turned(HEADER), turned(ROW)).as_bytes()).unwrap(), plain);
        assert_eq!(parse(HEADER.as_bytes()).unwrap(), Vec::new());
        let unclassified = ROW.replace("c-1", "");
        assert_eq!(parse(format!("{HEADER}\n{unclassified}").as_bytes()).unwrap()[0].class, None);
    }

    #[test]
    fn names_line_and_column_of_what_is_wrong() {
        assert!(wrong("").starts_with("line 1: the header is missing: incident_id,"));
        assert_eq!(wrong("incident_id,customer"), "line 1: the header has no column customer_id");
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
        ];
        for (row, column, problem) in rows {
            let error = parse(format!("{HEADER}\n\n{row}\n").as_bytes()).unwrap_err();
            let CsvError::Wrong(error) = error else { panic!("{error}") };
            assert_eq!((error.line, error.column), (3, Some(column)), "{error}");
            assert!(error.problem.starts_with(problem), "{error}");
        }
        let twice = format!("{HEADER}\n{ROW}\n{}\n{ROW}\n", ROW.replace("I1", "I2"));
        assert_eq!(wrong(&twice), "line 4, column 1 (incident_id): I1 is on line 2 already");
    }

    #[test]
    fn a_file_cut_anywhere_inside_a_line_does_not_pass() {
        let whole = format!("{HEADER}\n{ROW}");
        for end in (0..HEADER.len()).chain(HEADER.len() + 2..whole.len()) {
            let line = if end < HEADER.len() { 1 } else { 2 };
            let told = wrong(&whole[..end]);
            assert!(told.starts_with(&format!("line {line}")), "cut after {end} bytes: {told}");
        }
    }
}
