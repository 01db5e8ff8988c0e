//! Records what a storefront has and the ledger has not.
//!
//! # What it is
//! Each missing order with a customer and credits is a PurchaseCredits. They are sent in batches, one after the other.
//!
//! # Invariants
//! The request id follows from storefront and order. So a second run changes nothing, and one that was cut off goes on.
//!
//! # Failure
//! An order that the server refuses is listed with the reason; the others are recorded. A call without an answer is
//! repeated under its request ids.

use sha2::{Digest as _, Sha256};

use crate::app::call::{CallError, amount};
use crate::app::connect::Channel;
use crate::app::failure::Failure;
use crate::app::progress::Progress;
use crate::app::tries::ask;
use crate::grpc::wire;
use crate::ledger::{Credits, RequestKey};
use wire::batch_command::Command;
use wire::batch_result::Result as Outcome;
use wire::batch_service_client::BatchServiceClient;

/// Orders in one call: few enough that progress is seen, and enough for one commit to pay.
const BATCH: usize = 100;
const PROGRESS: &str = "recording {wide_bar} {pos}/{len} orders, {eta} left";

/// An order that is not recorded, and why.
pub(super) type Left = (wire::StorefrontPurchase, String);

/// The missing orders.
pub(super) struct Plan {
    /// Those with a customer and credits.
    pub orders: Vec<wire::StorefrontPurchase>,
    /// The others.
    pub left: Vec<Left>,
}

impl Plan {
    pub fn of(missing: Vec<wire::StorefrontPurchase>) -> Self {
        let mut plan = Self { orders: Vec::new(), left: Vec::new() };
        for order in missing {
            let lacks = match (order.customer_id.is_empty(), order.credits.is_none()) {
                (false, false) => {
                    plan.orders.push(order);
                    continue;
                }
                (true, false) => "the file has no customer_id for it",
                (false, true) => "the file has no credits for it",
                (true, true) => "the file has no customer_id and no credits for it",
            };
            plan.left.push((order, lacks.to_owned()));
        }
        plan
    }
}

/// What became of a plan.
#[derive(Default)]
pub(super) struct Recorded {
    /// Purchases recorded now.
    pub count: u64,
    /// Their credits.
    pub credits: Credits,
    /// Those that turned out to be recorded already, such as by another run.
    pub already: u64,
    /// What the server refused.
    pub refused: Vec<Left>,
}

/// Records purchases of one storefront in one ledger.
pub(super) struct Recorder {
    pub channel: Channel,
    pub ledger: String,
    pub storefront: String,
}

impl Recorder {
    /// Records the orders.
    ///
    /// # Errors
    /// [`Failure`] where the server does not answer. What it took before stays.
    pub async fn record(&self, orders: Vec<wire::StorefrontPurchase>) -> Result<Recorded, Failure> {
        let progress = Progress::new(PROGRESS, orders.len());
        let mut recorded = Recorded::default();
        let mut sent = 0_usize;
        for batch in orders.chunks(BATCH) {
            self.batch(batch, &mut recorded).await.map_err(|error| {
                let unknown = "what was recorded stays; the same command goes on from there";
                Failure::Other(format!("{error}\n{unknown}"))
            })?;
            sent = sent.saturating_add(batch.len());
            progress.reaches(sent);
        }
        Ok(recorded)
    }

