//! CloseCustomer: the customer takes no new work from now on.

use super::prelude::*;

/// Closes a customer without open holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseCustomer;
hashed!(CloseCustomer { + 1 => reason, + 2 => by });

impl CustomerCommand for CloseCustomer {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_not_be_closed()?;
        match at.customer.state.open_holds {
            0 => Ok(at.draft()),
            count => Err(Rejection::HoldsOpen { count }),
        }
    }
}
