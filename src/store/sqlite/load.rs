//! Loads what a batch names, with one short statement each. A customer, incident or hold is loaded once a batch;
//! customers of recent batches are remembered.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::params;

use super::columns::{POSTING_OF_REQUEST, keyed_posting_columns, with_words};
use super::connection::{Prepared, Statements};
use super::recent::{Loaded, Recent, Remembered};
use super::requests::NewRequests;
use super::work;
use crate::ledger::book::RequestScope;
use crate::ledger::{
    Book, Customer, CustomerKey, CustomerMap, CustomerSet, Hold, HoldId, IncidentId, LotId, OrderId, Profile,
    Request, Storefront, Timestamp,
};
use crate::store::error::{StoreError, damaged};
use crate::store::recorded::Recorded;
use crate::store::skew::Path;
use crate::store::sql::lots::{lot, lot_columns};
use crate::store::sql::row::Row;
use crate::store::sql::rows::{CUSTOMER_COLUMNS, customer, customer_columns, posting_columns, recorded};
use crate::store::stored::{burned_purchases, decoded, named_lot, voids_in, voids_of};

/// Fills the book with what the requests name. Runs in the batch's transaction.
pub(super) fn load(
    statements: Statements<'_>,
    recent: &mut Recent,
    new_requests: &NewRequests,
    requests: &[&Request],
    book: Book,
) -> Result<(Book, CustomerMap<Loaded>), StoreError> {
    let mut loader = Loader::new(statements, book, requests.len())?;
    for request in requests {
        loader.customer(request, recent)?;
        if !request.request.as_ref().is_some_and(|id| new_requests.is_new(id)) {
            loader.earlier_answer(request)?;
        }
        let keys = request.command.keys();
        if let Some(id) = keys.hold {
            loader.hold(request, id)?;
            if keys.whole_incident {
                loader.incident_of(request, id)?;
            }
        }
        if let Some(incident) = keys.incident {
            loader.incident(request, incident)?;
        }
        if let Some((storefront, order)) = keys.order {
            loader.order(request, storefront, order)?;
        }
        let named = keys.purchase.and_then(|purchase| named_lot(&loader.book, request.ledger, purchase));
        let burned = burned_purchases(&loader.book, request, &keys);
        for id in named.into_iter().chain(burned) {
            loader.lot(request, id)?;
        }
        if keys.profile {
            loader.profile(request)?;
        }
    }
    let voids = voids_of(&loader.book, requests);
    work::load(statements, &mut loader.book, &voids)?;
    Ok((loader.book, loader.loaded))
}

/// Fills the book with the customers and holds that postings of another database move. Runs in the copy's
/// transaction.
pub(super) fn load_journal(
    statements: Statements<'_>,
    postings: &[Recorded],
    book: Book,
) -> Result<(Book, CustomerMap<Loaded>), StoreError> {
    let mut loader = Loader::new(statements, book, postings.len())?;
    let mut seen_holds = HashSet::new();
    for Recorded { posting, .. } in postings {
        if loader.seen.customers.insert(posting.customer)
            && let Some(Remembered { customer, loaded }) = loader.stored_customer(posting.customer)?
        {
            loader.loaded.insert(posting.customer, loaded);
            loader.book.put_customer(customer);
        }
        for hold in posting.holds() {
            if seen_holds.insert(hold.id)
                && let Some(body) = loader.hold_body(hold.id)?
            {
                loader.book.put_hold(Arc::new(decoded(&body, "a hold")?));
            }
        }
    }
    let voids = voids_in(&loader.book, postings);
    work::load(statements, &mut loader.book, &voids)?;
    Ok((loader.book, loader.loaded))
}

/// What this batch has looked up already.
#[derive(Default)]
struct Seen {
    customers: CustomerSet,
    requests: HashSet<RequestScope>,
    incidents: HashSet<(CustomerKey, IncidentId)>,
    profiles: CustomerSet,
}

struct Loader<'a> {
    statements: Statements<'a>,
    /// The statements that nearly every command runs.
    customers: Prepared<'a>,
    requests: Prepared<'a>,
    incidents: Prepared<'a>,
    book: Book,
    loaded: CustomerMap<Loaded>,
    seen: Seen,
}

impl<'a> Loader<'a> {
    fn new(statements: Statements<'a>, mut book: Book, commands: usize) -> Result<Self, StoreError> {
        let customers = statements.prepare(concat!(
            "SELECT ",
            customer_columns!(),
            ", c.path, c.next_due FROM customer c WHERE c.customer = ?"
        ))?;
        let requests = statements.prepare(POSTING_OF_REQUEST)?;
        let incidents = statements.prepare(
            "SELECT body
             FROM hold
             WHERE incident_id = ?
               AND customer = ?",
        )?;
        let (mut loaded, mut seen) = (CustomerMap::default(), Seen::default());
        book.reserve(commands);
        loaded.reserve(commands);
        seen.customers.reserve(commands);
        seen.incidents.reserve(commands);
        Ok(Self { statements, customers, requests, incidents, book, loaded, seen })
    }

    fn customer(&mut self, request: &Request, recent: &mut Recent) -> Result<(), StoreError> {
        let key = request.customer_key();
        if !self.seen.customers.insert(key) {
            return Ok(());
        }
        let found = match recent.take(key) {
            Some(remembered) => Some(remembered),
            None => self.stored_customer(key)?,
        };
        let Some(Remembered { customer, loaded }) = found else { return Ok(()) };
        let due = customer.state.next_due.is_some_and(|due| due <= self.book.now);
        if due || customer.state.parked > 0 {
            self.watched(&customer)?;
        }
        self.loaded.insert(key, loaded);
        self.book.put_customer(customer);
        Ok(())
    }

