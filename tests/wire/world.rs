//! A ledger with something in every state, and a good request to every method, from which bad ones are made.

use creditledger::grpc::wire::access_service_client::AccessServiceClient;
use creditledger::grpc::wire::*;
use prost::Message;
use prost_types::{FieldMask, Timestamp};

use crate::full_card::full_card;
use crate::served::{On, Served};

/// 2100-01-01, which is in the future of every run.
pub const LATER: Timestamp = Timestamp { seconds: 4_102_444_800, nanos: 0 };
const EARLIER: Timestamp = Timestamp { seconds: 1_600_000_000, nanos: 0 };

/// Payments that wait; their ids.
async fn waiting(served: &Served) -> [String; 2] {
    for order in ["nobodys", "closed"] {
        served.wait_for_a_person(order).await;
    }
    let list = ListUnmatchedPaymentsRequest::default();
    let listed = served.purchases().list_unmatched_payments(list).await.unwrap().into_inner().payments;
    [0, 1].map(|place: usize| listed[place].payment_id.clone())
}

/// An order of the storefront `web`.
#[allow(clippy::unnecessary_wraps)] // as requests take it
fn order(order_id: &str) -> Option<PurchaseTarget> {
    Some(PurchaseTarget::order("web", order_id))
}

/// What stands in the world, where requests need to name it.
pub struct World {
    pub served: Served,
    /// An entry of work on the hold of the incident `void`.
    pub work_id: String,
    /// Ids of the ledger `other`.
    pub other_hold: String,
    pub other_purchase: String,
    /// A hold of another customer, `zeta`.
    pub foreign_hold: String,
    /// An endpoint that stays, and one that is removed.
    pub endpoint_id: String,
    pub leaving_endpoint_id: String,
    /// The position of the first purchase.
    pub bought_at: i64,
    /// A payment that waits.
    pub payment_id: String,
    pub closed_payment_id: String,
    /// The request that made `zeta`.
    pub zeta_request: String,
    /// A refund of the order `reverse-refund`.
    pub refund_id: String,
    /// A top-up that is requested of the customer `asked`.
    pub top_up_id: String,
    /// A token that is revoked.
    pub token_id: String,
}

impl World {
    pub async fn new(on: On) -> Self {
        Self::with(Served::start(on).await).await
    }

