//! Random months at a support desk: steps small enough to collide often (few customers, incidents and orders; credits
//! in quarters) and far enough apart in time that quotes, holds and lots fall due.

use std::sync::Arc;

use creditledger::ledger::alert::{Alerts, Margin, Threshold};
use creditledger::ledger::commands::{
    Change, CloseCustomer, Command, EstimateIncident, GrantCredits, NewWork, OnShortfall, Quote, RecordWork,
    RefundPurchase, ReopenCustomer, ReportTopUp, SetBalanceAlerts, SetCustomerTerms, SettleHold, VoidWork,
};
use creditledger::ledger::ids::{TopUpId, WorkId};
use creditledger::ledger::top_up::TopUpAnswer;
use creditledger::ledger::{ClassId, Credits, Currency, Money, PostingId, Text, Timestamp, TopUp};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use crate::desk::{
    adjust, charge, charge_back, close_incident, confirm, decline, estimate_command, extend, grant, id,
    incident, keep_payment, new_work, place_with, purchase_command, refund_command, release_waived, resolve,
    reverse, reverse_refund, settle_command,
};

/// One command, some time after the one before.
#[derive(Clone, Debug)]
pub struct Step {
    /// Which of [`CUSTOMERS`].
    pub customer: usize,
    /// Hours since the step before.
    pub wait_hours: u32,
    pub action: Action,
}

pub const CUSTOMERS: [&str; 3] = ["acme", "zeta", "nova"];

#[derive(Clone, Debug)]
pub enum Action {
    Purchase {
        order: u8,
        quarters: i64,
        days: Option<u32>,
        price: Option<i64>,
    },
    Refund {
        order: u8,
        quarters: i64,
        on_shortfall: OnShortfall,
        price: Option<i64>,
    },
    ReverseRefund {
        order: u8,
    },
    KeepPayment {
        order: u8,
    },
    ChargeBack {
        order: u8,
        quarters: Option<i64>,
    },
    Resolve {
        order: u8,
        won: bool,
    },
    Grant {
        quarters: i64,
        days: Option<u32>,
    },
    Adjust {
        quarters: i64,
    },
    Estimate {
        incident: u8,
        quarters: i64,
        days: Option<u32>,
    },
    Confirm {
        incident: u8,
        park: bool,
    },
    Decline {
        incident: u8,
    },
    Place {
        incident: u8,
        minutes: u64,
        park: bool,
        days: Option<u32>,
    },
    Extend {
        incident: u8,
        quarters: i64,
    },
    Work {
        incident: u8,
        minutes: u64,
        /// A line of support, and hours ago when it began.
        line: Option<u8>,
        began: Option<u32>,
    },
    Void {
        incident: u8,
        entry: usize,
    },
    Settle {
        incident: u8,
        capped: bool,
        max_quarters: Option<i64>,
        waive: bool,
    },
    Release {
        incident: u8,
        waive: bool,
    },
    CloseIncident {
        incident: u8,
    },
    Charge {
        incident: u8,
        minutes: u64,
    },
    Reverse {
        incident: u8,
        quarters: Option<i64>,
    },
    Terms {
        quarters: i64,
    },
    /// Thresholds of its own, or with `None` its ledger's, with a margin in percent and quarters.
    Alerts {
        own: Option<(i64, u32)>,
        margin: Option<(u32, i64)>,
    },
    /// Top-ups from now on, or with `None` no more.
    TopUp {
        own: Option<RandomTopUp>,
    },
    /// Of the request in flight: pending for so many hours, or declined.
    Report {
        pending_hours: Option<u32>,
    },
    CloseCustomer,
    ReopenCustomer,
    ApplyDue,
}

#[derive(Clone, Debug)]
pub struct RandomTopUp {
    pub below: i64,
    pub more: i64,
    /// Beyond what one request may need.
    pub cap: Option<i64>,
    pub cool_down_hours: u32,
    pub lapse_hours: u32,
}

fn quarters(quarters: i64) -> String {
    Credits::from_units(quarters * 2_500).to_string()
}

fn incident_name(incident: u8) -> String {
    format!("i{incident}")
}

/// Some incidents have a class, none that a card names: only statistics look at it.
fn class_of(incident: u8) -> Option<ClassId> {
    (incident > 0).then(|| id(&format!("c{}", incident % 2)))
}