    fn stored_customer(&mut self, key: CustomerKey) -> Result<Option<Remembered>, StoreError> {
        self.customers.first([key.raw()], |row| {
            let customer = customer(row)?;
            let path: Vec<u8> = row.get(CUSTOMER_COLUMNS)?;
            let path = Path::decode(&path, customer.sequence)
                .map_err(|error| damaged(format!("pointers of customer {}: {error}", customer.id)))?;
            let next_due = row.get::<Option<i64>>(CUSTOMER_COLUMNS + 1)?.map(Timestamp::from_micros);
            let loaded = Loaded { path, stored_sequence: customer.sequence, next_due };
            Ok(Remembered { customer: Arc::new(customer), loaded })
        })
    }

    /// Loads holds that the customer's next command may move without naming them: they are due, or wait for credits.
    fn watched(&mut self, customer: &Customer) -> Result<(), StoreError> {
        let bodies = self.statements.all(
            "SELECT body
             FROM hold
             WHERE customer = ?
               AND watched = 1",
            [customer.key().raw()],
            read_body,
        )?;
        for body in bodies {
            let hold: Hold = decoded(&body, "a watched hold")?;
            if hold.ledger == customer.ledger && hold.customer == customer.id {
                self.book.put_hold(Arc::new(hold));
            }
        }
        Ok(())
    }

    fn earlier_answer(&mut self, request: &Request) -> Result<(), StoreError> {
        let (Some(id), Some(kind)) = (&request.request, request.command.kind()) else { return Ok(()) };
        let key = request.customer_key();
        if !self.seen.requests.insert((key, kind, id.clone())) {
            return Ok(());
        }
        let found =
            self.requests.shared_first(&[key.into(), i64::from(kind.code()).into(), id.into()], recorded)?;
        let Some(Recorded { posting, .. }) = found else { return Ok(()) };
        // A repeat is answered with the hold in its present state.
        if let Some(hold) = &posting.detail.hold {
            self.hold(request, hold.id)?;
        }
        self.book.put_request(posting);
        Ok(())
    }

    fn hold(&mut self, request: &Request, id: HoldId) -> Result<(), StoreError> {
        let entry = self.book.entry(request.customer_key());
        if entry.is_some_and(|entry| entry.hold(id).is_some()) {
            return Ok(());
        }
        self.hold_body(id)?.map_or(Ok(()), |body| self.put_hold(request, &body))
    }

    fn hold_body(&mut self, id: HoldId) -> Result<Option<Vec<u8>>, StoreError> {
        self.statements.first(
            "SELECT body
             FROM hold
             WHERE hold_id = ?",
            [id.uuid().as_bytes()],
            read_body,
        )
    }

    fn incident_of(&mut self, request: &Request, id: HoldId) -> Result<(), StoreError> {
        let entry = self.book.entry(request.customer_key());
        let incident = entry.and_then(|entry| entry.hold(id)).map(|hold| hold.incident.clone());
        incident.map_or(Ok(()), |incident| self.incident(request, &incident))
    }

    fn incident(&mut self, request: &Request, incident: &IncidentId) -> Result<(), StoreError> {
        let key = request.customer_key();
        if !self.seen.incidents.insert((key, incident.clone())) {
            return Ok(());
        }
        let bodies = self.incidents.all(params![incident.as_str(), key.raw()], read_body)?;
        bodies.iter().try_for_each(|body| self.put_hold(request, body))
    }

    /// Puts a hold into the book if it belongs to the request's customer. A hold of another customer must look as if
    /// it did not exist.
    fn put_hold(&mut self, request: &Request, body: &[u8]) -> Result<(), StoreError> {
        let hold: Hold = decoded(body, "a hold")?;
        if hold.ledger == request.ledger && hold.customer == request.customer {
            self.book.put_hold(Arc::new(hold));
        }
        Ok(())
    }

    fn order(
        &mut self,
        request: &Request,
        storefront: &Storefront,
        order: &OrderId,
    ) -> Result<(), StoreError> {
        let found = self.statements.first(
            concat!(
                "SELECT ",
                keyed_posting_columns!(),
                " FROM purchase_order o CROSS JOIN posting p ON p.key = o.posting",
                with_words!(),
                "WHERE o.ledger_no = ? AND o.storefront = ? AND o.order_id = ?"
            ),
            params![request.ledger.get(), storefront.as_str(), order.as_str()],
            recorded,
        )?;
        if let Some(Recorded { posting, .. }) = found {
            let scope = (request.ledger, storefront.clone(), order.clone());
            self.book.put_order(scope, posting);
        }
        Ok(())
    }

    /// Loads a purchase if it belongs to the request's customer.
    fn lot(&mut self, request: &Request, id: LotId) -> Result<(), StoreError> {
        let key = request.customer_key();
        let found = self.statements.first(
            concat!("SELECT ", lot_columns!(), " FROM lot l WHERE l.lot_id = ? AND l.customer = ?"),
            params![id.uuid().as_bytes(), key.raw()],
            |row| lot(row, 0),
        )?;
        if let Some((lot, unused)) = found {
            self.book.put_lot(key, lot, unused);
        }
        Ok(())
    }

    fn profile(&mut self, request: &Request) -> Result<(), StoreError> {
        let key = request.customer_key();
        if !self.seen.profiles.insert(key) {
            return Ok(());
        }
        let body = self.statements.first(
            "SELECT profile
             FROM profile
             WHERE ledger_no = ?
               AND customer_id = ?",
            params![request.ledger.get(), request.customer.as_str()],
            read_body,
        )?;
        if let Some(body) = body {
            let profile: Profile = decoded(&body, "a profile")?;
            self.book.put_profile(key, profile);
        }
        Ok(())
    }
}

fn read_body(row: &dyn Row) -> Result<Vec<u8>, StoreError> {
    row.get(0)
}
