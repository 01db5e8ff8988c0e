//! Names and keys: each a newtype with one validating constructor, so that a value that exists is a legal one.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use uuid::Uuid;

use super::codec::{
    Codec, DecodeError, Decoder, ERASED_TEXT, Encoder, put_bytes, tagged, take_text, through,
};
use super::hash::stable_hash;
use super::time::Timestamp;

/// Why a text is not an id, a request id or a free text. The message continues "`field` ...".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    /// Nothing was given where something is needed.
    #[error("must not be empty")]
    Empty,
    #[error("must be at most {max} bytes")]
    TooLong {
        /// The bound in bytes.
        max: usize,
    },
    /// A character outside the documented set.
    #[error("must consist of {allowed}")]
    Character {
        /// The documented set, in words.
        allowed: &'static str,
    },
}

fn check(
    text: &str,
    max: usize,
    allowed: &'static str,
    legal: impl Fn(char) -> bool,
) -> Result<(), TextError> {
    if text.len() > max {
        return Err(TextError::TooLong { max });
    }
    if !text.chars().all(legal) {
        return Err(TextError::Character { allowed });
    }
    Ok(())
}

macro_rules! chosen_id {
    ($($(#[$doc:meta])* $name:ident $(+ $more:literal)?;)*) => {
        $($(#[$doc])*
        ///
        #[doc = concat!("Chosen by the caller: 1-128 bytes of letters, digits and `._:@-", $($more,)? "`. Cloning is cheap.")]
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            pub const MAX_BYTES: usize = 128;

            /// Takes a text that keeps the rules above.
            pub fn parse(text: &str) -> Result<Self, TextError> {
                if text.is_empty() {
                    return Err(TextError::Empty);
                }
                const SIGNS: &str = concat!("._:@-", $($more)?);
                const ALLOWED: &str = concat!("letters, digits and ._:@-", $($more)?);
                check(text, Self::MAX_BYTES, ALLOWED, |c| c.is_ascii_alphanumeric() || SIGNS.contains(c))?;
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Codec for $name {
            fn put(&self, out: &mut Encoder) {
                put_bytes(self.0.as_bytes(), out);
            }

            fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
                Self::parse(take_text(input)?).map_err(|_| DecodeError::Text)
            }
        }
        )*
    };
}

chosen_id! {
    /// A book with its own customers, cards and journal.
    LedgerId;
    /// A customer of one ledger.
    CustomerId;
    /// A support incident, as the helpdesk numbers it.
    IncidentId;
    /// An order, as the storefront numbers it. Shops print `#1001`.
    OrderId + "#";
    /// A shop that sells credits; its account is `sales:<storefront>`.
    Storefront;
    /// A class of incidents, named by the rate card or by the helpdesk alone.
    ClassId;
    /// A rate card's name; with its version it names one immutable price list.
    CardId;
    /// The support package of a customer, which may carry a rate of its own.
    PackageId;
    /// A line of support (first line, second line, administrators).
    LineId;
    /// Something about an incident that a rate card may charge more for (after-hours, on-site).
    LabelId;
}

impl CardId {
    /// The card that every ledger begins with as its default.
    pub fn prepaid() -> Self {
        Self("prepaid".into())
    }
}

impl CustomerId {
    /// An id of the ledger's own, which keeps the rules.
    pub(super) fn well_known(id: &'static str) -> Self {
        Self(id.into())
    }
}

impl LedgerId {
    /// The ledger that exists from the start.
    pub fn main() -> Self {
        Self("main".into())
    }
}

/// Free text: at most 1,024 bytes, no control characters; may be empty where a field is optional. Cloning is
/// cheap.
///
/// People write it, so it may have to be erased: [`Text::is_erased`]. An erased text reads as empty, but is not
/// [`Text::is_empty`]: there was a text. Texts that say nothing of a person are [`OpenText`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Text(Option<Arc<str>>);

/// Stands for a text that was erased: a control character, which no text has.
const ERASED: &str = "\0";

impl Text {
    pub const EMPTY: Self = Self(None);
    pub const MAX_BYTES: usize = 1_024;

    /// Takes a text that keeps the rules above; empty is legal.
    pub fn parse(text: &str) -> Result<Self, TextError> {
        check(text, Self::MAX_BYTES, "text without control characters", |c| !c.is_control())?;
        Ok(Self((!text.is_empty()).then(|| text.into())))
    }

    /// The text; empty where it was erased.
    pub fn as_str(&self) -> &str {
        match self.stored() {
            ERASED => "",
            text => text,
        }
    }

    /// True where there is no text; false for an erased one.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// True where there was a text and it was erased.
    pub fn is_erased(&self) -> bool {
        self.stored() == ERASED
    }

    /// As it is stored: an erased text differs from an empty one.
    pub(super) fn stored(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    pub(super) fn of_stored(text: &str) -> Result<Self, TextError> {
        if text == ERASED { Ok(Self(Some(ERASED.into()))) } else { Self::parse(text) }
    }
}

/// Text that says nothing of a person, such as the key of a shop's message or the name of a product. Matching needs it,
/// so it is never erased. Otherwise as [`Text`].
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpenText(pub Text);

impl fmt::Display for OpenText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Codec for Text {
    const IS_ERASABLE: bool = true;

    fn put(&self, out: &mut Encoder) {
        out.erasable(|out| put_bytes(self.stored().as_bytes(), out));
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        input.erasable(ERASED_TEXT, |input| Self::of_stored(take_text(input)?).map_err(|_| DecodeError::Text))
    }

    fn left_out() -> Option<Self> {
        Some(Self::default())
    }
}

impl Codec for OpenText {
    fn put(&self, out: &mut Encoder) {
        put_bytes(self.0.stored().as_bytes(), out);
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        Text::parse(take_text(input)?).map(Self).map_err(|_| DecodeError::Text)
    }

    fn left_out() -> Option<Self> {
        Some(Self::default())
    }
}

/// The id with which a caller makes a command repeatable: 1-128 printable ASCII characters.
///
/// A UUID in its canonical lower-case form is kept as 16 bytes. Time-ordered ones (UUIDv7) then land next to each other
/// in the index of requests, which keeps a commit cheap.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RequestKey {
    Uuid(Uuid),
    Text(Box<str>),
}

impl RequestKey {
    pub const MAX_BYTES: usize = 128;

    pub fn parse(text: &str) -> Result<Self, TextError> {
        if text.is_empty() {
            return Err(TextError::Empty);
        }
        check(text, Self::MAX_BYTES, "printable ASCII characters", |c| c.is_ascii_graphic() || c == ' ')?;
        // Only the canonical spelling is packed: "A0.." and "a0.." are different request ids.
        if text.len() == 36
            && let Ok(uuid) = Uuid::try_parse(text)
            && uuid.as_hyphenated().encode_lower(&mut Uuid::encode_buffer()) == text
        {
            return Ok(Self::Uuid(uuid));
        }
        Ok(Self::Text(text.into()))
    }
}

tagged!(RequestKey { 0 => Uuid(uuid), 1 => Text(text) });

impl fmt::Display for RequestKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uuid(uuid) => uuid.as_hyphenated().fmt(f),
            Self::Text(text) => f.pad(text),
        }
    }
}

