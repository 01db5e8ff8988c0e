//! Journals that the first rules decided: they stay as they were, and go on by the rules of today.

use std::sync::Arc;

use creditledger::cards;
use creditledger::ledger::account::{Amounts, Slot};
use creditledger::ledger::book::Book;
use creditledger::ledger::codec::{decode, encode};
use creditledger::ledger::commands::{Command, HoldRef, NewWork, Quote, RecordWork, ReverseSettlement};
use creditledger::ledger::hold::{HoldState, Settlement};
use creditledger::ledger::job::PriceInputs;
use creditledger::ledger::posting::Detail;
use creditledger::ledger::receipt::receipt;
use creditledger::ledger::rules::Rules;
use creditledger::ledger::work::Span;
use creditledger::ledger::{Balances, Credits, Hold, Kind, LedgerNo, Posting, Texts};

use crate::desk::{
    Desk, START, credits, estimate_command, id, incident, new_work, place_with, reverse, transfers,
};
use crate::reopened::{opened, settled};

/// A posting as versions without a number of rules stored it.
fn older(posting: &Posting) -> Posting {
    let mut posting = posting.clone();
    posting.detail.rules = Rules::First;
    if let Some(hold) = &mut posting.detail.hold {
        let hold = Arc::make_mut(hold);
        if let Some(settlement) = &mut hold.settlement {
            settlement.inputs.rules = Rules::First;
        }
    }
    decode_again(posting)
}

/// As a store gives it back.
fn decode_again(posting: Posting) -> Posting {
    let detail: Detail = decode(&encode(&posting.detail)).unwrap();
    assert_eq!(detail, posting.detail);
    Posting { detail, ..posting }
}

/// Settles the hold `i` as the first rules did: the whole incident, from the first start to the last end.
fn settle_by_first_rules(desk: &Desk, inputs: PriceInputs, charge: &str) -> Posting {
    let (customer, hold) = (desk.state(), desk.hold("i"));
    let charge = credits(charge);
    let back = hold.held.less_at_least_zero(charge);
    let Balances { available, held, owed } = customer.balances;
    let mut amounts = Amounts::default();
    amounts.set(Slot::First, charge);
    amounts.set(Slot::Second, back);
    let burned = customer.state.lots.iter().next().unwrap().part(charge);
    let id = desk.book.next_id();
    let settlement = Settlement {
        posting: id,
        settled_at: desk.book.now,
        inputs,
        charge,
        from_held: charge,
        from_available: Credits::ZERO,
        written_off: Credits::ZERO,
        burned: vec![burned],
        reversed: Credits::ZERO,
        write_off_reversed: Credits::ZERO,
    };
    let mut ended = Hold { settlement: Some(settlement), ..hold.clone() };
    ended.end(HoldState::Settled, desk.book.now);
    decode_again(Posting {
        id,
        ledger: customer.ledger,
        customer: customer.key(),
        sequence: customer.sequence + 1,
        kind: Kind::SettleHold,
        recorded_at: desk.book.now,
        request: None,
        fingerprint: 0,
        amounts,
        after: Balances {
            available: available.checked_add(back).unwrap(),
            held: held.checked_sub(hold.held).unwrap(),
            owed,
        },
        storefront: None,
        detail: Detail {
            hold: Some(Arc::new(ended)),
            lots: vec![burned.negated()],
            used: customer.state.used.checked_add(charge).unwrap(),
            rules: Rules::First,
            ..Detail::default()
        },
        texts: Texts::default(),
    })
}