    /// On a server that has nothing yet.
    pub async fn with(served: Served) -> Self {
        served.buy("1000").await;
        let mut holds = served.holds();
        let zeta = served.customer("zeta");
        let zeta_request = zeta.context.clone().unwrap().request_id;
        for customer in [zeta, served.customer("leaving")] {
            served.customers().create_customer(customer).await.unwrap();
        }
        for incident in ["confirm", "decline"] {
            holds.estimate_incident(served.estimate(incident, "2")).await.unwrap();
        }
        holds.place_hold(served.timed_hold("extend", 60)).await.unwrap();
        for incident in ["void", "settle", "release", "close", "reverse"] {
            holds.place_hold(served.hold(incident, "2")).await.unwrap();
        }
        for incident in ["settle", "reverse"] {
            holds.record_work(served.work(incident, 45)).await.unwrap();
        }
        holds.settle_hold(served.settle("reverse")).await.unwrap();
        let worked = holds.record_work(served.work("void", 5)).await.unwrap().into_inner();
        let work_id = worked.entry.unwrap().work_id;
        for order in ["refund", "reverse-refund", "charge-back", "resolve"] {
            served.purchases().purchase_credits(served.purchase("5", order)).await.unwrap();
        }
        let back = RefundPurchaseRequest {
            context: served.of("acme"),
            target: order("reverse-refund"),
            credits: "2".into(),
            ..Default::default()
        };
        let back = served.purchases().refund_purchase(back).await.unwrap().into_inner();
        let refund_id = back.outcome().purchase.unwrap().refunds.remove(0).refund_id;
        let taken = RecordChargebackRequest {
            context: served.of("acme"),
            target: order("resolve"),
            ..Default::default()
        };
        served.purchases().record_chargeback(taken).await.unwrap();
        let order = PurchaseCreditsRequest { context: served.of("zeta"), ..served.purchase("5", "zeta-1") };
        served.purchases().purchase_credits(order).await.unwrap();
        let hold = PlaceHoldRequest { context: served.of("zeta"), ..served.timed_hold("extend", 30) };
        let foreign_hold = holds.place_hold(hold).await.unwrap().into_inner().outcome().hold.unwrap().hold_id;

        let other_ledger = CreateLedgerRequest { context: served.of(""), ledger_id: "other".into() };
        served.ledgers().create_ledger(other_ledger).await.unwrap();
        let [payment_id, closed_payment_id] = waiting(&served).await;
        let ledger_id = || "other".to_owned();
        for customer in ["acme", "only-there"] {
            let customer = CreateCustomerRequest {
                context: Some(context(served.next(), customer).ledger(ledger_id())),
                ..served.customer(customer)
            };
            served.customers().create_customer(customer).await.unwrap();
        }
        let order = PurchaseCreditsRequest {
            context: Some(context(served.next(), "acme").ledger(ledger_id())),
            ..served.purchase("5", "there-1")
        };
        let purchase = served
            .purchases()
            .purchase_credits(order)
            .await
            .unwrap()
            .into_inner()
            .outcome()
            .purchase
            .unwrap();
        let hold = PlaceHoldRequest {
            context: Some(context(served.next(), "acme").ledger(ledger_id())),
            ..served.hold("only-there", "1")
        };
        let other_hold = holds.place_hold(hold).await.unwrap().into_inner().outcome().hold.unwrap().hold_id;
        let top_up =
            TopUpSettings { below_credits: "1".into(), target_credits: "2".into(), ..Default::default() };
        let terms = Some(CustomerTerms { top_up: Some(top_up), ..Default::default() });
        let asked = CreateCustomerRequest { terms, ..served.customer("asked") };
        let asked = served.customers().create_customer(asked).await.unwrap().into_inner().customer.unwrap();
        let top_up_id = asked.open_top_up.unwrap().top_up_id;
        let token =
            AccessServiceClient::new(served.channel.clone()).create_token(served.token("leaves")).await;
        let token_id = token.unwrap().into_inner().access_token.unwrap().token_id;
        let mut endpoints = Vec::new();
        for path in ["stays", "leaves"] {
            let endpoint = CreateWebhookEndpointRequest {
                context: served.of(""),
                url: format!("https://hooks.example.com/{path}"),
                ..Default::default()
            };
            let made = served.notifications().create_webhook_endpoint(endpoint).await.unwrap().into_inner();
            endpoints.push(made.endpoint.unwrap().endpoint_id);
        }
        let [endpoint_id, leaving_endpoint_id] = endpoints.try_into().unwrap();
        Self {
            served,
            work_id,
            other_hold,
            other_purchase: purchase.purchase_id,
            foreign_hold,
            payment_id,
            closed_payment_id,
            zeta_request,
            refund_id,
            top_up_id,
            token_id,
            endpoint_id,
            leaving_endpoint_id,
            bought_at: 2,
        }
    }

