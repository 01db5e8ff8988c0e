//! The migrations of each engine, embedded at build time, with their checksums.

use sha2::{Digest as _, Sha384};

/// A step of the schema. It is never edited once it has landed.
#[derive(Debug)]
pub struct Migration {
    pub version: i64,
    pub description: &'static str,
    pub sql: &'static str,
}

impl Migration {
    /// Databases store it: a migration whose text was edited later is refused.
    pub fn checksum(&self) -> Vec<u8> {
        Sha384::digest(self.sql.as_bytes()).to_vec()
    }
}

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));
