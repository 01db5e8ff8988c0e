//! The types of events, under the names that receivers know.

use super::codec::coded_enum;

coded_enum!(
    EventType {
        /// An incident was estimated, or a new total offered.
        HoldQuoted = 1 / "hold.quoted",
        /// Credits were set aside on confirmation.
        HoldPlaced = 2 / "hold.placed",
        /// Confirmed, and waiting for credits.
        HoldAwaitingCredits = 3 / "hold.awaiting_credits",
        /// Credits came in for a parked hold.
        HoldActivated = 4 / "hold.activated",
        /// An active hold has a new total.
        HoldExtended = 5 / "hold.extended",
        /// Recorded work came to four fifths of the held credits.
        HoldNearlyUsed = 6 / "hold.nearly_used",
        /// The customer declined an estimate.
        HoldDeclined = 7 / "hold.declined",
        /// Ended without a charge.
        HoldReleased = 8 / "hold.released",
        /// A quote or a hold fell due.
        HoldExpired = 9 / "hold.expired",
        /// An incident needs more credits than there are.
        CreditsShortfall = 10 / "credits.shortfall",
        /// Work was charged.
        SettlementCompleted = 11 / "settlement.completed",
        /// A charge was given back.
        SettlementReversed = 12 / "settlement.reversed",
        /// Credits were bought.
        PurchaseCompleted = 13 / "purchase.completed",
        /// Credits were given.
        CreditsGranted = 14 / "credits.granted",
        /// An operator corrected the balance.
        CreditsAdjusted = 15 / "credits.adjusted",
        /// Credits fell due unused.
        CreditsExpired = 16 / "credits.expired",
        /// A purchase was given back.
        PurchaseRefunded = 40 / "purchase.refunded",
        /// The customer's bank took the money of a purchase back.
        PurchaseDisputed = 41 / "purchase.disputed",
        /// The available credits came down to a threshold.
        BalanceLow = 30 / "balance.low",
        /// The last available credits went.
        BalanceDepleted = 31 / "balance.depleted",
        /// The balance is above all thresholds again.
        BalanceRecovered = 32 / "balance.recovered",
        /// The storefront is asked to charge for a top-up.
        TopUpRequested = 50 / "top_up.requested",
        /// Several requests for top-ups failed in a row, and no more are made.
        TopUpSuspended = 51 / "top_up.suspended",
    }
);
