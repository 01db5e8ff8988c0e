//! Incidents: quotes, holds in every state, work on them, and how they ended.

use creditledger::ledger::commands::{
    ChargeIncident, Command, EstimateIncident, HoldRef, NewWork, Quote, SettleHold,
};
use creditledger::ledger::job::Circumstances;
use creditledger::ledger::{Rejection, Text};

use super::cast::second_card;
use super::commands::{
    charge, charge_command, close_incident, confirm, decline, estimate, estimate_command, extend, grant,
    new_work, place, place_command, place_parked, purchase, quote, record, release, reverse, settle,
    settle_capped, settle_command, void, work,
};
use super::stage::Stage;
use crate::desk::{START, credits, id};

/// What falls due while nobody asks. Twenty days pass.
pub async fn expire(stage: &mut Stage) {
    stage.at("main", "expiring").await;
    stage.ok("credits for ten days", purchase("e-1", "12", 3_600, Some(START.plus_days(10)))).await;
    stage.ok("a grant for five", grant("2", Some(START.plus_days(5)))).await;
    stage.ok("a quote that lapses", estimate("e-quote", "2")).await;
    let until = Some(START.plus_days(3));
    let hold = EstimateIncident { expires_at: until, ..estimate_command("e-hold", quote("3")) };
    stage.ok("a hold that lapses", place_command(hold, false)).await;
    stage.ok("a hold that covers what has expired", place("e-covers", 7_200)).await;
    stage.ok("a new total for it, that lapses", estimate("e-covers", "6")).await;
    stage.ok("what waits too long", place_parked("e-parked", "500")).await;
    stage.pass_days(4);
    stage.due("the hold has lapsed").await;
    stage.pass_days(16);
    stage.due("everything has lapsed").await;
}

pub async fn everything(stage: &mut Stage) {
    settled(stage).await;
    in_other_ways(stage).await;
    clocked(stage).await;
    tiered(stage).await;
    in_the_window(stage).await;
    open_with_work(stage).await;
    second_card(stage).await;
    waiting(stage).await;
    together(stage).await;
}

fn circumstances(labels: &[&str]) -> Circumstances {
    let labels = labels.iter().map(|label| id(label)).collect();
    Circumstances { labels, emergency: false, kb_answered: false }
}

/// Settlements, in whole and in part given back; an incident that was opened again.
async fn settled(stage: &mut Stage) {
    stage.at("main", "acme").await;
    stage.ok("place i-settled", place("i-settled", 7_200)).await;
    stage.ok("work on i-settled", work("i-settled", 90)).await;
    let named = SettleHold {
        max_charge: Some(credits("40")),
        expected_work_seconds: Some(5_400),
        labels: vec![id("night")],
        emergency: Some(false),
        kb_answered: Some(true),
        ..settle_command(HoldRef::Incident(id("i-settled")))
    };
    stage.ok("settle i-settled", Command::SettleHold(named)).await;
    stage.ok("a part of it back", reverse("i-settled", Some("1.1"))).await;
    stage.ok("open it again", place("i-settled", 3_600)).await;
    stage.ok("more work on it", work("i-settled", 45)).await;
    stage.ok("settle it again", settle("i-settled")).await;

    stage.ok("place i-capped", place("i-capped", 60)).await;
    stage.ok("work on i-capped", work("i-capped", 200)).await;
    let above = |rejection: &Rejection| matches!(rejection, Rejection::ExceedsMaxCharge { .. });
    let dear =
        SettleHold { max_charge: Some(credits("1")), ..settle_command(HoldRef::Incident(id("i-capped"))) };
    stage.rejected("too dear", Command::SettleHold(dear), above).await;
    stage.ok("the vendor bears the rest", settle_capped("i-capped")).await;
    stage.ok("all of it back", reverse("i-capped", None)).await;

    stage.ok("place i-over", place("i-over", 1_800)).await;
    stage.ok("work on i-over", work("i-over", 120)).await;
    stage.ok("the rest from what is free", settle("i-over")).await;

    stage.ok("place i-waived", place("i-waived", 1_800)).await;
    stage.ok("work on i-waived", work("i-waived", 20)).await;
    let waived =
        SettleHold { waive_reason: id("our fault"), ..settle_command(HoldRef::Incident(id("i-waived"))) };
    stage.ok("settled for nothing", Command::SettleHold(waived)).await;

    let work = NewWork {
        seconds: 1_860,
        started_at: Some(START.plus_days(19)),
        line: Some(id("second")),
        solutions: 2,
        note: id("over the phone"),
        labels: vec![id("night"), id("weekend")],
    };
    let direct = ChargeIncident {
        class: Some(id("design")),
        work,
        opened_at: Some(START.plus_days(18)),
        max_charge: Some(credits("20")),
        circumstances: circumstances(&["night"]),
        ..charge_command("i-direct", 0)
    };
    stage.ok("a direct charge", Command::ChargeIncident(direct)).await;
    stage.ok("a part of that back", reverse("i-direct", Some("0.5"))).await;
    let free = ChargeIncident { waive_reason: id("a present"), ..charge_command("i-present", 30) };
    stage.ok("a charge of nothing", Command::ChargeIncident(free)).await;
    let sales = ChargeIncident { class: Some(id("sales")), ..charge_command("i-sales", 30) };
    stage.ok("a question about sales", Command::ChargeIncident(sales)).await;
}

