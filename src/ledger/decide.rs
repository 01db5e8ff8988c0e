//! Decides one command against the loaded book: a posting, or a rejection.
//!
//! The order of checks is the same for every command:
//! 1. a request id seen before is answered from its posting (same content), or refused (other content);
//! 2. the customer must exist (or must not, to be created);
//! 3. what has fallen due of the customer is applied, as postings of their own, whatever becomes of the command;
//! 4. the command's own rules, in its file; the first that fails is the rejection;
//! 5. a command that needed more credits than there are leaves a note of the missing amount, once.

use std::sync::Arc;

use super::book::{Answer, Book, Broken, CustomerNow};
use super::commands::context::Context;
use super::commands::draft::Draft;
use super::commands::{Command, CustomerCommand, Request};
use super::due;
use super::kind::Kind;
use super::posting::Posting;
use super::reject::{Original, Rejection};

pub type Outcome = Result<Answer, Rejection>;

/// Decides `request` and applies what follows from it to `book`.
///
/// # Errors
/// [`Broken`] where the state contradicts itself; nothing of the book may be stored then.
pub fn decide(book: &mut Book, request: &Request) -> Result<Outcome, Broken> {
    let key = request.customer_key();
    if let Some(outcome) = answered_before(book, request)? {
        return Ok(outcome);
    }
    if let Command::CreateCustomer(command) = &request.command {
        let submission = request.submission(command);
        return match command.create(book, request.ledger, &request.customer, submission) {
            Ok(posting) => post(book, posting, request).map(Ok),
            Err(rejection) => Ok(Err(rejection)),
        };
    }
    if book.customer(request.ledger, &request.customer).is_none() {
        return Ok(Err(Rejection::CustomerNotFound));
    }
    // The command's own posting makes a request for a top-up that is due. Made before it, the request would ask for
    // credits that a purchase is about to bring. Only for a customer that sends no commands is it a posting of its own.
    let is_quiet = request.command == Command::ApplyDue;
    let last_due = due::apply(book, key, is_quiet)?;
    let Some((entry, customer)) = book.loaded(key) else {
        return Ok(Err(Rejection::CustomerNotFound));
    };
    let (Some(kind), Some(command)) = (request.command.kind(), request.command.inner()) else {
        let Some(posting) = last_due else { return Ok(Err(Rejection::NothingDue)) };
        return answer(book, posting, request, false).map(Ok);
    };
    if command.keys().profile && entry.profile.is_none() {
        return Err(book.broken(customer, "its profile was not loaded"));
    }
    let at = Context { book, entry, customer, kind, submission: request.submission(command) };
    match decided(&at, command) {
        Ok(Decided::Posting(posting)) => post(book, posting, request).map(Ok),
        Ok(Decided::Earlier(posting)) => answer(book, posting, request, true).map(Ok),
        Err(rejection) => {
            if let Some(note) = shortfall_note(&at, command, &rejection)? {
                book.post(&note)?;
            }
            Ok(Err(rejection))
        }
    }
}

/// What an accepted command comes to.
enum Decided {
    /// A posting of its own.
    Posting(Arc<Posting>),
    /// The posting of an earlier command with the same meaning.
    Earlier(Arc<Posting>),
}

fn decided(at: &Context<'_>, command: &dyn CustomerCommand) -> Result<Decided, Rejection> {
    match command.earlier(at)? {
        Some(earlier) => Ok(Decided::Earlier(earlier)),
        None => command.decide(at)?.finish(at.entry).map(Decided::Posting),
    }
}

/// The answer to a request id that was used before.
fn answered_before(book: &Book, request: &Request) -> Result<Option<Outcome>, Broken> {
    let scope = request.command.kind().zip(request.request.clone());
    let scope = scope.map(|(kind, id)| (request.customer_key(), kind, id));
    let Some(posting) = scope.and_then(|scope| book.request(&scope)) else { return Ok(None) };
    // Another customer's id may have the same hash; its answer must not be given.
    if book.customer(request.ledger, &request.customer).is_none() {
        return Ok(None);
    }
    if posting.fingerprint == request.fingerprint() {
        answer(book, Arc::clone(posting), request, true).map(|answer| Some(Ok(answer)))
    } else {
        Ok(Some(Err(Rejection::RequestIdReused { original: Some(Original::of(posting)) })))
    }
}

fn post(book: &mut Book, posting: Arc<Posting>, request: &Request) -> Result<Answer, Broken> {
    book.post(&posting)?;
    answer(book, posting, request, false)
}

/// The posting with the customer and the hold as they are now. Everything that a response shows is in it, so that no
/// response needs a read after the commit.
fn answer(book: &Book, posting: Arc<Posting>, request: &Request, replayed: bool) -> Result<Answer, Broken> {
    let entry = book.entry(posting.customer);
    let customer = entry.and_then(|entry| entry.customer.as_ref());
    let hold = posting.detail.hold.as_ref().map(|hold| {
        let now = entry.and_then(|entry| entry.hold(hold.id)).unwrap_or(hold);
        Arc::clone(now)
    });
    let purchase = posting.detail.refunded.as_ref().map(|lot| {
        let now = entry.and_then(|entry| entry.lot(lot.id)).unwrap_or(lot);
        (Arc::clone(now), entry.map(|entry| entry.unused(lot.id)).unwrap_or_default())
    });
    let about = if request.command.keys().profile { Some(customer_now(book, &posting)?) } else { None };
    Ok(Answer {
        replayed,
        purchase,
        about,
        balances: customer.map_or(posting.after, |customer| customer.balances),
        sequence: customer.map_or(posting.sequence, |customer| customer.sequence),
        hold,
        posting,
    })
}

/// The customer of a posting as it is now. Its profile was loaded, or the posting made it.
fn customer_now(book: &Book, posting: &Posting) -> Result<Box<CustomerNow>, Broken> {
    let entry = book.entry(posting.customer);
    let customer = entry.and_then(|entry| entry.customer.clone());
    let (Some(customer), Some(profile)) = (customer, entry.and_then(|entry| entry.profile.clone())) else {
        let (posting, sequence) = (posting.id, posting.sequence);
        return Err(Broken { posting, sequence, what: "the profile of its customer was not loaded" });
    };
    let default_alerts = book.default_alerts(posting.ledger).cloned();
    Ok(Box::new(CustomerNow { customer, profile, default_alerts }))
}

/// The note that a rejected command leaves about credits that are missing for an incident, unless the same amount
/// was noted last.
fn shortfall_note(
    at: &Context<'_>,
    command: &dyn CustomerCommand,
    rejection: &Rejection,
) -> Result<Option<Arc<Posting>>, Broken> {
    let Rejection::InsufficientCredits { shortfall, .. } = rejection else { return Ok(None) };
    let keys = command.keys();
    let by_hold = || keys.hold.and_then(|id| at.entry.hold(id)).map(|hold| &hold.incident);
    let incident = keys.incident.or_else(by_hold);
    let Some(shortfall) = incident.and_then(|incident| at.new_shortfall(incident, *shortfall)) else {
        return Ok(None);
    };
    let mut draft = Draft::by_ledger(at.book, at.customer, Kind::NoteShortfall);
    draft.detail.shortfall = Some(shortfall);
    let note = draft.finish(at.entry);
    note.map(Some).map_err(|_| at.book.broken(at.customer, "a note that moves nothing was refused"))
}
