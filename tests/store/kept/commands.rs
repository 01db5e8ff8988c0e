//! Commands of the script, every field written out.
//!
//! They are not those of the other tests, whose helpers may change: a kept database knows the fingerprint of each. Where
//! a command gets a new field, it is left empty here.

use creditledger::ledger::commands::{
    ChargeIncident, CloseIncident, ClosePayment, Command, ConfirmEstimate, CreateCustomer, DeclineEstimate,
    EstimateIncident, ExtendHold, GrantCredits, HoldRef, KeepPayment, NewWork, OnShortfall, Overrun,
    PlaceHold, PurchaseCredits, PurchaseRef, Quote, RecordChargeback, RecordWork, RefundPurchase,
    ReleaseHold, ResolveChargeback, ReverseRefund, ReverseSettlement, Said, SettleHold, VoidWork,
};
use creditledger::ledger::customer::{Contact, Profile, Terms};
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::payment::{Payment, PaymentEvent};
use creditledger::ledger::{Currency, Money, OpenText, PostingId, Text, Timestamp};

use crate::desk::{credits, id, incident};

/// Who asks with each command of the script, and why.
pub fn said_with(command: &Command) -> Said {
    let (by, reason) = match command {
        Command::GrantCredits(_) => ("op", "sorry for the wait"),
        Command::AdjustBalance(_) => ("op", "a slip"),
        Command::RefundPurchase(_) => ("shop", "too many"),
        Command::ReverseRefund(_) => ("shop", "it bounced"),
        Command::RecordChargeback(_) => ("bank", "stolen card"),
        Command::ResolveChargeback(_) => ("bank", "as decided"),
        Command::ClosePayment(_) => ("op", "dismissed: a test order"),
        Command::EstimateIncident(_) | Command::PlaceHold(_) | Command::SettleHold(_) => ("ann", ""),
        Command::ConfirmEstimate(_) => ("carol", ""),
        Command::DeclineEstimate(_) => ("carol", "too dear"),
        Command::ExtendHold(_) => ("ann", "more than it looked"),
        Command::RecordWork(_) | Command::ChargeIncident(_) => ("bob", ""),
        Command::VoidWork(_) => ("ann", "wrong ticket"),
        Command::ReleaseHold(_) => ("ann", "solved by itself"),
        Command::CloseIncident(_) => ("carol", "all is well"),
        Command::ReverseSettlement(_) => ("op", "not satisfied"),
        Command::SetCustomerTerms(terms) if terms.charge.is_positive() => ("op", "renewal"),
        Command::SetCustomerTerms(_) | Command::SetBalanceAlerts(_) => ("op", ""),
        Command::ReportTopUp(_) => ("shop", "the card was declined"),
        Command::CloseCustomer(_) => ("op", "left us"),
        Command::ReopenCustomer(_) => ("op", "not yet"),
        Command::CreateCustomer(_)
        | Command::UpdateCustomer(_)
        | Command::PurchaseCredits(_)
        | Command::KeepPayment(_)
        | Command::ApplyDue => ("", ""),
    };
    Said { by: id(by), reason: id(reason), ..Said::default() }
}

pub fn money(currency: &str, minor_units: i64) -> Money {
    Money { currency: Currency::parse(currency).unwrap(), minor_units }
}

pub fn profile(name: &str) -> Profile {
    let contact = Contact {
        name: id(&format!("{name}, the contact")),
        email: id("ada@example.org"),
        locale: id("pt-BR"),
    };
    let metadata = [(id("crm"), id("4711")), (id("region"), id("são paulo"))].into();
    Profile { name: id(name), contact, metadata }
}

pub fn create(name: &str, terms: Terms) -> Command {
    Command::CreateCustomer(CreateCustomer { profile: profile(name), terms })
}

/// With a price in euros of so many cents.
pub fn purchase(order: &str, amount: &str, cents: i64, expires_at: Option<Timestamp>) -> Command {
    Command::PurchaseCredits(PurchaseCredits {
        storefront: id("web"),
        order: id(order),
        credits: credits(amount),
        price: Some(money("EUR", cents)),
        expires_at,
    })
}

pub fn grant(amount: &str, expires_at: Option<Timestamp>) -> Command {
    Command::GrantCredits(GrantCredits { credits: credits(amount), expires_at })
}

pub fn order_of(order: &str) -> PurchaseRef {
    PurchaseRef::Order(id("web"), id(order))
}

pub fn refund_command(order: &str, amount: &str, on_shortfall: OnShortfall) -> RefundPurchase {
    RefundPurchase {
        purchase: order_of(order),
        credits: credits(amount),
        price: None,
        expected_refunded: None,
        on_shortfall,
    }
}

pub fn refund(order: &str, amount: &str, on_shortfall: OnShortfall) -> Command {
    Command::RefundPurchase(refund_command(order, amount, on_shortfall))
}

pub fn reverse_refund(order: &str, refund: PostingId) -> Command {
    let purchase = order_of(order);
    Command::ReverseRefund(ReverseRefund { purchase, refund })
}

