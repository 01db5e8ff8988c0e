//! The compact encoding of stored details and fingerprints: equal values give equal bytes.
//!
//! A record is a run of `tag value` in rising order of tags, ended by tag 0. A field that has its default is left out.
//! So one value has one encoding, and a field added later reads as its default from older rows. Numbers are varints
//! (signed ones zig-zag), texts and byte strings carry their length.

mod encoding;
mod erasable;
mod error;
mod macros;

pub use encoding::{Codec, decode, decode_split, encode, encode_into};
pub(super) use encoding::{encode_split_into, put_all, put_bytes, take_text};
pub(super) use erasable::ERASED_TEXT;
pub use erasable::{Decoder, Encoder, TextSource};
pub use error::DecodeError;
pub(super) use macros::through;
pub(crate) use macros::{coded_enum, record, tagged};
