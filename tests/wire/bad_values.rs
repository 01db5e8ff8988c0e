//! What each field of the API refuses, by its name; a field that is not listed fails the test that asks for it.

use creditledger::grpc::wire::Date;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{FieldDescriptorProto, FieldMask, Timestamp};

use crate::raw::{number, text};

/// A bad value: what it is, its encoding as the field, and what follows the field's name in the path.
pub type Value = (String, Vec<u8>, &'static str);

pub enum Rule {
    Id,
    OptionalId,
    RequestId,
    MadeId,
    /// Empty, or an id that the server made.
    MaybeMadeId,
    Text,
    RequiredText,
    Positive,
    AtLeastZero,
    /// Empty, or 0 or more.
    MaybeAmount,
    Signed,
    /// An amount of money in EUR.
    Money,
    Currency,
    Time,
    Future,
    Day,
    /// From 0 to this.
    UpTo(i64),
    Enum,
    States,
    Thresholds,
    ResumeToken,
    Url,
    Secret,
    Ids,
    /// Any number of ids, also none.
    MaybeIds,
    Labels,
    Mask,
    Metadata,
    PageToken,
    /// A message with fields of its own.
    Nested,
    /// A list of such messages.
    NestedList,
    /// Orders as a storefront has them.
    Orders,
    /// Every value is good.
    Free,
    /// What the server says and does not listen to.
    Unread,
    /// A text, or pairs, that this method does not keep.
    Empty,
    NoMetadata,
}

impl Rule {
    /// What follows the field's name in the path of a message within it.
    pub fn index_of_nested(&self) -> Option<&'static str> {
        match self {
            Self::Nested => Some(""),
            Self::NestedList => Some("[0]"),
            _ => None,
        }
    }
}

/// Commands about no customer that keep nothing of the context but the request id.
const BARE: [&str; 8] = [
    "CreateTokenRequest",
    "CreateLedgerRequest",
    "CreateRateCardRequest",
    "SetDefaultRateCardRequest",
    "CreateWebhookEndpointRequest",
    "UpdateWebhookEndpointRequest",
    "DeleteWebhookEndpointRequest",
    "RedeliverEventRequest",
];
/// Commands about no customer that keep who asked.
const BARE_WITH_BY: [&str; 3] =
    ["CreateRateCardRequest", "SetDefaultRateCardRequest", "SetDefaultBalanceAlertsRequest"];
/// Commands about no customer that keep who asked, and why.
const BARE_WITH_WHY: [&str; 1] = ["DismissPaymentRequest"];
/// Commands that must say why; SetCustomerTerms with a charge.
const WITH_REASON: [&str; 6] = [
    "DismissPaymentRequest",
    "VoidWorkRequest",
    "AdjustBalanceRequest",
    "ReverseSettlementRequest",
    "ReverseRefundRequest",
    "SetCustomerTermsRequest",
];

/// Whether this is a command about no customer.
pub fn is_bare(request: &str) -> bool {
    BARE.contains(&request) || BARE_WITH_BY.contains(&request) || BARE_WITH_WHY.contains(&request)
}

/// Whether this command must say why.
pub fn must_say_why(request: &str) -> bool {
    WITH_REASON.contains(&request)
}

/// What the context of this request refuses.
fn context_rule(request: &str, field: &str) -> Rule {
    match field {
        "ledger_id" if ["CreateLedgerRequest", "CreateTokenRequest"].contains(&request) => Rule::Empty,
        "ledger_id" => Rule::OptionalId,
        "request_id" => Rule::RequestId,
        "by" if BARE_WITH_BY.contains(&request) || BARE_WITH_WHY.contains(&request) => Rule::Text,
        "by" if is_bare(request) => Rule::Empty,
        "by" => Rule::Text,
        "reason" if BARE_WITH_WHY.contains(&request) => Rule::RequiredText,
        "customer_id" | "reason" if is_bare(request) => Rule::Empty,
        "metadata" if is_bare(request) => Rule::NoMetadata,
        "customer_id" => Rule::Id,
        "reason" if must_say_why(request) => Rule::RequiredText,
        "reason" => Rule::Text,
        "metadata" => Rule::Metadata,
        _ => panic!("a context has a field {field} without a rule: say what it refuses"),
    }
}

