//! pgbench's own TPC-B as a yardstick: the rate of PostgreSQL on the same machine in the same minute.

use std::io::ErrorKind;
use std::process::{Command, Output};
use std::time::Duration;

use crate::app::failure::Failure;

/// Rows of its smallest table. With too few rows its clients would wait for one another.
const SCALE: &str = "10";
/// The most seconds that are measured: longer runs show nothing more.
const SECONDS_MAX: u64 = 5;

/// Transactions a second with so many clients, measured for about as long as a line. `None` on another engine, or where
/// pgbench is not installed.
///
/// # Errors
/// [`Failure`] where pgbench is installed and fails.
pub(super) async fn run(database_url: &str, clients: usize, lasts: Duration) -> Result<Option<u64>, Failure> {
    if !database_url.starts_with("postgres") {
        return Ok(None);
    }
    let (url, clients) = (database_url.to_owned(), clients.to_string());
    let seconds = lasts.as_secs().clamp(1, SECONDS_MAX).to_string();
    let measured = tokio::task::spawn_blocking(move || {
        let Some(_) = pgbench(&["-i", "-q", "-s", SCALE, &url])? else { return Ok(None) };
        let run = ["-n", "-M", "prepared", "-c", &clients, "-j", "2", "-T", &seconds, &url];
        let measured = pgbench(&run);
        // Dropping its tables is not measured, but a benchmark must leave no foreign tables behind.
        pgbench(&["-i", "-I", "d", &url])?;
        let Some(measured) = measured? else { return Ok(None) };
        let text = String::from_utf8_lossy(&measured.stdout).into_owned();
        let rate =
            text.lines().find_map(|line| line.strip_prefix("tps = ")?.split(['.', ' ']).next()?.parse().ok());
        rate.map(Some).ok_or_else(|| Failure::Other(format!("pgbench gave no rate: {text}")))
    });
    measured.await.map_err(|error| Failure::Other(format!("pgbench: {error}")))?
}

fn pgbench(arguments: &[&str]) -> Result<Option<Output>, Failure> {
    match Command::new("pgbench").args(arguments).output() {
        Ok(output) if output.status.success() => Ok(Some(output)),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            Err(Failure::Other(format!("pgbench failed: {}", said.lines().last().unwrap_or_default())))
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::Other(format!("pgbench cannot be started: {error}"))),
    }
}
