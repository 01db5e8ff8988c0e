//! The journal for Beancount (<https://beancount.github.io/docs/beancount_language_syntax.html>).

use std::io::{self, Write};

use super::postings::{Declared, JournalWriter, day, kind_name, legs, price_of_a_credit};
use crate::grpc::wire;

/// Writes transactions, and opens each account and commodity before its first one.
#[derive(Debug, Default)]
pub(super) struct Beancount {
    declared: Declared,
}

/// A day before all postings, so that the order in which they were recorded does not matter.
const DECLARED_ON: &str = "1970-01-01";

impl JournalWriter for Beancount {
    fn begin(&mut self, out: &mut dyn Write, ledger: &str) -> io::Result<()> {
        writeln!(out, "option \"title\" {}", quoted(ledger))?;
        self.commodity(out, "CREDIT")
    }

    fn posting(&mut self, out: &mut dyn Write, posting: &wire::Posting) -> io::Result<()> {
        let mut moved = Vec::new();
        for (debit, credit, amount, commodity) in legs(posting) {
            self.commodity(out, commodity)?;
            for (account, sign) in [(debit, ""), (credit, "-")] {
                let name = account.name();
                if self.declared.is_new(&name) {
                    writeln!(out, "{DECLARED_ON} open {name}")?;
                }
                moved.push(format!("  {name}  {sign}{amount} {commodity}"));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let date = day(posting);
        if let Some((each, currency)) = price_of_a_credit(posting) {
            writeln!(out, "{date} price CREDIT {each} {currency}")?;
        }
        let about = if posting.incident_id.is_empty() { &posting.reason } else { &posting.incident_id };
        writeln!(out, "{date} * {} {}", quoted(kind_name(posting)), quoted(about))?;
        writeln!(out, "  posting_id: {}", quoted(&posting.posting_id))?;
        moved.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out)
    }
}

impl Beancount {
    fn commodity(&mut self, out: &mut dyn Write, commodity: &str) -> io::Result<()> {
        if self.declared.is_new(commodity) {
            writeln!(out, "{DECLARED_ON} commodity {commodity}")?;
        }
        Ok(())
    }
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}
