//! Creating, changing and closing customers.

use std::sync::Arc;

use super::{Context, Draft};
use crate::ledger::account::Slot;
use crate::ledger::book::{Book, Entry};
use crate::ledger::command::{
    Change, CreateCustomer, Request, SetBalanceAlerts, SetCustomerTerms, UpdateCustomer,
};
use crate::ledger::customer::{Balances, Customer, CustomerState, Profile, Terms};
use crate::ledger::ids::{CardId, LedgerNo};
use crate::ledger::money::MoneyAccount;
use crate::ledger::posting::{Kind, Posting};
use crate::ledger::reject::Rejection;

pub(super) fn create(
    book: &Book,
    request: &Request,
    command: &CreateCustomer,
) -> Result<Arc<Posting>, Rejection> {
    if let Some(existing) = book.entry(request.customer_key()).and_then(|entry| entry.customer.as_ref()) {
        let same = existing.ledger == request.ledger && existing.id == request.customer;
        let exists = Rejection::CustomerExists { original: None };
        return Err(if same { exists } else { Rejection::CustomerIdUnusable });
    }
    card_exists(book, request.ledger, command.terms.rate_card.as_ref())?;
    let unborn = Customer {
        ledger: request.ledger,
        id: request.customer.clone(),
        sequence: 0,
        balances: Balances::default(),
        state: CustomerState::new(book.now),
    };
    let mut draft = Draft::by_request(book, &unborn, request, Kind::CreateCustomer);
    draft.detail.created = Some(request.customer.clone());
    draft.detail.profile = Some(Arc::new(command.profile.clone()));
    draft.detail.terms = Some(command.terms.clone()).filter(|terms| *terms != Terms::default());
    draft.finish(&Entry::default())
}

pub(super) fn update(at: &Context<'_>, command: &UpdateCustomer) -> Result<Arc<Posting>, Rejection> {
    let before = at.entry.profile.as_ref().map(|profile| Profile::clone(profile)).unwrap_or_default();
    let mut draft = at.draft();
    draft.detail.profile = Some(Arc::new(Profile {
        name: command.name.clone().unwrap_or(before.name),
        contact: command.contact.clone().unwrap_or(before.contact),
        metadata: command.metadata.clone().unwrap_or(before.metadata),
    }));
    draft.finish(at.entry)
}

pub(super) fn set_terms(at: &Context<'_>, command: &SetCustomerTerms) -> Result<Arc<Posting>, Rejection> {
    if let Change::Set(card) = &command.rate_card {
        card_exists(at.book, at.customer.ledger, Some(card))?;
    }
    let before = &at.customer.state.terms;
    let mut draft = at.draft();
    draft.need_available(command.charge)?;
    draft.shift(Slot::Third, command.charge)?;
    draft.burn(command.charge, MoneyAccount::EarnedRevenue)?;
    draft.detail.terms = Some(Terms {
        rate_card: command.rate_card.apply(before.rate_card.as_ref()),
        package: command.package.apply(before.package.as_ref()),
        product_purchased_on: command.product_purchased_on.apply(before.product_purchased_on.as_ref()),
        top_up: command.top_up.apply(before.top_up.as_ref()),
    });
    draft.finish(at.entry)
}

pub(super) fn close(at: &Context<'_>) -> Result<Arc<Posting>, Rejection> {
    at.must_not_be_closed()?;
    let count = at.customer.state.open_holds;
    if count > 0 {
        return Err(Rejection::HoldsOpen { count });
    }
    at.draft().finish(at.entry)
}

pub(super) fn reopen(at: &Context<'_>) -> Result<Arc<Posting>, Rejection> {
    if !at.customer.state.closed {
        return Err(Rejection::CustomerNotClosed);
    }
    at.draft().finish(at.entry)
}

/// Moves nothing; where the balance is above all thresholds now, a customer who was told to be low hears it.
pub(super) fn set_alerts(at: &Context<'_>, command: &SetBalanceAlerts) -> Result<Arc<Posting>, Rejection> {
    let mut draft = at.draft();
    draft.alerts = command.alerts.as_ref().or_else(|| at.book.default_alerts(at.customer.ledger)).cloned();
    draft.detail.alerts = command.alerts.clone().map_or(Change::Clear, Change::Set);
    draft.finish(at.entry)
}

fn card_exists(book: &Book, ledger: LedgerNo, card: Option<&CardId>) -> Result<(), Rejection> {
    match card {
        Some(card) if book.cards.newest(ledger, card).is_none() => {
            Err(Rejection::RateCardNotFound(card.clone()))
        }
        Some(_) | None => Ok(()),
    }
}
