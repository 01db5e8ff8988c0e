//! The key of a posting: its ledger and its position in one number, so that rows are appended and a feed is a range.

use crate::ledger::LedgerNo;
use crate::store::error::{StoreError, damaged};
use crate::store::recorded::Position;
use crate::store::stored::ledger_no_of;

/// The low bits of a key are the position; the ledger's number is above them.
const POSITION_BITS: u32 = 40;
pub const POSITION_MAX: u64 = (1 << POSITION_BITS) - 1;

/// The key of the posting at `position`.
///
/// # Errors
/// [`StoreError::Damaged`] for a position that does not fit into a key.
pub fn key_of(ledger: LedgerNo, position: u64) -> Result<i64, StoreError> {
    if position >= POSITION_MAX {
        return Err(damaged("the ledger has no positions left"));
    }
    Ok((i64::from(ledger.get()) << POSITION_BITS) | position.cast_signed())
}

/// The ledger and the position in a key.
///
/// # Errors
/// [`StoreError::Damaged`] for a key of no possible ledger.
pub fn place_of(key: i64) -> Result<(LedgerNo, Position), StoreError> {
    Ok((ledger_no_of(key >> POSITION_BITS)?, Position(key.cast_unsigned() & POSITION_MAX)))
}
