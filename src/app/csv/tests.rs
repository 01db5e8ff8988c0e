//! Tests of reading and writing comma-separated values.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngSeed, TestRunner};

use super::*;

const COLUMNS: Columns = Columns { names: &["id", "credits", "note"], needed: 2 };

fn read(bytes: &[u8]) -> Result<Vec<[String; 3]>, CsvError> {
    // Small pieces, so that every state meets the end of one.
    let mut reader = Reader::new(io::BufReader::with_capacity(3, bytes), COLUMNS)?;
    let mut rows = Vec::new();
    while let Some(record) = reader.read()? {
        rows.push([0, 1, 2].map(|column| record.get(column).to_owned()));
    }
    Ok(rows)
}

fn wrong(text: &str) -> String {
    read(text.as_bytes()).unwrap_err().to_string()
}

#[test]
fn fields_that_need_it_are_quoted() {
    assert_eq!(super::row(&["a", "", "b,c", "say \"hi\""]), "a,,\"b,c\",\"say \"\"hi\"\"\"");
}

#[test]
fn reads_what_spreadsheets_and_shops_write() {
    let rows = [["#1001", "10", "a, b"], ["#1002", "2.5", "say \"hi\""]].map(|row| row.map(str::to_owned));
    for text in [
        "id,credits,note\n#1001,10,\"a, b\"\n#1002,2.5,\"say \"\"hi\"\"\"\n",
        "id,credits,note\r\n#1001,10,\"a, b\"\r\n#1002,2.5,\"say \"\"hi\"\"\"",
        "\u{feff}\"id\",\"credits\",\"note\"\n\"#1001\",\"10\",\"a, b\"\n\"#1002\",\"2.5\",\"say \"\"hi\"\"\"\n",
        "note,id,credits\n\"a, b\",#1001,10\n\"say \"\"hi\"\"\",#1002,2.5\n",
        "id;credits;note\n#1001;10;a, b\n#1002;2.5;\"say \"\"hi\"\"\"\n",
        "\"id\";\"credits\";\"note\"\n#1001;10;a, b\n#1002;2.5;\"say \"\"hi\"\"\"\n",
        "\n\r\nid,email,credits,note,\n\n#1001,a@x.test,10,\"a, b\",\n,,,,\n#1002,,2.5,\"say \"\"hi\"\"\",\n\n\r\n  \n",
    ] {
        assert_eq!(read(text.as_bytes()).unwrap(), rows, "{text:?}");
    }
    assert_eq!(read(b"credits,id\n10,a\n").unwrap(), [["a", "10", ""].map(str::to_owned)]);
    assert_eq!(read(b"id,credits").unwrap(), Vec::<[String; 3]>::new());
    let across = read(b"id,credits,note\na,1,\"two\r\nlines\"\n").unwrap();
    assert_eq!(across[0][2], "two\r\nlines");
}

#[test]
fn columns_that_are_not_asked_for_are_named() {
    let reader = Reader::new(&b"id,Credits,credits,\"e,mail\",\n"[..], COLUMNS).unwrap();
    assert_eq!(reader.ignored().collect::<Vec<_>>(), ["Credits", "e,mail"]);
}

