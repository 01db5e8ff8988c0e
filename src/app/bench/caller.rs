//! The callers of the benchmark. They act like a helpdesk: real requests over real connections, and every answer is
//! checked.
//!
//! They share the machine with the server, so they do no more work than a caller must.

use std::sync::Arc;

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::app::call::CallError;
use crate::app::connect::{Channel, Reach};
use crate::app::failure::Failure;
use crate::clock;
use crate::grpc::wire;
use crate::ledger::PostingId;
use wire::batch_command::Command;
use wire::batch_service_client::BatchServiceClient;
use wire::hold_service_client::HoldServiceClient;
use wire::ledger_service_client::LedgerServiceClient;
use wire::notification_service_client::NotificationServiceClient;

/// More credits than any customer can use.
const CREDITS: &str = "1000000";
/// The estimate of a hold: 45 minutes are 1.5 credits.
const ESTIMATED_SECONDS: i32 = 2_700;
/// Customers in one batch of [`Caller::create_customers`]; each takes two commands.
pub(super) const CREATED_AT_ONCE: usize = 1_000;

/// Some customers, numbered from 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// The prefix of their ids.
    pub name: &'static str,
    /// At least 1.
    pub count: usize,
    /// Whether customers are called at random; otherwise in turn.
    pub random: bool,
}

impl Crowd {
    /// The customer of a call: the same one for the same number.
    pub fn customer(self, number: usize) -> String {
        if !self.random {
            return self.in_turn(number);
        }
        // SplitMix64: neighbouring numbers give customers that are far apart.
        let mut mixed =
            u64::try_from(number).unwrap_or_default().wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        self.in_turn(usize::try_from((mixed ^ (mixed >> 31)) >> 1).unwrap_or_default())
    }

    fn in_turn(self, number: usize) -> String {
        format!("{}-{}", self.name, number.rem_euclid(self.count))
    }
}

/// What all calls share; cheap to clone.
#[derive(Clone)]
pub(super) struct Caller(Arc<Shared>);

struct Shared {
    first: Channel,
    rest: Vec<Channel>,
    random: u64,
    ledger: String,
}

impl Caller {
    /// Connects, and makes a ledger that no other run has used.
    pub async fn start(url: &str, connections: u16) -> Result<Self, Failure> {
        Self::connect(url, connections, String::new()).await?.with_own_ledger().await
    }

    /// The same caller, at a server that was started again.
    pub async fn connect(url: &str, connections: u16, ledger: String) -> Result<Self, Failure> {
        Self::connect_by(&Reach::default(), url, connections, ledger).await
    }

    /// A caller that reaches its server in this way, with a ledger that is there.
    pub async fn connect_by(
        reach: &Reach,
        url: &str,
        connections: u16,
        ledger: String,
    ) -> Result<Self, Failure> {
        let first = reach.connect(url).await?;
        let mut rest = Vec::new();
        for _ in 1..connections {
            rest.push(reach.connect(url).await?);
        }
        let random = clock::random().map_err(Failure::Randomness)?;
        Ok(Self(Arc::new(Shared { first, rest, random, ledger })))
    }

    /// A caller over the same connections, with a new ledger of its own.
    pub async fn with_own_ledger(&self) -> Result<Self, Failure> {
        let random = clock::random().map_err(Failure::Randomness)?;
        let Shared { first, rest, .. } = &*self.0;
        let ledger = format!("bench-{random:016x}");
        let caller = Self(Arc::new(Shared {
            first: first.clone(),
            rest: rest.clone(),
            random,
            ledger: ledger.clone(),
        }));
        let request =
            wire::CreateLedgerRequest { context: Some(wire::context(&ledger, "")), ledger_id: ledger };
        LedgerServiceClient::new(caller.channel(0)).create_ledger(request).await.map_err(CallError::from)?;
        Ok(caller)
    }

    pub fn ledger(&self) -> String {
        self.0.ledger.clone()
    }

    /// The connections in turn.
    pub fn channel(&self, number: usize) -> Channel {
        number
            .rem_euclid(self.0.rest.len().saturating_add(1))
            .checked_sub(1)
            .and_then(|place| self.0.rest.get(place))
            .unwrap_or(&self.0.first)
            .clone()
    }

    /// Time-ordered, as the documentation asks of callers.
    fn request_id(&self, number: usize) -> String {
        let counter = u32::try_from(number & 0x3f_ffff).unwrap_or_default();
        PostingId::new(clock::now(), counter, self.0.random).to_string()
    }

    fn context(&self, number: usize, customer: impl Into<String>) -> wire::CommandContext {
        wire::context(self.request_id(number), customer).ledger(self.ledger())
    }

    /// Creates one page of customers with more credits than they can use.
    ///
    /// # Errors
    /// [`CallError`] where one is refused.
    pub async fn create_customers(&self, crowd: Crowd, page: usize) -> Result<(), CallError> {
        let first = page.saturating_mul(CREATED_AT_ONCE);
        let numbers = first..first.saturating_add(CREATED_AT_ONCE).min(crowd.count);
        let commands = numbers.flat_map(|number| {
            let customer_id = crowd.in_turn(number);
            let create = wire::CreateCustomerRequest {
                context: Some(wire::context(self.request_id(number), &customer_id)),
                ..Default::default()
            };
            let purchase = wire::PurchaseCreditsRequest {
                context: Some(wire::context(self.request_id(number), &customer_id)),
                order_id: customer_id,
                storefront: "bench".to_owned(),
                credits: CREDITS.to_owned(),
                ..Default::default()
            };
            [Command::CreateCustomer(create), Command::PurchaseCredits(purchase)]
        });
        self.execute(page, commands.collect()).await
    }