#[test]
fn a_journal_of_the_first_rules_stays_as_it_was_decided_and_goes_on_by_those_of_today() {
    const DAYS_30: i64 = 30 * 24 * 60;
    let mut desk = Desk::under("half-hour", "2000");
    assert_eq!(settled(&mut desk, opened(10).began(0)), "1");
    desk.ok(place_with(estimate_command("i", Quote::Credits(credits("1500"))), false));
    let more = NewWork { started_at: Some(START.plus_seconds(DAYS_30 * 60)), ..new_work(10) };
    desk.ok(Command::RecordWork(RecordWork { hold: incident("i"), work: more }));

    // The journal so far as an older version wrote it, and the bill that it sent for the pause of thirty days.
    let mut journal: Vec<Posting> = desk.book.journal().iter().map(|posting| older(posting)).collect();
    let mut inputs = PriceInputs {
        opened_on: desk.hold("i").opened_at.day(),
        confirmed_quote: Some(credits("1500")),
        charged_before: credits("1"),
        rules: Rules::First,
        ..PriceInputs::default()
    };
    inputs.seconds = 1_200;
    let (from, until) = (START, START.plus_seconds((DAYS_30 + 10) * 60));
    inputs.span = Some(Span { from, until, seconds: 1_200 });
    let bill = settle_by_first_rules(&desk, inputs, "1440");
    journal.push(bill);

    // Replaying it gives the state that it had, and receipts give the old numbers.
    let mut replayed = Book::new(desk.book.now, 7, Arc::clone(&desk.book.cards));
    for posting in &journal {
        replayed.post(&Arc::new(posting.clone())).unwrap();
    }
    desk.book = replayed;
    assert_eq!(desk.balances(), "559 0 0");
    let told = |desk: &Desk, hold: &Hold| {
        let settlement = hold.settlement.as_ref().unwrap();
        let told = receipt(&desk.book.cards, LedgerNo::MAIN, &hold.card, settlement).unwrap();
        told.steps.iter().map(|step| step.text.clone()).collect::<Vec<_>>()
    };
    let entry = desk.book.entry(desk.state().key()).unwrap();
    let holds: Vec<Arc<Hold>> = entry.incident(&id("i")).cloned().collect();
    assert_eq!(holds.len(), 2);
    assert!(told(&desk, &holds[0]).last().unwrap().contains("= 1 credit"));
    assert_eq!(
        told(&desk, &holds[1]),
        [
            "720 h 10 min elapsed, from 2026-01-01 00:00:00 UTC to 2026-01-31 00:10:00 UTC",
            "rounded up to 720 h 30 min in started 30 min",
            "720 h 30 min at 2 credits per hour = 1441 credits",
            "less 1 credit charged for this incident before: 1440 credits",
        ]
    );

    // Opened again it goes on by the rules since the second: each hold's own ten minutes were billable.
    assert_eq!(settled(&mut desk, opened(10).began(DAYS_30)), "0");
    assert_eq!(settled(&mut desk, opened(5).began(2 * DAYS_30)), "1");
    // Given back wholly, the bill's ten minutes count no more: 25 of 30 minutes are left, of which all is paid.
    let bill = desk
        .ok(Command::ReverseSettlement(ReverseSettlement { hold: HoldRef::Id(holds[1].id), credits: None }));
    assert_eq!(transfers(&bill), "revenue > available 1440");
    assert_eq!(settled(&mut desk, opened(5).began(0)), "0");
    let postings = desk.book.journal().to_vec();
    let rules = |rules: Rules| postings.iter().filter(|posting| posting.detail.rules == rules).count();
    assert_eq!((rules(Rules::First), rules(Rules::CURRENT) > 8), (journal.len(), true));
    let mut again = Book::new(desk.book.now, 0, Arc::clone(&desk.book.cards));
    for posting in &postings {
        again.apply(&decode_again(Posting::clone(posting))).unwrap();
    }
    let state = again.entry(desk.state().key()).unwrap().customer.clone().unwrap();
    assert_eq!((state.balances, state.state.used), (desk.state().balances, desk.state().state.used));
}

/// What the customer was told of missing credits follows from the posting's own rules.
#[test]
fn a_reversal_of_the_first_rules_ended_what_was_told_of_missing_credits() {
    let mut desk = Desk::with("2");
    assert_eq!(settled(&mut desk, opened(30)), "1");
    desk.ok(Command::EstimateIncident(estimate_command("i", Quote::Credits(credits("9")))));
    desk.ok(reverse("i", Some("0.5")));
    for (rules, known) in [(Rules::First, None), (Rules::Second, Some(credits("8")))] {
        let mut book = Book::new(desk.book.now, 0, Arc::new(cards::built_in()));
        for posting in desk.book.journal() {
            let mut posting = Posting::clone(posting);
            posting.detail.rules = rules;
            book.apply(&posting).unwrap();
        }
        let customer = book.entry(desk.state().key()).unwrap().customer.clone().unwrap();
        assert_eq!(customer.state.shortfall(&id("i")), known, "{rules:?}");
    }
}
