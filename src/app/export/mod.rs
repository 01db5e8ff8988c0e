//! `creditledger export`: a ledger's journal for other programs, in credits and in money.

mod beancount;
mod hledger;
mod lines;
mod names;

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use super::Failure;
use super::call::CallError;
use super::client::Target;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;

/// Write a ledger's journal for other programs
///
/// beancount and hledger get every transfer as a transaction, credits as the commodity CREDIT with the prices that were
/// paid for them; as in every double-entry program, what is credited is negative there. csv is one line a transfer, jsonl
/// one line a posting.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// For which program
    #[arg(long, value_enum)]
    format: Format,
    /// Where to [default: standard output]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// Beancount 2 or 3
    Beancount,
    /// hledger, and ledger
    Hledger,
    /// One line a transfer
    Csv,
    /// One line a posting
    Jsonl,
}

/// A writer for one program.
trait Writer: Send {
    /// What stands before all postings.
    fn begin(&mut self, out: &mut dyn Write, ledger: &str) -> io::Result<()>;

    /// One posting.
    fn posting(&mut self, out: &mut dyn Write, posting: &wire::Posting) -> io::Result<()>;
}

impl Export {
    /// Reads the journal and writes it.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn run(self) -> Result<(), Failure> {
        let mut client = LedgerServiceClient::new(self.target.connect().await?);
        let request = wire::StreamJournalRequest {
            ledger_id: self.target.ledger().to_owned(),
            after_position: 0,
            follow: false,
        };
        let mut journal = client.stream_journal(request).await.map_err(CallError::from)?.into_inner();
        let mut out: Box<dyn Write + Send> = match &self.output {
            Some(path) => Box::new(BufWriter::new(std::fs::File::create(path).map_err(Failure::Output)?)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let mut writer: Box<dyn Writer> = match self.format {
            Format::Beancount => Box::new(beancount::Beancount::default()),
            Format::Hledger => Box::new(hledger::Hledger::default()),
            Format::Csv => Box::new(lines::Csv),
            Format::Jsonl => Box::new(lines::Jsonl),
        };
        if !written(writer.begin(&mut *out, self.target.ledger()))? {
            return Ok(());
        }
        while let Some(answer) = journal.message().await.map_err(CallError::from)? {
            let posting = answer.posting.unwrap_or_default();
            if !written(writer.posting(&mut *out, &posting))? {
                return Ok(());
            }
        }
        written(out.flush()).map(drop)
    }
}

/// False once the reader has gone away, as `head` does, which is no error.
fn written(done: io::Result<()>) -> Result<bool, Failure> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error)),
    }
}

/// Accounts or commodities that were declared so far.
#[derive(Debug, Default)]
struct Declared(BTreeSet<String>);

impl Declared {
    /// True the first time.
    fn is_new(&mut self, name: &str) -> bool {
        !self.0.contains(name) && self.0.insert(name.to_owned())
    }
}

/// What a posting moves, in one form: debit, credit, amount, commodity.
fn legs(
    posting: &wire::Posting,
) -> impl Iterator<Item = (names::Account<'_>, names::Account<'_>, String, &str)> {
    let customer = posting.customer_id.as_str();
    let credits = posting.transfers.iter().map(move |moved| {
        let account = |name| names::Account::in_credits(name, customer);
        let amount = four_digits(&moved.credits);
        (account(&moved.debit_account), account(&moved.credit_account), amount, "CREDIT")
    });
    let money = posting.money_transfers.iter().map(|moved| {
        let account = |name| names::Account::in_money(name);
        let (amount, currency) = moved
            .money
            .as_ref()
            .map_or((String::new(), ""), |money| (money.amount.clone(), &money.currency_code));
        (account(&moved.debit_account), account(&moved.credit_account), amount, currency)
    });
    credits.chain(money)
}

/// Credits with all their digits: programs show as many as most amounts have, and round the others.
fn four_digits(credits: &str) -> String {
    let (whole, fraction) = credits.split_once('.').unwrap_or((credits, ""));
    format!("{whole}.{fraction:0<4}")
}

/// The UTC day of a posting.
fn day(posting: &wire::Posting) -> String {
    let time = posting.recorded_at.map(|time| time.to_string()).unwrap_or_default();
    time.chars().take(10).collect()
}

/// The name of a kind of posting.
fn kind_name(posting: &wire::Posting) -> &'static str {
    let name = posting.kind().as_str_name();
    name.strip_prefix("POSTING_KIND_").unwrap_or(name)
}

/// What a purchase paid for one credit: amount and currency.
fn price_of_a_credit(posting: &wire::Posting) -> Option<(rust_decimal::Decimal, String)> {
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
