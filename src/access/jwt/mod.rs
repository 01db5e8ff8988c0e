//! JWT of OpenID Connect providers and of service accounts: whose signature holds, and whom their claims name.
//!
//! # What it is
//! A [`Verifier`] makes a [`Caller`](super::Caller) of a token. The token names its issuer, which must be the issuer of
//! one [`Provider`] to the letter. The key comes from that provider's set (a JWKS), by the token's `kid`. What the claims
//! mean is said by the provider's [`Rules`]. The parsing is our own, over `ring`: a token has one reading or none.
//!
//! # Invariants
//! - The algorithm is one of the provider's, and fits the key's type. So a public key never serves as a secret.
//! - Nothing in a token says where its key is to be found: `jwk`, `jku`, `x5u` and `crit` are refused.
//! - A name stands once in a JSON object. `exp`, `iss`, `aud` and `sub` are there, with the right type.
//! - One fetch of a provider's keys is under way at a time. Unknown keys start at most one in 30 seconds.
//! - A caller whose key is known never waits for a fetch.
//! - A token that was verified is remembered until it expires, and only while its key is in the provider's set.
//!
//! # Failure
//! A fetch that fails, or brings no key that can be used, keeps the keys that are there. They serve for a day after the
//! last fetch that succeeded (settable); after that callers are told that it cannot be checked who they are. So they are
//! before the first fetch has succeeded, and while a fetch is under way that may bring their key. A token that does not hold is refused with one reason; what was wrong is logged
//! at debug level, without the token.
//!
//! # Cost
//! A known token costs a SHA-256 and a look into a table. Another costs one verification of a signature, 30-150 us.
//! Remembered tokens are bounded by count and bytes. A set has at most 10,000 keys, from at most 4 MiB.

mod algorithm;
mod claims;
mod json;
mod key_set;
mod keys;
mod known;
mod probe;
mod provider;
mod rules;
mod source;
mod token;
mod verifier;

pub use algorithm::Algorithm;
pub use probe::probe;
pub use provider::{KeySource, Provider};
pub use rules::{ClaimPath, Grant, LedgerRule, Rules};
pub use verifier::Verifier;

/// What is wrong with a token. It is for the log at debug level, and never told to callers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault(&'static str);
