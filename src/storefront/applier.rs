//! Puts payments into accounts. The request ids of its commands follow from the payment, so applying it again changes
//! nothing. A refund that arrives before its purchase waits, and is applied once the purchase is there.

use std::sync::Arc;
use std::time::Instant;

use crate::ledger::book::Answer;
use crate::ledger::commands::{
    ClosePayment, CreateCustomer, KeepPayment, OnShortfall, PurchaseCredits, PurchaseRef, RecordChargeback,
    RefundPurchase, ResolveChargeback, Said,
};
use crate::ledger::hash::stable_hash;
use crate::ledger::payment::{Payment, PaymentEvent, suspense};
use crate::ledger::rounding::half_up;
use crate::ledger::{
    Command, Credits, CustomerId, LedgerNo, Lot, Money, PostingId, Rejection, Request, RequestKey, Text,
};
use crate::query::{PurchaseTarget, ReadError, Reader};
use crate::writer::{SubmitError, Writer};

use super::json::cut;

/// Attempts at a refund that clashes with another refund.
const ATTEMPTS: usize = 8;

/// The outcome of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is in an account, or was before.
    Done,
    /// It waits in the suspense account.
    Kept,
}

/// Why the outcome of a payment is unknown. Delivering it again finds out.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The command was not decided.
    #[error(transparent)]
    Submit(#[from] SubmitError),
    /// The storage could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The ledger refused it, for a reason that waiting does not remove.
    #[error(transparent)]
    Rejected(#[from] Rejection),
}

/// Applies payments to ledgers. Cheap to clone.
#[derive(Clone)]
pub struct PaymentApplier {
    writer: Writer,
    reader: Arc<Reader>,
}

impl std::fmt::Debug for PaymentApplier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PaymentApplier").finish_non_exhaustive()
    }
}

impl PaymentApplier {
    #[must_use]
    pub fn new(writer: Writer, reader: Arc<Reader>) -> Self {
        Self { writer, reader }
    }

    /// Applies a payment of a storefront, or keeps it.
    pub async fn take(&self, ledger: LedgerNo, payment: &Payment) -> Result<Applied, ApplyError> {
        let reason = match self.apply(ledger, payment).await? {
            Ok(()) => {
                self.apply_waiting(ledger, payment).await?;
                return Ok(Applied::Done);
            }
            Err(reason) => reason,
        };
        self.keep(ledger, payment, &reason).await?;
        // The purchase may have been recorded after the look and before the keeping. Its recorder looks for waiting
        // payments only after that, so one of the two sides finds the other.
        if payment.event != PaymentEvent::Paid {
            self.apply_waiting(ledger, payment).await?;
        }
        Ok(Applied::Kept)
    }

    /// Records a waiting payment as a customer's purchase, and applies what waits for it. A repeat gets the same answer
    /// as a repeated purchase.
    ///
    /// # Errors
    /// [`ApplyError`]; [`Rejection::PaymentNotFound`] where none was kept under this id.
    pub async fn assign(
        &self,
        ledger: LedgerNo,
        id: PostingId,
        customer: CustomerId,
        credits: Option<Credits>,
        (request, said): (RequestKey, Said),
        deadline: Option<Instant>,
    ) -> Result<Answer, ApplyError> {
        let wrong = |field, problem: &str| Rejection::InvalidField { field, problem: problem.to_owned() };
        let kept = self.reader.kept_payment(ledger, id).await?.ok_or(Rejection::PaymentNotFound)?;
        if kept.event != PaymentEvent::Paid {
            return Err(wrong("payment_id", "must be a payment whose event is PAID").into());
        }
        let credits = credits
            .or(kept.credits)
            .ok_or_else(|| wrong("credits", "must be set: the products of the payment are not mapped"))?;
        let command = Command::PurchaseCredits(PurchaseCredits {
            storefront: kept.storefront.clone(),
            order: kept.order.clone(),
            credits,
            price: kept.price,
            expires_at: None,
        });
        let customer_id = customer.clone();
        let request = Request { ledger, customer: customer_id, request: Some(request), said, command };
        let answer = self.writer.submit(request, deadline).await??;
        // The purchase is stored. Whatever fails from here on, nobody is told that nothing was done: a repeat with the
        // same request id does the rest.
        let rest = async {
            self.close(ledger, id, &cut(&format!("assigned to {customer}"))).await?;
            self.apply_waiting(ledger, &kept).await
        };
        rest.await.map_err(|error| {
            tracing::warn!(%error, "a payment is assigned, but what follows from it is not done yet");
            ApplyError::Submit(SubmitError::Unknown)
        })?;
        Ok(answer)
    }