fn order_name(order: u8) -> String {
    format!("o{order}")
}

/// Orders are sold in two currencies, in turn.
fn money(order: u8, minor_units: i64) -> Money {
    let code = if order.is_multiple_of(2) { "EUR" } else { "JPY" };
    Money { currency: Currency::parse(code).unwrap(), minor_units }
}

/// The order whose last refund an action undoes.
pub fn refunded_order(action: &Action) -> Option<String> {
    match action {
        Action::ReverseRefund { order } => Some(order_name(*order)),
        _ => None,
    }
}

/// The command of a step taken at `now`; `entry` finds the nth entry of work of an incident's newest hold, `refund` is the
/// last refund of [`refunded_order`], and `top_up` the customer's last request for a top-up.
pub fn command(
    action: &Action,
    now: Timestamp,
    entry: impl Fn(&str, usize) -> Option<WorkId>,
    refund: Option<PostingId>,
    top_up: Option<TopUpId>,
) -> Command {
    let days_on = |days: &Option<u32>| days.map(|days| now.plus_days(days));
    match action {
        Action::Purchase { order, quarters: bought, days, price } => {
            let mut purchase = purchase_command(&order_name(*order), &quarters(*bought));
            purchase.expires_at = days_on(days);
            purchase.price = price.map(|price| money(*order, price));
            Command::PurchaseCredits(purchase)
        }
        Action::Refund { order, quarters: back, on_shortfall, price } => {
            let refund = refund_command(&order_name(*order), &quarters(*back), *on_shortfall);
            let price = price.map(|price| money(*order, price));
            Command::RefundPurchase(RefundPurchase { price, ..refund })
        }
        Action::ReverseRefund { order } => reverse_refund(&order_name(*order), refund.unwrap_or_default()),
        Action::KeepPayment { order } => keep_payment(&order_name(*order)),
        Action::ChargeBack { order, quarters: back } => {
            charge_back(&order_name(*order), back.map(quarters).as_deref())
        }
        Action::Resolve { order, won } => resolve(&order_name(*order), *won),
        Action::Grant { quarters: given, days } => {
            let Command::GrantCredits(grant) = grant(&quarters(*given)) else { unreachable!() };
            Command::GrantCredits(GrantCredits { expires_at: days_on(days), ..grant })
        }
        Action::Adjust { quarters: by } => adjust(&quarters(*by)),
        Action::Estimate { incident, quarters: total, days } => {
            let total = Quote::Credits(Credits::parse(&quarters(*total)).unwrap());
            let estimate = estimate_command(&incident_name(*incident), total);
            Command::EstimateIncident(EstimateIncident { expires_at: days_on(days), ..estimate })
        }
        Action::Confirm { incident, park } => confirm(&incident_name(*incident), *park),
        Action::Decline { incident } => decline(&incident_name(*incident)),
        Action::Place { incident, minutes, park, days } => {
            let estimate = estimate_command(&incident_name(*incident), Quote::Seconds(minutes * 60));
            let class = class_of(*incident);
            place_with(EstimateIncident { expires_at: days_on(days), class, ..estimate }, *park)
        }
        Action::Extend { incident, quarters: by } => extend(&incident_name(*incident), &quarters(*by)),
        Action::Work { incident: of, minutes, line, began } => Command::RecordWork(RecordWork {
            hold: incident(&incident_name(*of)),
            work: NewWork {
                line: line.map(|line| id(&format!("line-{line}"))),
                started_at: began.map(|hours| now.plus_seconds(i64::from(hours) * -3_600)),
                ..new_work(*minutes)
            },
        }),
        Action::Void { incident: of, entry: nth } => {
            let name = incident_name(*of);
            Command::VoidWork(VoidWork {
                work: entry(&name, *nth).unwrap_or_default(),
                hold: incident(&name),
            })
        }
        Action::Settle { incident, capped, max_quarters, waive } => {
            use creditledger::ledger::commands::Overrun::{CapAtHold, TakeAvailable};
            Command::SettleHold(SettleHold {
                overrun: if *capped { CapAtHold } else { TakeAvailable },
                waive_reason: if *waive { id("goodwill") } else { Text::EMPTY },
                max_charge: max_quarters.map(|max| Credits::from_units(max * 2_500)),
                ..settle_command(&incident_name(*incident))
            })
        }
        Action::Release { incident, waive } => {
            let reason = if *waive { id("goodwill") } else { Text::EMPTY };
            release_waived(&incident_name(*incident), reason)
        }
        Action::CloseIncident { incident } => close_incident(&incident_name(*incident)),
        Action::Charge { incident, minutes } => charge(&incident_name(*incident), *minutes),
        Action::Reverse { incident, quarters: back } => {
            reverse(&incident_name(*incident), back.map(quarters).as_deref())
        }
        Action::Terms { quarters: charge } => Command::SetCustomerTerms(SetCustomerTerms {
            product_purchased_on: Change::Clear,
            charge: Credits::from_units(charge * 2_500),
            ..SetCustomerTerms::default()
        }),
        Action::Alerts { own, margin } => {
            let margin = margin.map_or(Margin::default(), |(percent, quarters)| Margin {
                percent,
                at_least: Credits::from_units(quarters * 2_500),
            });
            let alerts = own.map(|(quarters, percent)| {
                let amount = Threshold::Credits(Credits::from_units(quarters * 2_500));
                let alerts = Alerts::new(vec![amount, Threshold::Percent(percent)]).unwrap();
                Arc::new(alerts.with_margin(margin))
            });
            Command::SetBalanceAlerts(SetBalanceAlerts { alerts })
        }
        Action::TopUp { own } => {
            let quarters = |quarters: i64| Credits::from_units(quarters * 2_500);
            let top_up = own.as_ref().map_or(Change::Clear, |own| {
                Change::Set(Arc::new(TopUp {
                    below: quarters(own.below),
                    target: quarters(own.below + own.more),
                    monthly_cap: own.cap.map(|cap| quarters(own.more + cap)),
                    cool_down_seconds: own.cool_down_hours * 3_600,
                    lapse_seconds: own.lapse_hours * 3_600,
                }))
            });
            Command::SetCustomerTerms(SetCustomerTerms { top_up, ..SetCustomerTerms::default() })
        }
        Action::Report { pending_hours } => Command::ReportTopUp(ReportTopUp {
            top_up: top_up.unwrap_or_default(),
            answer: pending_hours.map_or(TopUpAnswer::Declined, |hours| {
                TopUpAnswer::Pending(now.plus_seconds(i64::from(hours) * 3_600))
            }),
        }),
        Action::CloseCustomer => Command::CloseCustomer(CloseCustomer),
        Action::ReopenCustomer => Command::ReopenCustomer(ReopenCustomer),
        Action::ApplyDue => Command::ApplyDue,
    }
}

