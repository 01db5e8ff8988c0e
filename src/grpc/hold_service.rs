//! HoldService: estimates, holds, work and charges.

use std::sync::Arc;

use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::ledger::commands::HoldRef;
use crate::ledger::ids::LabelId;
use crate::ledger::receipt::receipt;
use crate::ledger::work::Work;
use crate::ledger::{ClassId, CustomerId, IncidentId};
use crate::query::{HoldFilter, HoldQuery, HoldTarget as Asked, ReadError, StoreError};

use super::hold_commands::read_hold;
use super::parse::{Fields, parse};
use super::wire::hold_service_server::HoldService;
use super::wire::*;
use super::{Api, PAGE_BYTES_MAX, card_messages, convert};

#[async_trait]
impl HoldService for Api {
    async fn estimate_incident(
        &self,
        request: Request<EstimateIncidentRequest>,
    ) -> Result<Response<EstimateIncidentResponse>, Status> {
        self.execute(request).await
    }

    async fn confirm_estimate(
        &self,
        request: Request<ConfirmEstimateRequest>,
    ) -> Result<Response<ConfirmEstimateResponse>, Status> {
        self.execute(request).await
    }

    async fn decline_estimate(
        &self,
        request: Request<DeclineEstimateRequest>,
    ) -> Result<Response<DeclineEstimateResponse>, Status> {
        self.execute(request).await
    }

    async fn place_hold(
        &self,
        request: Request<PlaceHoldRequest>,
    ) -> Result<Response<PlaceHoldResponse>, Status> {
        self.execute(request).await
    }

    async fn extend_hold(
        &self,
        request: Request<ExtendHoldRequest>,
    ) -> Result<Response<ExtendHoldResponse>, Status> {
        self.execute(request).await
    }

    async fn record_work(
        &self,
        request: Request<RecordWorkRequest>,
    ) -> Result<Response<RecordWorkResponse>, Status> {
        self.execute(request).await
    }

    async fn void_work(
        &self,
        request: Request<VoidWorkRequest>,
    ) -> Result<Response<VoidWorkResponse>, Status> {
        self.execute(request).await
    }

    async fn settle_hold(
        &self,
        request: Request<SettleHoldRequest>,
    ) -> Result<Response<SettleHoldResponse>, Status> {
        self.execute(request).await
    }

    async fn release_hold(
        &self,
        request: Request<ReleaseHoldRequest>,
    ) -> Result<Response<ReleaseHoldResponse>, Status> {
        self.execute(request).await
    }

    async fn close_incident(
        &self,
        request: Request<CloseIncidentRequest>,
    ) -> Result<Response<CloseIncidentResponse>, Status> {
        self.execute(request).await
    }

    async fn charge_incident(
        &self,
        request: Request<ChargeIncidentRequest>,
    ) -> Result<Response<ChargeIncidentResponse>, Status> {
        self.execute(request).await
    }

    async fn reverse_settlement(
        &self,
        request: Request<ReverseSettlementRequest>,
    ) -> Result<Response<ReverseSettlementResponse>, Status> {
        self.execute(request).await
    }