    async fn batch(
        &self,
        orders: &[wire::StorefrontPurchase],
        recorded: &mut Recorded,
    ) -> Result<(), CallError> {
        match self.send(orders).await {
            Ok(results) => {
                for (order, result) in orders.iter().zip(results) {
                    note(order, result, recorded)?;
                }
                Ok(())
            }
            // One malformed command has all of a batch refused.
            Err(error) if error.is_refusal() && orders.len() > 1 => {
                for order in orders {
                    Box::pin(self.batch(std::slice::from_ref(order), recorded)).await?;
                }
                Ok(())
            }
            Err(error) if error.is_refusal() => {
                let refused = orders.iter().map(|order| (order.clone(), error.to_string()));
                recorded.refused.extend(refused);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    async fn send(&self, orders: &[wire::StorefrontPurchase]) -> Result<Vec<wire::BatchResult>, CallError> {
        let request = wire::ExecuteBatchRequest {
            ledger_id: self.ledger.clone(),
            commands: orders.iter().map(|order| self.command(order)).collect(),
        };
        let answer = ask(async || {
            let mut client = BatchServiceClient::new(self.channel.clone());
            Ok(client.execute_batch(request.clone()).await?.into_inner())
        });
        let results = answer.await?.results;
        if results.len() == orders.len() { Ok(results) } else { Err(CallError::unexpected("results")) }
    }

    fn command(&self, order: &wire::StorefrontPurchase) -> wire::BatchCommand {
        let wire::StorefrontPurchase { order_id, customer_id, credits, price } = order.clone();
        let context = wire::context(request_id(&self.storefront, &order_id), customer_id)
            .by("reconcile")
            .because("in the storefront's list of orders");
        let purchase = wire::PurchaseCreditsRequest {
            context: Some(context),
            storefront: self.storefront.clone(),
            order_id,
            credits: credits.unwrap_or_default(),
            price,
            expires_at: None,
        };
        wire::BatchCommand { command: Some(Command::PurchaseCredits(purchase)) }
    }
}

/// Neither id has a space, so that no two pairs have the same text. What is too long has its hash instead.
fn request_id(storefront: &str, order: &str) -> String {
    let text = format!("reconcile {storefront} {order}");
    if text.len() <= RequestKey::MAX_BYTES {
        return text;
    }
    let hash = Sha256::digest(text.as_bytes());
    let hex: String = hash.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    format!("reconcile {hex}")
}

fn note(
    order: &wire::StorefrontPurchase,
    result: wire::BatchResult,
    recorded: &mut Recorded,
) -> Result<(), CallError> {
    match result.result.ok_or_else(|| CallError::unexpected("result"))? {
        Outcome::Accepted(accepted) if accepted.replayed => {
            recorded.already = recorded.already.saturating_add(1);
        }
        Outcome::Accepted(_) => {
            recorded.count = recorded.count.saturating_add(1);
            let credits = amount(order.credits.as_deref().unwrap_or_default())?;
            let sum = recorded.credits.checked_add(credits);
            recorded.credits = sum.ok_or_else(|| CallError::unexpected("sum of credits"))?;
        }
        Outcome::Error(wire::BatchError { reason, message, .. }) => {
            recorded.refused.push((order.clone(), format!("{reason}: {message}")));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_follows_from_storefront_and_order() {
        assert_eq!(request_id("web", "#1001"), "reconcile web #1001");
        let long = "x".repeat(128);
        let ids = [
            request_id("web", &long),
            request_id("we", &format!("b{}", &long[1..])),
            request_id(&long, &long),
        ];
        for id in &ids {
            assert!(RequestKey::parse(id).is_ok(), "{id}");
            assert_eq!(ids.iter().filter(|other| *other == id).count(), 1, "{id}");
        }
    }

    #[test]
    fn only_orders_with_customer_and_credits_can_be_recorded() {
        let order = |customer: &str, credits: Option<&str>| wire::StorefrontPurchase {
            order_id: "1".to_owned(),
            customer_id: customer.to_owned(),
            credits: credits.map(str::to_owned),
            price: None,
        };
        let plan =
            Plan::of(vec![order("a", Some("1")), order("", Some("1")), order("a", None), order("", None)]);
        assert_eq!(plan.orders.len(), 1);
        let reasons: Vec<_> = plan.left.iter().map(|(_, reason)| &**reason).collect();
        assert_eq!(
            reasons,
            [
                "the file has no customer_id for it",
                "the file has no credits for it",
                "the file has no customer_id and no credits for it",
            ]
        );
    }
}