/// A ledger's number inside one database: 0 is `main`, at most [`LedgerNo::MAX`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerNo(u32);

impl LedgerNo {
    /// The number of `main`.
    pub const MAIN: Self = Self(0);
    /// The highest number: positions take the rest of a 63-bit key.
    pub const MAX: u32 = (1 << 22) - 1;

    pub fn new(number: u32) -> Option<Self> {
        (number <= Self::MAX).then_some(Self(number))
    }

    pub const fn get(self) -> u32 {
        self.0
    }
}

through!(LedgerNo as u32, |no| no.0, Self::new, Self::MAIN);

/// A customer's key in the database: a hash of ledger and customer id, so that a client can compute it and no
/// look-up is needed. The row carries both texts; a second customer with the same key is refused at creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CustomerKey(i64);

/// A map by customer. The key is a hash already, so it is not hashed again.
pub type CustomerMap<T> = HashMap<CustomerKey, T, BuildHasherDefault<KeyHasher>>;
/// A set of customers, likewise.
pub type CustomerSet = HashSet<CustomerKey, BuildHasherDefault<KeyHasher>>;

/// Takes a [`CustomerKey`] as it is.
#[derive(Clone, Copy, Debug, Default)]
pub struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn write_i64(&mut self, key: i64) {
        self.0 = key.cast_unsigned();
    }

    /// A key never comes this way. Other bytes count all the same, or unequal values would collide.
    fn write(&mut self, bytes: &[u8]) {
        self.0 ^= stable_hash(&[bytes]);
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl CustomerKey {
    pub fn of(ledger: LedgerNo, customer: &CustomerId) -> Self {
        let ledger = ledger.get().to_be_bytes();
        let hash = stable_hash(&[&ledger, customer.as_str().as_bytes()]);
        Self(hash.cast_signed())
    }

    pub const fn from_raw(raw: i64) -> Self {
        Self(raw)
    }

    pub const fn raw(self) -> i64 {
        self.0
    }
}

macro_rules! made_id {
    ($($(#[$doc:meta])* $name:ident;)*) => {
        $($(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        through!($name as Uuid, |id| id.0, |uuid| Some(Self(uuid)));)*
    };
}

made_id! {
    /// A posting: UUIDv7, rising with the customer's sequence.
    PostingId;
    /// A hold, named by the posting that made it.
    HoldId;
    /// A lot (a purchase, a grant, an upward adjustment), named by the posting that brought it in.
    LotId;
    /// An entry of recorded work, named by the posting that recorded it.
    WorkId;
    /// A request for a top-up, named by the posting that made it.
    TopUpId;
}

/// What a posting makes has its id.
macro_rules! named_by {
    ($($from:ident => $to:ident),*) => {
        $(impl From<$from> for $to {
            fn from(id: $from) -> Self {
                Self(id.0)
            }
        })*
    };
}
named_by!(PostingId => HoldId, PostingId => LotId, PostingId => WorkId, PostingId => TopUpId, LotId => PostingId);

impl PostingId {
    /// The `index`th id of the batch stamped `stamp`, with `random` shared by the batch.
    ///
    /// UUIDv7 (RFC 9562, section 5.7, methods 3 and 1): 48 bits of milliseconds and 10 of microseconds within them. A
    /// counter of 22 bits and 42 random bits follow. Ids of one writer rise with stamp and index.
    pub fn new(stamp: Timestamp, index: u32, random: u64) -> Self {
        let micros = stamp.micros().max(0).unsigned_abs();
        let (millis, sub) = (u128::from(micros.div_euclid(1_000)), u128::from(micros.rem_euclid(1_000)));
        let counter = u128::from(index & 0x003f_ffff);
        let random = u128::from(random & 0x03ff_ffff_ffff);
        // ms:48 | version:4 | us:10, counter high:2 | variant:2 | counter low:20 | random:42
        let bits = (millis << 80)
            | (0x7 << 76)
            | (sub << 66)
            | ((counter >> 20) << 64)
            | (0b10 << 62)
            | ((counter & 0xf_ffff) << 42)
            | random;
        Self(Uuid::from_u128(bits))
    }
}

impl WorkId {
    /// Before every entry.
    pub const MIN: Self = Self(Uuid::nil());
    /// After every entry.
    pub const MAX: Self = Self(Uuid::max());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_keep_their_rules() {
        assert!(CustomerId::parse("ACME._:@-9").is_ok());
        assert_eq!(CustomerId::parse(""), Err(TextError::Empty));
        assert_eq!(CustomerId::parse(&"x".repeat(129)), Err(TextError::TooLong { max: 128 }));
        for bad in ["a b", "a/b", "é", "a\n", "a\0", "a,b"] {
            assert!(matches!(CustomerId::parse(bad), Err(TextError::Character { .. })), "{bad:?}");
        }
        for order in ["#1001", "EN#1001-F1", "#"] {
            assert_eq!(OrderId::parse(order).unwrap().as_str(), order);
            let error = CustomerId::parse(order).unwrap_err().to_string();
            assert_eq!(error, "must consist of letters, digits and ._:@-");
        }
        let error = OrderId::parse("# 1").unwrap_err().to_string();
        assert_eq!(error, "must consist of letters, digits and ._:@-#");
        assert!(Text::parse("line\nbreak").is_err());
        assert!(Text::parse("plain – text").is_ok());
    }

    #[test]
    fn only_canonical_uuids_are_packed() {
        let canonical = "0198c5a4-7b1c-7000-8000-000000000001";
        assert!(matches!(RequestKey::parse(canonical), Ok(RequestKey::Uuid(_))));
        for text in [canonical.to_uppercase(), canonical.replace('-', ""), "order 7".into()] {
            let key = RequestKey::parse(&text).unwrap();
            assert!(matches!(key, RequestKey::Text(_)));
            assert_eq!(key.to_string(), text);
        }
    }

    #[test]
    fn posting_ids_are_version_7_and_rise() {
        let stamp = Timestamp::from_micros(1_700_000_000_123_456);
        let ids = [
            PostingId::new(stamp, 0, u64::MAX),
            PostingId::new(stamp, 1, 0),
            PostingId::new(stamp, 0x0010_0000, 0),
            PostingId::new(Timestamp::from_micros(stamp.micros() + 1), 0, 0),
        ];
        assert!(ids.is_sorted() && ids.iter().all(|id| id.uuid().get_version_num() == 7));
        assert_eq!(ids[0].uuid().get_variant(), uuid::Variant::RFC4122);
    }
}
