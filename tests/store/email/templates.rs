//! Templates of a directory: what takes the place of what, for which language, and what is wrong with one, by file and line.

use std::path::Path;

use creditledger::delivery::mail::{Content, EVENTS, Facts, Link, Templates};
use creditledger::ledger::event::EventType;
use creditledger::ledger::{CustomerId, LedgerId};
use tempfile::TempDir;

fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = directory.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    directory
}

fn load(files: &[(&str, &str)]) -> Result<Templates, String> {
    let directory = directory(files);
    let shown = format!("{}/", directory.path().display());
    Templates::load(Some(directory.path())).map_err(|error| error.to_string().replace(&shown, ""))
}

fn facts(event: EventType) -> Facts {
    let link = Link::parse("https://shop.example.com/?a=1&for={customer_id}").unwrap();
    Facts::sample(event, false, &LedgerId::main(), &CustomerId::parse("acme").unwrap(), &link)
}

fn shown(templates: &Templates, locale: &str) -> Content {
    templates.fill(locale, &facts(EventType::BalanceLow)).unwrap()
}

#[test]
fn the_built_in_ones_say_what_is_left_held_and_missing_and_escape_html() {
    let templates = Templates::load(None).unwrap();
    for event in EVENTS {
        let Content { subject, text, html } = templates.fill("", &facts(event)).unwrap();
        assert!(subject.starts_with("Acme & Sons <GmbH>: ") && !subject.contains('\n'), "{subject}");
        assert!(text.contains("Acme & Sons <GmbH>") && text.contains("Hello Carol,"), "{text}");
        assert!(text.contains("https://shop.example.com/?a=1&for=acme\n"), "{text}");
        assert!(html.contains("Acme &amp; Sons &lt;GmbH&gt;") && !html.contains("<GmbH>"), "{html}");
        assert!(
            html.contains("https:&#x2f;&#x2f;shop.example.com&#x2f;?a=1&amp;for=acme")
                || html.contains("?a=1&amp;for=acme\""),
            "{html}"
        );
        for body in [&text, &html] {
            let said: &[&str] = match event {
                EventType::BalanceLow => &["2.5", "Another 3 are set aside", "2026-01-31", "to 3 credits"],
                EventType::BalanceDepleted => &["no support credits left", "3 are set aside"],
                _ => &["7.5", "2.5", "INC-7"],
            };
            for said in said {
                assert!(body.contains(said), "{said}: {body}");
            }
            assert!(!body.contains("{{") && !body.contains("{%"), "{body}");
        }
    }
}

#[test]
fn files_take_the_place_of_what_is_built_in_and_languages_of_the_default() {
    let built_in = shown(&Templates::load(None).unwrap(), "");
    let templates = load(&[
        ("balance.low.subject", "low: {{ available }}\n"),
        ("pt/balance.low.subject", "baixo"),
        ("pt/balance.low.txt", "restam {{ available }}"),
        ("pt/balance.low.html", "<p>restam {{ available }}, {{ customer_name }}</p>"),
        ("pt_BR/balance.low.subject", "Brasil"),
        ("pt_BR/balance.low.txt", "sobraram {{ available }}"),
        ("pt_BR/balance.low.html", "<b>{{ available }}</b>"),
        ("README", "not a template"),
        ("logo.png", "not a template"),
        (".git/balance.low.txt", "hidden {{ nothing }}"),
        ("images/logo.svg", "not a template"),
    ])
    .unwrap();
    // Of the default each file is replaced by itself.
    let default = Content { subject: "low: 2.5".into(), ..built_in };
    for locale in ["", "de", "de-AT", "p", "pt2", "../pt", "-", "\u{130}"] {
        assert_eq!(shown(&templates, locale), default, "{locale}");
    }
    for locale in ["pt", "PT", "pt-PT", "pt-PT-x-old", " pt "] {
        assert_eq!(shown(&templates, locale).text, "restam 2.5", "{locale}");
    }
    assert_eq!(shown(&templates, "pt").html, "<p>restam 2.5, Acme &amp; Sons &lt;GmbH&gt;</p>");
    for locale in ["pt-BR", "pt_BR", "pt-br", "pt-BR-x-gaucho"] {
        assert_eq!(shown(&templates, locale).subject, "Brasil", "{locale}");
    }
    // An event without files in a language is told of in the next one.
    let depleted = templates.fill("pt-BR", &facts(EventType::BalanceDepleted)).unwrap();
    assert_eq!(depleted.subject, "Acme & Sons <GmbH>: no support credits left");
}

