//! What a price depends on besides the card: the incident, its circumstances, and the work on it.

use super::codec::record;
use super::credits::Credits;
use super::ids::{ClassId, LabelId, LineId, PackageId, Text};
use super::rules::Rules;
use super::time::Day;
use super::work::{LineSum, Span, WorkPart, WorkSums};

/// What a price depends on besides the card. Stored with each settlement: with the pinned card it gives the receipt
/// again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PriceInputs {
    pub class: Option<ClassId>,
    /// The UTC day on which the incident was opened.
    pub opened_on: Day,
    pub product_purchased_on: Option<Day>,
    /// Seconds of work on the hold. By the first rules on the incident, all of its settlements together; so are
    /// `circumstances`, `lines`, `solutions` and `span`.
    pub seconds: u64,
    /// The total of a quote that was given in credits and that the customer confirmed.
    pub confirmed_quote: Option<Credits>,
    /// What earlier settlements of the incident charged and did not give back; only by the first rules.
    pub charged_before: Credits,
    /// Why nothing is charged; empty charges.
    pub waive_reason: Text,
    pub package: Option<PackageId>,
    pub circumstances: Circumstances,
    /// The seconds by line of support, in the order in which the lines worked last; empty where no line is named.
    pub lines: Vec<LineTime>,
    /// Solutions that the work brought. At least one is counted.
    pub solutions: u32,
    /// From the first start of work to its last end, where starts are known.
    pub span: Option<Span>,
    /// What the calculation goes by.
    pub rules: Rules,
    /// The billable time of the incident's earlier settlements; `None` where nothing of it is billable. An earlier
    /// settlement of no time is billable too. Not by the first rules.
    pub before: Option<WorkTime>,
}
record!(PriceInputs {
    1 => class, 2 => opened_on, 3 => product_purchased_on, 4 => seconds, 5 => confirmed_quote, 6 => charged_before,
    7 => waive_reason, 8 => package, 9 => circumstances, 10 => lines, 11 => solutions, 12 => span,
    13 => rules, 14 => before,
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
}

/// Time on one line of support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineTime {
    /// The line; `None` for work that names none.
    pub line: Option<LineId>,
    pub seconds: u64,
}
record!(LineTime { 1 => line, 2 => seconds });

/// Time of work, as far as a price depends on it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkTime {
    pub seconds: u64,
    /// The seconds by line of support, in the order in which the lines worked last; empty where no line is named.
    pub lines: Vec<LineTime>,
    /// From the first start to the last end, and what has no start. That of several holds is added up: the time between
    /// them is nobody's work.
    pub elapsed: u64,
}
record!(WorkTime { 1 => seconds, 2 => lines, 3 => elapsed });

impl WorkTime {
    /// The time of one hold's work.
    pub fn of(sums: &WorkSums) -> Self {
        let time = |sum: &LineSum| LineTime { line: sum.line.clone(), seconds: sum.seconds };
        let names_lines = sums.lines.iter().any(|sum| sum.line.is_some());
        Self {
            seconds: sums.seconds,
            lines: if names_lines { sums.lines.iter().map(time).collect() } else { Vec::new() },
            elapsed: elapsed(sums.seconds, sums.placed.map(|placed| placed.span)),
        }
    }

    /// This time and a later one. Time without a line, even none at all, counts as a line where the other names lines.
    #[must_use]
    pub fn with(mut self, later: &Self) -> Self {
        if !self.lines.is_empty() || !later.lines.is_empty() {
            if self.lines.is_empty() {
                self.lines.push(LineTime { line: None, seconds: self.seconds });
            }
            for time in &later.lines {
                add_to_line(&mut self.lines, time.line.as_ref(), time.seconds);
            }
            if later.lines.is_empty() {
                add_to_line(&mut self.lines, None, later.seconds);
            }
        }
        self.seconds = self.seconds.saturating_add(later.seconds);
        self.elapsed = self.elapsed.saturating_add(later.elapsed);
        self
    }
}

/// From the first start to the last end, and what has no start.
fn elapsed(seconds: u64, span: Option<Span>) -> u64 {
    let Some(span) = span else { return seconds };
    span.seconds_elapsed().saturating_add(seconds.saturating_sub(span.seconds))
}

fn add_to_line(lines: &mut Vec<LineTime>, line: Option<&LineId>, seconds: u64) {
    let before = lines.iter().position(|time| time.line.as_ref() == line);
    let before = before.map_or(0, |place| lines.remove(place).seconds);
    lines.push(LineTime { line: line.cloned(), seconds: before.saturating_add(seconds) });
}

impl PriceInputs {
    /// The most lines of support that the billable work on one incident names, work that names none counting as one.
    pub const LINES_MAX: u32 = 64;
    /// The most labels of one hold, those of its work included.
    pub const LABELS_MAX: u32 = 64;

    /// The time of the work, without that before it.
    pub fn time(&self) -> WorkTime {
        let elapsed = elapsed(self.seconds, self.span);
        WorkTime { seconds: self.seconds, lines: self.lines.clone(), elapsed }
    }

    /// The time before and that of the work.
    pub fn whole_time(&self) -> WorkTime {
        let time = self.time();
        match &self.before {
            Some(before) => before.clone().with(&time),
            None => time,
        }
    }

    /// Adds pieces of work, in the order in which they were recorded, to inputs without work.
    pub fn add_work<'a>(&mut self, parts: impl Iterator<Item = WorkPart<'a>>) {
        for (nth, part) in parts.enumerate() {
            self.add_part(part, nth > 0);
        }
    }

    /// Adds the work of a hold to inputs without work. The result is that of [`PriceInputs::add_work`] for its entries:
    /// of each line only the sum and the place of its last entry matter.
    pub fn add_sums(&mut self, sums: &WorkSums) {
        let WorkTime { seconds, lines, elapsed: _ } = WorkTime::of(sums);
        self.seconds = seconds;
        self.lines = lines;
        self.solutions = u32::try_from(sums.solutions).unwrap_or(u32::MAX);
        self.span = sums.placed.map(|placed| placed.span);
        sums.labels.iter().for_each(|(label, _)| self.circumstances.add_label(label));
    }

    /// `has_work` is true where there was work before.
    fn add_part(&mut self, part: WorkPart<'_>, has_work: bool) {
        if self.lines.is_empty() && part.line.is_some() && has_work {
            self.lines.push(LineTime { line: None, seconds: self.seconds });
        }
        if !self.lines.is_empty() || part.line.is_some() {
            add_to_line(&mut self.lines, part.line, part.seconds);
        }
        self.seconds = self.seconds.saturating_add(part.seconds);
        self.solutions = self.solutions.saturating_add(part.solutions);
        self.circumstances.add_labels(part.labels);
        if let Some(span) = part.span() {
            self.span = Some(self.span.map_or(span, |before| before.joined(span)));
        }
    }
}
