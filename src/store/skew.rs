//! Pointers back along a customer's postings, such that any earlier one is at most 3 log2(n) reads away.
//!
//! # What it is
//! Posting `n` points to posting `n - 1` and to posting [`jump`]`(n)`. The jumps are those of skew-binary numbers
//! (Myers, "An applicative random-access stack", 1983). `n` is a sum of weights 2^k - 1, largest first. Its jump
//! leaves out the last weight.
//!
//! # Invariants
//! - The last sequence of the customer alone determines which sequences a [`Path`] contains.
//! - The keys of a path rise.
//!
//! # Failure
//! A stored path is refused where its keys do not rise, or where their number does not fit the sequence.
//!
//! # Cost
//! An appended posting finds both pointers in the path of the one before it, so appending reads nothing. A path has
//! about log2(n) keys.

use crate::ledger::codec::{Codec, DecodeError, Decoder, Encoder};

/// The sequence that posting `sequence` jumps to; 0 for none.
pub fn jump(sequence: u64) -> u64 {
    let mut rest = sequence;
    while rest > 0 {
        let weight = (1_u64 << rest.saturating_add(1).ilog2()) - 1;
        if weight >= rest {
            return sequence - rest;
        }
        rest -= weight;
    }
    0
}

/// The two pointers of a posting, as keys of rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pointers {
    /// The key of the customer's posting before it.
    pub previous: Option<i64>,
    /// The key of the posting that [`jump`] names.
    pub jump: Option<i64>,
}

/// The keys of a customer's last posting, of its jump, of that one's jump, and so on, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Path {
    keys: Vec<i64>,
    sequence: u64,
}

impl Path {
    /// The number of the customer's postings.
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    pub fn last(&self) -> Option<i64> {
        self.keys.last().copied()
    }

    /// Adds the next posting and returns its pointers.
    pub fn push(&mut self, key: i64) -> Pointers {
        let previous = self.last();
        let sequence = self.sequence.saturating_add(1);
        if jump(sequence) != self.sequence {
            // The last two weights are equal and become one with the new posting. Its jump goes to what is before
            // both.
            self.keys.truncate(self.keys.len().saturating_sub(2));
        }
        let jump = self.last();
        self.keys.push(key);
        self.sequence = sequence;
        Pointers { previous, jump }
    }

    /// The stored form: the oldest key, then the differences.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode_into(&mut out);
        out
    }

    /// Replaces `out` by the stored form.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.clear();
        let mut encoder = Encoder::inline(std::mem::take(out));
        let mut before = 0;
        for key in &self.keys {
            key.wrapping_sub(before).cast_unsigned().put(&mut encoder);
            before = *key;
        }
        *out = encoder.into_bytes();
    }

    /// Decodes the stored form of the path of a customer with this last sequence.
    ///
    /// # Errors
    /// [`DecodeError`] where the keys do not rise, or their number does not fit the sequence.
    pub fn decode(bytes: &[u8], sequence: u64) -> Result<Self, DecodeError> {
        let mut keys = Vec::with_capacity(32);
        let mut before = 0_i64;
        let mut input = Decoder::inline(bytes);
        while input.end().is_err() {
            let step = i64::try_from(u64::take(&mut input)?).map_err(|_| DecodeError::Range)?;
            if step == 0 {
                return Err(DecodeError::Range);
            }
            before = before.checked_add(step).ok_or(DecodeError::Range)?;
            keys.push(before);
        }
        let mut length = 0_usize;
        let mut rest = sequence;
        while rest > 0 {
            length = length.saturating_add(1);
            rest = jump(rest);
        }
        if keys.len() == length { Ok(Self { keys, sequence }) } else { Err(DecodeError::Truncated) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The pointers of postings 1..=last with rising keys, and the path after them.
    fn chain(last: u64, spacing: impl Fn(u64) -> i64) -> (Vec<(i64, Pointers)>, Path) {
        let mut path = Path::default();
        let mut key = 0;
        let rows = (1..=last)
            .map(|n| {
                key += spacing(n);
                (key, path.push(key))
            })
            .collect();
        (rows, path)
    }

    #[test]
    fn jumps_are_those_of_skew_binary_numbers() {
        let jumps: Vec<u64> = (0..=15).map(jump).collect();
        assert_eq!(jumps, [0, 0, 1, 0, 3, 4, 3, 0, 7, 8, 7, 10, 11, 10, 7, 0]);
    }

    #[test]
    fn pointers_are_the_keys_of_the_previous_posting_and_of_the_jump() {
        let (rows, _) = chain(5_000, |n| i64::try_from(n % 7 + 1).unwrap());
        let key_of = |n: u64| (n > 0).then(|| rows[usize::try_from(n).unwrap() - 1].0);
        for (n, (_, pointers)) in (1_u64..).zip(&rows) {
            assert_eq!(pointers.previous, key_of(n - 1), "{n}");
            assert_eq!(pointers.jump, key_of(jump(n)), "{n}");
        }
    }

    #[test]
    fn a_path_stays_short() {
        let (_, path) = chain(100_000, |_| 1);
        assert!(path.keys.len() <= 18 && path.encode().len() <= 50, "{path:?}");
    }

    #[test]
    fn a_damaged_path_is_an_error() {
        let (_, path) = chain(10, |_| 3);
        let bytes = path.encode();
        assert_eq!(Path::decode(&bytes, 10), Ok(path));
        assert!(Path::decode(&bytes, 11).is_err());
        assert!(Path::decode(&bytes[1..], 10).is_err());
        assert!(Path::decode(&[0], 1).is_err());
        assert!(Path::decode(&[0x80], 1).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig {
            rng_seed: proptest::test_runner::RngSeed::Fixed(20_261_121),
            failure_persistence: None,
            ..ProptestConfig::default()
        })]

        #[test]
        fn every_earlier_posting_is_near(last in 1_u64..1_000_000, at in 0.0_f64..1.0) {
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let target = ((last as f64 * at) as u64).clamp(1, last);
            let mut here = last;
            let mut reads = 0;
            while here != target {
                here = if jump(here) >= target { jump(here) } else { here - 1 };
                reads += 1;
            }
            prop_assert!(reads <= 3 * (last + 1).ilog2(), "{reads} reads from {last} to {target}");
        }

        #[test]
        fn a_path_comes_back_and_goes_on(last in 0_u64..3_000, spacing in 1_i64..1_000_000) {
            let (_, mut path) = chain(last, |_| spacing);
            let mut read = Path::decode(&path.encode(), last).unwrap();
            prop_assert_eq!(&read, &path);
            let next = path.last().unwrap_or(0) + 1;
            prop_assert_eq!(read.push(next), path.push(next));
        }
    }
}
