//! The violations of a request, each with the path of its field.

use std::fmt::Write as _;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `commands[3].place_hold.credits`.
    pub field: String,
    /// What is wrong with it, continuing "`field` ...".
    pub problem: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// The first ones, at most [`Violations::SHOWN_MAX`].
    pub shown: Vec<Violation>,
    /// How many there are in all.
    pub count: usize,
}

impl Violations {
    /// A bound, so that a batch of 10,000 malformed commands does not get 10,000 sentences.
    pub const SHOWN_MAX: usize = 128;
}

/// A step on the path to a field.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    Field(&'a str),
    /// Of a list.
    Index(usize),
    /// Of a map.
    Key(String),
}

/// The reader's place in its message, and the violations so far.
#[derive(Debug, Default)]
pub struct Collector<'a> {
    path: Vec<Step<'a>>,
    pub violations: Violations,
}

impl<'a> Collector<'a> {
    /// Enters a part of the current place.
    pub fn enter(&mut self, step: Step<'a>) {
        self.path.push(step);
    }

    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// Reports a problem of `field` at the current place; an empty name means the place itself.
    pub fn refuse(&mut self, field: &str, problem: impl Into<String>) {
        self.violations.count = self.violations.count.saturating_add(1);
        if self.violations.shown.len() >= Violations::SHOWN_MAX {
            return;
        }
        let mut path = String::new();
        for step in &self.path {
            // Writing to a string does not fail.
            let _ = match step {
                Step::Field(name) if path.is_empty() => write!(path, "{name}"),
                Step::Field(name) => write!(path, ".{name}"),
                Step::Index(index) => write!(path, "[{index}]"),
                Step::Key(key) => write!(path, "[\"{key}\"]"),
            };
        }
        if !field.is_empty() {
            let dot = if path.is_empty() { "" } else { "." };
            let _ = write!(path, "{dot}{field}");
        }
        if path.is_empty() {
            "the message".clone_into(&mut path);
        }
        self.violations.shown.push(Violation { field: path, problem: problem.into() });
    }
}
