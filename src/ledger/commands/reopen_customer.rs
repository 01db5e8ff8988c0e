//! ReopenCustomer: a closed customer takes new work again.

use super::context::Context;
use super::customer_command::CustomerCommand;
use super::draft::Draft;
use crate::ledger::fingerprint::asked;
use crate::ledger::reject::Rejection;

/// Reopens a closed customer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReopenCustomer;
asked!(ReopenCustomer { + 1 => reason, + 2 => by });

impl CustomerCommand for ReopenCustomer {
    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        if at.customer.state.closed { Ok(at.draft()) } else { Err(Rejection::CustomerNotClosed) }
    }
}
