//! What the READMEs show is run as it stands: each `console` block, in order, and its output is compared.
//!
//! A line with `$` is a command; what follows it, up to the next, is what it prints. A command without any must print
//! nothing. Ids, times and digests differ each time, so any stands for any other of its kind. Blocks marked `sh` are not
//! run: they name machines, databases or tools of the reader.
//!
//! Comments before a block steer:
//! - `a server` starts a new folder and a server there, `the server is stopped` ends it.
//! - `the file NAME` writes the block into the folder, and `a server with NAME` starts the server again with these settings.
//! - `within moments`: what the block shows is what the commands print soon. They are repeated until they do.

use std::process::Command;
use std::time::Instant;

use super::process::{PATIENCE, Place, Server};

/// Set to 1 where programs that the samples use must not be missing.
const REQUIRE: &str = "CREDITLEDGER_REQUIRE_EXPORT_CHECKS";

/// Makes files that the server after it needs: without it nothing runs up to the next new folder.
const OPENSSL: &str = "openssl";

/// A command of a README, and what stands under it.
#[derive(Debug, PartialEq, Eq)]
struct Sample {
    line: usize,
    command: String,
    output: String,
    /// Printed within moments, if not at once.
    is_soon: bool,
}

/// What a README says to do.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Serve,
    /// Goes on in the same folder, with this file of settings.
    ServeWith(String),
    Write {
        name: String,
        text: String,
    },
    Stop,
    Run(Sample),
}

/// What the lines of a README belong to.
enum Block {
    /// None that matters.
    Text,
    /// The block after this line is a file.
    BeforeFile,
    File,
    Console,
}

fn steps(readme: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut block = Block::Text;
    let mut is_soon = false;
    for (number, text) in (1..).zip(readme.lines()) {
        match block {
            Block::Text => {
                let comment = text.strip_prefix("<!-- ").and_then(|text| text.strip_suffix(" -->"));
                let comment = comment.unwrap_or_default();
                if let Some(name) = comment.strip_prefix("the file ") {
                    steps.push(Step::Write { name: name.to_owned(), text: String::new() });
                    block = Block::BeforeFile;
                } else if let Some(name) = comment.strip_prefix("a server with ") {
                    steps.push(Step::ServeWith(name.to_owned()));
                } else if text == "```console" {
                    block = Block::Console;
                }
                match comment {
                    "a server" => steps.push(Step::Serve),
                    "the server is stopped" => steps.push(Step::Stop),
                    "within moments" => is_soon = true,
                    _ => {}
                }
            }
            Block::BeforeFile => {
                assert!(text.starts_with("```"), "line {number}: a file without a block");
                block = Block::File;
            }
            Block::File | Block::Console if text == "```" => (block, is_soon) = (Block::Text, false),
            Block::File => {
                let Some(Step::Write { text: file, .. }) = steps.last_mut() else { unreachable!() };
                file.push_str(text);
                file.push('\n');
            }
            Block::Console => {
                if let Some(command) = text.strip_prefix("$ ") {
                    let command = command.to_owned();
                    steps.push(Step::Run(Sample { line: number, command, output: String::new(), is_soon }));
                } else if let Some(Step::Run(sample)) = steps.last_mut() {
                    sample.output.push_str(text);
                    sample.output.push('\n');
                } else {
                    panic!("line {number}: output without a command");
                }
            }
        }
    }
    steps
}

/// The text with every id, time, day and digest made the same.
fn normal(text: &str) -> String {
    let mut normal = String::new();
    let is_part = |c: char| c.is_ascii_hexdigit() || "-:.TZ".contains(c);
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_hexdigit()) {
        let (before, from) = rest.split_at(start);
        normal.push_str(before);
        // Only whole words: not the end of a longer one.
        let is_word = !before.ends_with(|c: char| c.is_alphanumeric());
        let end = from.find(|c: char| !is_part(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        let whole = word.trim_end_matches([':', '.']);
        normal.push_str(kind(whole).filter(|_| is_word).unwrap_or(whole));
        normal.push_str(&word[whole.len()..]);
        rest = after;
    }
    normal + rest
}

fn kind(word: &str) -> Option<&'static str> {
    let shape: String = word
        .chars()
        .map(|c| match c {
            '0'..='9' | 'a'..='f' => 'x',
            other => other,
        })
        .collect();
    let is_digits = word.chars().all(|c| c.is_ascii_digit() || "-:.TZ".contains(c));
    Some(match shape.as_str() {
        "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx" => "<id>",
        "xxxx-xx-xx" if is_digits => "<day>",
        "xxxx-xx-xxTxx:xx:xx.xxxxxxZ" if is_digits => "<time>",
        _ if word.len() == 64 && shape.chars().all(|c| c == 'x') => "<digest>",
        _ => return None,
    })
}

#[test]
fn ids_times_and_digests_stand_for_others_and_nothing_else_does() {
    let uuid = "01a20044-9bfb-745c-8000-0339264e97d1";
    let digest = "619438e1fe49813ff694b4e700d070e4866be8a112dc0e179feba2f5bc77fbb2";
    let text =
        format!("hold {uuid}) on 2026-11-21, at 2026-11-21T22:40:26.116697Z: 2.5 INC-7 sha256 {digest}");
    assert_eq!(normal(&text), "hold <id>) on <day>, at <time>: 2.5 INC-7 sha256 <digest>");
    for kept in ["available 7.5", "web-1001", "2026-11", "deadbeef", "a2026-11-21", "4500"] {
        assert_eq!(normal(kept), kept);
    }
}

