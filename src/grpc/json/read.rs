//! Reads JSON into the encoding of a message. All violations are reported at once, each with the path of its field.
//!
//! # Bounds
//! Memory is bounded by the output, which is at most about three times the JSON. The depth is bounded by that of the
//! types, and a value of the wrong type is skipped without being kept. Lists and maps have a bound of their own. A text
//! of the caller is quoted up to 64 characters.

use std::collections::HashSet;
use std::fmt;

use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::violations::{Collector, Step, Violations};
use super::table::{Field, Json, Kind, Place, Times, Type};
use super::text;

/// Elements of one list, or entries of one map: ten times the longest list that a request may have. Each becomes a
/// message of some hundred bytes, and is written in two.
const ELEMENTS_MAX: usize = 100_000;

/// The most paths in one field mask.
const MASK_PATHS_MAX: usize = 100;

/// Why a text is not a message.
#[derive(Clone, Debug)]
pub enum Unreadable {
    /// It is not JSON; what is wrong, and where.
    Syntax(String),
    /// It is JSON, but with unknown fields or wrong values.
    Fields(Violations),
}

impl Json {
    /// Reads a message from its JSON and gives its encoding.
    pub fn read(&self, place: Place, json: &[u8]) -> Result<Vec<u8>, Unreadable> {
        let mut reader = Reader { json: self, found: Collector::default() };
        let mut out = Vec::new();
        let mut source = serde_json::Deserializer::from_slice(json);
        let message = Kind::Message(place.0);
        let root = Value::one(&mut reader, &message, None, &mut out);
        let read = root.deserialize(&mut source).and_then(|_| source.end());
        if let Err(error) = read {
            return Err(Unreadable::Syntax(error.to_string()));
        }
        let violations = reader.found.violations;
        if violations.count > 0 { Err(Unreadable::Fields(violations)) } else { Ok(out) }
    }
}

/// The state that all values of a message share while they are read.
struct Reader<'j> {
    json: &'j Json,
    found: Collector<'j>,
}

impl<'j> Reader<'j> {
    fn at<T>(&mut self, step: Step<'j>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.found.enter(step);
        let value = read(self);
        self.found.leave();
        value
    }
}

/// A text of the caller, cut to the length that is quoted.
fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 64;
    let mut shown: String = text.chars().take(CHARS_MAX).collect();
    if shown.len() < text.len() {
        shown.push_str("...");
    }
    shown
}

/// A JSON value that is neither a list nor an object.
#[derive(Clone, Copy)]
enum Scalar<'a> {
    Null,
    Bool(bool),
    Whole(i64),
    /// A number that is not whole, or has more than 64 bits.
    OtherNumber,
    Text(&'a str),
}

/// The target of one value: the end of `out`, after the key of its field if it has a number. Reading it returns whether
/// the value is set.
struct Value<'r, 'j> {
    reader: &'r mut Reader<'j>,
    kind: &'j Kind,
    times: Times,
    number: Option<u32>,
    /// `null` counts as no value.
    may_be_null: bool,
    out: &'r mut Vec<u8>,
}

impl<'r, 'j> Value<'r, 'j> {
    /// The value of a field: single, a list, or a map.
    fn of_field(reader: &'r mut Reader<'j>, field: &'j Field, out: &'r mut Vec<u8>) -> Self {
        let Field { kind, times, number, .. } = field;
        Self { reader, kind, times: *times, number: Some(*number), may_be_null: true, out }
    }

    /// A value within a list or map, or the whole message.
    fn one(reader: &'r mut Reader<'j>, kind: &'j Kind, number: Option<u32>, out: &'r mut Vec<u8>) -> Self {
        Self { reader, kind, times: Times::Once, number, may_be_null: false, out }
    }

    fn put_varint(self, value: u64) {
        if let Some(number) = self.number {
            encode_key(number, WireType::Varint, self.out);
        }
        encode_varint(value, self.out);
    }

    fn put_bytes(self, bytes: &[u8]) {
        put_bytes(self.number, bytes, self.out);
    }

    fn put_message(self, message: Option<impl Message>) {
        match message {
            Some(message) => self.put_bytes(&message.encode_to_vec()),
            None => self.refuse(),
        }
    }

