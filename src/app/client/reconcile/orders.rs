//! Reads a storefront's list of orders from a CSV file, part by part.
//!
//! # What it is
//! Every value is checked here as the server would check it, so that an error names line and column.
//!
//! # Invariants
//! Two reads of the file are told apart by [`Orders::digest`]: it is the same only where the orders are.
//!
//! # Failure
//! An order that comes twice with the same content is fine. With other content the list contradicts itself.
//!
//! # Cost
//! One part is held at a time, and 16 bytes for each order.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use crate::app::csv::{Columns, Reader, Record, Wrong};
use crate::app::failure::Failure;
use crate::grpc::wire;
use crate::ledger::hash::stable_hash;
use crate::ledger::{Credits, Currency, CustomerId, OrderId};
use crate::storefront::amounts;

const COLUMNS: Columns =
    Columns { names: &["order_id", "customer_id", "credits", "amount", "currency_code"], needed: 1 };
const ORDER: usize = 0;
const CUSTOMER: usize = 1;
const CREDITS: usize = 2;
const AMOUNT: usize = 3;
const CURRENCY: usize = 4;

/// The orders of a file that is being read.
pub(super) struct Orders {
    shown: String,
    reader: Reader<BufReader<File>>,
    /// The line and the content of each order so far, by the order's hash.
    seen: HashMap<u64, (u32, u32)>,
    digest: u64,
}

impl Orders {
    /// Opens the file and reads its header.
    pub fn open(file: &Path) -> Result<Self, Failure> {
        let shown = file.display().to_string();
        let open = File::open(file);
        let open = open.map_err(|error| Failure::Other(format!("{shown} cannot be read: {error}")))?;
        let reader = Reader::new(BufReader::new(open), COLUMNS)
            .map_err(|error| Failure::Other(format!("{shown}: {error}")))?;
        Ok(Self { shown, reader, seen: HashMap::new(), digest: 0 })
    }

    /// The columns that are not read.
    pub fn ignored(&self) -> Vec<String> {
        self.reader.ignored().map(str::to_owned).collect()
    }

    /// A value that follows from all orders so far.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Reads up to `max` orders; fewer only at the end of the file. Repeats are left out where `once` asks for it.
    pub fn part(&mut self, max: usize, once: bool) -> Result<Vec<wire::StorefrontPurchase>, Failure> {
        let mut part = Vec::new();
        while part.len() < max {
            let record = self.reader.read().map_err(|error| self.complaint(&error))?;
            let Some(record) = record else { break };
            let order = order(&record).map_err(|error| self.complaint(&error))?;
            let is_repeat = self.note(&record, &order).map_err(|error| self.complaint(&error))?;
            if !(once && is_repeat) {
                part.push(order);
            }
        }
        Ok(part)
    }

    /// Notes an order; true if it is a repeat of one before.
    fn note(&mut self, record: &Record, order: &wire::StorefrontPurchase) -> Result<bool, Wrong> {
        let wire::StorefrontPurchase { order_id, customer_id, credits, price } = order;
        // Content is compared as values: 10 and 10.00 are the same.
        let credits = credits.as_deref().and_then(|credits| Credits::parse(credits).ok());
        let credits = credits.map(|credits| credits.to_string()).unwrap_or_default();
        let price = price.as_ref().map(shown_price).unwrap_or_default();
        let key = stable_hash(&[order_id.as_bytes()]);
        let content = stable_hash(&[customer_id.as_bytes(), credits.as_bytes(), price.as_bytes()]);
        self.digest = stable_hash(&[&self.digest.to_le_bytes(), &key.to_le_bytes(), &content.to_le_bytes()]);
        // Half of a hash is enough to tell two contents of one order apart.
        let [a, b, c, d, ..] = content.to_le_bytes();
        let content = u32::from_le_bytes([a, b, c, d]);
        match self.seen.entry(key) {
            Entry::Vacant(place) => {
                place.insert((u32::try_from(record.line).unwrap_or(u32::MAX), content));
                Ok(false)
            }
            Entry::Occupied(first) if first.get().1 == content => Ok(true),
            Entry::Occupied(first) => {
                let line = first.get().0;
                Err(record.wrong(ORDER, format!("{order_id} is on line {line} already, with other content")))
            }
        }
    }

    fn complaint(&self, error: &impl std::fmt::Display) -> Failure {
        Failure::Other(format!("{}: {error}", self.shown))
    }
}

/// A price in one way to write it.
fn shown_price(price: &wire::Money) -> String {
    let wire::Money { currency_code, amount } = price;
    let units = amounts::digits(currency_code).map(|digits| amounts::minor_units(amount, digits));
    format!("{:?} {currency_code}", units.and_then(Result::ok))
}

