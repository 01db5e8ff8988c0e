//! What a price depends on besides the card: the incident, its circumstances, and the work on it.

use super::codec::record;
use super::credits::Credits;
use super::ids::{ClassId, LabelId, LineId, PackageId, Text};
use super::time::{Day, Timestamp};

/// What a price depends on besides the card. Stored with each settlement: with the pinned card it gives the receipt
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceInputs {
    /// The incident's class.
    pub class: Option<ClassId>,
    /// The UTC day on which the incident was opened.
    pub opened_on: Day,
    /// When the customer bought the product.
    pub product_purchased_on: Option<Day>,
    /// Seconds of work on the incident, all of its settlements together.
    pub seconds: u64,
    /// The total of a quote that was given in credits and that the customer confirmed.
    pub confirmed_quote: Option<Credits>,
    /// What earlier settlements of the incident charged and did not give back.
    pub charged_before: Credits,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    /// The customer's support package.
    pub package: Option<PackageId>,
    /// What is special about the incident.
    pub circumstances: Circumstances,
    /// The seconds by line of support, in the order in which the lines worked last; empty where no line is named.
    pub lines: Vec<LineTime>,
    /// Solutions that the work brought. An incident counts at least one.
    pub solutions: u32,
    /// From the first start of work to its last end, where starts are known.
    pub span: Option<Span>,
}
record!(PriceInputs {
    1 => class, 2 => opened_on, 3 => product_purchased_on, 4 => seconds, 5 => confirmed_quote, 6 => charged_before,
    7 => waive_reason, 8 => package, 9 => circumstances, 10 => lines, 11 => solutions, 12 => span,
});

/// What is special about an incident, as far as a card may care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// What it may cost more for, in order and each once.
    pub labels: Vec<LabelId>,
    /// True for an emergency.
    pub emergency: bool,
    /// True where the knowledge base had the answer already.
    pub kb_answered: bool,
}
record!(Circumstances or default { 1 => labels, 2 => emergency, 3 => kb_answered });

impl Circumstances {
    /// The most labels that a command names.
    pub const LABELS_MAX: usize = 16;

    /// Adds labels, each once.
    pub fn add_labels(&mut self, labels: &[LabelId]) {
        for label in labels {
            if let Err(place) = self.labels.binary_search(label) {
                self.labels.insert(place, label.clone());
            }
        }
    }

    /// Adds what is special about another part of the same incident.
    pub fn add(&mut self, other: &Self) {
        self.add_labels(&other.labels);
        self.emergency |= other.emergency;
        self.kb_answered |= other.kb_answered;
    }
}

/// Time on one line of support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTime {
    /// The line; `None` for work that names none.
    pub line: Option<LineId>,
    /// Its seconds.
    pub seconds: u64,
}
record!(LineTime { 1 => line, 2 => seconds });

/// Work whose start is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first start.
    pub from: Timestamp,
    /// The last end.
    pub until: Timestamp,
    /// The recorded seconds in it, which may be more than it is long (two at work) or less (a pause).
    pub seconds: u64,
}
record!(Span { 1 => from, 2 => until, 3 => seconds });

impl Span {
    /// From the first start to the last end, in started seconds.
    #[must_use]
    pub fn seconds_elapsed(&self) -> u64 {
        let micros = self.until.micros().saturating_sub(self.from.micros()).max(0).unsigned_abs();
        micros.div_ceil(Timestamp::MICROS_PER_SECOND.unsigned_abs())
    }
}

/// A piece of work, as far as its price is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkPart<'a> {
    /// How long it took.
    pub seconds: u64,
    /// When it began, where known.
    pub started_at: Option<Timestamp>,
    /// Which line did it.
    pub line: Option<&'a LineId>,
    /// How many solutions it brought.
    pub solutions: u32,
    /// What it may cost more for.
    pub labels: &'a [LabelId],
}

impl PriceInputs {
    /// Adds pieces of work, in the order in which they were recorded, to inputs without work.
    pub fn add_work<'a>(&mut self, parts: impl Iterator<Item = WorkPart<'a>>) {
        for (nth, part) in parts.enumerate() {
            if self.lines.is_empty() && part.line.is_some() && nth > 0 {
                self.lines.push(LineTime { line: None, seconds: self.seconds });
            }
            if !self.lines.is_empty() || part.line.is_some() {
                self.add_to_line(part.line, part.seconds);
            }
            self.seconds = self.seconds.saturating_add(part.seconds);
            self.solutions = self.solutions.saturating_add(part.solutions);
            self.circumstances.add_labels(part.labels);
            if let Some(from) = part.started_at {
                let until = from.plus_seconds(i64::try_from(part.seconds).unwrap_or(i64::MAX));
                let span = self.span.get_or_insert(Span { from, until, seconds: 0 });
                span.from = span.from.min(from);
                span.until = span.until.max(until);
                span.seconds = span.seconds.saturating_add(part.seconds);
            }
        }
    }

    fn add_to_line(&mut self, line: Option<&LineId>, seconds: u64) {
        let before = self.lines.iter().position(|time| time.line.as_ref() == line);
        let before = before.map_or(0, |place| self.lines.remove(place).seconds);
        self.lines.push(LineTime { line: line.cloned(), seconds: before.saturating_add(seconds) });
    }
}