#[test]
fn a_subject_is_one_line_whatever_the_template_says() {
    let templates =
        load(&[("balance.low.subject", "\r\n a\r\nBcc: eve@example.org\n\n\tb\u{85}c\0d  \n")]).unwrap();
    assert_eq!(shown(&templates, "").subject, "a Bcc: eve@example.org b c d");
    let templates = load(&[("balance.low.subject", &"x".repeat(5_000))]).unwrap();
    assert_eq!(shown(&templates, "").subject, "x".repeat(200));
}

#[test]
fn what_is_wrong_is_told_with_file_and_line() {
    /// (file, text, complaint)
    const WRONG: [(&str, &str, &str); 15] = [
        ("balance.low.txt", "a\nb {{ available", "balance.low.txt line 2: unexpected end of input"),
        ("balance.low.html", "{% if held %}\n\nx", "balance.low.html line 1: unexpected end of input"),
        ("balance.low.txt", "\n\n{% endif %}", "balance.low.txt line 3: unknown statement endif"),
        ("balance.low.txt", "\n{{ held | shout }}", "balance.low.txt line 2: filter shout is unknown"),
        (
            "balance.low.txt",
            "\n{{ shout() }}",
            "balance.low.txt line 2: there is no variable shout; there are available,",
        ),
        (
            "balance.low.txt",
            "a\n\n{{ custmer_name }}",
            "balance.low.txt line 3: there is no variable custmer_name",
        ),
        // Where no sample comes to.
        (
            "credits.shortfall.html",
            "a\n{% if owed == \"17\" %}\n{{ wed }}{% endif %}",
            "credits.shortfall.html line 3: there is no variable wed",
        ),
        ("balance.low.txt", "\n{{ held.amount }}", "balance.low.txt line 2: undefined value"),
        ("balance.low.txt", "\n\n{{ held / 2 }}", "balance.low.txt line 3: "),
        ("balance.low.txt", "\n{% include 'x' %}", "balance.low.txt line 2: unknown statement include"),
        ("balance.low.subject", " \n{# nothing #}\n", "balance.low.subject line 1: gives an empty subject"),
        ("balance.low.subject", "{{ incident_id }}", "balance.low.subject line 1: gives an empty subject"),
        ("balance.lwo.txt", "x", "balance.lwo.txt is not the template of an event: balance.low,"),
        ("hold.placed.html", "x", "hold.placed.html is not the template of an event: "),
        ("pt/balance.low.txt", "x", "pt/balance.low.txt has no balance.low.subject beside it: "),
    ];
    let mut findings = Vec::new();
    for (file, text, complaint) in WRONG {
        match load(&[(file, text)]) {
            Err(error) if error.starts_with(complaint) && !error.contains('\n') => {}
            told => findings.push(format!("{file} {text:?}: {:?}", told.err())),
        }
    }
    assert!(findings.is_empty(), "{}", findings.join("\n"));
    let twice = [("pt-BR/x", ""), ("pt_br/x", "")];
    assert!(load(&twice).unwrap_err().contains("is the same language as"));
    let large = "x".repeat((256 << 10) + 1);
    assert!(load(&[("balance.low.txt", &large)]).unwrap_err().starts_with("balance.low.txt is larger than"));
    let none = Templates::load(Some(Path::new("/no/such/directory"))).unwrap_err().to_string();
    assert!(none.starts_with("/no/such/directory cannot be read: "), "{none}");
    let latin = directory(&[]);
    std::fs::write(latin.path().join("balance.low.txt"), b"caf\xe9").unwrap();
    let error = Templates::load(Some(latin.path())).unwrap_err().to_string();
    assert!(error.contains("balance.low.txt cannot be read: "), "{error}");
}
