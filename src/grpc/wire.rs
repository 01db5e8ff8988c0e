//! The messages, clients and servers of `creditledger.v1`, generated from `proto/`, which also documents them.

#![allow(rustdoc::all, clippy::all, clippy::pedantic, clippy::as_conversions)]

tonic::include_proto!("creditledger.v1");

/// The compiled protos, for server reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// google.type.Date, the only message of Google's that our fields use and prost does not provide.
#[derive(Clone, Copy, PartialEq, Eq, Hash, prost::Message)]
pub struct Date {
    /// From 1 to 9999. Our dates are whole, so none of the three fields is 0.
    #[prost(int32, tag = "1")]
    pub year: i32,
    /// 1 to 12.
    #[prost(int32, tag = "2")]
    pub month: i32,
    /// From 1 to 31, within the month.
    #[prost(int32, tag = "3")]
    pub day: i32,
}

/// The context of a command about a customer of the ledger `main`. Commands that concern no customer leave
/// `customer_id` empty.
pub fn context(request_id: impl Into<String>, customer_id: impl Into<String>) -> CommandContext {
    CommandContext {
        request_id: request_id.into(),
        customer_id: customer_id.into(),
        ..CommandContext::default()
    }
}

impl CommandContext {
    /// The same in another ledger.
    #[must_use]
    pub fn ledger(self, ledger_id: impl Into<String>) -> Self {
        Self { ledger_id: ledger_id.into(), ..self }
    }

    /// The same, with who asks.
    #[must_use]
    pub fn by(self, by: impl Into<String>) -> Self {
        Self { by: by.into(), ..self }
    }

    /// The same with a reason.
    #[must_use]
    pub fn because(self, reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), ..self }
    }
}

impl HoldTarget {
    /// By the hold's id.
    #[must_use]
    pub fn hold(hold_id: impl Into<String>) -> Self {
        Self { target: Some(hold_target::Target::HoldId(hold_id.into())) }
    }

    /// By the incident.
    #[must_use]
    pub fn incident(incident_id: impl Into<String>) -> Self {
        Self { target: Some(hold_target::Target::IncidentId(incident_id.into())) }
    }
}

impl PurchaseTarget {
    /// By the purchase's id.
    #[must_use]
    pub fn purchase(purchase_id: impl Into<String>) -> Self {
        Self { target: Some(purchase_target::Target::PurchaseId(purchase_id.into())) }
    }

    /// By the storefront's order.
    #[must_use]
    pub fn order(storefront: impl Into<String>, order_id: impl Into<String>) -> Self {
        let order = StorefrontOrder { storefront: storefront.into(), order_id: order_id.into() };
        Self { target: Some(purchase_target::Target::Order(order)) }
    }
}

/// A request whose first field is the context of a command.
pub trait WithContext {
    /// Takes the context out.
    fn take_context(&mut self) -> Option<CommandContext>;
}

/// A request about a ledger, without a context.
pub trait OfLedger {
    /// The ledger's id; empty for `main`.
    fn ledger_id(&self) -> &str;
}

/// A response to a command; each one has an outcome.
pub trait Answered {
    /// The outcome of the command. A response without one, which no server sends, gives an empty outcome.
    fn outcome(self) -> CommandOutcome;
}

include!(concat!(env!("OUT_DIR"), "/messages.rs"));
