//! LedgerService: ledgers, balances, lots, and the journal's postings. Streams and reports have files of their own.

use tonic::Request;

use crate::clock;
use crate::ledger::commands::AdjustBalance;
use crate::ledger::lot::LotSource;
use crate::ledger::{Command, Credits, CustomerId, LedgerId, LotId, Money, Rejection, Storefront};
use crate::query::{At, LotFilter, LotRecord, PageRequest, TrialBalance};
use crate::writer::{LedgerCreated, NewLedger};

use super::api::{Call, Deadline, Reply, show_page};
use super::command::{CommandMessage, ledger_outcome};
use super::context::{Keeps, Reason};
use super::parse::{Amount, Fields, complete};
use super::status::Problem;
use super::wire::*;
use super::{convert, postings};

/// What the server can do beyond the first version of the package, in alphabetical order.
const FEATURES: [&str; 0] = [];

/// The most customers in one BatchGetBalances.
const BALANCES_MAX: usize = 1_000;

impl Call {
    pub(super) async fn create_ledger(
        &self,
        request: Request<CreateLedgerRequest>,
    ) -> Reply<CreateLedgerResponse> {
        let deadline = Deadline::of(&request);
        let ledger = self.parse(request.into_inner(), |message, fields| {
            let CreateLedgerRequest { mut context, ledger_id } = message;
            let named = context.as_mut().map(|context| std::mem::take(&mut context.ledger_id));
            if named.is_some_and(|named| !named.is_empty()) {
                fields
                    .refuse::<()>("context.ledger_id", "must be empty: the new ledger is named by ledger_id");
            }
            complete!(NewLedger {
                request: fields.ledger_context(context, Keeps::Nothing).map(|scope| scope.request),
                id: fields.take("ledger_id", LedgerId::parse(&ledger_id)),
            })
        })?;
        self.called.may_name(&ledger.id).inspect_err(|problem| self.refused(problem))?;
        match self.writer.create_ledger(ledger, deadline).await? {
            LedgerCreated::Created { ledger, replayed } => {
                let (ledger, outcome) = (Some(show_ledger(&ledger)), Some(ledger_outcome(replayed)));
                Ok(CreateLedgerResponse { outcome, ledger })
            }
            LedgerCreated::Exists => Err(Problem::ledger_exists().into()),
            LedgerCreated::RequestIdReused => Err(Rejection::RequestIdReused { original: None }.into()),
            LedgerCreated::TooMany => Err(Problem::too_many_ledgers().into()),
        }
    }

    pub(super) async fn list_ledgers(&self, message: ListLedgersRequest) -> Reply<ListLedgersResponse> {
        let page = self.parse(message, |message, fields| {
            let ListLedgersRequest { page_size, page_token } = message;
            fields.page(page_size, page_token)
        })?;
        let mut listed = self.reader.ledgers(&page).await?;
        listed.items.retain(|ledger| self.called.sees_ledger(&ledger.id));
        let (ledgers, next_page_token) = show_page(listed, show_ledger);
        Ok(ListLedgersResponse { ledgers, next_page_token })
    }

    pub(super) async fn get_ledger(&self, message: GetLedgerRequest) -> Reply<GetLedgerResponse> {
        let id = self.parse(message, |message, fields| {
            let GetLedgerRequest { ledger_id } = message;
            fields.ledger_or_main(&ledger_id)
        })?;
        self.called.may_name(&id).inspect_err(|problem| self.refused(problem))?;
        let ledger = show_ledger(&self.reader.ledger_record(&id).await?);
        Ok(GetLedgerResponse { ledger: Some(ledger) })
    }

    pub(super) async fn get_server_info(
        &self,
        GetServerInfoRequest {}: GetServerInfoRequest,
    ) -> Reply<GetServerInfoResponse> {
        let crate::query::ServerInfo { version, engine, schema_version, ledgers } =
            self.reader.server_info().await?;
        let ledgers = if self.called.sees_all_ledgers() {
            ledgers
        } else {
            // Whoever is bound to some is told of those, as in the list of ledgers.
            let all = self.reader.all_ledgers().await?;
            let seen = all.iter().filter(|ledger| self.called.sees_ledger(&ledger.id)).count();
            u64::try_from(seen).unwrap_or(u64::MAX)
        };
        let server_info = ServerInfo {
            version: version.to_owned(),
            engine: engine.to_owned(),
            schema_version: convert::short(schema_version),
            ledgers: convert::short(ledgers),
            features: FEATURES.map(str::to_owned).to_vec(),
        };
        Ok(GetServerInfoResponse { server_info: Some(server_info) })
    }

