//! The receipt of a settlement: the calculation made again from what was stored with it.
//!
//! A settlement stores what its calculation started from and pins an immutable card, so the steps are the same
//! whenever a receipt is made. Each time they are checked to come to what was charged.

use super::card::{CardRef, Cards};
use super::credits::Credits;
use super::hold::Settlement;
use super::ids::LedgerNo;
use super::price::{Receipt, price};
use super::reject::Rejection;

/// Why a settlement has no receipt: what is stored, or the card, is not what it was when the work was charged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// The pinned card is not there.
    #[error("its rate card {} version {} is unknown", .0.id, .0.version)]
    UnknownCard(CardRef),
    /// The card would not charge this at all.
    #[error("its receipt cannot be calculated: {0}")]
    Refused(#[from] Rejection),
    /// The calculation comes to another amount.
    #[error("{charged} credits were charged, the receipt comes to {calculated}")]
    Differs {
        /// By the settlement.
        charged: Credits,
        calculated: Credits,
    },
}

/// The calculation behind `settlement` under the card that its hold has pinned.
pub fn receipt(
    cards: &Cards,
    ledger: LedgerNo,
    card: &CardRef,
    settlement: &Settlement,
) -> Result<Receipt, ReceiptError> {
    let pinned = cards.get(ledger, card).ok_or_else(|| ReceiptError::UnknownCard(card.clone()))?;
    let receipt = price(pinned, &settlement.inputs)?;
    if receipt.credits == settlement.charge {
        Ok(receipt)
    } else {
        Err(ReceiptError::Differs { charged: settlement.charge, calculated: receipt.credits })
    }
}
