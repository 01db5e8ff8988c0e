//! One page looks at a bounded number of rows, whatever the filter: it is empty where nothing was found by then, and says
//! where to go on.

use creditledger::ledger::commands::{Command, CreateCustomer, UpdateCustomer};
use creditledger::ledger::{CustomerId, Kind, Profile, Request};
use creditledger::query::{CustomerFilter, Keyed, Listed, PageRequest, PostingFilter, ReadError};

use super::MAIN;
use crate::desk::{grant, id, place};
use crate::lookups::reader;
use crate::rig::Rig;

/// More than one page looks at, and fewer than two.
const ROWS: u32 = 10_400;

/// The sizes of the pages of a list.
async fn sizes<T: Keyed>(page: impl AsyncFn(&PageRequest) -> Result<Listed<T>, ReadError>) -> Vec<usize> {
    let (mut sizes, mut token) = (Vec::new(), String::new());
    loop {
        let listed = page(&PageRequest { limit: 10, token }).await.unwrap();
        sizes.push(listed.items.len());
        (_, token) = listed.show(usize::MAX, |_| (), |()| 0);
        if token.is_empty() {
            return sizes;
        }
    }
}

#[tokio::test]
async fn a_page_of_customers_looks_at_so_many() {
    let mut rig = Rig::memory();
    let create = |nth: u32| {
        let name = if nth + 1 == ROWS { "rare" } else { "common" };
        let profile = Profile { name: id(name), ..Profile::default() };
        Command::CreateCustomer(CreateCustomer { profile, ..CreateCustomer::default() })
    };
    let requests: Vec<Request> = (0..ROWS)
        .map(|nth| Request { customer: id(&format!("c{nth:05}")), ..rig.request(create(nth)) })
        .collect();
    rig.batch(&requests).await;
    let reader = reader(&rig);
    for (name, wanted) in [("rare", [0, 1]), ("nobody", [0, 0])] {
        let filter = CustomerFilter { name_prefix: id(name), ..CustomerFilter::default() };
        let found = sizes(async |page: &PageRequest| reader.customers(MAIN, &filter, page).await).await;
        assert_eq!(found, wanted, "{name}");
    }
}

#[tokio::test]
async fn a_page_of_postings_looks_at_so_many() {
    let mut rig = Rig::memory();
    rig.new_customer("acme").await;
    rig.ok(grant("1")).await;
    let update = || Command::UpdateCustomer(UpdateCustomer::default());
    let mut requests: Vec<Request> = (0..ROWS).map(|_| rig.request(update())).collect();
    requests.push(rig.request(place("i", "1")));
    rig.batch(&requests).await;
    let (reader, acme): (_, CustomerId) = (reader(&rig), id("acme"));
    for (newest_first, wanted) in [(false, vec![0, 1]), (true, vec![1, 0])] {
        let kinds = vec![Kind::PlaceHold];
        let filter = PostingFilter { kinds, newest_first, ..PostingFilter::default() };
        let found = sizes(async |page: &PageRequest| reader.postings(MAIN, &acme, &filter, page).await);
        assert_eq!(found.await, wanted);
        let found = sizes(async |page: &PageRequest| reader.transfers(MAIN, &acme, &filter, page).await);
        assert_eq!(found.await, wanted);
    }
}