    pub(super) async fn get_balance(&self, message: GetBalanceRequest) -> Reply<GetBalanceResponse> {
        let read = |message, fields: &mut Fields| {
            let GetBalanceRequest { ledger_id: _, customer_id, as_of, with_forecast } = message;
            let customer = fields.customer(&customer_id);
            let at = read_as_of(fields, as_of);
            Some((customer?, at?, with_forecast))
        };
        let (ledger, (customer, at, with_forecast)) = self.read(message, read).await?;
        let now = clock::now();
        let found = self.reader.balance(ledger.no, &customer, at, now).await?;
        let moment = found.recorded_at.filter(|_| with_forecast).map(|recorded_at| match at {
            None => now.max(recorded_at),
            Some(At::Time(time)) => time,
            Some(At::Sequence(_) | At::Position(_) | At::Posting(_)) => recorded_at,
        });
        let forecast = match moment {
            Some(moment) => Some(self.reader.forecast(ledger.no, &customer, &found, moment).await?),
            None => None,
        };
        Ok(GetBalanceResponse {
            balance: Some(convert::balance_at(found)),
            recorded_at: found.recorded_at.map(convert::time),
            provisional: found.provisional,
            forecast: forecast.as_ref().map(convert::forecast),
        })
    }

    pub(super) async fn batch_get_balances(
        &self,
        message: BatchGetBalancesRequest,
    ) -> Reply<BatchGetBalancesResponse> {
        let read = |message, fields: &mut Fields| {
            let BatchGetBalancesRequest { ledger_id: _, customer_ids } = message;
            if customer_ids.is_empty() || customer_ids.len() > BALANCES_MAX {
                return fields.refuse("customer_ids", format!("must be 1 to {BALANCES_MAX} ids"));
            }
            fields.each("customer_ids", customer_ids, |fields, id| fields.customer_in("", &id))
        };
        let (ledger, customers) = self.read(message, read).await?;
        let found = self.reader.balances(ledger.no, &customers).await?;
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
        Ok(response)
    }

    pub(super) async fn get_posting(&self, message: GetPostingRequest) -> Reply<GetPostingResponse> {
        let (ledger, (customer, target)) = self.read(message, postings::read_target).await?;
        let recorded = self.reader.posting(ledger.no, &target).await?;
        Ok(GetPostingResponse {
            posting: Some(convert::recorded(&recorded, &ledger.id, &customer, &self.called)),
        })
    }

    pub(super) async fn get_lot(&self, message: GetLotRequest) -> Reply<GetLotResponse> {
        let read = |message, fields: &mut Fields| {
            let GetLotRequest { ledger_id: _, lot_id } = message;
            fields.made_id("lot_id", &lot_id, LotId::from_uuid)
        };
        let (ledger, id) = self.read(message, read).await?;
        let found = self.reader.lot(ledger.no, id).await?;
        Ok(GetLotResponse { lot: Some(show_lot(&found, &ledger.id)) })
    }

    pub(super) async fn list_postings(&self, message: ListPostingsRequest) -> Reply<ListPostingsResponse> {
        let (ledger, (customer, filter, page)) = self.read(message, postings::read_list).await?;
        let listed = self.reader.postings(ledger.no, &customer, &filter, &page).await?;
        let (postings, next_page_token) =
            show_page(listed, |recorded| convert::recorded(recorded, &ledger.id, &customer, &self.called));
        Ok(ListPostingsResponse { postings, next_page_token })
    }

