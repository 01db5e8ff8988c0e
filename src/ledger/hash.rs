//! One stable 64-bit hash, for customer keys and fingerprints. It is stored, so it must never change.

/// Hashes `parts`, each ended by a byte that no id contains, so that ("a", "bc") and ("ab", "c") differ.
///
/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>) with the 64-bit finaliser of MurmurHash3, which spreads
/// short, similar texts over all bits. Not a defence against chosen collisions: a caller that compares hashes also
/// compares what was hashed, or has both texts from one caller.
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
