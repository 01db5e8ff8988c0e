//! Work is listed entry by entry, and carried in sums.

use creditledger::grpc::wire::*;
use prost_types::Timestamp;
use tonic::{Code, Status};

use crate::errors::{fields, reason};
use crate::served::{On, Served, on_each_engine};

on_each_engine! {
    entries_are_paged_in_order_with_those_that_were_voided
    pages_go_on_where_they_were_whatever_is_voided_between
    what_has_no_entries_or_is_not_there
}

const START: i64 = 1_767_225_600;

#[allow(clippy::unnecessary_wraps)] // as requests take it
fn at(seconds: i64) -> Option<Timestamp> {
    Some(Timestamp { seconds: START + seconds, nanos: 0 })
}

fn list(target: HoldTarget, page_size: i32) -> ListWorkRequest {
    ListWorkRequest { customer_id: "acme".into(), target: Some(target), page_size, ..Default::default() }
}

fn incident(page_size: i32) -> ListWorkRequest {
    list(HoldTarget::incident("i"), page_size)
}

/// All pages; none is longer than was asked for, and none but the last one is empty.
async fn all(served: &Served, mut request: ListWorkRequest) -> Vec<WorkEntry> {
    let mut entries = Vec::new();
    loop {
        let page = served.holds().list_work(request.clone()).await.unwrap().into_inner();
        assert!(page.entries.len() <= usize::try_from(request.page_size).unwrap());
        entries.extend(page.entries);
        request.page_token = page.next_page_token;
        if request.page_token.is_empty() {
            return entries;
        }
    }
}

async fn record(served: &Served, work: RecordWorkRequest) -> (WorkEntry, WorkSummary) {
    let recorded = served.holds().record_work(work).await.unwrap().into_inner();
    (recorded.entry.clone().unwrap(), recorded.outcome().hold.unwrap().work.unwrap())
}

async fn void(served: &Served, work_id: &str) -> (WorkEntry, WorkSummary) {
    let request = VoidWorkRequest {
        context: Some(context(served.next(), "acme").by("bo").because("slip")),
        target: Some(HoldTarget::incident("i")),
        work_id: work_id.into(),
    };
    let voided = served.holds().void_work(request).await.unwrap().into_inner();
    (voided.entry.clone().unwrap(), voided.outcome().hold.unwrap().work.unwrap())
}

async fn entries_are_paged_in_order_with_those_that_were_voided(on: On) {
    let served = Served::with_credits(on, "50").await;
    let placed = served.holds().place_hold(served.hold("i", "9")).await.unwrap().into_inner().outcome();
    let hold = placed.hold.unwrap();
    assert_eq!(hold.work, Some(WorkSummary::default()), "set, and empty, before the first entry");
    let mut recorded = Vec::new();
    for (minutes, line, started_at, solutions) in [
        (10, "first", at(0), 0),
        (20, "second", at(-7_200), 1),
        (30, "first", None, 0),
        (40, "", at(7_200), 2),
        (5, "second", at(-600), 0),
    ] {
        let work = RecordWorkRequest {
            context: Some(context(served.next(), "acme").by("ann")),
            line: line.into(),
            started_at,
            solutions,
            note: format!("{minutes} minutes"),
            ..served.work("i", minutes)
        };
        let (entry, _) = record(&served, work).await;
        assert_eq!((entry.work_seconds, entry.line.as_str()), (minutes * 60, line));
        assert_eq!((entry.by.as_str(), entry.solutions, entry.started_at), ("ann", solutions, started_at));
        assert_eq!((&entry.voided, entry.recorded_at.is_some()), (&None, true));
        recorded.push(entry);
    }
    let (voided, summary) = void(&served, &recorded[1].work_id).await;
    let why = voided.voided.clone().unwrap();
    assert_eq!((why.by.as_str(), why.reason.as_str(), why.voided_at.is_some()), ("bo", "slip", true));
    assert_eq!(WorkEntry { voided: None, ..voided.clone() }, recorded[1], "else it is as it was");
    recorded[1] = voided;
    for page_size in [1, 2, 3, 5, 50] {
        assert_eq!(all(&served, incident(page_size)).await, recorded, "{page_size} a page");
        let by_id = list(HoldTarget::hold(&hold.hold_id), page_size);
        assert_eq!(all(&served, ListWorkRequest { customer_id: String::new(), ..by_id }).await, recorded);
    }
    // The sums are those of the entries that count.
    let line = |line: &str, work_seconds| LineTime { line: line.into(), work_seconds };
    let expected = WorkSummary {
        entries: 5,
        counted_entries: 4,
        work_seconds: 5_100,
        lines: vec![line("first", 2_400), line("", 2_400), line("second", 300)],
        solutions: 2,
        first_started_at: at(-600),
        last_ended_at: at(9_600),
        placed_seconds: 3_300,
    };
    assert_eq!(summary, expected);
    let get = GetHoldRequest {
        customer_id: "acme".into(),
        target: Some(HoldTarget::incident("i")),
        ..Default::default()
    };
    assert_eq!(served.holds().get_hold(get).await.unwrap().into_inner().hold.unwrap().work, Some(summary));
    let listed = served.holds().list_holds(ListHoldsRequest::default()).await.unwrap().into_inner().holds;
    assert_eq!(listed[0].work.as_ref(), Some(&expected));
    // Once it is settled, they stay.
    let settled = served.holds().settle_hold(served.settle("i")).await.unwrap().into_inner().outcome();
    let settled = settled.hold.unwrap();
    assert_eq!((settled.work, settled.settlement.unwrap().work_seconds), (Some(expected), 5_100));
    assert_eq!(all(&served, incident(2)).await, recorded);
    // A charge without a hold, which only its id names, has its one entry.
    let charge = ChargeIncidentRequest {
        context: Some(context(served.next(), "acme").by("cy")),
        incident_id: "direct".into(),
        work_seconds: 600,
        ..Default::default()
    };
    let charged = served.holds().charge_incident(charge).await.unwrap().into_inner();
    let entry = charged.entry.clone().unwrap();
    assert_eq!((entry.work_seconds, entry.by.as_str()), (600, "cy"));
    let direct = charged.outcome().hold.unwrap();
    assert_eq!(direct.work.unwrap().entries, 1);
    assert_eq!(all(&served, list(HoldTarget::hold(direct.hold_id), 2)).await, [entry]);
    served.verify().await;
}

