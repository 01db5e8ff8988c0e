//! One line of the benchmark: its figures, for programs and for people.

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// The figures of one kind of call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Line {
    /// Its name for programs.
    pub name: &'static str,
    /// Calls in flight; commands for a stream.
    pub in_flight: usize,
    /// Commands in one call; `None` where a call is no command.
    pub batch: Option<usize>,
    /// Commands a second; calls where they are no commands.
    pub per_second: u64,
    /// The times of the calls.
    pub times: Option<Times>,
    /// Microseconds of CPU for 1,000 commands, callers and server together. `None` where another line ran at the same
    /// time.
    pub cpu_us_per_1000: Option<u64>,
    /// The peak memory of the process, callers and server together.
    pub peak_bytes: Option<u64>,
    /// How much the database grew. `None` where nothing is stored, or where another line stored at the same time.
    pub database_bytes_per_command: Option<u64>,
    /// In thousandths of the ceiling.
    pub of_ceiling: Option<u64>,
    /// In thousandths of the same calls alone, where those were measured in turn with these.
    pub of_alone: Option<u64>,
}

/// Times of calls, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// Half of them took no longer.
    pub p50_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
    /// 999 of 1,000 took no longer.
    pub p999_us: u64,
}

impl Times {
    /// The times of a histogram.
    pub fn of(times_us: &Histogram<u64>) -> Self {
        let quantile = |quantile| times_us.value_at_quantile(quantile);
        Self { p50_us: quantile(0.5), p99_us: quantile(0.99), p999_us: quantile(0.999) }
    }
}

/// A column of a table: its head, and its text for a row.
pub(super) type Column<T> = (&'static str, fn(&T) -> Option<String>);

/// The columns of the table.
pub(super) const COLUMNS: [Column<Line>; 11] = [
    ("what", |line| Some(line.name.replace('_', " "))),
    ("in flight", |line| Some(grouped(line.in_flight))),
    ("batch", |line| line.batch.map(grouped)),
    ("commands/s", |line| Some(grouped(line.per_second))),
    ("of ceiling", |line| line.of_ceiling.map(percent)),
    ("p50 ms", |line| line.times.map(|times| millis(times.p50_us))),
    ("p99 ms", |line| line.times.map(|times| millis(times.p99_us))),
    ("p99.9 ms", |line| line.times.map(|times| millis(times.p999_us))),
    ("CPU s/1,000", |line| line.cpu_us_per_1000.map(|micros| decimal(micros, 1_000_000, 3))),
    ("peak MiB", |line| line.peak_bytes.map(mebibytes)),
    ("DB bytes", |line| line.database_bytes_per_command.map(grouped)),
];

impl Line {
    /// One JSON object. Figures that were not measured are null.
    pub fn json(&self, durability: &str) -> Value {
        let times = |of: fn(&Times) -> u64| self.times.as_ref().map(of);
        json!({
            "name": self.name,
            "in_flight": self.in_flight,
            "batch": self.batch,
            "commands_per_second": self.per_second,
            "p50_us": times(|times| times.p50_us),
            "p99_us": times(|times| times.p99_us),
            "p999_us": times(|times| times.p999_us),
            "cpu_seconds_per_1000": self.cpu_us_per_1000.map(|micros| fraction(micros, 1_000_000)),
            "peak_memory_bytes": self.peak_bytes,
            "database_bytes_per_command": self.database_bytes_per_command,
            "ratio_to_ceiling": self.of_ceiling.map(|thousandths| fraction(thousandths, 1_000)),
            "ratio_to_alone": self.of_alone.map(|thousandths| fraction(thousandths, 1_000)),
            "durability": durability,
        })
    }
}

/// A fraction as a double, which is precise enough to show.
fn fraction(parts: u64, of: u32) -> f64 {
    f64::from(u32::try_from(parts).unwrap_or(u32::MAX)) / f64::from(of)
}

/// Thousandths as a percentage.
pub(super) fn percent(thousandths: u64) -> String {
    format!("{} %", decimal(thousandths, 10, 1))
}

/// Milliseconds with three digits or more.
pub(super) fn millis(micros: u64) -> String {
    match micros {
        0..100_000 => decimal(micros, 1_000, 3),
        _ => decimal(micros, 1_000, 0),
    }
}

/// Whole mebibytes.
pub(super) fn mebibytes(bytes: u64) -> String {
    grouped(bytes.div_ceil(1 << 20))
}

/// `parts` in units of `of`, cut to so many digits.
fn decimal(parts: u64, of: u64, digits: usize) -> String {
    let (whole, mut rest) = (parts.div_euclid(of), parts.rem_euclid(of));
    let mut text = grouped(whole);
    if digits > 0 {
        text.push('.');
    }
    for _ in 0..digits {
        rest = rest.saturating_mul(10);
        text.push_str(&rest.div_euclid(of).to_string());
        rest = rest.rem_euclid(of);
    }
    text
}

/// A number with its thousands separated.
pub(super) fn grouped(number: impl TryInto<u64>) -> String {
    let digits = number.try_into().unwrap_or(u64::MAX).to_string();
    let mut text = String::with_capacity(digits.len().saturating_mul(2));
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line {
            name: "hold",
            in_flight: 1_024,
            batch: Some(1),
            per_second: 12_345,
            times: Some(Times { p50_us: 1_234, p99_us: 250_000, p999_us: 99_999 }),
            cpu_us_per_1000: Some(123_456),
            peak_bytes: Some(3 << 20),
            database_bytes_per_command: None,
            of_ceiling: Some(507),
            of_alone: None,
        }
    }

    #[test]
    fn people_read_a_row() {
        assert_eq!(
            COLUMNS.map(|(_, cell)| cell(&line()).unwrap_or_default()),
            ["hold", "1,024", "1", "12,345", "50.7 %", "1.234", "250", "99.999", "0.123", "3", ""]
        );
    }

    #[test]
    fn programs_read_an_object() {
        let json = line().json("none");
        assert_eq!(
            (&json["ratio_to_ceiling"], &json["cpu_seconds_per_1000"]),
            (&0.507.into(), &0.123_456.into())
        );
        assert_eq!((&json["p50_us"], &json["commands_per_second"]), (&1_234.into(), &12_345.into()));
        assert!(json["database_bytes_per_command"].is_null());
    }
}
