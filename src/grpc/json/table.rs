//! The table of message types, made once from their descriptors.

use std::collections::HashMap;

use prost_reflect::{Kind as Described, MessageDescriptor};

/// How fields are named when they are written. Both names are accepted when reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// As in the proto: `customer_id`.
    Proto,
    /// The default of proto3's JSON: `customerId`.
    Json,
}

/// How messages of some types, and of the types within them, are read and written.
#[derive(Debug)]
pub struct Json {
    names: Names,
    /// The types refer to each other by their places here.
    pub(super) types: Vec<Type>,
    by_name: HashMap<String, usize>,
}

/// The place of a message type in the table.
#[derive(Clone, Copy, Debug)]
pub struct Place(pub(super) usize);

#[derive(Debug, Default)]
pub(super) struct Type {
    /// Without the package.
    pub(super) name: String,
    pub(super) fields: Vec<Field>,
    /// Indexes of the fields: by number from 1, and by either name.
    pub(super) by_number: Vec<Option<usize>>,
    /// The size of its struct, at most.
    pub(super) bytes: usize,
    pub(super) by_name: HashMap<String, usize>,
}

#[derive(Debug)]
pub(super) struct Field {
    pub(super) number: u32,
    /// The name in the proto.
    pub(super) name: String,
    /// The name as it is written: in quotes, with a colon.
    pub(super) key: String,
    /// How many values it takes.
    pub(super) times: Times,
    pub(super) kind: Kind,
    /// The group of which at most one field may be set.
    pub(super) oneof: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    List,
    /// A map with texts as keys; the kind is that of the entries.
    Map,
}

#[derive(Debug)]
pub(super) enum Kind {
    Text,
    Bool,
    Int32,
    /// Written as a text, because numbers of JSON are doubles.
    Int64,
    Enum(Values),
    Timestamp,
    Duration,
    FieldMask,
    /// The type at this place of the table.
    Message(usize),
}

/// An enumeration: its name, and the names of its values by number.
#[derive(Debug)]
pub(super) struct Values {
    pub(super) name: String,
    pub(super) values: Vec<(i32, String)>,
}

impl Json {
    /// An empty table.
    pub fn new(names: Names) -> Self {
        Self { names, types: Vec::new(), by_name: HashMap::new() }
    }

    /// Adds a type and those within it; `None` where one has a field of an unsupported kind, such as a double.
    pub fn add(&mut self, message: &MessageDescriptor) -> Option<Place> {
        let mut pending = Vec::new();
        let place = self.place(message, &mut pending);
        while let Some((place, message)) = pending.pop() {
            let described = self.described(&message, &mut pending)?;
            *self.types.get_mut(place)? = described;
        }
        self.set_sizes();
        Some(Place(place))
    }

    /// The place of a type. A new type is put into `pending`, to be described later.
    fn place(&mut self, message: &MessageDescriptor, pending: &mut Vec<(usize, MessageDescriptor)>) -> usize {
        if let Some(place) = self.by_name.get(message.full_name()) {
            return *place;
        }
        let place = self.types.len();
        self.types.push(Type::default());
        self.by_name.insert(message.full_name().to_owned(), place);
        pending.push((place, message.clone()));
        place
    }

    fn described(
        &mut self,
        message: &MessageDescriptor,
        pending: &mut Vec<(usize, MessageDescriptor)>,
    ) -> Option<Type> {
        let mut described = Type { name: message.name().to_owned(), ..Type::default() };
        for field in message.fields() {
            let kind = match field.kind() {
                Described::String => Kind::Text,
                Described::Bool => Kind::Bool,
                Described::Int32 => Kind::Int32,
                Described::Int64 => Kind::Int64,
                Described::Enum(of) => {
                    let values = of.values().map(|value| (value.number(), value.name().to_owned()));
                    Kind::Enum(Values { name: of.name().to_owned(), values: values.collect() })
                }
                Described::Message(of) => match of.full_name() {
                    "google.protobuf.Timestamp" => Kind::Timestamp,
                    "google.protobuf.Duration" => Kind::Duration,
                    "google.protobuf.FieldMask" => Kind::FieldMask,
                    // The other types there have a JSON form of their own, too.
                    name if name.starts_with("google.protobuf.") => return None,
                    _ => Kind::Message(self.place(&of, pending)),
                },
                _ => return None,
            };
            let times = match (field.is_map(), field.is_list()) {
                (true, _) if !is_by_text(&field.kind()) => return None,
                (true, _) => Times::Map,
                (false, true) => Times::List,
                (false, false) => Times::Once,
            };
            let shown = match self.names {
                Names::Proto => field.name(),
                Names::Json => field.json_name(),
            };
            let place = described.fields.len();
            let by_number = usize::try_from(field.number().checked_sub(1)?).ok()?;
            if described.by_number.len() <= by_number {
                described.by_number.resize(by_number.checked_add(1)?, None);
            }
            *described.by_number.get_mut(by_number)? = Some(place);
            described.by_name.insert(field.name().to_owned(), place);
            described.by_name.insert(field.json_name().to_owned(), place);
            let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
            described.fields.push(Field {
                number: field.number(),
                name: field.name().to_owned(),
                key: format!("\"{shown}\":"),
                times,
                kind,
                oneof: oneof.map(|oneof| oneof.name().to_owned()),
            });
        }
        Some(described)
    }
}

impl Type {
    pub(super) fn numbered(&self, number: u64) -> Option<&Field> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        self.fields.get((*self.by_number.get(place)?)?)
    }
}

impl Kind {
    /// True if lists of this kind are packed into one field.
    pub(super) fn is_packed(&self) -> bool {
        match self {
            Self::Bool | Self::Int32 | Self::Int64 | Self::Enum(_) => true,
            Self::Text | Self::Timestamp | Self::Duration | Self::FieldMask | Self::Message(_) => false,
        }
    }
}

/// True if the keys of a map are texts.
fn is_by_text(entry: &Described) -> bool {
    let entry = entry.as_message();
    entry.is_some_and(|entry| matches!(entry.map_entry_key_field().kind(), Described::String))
}

impl Values {
    /// A value other than the first one, which is the unspecified one.
    pub(super) fn example(&self) -> &str {
        self.values.get(1).or(self.values.first()).map_or("", |(_, name)| name)
    }
}
