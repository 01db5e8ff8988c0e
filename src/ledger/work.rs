//! Work on a hold: its entries, one at a time, and the sums that the hold keeps of them.
//!
//! A hold may have thousands of entries, and each posting that changes it says how it is afterwards. So a hold keeps
//! sums only, and the entries are rows of their own: whatever a hold holds already, the next entry costs the same.
//!
//! Recording an entry moves the sums by that entry alone. Voiding one may need others as well: the entry of its line
//! that counts before it, and the new first start or last end. [`WorkSums::remove`] says which must be known.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec::record;
use super::fingerprint::hashed;
use super::ids::{HoldId, LabelId, LineId, Text, WorkId};
use super::time::Timestamp;

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
    pub fn seconds_elapsed(&self) -> u64 {
        let micros = self.until.micros().saturating_sub(self.from.micros()).max(0).unsigned_abs();
        micros.div_ceil(Timestamp::MICROS_PER_SECOND.unsigned_abs())
    }

    /// From the first start to the last end of both; `None` where their seconds leave their bounds.
    pub fn with(self, other: Self) -> Option<Self> {
        Some(Self { seconds: self.seconds.checked_add(other.seconds)?, ..self.joined(other) })
    }

    pub(super) fn joined(self, other: Self) -> Self {
        Self {
            from: self.from.min(other.from),
            until: self.until.max(other.until),
            seconds: self.seconds.saturating_add(other.seconds),
        }
    }
}

/// A piece of work, as far as its price is concerned.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorkPart<'a> {
    pub seconds: u64,
    pub started_at: Option<Timestamp>,
    pub line: Option<&'a LineId>,
    pub solutions: u32,
    /// What it may cost more for.
    pub labels: &'a [LabelId],
}

impl WorkPart<'_> {
    /// From its start to its end, where the start is known.
    pub fn span(&self) -> Option<Span> {
        let from = self.started_at?;
        let until = from.plus_seconds(i64::try_from(self.seconds).unwrap_or(i64::MAX));
        Some(Span { from, until, seconds: self.seconds })
    }
}

/// An entry of work as a command names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NewWork {
    /// How long it took, at most [`NewWork::SECONDS_MAX`].
    pub seconds: u64,
    pub started_at: Option<Timestamp>,
    pub line: Option<LineId>,
    /// How many solutions it brought, at most [`NewWork::SOLUTIONS_MAX`]; 0 where it went on with one that is counted
    /// elsewhere.
    pub solutions: u32,
    pub note: Text,
    /// What it may cost more for, in order and each once.
    pub labels: Vec<LabelId>,
}
hashed!(NewWork {
    1 => seconds, 2 => started_at, 3 => line, 4 => solutions, + 5 => by, 6 => note, 20 => labels,
});

impl NewWork {
    /// What its price depends on.
    pub fn part(&self) -> WorkPart<'_> {
        WorkPart {
            seconds: self.seconds,
            started_at: self.started_at,
            line: self.line.as_ref(),
            solutions: self.solutions,
            labels: &self.labels,
        }
    }

    /// The longest single entry: 366 days.
    pub const SECONDS_MAX: u64 = 366 * 86_400;
    /// The most solutions in one entry.
    pub const SOLUTIONS_MAX: u32 = 1_000;
}

/// One entry of recorded work. A wrong one is voided, never edited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Work {
    /// Named by the posting that recorded it; ids rise in the order of recording.
    pub id: WorkId,
    pub recorded_at: Timestamp,
    pub seconds: u64,
    pub started_at: Option<Timestamp>,
    pub line: Option<LineId>,
    /// How many solutions it brought; 0 where it went on with one that is counted elsewhere.
    pub solutions: u32,
    pub by: Text,
    pub note: Text,
    /// Set once it was found wrong.
    pub voided: Option<Voided>,
    /// What it may cost more for.
    pub labels: Vec<LabelId>,
    /// An earlier entry of the same hold and line, such that none between the two counts. Entries of a line are a
    /// chain, so that voiding the last one finds the one before it without an index. [`WorkId::MIN`] where none before
    /// it counts: it is written, so that the first entry takes as much room as any. `None` only in the lists of older
    /// holds.
    pub previous: Option<WorkId>,
}
record!(Work {
    1 => id, 2 => recorded_at, 3 => seconds, 4 => started_at, 5 => line, 6 => solutions, 7 => by, 8 => note,
    9 => voided, 20 => labels, 21 => previous,
});

