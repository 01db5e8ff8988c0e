//! One hash for a whole journal, the same in every engine.

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::ledger::codec::{Codec, Encoder};
use crate::ledger::{Balances, Posting};
use crate::store::Recorded;

/// SHA-256 over the postings of all ledgers, by ledger number and position. Each posting adds its ledger number (4
/// bytes), its position (8), the length of its encoding (8), and the encoding. Numbers begin with the most significant
/// byte.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalDigest {
    sha: Sha256,
    encoding: Vec<u8>,
}

impl JournalDigest {
    pub fn add(&mut self, recorded: &Recorded) {
        self.encoding.clear();
        let mut encoder = Encoder::inline(std::mem::take(&mut self.encoding));
        put(&recorded.posting, &mut encoder);
        self.encoding = encoder.into_bytes();
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

/// Every field in the core's encoding. An optional field has a 1 in front, or is a 0.
fn put(posting: &Posting, out: &mut Encoder) {
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
        detail: _,
        texts: _,
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
    // Only the detail is hashed, not the texts, so that erasing texts changes no digest.
    let (mut detail, mut words) = (Vec::new(), Vec::new());
    posting.put_detail(&mut detail, &mut words);
    out.extend_from_slice(&detail);
}

fn put_option(value: Option<&impl Codec>, out: &mut Encoder) {
    value.is_some().put(out);
    if let Some(value) = value {
        value.put(out);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ledger::account::Amounts;
    use crate::ledger::posting::Detail;
    use crate::ledger::rules::Rules;
    use crate::ledger::{
        Credits, CustomerId, CustomerKey, Kind, LedgerNo, PostingId, RequestKey, Storefront, Texts, Timestamp,
    };
    use crate::store::Position;

    fn recorded() -> Recorded {
        let customer = CustomerId::parse("acme").unwrap();
        let posting = Posting {
            id: PostingId::new(Timestamp::from_micros(1_767_225_600_000_000), 1, 2),
            ledger: LedgerNo::MAIN,
            customer: CustomerKey::of(LedgerNo::MAIN, &customer),
            sequence: 1,
            kind: Kind::PurchaseCredits,
            recorded_at: Timestamp::from_micros(1_767_225_600_000_000),
            request: Some(RequestKey::parse("r1").unwrap()),
            fingerprint: 9,
            amounts: Amounts::default(),
            after: Balances::default(),
            storefront: Some(Storefront::parse("web").unwrap()),
            detail: Detail { created: Some(customer), rules: Rules::First, ..Detail::default() },
            texts: Texts::default(),
        };
        Recorded { position: Position(1), posting: Arc::new(posting) }
    }

    fn digest(postings: &[Recorded]) -> String {
        let mut digest = JournalDigest::default();
        for posting in postings {
            digest.add(posting);
        }
        digest.finish()
    }

    /// Digests that people wrote down must not change.
    #[test]
    fn the_digest_of_a_journal_stays_what_it_is() {
        assert_eq!(digest(&[]), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(digest(&[recorded()]), "3eeb8b634261cab6c3b5df1ddb95916f42d9227c5176c7e752799f61d8791096");
    }

    #[test]
    fn every_field_counts() {
        let changes: [fn(&mut Posting); 14] = [
            |posting| posting.id = PostingId::new(Timestamp::from_micros(5), 1, 2),
            |posting| posting.ledger = LedgerNo::new(1).unwrap(),
            |posting| posting.customer = CustomerKey::from_raw(7),
            |posting| posting.sequence = 2,
            |posting| posting.kind = Kind::GrantCredits,
            |posting| posting.recorded_at = Timestamp::from_micros(5),
            |posting| posting.request = None,
            |posting| posting.fingerprint = 8,
            |posting| posting.amounts.0[6] = Credits::from_units(1),
            |posting| posting.after.available = Credits::from_units(1),
            |posting| posting.after.held = Credits::from_units(1),
            |posting| posting.after.owed = Credits::from_units(1),
            |posting| posting.storefront = None,
            |posting| posting.detail.nearly_used = true,
        ];
        let mut digests = std::collections::BTreeSet::from([digest(&[recorded()])]);
        for change in changes {
            let mut changed = recorded();
            change(Arc::make_mut(&mut changed.posting));
            digests.insert(digest(&[changed]));
        }
        digests.insert(digest(&[Recorded { position: Position(2), ..recorded() }]));
        digests.insert(digest(&[recorded(), recorded()]));
        assert_eq!(digests.len(), 17);
    }
}
