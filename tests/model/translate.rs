//! Between the model's words and the core's: commands one way, postings and states the other.

use creditledger::ledger::account::Transfer;
use creditledger::ledger::alert::{Alerts, Threshold as CoreThreshold};
use creditledger::ledger::card::{ClassRule, EmergencyRule, Factor, LineRule, RateCard};
use creditledger::ledger::commands::{
    Change, ChargeIncident, CloseCustomer, CloseIncident, Command, EstimateIncident, GrantCredits, NewWork,
    OnShortfall, Overrun, PurchaseCredits, Quote as CoreQuote, RecordWork, RefundPurchase, ReopenCustomer,
    ResolveChargeback, ReverseRefund, ReverseSettlement, SetBalanceAlerts, SetCustomerTerms, SettleHold,
    VoidWork,
};
use creditledger::ledger::event::events;
use creditledger::ledger::ids::WorkId;
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::{
    Account, Credits, Currency, Day, Money, Posting, PostingId, Rejection, Text, Timestamp,
};

use crate::credits::{Amount, Posted, Refusal, Threshold};
use crate::desk::{
    charge_command, confirm, decline, estimate_command, extend, id, incident, new_work, order_ref,
    place_with, preset, purchase_command, release_waived, settle_command,
};
use crate::holds::{About, Estimate, Quote};
use crate::money::Price;
use crate::pricing::{Card, Emergency, Entry};
use crate::random::Do;
use crate::refunds::Policy;
use crate::settling::Settle;

fn credits(amount: Amount) -> Credits {
    Credits::from_units(i64::try_from(amount).unwrap())
}

fn units(credits: Credits) -> Amount {
    credits.units().into()
}

pub fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds * 1_000_000)
}

fn money(price: Price) -> Money {
    Money {
        currency: Currency::parse(price.currency).unwrap(),
        minor_units: i64::try_from(price.minor).unwrap(),
    }
}

fn name(incident: u8) -> String {
    format!("i{incident}")
}

fn reason(given: bool) -> Text {
    if given { id("as agreed") } else { Text::EMPTY }
}

fn labels<T: crate::desk::FromText>(labels: &[&str]) -> Vec<T> {
    labels.iter().map(|label| id(label)).collect()
}

fn circumstances(about: &About) -> Circumstances {
    Circumstances { labels: labels(&about.labels), emergency: about.emergency, kb_answered: about.known }
}

fn opened(about: &About, now: i64) -> Option<Timestamp> {
    (about.opened_day > 0).then(|| time(now - about.opened_day * 86_400))
}

fn estimate(asked: &Estimate, now: i64) -> EstimateIncident {
    let quote = match asked.quote {
        Quote::Class => CoreQuote::Class,
        Quote::Credits(amount) => CoreQuote::Credits(credits(amount)),
        Quote::Seconds(seconds) => CoreQuote::Seconds(u64::try_from(seconds).unwrap()),
    };
    EstimateIncident {
        class: asked.about.class.map(id),
        opened_at: opened(&asked.about, now),
        expires_at: asked.expires.map(|after| time(now + after)),
        range_override: reason(asked.reason),
        circumstances: circumstances(&asked.about),
        ..estimate_command(&name(asked.incident), quote)
    }
}

fn work(entry: &Entry, now: i64) -> NewWork {
    NewWork {
        seconds: u64::try_from(entry.seconds).unwrap(),
        started_at: entry.start.map(|ago| time(now - ago)),
        line: entry.line.map(id),
        solutions: u32::try_from(entry.solutions).unwrap(),
        labels: labels(&entry.labels),
        ..new_work(0)
    }
}

fn settle(incident: u8, how: &Settle) -> SettleHold {
    SettleHold {
        overrun: if how.capped { Overrun::CapAtHold } else { Overrun::TakeAvailable },
        max_charge: how.max.map(credits),
        expected_work_seconds: how.expected.map(|seconds| u64::try_from(seconds).unwrap()),
        waive_reason: reason(how.waived),
        labels: labels(&how.labels),
        emergency: how.emergency,
        kb_answered: how.known,
        ..settle_command(&name(incident))
    }
}

