//! Postings, holds, work, lots and customers, as wire messages.

use std::collections::BTreeMap;

use prost::Message;

use crate::ledger::customer::Contact;
use crate::ledger::hold::{Pending, Settlement};
use crate::ledger::job::PriceInputs;
use crate::ledger::lot::{Lot, Refund};
use crate::ledger::money::MoneyTransfer;
use crate::ledger::unused::Unused;
use crate::ledger::work::{Voided, Work, WorkSums};
use crate::ledger::{
    Balances, Credits, Customer, CustomerId, Hold, HoldState, LedgerId, Money, Posting, Profile, Terms, Text,
    Texts, Timestamp, Transfer,
};
use crate::query::{BalanceAt, Position, Recorded, TransferRecord};

use super::super::called::Called;
use super::super::wire;
use super::cards::{card_ref, line_time};
use super::top_up;
use super::values::{day, money, names, or_empty, short, signed, small, time};

pub fn balance(balances: Balances, sequence: u64) -> wire::Balance {
    let Balances { available, held, owed } = balances;
    wire::Balance {
        available_credits: available.to_string(),
        held_credits: held.to_string(),
        owed_credits: owed.to_string(),
        sequence: signed(sequence),
    }
}

pub fn balance_at(at: BalanceAt) -> wire::Balance {
    balance(at.balances, at.sequence)
}

pub fn transfer(transfer: &Transfer) -> wire::Transfer {
    let Transfer { debit, credit, credits } = transfer;
    wire::Transfer {
        debit_account: debit.to_string(),
        credit_account: credit.to_string(),
        credits: credits.to_string(),
    }
}

/// A posting in the answer to a command, where its position is not known yet.
pub fn posting(
    posting: &Posting,
    ledger: &LedgerId,
    customer: &CustomerId,
    called: &Called,
) -> wire::Posting {
    let detail = &posting.detail;
    let hold = detail.hold.as_ref();
    let incident = hold.map(|hold| &hold.incident).or(detail.shortfall.as_ref().map(|short| &short.incident));
    wire::Posting {
        posting_id: posting.id.to_string(),
        ledger_id: ledger.to_string(),
        customer_id: customer.to_string(),
        sequence: signed(posting.sequence),
        kind: posting.kind.code().into(),
        recorded_at: Some(time(posting.recorded_at)),
        transfers: posting.transfers().map(|moved| transfer(&moved)).collect(),
        balance_after: Some(balance(posting.after, posting.sequence)),
        request_id: or_empty(posting.request.as_ref()),
        hold_id: or_empty(hold.map(|hold| &hold.id)),
        incident_id: or_empty(incident),
        lot_id: or_empty(posting.lot().map(|lot| &lot.id)),
        work_id: or_empty(detail.work.as_ref().map(|work| &work.id)),
        shortfall_credits: or_empty(detail.shortfall.as_ref().map(|short| &short.missing)),
        by: detail.by.to_string(),
        by_claimed: posting.is_by_claimed(),
        reason: detail.reason.to_string(),
        metadata: metadata(&detail.metadata),
        texts_erased_at: match posting.texts {
            Texts::Erased(at) => Some(time(at)),
            Texts::Separate | Texts::Inline => None,
        },
        position: 0,
        rules_number: small(detail.rules.number().into()),
        money_transfers: posting.money_transfers().map(|moved| money_transfer(&moved)).collect(),
        actor: called.shown_actor(posting),
    }
}

fn money_transfer(transfer: &MoneyTransfer) -> wire::MoneyTransfer {
    let MoneyTransfer { debit, credit, minor_units } = transfer;
    wire::MoneyTransfer {
        debit_account: debit.short_name(),
        credit_account: credit.short_name(),
        money: Some(money(&Money { currency: debit.currency, minor_units: *minor_units })),
    }
}

/// A posting of a list or stream.
pub fn recorded(
    recorded: &Recorded,
    ledger: &LedgerId,
    customer: &CustomerId,
    called: &Called,
) -> wire::Posting {
    let Position(position) = recorded.position;
    wire::Posting { position: signed(position), ..posting(&recorded.posting, ledger, customer, called) }
}

