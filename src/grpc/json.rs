//! Messages in the JSON of Protocol Buffers, with the names of the proto: written straight from their encoding, by a table
//! made of the descriptors once. Each event that is sent somewhere is written so, and going through a message by reflection
//! takes several times as long.

use prost_reflect::{Kind as Described, MessageDescriptor};

/// How messages of one type, and of those within it, are written.
#[derive(Debug)]
pub struct Json {
    /// The first is the message's own; others refer to each other by their places.
    types: Vec<Type>,
}

/// Fields by number, from 1.
type Type = Vec<Option<Field>>;

#[derive(Clone, Debug)]
struct Field {
    /// As it is written: in quotes, with a colon.
    key: String,
    is_list: bool,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Text,
    Bool,
    /// A number.
    Int32,
    /// A text: JSON's numbers are doubles.
    Int64,
    /// Names by number.
    Enum(Vec<(i32, String)>),
    Timestamp,
    /// Of the type at this place.
    Message(usize),
}

impl Json {
    /// For messages of this type; `None` where one has a field that no message here has yet, as a map or a double.
    pub fn of(message: &MessageDescriptor) -> Option<Self> {
        let mut found = vec![message.clone()];
        let mut types = Vec::new();
        while let Some(next) = found.get(types.len()).cloned() {
            types.push(type_of(&next, &mut found)?);
        }
        Some(Self { types })
    }

    /// Writes an encoded message; `None` where it is not one, with a part written.
    pub fn write(&self, encoded: &[u8], out: &mut Vec<u8>) -> Option<()> {
        self.message(0, encoded, out)
    }

    fn message(&self, place: usize, mut bytes: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let fields = self.types.get(place)?;
        let mut last: Option<(u64, &Field)> = None;
        out.push(b'{');
        while !bytes.is_empty() {
            let tag = varint(&mut bytes)?;
            let (number, wire) = (tag >> 3, tag & 7);
            let field = fields.get(usize::try_from(number.checked_sub(1)?).ok()?)?.as_ref()?;
            match last {
                // Elements of a list stand next to each other.
                Some((before, _)) if before == number && field.is_list => out.push(b','),
                before => {
                    if let Some((_, before)) = before {
                        out.extend_from_slice(if before.is_list { b"]," } else { b"," });
                    }
                    out.extend_from_slice(field.key.as_bytes());
                    if field.is_list {
                        out.push(b'[');
                    }
                }
            }
            last = Some((number, field));
            self.value(&field.kind, wire, &mut bytes, out)?;
        }
        if last.is_some_and(|(_, last)| last.is_list) {
            out.push(b']');
        }
        out.push(b'}');
        Some(())
    }

    fn value(&self, kind: &Kind, wire: u64, bytes: &mut &[u8], out: &mut Vec<u8>) -> Option<()> {
        match (kind, wire) {
            (Kind::Text, 2) => {
                let text = std::str::from_utf8(delimited(bytes)?).ok()?;
                serde_json::to_writer(out, text).ok()
            }
            (Kind::Message(place), 2) => self.message(*place, delimited(bytes)?, out),
            (Kind::Timestamp, 2) => {
                let time: prost_types::Timestamp = prost::Message::decode(delimited(bytes)?).ok()?;
                serde_json::to_writer(out, &time.to_string()).ok()
            }
            // Lists of numbers are packed.
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_), 2) => {
                let mut packed = delimited(bytes)?;
                number(kind, varint(&mut packed)?, out)?;
                while !packed.is_empty() {
                    out.push(b',');
                    number(kind, varint(&mut packed)?, out)?;
                }
                Some(())
            }
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_), 0) => number(kind, varint(bytes)?, out),
            (Kind::Text | Kind::Timestamp | Kind::Message(_), _) => None,
            (Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_), _) => None,
        }
    }
}

fn type_of(message: &MessageDescriptor, found: &mut Vec<MessageDescriptor>) -> Option<Type> {
    let mut fields = Type::new();
    for field in message.fields() {
        let kind = match field.kind() {
            Described::String => Kind::Text,
            Described::Bool => Kind::Bool,
            Described::Int32 => Kind::Int32,
            Described::Int64 => Kind::Int64,
            Described::Enum(of) => {
                Kind::Enum(of.values().map(|value| (value.number(), value.name().to_owned())).collect())
            }
            Described::Message(of) if of.full_name() == "google.protobuf.Timestamp" => Kind::Timestamp,
            Described::Message(of) if !field.is_map() => {
                let place = found.iter().position(|known| *known == of);
                Kind::Message(place.unwrap_or_else(|| {
                    found.push(of);
                    found.len().saturating_sub(1)
                }))
            }
            _ => return None,
        };
        let place = usize::try_from(field.number().checked_sub(1)?).ok()?;
        if fields.len() <= place {
            fields.resize(place.checked_add(1)?, None);
        }
        let key = format!("\"{}\":", field.name());
        *fields.get_mut(place)? = Some(Field { key, is_list: field.is_list(), kind });
    }
    Some(fields)
}