/// Released, closed, declined, superseded, refused.
async fn in_other_ways(stage: &mut Stage) {
    stage.ok("place i-released", place("i-released", 1_800)).await;
    stage.ok("extend it", extend("i-released", "1.75")).await;
    stage.ok("release it", release("i-released", Text::EMPTY)).await;
    stage.ok("place i-given-up", place("i-given-up", 1_800)).await;
    stage.ok("work on i-given-up", work("i-given-up", 10)).await;
    let worked = |rejection: &Rejection| matches!(rejection, Rejection::WorkRecorded { .. });
    stage.rejected("not just so", release("i-given-up", Text::EMPTY), worked).await;
    stage.ok("release it for nothing", release("i-given-up", id("not worth it"))).await;
    stage.ok("place i-closed", place("i-closed", 1_800)).await;
    stage.ok("close it without work", close_incident("i-closed", None)).await;
    stage.ok("place i-closed-worked", place("i-closed-worked", 1_800)).await;
    stage.ok("work on i-closed-worked", work("i-closed-worked", 40)).await;
    stage.ok("close it with work", close_incident("i-closed-worked", Some(2_400))).await;
    stage.ok("estimate i-closed-quote", estimate("i-closed-quote", "2")).await;
    stage.ok("close the quote", close_incident("i-closed-quote", Some(0))).await;

    let outside = EstimateIncident {
        class: Some(id("design")),
        opened_at: Some(START.plus_days(19)),
        range_override: id("a whole new page"),
        circumstances: circumstances(&["weekend"]),
        ..estimate_command("i-superseded", quote("9"))
    };
    let ranged = |rejection: &Rejection| matches!(rejection, Rejection::EstimateOutOfRange { .. });
    let unexplained = EstimateIncident { range_override: Text::EMPTY, ..outside.clone() };
    stage.rejected("out of range", Command::EstimateIncident(unexplained), ranged).await;
    stage.ok("out of range, with a reason", Command::EstimateIncident(outside)).await;
    let class =
        EstimateIncident { class: Some(id("design")), ..estimate_command("i-superseded", Quote::Class) };
    stage.ok("superseded by the class's", Command::EstimateIncident(class)).await;
    stage.ok("decline it", decline("i-superseded")).await;
    let taught =
        EstimateIncident { class: Some(id("teaching")), ..estimate_command("i-taught", Quote::Class) };
    let refused = |rejection: &Rejection| matches!(rejection, Rejection::OutOfScope { .. });
    stage.rejected("not for sale", Command::EstimateIncident(taught), refused).await;
    let unquoted = settle("i-superseded");
    let inactive = |rejection: &Rejection| matches!(rejection, Rejection::HoldNotActive { .. });
    stage.rejected("nothing to settle", unquoted, inactive).await;

    let other = EstimateIncident { class: Some(id("other")), ..estimate_command("i-quoted", quote("4.5")) };
    stage.ok("a class that needs a quote", Command::EstimateIncident(other)).await;
    stage.ok("confirm it", confirm("i-quoted", false)).await;
    stage.ok("work on i-quoted", work("i-quoted", 10)).await;
    stage.ok("the quote is the charge", settle("i-quoted")).await;

    let short = |rejection: &Rejection| matches!(rejection, Rejection::InsufficientCredits { .. });
    let dear = || place_command(estimate_command("i-dear", quote("5000")), false);
    stage.rejected("a shortfall, noted", dear(), short).await;
    stage.rejected("the same, not noted again", dear(), short).await;
    stage.ok("the shortfall of an estimate", estimate("i-dear", "4000")).await;
    stage.ok("too dear, declined", decline("i-dear")).await;
}