/// A transfer of a list.
pub fn transfer_record(record: &TransferRecord, called: &Called) -> wire::JournalTransfer {
    let Position(position) = record.recorded.position;
    let posting = &record.recorded.posting;
    wire::JournalTransfer {
        posting_id: posting.id.to_string(),
        sequence: signed(posting.sequence),
        position: signed(position),
        kind: posting.kind.code().into(),
        recorded_at: Some(time(posting.recorded_at)),
        incident_id: or_empty(posting.detail.hold.as_ref().map(|hold| &hold.incident)),
        transfer: Some(transfer(&record.transfer)),
        actor: called.shown_actor(posting),
    }
}

/// Parked holds that a posting activated; the posting's other holds were superseded by a new estimate.
///
/// Parked holds have no bound, but messages have one. Without a bound here, the caller of a purchase could never read
/// its answer. ListHolds shows the rest.
pub fn activated(posting: &Posting, ledger: &LedgerId) -> Vec<wire::Hold> {
    const BYTES_MAX: usize = 1 << 20;
    let activated = posting.detail.others.iter().filter(|hold| hold.state != HoldState::Superseded);
    let mut bytes = 0_usize;
    let fits = |hold: &wire::Hold| {
        bytes = bytes.saturating_add(hold.encoded_len());
        bytes <= BYTES_MAX
    };
    activated.map(|of| hold(of, ledger)).take_while(fits).collect()
}

/// A hold with the sums of its work.
pub fn hold(hold: &Hold, ledger: &LedgerId) -> wire::Hold {
    wire::Hold {
        hold_id: hold.id.to_string(),
        ledger_id: ledger.to_string(),
        customer_id: hold.customer.to_string(),
        incident_id: hold.incident.to_string(),
        incident_class: or_empty(hold.class.as_ref()),
        state: hold.state.code().into(),
        direct: hold.direct,
        rate_card: Some(card_ref(&hold.card)),
        created_at: Some(time(hold.created_at)),
        opened_at: Some(time(hold.opened_at)),
        estimated_credits: hold.estimate.to_string(),
        held_credits: hold.held.to_string(),
        valid_until: hold.valid_until.map(time),
        expires_at: hold.expires_at.map(time),
        parked_at: hold.parked_at.map(time),
        pending: hold.pending.as_ref().map(pending),
        range_override_reason: hold.range_override.to_string(),
        estimated_by: hold.estimated_by.to_string(),
        confirmed_by: hold.confirmed_by.to_string(),
        confirmed_at: hold.confirmed_at.map(time),
        note: hold.note.to_string(),
        work: Some(work_summary(&hold.work)),
        settlement: hold.settlement.as_ref().map(settlement),
        ended_at: hold.ended_at.map(time),
        ended_by: hold.ended_by.to_string(),
        end_reason: hold.end_reason.to_string(),
        labels: names(&hold.circumstances.labels),
        emergency: hold.circumstances.emergency,
        kb_answered: hold.circumstances.kb_answered,
        quoted: hold.quoted,
    }
}

fn pending(pending: &Pending) -> wire::PendingEstimate {
    let Pending {
        total,
        valid_until,
        parked_at,
        parked_by: _,
        range_override,
        estimated_by,
        confirmed_by,
        note,
        quoted,
    } = pending;
    wire::PendingEstimate {
        total_credits: total.to_string(),
        valid_until: Some(time(*valid_until)),
        parked_at: parked_at.map(time),
        range_override_reason: range_override.to_string(),
        estimated_by: estimated_by.to_string(),
        confirmed_by: confirmed_by.to_string(),
        note: note.to_string(),
        quoted: *quoted,
    }
}

fn work_summary(sums: &WorkSums) -> wire::WorkSummary {
    // The lines in the form that pricing uses: none where no line was named.
    let mut priced = PriceInputs::default();
    priced.add_sums(sums);
    let PriceInputs { lines, solutions, span, .. } = priced;
    wire::WorkSummary {
        entries: small(sums.entries),
        counted_entries: small(sums.counted),
        work_seconds: signed(sums.seconds),
        lines: lines.iter().map(line_time).collect(),
        solutions: small(solutions),
        first_started_at: span.map(|span| time(span.from)),
        last_ended_at: span.map(|span| time(span.until)),
        placed_seconds: span.map_or(0, |span| signed(span.seconds)),
    }
}