fn order(record: &Record) -> Result<wire::StorefrontPurchase, Wrong> {
    let get = |column| record.get(column).to_owned();
    let id = |column, error: crate::ledger::ids::TextError| record.wrong(column, error.to_string());
    OrderId::parse(&get(ORDER)).map_err(|error| id(ORDER, error))?;
    if !get(CUSTOMER).is_empty() {
        CustomerId::parse(&get(CUSTOMER)).map_err(|error| id(CUSTOMER, error))?;
    }
    if !get(CREDITS).is_empty() {
        let credits = Credits::parse(&get(CREDITS));
        let credits = credits.map_err(|error| record.wrong(CREDITS, error.to_string()))?;
        if !credits.is_positive() {
            return Err(record.wrong(CREDITS, "must be more than 0"));
        }
    }
    Ok(wire::StorefrontPurchase {
        order_id: get(ORDER),
        customer_id: get(CUSTOMER),
        credits: Some(get(CREDITS)).filter(|credits| !credits.is_empty()),
        price: price(record)?,
    })
}

fn price(record: &Record) -> Result<Option<wire::Money>, Wrong> {
    let (amount, code) = (record.get(AMOUNT), record.get(CURRENCY));
    match (amount.is_empty(), code.is_empty()) {
        (true, true) => return Ok(None),
        (false, true) => return Err(record.wrong(CURRENCY, "is missing beside an amount")),
        (true, false) => return Err(record.wrong(AMOUNT, "is missing beside a currency")),
        (false, false) => {}
    }
    let digits = Currency::parse(code).and_then(|_| amounts::digits(code));
    let digits = digits.ok_or_else(|| {
        record.wrong(CURRENCY, format!("must be a currency code of ISO 4217 such as EUR, not {code:?}"))
    })?;
    amounts::minor_units(amount, digits).map_err(|problem| record.wrong(AMOUNT, problem))?;
    Ok(Some(wire::Money { currency_code: code.to_owned(), amount: amount.to_owned() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All orders of a file, or the complaint about it.
    fn read(text: &str, once: bool) -> Result<Vec<String>, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("o.csv");
        std::fs::write(&path, text).unwrap();
        let complaint = |failure: Failure| failure.to_string().split_once("o.csv: ").unwrap().1.to_owned();
        let mut orders = Orders::open(&path).map_err(complaint)?;
        let mut all = Vec::new();
        loop {
            let part = orders.part(2, once).map_err(complaint)?;
            let is_last = part.len() < 2;
            all.extend(part.into_iter().map(|order| order.order_id));
            if is_last {
                return Ok(all);
            }
        }
    }

    #[test]
    fn each_fault_has_its_line_and_column() {
        let head = "amount;order_id;customer_id;credits;currency_code\n";
        for (row, told) in [
            ("1;;a;1;EUR", "column 2 (order_id): must not be empty"),
            ("1;a b;a;1;EUR", "column 2 (order_id): must consist of letters"),
            ("1;1;a b;1;EUR", "column 3 (customer_id): must consist of letters"),
            ("1;1;a;0;EUR", "column 4 (credits): must be more than 0"),
            ("1;1;a;-1;EUR", "column 4 (credits): must be more than 0"),
            ("1;1;a;1,5;EUR", "column 4 (credits): must be a decimal number"),
            ("1;1;a;1;", "column 5 (currency_code): is missing beside an amount"),
            (";1;a;1;EUR", "column 1 (amount): is missing beside a currency"),
            ("1;1;a;1;eur", "column 5 (currency_code): must be a currency code of ISO 4217"),
            ("1;1;a;1;ZZZ", "column 5 (currency_code): must be a currency code of ISO 4217"),
            ("1.001;1;a;1;EUR", "column 1 (amount): must have at most 2 fractional digits"),
            ("-1;1;a;1;EUR", "column 1 (amount): must be a decimal number"),
            ("3;x;a;1;EUR", "column 2 (order_id): x is on line 2 already, with other content"),
        ] {
            let error = read(&format!("{head}2;x;a;1;EUR\n\n{row}\n"), false).unwrap_err();
            assert!(error.starts_with(&format!("line 4, {told}")), "{row}: {error}");
        }
        let alone = read("order_id,amount\n1,1\n", false).unwrap_err();
        assert_eq!(alone, "line 2 (currency_code): is missing beside an amount");
        assert_eq!(read("id\n1\n", false).unwrap_err(), "line 1: the header has no column order_id");
    }

    #[test]
    fn repeats_are_left_out_where_asked() {
        let text = "order_id,credits,amount,currency_code\n1,10,1.0,EUR\n2,,,\n1,10.00,1,EUR\n3,,,\n";
        assert_eq!(read(text, false).unwrap(), ["1", "2", "1", "3"]);
        assert_eq!(read(text, true).unwrap(), ["1", "2", "3"]);
    }
}