/// By the clock: entries out of order, their starts known; the first one is voided.
async fn clocked(stage: &mut Stage) {
    stage.at("main", "clocked").await;
    stage.ok("clocked buys", purchase("c-1", "30", 9_000, None)).await;
    let at = |minutes: i64, length: u64| NewWork {
        started_at: Some(START.plus_days(19).plus_seconds(minutes * 60)),
        ..new_work(length)
    };
    for (incident, is_settled) in [("c-settled", true), ("c-open", false)] {
        stage.ok(&format!("place {incident}"), place(incident, 7_200)).await;
        stage.ok(&format!("{incident}: in the middle"), record(incident, at(60, 10))).await;
        let first = stage.ok(&format!("{incident}: at first"), record(incident, at(0, 5))).await;
        let last = NewWork { labels: vec![id("night")], line: Some(id("second")), ..at(100, 11) };
        stage.ok(&format!("{incident}: at last"), record(incident, last)).await;
        stage.ok(&format!("{incident}: start unknown"), work(incident, 3)).await;
        stage.ok(&format!("{incident}: the first was none"), void(incident, first)).await;
        if is_settled {
            stage.ok(&format!("settle {incident}"), settle(incident)).await;
        }
    }
}

async fn tiered(stage: &mut Stage) {
    stage.at("main", "tiered").await;
    stage.ok("tiered buys", purchase("t-1", "20", 6_000, None)).await;
    stage.ok("place t-settled", place_command(estimate_command("t-settled", Quote::Class), false)).await;
    let solved = |solutions| NewWork { solutions, ..new_work(8) };
    stage.ok("solved two", record("t-settled", solved(2))).await;
    stage.ok("settle t-settled", settle("t-settled")).await;
    stage.ok("place t-open", place_command(estimate_command("t-open", quote("3")), false)).await;
    stage.ok("solved one", record("t-open", solved(1))).await;
    stage.ok("solved two more", record("t-open", solved(2))).await;
    stage.ok("place t-flat", place_command(estimate_command("t-flat", Quote::Class), false)).await;
    stage.ok("solved one of it", record("t-flat", solved(1))).await;
    let unheld = |rejection: &Rejection| *rejection == Rejection::HoldRequired;
    stage.rejected("never without a hold", charge("t-direct", 5), unheld).await;
}

async fn in_the_window(stage: &mut Stage) {
    stage.at("main", "in-the-window").await;
    stage.ok("place f-open", place("f-open", 3_600)).await;
    stage.ok("work on f-open", work("f-open", 300)).await;
    stage.ok("a free charge", charge("f-charged", 50)).await;
}