    /// Puts a payment into an account, or says why that cannot be done now.
    async fn apply(&self, ledger: LedgerNo, payment: &Payment) -> Result<Result<(), String>, ApplyError> {
        if payment.event == PaymentEvent::Paid {
            return self.buy(ledger, payment).await;
        }
        let target = PurchaseTarget::Order(payment.storefront.clone(), payment.order.clone());
        for _ in 0..ATTEMPTS {
            let purchase = match self.reader.purchase(ledger, &target).await {
                Ok(purchase) => purchase,
                Err(ReadError::PurchaseNotFound) => return Ok(Err("the order was not recorded".to_owned())),
                Err(error) => return Err(error.into()),
            };
            let Some(command) = command_for(payment, &purchase.lot) else { return Ok(Ok(())) };
            match self.submit(ledger, purchase.customer.clone(), payment, command).await? {
                Ok(_) => return Ok(Ok(())),
                Err(Rejection::PurchaseChanged) => {}
                // The same refund was delivered before, and another one has changed the sums since.
                Err(Rejection::RequestIdReused { .. }) => return Ok(Ok(())),
                Err(rejection) => return Ok(Err(rejection.to_string())),
            }
        }
        Ok(Err("other refunds of the order came in between".to_owned()))
    }

    async fn buy(&self, ledger: LedgerNo, payment: &Payment) -> Result<Result<(), String>, ApplyError> {
        let Ok(customer) = CustomerId::parse(payment.customer.as_str()) else {
            return Ok(Err("the storefront names no customer of the ledger".to_owned()));
        };
        let Some(credits) = payment.credits else {
            return Ok(Err("none of the products is mapped to credits".to_owned()));
        };
        let command = Command::PurchaseCredits(PurchaseCredits {
            storefront: payment.storefront.clone(),
            order: payment.order.clone(),
            credits,
            price: payment.price,
            expires_at: None,
        });
        Ok(match self.submit(ledger, customer, payment, command).await? {
            // An order is recorded once, even if its products are mapped differently now or somebody assigned it.
            Ok(_) | Err(Rejection::OrderAlreadyRecorded { .. } | Rejection::RequestIdReused { .. }) => Ok(()),
            Err(rejection) => Err(rejection.to_string()),
        })
    }

    async fn submit(
        &self,
        ledger: LedgerNo,
        customer: CustomerId,
        payment: &Payment,
        command: Command,
    ) -> Result<Result<Answer, Rejection>, ApplyError> {
        let request = Some(request_of("storefront", payment));
        let said = match payment.event {
            PaymentEvent::Paid => Said::default(),
            PaymentEvent::Refunded
            | PaymentEvent::Disputed
            | PaymentEvent::DisputeWon
            | PaymentEvent::DisputeLost => Said {
                by: cut(payment.storefront.as_str()),
                reason: payment.key.0.clone(),
                ..Said::default()
            },
        };
        Ok(self.writer.submit(Request { ledger, customer, request, said, command }, None).await?)
    }

    /// Applies the payments that wait for the order of a payment, until none is left that can be applied.
    async fn apply_waiting(&self, ledger: LedgerNo, payment: &Payment) -> Result<(), ApplyError> {
        loop {
            let mut moved = false;
            for (id, waiting) in
                self.reader.kept_payments_of(ledger, &payment.storefront, &payment.order).await?
            {
                if self.apply(ledger, &waiting).await?.is_ok() {
                    self.close(ledger, id, &cut("applied")).await?;
                    moved = true;
                }
            }
            if !moved {
                return Ok(());
            }
        }
    }

