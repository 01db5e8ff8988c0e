//! Messages in the JSON of Protocol Buffers, read from it and written to it without a message type in between. A table
//! that is made once from the descriptors says how.
//!
//! Reflection takes several times as long, and its reader is not strict enough here. It accepts a field that is given
//! twice, cuts numbers to their type, and does not say which field is wrong.

mod read;
mod table;
mod text;
mod weigh;
mod write;

pub use read::Unreadable;
pub use table::{Json, Names, Place};

#[cfg(test)]
mod tests;
