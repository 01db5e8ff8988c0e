//! Lots by id and by order. Each engine has its own lists.

use std::sync::Arc;

use uuid::Uuid;

use super::database::{Dialect, Sql};
use super::row::{Param, Row};
use super::rows::body;
use crate::ledger::{LedgerNo, LotId, OrderId, PostingId, Storefront, Timestamp};
use crate::store::error::StoreError;
use crate::store::read_store::OwnedLot;
use crate::store::stored::customer_id_of;

/// Reads a lot from a row of its owner's id and its body.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn owned_lot(row: &dyn Row) -> Result<OwnedLot, StoreError> {
    let customer: String = row.get(0)?;
    Ok(OwnedLot { customer: customer_id_of(&customer)?, lot: Arc::new(body(row, 1, "a lot")?) })
}

pub async fn by_id(sql: &mut impl Sql, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError> {
    sql.first(
        "SELECT c.customer_id, l.body
         FROM lot l
         CROSS JOIN customer c
         WHERE l.lot_id = $1
           AND l.ledger_no = $2
           AND c.customer = l.customer",
        &[id.into(), ledger.into()],
        owned_lot,
    )
    .await
}

/// The lot that an order added. It is found through the posting of the order.
pub async fn of_order<S: Sql>(
    sql: &mut S,
    ledger: LedgerNo,
    storefront: Storefront,
    order: OrderId,
) -> Result<Option<OwnedLot>, StoreError> {
    let params = [ledger.into(), storefront.as_str().into(), order.as_str().into()];
    sql.first(S::Dialect::LOT_OF_ORDER, &params, owned_lot).await
}

/// The lots that several orders added.
pub async fn of_orders<S: Sql>(
    sql: &mut S,
    ledger: LedgerNo,
    storefront: Storefront,
    orders: Vec<OrderId>,
) -> Result<Vec<OwnedLot>, StoreError> {
    let orders: Vec<&str> = orders.iter().map(OrderId::as_str).collect();
    let params = [ledger.into(), storefront.as_str().into(), Param::Ids(&orders)];
    sql.all(S::Dialect::LOTS_OF_ORDERS, &params, owned_lot).await
}

/// The first id of a list and the one after its last. Ids carry the time at which their holds or lots were made.
pub fn id_bounds(from: Option<Timestamp>, until: Option<Timestamp>, before: Option<Uuid>) -> (Uuid, Uuid) {
    let upper = [before, until.map(id_at)].into_iter().flatten().min();
    (from.map_or(Uuid::nil(), id_at), upper.unwrap_or(Uuid::max()))
}

/// The smallest id of a hold or lot that is made at this time.
fn id_at(time: Timestamp) -> Uuid {
    PostingId::new(time, 0, 0).uuid()
}