    /// A request that is good when it is sent, with all fields that go together, for each method but those of
    /// BatchService. They can be sent in this order.
    #[allow(clippy::too_many_lines)]
    pub fn good_requests(&self) -> Vec<(&'static str, Vec<u8>)> {
        let served = &self.served;
        let customer_id = || "acme".to_owned();
        let pairs: std::collections::BTreeMap<_, _> = [("crm".to_owned(), "4711".to_owned())].into();
        let asks = |by: &str, reason: &str| {
            let context = context(served.next(), "acme").by(by).because(reason);
            Some(CommandContext { metadata: pairs.clone(), ..context })
        };
        let incident = |incident: &str| Some(HoldTarget::incident(incident));
        let contact =
            || Contact { name: "Ada".into(), email: "ada@example.org".into(), locale: "pt-BR".into() };
        let mask =
            |paths: &[&str]| Some(FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() });
        let top_up = || TopUpSettings {
            below_credits: "0.5".into(),
            target_credits: "2".into(),
            monthly_cap_credits: Some("10".into()),
            cool_down_seconds: 60,
            lapse_seconds: 3_600,
        };
        let terms = CustomerTerms {
            rate_card_id: "prepaid".into(),
            package: "gold".into(),
            product_purchase_date: Some(Date { year: 2026, month: 1, day: 31 }),
            top_up: Some(top_up()),
        };
        let thresholds = || {
            vec![BalanceThreshold { threshold: Some(balance_threshold::Threshold::Credits("2.5".into())) }]
        };
        let margin = || Some(AlertMargin { percent: Some(10), min_credits: Some("0.5".into()) });
        let tomorrow = std::time::SystemTime::now() + std::time::Duration::from_hours(24);
        macro_rules! good {
            ($($method:literal => $request:expr),* $(,)?) => {
                vec![$(($method, $request.encode_to_vec())),*]
            };
        }
        good! {
            "LedgerService/CreateLedger" => CreateLedgerRequest { context: served.of(""), ledger_id: "third".into() },
            "LedgerService/GetLedger" => GetLedgerRequest { ledger_id: "third".into() },
            "LedgerService/GetServerInfo" => GetServerInfoRequest {},
            "LedgerService/ListLedgers" => ListLedgersRequest::default(),
            "AccessService/CreateToken" => CreateTokenRequest {
                name: "portal".into(), role: Role::Customer.into(), ledger_ids: vec!["main".into(), "other".into()],
                customer_id: customer_id(), days: 90, ..served.token("portal")
            },
            "AccessService/ListTokens" => ListTokensRequest::default(),
            "AccessService/ListAuditRecords" => ListAuditRecordsRequest {
                recorded_from: Some(EARLIER), recorded_until: Some(LATER), subject: "ann".into(),
                kind: AuditRecordKind::Rejected.into(), ..Default::default()
            },
            "AccessService/RevokeToken" => RevokeTokenRequest { token_id: self.token_id.clone() },
            "CustomerService/CreateCustomer" => CreateCustomerRequest {
                name: "New".into(), contact: Some(contact()), metadata: pairs.clone(), terms: Some(terms),
                ..served.customer("new")
            },
            "CustomerService/GetCustomer" => GetCustomerRequest { customer_id: customer_id(), ..Default::default() },
            "CustomerService/UpdateCustomer" => UpdateCustomerRequest {
                context: served.of("acme"), name: "Acme".into(), contact: Some(contact()), metadata: pairs.clone(),
                update_mask: mask(&["name", "contact", "metadata"]),
            },
            "CustomerService/ListCustomers" => ListCustomersRequest {
                name_prefix: "A".into(), contact_email: "ada@example.org".into(), metadata_key: "tier".into(),
                metadata_value: "gold".into(), closed: Some(false), low: Some(false), owing: Some(false),
                ..Default::default()
            },
            "CustomerService/SetCustomerTerms" => SetCustomerTermsRequest {
                context: asks("op", "renewal"), rate_card_id: "prepaid".into(), package: "gold".into(),
                product_purchase_date: Some(Date { year: 2020, month: 1, day: 31 }),
                update_mask: mask(&["rate_card_id", "package", "product_purchase_date", "top_up"]),
                top_up: Some(top_up()), charge_credits: Some("1.5".into()),
            },
            "CustomerService/CloseCustomer" => CloseCustomerRequest {
                context: Some(context(served.next(), "leaving").by("desk").because("left")),
            },
            "CustomerService/ReopenCustomer" => ReopenCustomerRequest {
                context: Some(context(served.next(), "leaving").by("desk").because("came back")),
            },
            "PurchaseService/PurchaseCredits" => PurchaseCreditsRequest {
                expires_at: Some(LATER), ..served.purchase("7", "good-1")
            },
            "PurchaseService/RefundPurchase" => RefundPurchaseRequest {
                context: asks("shop", "too many"), target: order("refund"), credits: "1".into(),
                price: Some(Money { currency_code: "EUR".into(), amount: "0.99".into() }),
                on_shortfall: ShortfallPolicy::Receivable.into(),
                expected_refunded_price: Some(Money { currency_code: "EUR".into(), amount: "0".into() }),
            },
            "PurchaseService/ReverseRefund" => ReverseRefundRequest {
                context: asks("shop", "bounced"), target: order("reverse-refund"), refund_id: self.refund_id.clone(),
            },
            "PurchaseService/RecordChargeback" => RecordChargebackRequest {
                context: asks("bank", "stolen card"), target: order("charge-back"), credits: Some("2".into()),
                price: Some(Money { currency_code: "EUR".into(), amount: "7.96".into() }),
            },
            "PurchaseService/ResolveChargeback" => ResolveChargebackRequest {
                context: asks("bank", "delivered"), target: order("resolve"), outcome: ChargebackOutcome::Won.into(),
            },
            "PurchaseService/ListUnmatchedPayments" => ListUnmatchedPaymentsRequest::default(),
            "PurchaseService/AssignPayment" => AssignPaymentRequest {
                context: served.of("acme"), payment_id: self.payment_id.clone(), credits: Some("3".into()),
            },
            "PurchaseService/DismissPayment" => DismissPaymentRequest {
                context: Some(context(served.next(), "").by("op").because("settled")),
                payment_id: self.closed_payment_id.clone(),
            },
            "PurchaseService/RetryPayments" => RetryPaymentsRequest {
                storefront: "shop".into(), ..Default::default()
            },
            "PurchaseService/GetPurchase" => GetPurchaseRequest {
                target: order("zeta-1"), ..Default::default()
            },
            "PurchaseService/ListPurchases" => ListPurchasesRequest {
                customer_id: customer_id(), storefront: "web".into(), created_from: Some(EARLIER),
                created_until: Some(LATER), ..Default::default()
            },
            "PurchaseService/ReportTopUp" => ReportTopUpRequest {
                context: Some(context(served.next(), "asked").by("shop").because("3-D Secure")),
                top_up_id: self.top_up_id.clone(), report: TopUpReport::Pending.into(),
                pending_until: Some(tomorrow.into()),
            },
            "PurchaseService/GrantCredits" => GrantCreditsRequest {
                context: asks("op", "sorry"), credits: "3".into(), expires_at: Some(LATER),
            },
            "LedgerService/AdjustBalance" => AdjustBalanceRequest {
                context: asks("op", "slip"), credits: "-1".into(),
            },
            "LedgerService/GetBalance" => GetBalanceRequest {
                customer_id: customer_id(), as_of: Some(get_balance_request::AsOf::Sequence(1)), with_forecast: true,
                ..Default::default()
            },
            "LedgerService/BatchGetBalances" => BatchGetBalancesRequest {
                customer_ids: vec![customer_id(), "nobody".into()], ..Default::default()
            },
            "LedgerService/ListPostings" => ListPostingsRequest {
                customer_id: customer_id(), recorded_from: Some(EARLIER), recorded_until: Some(LATER),
                kinds: vec![PostingKind::PlaceHold.into()], incident_id: "extend".into(), storefront: "web".into(),
                ..Default::default()
            },
            "LedgerService/ListTransfers" => ListTransfersRequest {
                customer_id: customer_id(), recorded_from: Some(EARLIER), recorded_until: Some(LATER),
                kinds: vec![PostingKind::PlaceHold.into()], incident_id: "extend".into(), storefront: "web".into(),
                ..Default::default()
            },
            "LedgerService/GetPosting" => GetPostingRequest {
                customer_id: "zeta".into(),
                named_by: Some(get_posting_request::NamedBy::Request(AnsweredRequest {
                    kind: PostingKind::CreateCustomer.into(), request_id: self.zeta_request.clone(),
                })),
                ..Default::default()
            },
            "LedgerService/GetLot" => GetLotRequest { ledger_id: "other".into(), lot_id: self.other_purchase.clone() },
            "LedgerService/ListLots" => ListLotsRequest {
                customer_id: customer_id(), storefront: "web".into(), created_from: Some(EARLIER),
                created_until: Some(LATER), ..Default::default()
            },
            "LedgerService/GetTrialBalance" => GetTrialBalanceRequest::default(),
            "LedgerService/GetStatement" => GetStatementRequest {
                customer_id: customer_id(), period_from: Some(EARLIER), period_until: Some(LATER), ..Default::default()
            },
            "LedgerService/GetRevenueReport" => GetRevenueReportRequest {
                period_from: Some(EARLIER), period_until: Some(LATER), ..Default::default()
            },
            "LedgerService/ReconcilePurchases" => ReconcilePurchasesRequest {
                storefront: "web".into(), created_from: Some(EARLIER), created_until: Some(LATER),
                orders: vec![StorefrontPurchase {
                    order_id: "zeta-1".into(), customer_id: "zeta".into(), credits: Some("5".into()),
                    price: Some(Money { currency_code: "EUR".into(), amount: "19.90".into() }),
                }],
                ..Default::default()
            },
            "LedgerService/StreamJournal" => StreamJournalRequest::default(),
            "RateCardService/CreateRateCard" => CreateRateCardRequest {
                context: Some(context(served.next(), "").by("op")), rate_card: Some(full_card("own")),
            },
            "RateCardService/SetDefaultRateCard" => SetDefaultRateCardRequest {
                context: Some(context(served.next(), "").by("op")), rate_card_id: "prepaid".into(),
            },
            "NotificationService/SetBalanceAlerts" => SetBalanceAlertsRequest {
                context: asks("op", ""), thresholds: thresholds(), margin: margin(), ..Default::default()
            },
            "NotificationService/SetDefaultBalanceAlerts" => SetDefaultBalanceAlertsRequest {
                context: Some(context(served.next(), "").by("op")), thresholds: thresholds(), margin: margin(),
            },
            "NotificationService/GetBalanceAlerts" => GetBalanceAlertsRequest {
                customer_id: customer_id(), ..Default::default()
            },
            "NotificationService/WatchEvents" => WatchEventsRequest {
                customer_id: customer_id(), types: vec![EventType::BalanceLow.into()], until_now: true,
                heartbeat_seconds: 5, start: Some(watch_events_request::Start::AfterPosition(1)),
                ..Default::default()
            },
            "NotificationService/CreateWebhookEndpoint" => CreateWebhookEndpointRequest {
                context: served.of(""), url: "https://hooks.example.com/new".into(),
                types: vec![EventType::BalanceLow.into()], description: "crm".into(),
                secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), after_position: Some(1),
            },
            "NotificationService/UpdateWebhookEndpoint" => UpdateWebhookEndpointRequest {
                context: served.of(""), endpoint_id: self.endpoint_id.clone(),
                url: "https://hooks.example.com/changed".into(), types: vec![EventType::BalanceLow.into()],
                description: "crm".into(), secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), enabled: false,
                update_mask: mask(&["url", "types", "description", "secret", "enabled"]),
            },
            "NotificationService/ListWebhookEndpoints" => ListWebhookEndpointsRequest::default(),
            "NotificationService/GetWebhookEndpoint" => GetWebhookEndpointRequest {
                endpoint_id: self.endpoint_id.clone(), ..Default::default()
            },
            "NotificationService/ListDeliveries" => ListDeliveriesRequest {
                endpoint_id: self.endpoint_id.clone(), state: DeliveryState::Dead.into(), ..Default::default()
            },
            "NotificationService/RedeliverEvent" => RedeliverEventRequest {
                context: served.of(""), endpoint_id: self.endpoint_id.clone(), position: self.bought_at, index: 0,
            },
            "NotificationService/DeleteWebhookEndpoint" => DeleteWebhookEndpointRequest {
                context: served.of(""), endpoint_id: self.leaving_endpoint_id.clone(),
            },
            "RateCardService/GetRateCard" => GetRateCardRequest {
                rate_card_id: "prepaid".into(), version: 1, ..Default::default()
            },
            "RateCardService/GetIncidentClassStats" => GetIncidentClassStatsRequest {
                incident_class: "design".into(), created_from: Some(EARLIER), created_until: Some(LATER),
                ..Default::default()
            },
            "RateCardService/ListRateCards" => ListRateCardsRequest::default(),
            "RateCardService/PreviewCharge" => PreviewChargeRequest {
                customer_id: customer_id(), incident_class: "price-plans".into(), opened_at: Some(EARLIER),
                confirmed_quote_credits: Some("1".into()), work_before: vec![PreviewWork {
                    work_seconds: 600, started_at: Some(EARLIER), line: "second".into(), solutions: 1,
                }],
                rate_card_id: "prepaid".into(), version: 1, package: "gold".into(), labels: vec!["on-site".into()],
                work: vec![PreviewWork {
                    work_seconds: 60, started_at: Some(EARLIER), line: "first".into(), solutions: 1,
                }],
                solutions: 1, product_purchase_date: Some(Date { year: 2019, month: 1, day: 31 }), ..Default::default()
            },
            "HoldService/EstimateIncident" => EstimateIncidentRequest {
                context: asks("desk", ""), opened_at: Some(EARLIER), expires_at: Some(LATER),
                incident_class: "front-end-design".into(), range_override_reason: "agreed".into(), note: "n".into(),
                ..served.estimate("estimate", "1.5")
            },
            "HoldService/ConfirmEstimate" => ConfirmEstimateRequest {
                context: asks("ada", ""), target: incident("confirm"), ..Default::default()
            },
            "HoldService/DeclineEstimate" => DeclineEstimateRequest {
                context: asks("ada", "dear"), target: incident("decline"),
            },
            "HoldService/PlaceHold" => PlaceHoldRequest {
                context: asks("desk", ""), opened_at: Some(EARLIER), expires_at: Some(LATER), note: "n".into(),
                ..served.hold("place", "1.5")
            },
            "HoldService/ExtendHold" => ExtendHoldRequest {
                context: asks("desk", "more"), target: incident("extend"), credits: "0.5".into(),
            },
            "HoldService/RecordWork" => RecordWorkRequest {
                context: asks("bo", ""), started_at: Some(EARLIER), line: "first".into(), solutions: 2,
                note: "n".into(), ..served.work("extend", 10)
            },
            "HoldService/VoidWork" => VoidWorkRequest {
                context: asks("bo", "slip"), target: incident("void"), work_id: self.work_id.clone(),
            },
            "HoldService/SettleHold" => SettleHoldRequest {
                context: asks("bo", ""), overrun: OverrunPolicy::CapAtHold.into(),
                max_charge_credits: Some("9".into()), expected_work_seconds: Some(2_700), ..served.settle("settle")
            },
            "HoldService/ReleaseHold" => ReleaseHoldRequest {
                context: asks("bo", "gone"), target: incident("release"), ..Default::default()
            },
            "HoldService/CloseIncident" => CloseIncidentRequest {
                context: asks("ada", "solved"), target: incident("close"), max_charge_credits: Some("9".into()),
                expected_work_seconds: Some(0),
            },
            "HoldService/ChargeIncident" => ChargeIncidentRequest {
                context: asks("bo", ""), incident_id: "charge".into(), work_seconds: 600, started_at: Some(EARLIER),
                line: "first".into(), solutions: 1, note: "n".into(), opened_at: Some(EARLIER),
                max_charge_credits: Some("9".into()), expected_charged_credits: Some("0".into()), ..Default::default()
            },
            "HoldService/ReverseSettlement" => ReverseSettlementRequest {
                context: asks("op", "goodwill"), target: incident("reverse"), credits: Some("0.5".into()),
            },
            "HoldService/GetHold" => GetHoldRequest {
                customer_id: customer_id(), target: incident("extend"), ..Default::default()
            },
            "HoldService/ListWork" => ListWorkRequest {
                customer_id: customer_id(), target: incident("void"), ..Default::default()
            },
            "HoldService/ListHolds" => ListHoldsRequest {
                customer_id: customer_id(), incident_id: "extend".into(), states: vec![HoldState::Active.into()],
                created_from: Some(EARLIER), created_until: Some(LATER), label: "vip".into(),
                opened_from: Some(EARLIER), opened_until: Some(LATER), ..Default::default()
            },
            "HoldService/ListSettlements" => ListSettlementsRequest {
                customer_id: customer_id(), incident_id: "reverse".into(), created_from: Some(EARLIER),
                created_until: Some(LATER), ..Default::default()
            },
            "HoldService/GetReceipt" => GetReceiptRequest {
                customer_id: customer_id(), target: incident("reverse"), ..Default::default()
            },
        }
    }
}
