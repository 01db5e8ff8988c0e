//! What callers can ask of one customer's book: a file for each command, and the table of all of them.
//!
//! A command's file has its struct, the fields of its fingerprint, what it reads of the stored state, its checks, what it
//! decides, and the event that its posting means. To add a command, write its file, and in this one its `mod` and `use`
//! lines and its row of the table; a new reason to refuse it is a row in `reject.rs`.

mod adjust_balance;
mod charge_incident;
mod close_customer;
mod close_incident;
mod close_payment;
mod command;
mod confirm_estimate;
pub(super) mod context;
mod create_customer;
mod customer_command;
mod decline_estimate;
pub(super) mod draft;
mod estimate_incident;
mod estimating;
mod extend_hold;
mod grant_credits;
mod keep_payment;
mod keys;
mod lots;
mod place_hold;
mod pricing;
mod purchase_credits;
mod record_chargeback;
mod record_work;
mod refund_purchase;
mod refunding;
mod release_hold;
mod reopen_customer;
mod resolve_chargeback;
mod reverse_refund;
mod reverse_settlement;
mod set_balance_alerts;
mod set_customer_terms;
mod settle_hold;
mod settling;
mod update_customer;
mod void_work;

pub use super::change::Change;
pub use super::fingerprint::Said;
pub use super::work::NewWork;
pub use adjust_balance::AdjustBalance;
pub use charge_incident::ChargeIncident;
pub use close_customer::CloseCustomer;
pub use close_incident::CloseIncident;
pub use close_payment::ClosePayment;
pub use command::{Command, Request};
pub use confirm_estimate::ConfirmEstimate;
pub use create_customer::CreateCustomer;
pub(super) use customer_command::{CustomerCommand, Meaning};
pub use decline_estimate::DeclineEstimate;
pub use estimate_incident::EstimateIncident;
pub use estimating::Quote;
pub(super) use estimating::estimate_of;
pub use extend_hold::ExtendHold;
pub use grant_credits::GrantCredits;
pub use keep_payment::KeepPayment;
pub use keys::{HoldRef, Keys, PurchaseRef};
pub use place_hold::PlaceHold;
pub use purchase_credits::PurchaseCredits;
pub use record_chargeback::RecordChargeback;
pub use record_work::RecordWork;
pub use refund_purchase::RefundPurchase;
pub use refunding::OnShortfall;
pub use release_hold::ReleaseHold;
pub use reopen_customer::ReopenCustomer;
pub use resolve_chargeback::ResolveChargeback;
pub use reverse_refund::ReverseRefund;
pub use reverse_settlement::ReverseSettlement;
pub use set_balance_alerts::SetBalanceAlerts;
pub use set_customer_terms::SetCustomerTerms;
pub use settle_hold::SettleHold;
pub use settling::Overrun;
pub use update_customer::UpdateCustomer;
pub use void_work::VoidWork;

