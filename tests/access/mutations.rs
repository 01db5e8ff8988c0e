//! Valid tokens with random changes: none is taken, and nothing panics.

use creditledger::access::Refused;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::rig::{Rig, claims};
use crate::signer::{Signer, base64url};

const SEED: u64 = 20_261_128;

#[derive(Clone, Debug)]
enum Change {
    Put(prop::sample::Index, char),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, String),
    Swap(prop::sample::Index, prop::sample::Index),
    /// Bytes of the header or the claims, behind their base64.
    Inside(bool, prop::sample::Index, u8),
}

fn change() -> impl Strategy<Value = Change> {
    let place = any::<prop::sample::Index>;
    prop_oneof![
        (place(), any::<char>()).prop_map(|(place, sign)| Change::Put(place, sign)),
        (place(), "[A-Za-z0-9_.=+/-]").prop_map(|(place, sign)| Change::Insert(place, sign)),
        place().prop_map(Change::Cut),
        (place(), "\\PC{0,12}").prop_map(|(place, text)| Change::Insert(place, text)),
        (place(), place()).prop_map(|(one, other)| Change::Swap(one, other)),
        (any::<bool>(), place(), any::<u8>())
            .prop_map(|(header, place, byte)| Change::Inside(header, place, byte)),
    ]
}

fn changed(token: &str, change: &Change) -> String {
    use base64::Engine as _;
    let mut signs: Vec<char> = token.chars().collect();
    match change {
        Change::Put(place, sign) => {
            let at = place.index(signs.len());
            signs[at] = *sign;
        }
        Change::Cut(place) => signs.truncate(place.index(signs.len())),
        Change::Insert(place, text) => {
            let at = place.index(signs.len());
            signs.splice(at..at, text.chars());
        }
        Change::Swap(one, other) => {
            let (one, other) = (one.index(signs.len()), other.index(signs.len()));
            signs.swap(one, other);
        }
        Change::Inside(header, place, byte) => {
            let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
            let at = usize::from(!header).min(parts.len() - 1);
            let part = &mut parts[at];
            let mut bytes =
                base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(&*part).unwrap_or_default();
            if !bytes.is_empty() {
                let at = place.index(bytes.len());
                bytes[at] = *byte;
            }
            *part = base64url(bytes);
            return parts.join(".");
        }
    }
    signs.into_iter().collect()
}

#[test]
fn no_changed_token_is_taken_and_nothing_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let signers = [Signer::rs256("r"), Signer::es256("e"), Signer::eddsa("d")];
    let rig = runtime.block_on(Rig::of(&[&signers[0], &signers[1], &signers[2]]));
    let good: Vec<String> = signers.iter().map(|signer| signer.sign(&claims())).collect();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 3_000,
        rng_seed: RngSeed::Fixed(SEED),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let changes = (0..good.len(), prop::collection::vec(change(), 1..4));
    let result = runner.run(&changes, |(which, changes)| {
        let token = changes.iter().fold(good[which].clone(), |token, change| {
            if token.is_empty() { token } else { changed(&token, change) }
        });
        let answer = runtime.block_on(rig.verify(&token));
        let expected = token == good[which];
        prop_assert_eq!(answer.is_ok(), expected, "{}", token);
        prop_assert!(expected || answer == Err(Refused::Unauthenticated));
        Ok(())
    });
    if let Err(failure) = result {
        panic!("seed {SEED}: {failure}");
    }
}
