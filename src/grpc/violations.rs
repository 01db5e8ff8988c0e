//! What is wrong with a request, each with the path of its field.

use std::fmt::Write as _;

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Its path, such as `commands[3].place_hold.credits`.
    pub field: String,
    /// What is wrong with it, continuing "`field` ...".
    pub problem: String,
}

/// What is wrong with a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Violations {
    /// The first of them, at most [`Violations::SHOWN_MAX`].
    pub shown: Vec<Violation>,
    /// How many there are.
    pub count: usize,
}

impl Violations {
    /// A batch of 10,000 malformed commands is not answered with 10,000 sentences.
    pub const SHOWN_MAX: usize = 128;
}

/// A step on the way to a field.
#[derive(Clone, Debug)]
pub enum Step<'a> {
    Field(&'a str),
    /// Of a list.
    Index(usize),
    /// Of a map.
    Key(String),
}

/// Where a reader is in its message, and what it found to be wrong so far.
#[derive(Debug, Default)]
pub struct Collector<'a> {
    path: Vec<Step<'a>>,
    pub violations: Violations,
}

impl<'a> Collector<'a> {
    /// Goes on to a part of where it is.
    pub fn enter(&mut self, step: Step<'a>) {
        self.path.push(step);
    }

    /// Goes back.
    pub fn leave(&mut self) {
        self.path.pop();
    }

    /// Complains about `field` of where it is; an empty name means where it is.
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