fn action() -> impl Strategy<Value = Action> {
    let which = 0..4_u8;
    let few = 1..40_i64;
    let days = || proptest::option::of(1..40_u32);
    let minutes = || 0..200_u64;
    let price = || proptest::option::weighted(0.8, 0..2_000_i64);
    let on_shortfall =
        prop_oneof![Just(OnShortfall::Reject), Just(OnShortfall::Receivable), Just(OnShortfall::WriteOff)];
    prop_oneof![
        4 => (0..12_u8, few.clone(), days(), price())
            .prop_map(|(order, quarters, days, price)| Action::Purchase { order, quarters, days, price }),
        3 => (0..12_u8, 1..20_i64, on_shortfall, proptest::option::weighted(0.3, 0..500_i64))
            .prop_map(|(order, quarters, on_shortfall, price)| {
                Action::Refund { order, quarters, on_shortfall, price }
            }),
        1 => (0..12_u8).prop_map(|order| Action::ReverseRefund { order }),
        1 => (0..12_u8).prop_map(|order| Action::KeepPayment { order }),
        2 => (0..12_u8, proptest::option::of(1..20_i64))
            .prop_map(|(order, quarters)| Action::ChargeBack { order, quarters }),
        2 => (0..12_u8, any::<bool>()).prop_map(|(order, won)| Action::Resolve { order, won }),
        1 => (few.clone(), days()).prop_map(|(quarters, days)| Action::Grant { quarters, days }),
        1 => (-20..20_i64).prop_filter("never zero", |by| *by != 0).prop_map(|quarters| Action::Adjust { quarters }),
        3 => (which.clone(), few.clone(), days())
            .prop_map(|(incident, quarters, days)| Action::Estimate { incident, quarters, days }),
        3 => (which.clone(), any::<bool>()).prop_map(|(incident, park)| Action::Confirm { incident, park }),
        1 => which.clone().prop_map(|incident| Action::Decline { incident }),
        4 => (which.clone(), minutes(), any::<bool>(), days())
            .prop_map(|(incident, minutes, park, days)| Action::Place { incident, minutes, park, days }),
        2 => (which.clone(), few.clone()).prop_map(|(incident, quarters)| Action::Extend { incident, quarters }),
        4 => (which.clone(), minutes(), proptest::option::of(0..2_u8), proptest::option::of(0..50_u32))
            .prop_map(|(incident, minutes, line, began)| Action::Work { incident, minutes, line, began }),
        1 => (which.clone(), 0..3_usize).prop_map(|(incident, entry)| Action::Void { incident, entry }),
        4 => (which.clone(), any::<bool>(), proptest::option::of(few.clone()), proptest::bool::weighted(0.1))
            .prop_map(|(incident, capped, max_quarters, waive)| {
                Action::Settle { incident, capped, max_quarters, waive }
            }),
        1 => (which.clone(), any::<bool>()).prop_map(|(incident, waive)| Action::Release { incident, waive }),
        1 => which.clone().prop_map(|incident| Action::CloseIncident { incident }),
        2 => (which.clone(), minutes()).prop_map(|(incident, minutes)| Action::Charge { incident, minutes }),
        3 => (which, proptest::option::of(few.clone()))
            .prop_map(|(incident, quarters)| Action::Reverse { incident, quarters }),
        1 => (0..10_i64).prop_map(|quarters| Action::Terms { quarters }),
        1 => (
            proptest::option::weighted(0.8, (1..20_i64, 1..=100_u32)),
            proptest::option::of((0..=100_u32, 0..8_i64)),
        )
            .prop_map(|(own, margin)| Action::Alerts { own, margin }),
        2 => proptest::option::weighted(0.9, top_up()).prop_map(|own| Action::TopUp { own }),
        2 => proptest::option::of(1..60_u32).prop_map(|pending_hours| Action::Report { pending_hours }),
        1 => Just(Action::CloseCustomer),
        1 => Just(Action::ReopenCustomer),
        1 => Just(Action::ApplyDue),
    ]
}