    /// Reports that it is no value of this kind.
    fn refuse(self) {
        let wanted = match (self.times, self.kind) {
            (Times::List, _) => "must be a list".to_owned(),
            (Times::Map, _) => "must be an object of texts".to_owned(),
            (Times::Once, Kind::Text) => "must be a text".to_owned(),
            (Times::Once, Kind::Bool) => "must be true or false".to_owned(),
            (Times::Once, Kind::Int32) => "must be a whole number of 32 bits".to_owned(),
            (Times::Once, Kind::Int64) => "must be a whole number of 64 bits, best in quotes".to_owned(),
            (Times::Once, Kind::Enum(of)) => {
                format!("must be a name of {}, such as \"{}\"", of.name, of.example())
            }
            (Times::Once, Kind::Timestamp) => "must be a time such as \"2026-01-31T12:00:00Z\"".to_owned(),
            (Times::Once, Kind::Duration) => "must be seconds such as \"1.5s\"".to_owned(),
            (Times::Once, Kind::FieldMask) => {
                "must be the names of fields in one text, with commas".to_owned()
            }
            (Times::Once, Kind::Message(_)) => "must be an object".to_owned(),
        };
        self.reader.found.refuse("", wanted);
    }

    fn read_scalar(self, scalar: Scalar<'_>) -> bool {
        match (self.times, self.kind, scalar) {
            (_, _, Scalar::Null) if self.may_be_null => return false,
            (Times::Once, Kind::Bool, Scalar::Bool(value)) => self.put_varint(value.into()),
            (Times::Once, Kind::Int64, Scalar::Whole(value)) => self.put_varint(value.cast_unsigned()),
            (Times::Once, Kind::Int32 | Kind::Enum(_), Scalar::Whole(value))
                if i32::try_from(value).is_ok() =>
            {
                self.put_varint(value.cast_unsigned());
            }
            (Times::Once, Kind::Int32 | Kind::Int64, Scalar::Text(text)) => {
                return self
                    .read_scalar(text::quoted_number(text).map_or(Scalar::OtherNumber, Scalar::Whole));
            }
            (Times::Once, Kind::Enum(of), Scalar::Text(text)) => {
                let found = of.values.iter().find(|(_, name)| name == text);
                return self.read_scalar(
                    found.map_or(Scalar::OtherNumber, |(number, _)| Scalar::Whole((*number).into())),
                );
            }
            (Times::Once, Kind::Text, Scalar::Text(text)) => self.put_bytes(text.as_bytes()),
            (Times::Once, Kind::Timestamp, Scalar::Text(text)) => self.put_message(text::time(text)),
            (Times::Once, Kind::Duration, Scalar::Text(text)) => self.put_message(text::duration(text)),
            (Times::Once, Kind::FieldMask, Scalar::Text(text)) => {
                // Each comma is a path of its own. The paths of a body full of commas would need many times its size.
                let fits = text.bytes().filter(|byte| *byte == b',').count() < MASK_PATHS_MAX;
                self.put_message(fits.then(|| prost_types::FieldMask { paths: text::paths(text) }));
            }
            _ => self.refuse(),
        }
        true
    }

