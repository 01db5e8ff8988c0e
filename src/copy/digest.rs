//! One number for a whole journal, the same in every engine.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::ledger::codec::Codec;
use crate::ledger::{Balances, Posting};
use crate::store::Recorded;

/// SHA-256 over the postings of all ledgers, by ledger number and position: of each the number (4 bytes), the position
/// (8), the length of its encoding (8), most significant byte first, and the encoding.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalDigest {
    sha: Sha256,
    encoding: Vec<u8>,
}

impl JournalDigest {
    pub fn add(&mut self, recorded: &Recorded) {
        self.encoding.clear();
        put(&recorded.posting, &mut self.encoding);
        let length = u64::try_from(self.encoding.len()).unwrap_or(u64::MAX);
        self.sha.update(recorded.posting.ledger.get().to_be_bytes());
        self.sha.update(recorded.position.0.to_be_bytes());
        self.sha.update(length.to_be_bytes());
        self.sha.update(&self.encoding);
    }

    /// In hexadecimal digits.
    pub fn finish(self) -> String {
        self.sha.finalize().iter().fold(String::new(), |mut text, byte| {
            // Writing to a string does not fail.
            let _ = write!(text, "{byte:02x}");
            text
        })
    }
}

/// Every field in the core's encoding; one that may be missing is led by 1, or is a 0.
fn put(posting: &Posting, out: &mut Vec<u8>) {
    let Posting {
        id,
        ledger,
        customer,
        sequence,
        kind,
        recorded_at,
        request,
        fingerprint,
        amounts,
        after: Balances { available, held, owed },
        storefront,
        detail,
    } = posting;
    id.put(out);
    ledger.get().put(out);
    customer.raw().put(out);
    sequence.put(out);
    u32::from(kind.code()).put(out);
    recorded_at.put(out);
    put_option(request.as_ref(), out);
    fingerprint.put(out);
    amounts.0.iter().chain([available, held, owed]).for_each(|credits| credits.put(out));
    put_option(storefront.as_ref(), out);
    detail.put(out);
}

fn put_option(value: Option<&impl Codec>, out: &mut Vec<u8>) {
    value.is_some().put(out);
    if let Some(value) = value {
        value.put(out);
    }
}
