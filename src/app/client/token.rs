//! `creditledger token ...`: tokens of a server, made over the network, or in the database itself before it is served.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;
use uuid::Uuid;

use super::row::{OutputRow, row};
use super::show::time;
use super::target::{Limit, Target, new_request_id};
use crate::access::{
    Bounds, CallFacts, DAYS_MAX, Ledgers, NewToken, RecordKind, Recorder, Retention, StoredToken,
    TokenCreated, Tokens,
};
use crate::app::database_url::url_of;
use crate::app::failure::Failure;
use crate::app::output::{note, print};
use crate::app::paging::method;
use crate::clock;
use crate::grpc::{access_token_message, wire};
use crate::hidden::Hidden;
use crate::ledger::actor::Role;
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, RequestKey, Text};
use crate::store::{self, ReadStore, Settings, StoreError, WriteStore};
use wire::access_service_client::AccessServiceClient;

/// Tokens by which callers show who they are: make, list and revoke them
///
/// With --database-url they are made in the database itself, such as the first one of an operator, before a server has
/// it open. A database of SQLite is used by one program at a time: while a server has it, ask the server.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Make a token, and print it: it is told this once and kept nowhere
    Create(Create),
    /// List tokens, also those that are revoked or have expired
    List {
        #[command(flatten)]
        limit: Limit,
        #[command(flatten)]
        place: Place,
    },
    /// Revoke a token: every server refuses it within 5 seconds
    Revoke {
        /// The token's id
        token: String,
        #[command(flatten)]
        place: Place,
    },
}

/// What a token is for.
#[derive(Clone, Debug, clap::Args)]
pub struct Create {
    /// What its bearer may do: storefront, helpdesk, billing, customer, auditor or operator
    #[arg(long, value_parser = role)]
    role: Role,
    /// How many days it lives
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=i64::from(DAYS_MAX)))]
    days: u32,
    /// For all ledgers, also those that are made later, instead of the one that --ledger names
    #[arg(long)]
    all_ledgers: bool,
    /// For this ledger too; may be given several times
    #[arg(long, value_name = "ID", conflicts_with = "all_ledgers")]
    also_ledger: Vec<String>,
    /// The one customer whose things it shows, for the role customer
    #[arg(long, default_value = "", hide_default_value = true, value_name = "ID")]
    customer: String,
    /// What its bearer is called [default: the role]
    #[arg(long)]
    name: Option<String>,
    /// Idempotency key: a command repeated with the same id makes no second token [default: a new id]
    #[arg(long, value_name = "ID")]
    request_id: Option<String>,
    #[command(flatten)]
    place: Place,
}

