//! From JSON to the encoding of a message, with everything that is wrong told at once, each by the path of its field.
//!
//! # Bounds
//! Memory is that of what is written: at most some three times the JSON. The depth is that of the types, and what is of
//! the wrong type is skipped without being kept; lists and maps have a bound of their own; a text of the caller is quoted up
//! to 64 characters.

use std::fmt::{self, Write as _};

use prost::Message as _;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::parse::{Violation, Violations};
use super::field::{FieldValue, Found, Key};
use super::{Json, Kind, Place, text};

/// Fields that one mask of JSON names.
const MASK_PATHS_MAX: usize = 100;

/// Why a text is no message.
#[derive(Clone, Debug)]
pub enum Unreadable {
    /// It is no JSON; what is wrong, and where.
    Syntax(String),
    /// It is JSON, with fields that are not the message's or have no value of theirs.
    Fields(Violations),
}

impl Json {
    /// Reads a message from its JSON and gives its encoding.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self, place: Place, json: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut reader = Reader { json: self, path: Vec::new(), violations: Violations::default() };
        let mut out = Vec::new();
        let mut source = serde_json::Deserializer::from_slice(json);
        let root = Value { reader: &mut reader, kind: &Kind::Message(place.0), number: None, out: &mut out };
        let read = root.deserialize(&mut source).and_then(|()| source.end());
        if let Err(error) = read {
            return Err(Unreadable::Syntax(error.to_string()));
        }
        if reader.violations.count > 0 { Err(Unreadable::Fields(reader.violations)) } else { Ok(out) }
    }
}

pub(super) struct Reader<'j> {
    pub(super) json: &'j Json,
    /// Where it is.
    path: Vec<Step<'j>>,
    violations: Violations,
}

pub(super) enum Step<'j> {
    Field(&'j str),
    Index(usize),
    Key(String),
}

impl<'j> Reader<'j> {
    /// Complains about where it is, or about the field `named` there.
    pub(super) fn refuse(&mut self, named: Option<&str>, problem: impl Into<String>) {
        self.violations.count = self.violations.count.saturating_add(1);
        if self.violations.shown.len() >= Violations::SHOWN_MAX {
            return;
        }
        let mut field = String::new();
        for step in &self.path {
            // Writing to a string does not fail.
            let _ = match step {
                Step::Field(name) if field.is_empty() => write!(field, "{name}"),
                Step::Field(name) => write!(field, ".{name}"),
                Step::Index(index) => write!(field, "[{index}]"),
                Step::Key(key) => write!(field, "[\"{key}\"]"),
            };
        }
        if let Some(named) = named {
            let dot = if field.is_empty() { "" } else { "." };
            let _ = write!(field, "{dot}{named}");
        }
        if field.is_empty() {
            "the message".clone_into(&mut field);
        }
        self.violations.shown.push(Violation { field, problem: problem.into() });
    }

    pub(super) fn at<T>(&mut self, step: Step<'j>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let value = read(self);
        self.path.pop();
        value
    }
}

/// A text of the caller, as much of it as is shown.
pub(super) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// Where one value goes: to the end of `out`, behind the key of its field where it has a number.
pub(super) struct Value<'r, 'j> {
    pub(super) reader: &'r mut Reader<'j>,
    pub(super) kind: &'j Kind,
    pub(super) number: Option<u32>,
    pub(super) out: &'r mut Vec<u8>,
}

