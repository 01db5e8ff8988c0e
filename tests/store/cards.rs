//! Rate cards in the database: versioned, repeatable, apart by ledger, known to every server at its next batch, and never
//! changed.

use std::sync::Arc;

use creditledger::ledger::card::{CardChange, CardEdit, RateCard};
use creditledger::ledger::commands::{Change, Command, SetCustomerTerms};
use creditledger::ledger::{LedgerNo, Rejection};
use creditledger::store::CardsChanged;
use sqlx::Connection as _;

use crate::desk::{charge, credits, id, place, preset, settle, work};
use crate::rig::{Rig, on_each_engine};

on_each_engine! {
    a_card_is_added_once_and_prices_what_comes_after_it
    cards_and_defaults_are_apart_by_ledger
    what_is_open_keeps_its_version_over_a_restart
    everything_that_changed_is_read_back
}

/// A card of the ledger's own at so many credits an hour.
fn hourly(name: &str, rate: &str) -> CardEdit {
    CardEdit::Card(Arc::new(RateCard::plain(id(name), credits(rate))))
}

#[track_caller]
fn made(changed: CardsChanged) -> (CardChange, bool) {
    match changed {
        CardsChanged::Made { change, replayed } => (change, replayed),
        other => panic!("{other:?}"),
    }
}

fn version(change: &CardChange) -> u32 {
    match &change.changed {
        CardEdit::Card(card) => card.card.version,
        CardEdit::Default(_) => 0,
    }
}

async fn a_card_is_added_once_and_prices_what_comes_after_it(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(crate::desk::purchase("o1", "100")).await;
    let (first, replayed) = made(rig.change_cards("r1", hourly("mine", "6")).await);
    assert_eq!((first.revision, version(&first), replayed), (1, 1, false));
    // The same request again, also after others; another content under its id; its id for a default.
    let (second, _) = made(rig.change_cards("r2", hourly("mine", "9")).await);
    assert_eq!(version(&second), 2);
    assert_eq!(made(rig.change_cards("r1", hourly("mine", "6")).await), (first, true));
    let reused = CardsChanged::Rejected(Rejection::RequestIdReused { original: None });
    assert_eq!(rig.change_cards("r1", hourly("mine", "7")).await, reused);
    let missing = CardsChanged::Rejected(Rejection::RateCardNotFound(id("nobodys")));
    assert_eq!(rig.change_cards("r3", CardEdit::Default(id("nobodys"))).await, missing);
    // Nothing is charged by it until it is somebody's card; a refused request does not use up its id.
    assert_eq!(rig.ok(charge("a", 60)).await.balances.available, credits("98"));
    made(rig.change_cards("r3", CardEdit::Default(id("mine"))).await);
    assert_eq!(rig.ok(charge("b", 60)).await.balances.available, credits("89"));
    made(rig.change_cards("r1", CardEdit::Default(id("half-hour"))).await);
    assert_eq!(rig.ok(charge("c", 31)).await.balances.available, credits("87"));
    // A version of a preset goes on after it.
    let mut dearer = preset("prepaid");
    dearer.credits_per_hour = credits("20");
    assert_eq!(version(&made(rig.change_cards("r4", CardEdit::Card(Arc::new(dearer))).await).0), 2);
    let own = Command::SetCustomerTerms(SetCustomerTerms {
        rate_card: Change::Set(id("prepaid")),
        ..SetCustomerTerms::default()
    });
    rig.ok(own).await;
    assert_eq!(rig.ok(charge("d", 60)).await.balances.available, credits("67"));
}

async fn cards_and_defaults_are_apart_by_ledger(mut rig: Rig) {
    made(rig.change_cards("r1", hourly("mine", "6")).await);
    made(rig.change_cards("r2", CardEdit::Default(id("mine"))).await);
    rig.new_ledger("other").await;
    rig.new_customer("acme").await;
    rig.ok(crate::desk::purchase("o1", "100")).await;
    // Neither the card nor the default nor the request ids of main are this ledger's.
    assert_eq!(rig.ok(charge("a", 60)).await.balances.available, credits("98"));
    let own = SetCustomerTerms { rate_card: Change::Set(id("mine")), ..SetCustomerTerms::default() };
    let refused = rig.rejected(Command::SetCustomerTerms(own)).await;
    assert_eq!(refused, Rejection::RateCardNotFound(id("mine")));
    let (change, replayed) = made(rig.change_cards("r1", hourly("mine", "3")).await);
    assert_eq!((version(&change), replayed), (1, false));
    assert_eq!(rig.cards.newest(rig.ledger, &id("mine")).unwrap().credits_per_hour, credits("3"));
    assert_eq!(rig.cards.newest(LedgerNo::MAIN, &id("mine")).unwrap().credits_per_hour, credits("6"));
}

