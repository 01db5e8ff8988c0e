//! Methods of services as values, and lists that a server returns in pages.

use std::future::Future;
use std::pin::Pin;

use tonic::{Response, Status};

use super::call::CallError;
use super::connect::Channel;
use crate::grpc::wire;

/// The most items that a server puts on a page.
const PAGE: usize = 1_000;

/// A method of a service, from its request to its answer.
pub(super) type Method<Q, A> =
    fn(Channel, Q) -> Pin<Box<dyn Future<Output = Result<Response<A>, Status>> + Send>>;

/// Names a method, such as `method!(HoldServiceClient.settle_hold)`.
macro_rules! method {
    ($service:ident.$method:ident) => {{
        let method: $crate::app::paging::Method<_, _> =
            |channel, request| Box::pin(async move { $service::new(channel).$method(request).await });
        method
    }};
}
pub(super) use method;

/// A request for a list.
pub(super) trait Paged: Clone {
    type Answer;
    type Item;

    /// Asks for the page after `token`.
    fn set_page(&mut self, size: i32, token: String);

    /// The items of a page, and the token of the next page, which is empty at the end.
    fn read(answer: Self::Answer) -> (Vec<Self::Item>, String);
}

macro_rules! paged {
    ($($request:ident => $answer:ident { $items:ident: $item:ident }),* $(,)?) => {
        $(impl Paged for wire::$request {
            type Answer = wire::$answer;
            type Item = wire::$item;

            fn set_page(&mut self, size: i32, token: String) {
                (self.page_size, self.page_token) = (size, token);
            }

            fn read(answer: Self::Answer) -> (Vec<Self::Item>, String) {
                (answer.$items, answer.next_page_token)
            }
        })*
    };
}
paged! {
    ListAuditRecordsRequest => ListAuditRecordsResponse { audit_records: AuditRecord },
    ListCustomersRequest => ListCustomersResponse { customers: Customer },
    ListDeliveriesRequest => ListDeliveriesResponse { deliveries: Delivery },
    ListHoldsRequest => ListHoldsResponse { holds: Hold },
    ListRateCardsRequest => ListRateCardsResponse { rate_cards: RateCard },
    ListTokensRequest => ListTokensResponse { access_tokens: AccessToken },
    ListTransfersRequest => ListTransfersResponse { transfers: JournalTransfer },
    ListUnmatchedPaymentsRequest => ListUnmatchedPaymentsResponse { payments: UnmatchedPayment },
    ListWebhookEndpointsRequest => ListWebhookEndpointsResponse { endpoints: WebhookEndpoint },
    ListWorkRequest => ListWorkResponse { entries: WorkEntry },
}

/// Reads pages until `limit` items are there or the list ends. Also returns whether there are more.
pub(super) async fn read_pages<Q: Paged>(
    channel: &Channel,
    limit: usize,
    mut request: Q,
    method: Method<Q, Q::Answer>,
) -> Result<(Vec<Q::Item>, bool), CallError> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        // One more than the limit, because a page token alone does not prove that anything follows.
        let missing = limit.saturating_add(1).saturating_sub(items.len());
        if missing == 0 {
            break;
        }
        request.set_page(i32::try_from(missing.min(PAGE)).unwrap_or(i32::MAX), token);
        let (page, next) = Q::read(method(channel.clone(), request.clone()).await?.into_inner());
        items.extend(page);
        token = next;
        if token.is_empty() {
            break;
        }
    }
    let more = items.len() > limit;
    items.truncate(limit);
    Ok((items, more))
}