    async fn keep(&self, ledger: LedgerNo, payment: &Payment, reason: &str) -> Result<(), ApplyError> {
        // The reason of the first delivery stays: another delivery of the payment is the same command.
        let request = request_of("kept", payment);
        let payment = Payment { reason: cut(reason), ..payment.clone() };
        let command = Command::KeepPayment(KeepPayment { payment });
        let said = Said::default();
        let keep = Request { ledger, customer: suspense(), request: Some(request.clone()), said, command };
        let kept = match self.writer.submit(keep.clone(), None).await? {
            Err(Rejection::CustomerNotFound) => {
                let command = Command::CreateCustomer(CreateCustomer::default());
                let create = Request { request: Some(request), command, ..keep.clone() };
                match self.writer.submit(create, None).await? {
                    Ok(_) | Err(Rejection::CustomerExists { .. }) => {}
                    Err(rejection) => return Err(rejection.into()),
                }
                self.writer.submit(keep, None).await?
            }
            kept => kept,
        };
        match kept {
            // It was kept before, for another reason.
            Ok(_) | Err(Rejection::RequestIdReused { .. }) => Ok(()),
            Err(rejection) => Err(rejection.into()),
        }
    }

    async fn close(&self, ledger: LedgerNo, id: PostingId, reason: &Text) -> Result<(), ApplyError> {
        let close = Request {
            ledger,
            customer: suspense(),
            request: Some(RequestKey::Uuid(id.uuid())),
            said: Said { reason: reason.clone(), ..Said::default() },
            command: Command::ClosePayment(ClosePayment { payment: id }),
        };
        match self.writer.submit(close, None).await? {
            // Somebody else closed it at the same moment.
            Ok(_) | Err(Rejection::PaymentNotFound | Rejection::RequestIdReused { .. }) => Ok(()),
            Err(rejection) => Err(rejection.into()),
        }
    }
}

/// The command that applies what happened to a purchase; `None` where it is applied already.
fn command_for(payment: &Payment, lot: &Lot) -> Option<Command> {
    let purchase = PurchaseRef::Id(lot.id);
    Some(match payment.event {
        PaymentEvent::Paid => return None,
        PaymentEvent::Refunded => {
            let before = lot.refunded_price();
            let mut price = payment.price;
            if payment.cumulative {
                let part = price
                    .zip(before)
                    .map(|(all, before)| all.with(all.minor_units.saturating_sub(before.minor_units)));
                if part.is_some_and(|part| part.minor_units <= 0) {
                    return None;
                }
                price = part.or(price);
            }
            let credits = payment.credits.unwrap_or_else(|| credits_for(price, lot));
            Command::RefundPurchase(RefundPurchase {
                purchase,
                credits: credits.min(lot.refundable()).max(Credits::from_units(1)),
                price: price.filter(|_| lot.price.is_some()),
                // A part that is delivered by itself does not depend on the other refunds.
                expected_refunded: before.filter(|_| payment.cumulative),
                // The customer has the money back already, so missing credits become a receivable.
                on_shortfall: OnShortfall::Receivable,
            })
        }
        PaymentEvent::Disputed => Command::RecordChargeback(RecordChargeback {
            purchase,
            credits: Some(credits_for(payment.price, lot).min(lot.refundable()))
                .filter(|credits| credits.is_positive()),
            price: payment.price.filter(|_| lot.price.is_some()),
        }),
        PaymentEvent::DisputeWon | PaymentEvent::DisputeLost => {
            Command::ResolveChargeback(ResolveChargeback {
                purchase,
                won: payment.event == PaymentEvent::DisputeWon,
            })
        }
    })
}

/// The credits that an amount of a purchase's money bought. It is those of all money that is refunded then, less those
/// of the money refunded before, so that the parts sum to the whole.
fn credits_for(money: Option<Money>, lot: &Lot) -> Credits {
    let (Some(money), Some(price), Some(before)) = (money, lot.price, lot.refunded_price()) else {
        return lot.refundable();
    };
    let all = before.minor_units.saturating_add(money.minor_units);
    let product = i128::from(lot.credits.units()).saturating_mul(i128::from(all));
    let units = half_up(product, i128::from(price.minor_units));
    units.map_or(lot.refundable(), |units| Credits::from_units(units).less_at_least_zero(lot.refunded()))
}

/// The request id of a command that follows from a payment; the same for every delivery.
fn request_of(what: &str, payment: &Payment) -> RequestKey {
    let Payment { event, storefront, order, key, .. } = payment;
    let text = format!("{what} {storefront} {order} {event} {key}");
    RequestKey::parse(&text).unwrap_or_else(|_| {
        // The text is too long or not plain ASCII.
        let hash = stable_hash(&[text.as_bytes()]);
        RequestKey::Text(format!("{what} {hash:016x}").into())
    })
}
