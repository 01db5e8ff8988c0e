//! Automatic top-ups: when a request is made, for how much, and what ends it.

use std::sync::Arc;

use creditledger::ledger::book::Book;
use creditledger::ledger::codec::encode;
use creditledger::ledger::commands::{
    Change, CloseCustomer, Command, CreateCustomer, OnShortfall, SetCustomerTerms,
};
use creditledger::ledger::customer::CustomerState;
use creditledger::ledger::event::{EventType, events};
use creditledger::ledger::posting::Detail;
use creditledger::ledger::rules::Rules;
use creditledger::ledger::{Kind, Posting, Rejection, Terms, TopUp};

use crate::desk::{
    Desk, START, adjust, close_payment, credits, grant, id, keep_payment, place, purchase, purchase_until,
    refund, reverse_refund,
};

pub const HOUR: i64 = 60;
pub const DAY: i64 = 24 * HOUR;

/// Below 5, up to 20, an hour from one to the next, lapsing after a day.
pub fn settings(monthly_cap: Option<&str>) -> TopUp {
    TopUp {
        below: credits("5"),
        target: credits("20"),
        monthly_cap: monthly_cap.map(credits),
        cool_down_seconds: TopUp::COOL_DOWN_SECONDS_DEFAULT,
        lapse_seconds: TopUp::LAPSE_SECONDS_DEFAULT,
    }
}

fn terms(top_up: Change<Arc<TopUp>>) -> Command {
    Command::SetCustomerTerms(SetCustomerTerms { top_up, ..SetCustomerTerms::default() })
}

pub fn set(settings: TopUp) -> Command {
    terms(Change::Set(Arc::new(settings)))
}

pub const CLOSE: fn() -> Command = || Command::CloseCustomer(CloseCustomer);

/// The credits that the last postings asked for.
pub fn asked(desk: &Desk, skip: usize) -> Vec<String> {
    let mut asked = Vec::new();
    for posting in &desk.book.journal()[skip..] {
        for event in events(posting).iter().filter(|event| event.event == EventType::TopUpRequested) {
            let request = posting.detail.top_up.as_ref().unwrap();
            assert_eq!(event.credits, Some(request.credits));
            assert!(posting.after.available < request.below);
            asked.push(request.credits.to_string());
        }
    }
    asked
}

/// True while a request waits for its answer.
pub fn flies(desk: &Desk) -> bool {
    desk.state().state.top_ups.as_ref().is_some_and(|top_ups| top_ups.open.is_some())
}

