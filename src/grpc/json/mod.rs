//! Messages in the JSON of Protocol Buffers, read and written straight from and to their encoding, by a table that is made
//! of the descriptors once.
//!
//! Going through a message by reflection takes several times as long, and reading one so is not strict enough here: it
//! takes a field that is given twice, cuts numbers to what fits, and does not say which field is wrong.

mod read;
mod table;
mod text;
mod write;

pub use read::Unreadable;
pub use table::{Json, Names, Place};

#[cfg(test)]
mod tests;
