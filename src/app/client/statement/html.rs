//! A statement as a page to print: one file that fetches nothing.

use std::fmt::Write as _;

use super::document::{Document, state_name};
use crate::grpc::wire;

const STYLE: &str = "\
body{font:14px/1.4 system-ui,sans-serif;margin:2em;color:#111}\
table{border-collapse:collapse;width:100%;margin:1em 0}\
th,td{padding:.25em .6em;border-bottom:1px solid #ccc;text-align:left}\
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
tr.b td{font-weight:600;border-bottom:2px solid #111}\
thead{display:table-header-group}tr{break-inside:avoid}\
@page{margin:15mm}@media print{body{margin:0;font-size:11px}}";

pub(super) fn page(document: &Document) -> String {
    let customer = escaped(&document.customer);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <title>Statement of {customer}</title><style>{STYLE}</style></head><body>\n\
         <h1>Statement of {customer}</h1>\n<p>{} to {}{}</p>\n",
        document.from,
        document.until,
        document.mark()
    );
    let head = ["", "Time", "What", "From", "To", "About", "Reason"];
    page.push_str("<table><thead><tr>");
    cells(&mut page, "th", "", &head);
    cells(&mut page, "th", "n", &["Credits", "Available", "Held", "Owed"]);
    page.push_str("</tr></thead><tbody>\n");
    for line in document.lines("Opening balance", "Closing balance") {
        let (row, sequence, time) = if line.is_balance {
            ("<tr class=\"b\">", "", "")
        } else {
            ("<tr>", line.sequence.as_str(), line.recorded_at.as_str())
        };
        page.push_str(row);
        let (debit, credit) = (&line.debit_account, &line.credit_account);
        cells(
            &mut page,
            "td",
            "",
            &[sequence, time, &line.kind, debit, credit, line.subject(), &line.reason],
        );
        let wire::Balance { available_credits, held_credits, owed_credits, sequence: _ } = &line.balance;
        cells(&mut page, "td", "n", &[&line.credits, available_credits, held_credits, owed_credits]);
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
    let head = ["What", "Lines", "Credited", "Debited"];
    small_table(&mut page, "Subtotals", head, document.subtotals());
    let holds = document.open_holds.iter().map(|hold| {
        let wire::Hold { incident_id, estimated_credits, held_credits, .. } = hold.clone();
        [incident_id, state_name(hold).to_owned(), estimated_credits, held_credits]
    });
    small_table(&mut page, "Open holds", ["Incident", "State", "Estimated", "Held"], holds);
    page.push_str("</body></html>");
    page
}

fn small_table(page: &mut String, title: &str, head: [&str; 4], rows: impl Iterator<Item = [String; 4]>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    // Writing to a string does not fail.
    let _ = write!(page, "<h2>{title}</h2>\n<table><thead><tr>");
    cells(page, "th", "", &head);
    page.push_str("</tr></thead><tbody>\n");
    for row in rows {
        page.push_str("<tr>");
        cells(page, "td", "", &row.each_ref().map(String::as_str));
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table>\n");
}

fn cells(page: &mut String, name: &str, class: &str, texts: &[&str]) {
    for text in texts {
        tag(page, name, class, text);
    }
}

fn tag(page: &mut String, name: &str, class: &str, text: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = write!(page, "<{name}{class}>{}</{name}>", escaped(text));
}

/// Escapes text, because customers can write anything.
fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_customers_wrote_is_text() {
        let line = wire::StatementLine { reason: "<script>alert('x')</script>".into(), ..Default::default() };
        let document = Document {
            customer: "a&b".into(),
            from: prost_types::Timestamp::default(),
            until: prost_types::Timestamp::default(),
            opening: wire::Balance::default(),
            lines: vec![line],
            closing: wire::Balance::default(),
            subtotals: Vec::new(),
            open_holds: Vec::new(),
            provisional: true,
        };
        let page = page(&document);
        assert!(
            page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;") && !page.contains("<script")
        );
        assert!(page.contains("Statement of a&amp;b") && page.contains("provisional"));
    }
}
