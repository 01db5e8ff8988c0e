//! Progress on a terminal, and nothing elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// A progress line. It disappears when the command ends, however it ends.
pub(super) struct Progress(ProgressBar);

impl Progress {
    /// Up to `length` steps, shown by a template of indicatif.
    pub fn new(template: &str, length: usize) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new(u64::try_from(length).unwrap_or(u64::MAX));
        bar.enable_steady_tick(Duration::from_millis(200));
        let progress = Self(bar);
        progress.looks(template);
        progress
    }

    /// Switches to another template.
    pub fn looks(&self, template: &str) {
        // The templates are constants; if one were wrong, the plain bar would do.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
    }

    /// Shows what is done now.
    pub fn says(&self, what: &str) {
        self.0.set_message(what.to_owned());
    }

    /// Counts from 0 again, up to `total`.
    pub fn counts(&self, total: u64) {
        self.0.set_length(total);
        self.0.set_position(0);
        self.0.reset_eta();
    }

    /// Sets the number of finished steps.
    pub fn reaches(&self, steps: impl TryInto<u64>) {
        self.0.set_position(steps.try_into().unwrap_or(u64::MAX));
    }

    /// Sets the number of finished steps, and how many there are.
    pub fn reaches_of(&self, steps: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(steps);
    }

    pub fn advances(&self) {
        self.0.inc(1);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
