//! A store whose commits wait until the test lets them go: what happens meanwhile is then no matter of luck.

use std::sync::Arc;

use async_trait::async_trait;
use creditledger::clock;
use creditledger::grpc;
use creditledger::ledger::book::Book;
use creditledger::ledger::card::{CardRequest, Cards};
use creditledger::ledger::{CustomerId, LedgerNo, Request, Timestamp};
use creditledger::store::{
    self, CardsChanged, DefaultAlertsSet, Engine, Erased, LedgerCreated, NewDefaultAlerts, NewLedger,
    Settings, StoreError, WriteStore,
};
use creditledger::writer::Limits;
use tokio::sync::watch;

use crate::served::Served;

/// Holds commits back while it is closed.
pub struct Gate {
    open: watch::Sender<bool>,
    begun: watch::Receiver<u32>,
}

impl Gate {
    pub fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Returns when the writer has begun a commit after what was sent before [`Gate::close`].
    pub async fn wait_for_commit(&mut self) {
        self.begun.changed().await.unwrap();
    }

    /// Closes it, and forgets the commits before.
    pub fn close(&mut self) {
        self.set_open(false);
        self.begun.mark_unchanged();
    }
}

struct Gated {
    inner: Box<dyn WriteStore>,
    open: watch::Receiver<bool>,
    begun: watch::Sender<u32>,
}

#[async_trait]
impl WriteStore for Gated {
    async fn load(
        &mut self,
        requests: &[&Request],
        clock: Timestamp,
        random: u64,
        cards: &mut Arc<Cards>,
    ) -> Result<Book, StoreError> {
        self.inner.load(requests, clock, random, cards).await
    }

    async fn append(&mut self, book: &Book) -> Result<(), StoreError> {
        self.begun.send_modify(|begun| *begun += 1);
        self.open.wait_for(|open| *open).await.unwrap();
        self.inner.append(book).await
    }

    async fn abandon(&mut self) -> Result<(), StoreError> {
        self.inner.abandon().await
    }

    async fn change_cards(
        &mut self,
        request: &CardRequest,
        now: Timestamp,
        cards: &mut Arc<Cards>,
    ) -> Result<CardsChanged, StoreError> {
        self.inner.change_cards(request, now, cards).await
    }

    async fn create_ledger(
        &mut self,
        ledger: &NewLedger,
        now: Timestamp,
    ) -> Result<LedgerCreated, StoreError> {
        self.inner.create_ledger(ledger, now).await
    }

    async fn set_default_alerts(
        &mut self,
        alerts: &NewDefaultAlerts,
        now: Timestamp,
    ) -> Result<DefaultAlertsSet, StoreError> {
        self.inner.set_default_alerts(alerts, now).await
    }

    async fn erase_words(
        &mut self,
        ledger: LedgerNo,
        customer: &CustomerId,
        now: Timestamp,
    ) -> Result<Erased, StoreError> {
        self.inner.erase_words(ledger, customer, now).await
    }

    async fn tidy(&mut self) -> Result<(), StoreError> {
        self.inner.tidy().await
    }

    async fn close(&mut self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}

/// A server behind an open gate.
pub async fn gated(limits: Limits) -> (Served, Gate) {
    behind_gate(limits, grpc::Limits::default()).await
}

/// The same, with bounds of its own.
pub async fn gated_within(bounds: grpc::Limits) -> (Served, Gate) {
    behind_gate(Limits::default(), bounds).await
}

async fn behind_gate(limits: Limits, bounds: grpc::Limits) -> (Served, Gate) {
    let mut engine = store::open("memory:", clock::now(), &Settings::default()).await.unwrap();
    let (open, opened) = watch::channel(true);
    let (begin, begun) = watch::channel(0);
    let writer = Box::new(Gated { inner: engine.writers.remove(0), open: opened, begun: begin });
    let served = Served::bounded(Engine { writers: vec![writer], ..engine }, None, limits, bounds).await;
    (served, Gate { open, begun })
}
