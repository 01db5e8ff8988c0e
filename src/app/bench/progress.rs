//! One line on standard error that says what is measured, where it is a terminal.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A bar; gone when the benchmark ends, however it ends.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Up to so many steps.
    pub fn new(steps: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(u64::try_from(steps).unwrap_or(u64::MAX));
        bar.enable_steady_tick(Duration::from_millis(200));
        match ProgressStyle::with_template("bench {wide_bar} {human_pos}/{human_len} {elapsed} {msg}") {
            Ok(style) => Self(bar.with_style(style)),
            // The template is a constant; the plain bar is as good.
            Err(_) => Self(bar),
        }
    }

    /// What is being done now.
    pub fn tell(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// So many steps are done.
    pub fn reach(&self, steps: usize) {
        self.0.set_position(u64::try_from(steps).unwrap_or(u64::MAX));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
