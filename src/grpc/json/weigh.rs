//! What a message takes in memory once it is decoded, counted from its bytes before anything is decoded.
//!
//! # What it is
//! Two bytes on the wire can become an element of half a kilobyte. So a request is weighed first: one pass over its
//! bytes with the table of types. Each element of a list or map counts with the size of its type, each text with its
//! length.
//!
//! # Invariants
//! - The weight is at least what prost takes from the allocator for the message. A test compares the two.
//! - Every list, map and text of every message is counted, also within other messages, because the table has all types.
//! - Nothing is allocated. The depth is bounded by prost's own bound.
//!
//! # Failure
//! Malformed bytes end the count. prost stops at the same place, so it takes no more than was counted.
//!
//! # Cost
//! About 10 ns a field. The pass ends as soon as the weight is above its bound.

use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};

use super::table::{Field, Json, Kind, Place, Times, Type};

/// Messages within messages, as prost bounds them.
const DEPTH_MAX: usize = 100;
/// Bytes of a `String`, a `Vec` or a map without its elements.
const HANDLE_BYTES: usize = 24;
/// Places for elements that a list has at first, and, for each element, once it has grown.
const LIST_PLACES: (usize, usize) = (4, 3);
/// The same for a map: a node has 11 places, and is about half full later. A place is counted with more than its size.
const MAP_PLACES: (usize, usize) = (8, 2);

/// Why the count ends early.
enum End {
    TooHeavy,
    Malformed,
}

struct Scale<'j> {
    json: &'j Json,
    weight: usize,
    max: usize,
}

impl Json {
    /// The bytes that a message takes once it is decoded; `None` if there are more than `max`.
    pub fn weigh(&self, place: Place, message: &[u8], max: usize) -> Option<usize> {
        let mut scale = Scale { json: self, weight: 0, max };
        let weighed = match self.types.get(place.0) {
            Some(root) => scale.add(root.bytes).and_then(|()| scale.message(root, message, 0)),
            None => scale.add(usize::MAX),
        };
        match weighed {
            Ok(()) | Err(End::Malformed) => Some(scale.weight),
            Err(End::TooHeavy) => None,
        }
    }

    /// Sets the sizes of the types that have none.
    pub(super) fn set_sizes(&mut self) {
        for place in 0..self.types.len() {
            self.size(place, 0);
        }
    }

    /// The size of a type's struct, at most: that of its fields, each with its padding.
    fn size(&mut self, place: usize, depth: usize) -> usize {
        let Some(of) = self.types.get(place) else { return 0 };
        if of.bytes > 0 || depth == DEPTH_MAX {
            return of.bytes;
        }
        let nested: Vec<_> = of.fields.iter().map(|field| (field.oneof.clone(), field.size())).collect();
        let mut bytes = 8_usize;
        let mut largest = std::collections::BTreeMap::new();
        for (oneof, size) in nested {
            let size = match size {
                Size::Of(bytes) => bytes,
                Size::As(place) => self.size(place, depth.saturating_add(1)),
            };
            let size = size.saturating_add(8);
            match oneof {
                None => bytes = bytes.saturating_add(size),
                Some(oneof) => {
                    let largest = largest.entry(oneof).or_insert(0_usize);
                    *largest = size.max(*largest);
                }
            }
        }
        let bytes = largest.into_values().fold(bytes, usize::saturating_add);
        if let Some(of) = self.types.get_mut(place) {
            of.bytes = bytes;
        }
        bytes
    }
}

enum Size {
    Of(usize),
    /// As the type at this place.
    As(usize),
}

impl Field {
    fn size(&self) -> Size {
        match (self.times, &self.kind) {
            (Times::List | Times::Map, _) => Size::Of(HANDLE_BYTES),
            (Times::Once, Kind::Message(place)) => Size::As(*place),
            (Times::Once, kind) => Size::Of(kind.bytes()),
        }
    }
}

impl Kind {
    /// Bytes of one value, without what is behind it.
    fn bytes(&self) -> usize {
        match self {
            Self::Text | Self::FieldMask => HANDLE_BYTES,
            Self::Bool | Self::Int32 | Self::Int64 | Self::Enum(_) => 8,
            Self::Timestamp | Self::Duration => 16,
            Self::Message(_) => 0,
        }
    }
}

impl Scale<'_> {
    fn add(&mut self, bytes: usize) -> Result<(), End> {
        self.weight = self.weight.saturating_add(bytes);
        if self.weight > self.max { Err(End::TooHeavy) } else { Ok(()) }
    }

    fn message(&mut self, of: &Type, mut bytes: &[u8], depth: usize) -> Result<(), End> {
        if depth > DEPTH_MAX {
            return Err(End::Malformed);
        }
        // A bit for each list or map that has elements; beyond 64 fields they share bits, which counts less as the first.
        let mut begun = 0_u64;
        while !bytes.is_empty() {
            let (number, wire_type) = decode_key(&mut bytes).map_err(|_| End::Malformed)?;
            match (of.numbered(number.into()), wire_type) {
                (Some(field), WireType::LengthDelimited) => {
                    let value = delimited(&mut bytes)?;
                    let bit = 1_u64 << (number % 64);
                    self.field(field, value, begun & bit == 0, depth)?;
                    begun |= bit;
                }
                (Some(field), WireType::Varint) => {
                    decode_varint(&mut bytes).map_err(|_| End::Malformed)?;
                    if field.times != Times::Once {
                        self.add(LIST_PLACES.0.saturating_mul(8))?;
                    }
                }
                (_, wire_type) => skip_field(wire_type, number, &mut bytes, DecodeContext::default())
                    .map_err(|_| End::Malformed)?,
            }
        }
        Ok(())
    }

    /// A field with its value; `first` for the first element of a list or map.
    fn field(&mut self, field: &Field, value: &[u8], first: bool, depth: usize) -> Result<(), End> {
        let of = |(at_first, later)| if first { at_first } else { later };
        let places: usize = match field.times {
            Times::Once => 0,
            Times::List => of(LIST_PLACES),
            Times::Map => of(MAP_PLACES),
        };
        self.add(places.saturating_mul(field.kind.bytes()))?;
        match &field.kind {
            Kind::Text => self.add(text(value.len())),
            // A packed list, whose values take one byte each.
            Kind::Bool | Kind::Int32 | Kind::Int64 | Kind::Enum(_) => {
                self.add(value.len().saturating_mul(LIST_PLACES.1.saturating_mul(8)))
            }
            Kind::Timestamp | Kind::Duration => Ok(()),
            // A path takes two bytes at least.
            Kind::FieldMask => {
                self.add(value.len().saturating_mul(LIST_PLACES.0.saturating_mul(HANDLE_BYTES)))
            }
            Kind::Message(place) => {
                let Some(of) = self.json.types.get(*place) else { return Err(End::TooHeavy) };
                self.add(places.saturating_mul(of.bytes))?;
                self.message(of, value, depth.saturating_add(1))
            }
        }
    }
}

/// What the allocator takes for a text of so many bytes, with its rounding.
fn text(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { bytes.saturating_add(bytes / 8).saturating_add(16) }
}

fn delimited<'b>(bytes: &mut &'b [u8]) -> Result<&'b [u8], End> {
    let length = decode_varint(bytes).map_err(|_| End::Malformed)?;
    let length = usize::try_from(length).map_err(|_| End::Malformed)?;
    let (value, rest) = bytes.split_at_checked(length).ok_or(End::Malformed)?;
    *bytes = rest;
    Ok(value)
}
