//! A change of one field: keep it, clear it, or set it.

use super::codec::tagged;

/// A field that a command may leave as it is, clear, or set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Change<T> {
    #[default]
    Keep,
    Clear,
    Set(T),
}
tagged!(Change<T> or default { 0 => Keep, 1 => Clear, 2 => Set(value) });

impl<T: Clone> Change<T> {
    pub fn apply(&self, before: Option<&T>) -> Option<T> {
        match self {
            Self::Keep => before.cloned(),
            Self::Clear => None,
            Self::Set(value) => Some(value.clone()),
        }
    }
}
