//! ReopenCustomer: a closed customer takes new work again.

use super::prelude::*;

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReopenCustomer;
hashed!(ReopenCustomer { + 1 => reason, + 2 => by });

impl CustomerCommand for ReopenCustomer {
    fn keys(&self) -> Keys<'_> {
        Keys::profile()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        if at.customer.state.closed { Ok(at.draft()) } else { Err(Rejection::CustomerNotClosed) }
    }
}
