//! A ledger with something in every state, and a good request to every method, from which bad ones are made.

use creditledger::grpc::wire::*;
use creditledger::ledger::command::{KeepPayment, Said};
use creditledger::ledger::payment::{Payment, suspense};
use creditledger::ledger::{Command, LedgerNo, OrderId, Request, RequestKey, Storefront, Text};
use prost::Message;
use prost_types::{FieldMask, Timestamp};

use crate::served::{On, Served};

/// 2100-01-01, which is in the future of every run.
pub const LATER: Timestamp = Timestamp { seconds: 4_102_444_800, nanos: 0 };
const EARLIER: Timestamp = Timestamp { seconds: 1_600_000_000, nanos: 0 };

/// Keeps a payment that is nobody's, as a webhook does.
async fn keep_payment(served: &Served) -> String {
    let text = |text: &str| Text::parse(text).unwrap();
    let payment = Payment {
        event: creditledger::ledger::payment::PaymentEvent::Paid,
        storefront: Storefront::parse("web").unwrap(),
        order: OrderId::parse("nobodys").unwrap(),
        key: text("paid"),
        customer: text("who?"),
        products: vec![text("1 x unknown")],
        credits: None,
        price: None,
        cumulative: false,
        reason: Text::EMPTY,
    };
    let creates = Command::CreateCustomer(creditledger::ledger::command::CreateCustomer::default());
    for command in [creates, Command::KeepPayment(KeepPayment { payment })] {
        let request = Some(RequestKey::parse(&served.next()).unwrap());
        let request =
            Request { ledger: LedgerNo::MAIN, customer: suspense(), request, said: Said::default(), command };
        served.writer.submit(request, None).await.unwrap().unwrap();
    }
    let list = ListUnmatchedPaymentsRequest::default();
    let listed = served.purchases().list_unmatched_payments(list).await.unwrap().into_inner().payments;
    listed[0].payment_id.clone()
}

/// A card in which every field is set.
pub fn full_card(name: &str) -> RateCard {
    let class = |class: &str, mode: IncidentClassMode| IncidentClassRule {
        incident_class: class.into(),
        mode: mode.into(),
        ..Default::default()
    };
    RateCard {
        rate_card_id: name.into(),
        description: "of everything".into(),
        credits_per_hour: "2".into(),
        increment_seconds: 60,
        minimum_seconds: 60,
        minimum_credits: "0.5".into(),
        charge_scale: 2,
        quote_valid_days: 14,
        free_support_days: Some(30),
        classes: vec![
            IncidentClassRule {
                estimate_min_credits: "1".into(),
                estimate_max_credits: "3".into(),
                credits_per_hour: "3".into(),
                ..class("design", IncidentClassMode::Timed)
            },
            class("sales", IncidentClassMode::Free),
        ],
        time_basis: TimeBasis::Sum.into(),
        flat_tier: Some(FlatTier { under_seconds: 600, credits: "1".into() }),
        multipliers: vec![Multiplier { label: "on-site".into(), factor: "2".into() }],
        lines: vec![LineRate { line: "second".into(), free: false, credits_per_hour: "4".into() }],
        packages: vec![PackageRate { package: "gold".into(), credits_per_hour: "1.5".into() }],
        emergency: EmergencyPolicy::FreeUnlessKbAnswered.into(),
        confirmed_hold_only: true,
        ..Default::default()
    }
}

/// An order of the storefront `web`.
fn order(order_id: &str) -> StorefrontOrder {
    StorefrontOrder { storefront: "web".into(), order_id: order_id.into() }
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
    /// A refund of the order `reverse-refund`.
    pub refund_id: String,
}

