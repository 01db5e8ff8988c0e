//! The table of all kinds of postings: what a posting records, and between which accounts its amounts move.

use super::account::{Side, Slot};
use super::codec::coded_enum;

/// Hands the table of all kinds of postings to the macro `with`. Four macros read it. They define the kinds with their
/// slots, export the commands, define the enum of commands, and say which event each kind means.
///
/// A row is `file::Kind = code / "NAME" { slot: debit => credit }`. The file decides postings of the kind. The code and
/// the name are stored and never change. The slots are the columns in which the posting's amounts are stored, each with
/// the accounts between which it moves credits. Each start brings the SQL tables `posting_kind` and `transfer_slot` up to
/// date with it.
///
/// `commands` are the kinds that a command of the same name leaves. Two commands are not like the others:
/// - `CreateCustomer` is decided before its customer exists, so [`decide`](super::decide::decide) calls it by itself.
/// - `ApplyDue` has no row. It has no request id and no kind of its own: its postings are of the kinds under `ledger`.
macro_rules! kind_table {
    ($with:ident) => {
        $with! {
            commands {
                /// A customer was created.
                create_customer::CreateCustomer = 1 / "CREATE_CUSTOMER" {}
                /// Name, contact or metadata changed.
                update_customer::UpdateCustomer = 2 / "UPDATE_CUSTOMER" {}
                /// Card, package, product purchase date or top-ups changed; credits may be charged for it.
                set_customer_terms::SetCustomerTerms = 3 / "SET_CUSTOMER_TERMS" { Third: Available => Revenue }
                /// The customer takes no new work.
                close_customer::CloseCustomer = 4 / "CLOSE_CUSTOMER" {}
                /// A closed customer takes new work again.
                reopen_customer::ReopenCustomer = 5 / "REOPEN_CUSTOMER" {}
                /// Credits were bought in a storefront.
                purchase_credits::PurchaseCredits = 10 / "PURCHASE_CREDITS" {
                    First: Sales => Available,
                    Second: Sales => Receivable
                }
                /// Promotional credits were given.
                grant_credits::GrantCredits = 11 / "GRANT_CREDITS" { First: Promotions => Available }
                /// An operator corrected the balance.
                adjust_balance::AdjustBalance = 12 / "ADJUST_BALANCE" {
                    First: Adjustments => Available,
                    Second: Available => Adjustments
                }
                /// A purchase was given back, in whole or in part.
                refund_purchase::RefundPurchase = 13 / "REFUND_PURCHASE" {
                    First: Available => Sales,
                    Second: Receivable => Sales,
                    Third: WriteOffs => Sales,
                    Fourth: Expired => Sales
                }
                /// A refund was undone.
                reverse_refund::ReverseRefund = 14 / "REVERSE_REFUND" {
                    First: Sales => Available,
                    Second: Sales => Receivable,
                    Third: Sales => WriteOffs,
                    Fourth: Sales => Expired
                }
                /// The customer's bank took the money of a purchase back.
                record_chargeback::RecordChargeback = 15 / "RECORD_CHARGEBACK" {
                    First: Available => Sales,
                    Second: Receivable => Sales,
                    Third: WriteOffs => Sales,
                    Fourth: Expired => Sales
                }
                /// The bank decided on a chargeback.
                resolve_chargeback::ResolveChargeback = 16 / "RESOLVE_CHARGEBACK" {
                    First: Sales => Available,
                    Second: Sales => Receivable,
                    Third: Sales => WriteOffs,
                    Fourth: Sales => Expired
                }
                /// A payment without a known customer was kept in the suspense account.
                keep_payment::KeepPayment = 17 / "KEEP_PAYMENT" {}
                /// A payment left the suspense account.
                close_payment::ClosePayment = 18 / "CLOSE_PAYMENT" {}
                /// A storefront reported how charging for a top-up stands.
                report_top_up::ReportTopUp = 19 / "REPORT_TOP_UP" {}
                /// An incident was estimated.
                estimate_incident::EstimateIncident = 20 / "ESTIMATE_INCIDENT" {}
                /// The estimate was confirmed.
                confirm_estimate::ConfirmEstimate = 21 / "CONFIRM_ESTIMATE" {
                    First: Available => Held,
                    Second: Held => Available
                }
                /// The estimate was declined.
                decline_estimate::DeclineEstimate = 22 / "DECLINE_ESTIMATE" {}
                /// An incident was estimated and the estimate confirmed at once.
                place_hold::PlaceHold = 23 / "PLACE_HOLD" { First: Available => Held }
                /// More credits were set aside.
                extend_hold::ExtendHold = 24 / "EXTEND_HOLD" { First: Available => Held }
                /// Work was recorded on a hold.
                record_work::RecordWork = 25 / "RECORD_WORK" {}
                /// An entry of work was voided.
                void_work::VoidWork = 26 / "VOID_WORK" {}
                /// The recorded work was charged.
                settle_hold::SettleHold = 27 / "SETTLE_HOLD" {
                    First: Held => Revenue,
                    Second: Held => Available,
                    Third: Available => Revenue,
                    Fourth: WriteOffs => Revenue
                }
                /// The hold was released.
                release_hold::ReleaseHold = 28 / "RELEASE_HOLD" { Second: Held => Available }
                /// The customer closed the incident: released or settled, whichever fits.
                close_incident::CloseIncident = 29 / "CLOSE_INCIDENT" {
                    First: Held => Revenue,
                    Second: Held => Available,
                    Third: Available => Revenue,
                    Fourth: WriteOffs => Revenue
                }
                /// An incident was charged without a hold.
                charge_incident::ChargeIncident = 30 / "CHARGE_INCIDENT" { Third: Available => Revenue }
                /// A settlement was reversed, in whole or in part.
                reverse_settlement::ReverseSettlement = 31 / "REVERSE_SETTLEMENT" {
                    First: Revenue => Available,
                    Second: Revenue => WriteOffs
                }
                /// The customer's thresholds changed.
                set_balance_alerts::SetBalanceAlerts = 50 / "SET_BALANCE_ALERTS" {}
            }
            ledger {
                /// A quote, a parked hold or a pending quote fell due.
                due::ExpireEstimate = 40 / "EXPIRE_ESTIMATE" {}
                /// An active hold fell due.
                due::ExpireHold = 41 / "EXPIRE_HOLD" { Second: Held => Available }
                /// Credits fell due.
                due::ExpireCredits = 42 / "EXPIRE_CREDITS" {}
                /// A rejected command needed more credits than there are; moves nothing.
                decide::NoteShortfall = 43 / "NOTE_SHORTFALL" {}
                /// A request for a top-up fell due; moves nothing.
                due::RequestTopUp = 44 / "REQUEST_TOP_UP" {}
                /// One request for a top-up too many failed, so that there are no more; moves nothing.
                due::SuspendTopUps = 45 / "SUSPEND_TOP_UPS" {}
            }
        }
    };
}
pub(super) use kind_table;