/// What a field refuses of this message, which the request itself or a message in it is.
pub fn rule(request: &str, message: &str, field: &str) -> Rule {
    if message == "CommandContext" {
        return context_rule(request, field);
    }
    let lists = ["ListHoldsRequest", "ListSettlementsRequest", "ListLotsRequest", "ListPurchasesRequest"];
    let is_list = lists.contains(&message);
    match (message, field) {
        ("CreateLedgerRequest", "ledger_id") => Rule::Id,
        ("RateCard" | "SetDefaultRateCardRequest", "rate_card_id") => Rule::Id,
        ("RateCard", "ledger_id" | "version" | "is_default") => Rule::Unread,
        ("RateCard", "emergency") => Rule::Enum,
        ("RateCard", "credits_per_hour") => Rule::MaybeAmount,
        ("IncidentClassRule", "credits_per_hour") => Rule::MaybeAmount,
        ("IncidentClassRule", "incident_class") => Rule::Id,
        ("LineRate", "line") | ("PackageRate", "package") => Rule::Id,
        (_, "minimum_credits" | "estimate_min_credits" | "estimate_max_credits") => Rule::MaybeAmount,
        (_, "increment_seconds" | "minimum_seconds" | "under_seconds") => Rule::UpTo(31_622_400),
        (_, "charge_scale") => Rule::UpTo(4),
        (_, "quote_valid_days") => Rule::UpTo(3_660),
        (_, "free_support_days") => Rule::UpTo(36_600),
        (_, "classes" | "multipliers" | "lines" | "packages") => Rule::NestedList,
        (_, "flat_tier" | "rate_card") => Rule::Nested,
        ("ListHoldsRequest", "label") => Rule::OptionalId,
        (_, "label") => Rule::Id,
        (_, "factor" | "credits_per_hour") => Rule::Positive,
        (_, "mode" | "time_basis") => Rule::Enum,
        (_, "description") => Rule::Text,
        (_, "free" | "confirmed_hold_only") => Rule::Free,
        ("ListAuditRecordsRequest", "kind") => Rule::Enum,
        ("ListAuditRecordsRequest", "subject") => Rule::Text,
        ("CreateTokenRequest", "name") => Rule::RequiredText,
        ("CreateTokenRequest", "role") => Rule::Enum,
        ("CreateTokenRequest", "ledger_ids") => Rule::MaybeIds,
        ("CreateTokenRequest", "customer_id") => Rule::OptionalId,
        ("CreateTokenRequest", "days") => Rule::UpTo(3_650),
        (_, "ledger_id") => Rule::OptionalId,
        (_, "context" | "target" | "request") => Rule::Nested,
        ("RetryPaymentsRequest", "storefront") => Rule::OptionalId,
        ("RetryPaymentsRequest", "payment_ids") => Rule::MaybeIds,
        ("RetryPaymentsRequest", "after_payment_id") => Rule::MaybeMadeId,
        ("AnsweredRequest", "kind") => Rule::Enum,
        ("AnsweredRequest", "request_id") => Rule::RequestId,
        ("ListPostingsRequest" | "ListTransfersRequest", "incident_id" | "storefront") => Rule::OptionalId,
        ("ListCustomersRequest", "name_prefix" | "contact_email" | "metadata_key" | "metadata_value") => {
            Rule::Text
        }
        ("ListCustomersRequest", "closed" | "low" | "owing") => Rule::Free,
        ("PreviewChargeRequest" | "GetBalanceAlertsRequest" | "WatchEventsRequest", "customer_id") => {
            Rule::OptionalId
        }
        (_, "customer_id" | "incident_id" | "storefront") if is_list => Rule::OptionalId,
        (_, "customer_id" | "incident_id" | "storefront" | "order_id") => Rule::Id,
        (
            _,
            "hold_id" | "token_id" | "top_up_id" | "work_id" | "purchase_id" | "refund_id" | "endpoint_id"
            | "payment_id" | "posting_id" | "lot_id",
        ) => Rule::MadeId,
        (_, "url") => Rule::Url,
        (_, "secret") => Rule::Secret,
        (_, "index") => Rule::UpTo(i32::MAX.into()),
        (_, "state") => Rule::Enum,
        (_, "incident_class" | "line" | "rate_card_id" | "package") => Rule::OptionalId,
        ("AdjustBalanceRequest", "credits") => Rule::Signed,
        ("EstimateIncidentRequest" | "PlaceHoldRequest", "credits") => Rule::AtLeastZero,
        (
            _,
            "max_charge_credits"
            | "confirmed_quote_credits"
            | "charged_before_credits"
            | "expected_charged_credits",
        ) => Rule::AtLeastZero,
        (_, "credits" | "charge_credits") => Rule::Positive,
        (_, "below_credits" | "target_credits" | "monthly_cap_credits") => Rule::Positive,
        (_, "cool_down_seconds" | "lapse_seconds") => Rule::UpTo(2_678_400),
        ("AlertMargin", "percent") => Rule::UpTo(100),
        ("AlertMargin", "min_credits") => Rule::AtLeastZero,
        (_, "waive_reason" | "range_override_reason" | "note") => Rule::Text,
        (_, "name" | "email" | "locale") => Rule::Text,
        (_, "currency_code") => Rule::Currency,
        (_, "amount") => Rule::Money,
        (_, "expires_at" | "pending_until") => Rule::Future,
        (_, "opened_at" | "started_at" | "time") => Rule::Time,
        (
            _,
            "created_from" | "created_until" | "opened_from" | "opened_until" | "recorded_from"
            | "recorded_until" | "period_from" | "period_until",
        ) => Rule::Time,
        (_, "product_purchase_date") => Rule::Day,
        (_, "work_seconds" | "estimated_seconds") => Rule::UpTo(31_622_400),
        (_, "expected_work_seconds" | "after_position" | "position" | "sequence") => Rule::UpTo(i64::MAX),
        (_, "solutions") => Rule::UpTo(1_000),
        (_, "version" | "page_size") => Rule::UpTo(i32::MAX.into()),
        (_, "page_token") => Rule::PageToken,
        (_, "overrun" | "source" | "on_shortfall" | "outcome" | "report") => Rule::Enum,
        (_, "states" | "types" | "kinds") => Rule::States,
        (_, "thresholds") => Rule::Thresholds,
        (_, "resume_token") => Rule::ResumeToken,
        (_, "heartbeat_seconds") => Rule::UpTo(3_600),
        (_, "customer_ids") => Rule::Ids,
        (_, "labels") => Rule::Labels,
        (_, "work" | "work_before") => Rule::NestedList,
        (_, "update_mask") => Rule::Mask,
        (_, "metadata") => Rule::Metadata,
        (_, "contact" | "terms" | "top_up" | "price" | "expected_refunded_price" | "order" | "margin") => {
            Rule::Nested
        }
        ("ReconcilePurchasesRequest", "orders") => Rule::Orders,
        (
            _,
            "park" | "newest_first" | "follow" | "emergency" | "kb_answered" | "use_default" | "until_now"
            | "with_forecast" | "enabled",
        ) => Rule::Free,
        _ => panic!("{message}.{field} has no rule: say what it refuses"),
    }
}