async fn pages_go_on_where_they_were_whatever_is_voided_between(on: On) {
    let served = Served::with_credits(on, "50").await;
    served.holds().place_hold(served.hold("i", "9")).await.unwrap();
    let mut ids = Vec::new();
    for minutes in 1..=6 {
        ids.push(record(&served, served.work("i", minutes)).await.0.work_id);
    }
    let first = served.holds().list_work(incident(2)).await.unwrap().into_inner();
    // The last one that was seen is voided, so is one that was not, and one is added.
    void(&served, &ids[1]).await;
    void(&served, &ids[3]).await;
    ids.push(record(&served, served.work("i", 7)).await.0.work_id);
    let rest = ListWorkRequest { page_token: first.next_page_token.clone(), ..incident(2) };
    let mut seen: Vec<_> = first.entries;
    seen.extend(all(&served, rest).await);
    assert_eq!(seen.iter().map(|entry| entry.work_id.clone()).collect::<Vec<_>>(), ids);
    let voided: Vec<_> = seen.iter().map(|entry| entry.voided.is_some()).collect();
    assert_eq!(voided, [false, false, false, true, false, false, false]);
    // A token belongs to its hold.
    served.holds().place_hold(served.hold("other", "1")).await.unwrap();
    let elsewhere =
        ListWorkRequest { page_token: first.next_page_token, ..list(HoldTarget::incident("other"), 2) };
    let nonsense = ListWorkRequest { page_token: "nonsense".into(), ..incident(2) };
    for bad in [elsewhere, nonsense] {
        assert_eq!(fields(&served.holds().list_work(bad).await.unwrap_err()), ["page_token"]);
    }
    assert_eq!(all(&served, list(HoldTarget::incident("other"), 2)).await, []);
}

async fn what_has_no_entries_or_is_not_there(on: On) {
    let served = Served::with_credits(on, "5").await;
    served.customers().create_customer(served.customer("zeta")).await.unwrap();
    served.holds().estimate_incident(served.estimate("i", "1")).await.unwrap();
    assert_eq!(all(&served, incident(2)).await, []);
    let refused =
        async |request: ListWorkRequest| -> Status { served.holds().list_work(request).await.unwrap_err() };
    let bad = ListWorkRequest { customer_id: String::new(), ..incident(2) };
    assert_eq!(fields(&refused(bad).await), ["customer_id"]);
    assert_eq!(fields(&refused(incident(-1)).await), ["page_size"]);
    let nothing = ListWorkRequest { target: None, ledger_id: "a b".into(), ..incident(2) };
    assert_eq!(fields(&refused(nothing).await), ["ledger_id", "target"]);
    let nothing = ListWorkRequest { target: Some(HoldTarget::default()), ..incident(2) };
    assert_eq!(fields(&refused(nothing).await), ["target"]);
    for (request, expected) in [
        (list(HoldTarget::incident("nothing"), 2), "HOLD_NOT_FOUND"),
        (list(HoldTarget::hold("0190a2b4-c0de-7000-8000-000000000001"), 2), "HOLD_NOT_FOUND"),
        (ListWorkRequest { customer_id: "zeta".into(), ..incident(2) }, "HOLD_NOT_FOUND"),
        (ListWorkRequest { customer_id: "nobody".into(), ..incident(2) }, "CUSTOMER_NOT_FOUND"),
        (ListWorkRequest { ledger_id: "nowhere".into(), ..incident(2) }, "LEDGER_NOT_FOUND"),
    ] {
        let status = refused(request).await;
        assert_eq!((status.code(), reason(&status).as_str()), (Code::NotFound, expected));
    }
}