macro_rules! define_kinds {
    ($($group:ident { $(
        $(#[$doc:meta])*
        $file:ident :: $kind:ident = $code:literal / $name:literal { $($slot:ident: $debit:ident => $credit:ident),* }
    )* })*) => {
        coded_enum!(
            /// What a posting records: the command that was accepted, or what the ledger did by itself.
            Kind { $($($(#[$doc])* $kind = $code / $name,)*)* }
        );

        /// The accounts (debit, credit) between which `slot` moves credits in a posting of `kind`; `None` where it is
        /// unused.
        pub const fn slots(kind: Kind, slot: Slot) -> Option<(Side, Side)> {
            match (kind, slot) {
                (_, Slot::Expired) => Some((Side::Available, Side::Expired)),
                (_, Slot::Repaid) => Some((Side::Available, Side::Receivable)),
                (_, Slot::Activated) => Some((Side::Available, Side::Held)),
                $($($((Kind::$kind, Slot::$slot) => Some((Side::$debit, Side::$credit)),)*)*)*
                (_, Slot::First | Slot::Second | Slot::Third | Slot::Fourth) => None,
            }
        }
    };
}
kind_table!(define_kinds);

impl Kind {
    /// Whether a customer is closed after a posting of this kind, where it was `closed` before.
    pub const fn leaves_closed(self, closed: bool) -> bool {
        matches!(self, Self::CloseCustomer) || (closed && !matches!(self, Self::ReopenCustomer))
    }
}
