//! The common part of all formats of an export: the trait of a format, and what they derive from a posting.

use std::collections::BTreeSet;
use std::io::{self, Write};

use super::names::Account;
use crate::grpc::wire;

pub(super) trait JournalWriter: Send {
    /// Writes what stands before all postings.
    fn begin(&mut self, out: &mut dyn Write, ledger: &str) -> io::Result<()>;

    /// Writes one posting.
    fn posting(&mut self, out: &mut dyn Write, posting: &wire::Posting) -> io::Result<()>;
}

/// Accounts or commodities that were declared so far.
#[derive(Debug, Default)]
pub(super) struct Declared(BTreeSet<String>);

impl Declared {
    /// True on the first call with this name.
    pub fn is_new(&mut self, name: &str) -> bool {
        !self.0.contains(name) && self.0.insert(name.to_owned())
    }
}

/// The movements of a posting, in one form: debit, credit, amount, commodity.
pub(super) fn legs(
    posting: &wire::Posting,
) -> impl Iterator<Item = (Account<'_>, Account<'_>, String, &str)> {
    let customer = posting.customer_id.as_str();
    let credits = posting.transfers.iter().map(move |moved| {
        let account = |name| Account::in_credits(name, customer);
        let amount = four_digits(&moved.credits);
        (account(&moved.debit_account), account(&moved.credit_account), amount, "CREDIT")
    });
    let money = posting.money_transfers.iter().map(|moved| {
        let account = |name| Account::in_money(name);
        let (amount, currency) = moved
            .money
            .as_ref()
            .map_or((String::new(), ""), |money| (money.amount.clone(), &money.currency_code));
        (account(&moved.debit_account), account(&moved.credit_account), amount, currency)
    });
    credits.chain(money)
}

/// Credits with all their digits: programs round to the number of digits that most amounts have.
fn four_digits(credits: &str) -> String {
    let (whole, fraction) = credits.split_once('.').unwrap_or((credits, ""));
    format!("{whole}.{fraction:0<4}")
}

/// The UTC day of a posting.
pub(super) fn day(posting: &wire::Posting) -> String {
    let time = posting.recorded_at.map(|time| time.to_string()).unwrap_or_default();
    time.chars().take(10).collect()
}

/// The name of a kind of posting.
pub(super) fn kind_name(posting: &wire::Posting) -> &'static str {
    let name = posting.kind().as_str_name();
    name.strip_prefix("POSTING_KIND_").unwrap_or(name)
}

/// The price of one credit of a purchase: amount and currency.
pub(super) fn price_of_a_credit(posting: &wire::Posting) -> Option<(rust_decimal::Decimal, String)> {
    use rust_decimal::Decimal;
    if posting.kind() != wire::PostingKind::PurchaseCredits {
        return None;
    }
    let bought = posting.transfers.iter().filter(|moved| moved.debit_account.starts_with("sales:"));
    let credits: Decimal = bought.filter_map(|moved| moved.credits.parse::<Decimal>().ok()).sum();
    let receivable = |moved: &&wire::MoneyTransfer| moved.debit_account.starts_with("storefront_receivable:");
    let paid = posting.money_transfers.iter().filter(receivable).filter_map(|moved| moved.money.as_ref());
    let currency = paid.clone().next()?.currency_code.clone();
    let price: Decimal = paid.filter_map(|money| money.amount.parse::<Decimal>().ok()).sum();
    let each = price.checked_div(credits)?.round_dp(10).normalize();
    Some((each, currency))
}
