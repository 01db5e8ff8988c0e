//! Which event is sent next: the earliest one of a customer that has none in flight.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::incidents::Incident;
use super::plan::{Event, schedule};
use crate::ledger::CustomerId;

/// The events that were not sent yet.
#[derive(Debug)]
pub struct Queue {
    lines: HashMap<CustomerId, Line>,
    /// The places of the first events of customers that have none in flight.
    ready: BTreeSet<(usize, CustomerId)>,
    stopped: bool,
}

#[derive(Debug, Default)]
struct Line {
    /// Events with their places in the whole order.
    events: VecDeque<(usize, Event)>,
    begun: bool,
}

/// What a worker does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Send this event.
    Event {
        event: Event,
        /// True for the first of its customer.
        first: bool,
    },
    /// Wait until an event is done: the customers of all remaining events have one in flight.
    Wait,
    /// Nothing is left to send.
    End,
}

impl Queue {
    /// All events of the incidents.
    #[must_use]
    pub fn new(incidents: &[Incident]) -> Self {
        let mut lines: HashMap<CustomerId, Line> = HashMap::new();
        for (place, event) in schedule(incidents).into_iter().enumerate() {
            if let Some(incident) = incidents.get(event.incident) {
                lines.entry(incident.customer.clone()).or_default().events.push_back((place, event));
            }
        }
        let ready = lines
            .iter()
            .filter_map(|(customer, line)| Some((line.events.front()?.0, customer.clone())))
            .collect();
        Self { lines, ready, stopped: false }
    }

    /// Takes the next event. Its customer has one in flight until [`Queue::done`].
    pub fn take(&mut self) -> Next {
        if self.stopped || self.lines.is_empty() {
            return Next::End;
        }
        let line = self.ready.pop_first().and_then(|(_, customer)| self.lines.get_mut(&customer));
        let Some(line) = line else { return Next::Wait };
        let Some((_, event)) = line.events.pop_front() else { return Next::Wait };
        let first = !std::mem::replace(&mut line.begun, true);
        Next::Event { event, first }
    }

    /// Marks the event that was taken for this customer as done.
    pub fn done(&mut self, customer: &CustomerId) {
        let next = self.lines.get(customer).and_then(|line| line.events.front());
        match next {
            Some((place, _)) => {
                self.ready.insert((*place, customer.clone()));
            }
            None => {
                self.lines.remove(customer);
            }
        }
    }

    /// No more events are sent from now on.
    pub fn stop(&mut self) {
        self.stopped = true;
    }
}

#[cfg(test)]
mod tests {
    use super::super::incidents::parse;
    use super::super::plan::Moment;
    use super::*;

    fn incidents() -> Vec<Incident> {
        let text = "incident_id,customer_id,incident_class,estimated_minutes,worked_minutes,opened_at,closed_at\n\
            a1,a,c,1,1,2016-01-01T00:00:00Z,2016-01-01T00:03:00Z\n\
            b1,b,c,1,1,2016-01-01T00:01:00Z,2016-01-01T00:05:00Z\n\
            a2,a,c,1,1,2016-01-01T00:02:00Z,2016-01-01T00:04:00Z\n";
        parse(text.as_bytes()).unwrap()
    }

    fn event(incident: usize, moment: Moment, first: bool) -> Next {
        Next::Event { event: Event { incident, moment }, first }
    }

    #[test]
    fn one_worker_follows_the_order_of_time() {
        let incidents = incidents();
        let mut queue = Queue::new(&incidents);
        let mut order = Vec::new();
        while let Next::Event { event, first } = queue.take() {
            let incident = &incidents[event.incident];
            order.push((incident.id.as_str(), event.moment, first));
            queue.done(&incident.customer);
        }
        assert_eq!(queue.take(), Next::End);
        use Moment::{Closing, Opening};
        assert_eq!(
            order,
            [
                ("a1", Opening, true),
                ("b1", Opening, true),
                ("a2", Opening, false),
                ("a1", Closing, false),
                ("a2", Closing, false),
                ("b1", Closing, false),
            ]
        );
    }

    #[test]
    fn a_customer_has_one_event_under_way_and_the_others_go_on() {
        let incidents = incidents();
        let (a, b) = (&incidents[0].customer, &incidents[1].customer);
        let mut queue = Queue::new(&incidents);
        assert_eq!(queue.take(), event(0, Moment::Opening, true));
        assert_eq!(queue.take(), event(1, Moment::Opening, true));
        assert_eq!(queue.take(), Next::Wait);
        queue.done(b);
        assert_eq!(queue.take(), event(1, Moment::Closing, false));
        queue.done(b);
        assert_eq!(queue.take(), Next::Wait);
        queue.done(a);
        assert_eq!(queue.take(), event(2, Moment::Opening, false));
        queue.stop();
        queue.done(a);
        assert_eq!(queue.take(), Next::End);
    }
}