fn number(kind: &Kind, value: u64, out: &mut Vec<u8>) -> Option<()> {
    // 32 bits are encoded with the sign in all 64.
    let signed = value.cast_signed();
    match kind {
        Kind::Bool => serde_json::to_writer(out, &(value != 0)).ok(),
        Kind::Int32 => serde_json::to_writer(out, &signed).ok(),
        Kind::Int64 => serde_json::to_writer(out, &signed.to_string()).ok(),
        Kind::Enum(names) => match names.iter().find(|(number, _)| i64::from(*number) == signed) {
            Some((_, name)) => serde_json::to_writer(out, name).ok(),
            None => serde_json::to_writer(out, &signed).ok(),
        },
        Kind::Text | Kind::Timestamp | Kind::Message(_) => None,
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

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::{DescriptorPool, DynamicMessage, SerializeOptions, Value};

    use super::*;
    use crate::grpc::wire::DESCRIPTORS;

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (self.0 >> 33) % bound
        }

        fn value(&mut self, kind: &Described, depth: u32) -> Value {
            let texts = ["", "plain", "a \"quote\" \\ \n \u{1}", "größer € 😀", "</script>"];
            let numbers = [0, 1, -1, 250, i64::MAX, i64::MIN, 1_767_225_600];
            let number = numbers[usize::try_from(self.below(7)).unwrap()];
            match kind {
                Described::String => Value::String(texts[usize::try_from(self.below(5)).unwrap()].to_owned()),
                Described::Bool => Value::Bool(self.below(2) == 1),
                Described::Int32 => Value::I32(i32::try_from(number).unwrap_or(i32::MIN)),
                Described::Int64 => Value::I64(number),
                Described::Enum(of) => {
                    let known: Vec<i32> = of.values().map(|value| value.number()).chain([9_999]).collect();
                    let place = self.below(known.len().try_into().unwrap());
                    Value::EnumNumber(known[usize::try_from(place).unwrap()])
                }
                Described::Message(of) if of.full_name() == "google.protobuf.Timestamp" => {
                    let nanos = [0, 500_000_000, 119_321_000, 1][usize::try_from(self.below(4)).unwrap()];
                    let seconds = i64::try_from(self.below(4_000_000_000)).unwrap();
                    let mut message = DynamicMessage::new(of.clone());
                    message.transcode_from(&prost_types::Timestamp { seconds, nanos }).unwrap();
                    Value::Message(message)
                }
                Described::Message(of) => Value::Message(self.message(of, depth + 1)),
                other => panic!("{other:?}"),
            }
        }

        fn message(&mut self, of: &MessageDescriptor, depth: u32) -> DynamicMessage {
            let mut message = DynamicMessage::new(of.clone());
            for field in of.fields() {
                if depth > 5 || self.below(3) == 0 {
                    continue;
                }
                let value = if field.is_list() {
                    Value::List((0..self.below(4)).map(|_| self.value(&field.kind(), depth)).collect())
                } else {
                    self.value(&field.kind(), depth)
                };
                message.set_field(&field, value);
            }
            message
        }
    }

    #[test]
    fn it_is_the_json_that_reflection_writes() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        for name in ["Event", "Hold", "Lot", "ListWebhookEndpointsResponse"] {
            let described = pool.get_message_by_name(&format!("creditledger.v1.{name}")).unwrap();
            let json = Json::of(&described).unwrap_or_else(|| panic!("{name}"));
            let mut dice = Dice(20_261_126);
            for nth in 0..500 {
                let message = dice.message(&described, 0);
                let options = SerializeOptions::new().use_proto_field_name(true);
                let expected =
                    message.serialize_with_options(serde_json::value::Serializer, &options).unwrap();
                let mut written = Vec::new();
                json.write(&message.encode_to_vec(), &mut written).unwrap();
                let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
                assert_eq!(written, expected, "{name} {nth}");
            }
        }
    }

    #[test]
    fn what_is_cut_off_is_no_message() {
        let pool = DescriptorPool::decode(DESCRIPTORS).unwrap();
        let described = pool.get_message_by_name("creditledger.v1.Event").unwrap();
        let json = Json::of(&described).unwrap();
        let event =
            crate::grpc::wire::Event { event_id: "1-0".to_owned(), sequence: 300, ..Default::default() };
        let encoded = event.encode_to_vec();
        let mut out = Vec::new();
        assert!(json.write(&encoded[..encoded.len() - 1], &mut out).is_none());
        out.clear();
        json.write(&encoded, &mut out).unwrap();
        assert_eq!(out, br#"{"event_id":"1-0","sequence":"300"}"#);
    }
}
