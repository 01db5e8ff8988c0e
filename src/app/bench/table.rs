//! The printed page of lines, with the notes that a reader needs.

use comfy_table::presets::UTF8_BORDERS_ONLY;
use comfy_table::{CellAlignment, Table};

use super::auth::{BY_ES256, BY_RS256};
use super::line::{COLUMNS, Column, Line, grouped, percent};

/// Printed under every table of lines but that of tokens.
const NOTES: &str = "\
The ceiling is a health check, a call that does nothing, through the same server and connections. Single calls are
compared with it at the same number in flight, all others with it at 64. Callers and server are one process and share
its CPU and memory; the CPU of a PostgreSQL server is not included. Of batches the times are those of whole batches.
In hold settle and hot customer each caller places a hold and settles it, in turn: over all customers, and on one.";

/// A table of rows by its columns; columns of numbers are aligned to the right.
pub(super) fn table<T>(columns: &[Column<T>], rows: &[T]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_BORDERS_ONLY);
    table.set_header(columns.iter().map(|(head, _)| *head));
    table.add_rows(rows.iter().map(|row| columns.iter().map(|(_, cell)| cell(row).unwrap_or_default())));
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What webhooks cost the holds beside them, as text.
fn webhooks(lines: &[Line]) -> Option<String> {
    let line = |name| lines.iter().find(|line| line.name == name);
    let kept = percent(line("hold_beside_webhooks")?.of_alone?);
    let events = grouped(line("webhooks_beside_holds")?.per_second);
    Some(format!(
        "Of their speed without webhooks the holds keep {kept} while an endpoint in the same process takes {events} events a
second; the times of webhooks beside holds are those from a posting to its message.\n"
    ))
}

/// What metrics cost, as text.
fn metrics(lines: &[Line]) -> Option<String> {
    let kept = lines.iter().find(|line| line.name == "hold_with_metrics")?.of_alone?;
    Some(format!("Of their speed without metrics the holds keep {} with them.\n", percent(kept)))
}

/// What tokens cost the holds, as text.
fn tokens(lines: &[Line]) -> Option<String> {
    let kept = |name| lines.iter().find(|line| line.name == name)?.of_alone.map(percent);
    let (es256, rs256) = (kept(BY_ES256)?, kept(BY_RS256)?);
    Some(format!(
        "Of their speed without a token the holds keep {es256} with one by ES256, and {rs256} with one by RS256. Rounds of each
kind take turns. Callers and server are one process and share its CPU; the CPU of a PostgreSQL server is not included.\n"
    ))
}

pub(super) fn page(lines: &[Line], database: &str, durability: &str) -> String {
    let table = table(&COLUMNS, lines);
    let compared = tokens(lines).or_else(|| metrics(lines));
    let notes = compared.unwrap_or_else(|| format!("{NOTES}\n{}", webhooks(lines).unwrap_or_default()));
    format!("{table}\n{notes}Database: {database}\nDurability: {durability}")
}
