//! Statements and revenue reports: periods in, sums out.

use prost::Message as _;
use tonic::Status;

use crate::clock;
use crate::ledger::{Currency, CustomerId, Money, Timestamp};
use crate::query::{Period, Revenue, RevenueReport, Statement, StatementEnd, TransferRecord};

use super::parse::{Fields, parse};
use super::wire::{
    CurrencyRevenue, GetRevenueReportRequest, GetRevenueReportResponse, GetStatementRequest,
    GetStatementResponse, StatementLine, StatementSubtotal,
};
use super::{Api, PAGE_BYTES_MAX, convert};

impl Api {
    /// A page of a statement.
    pub(super) async fn statement(
        &self,
        request: GetStatementRequest,
    ) -> Result<GetStatementResponse, Status> {
        let (ledger, customer, period, page) = parse(request, |message, fields| {
            let GetStatementRequest {
                ledger_id,
                customer_id,
                period_from,
                period_until,
                page_size,
                page_token,
            } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.take("customer_id", CustomerId::parse(&customer_id));
            let period = read_period(fields, period_from, period_until);
            let page = fields.page(page_size, page_token);
            Some((ledger?, customer?, period?, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let statement = self.reader.statement(no, &customer, period, &page, clock::now()).await?;
        let Statement { opening, closing, lines, provisional, end } = statement;
        let StatementEnd { subtotals, open_holds } = end.unwrap_or_default();
        let (lines, next_page_token) = lines.show(PAGE_BYTES_MAX, show_line, StatementLine::encoded_len);
        let subtotals = subtotals.into_iter().map(|(kind, subtotal)| StatementSubtotal {
            kind: kind.code().into(),
            lines: convert::signed(subtotal.lines),
            credited_credits: subtotal.credited.to_string(),
            debited_credits: subtotal.debited.to_string(),
        });
        Ok(GetStatementResponse {
            opening_balance: Some(convert::balance_at(opening)),
            lines,
            closing_balance: Some(convert::balance_at(closing)),
            subtotals: subtotals.collect(),
            open_holds: open_holds.iter().map(|hold| convert::hold(hold, &ledger)).collect(),
            provisional,
            next_page_token,
        })
    }

    /// The revenue of a period.
    pub(super) async fn revenue_report(
        &self,
        request: GetRevenueReportRequest,
    ) -> Result<GetRevenueReportResponse, Status> {
        let (ledger, period) = parse(request, |message, fields| {
            let GetRevenueReportRequest { ledger_id, period_from, period_until } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let period = read_period(fields, period_from, period_until);
            Some((ledger?, period?))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let RevenueReport { currencies, provisional } =
            self.reader.revenue(ledger, period, clock::now()).await?;
        let currencies = currencies.into_iter().map(|(currency, revenue)| show_revenue(currency, &revenue));
        Ok(GetRevenueReportResponse { currencies: currencies.collect(), provisional })
    }
}

fn read_period(
    fields: &mut Fields,
    from: Option<prost_types::Timestamp>,
    until: Option<prost_types::Timestamp>,
) -> Option<Period> {
    let mut required = |field, time: Option<prost_types::Timestamp>| {
        if time.is_none() {
            return fields.refuse(field, "must be set");
        }
        fields.time(field, time).flatten()
    };
    let (from, until): (Option<Timestamp>, Option<Timestamp>) =
        (required("period_from", from), required("period_until", until));
    let (from, until) = (from?, until?);
    if until <= from {
        return fields.refuse("period_until", "must be later than period_from");
    }
    Some(Period { from, until })
}

fn show_line(record: &TransferRecord) -> StatementLine {
    let posting = &record.recorded.posting;
    let lot = posting.lot();
    StatementLine {
        sequence: convert::signed(posting.sequence),
        posting_id: posting.id.to_string(),
        kind: posting.kind.code().into(),
        recorded_at: Some(convert::time(posting.recorded_at)),
        transfer: Some(convert::transfer(&record.transfer)),
        incident_id: posting.detail.hold.as_ref().map(|hold| hold.incident.to_string()).unwrap_or_default(),
        order_id: lot.and_then(|lot| lot.order.as_ref()).map(ToString::to_string).unwrap_or_default(),
        reason: posting.detail.reason.to_string(),
        balance_after: Some(convert::balance(record.after, posting.sequence)),
    }
}

fn show_revenue(currency: Currency, revenue: &Revenue) -> CurrencyRevenue {
    let Revenue { opening_deferred, sold, earned, refunded, expired, closing_deferred } = *revenue;
    let money = |minor_units| Some(convert::money(&Money { currency, minor_units }));
    CurrencyRevenue {
        opening_deferred: money(opening_deferred),
        sold: money(sold),
        earned: money(earned),
        refunded: money(refunded),
        expired: money(expired),
        closing_deferred: money(closing_deferred),
    }
}
