//! What a price depends on besides the card: the incident, its circumstances, and the work on it.

use super::codec::record;
use super::credits::Credits;
use super::ids::{ClassId, LabelId, LineId, PackageId, Text};
use super::rules::Rules;
use super::time::Day;
use super::work::{Span, WorkPart, WorkSums};

/// What a price depends on besides the card. Stored with each settlement: with the pinned card it gives the receipt
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceInputs {
    pub class: Option<ClassId>,
    /// The UTC day on which the incident was opened.
    pub opened_on: Day,
    pub product_purchased_on: Option<Day>,
    /// Seconds of work on the incident, all of its settlements together.
    pub seconds: u64,
    /// The total of a quote that was given in credits and that the customer confirmed.
    pub confirmed_quote: Option<Credits>,
    /// What earlier settlements of the incident charged and did not give back.
    pub charged_before: Credits,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    pub package: Option<PackageId>,
    pub circumstances: Circumstances,
    /// The seconds by line of support, in the order in which the lines worked last; empty where no line is named.
    pub lines: Vec<LineTime>,
    /// Solutions that the work brought. An incident counts at least one.
    pub solutions: u32,
    /// From the first start of work to its last end, where starts are known.
    pub span: Option<Span>,
    /// What the calculation goes by.
    pub rules: Rules,
}
record!(PriceInputs {
    1 => class, 2 => opened_on, 3 => product_purchased_on, 4 => seconds, 5 => confirmed_quote, 6 => charged_before,
    7 => waive_reason, 8 => package, 9 => circumstances, 10 => lines, 11 => solutions, 12 => span,
    13 => rules,
});

/// What is special about an incident, as far as a card may care.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// What it may cost more for, in order and each once.
    pub labels: Vec<LabelId>,
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
            self.add_label(label);
        }
    }

    fn add_label(&mut self, label: &LabelId) {
        if let Err(place) = self.labels.binary_search(label) {
            self.labels.insert(place, label.clone());
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
    pub seconds: u64,
}
record!(LineTime { 1 => line, 2 => seconds });

impl PriceInputs {
    /// The most lines of support that the work on one incident names, work that names none counting as one.
    pub const LINES_MAX: u32 = 64;
    /// The most labels of one incident, those of its work included.
    pub const LABELS_MAX: u32 = 64;

    /// Adds pieces of work, in the order in which they were recorded, to inputs without work.
    pub fn add_work<'a>(&mut self, parts: impl Iterator<Item = WorkPart<'a>>) {
        for (nth, part) in parts.enumerate() {
            self.add_part(part, nth > 0);
        }
    }

    /// Adds the work of several holds, in their order, and a last piece, to inputs without work. The result is that of
    /// [`PriceInputs::add_work`] for all of their entries, one hold's after the other's. Of each line only the sum and
    /// the place of its last entry matter.
    pub fn add_sums<'a>(&mut self, holds: impl Iterator<Item = &'a WorkSums>, last: Option<WorkPart<'_>>) {
        let mut has_work = false;
        for sums in holds {
            for line in &sums.lines {
                let part =
                    WorkPart { seconds: line.seconds, line: line.line.as_ref(), ..WorkPart::default() };
                self.add_part(part, has_work);
                has_work = true;
            }
            let solutions = u32::try_from(sums.solutions).unwrap_or(u32::MAX);
            self.solutions = self.solutions.saturating_add(solutions);
            sums.labels.iter().for_each(|(label, _)| self.circumstances.add_label(label));
            if let Some(placed) = sums.placed {
                self.add_span(placed.span);
            }
        }
        if let Some(part) = last {
            self.add_part(part, has_work);
        }
    }

    /// `has_work` is true where there was work before.
    fn add_part(&mut self, part: WorkPart<'_>, has_work: bool) {
        if self.lines.is_empty() && part.line.is_some() && has_work {
            self.lines.push(LineTime { line: None, seconds: self.seconds });
        }
        if !self.lines.is_empty() || part.line.is_some() {
            self.add_to_line(part.line, part.seconds);
        }
        self.seconds = self.seconds.saturating_add(part.seconds);
        self.solutions = self.solutions.saturating_add(part.solutions);
        self.circumstances.add_labels(part.labels);
        if let Some(span) = part.span() {
            self.add_span(span);
        }
    }

    fn add_span(&mut self, span: Span) {
        self.span = Some(self.span.map_or(span, |before| before.joined(span)));
    }

    fn add_to_line(&mut self, line: Option<&LineId>, seconds: u64) {
        let before = self.lines.iter().position(|time| time.line.as_ref() == line);
        let before = before.map_or(0, |place| self.lines.remove(place).seconds);
        self.lines.push(LineTime { line: line.cloned(), seconds: before.saturating_add(seconds) });
    }
}