pub fn charge_back(order: &str, amount: Option<&str>, price: Option<Money>) -> Command {
    Command::RecordChargeback(RecordChargeback {
        purchase: order_of(order),
        credits: amount.map(credits),
        price,
    })
}

pub fn resolve(purchase: PurchaseRef, won: bool) -> Command {
    Command::ResolveChargeback(ResolveChargeback { purchase, won })
}

pub fn keep_payment(event: PaymentEvent, order: &str) -> Command {
    Command::KeepPayment(KeepPayment {
        payment: Payment {
            event,
            storefront: id("web"),
            order: id(order),
            key: OpenText(id(&format!("{order} {event}"))),
            customer: id("who?"),
            products: vec![OpenText(id("1 x poster")), OpenText(id("2 x unknown"))],
            credits: Some(credits("3")),
            price: Some(money("EUR", 500)),
            cumulative: true,
            reason: id("none of the products is mapped to credits"),
        },
    })
}

pub fn close_payment(payment: PostingId) -> Command {
    Command::ClosePayment(ClosePayment { payment, is_order: false })
}

pub fn estimate_command(incident: &str, quote: Quote) -> EstimateIncident {
    EstimateIncident {
        incident: id(incident),
        class: None,
        quote,
        opened_at: None,
        expires_at: None,
        range_override: Text::EMPTY,
        note: id("as talked about on the phone"),
        circumstances: Circumstances::default(),
    }
}

pub fn quote(amount: &str) -> Quote {
    Quote::Credits(credits(amount))
}

pub fn estimate(incident: &str, amount: &str) -> Command {
    Command::EstimateIncident(estimate_command(incident, quote(amount)))
}

pub fn place_command(estimate: EstimateIncident, park: bool) -> Command {
    Command::PlaceHold(PlaceHold { estimate, park })
}

/// At what so many seconds cost: no quote, so that the work is what is charged.
pub fn place(incident: &str, seconds: u64) -> Command {
    place_command(estimate_command(incident, Quote::Seconds(seconds)), false)
}

pub fn place_parked(incident: &str, amount: &str) -> Command {
    place_command(estimate_command(incident, quote(amount)), true)
}

pub fn confirm(hold: &str, park: bool) -> Command {
    Command::ConfirmEstimate(ConfirmEstimate { hold: incident(hold), park })
}

pub fn decline(hold: &str) -> Command {
    Command::DeclineEstimate(DeclineEstimate { hold: incident(hold) })
}

pub fn extend(hold: &str, amount: &str) -> Command {
    Command::ExtendHold(ExtendHold { hold: incident(hold), credits: credits(amount) })
}

pub fn new_work(minutes: u64) -> NewWork {
    NewWork {
        seconds: minutes * 60,
        started_at: None,
        line: None,
        solutions: 0,
        note: id("looked into it"),
        labels: Vec::new(),
    }
}

pub fn record(hold: &str, work: NewWork) -> Command {
    Command::RecordWork(RecordWork { hold: incident(hold), work })
}

pub fn work(hold: &str, minutes: u64) -> Command {
    record(hold, new_work(minutes))
}

pub fn void(hold: &str, work: PostingId) -> Command {
    Command::VoidWork(VoidWork { hold: incident(hold), work: work.into() })
}

pub fn settle_command(hold: HoldRef) -> SettleHold {
    SettleHold {
        hold,
        overrun: Overrun::TakeAvailable,
        max_charge: None,
        expected_work_seconds: None,
        waive_reason: Text::EMPTY,
        labels: Vec::new(),
        emergency: None,
        kb_answered: None,
    }
}

pub fn settle(hold: &str) -> Command {
    Command::SettleHold(settle_command(incident(hold)))
}

pub fn settle_capped(hold: &str) -> Command {
    Command::SettleHold(SettleHold { overrun: Overrun::CapAtHold, ..settle_command(incident(hold)) })
}

pub fn release(hold: &str, waive_reason: Text) -> Command {
    Command::ReleaseHold(ReleaseHold { hold: incident(hold), waive_reason })
}

pub fn close_incident(hold: &str, expected_work_seconds: Option<u64>) -> Command {
    Command::CloseIncident(CloseIncident {
        hold: incident(hold),
        max_charge: Some(credits("50")),
        expected_work_seconds,
    })
}

pub fn charge_command(incident: &str, minutes: u64) -> ChargeIncident {
    ChargeIncident {
        incident: id(incident),
        class: None,
        work: new_work(minutes),
        opened_at: None,
        max_charge: None,
        waive_reason: Text::EMPTY,
        circumstances: Circumstances::default(),
        expected_charged: None,
    }
}

pub fn charge(incident: &str, minutes: u64) -> Command {
    Command::ChargeIncident(charge_command(incident, minutes))
}

pub fn reverse(hold: &str, amount: Option<&str>) -> Command {
    Command::ReverseSettlement(ReverseSettlement { hold: incident(hold), credits: amount.map(credits) })
}
