//! CreateCustomer: makes a customer. It is the only command whose customer must not exist.

use super::draft::Submission;
use super::prelude::*;
use super::pricing::must_have_card;
use crate::ledger::book::Book;
use crate::ledger::customer::{Customer, Profile, Terms};
use crate::ledger::entry::Entry;
use crate::ledger::ids::{CustomerId, CustomerKey, LedgerNo};
use crate::ledger::kind::Kind;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CreateCustomer {
    pub profile: Profile,
    /// What was agreed from the start.
    pub terms: Terms,
}
hashed!(CreateCustomer { 1 => profile, 2 => terms, + 60 => reason, + 61 => by });

impl CreateCustomer {
    /// The customer's first posting.
    pub(in crate::ledger) fn create(
        &self,
        book: &Book,
        ledger: LedgerNo,
        id: &CustomerId,
        submission: Submission<'_>,
    ) -> Result<Arc<Posting>, Rejection> {
        if let Some((_, existing)) = book.loaded(CustomerKey::of(ledger, id)) {
            let same = existing.ledger == ledger && existing.id == *id;
            let exists = Rejection::CustomerExists { original: None };
            return Err(if same { exists } else { Rejection::CustomerIdUnusable });
        }
        if let Some(card) = &self.terms.rate_card {
            must_have_card(book, ledger, card)?;
        }
        let unborn = Customer::unborn(ledger, id, book.now);
        let mut draft = Draft::by_request(book, &unborn, Kind::CreateCustomer, submission);
        draft.detail.created = Some(id.clone());
        draft.detail.profile = Some(Arc::new(self.profile.clone()));
        draft.detail.terms = Some(self.terms.clone()).filter(|terms| *terms != Terms::default());
        draft.finish(&Entry::default())
    }
}

impl CustomerCommand for CreateCustomer {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    /// Never called for a new customer: [`CreateCustomer::create`] decides.
    fn decide<'a>(&self, _: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        Err(Rejection::CustomerExists { original: None })
    }
}
