//! What a filter gives on each engine is what a naive look at everything gives, and a token goes on with its own filter.

use std::sync::Arc;

use creditledger::ledger::payment::suspense;
use creditledger::ledger::{
    Credits, Customer, CustomerId, CustomerKey, Hold, HoldState, IncidentId, Kind, Profile, Timestamp,
};
use creditledger::query::{
    CustomerFilter, CustomerRecord, HoldFilter, HoldQuery, PageRequest, Position, PostingFilter, ReadError,
    Recorded, TransferRecord,
};

use super::{CUSTOMERS, MAIN, customer, fill, opened, shown_posting, walk};
use crate::desk::{credits, id};
use crate::lookups::reader;
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    filters_of_customers_agree_with_a_look_at_all_of_them
    filters_of_postings_agree_with_a_look_at_all_of_them
    filters_of_holds_agree_with_a_look_at_all_of_them
}

/// A token goes on with its own list alone.
macro_rules! token_is_bound {
    ($page:expr, $filters:expr) => {{
        let first = PageRequest { limit: 1, token: String::new() };
        let (page_of, filters) = ($page, $filters);
        let mut tokens = Vec::new();
        for filter in &filters {
            let listed = page_of(filter, first.clone()).await.unwrap();
            let (_, token) = listed.show(usize::MAX, |_| (), |()| 0);
            tokens.push(token);
        }
        assert!(tokens.iter().filter(|token| !token.is_empty()).count() > 2, "{tokens:?}");
        for (of, token) in tokens.iter().enumerate().filter(|(_, token)| !token.is_empty()) {
            for (other, filter) in filters.iter().enumerate() {
                let page = PageRequest { limit: 1, token: token.clone() };
                let refused = matches!(page_of(filter, page).await, Err(ReadError::PageToken));
                assert_eq!(refused, of != other, "{filter:?}");
            }
        }
    }};
}

async fn filters_of_customers_agree_with_a_look_at_all_of_them(mut rig: Rig) {
    fill(&mut rig).await;
    let reader = reader(&rig);
    let all = rig.reader.customers(MAIN, None, 1_000).await.unwrap();
    assert_eq!(all.len(), CUSTOMERS + 2);
    type Naive = fn(&Customer, &Profile) -> bool;
    let any = CustomerFilter::default;
    // By hand: all thresholds are 3 credits, but for every third customer, who has 60 % of the last purchase.
    let is_low: Naive = |customer, _| {
        let level = match &customer.state.alerts {
            Some(_) => Credits::from_units(customer.state.last_purchase.units() * 60 / 100),
            None => credits("3"),
        };
        customer.balances.available <= level
    };
    let table: Vec<(CustomerFilter, Naive)> = vec![
        (any(), |_, _| true),
        (CustomerFilter { name_prefix: id("Acme"), ..any() }, |_, p| p.name.as_str().starts_with("Acme")),
        (CustomerFilter { name_prefix: id("Acme W"), ..any() }, |_, p| p.name.as_str() == "Acme West"),
        (CustomerFilter { name_prefix: id("nobody"), ..any() }, |_, _| false),
        (CustomerFilter { email: Some(id("it@1.example")), ..any() }, |_, p| {
            p.contact.email.as_str() == "it@1.example"
        }),
        (CustomerFilter { email: Some(id("IT@1.example")), ..any() }, |_, _| false),
        (CustomerFilter { metadata: Some((id("tier"), id("gold"))), ..any() }, |_, p| {
            p.metadata.values().any(|value| value.as_str() == "gold")
        }),
        (CustomerFilter { metadata: Some((id("gold"), id("tier"))), ..any() }, |_, _| false),
        (CustomerFilter { closed: Some(true), ..any() }, |c, _| c.id.as_str() == "closed"),
        (CustomerFilter { closed: Some(false), ..any() }, |c, _| c.id.as_str() != "closed"),
        (CustomerFilter { low: Some(true), ..any() }, is_low),
        (CustomerFilter { owing: Some(true), ..any() }, |c, _| !c.balances.owed.is_zero()),
        (CustomerFilter { owing: Some(false), ..any() }, |c, _| c.balances.owed.is_zero()),
        (
            CustomerFilter { name_prefix: id("Acme"), owing: Some(false), closed: Some(false), ..any() },
            |c, p| p.name.as_str().starts_with("Acme") && c.balances.owed.is_zero(),
        ),
    ];
    for (filter, naive) in &table {
        let found = walk(
            4,
            async |page: &PageRequest| reader.customers(MAIN, filter, page).await,
            |record: &CustomerRecord| record.customer.id.to_string(),
        );
        let wanted = all.iter().filter(|(customer, profile)| naive(customer, profile));
        let wanted: Vec<String> = wanted.map(|(customer, _)| customer.id.to_string()).collect();
        assert_eq!(found.await, wanted, "{filter:?}");
    }
    let low = walk(
        4,
        async |page: &PageRequest| {
            reader.customers(MAIN, &CustomerFilter { low: Some(false), ..any() }, page).await
        },
        |record: &CustomerRecord| record.customer.id.to_string(),
    );
    let wanted = all.iter().filter(|(customer, profile)| !is_low(customer, profile));
    let wanted: Vec<String> = wanted.map(|(customer, _)| customer.id.to_string()).collect();
    assert_eq!(low.await, wanted);
    assert!((2..CUSTOMERS).contains(&wanted.len()), "{wanted:?}");
    token_is_bound!(
        async |filter: &CustomerFilter, page: PageRequest| reader.customers(MAIN, filter, &page).await,
        table.iter().map(|(filter, _)| filter.clone()).collect::<Vec<_>>()
    );
}