    async fn list_work(
        &self,
        request: Request<ListWorkRequest>,
    ) -> Result<Response<ListWorkResponse>, Status> {
        let (ledger, target, page) = parse(request.into_inner(), |message, fields| {
            let ListWorkRequest { ledger_id, customer_id, target, page_size, page_token } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let target = read_target(fields, &customer_id, target);
            let page = fields.page(page_size, page_token);
            Some((ledger?, target?, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let listed = self.reader.work(no, &target, &page).await?;
        let shown = |work: &Arc<Work>| convert::work(work);
        let (entries, next_page_token) = listed.show(PAGE_BYTES_MAX, shown, Message::encoded_len);
        Ok(Response::new(ListWorkResponse { entries, next_page_token }))
    }

    async fn get_hold(&self, request: Request<GetHoldRequest>) -> Result<Response<GetHoldResponse>, Status> {
        let (ledger, target) = parse(request.into_inner(), |message, fields| {
            let GetHoldRequest { ledger_id, customer_id, target } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let target = read_target(fields, &customer_id, target);
            Some((ledger?, target?))
        })?;
        let no = self.ledger(&ledger).await?;
        let hold = self.reader.hold(no, &target).await?;
        Ok(Response::new(GetHoldResponse { hold: Some(convert::hold(&hold, &ledger)) }))
    }

    async fn list_holds(
        &self,
        request: Request<ListHoldsRequest>,
    ) -> Result<Response<ListHoldsResponse>, Status> {
        let (holds, next_page_token) = self.hold_page(request.into_inner(), false).await?;
        Ok(Response::new(ListHoldsResponse { holds, next_page_token }))
    }

    async fn list_settlements(
        &self,
        request: Request<ListSettlementsRequest>,
    ) -> Result<Response<ListSettlementsResponse>, Status> {
        let ListSettlementsRequest {
            ledger_id,
            customer_id,
            incident_id,
            incident_class,
            created_from,
            created_until,
            page_size,
            page_token,
        } = request.into_inner();
        let holds = ListHoldsRequest {
            ledger_id,
            customer_id,
            incident_id,
            states: Vec::new(),
            incident_class,
            created_from,
            created_until,
            page_size,
            page_token,
            label: String::new(),
            opened_from: None,
            opened_until: None,
        };
        let (holds, next_page_token) = self.hold_page(holds, true).await?;
        Ok(Response::new(ListSettlementsResponse { holds, next_page_token }))
    }

    async fn get_receipt(
        &self,
        request: Request<GetReceiptRequest>,
    ) -> Result<Response<GetReceiptResponse>, Status> {
        let (ledger, target) = parse(request.into_inner(), |message, fields| {
            let GetReceiptRequest { ledger_id, customer_id, target } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let target = read_target(fields, &customer_id, target);
            Some((ledger?, target?))
        })?;
        let ledger_id = ledger;
        let ledger = self.ledger(&ledger_id).await?;
        let hold = self.reader.settled_hold(ledger, &target).await?;
        let settlement = hold.settlement.as_ref().ok_or(ReadError::SettlementNotFound)?;
        let cards = self.reader.cards_with(ledger, &hold.card).await?;
        let calculation = receipt(&cards, ledger, &hold.card, settlement)
            .map_err(|fault| ReadError::Storage(StoreError::Damaged(format!("hold {}: {fault}", hold.id))))?;
        let receipt = Receipt {
            hold_id: hold.id.to_string(),
            ledger_id: ledger_id.to_string(),
            customer_id: hold.customer.to_string(),
            incident_id: hold.incident.to_string(),
            rate_card: Some(card_messages::card_ref(&hold.card)),
            inputs: Some(card_messages::inputs(&settlement.inputs)),
            steps: calculation.steps.iter().map(card_messages::step).collect(),
            settlement: Some(convert::settlement(settlement)),
        };
        Ok(Response::new(GetReceiptResponse { receipt: Some(receipt) }))
    }
}

impl Api {
    /// A page of holds, or of what was settled, charges without a hold included; and the token of the next.
    async fn hold_page(
        &self,
        request: ListHoldsRequest,
        settled: bool,
    ) -> Result<(Vec<Hold>, String), Status> {
        let (ledger, customer, query, page) = parse(request, |message, fields| {
            let ListHoldsRequest {
                ledger_id,
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
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
            let incident = fields.optional("incident_id", &incident_id, IncidentId::parse);
            let states = read_states(fields, states);
            let class = fields.optional("incident_class", &incident_class, ClassId::parse);
            let from = fields.time("created_from", created_from);
            let until = fields.time("created_until", created_until);
            let label = fields.optional("label", &label, LabelId::parse);
            let opened_from = fields.time("opened_from", opened_from);
            let opened_until = fields.time("opened_until", opened_until);
            let page = fields.page(page_size, page_token);
            let filter = HoldFilter {
                customer: None,
                incident: incident?,
                states: states?,
                class: class?,
                from: from?,
                until: until?,
                settled,
            };
            let query =
                HoldQuery { filter, label: label?, opened_from: opened_from?, opened_until: opened_until? };
            Some((ledger?, customer?, query, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let listed = self.reader.holds(no, customer.as_ref(), query, &page).await?;
        Ok(listed.show(PAGE_BYTES_MAX, |hold| convert::hold(hold, &ledger), Message::encoded_len))
    }
}

/// An incident's number means something only together with its customer.
fn read_target(fields: &mut Fields, customer_id: &str, target: Option<HoldTarget>) -> Option<Asked> {
    let hold = read_hold(fields, target);
    match hold {
        Some(HoldRef::Incident(incident)) => {
            fields.customer(customer_id).map(|customer| Asked::Incident(customer, incident))
        }
        Some(HoldRef::Id(id)) => {
            let customer = fields.optional("customer_id", customer_id, CustomerId::parse)?;
            Some(Asked::Id(id, customer))
        }
        None => {
            fields.optional("customer_id", customer_id, CustomerId::parse)?;
            None
        }
    }
}

fn read_states(fields: &mut Fields, states: Vec<i32>) -> Option<Vec<crate::ledger::HoldState>> {
    use crate::ledger::HoldState as Core;
    fields.each("states", states, |fields, state| match fields.known("", state)? {
        HoldState::Unspecified => fields.refuse("", "must be a state"),
        HoldState::Quoted => Some(Core::Quoted),
        HoldState::AwaitingCredits => Some(Core::AwaitingCredits),
        HoldState::Active => Some(Core::Active),
        HoldState::Settled => Some(Core::Settled),
        HoldState::Released => Some(Core::Released),
        HoldState::Expired => Some(Core::Expired),
        HoldState::Declined => Some(Core::Declined),
        HoldState::Superseded => Some(Core::Superseded),
    })
}
