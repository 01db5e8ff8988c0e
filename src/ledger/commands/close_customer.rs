//! CloseCustomer: the customer takes no new work from now on.

use super::context::Context;
use super::customer_command::CustomerCommand;
use super::draft::Draft;
use crate::ledger::fingerprint::asked;
use crate::ledger::reject::Rejection;

/// Closes a customer without open holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CloseCustomer;
asked!(CloseCustomer { + 1 => reason, + 2 => by });

impl CustomerCommand for CloseCustomer {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_not_be_closed()?;
        match at.customer.state.open_holds {
            0 => Ok(at.draft()),
            count => Err(Rejection::HoldsOpen { count }),
        }
    }
}
