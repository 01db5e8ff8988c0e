//! Statements and revenue reports: periods in, sums out.

use crate::clock;
use crate::ledger::{Currency, Money};
use crate::query::{Period, Revenue, RevenueReport, Statement, StatementEnd, TransferRecord};

use super::api::{Call, Reply, show_page};
use super::called::Called;
use super::convert;
use super::parse::{Fields, complete};
use super::wire::{
    CurrencyRevenue, GetRevenueReportRequest, GetRevenueReportResponse, GetStatementRequest,
    GetStatementResponse, StatementLine, StatementSubtotal,
};

impl Call {
    pub(super) async fn get_statement(&self, message: GetStatementRequest) -> Reply<GetStatementResponse> {
        let read = |message, fields: &mut Fields| {
            let GetStatementRequest {
                ledger_id: _,
                customer_id,
                period_from,
                period_until,
                page_size,
                page_token,
            } = message;
            let customer = fields.customer(&customer_id);
            let period = read_period(fields, period_from, period_until);
            let page = fields.page(page_size, page_token);
            Some((customer?, period?, page?))
        };
        let (ledger, (customer, period, page)) = self.read(message, read).await?;
        let _place = self.long_read().await?;
        let statement = self.reader.statement(ledger.no, &customer, period, &page, clock::now()).await?;
        let Statement { opening, closing, lines, provisional, end } = statement;
        let StatementEnd { subtotals, open_holds } = end.unwrap_or_default();
        let (lines, next_page_token) = show_page(lines, |record| show_line(record, &self.called));
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
            open_holds: open_holds.iter().map(|hold| convert::hold(hold, &ledger.id)).collect(),
            provisional,
            next_page_token,
        })
    }

    pub(super) async fn get_revenue_report(
        &self,
        message: GetRevenueReportRequest,
    ) -> Reply<GetRevenueReportResponse> {
        let read = |message, fields: &mut Fields| {
            let GetRevenueReportRequest { ledger_id: _, period_from, period_until } = message;
            read_period(fields, period_from, period_until)
        };
        let (ledger, period) = self.read(message, read).await?;
        let _place = self.long_read().await?;
        let RevenueReport { currencies, provisional } =
            self.reader.revenue(ledger.no, period, clock::now()).await?;
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
    let period =
        complete!(Period { from: required("period_from", from), until: required("period_until", until) })?;
    if period.until <= period.from {
        return fields.refuse("period_until", "must be later than period_from");
    }
    Some(period)
}

fn show_line(record: &TransferRecord, called: &Called) -> StatementLine {
    let posting = &record.recorded.posting;
    StatementLine {
        sequence: convert::signed(posting.sequence),
        posting_id: posting.id.to_string(),
        kind: posting.kind.code().into(),
        recorded_at: Some(convert::time(posting.recorded_at)),
        transfer: Some(convert::transfer(&record.transfer)),
        incident_id: convert::or_empty(posting.detail.hold.as_ref().map(|hold| &hold.incident)),
        order_id: convert::or_empty(posting.lot().and_then(|lot| lot.order.as_ref())),
        reason: posting.detail.reason.to_string(),
        balance_after: Some(convert::balance(record.after, posting.sequence)),
        actor: called.shown_actor(posting),
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
