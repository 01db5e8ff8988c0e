//! The context of a command: who asks, about whom, and why. Read once for all of them.

use crate::ledger::commands::Said;
use crate::ledger::{Command, CustomerId, LedgerId, LedgerNo, Request, RequestKey, Text};

use super::parse::{Fields, complete};
use super::wire;

/// Whether a command must state a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Optional,
    Required,
}

/// The context of a command about a customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// `None` where the request names none.
    pub ledger: Option<LedgerId>,
    pub request: RequestKey,
    pub customer: CustomerId,
    /// Who asks, why, and what else is to be kept with the posting.
    pub said: Said,
}

impl Scope {
    /// The ledger; `main` where none is named.
    pub fn ledger_or_main(&self) -> LedgerId {
        self.ledger.clone().unwrap_or_else(LedgerId::main)
    }

    /// The request of a command within this context, in this ledger.
    pub fn request(self, ledger: LedgerNo, command: Command) -> Request {
        let Self { ledger: _, request, customer, said } = self;
        Request { ledger, customer, request: Some(request), said, command }
    }
}

/// What a command that concerns no customer keeps of its context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// Only the request id.
    Nothing,
    /// The request id and who asks.
    By,
    /// The request id, who asks, and why, which is required.
    Why,
}

/// The context of a command that concerns no customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerScope {
    /// `None` where the request names none.
    pub ledger: Option<LedgerId>,
    pub request: RequestKey,
    /// Who asks; empty where it is not kept.
    pub by: Text,
    /// Why; empty where it is not kept.
    pub reason: Text,
}

impl Fields {
    /// The context of a command about a customer.
    pub fn context(&mut self, context: Option<wire::CommandContext>, why: Reason) -> Option<Scope> {
        let wire::CommandContext { ledger_id, request_id, customer_id, by, reason, metadata } =
            context.unwrap_or_default();
        self.within("context", |fields| {
            let ledger = fields.ledger(&ledger_id);
            let request = fields.take("request_id", RequestKey::parse(&request_id));
            let customer = fields.customer(&customer_id);
            let by = fields.text("by", &by);
            let reason = match why {
                Reason::Optional => fields.text("reason", &reason),
                Reason::Required => fields.required_text("reason", &reason),
            };
            let actor = Some(fields.actor());
            let metadata = fields.metadata(metadata);
            let said = complete!(Said { by: by, reason: reason, metadata: metadata, actor: actor });
            complete!(Scope { ledger: ledger, request: request, customer: customer, said: said })
        })
    }

    /// The context of a command that concerns no customer. Texts that would not be kept are refused, so that nobody
    /// finds out later that they are gone.
    pub fn ledger_context(
        &mut self,
        context: Option<wire::CommandContext>,
        keeps: Keeps,
    ) -> Option<LedgerScope> {
        let wire::CommandContext { ledger_id, request_id, customer_id, by, reason, metadata } =
            context.unwrap_or_default();
        self.within("context", |fields| {
            let ledger = fields.ledger(&ledger_id);
            let request = fields.take("request_id", RequestKey::parse(&request_id));
            let mut empty = |field, is_empty: bool, problem| {
                if is_empty { Some(()) } else { fields.refuse(field, problem) }
            };
            let unkept = "must be empty: this method does not keep it";
            let customer = empty(
                "customer_id",
                customer_id.is_empty(),
                "must be empty: this method is about no customer",
            );
            let no_reason = keeps == Keeps::Why || empty("reason", reason.is_empty(), unkept).is_some();
            let metadata = empty("metadata", metadata.is_empty(), unkept);
            let no_by = keeps != Keeps::Nothing || empty("by", by.is_empty(), unkept).is_some();
            let by = if keeps == Keeps::Nothing { Some(Text::EMPTY) } else { fields.text("by", &by) };
            let reason = match keeps {
                Keeps::Why => fields.required_text("reason", &reason),
                Keeps::Nothing | Keeps::By => Some(Text::EMPTY),
            };
            customer.and(metadata).filter(|()| no_reason && no_by)?;
            complete!(LedgerScope { ledger: ledger, request: request, by: by, reason: reason })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grpc::parse::{Amount, parse};

    #[test]
    fn all_violations_are_told_with_their_paths() {
        let violations = parse((), |(), fields| {
            fields.each("commands", vec!["1", "1e3"], |fields, credits| {
                fields.within("place_hold", |fields| {
                    let context = wire::context("r", "").ledger("a b");
                    let scope = fields.context(Some(context), Reason::Required);
                    let credits = fields.credits("credits", credits, Amount::Positive);
                    Some((scope?, credits?))
                })
            })
        })
        .unwrap_err();
        let paths: Vec<_> = violations.shown.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            paths,
            [
                "commands[0].place_hold.context.ledger_id",
                "commands[0].place_hold.context.customer_id",
                "commands[0].place_hold.context.reason",
                "commands[1].place_hold.context.ledger_id",
                "commands[1].place_hold.context.customer_id",
                "commands[1].place_hold.context.reason",
                "commands[1].place_hold.credits",
            ]
        );
    }

    #[test]
    fn a_context_about_no_customer_keeps_nothing_in_secret() {
        let read = |context: wire::CommandContext, keeps| {
            let read = parse((), |(), fields| fields.ledger_context(Some(context), keeps));
            read.map_err(|violations| {
                violations.shown.into_iter().map(|violation| violation.field).collect::<Vec<_>>()
            })
        };
        let full = wire::CommandContext {
            metadata: [("key".to_owned(), "value".to_owned())].into(),
            ..wire::context("r", "acme").by("ann").because("so")
        };
        let names = ["context.customer_id", "context.reason", "context.metadata", "context.by"];
        assert_eq!(read(full.clone(), Keeps::Nothing), Err(names.map(str::to_owned).to_vec()));
        assert_eq!(read(full, Keeps::By), Err(names[..3].iter().map(|name| (*name).to_owned()).collect()));
        let kept = read(wire::context("r", "").by("ann"), Keeps::By).unwrap();
        assert_eq!((kept.by.to_string().as_str(), kept.ledger), ("ann", None));
    }
}
