//! Lists on each engine: pages of any size are the same list.

mod bounds;
mod filters;

use std::sync::Arc;

use creditledger::ledger::alert::{Alerts, DefaultAlerts, Threshold};
use creditledger::ledger::commands::{
    CloseCustomer, Command, CreateCustomer, EstimateIncident, PurchaseCredits, PurchaseRef, Quote,
    RecordChargeback, SetBalanceAlerts,
};
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::payment::suspense;
use creditledger::ledger::{
    Contact, CustomerId, Hold, Kind, LedgerNo, Profile, RequestKey, Terms, Text, Timestamp,
};
use creditledger::query::{
    ClassStats, ClassStatsFilter, CustomerFilter, CustomerRecord, HoldFilter, HoldQuery, KeptPayment, Keyed,
    Ledger, Listed, LotFilter, LotRecord, PageRequest, PostingFilter, ReadError, Recorded, TransferRecord,
};
use creditledger::store::NewDefaultAlerts;

use crate::desk::{
    START, charge, charge_back, confirm, credits, decline, estimate_command, grant, id, keep_payment,
    place_with, purchase_command, release, settle, work,
};
use crate::lookups::reader;
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    pages_of_any_size_are_the_same_list
}

const MAIN: LedgerNo = LedgerNo::MAIN;
const CUSTOMERS: usize = 9;

fn customer(nth: usize) -> CustomerId {
    id(&format!("c{}", nth * 5 % CUSTOMERS))
}

fn opened(nth: usize) -> Timestamp {
    START.plus_seconds(-3_600 * i64::try_from(nth % 5).unwrap())
}

/// A desk where everything that lists and filters tell apart is there.
async fn fill(rig: &mut Rig) {
    let default = DefaultAlerts {
        alerts: Alerts::new(vec![Threshold::Credits(credits("3"))]).unwrap(),
        by: Text::EMPTY,
    };
    let new = NewDefaultAlerts { ledger: MAIN, request: RequestKey::parse("alerts").unwrap(), default };
    rig.writer.set_default_alerts(&new, rig.now).await.unwrap();
    for nth in 0..CUSTOMERS {
        rig.customer = customer(nth);
        let tier = (id("tier"), id(["gold", "silver"][nth % 2]));
        let profile = Profile {
            name: id(["Acme", "Acme West", "acme", "Zeta"][nth % 4]),
            contact: Contact { email: id(&format!("it@{}.example", nth % 3)), ..Contact::default() },
            metadata: if nth == 4 { [].into() } else { [tier].into() },
        };
        rig.ok(Command::CreateCustomer(CreateCustomer { profile, terms: Terms::default() })).await;
        let bought = PurchaseCredits {
            storefront: id(["web", "app"][nth % 2]),
            ..purchase_command(&format!("o{nth}"), &format!("{}", 1 + nth))
        };
        rig.ok(Command::PurchaseCredits(bought)).await;
        if nth % 3 == 0 {
            let own = Alerts::new(vec![Threshold::Percent(60)]).unwrap();
            let alerts = SetBalanceAlerts { alerts: Some(Arc::new(own)) };
            rig.ok(Command::SetBalanceAlerts(alerts)).await;
        }
        for incident in 0..4 {
            let class = (incident > 0).then(|| id(&format!("class{}", incident % 2)));
            let mut labels = vec![id("urgent"), id("vip")];
            labels.truncate((nth + incident) % 3);
            let of = format!("i{incident}");
            let estimate = EstimateIncident {
                class,
                opened_at: Some(opened(nth + incident)),
                circumstances: Circumstances { labels, ..Circumstances::default() },
                ..estimate_command(&of, Quote::Credits(credits("0.5")))
            };
            match (nth + incident) % 4 {
                0 => drop(rig.ok(Command::EstimateIncident(estimate)).await),
                1 => {
                    rig.ok(place_with(estimate, true)).await;
                    rig.ok(release(&of)).await;
                }
                2 => {
                    rig.ok(place_with(estimate, true)).await;
                    rig.ok(work(&of, 3)).await;
                }
                _ => {
                    rig.ok(Command::EstimateIncident(estimate)).await;
                    rig.ok(if nth % 2 == 0 { decline(&of) } else { confirm(&of, true) }).await;
                }
            }
        }
        // Some charges are too much: those leave a note.
        let _ = rig.run(charge("direct", 60 * u64::try_from(nth % 3).unwrap())).await;
        let _ = rig.run(settle("i2")).await;
        if nth % 4 == 1 {
            let order = RecordChargeback {
                purchase: PurchaseRef::Order(id(["web", "app"][nth % 2]), id(&format!("o{nth}"))),
                ..charge_back_of(&format!("o{nth}"))
            };
            rig.ok(Command::RecordChargeback(order)).await;
        }
    }
    rig.new_customer("closed").await;
    rig.ok(grant("1")).await;
    rig.ok(Command::CloseCustomer(CloseCustomer)).await;
    rig.customer = suspense();
    rig.ok(Command::CreateCustomer(CreateCustomer::default())).await;
    for nth in 0..5 {
        rig.ok(keep_payment(&format!("kept{nth}"))).await;
    }
}