fn top_up() -> impl Strategy<Value = RandomTopUp> {
    let cap = proptest::option::weighted(0.7, 0..40_i64);
    (1..40_i64, 1..40_i64, cap, 1..30_u32, 1..100_u32).prop_map(
        |(below, more, cap, cool_down_hours, lapse_hours)| RandomTopUp {
            below,
            more,
            cap,
            cool_down_hours,
            lapse_hours,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly hours apart, sometimes weeks.
    let wait = prop_oneof![6 => 0..12_u32, 1 => 100..800_u32];
    (0..CUSTOMERS.len(), wait, action()).prop_map(|(customer, wait_hours, action)| Step {
        customer,
        wait_hours,
        action,
    })
}

/// Checks `property` for `cases` random sequences of up to `steps` steps. `CREDITLEDGER_TEST_TIMES` runs so many times as
/// many. The seed is fixed, and can be set with `CREDITLEDGER_TEST_SEED`; a failure prints it with the smallest sequence
/// that fails.
pub fn for_random_steps(cases: u32, steps: usize, property: impl Fn(Vec<Step>)) {
    let number = |name: &str| std::env::var(name).map(|number| number.parse::<u64>().unwrap()).ok();
    let seed = number("CREDITLEDGER_TEST_SEED").unwrap_or(20_261_121);
    let times = u32::try_from(number("CREDITLEDGER_TEST_TIMES").unwrap_or(1)).unwrap();
    let mut runner = TestRunner::new(ProptestConfig {
        cases: cases.checked_mul(times).unwrap(),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let sequences = proptest::collection::vec(step(), 1..=steps);
    let result = runner.run(&sequences, |steps| {
        property(steps);
        Ok(())
    });
    if let Err(failure) = result {
        panic!("seed {seed}: {failure}");
    }
}