async fn what_is_open_keeps_its_version_over_a_restart(mut rig: Rig) {
    rig.new_customer("acme").await;
    rig.ok(crate::desk::purchase("o1", "100")).await;
    made(rig.change_cards("r1", hourly("mine", "6")).await);
    made(rig.change_cards("r2", CardEdit::Default(id("mine"))).await);
    rig.ok(place("open", "6")).await;
    rig.ok(work("open", 60)).await;
    made(rig.change_cards("r3", hourly("mine", "50")).await);
    made(rig.change_cards("r4", CardEdit::Default(id("half-hour"))).await);
    let mut rig = rig.reopen().await;
    let settled = rig.ok(settle("open")).await.hold.unwrap();
    let settlement = settled.settlement.as_ref().unwrap();
    assert_eq!((settlement.charge, settled.card.version), (credits("6"), 1));
    assert_eq!(rig.ok(charge("new", 31)).await.balances.available, credits("92"));
    let report = creditledger::audit::verify(&*rig.audit, |_| ()).await.unwrap();
    assert_eq!((report.faults, report.counts.card_changes), (Vec::<String>::new(), 4));
}

async fn everything_that_changed_is_read_back(mut rig: Rig) {
    let mut full = preset("prepaid");
    full.card.id = id("full");
    full.packages.insert(id("gold"), credits("1.5"));
    full.lines.insert(id("first"), creditledger::ledger::card::LineRule::Free);
    full.multipliers.insert(id("on-site"), creditledger::ledger::card::Factor::parse("2").unwrap());
    let (first, _) = made(rig.change_cards("r1", CardEdit::Card(Arc::new(full))).await);
    let uuid = "0190a2b4-c0de-7000-8000-000000000001";
    let (second, _) = made(rig.change_cards(uuid, CardEdit::Default(id("full"))).await);
    assert_eq!(rig.reader.card_changes(0).await.unwrap(), [first.clone(), second.clone()]);
    assert_eq!(rig.reader.card_changes(1).await.unwrap(), std::slice::from_ref(&second));
    assert_eq!(rig.reader.card_changes(2).await.unwrap(), []);
    assert_eq!(rig.audit.stored_card_changes().await.unwrap(), [first, second]);
}

/// Two servers: what one adds the other decides by in its very next batch, without being told.
#[tokio::test]
async fn another_server_knows_a_new_card_at_its_next_batch() {
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    let (mut one, mut other) = (Rig::open(&url).await, Rig::open(&url).await);
    one.new_customer("acme").await;
    one.ok(crate::desk::purchase("o1", "100")).await;
    other.customer = id("acme");
    other.now = one.now;
    assert_eq!(other.ok(charge("a", 60)).await.balances.available, credits("98"));
    for (round, rate) in [(1, "6"), (2, "7"), (3, "8")] {
        let name = format!("card {round}");
        made(one.change_cards(&name, hourly("mine", rate)).await);
        made(one.change_cards(&name, CardEdit::Default(id("mine"))).await);
        let before = one.reader.customer(one.key()).await.unwrap().unwrap().balances.available;
        other.now = one.now.plus_seconds(1);
        let answer = other.ok(charge(&format!("b{round}"), 60)).await;
        assert_eq!(before.checked_sub(answer.balances.available), Some(credits(rate)));
        assert_eq!(answer.hold.unwrap().card.version, round);
        one.now = other.now;
    }
    // Both add at the same time: one after the other, without a gap.
    let races: Vec<_> = (0..6).map(|n| (n, hourly("raced", "1"))).collect();
    for pair in races.chunks(2) {
        let [(n, first), (m, second)] = pair else { unreachable!() };
        let (n, m) = (format!("race {n}"), format!("race {m}"));
        let (a, b) = tokio::join!(insistently(&mut one, &n, first), insistently(&mut other, &m, second));
        assert_ne!(version(&a), version(&b));
    }
    let report = creditledger::audit::verify(&*one.audit, |_| ()).await.unwrap();
    assert_eq!((report.faults, report.counts.card_changes), (Vec::<String>::new(), 12));
}

/// As the writer does: where another server was faster, again.
async fn insistently(rig: &mut Rig, request: &str, change: &CardEdit) -> CardChange {
    use creditledger::ledger::RequestKey;
    use creditledger::ledger::card::CardRequest;
    use creditledger::store::StoreError;
    let request = CardRequest {
        ledger: rig.ledger,
        request: RequestKey::parse(request).unwrap(),
        change: change.clone(),
        by: id("op"),
    };
    loop {
        match rig.writer.change_cards(&request, rig.now, &mut rig.cards).await {
            Ok(changed) => return made(changed).0,
            Err(StoreError::Again(_) | StoreError::Clash(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The databases refuse to change or delete a card, whoever asks.
#[tokio::test]
async fn no_row_of_a_card_can_be_changed_or_deleted() {
    let mut rig = Rig::sqlite().await;
    made(rig.change_cards("r1", hourly("mine", "6")).await);
    let connection = rusqlite::Connection::open(rig.path()).unwrap();
    for sql in ["UPDATE rate_card_change SET made_by = 'x'", "DELETE FROM rate_card_change"] {
        let refused = connection.execute(sql, []).unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
    if !crate::postgres::available() {
        return;
    }
    let url = crate::postgres::database().await;
    let mut rig = Rig::open(&url).await;
    made(rig.change_cards("r1", hourly("mine", "6")).await);
    let mut connection = sqlx::PgConnection::connect(&url).await.unwrap();
    for sql in ["UPDATE rate_card_change SET made_by = 'x'", "DELETE FROM rate_card_change"] {
        let refused = sqlx::raw_sql(sql).execute(&mut connection).await.unwrap_err().to_string();
        assert!(refused.contains("append-only"), "{refused}");
    }
}
