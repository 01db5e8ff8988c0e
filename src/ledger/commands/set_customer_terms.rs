//! SetCustomerTerms: changes what was agreed, and may charge credits for it.

use super::prelude::*;
use super::pricing::must_have_card;
use crate::ledger::change::Change;
use crate::ledger::customer::Terms;
use crate::ledger::ids::{CardId, PackageId};
use crate::ledger::money::MoneyAccount;
use crate::ledger::time::Day;
use crate::ledger::top_up::{TopUp, TopUpAct};

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetCustomerTerms {
    pub rate_card: Change<CardId>,
    pub package: Change<PackageId>,
    /// Starts the free-support window anew.
    pub product_purchased_on: Change<Day>,
    pub top_up: Change<Arc<TopUp>>,
    /// Charged in the same posting; zero for nothing.
    pub charge: Credits,
}
hashed!(SetCustomerTerms {
    1 => rate_card, 2 => package, 3 => product_purchased_on, 4 => charge, + 5 => reason, + 6 => by, 7 => top_up,
});

impl CustomerCommand for SetCustomerTerms {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        if let Change::Set(card) = &self.rate_card {
            must_have_card(at.book, at.customer.ledger, card)?;
        }
        let before = &at.customer.state.terms;
        let mut draft = at.draft();
        draft.need_available(self.charge)?;
        draft.shift(Slot::Third, self.charge)?;
        draft.burn(self.charge, MoneyAccount::EarnedRevenue)?;
        draft.detail.top_up_act = matches!(self.top_up, Change::Set(_)).then_some(TopUpAct::Agreed);
        draft.detail.terms = Some(Terms {
            rate_card: self.rate_card.apply(before.rate_card.as_ref()),
            package: self.package.apply(before.package.as_ref()),
            product_purchased_on: self.product_purchased_on.apply(before.product_purchased_on.as_ref()),
            top_up: self.top_up.apply(before.top_up.as_ref()),
        });
        Ok(draft)
    }
}
