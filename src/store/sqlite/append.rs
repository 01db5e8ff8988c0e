//! Appends a decided batch: first the journal in its order, then every touched row once, in key order.

use rusqlite::params;
use rusqlite::types::{ToSqlOutput, ValueRef};

use super::connection::{Prepared, Statements};
use super::driver::request_ref;
use super::journal::{Checked, numbers_of};
use super::keys::key_of;
use super::recent::Loaded;
use super::tail::{SystemBalances, Tail};
use super::work;
use crate::ledger::codec::{encode, encode_into};
use crate::ledger::unused::Unused;
use crate::ledger::{
    Book, ClassId, Customer, CustomerId, CustomerMap, Hold, LedgerNo, Lot, LotId, OrderId, Posting, Profile,
    RequestKey, Storefront, Timestamp,
};
use crate::store::error::{StoreError, damaged};
use crate::store::nets::{full, nets};
use crate::store::skew::Pointers;
use crate::store::stored::{WordsColumns, stored_count};

/// Writes the book's batch inside its transaction, and updates `loaded`. Returns only the ends of ledgers that the
/// batch moved: a database may have very many ledgers, and a batch is about few of them.
///
/// # Errors
/// [`StoreError`]; the caller rolls back.
pub(super) fn append(
    statements: Statements<'_>,
    book: &Book,
    tail: &Tail,
    loaded: &mut CustomerMap<Loaded>,
) -> Result<Tail, StoreError> {
    let mut appender = Appender::new(statements)?;
    let mut moved = Tail::default();
    for posting in book.journal() {
        let last = tail.positions.get(&posting.ledger).ok_or_else(|| unknown_ledger(posting.ledger))?;
        let position = moved.positions.entry(posting.ledger).or_insert(*last);
        *position = position.saturating_add(1);
        let key = key_of(posting.ledger, *position)?;
        let path = &mut loaded.entry(posting.customer).or_default().path;
        let pointers = path.push(key);
        if path.sequence() != posting.sequence {
            return Err(damaged(format!("posting {} does not follow its customer's last one", posting.id)));
        }
        appender.insert_posting(posting, key, pointers)?;
        if let Some(lot) = &posting.detail.lot {
            insert_lot(statements, posting, lot, key)?;
        }
        write_profile(statements, book, posting)?;
    }
    for customer in book.touched_customers() {
        let loaded = loaded
            .get_mut(&customer.key())
            .ok_or_else(|| damaged(format!("customer {} was not loaded", customer.id)))?;
        if loaded.stored_sequence == 0 {
            insert_customer(statements, customer, loaded)?;
        } else {
            appender.update_customer(statements, customer, loaded)?;
        }
        loaded.stored_sequence = customer.sequence;
        loaded.next_due = customer.state.next_due;
    }
    for hold in book.touched_holds() {
        appender.write_hold(hold)?;
    }
    for (_, lot) in book.touched_lots() {
        update_lot(statements, lot)?;
    }
    for (_, lot, unused) in book.newly_unused() {
        add_unused(statements, lot, unused)?;
    }
    work::append(statements, book)?;
    moved.system = write_nets(statements, book, tail)?;
    Ok(moved)
}

/// Writes the rows that nearly every command has.
struct Appender<'a> {
    postings: Prepared<'a>,
    words: Prepared<'a>,
    customers: Prepared<'a>,
    holds: Prepared<'a>,
    /// A buffer that is reused for values stored in compact form.
    encoded: Vec<u8>,
    encoded_words: Vec<u8>,
    encoded_path: Vec<u8>,
}

fn unknown_ledger(ledger: LedgerNo) -> StoreError {
    damaged(format!("a posting for ledger number {}, which does not exist", ledger.get()))
}