/// An open hold with everything that work can have.
async fn open_with_work(stage: &mut Stage) {
    stage.at("main", "acme").await;
    let open = EstimateIncident {
        opened_at: Some(START.plus_days(20)),
        circumstances: Circumstances { kb_answered: true, ..circumstances(&["night"]) },
        ..estimate_command("i-open", Quote::Seconds(7_200))
    };
    stage.ok("place i-open", place_command(open, false)).await;
    stage.ok("extend i-open", extend("i-open", "2")).await;
    let started = |hour: i64| Some(START.plus_days(21).plus_seconds(hour * 3_600));
    let entry = |minutes, hour, line: Option<&str>, labels: &[&str]| NewWork {
        started_at: started(hour),
        line: line.map(id),
        labels: labels.iter().map(|label| id(label)).collect(),
        solutions: 1,
        ..new_work(minutes)
    };
    stage.ok("i-open: entry 1", record("i-open", entry(45, 2, Some("second"), &["weekend"]))).await;
    let wrong = stage.ok("i-open: entry 2", record("i-open", entry(30, 1, None, &[]))).await;
    stage.ok("i-open: entry 3", record("i-open", entry(25, 5, Some("first"), &["night", "weekend"]))).await;
    stage.ok("i-open: entry 4", work("i-open", 15)).await;
    stage.ok("i-open: void entry 2", void("i-open", wrong)).await;
    let voided = |rejection: &Rejection| *rejection == Rejection::WorkVoided;
    stage.rejected("i-open: void it twice", void("i-open", wrong), voided).await;
}

/// What waits for an answer or for credits when the database is left; no time passes after it.
async fn waiting(stage: &mut Stage) {
    stage.ok("a new total for i-open", estimate("i-open", "20")).await;

    stage.at("main", "quoted").await;
    stage.ok("quoted buys", purchase("q-1", "30", 9_000, None)).await;
    stage.ok("a quote", estimate("q-quoted", "2")).await;
    stage.ok("another", estimate("q-declined", "2")).await;
    stage.ok("one that will lapse", estimate("q-lapsing", "2")).await;
    stage.ok("place q-active", place_command(estimate_command("q-active", quote("4")), false)).await;
    stage.ok("a new total for q-active", estimate("q-active", "6.5")).await;
    stage.ok("place q-down", place_command(estimate_command("q-down", quote("4")), false)).await;
    stage.ok("a lower total for q-down", estimate("q-down", "1.5")).await;

    stage.at("main", "parked").await;
    stage.ok("parked buys", purchase("p-1", "3", 900, None)).await;
    stage.ok("parked has work", place_command(estimate_command("p-active", quote("2")), false)).await;
    stage.ok("the first waits", place_parked("p-first", "5")).await;
    stage.ok("a new total for p-active", estimate("p-active", "6")).await;
    stage.ok("it waits too", confirm("p-active", true)).await;
    stage.ok("a quote for the last", estimate("p-last", "2")).await;
    stage.ok("the last waits", confirm("p-last", true)).await;

    stage.at("main", "freed").await;
    stage.ok("freed buys", purchase("freed-1", "1", 300, None)).await;
    stage.ok("freed waits", place_parked("freed-first", "3")).await;
    stage.ok("freed waits twice", place_parked("freed-second", "2.5")).await;
    stage.ok("freed buys more", purchase("freed-2", "2", 600, None)).await;
    stage.ok("freed gives up", decline("freed-second")).await;
}

/// Several commands of several customers in one commit.
async fn together(stage: &mut Stage) {
    let commands = vec![
        ("acme", place("b-1", 3_600)),
        ("quoted", place("b-2", 1_800)),
        ("acme", work("b-1", 30)),
        ("alerted", grant("0.5", None)),
        ("acme", settle("b-1")),
        ("quoted", work("b-2", 5)),
    ];
    stage.at("main", "acme").await;
    stage.batch("together", commands).await;
}
