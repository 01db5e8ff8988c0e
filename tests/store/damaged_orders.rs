//! A kept order of which a column cannot be read: it takes none of the others with it, neither where they are due nor where
//! they wait.

use creditledger::ledger::LedgerNo;
use creditledger::store::{KeptOrder, OrderState, Readable};
use uuid::Uuid;

use crate::desk::START;
use crate::orders::{key, order, put};
use crate::rig::{Rig, on_each_engine};

/// What each row of a list is: its id, and whether it could be read.
fn shown(rows: &[Readable<KeptOrder>]) -> Vec<(Uuid, bool)> {
    rows.iter().map(|row| row.as_ref().map_or_else(|it| (it.id, false), |order| (order.id, true))).collect()
}

async fn a_damaged_column_takes_its_own_row_alone(rig: Rig) {
    let orders = &*rig.orders;
    for (first, state) in [(1, OrderState::Due), (11, OrderState::Waiting)] {
        let new = (first..first + 4).map(|number| order(number, &[&format!("n-{number}")], state));
        put(orders, &new.collect::<Vec<_>>()).await;
    }
    let lists = async || {
        let mut tx = orders.read(START).await.unwrap();
        let due = tx.due(START, 10).await.unwrap();
        let waiting = tx.waiting(LedgerNo::MAIN, None, None, 10).await.unwrap();
        let behind = tx.waiting(LedgerNo::MAIN, None, Some(key(12)), 1).await.unwrap();
        tx.commit().await.unwrap();
        (due, waiting, behind)
    };
    let whole = |ids: [u128; 4]| ids.map(|id| (key(id), true)).to_vec();
    let (due, waiting, _) = lists().await;
    assert_eq!((shown(&due), shown(&waiting)), (whole([1, 2, 3, 4]), whole([11, 12, 13, 14])));
    // A storefront of which no id is made, and a name with a control character.
    let damage = "
        UPDATE storefront_order SET storefront = 'no shop' WHERE revision = 1 AND order_id IN (
            SELECT order_id FROM storefront_order_name WHERE name IN ('n-2', 'n-13'))";
    if !rig.execute(damage).await {
        return;
    }
    rig.execute("UPDATE storefront_order_name SET name = 'n-3\u{7}' WHERE name = 'n-3'").await;
    let (due, waiting, behind) = lists().await;
    let mut expected = whole([1, 2, 3, 4]);
    (expected[1].1, expected[2].1) = (false, false);
    assert_eq!(shown(&due), expected);
    let mut expected = whole([11, 12, 13, 14]);
    expected[2].1 = false;
    assert_eq!(shown(&waiting), expected);
    assert_eq!(shown(&behind), [(key(13), false)]);
    let problem = due[1].as_ref().unwrap_err().to_string();
    assert!(problem.contains(&key(2).to_string()) && problem.contains("its storefront"), "{problem}");
    let problem = due[2].as_ref().unwrap_err().to_string();
    assert!(problem.contains(&key(3).to_string()) && problem.contains("its name"), "{problem}");
}

on_each_engine!(a_damaged_column_takes_its_own_row_alone);
