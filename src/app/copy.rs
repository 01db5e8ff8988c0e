//! `creditledger copy`: moves a whole database to another one.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::database_url::url_of;
use super::output::print;
use super::progress::Progress;
use crate::app::failure::Failure;
use crate::copy::{CHUNK, Copied, Copier, CopyError, check_source};
use crate::hidden::Hidden;
use crate::{clock, store};

/// The progress of steps that cannot be counted.
const CHECKING: &str = "{spinner} {msg}";
const COUNTING: &str = "{msg} {wide_bar} {pos}/{len} postings, {eta} left";

/// Copy a whole database to a new one, of the same engine or another
///
/// Replays the journal of the source into the target, compares every row, and only then lets servers open the target.
/// Ids, positions, times and request ids stay as they are. No server may have the source open meanwhile. A copy that is
/// cut off goes on where it stopped when it is run again. Everybody on this machine can read a command line: URLs with a
/// password belong in files.
#[derive(Clone, Debug, clap::Args)]
pub struct Copy {
    /// The database to read
    #[arg(long, value_name = "URL", required_unless_present = "from_file")]
    from: Option<Hidden<String>>,
    /// A file with the URL of the database to read
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    from_file: Option<PathBuf>,
    /// The database to make; it must not be there yet, or be empty, or be this copy cut off
    #[arg(long, value_name = "URL", required_unless_present = "to_file")]
    to: Option<Hidden<String>>,
    /// A file with the URL of the database to make
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    to_file: Option<PathBuf>,
    /// Print what was copied as one JSON object
    #[arg(long)]
    json: bool,
}

impl Copy {
    /// Copies, compares and prints what was copied.
    ///
    /// # Errors
    /// [`Failure`] where the target is not an equal copy.
    pub async fn run(self) -> Result<(), Failure> {
        // The parser of arguments has made sure that each is there, in one of the two ways.
        let from = url_of(self.from, self.from_file, "--from-file")?.unwrap_or_default();
        let to = url_of(self.to, self.to_file, "--to-file")?.unwrap_or_default();
        let copied = tokio::select! {
            copied = copy(from.reveal(), to.reveal()) => copied?,
            _ = tokio::signal::ctrl_c() => {
                return Err(Failure::Other("interrupted; run the same copy again to finish it".to_owned()));
            }
        };
        if self.json {
            print(&json_of(&copied).to_string())
        } else {
            print(&format!("copied and verified: {copied}"))
        }
    }
}

async fn copy(from: &str, to: &str) -> Result<Copied, Failure> {
    store::check_urls(from, to)?;
    let progress = Progress::new(CHECKING, 0);
    progress.says("check the source");
    let (source, alone) = store::open_to_check(from).await?;
    check_source(&*source).await?;
    let mut target = store::open_for_copy(to).await?;
    let mut copier = Copier::begin(&*source, &mut target, clock::now(), CHUNK).await?;
    progress.looks(COUNTING);
    progress.says("copy");
    progress.counts(copier.total());
    progress.reaches(copier.done());
    while copier.step().await? {
        progress.reaches(copier.done());
    }
    refuse_growth(from, &copier).await?;
    progress.looks(CHECKING);
    progress.says("check the copy");
    let mut compared = false;
    let copied = copier.compare(|postings| {
        if !compared {
            compared = true;
            progress.looks(COUNTING);
            progress.says("compare");
            progress.counts(copier.total());
        }
        progress.reaches(postings);
    });
    let copied = copied.await?;
    refuse_growth(from, &copier).await?;
    alone.check_unchanged()?;
    copier.finish().await?;
    Ok(copied)
}

/// Refuses a source that grew during the copy: its new postings would be missing from the target.
async fn refuse_growth(from: &str, copier: &Copier<'_>) -> Result<(), Failure> {
    let source = store::open_to_read(from).await?;
    if copier.has_grown(&*source).await? { Err(CopyError::Grown.into()) } else { Ok(()) }
}

fn json_of(copied: &Copied) -> Value {
    let Copied {
        ledgers,
        postings,
        customers,
        holds,
        work,
        lots,
        orders,
        storefront_orders,
        tokens,
        audit_records,
        card_changes,
        journal_sha256,
    } = copied;
    json!({
        "verified": true,
        "ledgers": ledgers,
        "postings": postings,
        "customers": customers,
        "holds": holds,
        "work": work,
        "lots": lots,
        "orders": orders,
        "storefront_orders": storefront_orders,
        "tokens": tokens,
        "audit_records": audit_records,
        "card_changes": card_changes,
        "journal_sha256": journal_sha256,
    })
}
