//! All that is stored, in lines that say what a reader is promised, whatever the rows look like.

use std::sync::Arc;

use creditledger::ledger::event::events;
use creditledger::ledger::hold::Hold;
use creditledger::ledger::ids::LabelId;
use creditledger::ledger::time::Day;
use creditledger::ledger::{Alerts, Credits, Customer, CustomerKey, Money, Threshold, Timestamp};
use creditledger::query::{PageRequest, Period, PostingFilter, Reader};
use creditledger::store::{HoldFilter, LotFilter, Position};

use super::endpoints;
use super::stage::{Stage, posting_line};
use crate::rig::Rig;

/// More than a kept database has of anything.
const ALL: usize = 100_000;

pub async fn everything(stage: &mut Stage) {
    let rig = &stage.rig;
    let mut lines = Vec::new();
    let reader = Reader::new(Arc::clone(&rig.reader), rig.notifier.clone(), Arc::clone(&rig.cards));
    for ledger in rig.reader.ledgers().await.unwrap() {
        let at = |what: String| format!("stored {} {what}", ledger.id);
        lines.push((at("ledger".into()), format!("{} {}", ledger.no.get(), ledger.created_at.micros())));
        for (account, credits) in rig.reader.trial_balance(ledger.no).await.unwrap() {
            lines.push((at(format!("account {account}")), credits.to_string()));
        }
        let alerts = rig.reader.default_alerts(ledger.no).await.unwrap();
        let alerts = alerts.map(|set| (thresholds(&set.alerts), set.by.to_string()));
        lines.push((at("thresholds".into()), format!("{alerts:?}")));
        let customers = rig.reader.customers(ledger.no, None, ALL).await.unwrap();
        for (customer, profile) in &customers {
            let name = format!("customer {}", customer.id);
            lines.push((at(name.clone()), customer_line(customer)));
            let contact = &profile.contact;
            let metadata: Vec<_> =
                profile.metadata.iter().map(|(key, value)| format!("{key}={value}")).collect();
            let profile = format!(
                "'{}' '{}' '{}' '{}' {metadata:?}",
                profile.name, contact.name, contact.email, contact.locale
            );
            lines.push((at(format!("{name}, profile")), profile));
            lines.push((at(format!("{name}, statement")), statement(&reader, rig, customer).await));
        }
        for kept in reader.kept_payments(ledger.no, &page()).await.unwrap().items {
            let payment = &kept.payment;
            let line = format!("{} {} {}", payment.event.code(), payment.storefront, payment.order);
            lines.push((at(format!("payment {}", kept.posting.id)), line));
        }
        lines.extend(feed(rig, &ledger).await.into_iter().map(|(name, line)| (at(name), line)));
        lines.extend(holds(rig, &ledger).await.into_iter().map(|(name, line)| (at(name), line)));
        lines.extend(lots(rig, &ledger).await.into_iter().map(|(name, line)| (at(name), line)));
    }
    for change in rig.reader.card_changes(0).await.unwrap() {
        let line = format!(
            "{} {} {} {:016x} by '{}'",
            change.ledger.get(),
            change.changed.kind().code(),
            change.changed.card(),
            change.fingerprint,
            change.by
        );
        lines.push((format!("stored card change {}", change.revision), line));
    }
    lines.extend(endpoints::stored(rig).await);
    stage.say_stored(lines);
}

fn thresholds(alerts: &Alerts) -> Vec<String> {
    let shown = |threshold| match threshold {
        Threshold::Credits(credits) => credits.to_string(),
        Threshold::Percent(percent) => format!("{percent} %"),
    };
    alerts.iter().map(shown).collect()
}

fn labels(labels: &[LabelId]) -> Vec<&str> {
    labels.iter().map(LabelId::as_str).collect()
}