/// Numbers that no amount takes; the first is wrong whatever the sign.
const NO_DECIMALS: [&str; 16] = [
    "1e3",
    "",
    "NaN",
    " 1",
    "1 ",
    "1.00001",
    "99999999999999999999",
    "1000000000.0001",
    "+1",
    "1.",
    ".5",
    "1,5",
    "0x1",
    "--1",
    "1.2.3",
    "\u{661}",
];

pub fn values(rule: &Rule, field: &FieldDescriptorProto) -> Vec<Value> {
    let n = field.number().try_into().unwrap();
    let shown =
        |value: &str| if value.len() > 40 { format!("{} bytes", value.len()) } else { format!("{value:?}") };
    let texts = |values: &[&str]| -> Vec<Value> {
        values.iter().map(|value| (shown(value), text(n, value), "")).collect()
    };
    let (long_id, long_text) = ("x".repeat(129), "x".repeat(1_025));
    let long_accents = "é".repeat(513);
    let no_ids = ["a b", long_id.as_str(), "é", "a/b", "a\n", "a\0", "a,b", " a", "a\u{200b}", "''--"];
    let no_texts =
        ["line\nbreak", long_text.as_str(), "\u{7f}", "\0", "tab\t", "\u{85}", long_accents.as_str()];
    let numbers = |values: &[i64]| -> Vec<Value> {
        values.iter().map(|value| (value.to_string(), number(n, *value), "")).collect()
    };
    let times = |values: &[(i64, i32)]| -> Vec<Value> {
        let time = |(seconds, nanos): &(i64, i32)| Timestamp { seconds: *seconds, nanos: *nanos };
        values.iter().map(|value| (format!("{value:?}"), text(n, time(value).encode_to_vec()), "")).collect()
    };
    let no_times = [
        (-62_135_596_801, 0),
        (253_402_300_800, 0),
        (i64::MAX, 0),
        (i64::MIN, 0),
        (0, -1),
        (0, 1_000_000_000),
        (4_102_444_800, i32::MIN),
        (4_102_444_800, i32::MAX),
    ];
    let amounts = |more: &[&str]| texts(&[&NO_DECIMALS[..], more].concat());
    match rule {
        Rule::Id => [texts(&no_ids), texts(&[""])].concat(),
        Rule::OptionalId => texts(&no_ids),
        Rule::RequestId => texts(&["é", long_id.as_str(), "", "a\tb", "a\n", "\u{7f}", "a\0"]),
        Rule::MadeId => [values(&Rule::MaybeMadeId, field), texts(&[""])].concat(),
        Rule::MaybeMadeId => texts(&[
            "x",
            "0190a2b4",
            "0190a2b4c0de70008000000000000001",
            "{0190a2b4-c0de-7000-8000-000000000001}",
            "0190a2b4-c0de-7000-8000-00000000000g",
            long_id.as_str(),
        ]),
        Rule::Text => texts(&no_texts),
        Rule::RequiredText => [texts(&no_texts), texts(&[""])].concat(),
        Rule::Positive => amounts(&["-1", "0", "0.0000", "-0"]),
        Rule::AtLeastZero => amounts(&["-1", "-0.0001"]),
        Rule::MaybeAmount => {
            let given: Vec<_> = NO_DECIMALS.into_iter().filter(|text| !text.is_empty()).collect();
            texts(&[&given[..], &["-1", "-0.0001"]].concat())
        }
        Rule::Signed => amounts(&["0", "-0", "-", "-1000000000.0001", "- 1"]),
        Rule::Money => amounts(&["-1", "1.001", "1000000000000.01"]),
        Rule::Currency => texts(&["eur", "", "EU", "EURO", "ZZZ", "€", "XAU"]),
        Rule::Time => times(&no_times),
        Rule::Future => [times(&no_times), times(&[(0, 0), (1_600_000_000, 0)])].concat(),
        Rule::Day => [
            (0, 0, 0),
            (2026, 2, 30),
            (2025, 2, 29),
            (2026, 13, 1),
            (2026, 0, 10),
            (2026, 1, 0),
            (0, 1, 1),
            (10_000, 1, 1),
            (-1, 1, 1),
            (2026, -1, 1),
            (2026, 1, -1),
            (2026, 257, 257),
            (i32::MAX, i32::MAX, i32::MAX),
        ]
        .map(|(year, month, day)| {
            let date = Date { year, month, day };
            (format!("{date:?}"), text(n, date.encode_to_vec()), "")
        })
        .into(),
        Rule::Empty => texts(&["acme", "a b", long_text.as_str()]),
        Rule::NoMetadata => {
            vec![("a good pair".into(), text(n, [text(1, "key"), text(2, "value")].concat()), "")]
        }
        Rule::UpTo(i64::MAX) => numbers(&[-1, i64::MIN]),
        Rule::UpTo(max) if *max == i64::from(i32::MAX) => numbers(&[-1, i32::MIN.into()]),
        Rule::UpTo(max) => numbers(&[-1, max + 1, i32::MIN.into(), i32::MAX.into()]),
        Rule::Enum => numbers(&[99, -1, i32::MAX.into()]),
        Rule::States => [99, 0, -1].map(|value| (value.to_string(), number(n, value), "[0]")).into(),
        Rule::Labels => {
            let mut labels: Vec<_> =
                texts(&no_ids).into_iter().map(|(what, bytes, _)| (what, bytes, "[0]")).collect();
            labels.push(("an empty one".into(), text(n, ""), "[0]"));
            labels.push(("17".into(), (0..17).flat_map(|id| text(n, id.to_string())).collect(), ""));
            labels
        }
        Rule::Thresholds => {
            let amount = |value: &str| text(n, text(1, value));
            let percent = |value: i64| text(n, number(2, value));
            let mut bad: Vec<Value> = [&NO_DECIMALS[..], &["0", "-1"]]
                .concat()
                .into_iter()
                .map(|value| (shown(value), amount(value), "[0].credits"))
                .collect();
            bad.extend(
                [0, 101, -1, i32::MAX.into()]
                    .map(|value| (format!("{value} %"), percent(value), "[0].percent_of_last_purchase")),
            );
            bad.push(("neither".into(), text(n, ""), "[0]"));
            bad.push(("nine".into(), (1..10).flat_map(percent).collect(), ""));
            bad.push(("one twice".into(), [amount("5"), percent(5), amount("5.0")].concat(), ""));
            bad
        }
        Rule::Url => texts(&[
            "http://example.com/",
            "",
            "https://",
            "https://127.0.0.1/",
            "https://a:b@example.com/",
            "ftp://example.com",
            "https://example.com:22/",
            "https://localhost/",
            "https://example.com/#x",
            long_text.as_str(),
        ]),
        Rule::Secret => texts(&["x", "whsec_", "whsec_AAAA", "whsec_****", long_text.as_str()]),
        Rule::ResumeToken => {
            texts(&["", "nonsense", "12", "12.", "-1.0", "012.0", "9223372036854775808.0", "1.1 "])
        }
        Rule::Ids | Rule::MaybeIds => {
            let many = (0..1_001).flat_map(|id| text(n, id.to_string())).collect();
            let mut ids: Vec<_> =
                texts(&no_ids).into_iter().map(|(what, bytes, _)| (what, bytes, "[0]")).collect();
            ids.push(("an empty one".into(), text(n, ""), "[0]"));
            ids.push(("1,001".into(), many, ""));
            ids
        }
        Rule::Mask => {
            let mask =
                |paths: &[&str]| FieldMask { paths: paths.iter().map(|path| (*path).to_owned()).collect() };
            let masks: [&[&str]; 5] = [&["customer_id"], &[], &[""], &["*"], &["contact.email"]];
            masks.map(|paths| (format!("{paths:?}"), text(n, mask(paths).encode_to_vec()), "")).into()
        }
        Rule::Metadata => {
            let pair = |key: &str, value: &str| text(n, [text(1, key), text(2, value)].concat());
            vec![
                ("33 pairs".into(), (0..33).flat_map(|key| pair(&key.to_string(), "")).collect(), ""),
                ("an empty key".into(), pair("", "v"), ".key"),
                ("a key with a line break".into(), pair("a\nb", "v"), ".key"),
                ("a long key".into(), pair(&long_text, "v"), ".key"),
                ("a value with a line break".into(), pair("k", "a\nb"), ".value"),
                ("a long value".into(), pair("k", &long_text), ".value"),
            ]
        }
        Rule::PageToken => texts(&["nonsense", "00", "0000000000000000", "é", long_id.as_str()]),
        Rule::Orders => {
            let price = |amount: &str| text(4, [text(1, "EUR"), text(2, amount)].concat());
            let order = |fields: Vec<u8>| text(n, [text(1, "o"), fields].concat());
            vec![
                ("a bad id".into(), text(n, text(1, "a b")), "[0].order_id"),
                ("no id".into(), text(n, text(3, "1")), "[0].order_id"),
                ("a bad customer".into(), order(text(2, "a b")), "[0].customer_id"),
                ("less than nothing".into(), order(text(3, "-1")), "[0].credits"),
                ("too many digits".into(), order(price("1.001")), "[0].price.amount"),
                ("a negative price".into(), order(price("-1")), "[0].price.amount"),
                (
                    "an unknown currency".into(),
                    order(text(4, [text(1, "ZZZ"), text(2, "1")].concat())),
                    "[0].price.currency_code",
                ),
            ]
        }
        Rule::Nested | Rule::NestedList | Rule::Free | Rule::Unread => Vec::new(),
    }
}

/// The rule belongs to a field of this type: an integer named `note` is not covered by the rule for texts.
pub fn check(rule: &Rule, field: &FieldDescriptorProto) {
    let types: &[Type] = match rule {
        Rule::UpTo(_) => &[Type::Int32, Type::Int64],
        Rule::Enum | Rule::States => &[Type::Enum],
        Rule::Free => &[Type::Bool],
        Rule::Unread => &[Type::Bool, Type::Int32, Type::String],
        Rule::Time
        | Rule::Future
        | Rule::Mask
        | Rule::Metadata
        | Rule::NoMetadata
        | Rule::Day
        | Rule::Nested
        | Rule::NestedList
        | Rule::Orders
        | Rule::Thresholds => &[Type::Message],
        _ => &[Type::String],
    };
    assert!(types.contains(&field.r#type()), "{} is a {:?}", field.name(), field.r#type());
    let repeated = matches!(
        rule,
        Rule::States
            | Rule::Ids
            | Rule::MaybeIds
            | Rule::Labels
            | Rule::Metadata
            | Rule::NoMetadata
            | Rule::NestedList
            | Rule::Orders
            | Rule::Thresholds
    );
    assert_eq!(field.label() == Label::Repeated, repeated, "{}", field.name());
}
