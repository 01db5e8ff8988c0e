//! The journal in lines: CSV for spreadsheets, JSON for programs.

use std::io::{self, Write};

use serde_json::json;

use super::postings::{JournalWriter, kind_name};
use crate::app::csv;
use crate::grpc::wire;

/// One line for each transfer.
#[derive(Debug)]
pub(super) struct Csv;

/// One line for each posting.
#[derive(Debug)]
pub(super) struct Jsonl;

fn time(posting: &wire::Posting) -> String {
    posting.recorded_at.map(|time| time.to_string()).unwrap_or_default()
}

impl JournalWriter for Csv {
    fn begin(&mut self, out: &mut dyn Write, _ledger: &str) -> io::Result<()> {
        let names = [
            "position",
            "recorded_at",
            "customer_id",
            "sequence",
            "kind",
            "posting_id",
            "incident_id",
            "debit_account",
            "credit_account",
            "amount",
            "unit",
        ];
        writeln!(out, "{}", csv::row(&names))
    }

    fn posting(&mut self, out: &mut dyn Write, posting: &wire::Posting) -> io::Result<()> {
        let recorded_at = time(posting);
        let (position, sequence) = (posting.position.to_string(), posting.sequence.to_string());
        let mut line = |debit: &str, credit: &str, amount: &str, unit: &str| {
            let fields = [
                position.as_str(),
                &recorded_at,
                &posting.customer_id,
                &sequence,
                kind_name(posting),
                &posting.posting_id,
                &posting.incident_id,
                debit,
                credit,
                amount,
                unit,
            ];
            writeln!(out, "{}", csv::row(&fields))
        };
        for moved in &posting.transfers {
            line(&moved.debit_account, &moved.credit_account, &moved.credits, "CREDIT")?;
        }
        for moved in &posting.money_transfers {
            let money = moved.money.clone().unwrap_or_default();
            line(&moved.debit_account, &moved.credit_account, &money.amount, &money.currency_code)?;
        }
        Ok(())
    }
}

impl JournalWriter for Jsonl {
    fn begin(&mut self, _out: &mut dyn Write, _ledger: &str) -> io::Result<()> {
        Ok(())
    }

    fn posting(&mut self, out: &mut dyn Write, posting: &wire::Posting) -> io::Result<()> {
        let after = posting.balance_after.clone().unwrap_or_default();
        let transfers = posting.transfers.iter().map(|moved| {
            json!({ "debit_account": moved.debit_account, "credit_account": moved.credit_account,
                    "credits": moved.credits })
        });
        let money = posting.money_transfers.iter().map(|moved| {
            let money = moved.money.clone().unwrap_or_default();
            json!({ "debit_account": moved.debit_account, "credit_account": moved.credit_account,
                    "amount": money.amount, "currency_code": money.currency_code })
        });
        let line = json!({
            "position": posting.position,
            "posting_id": posting.posting_id,
            "customer_id": posting.customer_id,
            "sequence": posting.sequence,
            "kind": kind_name(posting),
            "recorded_at": time(posting),
            "request_id": posting.request_id,
            "hold_id": posting.hold_id,
            "incident_id": posting.incident_id,
            "lot_id": posting.lot_id,
            "by": posting.by,
            "reason": posting.reason,
            "transfers": transfers.collect::<Vec<_>>(),
            "money_transfers": money.collect::<Vec<_>>(),
            "balance_after": {
                "available": after.available_credits,
                "held": after.held_credits,
                "owed": after.owed_credits,
            },
        });
        writeln!(out, "{line}")
    }
}