#[test]
fn names_line_and_column_of_what_is_wrong() {
    let long = format!("id,credits,note\na,1,{}\n", "x".repeat(RECORD_MAX));
    let open = format!("id,credits\na,1\nb,\"2\n{}", "c,3\n".repeat(RECORD_MAX / 4));
    let stray = format!("id,credits\na,1\nb,2\"\n{}", "c,3\n".repeat(RECORD_MAX / 4));
    for (text, told) in [
        ("", "line 1: the header is missing: id,credits,note"),
        ("\n\r\n", "line 1: the header is missing: id,credits,note"),
        ("\u{feff}", "line 1: the header is missing: id,credits,note"),
        ("id,credit\n", "line 1: the header has no column credits"),
        ("\nnote;id\n", "line 2: the header has no column credits"),
        ("id,note,credits,note\n", "line 1, column 4 (note): comes twice"),
        ("id,credits\na\n", "line 2, column 2 (credits): is missing; is the file complete?"),
        ("id,credits\n\na,1,\n", "line 3, column 3: there are only 2 columns"),
        ("id,credits\na,\"1", "line 2, column 2 (credits): has a quote that is never closed"),
        ("id,credits\na,\"1\n\nb,2\n", "line 2, column 2 (credits): has a quote that is never closed"),
        ("id,credits\na,1\"", "line 2, column 2 (credits): has a quote in the middle"),
        ("id,credits\na,\"1\"2\n", "line 2, column 2 (credits): goes on after its closing quote"),
        ("id,credits\na\rb,1\n", "line 2, column 1 (id): has a carriage return that ends no line"),
        // After a line break in quotes.
        ("note,id,credits\n\"a\n\nb\",1\n", "line 2, column 3 (credits): is missing; is the file complete?"),
        ("note,id,credits\n\"a\n\nb\",1,2\"\n", "line 4, column 3 (credits): has a quote in the middle"),
        (
            "note,id,credits\n\"a\n\nb\",1,2\nx,y\n",
            "line 5, column 3 (credits): is missing; is the file complete?",
        ),
        (&long, "line 2, column 3 (note): the line has more than 65536 bytes"),
        (&open, "line 3, column 2 (credits): has a quote that is never closed"),
        (&stray, "line 3, column 2 (credits): has a quote in the middle"),
    ] {
        assert_eq!(wrong(text), told, "{:?}", &text[..text.len().min(80)]);
    }
    let bytes: [(&[u8], _); 3] = [
        (b"id,credits\na,1\nb,\xff\n", "line 3, column 2 (credits): is not UTF-8 text"),
        (b"\xff\xfei\0d\0", "line 1: is UTF-16; the file must be UTF-8"),
        (b"id,cr\xffedits\n", "line 1, column 2: is not UTF-8 text"),
    ];
    for (bytes, told) in bytes {
        assert_eq!(read(bytes).unwrap_err().to_string(), told);
    }
    let mut reader = Reader::new(&b"note,credits,id\n\"a\nb\",1,c\n"[..], COLUMNS).unwrap();
    let record = reader.read().unwrap().unwrap();
    assert_eq!(record.wrong(0, "is odd").to_string(), "line 3, column 3 (id): is odd");
    let mut reader = Reader::new(&b"credits,id\n1,c\n"[..], COLUMNS).unwrap();
    let record = reader.read().unwrap().unwrap();
    assert_eq!(record.wrong(2, "is needed").to_string(), "line 2 (note): is needed");
}

#[test]
fn a_file_that_breaks_off_while_it_is_read_is_an_error() {
    struct Broken;
    impl io::Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("gone"))
        }
    }
    let input = io::BufReader::new(io::Read::chain(&b"id,credits\na,1\nb"[..], Broken));
    let mut reader = Reader::new(input, COLUMNS).unwrap();
    assert!(reader.read().unwrap().is_some());
    assert_eq!(reader.read().unwrap_err().to_string(), "cannot be read after line 3: gone");
}

#[test]
fn what_is_written_is_read() {
    let piece =
        select(vec!["", "a", "#1", ",", ";", "\"", "\n", "\r\n", "\r", " ", "é", "10.00", "\u{feff}"]);
    let field = vec(piece, 0..5).prop_map(|pieces| pieces.concat());
    let rows = vec([field.clone(), field.clone(), field], 0..20);
    let seed = std::env::var("CREDITLEDGER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or(20_261_128);
    let config = Config {
        cases: 2_000,
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    };
    let run = TestRunner::new(config).run(&rows, |rows| {
        let mut text = "note,id,more,credits\n".to_owned();
        let mut expected = Vec::new();
        let mut lines = Vec::new();
        for [id, credits, note] in &rows {
            let line = row(&[note, id, "x", credits]);
            lines.push(text.matches('\n').count() + 1);
            expected.push([id.clone(), credits.clone(), note.clone()]);
            text.push_str(&line);
            text.push('\n');
        }
        prop_assert_eq!(read(text.as_bytes()).unwrap(), expected);
        let mut reader = Reader::new(text.as_bytes(), COLUMNS).unwrap();
        for line in lines {
            prop_assert_eq!(reader.read().unwrap().unwrap().line, line);
        }
        // Cut within its last quotes it does not pass.
        if let Some(open) = text.strip_suffix("\"\n") {
            prop_assert!(read(open.as_bytes()).is_err(), "{:?}", open);
        }
        Ok(())
    });
    if let Err(error) = run {
        panic!("seed {seed}: {error}");
    }
}
