//! Decides one command against the loaded book: a posting, or a rejection.
//!
//! The order of checks is the same for every command:
//! 1. a request id seen before is answered from its posting (same content), or refused (other content);
//! 2. the customer must exist (or must not, to be created);
//! 3. what has fallen due of the customer is applied, as postings of their own, whatever becomes of the command;
//! 4. the command's own rules, in its file; the first that fails is the rejection;
//! 5. a command that needed more credits than there are leaves a note of the missing amount, once.

mod credits;
mod customers;
mod draft;
mod due;
mod estimates;
mod payments;
mod pricing;
mod refunds;
mod settle;
mod work;

use std::sync::Arc;

use self::draft::Draft;
use super::book::{Answer, Book, Broken, Entry};
use super::command::{Command, HoldRef, Request};
use super::customer::Customer;
use super::hold::SharedHold;
use super::ids::{CustomerKey, IncidentId};
use super::posting::{Kind, Posting, Shortfall};
use super::reject::{Original, Rejection};

/// What became of a command.
pub type Outcome = Result<Answer, Rejection>;

/// Decides `request` and applies what follows from it to `book`.
///
/// # Errors
/// [`Broken`] where the state contradicts itself; nothing of the book may be stored then.
pub fn decide(book: &mut Book, request: &Request) -> Result<Outcome, Broken> {
    let key = request.customer_key();
    if let Some(outcome) = answered_before(book, request, key) {
        return Ok(outcome);
    }
    if let Command::CreateCustomer(command) = &request.command {
        return match customers::create(book, request, command) {
            Ok(posting) => post(book, posting).map(Ok),
            Err(rejection) => Ok(Err(rejection)),
        };
    }
    if book.customer(request.ledger, &request.customer).is_none() {
        return Ok(Err(Rejection::CustomerNotFound));
    }
    // A request for a top-up changes no answer. If it came before the command, a purchase would be told of one that it
    // answers itself; so the command's own posting makes it, or, of a quiet customer, a posting of its own.
    let is_quiet = request.command == Command::ApplyDue;
    let last_due = due::apply(book, key, is_quiet)?;
    let Some((entry, customer)) = loaded(book, key) else {
        return Ok(Err(Rejection::CustomerNotFound));
    };
    let Some(kind) = request.command.kind() else {
        return Ok(last_due.map(|posting| answer(book, posting, false)).ok_or(Rejection::NothingDue));
    };
    let at = Context { book, entry, customer, request, kind };
    match command(&at) {
        Ok(Accepted::Posting(posting)) => post(book, posting).map(Ok),
        Ok(Accepted::Earlier(posting)) => Ok(Ok(replay(book, posting))),
        Err(rejection) => {
            if let Some(note) = shortfall_note(&at, &rejection)? {
                book.post(&note)?;
            }
            Ok(Err(rejection))
        }
    }
}

/// What an accepted command comes to.
enum Accepted {
    /// A posting of its own.
    Posting(Arc<Posting>),
    /// The posting of an earlier command with the same meaning (the same order).
    Earlier(Arc<Posting>),
}

/// What a command is decided against.
#[derive(Clone, Copy)]
struct Context<'a> {
    book: &'a Book,
    entry: &'a Entry,
    customer: &'a Customer,
    request: &'a Request,
    kind: Kind,
}

fn loaded(book: &Book, key: CustomerKey) -> Option<(&Entry, &Customer)> {
    let entry = book.entry(key)?;
    Some((entry, entry.customer.as_deref()?))
}

fn command(at: &Context<'_>) -> Result<Accepted, Rejection> {
    match &at.request.command {
        // Decided before anything else; a customer that exists cannot be created.
        Command::CreateCustomer(_) => Err(Rejection::CustomerExists { original: None }),
        Command::UpdateCustomer(c) => customers::update(at, c),
        Command::SetCustomerTerms(c) => customers::set_terms(at, c),
        Command::CloseCustomer(_) => customers::close(at),
        Command::ReopenCustomer(_) => customers::reopen(at),
        Command::PurchaseCredits(c) => return credits::purchase(at, c),
        Command::GrantCredits(c) => credits::grant(at, c),
        Command::AdjustBalance(c) => credits::adjust(at, c),
        Command::RefundPurchase(c) => refunds::refund(at, c),
        Command::ReverseRefund(c) => refunds::reverse(at, c),
        Command::RecordChargeback(c) => refunds::charge_back(at, c),
        Command::ResolveChargeback(c) => refunds::resolve(at, c),
        Command::KeepPayment(c) => payments::keep(at, c),
        Command::ClosePayment(c) => payments::close(at, c),
        Command::EstimateIncident(c) => estimates::estimate(at, c),
        Command::ConfirmEstimate(c) => estimates::confirm(at, c),
        Command::DeclineEstimate(c) => estimates::decline(at, c),
        Command::PlaceHold(c) => estimates::place(at, c),
        Command::ExtendHold(c) => work::extend(at, c),
        Command::RecordWork(c) => work::record(at, c),
        Command::VoidWork(c) => work::void(at, c),
        Command::SettleHold(c) => settle::settle(at, c),
        Command::ReleaseHold(c) => settle::release(at, c),
        Command::CloseIncident(c) => settle::close(at, c),
        Command::ChargeIncident(c) => settle::charge(at, c),
        Command::ReverseSettlement(c) => settle::reverse(at, c),
        Command::SetBalanceAlerts(c) => customers::set_alerts(at, c),
        // Everything due was applied before; there is nothing else to it.
        Command::ApplyDue => Err(Rejection::NothingDue),
    }
    .map(Accepted::Posting)
}