async fn filters_of_postings_agree_with_a_look_at_all_of_them(mut rig: Rig) {
    fill(&mut rig).await;
    let reader = reader(&rig);
    let journal = rig.reader.feed(MAIN, Position(0), 10_000).await.unwrap().items;
    let any = PostingFilter::default;
    type Naive = Box<dyn Fn(&Recorded) -> bool>;
    let about = |recorded: &Recorded, incident: &str| {
        let incident: IncidentId = id(incident);
        let detail = &recorded.posting.detail;
        let holds = detail.hold.iter().chain(&detail.others);
        holds.map(|hold| &hold.incident).any(|of| *of == incident)
            || detail.shortfall.iter().any(|shortfall| shortfall.incident == incident)
    };
    let middle = journal[journal.len() / 2].posting.recorded_at;
    let table: Vec<(PostingFilter, Naive)> = vec![
        (any(), Box::new(|_| true)),
        (
            PostingFilter { kinds: vec![Kind::PlaceHold], ..any() },
            Box::new(|it| it.posting.kind == Kind::PlaceHold),
        ),
        (
            PostingFilter { kinds: vec![Kind::NoteShortfall, Kind::KeepPayment], ..any() },
            Box::new(|it| [Kind::NoteShortfall, Kind::KeepPayment].contains(&it.posting.kind)),
        ),
        (PostingFilter { kinds: vec![Kind::VoidWork], ..any() }, Box::new(|_| false)),
        (PostingFilter { incident: Some(id("i2")), ..any() }, Box::new(move |it| about(it, "i2"))),
        (PostingFilter { incident: Some(id("direct")), ..any() }, Box::new(move |it| about(it, "direct"))),
        (
            PostingFilter { storefront: Some(id("web")), ..any() },
            Box::new(|it| {
                let sold = it.posting.transfers().any(|moved| {
                    [moved.debit, moved.credit].iter().any(|account| account.to_string() == "sales:web")
                });
                sold || it.posting.kind == Kind::KeepPayment
            }),
        ),
        (PostingFilter { from: Some(middle), ..any() }, Box::new(move |it| it.posting.recorded_at >= middle)),
        (PostingFilter { until: Some(middle), ..any() }, Box::new(move |it| it.posting.recorded_at < middle)),
        (
            PostingFilter { incident: Some(id("i1")), kinds: vec![Kind::ReleaseHold], ..any() },
            Box::new(move |it| about(it, "i1") && it.posting.kind == Kind::ReleaseHold),
        ),
    ];
    let customers: Vec<CustomerId> = (0..CUSTOMERS).map(customer).chain([suspense()]).collect();
    let mut found_in_all = vec![0; table.len()];
    for customer in &customers {
        let key = CustomerKey::of(MAIN, customer);
        for (at, (filter, naive)) in table.iter().enumerate() {
            let wanted: Vec<&Recorded> =
                journal.iter().filter(|it| it.posting.customer == key && naive(it)).collect();
            let postings: Vec<String> = wanted.iter().map(|it| shown_posting(it)).collect();
            let transfers: Vec<String> = wanted
                .iter()
                .flat_map(|it| it.posting.transfers().map(|moved| format!("{moved:?}")))
                .collect();
            let mut filter = filter.clone();
            for newest_first in [false, true] {
                filter.newest_first = newest_first;
                let mut found = walk(
                    5,
                    async |page: &PageRequest| reader.postings(MAIN, customer, &filter, page).await,
                    shown_posting,
                )
                .await;
                if newest_first {
                    found.reverse();
                }
                assert_eq!(found, postings, "{filter:?}");
                found_in_all[at] += found.len();
            }
            filter.newest_first = false;
            let found = walk(
                5,
                async |page: &PageRequest| reader.transfers(MAIN, customer, &filter, page).await,
                |record: &TransferRecord| format!("{:?}", record.transfer),
            );
            assert_eq!(found.await, transfers, "{filter:?}");
        }
    }
    let nothing: Vec<usize> = (0..table.len()).filter(|at| found_in_all[*at] == 0).collect();
    assert_eq!(nothing, [3], "a filter finds nothing, so it shows nothing");
    let acme = customer(3);
    let filters: Vec<_> =
        table.iter().map(|(filter, _)| filter.clone()).filter(|it| it.until.is_none()).collect();
    token_is_bound!(
        async |filter: &PostingFilter, page: PageRequest| reader.postings(MAIN, &acme, filter, &page).await,
        filters.clone()
    );
}

