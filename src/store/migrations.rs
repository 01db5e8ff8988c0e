//! The migrations of each engine as the build found them, and their checksums.

use sha2::{Digest as _, Sha384};

/// A step of the schema. Once it has landed it is never edited.
#[derive(Debug)]
pub struct Migration {
    pub version: i64,
    pub description: &'static str,
    pub sql: &'static str,
}

impl Migration {
    /// What tells a database whether it was migrated by just this text.
    pub fn checksum(&self) -> Vec<u8> {
        Sha384::digest(self.sql.as_bytes()).to_vec()
    }
}

include!(concat!(env!("OUT_DIR"), "/migrations.rs"));
