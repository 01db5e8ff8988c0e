//! UpdateCustomer: changes name, contact or metadata.

use std::collections::BTreeMap;

use super::prelude::*;
use crate::ledger::customer::{Contact, Profile};

/// Changes a customer's profile. What is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UpdateCustomer {
    pub name: Option<Text>,
    /// A new contact, as a whole.
    pub contact: Option<Contact>,
    /// New metadata, as a whole.
    pub metadata: Option<BTreeMap<Text, Text>>,
}
hashed!(UpdateCustomer { 1 => name, 2 => contact, 3 => metadata, + 60 => reason, + 61 => by });

impl CustomerCommand for UpdateCustomer {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        // `decide` has checked that the profile, which the keys name, was loaded.
        let before = at.entry.profile.as_deref().cloned().unwrap_or_default();
        let mut draft = at.draft();
        draft.detail.profile = Some(Arc::new(Profile {
            name: self.name.clone().unwrap_or(before.name),
            contact: self.contact.clone().unwrap_or(before.contact),
            metadata: self.metadata.clone().unwrap_or(before.metadata),
        }));
        Ok(draft)
    }
}
