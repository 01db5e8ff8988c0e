//! AccessService: tokens of the server's own.

use tonic::{Request, Status};
use uuid::Uuid;

use crate::access::{
    Bounds, DAYS_MAX, LEDGERS_MAX, Ledgers, NewToken, StoredToken, TOKENS_MAX, TokenCreated,
};
use crate::ledger::actor::Role as CallerRole;
use crate::ledger::ids::OpenText;
use crate::ledger::{CustomerId, LedgerId, Rejection, RequestKey};
use crate::query::{Listed, ReadError, keyed};

use super::api::{Call, Reply, show_page};
use super::command::ledger_outcome;
use super::context::Keeps;
use super::convert;
use super::parse::Fields;
use super::status::Problem;
use super::webhooks::not_changed;
use super::wire::*;

keyed!(StoredToken => Uuid: |it| it.id);

impl Call {
    pub(super) async fn create_token(
        &self,
        request: Request<CreateTokenRequest>,
    ) -> Reply<CreateTokenResponse> {
        self.called.of_all_ledgers().inspect_err(|problem| self.refused(problem))?;
        let (request, new) = self.parse(request.into_inner(), read_new)?;
        if let Ledgers::Only(ledgers) = new.bounds.ledgers() {
            for ledger in ledgers {
                // A misspelt ledger would make a token that can do nothing.
                self.reader.ledger(ledger).await?;
            }
        }
        let created = self.identities.tokens.create(&request, &new).await.map_err(not_changed)?;
        let (stored, token, replayed) = match created {
            TokenCreated::Made(stored, text) => (stored, text.reveal().to_owned(), false),
            TokenCreated::Replayed(stored) => (stored, String::new(), true),
            TokenCreated::RequestIdReused => {
                return Err(Rejection::RequestIdReused { original: None }.into());
            }
            TokenCreated::TooMany => return Err(Problem::too_many_tokens(TOKENS_MAX).into()),
        };
        Ok(CreateTokenResponse {
            outcome: Some(ledger_outcome(replayed)),
            access_token: Some(show(&stored)),
            token,
        })
    }

    pub(super) async fn list_tokens(&self, message: ListTokensRequest) -> Reply<ListTokensResponse> {
        self.called.of_all_ledgers().inspect_err(|problem| self.refused(problem))?;
        let page = self.parse(message, |message, fields| {
            let ListTokensRequest { page_size, page_token } = message;
            fields.page(page_size, page_token)
        })?;
        let (after, bound) = page.open::<Uuid>(&"tokens")?;
        let found = self.identities.tokens.page(after, page.limit).await;
        let (found, next) = found.map_err(ReadError::Storage)?;
        let (access_tokens, next_page_token) = show_page(Listed::new(found, next, bound), show);
        Ok(ListTokensResponse { access_tokens, next_page_token })
    }

    pub(super) async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Reply<RevokeTokenResponse> {
        self.called.of_all_ledgers().inspect_err(|problem| self.refused(problem))?;
        let id = self.parse(request.into_inner(), |message, fields| {
            let RevokeTokenRequest { token_id } = message;
            fields.made_id("token_id", &token_id, |id| id)
        })?;
        let revoked = self.identities.tokens.revoke(id).await.map_err(not_changed)?;
        let revoked = revoked.ok_or_else(|| Status::from(Problem::token_not_found()))?;
        Ok(RevokeTokenResponse { access_token: Some(show(&revoked)) })
    }
}

fn read_new(message: CreateTokenRequest, fields: &mut Fields) -> Option<(RequestKey, NewToken)> {
    let CreateTokenRequest { mut context, name, role, ledger_ids, customer_id, days } = message;
    let named = context.as_mut().map(|context| std::mem::take(&mut context.ledger_id));
    if named.is_some_and(|named| !named.is_empty()) {
        fields.refuse::<()>("context.ledger_id", "must be empty: ledger_ids names the ledgers of the token");
    }
    let request = fields.ledger_context(context, Keeps::Nothing).map(|scope| scope.request);
    let name = fields.required_text("name", &name).map(OpenText);
    let role = fields.coded("role", role, CallerRole::from_code);
    let role = role.and_then(|role| role.or_else(|| fields.refuse("role", "must be given")));
    let ledgers = read_ledgers(fields, ledger_ids);
    let customer = fields.optional("customer_id", &customer_id, CustomerId::parse);
    let days = match fields.count("days", days, DAYS_MAX) {
        Some(0) => fields.refuse("days", "must be at least 1"),
        days => days,
    };
    let bounds = match (role, ledgers, customer) {
        (Some(role), Some(ledgers), Some(customer)) => fields.take(
            "customer_id",
            Bounds::new(role, ledgers, customer).map_err(|error| format!("is wrong: {error}")),
        ),
        _ => None,
    };
    Some((request?, NewToken { name: name?, bounds: bounds?, days: days? }))
}

fn read_ledgers(fields: &mut Fields, ids: Vec<String>) -> Option<Ledgers> {
    if ids.is_empty() {
        return Some(Ledgers::All);
    }
    if ids.len() > LEDGERS_MAX {
        return fields.refuse("ledger_ids", format!("must be at most {LEDGERS_MAX}"));
    }
    let ledgers = fields.each("ledger_ids", ids, |fields, id| fields.take("", LedgerId::parse(&id)))?;
    Some(Ledgers::Only(ledgers.into_iter().collect()))
}

/// A token as a message.
pub fn show(token: &StoredToken) -> AccessToken {
    let body = &token.body;
    AccessToken {
        token_id: token.id.to_string(),
        name: body.name.to_string(),
        role: body.role.code().into(),
        ledger_ids: body.ledgers.as_deref().map(convert::names).unwrap_or_default(),
        customer_id: convert::or_empty(body.customer.as_ref()),
        created_at: Some(convert::time(body.created_at)),
        expires_at: Some(convert::time(token.expires_at)),
        revoked_at: token.revoked_at.map(convert::time),
        last_used_at: token.used_at.map(convert::time),
    }
}
