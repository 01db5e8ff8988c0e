//! Macros by which a type declares its encoding once, so that writing and reading cannot differ.

/// Gives a struct its encoding: `record!(Type { 1 => field, 2 => other })`, tags rising and never reused. A field of a
/// type that is declared as `Type or default` is left out where it has its default.
///
/// A field that only older rows have is named with its type: `record!(Type { .. } older { 9 => Old })`. It is read for
/// ever and never written. `Type::fold_older` turns it into the fields that replaced it, and may read the whole value
/// once more for that.
macro_rules! record {
    ($name:ident $(or $default:ident)? { $($tag:literal => $field:ident),* $(,)? }) => {
        impl $crate::ledger::codec::Codec for $name {
            $crate::ledger::codec::record!(@ put { $($tag => $field),* });

            fn take(
                input: &mut $crate::ledger::codec::Decoder<'_>,
            ) -> Result<Self, $crate::ledger::codec::DecodeError> {
                $crate::ledger::codec::record!(@ take input {} { $($tag => $field),* })
            }

            $(fn left_out() -> Option<Self> {
                Some(Self::$default())
            })?
        }
    };
    ($name:ident { $($tag:literal => $field:ident),* $(,)? } older { $old:literal => $older:ty }) => {
        impl $name {
            /// Reads the value with the field that only older rows have.
            pub(in $crate::ledger) fn take_older(
                input: &mut $crate::ledger::codec::Decoder<'_>,
            ) -> Result<(Self, Option<$older>), $crate::ledger::codec::DecodeError> {
                let mut older = None;
                let value = $crate::ledger::codec::record!(@ take input { $old => older } { $($tag => $field),* });
                value.map(|value| (value, older))
            }
        }

        impl $crate::ledger::codec::Codec for $name {
            $crate::ledger::codec::record!(@ put { $($tag => $field),* });

            fn take(
                input: &mut $crate::ledger::codec::Decoder<'_>,
            ) -> Result<Self, $crate::ledger::codec::DecodeError> {
                let whole = input.clone();
                let (value, older) = Self::take_older(input)?;
                match older {
                    Some(older) => value.fold_older(&older, whole),
                    None => Ok(value),
                }
            }
        }
    };
    (@ put { $($tag:literal => $field:ident),* }) => {
        fn put(&self, out: &mut $crate::ledger::codec::Encoder) {
            use $crate::ledger::codec::Codec;
            // Destructured, so that a field without a tag does not compile.
            let Self { $($field),* } = self;
            $(if !Codec::is_default($field) {
                out.push($tag);
                Codec::put($field, out);
            })*
            out.push(0);
        }
    };
    (@ take $input:ident { $($old:literal => $older:ident)? } { $($tag:literal => $field:ident),* }) => {{
        use $crate::ledger::codec::{Codec, DecodeError};
        $(let mut $field = None;)*
        loop {
            match $input.byte()? {
                0 => break,
                $($old => $older = Some(Codec::take($input)?),)?
                $($tag => $field = Some(Codec::take($input)?),)*
                other => return Err(DecodeError::UnknownField(other)),
            }
        }
        Ok(Self {
            $($field: $field
                .or_else(Codec::left_out)
                .ok_or(DecodeError::MissingField(stringify!($field)))?),*
        })
    }};
}

/// Gives an enumeration with fields its encoding: the code of the variant, then its fields in their order. Codes are
/// never reused. `or default` is as for [`record`]. Example: `tagged!(Type { 0 => None, 1 => Amount(credits) })`.
macro_rules! tagged {
    ($name:ident $(<$param:ident>)? $(or $default:ident)? {
        $($tag:literal => $variant:ident $(($($field:ident),+))?),* $(,)?
    }) => {
        impl $(<$param: $crate::ledger::codec::Codec>)? $crate::ledger::codec::Codec for $name $(<$param>)? {
            fn put(&self, out: &mut $crate::ledger::codec::Encoder) {
                match self {
                    $(Self::$variant $(($($field),+))? => {
                        out.push($tag);
                        $($($crate::ledger::codec::Codec::put($field, out);)+)?
                    })*
                }
            }

            fn take(
                input: &mut $crate::ledger::codec::Decoder<'_>,
            ) -> Result<Self, $crate::ledger::codec::DecodeError> {
                Ok(match input.byte()? {
                    $($tag => Self::$variant $(($($crate::ledger::codec::tagged!(@ take $field input)),+))?,)*
                    _ => return Err($crate::ledger::codec::DecodeError::Range),
                })
            }

            $(fn left_out() -> Option<Self> {
                Some(Self::$default())
            })?
        }
    };
    (@ take $field:ident $input:ident) => { $crate::ledger::codec::Codec::take($input)? };
}

/// Declares an enumeration without fields, with the codes under which it is stored; codes are never reused.
macro_rules! coded_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $code:literal / $label:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            pub const fn code(self) -> u8 {
                match self { $(Self::$variant => $code),* }
            }

            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The name that people and the API read.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $label),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl $crate::ledger::codec::Codec for $name {
            fn put(&self, out: &mut $crate::ledger::codec::Encoder) {
                out.push(self.code());
            }

            fn take(input: &mut $crate::ledger::codec::Decoder<'_>) -> Result<Self, $crate::ledger::codec::DecodeError> {
                let code = input.byte()?;
                Self::from_code(code).ok_or($crate::ledger::codec::DecodeError::Range)
            }
        }
    };
}

/// Encodes a type through a simpler one: how to get there, how to come back, and its default, where it has one.
macro_rules! through {
    ($type:ty as $via:ty, $to:expr, $from:expr $(, $default:expr)?) => {
        impl $crate::ledger::codec::Codec for $type {
            fn put(&self, out: &mut $crate::ledger::codec::Encoder) {
                let to: fn(&Self) -> $via = $to;
                to(self).put(out);
            }

            fn take(
                input: &mut $crate::ledger::codec::Decoder<'_>,
            ) -> Result<Self, $crate::ledger::codec::DecodeError> {
                let from: fn($via) -> Option<Self> = $from;
                from(<$via>::take(input)?).ok_or($crate::ledger::codec::DecodeError::Range)
            }

            $(fn left_out() -> Option<Self> {
                Some($default)
            })?
        }
    };
}

pub(crate) use {coded_enum, record, tagged, through};