impl Work {
    /// What its price depends on.
    pub fn part(&self) -> WorkPart<'_> {
        WorkPart {
            seconds: self.seconds,
            started_at: self.started_at,
            line: self.line.as_ref(),
            solutions: self.solutions,
            labels: &self.labels,
        }
    }

    /// True unless it was voided.
    pub const fn counts(&self) -> bool {
        self.voided.is_none()
    }

    /// From its start to its end, where it counts and its start is known.
    pub fn counted_span(&self) -> Option<Span> {
        self.part().span().filter(|_| self.counts())
    }

    /// True where `other` is the same entry, whether it counts or not. An erased text equals any other: of two
    /// postings about an entry, the texts of one may have been erased.
    pub fn is_same_entry(&self, other: &Self) -> bool {
        let is_same = |one: &Text, other: &Text| one == other || one.is_erased() || other.is_erased();
        let rest = |entry: &Self| Self { by: Text::EMPTY, note: Text::EMPTY, voided: None, ..entry.clone() };
        rest(self) == rest(other) && is_same(&self.by, &other.by) && is_same(&self.note, &other.note)
    }
}

/// Why an entry of work no longer counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voided {
    pub at: Timestamp,
    pub by: Text,
    pub reason: Text,
}
record!(Voided { 1 => at, 2 => by, 3 => reason });

/// Known entries by hold and id; a hold may have more.
pub type Entries = BTreeMap<(HoldId, WorkId), Arc<Work>>;

/// What a hold keeps of its work. Only entries that count are in the sums, but for `entries`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkSums {
    /// Entries recorded, voided ones included.
    pub entries: u32,
    /// Entries that count.
    pub counted: u32,
    /// Their seconds.
    pub seconds: u64,
    /// Their solutions.
    pub solutions: u64,
    /// Their seconds by line of support, in the order in which the lines worked last.
    pub lines: Vec<LineSum>,
    /// What they may cost more for, in order, and how many entries name it.
    pub labels: Vec<(LabelId, u32)>,
    /// From the first start to the last end, where starts are known.
    pub placed: Option<Placed>,
}
record!(WorkSums or default {
    1 => entries, 2 => counted, 3 => seconds, 4 => solutions, 5 => lines, 6 => labels, 7 => placed,
});

/// Time on one line of support.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineSum {
    /// The line; `None` for work that names none.
    pub line: Option<LineId>,
    pub seconds: u64,
    /// Its entries; at least one.
    pub entries: u32,
    /// The last of its entries that counts.
    pub last: WorkId,
}
record!(LineSum { 1 => line, 2 => seconds, 3 => entries, 4 => last });

/// The entries whose start is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Their first start and last end, and their seconds.
    pub span: Span,
    /// How many they are; at least one.
    pub entries: u32,
}
record!(Placed { 1 => span, 2 => entries });

impl WorkSums {
    /// True where no entry counts.
    pub const fn is_empty(&self) -> bool {
        self.counted == 0
    }

    /// The last entry of a line that counts.
    pub fn last_of(&self, line: Option<&LineId>) -> Option<WorkId> {
        self.lines.iter().find(|sum| sum.line.as_ref() == line).map(|sum| sum.last)
    }

    /// The sums of entries in the order in which they were recorded; `None` where they leave their bounds.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Work>) -> Option<Self> {
        let mut sums = Self::default();
        for entry in entries {
            if entry.counts() {
                sums.add(entry)?;
            } else {
                sums.entries = sums.entries.checked_add(1)?;
            }
        }
        Some(sums)
    }

    /// Adds an entry that was recorded after all others; `None` where a sum leaves its bounds.
    #[must_use]
    pub fn add(&mut self, entry: &Work) -> Option<()> {
        self.entries = self.entries.checked_add(1)?;
        self.counted = self.counted.checked_add(1)?;
        self.seconds = self.seconds.checked_add(entry.seconds)?;
        self.solutions = self.solutions.checked_add(entry.solutions.into())?;
        for label in &entry.labels {
            match self.labels.binary_search_by(|(known, _)| known.cmp(label)) {
                Ok(place) => {
                    let (_, count) = self.labels.get_mut(place)?;
                    *count = count.checked_add(1)?;
                }
                Err(place) => self.labels.insert(place, (label.clone(), 1)),
            }
        }
        let before = self.lines.iter().position(|sum| sum.line == entry.line);
        let mut sum = match before {
            Some(place) => self.lines.remove(place),
            None => LineSum { line: entry.line.clone(), seconds: 0, entries: 0, last: entry.id },
        };
        sum.seconds = sum.seconds.checked_add(entry.seconds)?;
        sum.entries = sum.entries.checked_add(1)?;
        sum.last = entry.id;
        self.lines.push(sum);
        if let Some(span) = entry.part().span() {
            self.placed = Some(match self.placed {
                Some(placed) => {
                    Placed { span: placed.span.with(span)?, entries: placed.entries.checked_add(1)? }
                }
                None => Placed { span, entries: 1 },
            });
        }
        Some(())
    }

    /// Takes an entry out that counted until now, as if it had never been recorded.
    ///
    /// `known` must have these other entries of `hold`, as they are now:
    /// - where the entry is the last of its line: the chain of [`Work::previous`] from it back to the next that counts;
    /// - where it has the first start or the last end: the entry that has it once this one is gone.
    ///
    /// `None` where they are missing, or the entry is not in the sums.
    #[must_use]
    pub fn remove(&mut self, hold: HoldId, entry: &Work, known: &Entries) -> Option<()> {
        self.counted = self.counted.checked_sub(1)?;
        self.seconds = self.seconds.checked_sub(entry.seconds)?;
        self.solutions = self.solutions.checked_sub(entry.solutions.into())?;
        for label in &entry.labels {
            let place = self.labels.binary_search_by(|(known, _)| known.cmp(label)).ok()?;
            let (_, count) = self.labels.get_mut(place)?;
            *count = count.checked_sub(1)?;
            if *count == 0 {
                self.labels.remove(place);
            }
        }
        let place = self.lines.iter().position(|sum| sum.line == entry.line)?;
        let mut sum = self.lines.remove(place);
        sum.seconds = sum.seconds.checked_sub(entry.seconds)?;
        sum.entries = sum.entries.checked_sub(1)?;
        if sum.entries > 0 {
            if sum.last == entry.id {
                sum.last = counted_before(hold, entry, known)?;
            }
            let place = self.lines.partition_point(|other| other.last < sum.last);
            self.lines.insert(place, sum);
        }
        if let Some(span) = entry.part().span() {
            self.placed = self.placed?.without(span, || {
                let of_hold = known.range((hold, WorkId::MIN)..=(hold, WorkId::MAX)).map(|(_, other)| other);
                of_hold.filter(|other| other.id != entry.id).filter_map(|other| other.counted_span())
            })?;
        }
        Some(())
    }
}

