//! `creditledger export`: a ledger's journal for other programs, in credits and in money.

mod beancount;
mod hledger;
mod lines;
mod names;
mod postings;

use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use self::postings::JournalWriter;
use super::target::Target;
use crate::app::call::CallError;
use crate::app::failure::Failure;
use crate::grpc::wire;
use wire::ledger_service_client::LedgerServiceClient;

/// Write a ledger's journal for other programs
///
/// beancount and hledger get every transfer as a transaction. Credits are the commodity CREDIT, with the prices that
/// were paid for them. As in every double-entry program, what is credited is negative there. csv has one line for each
/// transfer, jsonl one line for each posting.
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

impl Export {
    /// Reads the journal and writes it.
    pub async fn run(self) -> Result<(), Failure> {
        let mut client = LedgerServiceClient::new(self.target.connect().await?);
        let request =
            wire::StreamJournalRequest { ledger_id: self.target.ledger(), after_position: 0, follow: false };
        let mut journal = client.stream_journal(request).await.map_err(CallError::from)?.into_inner();
        let mut out: Box<dyn Write + Send> = match &self.output {
            Some(path) => Box::new(BufWriter::new(std::fs::File::create(path).map_err(Failure::Output)?)),
            None => Box::new(BufWriter::new(io::stdout())),
        };
        let mut writer: Box<dyn JournalWriter> = match self.format {
            Format::Beancount => Box::new(beancount::Beancount::default()),
            Format::Hledger => Box::new(hledger::Hledger::default()),
            Format::Csv => Box::new(lines::Csv),
            Format::Jsonl => Box::new(lines::Jsonl),
        };
        if !written(writer.begin(&mut *out, &self.target.ledger()))? {
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

/// False if the reader has closed its end, as `head` does, which is no error.
fn written(done: io::Result<()>) -> Result<bool, Failure> {
    match done {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        Err(error) => Err(Failure::Output(error)),
    }
}