impl<'a> Appender<'a> {
    fn new(statements: Statements<'a>) -> Result<Self, StoreError> {
        let postings = statements.prepare(
            "INSERT INTO posting (
                 key, customer, sequence, kind, posting_id, recorded_at, request, fingerprint,
                 credits_1, credits_2, credits_3, credits_4, expired, repaid, activated,
                 available, held, owed, storefront, previous, jump, detail, checksum
             )
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        let words = statements.prepare(
            "INSERT INTO posting_words (key, words, erased_at, checksum)
             VALUES (?, ?, ?, ?)",
        )?;
        // The sequence guards the update: a row that another program changed since the load is not overwritten.
        let customers = statements.prepare(
            "UPDATE customer
             SET sequence = ?, available = ?, held = ?, owed = ?, path = ?, state = ?
             WHERE customer = ?
               AND sequence = ?",
        )?;
        // Columns that never change are not named after DO UPDATE, so that the index by incident is left alone.
        let holds = statements.prepare(
            "INSERT INTO hold (
                 hold_id, ledger_no, customer, incident_id, previous, state, direct, class, settled, estimated,
                 charged, created_at, watched, body
             )
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             ON CONFLICT (hold_id) DO UPDATE
             SET state = excluded.state, class = excluded.class, settled = excluded.settled,
                 estimated = excluded.estimated, charged = excluded.charged, watched = excluded.watched,
                 body = excluded.body",
        )?;
        let (encoded, encoded_words, encoded_path) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { postings, words, customers, holds, encoded, encoded_words, encoded_path })
    }

    fn insert_posting(&mut self, posting: &Posting, key: i64, pointers: Pointers) -> Result<(), StoreError> {
        let id = posting.id.uuid();
        posting.put_detail(&mut self.encoded, &mut self.encoded_words);
        let request = posting.request.as_ref();
        let checked = Checked {
            numbers: numbers_of(posting, key)?,
            pointers,
            id: id.as_bytes(),
            request: match request {
                Some(RequestKey::Uuid(id)) => (b"b", id.as_bytes()),
                Some(RequestKey::Text(text)) => (b"t", text.as_bytes()),
                None => (b"", b""),
            },
            storefront: posting.storefront.as_ref().map(Storefront::as_str),
            detail: &self.encoded,
        };
        let [
            key,
            customer,
            sequence,
            kind,
            recorded_at,
            fingerprint,
            first,
            second,
            third,
            fourth,
            expired,
            repaid,
            activated,
            available,
            held,
            owed,
        ] = checked.numbers;
        self.postings.run(params![
            key,
            customer,
            sequence,
            kind,
            checked.id,
            recorded_at,
            ToSqlOutput::Borrowed(request.map_or(ValueRef::Null, request_ref)),
            fingerprint,
            first,
            second,
            third,
            fourth,
            expired,
            repaid,
            activated,
            available,
            held,
            owed,
            checked.storefront,
            pointers.previous,
            pointers.jump,
            checked.detail,
            checked.checksum(),
        ])?;
        self.insert_words(posting, key)
    }

    /// Postings without texts need no row.
    fn insert_words(&mut self, posting: &Posting, key: i64) -> Result<(), StoreError> {
        if self.encoded_words.is_empty() {
            return Ok(());
        }
        let WordsColumns { words, erased_at, checksum } = WordsColumns::of(posting, &self.encoded_words);
        self.words.run(params![key, words, erased_at, checksum])?;
        Ok(())
    }

    fn update_customer(
        &mut self,
        statements: Statements<'_>,
        customer: &Customer,
        loaded: &Loaded,
    ) -> Result<(), StoreError> {
        encode_into(&customer.state, &mut self.encoded);
        loaded.path.encode_into(&mut self.encoded_path);
        let changed = self.customers.run(params![
            stored_count(customer.sequence)?,
            customer.balances.available.units(),
            customer.balances.held.units(),
            customer.balances.owed.units(),
            self.encoded_path,
            self.encoded,
            customer.key().raw(),
            stored_count(loaded.stored_sequence)?,
        ])?;
        one_row(changed, "row", &customer.id)?;
        // A separate statement: naming an indexed column rewrites its index entry even where the value stays the
        // same.
        if customer.state.next_due != loaded.next_due {
            statements.run(
                "UPDATE customer
                 SET next_due = ?
                 WHERE customer = ?",
                params![customer.state.next_due.map(Timestamp::micros), customer.key().raw()],
            )?;
        }
        Ok(())
    }

    fn write_hold(&mut self, hold: &Hold) -> Result<(), StoreError> {
        encode_into(hold, &mut self.encoded);
        self.holds.run(params![
            hold.id.uuid().as_bytes(),
            hold.ledger.get(),
            hold.customer_key().raw(),
            hold.incident.as_str(),
            hold.previous.map(|previous| previous.uuid().into_bytes()),
            hold.state.code(),
            hold.direct,
            hold.class.as_ref().map(ClassId::as_str),
            hold.settlement.is_some(),
            hold.estimate.units(),
            hold.settlement.as_ref().map(|settlement| settlement.charge.units()),
            hold.created_at.micros(),
            hold.is_watched(),
            self.encoded,
        ])?;
        Ok(())
    }
}

fn insert_lot(statements: Statements<'_>, posting: &Posting, lot: &Lot, key: i64) -> Result<(), StoreError> {
    statements.run(
        "INSERT INTO lot (
             lot_id, ledger_no, customer, source, storefront, order_id, credits, repaid,
             price_minor, currency, expires_at, created_at, body
         )
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            lot.id.uuid().as_bytes(),
            posting.ledger.get(),
            posting.customer.raw(),
            lot.source.code(),
            lot.storefront.as_ref().map(Storefront::as_str),
            lot.order.as_ref().map(OrderId::as_str),
            lot.credits.units(),
            lot.repaid.units(),
            lot.price.map(|price| price.minor_units),
            lot.price.as_ref().map(|price| price.currency.as_str()),
            lot.expires_at.map(Timestamp::micros),
            lot.created_at.micros(),
            encode(lot),
        ],
    )?;
    if let (Some(storefront), Some(order)) = (&lot.storefront, &lot.order) {
        statements.run(
            "INSERT INTO purchase_order (ledger_no, storefront, order_id, posting)
             VALUES (?, ?, ?, ?)",
            params![posting.ledger.get(), storefront.as_str(), order.as_str(), key],
        )?;
    }
    Ok(())
}