impl<'j> Value<'_, 'j> {
    fn put_varint(self, value: u64) {
        if let Some(number) = self.number {
            encode_key(number, WireType::Varint, self.out);
        }
        encode_varint(value, self.out);
    }

    pub(super) fn put_bytes(self, bytes: &[u8]) {
        if let Some(number) = self.number {
            encode_key(number, WireType::LengthDelimited, self.out);
            encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), self.out);
        }
        self.out.extend_from_slice(bytes);
    }

    fn put_whole(self, value: i64) {
        let fits = match self.kind {
            Kind::Int64 => true,
            Kind::Int32 | Kind::Enum(_) => i32::try_from(value).is_ok(),
            Kind::Text
            | Kind::Bool
            | Kind::Timestamp
            | Kind::Duration
            | Kind::FieldMask
            | Kind::Message(_) => false,
        };
        if fits { self.put_varint(value.cast_unsigned()) } else { self.refuse() }
    }

    /// Complains that it is no value of this kind.
    pub(super) fn refuse(self) {
        let wanted = match self.kind {
            Kind::Text => "must be a text".to_owned(),
            Kind::Bool => "must be true or false".to_owned(),
            Kind::Int32 => "must be a whole number of 32 bits".to_owned(),
            Kind::Int64 => "must be a whole number of 64 bits, best in quotes".to_owned(),
            Kind::Enum(of) => format!("must be a name of {}, such as \"{}\"", of.name, of.example()),
            Kind::Timestamp => "must be a time such as \"2026-01-31T12:00:00Z\"".to_owned(),
            Kind::Duration => "must be seconds such as \"1.5s\"".to_owned(),
            Kind::FieldMask => "must be the names of fields in one text, with commas".to_owned(),
            Kind::Message(_) => "must be an object".to_owned(),
        };
        self.reader.refuse(None, wanted);
    }

    fn read_message<'de, A: MapAccess<'de>>(self, place: usize, mut map: A) -> Result<(), A::Error> {
        let Self { reader, number, out, .. } = self;
        let json: &'j Json = reader.json;
        let Some(message) = json.types.get(place) else {
            return Err(A::Error::custom("the type is not known"));
        };
        let mut body = Vec::new();
        let mut given = vec![false; message.fields.len()];
        let mut chosen: Vec<&str> = Vec::new();
        while let Some(key) = map.next_key_seed(Key(message))? {
            let (place, field) = match key {
                Found::Field(place, field) => (place, field),
                Found::Unknown(name) => {
                    map.next_value::<IgnoredAny>()?;
                    reader.refuse(Some(&name), format!("is no field of {}", message.name));
                    continue;
                }
            };
            if let Some(given) = given.get_mut(place)
                && std::mem::replace(given, true)
            {
                map.next_value::<IgnoredAny>()?;
                reader.refuse(Some(&field.name), "is given twice");
                continue;
            }
            let is_set = reader.at(Step::Field(&field.name), |reader| {
                map.next_value_seed(FieldValue { reader, field, out: &mut body })
            })?;
            if let Some(oneof) = field.oneof.as_deref().filter(|_| is_set) {
                if chosen.contains(&oneof) {
                    reader.refuse(Some(&field.name), format!("is one too many: only one {oneof} may be set"));
                }
                chosen.push(oneof);
            }
        }
        Value { reader, kind: self.kind, number, out }.put_bytes(&body);
        Ok(())
    }
}

impl super::Values {
    /// A value that means something: not the first, which is the unspecified one.
    fn example(&self) -> &str {
        self.values.get(1).or(self.values.first()).map_or("", |(_, name)| name)
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.refuse();
        Ok(())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        match self.kind {
            Kind::Bool => self.put_varint(u64::from(value)),
            Kind::Text
            | Kind::Int32
            | Kind::Int64
            | Kind::Enum(_)
            | Kind::Timestamp
            | Kind::Duration
            | Kind::FieldMask
            | Kind::Message(_) => self.refuse(),
        }
        Ok(())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.put_whole(value);
        Ok(())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        match i64::try_from(value) {
            Ok(value) => self.put_whole(value),
            Err(_) => self.refuse(),
        }
        Ok(())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        match text::whole(value) {
            Some(value) => self.put_whole(value),
            None => self.refuse(),
        }
        Ok(())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        match self.kind {
            Kind::Text => self.put_bytes(value.as_bytes()),
            Kind::Int32 | Kind::Int64 => match text::quoted_number(value) {
                Some(number) => self.put_whole(number),
                None => self.refuse(),
            },
            Kind::Enum(of) => match of.values.iter().find(|(_, name)| name == value) {
                Some((number, _)) => self.put_whole(i64::from(*number)),
                None => self.refuse(),
            },
            Kind::Timestamp => match text::time(value) {
                Some(time) => self.put_bytes(&time.encode_to_vec()),
                None => self.refuse(),
            },
            Kind::Duration => match text::duration(value) {
                Some(duration) => self.put_bytes(&duration.encode_to_vec()),
                None => self.refuse(),
            },
            Kind::FieldMask => {
                // Each comma is a path of its own: a body of them would be many times its size.
                if value.bytes().filter(|byte| *byte == b',').count() >= MASK_PATHS_MAX {
                    self.refuse();
                } else {
                    let mask = prost_types::FieldMask { paths: text::paths(value) };
                    self.put_bytes(&mask.encode_to_vec());
                }
            }
            Kind::Bool | Kind::Message(_) => self.refuse(),
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        self.refuse();
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        if let Kind::Message(place) = self.kind {
            return self.read_message(*place, map);
        }
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        self.refuse();
        Ok(())
    }
}
