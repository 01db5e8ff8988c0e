//! What callers can ask of one customer's book: a file for each command, and the table of all of them.
//!
//! A command's file has its struct and the fields of its fingerprint. It says what the command reads of the stored
//! state, what it checks and decides, and which event its posting means. To add a command, write its file, and in this
//! one its `mod` line and its row of the table. A new reason to refuse it is a row in `reject.rs`.

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
mod prelude;
mod pricing;
mod purchase_credits;
mod record_chargeback;
mod record_work;
mod refund_purchase;
mod refunding;
mod release_hold;
mod reopen_customer;
mod report_top_up;
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
use super::kind::kind_table;
pub use super::work::NewWork;
pub use command::{Command, Request};
pub(super) use customer_command::{CustomerCommand, Meaning};
pub use estimating::Quote;
pub(super) use estimating::estimate_of;
pub use keys::{HoldRef, Keys, PurchaseRef};
pub use refunding::OnShortfall;
pub use settling::Overrun;

macro_rules! export_commands {
    (commands { $($(#[$doc:meta])* $file:ident :: $name:ident = $code:literal / $label:literal $slots:tt)* } $($rest:tt)*) => {
        $(pub use $file::$name;)*
    };
}
kind_table!(export_commands);