async fn filters_of_holds_agree_with_a_look_at_all_of_them(mut rig: Rig) {
    fill(&mut rig).await;
    let reader = reader(&rig);
    let mut all = Vec::new();
    for settled in [false, true] {
        let filter = HoldFilter { settled, ..HoldFilter::default() };
        all.extend(rig.reader.holds(MAIN, &filter, None, 1_000).await.unwrap().items);
    }
    all.sort_by_key(|hold| std::cmp::Reverse(hold.id));
    all.dedup();
    type Naive = Box<dyn Fn(&Hold) -> bool>;
    let any = HoldQuery::default;
    let (early, late) = (opened(3), opened(1));
    let of = |filter: HoldFilter| HoldQuery::from(filter);
    let table: Vec<(HoldQuery, Naive)> = vec![
        (any(), Box::new(|hold| !hold.direct)),
        (
            HoldQuery { label: Some(id("vip")), ..any() },
            Box::new(|hold| !hold.direct && labelled(hold, "vip")),
        ),
        (HoldQuery { label: Some(id("none")), ..any() }, Box::new(|_| false)),
        (
            HoldQuery { opened_from: Some(early), ..any() },
            Box::new(move |hold| !hold.direct && hold.opened_at >= early),
        ),
        (
            HoldQuery { opened_until: Some(late), ..any() },
            Box::new(move |hold| !hold.direct && hold.opened_at < late),
        ),
        (
            HoldQuery {
                opened_from: Some(early),
                opened_until: Some(late),
                label: Some(id("urgent")),
                ..any()
            },
            Box::new(move |hold| {
                !hold.direct && (early..late).contains(&hold.opened_at) && labelled(hold, "urgent")
            }),
        ),
        (
            of(HoldFilter { class: Some(id("class1")), ..HoldFilter::default() }),
            Box::new(|hold| !hold.direct && hold.class == Some(id("class1"))),
        ),
        (
            HoldQuery {
                label: Some(id("urgent")),
                ..of(HoldFilter {
                    states: vec![HoldState::Active, HoldState::Released],
                    class: Some(id("class0")),
                    ..HoldFilter::default()
                })
            },
            Box::new(|hold| {
                matches!(hold.state, HoldState::Active | HoldState::Released)
                    && hold.class == Some(id("class0"))
                    && labelled(hold, "urgent")
            }),
        ),
        (
            HoldQuery {
                opened_until: Some(Timestamp::MAX),
                ..of(HoldFilter { settled: true, ..HoldFilter::default() })
            },
            Box::new(|hold| hold.settlement.is_some()),
        ),
    ];
    let one = customer(7);
    for (at, (query, naive)) in table.iter().enumerate() {
        for customer in [None, Some(&one)] {
            let found = walk(
                5,
                async |page: &PageRequest| reader.holds(MAIN, customer, query.clone(), page).await,
                |hold: &Arc<Hold>| hold.id.to_string(),
            )
            .await;
            let wanted =
                all.iter().filter(|hold| customer.is_none_or(|of| hold.customer == *of) && naive(hold));
            assert_eq!(found, wanted.map(|hold| hold.id.to_string()).collect::<Vec<_>>(), "{query:?}");
            assert!(customer.is_some() || at == 2 || !found.is_empty(), "{query:?} finds nothing");
        }
    }
    token_is_bound!(
        async |query: &HoldQuery, page: PageRequest| reader.holds(MAIN, None, query.clone(), &page).await,
        table.iter().map(|(query, _)| query.clone()).collect::<Vec<_>>()
    );
}

fn labelled(hold: &Hold, label: &str) -> bool {
    hold.circumstances.labels.contains(&id(label))
}
