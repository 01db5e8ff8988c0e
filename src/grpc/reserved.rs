//! Fields that not every caller of their method may set, all in one place.
//!
//! Which role may call a method is written in the protos. Within a method, terms and prices of a customer are the operator's.
//! To waive a charge and to estimate outside the range of a class are what helpdesks do, each with a reason that is kept. The
//! settings may take either from a role.

use crate::access::RoleLimits;
use crate::ledger::Text;
use crate::ledger::actor::Role;

use super::parse::Fields;
use super::status::Problem;

impl Fields {
    /// Refuses a field that only operators may set, by anybody else.
    pub fn operators_only(&mut self, field: &str, is_set: bool) -> Option<()> {
        self.reserved(field, is_set, self.called().role() == Role::Operator)
    }

    /// Why a charge is waived.
    pub fn waive_reason(&mut self, text: &str) -> Option<Text> {
        self.allowed_text("waive_reason", text, |limits| limits.may_waive)
    }

    /// Why an estimate is outside the range of its class.
    pub fn range_override_reason(&mut self, text: &str) -> Option<Text> {
        self.allowed_text("range_override_reason", text, |limits| limits.may_override_range)
    }

    /// A text that the settings may keep a role from giving.
    fn allowed_text(&mut self, field: &str, text: &str, may: fn(&RoleLimits) -> bool) -> Option<Text> {
        let is_allowed = self.called().allowance().is_none_or(|allowance| may(&allowance.limits));
        let read = self.text(field, text);
        self.reserved(field, !text.is_empty(), is_allowed).and(read)
    }

    fn reserved(&mut self, field: &str, is_set: bool, is_allowed: bool) -> Option<()> {
        if is_allowed || !is_set {
            return Some(());
        }
        let role = self.called().role();
        self.deny(Problem::permission_denied(role, &format!("set {field}")))
    }
}
