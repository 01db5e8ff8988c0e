//! PurchaseService: purchases and grants. What is given back of purchases is in `refund_commands`,
//! payments that are nobody's yet in `payment_commands`.

use prost::Message;
use tonic::{Request, Response, Status, async_trait};

use crate::ledger::commands::{GrantCredits, PurchaseCredits, PurchaseRef};
use crate::ledger::lot::LotSource;
use crate::ledger::{Command, CustomerId, OrderId, Storefront};
use crate::query::{LotFilter, OwnedLot, PurchaseTarget as Asked};

use super::command::CommandMessage;
use super::parse::{Amount, Fields, parse};
use super::refund_commands::read_purchase;
use super::wire::purchase_service_server::PurchaseService;
use super::wire::*;
use super::{Api, PAGE_BYTES_MAX, convert};

#[async_trait]
impl PurchaseService for Api {
    async fn purchase_credits(
        &self,
        request: Request<PurchaseCreditsRequest>,
    ) -> Result<Response<PurchaseCreditsResponse>, Status> {
        self.execute(request).await
    }

    async fn refund_purchase(
        &self,
        request: Request<RefundPurchaseRequest>,
    ) -> Result<Response<RefundPurchaseResponse>, Status> {
        self.execute(request).await
    }

    async fn reverse_refund(
        &self,
        request: Request<ReverseRefundRequest>,
    ) -> Result<Response<ReverseRefundResponse>, Status> {
        self.execute(request).await
    }

    async fn record_chargeback(
        &self,
        request: Request<RecordChargebackRequest>,
    ) -> Result<Response<RecordChargebackResponse>, Status> {
        self.execute(request).await
    }

    async fn resolve_chargeback(
        &self,
        request: Request<ResolveChargebackRequest>,
    ) -> Result<Response<ResolveChargebackResponse>, Status> {
        self.execute(request).await
    }

    async fn list_unmatched_payments(
        &self,
        request: Request<ListUnmatchedPaymentsRequest>,
    ) -> Result<Response<ListUnmatchedPaymentsResponse>, Status> {
        self.unmatched_payments(request.into_inner()).await.map(Response::new)
    }

    async fn assign_payment(
        &self,
        request: Request<AssignPaymentRequest>,
    ) -> Result<Response<AssignPaymentResponse>, Status> {
        Self::assign_payment(self, request).await.map(Response::new)
    }

    async fn get_purchase(
        &self,
        request: Request<GetPurchaseRequest>,
    ) -> Result<Response<GetPurchaseResponse>, Status> {
        let (ledger, target) = parse(request.into_inner(), |message, fields| {
            let GetPurchaseRequest { ledger_id, target } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let target = read_target(fields, target);
            Some((ledger?, target?))
        })?;
        let no = self.ledger(&ledger).await?;
        let OwnedLot { lot, customer } = self.reader.purchase(no, &target).await?;
        let purchase = Some(convert::purchase(&lot, &ledger, &customer));
        Ok(Response::new(GetPurchaseResponse { purchase }))
    }

    async fn list_purchases(
        &self,
        request: Request<ListPurchasesRequest>,
    ) -> Result<Response<ListPurchasesResponse>, Status> {
        let (ledger, customer, filter, page) = parse(request.into_inner(), |message, fields| {
            let ListPurchasesRequest {
                ledger_id,
                customer_id,
                storefront,
                created_from,
                created_until,
                page_size,
                page_token,
            } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
            let storefront = fields.optional("storefront", &storefront, Storefront::parse);
            let from = fields.time("created_from", created_from);
            let until = fields.time("created_until", created_until);
            let page = fields.page(page_size, page_token);
            let filter = LotFilter {
                customer: None,
                source: Some(LotSource::Purchase),
                storefront: storefront?,
                from: from?,
                until: until?,
            };
            Some((ledger?, customer?, filter, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let show = |owned: &OwnedLot| convert::purchase(&owned.lot, &ledger, &owned.customer);
        let listed = self.reader.owned_lots(no, customer.as_ref(), filter, &page).await?;
        let (purchases, next_page_token) = listed.show(PAGE_BYTES_MAX, show, Message::encoded_len);
        Ok(Response::new(ListPurchasesResponse { purchases, next_page_token }))
    }

    async fn grant_credits(
        &self,
        request: Request<GrantCreditsRequest>,
    ) -> Result<Response<GrantCreditsResponse>, Status> {
        self.execute(request).await
    }
}

/// The purchase that a request asks for.
fn read_target(fields: &mut Fields, target: Option<PurchaseTarget>) -> Option<Asked> {
    read_purchase(fields, target).map(|purchase| match purchase {
        PurchaseRef::Id(id) => Asked::Id(id),
        PurchaseRef::Order(storefront, order) => Asked::Order(storefront, order),
    })
}

impl CommandMessage for PurchaseCreditsRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, storefront, order_id, credits, price, expires_at } = self;
        let storefront = fields.take("storefront", Storefront::parse(&storefront));
        let order = fields.take("order_id", OrderId::parse(&order_id));
        let credits = fields.credits("credits", &credits, Amount::Positive);
        let price = fields.money("price", price);
        let expires_at = fields.time("expires_at", expires_at);
        let command = PurchaseCredits {
            storefront: storefront?,
            order: order?,
            credits: credits?,
            price: price?,
            expires_at: expires_at?,
        };
        Some(Command::PurchaseCredits(command))
    }
}

impl CommandMessage for GrantCreditsRequest {
    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, credits, expires_at } = self;
        let credits = fields.credits("credits", &credits, Amount::Positive);
        let expires_at = fields.time("expires_at", expires_at);
        let command = GrantCredits { credits: credits?, expires_at: expires_at? };
        Some(Command::GrantCredits(command))
    }
}
