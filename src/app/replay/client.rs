//! The calls of a replay. Each is repeated under its request id until it is answered, and its time is measured.

use std::time::Instant;

use hdrhistogram::Histogram;

use super::incidents::Incident;
use super::plan::{Moment, Step, creation_id, pack_for, request_id};
use crate::app::call::{CallError, amount};
use crate::app::connect::Channel;
use crate::app::paging::{Method, method};
use crate::app::tries::Tries;
use crate::grpc::{convert_time, wire};
use crate::ledger::Credits;
use wire::ErrorReason;
use wire::customer_service_client::CustomerServiceClient;
use wire::hold_service_client::HoldServiceClient;
use wire::purchase_service_client::PurchaseServiceClient;

/// The storefront that sells credits in a replay.
pub const STOREFRONT: &str = "replay";

/// Top-ups of a customer for one moment of one incident. One is enough unless somebody else spends the customer's
/// credits meanwhile.
pub const TOP_UPS_MAX: u32 = 8;

/// A helpdesk and a storefront in one. Each worker has its own; the channel is shared.
#[derive(Clone, Debug)]
pub struct ReplayClient {
    ledger: String,
    channel: Channel,
    /// How long the answered calls took, in microseconds.
    pub answered_us: Histogram<u64>,
}

/// The cost of a settled incident.
#[derive(Clone, Debug)]
pub struct Settled {
    pub charged: Credits,
    /// The part that the vendor bears.
    pub written_off: Credits,
}

impl ReplayClient {
    /// Works in `ledger` on the server behind `channel`, and records times in `answered_us`.
    #[must_use]
    pub fn new(channel: Channel, ledger: &str, answered_us: Histogram<u64>) -> Self {
        Self { ledger: ledger.to_owned(), channel, answered_us }
    }

    fn context(&self, incident: &Incident, id: &impl ToString) -> wire::CommandContext {
        wire::context(id.to_string(), incident.customer.to_string()).ledger(&self.ledger)
    }

    /// Sends a command until it is answered, under the same request id.
    async fn send<Q: Clone, A>(&mut self, method: Method<Q, A>, request: &Q) -> Result<A, CallError> {
        let mut tries = Tries::new();
        loop {
            let start = Instant::now();
            let answer = method(self.channel.clone(), request.clone()).await.map_err(CallError::from);
            if let Err(error) = &answer
                && tries.may_repeat(error).await
            {
                continue;
            }
            let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.answered_us.saturating_record(micros);
            return Ok(answer?.into_inner());
        }
    }

    /// Sends a command for a moment of an incident, and buys missing credits.
    async fn send_buying<Q: Clone, A>(
        &mut self,
        incident: &Incident,
        moment: Moment,
        method: Method<Q, A>,
        request: &Q,
    ) -> Result<A, CallError> {
        for count in 1..=TOP_UPS_MAX {
            match self.send(method, request).await {
                Err(error) if error.is(ErrorReason::InsufficientCredits) => {
                    self.top_up(incident, Step::TopUp(moment, count), error).await?;
                }
                answer => return answer,
            }
        }
        self.send(method, request).await
    }

    /// Makes the incident's customer, if it is missing.
    pub async fn create_customer(&mut self, incident: &Incident) -> Result<(), CallError> {
        let request = wire::CreateCustomerRequest {
            context: Some(self.context(incident, &creation_id(&incident.customer, incident.opened_at))),
            ..Default::default()
        };
        match self.send(method!(CustomerServiceClient.create_customer), &request).await {
            Ok(_) => Ok(()),
            // Somebody else made it, or the replay of another file.
            Err(error) if error.is(ErrorReason::CustomerExists) || error.is(ErrorReason::RequestIdReused) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Holds the credits that the card charges for the estimated time, and buys missing credits.
    pub async fn open(&mut self, incident: &Incident) -> Result<(), CallError> {
        let estimated =
            wire::place_hold_request::Quote::EstimatedSeconds(seconds(incident.estimated_minutes));
        let request = wire::PlaceHoldRequest {
            context: Some(self.context(incident, &request_id(incident, Step::Place))),
            incident_id: incident.id.to_string(),
            incident_class: incident.class.as_ref().map(ToString::to_string).unwrap_or_default(),
            quote: Some(estimated),
            opened_at: Some(convert_time(incident.opened_at)),
            ..Default::default()
        };
        let method = method!(HoldServiceClient.place_hold);
        self.send_buying(incident, Moment::Opening, method, &request).await.map(drop)
    }

    /// Records the work and charges it, and buys missing credits.
    pub async fn close(&mut self, incident: &Incident) -> Result<Settled, CallError> {
        let work = wire::RecordWorkRequest {
            context: Some(self.context(incident, &request_id(incident, Step::Work))),
            target: Some(wire::HoldTarget::incident(incident.id.to_string())),
            work_seconds: seconds(incident.worked_minutes),
            ..Default::default()
        };
        self.send(method!(HoldServiceClient.record_work), &work).await?;
        let settle = wire::SettleHoldRequest {
            context: Some(self.context(incident, &request_id(incident, Step::Settle))),
            target: Some(wire::HoldTarget::incident(incident.id.to_string())),
            overrun: wire::OverrunPolicy::TakeAvailable.into(),
            ..Default::default()
        };
        let method = method!(HoldServiceClient.settle_hold);
        settled(&self.send_buying(incident, Moment::Closing, method, &settle).await?)
    }

    /// Buys the pack that covers the shortfall of `rejection`.
    async fn top_up(
        &mut self,
        incident: &Incident,
        step: Step,
        rejection: CallError,
    ) -> Result<(), CallError> {
        let shortfall = rejection.metadata.get("shortfall").and_then(|text| amount(text).ok());
        let Some(shortfall) = shortfall else { return Err(rejection) };
        let id = request_id(incident, step).to_string();
        let request = wire::PurchaseCreditsRequest {
            context: Some(self.context(incident, &id)),
            storefront: STOREFRONT.to_owned(),
            order_id: id,
            credits: pack_for(shortfall).to_string(),
            ..Default::default()
        };
        match self.send(method!(PurchaseServiceClient.purchase_credits), &request).await {
            Ok(_) => Ok(()),
            // An earlier run bought another pack here, and somebody else spent it: the next top-up has a new id.
            Err(error)
                if error.is(ErrorReason::RequestIdReused) || error.is(ErrorReason::OrderAlreadyRecorded) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

fn settled(response: &wire::SettleHoldResponse) -> Result<Settled, CallError> {
    let hold = response.outcome.as_ref().and_then(|outcome| outcome.hold.as_ref());
    let settlement = hold.and_then(|hold| hold.settlement.as_ref());
    let settlement = settlement.ok_or_else(|| CallError::unexpected("settlement"))?;
    Ok(Settled {
        charged: amount(&settlement.charged_credits)?,
        written_off: amount(&settlement.written_off_credits)?,
    })
}

/// Minutes were bounded when the file was read.
fn seconds(minutes: u64) -> i32 {
    i32::try_from(minutes.saturating_mul(60)).unwrap_or(i32::MAX)
}