/// Hands the table of all kinds of postings to the macro `with`, which makes of it the kinds, the commands, or who
/// handles which.
///
/// A row is `Kind = stored code / "NAME" { slot: debit => credit }`: the code and the name are stored and never change;
/// the slots are the columns in which the posting's amounts are stored, and the accounts between which each moves
/// credits. The SQL table `transfer_slot` holds the same, and a test compares them.
///
/// `commands` are the kinds that a command of that name leaves. Two commands are not like the others:
/// - `CreateCustomer` is decided before its customer exists, so [`decide`](super::decide::decide) calls it by itself.
/// - `ApplyDue` has no row. It has no request id and no kind of its own; it leaves postings of the kinds under `ledger`.
macro_rules! kind_table {
    ($with:ident) => {
        $with! {
            commands {
                /// A customer was created.
                CreateCustomer = 1 / "CREATE_CUSTOMER" {}
                /// Name, contact or metadata changed.
                UpdateCustomer = 2 / "UPDATE_CUSTOMER" {}
                /// Card, package, product purchase date or top-ups changed; credits may be charged for it.
                SetCustomerTerms = 3 / "SET_CUSTOMER_TERMS" { Third: Available => Revenue }
                /// The customer takes no new work.
                CloseCustomer = 4 / "CLOSE_CUSTOMER" {}
                /// A closed customer takes new work again.
                ReopenCustomer = 5 / "REOPEN_CUSTOMER" {}
                /// Credits were bought in a storefront.
                PurchaseCredits = 10 / "PURCHASE_CREDITS" {
                    First: Sales => Available,
                    Second: Sales => Receivable
                }
                /// Promotional credits were given.
                GrantCredits = 11 / "GRANT_CREDITS" { First: Promotions => Available }
                /// An operator corrected the balance.
                AdjustBalance = 12 / "ADJUST_BALANCE" {
                    First: Adjustments => Available,
                    Second: Available => Adjustments
                }
                /// A purchase was given back, in whole or in part.
                RefundPurchase = 13 / "REFUND_PURCHASE" {
                    First: Available => Sales,
                    Second: Receivable => Sales,
                    Third: WriteOffs => Sales
                }
                /// A refund was undone.
                ReverseRefund = 14 / "REVERSE_REFUND" {
                    First: Sales => Available,
                    Second: Sales => Receivable,
                    Third: Sales => WriteOffs
                }
                /// The customer's bank took the money of a purchase back.
                RecordChargeback = 15 / "RECORD_CHARGEBACK" {
                    First: Available => Sales,
                    Second: Receivable => Sales
                }
                /// The bank decided on a chargeback.
                ResolveChargeback = 16 / "RESOLVE_CHARGEBACK" {
                    First: Sales => Available,
                    Second: Sales => Receivable
                }
                /// A payment without a known customer was kept in the suspense account.
                KeepPayment = 17 / "KEEP_PAYMENT" {}
                /// A payment left the suspense account.
                ClosePayment = 18 / "CLOSE_PAYMENT" {}
                /// An incident was estimated.
                EstimateIncident = 20 / "ESTIMATE_INCIDENT" {}
                /// The estimate was confirmed.
                ConfirmEstimate = 21 / "CONFIRM_ESTIMATE" {
                    First: Available => Held,
                    Second: Held => Available
                }
                /// The estimate was declined.
                DeclineEstimate = 22 / "DECLINE_ESTIMATE" {}
                /// An incident was estimated and the estimate confirmed at once.
                PlaceHold = 23 / "PLACE_HOLD" { First: Available => Held }
                /// More credits were set aside.
                ExtendHold = 24 / "EXTEND_HOLD" { First: Available => Held }
                /// Work was recorded on a hold.
                RecordWork = 25 / "RECORD_WORK" {}
                /// An entry of work was voided.
                VoidWork = 26 / "VOID_WORK" {}
                /// The recorded work was charged.
                SettleHold = 27 / "SETTLE_HOLD" {
                    First: Held => Revenue,
                    Second: Held => Available,
                    Third: Available => Revenue,
                    Fourth: WriteOffs => Revenue
                }
                /// The hold was released.
                ReleaseHold = 28 / "RELEASE_HOLD" { Second: Held => Available }
                /// The customer closed the incident: released or settled, whichever fits.
                CloseIncident = 29 / "CLOSE_INCIDENT" {
                    First: Held => Revenue,
                    Second: Held => Available,
                    Third: Available => Revenue,
                    Fourth: WriteOffs => Revenue
                }
                /// An incident was charged without a hold.
                ChargeIncident = 30 / "CHARGE_INCIDENT" { Third: Available => Revenue }
                /// A settlement was reversed, in whole or in part.
                ReverseSettlement = 31 / "REVERSE_SETTLEMENT" {
                    First: Revenue => Available,
                    Second: Revenue => WriteOffs
                }
                /// The customer's thresholds changed.
                SetBalanceAlerts = 50 / "SET_BALANCE_ALERTS" {}
            }
            ledger {
                /// A quote, a parked hold or a pending quote fell due.
                ExpireEstimate = 40 / "EXPIRE_ESTIMATE" {}
                /// An active hold fell due.
                ExpireHold = 41 / "EXPIRE_HOLD" { Second: Held => Available }
                /// Credits fell due.
                ExpireCredits = 42 / "EXPIRE_CREDITS" {}
                /// A rejected command needed more credits than there are; moves nothing.
                NoteShortfall = 43 / "NOTE_SHORTFALL" {}
                /// A request for a top-up fell due; moves nothing.
                RequestTopUp = 44 / "REQUEST_TOP_UP" {}
            }
        }
    };
}
pub(super) use kind_table;