impl World {
    pub async fn new(on: On) -> Self {
        let served = Served::start(on).await;
        served.buy("1000").await;
        let mut holds = served.holds();
        for customer in ["zeta", "leaving"] {
            served.customers().create_customer(served.customer(customer)).await.unwrap();
        }
        for incident in ["confirm", "decline"] {
            holds.estimate_incident(served.estimate(incident, "2")).await.unwrap();
        }
        for incident in ["extend", "void", "settle", "release", "close", "reverse"] {
            holds.place_hold(served.hold(incident, "2")).await.unwrap();
        }
        for incident in ["settle", "reverse"] {
            holds.record_work(served.work(incident, 45)).await.unwrap();
        }
        holds.settle_hold(served.settle("reverse")).await.unwrap();
        let worked = holds.record_work(served.work("void", 5)).await.unwrap().into_inner();
        let work_id = worked.posting.unwrap().work_id;
        for order in ["refund", "reverse-refund", "charge-back", "resolve"] {
            served.purchases().purchase_credits(served.purchase("5", order)).await.unwrap();
        }
        let back = RefundPurchaseRequest {
            request_id: served.next(),
            customer_id: "acme".into(),
            target: Some(refund_purchase_request::Target::Order(order("reverse-refund"))),
            credits: "2".into(),
            ..Default::default()
        };
        let back = served.purchases().refund_purchase(back).await.unwrap().into_inner();
        let refund_id = back.purchase.unwrap().refunds.remove(0).refund_id;
        let taken = RecordChargebackRequest {
            request_id: served.next(),
            customer_id: "acme".into(),
            target: Some(record_chargeback_request::Target::Order(order("resolve"))),
            ..Default::default()
        };
        served.purchases().record_chargeback(taken).await.unwrap();
        let order = PurchaseCreditsRequest { customer_id: "zeta".into(), ..served.purchase("5", "zeta-1") };
        served.purchases().purchase_credits(order).await.unwrap();
        let hold = PlaceHoldRequest { customer_id: "zeta".into(), ..served.hold("extend", "1") };
        let foreign_hold = holds.place_hold(hold).await.unwrap().into_inner().hold.unwrap().hold_id;

        let other = CreateLedgerRequest { ledger_id: "other".into(), request_id: served.next() };
        served.ledgers().create_ledger(other).await.unwrap();
        let payment_id = keep_payment(&served).await;
        let ledger_id = || "other".to_owned();
        for customer in ["acme", "only-there"] {
            let customer = CreateCustomerRequest { ledger_id: ledger_id(), ..served.customer(customer) };
            served.customers().create_customer(customer).await.unwrap();
        }
        let order = PurchaseCreditsRequest { ledger_id: ledger_id(), ..served.purchase("5", "there-1") };
        let purchase =
            served.purchases().purchase_credits(order).await.unwrap().into_inner().purchase.unwrap();
        let hold = PlaceHoldRequest { ledger_id: ledger_id(), ..served.hold("only-there", "1") };
        let other_hold = holds.place_hold(hold).await.unwrap().into_inner().hold.unwrap().hold_id;
        let mut endpoints = Vec::new();
        for path in ["stays", "leaves"] {
            let endpoint = CreateWebhookEndpointRequest {
                request_id: served.next(),
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
            refund_id,
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
        let request_id = || served.next();
        /// Target fields are alike, but each message has a type of its own.
        macro_rules! incident {
            ($target:ident, $incident:literal) => {
                Some($target::Target::IncidentId($incident.into()))
            };
        }
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
            product_purchase_date: "2026-01-31".into(),
            top_up: Some(top_up()),
        };
        let thresholds = || {
            vec![BalanceThreshold { threshold: Some(balance_threshold::Threshold::Credits("2.5".into())) }]
        };
        let metadata: std::collections::BTreeMap<_, _> = [("crm".to_owned(), "4711".to_owned())].into();
        macro_rules! good {
            ($($method:literal => $request:expr),* $(,)?) => {
                vec![$(($method, $request.encode_to_vec())),*]
            };
        }
        good! {
            "LedgerService/CreateLedger" => CreateLedgerRequest { ledger_id: "third".into(), request_id: request_id() },
            "LedgerService/ListLedgers" => ListLedgersRequest::default(),
            "CustomerService/CreateCustomer" => CreateCustomerRequest {
                name: "New".into(), contact: Some(contact()), metadata: metadata.clone(), terms: Some(terms),
                ..served.customer("new")
            },
            "CustomerService/GetCustomer" => GetCustomerRequest { customer_id: customer_id(), ..Default::default() },
            "CustomerService/UpdateCustomer" => UpdateCustomerRequest {
                request_id: request_id(), customer_id: customer_id(), name: "Acme".into(), contact: Some(contact()),
                metadata, update_mask: mask(&["name", "contact", "metadata"]), ..Default::default()
            },
            "CustomerService/ListCustomers" => ListCustomersRequest::default(),
            "CustomerService/SetCustomerTerms" => SetCustomerTermsRequest {
                request_id: request_id(), customer_id: customer_id(), rate_card_id: "prepaid".into(),
                package: "gold".into(), product_purchase_date: "2020-01-31".into(),
                update_mask: mask(&["rate_card_id", "package", "product_purchase_date", "top_up"]), top_up: Some(top_up()),
                charge_credits: Some("1.5".into()), reason: "renewal".into(), by: "op".into(), ..Default::default()
            },
            "CustomerService/CloseCustomer" => CloseCustomerRequest {
                request_id: request_id(), customer_id: "leaving".into(), reason: "left".into(), by: "desk".into(),
                ..Default::default()
            },
            "PurchaseService/PurchaseCredits" => PurchaseCreditsRequest {
                expires_at: Some(LATER), ..served.purchase("7", "good-1")
            },
            "PurchaseService/RefundPurchase" => RefundPurchaseRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: Some(refund_purchase_request::Target::Order(order("refund"))), credits: "1".into(),
                price: Some(Money { currency_code: "EUR".into(), amount: "0.99".into() }),
                on_shortfall: ShortfallPolicy::Receivable.into(), reason: "too many".into(), by: "shop".into(),
                expected_refunded_price: Some(Money { currency_code: "EUR".into(), amount: "0".into() }),
                ..Default::default()
            },
            "PurchaseService/ReverseRefund" => ReverseRefundRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: Some(reverse_refund_request::Target::Order(order("reverse-refund"))),
                refund_id: self.refund_id.clone(), reason: "bounced".into(), by: "shop".into(), ..Default::default()
            },
            "PurchaseService/RecordChargeback" => RecordChargebackRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: Some(record_chargeback_request::Target::Order(order("charge-back"))),
                credits: Some("2".into()), price: Some(Money { currency_code: "EUR".into(), amount: "7.96".into() }),
                reason: "stolen card".into(), by: "bank".into(), ..Default::default()
            },
            "PurchaseService/ResolveChargeback" => ResolveChargebackRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: Some(resolve_chargeback_request::Target::Order(order("resolve"))),
                outcome: ChargebackOutcome::Won.into(), reason: "delivered".into(), by: "bank".into(),
                ..Default::default()
            },
            "PurchaseService/ListUnmatchedPayments" => ListUnmatchedPaymentsRequest::default(),
            "PurchaseService/AssignPayment" => AssignPaymentRequest {
                request_id: request_id(), customer_id: customer_id(), payment_id: self.payment_id.clone(),
                credits: Some("3".into()), ..Default::default()
            },
            "PurchaseService/GetPurchase" => GetPurchaseRequest {
                target: Some(get_purchase_request::Target::Order(order("zeta-1"))), ..Default::default()
            },
            "PurchaseService/ListPurchases" => ListPurchasesRequest {
                customer_id: customer_id(), storefront: "web".into(), created_from: Some(EARLIER),
                created_until: Some(LATER), ..Default::default()
            },
            "PurchaseService/GrantCredits" => GrantCreditsRequest {
                request_id: request_id(), customer_id: customer_id(), credits: "3".into(), expires_at: Some(LATER),
                reason: "sorry".into(), by: "op".into(), ..Default::default()
            },
            "LedgerService/AdjustBalance" => AdjustBalanceRequest {
                request_id: request_id(), customer_id: customer_id(), credits: "-1".into(), reason: "slip".into(),
                by: "op".into(), ..Default::default()
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
                ..Default::default()
            },
            "LedgerService/ListTransfers" => ListTransfersRequest {
                customer_id: customer_id(), recorded_from: Some(EARLIER), recorded_until: Some(LATER),
                ..Default::default()
            },
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
                request_id: request_id(), rate_card: Some(full_card("own")), by: "op".into(), ..Default::default()
            },
            "RateCardService/SetDefaultRateCard" => SetDefaultRateCardRequest {
                request_id: request_id(), rate_card_id: "prepaid".into(), by: "op".into(), ..Default::default()
            },
            "NotificationService/SetBalanceAlerts" => SetBalanceAlertsRequest {
                request_id: request_id(), customer_id: customer_id(), thresholds: thresholds(), by: "op".into(),
                ..Default::default()
            },
            "NotificationService/SetDefaultBalanceAlerts" => SetDefaultBalanceAlertsRequest {
                request_id: request_id(), thresholds: thresholds(), by: "op".into(), ..Default::default()
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
                request_id: request_id(), url: "https://hooks.example.com/new".into(),
                types: vec![EventType::BalanceLow.into()], description: "crm".into(),
                secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), after_position: Some(1), ..Default::default()
            },
            "NotificationService/UpdateWebhookEndpoint" => UpdateWebhookEndpointRequest {
                request_id: request_id(), endpoint_id: self.endpoint_id.clone(),
                url: "https://hooks.example.com/changed".into(), types: vec![EventType::BalanceLow.into()],
                description: "crm".into(), secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(), enabled: false,
                update_mask: mask(&["url", "types", "description", "secret", "enabled"]), ..Default::default()
            },
            "NotificationService/ListWebhookEndpoints" => ListWebhookEndpointsRequest::default(),
            "NotificationService/ListDeliveries" => ListDeliveriesRequest {
                endpoint_id: self.endpoint_id.clone(), state: DeliveryState::Dead.into(), ..Default::default()
            },
            "NotificationService/RedeliverEvent" => RedeliverEventRequest {
                request_id: request_id(), endpoint_id: self.endpoint_id.clone(), position: self.bought_at, index: 0,
                ..Default::default()
            },
            "NotificationService/DeleteWebhookEndpoint" => DeleteWebhookEndpointRequest {
                request_id: request_id(), endpoint_id: self.leaving_endpoint_id.clone(), ..Default::default()
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
                confirmed_quote_credits: Some("1".into()), charged_before_credits: Some("0.5".into()),
                rate_card_id: "prepaid".into(), version: 1, package: "gold".into(), labels: vec!["on-site".into()],
                work: vec![PreviewWork {
                    work_seconds: 60, started_at: Some(EARLIER), line: "first".into(), solutions: 1,
                }],
                solutions: 1, product_purchase_date: "2019-01-31".into(), ..Default::default()
            },
            "HoldService/EstimateIncident" => EstimateIncidentRequest {
                opened_at: Some(EARLIER), expires_at: Some(LATER), incident_class: "front-end-design".into(),
                range_override_reason: "agreed".into(), note: "n".into(), by: "desk".into(),
                ..served.estimate("estimate", "1.5")
            },
            "HoldService/ConfirmEstimate" => ConfirmEstimateRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: incident!(confirm_estimate_request, "confirm"), by: "ada".into(), ..Default::default()
            },
            "HoldService/DeclineEstimate" => DeclineEstimateRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: incident!(decline_estimate_request, "decline"), reason: "dear".into(), by: "ada".into(),
                ..Default::default()
            },
            "HoldService/PlaceHold" => PlaceHoldRequest {
                opened_at: Some(EARLIER), expires_at: Some(LATER), note: "n".into(), by: "desk".into(),
                ..served.hold("place", "1.5")
            },
            "HoldService/ExtendHold" => ExtendHoldRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: incident!(extend_hold_request, "extend"), credits: "0.5".into(), reason: "more".into(),
                by: "desk".into(), ..Default::default()
            },
            "HoldService/RecordWork" => RecordWorkRequest {
                started_at: Some(EARLIER), line: "first".into(), solutions: 2, by: "bo".into(), note: "n".into(),
                ..served.work("extend", 10)
            },
            "HoldService/VoidWork" => VoidWorkRequest {
                request_id: request_id(), customer_id: customer_id(), target: incident!(void_work_request, "void"),
                work_id: self.work_id.clone(), reason: "slip".into(), by: "bo".into(), ..Default::default()
            },
            "HoldService/SettleHold" => SettleHoldRequest {
                overrun: OverrunPolicy::CapAtHold.into(), max_charge_credits: Some("9".into()),
                expected_work_seconds: Some(2_700), by: "bo".into(), ..served.settle("settle")
            },
            "HoldService/ReleaseHold" => ReleaseHoldRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: incident!(release_hold_request, "release"), reason: "gone".into(), by: "bo".into(),
                ..Default::default()
            },
            "HoldService/CloseIncident" => CloseIncidentRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: incident!(close_incident_request, "close"), max_charge_credits: Some("9".into()),
                expected_work_seconds: Some(0), reason: "solved".into(), by: "ada".into(), ..Default::default()
            },
            "HoldService/ChargeIncident" => ChargeIncidentRequest {
                request_id: request_id(), customer_id: customer_id(), incident_id: "charge".into(),
                work_seconds: 600, started_at: Some(EARLIER), line: "first".into(), solutions: 1, by: "bo".into(),
                note: "n".into(), opened_at: Some(EARLIER), max_charge_credits: Some("9".into()), ..Default::default()
            },
            "HoldService/ReverseSettlement" => ReverseSettlementRequest {
                request_id: request_id(), customer_id: customer_id(),
                target: incident!(reverse_settlement_request, "reverse"), credits: Some("0.5".into()),
                reason: "goodwill".into(), by: "op".into(), ..Default::default()
            },
            "HoldService/GetHold" => GetHoldRequest {
                customer_id: customer_id(), target: incident!(get_hold_request, "extend"), ..Default::default()
            },
            "HoldService/ListHolds" => ListHoldsRequest {
                customer_id: customer_id(), incident_id: "extend".into(), states: vec![HoldState::Active.into()],
                created_from: Some(EARLIER), created_until: Some(LATER), ..Default::default()
            },
            "HoldService/ListSettlements" => ListSettlementsRequest {
                customer_id: customer_id(), incident_id: "reverse".into(), created_from: Some(EARLIER),
                created_until: Some(LATER), ..Default::default()
            },
            "HoldService/GetReceipt" => GetReceiptRequest {
                customer_id: customer_id(), target: incident!(get_receipt_request, "reverse"), ..Default::default()
            },
        }
    }
}
