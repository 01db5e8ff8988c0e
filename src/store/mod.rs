//! What a storage engine can do, in terms of the core. One engine a folder; SQL stays inside this module.
//!
//! An engine has two sides that never wait for each other. One writer task owns a [`WriteStore`]; any number of
//! readers share a [`ReadStore`].

pub mod alerts;
mod audit;
pub mod backup;
pub mod cards;
mod checks;
pub mod class_stats;
pub mod clock;
pub mod copy;
pub mod engine;
pub mod error;
pub mod figures;
pub mod gauges;
pub mod look;
pub mod memory;
mod migrations;
pub mod nets;
pub mod open;
pub mod orders;
pub mod postgres;
pub mod read_store;
pub mod recorded;
pub mod records;
pub mod signing_secret;
pub mod skew;
mod sql;
pub mod sqlite;
pub mod stamps;
pub mod stored;
pub mod tokens;
pub mod usage;
pub mod webhooks;
pub mod words;
pub mod write_store;

pub use alerts::{DefaultAlertsSet, NewDefaultAlerts, StoredDefaultAlerts};
pub use audit::{AuditStore, StoredCustomer, StoredHold, StoredLedger, StoredLot, StoredOrder, StoredWork};
pub use cards::CardsChanged;
pub use class_stats::{ClassStats, ClassStatsFilter};
pub use clock::ClockStore;
pub use copy::{CopyStore, CopyTarget};
pub use engine::{CommitNotifier, Committed, Engine, EngineClock, Isolation, Settings, Time};
pub use error::{Readable, StoreError, Unreadable};
pub use figures::Figures;
pub use gauges::Gauges;
pub use open::{
    ExclusiveLock, check_urls, confirm_clock, migrate, open, open_figures, open_for_copy, open_to_check,
    open_to_read, shown_url, wal_bytes,
};
pub use orders::{KeptOrder, OrderState, OrderStore, OrderTx, OrdersMark, Room, StorefrontRoom, WithPayload};
pub use read_store::{At, HoldFilter, LotFilter, OwnedLot, Page, READ_BYTES_MAX, ReadStore, StoreInfo};
pub use recorded::{Ledger, Position, Recorded};
pub use records::{AuditRecord, RecordBody, RecordFilter, RecordKind, RecordRoom, RecordStore, RecordTx};
pub use tokens::{StoredToken, TokenBody, TokenCounts, TokenStore, TokenTx};
pub use words::Erased;
pub use write_store::{LedgerCreated, NewLedger, WriteStore};
