//! The part of the replay that needs no server. It decides the order in which incidents are opened and closed, the
//! request ids, and the packs of credits that are bought.

use uuid::Uuid;

use super::incidents::Incident;
use crate::ledger::hash::stable_hash;
use crate::ledger::{Credits, CustomerId, Timestamp};

/// The packs that a customer can buy. Above the largest pack, multiples of it are bought.
const PACKS: [i64; 6] = [5, 10, 25, 50, 100, 250];

/// The two moments of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Its credits are held.
    Opening,
    /// Its work is recorded and charged.
    Closing,
}

/// One moment of one incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The place of the incident in the file, from 0.
    pub incident: usize,
    /// Whether it is opened or closed.
    pub moment: Moment,
}

/// All events in the order in which they are sent: by time, then closings before openings, then by the order of the
/// file. If an incident closes at the moment at which it opens, its closing follows its opening.
pub fn schedule(incidents: &[Incident]) -> Vec<Event> {
    let mut events: Vec<_> = incidents
        .iter()
        .enumerate()
        .flat_map(|(index, incident)| {
            let at_once = incident.closed_at == incident.opened_at;
            let opening = Event { incident: index, moment: Moment::Opening };
            let closing = Event { incident: index, moment: Moment::Closing };
            // (time, closings first, file order, opening first)
            [
                ((incident.opened_at, true, index, Moment::Opening), opening),
                ((incident.closed_at, at_once, index, Moment::Closing), closing),
            ]
        })
        .collect();
    events.sort_unstable_by_key(|(place, _)| *place);
    events.into_iter().map(|(_, event)| event).collect()
}

/// The smallest pack that covers `shortfall`.
pub fn pack_for(shortfall: Credits) -> Credits {
    let largest = Credits::whole(PACKS[PACKS.len() - 1]);
    PACKS.into_iter().map(Credits::whole).find(|pack| *pack >= shortfall).unwrap_or_else(|| {
        let packs = shortfall.units().div_euclid(largest.units());
        let over = i64::from(shortfall.units().rem_euclid(largest.units()) > 0);
        Credits::from_units(packs.saturating_add(over).saturating_mul(largest.units()))
    })
}

/// The purpose of a request; together with the incident it gives the request id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// PlaceHold.
    Place,
    /// RecordWork.
    Work,
    /// SettleHold.
    Settle,
    /// The nth purchase for a moment, from 1. The request id is the order id as well.
    TopUp(Moment, u32),
}

/// The request id of a step. It is the same in every run over the same file. A second run, or one after a crash, gets
/// the answers of the first.
///
/// It has the form of a UUIDv7 with the step's own time in front. Events are sent in that order, so the ids are
/// appended to the ledger's index of requests and not scattered over it.
pub fn request_id(incident: &Incident, step: Step) -> Uuid {
    let (moment, step, count) = match step {
        Step::Place => (Moment::Opening, "place", 0),
        Step::Work => (Moment::Closing, "work", 0),
        Step::Settle => (Moment::Closing, "settle", 0),
        Step::TopUp(Moment::Opening, count) => (Moment::Opening, "top-up to place", count),
        Step::TopUp(Moment::Closing, count) => (Moment::Closing, "top-up to settle", count),
    };
    let time = match moment {
        Moment::Opening => incident.opened_at,
        Moment::Closing => incident.closed_at,
    };
    time_ordered(time, &[incident.id.as_str(), step, &count.to_string()])
}

/// The request id that creates a customer.
pub fn creation_id(customer: &CustomerId, first_seen: Timestamp) -> Uuid {
    time_ordered(first_seen, &[customer.as_str(), "create"])
}

fn time_ordered(time: Timestamp, parts: &[&str]) -> Uuid {
    let parts: Vec<&[u8]> =
        std::iter::once("replay").chain(parts.iter().copied()).map(str::as_bytes).collect();
    let hash = stable_hash(&parts);
    let millis = u64::try_from(time.micros().div_euclid(1_000)).unwrap_or_default();
    let hash = hash.to_be_bytes();
    let mut counter_and_random = [0; 10];
    counter_and_random[..2].copy_from_slice(&hash[..2]);
    counter_and_random[2..].copy_from_slice(&hash);
    uuid::Builder::from_unix_timestamp_millis(millis, &counter_and_random).into_uuid()
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::super::incidents::parse;
    use super::*;

    const HEADER: &str =
        "incident_id,customer_id,incident_class,estimated_minutes,worked_minutes,opened_at,closed_at";

    /// Incidents from (id, opened, closed), in minutes of one hour.
    fn incidents(rows: &[(&str, u32, u32)]) -> Vec<Incident> {
        let mut text = HEADER.to_owned();
        for (id, opened, closed) in rows {
            let time = |minute| format!("2016-03-01T10:{minute:02}:00Z");
            write!(text, "\n{id},acme,c-1,10,10,{},{}", time(opened), time(closed)).unwrap();
        }
        parse(text.as_bytes()).unwrap()
    }

    fn order(rows: &[(&str, u32, u32)]) -> String {
        let incidents = incidents(rows);
        let show = |event: Event| {
            let sign = if event.moment == Moment::Opening { "+" } else { "-" };
            format!("{sign}{}", incidents[event.incident].id)
        };
        schedule(&incidents).into_iter().map(show).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn events_follow_time_then_closings_then_the_file() {
        assert_eq!(order(&[("a", 5, 9), ("b", 0, 5)]), "+b -b +a -a");
        assert_eq!(order(&[("b", 1, 9), ("a", 1, 9)]), "+b +a -b -a");
        assert_eq!(order(&[("new", 5, 9), ("old", 0, 5), ("new2", 5, 9), ("old2", 0, 5)]), {
            "+old +old2 -old -old2 +new +new2 -new -new2"
        });
    }

    #[test]
    fn an_incident_that_closes_at_once_still_opens_first() {
        assert_eq!(order(&[("x", 5, 5), ("old", 0, 5), ("y", 5, 7)]), "+old -old +x -x +y -y");
    }

    #[test]
    fn the_smallest_pack_covers_the_shortfall() {
        for (shortfall, pack) in [
            ("0.0001", 5),
            ("5", 5),
            ("5.0001", 10),
            ("10.01", 25),
            ("25.5", 50),
            ("50.01", 100),
            ("250", 250),
            ("250.0001", 500),
            ("500", 500),
            ("1201", 1_250),
        ] {
            assert_eq!(pack_for(Credits::parse(shortfall).unwrap()), Credits::whole(pack), "{shortfall}");
        }
    }

    #[test]
    fn request_ids_are_stable_distinct_and_in_the_order_of_time() {
        let incidents = incidents(&[("a", 1, 2), ("b", 3, 4)]);
        let steps = [
            Step::TopUp(Moment::Opening, 1),
            Step::TopUp(Moment::Opening, 2),
            Step::Place,
            Step::Work,
            Step::Settle,
            Step::TopUp(Moment::Closing, 1),
        ];
        let ids: Vec<_> =
            incidents.iter().flat_map(|incident| steps.map(|step| request_id(incident, step))).collect();
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert!(ids.iter().all(|id| id.get_version_num() == 7));
        assert!(ids[2] < ids[3] && ids[4] < ids[8], "opening, closing, next opening");
        // Databases have these ids stored: a change would make a second run charge everything again.
        assert_eq!(ids[2].to_string(), "0153319f-a760-71fd-81fd-c2b103ad291b");
        assert_eq!(
            creation_id(&incidents[0].customer, incidents[0].opened_at).to_string(),
            "0153319f-a760-7c9a-ac9a-5f2a71c76c21"
        );
    }
}