    /// Transfers are listed by their postings.
    pub(super) async fn list_transfers(&self, message: ListTransfersRequest) -> Reply<ListTransfersResponse> {
        let message: ListPostingsRequest = message.into();
        let (ledger, (customer, filter, page)) = self.read(message, postings::read_list).await?;
        let listed = self.reader.transfers(ledger.no, &customer, &filter, &page).await?;
        let (transfers, next_page_token) =
            show_page(listed, |record| convert::transfer_record(record, &self.called));
        Ok(ListTransfersResponse { transfers, next_page_token })
    }

    pub(super) async fn list_lots(&self, message: ListLotsRequest) -> Reply<ListLotsResponse> {
        let (ledger, (customer, filter, page)) = self.read(message, read_lots).await?;
        let listed = self.reader.lots(ledger.no, customer.as_ref(), filter, &page).await?;
        let (lots, next_page_token) = show_page(listed, |record| show_lot(record, &ledger.id));
        Ok(ListLotsResponse { lots, next_page_token })
    }

    pub(super) async fn get_trial_balance(
        &self,
        message: GetTrialBalanceRequest,
    ) -> Reply<GetTrialBalanceResponse> {
        let read = |GetTrialBalanceRequest { ledger_id: _ }, _: &mut Fields| Some(());
        let (ledger, ()) = self.read(message, read).await?;
        let TrialBalance { credits: accounts, money } = self.reader.trial_balance(ledger.no).await?;
        let money_accounts = money.iter().map(|(place, minor_units)| MoneyAccountBalance {
            account: place.short_name(),
            balance: Some(convert::money(&Money { currency: place.currency, minor_units: *minor_units })),
        });
        let total = accounts.iter().try_fold(Credits::ZERO, |sum, (_, credits)| sum.checked_add(*credits));
        let total_credits = total.ok_or(Rejection::AmountOutOfBounds)?.to_string();
        let accounts = accounts
            .into_iter()
            .map(|(account, credits)| AccountBalance { account, credits: credits.to_string() });
        Ok(GetTrialBalanceResponse {
            accounts: accounts.collect(),
            total_credits,
            money_accounts: money_accounts.collect(),
        })
    }
}

pub fn read_lots(
    message: ListLotsRequest,
    fields: &mut Fields,
) -> Option<(Option<CustomerId>, LotFilter, PageRequest)> {
    let ListLotsRequest {
        ledger_id: _,
        customer_id,
        source,
        storefront,
        created_from,
        created_until,
        page_size,
        page_token,
    } = message;
    let customer = fields.optional_customer(&customer_id);
    let filter = complete!(LotFilter {
        customer: Some(None),
        source: fields.coded("source", source, LotSource::from_code),
        storefront: fields.optional("storefront", &storefront, Storefront::parse),
        from: fields.time("created_from", created_from),
        until: fields.time("created_until", created_until),
    });
    let page = fields.page(page_size, page_token);
    Some((customer?, filter?, page?))
}

fn show_lot(record: &LotRecord, ledger: &LedgerId) -> Lot {
    convert::lot(&record.lot.lot, ledger, &record.lot.customer, record.left, &record.lot.unused)
}

fn show_ledger(ledger: &crate::query::Ledger) -> Ledger {
    Ledger { ledger_id: ledger.id.to_string(), created_at: Some(convert::time(ledger.created_at)) }
}

fn read_as_of(fields: &mut Fields, as_of: Option<get_balance_request::AsOf>) -> Option<Option<At>> {
    use get_balance_request::AsOf;
    match as_of {
        Some(AsOf::Time(time)) => fields.time("time", Some(time)).map(|time| time.map(At::Time)),
        Some(AsOf::Position(position)) => fields.position("position", position).map(At::Position).map(Some),
        Some(AsOf::Sequence(sequence)) => {
            fields.number("sequence", sequence, i64::MAX.unsigned_abs()).map(At::Sequence).map(Some)
        }
        None => Some(None),
    }
}

impl CommandMessage for AdjustBalanceRequest {
    fn reason(&self) -> Reason {
        Reason::Required
    }

    fn read(self, fields: &mut Fields) -> Option<Command> {
        let Self { context: _, credits } = self;
        let credits = fields.credits("credits", &credits, Amount::Signed);
        complete!(Command::AdjustBalance { credits: credits })
    }
}