/// The answer to a request id that was used before.
fn answered_before(book: &Book, request: &Request, key: CustomerKey) -> Option<Outcome> {
    let scope = (key, request.command.kind()?, request.request.clone()?);
    let posting = book.request(&scope)?;
    // Not the answer of another customer whose id has the same hash.
    book.customer(request.ledger, &request.customer)?;
    Some(if posting.fingerprint == request.fingerprint() {
        Ok(replay(book, Arc::clone(posting)))
    } else {
        Err(Rejection::RequestIdReused { original: Some(Original::of(posting)) })
    })
}

fn replay(book: &Book, posting: Arc<Posting>) -> Answer {
    answer(book, posting, true)
}

fn post(book: &mut Book, posting: Arc<Posting>) -> Result<Answer, Broken> {
    book.post(&posting)?;
    Ok(answer(book, posting, false))
}

/// The posting with the customer and the hold as they are now.
fn answer(book: &Book, posting: Arc<Posting>, replayed: bool) -> Answer {
    let entry = book.entry(posting.customer);
    let customer = entry.and_then(|entry| entry.customer.as_ref());
    let hold = posting.detail.hold.as_ref().map(|hold| {
        let now = entry.and_then(|entry| entry.hold(hold.id)).unwrap_or(hold);
        Arc::clone(now)
    });
    let purchase = posting.detail.refunded.as_ref().map(|lot| {
        let now = entry.and_then(|entry| entry.lot(lot.id)).unwrap_or(lot);
        Arc::clone(now)
    });
    Answer {
        replayed,
        purchase,
        balances: customer.map_or(posting.after, |customer| customer.balances),
        sequence: customer.map_or(posting.sequence, |customer| customer.sequence),
        hold,
        posting,
    }
}

/// The note that a rejected command leaves about credits that are missing for an incident, unless the same amount
/// was noted last.
fn shortfall_note(at: &Context<'_>, rejection: &Rejection) -> Result<Option<Arc<Posting>>, Broken> {
    let Rejection::InsufficientCredits { shortfall, .. } = rejection else { return Ok(None) };
    let Some(shortfall) = at.incident().and_then(|incident| at.new_shortfall(incident, *shortfall)) else {
        return Ok(None);
    };
    let mut draft = Draft::by_ledger(at.book, at.customer, Kind::NoteShortfall);
    draft.detail.shortfall = Some(shortfall);
    let note = draft.finish(at.entry);
    note.map(Some).map_err(|_| broken(at.book, at.customer, "a note that moves nothing was refused"))
}

/// A contradiction met before there is a posting.
fn broken(book: &Book, customer: &Customer, what: &'static str) -> Broken {
    Broken { posting: book.next_id(), sequence: customer.sequence, what }
}

impl<'a> Context<'a> {
    /// A draft of the posting that the command leaves.
    fn draft(&self) -> Draft<'a> {
        Draft::by_request(self.book, self.customer, self.request, self.kind)
    }

    /// The incident that the command is about.
    fn incident(&self) -> Option<&'a IncidentId> {
        let keys = self.request.command.keys();
        keys.incident.or_else(|| self.entry.hold(keys.hold?).map(|hold| &hold.incident))
    }

    /// The hold that a command names; by incident the open one, else the newest.
    fn hold(&self, hold: &HoldRef) -> Result<&'a SharedHold, Rejection> {
        let found = match hold {
            HoldRef::Id(id) => self.entry.hold(*id),
            HoldRef::Incident(incident) => self.open_hold(incident).or_else(|| {
                let newest =
                    |direct| self.entry.incident(incident).rev().find(move |hold| hold.direct == direct);
                newest(false).or_else(|| newest(true))
            }),
        };
        found.ok_or(Rejection::HoldNotFound)
    }

    /// The open hold of an incident: there is at most one.
    fn open_hold(&self, incident: &IncidentId) -> Option<&'a SharedHold> {
        self.entry.incident(incident).find(|hold| hold.state.is_open())
    }

    /// The announcement of `missing` credits, unless it is zero or was the last one made for the incident.
    fn new_shortfall(&self, incident: &IncidentId, missing: super::Credits) -> Option<Shortfall> {
        let known = self.customer.state.shortfall(incident) == Some(missing);
        (missing.is_positive() && !known).then(|| Shortfall { incident: incident.clone(), missing })
    }

    /// New work is refused from a closed customer.
    fn must_not_be_closed(&self) -> Result<(), Rejection> {
        if self.customer.state.closed { Err(Rejection::CustomerClosed) } else { Ok(()) }
    }

    /// A moment that only makes sense in the future.
    fn must_be_later(&self, field: &'static str, at: Option<super::Timestamp>) -> Result<(), Rejection> {
        match at {
            Some(at) if at <= self.book.now => {
                Err(Rejection::InvalidField { field, problem: "must be in the future".to_owned() })
            }
            Some(_) | None => Ok(()),
        }
    }
}
