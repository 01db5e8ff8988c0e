//! Who calls: tokens of every shape, the keys of providers that fail in every way, and settings with what they mean.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed

#[path = "../common/clock.rs"]
mod clock;
#[path = "../common/provider.rs"]
mod provider;
#[path = "../common/receiver.rs"]
#[allow(dead_code)] // shared with the tests of the stores
mod receiver;
#[path = "../common/signer.rs"]
mod signer;

mod certificates;
mod examples;
mod fetching;
mod flood;
mod key_sets;
mod known;
mod mutations;
mod rig;
mod rules;
mod tokens;
