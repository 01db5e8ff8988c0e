//! LedgerService: ledgers, balances, and the journal.

use prost::Message;
use tonic::{Request, Response, Status, Streaming, async_trait};

use crate::clock;
use crate::ledger::commands::AdjustBalance;
use crate::ledger::lot::LotSource as Source;
use crate::ledger::{Command, Credits, CustomerId, LedgerId, LotId, Money, Rejection, Storefront};
use crate::query::{At, LotFilter, LotRecord, Position, TrialBalance};
use crate::writer::{LedgerCreated, NewLedger};

use super::command::{CommandMessage, bare_outcome};
use super::context::{Keeps, Reason};
use super::journal_stream::JournalStream;
use super::parse::{Amount, Fields, parse};
use super::status::Problem;
use super::wire::ledger_service_server::LedgerService;
use super::wire::*;
use super::{Api, Deadline, PAGE_BYTES_MAX, convert, event, postings};

/// What the server can do beyond the first version of the package, in alphabetical order.
const FEATURES: [&str; 0] = [];

/// Customers in one BatchGetBalances.
const BALANCES_MAX: usize = 1_000;

#[async_trait]
impl LedgerService for Api {
    type StreamJournalStream = JournalStream;

    async fn create_ledger(
        &self,
        request: Request<CreateLedgerRequest>,
    ) -> Result<Response<CreateLedgerResponse>, Status> {
        let deadline = Deadline::of(&request);
        let ledger = parse(request.into_inner(), |message, fields| {
            let CreateLedgerRequest { mut context, ledger_id } = message;
            let named = context.as_mut().map(|context| std::mem::take(&mut context.ledger_id));
            if named.is_some_and(|named| !named.is_empty()) {
                fields
                    .refuse::<()>("context.ledger_id", "must be empty: the new ledger is named by ledger_id");
            }
            let scope = fields.bare_context(context, Keeps::Nothing);
            let id = fields.take("ledger_id", LedgerId::parse(&ledger_id));
            Some(NewLedger { id: id?, request: scope?.request })
        })?;
        match self.writer.create_ledger(ledger, deadline).await? {
            LedgerCreated::Created { ledger, replayed } => {
                let (ledger, outcome) = (Some(show_ledger(&ledger)), Some(bare_outcome(replayed)));
                Ok(Response::new(CreateLedgerResponse { outcome, ledger }))
            }
            LedgerCreated::Exists => Err(Problem::ledger_exists().into()),
            LedgerCreated::RequestIdReused => Err(Rejection::RequestIdReused { original: None }.into()),
            LedgerCreated::TooMany => Err(Problem::too_many_ledgers().into()),
        }
    }

    async fn list_ledgers(
        &self,
        request: Request<ListLedgersRequest>,
    ) -> Result<Response<ListLedgersResponse>, Status> {
        let page = parse(request.into_inner(), |message, fields| {
            let ListLedgersRequest { page_size, page_token } = message;
            fields.page(page_size, page_token)
        })?;
        let listed = self.reader.ledgers(&page).await?;
        let (ledgers, next_page_token) = listed.show(PAGE_BYTES_MAX, show_ledger, Message::encoded_len);
        Ok(Response::new(ListLedgersResponse { ledgers, next_page_token }))
    }

    async fn get_ledger(
        &self,
        request: Request<GetLedgerRequest>,
    ) -> Result<Response<GetLedgerResponse>, Status> {
        let id = parse(request.into_inner(), |message, fields| {
            let GetLedgerRequest { ledger_id } = message;
            fields.ledger_or_main(&ledger_id)
        })?;
        let ledger = show_ledger(&self.reader.ledger_record(&id).await?);
        Ok(Response::new(GetLedgerResponse { ledger: Some(ledger) }))
    }