    /// Sends a batch. One refused command fails it.
    pub async fn execute(&self, number: usize, commands: Vec<Command>) -> Result<(), CallError> {
        let count = commands.len();
        let commands = commands.into_iter().map(|command| wire::BatchCommand { command: Some(command) });
        let request = wire::ExecuteBatchRequest { ledger_id: self.ledger(), commands: commands.collect() };
        let answer = BatchServiceClient::new(self.channel(number)).execute_batch(request).await?.into_inner();
        if answer.results.len() != count {
            return Err(CallError::unexpected("number of results"));
        }
        answer.results.iter().try_for_each(must_be_accepted)
    }

    /// The call that does nothing: it costs what the wire, the connection and the guard around the services cost.
    pub async fn check_health(&self, number: usize) -> Result<(), CallError> {
        let mut client = HealthClient::new(self.channel(number));
        let answer = client.check(HealthCheckRequest { service: String::new() }).await?.into_inner();
        let serves = answer.status() == ServingStatus::Serving;
        if serves { Ok(()) } else { Err(CallError::unexpected("status")) }
    }

    pub async fn place(&self, number: usize, customer: String, incident: String) -> Result<(), CallError> {
        let request = self.hold(number, customer, incident);
        let answer = HoldServiceClient::new(self.channel(number)).place_hold(request).await?.into_inner();
        let placed = answer.outcome.is_some_and(|outcome| outcome.hold.is_some() && !outcome.replayed);
        if placed { Ok(()) } else { Err(CallError::unexpected("hold")) }
    }

    pub async fn settle(&self, number: usize, customer: String, incident: String) -> Result<(), CallError> {
        let request = self.settlement(number, customer, incident);
        let answer = HoldServiceClient::new(self.channel(number)).settle_hold(request).await?.into_inner();
        let settled = answer.outcome.is_some_and(|outcome| outcome.posting.is_some() && !outcome.replayed);
        if settled { Ok(()) } else { Err(CallError::unexpected("posting")) }
    }

    /// Reads the current balance.
    pub async fn balance(&self, number: usize, customer: String) -> Result<(), CallError> {
        let request =
            wire::GetBalanceRequest { ledger_id: self.ledger(), customer_id: customer, ..Default::default() };
        let answer = LedgerServiceClient::new(self.channel(number)).get_balance(request).await?.into_inner();
        // Every customer here has a purchase.
        let read = answer.balance.is_some_and(|balance| balance.sequence > 1);
        if read { Ok(()) } else { Err(CallError::unexpected("balance")) }
    }

    /// Makes an endpoint for the ledger's events, from the first one or from now on.
    pub async fn create_endpoint(&self, url: &str, from_the_first: bool) -> Result<String, CallError> {
        let request = wire::CreateWebhookEndpointRequest {
            context: Some(self.context(0, "")),
            url: url.to_owned(),
            after_position: from_the_first.then_some(0),
            ..Default::default()
        };
        let mut client = NotificationServiceClient::new(self.channel(0));
        let endpoint = client.create_webhook_endpoint(request).await?.into_inner().endpoint;
        endpoint.map(|endpoint| endpoint.endpoint_id).ok_or_else(|| CallError::unexpected("endpoint"))
    }

    pub async fn delete_endpoint(&self, endpoint_id: String) -> Result<(), CallError> {
        let request = wire::DeleteWebhookEndpointRequest { context: Some(self.context(0, "")), endpoint_id };
        NotificationServiceClient::new(self.channel(0)).delete_webhook_endpoint(request).await?;
        Ok(())
    }

    /// The request for a hold.
    pub fn hold(&self, number: usize, customer_id: String, incident_id: String) -> wire::PlaceHoldRequest {
        wire::PlaceHoldRequest {
            context: Some(self.context(number, customer_id)),
            incident_id,
            quote: Some(wire::place_hold_request::Quote::EstimatedSeconds(ESTIMATED_SECONDS)),
            ..Default::default()
        }
    }

    /// The request for a settlement. No work was recorded, so it charges the minimum of 1 credit and gives half a
    /// credit back.
    pub fn settlement(
        &self,
        number: usize,
        customer_id: String,
        incident_id: String,
    ) -> wire::SettleHoldRequest {
        wire::SettleHoldRequest {
            context: Some(self.context(number, customer_id)),
            target: Some(wire::HoldTarget::incident(incident_id)),
            ..Default::default()
        }
    }
}

/// Checks the answer to one command.
///
/// # Errors
/// [`CallError`] if it is missing, a refusal, or a repeat.
pub(super) fn must_be_accepted(result: &wire::BatchResult) -> Result<(), CallError> {
    match &result.result {
        Some(wire::batch_result::Result::Accepted(accepted)) if !accepted.replayed => Ok(()),
        Some(wire::batch_result::Result::Error(error)) => {
            Err(CallError::unexpected(&format!("acceptance: {}: {}", error.reason, error.message)))
        }
        Some(wire::batch_result::Result::Accepted(_)) | None => Err(CallError::unexpected("batch result")),
    }
}
