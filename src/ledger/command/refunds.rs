//! What callers can ask about purchases that are given back.

use crate::ledger::codec::{Codec, DecodeError, Decoder, Encoder, asked, coded_enum};
use crate::ledger::credits::Credits;
use crate::ledger::ids::{LotId, OrderId, PostingId, Storefront};
use crate::ledger::money::Money;

/// Names a purchase by its id, or by the storefront's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PurchaseRef {
    /// By id.
    Id(LotId),
    /// By order.
    Order(Storefront, OrderId),
}

impl Codec for PurchaseRef {
    fn put(&self, out: &mut Encoder) {
        match self {
            Self::Id(id) => {
                out.push(1);
                id.put(out);
            }
            Self::Order(storefront, order) => {
                out.push(2);
                storefront.put(out);
                order.put(out);
            }
        }
    }

    fn take(input: &mut Decoder<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            1 => LotId::take(input).map(Self::Id),
            2 => Ok(Self::Order(Storefront::take(input)?, OrderId::take(input)?)),
            _ => Err(DecodeError::Range),
        }
    }
}

coded_enum!(
    /// What happens where more is given back than is left of the purchase and free.
    OnShortfall {
        /// Nothing is given back.
        Reject = 1 / "REJECT",
        /// The customer owes the rest.
        Receivable = 2 / "RECEIVABLE",
        /// The vendor bears the rest.
        WriteOff = 3 / "WRITE_OFF",
    }
);

/// See [`super::Command::RefundPurchase`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefundPurchase {
    /// Which.
    pub purchase: PurchaseRef,
    /// How many credits, more than zero.
    pub credits: Credits,
    /// The money that went back; by default the credits' share of the price.
    pub price: Option<Money>,
    /// What had been given back of the price when the caller looked.
    pub expected_refunded: Option<Money>,
    /// What happens where less is left.
    pub on_shortfall: OnShortfall,
}
asked!(RefundPurchase {
    1 => purchase, 2 => credits, 3 => price, 4 => on_shortfall, + 5 => reason, + 6 => by,
    7 => expected_refunded,
});

/// See [`super::Command::ReverseRefund`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReverseRefund {
    /// Of which purchase.
    pub purchase: PurchaseRef,
    /// The posting that recorded the refund.
    pub refund: PostingId,
}
asked!(ReverseRefund { 1 => purchase, 2 => refund, + 3 => reason, + 4 => by });

/// See [`super::Command::RecordChargeback`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordChargeback {
    /// Of which purchase.
    pub purchase: PurchaseRef,
    /// How many credits; by default all that is not given back yet.
    pub credits: Option<Credits>,
    /// The money that the bank took; by default the credits' share of the price.
    pub price: Option<Money>,
}
asked!(RecordChargeback { 1 => purchase, 2 => credits, 3 => price, + 4 => reason, + 5 => by });

/// See [`super::Command::ResolveChargeback`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolveChargeback {
    /// Of which purchase.
    pub purchase: PurchaseRef,
    /// True where the money comes back.
    pub won: bool,
}
asked!(ResolveChargeback { 1 => purchase, 2 => won, + 3 => reason, + 4 => by });
