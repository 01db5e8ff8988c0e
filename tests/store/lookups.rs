//! One of each: a ledger, a posting, a lot, and the server itself, read on each engine.

use creditledger::ledger::commands::{Command, CreateCustomer};
use creditledger::ledger::{CustomerId, Kind, LedgerNo, LotId, PostingId, RequestKey};
use creditledger::query::{At, PostingTarget, ReadError, Reader};

use crate::desk::{credits, grant, id, place, purchase, release, settle, work};
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    a_ledger_is_found_by_its_id
    the_server_says_what_it_is
    a_posting_is_found_by_its_id_and_by_its_request
    a_lot_is_found_with_what_is_left_of_it
}

pub fn reader(rig: &Rig) -> Reader {
    Reader::new(rig.reader.clone(), rig.notifier.clone(), rig.cards.clone())
}

async fn a_ledger_is_found_by_its_id(mut rig: Rig) {
    rig.new_ledger("other").await;
    let reader = reader(&rig);
    let all = rig.reader.ledgers().await.unwrap();
    assert_eq!(all.len(), 2);
    for ledger in all {
        assert_eq!(reader.ledger_record(&ledger.id).await.unwrap(), ledger);
    }
    let missing = reader.ledger_record(&id("Other")).await;
    assert!(matches!(missing, Err(ReadError::LedgerNotFound)));
}

async fn the_server_says_what_it_is(mut rig: Rig) {
    rig.new_ledger("other").await;
    let info = reader(&rig).server_info().await.unwrap();
    assert_eq!((info.version, info.ledgers), (env!("CARGO_PKG_VERSION"), 2));
    match info.engine {
        "memory" => assert_eq!(info.schema_version, 0),
        "sqlite" | "postgres" => {
            let folder = format!("{}/migrations/{}", env!("CARGO_MANIFEST_DIR"), info.engine);
            let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
            let numbers = names.map(|name| name.to_str().unwrap()[..4].parse::<u64>().unwrap());
            assert_eq!(Some(info.schema_version), numbers.max());
        }
        other => panic!("{other}"),
    }
}

async fn a_posting_is_found_by_its_id_and_by_its_request(mut rig: Rig) {
    rig.new_customer("zeta").await;
    rig.ok(grant("1")).await;
    rig.new_customer("acme").await;
    for nth in 0..20 {
        rig.ok(purchase(&format!("o{nth}"), "2")).await;
        rig.ok(place(&format!("i{nth}"), "1")).await;
        rig.ok(release(&format!("i{nth}"))).await;
    }
    let reader = reader(&rig);
    let main = LedgerNo::MAIN;
    let (acme, zeta): (CustomerId, CustomerId) = (id("acme"), id("zeta"));
    let own = rig.reader.postings_of(rig.key(), 1, 100).await.unwrap().items;
    assert_eq!(own.len(), 61);
    assert_eq!(reader.first_posting(main, &acme).await.unwrap().posting, own[0].posting);
    for recorded in &own {
        let posting = &recorded.posting;
        let by_id = PostingTarget::Id(acme.clone(), posting.id);
        // Its position may have been given meanwhile.
        assert_eq!(reader.posting(main, &by_id).await.unwrap().posting, *posting);
        let request = posting.request.clone().unwrap();
        let by_request = PostingTarget::Request(acme.clone(), posting.kind, request.clone());
        assert_eq!(reader.posting(main, &by_request).await.unwrap().posting, *posting);
        let other_kind = PostingTarget::Request(acme.clone(), Kind::CloseCustomer, request);
        for missing in [PostingTarget::Id(zeta.clone(), posting.id), other_kind] {
            let missing = reader.posting(main, &missing).await;
            assert!(matches!(missing, Err(ReadError::PostingNotFound)), "{missing:?}");
        }
    }
    for missing in [
        PostingTarget::Id(acme.clone(), PostingId::default()),
        PostingTarget::Request(acme, Kind::PlaceHold, RequestKey::parse("never sent").unwrap()),
    ] {
        assert!(matches!(reader.posting(main, &missing).await, Err(ReadError::PostingNotFound)));
    }
    let nobody = PostingTarget::Id(id("nobody"), own[0].posting.id);
    assert!(matches!(reader.posting(main, &nobody).await, Err(ReadError::CustomerNotFound)));
    assert!(matches!(reader.first_posting(main, &id("nobody")).await, Err(ReadError::CustomerNotFound)));
    // The same customer of another ledger has its own.
    rig.new_ledger("other").await;
    rig.ok(Command::CreateCustomer(CreateCustomer::default())).await;
    let elsewhere = PostingTarget::Id(id("acme"), own[0].posting.id);
    assert!(matches!(reader.posting(rig.ledger, &elsewhere).await, Err(ReadError::PostingNotFound)));
    let last = rig.reader.posting_at(rig.key(), At::Sequence(1)).await.unwrap().unwrap();
    assert_eq!(reader.first_posting(rig.ledger, &id("acme")).await.unwrap().posting, last.posting);
}

async fn a_lot_is_found_with_what_is_left_of_it(mut rig: Rig) {
    rig.new_customer("acme").await;
    let bought = rig.ok(purchase("o1", "10")).await.posting.detail.lot.clone().unwrap();
    let given = rig.ok(grant("3")).await.posting.detail.lot.clone().unwrap();
    rig.ok(place("i1", "4")).await;
    rig.ok(work("i1", 120)).await;
    rig.ok(settle("i1")).await;
    let reader = reader(&rig);
    for (lot, left) in [(bought, "9"), (given, "0")] {
        let found = reader.lot(LedgerNo::MAIN, lot.id).await.unwrap();
        assert_eq!((found.lot.customer.as_str(), &found.lot.lot), ("acme", &lot));
        assert_eq!(found.left, credits(left));
        let other = LedgerNo::new(7).unwrap();
        assert!(matches!(reader.lot(other, lot.id).await, Err(ReadError::LotNotFound)));
    }
    let missing = reader.lot(LedgerNo::MAIN, LotId::default()).await;
    assert!(matches!(missing, Err(ReadError::LotNotFound)));
}
