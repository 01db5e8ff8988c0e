//! PlaceHold: estimates an incident and confirms the estimate at once.

use super::estimate_incident::EstimateIncident;
use super::estimating::{confirm_whole, confirmation};
use super::prelude::*;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceHold {
    pub estimate: EstimateIncident,
    /// Wait for credits where there are too few, instead of a rejection.
    pub park: bool,
}
hashed!(PlaceHold { 1 => estimate, 2 => park });

impl CustomerCommand for PlaceHold {
    fn keys(&self) -> Keys<'_> {
        self.estimate.keys()
    }

    fn decide<'a>(&self, at: &Context<'a>) -> Result<Draft<'a>, Rejection> {
        at.must_not_be_closed()?;
        at.must_have_no_open_hold(&self.estimate.incident)?;
        at.must_have_room_for_a_hold()?;
        let draft = at.draft();
        let hold = self.estimate.new_hold(at, &draft)?;
        confirm_whole(at, draft, hold, self.park)
    }

    fn event(posting: &Posting) -> Option<Meaning> {
        Some(confirmation(posting))
    }
}
