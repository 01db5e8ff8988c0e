//! The number of the rules that a posting was decided by.
//!
//! # What it is
//! Rules of the product change; a posting is never decided again. So each posting and each stored calculation carries
//! the number of the rules that it was decided by. Old numbers are priced, applied and printed on receipts by the old
//! rules.
//!
//! # Invariants
//! - New postings have [`Rules::CURRENT`].
//! - Rules of an earlier number are never changed: `verify` replays old journals by them.
//! - A number of a later version cannot be read, so an older program refuses the journal instead of misreading it.

use super::codec::{Codec, DecodeError, Decoder, Encoder};

/// The rules that something was decided by, in the order in which they came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rules {
    /// Of versions that stored no number. A reopened incident costs the price of its whole time, less what was charged
    /// before.
    First,
    /// A reopened incident costs `P(before + new) - P(before)`; time once decided stays decided. Debts are paid from
    /// what comes in.
    Second,
    /// What is taken back sets off no top-up; a request that fails delays the next. A threshold that fired is armed again
    /// only by a distance.
    Third,
}

impl Rules {
    /// What new postings are decided by.
    pub const CURRENT: Self = Self::Third;

    /// Its number, as stored and shown.
    pub const fn number(self) -> u8 {
        match self {
            Self::First => 1,
            Self::Second => 2,
            Self::Third => 3,
        }
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self::CURRENT
    }
}

impl Codec for Rules {
    fn put(&self, out: &mut Encoder) {
        out.push(self.number());
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            1 => Ok(Self::First),
            2 => Ok(Self::Second),
            3 => Ok(Self::Third),
            _ => Err(DecodeError::Range),
        }
    }

    /// What was stored before there were numbers has none.
    fn left_out() -> Option<Self> {
        Some(Self::First)
    }
}
