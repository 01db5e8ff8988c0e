//! The journal for hledger (<https://hledger.org/hledger.html#journal>), in a form that ledger reads too.

use std::io::{self, Write};

use super::postings::{Declared, JournalWriter, day, kind_name, legs, price_of_a_credit};
use crate::grpc::wire;

/// Writes transactions, and declares each account and commodity before its first one.
#[derive(Debug, Default)]
pub(super) struct Hledger {
    declared: Declared,
}

impl JournalWriter for Hledger {
    fn begin(&mut self, out: &mut dyn Write, ledger: &str) -> io::Result<()> {
        writeln!(out, "; ledger {ledger}")?;
        self.commodity(out, "1.0000", "CREDIT")
    }

    fn posting(&mut self, out: &mut dyn Write, posting: &wire::Posting) -> io::Result<()> {
        let mut moved = Vec::new();
        for (debit, credit, amount, commodity) in legs(posting) {
            self.commodity(out, &amount, commodity)?;
            for (account, sign) in [(debit, ""), (credit, "-")] {
                let name = account.name();
                if self.declared.is_new(&name) {
                    writeln!(out, "account {name}")?;
                }
                moved.push(format!("    {name}  {sign}{amount} {commodity}"));
            }
        }
        if moved.is_empty() {
            return Ok(());
        }
        let date = day(posting);
        if let Some((each, currency)) = price_of_a_credit(posting) {
            writeln!(out, "P {date} CREDIT {each} {currency}")?;
        }
        let about =
            if posting.incident_id.is_empty() { String::new() } else { format!(" {}", posting.incident_id) };
        writeln!(out, "{date} * {}{about}  ; posting_id:{}", kind_name(posting), posting.posting_id)?;
        moved.iter().try_for_each(|line| writeln!(out, "{line}"))?;
        writeln!(out)
    }
}

impl Hledger {
    /// Declares a commodity by a sample amount, which shows its digits.
    fn commodity(&mut self, out: &mut dyn Write, amount: &str, commodity: &str) -> io::Result<()> {
        if self.declared.is_new(commodity) {
            // The sample needs a decimal mark, even where there are no digits behind it.
            let digits = amount.split_once('.').map_or("", |(_, digits)| digits);
            writeln!(out, "commodity 1000.{} {commodity}", "0".repeat(digits.len()))?;
        }
        Ok(())
    }
}
