//! The calls of a replay, each under its request id until it is answered, and how long they took.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use prost_types::Timestamp as WireTime;
use tonic::transport::Channel;

use super::csv::Incident;
use super::plan::{Moment, Step, creation_id, pack_for, request_id};
use crate::app::call::{CallError, amount};
use crate::grpc::wire;
use crate::ledger::{Credits, Timestamp};
use wire::ErrorReason;
use wire::customer_service_client::CustomerServiceClient;
use wire::hold_service_client::HoldServiceClient;
use wire::purchase_service_client::PurchaseServiceClient;

/// Under which name the replay sells credits.
pub const STOREFRONT: &str = "replay";

/// How often a customer is topped up for one moment of one incident. Once is enough unless somebody else spends the
/// customer's credits meanwhile.
pub const TOP_UPS_MAX: u32 = 8;

/// How often a call is tried, and what is waited before the first repeat; each wait is twice the one before, to a
/// bound. Together some ten seconds: enough for a server to be started again.
const TRIES_MAX: u32 = 12;
const FIRST_WAIT: Duration = Duration::from_millis(50);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A helpdesk and a storefront in one. Each worker has its own; the channel is shared.
#[derive(Clone, Debug)]
pub struct Desk {
    ledger: String,
    customers: CustomerServiceClient<Channel>,
    purchases: PurchaseServiceClient<Channel>,
    holds: HoldServiceClient<Channel>,
    /// How long the answered calls took, in microseconds.
    pub answered_us: Histogram<u64>,
}

/// How a settled incident ended.
#[derive(Clone, Debug)]
pub struct Settled {
    /// What it cost.
    pub charged: Credits,
    /// What of that the vendor bears.
    pub written_off: Credits,
}

/// Asks until there is an answer, with the pauses of a call.
///
/// # Errors
/// [`CallError`].
pub async fn ask<T>(question: impl AsyncFn() -> Result<T, CallError>) -> Result<T, CallError> {
    let mut wait = FIRST_WAIT;
    let mut tries = 1;
    loop {
        match question().await {
            Err(error) if error.passing && tries < TRIES_MAX => {
                tracing::debug!(%error, tries, "asking again");
                tokio::time::sleep(error.wait.unwrap_or(wait).min(WAIT_MAX)).await;
                wait = wait.saturating_mul(2).min(WAIT_MAX);
                tries += 1;
            }
            answer => return answer,
        }
    }
}

/// Makes the call until it is answered, with pauses between tries. The request is made anew each time, under the same
/// request id.
macro_rules! answered {
    ($desk:ident, $client:ident.$method:ident($request:expr)) => {{
        let request = $request;
        let mut wait = FIRST_WAIT;
        let mut tries = 1;
        loop {
            let start = Instant::now();
            let answer = $desk.$client.$method(request.clone()).await;
            let error = match answer {
                Ok(response) => {
                    $desk.count(start);
                    break Ok(response.into_inner());
                }
                Err(status) => CallError::from(status),
            };
            if !error.passing || tries >= TRIES_MAX {
                $desk.count(start);
                break Err(error);
            }
            tracing::debug!(%error, tries, "trying again");
            tokio::time::sleep(error.wait.unwrap_or(wait).min(WAIT_MAX)).await;
            wait = wait.saturating_mul(2).min(WAIT_MAX);
            tries += 1;
        }
    }};
}

impl Desk {
    /// Works in `ledger` on the server behind `channel`, and counts into `answered_us`.
    #[must_use]
    pub fn new(channel: Channel, ledger: &str, answered_us: Histogram<u64>) -> Self {
        Self {
            ledger: ledger.to_owned(),
            customers: CustomerServiceClient::new(channel.clone()),
            purchases: PurchaseServiceClient::new(channel.clone()),
            holds: HoldServiceClient::new(channel),
            answered_us,
        }
    }

    fn context(&self, incident: &Incident, id: &impl ToString) -> wire::CommandContext {
        wire::context(id.to_string(), incident.customer.to_string()).ledger(&self.ledger)
    }

    fn count(&mut self, start: Instant) {
        let micros = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.answered_us.saturating_record(micros);
    }

    /// Makes the incident's customer, unless it is there.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn create_customer(&mut self, incident: &Incident) -> Result<(), CallError> {
        let request = wire::CreateCustomerRequest {
            context: Some(self.context(incident, &creation_id(&incident.customer, incident.opened_at))),
            ..Default::default()
        };
        match answered!(self, customers.create_customer(request)) {
            Ok(_) => Ok(()),
            // Made by somebody else, or by the replay of another file.
            Err(error) if error.is(ErrorReason::CustomerExists) || error.is(ErrorReason::RequestIdReused) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Holds the credits that the card charges for the estimated time, buying what is missing.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn open(&mut self, incident: &Incident) -> Result<(), CallError> {
        let request = wire::PlaceHoldRequest {
            context: Some(self.context(incident, &request_id(incident, Step::Place))),
            incident_id: incident.id.to_string(),
            incident_class: incident.class.as_ref().map(ToString::to_string).unwrap_or_default(),
            quote: Some(wire::place_hold_request::Quote::EstimatedSeconds(seconds(
                incident.estimated_minutes,
            ))),
            opened_at: Some(wire_time(incident.opened_at)),
            ..Default::default()
        };
        for count in 1..=TOP_UPS_MAX {
            match answered!(self, holds.place_hold(request.clone())) {
                Err(error) if error.is(ErrorReason::InsufficientCredits) => {
                    self.top_up(incident, Step::TopUp(Moment::Opening, count), error).await?;
                }
                answer => return answer.map(drop),
            }
        }
        answered!(self, holds.place_hold(request.clone())).map(drop)
    }

    /// Records the work and charges it, buying what is missing.
    ///
    /// # Errors
    /// [`CallError`].
    pub async fn close(&mut self, incident: &Incident) -> Result<Settled, CallError> {
        let work = wire::RecordWorkRequest {
            context: Some(self.context(incident, &request_id(incident, Step::Work))),
            target: Some(wire::HoldTarget::incident(incident.id.to_string())),
            work_seconds: seconds(incident.worked_minutes),
            ..Default::default()
        };
        answered!(self, holds.record_work(work.clone()))?;
        let settle = wire::SettleHoldRequest {
            context: Some(self.context(incident, &request_id(incident, Step::Settle))),
            target: Some(wire::HoldTarget::incident(incident.id.to_string())),
            overrun: wire::OverrunPolicy::TakeAvailable.into(),
            ..Default::default()
        };
        for count in 1..=TOP_UPS_MAX {
            match answered!(self, holds.settle_hold(settle.clone())) {
                Err(error) if error.is(ErrorReason::InsufficientCredits) => {
                    self.top_up(incident, Step::TopUp(Moment::Closing, count), error).await?;
                }
                answer => return settled(&answer?),
            }
        }
        settled(&answered!(self, holds.settle_hold(settle.clone()))?)
    }

    /// Buys the pack that covers what `rejection` says is missing.
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
        match answered!(self, purchases.purchase_credits(request.clone())) {
            Ok(_) => Ok(()),
            // An earlier run bought another pack here and somebody else has spent it: the next top-up has a new id.
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

fn wire_time(time: Timestamp) -> WireTime {
    let micros = time.micros();
    let nanos = micros.rem_euclid(Timestamp::MICROS_PER_SECOND).saturating_mul(1_000);
    WireTime {
        seconds: micros.div_euclid(Timestamp::MICROS_PER_SECOND),
        nanos: i32::try_from(nanos).unwrap_or_default(),
    }
}
