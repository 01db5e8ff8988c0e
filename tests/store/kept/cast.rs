//! The first part of the script: ledgers, rate cards, thresholds, and who is in the other parts.

use std::sync::Arc;

use creditledger::ledger::alert::{Alerts, DefaultAlerts, Threshold};
use creditledger::ledger::card::{
    CardEdit, ClassRule, EmergencyRule, Factor, FlatTier, LineRule, RateCard, TimeBasis,
};
use creditledger::ledger::commands::{Change, Command, SetBalanceAlerts, SetCustomerTerms, UpdateCustomer};
use creditledger::ledger::customer::Terms;
use creditledger::ledger::time::Day;
use creditledger::ledger::top_up::TopUp;
use creditledger::store::NewDefaultAlerts;

use super::commands::{create, profile};
use super::stage::Stage;
use crate::desk::{credits, id};

/// A card in which every rule but the flat tier is set.
fn desk_card(rate: &str) -> CardEdit {
    let timed =
        ClassRule::Timed { range: Some((credits("1"), credits("3"))), credits_per_hour: Some(credits("3")) };
    CardEdit::Card(Arc::new(RateCard {
        description: id("of everything"),
        packages: [(id("gold"), credits("1.5"))].into(),
        increment_seconds: 60,
        minimum_seconds: 60,
        minimum_credits: credits("1"),
        multipliers: [
            (id("night"), Factor::parse("1.5").unwrap()),
            (id("weekend"), Factor::parse("2").unwrap()),
        ]
        .into(),
        lines: [(id("first"), LineRule::Free), (id("second"), LineRule::CreditsPerHour(credits("4")))].into(),
        emergency: EmergencyRule::FreeUnlessKbAnswered,
        free_support_days: Some(30),
        classes: [
            (id("design"), timed),
            (id("sales"), ClassRule::Free),
            (id("other"), ClassRule::QuoteRequired),
            (id("teaching"), ClassRule::Refused),
        ]
        .into(),
        ..RateCard::plain(id("desk"), credits(rate))
    }))
}

/// By the clock, in started half hours.
fn elapsed_card() -> CardEdit {
    CardEdit::Card(Arc::new(RateCard {
        time_basis: TimeBasis::Elapsed,
        increment_seconds: 1_800,
        minimum_seconds: 1_800,
        multipliers: [(id("night"), Factor::parse("2").unwrap())].into(),
        emergency: EmergencyRule::Free,
        ..RateCard::plain(id("elapsed"), credits("2"))
    }))
}

/// A flat price for what is short, a quote for the rest.
fn tiered_card() -> CardEdit {
    CardEdit::Card(Arc::new(RateCard {
        flat: Some(FlatTier { under_seconds: 1_500, credits: credits("1") }),
        confirmed_hold_only: true,
        ..RateCard::plain(id("tiered"), credits("2"))
    }))
}

async fn default_alerts(stage: &mut Stage, request: &str, thresholds: Vec<Threshold>) {
    let default = DefaultAlerts { alerts: Alerts::new(thresholds).unwrap(), by: id("op") };
    let ledger = stage.rig.ledger;
    stage.default_alerts(NewDefaultAlerts { ledger, request: id_of(request), default }).await;
}

fn id_of(request: &str) -> creditledger::ledger::RequestKey {
    creditledger::ledger::RequestKey::parse(request).unwrap()
}

pub async fn set_up(stage: &mut Stage) {
    stage.ledger("second").await;
    stage.ledger("empty").await;

    stage.at("main", "acme").await;
    stage.cards("card 1", desk_card("2")).await;
    stage.cards("0197b0a0-0000-7000-8000-000000000002", elapsed_card()).await;
    stage.cards("card 3", tiered_card()).await;
    stage.cards("default", CardEdit::Default(id("desk"))).await;
    default_alerts(stage, "alerts", vec![Threshold::Percent(50)]).await;
    let alerts = "0197b0a0-0000-7000-8000-000000000003";
    default_alerts(stage, alerts, vec![Threshold::Credits(credits("2")), Threshold::Percent(20)]).await;

    stage.at("second", "acme").await;
    let plain = RateCard { description: id("dear"), ..RateCard::plain(id("desk"), credits("6")) };
    stage.cards("card 1", CardEdit::Card(Arc::new(plain))).await;
    stage.cards("default", CardEdit::Default(id("desk"))).await;
    default_alerts(stage, "alerts", vec![Threshold::Credits(credits("5"))]).await;

    customers(stage).await;
}