/// Where the tokens are.
#[derive(Clone, Debug, clap::Args)]
pub struct Place {
    /// The database itself, instead of a server. Everybody on this machine can read it on the command line: a URL with a
    /// password belongs in --database-url-file
    #[arg(long, value_name = "URL")]
    database_url: Option<Hidden<String>>,
    /// A file with the URL of the database itself
    #[arg(long, value_name = "FILE", conflicts_with = "database_url")]
    database_url_file: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

impl Place {
    /// The URL of the database; `None` for a server.
    fn database(&self) -> Result<Option<Hidden<String>>, Failure> {
        url_of(self.database_url.clone(), self.database_url_file.clone(), "--database-url-file")
    }
}

impl TokenCommand {
    pub async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run().await,
            Self::List { limit, place } => {
                let (url, target) = (place.database()?, place.target);
                let Some(url) = url else {
                    let method = method!(AccessServiceClient.list_tokens);
                    return target
                        .list(limit, method, wire::ListTokensRequest::default(), access_token)
                        .await;
                };
                let database = Database::open(url.reveal()).await?;
                let found = database.tokens.page(None, limit.count().saturating_add(1)).await;
                database.close().await?;
                let (mut found, next) = found?;
                let more = next.is_some() || found.len() > limit.count();
                found.truncate(limit.count());
                let rows: Vec<_> =
                    found.iter().map(|token| access_token(&access_token_message(token))).collect();
                target.print_list(&rows, more)
            }
            Self::Revoke { token, place } => {
                let (url, target) = (place.database()?, place.target);
                let Some(url) = url else {
                    let method = method!(AccessServiceClient.revoke_token);
                    let answer = target.ask(method, wire::RevokeTokenRequest { token_id: token }).await?;
                    return target.print(&access_token(&answer.access_token.unwrap_or_default()));
                };
                let id =
                    token.parse().map_err(|_| Failure::Other(format!("{token} is not the id of a token")))?;
                let database = Database::open(url.reveal()).await?;
                let revoked = database.revoke(id).await;
                database.close().await?;
                let revoked = revoked?.ok_or_else(|| Failure::Other(format!("there is no token {id}")))?;
                target.print(&access_token(&access_token_message(&revoked)))
            }
        }
    }
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let request_id = match &self.request_id {
            Some(id) => id.clone(),
            None => new_request_id()?,
        };
        let mut ledgers: BTreeSet<String> = self.also_ledger.iter().cloned().collect();
        ledgers.insert(self.place.target.ledger());
        if self.all_ledgers {
            ledgers.clear();
        }
        let name = self.name.clone().unwrap_or_else(|| self.role.name().to_owned());
        let made = match self.place.database()? {
            None => self.ask_server(&request_id, ledgers, name).await?,
            Some(url) => self.make_in_database(url.reveal(), &request_id, &ledgers, &name).await?,
        };
        let wire::CreateTokenResponse { outcome: _, access_token: made, token } = made;
        let made = made.unwrap_or_default();
        if token.is_empty() {
            return Err(Failure::Other(format!(
                "the request {request_id} has made the token {id} before, and it cannot be told again; \
                 \"creditledger token revoke {id}\", and make another one without --request-id",
                id = made.token_id,
            )));
        }
        if self.place.target.json {
            return self
                .place
                .target
                .print(&OutputRow::default().with("token", token).and(access_token(&made)));
        }
        // The token stands alone on standard output, so that it can be written into a file.
        print(&token)?;
        note(&format!(
            "token {} of {}, role {}, expires {}; it is not shown again",
            made.token_id,
            made.name,
            self.role,
            time(made.expires_at.as_ref()).as_str().unwrap_or_default(),
        ));
        Ok(())
    }

    async fn ask_server(
        &self,
        request_id: &str,
        ledgers: BTreeSet<String>,
        name: String,
    ) -> Result<wire::CreateTokenResponse, Failure> {
        let request = wire::CreateTokenRequest {
            context: Some(wire::context(request_id, "")),
            name,
            role: self.role.code().into(),
            ledger_ids: ledgers.into_iter().collect(),
            customer_id: self.customer.clone(),
            days: i32::try_from(self.days).unwrap_or(i32::MAX),
        };
        let made = self.place.target.ask(method!(AccessServiceClient.create_token), request).await;
        made.map_err(|failure| match failure {
            Failure::Call(error) if error.leaves_outcome_unknown() => {
                Failure::OutcomeUnknown { error: Box::new(error), request_id: request_id.to_owned() }
            }
            other => other,
        })
    }

    async fn make_in_database(
        &self,
        url: &str,
        request_id: &str,
        ledgers: &BTreeSet<String>,
        name: &str,
    ) -> Result<wire::CreateTokenResponse, Failure> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| Failure::Other(format!("{what} {error}"));
        let request = RequestKey::parse(request_id).map_err(|error| wrong("--request-id", &error))?;
        let name = Text::parse(name).map_err(|error| wrong("--name", &error))?;
        if name.is_empty() {
            return Err(wrong("--name", &"must not be empty"));
        }
        let named = ledgers.iter().map(|ledger| LedgerId::parse(ledger)).collect::<Result<BTreeSet<_>, _>>();
        let named = named.map_err(|error| wrong("--ledger", &error))?;
        let ledgers = if named.is_empty() { Ledgers::All } else { Ledgers::Only(named.clone()) };
        let customer = Some(self.customer.as_str()).filter(|customer| !customer.is_empty());
        let customer = customer.map(CustomerId::parse).transpose();
        let customer = customer.map_err(|error| wrong("--customer", &error))?;
        let bounds =
            Bounds::new(self.role, ledgers, customer).map_err(|error| wrong("--customer:", &error))?;
        let database = Database::open(url).await?;
        let made = database
            .make(&request, &NewToken { name: OpenText(name), bounds, days: self.days }, &named)
            .await;
        database.close().await?;
        let (stored, token) = match made? {
            TokenCreated::Made(stored, text) => (stored, text.reveal().to_owned()),
            TokenCreated::Replayed(stored) => (stored, String::new()),
            TokenCreated::RequestIdReused => {
                return Err(wrong("--request-id", &"was used for another token"));
            }
            TokenCreated::TooMany => return Err(Failure::Other("there are too many live tokens".to_owned())),
        };
        let access_token = Some(access_token_message(&stored));
        Ok(wire::CreateTokenResponse { outcome: None, access_token, token })
    }
}