/// The core's command. `work_of` finds an entry of work, `refund_of` a refund.
pub fn command(
    what: &Do,
    now: i64,
    work_of: impl Fn(&str, usize) -> Option<WorkId>,
    refund_of: impl Fn(&str, usize) -> Option<PostingId>,
) -> Command {
    let later = |after: Option<i64>| after.map(|after| time(now + after));
    let hold = |of: u8| incident(&name(of));
    match what {
        Do::Purchase { order, credits: bought, price, expires } => {
            Command::PurchaseCredits(PurchaseCredits {
                price: price.map(money),
                expires_at: later(*expires),
                ..purchase_command(order, &credits(*bought).to_string())
            })
        }
        Do::Refund { order, credits: back, money: minor, policy } => {
            let on_shortfall = match policy {
                Policy::Reject => OnShortfall::Reject,
                Policy::Owe => OnShortfall::Receivable,
                Policy::WriteOff => OnShortfall::WriteOff,
            };
            let currency = if order[1..].parse::<u8>().unwrap().is_multiple_of(2) { "EUR" } else { "JPY" };
            let price = minor.map(|minor| money(Price { currency, minor }));
            let purchase = order_ref(order);
            let credits = credits(*back);
            Command::RefundPurchase(RefundPurchase {
                purchase,
                credits,
                price,
                expected_refunded: None,
                on_shortfall,
            })
        }
        Do::ReverseRefund { order, nth } => {
            let refund = refund_of(order, *nth).unwrap_or_default();
            Command::ReverseRefund(ReverseRefund { purchase: order_ref(order), refund })
        }
        Do::ChargeBack { order, credits: back } => {
            crate::desk::charge_back(order, back.map(|back| credits(back).to_string()).as_deref())
        }
        Do::Resolve { order, won } => {
            Command::ResolveChargeback(ResolveChargeback { purchase: order_ref(order), won: *won })
        }
        Do::Grant { credits: given, expires } => {
            Command::GrantCredits(GrantCredits { credits: credits(*given), expires_at: later(*expires) })
        }
        Do::Adjust { credits: by } => crate::desk::adjust(&credits(*by).to_string()),
        Do::Estimate(asked) => Command::EstimateIncident(estimate(asked, now)),
        Do::Place(asked, park) => place_with(estimate(asked, now), *park),
        Do::Confirm { incident, park } => confirm(&name(*incident), *park),
        Do::Decline { incident } => decline(&name(*incident)),
        Do::Extend { incident, credits: by } => extend(&name(*incident), &credits(*by).to_string()),
        Do::Work { incident, entry } => {
            Command::RecordWork(RecordWork { hold: hold(*incident), work: work(entry, now) })
        }
        Do::Void { incident, nth } => {
            let work = work_of(&name(*incident), *nth).unwrap_or_default();
            Command::VoidWork(VoidWork { hold: hold(*incident), work })
        }
        Do::Settle { incident, how } => Command::SettleHold(settle(*incident, how)),
        Do::Close { incident, how } => {
            let SettleHold { hold, max_charge, expected_work_seconds, .. } = settle(*incident, how);
            Command::CloseIncident(CloseIncident { hold, max_charge, expected_work_seconds })
        }
        Do::Release { incident, waived } => release_waived(&name(*incident), reason(*waived)),
        Do::Charge(asked) => Command::ChargeIncident(ChargeIncident {
            class: asked.about.class.map(id),
            work: work(&asked.entry, now),
            opened_at: opened(&asked.about, now),
            max_charge: asked.max.map(credits),
            waive_reason: reason(asked.waived),
            circumstances: circumstances(&asked.about),
            expected_charged: asked.expected.map(credits),
            ..charge_command(&name(asked.incident), 0)
        }),
        Do::Reverse { incident, credits: back } => Command::ReverseSettlement(ReverseSettlement {
            hold: hold(*incident),
            credits: back.map(credits),
        }),
        Do::Terms { card, package, product_days_ago, credits: charge } => {
            let day = |days| Day::from_days(i32::try_from(crate::random::day(now, days)).unwrap());
            Command::SetCustomerTerms(SetCustomerTerms {
                rate_card: card.map_or(Change::Keep, |card| Change::Set(id(card))),
                package: package.map_or(Change::Keep, |package| Change::Set(id(package))),
                product_purchased_on: product_days_ago.map_or(Change::Keep, |days| Change::Set(day(days))),
                charge: credits(*charge),
                ..SetCustomerTerms::default()
            })
        }
        Do::Alerts(alerts) => {
            let threshold = |threshold: &Threshold| match threshold {
                Threshold::Credits(amount) => CoreThreshold::Credits(credits(*amount)),
                Threshold::Percent(percent) => CoreThreshold::Percent(u32::try_from(*percent).unwrap()),
            };
            let alerts = Alerts::new(alerts.iter().map(threshold).collect()).unwrap();
            Command::SetBalanceAlerts(SetBalanceAlerts { alerts: Some(alerts.into()) })
        }
        Do::CloseCustomer => Command::CloseCustomer(CloseCustomer),
        Do::ReopenCustomer => Command::ReopenCustomer(ReopenCustomer),
        Do::ApplyDue => Command::ApplyDue,
    }
}

