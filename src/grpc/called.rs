//! Who makes the present call. The stage that asks for it puts it into the request; the services read it there.

use std::net::IpAddr;
use std::sync::Arc;

use tokio::sync::watch;

use crate::access::{Allowance, Caller, Counts, Ledgers};
use crate::ledger::actor::{Actor, Peer, Role};
use crate::ledger::{CustomerId, LedgerId, Posting};

use super::methods::Methods;
use super::status::Problem;
use super::wire;

/// The caller of one call, and the address that it came from.
#[derive(Clone, Debug)]
pub struct Called {
    caller: Arc<Caller>,
    peer: Option<IpAddr>,
    /// What the caller may have done; `None` where nothing is limited.
    allowance: Option<Arc<Allowance>>,
    /// What is called, such as `HoldService/PlaceHold`; empty for methods of others.
    pub method: &'static str,
    /// Of a stream: why it must end, once its caller is no longer known.
    end: Option<watch::Receiver<Option<Problem>>>,
}

impl Called {
    /// `path` is that of the method.
    pub fn new(caller: Arc<Caller>, peer: Option<IpAddr>, path: &str) -> Self {
        Self { caller, peer, allowance: None, method: Methods::all().name(path), end: None }
    }

    /// The same, of a caller that may have so much done.
    pub fn limited(self, allowance: Option<Arc<Allowance>>) -> Self {
        Self { allowance, ..self }
    }

    /// The same, of a stream that this ends.
    pub fn until(mut self, end: watch::Receiver<Option<Problem>>) -> Self {
        self.end = Some(end);
        self
    }

    /// Waits until the stream must end because its caller is no longer known, which may be for ever.
    pub fn ended(&self) -> impl Future<Output = Problem> + use<> {
        let end = self.end.clone();
        async move {
            let Some(mut end) = end else { return std::future::pending().await };
            match end.wait_for(Option::is_some).await.map(|problem| problem.clone()) {
                Ok(Some(problem)) => problem,
                // Nobody looks any more.
                Ok(None) | Err(_) => std::future::pending().await,
            }
        }
    }

    /// Whether it is known who calls.
    pub fn is_known(&self) -> bool {
        self.caller.is_known()
    }

    pub const fn peer(&self) -> Option<IpAddr> {
        self.peer
    }

    /// What the journal keeps of the caller; `None` where callers are not authenticated.
    pub fn actor(&self) -> Option<Arc<Actor>> {
        self.caller.actor(self.peer)
    }

    pub fn role(&self) -> Role {
        self.caller.bounds.role()
    }

    /// What the caller may have done; `None` where nothing is limited.
    pub const fn allowance(&self) -> Option<&Arc<Allowance>> {
        self.allowance.as_ref()
    }

    /// Counts commands of a batch.
    ///
    /// # Errors
    /// RATE_LIMITED; then nothing was counted.
    pub fn spend_commands(&self, count: usize) -> Result<(), Problem> {
        let spend = |allowance: &Arc<Allowance>| allowance.spend(Counts::Commands, count);
        self.allowance.as_ref().map_or(Ok(()), spend).map_err(Problem::rate_limited)
    }

    /// Counts a command of a stream, once it passes. A stream is held back, as its flow control does, and not refused: a
    /// command that follows another could not do without it.
    pub async fn wait_for_command(&self) {
        if let Some(allowance) = &self.allowance {
            allowance.wait(Counts::Commands, 1).await;
        }
    }

    /// The only customer that the caller may name; `None` where it may name all.
    pub fn own_customer(&self) -> Option<&CustomerId> {
        self.caller.bounds.customer()
    }

    /// Who called for a posting, for those who may see that.
    pub fn shown_actor(&self, posting: &Posting) -> Option<wire::Actor> {
        let Actor { subject, role, way, peer, provider } = posting.detail.actor.as_deref()?;
        matches!(self.role(), Role::Operator | Role::Auditor).then(|| wire::Actor {
            subject: subject.to_string(),
            role: role.code().into(),
            way: way.code().into(),
            provider: provider.to_string(),
            peer: peer.map(|Peer(address)| address.to_string()).unwrap_or_default(),
        })
    }

    /// Whether the caller may see this ledger.
    pub fn sees_ledger(&self, ledger: &LedgerId) -> bool {
        self.caller.bounds.ledgers().has(ledger)
    }

    /// Whether the caller may see all ledgers, also those that are made later.
    pub fn sees_all_ledgers(&self) -> bool {
        *self.caller.bounds.ledgers() == Ledgers::All
    }

    /// Refuses a ledger that the caller may not name.
    pub fn may_name(&self, ledger: &LedgerId) -> Result<(), Problem> {
        if self.sees_ledger(ledger) { Ok(()) } else { Err(Problem::ledger_denied(self.role())) }
    }

    /// Refuses a caller that is bound to some ledgers, where a method is about the whole server: it could give itself the
    /// others.
    pub fn of_all_ledgers(&self) -> Result<(), Problem> {
        if self.sees_all_ledgers() {
            return Ok(());
        }
        Err(Problem::permission_denied(self.role(), "do this where it is bound to some ledgers"))
    }

    /// Refuses a method that the caller's role may not call. A method of others, such as reflection, is for all callers
    /// that are known.
    pub fn may_call(&self, path: &str) -> Result<(), Problem> {
        let may = match Methods::all().find(path) {
            Some(method) => method.allowed.is_none_or(|roles| roles.has(self.role())),
            // Reflection, and what is not there at all; never a method of ours.
            None => Methods::short(path).is_empty(),
        };
        if may {
            return Ok(());
        }
        let method = path.rsplit('/').next().unwrap_or_default();
        Err(Problem::permission_denied(self.role(), &format!("call {method}")))
    }
}
