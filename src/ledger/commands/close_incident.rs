//! CloseIncident: the customer ends an incident. It releases or settles, whichever fits.

use super::prelude::*;
use super::settling::{Settling, end_without_charge, ended, must_be_expected};

/// Without work a release (a quote is declined), with work a settlement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseIncident {
    pub hold: HoldRef,
    /// The most that the customer may pay.
    pub max_charge: Option<Credits>,
    /// The recorded seconds that the caller has seen.
    pub expected_work_seconds: Option<u64>,
}
hashed!(CloseIncident { 1 => hold, 2 => max_charge, 3 => expected_work_seconds, + 4 => reason, + 5 => by });

impl CustomerCommand for CloseIncident {
    fn keys(&self) -> Keys<'_> {
        Keys::whole_incident(&self.hold)
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        let hold = at.hold(&self.hold)?;
        let state = match hold.state {
            HoldState::Quoted => HoldState::Declined,
            HoldState::AwaitingCredits => HoldState::Released,
            HoldState::Active if hold.work.is_empty() => HoldState::Released,
            HoldState::Active => {
                let settling = Settling {
                    max_charge: self.max_charge,
                    expected_work_seconds: self.expected_work_seconds,
                    ..Settling::default()
                };
                return settling.settle(at, hold);
            }
            state @ (HoldState::Settled
            | HoldState::Released
            | HoldState::Expired
            | HoldState::Declined
            | HoldState::Superseded) => return Err(Rejection::HoldNotActive { state }),
        };
        must_be_expected(self.expected_work_seconds, 0)?;
        end_without_charge(at, hold, state, &Text::EMPTY)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        ended(posting)
    }
}