#[test]
fn steps_are_read_as_they_stand() {
    let readme = "text\n<!-- a server -->\n```console\n$ one | two\nout\nmore\n$ three\n```\n```sh\nnot run\n```\n\
                  <!-- the file f -->\n```toml\nkey = 1\n$ more\n```\n<!-- a server with f -->\n\
                  <!-- within moments -->\n```console\n$ four\n```\n```console\n$ five\n```\n";
    let run = |line, command: &str, output: &str, is_soon| {
        Step::Run(Sample { line, command: command.to_owned(), output: output.to_owned(), is_soon })
    };
    let file = Step::Write { name: "f".to_owned(), text: "key = 1\n$ more\n".to_owned() };
    let expected = [
        Step::Serve,
        run(4, "one | two", "out\nmore\n", false),
        run(7, "three", "", false),
        file,
        Step::ServeWith("f".to_owned()),
        run(20, "four", "", true),
        run(23, "five", "", false),
    ];
    assert_eq!(steps(readme), expected);
}

/// Whether the programs besides our own that a sample runs are there.
fn can_run(command: &str) -> bool {
    let missing = ["sqlite3", "bean-check", "python3", OPENSSL].into_iter().find(|program| {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap();
        command.contains(program) && !found.status.success()
    });
    let Some(missing) = missing else { return true };
    let is_required = std::env::var_os(REQUIRE).is_some_and(|required| required == "1");
    assert!(!is_required, "{missing} is not installed, and `{command}` needs it");
    println!("left out: `{command}` needs {missing}");
    false
}

fn run(place: &Place, server: Option<&Server>, sample: &Sample) -> (bool, String) {
    let program = std::path::Path::new(env!("CARGO_BIN_EXE_creditledger")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-c", &format!("{{ {}\n}} 2>&1", sample.command)]);
    shell.current_dir(place.path("")).env_clear().env("PATH", path).env("LANG", "C.UTF-8");
    if let Some(server) = server {
        shell.env("CREDITLEDGER_SERVER", server.url());
    }
    let ended = shell.output().unwrap();
    (ended.status.success(), String::from_utf8(ended.stdout).unwrap())
}

/// Runs a command, and compares. What is printed within moments may be something else at first.
fn compare(name: &str, place: &Place, server: Option<&Server>, sample: &Sample) {
    let Sample { line, command, output, is_soon } = sample;
    let begun = Instant::now();
    let (succeeded, printed) = loop {
        let (succeeded, printed) = run(place, server, sample);
        if !is_soon || normal(&printed) == normal(output) || begun.elapsed() > PATIENCE {
            break (succeeded, printed);
        }
    };
    assert_eq!(normal(&printed), normal(output), "{name}:{line}: `{command}` printed\n{printed}");
    assert_eq!(succeeded, !output.starts_with("creditledger: "), "{name}:{line}: `{command}`");
}

fn shows_what_happens(name: &str, readme: &str) {
    let steps = steps(readme);
    assert!(steps.iter().any(|step| matches!(step, Step::Run(_))), "{name} shows nothing");
    let mut place = Place::new();
    let mut server = Some(place.serve());
    let mut lacks_files = false;
    for step in steps {
        lacks_files &= !matches!(step, Step::Serve);
        match step {
            _ if lacks_files => {}
            Step::Serve => {
                if let Some(server) = server.take() {
                    server.stop();
                }
                place = Place::new();
                server = Some(place.serve());
            }
            Step::ServeWith(settings) => {
                if let Some(server) = server.take() {
                    server.stop();
                }
                let arguments = ["serve", "--listen", "127.0.0.1:0", "--config", &settings];
                server = Some(Server::start(place.command(&arguments)));
            }
            Step::Write { name, text } => drop(place.write(&name, &text)),
            Step::Stop => drop(server.take().unwrap_or_else(|| panic!("{name}: no server runs")).stop()),
            Step::Run(sample) if can_run(&sample.command) => {
                compare(name, &place, server.as_ref(), &sample);
            }
            Step::Run(sample) => lacks_files = sample.command.contains(OPENSSL),
        }
    }
    if let Some(server) = server {
        server.stop();
    }
}

#[test]
fn the_readme_shows_what_happens() {
    shows_what_happens("README.md", include_str!("../../README.md"));
}

#[test]
fn the_readme_of_the_api_shows_what_happens() {
    shows_what_happens("proto/README.md", include_str!("../../proto/README.md"));
}

#[test]
fn the_readme_of_operations_shows_what_happens() {
    shows_what_happens("deploy/README.md", include_str!("../../deploy/README.md"));
}

#[test]
fn the_readme_of_rate_cards_shows_what_happens() {
    shows_what_happens("src/cards/README.md", include_str!("../../src/cards/README.md"));
}

#[test]
fn the_readme_of_storefronts_shows_what_happens() {
    shows_what_happens("src/storefront/README.md", include_str!("../../src/storefront/README.md"));
}