fn terms(card: Option<&str>) -> Terms {
    Terms {
        rate_card: card.map(id),
        package: Some(id("gold")),
        product_purchased_on: Some(Day::from_days(20_089)),
        top_up: None,
    }
}

fn top_up() -> Arc<TopUp> {
    Arc::new(TopUp {
        below: credits("5"),
        target: credits("20"),
        monthly_cap: Some(credits("50")),
        cool_down_seconds: 60,
        lapse_seconds: 3_600,
    })
}

async fn customers(stage: &mut Stage) {
    stage.at("main", "acme").await;
    stage.ok("create acme", create("Acme", terms(None))).await;
    let new = profile("Acme & Söhne");
    let update = UpdateCustomer {
        name: Some(new.name),
        contact: Some(new.contact),
        metadata: Some([(id("crm"), id("4712"))].into()),
    };
    stage.ok("update acme", Command::UpdateCustomer(update)).await;
    let update =
        UpdateCustomer { name: None, contact: None, metadata: Some([(id("vip"), id("yes"))].into()) };
    stage.ok("update only metadata", Command::UpdateCustomer(update)).await;

    let nothing = Terms::default();
    for (customer, terms) in [
        ("debtor", nothing.clone()),
        ("expiring", nothing.clone()),
        ("parked", nothing.clone()),
        ("freed", nothing.clone()),
        ("quoted", nothing.clone()),
        ("clocked", terms(Some("elapsed"))),
        ("tiered", terms(Some("tiered"))),
        ("gone", nothing.clone()),
        ("alerted", nothing.clone()),
        ("topped-up", Terms { top_up: Some(top_up()), ..nothing.clone() }),
        ("unmatched-payments", nothing.clone()),
    ] {
        stage.at("main", customer).await;
        stage.ok(&format!("create {customer}"), create(customer, terms)).await;
    }
    // A product bought on the day on which everything begins: its support is free.
    let free = Terms { product_purchased_on: Some(Day::from_days(20_454)), ..nothing };
    stage.at("main", "in-the-window").await;
    stage.ok("create in-the-window", create("new owner", free)).await;
    stage.at("second", "acme").await;
    stage.ok("create acme in the second ledger", create("Acme elsewhere", Terms::default())).await;
}

/// What was agreed changes, is charged for, and is left as it is.
pub async fn change_terms(stage: &mut Stage) {
    stage.at("main", "acme").await;
    let renewal = SetCustomerTerms {
        rate_card: Change::Set(id("prepaid")),
        package: Change::Clear,
        product_purchased_on: Change::Set(Day::from_days(20_090)),
        top_up: Change::Set(top_up()),
        charge: credits("1.25"),
    };
    stage.ok("renew", Command::SetCustomerTerms(renewal)).await;
    let back = SetCustomerTerms {
        rate_card: Change::Clear,
        package: Change::Set(id("gold")),
        top_up: Change::Clear,
        ..SetCustomerTerms::default()
    };
    stage.ok("back to the card of the ledger", Command::SetCustomerTerms(back)).await;
}

/// Thresholds of a customer's own, none at all, and those of the ledger again.
pub fn own_alerts(thresholds: Option<Vec<Threshold>>) -> Command {
    let alerts = thresholds.map(|thresholds| Arc::new(Alerts::new(thresholds).unwrap()));
    Command::SetBalanceAlerts(SetBalanceAlerts { alerts })
}

/// A second version of the card of the main ledger: what is open keeps the first.
pub async fn second_card(stage: &mut Stage) {
    stage.at("main", "acme").await;
    stage.cards("card 4", desk_card("3")).await;
}
