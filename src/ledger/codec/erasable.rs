//! Encodes texts of persons separately from the rest of a value, so that they can be erased later.
//!
//! # What it is
//! A value is encoded into two runs of bytes. The second has the texts of persons: names, notes, reasons, contacts,
//! metadata. The first has everything else, with a mark in the place of each text. Erasing deletes the second run; the
//! first stays as it is, and so does its checksum.
//!
//! # Invariants
//! - Encoding a decoded value gives the same first run, whether its texts are there or erased.
//! - An erased text reads as empty and is not [`Text::is_empty`](crate::ledger::Text::is_empty).
//! - Fingerprints, and rows that are rewritten in place (holds, profiles, customers), are one run with texts inline.
//!
//! # Failure
//! Decoding fails where the second run has more or fewer texts than the first has marks.
//!
//! # Cost
//! A text takes one byte more than inline. Nothing is copied but the bytes of the value.

use super::error::DecodeError;

/// Stands in the first run for a text in the second.
pub(super) const MARK: u8 = 1;
/// How an erased text is written: a length, and a control character that no text has.
pub(in crate::ledger) const ERASED_TEXT: &[u8] = &[1, 0];
/// How an erased map of texts is written: one pair of erased texts, however many pairs it had.
pub(super) const ERASED_MAP: &[u8] = &[1, 1, 0, 1, 0];

#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    /// The second run; `None` where texts are written inline.
    texts: Option<Vec<u8>>,
}

impl Encoder {
    /// Writes texts where their fields are.
    pub const fn inline(bytes: Vec<u8>) -> Self {
        Self { bytes, texts: None }
    }

    /// Writes texts into a second run.
    pub(super) const fn split(bytes: Vec<u8>, texts: Vec<u8>) -> Self {
        Self { bytes, texts: Some(texts) }
    }

    /// Both runs; the second is empty where texts are written inline.
    pub(super) fn into_runs(self) -> (Vec<u8>, Vec<u8>) {
        (self.bytes, self.texts.unwrap_or_default())
    }

    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The first run.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes a text, or a map of texts, that may have to be erased.
    pub(in crate::ledger) fn erasable(&mut self, put: impl FnOnce(&mut Self)) {
        match self.texts.take() {
            None => put(self),
            Some(words) => {
                self.bytes.push(MARK);
                let mut inner = Self::inline(words);
                put(&mut inner);
                self.texts = Some(inner.bytes);
            }
        }
    }
}

/// Where a decoder finds the texts of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSource<'a> {
    /// Where their fields are.
    Inline,
    /// In a second run.
    Separate(&'a [u8]),
    /// Nowhere: the second run was erased.
    Erased,
}

#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    texts: TextSource<'a>,
    has_inline: bool,
}

impl<'a> Decoder<'a> {
    /// Reads texts where their fields are.
    pub const fn inline(bytes: &'a [u8]) -> Self {
        Self { bytes, texts: TextSource::Inline, has_inline: false }
    }

    /// Reads texts where `texts` says.
    pub(super) const fn split(bytes: &'a [u8], texts: TextSource<'a>) -> Self {
        Self { bytes, texts, has_inline: false }
    }

    /// True where a text was read inline.
    pub(super) const fn has_inline(&self) -> bool {
        self.has_inline
    }

    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(bytes)
    }

    pub fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*bytes)
    }

    /// Checks that both runs are read to their ends.
    pub fn end(&self) -> Result<(), DecodeError> {
        let is_read = self.bytes.is_empty() && !matches!(self.texts, TextSource::Separate([_, ..]));
        if is_read { Ok(()) } else { Err(DecodeError::LeftOver) }
    }

    /// Reads a text, or a map of texts; where it was erased, reads the bytes `erased` in its place.
    pub(in crate::ledger) fn erasable<T>(
        &mut self,
        erased: &'static [u8],
        take: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let words = match self.texts {
            TextSource::Inline => {
                self.has_inline = true;
                return take(self);
            }
            TextSource::Separate(words) => words,
            TextSource::Erased => erased,
        };
        if self.byte()? != MARK {
            return Err(DecodeError::Range);
        }
        let mut inner = Decoder::inline(words);
        let value = take(&mut inner)?;
        if let TextSource::Separate(words) = &mut self.texts {
            *words = inner.bytes;
        }
        Ok(value)
    }
}