/// The last entry of the line that counts before `entry`.
fn counted_before(hold: HoldId, entry: &Work, known: &Entries) -> Option<WorkId> {
    let mut after = entry;
    loop {
        let id = after.previous.filter(|id| *id < after.id)?;
        let found = known.get(&(hold, id)).filter(|found| found.line == entry.line)?;
        if found.counts() {
            return Some(id);
        }
        after = found;
    }
}

impl Placed {
    /// Without an entry whose span is `gone`. `others` are entries that still count; the new first and last must be
    /// among them.
    fn without<I: Iterator<Item = Span>>(self, gone: Span, others: impl Fn() -> I) -> Option<Option<Self>> {
        let entries = self.entries.checked_sub(1)?;
        if entries == 0 {
            return Some(None);
        }
        let mut span = Span { seconds: self.span.seconds.checked_sub(gone.seconds)?, ..self.span };
        if gone.from == span.from {
            span.from = others().map(|other| other.from).min()?;
        }
        if gone.until == span.until {
            span.until = others().map(|other| other.until).max()?;
        }
        Some(Some(Self { span, entries }))
    }
}

/// Checks that the sums of a hold's work move with the entry that a posting records or voids, and with nothing else.
/// `known` are entries as they were before.
pub(super) fn check_moved(
    hold: HoldId,
    before: &WorkSums,
    entry: Option<&Work>,
    after: &WorkSums,
    known: &Entries,
) -> Result<(), &'static str> {
    let Some(entry) = entry else {
        return if before == after { Ok(()) } else { Err("the sums of work move without an entry") };
    };
    let mut sums = before.clone();
    let moved = if entry.counts() {
        // In older postings `previous` may be later than `last`: it may name an entry that was voided.
        let last = sums.last_of(entry.line.as_ref());
        if entry.previous < last || entry.previous >= Some(entry.id) {
            return Err("the entry of work does not follow on the last one of its line");
        }
        sums.add(entry)
    } else {
        let counted =
            known.get(&(hold, entry.id)).filter(|known| known.counts() && known.is_same_entry(entry));
        sums.remove(hold, counted.ok_or("the entry of work that it voids is another one")?, known)
    };
    if moved.is_some() && sums == *after {
        Ok(())
    } else {
        Err("the sums of work are not those of its entries")
    }
}

/// Takes one entry out of the list that older details carry, with its place in the chain of its line. Such an entry
/// follows on the one of its line that was recorded before it, whether that counts or not.
pub(super) fn listed_entry(list: &[Work], id: WorkId) -> Option<Work> {
    let place = list.iter().position(|entry| entry.id == id)?;
    let (before, rest) = list.split_at(place);
    let entry = rest.first()?;
    let previous = before.iter().rfind(|earlier| earlier.line == entry.line);
    let previous = previous.map_or(WorkId::MIN, |earlier| earlier.id);
    Some(Work { previous: Some(previous), ..entry.clone() })
}

/// All entries of the list that older holds carry, each as [`listed_entry`] gives it.
pub(super) fn listed_entries(mut list: Vec<Work>) -> Vec<Work> {
    let mut last: BTreeMap<Option<LineId>, WorkId> = BTreeMap::new();
    for entry in &mut list {
        entry.previous = Some(last.insert(entry.line.clone(), entry.id).unwrap_or(WorkId::MIN));
    }
    list
}
