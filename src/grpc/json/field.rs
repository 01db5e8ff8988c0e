//! The keys of a message's JSON, and the value of each: one, a list, or a map.

use std::collections::HashSet;
use std::fmt;

use prost::encoding::{WireType, encode_key, encode_varint};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::read::{Reader, Step, Value, shown};
use super::{Field, Kind, Times, Type};

/// Elements of one list, or entries of one map: ten times what the longest list of a request may have. Each becomes a
/// message of some hundred bytes, and is written in two.
const ELEMENTS_MAX: usize = 100_000;

/// The value of a field; true where it is set.
pub(super) struct FieldValue<'r, 'j> {
    pub(super) reader: &'r mut Reader<'j>,
    pub(super) field: &'j Field,
    pub(super) out: &'r mut Vec<u8>,
}

impl<'r, 'j> FieldValue<'r, 'j> {
    fn once(self) -> Value<'r, 'j> {
        let Self { reader, field, out } = self;
        Value { reader, kind: &field.kind, number: Some(field.number), out }
    }

    /// The value, where the field is neither a list nor a map.
    fn single<E>(self, visit: impl FnOnce(Value<'r, 'j>) -> Result<(), E>) -> Result<bool, E> {
        match self.field.times {
            Times::Once => visit(self.once())?,
            Times::List => self.reader.refuse(None, "must be a list"),
            Times::Map => self.reader.refuse(None, "must be an object of texts"),
        }
        Ok(true)
    }
}

impl<'de> DeserializeSeed<'de> for FieldValue<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<bool, D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for FieldValue<'_, '_> {
    type Value = bool;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a value")
    }

    /// `null` is as if the field were not there.
    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.single(|place| place.visit_bool(value))
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<bool, E> {
        self.single(|place| place.visit_i64(value))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<bool, E> {
        self.single(|place| place.visit_u64(value))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<bool, E> {
        self.single(|place| place.visit_f64(value))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<bool, E> {
        self.single(|place| place.visit_str(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<bool, A::Error> {
        let Self { reader, field, out } = self;
        if field.times != Times::List {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            let wrong = FieldValue { reader, field, out };
            return wrong.single(|place| {
                place.refuse();
                Ok(())
            });
        }
        let mut packed = Vec::new();
        for index in 0.. {
            if index == ELEMENTS_MAX {
                if list.next_element::<IgnoredAny>()?.is_some() {
                    while list.next_element::<IgnoredAny>()?.is_some() {}
                    reader.refuse(None, format!("has more than {ELEMENTS_MAX} elements"));
                }
                break;
            }
            let read = reader.at(Step::Index(index), |reader| {
                let kind = &field.kind;
                list.next_element_seed(if kind.is_packed() {
                    Value { reader, kind, number: None, out: &mut packed }
                } else {
                    Value { reader, kind, number: Some(field.number), out }
                })
            })?;
            if read.is_none() {
                break;
            }
        }
        if !packed.is_empty() {
            Value { reader, kind: &field.kind, number: Some(field.number), out }.put_bytes(&packed);
        }
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<bool, A::Error> {
        if self.field.times == Times::Once {
            return self.single(|place| place.visit_map(map));
        }
        let Self { reader, field, out } = self;
        let entry = match (field.times, &field.kind) {
            (Times::Map, Kind::Message(entry)) => reader.json.types.get(*entry),
            (Times::Once | Times::List | Times::Map, _) => None,
        };
        let Some(value_field) = entry.and_then(|entry| entry.numbered(2)) else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            reader.refuse(None, "must be a list");
            return Ok(true);
        };
        let mut keys = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if keys.len() == ELEMENTS_MAX {
                map.next_value::<IgnoredAny>()?;
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                reader.refuse(None, format!("has more than {ELEMENTS_MAX} entries"));
                break;
            }
            let mut body = Vec::new();
            encode_key(1, WireType::LengthDelimited, &mut body);
            encode_varint(u64::try_from(key.len()).unwrap_or(u64::MAX), &mut body);
            body.extend_from_slice(key.as_bytes());
            reader.at(Step::Key(shown(&key)), |reader| {
                if !keys.insert(key) {
                    reader.refuse(None, "is given twice");
                }
                map.next_value_seed(Value {
                    reader,
                    kind: &value_field.kind,
                    number: Some(2),
                    out: &mut body,
                })
            })?;
            Value { reader, kind: &field.kind, number: Some(field.number), out }.put_bytes(&body);
        }
        Ok(true)
    }
}

/// The key of an object that is a message.
pub(super) struct Key<'j>(pub(super) &'j Type);

pub(super) enum Found<'j> {
    Field(usize, &'j Field),
    /// Its name, as much of it as is shown.
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