pub fn work(work: &Work) -> wire::WorkEntry {
    let Work { id, recorded_at, seconds, started_at, line, solutions, by, note, voided, labels, previous: _ } =
        work;
    wire::WorkEntry {
        work_id: id.to_string(),
        recorded_at: Some(time(*recorded_at)),
        work_seconds: short(*seconds),
        started_at: started_at.map(time),
        line: or_empty(line.as_ref()),
        solutions: small(*solutions),
        by: by.to_string(),
        note: note.to_string(),
        voided: voided.as_ref().map(|Voided { at, by, reason }| wire::VoidedWork {
            voided_at: Some(time(*at)),
            by: by.to_string(),
            reason: reason.to_string(),
        }),
        labels: names(labels),
    }
}

pub fn settlement(settlement: &Settlement) -> wire::Settlement {
    let Settlement {
        posting,
        settled_at,
        inputs,
        charge,
        from_held,
        from_available,
        written_off,
        burned,
        reversed,
        write_off_reversed,
    } = settlement;
    wire::Settlement {
        posting_id: posting.to_string(),
        settled_at: Some(time(*settled_at)),
        work_seconds: signed(inputs.seconds),
        charged_credits: charge.to_string(),
        from_held_credits: from_held.to_string(),
        from_available_credits: from_available.to_string(),
        written_off_credits: written_off.to_string(),
        reversed_credits: reversed.to_string(),
        write_off_reversed_credits: write_off_reversed.to_string(),
        burned_lots: burned
            .iter()
            .map(|lot| wire::BurnedLot { lot_id: lot.id.to_string(), credits: lot.left.to_string() })
            .collect(),
    }
}

/// A lot with what is left of it, and what left it unused.
pub fn lot(lot: &Lot, ledger: &LedgerId, customer: &CustomerId, left: Credits, unused: &Unused) -> wire::Lot {
    let Lot { id, source, credits, repaid, price, storefront, order, expires_at, created_at, refunds: _ } =
        lot;
    wire::Lot {
        lot_id: id.to_string(),
        ledger_id: ledger.to_string(),
        customer_id: customer.to_string(),
        source: source.code().into(),
        credits: credits.to_string(),
        repaid_credits: repaid.to_string(),
        left_credits: left.to_string(),
        price: price.as_ref().map(money),
        storefront: or_empty(storefront.as_ref()),
        order_id: or_empty(order.as_ref()),
        expires_at: expires_at.map(time),
        created_at: Some(time(*created_at)),
        expired_credits: unused.expired.to_string(),
        adjusted_credits: unused.adjusted.to_string(),
    }
}

/// The lot that a posting brought in, with what was left of it right after.
pub fn new_lot(posting: &Posting, ledger: &LedgerId, customer: &CustomerId) -> Option<wire::Lot> {
    let new = posting.detail.lot.as_ref()?;
    let mut moved = posting.detail.lots.iter().filter(|moved| moved.id == new.id);
    let left = moved.try_fold(Credits::ZERO, |sum, part| sum.checked_add(part.left));
    // The parts of one lot: together they are at most its credits.
    Some(lot(new, ledger, customer, left?, &Unused::none()))
}