/// Adds to what left a lot unused. Its body stays: the lot was not loaded.
fn add_unused(statements: Statements<'_>, lot: LotId, unused: &Unused) -> Result<(), StoreError> {
    let Unused { expired, expired_minor, adjusted, adjusted_minor } = unused;
    let (expired, adjusted) = (expired.units(), adjusted.units());
    let changed = statements.run(
        "UPDATE lot
         SET expired = expired + ?,
             expired_minor = expired_minor + ?,
             adjusted = adjusted + ?,
             adjusted_minor = adjusted_minor + ?
         WHERE lot_id = ?",
        params![expired, expired_minor, adjusted, adjusted_minor, lot.uuid().as_bytes()],
    )?;
    if changed == 1 { Ok(()) } else { Err(damaged(format!("the row of lot {lot} is not there"))) }
}

/// What was refunded of a purchase is in the body. What left it unused is in columns of its own.
fn update_lot(statements: Statements<'_>, lot: &Lot) -> Result<(), StoreError> {
    let changed = statements.run(
        "UPDATE lot
         SET body = ?
         WHERE lot_id = ?",
        params![encode(lot), lot.id.uuid().as_bytes()],
    )?;
    if changed == 1 { Ok(()) } else { Err(damaged(format!("the row of lot {} is not there", lot.id))) }
}

/// Every customer has a profile from its creation on, because the list of customers walks this table.
fn write_profile(statements: Statements<'_>, book: &Book, posting: &Posting) -> Result<(), StoreError> {
    if let Some(id) = &posting.detail.created {
        let none = Profile::default();
        return insert_profile(statements, posting, id, posting.detail.profile.as_deref().unwrap_or(&none));
    }
    let Some(profile) = &posting.detail.profile else { return Ok(()) };
    let customer = book.entry(posting.customer).and_then(|entry| entry.customer.as_ref());
    let id = &customer.ok_or_else(|| damaged("a profile without its customer"))?.id;
    let changed = statements.run(
        "UPDATE profile
         SET profile = ?
         WHERE ledger_no = ?
           AND customer_id = ?",
        params![encode(profile.as_ref()), posting.ledger.get(), id.as_str()],
    )?;
    one_row(changed, "profile", id)
}

fn insert_profile(
    statements: Statements<'_>,
    posting: &Posting,
    id: &CustomerId,
    profile: &Profile,
) -> Result<(), StoreError> {
    statements.run(
        "INSERT INTO profile (ledger_no, customer_id, customer, profile)
         VALUES (?, ?, ?, ?)",
        params![posting.ledger.get(), id.as_str(), posting.customer.raw(), encode(profile)],
    )?;
    Ok(())
}

fn insert_customer(
    statements: Statements<'_>,
    customer: &Customer,
    loaded: &Loaded,
) -> Result<(), StoreError> {
    statements.run(
        "INSERT INTO customer (
             customer, ledger_no, customer_id, sequence, available, held, owed, next_due, path, state
         )
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        params![
            customer.key().raw(),
            customer.ledger.get(),
            customer.id.as_str(),
            stored_count(customer.sequence)?,
            customer.balances.available.units(),
            customer.balances.held.units(),
            customer.balances.owed.units(),
            customer.state.next_due.map(Timestamp::micros),
            loaded.path.encode(),
            encode(&customer.state),
        ],
    )?;
    Ok(())
}

fn write_nets(statements: Statements<'_>, book: &Book, tail: &Tail) -> Result<SystemBalances, StoreError> {
    let mut balances = SystemBalances::new();
    for ((ledger, account), net) in nets(book)? {
        let scope = (ledger, account.to_string());
        let before = tail.system.get(&scope).copied().unwrap_or(0);
        let balance = before.checked_add(net).ok_or_else(|| full(&account))?;
        statements.run(
            "INSERT INTO system_account (ledger_no, account, balance)
             VALUES (?, ?, ?)
             ON CONFLICT (ledger_no, account) DO UPDATE
             SET balance = excluded.balance",
            params![ledger.get(), scope.1, balance],
        )?;
        balances.insert(scope, balance);
    }
    Ok(balances)
}

fn one_row(changed: usize, what: &str, id: &CustomerId) -> Result<(), StoreError> {
    if changed == 1 {
        Ok(())
    } else {
        Err(damaged(format!("the {what} of customer {id} is not as it was loaded")))
    }
}
