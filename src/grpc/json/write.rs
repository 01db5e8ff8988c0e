//! Writes the encoding of a message as JSON. A field that the encoding does not have is not written, so defaults are
//! left out.

use super::table::{Field, Json, Kind, Place, Times};
use super::text;

impl Json {
    /// Writes an encoded message; `None` if the encoding is malformed. Then a part may be written already.
    pub fn write(&self, place: Place, encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.write_message(place.0, encoded, out)
    }

    fn write_message(&self, place: usize, mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let written = self.types.get(place)?;
        let mut last: Option<&Field> = None;
        out.push(b'{');
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let (number, wire) = (tag >> 3, tag & 7);
            let field = written.numbered(number)?;
            match last {
                // The elements of a list follow each other in the encoding.
                Some(before) if before.number == field.number && field.times != Times::Once => out.push(b','),
                before => {
                    if let Some(before) = before {
                        out.extend_from_slice(before.times.closing());
                        out.push(b',');
                    }
                    out.extend_from_slice(field.key.as_bytes());
                    out.extend_from_slice(field.times.opening());
                }
            }
            last = Some(field);
            match (field.times, &field.kind, wire) {
                (Times::Map, Kind::Message(entry), 2) => {
                    self.write_entry(*entry, delimited(&mut bytes)?, out)?;
                }
                (Times::Map, _, _) => return None,
                (Times::Once | Times::List, kind, _) => self.write_value(kind, wire, &mut bytes, out)?,
            }
        }
        if let Some(last) = last {
            out.extend_from_slice(last.times.closing());
        }
        out.push(b'}');
        Some(())
    }

    /// Writes an entry of a map; a missing key or value has its default.
    fn write_entry(&self, place: usize, mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let written = self.types.get(place)?;
        let value_field = written.numbered(2)?;
        let (mut key, mut value) = ("", None);
        while !bytes.is_empty() {
            match varint(&mut bytes)? {
                0x0a => key = std::str::from_utf8(delimited(&mut bytes)?).ok()?,
                tag if tag >> 3 == 2 => {
                    let mut json = Vec::new();
                    self.write_value(&value_field.kind, tag & 7, &mut bytes, &mut json)?;
                    value = Some(json);
                }
                _ => return None,
            }
        }
        serde_json::to_writer(&mut *out, key).ok()?;
        out.push(b':');
        match (value, &value_field.kind) {
            (Some(value), _) => out.extend_from_slice(&value),
            (None, Kind::Text) => out.extend_from_slice(b"\"\""),
            (None, Kind::Message(_)) => out.extend_from_slice(b"{}"),
            (None, Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_)) => {
                write_number(&value_field.kind, 0, out)?;
            }
            (None, Kind::Timestamp | Kind::Duration | Kind::FieldMask) => return None,
        }
        Some(())
    }

    fn write_value(&self, kind: &Kind, wire: u64, bytes: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
        match (kind, wire) {
            (Kind::Text, 2) => {
                let text = std::str::from_utf8(delimited(bytes)?).ok()?;
                serde_json::to_writer(out, text).ok()
            }
            (Kind::Message(place), 2) => self.write_message(*place, delimited(bytes)?, out),
            (Kind::Timestamp, 2) => {
                let time: prost_types::Timestamp = prost::Message::decode(delimited(bytes)?).ok()?;
                serde_json::to_writer(out, &time.to_string()).ok()
            }
            (Kind::Duration, 2) => {
                let duration: prost_types::Duration = prost::Message::decode(delimited(bytes)?).ok()?;
                serde_json::to_writer(out, &duration.to_string()).ok()
            }
            (Kind::FieldMask, 2) => {
                let mask: prost_types::FieldMask = prost::Message::decode(delimited(bytes)?).ok()?;
                let paths: Vec<String> = mask.paths.iter().map(|path| text::camel(path)).collect();
                serde_json::to_writer(out, &paths.join(",")).ok()
            }
            // Lists of numbers are packed.
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_), 2) => {
                let mut packed = delimited(bytes)?;
                write_number(kind, varint(&mut packed)?, out)?;
                while !packed.is_empty() {
                    out.push(b',');
                    write_number(kind, varint(&mut packed)?, out)?;
                }
                Some(())
            }
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_), 0) => {
                write_number(kind, varint(bytes)?, out)
            }
            (Kind::Text | Kind::Timestamp | Kind::Duration | Kind::FieldMask | Kind::Message(_), _) => None,
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_), _) => None,
        }
    }
}

impl Times {
    fn opening(self) -> &'static [u8] {
        match self {
            Self::Once => b"",
            Self::List => b"[",
            Self::Map => b"{",
        }
    }

    fn closing(self) -> &'static [u8] {
        match self {
            Self::Once => b"",
            Self::List => b"]",
            Self::Map => b"}",
        }
    }
}

fn write_number(kind: &Kind, value: u64, out: &mut Vec<u8>) -> Option<()> {
    // 32-bit numbers are encoded with their sign extended to 64 bits.
    let signed = value.cast_signed();
    match kind {
        Kind::Bool => serde_json::to_writer(out, &(value != 0)).ok(),
        Kind::Int32 => serde_json::to_writer(out, &signed).ok(),
        Kind::Int64 => serde_json::to_writer(out, &signed.to_string()).ok(),
        Kind::Enum(names) => match names.values.iter().find(|(number, _)| i64::from(*number) == signed) {
            Some((_, name)) => serde_json::to_writer(out, name).ok(),
            None => serde_json::to_writer(out, &signed).ok(),
        },
        Kind::Text | Kind::Timestamp | Kind::Duration | Kind::FieldMask | Kind::Message(_) => None,
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}

fn delimited<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint(bytes)?).ok()?;
    let (taken, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(taken)
}