/// A lot that was bought. What left it unused is told where it is known.
pub fn purchase(
    lot: &Lot,
    ledger: &LedgerId,
    customer: &CustomerId,
    unused: Option<&Unused>,
) -> wire::Purchase {
    let Lot { id, source: _, credits, repaid, price, storefront, order, expires_at, created_at, refunds } =
        lot;
    wire::Purchase {
        purchase_id: id.to_string(),
        ledger_id: ledger.to_string(),
        customer_id: customer.to_string(),
        storefront: or_empty(storefront.as_ref()),
        order_id: or_empty(order.as_ref()),
        credits: credits.to_string(),
        credited_credits: credits.less_at_least_zero(*repaid).to_string(),
        repaid_credits: repaid.to_string(),
        price: price.as_ref().map(money),
        expires_at: expires_at.map(time),
        created_at: Some(time(*created_at)),
        refunded_credits: lot.refunded().to_string(),
        refunded_price: lot.refunded_price().as_ref().map(money),
        refunds: refunds.iter().map(refund).collect(),
        expired_credits: or_empty(unused.map(|unused| &unused.expired)),
        adjusted_credits: or_empty(unused.map(|unused| &unused.adjusted)),
    }
}

fn refund(refund: &Refund) -> wire::Refund {
    let Refund {
        id,
        at,
        state,
        credits,
        taken,
        owed,
        written_off,
        price,
        deferred_minor: _,
        ended_at,
        undone,
        undone_minor: _,
        unused,
    } = refund;
    wire::Refund {
        refund_id: id.to_string(),
        state: state.code().into(),
        credits: credits.to_string(),
        taken_credits: taken.to_string(),
        owed_credits: owed.to_string(),
        written_off_credits: written_off.to_string(),
        price: price.as_ref().map(money),
        recorded_at: Some(time(*at)),
        ended_at: ended_at.map(time),
        undone_credits: undone.to_string(),
        expired_credits: unused.expired.to_string(),
        adjusted_credits: unused.adjusted.to_string(),
    }
}

pub fn contact(contact: &Contact) -> wire::Contact {
    let Contact { name, email, locale } = contact;
    wire::Contact { name: name.to_string(), email: email.to_string(), locale: locale.to_string() }
}

/// A customer with its profile, as of `now`.
pub fn customer(customer: &Customer, profile: &Profile, ledger: &LedgerId, now: Timestamp) -> wire::Customer {
    let Terms { rate_card, package, product_purchased_on, top_up: settings } = &customer.state.terms;
    let top_ups = top_up::activity(customer.state.top_ups.as_deref(), now);
    wire::Customer {
        customer_id: customer.id.to_string(),
        ledger_id: ledger.to_string(),
        name: profile.name.to_string(),
        contact: Some(contact(&profile.contact)),
        metadata: metadata(&profile.metadata),
        terms: Some(wire::CustomerTerms {
            rate_card_id: or_empty(rate_card.as_ref()),
            package: or_empty(package.as_ref()),
            product_purchase_date: product_purchased_on.map(day),
            top_up: settings.as_deref().map(top_up::settings),
        }),
        closed: customer.state.closed,
        open_holds: small(customer.state.open_holds),
        created_at: Some(time(customer.state.created_at)),
        balance: Some(balance(customer.balances, customer.sequence)),
        open_top_up: top_ups.open,
        top_up_month_credits: top_ups.month_credits,
        top_ups_suspended: top_ups.suspended,
        top_ups_paused: customer.state.top_ups_paused,
    }
}

/// The pairs of a caller's metadata; none where they were erased.
fn metadata(pairs: &BTreeMap<Text, Text>) -> BTreeMap<String, String> {
    let kept = pairs.iter().filter(|(key, _)| !key.is_erased());
    kept.map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Kind;
    use crate::ledger::lot::{LotSource, RefundState};

    /// The wire's enumerations use the core's codes, so a conversion only copies the code.
    #[test]
    fn enumerations_agree_with_the_core() {
        for kind in Kind::ALL {
            let wire = wire::PostingKind::try_from(i32::from(kind.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("POSTING_KIND_{kind}"));
        }
        for state in HoldState::ALL {
            let wire = wire::HoldState::try_from(i32::from(state.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("HOLD_STATE_{state}"));
        }
        for source in LotSource::ALL {
            let wire = wire::LotSource::try_from(i32::from(source.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("LOT_SOURCE_{source}"));
        }
        for state in RefundState::ALL {
            let wire = wire::RefundState::try_from(i32::from(state.code())).unwrap();
            assert_eq!(wire.as_str_name(), format!("REFUND_STATE_{state}"));
        }
    }
}
