//! A sign of life on a terminal, and nothing elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// One line that says what is going on. It is gone when the copy ends, however it ends.
pub(super) struct Progress(ProgressBar);

impl Progress {
    pub fn new() -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(ProgressBar::hidden());
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Something that cannot be counted.
    pub fn says(&self, what: &'static str) {
        self.show("{spinner} {msg}", what);
    }

    /// Begins to count postings up to `total`.
    pub fn counts(&self, what: &'static str, total: u64) {
        self.0.set_length(total);
        self.0.set_position(0);
        self.0.reset_eta();
        self.show("{msg} {wide_bar} {pos}/{len} postings, {eta} left", what);
    }

    pub fn at(&self, postings: u64) {
        self.0.set_position(postings);
    }

    fn show(&self, template: &str, what: &'static str) {
        // The templates are constants; the plain bar is as good.
        if let Ok(style) = ProgressStyle::with_template(template) {
            self.0.set_style(style);
        }
        self.0.set_message(what);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