/// What the audit log has as the method, where somebody works on the database itself.
const CREATE: &str = "creditledger token create";
const REVOKE: &str = "creditledger token revoke";

/// A database that this process has open, as a server would.
struct Database {
    tokens: Tokens,
    recorder: Recorder,
    writers: Vec<Box<dyn WriteStore>>,
    reader: Arc<dyn ReadStore>,
}

impl Database {
    /// Makes the database where it is missing, and brings its schema up to date, as a server does when it starts.
    async fn open(url: &str) -> Result<Self, Failure> {
        if url.starts_with("memory:") {
            return Err(Failure::Other("memory: keeps nothing, so there are no tokens in it".to_owned()));
        }
        let settings = Settings { lanes: 1, ..Settings::default() };
        let engine = store::open(url, clock::now(), &settings).await.map_err(|error| match error {
            StoreError::Unusable(why) => Failure::Other(format!(
                "{why}; while a server has the database open, ask the server (--server, with the token of an operator)"
            )),
            other => other.into(),
        })?;
        let tokens = Tokens::new(engine.tokens, Arc::new(clock::System));
        // It removes nothing: how much the log keeps is a setting of servers.
        let keeps_all = Retention { days: u32::MAX, records: u64::MAX, bytes: u64::MAX };
        let recorder = Recorder::new(engine.records, Arc::new(clock::System), keeps_all);
        Ok(Self { tokens, recorder, writers: engine.writers, reader: engine.reader })
    }

    async fn make(
        &self,
        request: &RequestKey,
        new: &NewToken,
        ledgers: &BTreeSet<LedgerId>,
    ) -> Result<TokenCreated, Failure> {
        for ledger in ledgers {
            if self.reader.ledger(ledger).await?.is_none() {
                return Err(Failure::Other(format!("there is no ledger {ledger}")));
            }
        }
        let created = self.tokens.create(request, new).await?;
        if let TokenCreated::Made(stored, _) = &created {
            let request = request.to_string();
            let call = CallFacts { method: CREATE, request: &request, ..CallFacts::default() };
            self.recorder.changed(&call, RecordKind::TokenCreated, &stored.id.to_string());
        }
        Ok(created)
    }

    async fn revoke(&self, id: Uuid) -> Result<Option<StoredToken>, StoreError> {
        let revoked = self.tokens.revoke(id).await?;
        if revoked.is_some() {
            let call = CallFacts { method: REVOKE, ..CallFacts::default() };
            self.recorder.changed(&call, RecordKind::TokenRevoked, &id.to_string());
        }
        Ok(revoked)
    }

    /// Writes what was recorded, and closes the database.
    async fn close(self) -> Result<(), StoreError> {
        self.recorder.run(watch::channel(true).1).await;
        for mut writer in self.writers {
            writer.close().await?;
        }
        Ok(())
    }
}

fn role(text: &str) -> Result<Role, String> {
    let known = Role::ALL.iter().find(|role| role.name() == text).copied();
    known.ok_or_else(|| {
        let names: Vec<_> = Role::ALL.iter().map(|role| role.name()).collect();
        format!("must be one of {}", names.join(", "))
    })
}

fn access_token(token: &wire::AccessToken) -> OutputRow {
    let ledgers: Vec<Value> = token.ledger_ids.iter().map(|id| id.as_str().into()).collect();
    row!(token: token_id, name)
        .with("role", u8::try_from(token.role).ok().and_then(Role::from_code).map(Role::name))
        .with("ledgers", if ledgers.is_empty() { "all".into() } else { Value::from(ledgers) })
        .and(row!(token:
            customer_id,
            expires_at = time(token.expires_at.as_ref()),
            revoked_at = time(token.revoked_at.as_ref()),
            last_used_at = time(token.last_used_at.as_ref()),
        ))
        .with_more("created_at", time(token.created_at.as_ref()))
}
