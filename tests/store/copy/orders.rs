//! Orders of storefronts change, so a copy that goes on compares what it copied before.

use super::*;

/// Steps until all is copied.
async fn copy_all(copier: &mut Copier<'_>) {
    while copier.step().await.unwrap() {}
}

/// What an earlier run copied may be gone from the source, or changed, its names given to another order.
pub async fn orders_that_changed_between_two_runs_are_copied_as_they_are(from: Place, to: Place) {
    fill(&from).await;
    let before = everything(&from.url).await;
    let source = open_to_read(&from.url).await.unwrap();
    let mut target = open_for_copy(&to.url).await.unwrap();
    copy_all(&mut Copier::begin(&*source, &mut target, START, 5).await.unwrap()).await;
    drop((source, target));

    let mut rig = Rig::open(&from.url).await;
    let mut tx = rig.orders.begin(START).await.unwrap();
    let mut changed = order(5, &["cs_5", "cs_20", "pi_20", "new"], OrderState::Settled);
    changed.revision = 2;
    tx.delete(order(20, &[], OrderState::Waiting).id).await.unwrap();
    tx.put(&[changed]).await.unwrap();
    tx.delete(order(23, &[], OrderState::Waiting).id).await.unwrap();
    let mut room = tx.room(LedgerNo::MAIN, &id("web")).await.unwrap();
    // Two orders that waited are gone, and one of them settled.
    (room.waiting, room.payload_bytes) = (room.waiting - 3, room.payload_bytes - 900);
    tx.put_payload(order(5, &[], OrderState::Waiting).id, None).await.unwrap();
    tx.put_room(LedgerNo::MAIN, &id("web"), room).await.unwrap();
    tx.commit().await.unwrap();
    fill_orders(&*rig.orders, 40..=41).await;
    crate::tokens::revoke_first(&*rig.tokens).await;
    crate::records::add_another(&*rig.records).await;
    rig.writer.close().await.unwrap();
    drop(rig);

    let copied = copy(&from, &to).await.unwrap();
    let expected = everything(&from.url).await;
    assert_ne!(expected.storefront_orders, before.storefront_orders);
    assert_ne!(expected.tokens, before.tokens);
    assert_eq!((copied.tokens, copied.audit_records), (4, 5));
    assert_eq!(everything(&to.url).await, expected);
    assert_eq!(copied.storefront_orders, 22);
    assert!(copied.to_string().contains(", 22 kept orders of storefronts"), "{copied}");
    verified(&to.url).await;
    // Its names find what they found there.
    let rig = Rig::open(&to.url).await;
    let mut tx = rig.orders.begin(START).await.unwrap();
    let names = ["pi_20", "pi_5", "cs_41"].map(|name| creditledger::ledger::Text::parse(name).unwrap());
    let found = tx.named(LedgerNo::MAIN, &id("web"), &names).await.unwrap();
    let ids: Vec<u128> = found.iter().map(|order| order.id.as_u128()).collect();
    assert_eq!(ids, [5, 41]);
    tx.commit().await.unwrap();
}

pub async fn an_order_that_is_not_as_in_the_source_is_named(from: Place, to: Place) {
    fill(&from).await;
    let source = open_to_read(&from.url).await.unwrap();
    let mut target = open_for_copy(&to.url).await.unwrap();
    let mut copier = Copier::begin(&*source, &mut target, START, 50).await.unwrap();
    copy_all(&mut copier).await;
    drop(target);
    // Orders are compared before tokens.
    for (damage, told) in [
        ("DELETE FROM access_token WHERE revoked_at IS NOT NULL", "not equal to its source: token "),
        ("UPDATE storefront_room SET due = due + 1", "not equal to its source: the room of storefront web; "),
        ("DELETE FROM storefront_order_name WHERE name = 'pi_7'", "of storefront web; "),
        ("DELETE FROM storefront_payload", "of storefront web; "),
    ] {
        if to.is_postgres() {
            let mut database = <sqlx::PgConnection as sqlx::Connection>::connect(&to.url).await.unwrap();
            assert!(sqlx::raw_sql(damage).execute(&mut database).await.unwrap().rows_affected() > 0);
        } else {
            let database = rusqlite::Connection::open(to.path()).unwrap();
            assert!(database.execute(damage, []).unwrap() > 0);
        }
        let mut target = open_for_copy(&to.url).await.unwrap();
        let copier = Copier::begin(&*source, &mut target, START, 50).await.unwrap();
        let error = copier.compare(|_| ()).await.unwrap_err().to_string();
        assert!(error.contains(told), "{damage}: {error}");
        drop(target);
    }
    // The same copy puts it right.
    copy(&from, &to).await.unwrap();
    assert_eq!(everything(&to.url).await, everything(&from.url).await);
}