/// A card of the model as the core has it, beside its name.
pub fn own_card(card: &Card) -> RateCard {
    let class = |class: &crate::pricing::Class| match class {
        crate::pricing::Class::Free => ClassRule::Free,
        crate::pricing::Class::Quote => ClassRule::QuoteRequired,
        crate::pricing::Class::Refused => ClassRule::Refused,
        crate::pricing::Class::Timed { range, rate } => ClassRule::Timed {
            range: range.map(|(from, to)| (credits(from), credits(to))),
            credits_per_hour: rate.map(credits),
        },
    };
    let line =
        |rate: &Option<Amount>| rate.map_or(LineRule::Free, |rate| LineRule::CreditsPerHour(credits(rate)));
    let mut own = preset("prepaid");
    own.card.id = id(card.name);
    own.credits_per_hour = credits(card.per_hour);
    own.minimum_credits = credits(card.least);
    own.free_support_days = card.free_days.map(|days| u32::try_from(days).unwrap());
    own.emergency = match card.emergency {
        Emergency::Charged => EmergencyRule::Charged,
        Emergency::Free => EmergencyRule::Free,
        Emergency::FreeUnlessKnown => EmergencyRule::FreeUnlessKbAnswered,
    };
    own.classes = card.classes.iter().map(|(name, rule)| (id(name), class(rule))).collect();
    own.lines = card.lines.iter().map(|(name, rate)| (id(name), line(rate))).collect();
    own.packages = card.packages.iter().map(|(name, rate)| (id(name), credits(*rate))).collect();
    let factor = |factor: &Amount| Factor::from_units(i64::try_from(*factor).unwrap());
    own.multipliers = card.multipliers.iter().map(|(name, by)| (id(name), factor(by))).collect();
    own
}

/// The account's name, without the storefront: there is one.
fn account(account: &Account) -> &'static str {
    const NAMES: [&str; 9] = [
        "available",
        "held",
        "receivable",
        "sales",
        "promotions",
        "revenue",
        "write_offs",
        "adjustments",
        "expired",
    ];
    let name = account.to_string();
    NAMES.into_iter().find(|known| name.split(':').next() == Some(known)).unwrap()
}

/// What a posting of the core comes to, in the model's words.
pub fn posted(posting: &Posting) -> (Posted, [Amount; 3]) {
    let mut posted = Posted { kind: posting.kind.name(), ..Posted::default() };
    for Transfer { debit, credit, credits } in posting.transfers() {
        *posted.credits.entry((account(&debit), account(&credit))).or_default() += units(credits);
    }
    for moved in posting.money_transfers() {
        posted.money.add(
            moved.debit.currency.as_str(),
            &moved.debit.short_name(),
            -Amount::from(moved.minor_units),
        );
        posted.money.add(
            moved.credit.currency.as_str(),
            &moved.credit.short_name(),
            moved.minor_units.into(),
        );
    }
    for event in events(posting) {
        let incident = event.hold.as_ref().map(|hold| &hold.incident);
        let missing = posting.detail.shortfall.as_ref().map(|missing| &missing.incident);
        let name = event.event.to_string();
        let of = incident.or(missing.filter(|_| name == "credits.shortfall"));
        let of = of.map(|incident| format!(" {}", &incident.as_str()[1..])).unwrap_or_default();
        posted.events.push(format!("{name}{of} {}", units(event.credits.unwrap_or_default())));
    }
    posted.events.sort();
    let after = posting.after;
    (posted, [after.available, after.held, after.owed].map(units))
}

/// A rejection with the values that it tells.
pub fn refusal(rejection: &Rejection) -> Refusal {
    let values: Vec<Amount> = match rejection {
        Rejection::InsufficientCredits { available, required, shortfall } => {
            [available, required, shortfall].map(|credits| units(*credits)).to_vec()
        }
        Rejection::ExceedsMaxCharge { charge, max_charge } => {
            [charge, max_charge].map(|it| units(*it)).to_vec()
        }
        Rejection::ChargeChanged { expected, charged } => [expected, charged].map(|it| units(*it)).to_vec(),
        Rejection::EstimateOutOfRange { estimate, min, max } => {
            [estimate, min, max].map(|credits| units(*credits)).to_vec()
        }
        Rejection::ExceedsReversible { reversible } => vec![units(*reversible)],
        Rejection::ExceedsRefundable { refundable } => vec![units(*refundable)],
        Rejection::LotSpent { refundable, shortfall } => vec![units(*refundable), units(*shortfall)],
        Rejection::WorkRecorded { seconds } => vec![(*seconds).into()],
        Rejection::HoldsOpen { count } => vec![(*count).into()],
        _ => Vec::new(),
    };
    Refusal::with(rejection.reason(), &values)
}
