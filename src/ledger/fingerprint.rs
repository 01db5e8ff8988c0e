//! Fingerprints: hashes of commands that tell a repeated request from a request id that is reused with other content.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::actor::Actor;
use super::codec::{Codec, Encoder, encode};
use super::hash::stable_hash;
use super::ids::Text;

/// What comes with any command: who, why, metadata. No decision reads them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Who asks; for work, who did it.
    pub by: Text,
    pub reason: Text,
    /// At most [`Said::METADATA_MAX`] pairs of the caller's own, kept with the posting.
    pub metadata: BTreeMap<Text, Text>,
    /// Who called; no part of a fingerprint. `None` where callers are not authenticated.
    pub actor: Option<Arc<Actor>>,
}

impl Said {
    pub const METADATA_MAX: usize = 32;
}

/// What a fingerprint hashes of a command, or of a part of one.
pub(crate) trait Hashed {
    /// Appends the encoding. Texts of `said` go to the places that the command declares.
    fn put_hashed(&self, said: &Said, out: &mut Encoder);

    /// True where the command around it leaves it out.
    fn is_left_out(&self) -> bool {
        false
    }
}

impl<T: Codec> Hashed for T {
    fn put_hashed(&self, _said: &Said, out: &mut Encoder) {
        self.put(out);
    }

    fn is_left_out(&self) -> bool {
        self.is_default()
    }
}

/// A hash of a parsed command: equal for equal content, whatever it looked like on the wire ("1.5" = "1.50", maps
/// sorted, defaults left out). Never zero, which stands for "no request".
pub(super) fn fingerprint(command: &dyn Hashed, said: &Said) -> u64 {
    let mut bytes = Encoder::inline(Vec::with_capacity(96));
    command.put_hashed(said, &mut bytes);
    let bytes = bytes.into_bytes();
    if said.metadata.is_empty() {
        // Commands without metadata keep the hash that they had before metadata existed.
        return stable_hash(&[&bytes]).max(1);
    }
    stable_hash(&[&bytes, &encode(&said.metadata)]).max(1)
}

/// Gives a command the encoding that its fingerprint hashes. As [`record`](super::codec::record), but `+ tag => by` and
/// `+ tag => reason` give the places of texts of [`Said`]. Each command has its own places, and they never change:
/// stored fingerprints must come out again. A command is never read back.
macro_rules! hashed {
    ($name:ident {
        $(+ $first:literal => $first_said:ident),* $(,)?
        $($tag:literal => $field:ident $(, + $then:literal => $then_said:ident)*),* $(,)?
    }) => {
        impl $crate::ledger::fingerprint::Hashed for $name {
            fn put_hashed(&self, said: &$crate::ledger::fingerprint::Said, out: &mut $crate::ledger::codec::Encoder) {
                // Destructured, so that a field without a tag does not compile.
                let Self { $($field),* } = self;
                $($crate::ledger::fingerprint::put_field($first, &said.$first_said, said, out);)*
                $(
                    $crate::ledger::fingerprint::put_field($tag, $field, said, out);
                    $($crate::ledger::fingerprint::put_field($then, &said.$then_said, said, out);)*
                )*
                out.push(0);
            }
        }
    };
}
pub(crate) use hashed;

/// Appends a field under its tag, unless it has its default.
pub(super) fn put_field(tag: u8, field: &impl Hashed, said: &Said, out: &mut Encoder) {
    if !field.is_left_out() {
        out.push(tag);
        field.put_hashed(said, out);
    }
}
