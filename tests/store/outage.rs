//! The writer in front of a database that is away: nobody waits longer than one batch is tried for.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use creditledger::ledger::book::Book;
use creditledger::ledger::card::{CardRequest, Cards};
use creditledger::ledger::{CustomerId, LedgerNo, Request, RequestKey, Timestamp};
use creditledger::store::{
    CardsChanged, DefaultAlertsSet, Erased, LedgerCreated, NewDefaultAlerts, NewLedger, StoreError,
    WriteStore,
};
use creditledger::writer::{Limits, SubmitError, Writer};

use crate::desk::{grant, id, said};

/// A database that is away.
struct Away;

fn away<T>() -> Result<T, StoreError> {
    Err(StoreError::Again("nothing answers".into()))
}

#[async_trait]
impl WriteStore for Away {
    async fn load(
        &mut self,
        _: &[&Request],
        _: Timestamp,
        _: u64,
        _: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        away()
    }

    async fn append(&mut self, _: &Book) -> Result<(), StoreError> {
        away()
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn create_ledger(&mut self, _: &NewLedger, _: Timestamp) -> Result<LedgerCreated, StoreError> {
        away()
    }

    async fn change_cards(
        &mut self,
        _: &CardRequest,
        _: Timestamp,
        _: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        away()
    }

    async fn set_default_alerts(
        &mut self,
        _: &NewDefaultAlerts,
        _: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        away()
    }

    async fn erase_words(&mut self, _: LedgerNo, _: &CustomerId, _: Timestamp) -> Result<Erased, StoreError> {
        away()
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Far beyond what it takes, and far below what it would take if every batch were tried for as long as the first.
const PATIENCE: Duration = Duration::from_mins(1);

fn requests(count: usize) -> Vec<Request> {
    let request = |number| Request {
        ledger: LedgerNo::MAIN,
        customer: id("acme"),
        request: Some(RequestKey::parse(&format!("r {number}")).unwrap()),
        said: said(),
        command: grant("1"),
    };
    (0..count).map(request).collect()
}

#[tokio::test]
async fn what_waits_behind_an_outage_does_not_wait_for_its_end_batch_by_batch() {
    let limits = Limits { batch_commands_max: 2, retry_for: Duration::from_secs(5), ..Limits::default() };
    let (writer, _end) =
        Writer::start(vec![Box::new(Away)], &Arc::new(creditledger::cards::built_in()), limits).unwrap();
    // 100 batches, 500 seconds if each had its 5.
    let told =
        tokio::time::timeout(PATIENCE, writer.submit_bulk(requests(200), None)).await.unwrap().unwrap();
    assert!(told.iter().all(|told| *told == Err(SubmitError::StorageUnavailable)), "{told:?}");
}

#[tokio::test]
async fn the_end_does_not_wait_for_a_database_that_is_away() {
    let limits = Limits { batch_commands_max: 2, ..Limits::default() };
    let (writer, end) =
        Writer::start(vec![Box::new(Away)], &Arc::new(creditledger::cards::built_in()), limits).unwrap();
    let waiting = tokio::spawn({
        let writer = writer.clone();
        async move { writer.submit_bulk(requests(20_000), None).await.unwrap() }
    });
    while writer.queued() == 0 {
        tokio::task::yield_now().await;
    }
    writer.close();
    // 10,000 batches.
    let ended = tokio::time::timeout(PATIENCE, end.stopped).await.unwrap().unwrap();
    assert_eq!(ended, Ok(()));
    let told = waiting.await.unwrap();
    assert_eq!(told[0], Err(SubmitError::StorageUnavailable));
    assert_eq!(told[19_999], Err(SubmitError::ShuttingDown));
}
