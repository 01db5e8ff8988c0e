//! Encodes texts of persons apart from the rest of a value, so that they can be erased later.
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

use super::{Codec, DecodeError};

/// Stands in the first run for a text in the second.
const MARK: u8 = 1;
/// How an erased text is written: a length, and a control character that no text has.
pub(in crate::ledger) const ERASED_TEXT: &[u8] = &[1, 0];
/// How an erased map of texts is written: one pair of erased texts, whatever it had.
pub(super) const ERASED_MAP: &[u8] = &[1, 1, 0, 1, 0];

/// Writes values.
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

/// Reads values.
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

    /// The next byte.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] at the end.
    pub fn byte(&mut self) -> Result<u8, DecodeError> {
        let (first, rest) = self.bytes.split_first().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    /// The next bytes.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] where there are fewer.
    pub fn bytes(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (bytes, rest) = self.bytes.split_at_checked(length).ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(bytes)
    }

    /// The next bytes, of a number that is known.
    ///
    /// # Errors
    /// [`DecodeError::Truncated`] where there are fewer.
    pub fn chunk<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (bytes, rest) = self.bytes.split_first_chunk().ok_or(DecodeError::Truncated)?;
        self.bytes = rest;
        Ok(*bytes)
    }

    /// Checks that both runs are read to their ends.
    ///
    /// # Errors
    /// [`DecodeError::LeftOver`].
    pub fn end(&self) -> Result<(), DecodeError> {
        let is_read = self.bytes.is_empty() && !matches!(self.texts, TextSource::Separate([_, ..]));
        if is_read { Ok(()) } else { Err(DecodeError::LeftOver) }
    }

    /// Reads a text, or a map of texts; where it was erased, `erased` instead.
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

/// Appends the encoding of a whole value to `bytes`, and its texts to `words`, in their order.
pub(in crate::ledger) fn encode_split_into(value: &impl Codec, bytes: &mut Vec<u8>, words: &mut Vec<u8>) {
    let mut out = Encoder { bytes: std::mem::take(bytes), texts: Some(std::mem::take(words)) };
    value.put(&mut out);
    *bytes = out.bytes;
    // It was put in above, and nothing takes it out.
    *words = out.texts.unwrap_or_default();
}

/// Reads a whole value whose texts are where `texts` says; true where it has any inline.
///
/// # Errors
/// [`DecodeError`] where the bytes are not an encoding of `T`, or the second run has more or fewer texts than the first has marks.
pub fn decode_split<T: Codec>(bytes: &[u8], texts: TextSource<'_>) -> Result<(T, bool), DecodeError> {
    let mut input = Decoder { bytes, texts, has_inline: false };
    let value = T::take(&mut input)?;
    input.end()?;
    Ok((value, input.has_inline))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::ledger::Text;

    fn text(text: &str) -> Text {
        Text::parse(text).unwrap()
    }

    fn encode_split(value: &impl Codec) -> (Vec<u8>, Vec<u8>) {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        encode_split_into(value, &mut bytes, &mut words);
        (bytes, words)
    }

    #[test]
    fn texts_are_apart_and_the_rest_is_the_same_once_they_are_erased() {
        let value = (7_u64, (text("ann"), BTreeMap::from([(text("a"), text("1")), (text("b"), text(""))])));
        type Value = (u64, (Text, BTreeMap<Text, Text>));
        let (bytes, words) = encode_split(&value);
        assert_eq!(bytes, [7, MARK, MARK]);
        assert_eq!(words, b"\x03ann\x02\x01a\x011\x01b\0");
        assert_eq!(decode_split::<Value>(&bytes, TextSource::Separate(&words)), Ok((value, false)));
        let (erased, _) = decode_split::<Value>(&bytes, TextSource::Erased).unwrap();
        let (seven, (by, map)) = &erased;
        assert_eq!((*seven, by.as_str(), by.is_empty(), by.is_erased()), (7, "", false, true));
        assert!(map.len() == 1 && map.keys().all(Text::is_erased));
        // A later value carries it on, and a row keeps it inline.
        let (again, carried) = encode_split(&erased);
        assert_eq!(again, bytes);
        assert_eq!(
            decode_split::<Value>(&again, TextSource::Separate(&carried)),
            Ok((erased.clone(), false))
        );
        assert_eq!(super::super::decode(&super::super::encode(&erased)), Ok(erased));
    }

    #[test]
    fn words_that_do_not_fit_are_errors() {
        type Value = (Text, Text);
        let (bytes, words) = encode_split(&(text("ann"), text("bob")));
        let read = |bytes: &[u8], words: &[u8]| {
            decode_split::<Value>(bytes, TextSource::Separate(words)).unwrap_err()
        };
        assert_eq!(read(&bytes, &[]), DecodeError::Truncated);
        assert_eq!(read(&bytes, &words[..4]), DecodeError::Truncated);
        assert_eq!(read(&bytes, &[words.as_slice(), &[0]].concat()), DecodeError::LeftOver);
        assert_eq!(read(&[MARK, 2], &words), DecodeError::Range);
        assert_eq!(read(&[MARK], &words), DecodeError::Truncated);
    }
}
