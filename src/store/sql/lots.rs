//! Lots by id and by order. Each engine has its own lists.

use std::sync::Arc;

use uuid::Uuid;

use super::database::{Dialect, Sql};
use super::row::{Param, Row};
use super::rows::body;
use crate::ledger::unused::Unused;
use crate::ledger::{Credits, LedgerNo, Lot, LotId, OrderId, PostingId, Storefront, Timestamp};
use crate::store::error::StoreError;
use crate::store::read_store::OwnedLot;
use crate::store::stored::customer_id_of;

/// The columns of a lot `l`: its body, and what left it unused. Sums are added to in place, so that expiring a lot does
/// not read its row.
macro_rules! lot_columns {
    () => {
        "l.body, l.expired, l.expired_minor, l.adjusted, l.adjusted_minor"
    };
}
pub(in crate::store) use lot_columns;

/// How many columns these are.
pub const LOT_COLUMNS: usize = 5;

/// Reads what left a lot unused, from the four columns that begin at `first`.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn unused(row: &dyn Row, first: usize) -> Result<Unused, StoreError> {
    let [expired, expired_minor, adjusted, adjusted_minor] = row.array(first)?;
    let (expired, adjusted) = (Credits::from_units(expired), Credits::from_units(adjusted));
    Ok(Unused { expired, expired_minor, adjusted, adjusted_minor })
}

/// Reads a lot from [`lot_columns`] that begin at `first`.
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn lot(row: &dyn Row, first: usize) -> Result<(Arc<Lot>, Unused), StoreError> {
    Ok((Arc::new(body(row, first, "a lot")?), unused(row, first.saturating_add(1))?))
}

/// Reads a lot from a row of its owner's id and [`lot_columns`].
///
/// # Errors
/// [`StoreError::Damaged`].
pub fn owned_lot(row: &dyn Row) -> Result<OwnedLot, StoreError> {
    let customer: String = row.get(0)?;
    let (lot, unused) = lot(row, 1)?;
    Ok(OwnedLot { customer: customer_id_of(&customer)?, lot, unused })
}

pub async fn by_id(sql: &mut impl Sql, ledger: LedgerNo, id: LotId) -> Result<Option<OwnedLot>, StoreError> {
    sql.first(
        concat!(
            "SELECT c.customer_id, ",
            lot_columns!(),
            " FROM lot l
              CROSS JOIN customer c
              WHERE l.lot_id = $1
                AND l.ledger_no = $2
                AND c.customer = l.customer"
        ),
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
