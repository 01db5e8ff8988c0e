//! Applies expiries of customers that send no commands, and requests their top-ups that fall due. It decides nothing:
//! every command and every read of a customer applies its due expiries first, so no answer depends on when this runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use crate::clock;
use crate::ledger::{Rejection, Request};
use crate::store::{ReadStore, StoreError};
use crate::writer::{SubmitError, Writer};

/// Customers that are read at once, and so commands that are submitted at once: at most one commit.
const PAGE: usize = 1_000;
/// Pages in one round. The bound holds even if a customer stays due after its command.
const PAGES_MAX: usize = 100;

/// Sweeps every `interval`, until it is dropped.
pub(super) async fn sweep(reader: Arc<dyn ReadStore>, writer: Writer, interval: Duration) {
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for _ in 0..PAGES_MAX {
            match apply_due(&*reader, &writer).await {
                Ok(PAGE..) => {}
                Ok(_) => break,
                // The next round tries again, and commands of customers apply their own expiries meanwhile.
                Err(SweepError::Submit(SubmitError::Overloaded | SubmitError::ShuttingDown)) => break,
                Err(error) => {
                    tracing::warn!(%error, "what is due could not be applied");
                    break;
                }
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum SweepError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Submit(#[from] SubmitError),
}

/// Applies what is due for at most [`PAGE`] customers, and returns for how many it was. Where the database's clock is
/// implausible, that is fewer than were found: another page would find the same ones.
async fn apply_due(reader: &dyn ReadStore, writer: &Writer) -> Result<usize, SweepError> {
    let due = reader.customers_due(clock::due_until(), PAGE).await?;
    let mut count = 0;
    let request = |(ledger, customer)| Request::apply_due(ledger, customer);
    for submitted in writer.submit_bulk(due.into_iter().map(request).collect(), None).await? {
        match submitted? {
            Ok(_) => count += 1,
            // A command of the customer came first, or the bound on what falls due was early.
            Err(Rejection::NothingDue) => {}
            Err(rejection) => tracing::warn!(%rejection, "what is due was not applied"),
        }
    }
    Ok(count)
}
