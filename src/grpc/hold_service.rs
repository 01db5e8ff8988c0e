//! HoldService: estimates, holds, work and charges. Its commands are read in `hold_commands`.

use std::sync::Arc;

use crate::ledger::commands::HoldRef;
use crate::ledger::ids::LabelId;
use crate::ledger::receipt::receipt;
use crate::ledger::work::Work;
use crate::ledger::{ClassId, CustomerId, HoldState, IncidentId};
use crate::query::{HoldFilter, HoldQuery, HoldTarget as Asked, PageRequest, ReadError, StoreError};

use super::api::{Call, Reply, show_page};
use super::convert;
use super::hold_commands::read_hold;
use super::parse::{Fields, complete};
use super::wire::{
    GetHoldRequest, GetHoldResponse, GetReceiptRequest, GetReceiptResponse, Hold, HoldTarget,
    ListHoldsRequest, ListHoldsResponse, ListSettlementsRequest, ListSettlementsResponse, ListWorkRequest,
    ListWorkResponse, Receipt,
};

impl Call {
    pub(super) async fn list_work(&self, message: ListWorkRequest) -> Reply<ListWorkResponse> {
        let read = |message, fields: &mut Fields| {
            let ListWorkRequest { ledger_id: _, customer_id, target, page_size, page_token } = message;
            let target = read_target(fields, &customer_id, target);
            target.zip(fields.page(page_size, page_token))
        };
        let (ledger, (target, page)) = self.read(message, read).await?;
        let listed = self.reader.work(ledger.no, &target, &page).await?;
        let (entries, next_page_token) = show_page(listed, |work: &Arc<Work>| convert::work(work));
        Ok(ListWorkResponse { entries, next_page_token })
    }

    pub(super) async fn get_hold(&self, message: GetHoldRequest) -> Reply<GetHoldResponse> {
        let (ledger, target) = self.read(message, read_get).await?;
        let hold = self.reader.hold(ledger.no, &target).await?;
        Ok(GetHoldResponse { hold: Some(convert::hold(&hold, &ledger.id)) })
    }

    pub(super) async fn list_holds(&self, message: ListHoldsRequest) -> Reply<ListHoldsResponse> {
        let (holds, next_page_token) = self.hold_page(message, false).await?;
        Ok(ListHoldsResponse { holds, next_page_token })
    }

    pub(super) async fn list_settlements(
        &self,
        message: ListSettlementsRequest,
    ) -> Reply<ListSettlementsResponse> {
        let (holds, next_page_token) = self.hold_page(message.into(), true).await?;
        Ok(ListSettlementsResponse { holds, next_page_token })
    }

    pub(super) async fn get_receipt(&self, message: GetReceiptRequest) -> Reply<GetReceiptResponse> {
        let (ledger, target) = self.read(message.into(), read_get).await?;
        let hold = self.reader.settled_hold(ledger.no, &target).await?;
        let settlement = hold.settlement.as_ref().ok_or(ReadError::SettlementNotFound)?;
        let cards = self.reader.cards_with(ledger.no, &hold.card).await?;
        let calculation = receipt(&cards, ledger.no, &hold.card, settlement)
            .map_err(|fault| ReadError::Storage(StoreError::Damaged(format!("hold {}: {fault}", hold.id))))?;
        let receipt = Receipt {
            hold_id: hold.id.to_string(),
            ledger_id: ledger.id.to_string(),
            customer_id: hold.customer.to_string(),
            incident_id: hold.incident.to_string(),
            rate_card: Some(convert::card_ref(&hold.card)),
            inputs: Some(convert::inputs(&settlement.inputs)),
            steps: calculation.steps.iter().map(convert::step).collect(),
            settlement: Some(convert::settlement(settlement)),
            rules_number: settlement.inputs.rules.number().into(),
        };
        Ok(GetReceiptResponse { receipt: Some(receipt) })
    }

    /// A page of holds, or with `settled` of settlements and charges without a hold; also the token of the next page.
    async fn hold_page(&self, message: ListHoldsRequest, settled: bool) -> Reply<(Vec<Hold>, String)> {
        let read = |message, fields: &mut Fields| read_list(message, fields, settled);
        let (ledger, (customer, query, page)) = self.read(message, read).await?;
        let listed = self.reader.holds(ledger.no, customer.as_ref(), query, &page).await?;
        Ok(show_page(listed, |hold| convert::hold(hold, &ledger.id)))
    }
}

fn read_list(
    message: ListHoldsRequest,
    fields: &mut Fields,
    settled: bool,
) -> Option<(Option<CustomerId>, HoldQuery, PageRequest)> {
    let ListHoldsRequest {
        ledger_id: _,
        customer_id,
        incident_id,
        states,
        incident_class,
        created_from,
        created_until,
        label,
        opened_from,
        opened_until,
        page_size,
        page_token,
    } = message;
    let customer = fields.optional_customer(&customer_id);
    let filter = complete!(HoldFilter {
        customer: Some(None),
        incident: fields.optional("incident_id", &incident_id, IncidentId::parse),
        states: read_states(fields, states),
        class: fields.optional("incident_class", &incident_class, ClassId::parse),
        from: fields.time("created_from", created_from),
        until: fields.time("created_until", created_until),
        settled,
    });
    let query = complete!(HoldQuery {
        filter: filter,
        label: fields.optional("label", &label, LabelId::parse),
        opened_from: fields.time("opened_from", opened_from),
        opened_until: fields.time("opened_until", opened_until),
    });
    let page = fields.page(page_size, page_token);
    Some((customer?, query?, page?))
}

fn read_get(message: GetHoldRequest, fields: &mut Fields) -> Option<Asked> {
    let GetHoldRequest { ledger_id: _, customer_id, target } = message;
    read_target(fields, &customer_id, target)
}

/// An incident's number is unique only within its customer.
fn read_target(fields: &mut Fields, customer_id: &str, target: Option<HoldTarget>) -> Option<Asked> {
    let hold = read_hold(fields, target);
    match hold {
        Some(HoldRef::Incident(incident)) => {
            fields.customer(customer_id).map(|customer| Asked::Incident(customer, incident))
        }
        Some(HoldRef::Id(id)) => {
            let customer = fields.optional_customer(customer_id)?;
            Some(Asked::Id(id, customer))
        }
        None => {
            fields.optional_customer(customer_id)?;
            None
        }
    }
}

fn read_states(fields: &mut Fields, states: Vec<i32>) -> Option<Vec<HoldState>> {
    fields.each("states", states, |fields, code| match fields.coded("", code, HoldState::from_code)? {
        Some(state) => Some(state),
        None => fields.refuse("", "must be a state"),
    })
}