    fn read_list<'de, A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let Self { reader, kind, number, out, .. } = self;
        let mut packed = Vec::new();
        for index in 0.. {
            if index == ELEMENTS_MAX {
                if list.next_element::<IgnoredAny>()?.is_some() {
                    skip_list(list)?;
                    reader.found.refuse("", format!("has more than {ELEMENTS_MAX} elements"));
                }
                break;
            }
            let read = reader.at(Step::Index(index), |reader| {
                list.next_element_seed(if kind.is_packed() {
                    Value::one(reader, kind, None, &mut packed)
                } else {
                    Value::one(reader, kind, number, out)
                })
            })?;
            if read.is_none() {
                break;
            }
        }
        if !packed.is_empty() {
            put_bytes(number, &packed, out);
        }
        Ok(())
    }

    fn read_entries<'de, A: MapAccess<'de>>(self, entry: usize, mut map: A) -> Result<(), A::Error> {
        let Self { reader, number, out, .. } = self;
        let Some(value) = reader.json.types.get(entry).and_then(|entry| entry.numbered(2)) else {
            return Err(A::Error::custom("the type is not known"));
        };
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.len() == ELEMENTS_MAX {
                map.next_value::<IgnoredAny>()?;
                skip_object(map)?;
                reader.found.refuse("", format!("has more than {ELEMENTS_MAX} entries"));
                break;
            }
            let mut body = Vec::new();
            put_bytes(Some(1), key.as_bytes(), &mut body);
            reader.at(Step::Key(shown(&key)), |reader| {
                if !keys.insert(key) {
                    reader.found.refuse("", "is given twice");
                }
                map.next_value_seed(Value::one(reader, &value.kind, Some(2), &mut body))
            })?;
            put_bytes(number, &body, out);
        }
        Ok(())
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
                    reader.found.refuse(&name, format!("is no field of {}", message.name));
                    continue;
                }
            };
            if let Some(given) = given.get_mut(place)
                && std::mem::replace(given, true)
            {
                map.next_value::<IgnoredAny>()?;
                reader.found.refuse(&field.name, "is given twice");
                continue;
            }
            let is_set = reader.at(Step::Field(&field.name), |reader| {
                map.next_value_seed(Value::of_field(reader, field, &mut body))
            })?;
            if let Some(oneof) = field.oneof.as_deref().filter(|_| is_set) {
                if chosen.contains(&oneof) {
                    reader.found.refuse(&field.name, format!("is one too many: only one {oneof} may be set"));
                }
                chosen.push(oneof);
            }
        }
        put_bytes(number, &body, out);
        Ok(())
    }
}

fn put_bytes(number: Option<u32>, bytes: &[u8], out: &mut Vec<u8>) {
    if let Some(number) = number {
        encode_key(number, WireType::LengthDelimited, out);
        encode_varint(u64::try_from(bytes.len()).unwrap_or(u64::MAX), out);
    }
    out.extend_from_slice(bytes);
}

fn skip_list<'de, A: SeqAccess<'de>>(mut list: A) -> Result<(), A::Error> {
    while list.next_element::<IgnoredAny>()?.is_some() {}
    Ok(())
}

fn skip_object<'de, A: MapAccess<'de>>(mut object: A) -> Result<(), A::Error> {
    while object.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
    Ok(())
}

impl<'de> DeserializeSeed<'de> for Value<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, '_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(self.read_scalar(Scalar::Null))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        Ok(self.read_scalar(Scalar::Bool(value)))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        Ok(self.read_scalar(Scalar::Whole(value)))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        Ok(self.read_scalar(i64::try_from(value).map_or(Scalar::OtherNumber, Scalar::Whole)))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        Ok(self.read_scalar(text::whole(value).map_or(Scalar::OtherNumber, Scalar::Whole)))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        Ok(self.read_scalar(Scalar::Text(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<bool, A::Error> {
        if self.times == Times::List {
            self.read_list(list)?;
        } else {
            skip_list(list)?;
            self.refuse();
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<bool, A::Error> {
        match (self.times, self.kind) {
            (Times::Once, Kind::Message(place)) => self.read_message(*place, object)?,
            (Times::Map, Kind::Message(entry)) => self.read_entries(*entry, object)?,
            (Times::Once | Times::List | Times::Map, _) => {
                skip_object(object)?;
                self.refuse();
            }
        }
        Ok(true)
    }
}

/// The key of an object that stands for a message.
struct Key<'j>(&'j Type);

enum Found<'j> {
    Field(usize, &'j Field),
    /// Its name, cut to the length that is quoted.
    Unknown(String),
}

impl<'de, 'j> DeserializeSeed<'de> for Key<'j> {
    type Value = Found<'j>;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<Found<'j>, D::Error> {
        source.deserialize_str(self)
    }
}

impl<'j> Visitor<'_> for Key<'j> {
    type Value = Found<'j>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a field")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Found<'j>, E> {
        let place = self.0.by_name.get(name).copied();
        let field = place.and_then(|place| Some(Found::Field(place, self.0.fields.get(place)?)));
        Ok(field.unwrap_or_else(|| Found::Unknown(shown(name))))
    }
}
