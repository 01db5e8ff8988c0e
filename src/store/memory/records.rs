//! The audit log in the reference engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::{Mutex, OwnedMutexGuard};
use uuid::Uuid;

use crate::ledger::Timestamp;
use crate::ledger::codec::encode;
use crate::store::StoreError;
use crate::store::records::{AuditRecord, RecordBody, RecordFilter, RecordRoom, RecordStore, RecordTx};

type Rows = BTreeMap<Uuid, RecordBody>;

/// Records; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct MemoryRecords(Arc<Mutex<Rows>>);

/// A transaction: what is added and removed once it commits.
struct RecordChanges {
    added: Vec<AuditRecord>,
    removed: Vec<Uuid>,
    home: OwnedMutexGuard<Rows>,
}

impl MemoryRecords {
    /// Records after an id, oldest first.
    pub async fn stored(&self, after: Option<Uuid>, limit: usize) -> Vec<AuditRecord> {
        let rows = self.0.lock().await;
        let later = rows.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        later.take(limit).map(|(id, body)| AuditRecord { id: *id, body: body.clone() }).collect()
    }
}

fn room_of<'r>(bodies: impl Iterator<Item = &'r RecordBody>) -> RecordRoom {
    let mut room = RecordRoom::default();
    for body in bodies {
        room.records = room.records.saturating_add(1);
        room.bytes = room.bytes.saturating_add(u64::try_from(encode(body).len()).unwrap_or(u64::MAX));
    }
    room
}

#[async_trait]
impl RecordStore for MemoryRecords {
    async fn records(
        &self,
        filter: &RecordFilter,
        before: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<AuditRecord>, StoreError> {
        let (first, end) = filter.ids(before);
        let wanted = |(_, body): &(&Uuid, &RecordBody)| match (&filter.subject, filter.kind) {
            (Some(subject), _) => body.subject() == Some(subject.0.as_str()),
            (None, Some(kind)) => body.kind == kind,
            (None, None) => true,
        };
        let rows = self.0.lock().await;
        if first >= end {
            return Ok(Vec::new());
        }
        let found = rows.range(first..end).rev().filter(wanted).take(limit);
        Ok(found.map(|(id, body)| AuditRecord { id: *id, body: body.clone() }).collect())
    }

    async fn room(&self) -> Result<RecordRoom, StoreError> {
        Ok(room_of(self.0.lock().await.values()))
    }

    async fn begin(&self, _now: Timestamp) -> Result<Box<dyn RecordTx>, StoreError> {
        let home = Mutex::lock_owned(Arc::clone(&self.0)).await;
        Ok(Box::new(RecordChanges { added: Vec::new(), removed: Vec::new(), home }))
    }
}

#[async_trait]
impl RecordTx for RecordChanges {
    async fn add(&mut self, records: &[AuditRecord]) -> Result<(), StoreError> {
        self.added.extend_from_slice(records);
        Ok(())
    }

    async fn prune(
        &mut self,
        before: Uuid,
        limit: usize,
        but_changes: bool,
    ) -> Result<RecordRoom, StoreError> {
        let may_go = |body: &RecordBody| !(but_changes && body.kind.is_change());
        let older = self.home.range(..before).filter(|(_, body)| may_go(body));
        let oldest: Vec<Uuid> = older.take(limit).map(|(id, _)| *id).collect();
        let room = room_of(oldest.iter().filter_map(|id| self.home.get(id)));
        self.removed.extend(oldest);
        Ok(room)
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        for id in &self.removed {
            self.home.remove(id);
        }
        for AuditRecord { id, body } in self.added {
            self.home.entry(id).or_insert(body);
        }
        Ok(())
    }
}
