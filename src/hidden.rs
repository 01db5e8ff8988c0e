//! Keeps a secret out of logs, errors and Debug output, from where it is read to where it is used.

use std::fmt;

/// A value that is never shown. Whoever needs it says [`Hidden::reveal`], so that every use can be searched for.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden<T>(T);

impl<T> Hidden<T> {
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    pub const fn reveal(&self) -> &T {
        &self.0
    }
}

/// For arguments of commands, which are read as texts.
impl From<String> for Hidden<String> {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl<T> fmt::Debug for Hidden<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}
