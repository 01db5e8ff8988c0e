//! The trait of values with an encoding, and the encodings of numbers, texts and collections.

use std::collections::BTreeMap;
use std::sync::Arc;

use uuid::Uuid;

use super::erasable::{Decoder, ERASED_MAP, Encoder, TextSource};
use super::error::DecodeError;

/// A value with one encoding.
pub trait Codec: Sized + PartialEq {
    /// True for texts of persons, which can be erased; a map with such keys is erased as a whole.
    const IS_ERASABLE: bool = false;

    fn put(&self, out: &mut Encoder);

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError>;

    /// What a field that was left out reads as; `None` where it must be there.
    fn left_out() -> Option<Self> {
        None
    }

    /// True where a record leaves the field out.
    fn is_default(&self) -> bool {
        Self::left_out().is_some_and(|default| *self == default)
    }
}

/// The encoding of a whole value, texts of persons included.
pub fn encode(value: &impl Codec) -> Vec<u8> {
    let mut out = Encoder::inline(Vec::with_capacity(96));
    value.put(&mut out);
    out.into_bytes()
}

/// Replaces the content of `out` by the encoding of a whole value, so that many values can share one buffer.
pub fn encode_into(value: &impl Codec, out: &mut Vec<u8>) {
    out.clear();
    let mut encoder = Encoder::inline(std::mem::take(out));
    value.put(&mut encoder);
    *out = encoder.into_bytes();
}

/// Reads a whole value; nothing may follow it.
pub fn decode<T: Codec>(bytes: &[u8]) -> Result<T, DecodeError> {
    let mut input = Decoder::inline(bytes);
    let value = T::take(&mut input)?;
    input.end()?;
    Ok(value)
}

pub(in crate::ledger) fn take_text<'a>(input: &mut Decoder<'a>) -> Result<&'a str, DecodeError> {
    let length = usize::try_from(u64::take(input)?).map_err(|_| DecodeError::Range)?;
    std::str::from_utf8(input.bytes(length)?).map_err(|_| DecodeError::Text)
}

fn put_length(length: usize, out: &mut Encoder) {
    u64::try_from(length).unwrap_or(u64::MAX).put(out);
}