/// Minutes after the step before, a step, and what is asked for in it.
pub type Row<'a> = (i64, Command, &'a [&'a str]);

/// Takes the steps one after the other, for a customer who bought 10 before the settings were made.
#[track_caller]
pub fn story(settings: TopUp, rows: &[Row<'_>]) -> Desk {
    let mut desk = Desk::with("10");
    desk.ok(set(settings));
    tell(&mut desk, rows);
    desk
}

#[track_caller]
pub fn tell(desk: &mut Desk, rows: &[Row<'_>]) {
    for (nth, (minutes, step, expected)) in rows.iter().enumerate() {
        let skip = desk.book.journal().len();
        desk.book.now = desk.book.now.plus_seconds(minutes * 60);
        let outcome = desk.run(step.clone());
        let nothing = *step == Command::ApplyDue && outcome == Err(Rejection::NothingDue);
        assert!(outcome.is_ok() || nothing, "step {nth}: {step:?}: {outcome:?}");
        assert_eq!(asked(desk, skip), *expected, "step {nth}: {step:?}");
        let due = desk.state().top_up_due();
        assert!(due.is_none_or(|due| due > desk.book.now), "step {nth}: what is due was asked for");
        let bound = desk.state().state.next_due;
        assert!(
            due.is_none_or(|due| bound.is_some_and(|bound| bound <= due)),
            "step {nth}: it would come late"
        );
    }
}

use Command::ApplyDue;

#[test]
fn one_request_is_made_where_less_than_the_level_is_available() {
    story(
        settings(None),
        &[
            (0, adjust("-5"), &[]),               // 5: exactly the level is enough
            (0, adjust("-0.0001"), &["15.0001"]), // 4.9999
            (0, adjust("-1"), &[]),               // 3.9999: one is in flight
            (0, place("i", "3"), &[]),            // 0.9999
            (0, purchase("2", "15"), &[]),        // 15.9999: answered
            (9, adjust("-12"), &[]),              // 3.9999: below again, in the cool-down
            (50, ApplyDue, &[]),                  // 59 minutes
            (1, ApplyDue, &["16.0001"]),          // 60
            (1, ApplyDue, &[]),
        ],
    );
}

#[test]
fn after_the_cool_down_the_posting_that_falls_below_asks_by_itself() {
    let desk = story(
        settings(None),
        &[
            (0, adjust("-6"), &["16"]),
            (0, purchase("2", "16"), &[]),
            (60, adjust("-15.5"), &["15.5"]), // 4.5
        ],
    );
    assert_eq!(desk.book.journal().last().unwrap().kind, Kind::AdjustBalance);
}

#[test]
fn an_answer_that_leaves_too_little_is_followed_by_another_request() {
    story(
        settings(None),
        &[
            (0, adjust("-8"), &["18"]),
            (30, purchase("2", "1"), &[]), // 3: answered, in the cool-down
            (29, ApplyDue, &[]),
            (1, ApplyDue, &["17"]),
            (120, purchase("3", "1"), &["16"]), // 4: answered, and asked for again at once
        ],
    );
}

#[test]
fn what_nobody_answers_lapses_and_comes_again_once() {
    let mut desk = story(
        settings(None),
        &[
            (0, adjust("-8"), &["18"]),
            (DAY + HOUR - 1, ApplyDue, &[]), // lapsed, it may still be charged
            (1, ApplyDue, &["18"]),
            (3 * DAY, ApplyDue, &["18"]),               // one for three days
            (DAY + 2 * HOUR, purchase("2", "30"), &[]), // what has lapsed is not asked for before a purchase
        ],
    );
    assert!(!flies(&desk));
    assert_eq!(desk.kinds(desk.book.journal().len() - 2), ["REQUEST_TOP_UP", "PURCHASE_CREDITS"]);
    // A cool-down that is longer than the time to lapse.
    desk = Desk::with("10");
    desk.ok(set(TopUp { cool_down_seconds: 48 * 3_600, ..settings(None) }));
    tell(&mut desk, &[(0, adjust("-8"), &["18"]), (2 * DAY - 1, ApplyDue, &[]), (1, adjust("-1"), &["19"])]);
}

#[test]
fn the_cap_cuts_the_last_request_of_a_month_and_the_next_month_begins_anew() {
    let january = 31 * DAY;
    story(
        settings(Some("30")),
        &[
            (0, adjust("-8"), &["18"]),
            (0, purchase("2", "18"), &[]),
            (60, adjust("-16"), &["12"]), // 4: 16 are missing, 12 are left
            (0, purchase("3", "12"), &[]),
            (60, adjust("-12"), &[]), // 4: nothing is left
            (january - 121, ApplyDue, &[]),
            (1, ApplyDue, &["16"]), // 2026-02-01
            (0, purchase("4", "1"), &[]),
            (60, ApplyDue, &[]),        // 5 are available
            (0, adjust("-1"), &["14"]), // 4: 16 are missing, 14 are left
        ],
    );
}

#[test]
fn what_lapsed_does_not_count_and_what_was_answered_does() {
    story(
        settings(Some("18")),
        &[
            (0, adjust("-8"), &["18"]),
            (DAY + HOUR, ApplyDue, &["18"]), // the first one lapsed
            (1, purchase("2", "3"), &[]),    // 5: answered, with all that was asked for
            (60, adjust("-1"), &[]),
            (5 * DAY, ApplyDue, &[]),
        ],
    );
    // Made on the last day of a month, lapsed on the first of the next: it counts in neither.
    let mut desk = Desk::with("10");
    desk.ok(set(settings(Some("18"))));
    desk.book.now = START.plus_days(30).plus_seconds(18 * 3_600);
    let again = DAY + 6 * HOUR;
    tell(
        &mut desk,
        &[(0, adjust("-8"), &["18"]), (DAY + HOUR, ApplyDue, &["18"]), (again, ApplyDue, &["18"])],
    );
    // Answered on the first of the next: it counts in the month in which it was made, and not in the next.
    let mut desk = Desk::with("10");
    desk.ok(set(settings(Some("18"))));
    desk.book.now = START.plus_days(30).plus_seconds(18 * 3_600);
    tell(
        &mut desk,
        &[
            (0, adjust("-8"), &["18"]),
            (390, purchase("2", "2"), &["16"]), // 4, at half past midnight
            (0, purchase("3", "1"), &[]),       // 5
            (60, adjust("-1"), &["2"]),         // 4: 16 are missing, 2 are left
        ],
    );
}

#[test]
fn making_the_settings_counts_as_falling_below() {
    let mut desk = Desk::with("3");
    tell(&mut desk, &[(0, set(settings(None)), &["17"])]);
    let mut desk = Desk::without_customer();
    let terms = Terms { top_up: Some(Arc::new(settings(Some("15")))), ..Terms::default() };
    let create = Command::CreateCustomer(CreateCustomer { terms, ..CreateCustomer::default() });
    tell(&mut desk, &[(0, create, &["15"])]);
    let enough = Desk::with("5");
    assert_eq!(enough.state().top_up_due(), None);
}

#[test]
fn changed_terms_leave_the_request_in_flight_and_count_on() {
    let more = TopUp { below: credits("10"), target: credits("50"), ..settings(None) };
    story(
        settings(None),
        &[
            (0, adjust("-8"), &["18"]),
            (0, set(more.clone()), &[]),
            (0, purchase("2", "5"), &[]), // 7: answered
            (60, ApplyDue, &["43"]),
            (0, terms(Change::Clear), &[]),
            (0, purchase("3", "1"), &[]), // 8: answered
            (DAY, adjust("-1"), &[]),     // no settings, no request
            (0, set(TopUp { monthly_cap: Some(credits("61")), ..more.clone() }), &[]), // 18 + 43
            (0, set(TopUp { monthly_cap: Some(credits("62")), ..more }), &["1"]),
        ],
    );
    // Removed and made again at once: the first one is still in flight.
    let desk = story(
        settings(None),
        &[
            (0, adjust("-8"), &["18"]),
            (0, terms(Change::Clear), &[]),
            (90, set(settings(None)), &[]),
            (DAY - 31, ApplyDue, &[]),
            (1, ApplyDue, &["18"]),
            // Other terms leave these alone.
            (
                0,
                Command::SetCustomerTerms(SetCustomerTerms {
                    package: Change::Set(id("gold")),
                    ..Default::default()
                }),
                &[],
            ),
        ],
    );
    assert_eq!(desk.state().state.terms.top_up.as_deref(), Some(&settings(None)));
}

#[test]
fn only_a_purchase_answers() {
    let mut desk = story(
        settings(None),
        &[
            (0, adjust("-8"), &["18"]),
            (0, grant("100"), &[]),
            (60, adjust("-100"), &[]), // 2, and it is still in flight
            (0, refund("first", "1", OnShortfall::Reject), &[]), // 1
        ],
    );
    let refunded = desk.book.journal().last().unwrap().id;
    tell(&mut desk, &[(0, reverse_refund("first", refunded), &[])]); // 2
    assert!(flies(&desk));
    // An order that was told before is no purchase.
    let again = desk.ok(purchase("first", "10"));
    assert!(again.replayed && flies(&desk));
    desk.ok(keep_payment("lost"));
    let kept = desk.book.journal().last().unwrap().id;
    desk.ok(close_payment(kept));
    assert!(flies(&desk));
    desk.ok(purchase("late", "5"));
    assert!(!flies(&desk));
}

#[test]
fn a_closed_customer_is_not_asked() {
    story(settings(None), &[(0, CLOSE(), &[]), (0, adjust("-8"), &[]), (2 * DAY, ApplyDue, &[])]);
    story(
        settings(None),
        &[
            (0, adjust("-8"), &["18"]),
            (2 * DAY, CLOSE(), &[]), // it has lapsed, and would be due
            (DAY, ApplyDue, &[]),
            (0, purchase("2", "1"), &[]),
            (0, set(settings(None)), &[]),
        ],
    );
}

#[test]
fn credits_that_expire_are_missed() {
    let mut desk = Desk::new();
    desk.ok(purchase_until("a", "10", START.plus_days(1)));
    desk.ok(set(settings(None)));
    let skip = desk.book.journal().len();
    tell(&mut desk, &[(DAY + 1, ApplyDue, &["20"])]);
    assert_eq!(desk.kinds(skip), ["EXPIRE_CREDITS"]);
}

#[test]
fn a_rejected_command_asks_for_nothing_and_the_next_look_does() {
    let mut desk = story(
        settings(None),
        &[(0, adjust("-6"), &["16"]), (0, purchase("2", "16"), &[]), (9, adjust("-16"), &[])],
    );
    desk.book.now = desk.book.now.plus_seconds(3_600);
    let skip = desk.book.journal().len();
    desk.rejected(adjust("-99"));
    assert_eq!(desk.kinds(skip), Vec::<String>::new());
    tell(&mut desk, &[(0, ApplyDue, &["16"])]);
    // A command that was answered before leaves nothing, whatever has become due.
    let request = desk.request(grant("1"));
    desk.send(&request).unwrap();
    desk.pass_days(2);
    let skip = desk.book.journal().len();
    assert!(desk.send(&request).unwrap().replayed);
    assert_eq!(desk.kinds(skip), Vec::<String>::new());
}

#[test]
fn a_request_that_is_not_due_is_no_journal() {
    let desk = story(settings(Some("20")), &[(0, adjust("-8"), &["18"]), (0, adjust("-1"), &[])]);
    let journal = desk.book.journal();
    let replay = |alter: &dyn Fn(usize, &mut Detail)| {
        let mut book = Book::new(START, 0, Arc::clone(&desk.book.cards));
        journal.iter().enumerate().try_for_each(|(nth, posting)| {
            let mut posting = Posting::clone(posting);
            alter(nth, &mut posting.detail);
            book.apply(&posting)
        })
    };
    assert_eq!(replay(&|_, _| ()), Ok(()));
    let made = journal.iter().position(|posting| posting.detail.top_up.is_some()).unwrap();
    let request = journal[made].detail.top_up.clone();
    let more = |nth, detail: &mut Detail| {
        if nth == made {
            Arc::make_mut(detail.top_up.as_mut().unwrap()).credits = credits("19");
        }
    };
    assert!(replay(&more).unwrap_err().what.contains("top-up"));
    for twice in [made - 1, made + 1] {
        let alter = |nth, detail: &mut Detail| {
            if nth == twice {
                detail.top_up.clone_from(&request);
            }
        };
        assert!(replay(&alter).unwrap_err().what.contains("top-up"), "{twice}");
    }
}

#[test]
fn who_has_no_settings_has_the_row_that_they_had() {
    let before = encode(&Terms { package: Some(id("gold")), ..Terms::default() });
    assert_eq!(before, [2, 4, b'g', b'o', b'l', b'd', 0]);
    assert_eq!(encode(&Detail { rules: Rules::First, ..Detail::default() }), [0]);
    let desk = story(settings(None), &[(0, adjust("-8"), &["18"])]);
    let with = desk.state().state.clone();
    let without = encode(&CustomerState { top_ups: None, ..with.clone() });
    let (fields, end) = without.split_at(without.len() - 1);
    assert!(end == [0] && encode(&with).starts_with(fields), "what is new stands at the end");
}
