//! What a command reads of the stored state, and how it names it.

use crate::ledger::codec::tagged;
use crate::ledger::ids::{HoldId, IncidentId, LotId, OrderId, Storefront, WorkId};

/// Names a hold by its id, or by its incident: then the open one is meant, else the newest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HoldRef {
    Id(HoldId),
    Incident(IncidentId),
}
tagged!(HoldRef { 1 => Id(id), 2 => Incident(id) });

/// Names a purchase by its id, or by the storefront's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseRef {
    Id(LotId),
    Order(Storefront, OrderId),
}
tagged!(PurchaseRef { 1 => Id(id), 2 => Order(storefront, order) });

/// What a command reads of the stored state beyond its customer. A store loads exactly this. Where something is due or
/// parked it also loads the customer's watched holds ([`Hold::is_watched`](crate::ledger::hold::Hold::is_watched)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Keys<'a> {
    /// One hold by id.
    pub hold: Option<HoldId>,
    /// All holds of one incident, ended ones included.
    pub incident: Option<&'a IncidentId>,
    /// With `hold`: all holds of that hold's incident as well.
    pub whole_incident: bool,
    /// An entry of work on the hold, or on the active one of the incident. Loaded with it are the other entries that
    /// voiding it needs: [`WorkSums::remove`](crate::ledger::work::WorkSums::remove).
    pub work: Option<WorkId>,
    /// The order of a purchase.
    pub order: Option<(&'a Storefront, &'a OrderId)>,
    /// The lot of a purchase. Where it is named by its order, `order` has the same.
    pub purchase: Option<&'a PurchaseRef>,
    /// With `hold` or `incident`: the purchases whose credits their settlements burned. Loaded where anything of the
    /// settlement can be given back.
    pub burned: bool,
    /// True for the customer's profile. Commands about the customer itself name it: their answers show the whole customer.
    pub profile: bool,
}

impl<'a> Keys<'a> {
    /// Of a command about the customer itself.
    pub(super) fn profile() -> Self {
        Self { profile: true, ..Self::default() }
    }

    pub(super) fn incident(incident: &'a IncidentId) -> Self {
        Self { incident: Some(incident), ..Self::default() }
    }

    pub(super) fn hold(hold: &'a HoldRef) -> Self {
        match hold {
            HoldRef::Id(id) => Self { hold: Some(*id), ..Self::default() },
            HoldRef::Incident(incident) => Self::incident(incident),
        }
    }

    /// A hold and the others of its incident: what a settlement costs depends on what was charged before.
    pub(super) fn whole_incident(hold: &'a HoldRef) -> Self {
        Self { whole_incident: true, ..Self::hold(hold) }
    }

    pub(super) fn order(storefront: &'a Storefront, order: &'a OrderId) -> Self {
        Self { order: Some((storefront, order)), ..Self::default() }
    }

    pub(super) fn purchase(purchase: &'a PurchaseRef) -> Self {
        let by_order = match purchase {
            PurchaseRef::Id(_) => Self::default(),
            PurchaseRef::Order(storefront, order) => Self::order(storefront, order),
        };
        Self { purchase: Some(purchase), ..by_order }
    }
}