pub(in crate::ledger) fn put_bytes(bytes: &[u8], out: &mut Encoder) {
    put_length(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Appends how many values there are, then the values.
pub(in crate::ledger) fn put_all<'a, T: Codec + 'a>(
    values: impl ExactSizeIterator<Item = &'a T>,
    out: &mut Encoder,
) {
    put_length(values.len(), out);
    values.for_each(|value| value.put(out));
}

impl Codec for u64 {
    fn put(&self, out: &mut Encoder) {
        let mut rest = *self;
        loop {
            let low = u8::try_from(rest & 0x7f).unwrap_or(0x7f);
            rest >>= 7;
            if rest == 0 {
                out.push(low);
                return;
            }
            out.push(low | 0x80);
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let mut value: Self = 0;
        for shift in (0..64).step_by(7) {
            let byte = input.byte()?;
            let low = Self::from(byte & 0x7f);
            if shift == 63 && low > 1 {
                return Err(DecodeError::Range);
            }
            value |= low << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(DecodeError::Range)
    }

    fn left_out() -> Option<Self> {
        Some(0)
    }
}

impl Codec for i64 {
    fn put(&self, out: &mut Encoder) {
        ((*self << 1) ^ (*self >> 63)).cast_unsigned().put(out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let raw = u64::take(input)?;
        let sign = if raw & 1 == 0 { 0 } else { -1 };
        Ok((raw >> 1).cast_signed() ^ sign)
    }

    fn left_out() -> Option<Self> {
        Some(0)
    }
}

impl Codec for u32 {
    fn put(&self, out: &mut Encoder) {
        u64::from(*self).put(out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Self::try_from(u64::take(input)?).map_err(|_| DecodeError::Range)
    }

    fn left_out() -> Option<Self> {
        Some(0)
    }
}

impl Codec for bool {
    fn put(&self, out: &mut Encoder) {
        out.push(u8::from(*self));
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Range),
        }
    }

    fn left_out() -> Option<Self> {
        Some(false)
    }
}

impl Codec for Uuid {
    fn put(&self, out: &mut Encoder) {
        out.extend_from_slice(self.as_bytes());
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.chunk().map(Self::from_bytes)
    }
}

impl Codec for Box<str> {
    fn put(&self, out: &mut Encoder) {
        put_bytes(self.as_bytes(), out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        take_text(input).map(Self::from)
    }
}

impl<T: Codec> Codec for Option<T> {
    fn put(&self, out: &mut Encoder) {
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::take(input).map(Some)
    }

    fn left_out() -> Option<Self> {
        Some(None)
    }
}

impl<T: Codec> Codec for Arc<T> {
    fn put(&self, out: &mut Encoder) {
        T::put(self, out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        T::take(input).map(Self::new)
    }

    fn left_out() -> Option<Self> {
        T::left_out().map(Self::new)
    }

    // Compared without allocating a shared default.
    fn is_default(&self) -> bool {
        T::is_default(self)
    }
}

impl<T: Codec> Codec for Vec<T> {
    fn put(&self, out: &mut Encoder) {
        put_all(self.iter(), out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let count = u64::take(input)?;
        // Grown as it is read: a wrong count must not reserve memory.
        let mut values = Self::new();
        for _ in 0..count {
            values.push(T::take(input)?);
        }
        Ok(values)
    }

    fn left_out() -> Option<Self> {
        Some(Self::new())
    }
}

impl<K: Codec, V: Codec> Codec for (K, V) {
    fn put(&self, out: &mut Encoder) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Ok((K::take(input)?, V::take(input)?))
    }
}

impl<K: Codec + Ord, V: Codec> Codec for BTreeMap<K, V> {
    const IS_ERASABLE: bool = K::IS_ERASABLE;

    fn put(&self, out: &mut Encoder) {
        let put = |out: &mut Encoder| {
            put_length(self.len(), out);
            for (key, value) in self {
                key.put(out);
                value.put(out);
            }
        };
        if Self::IS_ERASABLE { out.erasable(put) } else { put(out) }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        let take = |input: &mut Decoder<'_>| Ok(Vec::<(K, V)>::take(input)?.into_iter().collect());
        if Self::IS_ERASABLE { input.erasable(ERASED_MAP, take) } else { take(input) }
    }

    fn left_out() -> Option<Self> {
        Some(Self::new())
    }
}

/// Appends the encoding of a whole value to `bytes`, and its texts to `words`, in their order.
pub(in crate::ledger) fn encode_split_into(value: &impl Codec, bytes: &mut Vec<u8>, words: &mut Vec<u8>) {
    let mut out = Encoder::split(std::mem::take(bytes), std::mem::take(words));
    value.put(&mut out);
    (*bytes, *words) = out.into_runs();
}

/// Reads a whole value whose texts are where `texts` says; true where any of them is inline.
pub fn decode_split<T: Codec>(bytes: &[u8], texts: TextSource<'_>) -> Result<(T, bool), DecodeError> {
    let mut input = Decoder::split(bytes, texts);
    let value = T::take(&mut input)?;
    input.end()?;
    Ok((value, input.has_inline()))
}

#[cfg(test)]
mod tests {
    use super::super::erasable::MARK;
    use super::*;
    use crate::ledger::{IncidentId, Text};

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            assert_eq!(decode::<u64>(&encode(&value)), Ok(value));
        }
        for value in [0, 1, -1, 63, -64, i64::MAX, i64::MIN] {
            assert_eq!(decode::<i64>(&encode(&value)), Ok(value));
        }
    }

    #[test]
    fn broken_bytes_are_errors_not_panics() {
        assert_eq!(decode::<u64>(&[0x80]), Err(DecodeError::Truncated));
        assert_eq!(decode::<u64>(&[0xff; 10]), Err(DecodeError::Range));
        assert_eq!(decode::<u64>(&[1, 1]), Err(DecodeError::LeftOver));
        assert_eq!(decode::<Text>(&[5, b'a']), Err(DecodeError::Truncated));
        assert_eq!(decode::<IncidentId>(&[1, b' ']), Err(DecodeError::Text));
        assert_eq!(decode::<Vec<u64>>(&[0xff, 0xff, 0xff, 0x7f, 1]), Err(DecodeError::Truncated));
    }

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
        // An erased text survives being encoded again, separately or inline.
        let (again, carried) = encode_split(&erased);
        assert_eq!(again, bytes);
        assert_eq!(
            decode_split::<Value>(&again, TextSource::Separate(&carried)),
            Ok((erased.clone(), false))
        );
        assert_eq!(decode(&encode(&erased)), Ok(erased));
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