fn charge_back_of(order: &str) -> RecordChargeback {
    let Command::RecordChargeback(command) = charge_back(order, None) else { unreachable!() };
    command
}

/// The whole list, by pages of so many.
async fn walk<T: Keyed>(
    limit: usize,
    page: impl AsyncFn(&PageRequest) -> Result<Listed<T>, ReadError>,
    show: impl Fn(&T) -> String,
) -> Vec<String> {
    let mut all = Vec::new();
    let mut token = String::new();
    loop {
        let listed = page(&PageRequest { limit, token }).await.unwrap();
        assert!(listed.items.len() <= limit);
        let (shown, next) = listed.show(usize::MAX, &show, |_| 0);
        all.extend(shown);
        token = next;
        if token.is_empty() {
            return all;
        }
    }
}

/// Walks a list by pages of 1 to 7 and in one, and compares.
macro_rules! same_by_any_pages {
    ($name:expr, $page:expr, $show:expr, $least:expr) => {{
        let whole = walk(1_000, $page, $show).await;
        assert!(whole.len() >= $least, "{}: {whole:?}", $name);
        for limit in 1..=7 {
            assert_eq!(walk(limit, $page, $show).await, whole, "{} by {limit}", $name);
        }
    }};
}

fn shown_posting(recorded: &Recorded) -> String {
    format!("{} {}", recorded.posting.sequence, recorded.posting.kind)
}

async fn pages_of_any_size_are_the_same_list(mut rig: Rig) {
    fill(&mut rig).await;
    for nth in 0..8 {
        rig.create_ledger(&format!("l{nth}"), &format!("l{nth}")).await.unwrap();
    }
    let reader = reader(&rig);
    same_by_any_pages!(
        "ledgers",
        async |page: &PageRequest| reader.ledgers(page).await,
        |ledger: &Ledger| ledger.id.to_string(),
        9
    );
    for filter in [CustomerFilter::default(), CustomerFilter { low: Some(true), ..CustomerFilter::default() }]
    {
        same_by_any_pages!(
            "customers",
            async |page: &PageRequest| reader.customers(MAIN, &filter, page).await,
            |record: &CustomerRecord| record.customer.id.to_string(),
            3
        );
    }
    let acme = customer(2);
    for newest_first in [false, true] {
        for kinds in [vec![], vec![Kind::PlaceHold, Kind::ConfirmEstimate, Kind::ReleaseHold]] {
            let filter = PostingFilter { newest_first, kinds, ..PostingFilter::default() };
            same_by_any_pages!(
                "postings",
                async |page: &PageRequest| reader.postings(MAIN, &acme, &filter, page).await,
                shown_posting,
                3
            );
            same_by_any_pages!(
                "transfers",
                async |page: &PageRequest| reader.transfers(MAIN, &acme, &filter, page).await,
                |record: &TransferRecord| {
                    format!(
                        "{} {} {}",
                        record.recorded.posting.sequence, record.index, record.transfer.credits
                    )
                },
                3
            );
        }
    }
    for customer in [None, Some(&acme)] {
        for settled in [false, true] {
            let filter = HoldFilter { settled, ..HoldFilter::default() };
            let by_column = HoldQuery::from(filter.clone());
            let by_label = HoldQuery { filter, label: Some(id("urgent")), ..HoldQuery::default() };
            for query in [by_column, by_label] {
                let least = if settled || customer.is_some() { 0 } else { 10 };
                same_by_any_pages!(
                    "holds",
                    async |page: &PageRequest| reader.holds(MAIN, customer, query.clone(), page).await,
                    |hold: &Arc<Hold>| hold.id.to_string(),
                    least
                );
            }
        }
        let filter = LotFilter::default();
        same_by_any_pages!(
            "lots",
            async |page: &PageRequest| reader.lots(MAIN, customer, filter.clone(), page).await,
            |record: &LotRecord| format!("{} {}", record.lot.lot.id, record.left),
            1
        );
    }
    let filter = ClassStatsFilter { ledger: MAIN, class: None, from: None, until: None };
    same_by_any_pages!(
        "class stats",
        async |page: &PageRequest| reader.class_stats(&filter, page).await,
        |stats: &ClassStats| format!("{:?}", stats.class),
        1
    );
    same_by_any_pages!(
        "payments",
        async |page: &PageRequest| reader.kept_payments(MAIN, page).await,
        |kept: &KeptPayment| kept.posting.id.to_string(),
        5
    );
}
