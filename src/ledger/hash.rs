//! Two hashes: a stable one of 64 bits for customer keys and fingerprints, which is stored and must never change, and a quick
//! one for maps by ids.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A map by ids.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;
/// A set of ids.
pub type IdSet<K> = HashSet<K, BuildHasherDefault<IdHasher>>;

/// Hashes ids by a multiplication and a shift for each eight bytes: the standard library's hash was a fortieth of the
/// writer's time.
///
/// Not for what callers fill without bounds: it has no secret, so who wants to can find ids that collide. A batch is
/// bounded, and what a thousand collisions cost is less than its commit.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdHasher(u64);

impl IdHasher {
    const fn mix(&mut self, word: u64) {
        // The golden ratio's fraction: odd, and its bits follow no pattern. Maps take the low bits, which a product fills
        // from low bits alone, so that the high ones are folded into them.
        let product = (self.0 ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.0 = product ^ (product >> 32);
    }
}

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.mix(u64::from_le_bytes(*word));
        }
        if !rest.is_empty() {
            let mut last = [0; 8];
            last.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
            self.mix(u64::from_le_bytes(last));
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// Hashes `parts`, each ended by a byte that no id contains, so that ("a", "bc") and ("ab", "c") differ.
///
/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>) with the 64-bit finaliser of MurmurHash3, which spreads
/// short, similar texts over all bits. Not a defence against chosen collisions: who compares hashes compares what
/// was hashed as well, or holds both texts from one caller.
#[must_use]
pub fn stable_hash(parts: &[&[u8]]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut mix = |byte: u8| {
        hash ^= u64::from(byte);
        hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
    };
    for part in parts {
        part.iter().copied().for_each(&mut mix);
        mix(0xff);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use super::stable_hash;

    #[test]
    fn never_changes_and_keeps_parts_apart() {
        assert_eq!(stable_hash(&[b"main", b"acme"]), 0x122a_1803_d3b1_ff15);
        assert_ne!(stable_hash(&[b"a", b"bc"]), stable_hash(&[b"ab", b"c"]));
    }
}