    async fn get_server_info(
        &self,
        request: Request<GetServerInfoRequest>,
    ) -> Result<Response<GetServerInfoResponse>, Status> {
        let GetServerInfoRequest {} = request.into_inner();
        let crate::query::ServerInfo { version, engine, schema_version, ledgers } =
            self.reader.server_info().await?;
        let server_info = ServerInfo {
            version: version.to_owned(),
            engine: engine.to_owned(),
            schema_version: i32::try_from(schema_version).unwrap_or(i32::MAX),
            ledgers: i32::try_from(ledgers).unwrap_or(i32::MAX),
            features: FEATURES.map(str::to_owned).to_vec(),
        };
        Ok(Response::new(GetServerInfoResponse { server_info: Some(server_info) }))
    }

    async fn get_balance(
        &self,
        request: Request<GetBalanceRequest>,
    ) -> Result<Response<GetBalanceResponse>, Status> {
        let (ledger, customer, at, with_forecast) = parse(request.into_inner(), |message, fields| {
            let GetBalanceRequest { ledger_id, customer_id, as_of, with_forecast } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.customer(&customer_id);
            let at = read_as_of(fields, as_of);
            Some((ledger?, customer?, at?, with_forecast))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let now = clock::now();
        let found = self.reader.balance(ledger, &customer, at, now).await?;
        let moment = found.recorded_at.filter(|_| with_forecast).map(|recorded_at| match at {
            None => now.max(recorded_at),
            Some(At::Time(time)) => time,
            Some(At::Sequence(_) | At::Position(_) | At::Posting(_)) => recorded_at,
        });
        let forecast = match moment {
            Some(moment) => Some(self.reader.forecast(ledger, &customer, &found, moment).await?),
            None => None,
        };
        let balance = Some(convert::balance_at(found));
        let recorded_at = found.recorded_at.map(convert::time);
        let forecast = forecast.as_ref().map(event::forecast);
        let provisional = found.provisional;
        Ok(Response::new(GetBalanceResponse { balance, recorded_at, provisional, forecast }))
    }

    async fn batch_get_balances(
        &self,
        request: Request<BatchGetBalancesRequest>,
    ) -> Result<Response<BatchGetBalancesResponse>, Status> {
        let (ledger, customers) = parse(request.into_inner(), |message, fields| {
            let BatchGetBalancesRequest { ledger_id, customer_ids } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customers = read_customers(fields, customer_ids);
            Some((ledger?, customers?))
        })?;
        let ledger = self.ledger(&ledger).await?;
        let found = self.reader.balances(ledger, &customers).await?;
        let mut response = BatchGetBalancesResponse::default();
        for (customer, balance) in customers.iter().zip(found) {
            let customer_id = customer.to_string();
            match balance {
                Some(balance) => {
                    let balance = Some(convert::balance_at(balance));
                    response.balances.push(CustomerBalance { customer_id, balance });
                }
                None => response.unknown_customer_ids.push(customer_id),
            }
        }
        Ok(Response::new(response))
    }

    async fn adjust_balance(
        &self,
        request: Request<AdjustBalanceRequest>,
    ) -> Result<Response<AdjustBalanceResponse>, Status> {
        self.execute(request).await
    }

    async fn get_posting(
        &self,
        request: Request<GetPostingRequest>,
    ) -> Result<Response<GetPostingResponse>, Status> {
        let (ledger, customer, target) = parse(request.into_inner(), postings::read_target)?;
        let no = self.ledger(&ledger).await?;
        let recorded = self.reader.posting(no, &target).await?;
        let posting = Some(convert::recorded(&recorded, &ledger, &customer));
        Ok(Response::new(GetPostingResponse { posting }))
    }

    async fn get_lot(&self, request: Request<GetLotRequest>) -> Result<Response<GetLotResponse>, Status> {
        let (ledger, id) = parse(request.into_inner(), |message, fields| {
            let GetLotRequest { ledger_id, lot_id } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let id = fields.made_id("lot_id", &lot_id, LotId::from_uuid);
            Some((ledger?, id?))
        })?;
        let no = self.ledger(&ledger).await?;
        let LotRecord { lot, left } = self.reader.lot(no, id).await?;
        let lot = Some(convert::lot(&lot.lot, &ledger, &lot.customer, left));
        Ok(Response::new(GetLotResponse { lot }))
    }

    async fn list_postings(
        &self,
        request: Request<ListPostingsRequest>,
    ) -> Result<Response<ListPostingsResponse>, Status> {
        let (ledger, customer, filter, page) = parse(request.into_inner(), postings::read_list)?;
        let no = self.ledger(&ledger).await?;
        let listed = self.reader.postings(no, &customer, &filter, &page).await?;
        let (postings, next_page_token) = listed.show(
            PAGE_BYTES_MAX,
            |recorded| convert::recorded(recorded, &ledger, &customer),
            Message::encoded_len,
        );
        Ok(Response::new(ListPostingsResponse { postings, next_page_token }))
    }

    async fn list_transfers(
        &self,
        request: Request<ListTransfersRequest>,
    ) -> Result<Response<ListTransfersResponse>, Status> {
        let ListTransfersRequest {
            ledger_id,
            customer_id,
            recorded_from,
            recorded_until,
            newest_first,
            kinds,
            incident_id,
            storefront,
            page_size,
            page_token,
        } = request.into_inner();
        // Transfers are listed by their postings.
        let postings = ListPostingsRequest {
            ledger_id,
            customer_id,
            recorded_from,
            recorded_until,
            newest_first,
            kinds,
            incident_id,
            storefront,
            page_size,
            page_token,
        };
        let (ledger, customer, filter, page) = parse(postings, postings::read_list)?;
        let ledger = self.ledger(&ledger).await?;
        let listed = self.reader.transfers(ledger, &customer, &filter, &page).await?;
        let (transfers, next_page_token) =
            listed.show(PAGE_BYTES_MAX, convert::transfer_record, Message::encoded_len);
        Ok(Response::new(ListTransfersResponse { transfers, next_page_token }))
    }

    async fn list_lots(
        &self,
        request: Request<ListLotsRequest>,
    ) -> Result<Response<ListLotsResponse>, Status> {
        let (ledger, customer, filter, page) = parse(request.into_inner(), |message, fields| {
            let ListLotsRequest {
                ledger_id,
                customer_id,
                source,
                storefront,
                created_from,
                created_until,
                page_size,
                page_token,
            } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
            let source = fields.known("source", source).map(|source| match source {
                LotSource::Unspecified => None,
                LotSource::Purchase => Some(Source::Purchase),
                LotSource::Grant => Some(Source::Grant),
                LotSource::Adjustment => Some(Source::Adjustment),
            });
            let storefront = fields.optional("storefront", &storefront, Storefront::parse);
            let from = fields.time("created_from", created_from);
            let until = fields.time("created_until", created_until);
            let page = fields.page(page_size, page_token);
            let filter = LotFilter {
                customer: None,
                source: source?,
                storefront: storefront?,
                from: from?,
                until: until?,
            };
            Some((ledger?, customer?, filter, page?))
        })?;
        let no = self.ledger(&ledger).await?;
        let listed = self.reader.lots(no, customer.as_ref(), filter, &page).await?;
        let show =
            |record: &LotRecord| convert::lot(&record.lot.lot, &ledger, &record.lot.customer, record.left);
        let (lots, next_page_token) = listed.show(PAGE_BYTES_MAX, show, Message::encoded_len);
        Ok(Response::new(ListLotsResponse { lots, next_page_token }))
    }

    async fn get_trial_balance(
        &self,
        request: Request<GetTrialBalanceRequest>,
    ) -> Result<Response<GetTrialBalanceResponse>, Status> {
        let ledger = parse(request.into_inner(), |message, fields| {
            let GetTrialBalanceRequest { ledger_id } = message;
            fields.ledger_or_main(&ledger_id)
        })?;
        let ledger = self.ledger(&ledger).await?;
        let TrialBalance { credits: accounts, money } = self.reader.trial_balance(ledger).await?;
        let money_accounts = money.iter().map(|(place, minor_units)| MoneyAccountBalance {
            account: place.short_name(),
            balance: Some(convert::money(&Money { currency: place.currency, minor_units: *minor_units })),
        });
        let money_accounts = money_accounts.collect();
        let total = accounts.iter().try_fold(Credits::ZERO, |sum, (_, credits)| sum.checked_add(*credits));
        let accounts = accounts
            .into_iter()
            .map(|(account, credits)| AccountBalance { account, credits: credits.to_string() })
            .collect();
        let total_credits = total.ok_or(Rejection::AmountOutOfBounds)?.to_string();
        Ok(Response::new(GetTrialBalanceResponse { accounts, total_credits, money_accounts }))
    }

    async fn get_statement(
        &self,
        request: Request<GetStatementRequest>,
    ) -> Result<Response<GetStatementResponse>, Status> {
        self.statement(request.into_inner()).await.map(Response::new)
    }

    async fn get_revenue_report(
        &self,
        request: Request<GetRevenueReportRequest>,
    ) -> Result<Response<GetRevenueReportResponse>, Status> {
        self.revenue_report(request.into_inner()).await.map(Response::new)
    }

    async fn reconcile_purchases(
        &self,
        request: Request<Streaming<ReconcilePurchasesRequest>>,
    ) -> Result<Response<ReconcilePurchasesResponse>, Status> {
        self.reconcile(request.into_inner()).await.map(Response::new)
    }

    async fn stream_journal(
        &self,
        request: Request<StreamJournalRequest>,
    ) -> Result<Response<JournalStream>, Status> {
        let (ledger, after, follow) = parse(request.into_inner(), |message, fields| {
            let StreamJournalRequest { ledger_id, after_position, follow } = message;
            let ledger = fields.ledger_or_main(&ledger_id);
            let after = fields.number("after_position", after_position, i64::MAX.unsigned_abs());
            Some((ledger?, Position(after?), follow))
        })?;
        let no = self.ledger(&ledger).await?;
        Ok(Response::new(self.journal_stream(ledger, no, after, follow)))
    }
}

fn show_ledger(ledger: &crate::query::Ledger) -> Ledger {
    Ledger { ledger_id: ledger.id.to_string(), created_at: Some(convert::time(ledger.created_at)) }
}

fn read_as_of(fields: &mut Fields, as_of: Option<get_balance_request::AsOf>) -> Option<Option<At>> {
    use get_balance_request::AsOf;
    let bound = i64::MAX.unsigned_abs();
    match as_of {
        Some(AsOf::Time(time)) => fields.time("time", Some(time)).map(|time| time.map(At::Time)),
        Some(AsOf::Position(position)) => {
            fields.number("position", position, bound).map(|position| Some(At::Position(Position(position))))
        }
        Some(AsOf::Sequence(sequence)) => {
            fields.number("sequence", sequence, bound).map(|sequence| Some(At::Sequence(sequence)))
        }
        None => Some(None),
    }
}

fn read_customers(fields: &mut Fields, ids: Vec<String>) -> Option<Vec<CustomerId>> {
    if ids.is_empty() || ids.len() > BALANCES_MAX {
        return fields.refuse("customer_ids", format!("must be 1 to {BALANCES_MAX} ids"));
    }
    fields.each("customer_ids", ids, |fields, id| fields.take("", CustomerId::parse(&id)))
}

impl CommandMessage for AdjustBalanceRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, credits } = self;
        let credits = fields.credits("credits", &credits, Amount::Signed);
        let command = AdjustBalance { credits: credits? };
        Some(Command::AdjustBalance(command))
    }
}
