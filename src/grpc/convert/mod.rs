//! From the core's types to wire messages.

mod cards;
mod event;
mod messages;
mod top_up;
mod values;

pub use cards::{card_ref, class_stats, inputs, rate_card, step, what_if};
pub use event::{event, forecast, threshold};
pub use messages::{
    activated, balance, balance_at, customer, hold, lot, new_lot, posting, purchase, recorded, settlement,
    transfer, transfer_record, work,
};
#[cfg(test)]
pub use top_up::settings as top_up_settings;
pub use values::{money, names, or_empty, short, signed, small, time};
