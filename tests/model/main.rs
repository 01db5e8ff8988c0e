//! An independent model of credits, money, prices, holds and events. Random sequences compare it with the core.
//!
//! # What it is
//! The model is written from the product's rules alone. It shares no code with the core. It is simple rather than fast:
//! plain vectors and maps, whole copies, exact fractions in 128 bits. `compare` runs both side by side. It compares
//! every answer, posting, balance, lot, hold, money account and event.
//!
//! # Where the rules leave a choice
//! The model decides as users expect, and this list says how.
//!
//! 1. What falls due together is applied in the order of its moments. Sequences give no two things the same moment.
//! 2. Undoing a refund is something that comes in. It pays what is owed for that refund, then other debts.
//! 3. A debt is paid with at most as many credits as come in. Those that went back into an expired lot pay first; the
//!    rest burns in the order of all lots.
//! 4. What goes back into an expired lot expires at once, also where a hold would cover it, with the money it came with.
//! 5. `credits.shortfall` compares with the last amount told for the incident. A hold that sets more aside or ends
//!    forgets it.
//! 6. Where several rejections fit, which one is told is not part of the rules. The model has the order of the core.
//! 7. A settlement that the vendor bore whole is undone by a reversal without an amount. One of zero cannot be given
//!    back: its time counts as charged.
//! 8. The estimate of a reopened incident for its class is the top of the class's range, whatever was charged before.
//! 9. The margin is that of a set without one. A threshold that was not told needs none; where a purchase moves its level,
//!    it is another one. The balance has recovered when all that were told are armed again.
//! 10. The package and the product purchase date are those of the moment of pricing.
//! 11. Events of a hold tell its estimate, also where only a rise was declined, expired or parked. `settlement.reversed`
//!     tells what the customer got.
//! 12. Work that needs a quote and has none counts as all that is held.
//! 13. A reversal undoes only refunds recorded after the work was charged. It goes lot by lot, the last burned first: each
//!     undoes its own refunds, then pays the debt if it has expired.
//! 14. The least charge is paid once, also where the first settlement had no work.
//! 15. Refunded credits that were adjusted away are no shortfall either, after those that expired: the vendor bears them.
//!     Where less money is returned than they hold in breakage, the rest stays there for later refunds of the lot.
//! 16. What costs nothing needs no hold, also under a card that charges only confirmed ones.
//! 17. An extension raises what is held and not the estimate.
//! 18. What comes back into a lot brings at most what of its price is neither in the lot nor in its breakage. The rest
//!     stays earned.
//! 19. What an incident has cost is what was charged and not given back, what the vendor bore included.
//!
//! # Running it longer
//! `CREDITLEDGER_TEST_TIMES=67` runs 20,000 sequences instead of 300, `CREDITLEDGER_TEST_SEED` starts elsewhere. A failure
//! prints the seed and the fewest commands that still fail.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that panics has failed
#![allow(clippy::needless_pass_by_value)] // commands are written where they are used

#[allow(dead_code)] // other suites use the rest
#[path = "../common/desk.rs"]
mod desk;
#[path = "../common/postgres.rs"]
mod postgres;
#[allow(dead_code, unused_macros, unused_imports)]
#[path = "../store/rig.rs"]
mod rig;

mod compare;
mod credits;
mod engines;
mod events;
mod holds;
mod money;
mod pricing;
mod random;
mod refunds;
mod settling;
mod translate;
mod world;