fn customer_line(customer: &Customer) -> String {
    let Customer { sequence, balances, state, .. } = customer;
    let terms = &state.terms;
    let top_up = terms
        .top_up
        .as_ref()
        .map(|top_up| (shown(top_up.below), shown(top_up.target), top_up.monthly_cap.map(shown)));
    let open = state
        .top_ups
        .as_ref()
        .map(|met| (met.open.map(|open| shown(open.credits)), shown(met.month_credits)));
    let alerts = state.alerts.as_ref().map(|alerts| thresholds(alerts));
    let shortfalls: Vec<String> =
        state.shortfalls.iter().map(|(incident, missing)| format!("{incident} {missing}")).collect();
    format!(
        "#{sequence} {}/{}/{} used {} closed {} open {} parked {} low {} thresholds {alerts:?} shortfalls {shortfalls:?} \
         payments {} disputes {} card {} package {} bought {:?} top-up {top_up:?} asked {open:?}",
        balances.available,
        balances.held,
        balances.owed,
        state.used,
        state.closed,
        state.open_holds,
        state.parked,
        state.is_low,
        state.payments.len(),
        state.disputes.len(),
        optional(terms.rate_card.as_ref()),
        optional(terms.package.as_ref()),
        terms.product_purchased_on.map(Day::days),
    )
}

fn page() -> PageRequest {
    PageRequest { limit: 1_000, token: String::new() }
}

/// What may not be there.
fn optional<T: std::fmt::Display>(value: Option<&T>) -> String {
    value.map_or("-".to_owned(), T::to_string)
}

/// The whole life of a customer on one statement, and the same by its transfers.
async fn statement(reader: &Reader, rig: &Rig, customer: &Customer) -> String {
    let period = Period { from: Timestamp::default(), until: rig.now.plus_days(10_000) };
    let page = page();
    let id = &customer.id;
    let statement = reader.statement(customer.ledger, id, period, &page, rig.now).await.unwrap();
    assert_eq!(statement.closing.balances, customer.balances, "{id}");
    let filter = PostingFilter { newest_first: true, ..PostingFilter::default() };
    let transfers = reader.transfers(customer.ledger, id, &filter, &page).await.unwrap();
    assert_eq!(transfers.items.len(), statement.lines.items.len(), "{id}");
    let end = statement.end.unwrap();
    let subtotals: Vec<_> = end
        .subtotals
        .iter()
        .map(|(kind, sum)| (kind.code(), sum.lines, shown(sum.credited), shown(sum.debited)))
        .collect();
    format!("{} lines, {} open holds, {subtotals:?}", statement.lines.items.len(), end.open_holds.len())
}

/// Every posting decodes, in the place that it has, and tells the same events.
async fn feed(rig: &Rig, ledger: &creditledger::store::Ledger) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for recorded in rig.reader.feed(ledger.no, Position(0), ALL).await.unwrap().items {
        let posting = &recorded.posting;
        let events: Vec<_> =
            events(posting).iter().map(|event| (event.event.code(), event.credits.map(shown))).collect();
        let request = posting.request.as_ref().map(ToString::to_string);
        let detail = &posting.detail;
        // What a step answers is said in full there.
        let what = match posting.request {
            Some(_) => posting.id.to_string(),
            None => posting_line(posting),
        };
        let line = format!(
            "{what} at {} request {request:?} by '{}' reason '{}' tells {events:?}",
            posting.recorded_at.micros(),
            detail.by,
            detail.reason
        );
        lines.push((format!("position {}", recorded.position.0), line));
    }
    lines
}

fn shown(credits: Credits) -> String {
    credits.to_string()
}

async fn holds(rig: &Rig, ledger: &creditledger::store::Ledger) -> Vec<(String, String)> {
    let mut lines = Vec::new();
    for settled in [false, true] {
        let filter = HoldFilter { settled, ..HoldFilter::default() };
        let mut before = None;
        loop {
            let page = rig.reader.holds(ledger.no, &filter, before, ALL).await.unwrap();
            // What is settled stands in the first list as well, but for direct charges.
            for hold in page.items.iter().filter(|hold| !settled || hold.direct) {
                lines.push((format!("hold {}", hold.id), hold_line(hold)));
                lines.extend(work_lines(rig, hold).await);
            }
            before = page.next;
            if before.is_none() {
                break;
            }
        }
    }
    lines
}

