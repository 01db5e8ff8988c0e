//! Kinds of postings: what a posting records, and between which accounts its amounts move.

use super::account::{Side, Slot};
use super::codec::coded_enum;
use super::kind_table::kind_table;

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
