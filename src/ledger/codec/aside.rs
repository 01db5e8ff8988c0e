//! Texts of persons beside what the journal keeps.
//!
//! # What it is
//! A posting's texts (who, why, notes, names, contacts, metadata) are written into a second run of bytes. The first one
//! keeps a mark for each: that something was said. So the second can be erased, and the first, with its checksum, stays.
//!
//! # Invariants
//! - The mark is the same whether the text is there, was erased with its posting, or had been erased before and was
//!   carried on by a later posting: encoding a decoded value gives the same bytes.
//! - An erased text is [erased](crate::ledger::Text::is_erased): it reads as empty, and still says that something was said.
//! - Fingerprints, and what is rewritten in place (rows of holds, profiles, customers), keep texts inline.

use super::{Codec, DecodeError};

/// Stands in the journal for what lies aside.
const MARK: u8 = 1;
/// How an erased text is written: a length, and a control character that no text has.
pub(in crate::ledger) const ERASED_TEXT: &[u8] = &[1, 0];
/// How an erased map of texts is written: one pair of erased texts, whatever it had.
pub(super) const ERASED_MAP: &[u8] = &[1, 1, 0, 1, 0];

/// Where a value is written.
#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    /// What lies aside; `None` where texts are written inline.
    aside: Option<Vec<u8>>,
}

impl Encoder {
    /// Texts stand where their fields are.
    #[must_use]
    pub const fn inline(bytes: Vec<u8>) -> Self {
        Self { bytes, aside: None }
    }

    /// Appends a byte.
    pub fn push(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    /// Appends bytes.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// All that was written, but for what lies aside.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes what may have to be forgotten.
    pub(in crate::ledger) fn aside(&mut self, put: impl FnOnce(&mut Self)) {
        match self.aside.take() {
            None => put(self),
            Some(words) => {
                self.bytes.push(MARK);
                let mut inner = Self::inline(words);
                put(&mut inner);
                self.aside = Some(inner.bytes);
            }
        }
    }
}

/// Where the texts of a value are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextSource<'a> {
    /// Where their fields are.
    Inline,
    /// In bytes of their own.
    Beside(&'a [u8]),
    /// Nowhere any more.
    Erased,
}

/// What a value is read from.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    bytes: &'a [u8],
    said: TextSource<'a>,
    has_inline: bool,
}

impl<'a> Decoder<'a> {
    /// Texts stand where their fields are.
    #[must_use]
    pub const fn inline(bytes: &'a [u8]) -> Self {
        Self { bytes, said: TextSource::Inline, has_inline: false }
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

    /// Nothing may be left, aside neither.
    ///
    /// # Errors
    /// [`DecodeError::LeftOver`].
    pub fn end(&self) -> Result<(), DecodeError> {
        let is_read = self.bytes.is_empty() && !matches!(self.said, TextSource::Beside([_, ..]));
        if is_read { Ok(()) } else { Err(DecodeError::LeftOver) }
    }

    /// Reads what may have been forgotten; `erased` is read in its place then.
    pub(in crate::ledger) fn aside<T>(
        &mut self,
        erased: &'static [u8],
        take: impl FnOnce(&mut Decoder<'_>) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        let words = match self.said {
            TextSource::Inline => {
                self.has_inline = true;
                return take(self);
            }
            TextSource::Beside(words) => words,
            TextSource::Erased => erased,
        };
        if self.byte()? != MARK {
            return Err(DecodeError::Range);
        }
        let mut inner = Decoder::inline(words);
        let value = take(&mut inner)?;
        if let TextSource::Beside(words) = &mut self.said {
            *words = inner.bytes;
        }
        Ok(value)
    }
}

/// Appends the encoding of a whole value to `bytes`, and its texts to `words`, in their order.
pub(in crate::ledger) fn encode_aside_into(value: &impl Codec, bytes: &mut Vec<u8>, words: &mut Vec<u8>) {
    let mut out = Encoder { bytes: std::mem::take(bytes), aside: Some(std::mem::take(words)) };
    value.put(&mut out);
    *bytes = out.bytes;
    *words = out.aside.unwrap_or_default();
}

/// Reads a whole value whose texts are where `said` says; true where it has any inline.
///
/// # Errors
/// [`DecodeError`] where the bytes are not an encoding of `T`, or more or fewer texts are aside than it marks.
pub fn decode_aside<T: Codec>(bytes: &[u8], said: TextSource<'_>) -> Result<(T, bool), DecodeError> {
    let mut input = Decoder { bytes, said, has_inline: false };
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

    fn encode_aside(value: &impl Codec) -> (Vec<u8>, Vec<u8>) {
        let (mut bytes, mut words) = (Vec::new(), Vec::new());
        encode_aside_into(value, &mut bytes, &mut words);
        (bytes, words)
    }

    #[test]
    fn texts_lie_aside_and_the_rest_is_the_same_once_they_are_erased() {
        let value = (7_u64, (text("ann"), BTreeMap::from([(text("a"), text("1")), (text("b"), text(""))])));
        type Value = (u64, (Text, BTreeMap<Text, Text>));
        let (bytes, words) = encode_aside(&value);
        assert_eq!(bytes, [7, MARK, MARK]);
        assert_eq!(words, b"\x03ann\x02\x01a\x011\x01b\0");
        assert_eq!(decode_aside::<Value>(&bytes, TextSource::Beside(&words)), Ok((value, false)));
        let (erased, _) = decode_aside::<Value>(&bytes, TextSource::Erased).unwrap();
        let (seven, (by, map)) = &erased;
        assert_eq!((*seven, by.as_str(), by.is_empty(), by.is_erased()), (7, "", false, true));
        assert!(map.len() == 1 && map.keys().all(Text::is_erased));
        // A later value carries it on, and a row keeps it inline.
        let (again, carried) = encode_aside(&erased);
        assert_eq!(again, bytes);
        assert_eq!(decode_aside::<Value>(&again, TextSource::Beside(&carried)), Ok((erased.clone(), false)));
        assert_eq!(super::super::decode(&super::super::encode(&erased)), Ok(erased));
    }

    #[test]
    fn words_that_do_not_fit_are_errors() {
        type Value = (Text, Text);
        let (bytes, words) = encode_aside(&(text("ann"), text("bob")));
        let read =
            |bytes: &[u8], words: &[u8]| decode_aside::<Value>(bytes, TextSource::Beside(words)).unwrap_err();
        assert_eq!(read(&bytes, &[]), DecodeError::Truncated);
        assert_eq!(read(&bytes, &words[..4]), DecodeError::Truncated);
        assert_eq!(read(&bytes, &[words.as_slice(), &[0]].concat()), DecodeError::LeftOver);
        assert_eq!(read(&[MARK, 2], &words), DecodeError::Range);
        assert_eq!(read(&[MARK], &words), DecodeError::Truncated);
    }
}