fn hold_line(hold: &Hold) -> String {
    let pending = hold.pending.as_ref().map(|pending| {
        let waits = pending.parked_at.is_some();
        (pending.total.to_string(), waits, pending.quoted, pending.note.to_string())
    });
    let settlement = hold.settlement.as_ref().map(|settlement| {
        (
            settlement.charge.to_string(),
            settlement.written_off.to_string(),
            settlement.reversed.to_string(),
            settlement.write_off_reversed.to_string(),
            settlement.inputs.seconds,
        )
    });
    format!(
        "{} {} class {} state {} card {} {} estimate {} held {} worked {} pending {pending:?} settled \
         {settlement:?} direct {} quoted {} waits {} range '{}' by '{}' '{}' '{}' note '{}' end '{}' {:?}",
        hold.customer,
        hold.incident,
        optional(hold.class.as_ref()),
        hold.state.code(),
        hold.card.id,
        hold.card.version,
        hold.estimate,
        hold.held,
        hold.worked_seconds(),
        hold.direct,
        hold.quoted,
        hold.is_parked(),
        hold.range_override,
        hold.estimated_by,
        hold.confirmed_by,
        hold.ended_by,
        hold.note,
        hold.end_reason,
        labels(&hold.circumstances.labels),
    )
}

/// The entries of work on a hold, voided ones included, wherever they are kept.
async fn work_lines(rig: &Rig, hold: &Hold) -> Vec<(String, String)> {
    let line = |work: &creditledger::ledger::work::Work| {
        let voided = work.voided.as_ref().map(|voided| (voided.by.to_string(), voided.reason.to_string()));
        let line = format!(
            "{} seconds from {:?} on line {} solved {} by '{}' note '{}' labels {:?} voided {voided:?}",
            work.seconds,
            work.started_at.map(Timestamp::micros),
            optional(work.line.as_ref()),
            work.solutions,
            work.by,
            work.note,
            labels(&work.labels)
        );
        (format!("hold {} work {}", hold.id, work.id), line)
    };
    let entries = rig.reader.work(hold.id, None, ALL).await.unwrap().items;
    entries.iter().map(|work| line(work)).collect()
}

async fn lots(rig: &Rig, ledger: &creditledger::store::Ledger) -> Vec<(String, String)> {
    let (mut all, mut before) = (Vec::new(), None);
    loop {
        let page = rig.reader.lots(ledger.no, &LotFilter::default(), before, ALL).await.unwrap();
        all.extend(page.items);
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    let mut lines = Vec::new();
    for owned in all {
        let lot = &owned.lot;
        let key = CustomerKey::of(ledger.no, &owned.customer);
        let customer = rig.reader.customer(key).await.unwrap().unwrap();
        let refunds: Vec<_> = lot
            .refunds
            .iter()
            .map(|refund| {
                let parts = [refund.credits, refund.taken, refund.owed, refund.written_off].map(shown);
                (refund.id.to_string(), refund.state.code(), parts, money(refund.price))
            })
            .collect();
        let line = format!(
            "{} source {} credits {} repaid {} left {} price {} of {} {} until {:?} refunds {refunds:?}",
            owned.customer,
            lot.source.code(),
            lot.credits,
            lot.repaid,
            customer.state.lots.left(lot.id),
            money(lot.price),
            optional(lot.storefront.as_ref()),
            optional(lot.order.as_ref()),
            lot.expires_at.map(Timestamp::micros)
        );
        lines.push((format!("lot {}", lot.id), line));
    }
    lines
}

fn money(money: Option<Money>) -> String {
    money.map_or("none".to_owned(), |money| format!("{} {}", money.minor_units, money.currency))
}
